//! Reading points: query, search, scroll, count, retrieve.
//!
//! A request reads one snapshot; a batch reads one for all its searches.

use query::{QueryError, QueryRequest, Target};
use serde::Serialize;

use super::Call;
use crate::error::{ApiError, of_query};
use crate::reply::Reply;
use crate::wire::id::{self, Id};
use crate::wire::json;
use crate::wire::order::NextOrderBy;
use crate::wire::record::{JsonHit, JsonRecord};
use crate::wire::search::{
    BatchBody, CountBody, QueryBody, RetrieveBody, Scroll, ScrollBody, SearchBody,
};

#[derive(Serialize)]
struct Points {
    points: Vec<JsonHit>,
}

#[derive(Serialize)]
struct Page {
    points: Vec<JsonRecord>,
    next_page_offset: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cairn: Option<NextPage>,
}

/// Cairn's own: what to ask for next, of a listing that an id does not continue.
#[derive(Serialize)]
struct NextPage {
    next_order_by: NextOrderBy,
}

#[derive(Serialize)]
struct Count {
    count: u64,
}

pub(super) fn failed(call: &Call, operation: &str, error: QueryError) -> ApiError {
    of_query(error, operation, call.read_limit())
}

/// What the draws of a request depend on: the time, and which of its searches it is.
pub(super) fn seed(call: &Call, number: usize) -> u64 {
    let nanos = call.state.clock.monotonic().as_nanos();
    (nanos as u64).rotate_left(20) ^ number as u64
}

/// Gives the searches that draw at random each a seed of its own.
pub(super) fn seeded(call: &Call, requests: &mut [QueryRequest]) {
    for (number, request) in requests.iter_mut().enumerate() {
        if let Some(Target::Random { seed: unset }) = &mut request.target {
            *unset = seed(call, number);
        }
    }
}

/// Runs searches one after the other on one snapshot.
fn run(
    call: &Call,
    operation: &str,
    mut requests: Vec<QueryRequest>,
) -> Result<Vec<Vec<JsonHit>>, ApiError> {
    seeded(call, &mut requests);
    let snapshot = call.collection()?.snapshot();
    let env = call.env(Some(call.deadline()));
    requests
        .iter()
        .map(|request| {
            call.note(snapshot.schema(), request.filter.as_ref());
            let hits = query::search(&snapshot, request, &env);
            let hits = hits.map_err(|error| failed(call, operation, error))?;
            Ok(hits.into_iter().map(JsonHit).collect())
        })
        .collect()
}

fn single(call: &Call, operation: &str, request: QueryRequest) -> Result<Vec<JsonHit>, ApiError> {
    let results = run(call, operation, vec![request])?;
    Ok(results.into_iter().next().unwrap_or_default())
}

/// The searches of a batch, each knowing its place.
fn batch<T>(
    searches: Vec<T>,
    convert: fn(T, &str) -> Result<QueryRequest, ApiError>,
) -> Result<Vec<QueryRequest>, ApiError> {
    let searches = searches.into_iter().enumerate();
    searches
        .map(|(at, search)| convert(search, &format!("searches[{at}].")))
        .collect()
}

/// `POST points/query`.
pub(crate) fn query(call: &Call) -> Result<Reply, ApiError> {
    call.collection()?;
    let body: QueryBody = json::read(call.body.bytes())?;
    let points = single(call, "Query", body.convert("")?)?;
    call.ok(Points { points })
}

/// `POST points/query/batch`.
pub(crate) fn query_batch(call: &Call) -> Result<Reply, ApiError> {
    call.collection()?;
    let body: BatchBody<QueryBody> = json::read(call.body.bytes())?;
    let results = run(
        call,
        "Query batch",
        batch(body.searches, QueryBody::convert)?,
    )?;
    let results: Vec<_> = results
        .into_iter()
        .map(|points| Points { points })
        .collect();
    call.ok(results)
}

/// `POST points/search`.
pub(crate) fn search(call: &Call) -> Result<Reply, ApiError> {
    call.collection()?;
    let body: SearchBody = json::read(call.body.bytes())?;
    call.ok(single(call, "Search", body.convert("")?)?)
}

/// `POST points/search/batch`.
pub(crate) fn search_batch(call: &Call) -> Result<Reply, ApiError> {
    call.collection()?;
    let body: BatchBody<SearchBody> = json::read(call.body.bytes())?;
    let results = run(
        call,
        "Search batch",
        batch(body.searches, SearchBody::convert)?,
    )?;
    call.ok(results)
}

/// `POST points/scroll`.
pub(crate) fn scroll(call: &Call) -> Result<Reply, ApiError> {
    let snapshot = call.collection()?.snapshot();
    let request = json::read::<ScrollBody>(call.body.bytes())?.convert()?;
    let env = call.env(Some(call.deadline()));
    let failed = |error| failed(call, "Scroll", error);
    let (points, next, next_order_by) = match request {
        Scroll::ById(request) => {
            call.note(snapshot.schema(), request.filter.as_ref());
            let page = query::scroll(&snapshot, &request, &env).map_err(failed)?;
            (page.points, page.next, None)
        }
        Scroll::ByField(request) => {
            call.note(snapshot.schema(), request.filter.as_ref());
            let page = query::ordered(&snapshot, &request, &env).map_err(failed)?;
            (page.points, None, page.next)
        }
    };
    call.ok(Page {
        points: points.into_iter().map(JsonRecord).collect(),
        next_page_offset: next.map(Id),
        cairn: next_order_by.map(|next| NextPage {
            next_order_by: NextOrderBy(next),
        }),
    })
}

/// `POST points/count`.
pub(crate) fn count(call: &Call) -> Result<Reply, ApiError> {
    let snapshot = call.collection()?.snapshot();
    let (filter, exact) = json::read::<CountBody>(call.body.bytes())?.convert()?;
    call.note(snapshot.schema(), filter.as_ref());
    let env = call.env(Some(call.deadline()));
    let count = query::count(&snapshot, filter.as_ref(), exact, &env)
        .map_err(|error| failed(call, "Count", error))?;
    call.ok(Count { count })
}

/// `POST points`.
pub(crate) fn retrieve(call: &Call) -> Result<Reply, ApiError> {
    let snapshot = call.collection()?.snapshot();
    let request = json::read::<RetrieveBody>(call.body.bytes())?.convert()?;
    let records = query::retrieve(
        &snapshot,
        &request.ids,
        &request.with_payload,
        &request.with_vector,
    )
    .map_err(|error| failed(call, "Retrieve", error))?;
    let records: Vec<_> = records.into_iter().map(JsonRecord).collect();
    call.ok(records)
}

/// `GET points/{id}`: payload and vectors of one point.
pub(crate) fn get(call: &Call) -> Result<Reply, ApiError> {
    let snapshot = call.collection()?.snapshot();
    let text = call.path("id");
    let id = id::parse(text)
        .ok_or_else(|| ApiError::bad_input(format!("Can not recognize \"{text}\" as point id")))?;
    let records = query::retrieve(
        &snapshot,
        &[id],
        &query::PayloadSelector::All(true),
        &query::VectorSelector::All(true),
    )
    .map_err(|error| failed(call, "Get", error))?;
    match records.into_iter().next() {
        Some(record) => call.ok(JsonRecord(record)),
        None => Err(ApiError::not_found(format!(
            "Point with id {text} does not exists!"
        ))),
    }
}
