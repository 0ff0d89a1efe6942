//! The base layer of a graph with the codes of the neighbours in each node, and the search of it.
//!
//! ```text
//! node  [block of 32 one-bit codes with their factors][32 rows], as often as a list needs
//! ```
//!
//! Expanding a row reads one stretch of memory and estimates all its neighbours side by side; their
//! vectors are not touched, nor by the way through the upper layers, which goes by the codes of
//! several bits. The rows that the search expands go the way of the rows that a scan of
//! codes lets through: code of several bits, then vector (SymphonyQG: arXiv 2411.12229, with codes
//! of the whole segment instead of one set a node).
//!
//! Where that is too much memory there are the lists alone, in as few bits as they need, and the
//! neighbours are estimated one by one from their codes of several bits; where there are no such
//! codes, from those of one bit, which are kept row by row for that: of a block a row is one bit in
//! thirty-two.
//!
//! # Invariants
//! - Nodes say nothing that graph and codes do not: they are made from both, in memory.
//! - Distances of the rows found are exact.

use quant::{BLOCK_ROWS, BlockBuilder, BlockEstimates, BlockQuery, CodeBits, CodeQuery, SignRows};
use rayon::prelude::*;

use crate::graph::coded_filtered::TwoHops;
use crate::graph::packed::PackedLists;
use crate::graph::search::{Scratch, descend};
use crate::hot::HotBytes;
use crate::neighbor::TopK;
use crate::refine::{CodeRows, CodeScanCounts, Refiner, SharedBound, estimate, estimate_of_block};
use crate::settings::LeastShare;
use crate::{Accept, Adjacency, Row, Scorer};

/// The place of a neighbour that a list does not have.
pub(super) const NONE: Row = Row::MAX;
/// Bytes of the rows of a block.
const ROWS_LEN: usize = 4 * BLOCK_ROWS;
/// Nodes expanded before a margin ends a search.
const EXPANDED_LEAST: u64 = 64;
/// Nodes packed by one task.
const TASK_NODES: usize = 1_024;

/// The base layer in memory.
#[derive(Debug)]
pub struct CodedGraph {
    nodes: Nodes,
    len: u32,
}

/// What a graph in memory has of each row.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum NodeLayout {
    /// The codes of the neighbours beside their rows: the fastest.
    Codes,
    /// The rows of the neighbours, packed: the smallest.
    Lists,
    /// Nothing: nodes with codes are put together when they are read, which is slow. For measuring
    /// what searches find before there is anything in memory.
    Nothing,
}

#[derive(Debug)]
enum Nodes {
    Codes(CodedNodes),
    /// With the codes of one bit, if there are no others.
    Lists(PackedLists, Option<SignRows>),
    Nothing,
}

/// Nodes side by side.
#[derive(Debug)]
pub(super) struct CodedNodes {
    bytes: HotBytes,
    /// Bytes of a block and of its rows.
    block_len: usize,
    /// Blocks of a node.
    blocks: usize,
}

