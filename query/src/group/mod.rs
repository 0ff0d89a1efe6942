//! Groups: the best points of each of the best groups, a group being the points that share a value.
//!
//! ```text
//! find   best points ── their groups ── fewer than wanted? again without the known groups
//! fill   best points of the groups that lack some ── still some? again, twice as many
//! ```
//!
//! Each round is a search of its own over the same snapshot, with the plan that suits its filter,
//! and asks for at least twice as many points as the one before: a request costs at most twice what
//! ranking all matching points does, and mostly one round.
//!
//! # Invariants
//! - As many groups with as many points come back as there are, up to what was asked for, as far
//!   as the ranking is complete.
//! - Of a round, a group takes only what is certainly its best: the rounds that find groups give
//!   points to new groups alone, and those that fill leave out nothing of the groups they fill.
//! - A point belongs to the group of each of its values; one with a value that is neither text nor
//!   a whole number belongs to none, as in Qdrant.

mod keys;
mod rounds;

use std::collections::BTreeMap;

use engine::Snapshot;
use index::FieldPath;

pub use keys::GroupKey;

use crate::budget::Budget;
use crate::error::QueryError;
use crate::hydrate::{Place, Projection, hydrate};
use crate::rank::{Ranked, Ranking};
use crate::request::{Env, Hit, QueryRequest, Record};
use rounds::Rounds;

/// A search whose results are grouped.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupsRequest {
    /// The search; its `limit` is that of the groups, its `offset` does not count.
    pub query: QueryRequest,
    /// The field whose values make the groups.
    pub group_by: FieldPath,
    /// Points wanted of each group.
    pub group_size: usize,
}

/// The best points that share a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The value.
    pub key: GroupKey,
    /// The points, best first.
    pub hits: Vec<Hit>,
}

/// The best groups, by their best point and among equals by their value.
///
/// # Errors
/// Those of [`crate::search`].
pub fn groups(
    snapshot: &Snapshot,
    request: &GroupsRequest,
    env: &Env<'_>,
) -> Result<Vec<Group>, QueryError> {
    let query = &request.query;
    if query.limit == 0 || request.group_size == 0 {
        return Ok(Vec::new());
    }
    let schema = snapshot.schema();
    let ranking = Ranking::bind(snapshot, schema, query)?;
    let projection = Projection::bind(schema, &query.with_payload, &query.with_vector);
    let rounds = Rounds::new(snapshot, request, &ranking, env);
    let found = rounds.run()?;

    let mut places: Vec<Place> = found
        .iter()
        .flat_map(|(_, hits)| hits.iter().map(|ranked| ranked.place))
        .collect();
    places.sort_unstable();
    places.dedup();
    let records = hydrate(snapshot, &places, &projection, &Budget::new(env))?;
    let records: BTreeMap<Place, Record> = places.into_iter().zip(records).collect();
    let hit = |ranked: &Ranked| {
        let record = records.get(&ranked.place)?.clone();
        Some(ranking.hit(record, ranked))
    };
    Ok(found
        .into_iter()
        .map(|(key, ranked)| Group {
            key,
            hits: ranked.iter().filter_map(hit).collect(),
        })
        .collect())
}
