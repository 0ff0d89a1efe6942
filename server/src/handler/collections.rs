//! Collections: making, describing, changing and dropping them, and what compaction does.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Color, Status};
use format_spec::Schema;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value as Tree};

use super::Call;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::wire::collection::{CreateBody, UpdateBody, check_name};
use crate::wire::config::Config;
use crate::wire::known_recall::Own;
use crate::wire::optimizations::{JsonOptimizations, With};
use crate::wire::placement::JsonPlacement;
use crate::wire::time::rfc3339;
use crate::wire::{index, json};

#[derive(Serialize)]
struct Collections {
    collections: Vec<Name>,
}

#[derive(Serialize)]
struct Name {
    name: String,
}

/// `GET collections`.
pub(crate) fn list(call: &Call) -> Result<Reply, ApiError> {
    let db = &call.state.db;
    let collections = db.collections();
    let open = collections
        .iter()
        .map(|collection| collection.name().to_owned());
    // One that does not open is there all the same; asked for, it says what is wrong.
    let mut names: Vec<_> = open.chain(db.failed()).collect();
    names.sort();
    call.ok(Collections {
        collections: names.into_iter().map(|name| Name { name }).collect(),
    })
}

#[derive(Serialize)]
struct Existence {
    exists: bool,
}

/// `GET collections/{name}/exists`.
pub(crate) fn exists(call: &Call) -> Result<Reply, ApiError> {
    call.ok(Existence {
        exists: call.state.exists(call.collection_name()),
    })
}

/// `PUT collections/{name}`.
pub(crate) fn create(call: &Call) -> Result<Reply, ApiError> {
    let name = call.collection_name();
    check_name(name)?;
    let body: CreateBody = json::read(call.body.bytes())?;
    let config = body.convert(&call.state.settings.defaults)?;
    let schema = config.schema(&Schema::default(), seed(call))?;
    let collection = call.state.db.create_collection(name, schema);
    let collection = collection.map_err(|error| {
        if error.kind() == engine::ErrorKind::Conflict {
            ApiError::collection_exists(name)
        } else {
            error.into()
        }
    })?;
    call.state.place(&collection)?;
    call.ok(true)
}

fn seed(call: &Call) -> u64 {
    call.state.settings.storage.engine.seed
}

/// `PATCH collections/{name}`.
pub(crate) fn update(call: &Call) -> Result<Reply, ApiError> {
    let name = call.collection_name();
    let collection = call.collection()?;
    let mut body: Option<UpdateBody> = Some(json::read(call.body.bytes())?);
    alter(call, name, &mut |schema| {
        let mut config = Config::of(schema)?;
        body.take().unwrap_or_default().apply(&mut config)?;
        config.schema(schema, seed(call))
    })?;
    call.state.place(&collection)?;
    call.ok(true)
}

/// Changes the schema of a collection; the change may fail in the words of the API.
pub(super) fn alter(
    call: &Call,
    name: &str,
    change: &mut dyn FnMut(&Schema) -> Result<Schema, ApiError>,
) -> Result<(), ApiError> {
    let mut refusal = None;
    let altered = call.state.db.alter_collection(name, &mut |schema| {
        change(schema).map_err(|error| {
            let text = error.to_string();
            refusal = Some(error);
            engine::Error::invalid("alter", text)
        })
    });
    match (altered, refusal) {
        (_, Some(refusal)) => Err(refusal),
        (Ok(()), None) => Ok(()),
        (Err(error), None) if error.kind() == engine::ErrorKind::NotFound => {
            Err(ApiError::no_collection(name))
        }
        (Err(error), None) => Err(error.into()),
    }
}

/// `DELETE collections/{name}`: false when there is none.
pub(crate) fn delete(call: &Call) -> Result<Reply, ApiError> {
    call.ok(call.state.db.drop_collection(call.collection_name())?)
}

