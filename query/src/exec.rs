//! Executing the plan of one source: from its rows to its nearest matching ones.
//!
//! ```text
//! rows that have the vector ── columns: sure, open ── sample ── plan
//!     Exact                settle ── scan
//!     Codes                settle ── scan of the codes, then of the vectors near enough
//!     Graph                settle ── graph with the rows as its filter ─┬─ enough? done
//!     GraphThenPayloads    graph with the possible rows ── payloads ────┴─ else settle ── scan
//! ```
//!
//! # Invariants
//! - The result has `wanted` rows, or all that match if those are fewer.
//! - Among equally near rows those with the smallest ids are kept by a scan.

use engine::{RowScorer, Source};
use format_spec::ids::{PointId, Row};
use format_spec::schema::{Schema, VectorSchema};
use index::{CodedSettings, Neighbor, RowSet, TopK};
use quant::Query;

use crate::budget::{Budget, SCAN_ROWS};
use crate::codes;
use crate::effort::Effort;
use crate::error::QueryError;
use crate::filter::{Bound, Candidates, RowTester, candidates};
use crate::graph::{self, Among};
use crate::plan::{AccessPath, Facts, Plan, Rules, choose};
use crate::product;
use crate::request::SearchParams;

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
}

/// A point found, and how near it is.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) distance: f32,
    pub(crate) id: PointId,
    pub(crate) row: Row,
}

