//! Scanning the codes of one source among some of its rows.
//!
//! # Invariants
//! - As many rows are returned as are wanted, or all there are, unless another source has found
//!   that many nearer ones.
//! - Their distances are exact; a row among the nearest is missed with the probability that
//!   the deviations stand for.

use std::cell::RefCell;
use std::sync::OnceLock;

use engine::{ErrorKind, Source};
use format_spec::schema::Metric;
use index::{
    AcceptAll, CodedSearch, CodedSettings, Neighbor, RowSet, Scorer, Scratch, SharedBound, TopK,
};
use quant::{BLOCK_ROWS, CodeSpace, Query, RotatedQuery};

use crate::cost::CodeShape;
use crate::error::QueryError;
use crate::estimate::Estimates;
use crate::request::CodeUse;
use crate::trace::{Switch, Trace};

/// How much farther than the last row wanted a search goes on, as a share of that one's distance
/// from the floor. Recall of 10 of 100,000 text embeddings in a beam of 400 at 0.1, 0.15, 0.2, 0.3:
/// 0.937, 0.971, 0.983, 0.987; vectors of few dimensions need the most.
const MARGIN: f32 = 0.3;
/// Rows in the beam of a search that ends by its margin, and of one that cannot.
pub(crate) const WIDTH_ADAPTIVE: usize = 1_600;
const WIDTH: usize = 400;
/// Below this share of accepted rows a beam that holds the others too grows no wider.
const SHARE_LEAST: f64 = 0.03;

/// The margin of a search, and the value below which no distance lies; there is none for Dot.
pub(crate) fn margin(metric: Metric) -> Option<(f32, f32)> {
    match metric {
        Metric::Cosine => Some((MARGIN, -1.0)),
        Metric::Euclid | Metric::Manhattan => Some((MARGIN, 0.0)),
        Metric::Dot => None,
    }
}

/// How wide the beam over nodes with codes is when such a share of all rows is accepted: as asked
/// for, or at least what is `likely` to be needed.
pub(crate) fn width(
    share: f64,
    wanted: usize,
    (ef, likely): (Option<u32>, u32),
    metric: Metric,
) -> usize {
    let chosen = if margin(metric).is_some() {
        WIDTH_ADAPTIVE
    } else {
        WIDTH.max(likely as usize)
    };
    let chosen = chosen.max(wanted.saturating_mul(4));
    let width = ef.map_or(chosen, |ef| wanted.max(ef as usize));
    let widest = u32::try_from(width).unwrap_or(u32::MAX);
    (f64::from(widest) / share.max(SHARE_LEAST)).ceil() as usize
}

thread_local! {
    /// Grows with the largest segment that the thread has searched.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What the sources of one search share.
#[derive(Debug)]
pub(crate) struct Shared {
    rotated: OnceLock<RotatedQuery>,
    /// What the sources before have found; `None` where they run side by side, so that the same
    /// query has the same answer whichever is first.
    bound: Option<SharedBound>,
}

impl Shared {
    /// For sources that follow each other, or for such that do not.
    pub(crate) fn new(in_turn: bool) -> Self {
        Self {
            rotated: OnceLock::new(),
            bound: in_turn.then(SharedBound::default),
        }
    }

    /// Whether sources before have found as many rows as are wanted: then a source need not.
    pub(crate) fn is_bounded(&self) -> bool {
        let bound = self.bound.as_ref().map_or(f32::INFINITY, SharedBound::get);
        bound < f32::INFINITY
    }

    /// The query as `space` rotates it; all spaces of a vector share a rotation, as a rule.
    fn rotated(&self, query: &Query, space: &CodeSpace) -> RotatedQuery {
        let rotate = || RotatedQuery::new(space.rotation(), &query.prepared());
        let rotated = self.rotated.get_or_init(rotate);
        if rotated.is_of(space.rotation()) {
            rotated.clone()
        } else {
            rotate()
        }
    }
}

/// How many rows are to be compared for so many wanted.
pub(crate) fn oversampled(wanted: usize, params: CodeUse) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are far below 2^53; the conversion saturates"
    )]
    let most = (wanted as f64 * params.oversampling).ceil() as usize;
    most.max(wanted)
}

/// How codes are looked at.
#[derive(Copy, Clone, Debug)]
pub(crate) struct How {
    /// Results wanted.
    pub(crate) wanted: usize,
    pub(crate) params: CodeUse,
    /// Standard deviations between estimates and their bounds.
    pub(crate) deviations: f32,
    /// Row by row, where there are codes of several bits.
    pub(crate) gather: bool,
    /// All rows count, so that what is found spares other sources.
    pub(crate) final_rows: bool,
}

