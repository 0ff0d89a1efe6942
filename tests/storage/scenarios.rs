//! Histories that once lost something, or nearly: each with the rule it guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::ErrorKind;
use engine::storage::sim::{CrashChoice, Fault, OpKind, SimDisk};
use format_spec::{PointId, Value};
use tests::model::{Point, Who, Write};
use tests::session::{Outcome, Session, abandon};
use tests::watched::Watched;
use tests::workload::{Action, FLOATS, NAMES};

fn points(ids: std::ops::Range<u64>) -> Action {
    let point = |id: u64| {
        let payload = BTreeMap::from([("count".to_owned(), Value::Int(id as i64))]);
        let vector = (0..FLOATS).flat_map(|at| ((id as usize * 7 + at) as f32).to_le_bytes());
        (
            PointId::Number(id),
            Point {
                vectors: [Some(vector.collect()), None],
                payload,
            },
        )
    };
    Action::Request(
        NAMES[0],
        vec![Write::Upsert(ids.map(point).collect(), None)],
    )
}

fn mark(ids: std::ops::Range<u64>) -> Action {
    let payload = BTreeMap::from([("color".to_owned(), Value::Text("marked".to_owned()))]);
    let who = Who::Ids(ids.map(PointId::Number).collect());
    Action::Request(NAMES[0], vec![Write::Set(who, payload)])
}

/// Does the actions, each of which must succeed, then loses power and compares.
fn survives(actions: &[Action]) {
    let watched = Watched::new(SimDisk::new());
    let session = Session::start(Arc::new(watched.clone())).expect("an empty disk opens");
    session.perform(&Action::Create(NAMES[0])).expect("created");
    for action in actions {
        assert_eq!(session.perform(action), Ok(Outcome::Done), "{action:?}");
        session.check().expect("what the process shows");
    }
    let candidates = session.candidates();
    let left = watched.disk.crash(&CrashChoice::nothing());
    abandon(session, &watched.disk);
    let session =
        Session::resume(Arc::new(left), &candidates).unwrap_or_else(|why| panic!("{why}"));
    session.check().expect("what the next process shows");
}

/// The log has only the new payload. The row it belongs to is in the segment that the flush
/// writes, and dead there for the running process, which has the point in its next memtable. A
/// merge must not leave that row out: after a crash the payload would find no point.
#[test]
fn a_patch_between_seal_and_flush_survives_a_merge() {
    survives(&[
        points(0..20),
        Action::RunNow(NAMES[0]),
        Action::StepFlush,
        points(20..40),
        Action::RunNow(NAMES[0]),
        mark(22..26),
        Action::StepFlush,
        Action::StepCompact,
        Action::StepCompact,
        Action::StepCompact,
    ]);
}

/// The same for a row that dies with an upsert: the log has the whole point.
#[test]
fn an_upsert_between_seal_and_flush_survives_a_merge() {
    survives(&[
        points(0..20),
        Action::RunNow(NAMES[0]),
        Action::StepFlush,
        points(20..40),
        Action::RunNow(NAMES[0]),
        points(22..26),
        Action::StepFlush,
        Action::StepCompact,
        Action::StepCompact,
        mark(0..40),
        Action::StepCompact,
    ]);
}

fn part_files(disk: &SimDisk) -> usize {
    let files = disk.files().into_iter();
    files.filter(|path| path.contains("/parts/")).count()
}

/// What a failed flush or merge has written is gone again, whichever operation fails: a disk that
/// fills up would otherwise be filled by the tries.
#[test]
fn a_failed_step_leaves_no_files() {
    let steps = [
        vec![Action::StepFlush],
        vec![Action::StepFlush, Action::StepCompact],
    ];
    let mut failures = 0;
    for steps in steps {
        for kind in [OpKind::Create, OpKind::Write, OpKind::Sync, OpKind::SyncDir] {
            for after in 0..40 {
                failures += u32::from(fails_cleanly(&steps, Fault::once(kind, after)));
            }
        }
    }
    assert!(failures >= 25, "only {failures} failures");
}

/// Does the steps, the last with a fault; whether it struck.
fn fails_cleanly(steps: &[Action], fault: Fault) -> bool {
    let watched = Watched::new(SimDisk::new());
    let disk = &watched.disk;
    let session = Session::start(Arc::new(watched.clone())).expect("an empty disk opens");
    let setup = [
        Action::Create(NAMES[0]),
        points(0..20),
        Action::RunNow(NAMES[0]),
        Action::StepFlush,
        points(10..30),
        Action::RunNow(NAMES[0]),
    ];
    let (last, before) = steps.split_last().expect("there are steps");
    for action in setup.iter().chain(before) {
        assert_eq!(session.perform(action), Ok(Outcome::Done), "{action:?}");
    }
    let files = part_files(disk);
    disk.inject(fault);
    session.perform(last).expect("a step is no request");
    disk.clear_faults();
    let collection = session.db().collection(NAMES[0]).expect("it was made");
    // A failed marker poisons the log, but the flush goes on.
    let error = collection.status().optimizer_error;
    let failed = error.is_some_and(|why| !why.starts_with("no more writes"));
    if failed {
        assert_eq!(part_files(disk), files, "{last:?}, {fault:?}");
    }
    session.check().expect("nothing is lost");
    failed
}

/// A drop that failed, and whose catalog the disk kept, could take later writes away at a restart:
/// none is taken before the catalog in force has overruled it.
#[test]
fn a_drop_in_doubt_takes_no_writes_with_it() {
    let watched = Watched::new(SimDisk::new());
    let disk = &watched.disk;
    let session = Session::start(Arc::new(watched.clone())).expect("an empty disk opens");
    for action in [Action::Create(NAMES[0]), points(0..5)] {
        assert_eq!(session.perform(&action), Ok(Outcome::Done));
    }
    disk.inject(Fault::once(OpKind::SyncDir, 0).sticky());
    disk.inject(Fault::once(OpKind::Remove, 0).sticky());
    let dropped = session.perform(&Action::Drop(NAMES[0]));
    assert!(
        matches!(dropped, Ok(Outcome::Failed(ErrorKind::Io, _))),
        "{dropped:?}"
    );
    let refused = session.perform(&points(5..6));
    assert!(
        matches!(refused, Ok(Outcome::Failed(ErrorKind::Busy, _))),
        "{refused:?}"
    );
    disk.clear_faults();
    assert_eq!(session.perform(&Action::StepFlush), Ok(Outcome::Done));
    assert_eq!(session.perform(&points(5..9)), Ok(Outcome::Done));
    let now = session
        .journal()
        .lock()
        .expect("nobody panicked")
        .now
        .clone();
    let left = disk.kill();
    abandon(session, disk);
    Session::resume(Arc::new(left), &[now]).unwrap_or_else(|why| panic!("{why}"));
}
