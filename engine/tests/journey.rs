//! The life of points through the engine's public face: memtable, segments, merges, restarts.

#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::clock::ManualClock;
use engine::storage::sim::SimDisk;
use engine::{Clock, Db, ErrorKind, Settings, Snapshot, UpsertRows, WriteBatch};
use format_spec::{
    FieldIndex, FieldType, HnswSettings, Metric, PointId, Schema, Value, VectorSchema,
};
use rand::{RngExt, SeedableRng};

const DIM: usize = 8;

fn schema() -> Schema {
    let hnsw = HnswSettings {
        m: 8,
        ef_construct: 40,
        full_scan_threshold_kb: 1,
        seed: 7,
    };
    let vector = VectorSchema {
        hnsw,
        ..VectorSchema::unnamed(DIM as u32, Metric::Euclid)
    };
    let mut schema = Schema {
        vectors: vec![vector],
        ..Schema::default()
    };
    schema.compaction.indexing_threshold_kb = 1;
    schema.fields.push(FieldIndex {
        path: "n".to_owned(),
        field_type: FieldType::Integer,
        settings: Vec::new(),
    });
    schema
}

fn settings() -> Settings {
    Settings {
        wal_file_bytes: 1 << 16,
        memtable_bytes_max: 1 << 15,
        soft_free_bytes: 0,
        workers: 0,
        codes_bytes_min: 0,
        graph_rows_min: 0,
        build_threads: 1,
        ..Settings::default()
    }
}

fn open(disk: &SimDisk) -> Arc<Db> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    Db::open(Arc::new(disk.clone()), clock, settings()).unwrap()
}

fn payload(n: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Value::Object(vec![("n".to_owned(), Value::Int(n))]).encode(&mut bytes);
    bytes
}

type Model = BTreeMap<u64, (Vec<f32>, i64)>;

fn check(snapshot: &Snapshot, model: &Model) {
    assert_eq!(snapshot.live_count(), model.len() as u64);
    for (&id, (vector, n)) in model {
        let found = snapshot.find(PointId::Number(id)).unwrap();
        let (source, row) = found.unwrap_or_else(|| panic!("point {id} is missing"));
        let source = &snapshot.sources()[source];
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(source.vector(0, row).unwrap().as_deref(), Some(&bytes[..]));
        assert_eq!(
            source.payloads().get(row).unwrap(),
            payload(*n),
            "point {id}"
        );
    }
}

#[test]
fn points_survive_flushes_merges_and_restarts() {
    let disk = SimDisk::default();
    let mut db = open(&disk);
    db.create_collection("c", schema()).unwrap();
    let mut model = Model::new();
    let mut rng = rand::rngs::SmallRng::seed_from_u64(11);
    for round in 0..400 {
        let collection = db.collection("c").unwrap();
        let mut batch = WriteBatch::new();
        match rng.random_range(0..10) {
            0..6 => {
                let mut rows = UpsertRows::new(&collection.schema());
                for _ in 0..rng.random_range(1..40) {
                    let id = rng.random_range(0..600);
                    let vector: Vec<f32> = (0..DIM).map(|_| rng.random()).collect();
                    rows.begin(PointId::Number(id));
                    rows.vector(0, &vector).unwrap();
                    rows.payload(&payload(round));
                    model.insert(id, (vector, round));
                }
                batch.upsert(rows);
            }
            6..8 => {
                let ids: Vec<u64> = (0..20).map(|_| rng.random_range(0..600)).collect();
                ids.iter().for_each(|id| drop(model.remove(id)));
                batch.delete(ids.into_iter().map(PointId::Number).collect());
            }
            _ => {
                let ids: Vec<u64> = (0..30).map(|_| rng.random_range(0..600)).collect();
                let patches = ids
                    .iter()
                    .map(|&id| (PointId::Number(id), Arc::from(payload(-round))));
                batch.patch(patches.collect());
                for id in ids {
                    if let Some(point) = model.get_mut(&id) {
                        point.1 = -round;
                    }
                }
            }
        }
        collection.write(batch).unwrap();
        match rng.random_range(0..12) {
            0 => drop(db.step()),
            1 => {
                collection.run_now();
                while db.step() {}
                assert!(
                    collection.status().optimizer_error.is_none(),
                    "{:?}",
                    collection.optimizations()
                );
            }
            2 => {
                check(&collection.snapshot(), &model);
                drop(collection);
                drop(db);
                db = open(&disk);
            }
            _ => {}
        }
        if round % 10 == 0 {
            check(&db.collection("c").unwrap().snapshot(), &model);
        }
    }
    check(&db.collection("c").unwrap().snapshot(), &model);
    assert!(db.drop_collection("c").unwrap());
    assert!(db.collection("c").is_none());
}

