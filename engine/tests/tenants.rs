//! The order of rows in segments: by tenant and principal where indexes say so, and as they came
//! where none does; whatever is asked of a point has the same answer.

#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::clock::ManualClock;
use engine::storage::sim::SimDisk;
use engine::{Clock, Collection, Db, Settings, Source, StepKind, UpsertRows, WriteBatch};
use format_spec::{
    Element, FieldIndex, FieldType, HnswSettings, Metric, PointId, Row, Schema, Value, VectorSchema,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const DIM: usize = 24;

fn field(path: &str, field_type: FieldType, flag: Option<&str>) -> FieldIndex {
    let flag = flag.map(|flag| (flag.to_owned(), Value::Bool(true)));
    FieldIndex {
        path: path.to_owned(),
        field_type,
        settings: Value::Object(flag.into_iter().collect()).to_bytes(),
    }
}

fn tenant() -> FieldIndex {
    field("who", FieldType::Keyword, Some("is_tenant"))
}

fn principal() -> FieldIndex {
    field("n", FieldType::Integer, Some("is_principal"))
}

fn schema(fields: Vec<FieldIndex>) -> Schema {
    let vector = VectorSchema {
        hnsw: HnswSettings {
            m: 8,
            ef_construct: 40,
            full_scan_threshold_kb: 1,
            seed: 7,
        },
        ..VectorSchema::unnamed(DIM as u32, Metric::Euclid)
    };
    let mut schema = Schema {
        vectors: vec![vector],
        fields,
        ..Schema::default()
    };
    schema.compaction.indexing_threshold_kb = 1;
    schema.compaction.segment_count_target = 1;
    schema
}

fn open(disk: &SimDisk, build_threads: usize) -> Arc<Db> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    let settings = Settings {
        soft_free_bytes: 0,
        workers: 0,
        codes_bytes_min: 0,
        graph_rows_min: 0,
        build_threads,
        ..Settings::default()
    };
    Db::open(Arc::new(disk.clone()), clock, settings).unwrap()
}

/// What a point has.
#[derive(Clone, PartialEq, Debug)]
struct Point {
    vector: Vec<f32>,
    payload: Vec<u8>,
}

type Model = BTreeMap<u64, Point>;

/// Of one of nine tenants, of several, or of none.
fn payload(rng: &mut SmallRng) -> Vec<u8> {
    let name = |n: u32| Value::Text(format!("tenant-{n}"));
    let who = rng.random_range(0..12);
    let who = match who {
        0..9 => Some(name(who)),
        9 => Some(Value::Array(vec![Value::Int(1), name(4), name(1)])),
        10 => Some(Value::Null),
        _ => None,
    };
    let mut members: Vec<_> = who.map(|who| ("who".to_owned(), who)).into_iter().collect();
    if rng.random_bool(0.8) {
        members.push(("n".to_owned(), Value::Int(rng.random_range(-3..3))));
    }
    Value::Object(members).to_bytes()
}

fn upsert(collection: &Collection, ids: std::ops::Range<u64>, model: &mut Model) {
    let mut rng = SmallRng::seed_from_u64(ids.start);
    let mut rows = UpsertRows::new(&collection.schema());
    for id in ids {
        let point = Point {
            vector: (0..DIM).map(|_| rng.random()).collect(),
            payload: payload(&mut rng),
        };
        rows.begin(PointId::Number(id));
        rows.vector(0, &point.vector).unwrap();
        rows.payload(&point.payload);
        model.insert(id, point);
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).unwrap();
}

fn flush(db: &Db, collection: &Collection) {
    collection.run_now();
    assert!(db.step_of(StepKind::Flush));
}

fn merge(db: &Db, collection: &Collection) {
    for _ in 0..4 {
        collection.run_now();
        while db.step() {}
    }
    let error = collection.status().optimizer_error;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(collection.snapshot().sources().len(), 1);
}

fn member(source: &Source, row: Row, key: &str) -> Value {
    let mut payloads = source.payloads();
    let payload = Value::decode(payloads.get(row).unwrap()).unwrap();
    payload.get(key).cloned().unwrap_or(Value::Null)
}

/// What leads, as the rows are to be sorted: what is missing is behind.
fn key(source: &Source, row: Row) -> (bool, String, bool, i64) {
    let value = member(source, row, "who");
    let who = if let Value::Text(who) = &value {
        who.clone()
    } else if matches!(value, Value::Array(_)) {
        "tenant-4".to_owned()
    } else {
        String::new()
    };
    let n = if let Value::Int(n) = member(source, row, "n") {
        Some(n)
    } else {
        None
    };
    (who.is_empty(), who, n.is_none(), n.unwrap_or_default())
}

/// The ids of a source's live rows, in their order.
fn ids(source: &Source) -> Vec<u64> {
    let live = source.live();
    let id = |row| match source.id(row).unwrap() {
        PointId::Number(id) => id,
        PointId::Uuid(_) => panic!("no such id was written"),
    };
    live.iter().map(id).collect()
}

