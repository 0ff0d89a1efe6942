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
use format_spec::ids::{PointId, Row};
use format_spec::schema::{Schema, VectorSchema};
use quant::{EncodeError, Query};

use crate::budget::Budget;
use crate::codes::{self, Shared};
use crate::cost;
use crate::error::QueryError;
use crate::exec::{Near, Search};
use crate::filter::{Bound, bind};
use crate::hydrate::{Place, Projection, hydrate};
use crate::parallel::{each_source, pays};
use crate::product;
use crate::rank::Ranking;
use crate::request::{Env, Hit, QueryRequest, Target};
use crate::trace::Trace;

/// The points that rank best by the target and match, best first; without a target the points in id
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
    let ranking = Ranking::bind(snapshot, schema, request)?;
    let mut best = if request.limit == 0 {
        Vec::new()
    } else {
        ranking.best(snapshot, filter.as_ref(), request, env)?
    };
    best.truncate(ranking.passing(&best, request.score_threshold));
    best.drain(..request.offset.min(best.len()));
    let places: Vec<Place> = best.iter().map(|ranked| ranked.place).collect();
    let records = hydrate(snapshot, &places, &projection, &budget)?;
    Ok(records
        .into_iter()
        .zip(&best)
        .map(|(record, ranked)| ranking.hit(record, ranked))
        .collect())
}

/// The points nearest to the target that match, `offset` and `limit` of them as far as there are so
/// many, each with the position of its source.
pub(crate) fn nearest(
    snapshot: &Snapshot,
    target: &BoundTarget<'_>,
    filter: Option<&Bound<'_>>,
    request: &QueryRequest,
    env: &Env<'_>,
) -> Result<Vec<(usize, Near)>, QueryError> {
    let parallel = target.is_for_all_threads(snapshot, request, env);
    let search = target.search(request, filter, Budget::new(env), !parallel);
    let work = |_, source: &Source| search.source(source, &mut Trace::default());
    let found = each_source(snapshot.sources(), env, parallel, work)?;
    let mut nearest = merge(found, target);
    nearest.truncate(request.offset.saturating_add(request.limit));
    Ok(nearest)
}

/// What to be near to, bound to the schema.
pub(crate) struct BoundTarget<'s> {
    /// Position of the vector in the schema.
    pub(crate) vector: usize,
    whole: &'s Schema,
    pub(crate) schema: &'s VectorSchema,
    pub(crate) query: Query,
    /// The point that is the target, to be left out.
    id: Option<PointId>,
}

impl<'s> BoundTarget<'s> {
    pub(crate) fn bind(
        snapshot: &Snapshot,
        whole: &'s Schema,
        using: &str,
        target: &Target,
    ) -> Result<Self, QueryError> {
        let vector = position(whole, using)?;
        let schema = &whole.vectors[vector];
        let (query, id) = match target {
            Target::Vector(values) => (prepare(schema, values)?, None),
            Target::Point(id) => {
                let Some((source, row)) = snapshot.find(*id)? else {
                    return Err(QueryError::PointNotFound { id: *id });
                };
                let source = &snapshot.sources()[source];
                (query_of_row(source, row, vector, schema, *id)?, Some(*id))
            }
            Target::OrderBy(_) | Target::Random { .. } => {
                return Err(QueryError::Invalid {
                    field: "query".to_owned(),
                    message: "its points are not put in order by a vector".to_owned(),
                });
            }
        };
        Ok(Self {
            vector,
            whole,
            schema,
            query,
            id,
        })
    }

    /// Whether a score is better than the threshold.
    pub(crate) fn is_better(&self, score: f32, threshold: Option<f32>) -> bool {
        match threshold {
            None => true,
            Some(threshold) if quant::larger_score_is_better(self.schema.metric) => {
                score > threshold
            }
            Some(threshold) => score < threshold,
        }
    }

    /// Whether the sources are to be searched side by side.
    pub(crate) fn is_for_all_threads(
        &self,
        snapshot: &Snapshot,
        request: &QueryRequest,
        env: &Env<'_>,
    ) -> bool {
        pays(snapshot.sources(), env, |source: &Source| {
            let rows = source.live_count();
            let payloads = if request.filter.is_some() {
                cost::payload_walk_ns(rows)
            } else {
                0.0
            };
            payloads + self.scan_ns(source, request)
        })
    }

    /// The cheapest scan of all rows.
    fn scan_ns(&self, source: &Source, request: &QueryRequest) -> f64 {
        let (rows, row_len) = (f64::from(source.live_count()), self.query.row_len());
        let may = request.params.uses_codes();
        let codes = codes::shape(source, self.vector).ok().flatten();
        if let Some(shape) = codes.filter(|_| may) {
            let blocks = cost::blocks_touched(source.live_count(), 1.0);
            return shape.blocks_ns((blocks, rows), 0.0, row_len);
        }
        let product = product::row_len(source, self.vector).ok().flatten();
        match product.filter(|_| may) {
            Some(len) => cost::product_scan_ns(rows, len),
            None => cost::scan_ns(rows, row_len),
        }
    }

    /// What every source is searched for.
    pub(crate) fn search<'a>(
        &'a self,
        request: &'a QueryRequest,
        filter: Option<&'a Bound<'a>>,
        budget: Budget<'a>,
        in_turn: bool,
    ) -> Search<'a> {
        let wanted = request.offset.saturating_add(request.limit);
        Search {
            schema: self.whole,
            vector: self.vector,
            query: &self.query,
            filter,
            params: &request.params,
            // The target itself may be among the nearest, and is then left out.
            wanted: wanted.saturating_add(usize::from(self.id.is_some())),
            budget,
            shared: Shared::new(in_turn),
            path: None,
        }
    }
}

/// The position of a vector in the schema.
pub(crate) fn position(schema: &Schema, using: &str) -> Result<usize, QueryError> {
    let named = |vector: &VectorSchema| vector.name == using;
    let position = schema.vectors.iter().position(named);
    position.ok_or_else(|| QueryError::UnknownVector {
        name: using.to_owned(),
    })
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

/// The hits of all sources but the target itself: nearest first and, among equals, smallest id
/// first.
pub(crate) fn merge(found: Vec<Vec<Near>>, target: &BoundTarget<'_>) -> Vec<(usize, Near)> {
    let of_all = found.into_iter().enumerate();
    let mut all: Vec<(usize, Near)> = of_all
        .flat_map(|(source, near)| near.into_iter().map(move |n| (source, n)))
        .collect();
    all.retain(|(_, near)| Some(near.id) != target.id);
    all.sort_unstable_by(|(_, a), (_, b)| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
    all
}
