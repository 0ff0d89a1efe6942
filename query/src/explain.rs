//! Explain: the plan of each source, and what taking it did.
//!
//! # Invariants
//! - What is told is what a search with the same request would do: the plans come from the same
//!   functions, and to be analyzed the request is searched in the same way.

use std::time::Duration;

use engine::{RecallPoint, Snapshot, Source};
use format_spec::ids::SegmentId;
use format_spec::schema::Schema;

use crate::budget::{Budget, ColdReads};
use crate::error::QueryError;
use crate::exec::{Near, Search};
use crate::filter::{
    Bound, FieldAccess, RowTester, Unindexed, accesses, bind, estimate, unindexed,
};
use crate::plan::{AccessPath, Facts, Plan, Share, Why, choose};
use crate::request::{Env, QueryRequest};
use crate::search::{BoundTarget, merge};
use crate::trace::{Actual, Trace};

/// What to tell.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Explain {
    /// Also search, and tell what that did.
    pub analyze: bool,
    /// Take this path, whatever it costs, in each source that has it.
    pub path: Option<AccessPath>,
}

/// The plan of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Results wanted of each source.
    pub wanted: usize,
    /// Whether a search has its sources searched side by side.
    pub parallel: bool,
    /// Fields of the filter without an index.
    pub unindexed: Vec<Unindexed>,
    /// In the order of the snapshot.
    pub sources: Vec<SourcePlan>,
    /// What the query did as a whole, if it was to be tried.
    pub reality: Option<Reality>,
}

/// What a query did as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Reality {
    /// Results after merging, threshold and offset.
    pub hits: usize,
    /// Time of all sources one after the other, and of merging; without what explaining asks beside
    /// that, and without reading payloads and vectors of the results.
    pub time: Duration,
}

/// How many rows match.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Matching {
    /// At least.
    pub min: u64,
    /// Most likely.
    pub expected: f64,
    /// At most.
    pub max: u64,
    /// How that is known.
    pub how: &'static str,
}

/// What was measured when codes or a graph were made: settings, and the share of the nearest rows
/// found with each.
pub type Curve = Vec<(f64, f64)>;

/// How hard a source is searched, and the recall known of that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownRecall {
    /// Standard deviations between estimates of codes and their bounds.
    pub deviations: Option<f32>,
    /// Rows compared exactly for each wanted, with product codes.
    pub candidates: Option<usize>,
    /// Rows in the beam, if not chosen while searching.
    pub beam: Option<usize>,
    /// By deviations.
    pub codes: Curve,
    /// By rows compared for each wanted.
    pub product: Curve,
    /// By rows in the beam.
    pub graph: Curve,
}

/// The plan of one segment or memtable.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePlan {
    /// Which segment; `None` for a memtable.
    pub segment: Option<SegmentId>,
    /// Rows, dead ones included.
    pub rows: u32,
    /// Live rows.
    pub live: u32,
    /// How it answers each test of a field, in the order of the filter.
    pub fields: Vec<FieldAccess>,
    /// From the statistics of columns alone, before any is read.
    pub statistics: Matching,
    /// Once columns are read, and of what they leave open a sample.
    pub matching: Matching,
    /// Rows of which only the payload tells.
    pub open: u32,
    /// Blocks of 32 rows with a row that matches or may.
    pub blocks: u32,
    /// The path, why, and what each possible path is expected to cost in nanoseconds; `None` where
    /// there is nothing to search.
    pub choice: Option<Choice>,
    /// What is known of its recall.
    pub recall: KnownRecall,
    /// What searching it did.
    pub actual: Option<Actual>,
}

/// A path that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Which.
    pub path: AccessPath,
    /// Why.
    pub why: Why,
    /// What it is expected to cost, in nanoseconds.
    pub cost_ns: f64,
    /// What all possible paths are.
    pub costs: Vec<(AccessPath, f64)>,
    /// How a graph search goes on that gives up.
    pub otherwise: AccessPath,
    /// Lists or nodes that a graph search may read before it does.
    pub visits_max: Option<u64>,
}

/// How many results there are.
fn hits(found: Vec<Vec<Near>>, target: &BoundTarget<'_>, request: &QueryRequest) -> usize {
    let metric = target.schema.metric;
    let best = merge(found, target);
    let scores = best
        .iter()
        .map(|(_, near)| quant::score(metric, near.distance));
    let passing = scores.take_while(|score| target.is_better(*score, request.score_threshold));
    passing.skip(request.offset).take(request.limit).count()
}

