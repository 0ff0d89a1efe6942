//! What stands on the values of fields: facets, groups, distance matrices.
//!
//! A request reads one snapshot; looking groups up reads one of the other collection.

use std::collections::HashMap;

use format_spec::PointId;
use query::{Group, GroupsRequest, Matrix, Record};
use serde::Serialize;

use super::Call;
use super::reads::{failed, seed, seeded};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::wire::facet::{FacetBody, JsonFacetHit, MatrixBody, Offsets, Pairs};
use crate::wire::group::{JsonGroup, Lookup, QueryGroupsBody, SearchGroupsBody, id_of};
use crate::wire::json;

#[derive(Serialize)]
struct Facets {
    hits: Vec<JsonFacetHit>,
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<JsonGroup>,
}

/// `POST facet`.
pub(crate) fn facet(call: &Call) -> Result<Reply, ApiError> {
    let snapshot = call.collection()?.snapshot();
    let request = json::read::<FacetBody>(call.body.bytes())?.convert()?;
    call.note(snapshot.schema(), request.filter.as_ref());
    let hits = query::facet(&snapshot, &request, &call.env(Some(call.deadline())))
        .map_err(|error| failed(call, "Facet", error))?;
    call.ok(Facets {
        hits: hits.into_iter().map(JsonFacetHit).collect(),
    })
}

/// `POST points/query/groups`.
pub(crate) fn query_groups(call: &Call) -> Result<Reply, ApiError> {
    call.collection()?;
    let body: QueryGroupsBody = json::read(call.body.bytes())?;
    let (request, lookup) = body.convert()?;
    groups(call, "Query groups", request, lookup.as_ref())
}

/// `POST points/search/groups`.
pub(crate) fn search_groups(call: &Call) -> Result<Reply, ApiError> {
    call.collection()?;
    let body: SearchGroupsBody = json::read(call.body.bytes())?;
    let (request, lookup) = body.convert()?;
    groups(call, "Search groups", request, lookup.as_ref())
}

fn groups(
    call: &Call,
    operation: &str,
    mut request: GroupsRequest,
    lookup: Option<&Lookup>,
) -> Result<Reply, ApiError> {
    let snapshot = call.collection()?.snapshot();
    seeded(call, std::slice::from_mut(&mut request.query));
    call.note(snapshot.schema(), request.query.filter.as_ref());
    // Refused before the work, not after it.
    let other = lookup.map(|lookup| looked_up(call, lookup));
    let other = other.transpose()?;
    let found = query::groups(&snapshot, &request, &call.env(Some(call.deadline())))
        .map_err(|error| failed(call, operation, error))?;
    let records = match lookup.zip(other) {
        Some((lookup, other)) => look_up(call, operation, lookup, &other.snapshot(), &found)?,
        None => HashMap::new(),
    };
    let groups = found.into_iter().map(|group| JsonGroup {
        lookup: id_of(&group.key).and_then(|id| records.get(&id).cloned()),
        group,
    });
    call.ok(Groups {
        groups: groups.collect(),
    })
}

fn looked_up(call: &Call, lookup: &Lookup) -> Result<std::sync::Arc<engine::Collection>, ApiError> {
    let name = &lookup.collection;
    if !call.state.exists(name) {
        return Err(ApiError::not_found(format!("Collection {name} not found")));
    }
    call.state.collection(name)
}

/// The points that the groups are named after.
fn look_up(
    call: &Call,
    operation: &str,
    lookup: &Lookup,
    snapshot: &engine::Snapshot,
    groups: &[Group],
) -> Result<HashMap<PointId, Record>, ApiError> {
    let ids: Vec<PointId> = groups
        .iter()
        .filter_map(|group| id_of(&group.key))
        .collect();
    let (with_payload, with_vector) = (&lookup.with_payload, &lookup.with_vector);
    let records = query::retrieve(snapshot, &ids, with_payload, with_vector)
        .map_err(|error| failed(call, operation, error))?;
    Ok(records
        .into_iter()
        .map(|record| (record.id, record))
        .collect())
}

/// `POST points/search/matrix/pairs`.
pub(crate) fn matrix_pairs(call: &Call) -> Result<Reply, ApiError> {
    call.ok(Pairs::new(&matrix(call)?))
}

/// `POST points/search/matrix/offsets`.
pub(crate) fn matrix_offsets(call: &Call) -> Result<Reply, ApiError> {
    call.ok(Offsets::new(&matrix(call)?))
}

fn matrix(call: &Call) -> Result<Matrix, ApiError> {
    let snapshot = call.collection()?.snapshot();
    let request = json::read::<MatrixBody>(call.body.bytes())?.convert(seed(call, 0))?;
    call.note(snapshot.schema(), request.filter.as_ref());
    query::matrix(&snapshot, &request, &call.env(Some(call.deadline())))
        .map_err(|error| failed(call, "Search matrix", error))
}
