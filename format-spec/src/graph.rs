#![doc = include_str!("../docs/08-graph.md")]

use std::ops::Range;

use zerocopy::FromBytes;

use crate::container::{PartLayout, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, opened, out_of_range, require_equal, rest_is_zero, u32_within};
pub use crate::graph_builder::GraphBuilder;
use crate::ids::Row;
use crate::path::PartKind;

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// The base layer.
pub const BASE: u32 = tag(b"BASE");
/// Level of each row.
pub const LEVELS: u32 = tag(b"LEVL");
/// Rows of the upper layers.
pub const UPPER_ROWS: u32 = tag(b"UROW");
/// First list of each upper row.
pub const UPPER_LISTS: u32 = tag(b"ULST");
/// First neighbour of each list.
pub const UPPER_OFFSETS: u32 = tag(b"UOFF");
/// Neighbours of the upper lists.
pub const UPPER_NEIGHBOURS: u32 = tag(b"UNBR");
/// The figures of the graph.
pub const META: u32 = tag(b"META");
/// Level of a row that is not in the graph.
pub const NOT_IN_GRAPH: u8 = 255;
/// Most neighbours of a node in a layer above the base.
pub const M_MAX: u32 = 1024;
/// Most neighbours of a node in the base layer.
pub const M0_MAX: u32 = 2048;

const META_LEN: u64 = 64;
pub(crate) const NO_ENTRY: u32 = u32::MAX;

/// What a graph was built with, and where a search begins.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct GraphHead {
    /// Most neighbours of a node in a layer above the base.
    pub m: u32,
    /// Most neighbours of a node in the base layer.
    pub m0: u32,
    /// Beam width of the build.
    pub ef_construct: u32,
    /// Seed of the levels.
    pub seed: u64,
    /// Row where a search begins; none if the graph has no node.
    pub entry: Option<Row>,
}

/// Where everything is in an opened graph part, and its figures.
///
/// All blocks must be verified before `open`. What `open` has checked, searches rely on: every
/// neighbour is a node of the layer and below `rows`.
#[derive(Clone, Debug)]
pub struct GraphLayout {
    head: GraphHead,
    rows: u32,
    nodes: u32,
    max_level: u8,
    source_hash: [u8; 32],
    base: Range<u64>,
    levels: Range<u64>,
    upper_rows: Range<u64>,
    upper_lists: Range<u64>,
    upper_offsets: Range<u64>,
    upper_neighbours: Range<u64>,
}

