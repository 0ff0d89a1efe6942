//! Crash enumeration: at every disk operation of scripted workloads, everything that power loss
//! could leave, up to a bound a moment; each such disk is opened and must hold every
//! acknowledged write, all or nothing of the one under way, and raise no false alarm.
//!
//! Now and then the recovery itself is cut at each of its operations, the recovered database is
//! crashed again at once, or written to: what one restart showed, the next one must show.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::storage::sim::{CrashChoice, CrashRule, SimDisk};
use proptest::collection::vec;
use rayon::prelude::*;
use tests::model::World;
use tests::readback::check_counts;
use tests::report;
use tests::session::{Outcome, Session, lock, open, recovered};
use tests::watched::Watched;
use tests::workload::{Action, NAMES, action};

use crate::draw;

/// States looked at, at most, of one moment.
const STATES_A_MOMENT: usize = 256;

#[derive(Default, Debug)]
struct Tally {
    moments: AtomicU64,
    states: AtomicU64,
    recoveries_cut: AtomicU64,
    crashed_twice: AtomicU64,
}

/// A moment before a disk operation.
struct Moment {
    disk: SimDisk,
    candidates: Vec<World>,
    what: String,
}

#[test]
fn power_loss_at_any_operation_loses_nothing() {
    let workloads = if report::long() { 10_000 } else { 200 };
    let base = match std::env::var("CAIRN_SEED") {
        Ok(_) => report::seed(),
        Err(_) => 0,
    };
    let tally = Tally::default();
    for seed in base..base + workloads {
        for moment in moments(seed) {
            look(seed, &moment, &tally)
                .unwrap_or_else(|why| panic!("CAIRN_SEED={seed}, before {}: {why}", moment.what));
        }
    }
    let states = tally.states.into_inner();
    report::counts(
        "crashes",
        &[
            ("states", states),
            ("moments", tally.moments.into_inner()),
            ("workloads", workloads),
            ("recoveries cut", tally.recoveries_cut.into_inner()),
            ("crashed twice", tally.crashed_twice.into_inner()),
        ],
    );
    report::floor("crashes", "states", states, 250_000);
}

/// Runs a workload and collects the disk before each of its operations.
fn moments(seed: u64) -> Vec<Moment> {
    let watched = Watched::new(SimDisk::new());
    let collected: Arc<std::sync::Mutex<Vec<Moment>>> = Arc::default();
    let session = Session::start(Arc::new(watched.clone())).expect("an empty disk opens");
    let (journal, disk) = (session.journal(), watched.disk.clone());
    let into = Arc::clone(&collected);
    watched.set_hook(Some(Box::new(move |kind, path| {
        let what = format!("operation {}, {kind:?} {path}", disk.operations());
        let candidates = lock(&journal).candidates();
        lock(&into).push(Moment {
            disk: disk.kill(),
            candidates,
            what,
        });
    })));
    for action in script(seed) {
        match session.perform(&action) {
            Ok(Outcome::Done | Outcome::Refused) => {}
            other => panic!("CAIRN_SEED={seed}: {action:?}: {other:?}"),
        }
    }
    let candidates = session.candidates();
    session.close().expect("a good disk closes");
    watched.set_hook(None);
    let mut collected = lock(&collected);
    let end = Moment {
        disk: watched.disk.kill(),
        candidates,
        what: "the end".to_owned(),
    };
    collected.push(end);
    std::mem::take(&mut collected)
}

/// A short workload in which everything happens: collections come and go, indexes are built,
/// memtables are written, segments are merged.
fn script(seed: u64) -> Vec<Action> {
    let mut script = vec![Action::Create(NAMES[0])];
    let drawn = draw(&vec(action(false), 4..12), seed);
    script.extend(drawn.into_iter().filter(|action| *action != Action::Reopen));
    script.push(Action::RunNow(NAMES[0]));
    script.extend([Action::StepFlush, Action::StepCompact, Action::StepCompact]);
    script
}

