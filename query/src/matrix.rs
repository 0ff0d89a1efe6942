//! The distance matrix of a random sample: for each sampled point the nearest of the others.

use engine::Snapshot;
use format_spec::ids::{PointId, Row};
use index::Scorer;
use quant::Query;

use crate::budget::Budget;
use crate::error::QueryError;
use crate::filter::{Filter, bind};
use crate::request::Env;
use crate::sample::draw_with_vector;
use crate::search::position;

/// What to draw and compare.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixRequest {
    /// The vector to compare; the default vector has the empty name.
    pub using: String,
    /// Which points count; of those, the ones that have the vector.
    pub filter: Option<Filter>,
    /// Points to draw.
    pub sample: usize,
    /// Neighbours wanted of each.
    pub limit: usize,
    /// What the draw depends on.
    pub seed: u64,
}

/// A sample and its nearest pairs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// The points drawn, by id; none when there are fewer than two.
    pub ids: Vec<PointId>,
    /// For each of them the nearest of the others: position in `ids` and score, best first.
    pub nearest: Vec<Vec<(usize, f32)>>,
}

/// Draws points and finds the nearest of each among them, by comparing all.
///
/// # Errors
/// A name or filter that does not bind, the deadline, or a failure to read.
pub fn matrix(
    snapshot: &Snapshot,
    request: &MatrixRequest,
    env: &Env<'_>,
) -> Result<Matrix, QueryError> {
    let schema = snapshot.schema();
    let vector = position(schema, &request.using)?;
    let filter = request.filter.as_ref().filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| bind(filter, schema)).transpose()?;
    let (seed, sample) = (request.seed, request.sample);
    let drawn = draw_with_vector(snapshot, filter.as_ref(), vector, (seed, sample), env)?;
    if drawn.len() < 2 {
        return Ok(Matrix::default());
    }
    let mut points: Vec<_> = drawn
        .into_iter()
        .map(|(_, id, place)| (id, place))
        .collect();
    points.sort_unstable_by_key(|(id, _)| *id);

    let budget = Budget::new(env);
    let vector_schema = &schema.vectors[vector];
    let (metric, sources) = (vector_schema.metric, snapshot.sources());
    let mut nearest = Vec::with_capacity(points.len());
    for (at, (_, place)) in points.iter().enumerate() {
        budget.check()?;
        let stored = sources[place.source].vector(vector, place.row)?;
        let Some(stored) = stored else {
            nearest.push(Vec::new());
            continue;
        };
        let query = Query::of_row(metric, vector_schema.element, &stored);
        let mut others: Vec<(f32, usize)> = Vec::with_capacity(points.len());
        for (number, source) in sources.iter().enumerate() {
            let here = |(_, place): &&(PointId, crate::hydrate::Place)| place.source == number;
            let rows: Vec<Row> = points.iter().filter(here).map(|(_, p)| p.row).collect();
            let mut distances = vec![0.0; rows.len()];
            let scorer = source.scorer(vector, &query)?;
            scorer.distances(&rows, &mut distances);
            scorer.check()?;
            let positions = (0..points.len()).filter(|at| points[*at].1.source == number);
            others.extend(distances.into_iter().zip(positions));
        }
        others.retain(|(_, other)| *other != at);
        others.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.truncate(request.limit);
        let scored = |(distance, other)| (other, quant::score(metric, distance));
        nearest.push(others.into_iter().map(scored).collect());
    }
    let ids = points.into_iter().map(|(id, _)| id).collect();
    Ok(Matrix { ids, nearest })
}
