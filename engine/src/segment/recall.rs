//! Measuring the recall of a segment's codes and graphs, when they are made.
//!
//! Some rows are taken as queries, their nearest others are found by comparing them with all, and
//! searches are repeated with growing effort. A query from elsewhere may be harder than a row: what
//! is measured is an upper bound for such queries.
//!
//! # Invariants
//! - Only distances count, so that of equally near rows any may be found.
//! - The outcome depends on the rows and the parts alone.

use format_spec::graph::GraphView;
use format_spec::manifest::RecallPoint;
use format_spec::{PartEntry, PartKind, Row, Schema, SegmentEntry, VectorSchema};
use index::effort::{BEAM_ROWS, CANDIDATES, DEVIATIONS, DEVIATIONS_DEFAULT, NEAREST};
use index::{
    AcceptAll, CodedGraph, CodedSearch, CodedSettings, Neighbor, RowSet, Scratch, SearchSettings,
    SharedBound, TopK,
};
use quant::{Query, RotatedQuery};
use rayon::prelude::*;

use crate::error::Result;
use crate::scorer::RowScorer;
use crate::segment::Segment;
use crate::shard::Ground;

/// Segments of fewer rows are not measured: whatever they cost is little.
const ROWS_LEAST: u32 = 1_000;
/// Queries, so many that they are compared with about so many rows in all, whatever the segment:
/// twenty comparisons for each row that was encoded in one of 40,000.
const COMPARED: u32 = 800_000;
const QUERIES: std::ops::RangeInclusive<u32> = 12..=32;

/// Measures a new derived part of `entry` and notes what was found in its own entry.
///
/// # Errors
/// What the disk says, damage.
pub(crate) fn note_recall(
    base: &Ground,
    entry: &SegmentEntry,
    schema: &Schema,
    (index, part): (usize, &mut PartEntry),
) -> Result<()> {
    let mut with_part = entry.clone();
    crate::install::set_part(&mut with_part, part.clone());
    let (dir, owner) = (base.name.parts_dir(), base.name.owner());
    let segment = Segment::open(base.storage(), &dir, owner, with_part, schema, &[])?;
    let Some(vector) = schema.vectors.get(index) else {
        return Ok(());
    };
    let pool = base.around.encode_pool.get()?;
    let sample = pool.install(|| Sample::take(&segment, index, vector))?;
    let Some(sample) = sample else {
        return Ok(());
    };
    let kind = part.kind;
    let measure = || {
        if kind == PartKind::Graph {
            sample.of_graph()
        } else if kind == PartKind::Product {
            sample.of_product()
        } else {
            sample.of_codes()
        }
    };
    part.recall = pool.install(measure)?;
    Ok(())
}

/// Offers what is near a probe, by its number.
trait Find: Fn(usize, &mut TopK) -> Result<()> + Sync {}

impl<F: Fn(usize, &mut TopK) -> Result<()> + Sync> Find for F {}

/// A row as a query, and what it should find.
struct Probe {
    row: Row,
    query: Query,
    /// The distances of the nearest other rows, in order.
    nearest: Vec<f32>,
}

struct Sample<'a> {
    segment: &'a Segment,
    index: usize,
    rows: RowSet,
    probes: Vec<Probe>,
}

impl<'a> Sample<'a> {
    /// Rows spread over the segment; `None` if it is too small.
    fn take(segment: &'a Segment, index: usize, vector: &VectorSchema) -> Result<Option<Self>> {
        let Some(vectors) = segment.vectors(index)? else {
            return Ok(None);
        };
        let view = vectors.view;
        let rows = (0..view.len()).filter(|&row| view.is_present(row));
        let rows = RowSet::from_rows(view.len(), rows);
        let count = rows.count();
        if count < ROWS_LEAST {
            return Ok(None);
        }
        let queries = (COMPARED / count).clamp(*QUERIES.start(), *QUERIES.end());
        let step = (count / queries).max(1) as usize;
        let chosen = rows.iter().step_by(step).take(queries as usize);
        let probe = |row: Row| -> Result<Option<Probe>> {
            let Some(bytes) = view.vector(row) else {
                return Ok(None);
            };
            let query = Query::of_row(vector.metric, vector.element, bytes);
            let scorer = RowScorer::segment(segment, index, &query)?;
            let mut top = TopK::new(NEAREST + 1);
            index::scan_set(&scorer, &rows, &mut top);
            scorer.check()?;
            let nearest = others(row, top);
            let nearest = nearest.iter().map(|near| near.distance).collect();
            Ok(Some(Probe {
                row,
                query,
                nearest,
            }))
        };
        let chosen: Vec<Row> = chosen.collect();
        let probes: Result<Vec<Option<Probe>>> = chosen.into_par_iter().map(probe).collect();
        Ok(Some(Self {
            segment,
            index,
            probes: probes?.into_iter().flatten().collect(),
            rows,
        }))
    }

    fn of_codes(&self) -> Result<Vec<RecallPoint>> {
        let Some(rotated) = self.rotated()? else {
            return Ok(Vec::new());
        };
        let curve = DEVIATIONS.map(|deviations| {
            let find = |at: usize, top: &mut TopK| -> Result<()> {
                let query = &self.probes[at].query;
                let scorer = RowScorer::segment(self.segment, self.index, query)?;
                let Some(codes) = self.segment.codes(self.index)? else {
                    return Ok(());
                };
                let code_query = codes.query(&rotated[at], deviations);
                let bound = SharedBound::default();
                index::scan_codes(&codes, &code_query, &scorer, &self.rows, &bound, top);
                codes.check()?;
                scorer.check()
            };
            Ok(point(deviations, self.recall(find)?))
        });
        curve.into_iter().collect()
    }