/// Looks at the states of a moment, in parallel.
fn look(seed: u64, moment: &Moment, tally: &Tally) -> Result<(), String> {
    let rule = CrashRule {
        exhaustive_max: 5,
        random: 12,
        seed,
        torn: true,
    };
    let all: Vec<CrashChoice> = moment.disk.crash_states(&rule).collect();
    let number = tally.moments.fetch_add(1, Ordering::Relaxed);
    thinned(all, STATES_A_MOMENT, seed ^ number)
        .into_par_iter()
        .try_for_each(|choice| {
            let nth = tally.states.fetch_add(1, Ordering::Relaxed);
            let disk = moment.disk.crash(&choice);
            one(disk, &moment.candidates, nth, tally).map_err(|why| format!("{choice}: {why}"))
        })
}

/// At most `most` of the choices, the first two (nothing kept, all kept) always among them.
fn thinned(mut all: Vec<CrashChoice>, most: usize, seed: u64) -> Vec<CrashChoice> {
    let mut state = seed;
    while all.len() > most {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(0x9E37);
        let at = 2 + usize::try_from(state >> 33).unwrap_or_default() % (all.len() - 2);
        all.swap_remove(at);
    }
    all
}

/// Opens one state and looks at it; some also for what comes after.
fn one(disk: SimDisk, candidates: &[World], nth: u64, tally: &Tally) -> Result<(), String> {
    if nth.is_multiple_of(97) {
        tally.recoveries_cut.fetch_add(1, Ordering::Relaxed);
        cut_recovery(&disk, candidates, nth)?;
    }
    let storage = Watched::new(disk);
    let db = open(Arc::new(storage.clone())).map_err(|error| format!("open: {error:?}"))?;
    let found = recovered(&db, candidates)?;
    if nth.is_multiple_of(31) {
        check_counts(&db, &found)?;
    }
    if nth.is_multiple_of(13) {
        tally.crashed_twice.fetch_add(1, Ordering::Relaxed);
        let again = storage.disk.crash(&CrashChoice::nothing());
        drop(db);
        return again_the_same(again, &found, nth);
    }
    // Killed, not closed: closing is for clean stops.
    storage.disk.stop_after(0);
    Ok(())
}

/// A second crash right after the recovery shows the same; then writing goes on.
fn again_the_same(disk: SimDisk, found: &World, nth: u64) -> Result<(), String> {
    let storage = Watched::new(disk);
    let session = Session::resume(Arc::new(storage.clone()), std::slice::from_ref(found))
        .map_err(|why| format!("crashed again after recovery: {why}"))?;
    for action in draw(&vec(action(false), 2..4), nth) {
        if action != Action::Reopen {
            session.perform(&action)?;
        }
    }
    session
        .check()
        .map_err(|why| format!("after recovery and writes:\n{why}"))?;
    let candidates = session.candidates();
    let left = storage.disk.crash(&CrashChoice::nothing());
    storage.disk.stop_after(0);
    drop(session);
    let db = open(Arc::new(left)).map_err(|error| format!("open the third time: {error:?}"))?;
    recovered(&db, &candidates).map(drop)
}

/// Power is lost during the recovery, at each of its operations.
fn cut_recovery(disk: &SimDisk, candidates: &[World], nth: u64) -> Result<(), String> {
    let watched = Watched::new(disk.kill());
    let moments: Arc<std::sync::Mutex<Vec<SimDisk>>> = Arc::default();
    let (into, inner) = (Arc::clone(&moments), watched.disk.clone());
    watched.set_hook(Some(Box::new(move |_, _| lock(&into).push(inner.kill()))));
    let db = open(Arc::new(watched.clone())).map_err(|error| format!("open: {error:?}"))?;
    watched.set_hook(None);
    watched.disk.stop_after(0);
    drop(db);
    let rule = CrashRule {
        exhaustive_max: 2,
        random: 2,
        seed: nth,
        torn: true,
    };
    for (number, moment) in lock(&moments).iter().enumerate() {
        for choice in thinned(moment.crash_states(&rule).collect(), 6, nth) {
            let db = open(Arc::new(moment.crash(&choice))).map_err(|error| {
                format!("recovery cut at operation {number}, {choice}: open: {error:?}")
            })?;
            recovered(&db, candidates)
                .map_err(|why| format!("recovery cut at operation {number}, {choice}: {why}"))?;
        }
    }
    Ok(())
}