fn upsert(db: &Db, ids: std::ops::Range<u64>, n: i64) {
    let collection = db.collection("c").unwrap();
    let mut rows = UpsertRows::new(&collection.schema());
    for id in ids {
        rows.begin(PointId::Number(id));
        rows.vector(0, &[id as f32; DIM]).unwrap();
        rows.payload(&payload(n));
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).unwrap();
}

fn flush(db: &Db) {
    let collection = db.collection("c").unwrap();
    collection.run_now();
    assert!(db.step_of(engine::StepKind::Flush));
}

fn number_of(db: &Db, id: u64) -> Option<i64> {
    let snapshot = db.collection("c").unwrap().snapshot();
    let (source, row) = snapshot.find(PointId::Number(id)).unwrap()?;
    let value = Value::decode(snapshot.sources()[source].payloads().get(row).unwrap()).unwrap();
    match value.get("n") {
        Some(Value::Int(n)) => Some(*n),
        other => panic!("{other:?}"),
    }
}

/// Guards the rule that a segment set aside takes part in deaths: what was written meanwhile wins
/// when its files are repaired, and the rest serves all the time.
#[test]
fn newer_writes_win_over_a_segment_that_is_repaired() {
    let disk = SimDisk::default();
    let db = open(&disk);
    db.create_collection("c", schema()).unwrap();
    upsert(&db, 0..100, 1);
    flush(&db);
    upsert(&db, 100..200, 2);
    flush(&db);
    drop(db);
    let id = open(&disk).collection("c").unwrap().id();
    let parts = format_spec::path::parts_dir(id, format_spec::ShardId(0));
    let storage: &dyn engine::Storage = &disk;
    let names = storage.list(&parts).unwrap();
    let payload = names
        .iter()
        .find(|entry| entry.name.ends_with(".payload"))
        .unwrap();
    let path = format!("{parts}/{}", payload.name);
    // A byte of the footer: the part does not even open.
    disk.flip_bit(&path, payload.len - 10, 3).unwrap();

    let db = open(&disk);
    let status = db.collection("c").unwrap().status();
    assert_eq!(status.color, engine::Color::Red);
    assert!(
        status.damaged[0].contains(".payload"),
        "{:?}",
        status.damaged
    );
    assert_eq!((number_of(&db, 5), number_of(&db, 150)), (None, Some(2)));
    upsert(&db, 5..10, 3);
    let collection = db.collection("c").unwrap();
    let mut batch = WriteBatch::new();
    batch.delete((20..30).map(PointId::Number).collect());
    collection.write(batch).unwrap();
    flush(&db);
    drop((collection, db));

    disk.flip_bit(&path, payload.len - 10, 3).unwrap();
    let db = open(&disk);
    assert_eq!(db.collection("c").unwrap().snapshot().live_count(), 190);
    assert_eq!(
        (number_of(&db, 5), number_of(&db, 15), number_of(&db, 25)),
        (Some(3), Some(1), None)
    );
}