impl CodedGraph {
    /// Packs the base layer of `graph` with the codes in `blocks`, of `padded` dimensions, those of
    /// all rows in order; `longest` is how long a list may be.
    ///
    /// # Panics
    /// If a list is longer or names a row without a code.
    pub fn pack<'a, A: Adjacency + ?Sized>(
        graph: &A,
        longest: usize,
        blocks: impl ExactSizeIterator<Item = &'a [u8]>,
        padded: usize,
        pool: &rayon::ThreadPool,
    ) -> Self {
        let signs = SignRows::of_blocks(blocks, padded);
        let (block_len, count) = (
            BlockBuilder::block_len(padded),
            longest.div_ceil(BLOCK_ROWS),
        );
        let node_len = count * (block_len + ROWS_LEN);
        let mut bytes = HotBytes::zeroed(graph.len() as usize * node_len);
        let nodes = bytes.bytes_mut();
        pool.install(|| {
            let tasks = nodes.par_chunks_mut(TASK_NODES * node_len).enumerate();
            tasks.for_each(|(task, nodes)| {
                let (mut block, mut packed) = (BlockBuilder::new(padded), Vec::new());
                for (at, node) in nodes.chunks_exact_mut(node_len).enumerate() {
                    let row = (task * TASK_NODES + at) as Row;
                    packed.clear();
                    pack_node(graph.base(row), count, &signs, &mut block, &mut packed);
                    node.copy_from_slice(&packed);
                }
            });
        });
        Self {
            nodes: Nodes::Codes(CodedNodes {
                bytes,
                block_len,
                blocks: count,
            }),
            len: graph.len(),
        }
    }

    /// Packs the lists of the base layer of `graph` alone; with `signs` of all rows if they have no
    /// other codes.
    ///
    /// # Panics
    /// If a list is longer than `longest` or names a row that the graph does not have.
    pub fn pack_lists<A: Adjacency + ?Sized>(
        graph: &A,
        longest: usize,
        signs: Option<SignRows>,
    ) -> Self {
        Self {
            nodes: Nodes::Lists(PackedLists::pack(graph, longest), signs),
            len: graph.len(),
        }
    }

    /// A stand-in for nodes with codes, which finds what they would.
    pub fn unpacked<A: Adjacency + ?Sized>(graph: &A) -> Self {
        Self {
            nodes: Nodes::Nothing,
            len: graph.len(),
        }
    }

    /// What it has of each row.
    pub fn layout(&self) -> NodeLayout {
        match self.nodes {
            Nodes::Codes(_) => NodeLayout::Codes,
            Nodes::Lists(..) => NodeLayout::Lists,
            Nodes::Nothing => NodeLayout::Nothing,
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match &self.nodes {
            Nodes::Codes(nodes) => nodes.bytes.bytes().len(),
            Nodes::Lists(lists, signs) => lists.bytes() + signs.as_ref().map_or(0, SignRows::bytes),
            Nodes::Nothing => 0,
        }
    }

    /// Bytes that a graph of so many rows, with such codes, would take.
    pub fn bytes_for(
        layout: NodeLayout,
        rows: u32,
        longest: usize,
        (padded, bits): (usize, CodeBits),
    ) -> u64 {
        let node = longest.div_ceil(BLOCK_ROWS) * (BlockBuilder::block_len(padded) + ROWS_LEN);
        match layout {
            NodeLayout::Codes => u64::from(rows) * node as u64,
            NodeLayout::Lists if bits == CodeBits::One => {
                PackedLists::bytes_for(rows, longest) + SignRows::bytes_for(rows, padded)
            }
            NodeLayout::Lists => PackedLists::bytes_for(rows, longest),
            NodeLayout::Nothing => 0,
        }
    }

    pub(super) const fn with_codes(&self) -> Option<&CodedNodes> {
        match &self.nodes {
            Nodes::Codes(nodes) => Some(nodes),
            Nodes::Lists(..) | Nodes::Nothing => None,
        }
    }

    /// The codes of one bit, row by row.
    const fn signs(&self) -> Option<&SignRows> {
        match &self.nodes {
            Nodes::Lists(_, signs) => signs.as_ref(),
            Nodes::Codes(_) | Nodes::Nothing => None,
        }
    }

    /// Asks for what is read first when `row` is expanded to be brought near, without waiting.
    pub(super) fn prefetch(&self, row: Row) {
        match &self.nodes {
            Nodes::Codes(nodes) => quant::prefetch_whole(nodes.node(row)),
            Nodes::Lists(lists, _) => quant::prefetch(lists.list_bytes(row)),
            Nodes::Nothing => (),
        }
    }
}

impl CodedNodes {
    fn node(&self, row: Row) -> &[u8] {
        let len = self.blocks * (self.block_len + ROWS_LEN);
        &self.bytes.bytes()[row as usize * len..][..len]
    }

