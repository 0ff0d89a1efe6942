//! Writes while a merge puts rows in another order: they are found again at the rows they became.

use std::sync::{Arc, Mutex};

use engine::storage::sim::{CrashChoice, OpKind, SimDisk};
use engine::{Collection, Db, StepKind, UpsertRows, WriteBatch};
use format_spec::{FieldIndex, FieldType, PointId, Row, Value};
use tests::session::{open, schema};
use tests::watched::Watched;
use tests::workload::FLOATS;

const ROWS: u64 = 240;

/// One of seven tenants.
fn payload(id: u64, note: &str) -> Vec<u8> {
    let text = |text: String| Value::Text(text);
    Value::Object(vec![
        ("who".to_owned(), text(format!("tenant-{}", id * 5 % 7))),
        ("note".to_owned(), text(note.to_owned())),
    ])
    .to_bytes()
}

fn upsert(collection: &Collection, ids: impl Iterator<Item = u64>, note: &str) {
    let mut rows = UpsertRows::new(&collection.schema());
    for id in ids {
        let vector: Vec<f32> = (0..FLOATS)
            .map(|at| (id as usize * 7 + at) as f32)
            .collect();
        rows.begin(PointId::Number(id));
        rows.vector(0, &vector).expect("of the dimension");
        rows.payload(&payload(id, note));
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).expect("written");
}

/// Deletes ids that end in 3, patches those that end in 5 and puts those that end in 7 anew.
fn change(collection: &Collection, note: &str) {
    let ending = |end: u64| (0..ROWS).filter(move |id| id % 10 == end);
    let mut batch = WriteBatch::new();
    batch.delete(ending(3).map(PointId::Number).collect());
    let patch = |id| (PointId::Number(id), Arc::from(payload(id, note)));
    batch.patch(ending(5).map(patch).collect());
    collection.write(batch).expect("written");
    upsert(collection, ending(7), note);
}

fn flush(db: &Db, collection: &Collection) {
    collection.run_now();
    assert!(db.step_of(StepKind::Flush));
}

/// Every point has what was written last.
fn check(collection: &Collection, note: &str) {
    let snapshot = collection.snapshot();
    for id in 0..ROWS {
        let found = snapshot.find(PointId::Number(id)).expect("readable");
        assert_eq!(found.is_none(), id % 10 == 3, "point {id}");
        let Some((source, row)) = found else { continue };
        let source = &snapshot.sources()[source];
        let note = if [5, 7].contains(&(id % 10)) {
            note
        } else {
            "first"
        };
        let mut payloads = source.payloads();
        assert_eq!(
            payloads.get(row).expect("readable"),
            payload(id, note),
            "{id}"
        );
        let bytes = source
            .vector(0, row)
            .expect("readable")
            .expect("it has one");
        assert_eq!(bytes[..4], ((id * 7) as f32).to_le_bytes(), "point {id}");
    }
    let live = (0..ROWS).filter(|id| id % 10 != 3).count() as u64;
    assert_eq!(snapshot.live_count(), live);
}

/// Whether the rows of the segment with the most lie in the order of their tenants.
fn in_order(collection: &Collection) -> bool {
    let snapshot = collection.snapshot();
    let largest = snapshot.sources().iter().max_by_key(|source| source.rows());
    let source = largest.expect("there is one");
    let mut payloads = source.unpatched_payloads();
    let mut who = |row: Row| {
        let payload = Value::decode(payloads.get(row).expect("readable")).expect("decodes");
        match payload.get("who") {
            Some(Value::Text(who)) => who.clone(),
            other => panic!("{other:?}"),
        }
    };
    let names: Vec<String> = (0..source.rows()).map(&mut who).collect();
    names.is_sorted()
}

/// The changes come while the vectors of the merged segment are written; some are flushed before it
/// is installed, so that they are carried over from parts, and some are only in memory.
#[test]
fn writes_during_a_merge_find_their_rows_in_another_order() {
    let watched = Watched::new(SimDisk::new());
    let db = open(Arc::new(watched.clone())).expect("an empty disk opens");
    let collection = db.create_collection("c", schema()).expect("created");
    // Flushed as they come, and put in order by the merge.
    upsert(&collection, 0..ROWS / 2, "first");
    flush(&db, &collection);
    upsert(&collection, ROWS / 2..ROWS, "first");
    flush(&db, &collection);
    let add = &mut |schema: &format_spec::Schema| {
        let mut schema = schema.clone();
        let flag = ("is_tenant".to_owned(), Value::Bool(true));
        schema.fields.push(FieldIndex {
            path: "who".to_owned(),
            field_type: FieldType::Keyword,
            settings: Value::Object(vec![flag]).to_bytes(),
        });
        schema.compaction.segment_count_target = 1;
        Ok(schema)
    };
    db.alter_collection("c", add).expect("altered");
    assert!(!in_order(&collection));

    let done = Arc::new(Mutex::new(0));
    let (inside, times) = (Arc::clone(&collection), Arc::clone(&done));
    let other = Arc::clone(&db);
    watched.set_hook(Some(Box::new(move |kind, path| {
        if kind != OpKind::Create || !path.ends_with(".vectors") {
            return;
        }
        let mut times = times.lock().expect("no hook panicked");
        *times += 1;
        if *times == 1 {
            change(&inside, "flushed");
            flush(&other, &inside);
            let patch = |id| (PointId::Number(id), Arc::from(payload(id, "second")));
            let mut batch = WriteBatch::new();
            batch.patch((0..ROWS).filter(|id| id % 10 == 5).map(patch).collect());
            inside.write(batch).expect("written");
            let again = (0..ROWS).filter(|id| id % 10 == 7);
            upsert(&inside, again, "second");
        }
    })));
    collection.run_now();
    for _ in 0..8 {
        db.step_of(StepKind::Compact);
    }
    watched.set_hook(None);
    assert!(*done.lock().expect("no hook panicked") >= 1);
    assert!(in_order(&collection));
    check(&collection, "second");
    let left = watched.disk.crash(&CrashChoice::nothing());
    drop((collection, db));
    let db = open(Arc::new(left)).expect("what is left opens");
    let collection = db.collection("c").expect("it is there");
    check(&collection, "second");
    for _ in 0..4 {
        collection.run_now();
        while db.step() {}
    }
    check(&collection, "second");
    assert!(in_order(&collection));
    assert!(collection.status().optimizer_error.is_none());
}
