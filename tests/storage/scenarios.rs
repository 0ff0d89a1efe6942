//! Histories that once lost something, or nearly: each with the rule it guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::storage::sim::{CrashChoice, SimDisk};
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