    /// The blocks of a node, each with its rows, of which some may be [`NONE`].
    pub(super) fn parts(&self, row: Row) -> impl Iterator<Item = (&[u8], &[[u8; 4]])> {
        let parts = self.node(row).chunks_exact(self.block_len + ROWS_LEN);
        parts.map(|part| {
            let (block, rows) = part.split_at(self.block_len);
            (block, rows.as_chunks::<4>().0)
        })
    }
}

fn pack_node(
    list: &[Row],
    blocks: usize,
    signs: &SignRows,
    block: &mut BlockBuilder,
    out: &mut Vec<u8>,
) {
    let mut lists = list.chunks(BLOCK_ROWS);
    for _ in 0..blocks {
        let rows = lists.next().unwrap_or_default();
        rows.iter()
            .for_each(|&row| block.push_row(signs, row as usize));
        block.finish(out);
        let rows = rows.iter().copied().chain(std::iter::repeat(NONE));
        out.extend(rows.take(BLOCK_ROWS).flat_map(Row::to_le_bytes));
    }
    assert!(lists.next().is_none(), "list of {} rows", list.len());
}

/// How a coded graph is searched.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct CodedSettings {
    /// Rows wanted.
    pub limit: usize,
    /// Rows in the beam.
    pub ef: usize,
    /// Ends the search before the beam does: when the nearest row not yet expanded is farther than
    /// the last row wanted by this share of that one's distance from the floor, below which no
    /// distance lies (distance-adaptive beam search: arXiv 2505.15636).
    pub margin: Option<(f32, f32)>,
    /// Nodes that may be read.
    pub budget: u64,
    /// When to give up a filter that is far from the query.
    pub least: Option<LeastShare>,
    /// Only accepted rows are in the beam, and rows that are not are looked through where few are
    /// accepted.
    pub two_hops: bool,
}

impl CodedSettings {
    /// A row farther than this need not be expanded once so many nodes are, where `worst` is the
    /// distance of the last row wanted.
    pub(super) fn cutoff(&self, expanded: u64, worst: f32) -> f32 {
        let margin = self.margin.filter(|_| expanded >= EXPANDED_LEAST);
        margin.map_or(f32::INFINITY, |(share, floor)| {
            floor + (1.0 + share) * (worst - floor)
        })
    }
}

/// What a search has done.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct CodedCounts {
    /// Nodes read.
    pub expanded: u64,
    /// Rows of which was asked whether they are accepted.
    pub asked: u64,
    /// Rows estimated again and compared.
    pub refined: CodeScanCounts,
    /// Whether the budget ended the search.
    pub exhausted_budget: bool,
    /// Whether too few of the rows met were accepted.
    pub missed: bool,
}

/// What is searched: the upper layers, the nodes, and the codes and vectors of the rows.
#[derive(Debug)]
pub struct CodedSearch<'a, A: ?Sized, C, S: ?Sized> {
    /// The graph whose base layer the nodes are.
    pub graph: &'a A,
    /// The nodes.
    pub nodes: &'a CodedGraph,
    /// Codes of several bits.
    pub codes: &'a C,
    /// The query, for codes.
    pub query: &'a CodeQuery,
    /// The query, for vectors: of those rows only that may be returned.
    pub scorer: &'a S,
}

/// Estimates from the codes of several bits, or of one bit where there are no others.
pub(super) struct ByCodes<'a, C> {
    codes: &'a C,
    query: &'a CodeQuery,
    /// Those of one bit, where they lie row by row.
    signs: Option<&'a SignRows>,
}

impl<C: CodeRows> Scorer for ByCodes<'_, C> {
    fn distance(&self, row: Row) -> f32 {
        match self.signs {
            Some(signs) => self.query.signs(signs, row as usize),
            None => estimate(self.codes, self.query, row).unwrap_or(f32::INFINITY),
        }
    }

    fn prefetch(&self, row: Row) {
        match self.signs {
            Some(signs) => signs.prefetch(row as usize),
            None => quant::prefetch(self.codes.row(row)),
        }
    }
}

