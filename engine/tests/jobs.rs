//! Jobs that fail: tried again with a pause, while the others go on.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use engine::clock::ManualClock;
use engine::storage::sim::{Fault, OpKind, SimDisk};
use engine::{Clock, Collection, Db, Settings, StepKind, UpsertRows, WriteBatch};
use format_spec::{FieldIndex, FieldType, Metric, PointId, Schema, Value, VectorSchema};

const FIELD: &str = "n";

fn write(collection: &Collection, ids: std::ops::Range<u64>) {
    let mut rows = UpsertRows::new(&collection.schema());
    for id in ids {
        rows.begin(PointId::Number(id));
        rows.vector(0, &[id as f32; 4]).unwrap();
        rows.payload(&Value::Object(vec![(FIELD.to_owned(), Value::Int(id as i64))]).to_bytes());
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).unwrap();
}

/// Jobs that ended, without flushes: whether each failed, newest first.
fn ended(collection: &Collection) -> Vec<bool> {
    let jobs = collection.optimizations().completed.into_iter();
    let jobs = jobs.filter(|job| job.kind != "flush");
    jobs.map(|job| job.error.is_some()).collect()
}

#[test]
fn a_job_that_fails_waits_and_holds_up_no_other() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let settings = Settings {
        soft_free_bytes: 0,
        workers: 0,
        build_threads: 1,
        ..Settings::default()
    };
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let db = Db::open(Arc::new(disk.clone()), shared, settings).unwrap();
    let vector = VectorSchema::unnamed(4, Metric::Euclid);
    let mut schema = Schema {
        vectors: vec![vector],
        ..Schema::default()
    };
    schema.compaction.memtable_bytes_max = 1;
    schema.compaction.fan_out = 100;
    let collection = db.create_collection("c", schema).unwrap();
    for segment in 0..3 {
        write(&collection, segment * 10..segment * 10 + 10);
        while db.step_of(StepKind::Flush) {}
    }
    assert!(!db.step_of(StepKind::Compact), "nothing is due");
    let mut indexed = |schema: &Schema| {
        let mut schema = schema.clone();
        schema.fields.push(FieldIndex {
            path: FIELD.to_owned(),
            field_type: FieldType::Integer,
            settings: Vec::new(),
        });
        Ok(schema)
    };
    db.alter_collection("c", &mut indexed).unwrap();

    // A column for each of three segments; the first one fails.
    disk.inject(Fault::once(OpKind::Create, 0));
    assert!(db.step_of(StepKind::Compact));
    disk.clear_faults();
    assert_eq!(ended(&collection), [true]);
    while db.step_of(StepKind::Compact) {}
    assert_eq!(ended(&collection), [false, false, true]);
    assert!(!collection.wait_indexed(FIELD, Duration::ZERO));
    clock.advance(Duration::from_secs(2));
    while db.step_of(StepKind::Compact) {}
    assert_eq!(ended(&collection), [false, false, false, true]);
    assert!(collection.wait_indexed(FIELD, Duration::ZERO));
}

/// What is written after an operator asked is no part of what was asked for: else a trickle of
/// writes would keep a forced run, which passes over the pause, going for ever.
#[test]
fn a_forced_run_ends_although_writes_go_on() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    let settings = Settings {
        soft_free_bytes: 0,
        workers: 0,
        build_threads: 1,
        ..Settings::default()
    };
    let db = Db::open(Arc::new(SimDisk::new()), clock, settings).unwrap();
    let mut schema = Schema {
        vectors: vec![VectorSchema::unnamed(4, Metric::Euclid)],
        ..Schema::default()
    };
    schema.compaction.memtable_bytes_max = 1;
    schema.compaction.fan_out = 2;
    schema.compaction.paused = true;
    let collection = db.create_collection("c", schema).unwrap();
    for segment in 0..4 {
        write(&collection, segment * 10..segment * 10 + 10);
        while db.step_of(StepKind::Flush) {}
    }
    assert!(!db.step_of(StepKind::Compact), "it is paused");
    collection.run_now();
    let mut jobs = 0;
    for next in 0..40 {
        write(&collection, 100 + next * 10..110 + next * 10);
        while db.step_of(StepKind::Flush) {}
        jobs += u32::from(db.step_of(StepKind::Compact));
    }
    assert!((1..10).contains(&jobs), "{jobs} jobs of a forced run");
    assert!(!db.step_of(StepKind::Compact), "it is paused again");
    assert!(collection.status().segments > 30);
}
