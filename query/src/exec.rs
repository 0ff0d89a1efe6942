//! Executing the plan of one source: from its rows to its nearest matching ones.
//!
//! ```text
//! rows that have the vector ── columns: sure, open ── sample ── plan
//!     Exact                settle ── scan
//!     Graph                settle ── graph with the rows as its filter ─┬─ enough? done
//!     GraphThenPayloads    graph with the possible rows ── payloads ────┴─ else settle ── scan
//! ```
//!
//! # Invariants
//! - The result has `wanted` rows, or all that match if those are fewer.
//! - Among equally near rows those with the smallest ids are kept by a scan.

use std::cell::RefCell;

use engine::{ErrorKind, RowScorer, Source};
use format_spec::ids::{PointId, Row};
use format_spec::schema::{Schema, VectorSchema};
use index::{Accept, AcceptAll, Found, Neighbor, RowSet, Scratch, SearchSettings, TopK};
use quant::Query;

use crate::budget::{Budget, SCAN_ROWS};
use crate::error::QueryError;
use crate::filter::{Bound, Candidates, RowTester, candidates};
use crate::plan::{AccessPath, Facts, Plan, Rules, choose};
use crate::request::Params;

/// What every source is searched for.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) schema: &'a Schema,
    /// Position of the vector in the schema.
    pub(crate) vector: usize,
    pub(crate) query: &'a Query,
    pub(crate) filter: Option<&'a Bound<'a>>,
    pub(crate) params: &'a Params,
    /// Results wanted of each source.
    pub(crate) wanted: usize,
    pub(crate) budget: Budget<'a>,
}

/// A point found, and how near it is.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) distance: f32,
    pub(crate) id: PointId,
    pub(crate) row: Row,
}

