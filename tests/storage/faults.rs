//! Fault injection: in front of every operation of a workload, in turn, the disk fails: once or
//! from then on, with an input error or because it is full, and a failed sync may lose what it
//! was to make durable.
//!
//! What was acknowledged before is never lost, what failed is there whole or not at all, reads go
//! on, and no failure is a panic. After a restart on a good disk everything works again.

use std::sync::Arc;

use engine::ErrorKind;
use engine::storage::sim::{CrashChoice, Fault, FaultError, OpKind, SimDisk, SyncFailure};
use proptest::collection::vec;
use tests::report;
use tests::session::{Outcome, Session, abandon};
use tests::watched::Watched;
use tests::workload::{Action, NAMES, action};

use crate::draw;

/// Operations that can fail, with what, and whether for ever.
const KINDS: [OpKind; 7] = [
    OpKind::Create,
    OpKind::Write,
    OpKind::Allocate,
    OpKind::Sync,
    OpKind::SyncDir,
    OpKind::Remove,
    OpKind::Read,
];

#[derive(Copy, Clone, Default, Debug)]
struct Tally {
    injected: u64,
    failed: u64,
    restarts: u64,
}

#[test]
fn failing_disks_lose_nothing_acknowledged() {
    let workloads = if report::long() { 2_000 } else { 24 };
    let base = if std::env::var_os("CAIRN_SEED").is_some() {
        report::seed()
    } else {
        0
    };
    let mut tally = Tally::default();
    for seed in base..base + workloads {
        for kind in KINDS {
            every_operation(seed, kind, &mut tally);
        }
    }
    report::counts(
        "faults",
        &[
            ("injected", tally.injected),
            ("operations failed", tally.failed),
            ("restarts", tally.restarts),
        ],
    );
    report::floor("faults", "injected", tally.injected, 5_000);
    report::floor("faults", "operations failed", tally.failed, 2_000);
}

/// Fails the first operation of a kind, then the second, until the workload has no more.
fn every_operation(seed: u64, kind: OpKind, tally: &mut Tally) {
    let script = script(seed);
    let operations = {
        let disk = SimDisk::new();
        drop(run(&disk, &[]).expect("a good disk"));
        let before = disk.count(kind);
        let disk = SimDisk::new();
        let session = run(&disk, &script).expect("a good disk");
        let after = disk.count(kind);
        drop(session);
        after.saturating_sub(before)
    };
    let stride = (operations / 40).max(1);
    for nth in (0..operations).step_by(usize::try_from(stride).unwrap_or(1)) {
        for fault in faults(kind, nth) {
            tally.injected += 1;
            let (failed, restarts) = with_fault(&script, fault)
                .unwrap_or_else(|why| panic!("CAIRN_SEED={seed}, {fault:?}: {why}"));
            tally.failed += failed;
            tally.restarts += restarts;
        }
    }
}

fn faults(kind: OpKind, nth: u64) -> Vec<Fault> {
    let plain = Fault::once(kind, nth);
    let mut all = vec![plain, plain.sticky()];
    if matches!(kind, OpKind::Create | OpKind::Write | OpKind::Allocate) {
        all.push(plain.sticky().with_error(FaultError::NoSpace));
    }
    if kind == OpKind::Sync {
        let ways = [
            SyncFailure::Lost,
            SyncFailure::Reverted,
            SyncFailure::Unknown,
        ];
        all = ways.into_iter().map(|way| plain.with_sync(way)).collect();
    }
    all
}

fn script(seed: u64) -> Vec<Action> {
    let mut script = vec![Action::Create(NAMES[0])];
    let drawn = draw(&vec(action(false), 6..16), seed.wrapping_add(1_000_000));
    script.extend(drawn.into_iter().filter(|action| *action != Action::Reopen));
    script.extend([
        Action::RunNow(NAMES[0]),
        Action::StepFlush,
        Action::StepCompact,
    ]);
    script
}

/// A session that has done the script on a disk without faults.
fn run(disk: &SimDisk, script: &[Action]) -> Result<Session, String> {
    let storage = Arc::new(Watched::new(disk.clone()));
    let session = Session::start(storage).map_err(|error| format!("{error:?}"))?;
    for action in script {
        match session.perform(action)? {
            Outcome::Done | Outcome::Refused => {}
            failed @ Outcome::Failed(..) => return Err(format!("{action:?}: {failed:?}")),
        }
    }
    Ok(session)
}

/// Runs the script with a fault set from the first action on. Returns failed actions, restarts.
fn with_fault(script: &[Action], fault: Fault) -> Result<(u64, u64), String> {
    let disk = SimDisk::new();
    let watched = Watched::new(disk.clone());
    let session =
        Session::start(Arc::new(watched.clone())).map_err(|error| format!("{error:?}"))?;
    disk.inject(fault);
    let mut failed = 0;
    let mut full = false;
    for action in script {
        if let Outcome::Failed(kind, why) = session.perform(action)? {
            failed += 1;
            full |= kind == ErrorKind::DiskFull;
            allowed(kind, &why, action)?;
        }
        // Reads go on, and show what was acknowledged.
        if fault.kind != Some(OpKind::Read) {
            session
                .check()
                .map_err(|why| format!("after {action:?}:\n{why}"))?;
        }
    }
    disk.clear_faults();
    if full && fault.error == FaultError::NoSpace {
        resumes(&session, fault.kind == Some(OpKind::Write))?;
    }
    let candidates = session.candidates();
    let mut restarts = 0;
    // The page cache may have dropped what a failed sync lost, and power may be lost too.
    let evicted = disk.kill();
    evicted.evict_clean();
    for left in [evicted, disk.crash(&CrashChoice::nothing()), disk.kill()] {
        restarts += 1;
        let session = Session::resume(Arc::new(left), &candidates)
            .map_err(|why| format!("restart {restarts}: {why}"))?;
        let outcome = session.perform(&Action::Request(NAMES[0], Vec::new()))?;
        if let Outcome::Failed(kind, why) = outcome {
            return Err(format!("restart {restarts}: cannot write: {kind:?}: {why}"));
        }
        session
            .close()
            .map_err(|error| format!("close: {error:?}"))?;
    }
    abandon(session, &disk);
    Ok((failed, restarts))
}

/// Every failure has a kind that tells the caller what to do; damage is none of them.
fn allowed(kind: ErrorKind, why: &str, action: &Action) -> Result<(), String> {
    let kinds = [
        ErrorKind::Io,
        ErrorKind::DiskFull,
        ErrorKind::Poisoned,
        ErrorKind::Busy,
        ErrorKind::NotFound,
    ];
    if kinds.contains(&kind) {
        Ok(())
    } else {
        Err(format!("{action:?}: {kind:?}: {why}"))
    }
}

/// After space has come back, writing works without a restart.
fn resumes(session: &Session, may_be_poisoned: bool) -> Result<(), String> {
    let script = draw(&vec(action(false), 3..6), 77);
    for action in script
        .iter()
        .filter(|action| matches!(action, Action::Request(..)))
    {
        match session.perform(action)? {
            // A write into allocated space that fails for want of it leaves the log unknown, and so
            // poisoned, like any other write that fails: only a restart helps.
            Outcome::Failed(ErrorKind::Poisoned, _) if may_be_poisoned => return Ok(()),
            Outcome::Failed(kind, why) => {
                return Err(format!(
                    "does not resume after a full disk: {kind:?}: {why}"
                ));
            }
            Outcome::Done | Outcome::Refused => {}
        }
    }
    session.check()
}
