//! Making the graph part of a segment: from the graphs of the segments it was merged from, where
//! they have sound ones built with the same settings, and from nothing otherwise.

use format_spec::graph::GraphView;
use format_spec::vectors::VectorsView;
use format_spec::{PartEntry, PartKind, Row, VectorSchema};
use index::{
    BuildError, BuildSettings, BuiltGraph, CodedSpace, MergeInput, Progress, RowSet, Space,
};
use quant::{BLOCK_ROWS, CodePair, Pairwise};

use crate::error::{Error, ErrorKind, Result};
use crate::segment::codes::codes_to_build_on;
use crate::segment::{PartPlan, Segment, write_part};
use crate::shard::Ground;

/// The rows of a vectors part, all blocks of which are verified.
struct VectorSpace<'a> {
    view: VectorsView<'a>,
    pairwise: Pairwise,
}

impl Space for VectorSpace<'_> {
    type Prepared = Row;

    fn prepare(&self, row: Row, prepared: &mut Row) {
        *prepared = row;
    }

    fn len(&self) -> u32 {
        self.view.len()
    }

    fn distance(&self, from: &Row, to: Row) -> f32 {
        match (self.view.row(*from), self.view.row(to)) {
            (Some(a), Some(b)) => self.pairwise.distance(a, b),
            _ => f32::INFINITY,
        }
    }

    fn prefetch(&self, row: Row) {
        if let Some(bytes) = self.view.row(row) {
            quant::prefetch(bytes);
        }
    }
}

/// The codes of a segment that has some, every block verified, or such as are made for the build
/// where those are of other bits.
fn codes_of<'a>(
    base: &Ground,
    segment: &'a Segment,
    index: usize,
    vectors: &VectorsView<'_>,
    progress: &dyn Progress,
) -> Result<Option<CodedSpace<'a>>> {
    let Some((metric, view)) = segment.code_rows(index)? else {
        return Ok(None);
    };
    let pair = CodePair::new(metric, view.shape().padded());
    let len = view.len();
    if view.shape().row_len() == pair.row_len() {
        return Ok(Some(CodedSpace::new(view.rows(), view.blocks(), pair, len)));
    }
    if made_bytes(len, &pair) > base.around.settings.coded_graph_bytes_max {
        return Ok(None);
    }
    let check = |_| match progress.cancelled() {
        true => Err(Error::closed("build graph")),
        false => Ok(()),
    };
    let (rows, blocks) = codes_to_build_on(vectors, metric, base.around.build_pool.get()?, &check)?;
    Ok(Some(CodedSpace::new(rows, blocks, pair, len)))
}

/// Bytes of the codes of `len` rows that are made for a build: of four bits, and in blocks.
fn made_bytes(len: u32, pair: &CodePair) -> u64 {
    let blocks = u64::from(len).div_ceil(BLOCK_ROWS as u64) * pair.block_len() as u64;
    u64::from(len) * pair.row_len() as u64 + blocks
}

/// A segment whose rows were taken over into another.
pub(crate) struct Merged<'a> {
    pub(crate) segment: &'a Segment,
    /// For each of its rows, the row of the other segment or [`index::GONE`].
    pub(crate) rows: &'a [Row],
}

impl Merged<'_> {
    /// Its graph over the vector `index`, if it has one built with `settings` that can be read.
    ///
    /// # Errors
    /// What the disk says; damage counts as no graph.
    fn graph(&self, index: usize, settings: BuildSettings) -> Result<Option<GraphView<'_>>> {
        let graph = match self.segment.graph(index) {
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            other => other?,
        };
        Ok(graph.filter(|graph| {
            let head = graph.head();
            head.m == settings.m
                && head.m0 == settings.m0()
                && head.ef_construct == settings.ef_construct
                && graph.len() as usize == self.rows.len()
        }))
    }
}

/// Makes and writes the graph over the rows that have the vector `index`; `merged` are the segments
/// from which `segment` was made.
///
/// # Errors
/// `Corrupt` when the vectors do not verify, `Closed` when `progress` cancels, what the disk says.
pub(crate) fn write_graph(
    base: &Ground,
    segment: &Segment,
    (index, vector): (usize, &VectorSchema),
    merged: &[Merged<'_>],
    progress: &dyn Progress,
) -> Result<PartEntry> {
    let none = || Error::invalid("build graph", format!("no vectors named {:?}", vector.name));
    let part = segment.vectors_part(index).ok_or_else(none)?;
    part.bytes()?;
    let view = segment.vectors(index)?.ok_or_else(none)?.view;
    let pairwise = Pairwise::new(vector.metric, vector.element, vector.dim as usize);
    let present = (view.present_count() < view.len())
        .then(|| RowSet::from_words(view.len(), view.present().to_words()));
    let present = present
        .transpose()
        .map_err(|error| Error::invalid("build graph", error.to_string()))?;
    let settings = BuildSettings {
        m: vector.hnsw.m.max(BuildSettings::M_LEAST),
        ef_construct: vector.hnsw.ef_construct,
        seed: vector.hnsw.seed,
    };
    let mut graphs = Vec::new();
    for merged in merged {
        if let Some(graph) = merged.graph(index, settings)? {
            graphs.push((graph, merged.rows));
        }
    }
    let inputs: Vec<MergeInput<'_, GraphView<'_>>> = graphs
        .iter()
        .map(|(graph, rows)| MergeInput { graph, rows })
        .collect();
    let (pool, present) = (base.around.build_pool.get()?, present.as_ref());
    let built = match codes_of(base, segment, index, &view, progress)? {
        Some(codes) => index::merge(&codes, present, &inputs, settings, pool, progress),
        None => {
            let space = VectorSpace { view, pairwise };
            index::merge(&space, present, &inputs, settings, pool, progress)
        }
    };
    let built = built.map_err(|error| {
        if matches!(error, BuildError::Cancelled { .. }) {
            Error::closed("build graph")
        } else {
            Error::invalid("build graph", error.to_string())
        }
    })?;
    check_connected(&built)?;
    let plan = PartPlan {
        kind: PartKind::Graph,
        name: vector.name.clone(),
        source_hash: Some(part.entry().hash),
        exact_for: part.entry().exact_for,
    };
    write_part(base, plan, |part| built.encode(part))
}

/// A graph that does not reach all its rows would hide some from every search.
fn check_connected(built: &BuiltGraph) -> Result<()> {
    let found = index::check_connectivity(built);
    if found.reachable == found.rows {
        return Ok(());
    }
    let message = format!(
        "only {} of {} rows can be reached",
        found.reachable, found.rows
    );
    Err(Error::invalid("build graph", message))
}
