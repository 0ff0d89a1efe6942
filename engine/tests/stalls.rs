//! Writers that compaction holds back: told why, and let go by whatever makes room.

#![cfg(test)]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use engine::clock::SystemClock;
use engine::storage::sim::SimDisk;
use engine::{Collection, Db, Settings, UpsertRows, WriteBatch};
use format_spec::{CompactionSettings, Metric, PointId, Schema, VectorSchema};

const DIM: usize = 64;
/// Flat segments at which writers wait, and some more.
const SEGMENTS: u64 = 66;
/// Long enough for a write that nothing holds back, on a busy machine too.
const SOON: Duration = Duration::from_secs(20);

fn open() -> Arc<Db> {
    let settings = Settings {
        wal_file_bytes: 1 << 20,
        soft_free_bytes: 0,
        codes_bytes_min: u64::MAX,
        build_threads: 1,
        ..Settings::default()
    };
    Db::open(
        Arc::new(SimDisk::new()),
        Arc::new(SystemClock::new()),
        settings,
    )
    .unwrap()
}

/// Each write fills a memtable.
fn batch(collection: &Collection, number: u64) -> WriteBatch {
    let mut rows = UpsertRows::new(&collection.schema());
    for row in 0..80 {
        rows.begin(PointId::Number(number * 80 + row));
        rows.vector(0, &[row as f32; DIM]).unwrap();
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    batch
}

fn tune(db: &Db, change: impl Fn(&mut CompactionSettings)) {
    let mut altered = |schema: &Schema| {
        let mut schema = schema.clone();
        change(&mut schema.compaction);
        Ok(schema)
    };
    db.alter_collection("c", &mut altered).unwrap();
}

/// More flat segments than writers are let past, made while compaction is paused.
fn filled(db: &Db) -> Arc<Collection> {
    let vector = VectorSchema::unnamed(DIM as u32, Metric::Euclid);
    let mut schema = Schema {
        vectors: vec![vector],
        ..Schema::default()
    };
    schema.compaction.memtable_bytes_max = 16 << 10;
    schema.compaction.paused = true;
    let collection = db.create_collection("c", schema).unwrap();
    for number in 0..SEGMENTS {
        collection.write(batch(&collection, number)).unwrap();
    }
    while (collection.status().segments as u64) < SEGMENTS {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(collection.counters().stall_compaction_ms, 0);
    collection
}

/// A write on a thread of its own; says when it is through.
fn writer(collection: &Arc<Collection>) -> Receiver<engine::Result<()>> {
    let (tell, told) = channel();
    let collection = Arc::clone(collection);
    let write = move || {
        let written = collection.write(batch(&collection, SEGMENTS)).map(drop);
        tell.send(written).unwrap();
    };
    let writer = std::thread::Builder::new().name("writer".to_owned());
    writer.spawn(write).unwrap();
    told
}

/// Resumes compaction so slowly that it makes no room, and leaves a writer waiting for it.
fn stalled(db: &Db, collection: &Arc<Collection>) -> Receiver<engine::Result<()>> {
    tune(db, |compaction| {
        compaction.rate_bytes_per_s = 1;
        compaction.paused = false;
    });
    // Until a job runs there is nothing to wait for.
    while collection.optimizations().running.is_empty() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let told = writer(collection);
    let early = told.recv_timeout(Duration::from_millis(300));
    assert_eq!(early.unwrap_err(), RecvTimeoutError::Timeout);
    assert!(collection.counters().stall_compaction_ms > 0);
    told
}

#[test]
fn writers_that_wait_go_on_when_compaction_gets_on() {
    let db = open();
    let collection = filled(&db);
    let told = stalled(&db, &collection);
    tune(&db, |compaction| compaction.rate_bytes_per_s = 0);
    told.recv_timeout(SOON).unwrap().unwrap();
    db.close().unwrap();
}

#[test]
fn writers_that_wait_go_on_when_compaction_is_paused() {
    let db = open();
    let collection = filled(&db);
    let told = stalled(&db, &collection);
    tune(&db, |compaction| compaction.paused = true);
    told.recv_timeout(SOON).unwrap().unwrap();
    db.close().unwrap();
}

#[test]
fn writers_that_wait_are_told_when_the_database_closes() {
    let db = open();
    let collection = filled(&db);
    let told = stalled(&db, &collection);
    db.close().unwrap();
    let error = told.recv_timeout(SOON).unwrap().unwrap_err();
    assert_eq!(error.kind(), engine::ErrorKind::Closed);
}
