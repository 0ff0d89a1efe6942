//! Cold parts through the engine's public face: what is read, what is verified, what is reported.

#![cfg(test)]

use std::sync::Arc;

use engine::clock::ManualClock;
use engine::storage::sim::{Fault, OpKind, SimDisk};
use engine::{
    Clock, Collection, Db, DiskStorage, ErrorKind, IoUring, Placement, Residency, Settings, Source,
    Storage, UpsertRows, VectorPlacement, WriteBatch,
};
use format_spec::{CompactionSettings, Element, Metric, PointId, Row, Schema, Value, VectorSchema};
use index::Scorer;
use quant::Query;

const DIM: usize = 64;
const ROWS: u32 = 2_000;

fn settings() -> Settings {
    Settings {
        wal_file_bytes: 1 << 16,
        soft_free_bytes: 0,
        workers: 0,
        build_threads: 1,
        ..Settings::default()
    }
}

fn open(storage: Arc<dyn Storage>) -> Arc<Db> {
    open_with(storage, settings())
}

fn open_with(storage: Arc<dyn Storage>, settings: Settings) -> Arc<Db> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    Db::open(storage, clock, settings).unwrap()
}

fn cold() -> Placement {
    let originals = VectorPlacement {
        originals: Residency::Cold,
        ..VectorPlacement::default()
    };
    Placement {
        vectors: [(String::new(), originals)].into(),
        payload: Residency::Cold,
        ..Placement::default()
    }
}

fn coordinate(row: u32, at: usize) -> f32 {
    ((row as usize * 31 + at * 7) % 101) as f32
}

/// One segment of rows that are their ids.
fn fill(db: &Db) -> Arc<Collection> {
    fill_with(db, Schema::default().compaction)
}

fn fill_with(db: &Db, compaction: CompactionSettings) -> Arc<Collection> {
    let vector = VectorSchema::unnamed(DIM as u32, Metric::Euclid);
    let schema = Schema {
        vectors: vec![vector],
        compaction,
        ..Schema::default()
    };
    let collection = db.create_collection("c", schema).unwrap();
    let mut rows = UpsertRows::new(&collection.schema());
    for row in 0..ROWS {
        rows.begin(PointId::Number(u64::from(row)));
        let vector: Vec<f32> = (0..DIM).map(|at| coordinate(row, at)).collect();
        rows.vector(0, &vector).unwrap();
        let text = Value::Text(format!("{row} ").repeat(50));
        rows.payload(&Value::Object(vec![("t".to_owned(), text)]).to_bytes());
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).unwrap();
    collection.run_now();
    while db.step() {}
    collection
}

fn query() -> Query {
    Query::new(Metric::Euclid, Element::F32, DIM, &[3.0; DIM]).unwrap()
}

fn expected(row: Row) -> f32 {
    let square = |at| (coordinate(row, at) - 3.0) * (coordinate(row, at) - 3.0);
    (0..DIM).map(square).sum()
}

fn distances(source: &Source, rows: &[Row]) -> engine::Result<Vec<f32>> {
    let query = query();
    let scorer = source.scorer(0, &query)?;
    assert!(scorer.is_far());
    let mut out = vec![0.0; rows.len()];
    scorer.distances(rows, &mut out);
    scorer.check()?;
    Ok(out)
}

fn rows_here_and_there() -> Vec<Row> {
    (0..300).map(|n| (n * 7_919 + n / 3) % ROWS).collect()
}

fn path_of(disk: &SimDisk, extension: &str) -> String {
    let mut files = disk.files().into_iter();
    files.find(|path| path.ends_with(extension)).unwrap()
}

#[test]
fn rows_are_read_by_io_uring_and_by_threads_alike() {
    for io_uring in [IoUring::Auto, IoUring::Off] {
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(DiskStorage::with(dir.path(), io_uring).unwrap());
        let method = storage.batched_reads().method;
        if io_uring == IoUring::Off {
            assert!(method.starts_with("pread"), "{method}");
        }
        let db = open(storage.clone());
        let collection = fill(&db);
        collection.place(cold());
        let snapshot = collection.snapshot();
        let source = &snapshot.sources()[0];
        let rows = rows_here_and_there();
        let first = storage.batched_reads();
        let exact: Vec<f32> = rows.iter().map(|&row| expected(row)).collect();
        assert_eq!(distances(source, &rows).unwrap(), exact);
        let second = storage.batched_reads();
        assert_eq!(distances(source, &rows).unwrap(), exact);
        let third = storage.batched_reads();
        assert_eq!(
            (
                second.batches - first.batches,
                third.batches - second.batches
            ),
            (1, 1)
        );
        assert!(second.bytes > first.bytes && third.bytes > second.bytes);
        // Whole blocks first, in which rows lie close together; then no more than the rows need.
        assert!(third.bytes - second.bytes <= second.bytes - first.bytes);
        let stored = source.vectors(0, &rows).unwrap();
        for (row, stored) in rows.iter().zip(stored) {
            assert_eq!(stored, source.vector(0, *row).unwrap());
        }
    }
}

