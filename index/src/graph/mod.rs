//! The navigable graph: layers of neighbour lists over rows.
//!
//! ```text
//! layer 2            e                 a row is in layer l if its level is at least l;
//! layer 1     e      |    o            a search enters at e and descends greedily
//! layer 0   o o o o oo o oo o o        every row; the beam works here
//! ```
//!
//! # Invariants
//! - A list holds at most m rows in an upper layer and 2m in the base layer, none twice, and never
//!   the row whose list it is; every row in it belongs to that layer.
//! - Every row in the graph can be reached from the entry row through base lists.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod filtered;
pub(crate) mod level;
pub(crate) mod links;
pub(crate) mod prune;
pub(crate) mod search;

use crate::Row;
use crate::rowset::RowSet;
use crate::settings::BuildSettings;
use links::Links;

/// The most rows a graph can name: a beam entry keeps one bit of a row for itself.
pub(crate) const ROWS_MOST: u32 = 1 << 31;

/// Neighbour lists to search in, wherever they lie.
pub trait Adjacency: Sync {
    /// The number of rows of the segment, in the graph or not.
    fn len(&self) -> u32;

    /// Whether the segment has no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The neighbours of `row` in the base layer; none if the row is not in the graph.
    fn base(&self, row: Row) -> &[Row];

    /// The neighbours of `row` in `layer`, counted from 1; none if the row is not in that layer.
    fn upper(&self, layer: u8, row: Row) -> &[Row];

    /// Where a search starts: a row and its level, which is the highest. None without rows.
    fn entry(&self) -> Option<(Row, u8)>;

    /// Asks for the base list of `row` to be brought near, without waiting.
    fn prefetch(&self, row: Row) {
        let _ = row;
    }
}

/// A graph as it was built, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltGraph {
    settings: BuildSettings,
    /// The level of each row; 0 also for a row that is not in the graph.
    levels: Vec<u8>,
    present: Option<RowSet>,
    entry: Option<(Row, u8)>,
    base: Links,
    upper: Links,
    /// Where the upper lists of a row start: layer l of row r is block `upper_first[r] + l - 1`.
    upper_first: Vec<u32>,
}

impl BuiltGraph {
    /// The settings it was built with.
    pub const fn settings(&self) -> BuildSettings {
        self.settings
    }

    /// The highest layer in which `row` is.
    pub fn level(&self, row: Row) -> u8 {
        self.levels[row as usize]
    }

    /// Whether `row` is in the graph.
    pub fn contains(&self, row: Row) -> bool {
        row < self.len()
            && self
                .present
                .as_ref()
                .is_none_or(|present| present.contains(row))
    }

    /// The number of rows in the graph.
    pub fn count(&self) -> u32 {
        self.present.as_ref().map_or(self.len(), RowSet::count)
    }
}

impl Adjacency for BuiltGraph {
    fn len(&self) -> u32 {
        // A graph has at most `ROWS_MOST` rows.
        self.levels.len() as u32
    }

    fn base(&self, row: Row) -> &[Row] {
        self.base.list(row)
    }

    fn upper(&self, layer: u8, row: Row) -> &[Row] {
        if layer == 0 || layer > self.level(row) {
            return &[];
        }
        self.upper
            .list(self.upper_first[row as usize] + u32::from(layer) - 1)
    }

    fn entry(&self) -> Option<(Row, u8)> {
        self.entry
    }
}
