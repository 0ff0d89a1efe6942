//! Executing the plan of one source: from its rows to its nearest matching ones.
//!
//! ```text
//! rows that have the vector ── columns: sure, open ── sample ── plan
//!     Graph-, ScanThenPayloads   search of the possible rows ── payloads ── enough? done
//!     else                 settle the open rows ── plan again, of what is now known
//!         Exact            scan of the vectors
//!         Gather, Codes    scan of the codes, then of the vectors near enough
//!         Graph, TwoHops   graph with the rows as its filter ── enough? done ── else a scan
//! ```
//!
//! # Invariants
//! - The result has `wanted` rows, or all that match if those are fewer.
//! - Among equally near rows those with the smallest ids are kept by a scan.

use engine::Source;
use format_spec::ids::{PointId, Row};
use format_spec::schema::{Schema, VectorSchema};
use index::effort::DEVIATIONS_DEFAULT;
use index::{CodedGraph, CodedSettings, Neighbor, RowSet, TopK};
use quant::Query;

use crate::budget::{Budget, TESTED_ROWS};
use crate::codes;
use crate::cost;
use crate::effort::Effort;
use crate::error::QueryError;
use crate::filter::{Bound, Candidates, RowTester, candidates, make_columns, note_payloads};
use crate::graph::{self, Among};
use crate::plan::{AccessPath, Facts, Plan, Rules, Share, choose};
use crate::product;
use crate::request::SearchParams;
use crate::trace::{Switch, Trace};

/// What every source is searched for.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) schema: &'a Schema,
    /// Position of the vector in the schema.
    pub(crate) vector: usize,
    pub(crate) query: &'a Query,
    pub(crate) filter: Option<&'a Bound<'a>>,
    pub(crate) params: &'a SearchParams,
    /// Results wanted of each source.
    pub(crate) wanted: usize,
    pub(crate) budget: Budget<'a>,
    /// What the scans of codes share.
    pub(crate) shared: codes::Shared,
    /// A path to take whatever it costs, where there is such a path.
    pub(crate) path: Option<AccessPath>,
}

/// Open rows that are tested without asking first how many match.
const SAMPLED_LEAST: u32 = 1_024;

/// A point found, and how near it is.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) distance: f32,
    pub(crate) id: PointId,
    pub(crate) row: Row,
}

/// The rows of a source that may match, and what is known of them.
pub(crate) struct Considered {
    pub(crate) found: Candidates,
    pub(crate) facts: Facts,
    pub(crate) rules: Rules,
}

