//! Plans as JSON. Times are microseconds; members that say nothing are left out.

use std::collections::BTreeMap;
use std::time::Duration;

use query::{
    Actual, Choice, Curve, Explanation, FieldAccess, KnownRecall, Matching, SourcePlan, Unindexed,
};
use serde::{Deserialize, Serialize};

use super::index::type_name;

/// Rows that lie together in a block.
const BLOCK_ROWS: u32 = 32;

/// What the body has beyond that of a query.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object that describes a query")]
pub(crate) struct ExplainBody {
    analyze: Option<bool>,
}

impl ExplainBody {
    /// Whether the query is to be tried.
    pub(crate) fn analyze(&self) -> bool {
        self.analyze.unwrap_or(false)
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct JsonExplanation {
    vector: String,
    wanted: usize,
    parallel: bool,
    unindexed: Vec<JsonUnindexed>,
    sources: Vec<JsonSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<JsonReality>,
}

#[derive(Debug, Serialize)]
struct JsonReality {
    hits: usize,
    time_us: f64,
}

#[derive(Debug, Serialize)]
struct JsonUnindexed {
    field: String,
    suggested_type: &'static str,
    hint: &'static str,
}

#[derive(Debug, Serialize)]
struct JsonSource {
    /// `null` for a memtable.
    segment: Option<u64>,
    rows: u32,
    live: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<JsonField>,
    matching: JsonMatching,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<JsonPlan>,
    recall: JsonRecall,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<JsonActual>,
}

/// How a field is answered.
#[derive(Debug, Serialize)]
struct JsonField {
    field: String,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zones: Option<JsonZones>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts_asked: Option<u64>,
}

/// Zones of rows of which statistics tell that none match, all do, or nothing.
#[derive(Debug, Serialize)]
struct JsonZones {
    none: u32,
    all: u32,
    open: u32,
}

#[derive(Debug, Serialize)]
struct JsonMatching {
    #[serde(flatten)]
    bounds: Bounds,
    how: &'static str,
    /// Rows of which only the payload tells.
    open: u32,
    /// Blocks of 32 rows with a row that matches or may, and all.
    blocks: u32,
    blocks_of: u32,
    statistics: Bounds,
}

#[derive(Debug, Serialize)]
struct Bounds {
    min: u64,
    expected: f64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct JsonPlan {
    path: &'static str,
    why: String,
    predicted_us: f64,
    costs_us: BTreeMap<&'static str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otherwise: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visits_max: Option<u64>,
}

#[derive(Debug, Serialize)]
struct JsonRecall {
    #[serde(skip_serializing_if = "Option::is_none")]
    deviations: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beam: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known_of_codes: Curve,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known_of_product: Curve,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known_of_graph: Curve,
}

#[derive(Debug, Serialize)]
struct JsonActual {
    path: Option<&'static str>,
    /// `null` where enough was found without testing every row.
    matching: Option<u32>,
    found: usize,
    /// Why the plan was changed on the way, or `null`.
    switched: Option<&'static str>,
    time_us: f64,
    filter_us: f64,
    search_us: f64,
    predicted_to_actual: Option<f64>,
    distances: u64,
    rescored: u64,
    estimates: u64,
    refined: u64,
    payloads_read: u64,
    bitmap_checks: u64,
    nodes_expanded: u64,
    blocks_scanned: u64,
    blocks_skipped: u64,
    cold_reads: u64,
    cold_bytes: u64,
}

impl JsonExplanation {
    pub(crate) fn new(vector: &str, explained: &Explanation) -> Self {
        let reality = explained.reality.as_ref();
        Self {
            vector: vector.to_owned(),
            wanted: explained.wanted,
            parallel: explained.parallel,
            unindexed: explained.unindexed.iter().map(field).collect(),
            sources: explained.sources.iter().map(source).collect(),
            actual: reality.map(|reality| JsonReality {
                hits: reality.hits,
                time_us: us(reality.time),
            }),
        }
    }
}

fn field(field: &Unindexed) -> JsonUnindexed {
    JsonUnindexed {
        field: field.path.clone(),
        suggested_type: field.serving.first().map_or("", |first| type_name(*first)),
        hint: "no index of this field answers the condition: payloads are read",
    }
}

fn source(plan: &SourcePlan) -> JsonSource {
    let predicted = plan.choice.as_ref().map(|choice| choice.cost_ns / 1e3);
    JsonSource {
        segment: plan.segment.map(|id| id.0),
        rows: plan.rows,
        live: plan.live,
        fields: plan.fields.iter().map(access).collect(),
        matching: JsonMatching {
            bounds: bounds(&plan.matching),
            how: plan.matching.how,
            open: plan.open,
            blocks: plan.blocks,
            blocks_of: plan.rows.div_ceil(BLOCK_ROWS),
            statistics: bounds(&plan.statistics),
        },
        plan: plan.choice.as_ref().map(choice),
        recall: recall(&plan.recall),
        actual: plan.actual.as_ref().map(|done| actual(done, predicted)),
    }
}

fn access(access: &FieldAccess) -> JsonField {
    JsonField {
        field: access.path.clone(),
        by: access.by,
        zones: access.zones.map(|zones| JsonZones {
            none: zones.none,
            all: zones.all,
            open: zones.open,
        }),
        texts_asked: access.texts_asked,
    }
}

fn bounds(matching: &Matching) -> Bounds {
    Bounds {
        min: matching.min,
        expected: (matching.expected * 10.0).round() / 10.0,
        max: matching.max,
    }
}

fn choice(choice: &Choice) -> JsonPlan {
    let costs = choice.costs.iter();
    let graph = choice.visits_max.is_some();
    JsonPlan {
        path: choice.path.name(),
        why: choice.why.to_string(),
        predicted_us: tenths(choice.cost_ns / 1e3),
        costs_us: costs
            .map(|(path, cost)| (path.name(), tenths(cost / 1e3)))
            .collect(),
        otherwise: graph.then(|| choice.otherwise.name()),
        visits_max: choice.visits_max,
    }
}

fn recall(known: &KnownRecall) -> JsonRecall {
    JsonRecall {
        deviations: known.deviations,
        candidates: known.candidates,
        beam: known.beam,
        known_of_codes: known.codes.clone(),
        known_of_product: known.product.clone(),
        known_of_graph: known.graph.clone(),
    }
}

fn actual(done: &Actual, predicted: Option<f64>) -> JsonActual {
    let time = us(done.filter + done.search);
    JsonActual {
        path: done.path.map(query::AccessPath::name),
        matching: done.matching,
        found: done.found,
        switched: done.switched.map(query::Switch::name),
        time_us: time,
        filter_us: us(done.filter),
        search_us: us(done.search),
        predicted_to_actual: predicted
            .filter(|_| time > 0.0)
            .map(|predicted| (predicted / time * 100.0).round() / 100.0),
        distances: done.distances,
        rescored: done.rescored,
        estimates: done.estimates,
        refined: done.refined,
        payloads_read: done.payloads,
        bitmap_checks: done.asked,
        nodes_expanded: done.nodes,
        blocks_scanned: done.blocks,
        blocks_skipped: done.blocks_skipped,
        cold_reads: done.cold_reads,
        cold_bytes: done.cold_bytes,
    }
}

fn us(time: Duration) -> f64 {
    tenths(time.as_secs_f64() * 1e6)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