/// Rows are in order, and those that are equal in it in the order of `came`.
fn check_order(source: &Source, came: &[u64]) {
    let live = source.live();
    let place = |id: u64| came.iter().position(|&other| other == id).unwrap();
    let places = ids(source).into_iter().map(place);
    let keys: Vec<_> = live
        .iter()
        .zip(places)
        .map(|(row, at)| (key(source, row), at))
        .collect();
    assert_eq!(keys.len(), came.len());
    assert!(keys.is_sorted(), "{keys:?}");
}

/// Every point is there, whole, once.
fn check(collection: &Collection, model: &Model) {
    let snapshot = collection.snapshot();
    assert_eq!(snapshot.live_count(), model.len() as u64);
    for (&id, point) in model {
        let found = snapshot.find(PointId::Number(id)).unwrap();
        let (source, row) = found.unwrap_or_else(|| panic!("point {id} is missing"));
        let source = &snapshot.sources()[source];
        assert_eq!(source.id(row).unwrap(), PointId::Number(id));
        let bytes: Vec<u8> = point.vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(source.vector(0, row).unwrap().as_deref(), Some(&bytes[..]));
        assert_eq!(source.payloads().get(row).unwrap(), point.payload, "{id}");
    }
}

/// The graph reaches every row, and a search of it finds the row that a vector is of; codes verify.
fn check_derived(source: &Source) {
    let graph = source.graph(0).unwrap().expect("a graph");
    let reach = index::check_connectivity(&graph);
    assert_eq!(
        (reach.reachable, reach.rows),
        (source.rows(), source.rows())
    );
    let codes = source.codes(0).unwrap().expect("codes");
    assert!(codes.check().is_ok());
    for row in (0..source.rows()).step_by(17) {
        let bytes = source.vector(0, row).unwrap().unwrap();
        let query = quant::Query::of_row(Metric::Euclid, Element::F32, &bytes);
        let scorer = source.scorer(0, &query).unwrap();
        let settings = index::SearchSettings::adaptive(1);
        let found = index::search(
            &graph,
            &scorer,
            &index::AcceptAll,
            settings,
            &mut index::Scratch::default(),
        );
        assert_eq!(found.neighbors[0].row, row);
    }
}

#[test]
fn a_flush_and_a_merge_put_rows_in_the_order_of_their_tenants() {
    let disk = SimDisk::default();
    let db = open(&disk, 1);
    let fields = vec![principal(), tenant()];
    let collection = db.create_collection("c", schema(fields)).unwrap();
    let mut model = Model::new();
    let mut came = Vec::new();
    for start in [0, 300, 600] {
        upsert(&collection, start..start + 300, &mut model);
        flush(&db, &collection);
        let snapshot = collection.snapshot();
        let source = snapshot.sources().last().unwrap();
        let written: Vec<u64> = (start..start + 300).collect();
        check_order(source, &written);
        came.extend(ids(source));
        check(&collection, &model);
    }
    merge(&db, &collection);
    let snapshot = collection.snapshot();
    check_order(&snapshot.sources()[0], &came);
    check_derived(&snapshot.sources()[0]);
    check(&collection, &model);
    // The column is of the rows as they lie now.
    let source = &snapshot.sources()[0];
    let column = source.column("who").unwrap().unwrap();
    let texts = (0..900).filter(|row| matches!(member(source, *row, "who"), Value::Text(_)));
    assert_eq!(column.stats().rows_indexed, texts.count() as u32);
    drop(snapshot);
    drop((collection, db));
    let db = open(&disk, 1);
    let collection = db.collection("c").unwrap();
    check_order(&collection.snapshot().sources()[0], &came);
    check(&collection, &model);
}

#[test]
fn rows_lie_as_they_came_where_no_index_leads() {
    let disk = SimDisk::default();
    let db = open(&disk, 1);
    let plain = vec![
        field("who", FieldType::Keyword, None),
        field("n", FieldType::Integer, Some("is_tenant")),
    ];
    let collection = db.create_collection("c", schema(plain)).unwrap();
    let mut model = Model::new();
    for start in [0, 300] {
        upsert(&collection, start..start + 300, &mut model);
        flush(&db, &collection);
    }
    let snapshot = collection.snapshot();
    assert!(ids(&snapshot.sources()[0]).into_iter().eq(0..300));
    merge(&db, &collection);
    let snapshot = collection.snapshot();
    assert!(ids(&snapshot.sources()[0]).into_iter().eq(0..600));
    check(&collection, &model);
}