/// Estimates from the codes of one bit.
pub(super) struct ByBits<'a, C> {
    pub(super) codes: &'a C,
    pub(super) query: &'a CodeQuery,
}

impl<C: CodeRows> Scorer for ByBits<'_, C> {
    fn distance(&self, row: Row) -> f32 {
        estimate_of_block(self.codes, self.query, row).unwrap_or(f32::INFINITY)
    }
}

/// Scores those of `list` that are `wanted`; `rows` and `distances` are room.
pub(super) fn score_new<S: Scorer>(
    scorer: &S,
    list: impl Iterator<Item = Row>,
    wanted: impl FnMut(&Row) -> bool,
    rows: &mut Vec<Row>,
    distances: &mut Vec<f32>,
) {
    rows.clear();
    rows.extend(list.filter(wanted).inspect(|&row| scorer.prefetch(row)));
    distances.clear();
    distances.extend(rows.iter().map(|&row| scorer.distance(row)));
}

impl<A, C, S> CodedSearch<'_, A, C, S>
where
    A: Adjacency + ?Sized,
    C: CodeRows,
    S: ?Sized,
{
    /// Puts the neighbours of `row` that are new, and nearer than `cutoff`, into the beam.
    #[inline]
    fn expand(
        &self,
        row: Row,
        cutoff: f32,
        (query, estimates): (&BlockQuery, &mut BlockEstimates),
        scratch: &mut Scratch,
    ) {
        let Scratch {
            visited,
            beam,
            rows: met,
            distances,
            ..
        } = scratch;
        let Some(nodes) = self.nodes.with_codes() else {
            self.near(row, |row| visited.insert(*row), met, distances);
            for (&row, &distance) in met.iter().zip(&*distances) {
                if distance < beam.bound().min(cutoff) {
                    beam.insert(distance, row);
                }
            }
            return;
        };
        for (block, rows) in nodes.parts(row) {
            let worst = beam.bound().min(cutoff);
            let mut near = query.block(block, worst, estimates);
            while near != 0 {
                let lane = near.trailing_zeros() as usize;
                near &= near - 1;
                let row = Row::from_le_bytes(rows[lane]);
                if row != NONE && visited.insert(row) {
                    beam.insert(estimates.distances[lane], row);
                }
            }
        }
    }

    /// Estimates those neighbours of `row` that are `wanted`, where nodes have no codes in them.
    pub(super) fn near(
        &self,
        row: Row,
        wanted: impl FnMut(&Row) -> bool,
        rows: &mut Vec<Row>,
        distances: &mut Vec<f32>,
    ) {
        let (codes, query) = (self.codes, self.query);
        if let Nodes::Lists(lists, signs) = &self.nodes.nodes {
            let signs = signs.as_ref();
            let scorer = ByCodes {
                codes,
                query,
                signs,
            };
            score_new(&scorer, lists.list(row), wanted, rows, distances);
        } else {
            let list = self.graph.base(row).iter().copied();
            score_new(&ByBits { codes, query }, list, wanted, rows, distances);
        }
    }
}

