//! An engine and a collection in process: of a data set, with its payload and two field indexes, in
//! one segment.

use std::path::Path;
use std::sync::Arc;

use engine::{
    Collection, Db, DiskStorage, Settings, Snapshot, Source, StepKind, SystemClock, UpsertRows,
    WriteBatch,
};
use format_spec::{Codec, FieldIndex, FieldType, Metric, PointId, Schema, Value, VectorSchema};
use query::{PayloadSelector, QueryRequest, SearchParams, Target, VectorSelector};

use crate::Failure;
use crate::dataset::Dataset;

/// Its name.
pub const NAME: &str = "search";
const BATCH: usize = 1_000;

/// Opens an engine on a directory, with settings as `adjust` makes them of the usual ones; its
/// background work is done when it is told to.
///
/// # Errors
/// Those of the engine.
pub fn open(directory: &Path, adjust: impl FnOnce(&mut Settings)) -> Result<Arc<Db>, Failure> {
    let mut settings = Settings {
        workers: 0,
        ..Settings::default()
    };
    adjust(&mut settings);
    let storage = Arc::new(DiskStorage::new(directory)?);
    Ok(Db::open(storage, Arc::new(SystemClock::new()), settings)?)
}

/// Has segments of any size get graphs, with codes in their nodes if there are codes.
pub fn with_graphs(settings: &mut Settings) {
    settings.graph_rows_min = 0;
    settings.coded_graph_bytes_max = u64::MAX;
}

/// Makes it of the first `rows` rows, and runs all background work.
///
/// # Errors
/// Those of the engine.
pub fn make(db: &Db, data: &Dataset, rows: usize) -> Result<Arc<Collection>, Failure> {
    make_coded(db, data, rows, Codec::Auto)
}

/// The same with codes of `codec`.
///
/// # Errors
/// Those of the engine.
pub fn make_coded(
    db: &Db,
    data: &Dataset,
    rows: usize,
    codec: Codec,
) -> Result<Arc<Collection>, Failure> {
    let mut schema = schema(data.base.columns);
    schema.vectors[0].codec = codec;
    let collection = db.create_collection(NAME, schema)?;
    let payload = |at: usize| value(&data.payloads[at]).to_bytes();
    fill(db, &collection, data, rows, payload)?;
    Ok(collection)
}

/// Writes the first `rows` rows, each with its payload, and runs all background work.
///
/// # Errors
/// Those of the engine.
pub fn fill(
    db: &Db,
    collection: &Collection,
    data: &Dataset,
    rows: usize,
    payload: impl Fn(usize) -> Vec<u8>,
) -> Result<(), Failure> {
    for start in (0..rows).step_by(BATCH) {
        let mut points = UpsertRows::new(&collection.schema());
        for at in start..rows.min(start + BATCH) {
            points.begin(PointId::Number(at as u64));
            points.vector(0, data.base.row(at))?;
            points.payload(&payload(at));
        }
        let mut batch = WriteBatch::new();
        batch.upsert(points);
        collection.write(batch)?;
        db.step_of(StepKind::Flush);
    }
    // Each round merges what the one before made, until one graph covers everything.
    while segments(&collection.snapshot()) > 1 || !indexed(collection) {
        collection.run_now();
        if !db.step() {
            break;
        }
        while db.step() {}
    }
    Ok(())
}

/// Sealed segments.
pub fn segments(snapshot: &Snapshot) -> usize {
    let sources = snapshot.sources().iter();
    sources
        .filter(|source| matches!(source, Source::Segment(_)))
        .count()
}

/// Whether every vector is indexed.
pub fn indexed(collection: &Collection) -> bool {
    let status = collection.status();
    status.indexed_vectors == status.points
}

fn schema(dim: usize) -> Schema {
    let vector = VectorSchema::unnamed(dim as u32, Metric::Cosine);
    let field = |path: &str, field_type| FieldIndex {
        path: path.to_owned(),
        field_type,
        settings: Value::Object(Vec::new()).to_bytes(),
    };
    Schema {
        vectors: vec![vector],
        fields: vec![
            field("rank", FieldType::Integer),
            field("released", FieldType::Keyword),
        ],
        ..Schema::default()
    }
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(is) => Value::Bool(*is),
        serde_json::Value::Number(number) => {
            let float = || Value::Float(number.as_f64().unwrap_or_default());
            number.as_i64().map_or_else(float, Value::Int)
        }
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(value).collect()),
        serde_json::Value::Object(members) => {
            let member = |(key, member): (&String, _)| (key.clone(), value(member));
            Value::Object(members.iter().map(member).collect())
        }
    }
}

/// A search for the `limit` points nearest to a vector, without what they hold.
pub fn nearest(vector: &[f32], limit: usize, params: SearchParams) -> QueryRequest {
    QueryRequest {
        target: Some(Target::Vector(vector.to_vec())),
        using: String::new(),
        filter: None,
        params,
        score_threshold: None,
        limit,
        offset: 0,
        with_payload: PayloadSelector::All(false),
        with_vector: VectorSelector::All(false),
    }
}