/// The nearest of `rows`, by their vectors those without codes; `None` if there are no sound codes.
pub(crate) fn nearest(
    (source, vector): (&Source, usize),
    query: &Query,
    rows: &RowSet,
    how: How,
    shared: &Shared,
    trace: &mut Trace<'_>,
) -> Result<Option<Vec<Neighbor>>, QueryError> {
    let How {
        wanted,
        params,
        deviations,
        gather,
        final_rows,
    } = how;
    let Some(codes) = sound(source.codes(vector))? else {
        return Ok(None);
    };
    let rotated = shared.rotated(query, codes.space());
    let code_query = codes.query(&rotated, deviations);
    if !code_query.is_finite() {
        return Ok(None);
    }
    let scorer = source.scorer(vector, query)?;
    // Rows that are no results must not tighten the bound of other sources.
    let most = oversampled(wanted, params)
        .min(rows.count().max(1) as usize)
        .max(wanted);
    let mut top = TopK::new(most);
    let own = SharedBound::default();
    let bound = shared
        .bound
        .as_ref()
        .filter(|_| most == wanted && final_rows)
        .unwrap_or(&own);
    if let Some(uncoded) = codes.uncoded(rows) {
        trace.scanned(index::scan_set(&scorer, &uncoded, &mut top));
    }
    let estimates = Estimates::new(&codes, &code_query, &scorer);
    let counts = if gather && code_query.row_len() > 0 {
        if params.rescore {
            index::gather_codes(&codes, &code_query, &scorer, rows, bound, &mut top)
        } else {
            index::gather_codes(&codes, &code_query, &estimates, rows, bound, &mut top)
        }
    } else if params.rescore {
        index::scan_codes(&codes, &code_query, &scorer, rows, bound, &mut top)
    } else {
        index::scan_codes(&codes, &code_query, &estimates, rows, bound, &mut top)
    };
    trace.codes(counts, u64::from(rows.len()).div_ceil(BLOCK_ROWS as u64));
    trace.cold(&scorer);
    scorer.check()?;
    if sound(codes.check().map(Some))?.is_none() {
        return Ok(None);
    }
    let mut nearest = top.into_sorted();
    nearest.truncate(wanted);
    Ok(Some(nearest))
}

/// Rows near the query among `rows`, by the graph with codes in its nodes; `None` if there is none,
/// or when the budget ended the search. What is found spares other sources only where the rows are
/// `final_rows`: all of them count.
pub(crate) fn walk(
    (source, vector): (&Source, usize),
    query: &Query,
    rows: &RowSet,
    (settings, how): (CodedSettings, How),
    shared: &Shared,
    trace: &mut Trace<'_>,
) -> Result<Option<Vec<Neighbor>>, QueryError> {
    let How {
        wanted,
        params,
        deviations,
        final_rows,
        ..
    } = how;
    let (Some(nodes), Some(graph)) = (source.coded_graph(vector), sound(source.graph(vector))?)
    else {
        return Ok(None);
    };
    let Some(codes) = sound(source.codes_by_row(vector))? else {
        return Ok(None);
    };
    let rotated = shared.rotated(query, codes.space());
    let code_query = codes.query(&rotated, deviations);
    if !code_query.is_finite() {
        return Ok(None);
    }
    let scorer = source.scorer(vector, query)?;
    let estimates = Estimates::new(&codes, &code_query, &scorer);
    let scores: &dyn Scorer = if params.rescore { &scorer } else { &estimates };
    let search = CodedSearch {
        graph: &graph,
        nodes,
        codes: &codes,
        query: &code_query,
        scorer: scores,
    };
    let mut top = TopK::new(settings.limit);
    let mut scratch = SCRATCH.take();
    // What a search finds that then gives way to a scan must not tighten the bound of the scan.
    let alone = settings.limit > wanted || !final_rows;
    let others = shared.bound.as_ref().filter(|_| !alone);
    let own = SharedBound::default();
    others.inspect(|others| own.lower(others.get()));
    let bound = &own;
    let counts = if rows.count() == rows.len() {
        index::search_coded(&search, &AcceptAll, settings, bound, &mut scratch, &mut top)
    } else {
        index::search_coded(&search, rows, settings, bound, &mut scratch, &mut top)
    };
    SCRATCH.replace(scratch);
    trace.coded_walk(counts);
    trace.cold(&scorer);
    scorer.check()?;
    if counts.exhausted_budget || counts.missed {
        trace.switch(if counts.missed {
            Switch::Correlation
        } else {
            Switch::Budget
        });
        return Ok(None);
    }
    if sound(codes.check().map(Some))?.is_none() {
        return Ok(None);
    }
    if top.len() == top.limit() {
        others.inspect(|others| others.lower(top.bound()));
    }
    let mut nearest = top.into_sorted();
    nearest.truncate(wanted);
    Ok(Some(nearest))
}

/// Dimensions and bytes of the codes of a source; `None` if there are no sound codes.
pub(crate) fn shape(source: &Source, vector: usize) -> Result<Option<CodeShape>, QueryError> {
    let shape = sound(source.code_shape(vector))?;
    Ok(shape.map(|(dim, bits)| CodeShape {
        dim,
        row_len: bits.row_len(dim),
    }))
}

/// Blocks of codes that hold a row of any of these sets of rows of one source.
pub(crate) fn touched_blocks(sets: &[&RowSet]) -> u32 {
    let halves = |word: u64| {
        let (low, high) = (word & u64::from(u32::MAX), word >> BLOCK_ROWS);
        u32::from(low != 0) + u32::from(high != 0)
    };
    let words = sets.first().map_or(0, |set| set.words().len());
    let any = |at: usize| sets.iter().fold(0, |word, set| word | set.words()[at]);
    (0..words).map(|at| halves(any(at))).sum()
}

/// Damaged codes count as none: they are derived, and the rows can be scanned until they are made
/// again.
pub(crate) fn sound<T>(codes: engine::Result<Option<T>>) -> Result<Option<T>, QueryError> {
    match codes {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beam_without_a_margin_is_as_wide_as_recall_was_measured_to_need() {
        let dot = |ef, likely| width(1.0, 10, (ef, likely), Metric::Dot);
        assert_eq!(dot(None, 0), WIDTH);
        assert_eq!(dot(None, 1_152), 1_152);
        assert_eq!(dot(Some(64), 1_152), 64);
        assert_eq!(
            width(1.0, 10, (None, 1_152), Metric::Cosine),
            WIDTH_ADAPTIVE
        );
        assert_eq!(width(0.1, 10, (None, 0), Metric::Dot), 10 * WIDTH);
    }
}