/// Tells how `request` is searched, and if asked what that does.
///
/// # Errors
/// Those of [`crate::search`]; `Invalid` for a request without a target, which has no plan.
pub fn explain(
    snapshot: &Snapshot,
    request: &QueryRequest,
    env: &Env<'_>,
    options: Explain,
) -> Result<Explanation, QueryError> {
    let schema: &Schema = snapshot.schema();
    let asked = request.filter.as_ref().filter(|filter| !filter.is_empty());
    let filter = asked.map(|filter| bind(filter, schema)).transpose()?;
    let Some(target) = &request.target else {
        return Err(QueryError::Invalid {
            field: "query".to_owned(),
            message: "a query is needed: without one points are listed in the order of their ids"
                .to_owned(),
        });
    };
    let target = BoundTarget::bind(snapshot, schema, &request.using, target)?;
    let parallel = target.is_for_all_threads(snapshot, request, env);
    let mut time = Duration::ZERO;
    let cold = ColdReads::default();
    let budget = Budget::new(env).counting(&cold);
    let mut search = target.search(request, filter.as_ref(), budget, !parallel);
    search.path = options.path;
    let (mut sources, mut found) = (Vec::new(), Vec::new());
    for source in snapshot.sources() {
        let mut plan = planned(&search, source)?;
        if options.analyze {
            // What was read to plan is not counted.
            cold.take();
            let started = env.clock.monotonic();
            let (near, mut actual) = tried(&search, source, env)?;
            time += env.clock.monotonic().saturating_sub(started);
            let (reads, bytes) = cold.take();
            actual.cold_reads += reads;
            actual.cold_bytes += bytes;
            plan.actual = Some(actual);
            found.push(near);
        }
        sources.push(plan);
    }
    let reality = options.analyze.then(|| {
        let started = env.clock.monotonic();
        let hits = hits(found, &target, request);
        time += env.clock.monotonic().saturating_sub(started);
        Reality { hits, time }
    });
    Ok(Explanation {
        wanted: search.wanted,
        parallel,
        unindexed: asked
            .map(|filter| unindexed(filter, schema))
            .unwrap_or_default(),
        sources,
        reality,
    })
}

fn tried(
    search: &Search<'_>,
    source: &Source,
    env: &Env<'_>,
) -> Result<(Vec<Near>, Actual), QueryError> {
    let mut trace = Trace::with(env.clock);
    let near = search.source(source, &mut trace)?;
    Ok((near, trace.actual))
}

fn planned(search: &Search<'_>, source: &Source) -> Result<SourcePlan, QueryError> {
    let statistics = from_statistics(search.filter, source, &search.budget)?;
    let mut plan = SourcePlan {
        segment: source.segment_id(),
        rows: source.rows(),
        live: source.live_count(),
        fields: Vec::new(),
        statistics,
        matching: Matching {
            min: 0,
            expected: 0.0,
            max: 0,
            how: "indexes",
        },
        open: 0,
        blocks: 0,
        choice: None,
        recall: recall(search, source),
        actual: None,
    };
    if let Some(filter) = search.filter {
        accesses(filter, source, &mut plan.fields)?;
    }
    let Some(mut considered) = search.consider(source)? else {
        return Ok(plan);
    };
    let facts = &mut considered.facts;
    let mut how = if search.filter.is_some() {
        "indexes"
    } else {
        "all rows"
    };
    if let Some(filter) = search.filter.filter(|_| facts.open > 0) {
        how = "a sample of the payloads";
        if facts.open_share == Share::UNKNOWN {
            let mut tester = RowTester::new(filter, source);
            let (tested, matched) = tester.sample(&considered.found.open)?;
            facts.open_share = Share::of_sample(tested, matched);
        }
    }
    let (low, high) = facts.bounds();
    plan.open = facts.open;
    plan.blocks = facts.blocks;
    plan.matching = Matching {
        min: whole(low),
        expected: facts.expected(),
        max: whole(high.ceil()),
        how,
    };
    plan.choice = Some(choice(facts, &choose(facts, &considered.rules)));
    Ok(plan)
}

fn choice(facts: &Facts, plan: &Plan) -> Choice {
    let paths = AccessPath::ALL.into_iter().zip(plan.costs);
    let costs: Vec<_> = paths
        .filter_map(|(path, cost)| Some((path, cost?)))
        .collect();
    let walks = matches!(
        plan.path,
        AccessPath::Graph | AccessPath::GraphTwoHops | AccessPath::GraphThenPayloads
    );
    let bounded = facts.graph && walks && plan.visits_max < u64::MAX;
    Choice {
        path: plan.path,
        why: plan.why,
        cost_ns: plan.costs[plan.path as usize].unwrap_or_default(),
        costs,
        otherwise: plan.scan,
        visits_max: bounded.then_some(plan.visits_max),
    }
}

fn from_statistics(
    filter: Option<&Bound<'_>>,
    source: &Source,
    budget: &Budget<'_>,
) -> Result<Matching, QueryError> {
    let live = u64::from(source.live_count());
    let Some(filter) = filter else {
        return Ok(Matching {
            min: live,
            expected: f64::from(source.live_count()),
            max: live,
            how: "all rows",
        });
    };
    let estimate = estimate(filter, source, budget)?;
    Ok(Matching {
        min: estimate.min,
        expected: estimate.expected,
        max: estimate.max,
        how: "statistics of the indexes",
    })
}

fn recall(search: &Search<'_>, source: &Source) -> KnownRecall {
    let curve = |points: &[RecallPoint]| {
        let point = |point: &RecallPoint| {
            let recall = f64::from(point.recall) / f64::from(RecallPoint::WHOLE);
            (f64::from(point.setting) / 1_000.0, recall)
        };
        points.iter().map(point).collect()
    };
    let effort = search.effort(source);
    let product: Curve = curve(source.known_recall_of_product(search.vector));
    KnownRecall {
        deviations: effort.deviations,
        candidates: effort.candidates.filter(|_| !product.is_empty()),
        beam: effort.beam,
        codes: curve(source.known_recall_of_codes(search.vector)),
        product,
        graph: curve(source.known_recall_of_graph(search.vector)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of rows, never negative"
)]
fn whole(rows: f64) -> u64 {
    rows as u64
}