impl GraphLayout {
    /// Checks the graph in `bytes`, the whole file, every block of which is verified.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands. `OutOfRange` for the field `address` if
    /// `bytes` are not aligned to 4, and on hosts that are not little-endian: the base layer is
    /// read in place.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Graph, FORMAT_VERSION, 0)?;
        let source_hash = part
            .header()
            .source_hash
            .ok_or(failed(72, "source_hash", Why::Hash))?;
        let (range, meta) = part.section_bytes(bytes, META, "graph meta")?;
        let at = range.start;
        let mut fields = exact(meta, at, META_LEN, "graph meta")?;
        let rows = fields.u32("rows")?;
        let nodes = u32_within(&mut fields, 0, rows, "nodes")?;
        let m = u32_within(&mut fields, 1, M_MAX, "m")?;
        let m0 = u32_within(&mut fields, 1, M0_MAX, "m0")?;
        let ef_construct = fields.u32("ef_construct")?;
        let entry = fields.u32("entry")?;
        let max_level = u32_within(&mut fields, 0, 254, "max_level")?;
        let upper = u32_within(&mut fields, 0, nodes, "upper")?;
        let lists = fields.u32("lists")?;
        let neighbours = fields.u32("neighbours")?;
        let seed = fields.u64("seed")?;
        rest_is_zero(fields, "graph meta")?;
        let sized = |tag, len: u64, field| {
            let range = part.required_section(tag)?;
            require_equal(range.end - range.start, len, range.start, field)?;
            Ok(range)
        };
        let words = |count: u64| 4 * count;
        let layout = Self {
            head: GraphHead {
                m,
                m0,
                ef_construct,
                seed,
                entry: Some(entry),
            },
            rows,
            nodes,
            max_level: u8::try_from(max_level).unwrap_or(NOT_IN_GRAPH),
            source_hash,
            base: sized(
                BASE,
                words(u64::from(rows) * (1 + u64::from(m0))),
                "base layer",
            )?,
            levels: sized(LEVELS, rows.into(), "levels")?,
            upper_rows: sized(UPPER_ROWS, words(upper.into()), "upper rows")?,
            upper_lists: sized(UPPER_LISTS, words(u64::from(upper) + 1), "upper lists")?,
            upper_offsets: sized(UPPER_OFFSETS, words(u64::from(lists) + 1), "upper offsets")?,
            upper_neighbours: sized(UPPER_NEIGHBOURS, words(neighbours.into()), "neighbours")?,
        };
        let layout = layout.with_entry(at, nodes)?;
        layout.check(bytes)?;
        Ok(layout)
    }

    fn with_entry(mut self, at: u64, nodes: u32) -> Result<Self, DecodeError> {
        let entry = self.head.entry.unwrap_or(NO_ENTRY);
        if nodes == 0 {
            require_equal(entry.into(), NO_ENTRY.into(), at + 20, "entry")?;
            require_equal(self.max_level.into(), 0, at + 24, "max_level")?;
            self.head.entry = None;
        } else if entry >= self.rows {
            let bounds = (0, u64::from(self.rows) - 1);
            return Err(out_of_range(at + 20, "entry", entry.into(), bounds));
        }
        Ok(self)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let address = opened(bytes, &self.base).as_ptr().addr() as u64;
        if !address.is_multiple_of(4) || cfg!(target_endian = "big") {
            return Err(out_of_range(
                self.base.start,
                "address",
                address % 4,
                (0, 0),
            ));
        }
        let view = self.view(bytes);
        self.check_levels(&view)?;
        self.check_base(&view)?;
        self.check_upper(&view)
    }

    fn check_levels(&self, view: &GraphView<'_>) -> Result<(), DecodeError> {
        let at = self.levels.start;
        let nodes = view
            .levels
            .iter()
            .filter(|&&level| level != NOT_IN_GRAPH)
            .count();
        require_equal(nodes as u64, self.nodes.into(), at, "nodes")?;
        if let Some(row) = self.head.entry {
            let max = view
                .levels
                .iter()
                .copied()
                .filter(|&level| level != NOT_IN_GRAPH)
                .max();
            require_equal(
                self.max_level.into(),
                max.unwrap_or(0).into(),
                at,
                "max_level",
            )?;
            let level = view.level(row).map_or(u64::from(NOT_IN_GRAPH), u64::from);
            require_equal(level, self.max_level.into(), at + u64::from(row), "entry")?;
        }
        Ok(())
    }

    fn check_base(&self, view: &GraphView<'_>) -> Result<(), DecodeError> {
        let stride = view.stride;
        let all_nodes = self.nodes == self.rows;
        for (row, record) in (0_u64..).zip(view.base.chunks_exact(stride)) {
            let at = self.base.start + row * 4 * stride as u64;
            let (&count, slots) = record.split_first().unwrap_or((&0, &[]));
            let Some((used, unused)) = slots.split_at_checked(count as usize) else {
                let bounds = (0, self.head.m0.into());
                return Err(out_of_range(at, "base count", count.into(), bounds));
            };
            // Maximum and OR instead of an early end: one pass that the compiler vectorises.
            let greatest = used.iter().fold(0, |max, &row| row.max(max));
            if !used.is_empty() && greatest >= self.rows {
                let bounds = (0, u64::from(self.rows) - 1);
                return Err(out_of_range(at, "base neighbour", greatest.into(), bounds));
            }
            if unused.iter().fold(0, |or, &slot| or | slot) != 0 {
                return Err(failed(at, "base slot", Why::NotZero));
            }
            if all_nodes {
                continue;
            }
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            if view.level(row).is_none() && count != 0 {
                return Err(out_of_range(at, "base count", count.into(), (0, 0)));
            }
            if let Some(&row) = used.iter().find(|&&row| view.level(row).is_none()) {
                return Err(out_of_range(at, "base neighbour", row.into(), (0, 0)));
            }
        }
        Ok(())
    }

    fn check_upper(&self, view: &GraphView<'_>) -> Result<(), DecodeError> {
        let upper = (0..=u32::MAX)
            .zip(view.levels)
            .filter(|&(_, &level)| level != 0 && level != NOT_IN_GRAPH);
        if !upper
            .clone()
            .map(|(row, _)| row)
            .eq(view.upper_rows.iter().copied())
        {
            return Err(failed(self.upper_rows.start, "upper rows", Why::Order));
        }
        let mut sum = 0_u64;
        let firsts = upper.map(|(_, &level)| {
            let first = sum;
            sum += u64::from(level);
            first
        });
        let at = self.upper_lists.start;
        if !firsts.eq(view
            .upper_lists
            .iter()
            .take(view.upper_rows.len())
            .map(|&l| l.into()))
        {
            return Err(failed(at, "upper lists", Why::Order));
        }
        let lists = (view.upper_offsets.len() as u64).saturating_sub(1);
        require_equal(sum, lists, at, "lists")?;
        require_equal(
            view.upper_lists.last().map_or(0, |&l| l.into()),
            sum,
            at,
            "upper lists",
        )?;
        let at = self.upper_offsets.start;
        require_equal(
            view.upper_offsets.first().map_or(1, |&o| o.into()),
            0,
            at,
            "first offset",
        )?;
        let end = view.upper_offsets.last().map_or(0, |&offset| offset.into());
        require_equal(end, view.upper_neighbours.len() as u64, at, "last offset")?;
        for pair in view.upper_offsets.windows(2) {
            let &[start, end] = pair else { continue };
            if end < start || end - start > self.head.m {
                return Err(failed(at, "upper offsets", Why::Order));
            }
        }
        for (row, level) in view
            .upper_rows
            .iter()
            .filter_map(|&row| Some((row, view.level(row)?)))
        {
            for layer in 1..=level {
                let lower = |&&next: &&Row| view.level(next).is_none_or(|level| level < layer);
                if let Some(&next) = view.neighbours(layer, row).iter().find(lower) {
                    let at = self.upper_neighbours.start;
                    let bounds = (0, u64::from(self.rows).saturating_sub(1));
                    return Err(out_of_range(at, "upper neighbour", next.into(), bounds));
                }
            }
        }
        Ok(())
    }

    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.rows
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Rows in the graph.
    pub const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// What the graph was built with, and where a search begins.
    pub const fn head(&self) -> &GraphHead {
        &self.head
    }

    /// Content hash of the vectors part the graph was built from.
    pub const fn source_hash(&self) -> &[u8; 32] {
        &self.source_hash
    }

    /// The graph, over the bytes of the file that `open` has seen, at the same alignment.
    ///
    /// Over other bytes its lists are empty or meaningless, but reading them is safe.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> GraphView<'a> {
        let words = |range| in_place(opened(bytes, range));
        GraphView {
            base: words(&self.base),
            stride: 1 + self.head.m0 as usize,
            levels: opened(bytes, &self.levels),
            upper_rows: words(&self.upper_rows),
            upper_lists: words(&self.upper_lists),
            upper_offsets: words(&self.upper_offsets),
            upper_neighbours: words(&self.upper_neighbours),
            head: self.head,
            nodes: self.nodes,
            max_level: self.max_level,
        }
    }
}