impl Search<'_> {
    /// The nearest matching rows of `source`.
    pub(crate) fn source(
        &self,
        source: &Source,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<Near>, QueryError> {
        let started = trace.now();
        let considered = self.consider(source)?;
        let planned = trace.now();
        trace.actual.filter += planned.saturating_sub(started);
        let Some(considered) = considered else {
            trace.actual.matching = Some(0);
            return Ok(Vec::new());
        };
        let near = self.run(source, considered, trace)?;
        trace.actual.found = near.len();
        let done = trace.now().saturating_sub(started);
        trace.actual.search = done.saturating_sub(trace.actual.filter);
        Ok(near)
    }

    /// What may match, and the facts of a plan; `None` where nothing does, or the request leaves
    /// the source out.
    pub(crate) fn consider(&self, source: &Source) -> Result<Option<Considered>, QueryError> {
        self.budget.check()?;
        let rows = self.rows(source)?;
        let live = rows.count();
        let found = match self.filter {
            Some(filter) => candidates(filter, source, &rows, &self.budget)?,
            None => Candidates {
                open: RowSet::new(rows.len()),
                sure: rows,
            },
        };
        let facts = self.facts(source, live, &found)?;
        if facts.sure + facts.open == 0 || self.leaves_out(source, &facts)? {
            return Ok(None);
        }
        let rules = self.rules(source);
        Ok(Some(Considered {
            found,
            facts,
            rules,
        }))
    }

    fn run(
        &self,
        source: &Source,
        considered: Considered,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<Near>, QueryError> {
        let Some(considered) = self.with_columns(source, considered)? else {
            return Ok(Vec::new());
        };
        let Considered {
            found,
            mut facts,
            mut rules,
        } = considered;
        let mut plan = choose(&facts, &rules);
        trace.plan(&facts, &plan);
        if plan.path.is_before_payloads() {
            let near = self.then_payloads(source, &found, &facts, &plan, trace)?;
            if let Some(near) = near {
                trace.actual.path = Some(plan.path);
                return Ok(near);
            }
            // Of the ways that are left.
            rules.path = None;
        }
        let open = facts.open > 0;
        let rows = self.settle(source, found, facts.open, trace)?;
        if open {
            facts = facts.settled(rows.count(), codes::touched_blocks(&[&rows]));
            plan = choose(&facts, &rules);
            trace.plan(&facts, &plan);
        }
        trace.actual.matching = Some(facts.sure);
        self.along(source, &rows, &plan, trace)
    }

    /// What may match, once the columns are made for want of which many payloads were read.
    fn with_columns(
        &self,
        source: &Source,
        considered: Considered,
    ) -> Result<Option<Considered>, QueryError> {
        match self.filter.filter(|_| considered.facts.open > 0) {
            Some(filter) if make_columns(filter, source, 0, &self.budget)? => self.consider(source),
            Some(_) | None => Ok(Some(considered)),
        }
    }

    /// Takes the path of a plan among the rows that match.
    fn along(
        &self,
        source: &Source,
        rows: &RowSet,
        plan: &Plan,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<Near>, QueryError> {
        trace.actual.path = Some(plan.path);
        match plan.path {
            AccessPath::Exact => self.scan_rows(source, rows, trace),
            AccessPath::Gather | AccessPath::Codes => {
                self.scan_codes(source, rows, plan.path, trace)
            }
            AccessPath::Graph
            | AccessPath::GraphTwoHops
            | AccessPath::GraphThenPayloads
            | AccessPath::ScanThenPayloads => self.graph(source, rows, plan, trace),
        }
    }

    /// The deviations with which the graph of `source` is searched on the codes in its nodes, if it
    /// is.
    fn coded_deviations(&self, source: &Source) -> Option<f32> {
        let deviations = self.effort(source).deviations;
        let may = self.params.uses_codes() && source.coded_graph(self.vector).is_some();
        // The recall of graphs is measured with these at least.
        deviations
            .filter(|_| may)
            .map(|deviations| deviations.max(DEVIATIONS_DEFAULT))
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

    fn facts(&self, source: &Source, rows: u32, found: &Candidates) -> Result<Facts, QueryError> {
        let (sure, open) = (found.sure.count(), found.open.count());
        let effort = self.effort(source);
        let graph = !self.params.exact && effort.graph && graph::exists(source, self.vector)?;
        let codes = if self.params.uses_codes() && effort.deviations.is_some() {
            codes::shape(source, self.vector)?
        } else {
            None
        };
        let product_len = if self.params.uses_codes() && effort.candidates.is_some() {
            product::row_len(source, self.vector)?
        } else {
            None
        };
        let may_walk = graph && self.coded_deviations(source).is_some();
        let coded = source.coded_graph(self.vector).filter(|_| may_walk);
        let coded = coded.map(CodedGraph::layout);
        // A graph without codes in its nodes reads vectors step by step: from a disk that is slower
        // than a scan of codes.
        let cold = source.is_cold(self.vector)?;
        let any_codes = codes.is_some() || product_len.is_some();
        let graph = graph && (coded.is_some() || !any_codes || !cold);
        let mut open_share = Share::UNKNOWN;
        if let Some(filter) = self.filter
            && open > SAMPLED_LEAST
            && !self.params.exact
        {
            let mut tester = RowTester::new(filter, source);
            let (tested, matched) = tester.sample(&found.open)?;
            self.budget.note_cold(tester.cold_reads());
            open_share = Share::of_sample(tested, matched);
        }
        Ok(Facts {
            rows,
            sure,
            open,
            blocks: codes::touched_blocks(&[&found.sure, &found.open]),
            open_share,
            row_bytes: self.query.row_len(),
            cold,
            wanted: u32::try_from(self.wanted).unwrap_or(u32::MAX).min(rows),
            graph,
            codes,
            product_len,
            coded,
            payload_blocks: if open > 0 {
                cost::blocks_of(&found.open, source.payload_blocks()?)
            } else {
                0
            },
        })
    }

    pub(crate) fn effort(&self, source: &Source) -> Effort {
        Effort::new(source, self.vector, self.params).for_wanted(self.wanted, self.params)
    }

    fn rules(&self, source: &Source) -> Rules {
        let threshold_kb = self.vector_schema().hnsw.full_scan_threshold_kb;
        let effort = self.effort(source);
        let rows = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        let ef = effort.beam.map(rows);
        let full_scan_bytes = threshold_kb.saturating_mul(1024);
        Rules {
            exact: self.params.exact,
            ef,
            likely: rows(effort.likely_beam.min(codes::WIDTH_ADAPTIVE)),
            full_scan_bytes,
            path: self.path,
        }
    }

    /// Whether `indexed_only` leaves the source out: neither graph nor codes, and too large to scan
    /// in passing.
    fn leaves_out(&self, source: &Source, facts: &Facts) -> Result<bool, QueryError> {
        if !self.params.indexed_only || self.params.exact {
            return Ok(false);
        }
        // What there is, not what this request may use.
        let indexed = graph::exists(source, self.vector)?
            || codes::shape(source, self.vector)?.is_some()
            || product::row_len(source, self.vector)?.is_some();
        if indexed {
            return Ok(false);
        }
        let full_scan = self.vector_schema().hnsw.full_scan_threshold_kb;
        let most_kb = full_scan.max(self.schema.compaction.indexing_threshold_kb);
        let matching = u64::from(facts.sure) + u64::from(facts.open);
        Ok(matching.saturating_mul(facts.row_bytes as u64) > most_kb.saturating_mul(1024))
    }

    /// The rows that match, the `open` ones tested.
    fn settle(
        &self,
        source: &Source,
        found: Candidates,
        open: u32,
        trace: &mut Trace<'_>,
    ) -> Result<RowSet, QueryError> {
        let Some(filter) = self.filter.filter(|_| open > 0) else {
            return Ok(found.sure);
        };
        let started = trace.now();
        let rows = found.settle(filter, source, &self.budget)?;
        trace.actual.filter += trace.now().saturating_sub(started);
        trace.actual.payloads += u64::from(open);
        Ok(rows)
    }

    /// Scans the codes of these rows, or the rows themselves if there are no sound codes.
    fn scan_codes(
        &self,
        source: &Source,
        rows: &RowSet,
        path: AccessPath,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<Near>, QueryError> {
        self.budget.check()?;
        let effort = self.effort(source);
        if !self.params.uses_codes() {
            return self.scan_rows(source, rows, trace);
        }
        let place = (source, self.vector);
        if let Some(factor) = effort.candidates {
            let how = (self.wanted, self.params.codes, factor);
            if let Some(nearest) = product::nearest(place, self.query, rows, how, trace)? {
                return self.with_ids(source, &nearest);
            }
        }
        let Some(deviations) = effort.deviations else {
            return self.scan_rows(source, rows, trace);
        };
        let bounded = self.shared.is_bounded();
        let enough = self.wanted.min(rows.count() as usize);
        let how = codes::How {
            wanted: self.wanted,
            params: self.params.codes,
            deviations,
            gather: path == AccessPath::Gather,
            final_rows: true,
        };
        match codes::nearest(place, self.query, rows, how, &self.shared, trace)? {
            Some(nearest) if bounded || nearest.len() >= enough => self.with_ids(source, &nearest),
            _ => {
                trace.switch(Switch::Unusable);
                self.scan_rows(source, rows, trace)
            }
        }
    }

    /// Searches the graph among the matching rows, and scans them if that finds too few.
    fn graph(
        &self,
        source: &Source,
        rows: &RowSet,
        plan: &Plan,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<Near>, QueryError> {
        let enough = self.wanted.min(rows.count() as usize);
        let bounded = self.shared.is_bounded();
        match self.walk(source, rows, (self.wanted, true), plan, trace)? {
            Some(nearest) if bounded || nearest.len() >= enough => {
                return self.with_ids(source, &nearest);
            }
            Some(_) => trace.switch(Switch::TooFew),
            None => trace.switch(Switch::Unusable),
        }
        trace.actual.path = Some(plan.scan);
        if plan.scan == AccessPath::Exact {
            self.scan_rows(source, rows, trace)
        } else {
            self.scan_codes(source, rows, plan.scan, trace)
        }
    }

    /// Searches among the rows that may match and tests the payloads of what it finds; `None` if
    /// too few of those match.
    fn then_payloads(
        &self,
        source: &Source,
        found: &Candidates,
        facts: &Facts,
        plan: &Plan,
        trace: &mut Trace<'_>,
    ) -> Result<Option<Vec<Near>>, QueryError> {
        let possible = found.possible();
        let wider = facts.wanted_before_payloads() as usize;
        let nearest = if plan.path == AccessPath::GraphThenPayloads {
            self.walk(source, &possible, (wider, false), plan, trace)?
        } else {
            self.scan_wider(source, &possible, wider, trace)?
        };
        let Some(nearest) = nearest else {
            trace.switch(Switch::Unusable);
            return Ok(None);
        };
        let matching = self.test_found(source, found, nearest, trace)?;
        if matching.len() >= self.wanted {
            return self.with_ids(source, &matching[..self.wanted]).map(Some);
        }
        trace.switch(Switch::TooFew);
        Ok(None)
    }

    /// The `wanted` nearest of rows that may be no results, by a scan; `None` without sound codes
    /// where there were some.
    fn scan_wider(
        &self,
        source: &Source,
        rows: &RowSet,
        wanted: usize,
        trace: &mut Trace<'_>,
    ) -> Result<Option<Vec<Neighbor>>, QueryError> {
        self.budget.check()?;
        let (effort, place) = (self.effort(source), (source, self.vector));
        let has_codes = codes::shape(source, self.vector)?.is_some();
        if let Some(deviations) = effort
            .deviations
            .filter(|_| has_codes && self.params.uses_codes())
        {
            let how = codes::How {
                wanted,
                params: self.params.codes,
                deviations,
                gather: false,
                final_rows: false,
            };
            return codes::nearest(place, self.query, rows, how, &self.shared, trace);
        }
        let factor = effort.candidates.filter(|_| self.params.uses_codes());
        if let Some(factor) = factor
            && product::row_len(source, self.vector)?.is_some()
        {
            let how = (wanted, self.params.codes, factor);
            return product::nearest(place, self.query, rows, how, trace);
        }
        let scorer = source.scorer(self.vector, self.query)?;
        let mut top = TopK::new(wanted);
        self.in_turns(rows, |turn| {
            trace.scanned(index::scan(&scorer, turn.iter().copied(), &mut top));
        })?;
        scorer.check()?;
        trace.cold(&scorer);
        Ok(Some(top.into_sorted()))
    }

    /// The nearest of `rows` by the graph; `None` if there is no sound graph after all, or if the
    /// search gave up.
    fn walk(
        &self,
        source: &Source,
        rows: &RowSet,
        (wanted, final_rows): (usize, bool),
        plan: &Plan,
        trace: &mut Trace<'_>,
    ) -> Result<Option<Vec<Neighbor>>, QueryError> {
        self.budget.check()?;
        let place = (source, self.vector);
        if let Some(deviations) = self.coded_deviations(source) {
            let share = f64::from(rows.count()) / f64::from(rows.len().max(1));
            let Rules {
                ef: asked, likely, ..
            } = self.rules(source);
            let two_hops = plan.path == AccessPath::GraphTwoHops;
            // With two hops only accepted rows are in the beam.
            let held = if two_hops { 1.0 } else { share };
            let settings = CodedSettings {
                limit: codes::oversampled(wanted, self.params.codes)
                    .min(rows.count().max(1) as usize)
                    .max(wanted),
                ef: codes::width(held, wanted, (asked, likely), self.query.metric()),
                margin: codes::margin(self.query.metric()).filter(|_| asked.is_none()),
                budget: plan.visits_max,
                least: plan.least,
                two_hops,
            };
            let how = codes::How {
                wanted,
                params: self.params.codes,
                deviations,
                gather: false,
                final_rows,
            };
            return codes::walk(
                place,
                self.query,
                rows,
                (settings, how),
                &self.shared,
                trace,
            );
        }
        let among = Among {
            source,
            vector: self.vector,
            rows,
        };
        let beam = self.effort(source).beam;
        let limits = (plan.visits_max, plan.least);
        graph::nearest(&among, self.query, (wanted, beam), limits, trace)
    }

    /// Keeps those of `nearest` that match, in their order.
    fn test_found(
        &self,
        source: &Source,
        found: &Candidates,
        mut nearest: Vec<Neighbor>,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<Neighbor>, QueryError> {
        let Some(filter) = self.filter else {
            return Ok(nearest);
        };
        // In row order, so that rows of one payload block follow each other.
        nearest.sort_unstable_by_key(|near| near.row);
        let mut tester = RowTester::new(filter, source);
        let mut matching = Vec::with_capacity(nearest.len());
        let mut tested = 0;
        for (nth, near) in nearest.into_iter().enumerate() {
            if nth % TESTED_ROWS == 0 {
                self.budget.check()?;
            }
            let sure = found.sure.contains(near.row);
            tested += u32::from(!sure);
            if sure || tester.test(near.row)? {
                matching.push(near);
            }
        }
        trace.actual.payloads += u64::from(tested);
        self.budget.note_cold(tester.cold_reads());
        note_payloads(filter, source, tested, &self.budget)?;
        matching.sort_unstable();
        Ok(matching)
    }

    pub(crate) fn with_ids(
        &self,
        source: &Source,
        nearest: &[Neighbor],
    ) -> Result<Vec<Near>, QueryError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Condition, FieldPath, FieldTest, Filter, bind};
    use crate::plan::Why;
    use crate::request::CodeUse;
    use crate::world::{World, number, vector};
    use engine::{Placement, Residency, Snapshot, UpsertRows, VectorPlacement};
    use format_spec::schema::{Codec, FieldIndex, FieldType, Metric};
    use format_spec::value::Value;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    const DIM: usize = 12;
    const COUNT: u64 = 6_000;

    fn random(rng: &mut SmallRng) -> Vec<f32> {
        (0..DIM).map(|_| rng.random::<f32>() - 0.5).collect()
    }

    /// One segment with a graph; `color` (indexed) and `bare` (not) are 0..100.
    fn world() -> World {
        world_with(u64::MAX)
    }

    /// The same with memory for the lists of the graph alone.
    fn world_of_lists() -> World {
        let world = world_with(64 * COUNT);
        let layout = world.snapshot().sources()[0]
            .coded_graph(0)
            .unwrap()
            .layout();
        assert_eq!(layout, index::NodeLayout::Lists);
        world
    }

    fn world_with(coded_graph_bytes_max: u64) -> World {
        let mut schema = Schema {
            vectors: vec![vector("", DIM as u32, Metric::Euclid)],
            ..Schema::default()
        };
        schema.compaction.indexing_threshold_kb = 1;
        schema.fields.push(FieldIndex {
            path: "color".to_owned(),
            field_type: FieldType::Integer,
            settings: Vec::new(),
        });
        let world = World::with(schema, |settings| {
            settings.coded_graph_bytes_max = coded_graph_bytes_max;
        });
        let mut rng = SmallRng::seed_from_u64(3);
        let mut rows = UpsertRows::new(&world.collection.schema());
        for id in 0..COUNT {
            rows.begin(number(id));
            rows.vector(0, &random(&mut rng)).unwrap();
            let color = Value::Int(rng.random_range(0..100));
            let members = ["color", "bare"].map(|key| (key.to_owned(), color.clone()));
            rows.payload(&Value::Object(members.to_vec()).to_bytes());
        }
        world.upsert(rows);
        world.flush();
        world.settle();
        assert_eq!(world.snapshot().sources().len(), 1);
        world
    }

    fn below(key: &str, colors: i64) -> Filter {
        let lt = Some(colors as f64);
        let (path, test) = (
            FieldPath::parse(key).unwrap(),
            FieldTest::Range {
                gt: None,
                gte: None,
                lt,
                lte: None,
            },
        );
        Filter {
            must: vec![Condition::Field { path, test }],
            ..Filter::default()
        }
    }

    /// Runs a search of the one source along the path that is asked for.
    fn along(
        snapshot: &Snapshot,
        (path, visits_max): (AccessPath, u64),
        (query, wanted): (&Query, usize),
        filter: Option<&Filter>,
    ) -> Vec<Near> {
        let (source, schema) = (&snapshot.sources()[0], snapshot.schema());
        let bound = filter.map(|filter| bind(filter, schema).unwrap());
        let (params, budget) = (SearchParams::default(), Budget::UNLIMITED);
        let filter = bound.as_ref();
        let search = Search {
            schema,
            vector: 0,
            query,
            filter,
            params: &params,
            wanted,
            budget,
            shared: codes::Shared::new(true),
            path: None,
        };
        let Considered { found, facts, .. } = search.consider(source).unwrap().unwrap();
        assert!(facts.graph && facts.codes.is_some());
        let plan = Plan {
            path,
            why: Why::Asked,
            scan: AccessPath::Codes,
            visits_max,
            least: None,
            costs: [None; AccessPath::ALL.len()],
        };
        let trace = &mut Trace::default();
        if path.is_before_payloads() {
            let near = search.then_payloads(source, &found, &facts, &plan, trace);
            if let Some(near) = near.unwrap() {
                return near;
            }
        }
        let rows = search.settle(source, found, facts.open, trace).unwrap();
        let path = if path.is_before_payloads() {
            AccessPath::Codes
        } else {
            path
        };
        let plan = Plan { path, ..plan };
        search.along(source, &rows, &plan, trace).unwrap()
    }

    fn recall(found: &[Near], truth: &[Near]) -> f64 {
        let hits = found.iter().filter(|near| truth.contains(near)).count();
        hits as f64 / truth.len() as f64
    }

    #[test]
    fn every_path_finds_what_the_scan_finds() {
        for world in [world(), world_of_lists()] {
            check_every_path(&world);
        }
    }

    fn check_every_path(world: &World) {
        let snapshot = world.snapshot();
        let mut rng = SmallRng::seed_from_u64(4);
        for path in &AccessPath::ALL[1..] {
            let path = *path;
            for (key, colors) in [
                ("color", 100),
                ("color", 60),
                ("color", 20),
                ("bare", 60),
                ("bare", 20),
                ("bare", 5),
            ] {
                // Looking through rows is for few among many.
                if path == AccessPath::GraphTwoHops && colors > 20 {
                    continue;
                }
                for wanted in [1, 10, 100] {
                    let mut sum = 0.0;
                    for _ in 0..50 {
                        let values = random(&mut rng);
                        let (metric, element) = (Metric::Euclid, format_spec::Element::F32);
                        let query = Query::new(metric, element, DIM, &values).unwrap();
                        let filter = (colors < 100).then(|| below(key, colors));
                        let (asked, filter) = ((&query, wanted), filter.as_ref());
                        let truth = along(&snapshot, (AccessPath::Exact, 0), asked, filter);
                        let found = along(&snapshot, (path, u64::MAX), asked, filter);
                        assert_eq!(found.len(), truth.len());
                        sum += recall(&found, &truth);
                    }
                    let mean = sum / 50.0;
                    assert!(
                        mean >= 0.97,
                        "{path:?} {key} < {colors}, {wanted}: recall {mean}"
                    );
                }
            }
        }
    }

    /// One segment of clusters, of which `color` is the number, on a circle.
    fn clusters() -> World {
        let mut schema = Schema {
            vectors: vec![vector("", DIM as u32, Metric::Euclid)],
            ..Schema::default()
        };
        schema.compaction.indexing_threshold_kb = 1;
        schema.fields.push(FieldIndex {
            path: "color".to_owned(),
            field_type: FieldType::Integer,
            settings: Vec::new(),
        });
        let world = World::new(schema);
        let mut rng = SmallRng::seed_from_u64(13);
        let mut rows = UpsertRows::new(&world.collection.schema());
        for id in 0..COUNT {
            let color = id % 100;
            let mut values = random(&mut rng);
            move_to(&mut values, color as f32);
            rows.begin(number(id));
            rows.vector(0, &values).unwrap();
            let members = [("color".to_owned(), Value::Int(color as i64))];
            rows.payload(&Value::Object(members.to_vec()).to_bytes());
        }
        world.upsert(rows);
        world.flush();
        world.settle();
        world
    }

    /// To the centre of a cluster, which may be between two.
    fn move_to(values: &mut [f32], color: f32) {
        let angle = color / 100.0 * std::f32::consts::TAU;
        values[0] += 2.0 * angle.cos();
        values[1] += 2.0 * angle.sin();
    }

    /// A beam that fills with rows that do not match is noticed, and the search ends in the scan.
    /// The other walks hold matching rows only, and may find their way from those.
    #[test]
    fn rows_far_from_the_query_are_found() {
        let world = clusters();
        let snapshot = world.snapshot();
        let (source, schema) = (&snapshot.sources()[0], snapshot.schema());
        let mut rng = SmallRng::seed_from_u64(14);
        for ignore in [false, true] {
            let params = SearchParams {
                codes: CodeUse {
                    ignore,
                    ..CodeUse::default()
                },
                ..SearchParams::default()
            };
            for path in [AccessPath::Graph, AccessPath::GraphTwoHops] {
                for (far, switched) in [(true, Some(Switch::Correlation)), (false, None)] {
                    let mut sum = 0.0;
                    for _ in 0..20 {
                        let mut values = random(&mut rng);
                        move_to(&mut values, if far { 60.0 } else { 10.0 });
                        let (near, truth, why) =
                            walk_of_clusters(source, schema, &params, path, &values);
                        assert_eq!(near.len(), 10);
                        if path == AccessPath::Graph && !ignore {
                            assert_eq!(why, switched);
                        }
                        sum += recall(&near, &truth);
                    }
                    let least = if switched.is_some() { 0.95 } else { 0.9 };
                    let mean = sum / 20.0;
                    assert!(mean >= least, "{path:?}, {ignore}, {far}: {mean}");
                }
            }
        }
    }

    /// The nearest rows of the first clusters by a walk, by the scan, and why the walk gave up.
    fn walk_of_clusters(
        source: &Source,
        schema: &Schema,
        params: &SearchParams,
        path: AccessPath,
        values: &[f32],
    ) -> (Vec<Near>, Vec<Near>, Option<Switch>) {
        let query = Query::new(Metric::Euclid, format_spec::Element::F32, DIM, values).unwrap();
        let filter = below("color", 20);
        let bound = bind(&filter, schema).unwrap();
        let mut search = Search {
            schema,
            vector: 0,
            query: &query,
            filter: Some(&bound),
            params,
            wanted: 10,
            budget: Budget::UNLIMITED,
            shared: codes::Shared::new(true),
            path: Some(path),
        };
        let considered = search.consider(source).unwrap().unwrap();
        let (facts, rows) = (considered.facts, considered.found.sure);
        assert!(facts.graph && facts.coded.is_none() == params.codes.ignore);
        let least = index::LeastShare {
            share: 0.05,
            global: 0.2,
        };
        let plan = Plan {
            path,
            least: Some(least),
            ..choose(&facts, &considered.rules)
        };
        let mut trace = Trace::default();
        let near = search.along(source, &rows, &plan, &mut trace).unwrap();
        search.path = Some(AccessPath::Exact);
        let truth = search.source(source, &mut Trace::default()).unwrap();
        (near, truth, trace.actual.switched)
    }

    /// Recall of the rows wanted by the graph when one is asked for, and the path that was taken.
    fn by_graph(
        snapshot: &Snapshot,
        (asked, wanted): (f32, usize),
        rng: &mut SmallRng,
    ) -> (f64, Option<AccessPath>) {
        let params = SearchParams {
            recall: Some(asked),
            ..SearchParams::default()
        };
        let (mut sum, mut taken) = (0.0, None);
        for _ in 0..100 {
            let values = random(rng);
            let (metric, element) = (Metric::Euclid, format_spec::Element::F32);
            let query = Query::new(metric, element, DIM, &values).unwrap();
            let truth = along(snapshot, (AccessPath::Exact, 0), (&query, wanted), None);
            let search = Search {
                schema: snapshot.schema(),
                vector: 0,
                query: &query,
                filter: None,
                params: &params,
                wanted,
                budget: Budget::UNLIMITED,
                shared: codes::Shared::new(true),
                path: Some(AccessPath::Graph),
            };
            let mut trace = Trace::default();
            let found = search.source(&snapshot.sources()[0], &mut trace).unwrap();
            taken = trace.actual.path;
            sum += recall(&found, &truth);
        }
        (sum / 100.0, taken)
    }

    /// What a graph finds is measured on the path that searches take: by codes of one bit where
    /// these are in its nodes.
    #[test]
    fn a_recall_that_is_asked_for_is_reached_by_the_graph() {
        let worlds = [world(), world_of_lists()];
        let codecs = [Codec::Auto, Codec::Bits1];
        let mut rng = SmallRng::seed_from_u64(15);
        for (world, codec) in worlds
            .iter()
            .flat_map(|world| codecs.map(|codec| (world, codec)))
        {
            world.alter(|schema| schema.vectors[0].codec = codec);
            world.settle();
            let snapshot = world.snapshot();
            let source = &snapshot.sources()[0];
            assert!(source.coded_graph(0).is_some());
            let curve = source.known_recall_of_graph(0);
            assert!(curve.is_sorted_by_key(|point| point.setting), "{curve:?}");
            for (asked, wanted) in [(0.8, 10), (0.9, 10), (0.98, 10), (0.9, 50)] {
                let (reached, path) = by_graph(&snapshot, (asked, wanted), &mut rng);
                // With a beam for many rows a walk may cost more than the scan, and give way to it.
                assert!(wanted > 10 || path == Some(AccessPath::Graph));
                let what = format!("{codec:?}, {asked}, {wanted} wanted: {reached}, {curve:?}");
                assert!(reached >= f64::from(asked) - 0.01, "{what}");
            }
        }
    }

    #[test]
    fn codes_of_any_bits_are_scanned_and_walked() {
        let world = world();
        let mut rng = SmallRng::seed_from_u64(8);
        for codec in [Codec::Bits1, Codec::Bits2, Codec::Bits8] {
            world.alter(|schema| schema.vectors[0].codec = codec);
            world.settle();
            let snapshot = world.snapshot();
            assert!(snapshot.sources()[0].coded_graph(0).is_some());
            for path in [AccessPath::Codes, AccessPath::Gather, AccessPath::Graph] {
                let mut sum = 0.0;
                for _ in 0..20 {
                    let values = random(&mut rng);
                    let (metric, element) = (Metric::Euclid, format_spec::Element::F32);
                    let query = Query::new(metric, element, DIM, &values).unwrap();
                    let truth = along(&snapshot, (AccessPath::Exact, 0), (&query, 10), None);
                    let found = along(&snapshot, (path, u64::MAX), (&query, 10), None);
                    assert_eq!(found.len(), truth.len());
                    sum += recall(&found, &truth);
                }
                let mean = sum / 20.0;
                assert!(mean >= 0.97, "{codec:?}, {path:?}: recall {mean}");
            }
        }
    }

    /// Vectors whose squares are beyond any float are found, and hide no others.
    #[test]
    fn huge_vectors_are_compared_exactly() {
        let mut schema = Schema {
            vectors: vec![vector("", DIM as u32, Metric::Euclid)],
            ..Schema::default()
        };
        schema.compaction.indexing_threshold_kb = 1;
        let world = World::new(schema);
        let mut rng = SmallRng::seed_from_u64(9);
        let mut rows = UpsertRows::new(&world.collection.schema());
        for id in 0..900 {
            rows.begin(number(id));
            let mut values = random(&mut rng);
            if id % 300 == 7 {
                values[3] = 3e38;
            }
            rows.vector(0, &values).unwrap();
        }
        world.upsert(rows);
        world.flush();
        world.settle();
        let cold = VectorPlacement {
            originals: Residency::Cold,
            ..VectorPlacement::default()
        };
        for placed in [VectorPlacement::default(), cold] {
            world.collection.place(Placement {
                vectors: [(String::new(), placed)].into(),
                ..Placement::default()
            });
            huge_vectors_are_found(&world.snapshot(), &mut rng);
        }
    }

    fn huge_vectors_are_found(snapshot: &Snapshot, rng: &mut SmallRng) {
        for _ in 0..20 {
            let query = random(rng);
            let (metric, element) = (Metric::Euclid, format_spec::Element::F32);
            let query = Query::new(metric, element, DIM, &query).unwrap();
            for wanted in [1, 10] {
                let truth = along(snapshot, (AccessPath::Exact, 0), (&query, wanted), None);
                let found = along(snapshot, (AccessPath::Codes, 0), (&query, wanted), None);
                assert!(recall(&found, &truth) >= 0.9, "{wanted}");
            }
        }
        for values in [random(rng), vec![2e38; DIM]] {
            let (metric, element) = (Metric::Euclid, format_spec::Element::F32);
            let query = Query::new(metric, element, DIM, &values).unwrap();
            let asked = (&query, 900);
            let truth = along(snapshot, (AccessPath::Exact, 0), asked, None);
            assert_eq!(truth.len(), 900);
            for path in [AccessPath::Codes, AccessPath::Graph] {
                let found = along(snapshot, (path, u64::MAX), asked, None);
                assert_eq!(found.len(), 900, "{path:?}");
            }
        }
    }

    /// Rows in memory have codes as well, but for the newest, which are compared one by one.
    #[test]
    fn rows_in_memory_are_found_by_their_codes() {
        let schema = Schema {
            vectors: vec![vector("", DIM as u32, Metric::Euclid)],
            ..Schema::default()
        };
        let world = World::new(schema);
        let mut rng = SmallRng::seed_from_u64(11);
        let (mut wanted, mut found) = (0, 0);
        for batch in 0..5 {
            let mut rows = UpsertRows::new(&world.collection.schema());
            for id in batch * 1_100..(batch + 1) * 1_100 {
                rows.begin(number(id));
                rows.vector(0, &random(&mut rng)).unwrap();
            }
            world.upsert(rows);
        }
        let mut gone: Vec<_> = (0..300).map(|n| number(n * 7)).collect();
        gone.push(number(5_499));
        world.collection.write(deletes(gone)).unwrap();
        let snapshot = world.snapshot();
        let source = &snapshot.sources()[0];
        assert!(snapshot.sources().len() == 1 && source.segment_id().is_none());
        assert!(source.code_shape(0).unwrap().is_some());
        let of_memory = source.codes(0).unwrap().unwrap();
        let newest = of_memory.uncoded(&source.live()).unwrap();
        assert!((1..1_100).contains(&newest.count()), "{}", newest.count());
        for _ in 0..40 {
            let (metric, element) = (Metric::Euclid, format_spec::Element::F32);
            let query = Query::new(metric, element, DIM, &random(&mut rng)).unwrap();
            let search = |exact| {
                let params = SearchParams {
                    exact,
                    ..SearchParams::default()
                };
                let search = Search {
                    schema: snapshot.schema(),
                    vector: 0,
                    query: &query,
                    filter: None,
                    params: &params,
                    wanted: 10,
                    budget: Budget::UNLIMITED,
                    shared: codes::Shared::new(true),
                    path: None,
                };
                let rows = search.rows(source).unwrap();
                let mut trace = Trace::default();
                if exact {
                    search.scan_rows(source, &rows, &mut trace).unwrap()
                } else {
                    let path = AccessPath::Codes;
                    search.scan_codes(source, &rows, path, &mut trace).unwrap()
                }
            };
            let (truth, near) = (search(true), search(false));
            assert_eq!(near.len(), 10);
            assert!(near.iter().all(|near| source.is_live(near.row)));
            wanted += truth.len();
            found += near.iter().filter(|near| truth.contains(near)).count();
        }
        assert!(found * 100 >= wanted * 97, "{found} of {wanted}");
    }

    fn deletes(ids: Vec<PointId>) -> engine::WriteBatch {
        let mut batch = engine::WriteBatch::new();
        batch.delete(ids);
        batch
    }

    #[test]
    fn a_search_out_of_budget_or_short_of_rows_ends_in_the_scan() {
        let world = world();
        let snapshot = world.snapshot();
        let values = random(&mut SmallRng::seed_from_u64(5));
        let query = Query::new(Metric::Euclid, format_spec::Element::F32, DIM, &values).unwrap();
        for (key, colors) in [("color", 1), ("bare", 1), ("bare", 90)] {
            let filter = below(key, colors);
            for wanted in [10, 5_000] {
                let asked = (&query, wanted);
                let truth = along(&snapshot, (AccessPath::Exact, 0), asked, Some(&filter));
                for path in [
                    AccessPath::Graph,
                    AccessPath::GraphTwoHops,
                    AccessPath::GraphThenPayloads,
                ] {
                    let broke = along(&snapshot, (path, 1), asked, Some(&filter));
                    assert_eq!(broke, truth, "{path:?} {key} < {colors}");
                    let found = along(&snapshot, (path, u64::MAX), asked, Some(&filter));
                    assert_eq!(found.len(), truth.len());
                }
            }
        }
    }
}