#[test]
fn a_field_made_a_tenant_later_orders_the_next_merge() {
    let disk = SimDisk::default();
    let db = open(&disk, 1);
    let collection = db.create_collection("c", schema(Vec::new())).unwrap();
    let mut model = Model::new();
    upsert(&collection, 0..400, &mut model);
    flush(&db, &collection);
    let add = &mut |schema: &Schema| {
        let mut schema = schema.clone();
        schema.fields.push(tenant());
        Ok(schema)
    };
    db.alter_collection("c", add).unwrap();
    upsert(&collection, 400..500, &mut model);
    // Dead rows of the memtable, and of the segment.
    upsert(&collection, 380..420, &mut model);
    flush(&db, &collection);
    let snapshot = collection.snapshot();
    let old = ids(&snapshot.sources()[0]);
    assert!(old.iter().copied().eq(0..380), "no merge yet");
    merge(&db, &collection);
    let snapshot = collection.snapshot();
    let source = &snapshot.sources()[0];
    let who = |row: Row| {
        let (without, who, ..) = key(source, row);
        (without, who)
    };
    assert!((0..source.rows()).map(who).is_sorted());
    check_derived(source);
    check(&collection, &model);
}

/// Alone, nothing else would ever write it anew.
#[test]
fn a_lone_segment_is_put_in_order_once() {
    let disk = SimDisk::default();
    let db = open(&disk, 1);
    let collection = db.create_collection("c", schema(Vec::new())).unwrap();
    let mut model = Model::new();
    upsert(&collection, 0..3_000, &mut model);
    flush(&db, &collection);
    merge(&db, &collection);
    let only = || collection.snapshot().sources()[0].segment_id();
    let settled = only();
    merge(&db, &collection);
    assert_eq!(only(), settled, "nothing is to be done");
    let add = &mut |schema: &Schema| {
        let mut schema = schema.clone();
        schema.fields.push(tenant());
        Ok(schema)
    };
    db.alter_collection("c", add).unwrap();
    merge(&db, &collection);
    let snapshot = collection.snapshot();
    let source = &snapshot.sources()[0];
    let who = |row: Row| {
        let (without, who, ..) = key(source, row);
        (without, who)
    };
    assert!((0..source.rows()).map(who).is_sorted());
    check_derived(source);
    check(&collection, &model);
    let ordered = only();
    assert_ne!(ordered, settled);
    merge(&db, &collection);
    assert_eq!(only(), ordered, "once");
    drop(snapshot);
    drop(collection);
    drop(db);
    let db = open(&disk, 1);
    let collection = db.collection("c").unwrap();
    merge(&db, &collection);
    let again = collection.snapshot().sources()[0].segment_id();
    assert_eq!(again, ordered, "not after a restart either");
}

/// A payload that names another tenant stays where the row lies until the next merge.
#[test]
fn a_row_that_changes_its_tenant_moves_with_the_next_merge() {
    let disk = SimDisk::default();
    let db = open(&disk, 1);
    let collection = db.create_collection("c", schema(vec![tenant()])).unwrap();
    let mut model = Model::new();
    upsert(&collection, 0..200, &mut model);
    flush(&db, &collection);
    upsert(&collection, 200..400, &mut model);
    flush(&db, &collection);
    let new = Value::Object(vec![("who".to_owned(), Value::Text("a".to_owned()))]).to_bytes();
    let mut batch = WriteBatch::new();
    let patch = |id| (PointId::Number(id), Arc::from(new.clone()));
    batch.patch((0..400).step_by(7).map(patch).collect());
    batch.delete((0..400).step_by(5).map(PointId::Number).collect());
    for id in 0..400 {
        if id % 7 == 0 {
            model.get_mut(&id).unwrap().payload.clone_from(&new);
        }
    }
    model.retain(|id, _| id % 5 != 0);
    collection.write(batch).unwrap();
    check(&collection, &model);
    merge(&db, &collection);
    let snapshot = collection.snapshot();
    let source = &snapshot.sources()[0];
    let moved = model.keys().filter(|id| **id % 7 == 0).count() as Row;
    assert!((0..moved).all(|row| key(source, row).1 == "a"));
    assert!((moved..source.rows()).all(|row| key(source, row).1 != "a"));
    check_derived(source);
    check(&collection, &model);
}

/// The same writes give the same files, with one thread and with more.
#[test]
fn the_order_is_the_same_every_time() {
    let parts = |threads: usize| {
        let disk = SimDisk::default();
        let db = open(&disk, threads);
        let fields = vec![tenant(), principal()];
        let collection = db.create_collection("c", schema(fields)).unwrap();
        let mut model = Model::new();
        for start in [0, 200, 100] {
            upsert(&collection, start..start + 200, &mut model);
            flush(&db, &collection);
        }
        merge(&db, &collection);
        check(&collection, &model);
        let snapshot = collection.snapshot();
        let source = &snapshot.sources()[0];
        let codes = source.codes(0).unwrap().unwrap();
        let of_row = |row: Row| index::CodeRows::row(&codes, row).to_vec();
        let codes: Vec<_> = (0..source.rows()).map(of_row).collect();
        let graph = source.graph(0).unwrap().unwrap();
        let links = |row: Row| index::Adjacency::base(&graph, row).to_vec();
        let links: Vec<_> = (0..source.rows()).map(links).collect();
        (ids(source), codes, links)
    };
    let first = parts(1);
    assert_eq!(first, parts(1));
    assert_eq!(first, parts(3));
}