/// `POST collections/aliases`, the one collection name that is a route for POST.
pub(crate) fn change_aliases(call: &Call) -> Result<Reply, ApiError> {
    match call.collection_name() {
        "aliases" => Err(ApiError::not_yet("POST /collections/aliases")),
        _ => Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Bad request: a collection takes GET, PUT, PATCH and DELETE",
        )),
    }
}

#[derive(Serialize)]
struct Description {
    status: &'static str,
    optimizer_status: OptimizerStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
    indexed_vectors_count: u64,
    points_count: u64,
    segments_count: usize,
    config: Config,
    payload_schema: Map<String, Tree>,
    update_queue: UpdateQueue,
    created_at: String,
    cairn: Own,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum OptimizerStatus {
    Ok,
    Error(String),
}

#[derive(Serialize)]
struct Warning {
    message: String,
}

#[derive(Serialize)]
struct UpdateQueue {
    length: usize,
}

/// `GET collections/{name}`.
pub(crate) fn info(call: &Call) -> Result<Reply, ApiError> {
    let collection = call.collection()?;
    let snapshot = collection.snapshot();
    let schema = Arc::clone(snapshot.schema());
    let status = collection.status();
    let config = Config::of(&schema)?;
    let mut warnings = config.warnings(&call.state.settings.storage.engine);
    let placement = JsonPlacement::new(&config.placement(), collection.held());
    let mut payload_schema = Map::new();
    let mut field_indexes = BTreeMap::new();
    for field in &schema.fields {
        warnings.extend(index::warnings(field)?);
        let report = collection.field_index(&field.path);
        payload_schema.insert(field.path.clone(), index::describe(field, report.points)?);
        field_indexes.insert(field.path.clone(), report.into());
    }
    warnings.extend(
        status
            .damaged
            .iter()
            .map(|what| format!("set aside as damaged: {what}")),
    );
    call.ok(Description {
        status: color(&status),
        optimizer_status: status
            .optimizer_error
            .map_or(OptimizerStatus::Ok, OptimizerStatus::Error),
        warnings: warnings
            .into_iter()
            .map(|message| Warning { message })
            .collect(),
        indexed_vectors_count: status.indexed_vectors,
        points_count: status.points,
        segments_count: status.segments,
        config,
        payload_schema,
        update_queue: UpdateQueue {
            length: status.queue_length,
        },
        created_at: rfc3339(collection.created_at_ms()),
        cairn: Own::of(&snapshot, placement, field_indexes),
    })
}

fn color(status: &Status) -> &'static str {
    match status.color {
        Color::Green => "green",
        Color::Yellow => "yellow",
        Color::Grey => "grey",
        Color::Red => "red",
    }
}

/// Completed jobs listed unless asked for another number.
const COMPLETED_DEFAULT: usize = 16;

/// `GET collections/{name}/optimizations`.
pub(crate) fn optimizations(call: &Call) -> Result<Reply, ApiError> {
    let collection = call.collection()?;
    let most = call
        .parameters
        .number("completed_limit")?
        .unwrap_or(COMPLETED_DEFAULT);
    let mut with = With::default();
    for part in call.parameters.get("with").unwrap_or_default().split(',') {
        match part.trim() {
            "queued" => with.queued = true,
            "completed" => with.completed = Some(most),
            "idle_segments" => with.idle_segments = true,
            "" => {}
            other => {
                return Err(ApiError::parameters(format!(
                    "with: unknown variant `{other}`, expected one of `queued`, `completed`, \
                     `idle_segments`"
                )));
            }
        }
    }
    let now_ms = call.state.clock.now_ms();
    let report = collection.optimizations();
    call.ok(JsonOptimizations::new(report, &with, now_ms))
}

/// `POST collections/{name}/optimizations/run`: whatever the thresholds and pauses say.
pub(crate) fn run_optimizations(call: &Call) -> Result<Reply, ApiError> {
    call.collection()?.run_now();
    call.ok(true)
}