/// Aligned little-endian words, as they are; empty where the host cannot read them in place.
fn in_place(bytes: &[u8]) -> &[u32] {
    if cfg!(target_endian = "big") {
        return &[];
    }
    <[u32]>::ref_from_bytes(bytes).unwrap_or_default()
}

/// A graph, read in place.
#[derive(Copy, Clone, Debug)]
pub struct GraphView<'a> {
    base: &'a [u32],
    stride: usize,
    levels: &'a [u8],
    upper_rows: &'a [u32],
    upper_lists: &'a [u32],
    upper_offsets: &'a [u32],
    upper_neighbours: &'a [u32],
    head: GraphHead,
    nodes: u32,
    max_level: u8,
}

impl<'a> GraphView<'a> {
    /// Opens the graph in `bytes`: [`GraphLayout::open`] and [`GraphLayout::view`] in one.
    ///
    /// # Errors
    /// Those of [`GraphLayout::open`].
    pub fn open(part: &PartLayout, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(GraphLayout::open(part, bytes)?.view(bytes))
    }

    /// Rows of the segment.
    pub fn len(&self) -> u32 {
        u32::try_from(self.levels.len()).unwrap_or(u32::MAX)
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Rows in the graph.
    pub const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// What the graph was built with.
    pub const fn head(&self) -> &GraphHead {
        &self.head
    }

    /// Where a search begins: a node and its level, the highest of the graph.
    pub fn entry(&self) -> Option<(Row, u8)> {
        self.head.entry.map(|row| (row, self.max_level))
    }

    /// Level of a row; none if it is not in the graph.
    #[inline]
    pub fn level(&self, row: Row) -> Option<u8> {
        self.levels
            .get(row as usize)
            .copied()
            .filter(|&level| level != NOT_IN_GRAPH)
    }

    /// Neighbours of a row in the base layer; none if it is not in the graph.
    #[inline]
    pub fn base(&self, row: Row) -> &'a [u32] {
        let start = (row as usize).saturating_mul(self.stride);
        let Some((&count, slots)) = self
            .base
            .get(start..start.saturating_add(self.stride))
            .and_then(<[u32]>::split_first)
        else {
            return &[];
        };
        slots.get(..count as usize).unwrap_or_default()
    }

