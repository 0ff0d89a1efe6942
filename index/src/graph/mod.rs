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

pub(crate) mod across;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod clusters;
pub(crate) mod coded;
mod coded_filtered;
pub(crate) mod filtered;
pub(crate) mod level;
pub(crate) mod links;
pub(crate) mod merge;
mod packed;
pub(crate) mod pivots;
mod prune;
pub(crate) mod repair;
pub(crate) mod search;
#[cfg(test)]
pub(crate) mod testing;

use std::io::Write;

use format_spec::container::{PartSummary, PartWriter, WriteError};
use format_spec::graph::{GraphBuilder, GraphHead, GraphView, NOT_IN_GRAPH};

use crate::Row;
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

    /// The highest layer in which `row` is; none if it is not in the graph.
    fn level(&self, row: Row) -> Option<u8>;

    /// Where a search starts: a row and its level, which is the highest. None without rows.
    fn entry(&self) -> Option<(Row, u8)>;

    /// Asks for the base list of `row` to be brought near, without waiting.
    fn prefetch(&self, row: Row) {
        let _ = row;
    }
}

impl Adjacency for GraphView<'_> {
    fn len(&self) -> u32 {
        GraphView::len(self)
    }

    fn base(&self, row: Row) -> &[Row] {
        GraphView::base(self, row)
    }

    fn upper(&self, layer: u8, row: Row) -> &[Row] {
        if layer == 0 {
            &[]
        } else {
            self.neighbours(layer, row)
        }
    }

    fn level(&self, row: Row) -> Option<u8> {
        GraphView::level(self, row)
    }

    fn entry(&self) -> Option<(Row, u8)> {
        GraphView::entry(self)
    }
}

/// A graph as it was built, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltGraph {
    settings: BuildSettings,
    /// The level of each row; [`NOT_IN_GRAPH`] of one that is absent.
    levels: Vec<u8>,
    count: u32,
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

    /// The number of rows in the graph.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Writes the graph as the part that `part` has begun.
    ///
    /// # Errors
    /// Those of the writer, and of a part that names no source.
    pub fn encode<W: Write>(&self, part: PartWriter<W>) -> Result<(W, PartSummary), WriteError> {
        let head = GraphHead {
            m: self.settings.m,
            m0: self.settings.m0(),
            ef_construct: self.settings.ef_construct,
            seed: self.settings.seed,
            entry: self.entry.map(|(row, _)| row),
        };
        let mut builder = GraphBuilder::new(part, head, self.levels.clone())?;
        for row in 0..self.len() {
            builder.base(self.base(row))?;
        }
        for row in 0..self.len() {
            for layer in 1..=self.level(row).unwrap_or(0) {
                builder.upper(self.upper(layer, row))?;
            }
        }
        builder.finish()
    }

    /// The block of `row` in `layer`, counted from 1; the row is in that layer.
    fn upper_block(&self, layer: u8, row: Row) -> u32 {
        self.upper_first[row as usize] + u32::from(layer) - 1
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
        if layer == 0 || self.level(row).is_none_or(|level| level < layer) {
            return &[];
        }
        self.upper.list(self.upper_block(layer, row))
    }

    fn level(&self, row: Row) -> Option<u8> {
        let level = self.levels.get(row as usize).copied();
        level.filter(|level| *level != NOT_IN_GRAPH)
    }

    fn entry(&self) -> Option<(Row, u8)> {
        self.entry
    }
}

#[cfg(test)]
mod tests {
    use format_spec::container::{PartHeader, PartIdentity, PartLayout};
    use format_spec::{CollectionId, PartId, PartKind, ShardId};

    use super::testing::Plain;
    use super::*;
    use crate::{AcceptAll, RowSet, Scratch, SearchSettings, search};

    fn encoded(graph: &BuiltGraph) -> (Vec<u8>, PartIdentity) {
        let identity = PartIdentity {
            kind: PartKind::Graph,
            part_id: PartId(7),
            collection: CollectionId(1),
            shard: ShardId(0),
            len: 0,
        };
        let header = PartHeader {
            kind: identity.kind,
            part_id: identity.part_id,
            collection: identity.collection,
            shard: identity.shard,
            format_version: format_spec::graph::FORMAT_VERSION,
            features_required: 0,
            features_optional: 0,
            source_hash: Some([3; 32]),
        };
        let part = PartWriter::new(Vec::new(), header);
        let (bytes, summary) = graph.encode(part).unwrap();
        (
            bytes,
            PartIdentity {
                len: summary.len,
                ..identity
            },
        )
    }

    fn check_round_trip(space: &Plain, present: Option<&RowSet>) {
        let settings = BuildSettings {
            m: 4,
            ef_construct: 30,
            seed: 9,
        };
        let graph = space.build(settings, present);
        let (bytes, identity) = encoded(&graph);
        let layout = PartLayout::open(&bytes, &identity).unwrap();
        let view = GraphView::open(&layout, &bytes).unwrap();
        assert_eq!(Adjacency::len(&view), graph.len());
        assert_eq!(view.nodes(), graph.count());
        assert_eq!(Adjacency::entry(&view), graph.entry());
        for row in 0..graph.len() {
            assert_eq!(view.level(row), graph.level(row));
            assert_eq!(Adjacency::base(&view, row), graph.base(row));
            for layer in 0..5 {
                assert_eq!(view.upper(layer, row), graph.upper(layer, row));
            }
        }
        let mut scratch = Scratch::new();
        for nth in 0..20 {
            let query = space.query(nth);
            let settings = SearchSettings::with_ef(5, 40);
            let found = search(&graph, &query, &AcceptAll, settings, &mut scratch);
            assert_eq!(
                found,
                search(&view, &query, &AcceptAll, settings, &mut scratch)
            );
        }
    }

    #[test]
    fn a_written_graph_is_the_built_graph() {
        let space = Plain::clustered(700, 9, 6, 1);
        check_round_trip(&space, None);
        check_round_trip(&space, Some(&RowSet::from_rows(700, (0..700).step_by(3))));
        check_round_trip(&space, Some(&RowSet::new(700)));
    }

    #[test]
    fn lists_keep_their_invariants() {
        let present = RowSet::from_rows(600, (0..600).filter(|row| row % 5 != 2));
        let settings = BuildSettings {
            m: 3,
            ef_construct: 20,
            seed: 4,
        };
        let graph = Plain::clustered(600, 7, 4, 2).build(settings, Some(&present));
        for row in 0..600 {
            let level = graph.level(row);
            assert_eq!(level.is_some(), present.contains(row));
            for layer in 0..=16 {
                let list = if layer == 0 {
                    graph.base(row)
                } else {
                    graph.upper(layer, row)
                };
                assert!(list.len() <= if layer == 0 { 6 } else { 3 });
                assert!(list.is_empty() || level >= Some(layer));
                assert!(
                    list.iter()
                        .all(|next| *next != row && graph.level(*next) >= Some(layer))
                );
                let mut rows = list.to_vec();
                rows.sort_unstable();
                rows.dedup();
                assert_eq!(rows.len(), list.len());
            }
        }
    }
}
