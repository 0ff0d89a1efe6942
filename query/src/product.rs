//! Scanning the product codes of one source among some of its rows.
//!
//! # Invariants
//! - As many rows are returned as are wanted, or all there are.
//! - The candidates are the nearest by their codes, as many as the effort says; their distances are
//!   exact where they are compared again.

use engine::Source;
use index::{Neighbor, RowSet, TopK};
use quant::Query;

use crate::codes::{oversampled, sound};
use crate::error::QueryError;
use crate::request::CodeUse;
use crate::trace::Trace;

/// The `wanted` nearest of `rows`, `factor` times as many being compared exactly; `None` if there
/// are no sound codes.
pub(crate) fn nearest(
    (source, vector): (&Source, usize),
    query: &Query,
    rows: &RowSet,
    (wanted, params, factor): (usize, CodeUse, usize),
    trace: &mut Trace<'_>,
) -> Result<Option<Vec<Neighbor>>, QueryError> {
    let Some(product) = sound(source.product(vector))? else {
        return Ok(None);
    };
    let product_query = product.query(query);
    if !product_query.is_finite() {
        return Ok(None);
    }
    let candidates = if params.rescore {
        wanted
            .saturating_mul(factor)
            .max(oversampled(wanted, params))
    } else {
        wanted
    };
    let mut near = TopK::new(candidates.min(rows.count().max(1) as usize).max(wanted));
    index::scan_product(product.codes(), &product_query, rows, &mut near);
    trace.actual.refined += u64::from(rows.count());
    let near = near.into_sorted();
    if !params.rescore {
        return Ok(Some(near));
    }
    let scorer = source.scorer(vector, query)?;
    let mut candidates: Vec<_> = near.iter().map(|near| near.row).collect();
    candidates.sort_unstable();
    let mut top = TopK::new(wanted);
    let scored = index::scan(&scorer, candidates, &mut top);
    trace.scanned(scored);
    trace.actual.rescored += scored;
    trace.cold(&scorer);
    scorer.check()?;
    Ok(Some(top.into_sorted()))
}

/// Bytes of a row of the product codes of a source; `None` if there are no sound ones.
pub(crate) fn row_len(source: &Source, vector: usize) -> Result<Option<usize>, QueryError> {
    sound(source.product_len(vector))
}