    /// Neighbours of a row in a layer; none if it is not in that layer.
    pub fn neighbours(&self, layer: u8, row: Row) -> &'a [u32] {
        if layer == 0 {
            return self.base(row);
        }
        self.upper(layer, row).unwrap_or_default()
    }

    fn upper(&self, layer: u8, row: Row) -> Option<&'a [u32]> {
        let index = self.upper_rows.binary_search(&row).ok()?;
        let &first = self.upper_lists.get(index)?;
        let &after = self.upper_lists.get(index + 1)?;
        let list = first
            .checked_add(u32::from(layer) - 1)
            .filter(|&list| list < after)? as usize;
        let &start = self.upper_offsets.get(list)?;
        let &end = self.upper_offsets.get(list + 1)?;
        self.upper_neighbours.get(start as usize..end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartWriter;
    use crate::container::testing::{layout, writer};
    use proptest::prelude::*;

    const KIND: PartKind = PartKind::Graph;

    /// Lists by (row, layer) of a graph over rows with the levels given.
    struct Model {
        head: GraphHead,
        levels: Vec<u8>,
        lists: Vec<Vec<Vec<Row>>>,
    }

    impl Model {
        /// Neighbours drawn by a small generator from the rows that are in the layer.
        fn draw(m: u32, m0: u32, levels: Vec<u8>, mut seed: u64) -> Self {
            let top = levels
                .iter()
                .copied()
                .filter(|&level| level != NOT_IN_GRAPH)
                .max();
            let entry = levels
                .iter()
                .position(|&level| Some(level) == top && top.is_some());
            let mut next = move |below: usize| {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                (seed >> 33) as usize % below.max(1)
            };
            let in_layer = |layer: u8| -> Vec<Row> {
                let rows = (0..)
                    .zip(&levels)
                    .filter(|&(_, &l)| l != NOT_IN_GRAPH && l >= layer);
                rows.map(|(row, _)| row).collect()
            };
            let layers: Vec<_> = (0..=top.unwrap_or(0)).map(in_layer).collect();
            let mut list = |layer: usize| {
                let most = if layer == 0 { m0 } else { m } as usize;
                let count = next(most + 1);
                (0..count)
                    .map(|_| layers[layer][next(layers[layer].len())])
                    .collect()
            };
            let lists = levels
                .iter()
                .map(|&level| match level {
                    NOT_IN_GRAPH => vec![vec![]],
                    level => (0..=usize::from(level)).map(&mut list).collect(),
                })
                .collect();
            let entry = entry.map(|row| row as Row);
            let head = GraphHead {
                m,
                m0,
                ef_construct: 100,
                seed: 42,
                entry,
            };
            Self {
                head,
                levels,
                lists,
            }
        }

        fn part(&self) -> Vec<u8> {
            let levels = self.levels.clone();
            let mut builder = GraphBuilder::new(writer(KIND), self.head, levels).unwrap();
            for lists in &self.lists {
                builder.base(&lists[0]).unwrap();
            }
            for list in self.lists.iter().flat_map(|lists| &lists[1..]) {
                builder.upper(list).unwrap();
            }
            builder.finish().unwrap().0
        }
    }

    fn small() -> Model {
        Model::draw(2, 4, vec![0, 2, NOT_IN_GRAPH, 1, 0], 1)
    }

    #[test]
    fn graph_without_nodes_opens() {
        for levels in [vec![], vec![NOT_IN_GRAPH; 3]] {
            let bytes = Model::draw(2, 4, levels, 1).part();
            let view = GraphView::open(&layout(KIND, &bytes), &bytes).unwrap();
            assert_eq!(
                (view.entry(), view.nodes(), view.base(0)),
                (None, 0, &[][..])
            );
        }
    }

    #[test]
    fn builder_refuses_what_the_chapter_forbids() {
        let model = small();
        let begin = |head, levels| GraphBuilder::new(writer(KIND), head, levels);
        assert!(
            begin(
                GraphHead {
                    entry: Some(0),
                    ..model.head
                },
                model.levels.clone()
            )
            .is_err()
        );
        assert!(
            begin(
                GraphHead {
                    entry: None,
                    ..model.head
                },
                model.levels.clone()
            )
            .is_err()
        );
        assert!(
            begin(
                GraphHead {
                    m0: 0,
                    ..model.head
                },
                model.levels.clone()
            )
            .is_err()
        );
        let mut builder = begin(model.head, model.levels.clone()).unwrap();
        assert!(builder.base(&[0; 5]).is_err());
        assert!(builder.upper(&[1; 3]).is_err());
        assert!(builder.finish().is_err());
        let header = crate::PartHeader {
            source_hash: None,
            ..writer(KIND).header().clone()
        };
        let part = PartWriter::new(Vec::new(), header);
        assert!(GraphBuilder::new(part, model.head, model.levels).is_err());
    }

    // The base layer is read in place, so a mapping at an odd address must be refused, not read.
    #[test]
    fn bytes_at_an_odd_address_are_refused() {
        let bytes = small().part();
        let part = layout(KIND, &bytes);
        let mut shifted = vec![0; bytes.len() + 1];
        shifted[1..].copy_from_slice(&bytes);
        let even = usize::from(shifted.as_ptr().addr().is_multiple_of(2));
        shifted[even..even + bytes.len()].copy_from_slice(&bytes);
        let error = GraphLayout::open(&part, &shifted[even..even + bytes.len()]).unwrap_err();
        assert_eq!(error.field, "address");
        let stale = GraphLayout::open(&part, &bytes).unwrap();
        assert_eq!(stale.view(&shifted[even..]).base(1), &[] as &[u32]);
    }

    #[test]
    fn searches_may_trust_what_opens() {
        let bytes = small().part();
        let part = layout(KIND, &bytes);
        let opened = GraphLayout::open(&part, &bytes).unwrap();
        let base = opened.base.start as usize;
        for (at, value) in [(0, 5_u32), (4, 5), (4, u32::MAX), (4 * 5 * 2, 1)] {
            let mut damaged = bytes.clone();
            damaged[base..base + 4].copy_from_slice(&1_u32.to_le_bytes());
            damaged[base + at..base + at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(
                GraphLayout::open(&part, &damaged).is_err(),
                "{value} at {at}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn graphs_round_trip(
            m in 1..9_u32,
            m0 in 1..20_u32,
            levels in prop::collection::vec(
                prop_oneof![8 => Just(0_u8), 3 => 0..5_u8, 1 => Just(NOT_IN_GRAPH)],
                0..200,
            ),
            seed: u64,
        ) {
            let model = Model::draw(m, m0, levels, seed);
            let bytes = model.part();
            let opened = GraphLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
            let view = opened.view(&bytes);
            prop_assert_eq!(view.head(), &model.head);
            prop_assert_eq!(opened.source_hash(), &[7; 32]);
            prop_assert_eq!(view.len() as usize, model.levels.len());
            for (row, (&level, lists)) in (0..).zip(model.levels.iter().zip(&model.lists)) {
                prop_assert_eq!(view.level(row), Some(level).filter(|&l| l != NOT_IN_GRAPH));
                for layer in 0..8 {
                    let list = lists.get(usize::from(layer)).map_or(&[][..], Vec::as_slice);
                    prop_assert_eq!(view.neighbours(layer, row), list);
                }
            }
            prop_assert!(view.base(u32::MAX).is_empty() && view.neighbours(1, u32::MAX).is_empty());
        }
    }
}
