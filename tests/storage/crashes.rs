//! Crash enumeration: at every disk operation of scripted workloads, everything that power loss
//! could leave, up to a bound a moment; each such disk is opened and must hold every
//! acknowledged write, all or nothing of the one under way, and raise no false alarm.
//!
//! Now and then the recovery itself is cut at each of its operations, the recovered database is
//! crashed again at once, or written to: what one restart showed, the next one must show.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use engine::Collection;
use engine::storage::sim::{CrashChoice, CrashRule, SimDisk};
use proptest::collection::vec;
use rayon::prelude::*;
use tests::model::{World, Write};
use tests::readback::check_counts;
use tests::report;
use tests::session::{Outcome, Session, lock, open, perform_request, recovered};
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
    report::floor("crashes", "states", states, 1_000_000);
}

/// Runs a workload and collects the disk before each of its operations. Further requests come
/// in from inside background steps, where a writer's thread would.
fn moments(seed: u64) -> Vec<Moment> {
    let watched = Watched::new(SimDisk::new());
    let collected: Arc<Mutex<Vec<Moment>>> = Arc::default();
    let session = Session::start(Arc::new(watched.clone())).expect("an empty disk opens");
    let intruders = Arc::new(Mutex::new(intruders(seed)));
    for action in script(seed) {
        let background = matches!(action, Action::StepFlush | Action::StepCompact);
        let collection = session.db().collection(NAMES[0]).filter(|_| background);
        watch(&watched, &session, &collected, collection, &intruders);
        match session.perform(&action) {
            Ok(Outcome::Done | Outcome::Refused) => {}
            other => panic!("CAIRN_SEED={seed}: {action:?}: {other:?}"),
        }
        session
            .check()
            .unwrap_or_else(|why| panic!("CAIRN_SEED={seed}: {action:?}:\n{why}"));
    }
    watch(&watched, &session, &collected, None, &intruders);
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

/// Collects a moment before each operation; lets requests into `collection` at some.
fn watch(
    watched: &Watched,
    session: &Session,
    collected: &Arc<Mutex<Vec<Moment>>>,
    collection: Option<Arc<Collection>>,
    intruders: &Arc<Mutex<VecDeque<Vec<Write>>>>,
) {
    let (journal, disk) = (session.journal(), watched.disk.clone());
    let (into, intruders) = (Arc::clone(collected), Arc::clone(intruders));
    let mut operations = 0_u64;
    watched.set_hook(Some(Box::new(move |kind, path| {
        let moment = |what: String| {
            let candidates = lock(&journal).candidates();
            lock(&into).push(Moment {
                disk: disk.kill(),
                candidates,
                what,
            });
        };
        moment(format!("operation {}, {kind:?} {path}", disk.operations()));
        operations += 1;
        let Some(collection) = &collection else {
            return;
        };
        if !path.contains("/parts/") || !operations.is_multiple_of(3) {
            return;
        }
        let Some(request) = lock(&intruders).pop_front() else {
            return;
        };
        match perform_request(collection, &journal, &request) {
            Ok(Outcome::Done | Outcome::Refused) => {}
            other => panic!("{request:?} inside a step: {other:?}"),
        }
        moment(format!(
            "operation {}, after a request inside a step",
            disk.operations()
        ));
    })));
}

/// Requests that come in the middle of background steps.
fn intruders(seed: u64) -> VecDeque<Vec<Write>> {
    let drawn = draw(&vec(action(false), 24), seed ^ 0x5EED);
    let requests = drawn.into_iter().filter_map(|action| match action {
        Action::Request(name, request) if name == NAMES[0] => Some(request),
        _ => None,
    });
    requests.collect()
}

/// A short workload in which everything happens: collections come and go, indexes are built, and
/// twice over memtables are sealed, written and merged, with requests between any two of these.
fn script(seed: u64) -> Vec<Action> {
    let mut script = vec![Action::Create(NAMES[0])];
    for round in 0..2 {
        let drawn = draw(
            &vec(action(false), 8),
            seed.wrapping_mul(3).wrapping_add(round),
        );
        let mut drawn = drawn.into_iter().filter(|action| *action != Action::Reopen);
        script.extend(drawn.by_ref().take(3));
        script.push(Action::RunNow(NAMES[0]));
        for step in [Action::StepFlush, Action::StepCompact, Action::StepCompact] {
            script.extend(drawn.next());
            script.push(step);
        }
        script.extend(drawn);
    }
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
    let moments: Arc<Mutex<Vec<SimDisk>>> = Arc::default();
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