impl Search<'_> {
    /// The nearest matching rows of `source`.
    pub(crate) fn source(&self, source: &Source) -> Result<Vec<Near>, QueryError> {
        self.budget.check()?;
        let rows = self.rows(source)?;
        let live = rows.count();
        let found = match self.filter {
            Some(filter) => candidates(filter, source, &rows)?,
            None => Candidates {
                open: RowSet::new(rows.len()),
                sure: rows,
            },
        };
        let facts = self.facts(source, live, &found)?;
        if facts.sure + facts.open == 0 || self.leaves_out(source, &facts)? {
            return Ok(Vec::new());
        }
        self.execute(source, found, &facts, &choose(&facts, &self.rules(source)))
    }

    fn execute(
        &self,
        source: &Source,
        found: Candidates,
        facts: &Facts,
        plan: &Plan,
    ) -> Result<Vec<Near>, QueryError> {
        match plan.path {
            AccessPath::Exact => self.scan(source, found),
            AccessPath::Codes => self.codes(source, found),
            AccessPath::Graph => self.graph(source, found, plan),
            AccessPath::GraphThenPayloads => self.graph_then_payloads(source, found, facts, plan),
        }
    }

    /// The deviations with which the graph of `source` is searched on the codes in its nodes, if it
    /// is.
    fn coded_deviations(&self, source: &Source) -> Option<f32> {
        let deviations = self.effort(source).deviations;
        let may = self.params.uses_codes() && source.coded_graph(self.vector).is_some();
        deviations.filter(|_| may)
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
        let code_dim = if self.params.uses_codes() && effort.deviations.is_some() {
            codes::dimension(source, self.vector)?
        } else {
            None
        };
        let product_len = if self.params.uses_codes() && effort.candidates.is_some() {
            product::row_len(source, self.vector)?
        } else {
            None
        };
        let coded = graph && self.coded_deviations(source).is_some();
        // A graph without codes in its nodes reads vectors step by step: from a disk that is slower
        // than a scan of codes.
        let graph = graph && (coded || code_dim.is_none() || !source.is_cold(self.vector)?);
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
            rows,
            sure,
            open,
            open_share,
            row_bytes: self.query.row_len(),
            wanted: u32::try_from(self.wanted).unwrap_or(u32::MAX).min(rows),
            graph,
            code_dim,
            product_len,
            coded,
            sealed: source.segment_id().is_some(),
        })
    }

    fn effort(&self, source: &Source) -> Effort {
        Effort::new(source, self.vector, self.params)
    }

    fn rules(&self, source: &Source) -> Rules {
        let threshold_kb = self.vector_schema().hnsw.full_scan_threshold_kb;
        let beam = self.effort(source).beam;
        let ef = beam.map(|ef| u32::try_from(ef).unwrap_or(u32::MAX));
        let full_scan_bytes = threshold_kb.saturating_mul(1024);
        Rules {
            exact: self.params.exact,
            ef,
            full_scan_bytes,
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
            || codes::dimension(source, self.vector)?.is_some()
            || product::row_len(source, self.vector)?.is_some();
        if indexed {
            return Ok(false);
        }
        let full_scan = self.vector_schema().hnsw.full_scan_threshold_kb;
        let most_kb = full_scan.max(self.schema.compaction.indexing_threshold_kb);
        let matching = u64::from(facts.sure) + u64::from(facts.open);
        Ok(matching.saturating_mul(facts.row_bytes as u64) > most_kb.saturating_mul(1024))
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

    /// Scans the codes of the matching rows.
    fn codes(&self, source: &Source, found: Candidates) -> Result<Vec<Near>, QueryError> {
        let rows = self.settle(source, found)?;
        self.scan_codes(source, &rows)
    }

    /// Scans the codes of these rows, or the rows themselves if there are no sound codes.
    fn scan_codes(&self, source: &Source, rows: &RowSet) -> Result<Vec<Near>, QueryError> {
        self.budget.check()?;
        let effort = self.effort(source);
        if !self.params.uses_codes() {
            return self.scan_rows(source, rows);
        }
        let place = (source, self.vector);
        if let Some(factor) = effort.candidates {
            let how = (self.wanted, self.params.codes, factor);
            if let Some(nearest) = product::nearest(place, self.query, rows, how)? {
                return self.with_ids(source, &nearest);
            }
        }
        let Some(deviations) = effort.deviations else {
            return self.scan_rows(source, rows);
        };
        let bounded = self.shared.is_bounded();
        let enough = self.wanted.min(rows.count() as usize);
        let how = (self.wanted, self.params.codes, deviations);
        match codes::nearest(place, self.query, rows, how, &self.shared)? {
            Some(nearest) if bounded || nearest.len() >= enough => self.with_ids(source, &nearest),
            _ => self.scan_rows(source, rows),
        }
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
        let bounded = self.shared.is_bounded();
        match self.walk(source, &rows, (self.wanted, true), plan)? {
            Some(nearest) if bounded || nearest.len() >= enough => self.with_ids(source, &nearest),
            _ => self.scan_codes(source, &rows),
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
        if let Some(nearest) = self.walk(source, &possible, (wider, false), plan)? {
            let matching = self.test_found(source, &found, nearest)?;
            if matching.len() >= self.wanted {
                return self.with_ids(source, &matching[..self.wanted]);
            }
        }
        self.codes(source, found)
    }

    /// The nearest of `rows` by the graph; `None` if there is no sound graph after all, or if the
    /// search has spent what the scan would cost.
    fn walk(
        &self,
        source: &Source,
        rows: &RowSet,
        (wanted, final_rows): (usize, bool),
        plan: &Plan,
    ) -> Result<Option<Vec<Neighbor>>, QueryError> {
        self.budget.check()?;
        let place = (source, self.vector);
        if let Some(deviations) = self.coded_deviations(source) {
            let share = f64::from(rows.count()) / f64::from(rows.len().max(1));
            let asked = self.rules(source).ef;
            let settings = CodedSettings {
                limit: codes::oversampled(wanted, self.params.codes)
                    .min(rows.count().max(1) as usize)
                    .max(wanted),
                ef: codes::width(share, wanted, asked, self.query.metric()),
                margin: codes::margin(self.query.metric()).filter(|_| asked.is_none()),
                budget: plan.visits_max,
            };
            return codes::walk(
                place,
                self.query,
                rows,
                (settings, wanted, self.params.codes, deviations),
                (&self.shared, final_rows),
            );
        }
        let among = Among {
            source,
            vector: self.vector,
            rows,
        };
        graph::nearest(
            &among,
            self.query,
            wanted,
            self.effort(source).beam,
            plan.visits_max,
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Condition, FieldPath, FieldTest, Filter, bind};
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
        };
        let rows = search.rows(source).unwrap();
        let found = match filter {
            Some(filter) => candidates(filter, source, &rows).unwrap(),
            None => Candidates {
                open: RowSet::new(rows.len()),
                sure: rows.clone(),
            },
        };
        let facts = search.facts(source, rows.count(), &found).unwrap();
        assert!(facts.graph && facts.sealed && facts.code_dim.is_some());
        let plan = Plan {
            path,
            cost_ns: 0.0,
            visits_max,
        };
        search.execute(source, found, &facts, &plan).unwrap()
    }

    fn recall(found: &[Near], truth: &[Near]) -> f64 {
        let hits = found.iter().filter(|near| truth.contains(near)).count();
        hits as f64 / truth.len() as f64
    }

    #[test]
    fn every_path_finds_what_the_scan_finds() {
        let world = world();
        let snapshot = world.snapshot();
        let mut rng = SmallRng::seed_from_u64(4);
        for path in [
            AccessPath::Codes,
            AccessPath::Graph,
            AccessPath::GraphThenPayloads,
        ] {
            for (key, colors) in [
                ("color", 100),
                ("color", 60),
                ("color", 20),
                ("bare", 60),
                ("bare", 20),
                ("bare", 5),
            ] {
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

    #[test]
    fn codes_of_any_bits_are_scanned_and_walked() {
        let world = world();
        let mut rng = SmallRng::seed_from_u64(8);
        for codec in [Codec::Bits1, Codec::Bits2, Codec::Bits8] {
            world.alter(|schema| schema.vectors[0].codec = codec);
            world.settle();
            let snapshot = world.snapshot();
            assert!(snapshot.sources()[0].coded_graph(0).is_some());
            for path in [AccessPath::Codes, AccessPath::Graph] {
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
        assert!(source.code_dimension(0).unwrap().is_some());
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
                };
                let rows = search.rows(source).unwrap();
                if exact {
                    search.scan_rows(source, &rows).unwrap()
                } else {
                    search.scan_codes(source, &rows).unwrap()
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
                for path in [AccessPath::Graph, AccessPath::GraphThenPayloads] {
                    let broke = along(&snapshot, (path, 1), asked, Some(&filter));
                    assert_eq!(broke, truth, "{path:?} {key} < {colors}");
                    let found = along(&snapshot, (path, u64::MAX), asked, Some(&filter));
                    assert_eq!(found.len(), truth.len());
                }
            }
        }
    }
}
