//! Graphs and exact scans over dense rows: which rows are nearest to a query.
//!
//! The crate knows rows and distances, and neither vectors nor files: whoever calls it brings the
//! distances, as a [`Space`] (between two rows, to build a graph) or as a [`Scorer`] (from one
//! query to a row, to search), and the pool on which a build runs.
//!
//! # The journey
//!
//! ```text
//! build:  level ── scan codes, or walk the graph ── prune ── link back ── check and repair
//!         (graph::level) (graph::clusters, search) (graph::prune) (graph::build) (graph::check)
//! merge:  lists of earlier graphs ── repair ── link across ── link back ── check and repair
//!         (graph::merge)      (graph::repair) (graph::across)
//! search: greedy descent through the upper layers ── beam over the base layer
//! scan:   every row of a set, in blocks, into a TopK
//! ```
//!
//! # Invariants
//! - The same rows, distances, settings and seed give the same graph, whatever the thread count.
//! - Every row of a graph can be reached from its entry row through the base layer.
//! - Smaller distances are nearer, and equal distances are ordered by row, so that results have
//!   one order.
//! - A search reads only rows that the graph names; [`Accept`] decides what may be returned.
//!
//! | operation | distances | memory |
//! |---|---|---|
//! | [`build`] | about 2,000 a row at m = 16, ef_construct = 100 | 8 (m0 + 1) bytes a row |
//! | with codes | about 600, and an eighth of the rows in blocks | two one-bit codes a row more |
//! | [`merge`] | of four equal graphs, about half of a build's | as [`build`] |
//! | [`search`] | about 15 ef | 2 bytes a row of stamps, kept in [`Scratch`] |
//! | [`scan`] | one a row | the [`TopK`] |

mod code_scan;
mod coded_space;
pub mod effort;
mod error;
mod field;
mod graph;
mod hot;
mod neighbor;
mod product_scan;
mod refine;
mod rowset;
mod scan;
mod settings;
mod visited;

pub use code_scan::{gather_codes, scan_codes};
pub use coded_space::CodedSpace;
pub use error::{BuildError, SettingsError, WordsError};
pub use field::column::ColumnDraft;
pub use field::content::{ColumnContent, ContentError};
pub use field::datetime;
pub use field::geo::{GeoBounds, GeoBox, GeoPoint, GeoPolygon, GeoRadius};
pub use field::path::{FieldPath, PathError, PathItem};
pub use field::picked::Picked;
pub use field::row_order::{RowKey, RowOrder};
pub use field::statistics::StatisticsDraft;
pub use field::text::{
    ANALYSIS, Analyzer, StemLanguage, StopLanguage, TextSettings, TextSettingsError, Tokenizer,
};
pub use field::uuid;
pub use graph::build::{Progress, Silent, build};
pub use graph::check::{Connectivity, check_connectivity};
pub use graph::coded::{
    CodedCounts, CodedGraph, CodedSearch, CodedSettings, NodeLayout, search_coded,
};
pub use graph::merge::{GONE, MergeInput, merge};
pub use graph::search::{Found, Scratch, search, search_from};
pub use graph::{Adjacency, BuiltGraph};
pub use neighbor::{Neighbor, TopK};
pub use product_scan::scan_product;
pub use refine::{CodeRows, CodeScanCounts, SharedBound};
pub use rowset::{RowSet, Rows};
pub use scan::{scan, scan_all, scan_set};
pub use settings::{BuildSettings, LeastShare, SearchSettings, Stop};

pub use format_spec::Row;

use quant::BlockQuery;

/// How many rows ahead of the one being scored the default [`Scorer::distances`] prefetches.
///
/// Two to four rows cover the latency of memory without pushing lines out of the first cache.
const LOOKAHEAD: usize = 3;

/// Distances between the rows of a segment: what a graph is built from.
///
/// Must be deterministic and symmetric. Smaller is nearer.
pub trait Space: Sync {
    /// A row made ready to be compared with many.
    type Prepared: Default + Send + Sync;

    /// How many rows there are; rows are `0..len`.
    fn len(&self) -> u32;

    /// Whether there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes `row` ready.
    fn prepare(&self, row: Row, prepared: &mut Self::Prepared);

    /// The distance between a row that was made ready and another one.
    fn distance(&self, from: &Self::Prepared, to: Row) -> f32;

    /// Asks for a row's vector to be brought near, without waiting.
    fn prefetch(&self, row: Row) {
        let _ = row;
    }

    /// Blocks of [`quant::BLOCK_ROWS`] rows, if distances can be estimated from them.
    fn blocks(&self) -> Option<&[u8]> {
        None
    }

    /// Makes a row ready for the blocks; called if there are blocks.
    fn prepare_blocks(&self, from: &Self::Prepared, query: &mut BlockQuery) {
        let _ = (from, query);
    }
}

/// Distances from one fixed query to the rows of a segment.
pub trait Scorer {
    /// The distance to `row`.
    fn distance(&self, row: Row) -> f32;

    /// The distances to `rows`, in their order; `out` is as long as `rows`.
    ///
    /// The default scores one row after the other and prefetches ahead.
    fn distances(&self, rows: &[Row], out: &mut [f32]) {
        for (at, (row, slot)) in rows.iter().zip(out).enumerate() {
            if let Some(ahead) = rows.get(at + LOOKAHEAD) {
                self.prefetch(*ahead);
            }
            *slot = self.distance(*row);
        }
    }

    /// Asks for a row's vector to be brought near, without waiting.
    fn prefetch(&self, row: Row) {
        let _ = row;
    }

    /// Whether vectors are read from far away, one by one slowly and many at once nearly as fast:
    /// then rows are scored in large batches, and not before it is known which ones have to be.
    fn is_far(&self) -> bool {
        false
    }

    /// A value below which no distance can lie, if there is one.
    ///
    /// 0 for the squared Euclidean and the Manhattan distance, -1 for the negated cosine, none for
    /// the negated inner product. [`Stop::Adaptive`] measures its margin from here.
    fn floor(&self) -> Option<f32> {
        None
    }
}

/// Which rows may be results. Rows that are not accepted still lead the way.
pub trait Accept {
    /// Whether `row` may be a result.
    fn accepts(&self, row: Row) -> bool;

    /// Whether every row is accepted, so that a search need not ask.
    fn is_all(&self) -> bool {
        false
    }

    /// How many rows are accepted, or a greater number if that is not known.
    fn count(&self) -> u32 {
        u32::MAX
    }

    /// Adds up to `wanted` accepted rows, spread over the rows, from which a search may start.
    ///
    /// A filter whose rows lie far from the query is found through these.
    fn sample(&self, wanted: usize, out: &mut Vec<Row>) {
        let _ = (wanted, out);
    }
}

/// Accepts every row.
#[derive(Copy, Clone, Debug, Default)]
pub struct AcceptAll;

impl Accept for AcceptAll {
    fn accepts(&self, _row: Row) -> bool {
        true
    }

    fn is_all(&self) -> bool {
        true
    }
}

impl Accept for RowSet {
    fn accepts(&self, row: Row) -> bool {
        self.contains(row)
    }

    fn count(&self) -> u32 {
        Self::count(self)
    }

    fn sample(&self, wanted: usize, out: &mut Vec<Row>) {
        self.spread(wanted, out);
    }
}
