//! The query path.
//!
//! ```text
//! bind      names -> vector, columns, projection                       once
//! plan      facts of a source -> Exact | Codes | Graph | ...           each source (plan.rs)
//! execute   -> its nearest matching rows                               each source (exec.rs)
//! rescore   done by the source: distances are already those of the raw vectors
//! merge     nearest of all, by distance and then id; threshold, offset, limit
//! hydrate   payload and vectors of the final hits only
//! ```

use engine::{Snapshot, Source};
use format_spec::ids::{PointId, Row, SeqNo};
use format_spec::schema::{Schema, VectorSchema};
use quant::{EncodeError, Query};

use crate::budget::Budget;
use crate::codes::{self, Shared};
use crate::error::QueryError;
use crate::exec::{Near, Search};
use crate::filter::{Bound, bind};
use crate::hydrate::{Place, Projection, hydrate};
use crate::parallel::{each_source, pays};
use crate::plan;
use crate::product;
use crate::request::{Env, Hit, QueryRequest, Target};
use crate::scroll::list;

/// The points nearest to the target that match, best first; without a target the points in id
/// order.
///
/// # Errors
/// A name, filter or vector that does not bind, a target point that does not exist, the deadline,
/// or a failure to read.
pub fn search(
    snapshot: &Snapshot,
    request: &QueryRequest,
    env: &Env<'_>,
) -> Result<Vec<Hit>, QueryError> {
    let budget = Budget::new(env);
    let schema: &Schema = snapshot.schema();
    let filter = request.filter.as_ref().filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| bind(filter, schema)).transpose()?;
    let projection = Projection::bind(schema, &request.with_payload, &request.with_vector);
    let Some(target) = &request.target else {
        return in_id_order(snapshot, request, filter.as_ref(), &projection, &budget);
    };
    let target = BoundTarget::bind(snapshot, schema, &request.using, target)?;

    let cost = |source: &Source| {
        let payloads = if filter.is_some() {
            plan::payload_walk_ns(source.live_count())
        } else {
            0.0
        };
        let (rows, row_len) = (source.live_count(), target.query.row_len());
        let codes = codes::dimension(source, target.vector).ok().flatten();
        match codes.filter(|_| request.params.uses_codes()) {
            Some(dim) => plan::code_scan_ns(rows, 1.0, dim) + payloads,
            None => {
                let product = product::row_len(source, target.vector).ok().flatten();
                let product = product.filter(|_| request.params.uses_codes());
                let scan = product.map_or_else(
                    || plan::scan_ns(rows, row_len),
                    |len| plan::product_scan_ns(f64::from(rows), len),
                );
                scan + payloads
            }
        }
    };
    let parallel = pays(snapshot.sources(), env, cost);
    let wanted = request.offset.saturating_add(request.limit);
    let search = Search {
        schema,
        vector: target.vector,
        query: &target.query,
        filter: filter.as_ref(),
        params: &request.params,
        // The target itself may be among the nearest, and is then left out.
        wanted: wanted.saturating_add(usize::from(target.id.is_some())),
        budget,
        shared: Shared::new(!parallel),
    };
    let found = if request.limit == 0 {
        Vec::new()
    } else {
        let work = |_, source: &Source| search.source(source);
        each_source(snapshot.sources(), env, parallel, work)?
    };

    let best = merge(found, &target, request);
    let places: Vec<Place> = best.iter().map(|(_, place)| *place).collect();
    let records = hydrate(snapshot, &places, &projection, &budget)?;
    let scores = best.into_iter().map(|(score, _)| score);
    Ok(records
        .into_iter()
        .zip(scores)
        .map(|(record, score)| Hit { record, score })
        .collect())
}

/// What to be near to, bound to the schema.
struct BoundTarget<'s> {
    /// Position of the vector in the schema.
    vector: usize,
    schema: &'s VectorSchema,
    query: Query,
    /// The point that is the target, to be left out.
    id: Option<PointId>,
}