thread_local! {
    /// Grows with the largest segment that the thread has searched.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Search<'_> {
    /// The nearest matching rows of `source`.
    pub(crate) fn source(&self, source: &Source) -> Result<Vec<Near>, QueryError> {
        self.budget.check()?;
        let rows = self.rows(source)?;
        let found = match self.filter {
            Some(filter) => candidates(filter, source, &rows)?,
            None => Candidates {
                open: RowSet::new(rows.len()),
                sure: rows.clone(),
            },
        };
        let facts = self.facts(source, &rows, &found)?;
        if facts.sure + facts.open == 0 || self.leaves_out(&facts) {
            return Ok(Vec::new());
        }
        let plan = choose(&facts, &self.rules());
        match plan.path {
            AccessPath::Exact => self.scan(source, found),
            AccessPath::Graph => self.graph(source, found, &plan),
            AccessPath::GraphThenPayloads => self.graph_then_payloads(source, found, &facts, &plan),
        }
    }

    fn vector_schema(&self) -> &VectorSchema {
        &self.schema.vectors[self.vector]
    }

    /// The live rows that have the vector.
    fn rows(&self, source: &Source) -> Result<RowSet, QueryError> {
        let mut rows = source.live();
        if let Some(present) = source.present(self.vector)? {
            rows.and(&present);
        }
        Ok(rows)
    }

    fn facts(
        &self,
        source: &Source,
        rows: &RowSet,
        found: &Candidates,
    ) -> Result<Facts, QueryError> {
        let (sure, open) = (found.sure.count(), found.open.count());
        let graph = !self.params.exact && has_graph(source, self.vector)?;
        let mut open_share = 1.0;
        // Only the choice between graph and scan asks how many of the open rows match.
        if let Some(filter) = self.filter
            && graph
            && open > 0
        {
            let (tested, matched) = RowTester::new(filter, source).sample(&found.open)?;
            // Agresti and Coull: two successes and two failures are added to the sample.
            open_share = (f64::from(matched) + 2.0) / (f64::from(tested) + 4.0);
        }
        Ok(Facts {
            rows: rows.count(),
            sure,
            open,
            open_share,
            row_bytes: self.query.row_len(),
            wanted: u32::try_from(self.wanted)
                .unwrap_or(u32::MAX)
                .min(rows.len()),
            graph,
            sealed: source.segment_id().is_some(),
        })
    }

    fn rules(&self) -> Rules {
        let threshold_kb = self.vector_schema().hnsw.full_scan_threshold_kb;
        let ef = self
            .params
            .hnsw_ef
            .map(|ef| u32::try_from(ef).unwrap_or(u32::MAX));
        let full_scan_bytes = threshold_kb.saturating_mul(1024);
        Rules {
            exact: self.params.exact,
            ef,
            full_scan_bytes,
        }
    }

    /// Whether `indexed_only` leaves the source out: no graph, and too large to scan in passing.
    fn leaves_out(&self, facts: &Facts) -> bool {
        if !self.params.indexed_only || facts.graph || self.params.exact {
            return false;
        }
        let full_scan = self.vector_schema().hnsw.full_scan_threshold_kb;
        let most_kb = full_scan.max(self.schema.compaction.indexing_threshold_kb);
        let matching = u64::from(facts.sure) + u64::from(facts.open);
        matching.saturating_mul(facts.row_bytes as u64) > most_kb.saturating_mul(1024)
    }

    fn settle(&self, source: &Source, found: Candidates) -> Result<RowSet, QueryError> {
        match self.filter {
            Some(filter) => found.settle(filter, source, &self.budget),
            None => Ok(found.sure),
        }
    }

    /// Scores every matching row.
    fn scan(&self, source: &Source, found: Candidates) -> Result<Vec<Near>, QueryError> {
        let rows = self.settle(source, found)?;
        self.scan_rows(source, &rows)
    }

    fn scan_rows(&self, source: &Source, rows: &RowSet) -> Result<Vec<Near>, QueryError> {
        let scorer = source.scorer(self.vector, self.query)?;
        // One more than wanted shows whether the last place is shared.
        let mut top = TopK::new(self.wanted.saturating_add(1));
        self.in_turns(rows, |turn| {
            index::scan(&scorer, turn.iter().copied(), &mut top);
        })?;
        scorer.check()?;
        let mut nearest = top.into_sorted();
        let Some(beyond) = nearest.get(self.wanted).copied() else {
            return self.with_ids(source, &nearest);
        };
        nearest.truncate(self.wanted);
        let last = nearest.last().map(|last| last.distance);
        if last != Some(beyond.distance) {
            return self.with_ids(source, &nearest);
        }
        // The last place is shared: of the rows just as far, those with the smallest ids are
        // wanted.
        nearest.retain(|near| near.distance < beyond.distance);
        let mut result = self.with_ids(source, &nearest)?;
        let tied = self.tied(source, rows, &scorer, beyond.distance)?;
        result.extend(tied.into_iter().take(self.wanted - result.len()));
        Ok(result)
    }

    /// The rows at exactly this distance, by id.
    fn tied(
        &self,
        source: &Source,
        rows: &RowSet,
        scorer: &RowScorer<'_>,
        distance: f32,
    ) -> Result<Vec<Near>, QueryError> {
        let mut tied = Vec::new();
        let mut distances = Vec::new();
        self.in_turns(rows, |turn| {
            distances.resize(turn.len(), 0.0);
            index::Scorer::distances(scorer, turn, &mut distances);
            let pairs = turn.iter().zip(&distances);
            tied.extend(
                pairs
                    .filter(|(_, d)| **d == distance)
                    .map(|(row, _)| Neighbor {
                        distance,
                        row: *row,
                    }),
            );
        })?;
        scorer.check()?;
        let mut tied = self.with_ids(source, &tied)?;
        tied.sort_unstable_by_key(|near| near.id);
        Ok(tied)
    }

    /// Calls `take` with some thousand rows at a time, as long as there is time.
    fn in_turns(&self, rows: &RowSet, mut take: impl FnMut(&[Row])) -> Result<(), QueryError> {
        let mut turn = Vec::with_capacity(SCAN_ROWS);
        let mut rows = rows.iter();
        loop {
            self.budget.check()?;
            turn.clear();
            turn.extend(rows.by_ref().take(SCAN_ROWS));
            if turn.is_empty() {
                return Ok(());
            }
            take(&turn);
        }
    }

    /// Searches the graph among the matching rows, and scans them if that finds too few.
    fn graph(
        &self,
        source: &Source,
        found: Candidates,
        plan: &Plan,
    ) -> Result<Vec<Near>, QueryError> {
        let rows = self.settle(source, found)?;
        let enough = self.wanted.min(rows.count() as usize);
        let settings = self.settings(self.wanted).budget(plan.visits_max);
        match self.walk(source, &rows, settings)? {
            Some(nearest) if !nearest.exhausted_budget && nearest.neighbors.len() >= enough => {
                self.with_ids(source, &nearest.neighbors)
            }
            _ => self.scan_rows(source, &rows),
        }
    }

    /// Searches the graph among the rows that may match and tests the payloads of what it finds.
    fn graph_then_payloads(
        &self,
        source: &Source,
        found: Candidates,
        facts: &Facts,
        plan: &Plan,
    ) -> Result<Vec<Near>, QueryError> {
        let possible = found.possible();
        let wider = facts.wanted_before_payloads() as usize;
        let settings = self.settings(wider).budget(plan.visits_max);
        if let Some(nearest) = self.walk(source, &possible, settings)?
            && !nearest.exhausted_budget
        {
            let matching = self.test_found(source, &found, nearest.neighbors)?;
            if matching.len() >= self.wanted {
                return self.with_ids(source, &matching[..self.wanted]);
            }
        }
        self.scan(source, found)
    }

    /// Keeps those of `nearest` that match, in their order.
    fn test_found(
        &self,
        source: &Source,
        found: &Candidates,
        mut nearest: Vec<Neighbor>,
    ) -> Result<Vec<Neighbor>, QueryError> {
        let Some(filter) = self.filter else {
            return Ok(nearest);
        };
        // In row order, so that rows of one payload block follow each other.
        nearest.sort_unstable_by_key(|near| near.row);
        let mut tester = RowTester::new(filter, source);
        let mut matching = Vec::with_capacity(nearest.len());
        for near in nearest {
            if found.sure.contains(near.row) || tester.test(near.row)? {
                matching.push(near);
            }
        }
        matching.sort_unstable();
        Ok(matching)
    }

    fn settings(&self, wanted: usize) -> SearchSettings {
        let limit = u32::try_from(wanted).unwrap_or(u32::MAX);
        match self.params.hnsw_ef {
            Some(ef) => SearchSettings::with_ef(limit, u32::try_from(ef).unwrap_or(u32::MAX)),
            None => {
                let adaptive = SearchSettings::adaptive(limit);
                // The last of as many rows as the beam is wide is found by luck.
                SearchSettings {
                    ef: adaptive.ef.max(limit.saturating_mul(2)),
                    ..adaptive
                }
            }
        }
    }

    /// Searches the graph among `rows`; `None` if there is no sound graph after all.
    fn walk(
        &self,
        source: &Source,
        rows: &RowSet,
        settings: SearchSettings,
    ) -> Result<Option<Found>, QueryError> {
        self.budget.check()?;
        let Some(graph) = sound(source.graph(self.vector))? else {
            return Ok(None);
        };
        let scorer = source.scorer(self.vector, self.query)?;
        let all = rows.count() == rows.len();
        let mut scratch = SCRATCH.take();
        let found = if all {
            walk_among(&graph, &scorer, &AcceptAll, settings, &mut scratch)
        } else {
            walk_among(&graph, &scorer, rows, settings, &mut scratch)
        };
        SCRATCH.replace(scratch);
        scorer.check()?;
        Ok(Some(found))
    }

    fn with_ids(&self, source: &Source, nearest: &[Neighbor]) -> Result<Vec<Near>, QueryError> {
        let with_id = |near: &Neighbor| {
            let id = source.id(near.row)?;
            Ok(Near {
                distance: near.distance,
                id,
                row: near.row,
            })
        };
        nearest.iter().map(with_id).collect()
    }
}

fn walk_among<G: index::Adjacency + ?Sized, F: Accept>(
    graph: &G,
    scorer: &RowScorer<'_>,
    accept: &F,
    settings: SearchSettings,
    scratch: &mut Scratch,
) -> Found {
    index::search(graph, scorer, accept, settings, scratch)
}

/// Whether there is a graph of the vector.
fn has_graph(source: &Source, vector: usize) -> Result<bool, QueryError> {
    Ok(sound(source.graph(vector))?.is_some())
}

/// A damaged graph counts as none: it is derived, and the rows can be scanned until it is rebuilt.
fn sound<T>(graph: engine::Result<Option<T>>) -> Result<Option<T>, QueryError> {
    match graph {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        opened => Ok(opened?),
    }
}