    fn of_product(&self) -> Result<Vec<RecallPoint>> {
        if self.segment.product(self.index)?.is_none() {
            return Ok(Vec::new());
        }
        let curve = CANDIDATES.map(|factor| {
            let find = |at: usize, top: &mut TopK| -> Result<()> {
                let query = &self.probes[at].query;
                let scorer = RowScorer::segment(self.segment, self.index, query)?;
                let Some(product) = self.segment.product(self.index)? else {
                    return Ok(());
                };
                let product_query = product.query(query);
                let mut near = TopK::new(factor * NEAREST + 1);
                index::scan_product(product.codes(), &product_query, &self.rows, &mut near);
                let rows = near.into_sorted().into_iter().map(|near| near.row);
                index::scan(&scorer, rows, top);
                scorer.check()
            };
            Ok(point(factor as f32, self.recall(find)?))
        });
        curve.into_iter().collect()
    }

    /// On the path that searches take: by codes of one bit where there are codes, of which those of
    /// several bits, where they lead the way for want of memory, find no less; by vectors where
    /// there are none.
    fn of_graph(&self) -> Result<Vec<RecallPoint>> {
        let Some(graph) = self.segment.graph(self.index)? else {
            return Ok(Vec::new());
        };
        let rotated = self.rotated()?;
        let mut curve = Vec::with_capacity(BEAM_ROWS.len());
        for beam in BEAM_ROWS {
            let of_before: Option<&RecallPoint> = curve.last();
            let all_found = |before: &&RecallPoint| before.recall == RecallPoint::WHOLE;
            let recall = match (of_before.filter(all_found), &rotated) {
                // A wider beam finds them again.
                (Some(_), _) => 1.0,
                (None, Some(rotated)) => self.recall(self.coded_walk(&graph, rotated, beam))?,
                (None, None) => self.recall(self.walk(&graph, beam))?,
            };
            curve.push(point(beam as f32, recall));
        }
        Ok(curve)
    }

    /// A search of the graph by vectors.
    fn walk<'s>(&'s self, graph: &'s GraphView<'s>, beam: u32) -> impl Find + 's {
        move |at: usize, top: &mut TopK| {
            let query = &self.probes[at].query;
            let scorer = RowScorer::segment(self.segment, self.index, query)?;
            let settings = SearchSettings::with_ef(NEAREST as u32 + 1, beam);
            let mut scratch = Scratch::new();
            let found = index::search(graph, &scorer, &AcceptAll, settings, &mut scratch);
            found.neighbors.into_iter().for_each(|near| {
                top.push(near);
            });
            scorer.check()
        }
    }

    /// A search of the graph by codes, with as wide bounds as searches have at least.
    fn coded_walk<'s>(
        &'s self,
        graph: &'s GraphView<'s>,
        rotated: &'s [RotatedQuery],
        beam: u32,
    ) -> impl Find + 's {
        move |at: usize, top: &mut TopK| {
            let query = &self.probes[at].query;
            let scorer = RowScorer::segment(self.segment, self.index, query)?;
            let Some(codes) = self.segment.codes(self.index)? else {
                return Ok(());
            };
            let nodes = CodedGraph::unpacked(graph);
            let search = CodedSearch {
                graph,
                nodes: &nodes,
                codes: &codes,
                query: &codes.query(&rotated[at], DEVIATIONS_DEFAULT),
                scorer: &scorer,
            };
            let settings = CodedSettings {
                limit: NEAREST + 1,
                ef: beam as usize,
                margin: None,
                budget: u64::MAX,
                least: None,
                two_hops: false,
            };
            let (bound, mut scratch) = (SharedBound::default(), Scratch::new());
            index::search_coded(&search, &AcceptAll, settings, &bound, &mut scratch, top);
            codes.check()?;
            scorer.check()
        }
    }

    /// The probes as the codes want them; `None` if there are no codes, or none that estimate them.
    fn rotated(&self) -> Result<Option<Vec<RotatedQuery>>> {
        let Some(codes) = self.segment.codes(self.index)? else {
            return Ok(None);
        };
        let rotation = codes.space().rotation();
        let rotated = |probe: &Probe| RotatedQuery::new(rotation, &probe.query.prepared());
        let rotated: Vec<RotatedQuery> = self.probes.iter().map(rotated).collect();
        let finite = |rotated: &RotatedQuery| codes.query(rotated, DEVIATIONS_DEFAULT).is_finite();
        Ok(rotated.iter().all(finite).then_some(rotated))
    }

    /// The share of the nearest rows of all probes that `find` finds.
    fn recall(&self, find: impl Find) -> Result<f64> {
        let hits = |at: usize| -> Result<usize> {
            let probe = &self.probes[at];
            let mut top = TopK::new(NEAREST + 1);
            find(at, &mut top)?;
            let last = probe.nearest.last().copied().unwrap_or(f32::INFINITY);
            let found = others(probe.row, top);
            let near = found.iter().filter(|near| near.distance <= last).count();
            Ok(near.min(probe.nearest.len()))
        };
        let probes = (0..self.probes.len()).into_par_iter();
        let hits: Result<Vec<usize>> = probes.map(hits).collect();
        let wanted: usize = self.probes.iter().map(|probe| probe.nearest.len()).sum();
        Ok(hits?.iter().sum::<usize>() as f64 / wanted.max(1) as f64)
    }
}

/// What was found, without the row itself.
fn others(row: Row, top: TopK) -> Vec<Neighbor> {
    let mut found = top.into_sorted();
    found.retain(|near| near.row != row);
    found.truncate(NEAREST);
    found
}

fn point(setting: f32, recall: f64) -> RecallPoint {
    RecallPoint {
        setting: (f64::from(setting) * 1_000.0).round() as u32,
        recall: (recall * f64::from(RecallPoint::WHOLE)).floor() as u32,
    }
}