/// Offers accepted rows near the query to `top`.
pub fn search_coded<A, C, S, F>(
    search: &CodedSearch<'_, A, C, S>,
    accept: &F,
    settings: CodedSettings,
    bound: &SharedBound,
    scratch: &mut Scratch,
    top: &mut TopK,
) -> CodedCounts
where
    A: Adjacency + ?Sized,
    C: CodeRows,
    S: Scorer + ?Sized,
    F: Accept + ?Sized,
{
    let mut counts = CodedCounts::default();
    scratch.begin(search.graph.len(), settings.ef.max(settings.limit));
    let entry = search.graph.entry();
    let Some((entry, level)) = entry.filter(|_| search.nodes.len == search.graph.len()) else {
        return counts;
    };
    let by_codes = ByCodes {
        codes: search.codes,
        query: search.query,
        signs: search.nodes.signs(),
    };
    let nearest = descend(search.graph, &by_codes, (entry, level), 0, scratch);
    let mut refiner = Refiner::new(search.codes, search.query, search.scorer, bound, top);
    if settings.two_hops && !accept.is_all() {
        let starts = [nearest.row, entry];
        let walk = TwoHops {
            search,
            accept,
            settings,
            by_codes,
        };
        walk.run(starts, scratch, &mut refiner, &mut counts);
        refiner.finish();
        counts.refined = refiner.counts;
        return counts;
    }
    // Every row can be reached from the entry, which cannot be said of where the descent ends.
    for row in [nearest.row, entry] {
        if scratch.visited.insert(row) {
            scratch.beam.insert(by_codes.distance(row), row);
        }
    }
    let mut estimates = BlockEstimates::default();
    let neighbours = search.query.without_doubt();
    let mut accepted = 0;
    while let Some(nearest) = scratch.beam.expand() {
        let cutoff = settings.cutoff(counts.expanded, refiner.worst());
        if nearest.distance > cutoff {
            break;
        }
        if counts.expanded >= settings.budget {
            counts.exhausted_budget = true;
            break;
        }
        let missed = |least: &LeastShare| least.is_missed(accepted, counts.expanded);
        if settings.least.as_ref().is_some_and(missed) {
            counts.missed = true;
            break;
        }
        counts.expanded += 1;
        if accept.accepts(nearest.row) {
            accepted += 1;
            refiner.push(nearest.row);
        }
        if let Some(upcoming) = scratch.beam.upcoming() {
            search.nodes.prefetch(upcoming.row);
        }
        let of_blocks = (&neighbours, &mut estimates);
        search.expand(nearest.row, cutoff, of_blocks, scratch);
    }
    refiner.finish();
    counts.refined = refiner.counts;
    counts.asked = if accept.is_all() { 0 } else { counts.expanded };
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AcceptAll, BuildSettings, BuiltGraph, CodedSpace, RowSet, Silent, build};
    use quant::{CodeMetric, CodePair, CodeSpace, Encoder, RotatedQuery, Rotation};

    const DIM: usize = 40;
    const COUNT: u32 = 2_500;

    /// Vectors with their codes.
    struct Rows {
        vectors: Vec<Vec<f32>>,
        space: CodeSpace,
        blocks: Vec<u8>,
        codes: Vec<u8>,
    }

    impl Rows {
        fn new() -> Self {
            let vectors: Vec<Vec<f32>> = (0..u64::from(COUNT)).map(vector).collect();
            let rotation = Rotation::new(DIM, 5);
            let space = CodeSpace::of_sample(rotation, vectors.iter().map(|v| &v[..]));
            let mut encoder = Encoder::new(&space, CodeMetric::Euclid, CodeBits::Four);
            let mut block = BlockBuilder::new(space.padded());
            let (mut blocks, mut codes) = (Vec::new(), Vec::new());
            for vector in &vectors {
                encoder.encode(vector, &mut block, &mut codes);
                if block.is_full() {
                    block.finish(&mut blocks);
                }
            }
            block.finish(&mut blocks);
            Self {
                vectors,
                space,
                blocks,
                codes,
            }
        }
    }

    impl CodeRows for Rows {
        fn block(&self, block: u32) -> &[u8] {
            let len = BlockBuilder::block_len(self.space.padded());
            &self.blocks[block as usize * len..][..len]
        }

        fn row(&self, row: Row) -> &[u8] {
            let len = CodeBits::Four.row_len(self.space.padded());
            &self.codes[row as usize * len..][..len]
        }
    }

    struct Query<'a>(&'a Rows, Vec<f32>);

    impl Scorer for Query<'_> {
        fn distance(&self, row: Row) -> f32 {
            let pairs = self.0.vectors[row as usize].iter().zip(&self.1);
            pairs.map(|(a, b)| (a - b) * (a - b)).sum()
        }
    }

    /// Of eight hidden coordinates, as the vectors of real things are.
    fn vector(seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let hidden: Vec<f32> = (0..8)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                (state >> 40) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        let wave = |at: usize, n: usize| ((at * 7 + n * 13) % 11) as f32 / 5.0 - 1.0;
        let coordinate = |at| (0..8).map(|n| hidden[n] * wave(at, n)).sum();
        (0..DIM).map(coordinate).collect()
    }

    #[test]
    fn the_nearest_accepted_rows_are_found() {
        let rows = Rows::new();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .unwrap();
        let settings = BuildSettings {
            m: 8,
            ef_construct: 60,
            seed: 1,
        };
        let pair = CodePair::new(CodeMetric::Euclid, rows.space.padded());
        let coded = CodedSpace::new(&rows.codes[..], &rows.blocks[..], pair, COUNT);
        let graph = build(&coded, None, settings, &pool, &Silent).unwrap();
        let blocks = (0..COUNT.div_ceil(32)).map(|block| rows.block(block));
        let padded = rows.space.padded();
        let codes = CodedGraph::pack(&graph, 16, blocks.clone(), padded, &pool);
        let lists = CodedGraph::pack_lists(&graph, 16, None);
        let signs = SignRows::of_blocks(blocks, padded);
        let lists_and_signs = CodedGraph::pack_lists(&graph, 16, Some(signs));
        let nothing = CodedGraph::unpacked(&graph);
        for (nodes, bits) in [
            (&codes, CodeBits::Four),
            (&codes, CodeBits::One),
            (&lists, CodeBits::Four),
            (&lists_and_signs, CodeBits::One),
            (&nothing, CodeBits::Four),
        ] {
            let bytes = CodedGraph::bytes_for(nodes.layout(), COUNT, 16, (padded, bits));
            assert_eq!(nodes.bytes() as u64, bytes);
            check_nearest(&rows, &graph, nodes, bits);
        }
    }

    fn check_nearest(rows: &Rows, graph: &BuiltGraph, nodes: &CodedGraph, bits: CodeBits) {
        let half = RowSet::from_rows(COUNT, (0..COUNT).filter(|row| row % 2 == 0));
        let mut scratch = Scratch::new();
        let (mut found, mut wanted) = (0, 0);
        for n in 0..60 {
            let query = Query(rows, vector(1_000_000 + n));
            let rotated = RotatedQuery::new(rows.space.rotation(), &query.1);
            let coded = CodeQuery::new(&rows.space, CodeMetric::Euclid, bits, &rotated, 1.9);
            let search = CodedSearch {
                graph,
                nodes,
                codes: rows,
                query: &coded,
                scorer: &query,
            };
            let settings = CodedSettings {
                limit: 10,
                ef: 200,
                margin: (n % 3 == 0).then_some((0.5, 0.0)),
                budget: u64::MAX,
                least: None,
                two_hops: n % 4 == 0,
            };
            let (mut top, mut truth) = (TopK::new(10), TopK::new(10));
            let bound = SharedBound::default();
            if n % 2 == 0 {
                search_coded(&search, &half, settings, &bound, &mut scratch, &mut top);
                crate::scan_set(&query, &half, &mut truth);
            } else {
                search_coded(
                    &search,
                    &AcceptAll,
                    settings,
                    &bound,
                    &mut scratch,
                    &mut top,
                );
                crate::scan_all(&query, COUNT, &mut truth);
            }
            let (top, truth) = (top.into_sorted(), truth.into_sorted());
            assert_eq!(top.len(), 10);
            assert!(n % 2 == 1 || top.iter().all(|near| near.row % 2 == 0));
            found += truth.iter().filter(|near| top.contains(near)).count();
            wanted += truth.len();
        }
        let what = nodes.layout();
        assert!(found * 100 >= wanted * 97, "{what:?}: {found} of {wanted}");
    }
}