#[test]
fn damaged_codes_are_made_again() {
    let disk = SimDisk::default();
    let db = open(&disk);
    let collection = db.create_collection("c", schema()).unwrap();
    let mut rows = UpsertRows::new(&collection.schema());
    for id in 0..200 {
        rows.begin(PointId::Number(id));
        rows.vector(0, &[id as f32; DIM]).unwrap();
        rows.payload(&payload(1));
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).unwrap();
    collection.run_now();
    while db.step() {}
    drop(db);
    let codes = |disk: &SimDisk| -> Vec<String> {
        let files = disk.files().into_iter();
        files.filter(|path| path.ends_with(".codes")).collect()
    };
    let before = codes(&disk);
    assert_eq!(before.len(), 1);
    // In the first stretch of codes of several bits, which no open reads.
    disk.flip_bit(&before[0], 4_200, 3).unwrap();
    let db = open(&disk);
    let collection = db.collection("c").unwrap();
    {
        let snapshot = collection.snapshot();
        let codes = snapshot.sources()[0].codes(0).unwrap().unwrap();
        assert!(index::CodeRows::row(&codes, 0).is_empty());
        assert_eq!(codes.check().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    // What it costs is a new part; the points are served throughout.
    while db.step() {}
    let snapshot = collection.snapshot();
    assert_eq!(snapshot.live_count(), 200);
    let source = &snapshot.sources()[0];
    let codes_now = source.codes(0).unwrap().unwrap();
    assert!(!index::CodeRows::row(&codes_now, 0).is_empty() && codes_now.check().is_ok());
    assert!(codes(&disk) != before);
    assert!(collection.status().damaged.is_empty());
}

/// A patched segment whose statistics are damaged: they are made again of the same payloads, and a
/// fold makes them of the patched ones.
#[test]
fn damaged_statistics_are_made_again_and_folds_renew_them() {
    let disk = SimDisk::default();
    let db = open(&disk);
    db.create_collection("c", schema()).unwrap();
    upsert(&db, 0..100, 1);
    flush(&db);
    let extremes = |db: &Db| {
        let snapshot = db.collection("c").unwrap().snapshot();
        let view = snapshot.sources()[0].statistics();
        view.map(|view| view.unwrap().field("n").unwrap().figures().numbers)
    };
    assert_eq!(extremes(&db).unwrap(), Some((1.0, 1.0)));
    let mut batch = WriteBatch::new();
    let nine: Arc<[u8]> = payload(9).into();
    let patch = |id| (PointId::Number(id), Arc::clone(&nine));
    batch.patch((0..3).map(patch).collect());
    db.collection("c").unwrap().write(batch).unwrap();
    drop(db);
    let files = disk.files().into_iter();
    let part: Vec<String> = files.filter(|path| path.ends_with(".statistics")).collect();
    assert_eq!(part.len(), 1);
    disk.flip_bit(&part[0], 4_100, 3).unwrap();
    let db = open(&disk);
    assert_eq!(extremes(&db).unwrap_err().kind(), ErrorKind::Corrupt);
    while db.step() {}
    assert_eq!(extremes(&db).unwrap(), Some((1.0, 1.0)));
    // Asked for, patches are folded in.
    db.collection("c").unwrap().run_now();
    while db.step() {}
    assert_eq!(extremes(&db).unwrap(), Some((1.0, 9.0)));
    assert!(db.collection("c").unwrap().status().damaged.is_empty());
}

/// Blocks are verified when they are first read: what rots after that is found by the merge.
#[test]
fn what_rots_is_not_merged_into_other_files() {
    for kind in [".rows", ".vectors", ".payload"] {
        let disk = SimDisk::default();
        let db = open(&disk);
        db.create_collection("c", schema()).unwrap();
        for first in [0, 50] {
            upsert(&db, first..first + 50, 1);
            flush(&db);
        }
        let collection = db.collection("c").unwrap();
        let parts = disk.files().into_iter();
        let parts: Vec<String> = parts.filter(|path| path.ends_with(kind)).collect();
        assert_eq!(parts.len(), 2, "{kind}");
        disk.flip_bit(&parts[0], 4_100, 3).unwrap();
        collection.run_now();
        while db.step() {}
        let damaged = collection.status().damaged;
        assert_eq!(damaged.len(), 1, "{kind}");
        assert!(damaged[0].contains(&parts[0]), "{}", damaged[0]);
        let sources = collection.snapshot();
        let rows: u32 = sources.sources().iter().map(engine::Source::rows).sum();
        assert_eq!(rows, 50, "{kind}");
    }
}

fn upsert_random(collection: &engine::Collection, ids: std::ops::Range<u64>) {
    let mut rows = UpsertRows::new(&collection.schema());
    for id in ids {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(id);
        let vector: Vec<f32> = (0..DIM).map(|_| rng.random()).collect();
        rows.begin(PointId::Number(id));
        rows.vector(0, &vector).unwrap();
        rows.payload(&payload(1));
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).unwrap();
}

/// Of the only segment: the level of each point in the graph, by id; every point is reached.
fn levels(db: &Db) -> BTreeMap<PointId, u8> {
    let snapshot = db.collection("c").unwrap().snapshot();
    let [source] = snapshot.sources() else {
        panic!("{} sources", snapshot.sources().len())
    };
    let graph = source.graph(0).unwrap().expect("no graph");
    let reach = index::check_connectivity(&graph);
    assert_eq!(
        (reach.reachable, reach.rows),
        (graph.nodes(), graph.nodes())
    );
    let rows = (0..source.rows()).filter(|&row| source.is_live(row));
    rows.map(|row| (source.id(row).unwrap(), graph.level(row).unwrap()))
        .collect()
}

/// Deletes every sixth point and merges all that is left into one segment.
fn delete_and_merge(db: &Db, ids: std::ops::Range<u64>) {
    let collection = db.collection("c").unwrap();
    let mut batch = WriteBatch::new();
    batch.delete(ids.step_by(6).map(PointId::Number).collect());
    collection.write(batch).unwrap();
    for _ in 0..3 {
        collection.run_now();
        while db.step() {}
    }
}

#[test]
fn a_merge_goes_on_from_the_graphs_of_its_segments() {
    let disk = SimDisk::default();
    let db = open(&disk);
    let mut schema = schema();
    schema.compaction.segment_count_target = 1;
    let collection = db.create_collection("c", schema).unwrap();
    upsert_random(&collection, 0..600);
    collection.run_now();
    while db.step() {}
    let before = levels(&db);
    assert_eq!(before.len(), 600);
    // A graph that is built anew would draw its levels anew.
    delete_and_merge(&db, 0..600);
    let after = levels(&db);
    assert_eq!(after.len(), 500);
    assert!(after.iter().all(|(id, level)| before[id] == *level));
    upsert_random(&collection, 600..800);
    delete_and_merge(&db, 601..800);
    let last = levels(&db);
    assert_eq!(last.len(), 500 + 200 - 34);
    let kept = after.iter().filter(|(id, level)| last[id] == **level);
    assert_eq!(kept.count(), 500);
}

#[test]
fn a_damaged_graph_is_left_aside_by_a_merge() {
    let disk = SimDisk::default();
    let db = open(&disk);
    let collection = db.create_collection("c", schema()).unwrap();
    upsert_random(&collection, 0..600);
    collection.run_now();
    while db.step() {}
    drop((collection, db));
    let files = disk.files();
    let graph = files.iter().find(|path| path.ends_with(".graph")).unwrap();
    disk.flip_bit(graph, 4_200, 3).unwrap();
    let db = open(&disk);
    delete_and_merge(&db, 0..600);
    assert_eq!(levels(&db).len(), 500);
    assert!(db.collection("c").unwrap().status().damaged.is_empty());
}