impl<'s> BoundTarget<'s> {
    fn bind(
        snapshot: &Snapshot,
        schema: &'s Schema,
        using: &str,
        target: &Target,
    ) -> Result<Self, QueryError> {
        let vector = schema
            .vectors
            .iter()
            .position(|vector| vector.name == using);
        let Some(vector) = vector else {
            return Err(QueryError::UnknownVector {
                name: using.to_owned(),
            });
        };
        let schema = &schema.vectors[vector];
        let (query, id) = match target {
            Target::Vector(values) => (prepare(schema, values)?, None),
            Target::Point(id) => {
                let Some((source, row)) = snapshot.find(*id)? else {
                    return Err(QueryError::PointNotFound { id: *id });
                };
                let source = &snapshot.sources()[source];
                (query_of_row(source, row, vector, schema, *id)?, Some(*id))
            }
        };
        Ok(Self {
            vector,
            schema,
            query,
            id,
        })
    }
}

/// Checks and prepares a query vector.
fn prepare(schema: &VectorSchema, values: &[f32]) -> Result<Query, QueryError> {
    let dim = schema.dim as usize;
    let name = || schema.name.clone();
    if values.len() != dim {
        return Err(QueryError::Dimension {
            name: name(),
            expected: dim,
            got: values.len(),
        });
    }
    Query::new(schema.metric, schema.element, dim, values).map_err(|error| match error {
        EncodeError::NotFinite { index } => QueryError::NotFinite {
            name: name(),
            index,
        },
        EncodeError::OutOfRange { index, value } => QueryError::OutOfRange {
            name: name(),
            index,
            value,
        },
        EncodeError::Overflow { index, value } => QueryError::OutOfRange {
            name: name(),
            index,
            value,
        },
        EncodeError::Dimension { expected, found } => QueryError::Dimension {
            name: name(),
            expected,
            got: found,
        },
        EncodeError::Unsupported { .. } => QueryError::Unsupported {
            what: "this dimension",
        },
    })
}

/// The stored vector of a point as the query.
fn query_of_row(
    source: &Source,
    row: Row,
    vector: usize,
    schema: &VectorSchema,
    id: PointId,
) -> Result<Query, QueryError> {
    match source.vector(vector, row)? {
        Some(bytes) => Ok(Query::of_row(schema.metric, schema.element, &bytes)),
        None => Err(QueryError::VectorNotFound {
            name: schema.name.clone(),
            id,
        }),
    }
}

/// The hits of all sources: nearest first and, among equals, smallest id first; from `offset` on,
/// at most `limit`, and only those with a better score than the threshold.
fn merge(
    found: Vec<Vec<Near>>,
    target: &BoundTarget<'_>,
    request: &QueryRequest,
) -> Vec<(f32, Place)> {
    let of_all = found.into_iter().enumerate();
    let mut all: Vec<(usize, Near)> = of_all
        .flat_map(|(source, near)| near.into_iter().map(move |n| (source, n)))
        .collect();
    all.retain(|(_, near)| Some(near.id) != target.id);
    all.sort_unstable_by(|(_, a), (_, b)| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
    let metric = target.schema.metric;
    let better = |score: f32| match request.score_threshold {
        None => true,
        Some(threshold) if quant::larger_score_is_better(metric) => score > threshold,
        Some(threshold) => score < threshold,
    };
    all.into_iter()
        .map(|(source, near)| {
            (
                quant::score(metric, near.distance),
                Place {
                    source,
                    row: near.row,
                },
            )
        })
        .take_while(|(score, _)| better(*score))
        .skip(request.offset)
        .take(request.limit)
        .collect()
}

/// The answer when there is nothing to be near to.
fn in_id_order(
    snapshot: &Snapshot,
    request: &QueryRequest,
    filter: Option<&Bound<'_>>,
    projection: &Projection<'_>,
    budget: &Budget<'_>,
) -> Result<Vec<Hit>, QueryError> {
    let wanted = request.offset.saturating_add(request.limit);
    let listed = list(snapshot, filter, None, wanted, budget)?;
    let places: Vec<Place> = listed
        .into_iter()
        .skip(request.offset)
        .map(|(_, place)| place)
        .collect();
    let records = hydrate(snapshot, &places, projection, budget)?;
    let hit = |mut record: crate::request::Record| {
        // Nothing was scored: the score says so, and so does the version, as in Qdrant.
        record.version = SeqNo(0);
        Hit { record, score: 1.0 }
    };
    Ok(records.into_iter().map(hit).collect())
}