#[test]
fn a_block_is_read_whole_once_and_rows_alone_afterwards() {
    let disk = SimDisk::default();
    let db = open(Arc::new(disk.clone()));
    let collection = fill(&db);
    collection.place(cold());
    let snapshot = collection.snapshot();
    let source = &snapshot.sources()[0];
    let before = disk.count(OpKind::Read);
    // Two rows of one block, two blocks apart from the third.
    let rows = [5, 6, 900];
    let exact = rows.map(expected);
    assert_eq!(distances(source, &rows).unwrap(), exact);
    assert_eq!(disk.count(OpKind::Read) - before, 2);
    assert_eq!(distances(source, &rows).unwrap(), exact);
    assert_eq!(disk.count(OpKind::Read) - before, 4);
    // What changes in a verified block is not looked for; the next process finds it.
    let path = path_of(&disk, ".vectors");
    disk.flip_bit(&path, 4_096 + 5 * 4 * DIM as u64, 6).unwrap();
    assert!(distances(source, &rows).is_ok());
    drop((snapshot, collection, db));
    let db = open(Arc::new(disk));
    let collection = db.collection("c").unwrap();
    collection.place(cold());
    let snapshot = collection.snapshot();
    let error = distances(&snapshot.sources()[0], &rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn damage_is_found_and_reported_as_in_a_map() {
    for (extension, byte) in [(".vectors", 4_096 + 77), (".payload", 4_096 + 77)] {
        let mut reports = Vec::new();
        for placement in [Placement::default(), cold()] {
            let disk = SimDisk::default();
            let db = open(Arc::new(disk.clone()));
            fill(&db);
            drop(db);
            disk.flip_bit(&path_of(&disk, extension), byte, 3).unwrap();
            let db = open(Arc::new(disk));
            let collection = db.collection("c").unwrap();
            collection.place(placement);
            let snapshot = collection.snapshot();
            let source = &snapshot.sources()[0];
            let error = if extension == ".vectors" {
                let query = query();
                let scorer = source.scorer(0, &query).unwrap();
                scorer.distances(&[0, ROWS - 1], &mut [0.0; 2]);
                scorer.check().unwrap_err()
            } else {
                source.payloads().get(0).map(drop).unwrap_err()
            };
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            drop(snapshot);
            while db.step() {}
            let status = collection.status();
            assert_eq!(status.color, engine::Color::Red, "{extension}");
            reports.push((error.chain(), status.damaged));
        }
        assert_eq!(reports[0], reports[1]);
        assert!(reports[0].0.contains(extension), "{}", reports[0].0);
    }
}

#[test]
fn a_disk_that_does_not_read_is_an_error_and_no_damage() {
    let disk = SimDisk::default();
    let db = open(Arc::new(disk.clone()));
    let collection = fill(&db);
    collection.place(cold());
    let path = path_of(&disk, ".vectors");
    disk.set_unreadable(&path, 4_096, 10).unwrap();
    let snapshot = collection.snapshot();
    let source = &snapshot.sources()[0];
    let error = distances(source, &[0, 1_000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.chain().contains(".vectors"), "{}", error.chain());
    assert_eq!(distances(source, &[1_000]).unwrap(), [expected(1_000)]);
    assert!(collection.status().damaged.is_empty());
}

#[test]
fn a_file_that_could_not_be_opened_is_cold_the_next_time() {
    let disk = SimDisk::default();
    let db = open(Arc::new(disk.clone()));
    let collection = fill(&db);
    let cold_bytes = || collection.held().payload.cold;
    disk.inject(Fault::once(OpKind::Open, 0).sticky());
    collection.place(cold());
    assert_eq!(cold_bytes(), 0);
    disk.clear_faults();
    collection.place(cold());
    assert!(cold_bytes() > 0);
}

#[test]
fn a_graph_with_codes_in_its_nodes_goes_when_the_graph_is_to_stay_on_disk() {
    let settings = Settings {
        codes_bytes_min: 1,
        graph_rows_min: 1,
        ..settings()
    };
    let db = open_with(Arc::new(SimDisk::default()), settings);
    let with_graph = CompactionSettings {
        indexing_threshold_kb: 1,
        ..CompactionSettings::default()
    };
    let collection = fill_with(&db, with_graph);
    let resident = || collection.held().vectors[0].graph.resident;
    assert!(resident() > 0);
    let mut placement = Placement::default();
    let graph = VectorPlacement {
        graph: Residency::Cold,
        ..VectorPlacement::default()
    };
    placement.vectors.insert(String::new(), graph);
    collection.place(placement);
    while db.step() {}
    assert_eq!(resident(), 0);
    collection.place(Placement::default());
    while db.step() {}
    assert!(resident() > 0);
}

#[test]
fn hits_find_the_payload_blocks_that_earlier_hits_left() {
    let disk = SimDisk::new();
    let with = |payload_cache_bytes_max| Settings {
        payload_cache_bytes_max,
        ..settings()
    };
    for bytes_max in [0, 1 << 20, 64 << 20] {
        let db = open_with(Arc::new(disk.clone()), with(bytes_max));
        let collection = db.collection("c").unwrap_or_else(|| fill(&db));
        collection.place(cold());
        let text = |row: Row| Value::Text(format!("{row} ").repeat(50));
        let read = || {
            let before = db.payload_cache();
            let snapshot = collection.snapshot();
            let source = &snapshot.sources()[0];
            let rows = rows_here_and_there();
            // Each by itself, as hits of different searches come.
            for &row in &rows {
                let mut payloads = source.hit_payloads();
                payloads.prefetch(&[row]).unwrap();
                let payload = Value::decode(payloads.get(row).unwrap()).unwrap();
                let id = u64::from(row);
                assert_eq!(source.id(row).unwrap(), PointId::Number(id));
                assert_eq!(payload, Value::Object(vec![("t".to_owned(), text(row))]));
            }
            let after = db.payload_cache();
            assert!(after.bytes <= bytes_max);
            (after.hits - before.hits, after.misses - before.misses)
        };
        let (first, second) = (read(), read());
        match bytes_max {
            0 => assert_eq!((first.0, second.0), (0, 0)),
            n if n < 64 << 20 => assert!(second.0 > 0),
            // Each block is decompressed once, then never.
            _ => assert!(first.0 > first.1 && second.1 == 0, "{first:?} {second:?}"),
        }
        db.close().unwrap();
    }
}
