//! The compaction policy: which job would help most, decided purely from figures.
//!
//! Size-tiered: segments of similar size are merged `fan_out` at a time, so that a row is
//! rewritten about log(rows) times. Flat segments come from flushes and are merged before they
//! get a graph, because joining flat segments costs a copy and building a graph costs distances.
//!
//! | plan | when |
//! |---|---|
//! | drop | no row lives |
//! | column | an indexed field has no column in the segment |
//! | statistics | the payloads have none: they were damaged |
//! | codes | vectors that are to have codes have none: theirs were damaged |
//! | fold | more than `FOLD_PERCENT` of the rows are patched |
//! | merge flat | `fan_out` flat segments, as many as fill one, or two when quiet or forced |
//! | graph | vectors reach `indexing_threshold_kb` and no flat merge is to be expected |
//! | vacuum | more than `deleted_threshold` of at least `vacuum_min_rows` rows are dead |
//! | merge tier | `fan_out` segments whose sizes are within a factor of `fan_out` |
//! | merge count | more than `segment_count_target` segments and writers are quiet |
//! | reorder | rows lie far from the order of their tenants, and nothing else is due |

use format_spec::{CompactionSettings, SegmentId};

/// Share of patched rows from which payload and columns are written anew.
const FOLD_PERCENT: u64 = 5;
/// Patched rows below which folding is not worth a job.
const FOLD_ROWS_MIN: u64 = 64;
/// Largest merge when the operator sets none: 4 GiB of vectors keeps a build within minutes.
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// What the policy knows of a segment.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Shape {
    pub(crate) id: SegmentId,
    pub(crate) rows: u64,
    pub(crate) dead: u64,
    pub(crate) patched: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Bytes of the largest vector name's live rows.
    pub(crate) vector_bytes: u64,
    /// Vectors (schema positions) that are to have codes and have none.
    pub(crate) without_codes: Vec<usize>,
    /// Vectors (schema positions) with rows and no graph, that codes alone are not enough for.
    pub(crate) without_graph: Vec<usize>,
    /// Whether it has any graph.
    pub(crate) has_graph: bool,
    /// Fields (schema positions) without a column.
    pub(crate) without_column: Vec<usize>,
    /// Whether the payloads have no statistics.
    pub(crate) without_statistics: bool,
    /// Whether rows that are to lie together, as indexes of the schema say, do not.
    pub(crate) out_of_order: bool,
    /// Bytes of the payload part, which is what columns and statistics are made from.
    pub(crate) payload_bytes: u64,
    /// What an operator asked for.
    pub(crate) forced: Forced,
}

/// What a forced run asks of a segment. It ends because nothing written after it began is part of
/// it, and nothing it has made is done again.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Forced {
    /// Its oldest row was there: it is merged and gets its graph.
    pub(crate) merge: bool,
    /// The segment itself was there: its dead rows go.
    pub(crate) vacuum: bool,
    /// Its payload is older: patches are folded in.
    pub(crate) fold: bool,
}

/// What the policy knows of the shard.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Circumstances {
    /// No memtable filled up lately, so no more flat segments are to be expected.
    pub(crate) quiet: bool,
}

/// One job to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Plan {
    /// Forget a segment without live rows.
    Drop { segment: SegmentId },
    /// Build the column of the field at a schema position.
    Column { segment: SegmentId, field: usize },
    /// Make the statistics of the payloads.
    Statistics { segment: SegmentId },
    /// Write payload and columns anew with the patches in them.
    Fold { segment: SegmentId },
    /// Write the live rows of some segments into one; with graphs if any of them has one.
    Merge {
        segments: Vec<SegmentId>,
        graph: bool,
        kind: &'static str,
    },
    /// Make the codes of the vector at a schema position.
    Codes { segment: SegmentId, vector: usize },
    /// Build the graph of the vector at a schema position.
    Graph { segment: SegmentId, vector: usize },
}

impl Plan {
    /// Its inputs.
    pub(crate) fn segments(&self) -> Vec<SegmentId> {
        match self {
            Self::Drop { segment }
            | Self::Column { segment, .. }
            | Self::Statistics { segment }
            | Self::Fold { segment }
            | Self::Codes { segment, .. }
            | Self::Graph { segment, .. } => vec![*segment],
            Self::Merge { segments, .. } => segments.clone(),
        }
    }

    /// The word for operators.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Drop { .. } => "drop",
            Self::Column { .. } => "column",
            Self::Statistics { .. } => "statistics",
            Self::Fold { .. } => "fold",
            Self::Merge { kind, .. } => kind,
            Self::Codes { .. } => "codes",
            Self::Graph { .. } => "graph",
        }
    }
}

/// A plan and the reason for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub(crate) plan: Plan,
    pub(crate) why: String,
    /// Live rows of the inputs.
    pub(crate) rows: u64,
    /// Bytes read: about what it needs on the disk while it runs.
    pub(crate) bytes: u64,
}

/// The jobs that are due, most urgent first. A segment is in at most one of them.
pub(crate) fn choose(
    shapes: &[Shape],
    settings: &CompactionSettings,
    now: Circumstances,
) -> Vec<Choice> {
    let mut chooser = Chooser {
        settings,
        now,
        free: shapes.to_vec(),
        choices: Vec::new(),
    };
    chooser.dead();
    chooser.columns();
    chooser.codes();
    chooser.folds();
    chooser.statistics();
    chooser.flat_merge();
    chooser.graphs();
    chooser.vacuums();
    chooser.tiers();
    chooser.count();
    chooser.reorder();
    chooser.choices
}

struct Chooser<'a> {
    settings: &'a CompactionSettings,
    now: Circumstances,
    /// Segments that no choice has taken, oldest first.
    free: Vec<Shape>,
    choices: Vec<Choice>,
}

impl Chooser<'_> {
    fn take(&mut self, plan: Plan, why: String) {
        let ids = plan.segments();
        let taken = self.free.iter().filter(|shape| ids.contains(&shape.id));
        let rows = taken.clone().map(|shape| shape.rows - shape.dead).sum();
        let bytes = match plan {
            Plan::Column { .. } | Plan::Statistics { .. } => {
                taken.map(|shape| shape.payload_bytes).sum()
            }
            Plan::Drop { .. } => 0,
            Plan::Fold { .. } | Plan::Merge { .. } | Plan::Codes { .. } | Plan::Graph { .. } => {
                taken.map(|shape| shape.bytes).sum()
            }
        };
        self.free.retain(|shape| !ids.contains(&shape.id));
        self.choices.push(Choice {
            plan,
            why,
            rows,
            bytes,
        });
    }

    /// Takes the first segment for which `decide` has a plan, again and again.
    fn each(&mut self, decide: impl Fn(&Self, &Shape) -> Option<(Plan, String)>) {
        while let Some((plan, why)) = self.free.iter().find_map(|shape| decide(self, shape)) {
            self.take(plan, why);
        }
    }

    fn dead(&mut self) {
        self.each(|_, shape| {
            (shape.dead == shape.rows).then(|| {
                (
                    Plan::Drop { segment: shape.id },
                    format!("all {} rows are dead", shape.rows),
                )
            })
        });
    }

    fn columns(&mut self) {
        self.each(|_, shape| {
            let field = *shape.without_column.first()?;
            let plan = Plan::Column {
                segment: shape.id,
                field,
            };
            Some((plan, "the indexed field has no column here".to_owned()))
        });
    }

    fn statistics(&mut self) {
        self.each(|_, shape| {
            let plan = Plan::Statistics { segment: shape.id };
            let why = "the payloads have no statistics here".to_owned();
            shape.without_statistics.then_some((plan, why))
        });
    }

    fn codes(&mut self) {
        self.each(|_, shape| {
            let vector = *shape.without_codes.first()?;
            let plan = Plan::Codes {
                segment: shape.id,
                vector,
            };
            Some((plan, "the vectors have no codes here".to_owned()))
        });
    }

    fn folds(&mut self) {
        self.each(|_, shape| {
            let due =
                shape.patched >= FOLD_ROWS_MIN && shape.patched * 100 > shape.rows * FOLD_PERCENT;
            let due = due || shape.forced.fold && shape.patched > 0;
            let why = format!("{} of {} rows are patched", shape.patched, shape.rows);
            due.then_some((Plan::Fold { segment: shape.id }, why))
        });
    }

    fn fan_out(&self) -> usize {
        (self.settings.fan_out as usize).max(2)
    }

    fn most_bytes(&self) -> u64 {
        match self.settings.segment_bytes_max {
            0 => SEGMENT_BYTES_MAX,
            most => most,
        }
    }

    fn threshold(&self) -> Option<u64> {
        let kb = self.settings.indexing_threshold_kb;
        (kb > 0).then_some(kb.saturating_mul(1024))
    }

    /// Whether it is flat for now, and not for good.
    fn may_get_graph(&self, shape: &Shape) -> bool {
        !shape.has_graph && self.threshold().is_some() && !shape.without_graph.is_empty()
    }

    fn wants_graph(&self, shape: &Shape) -> bool {
        let large = self
            .threshold()
            .is_some_and(|least| shape.vector_bytes >= least);
        large && !shape.without_graph.is_empty()
    }

    /// The longest run of `shapes`, smallest first, that fits one segment.
    fn fitting(&self, mut shapes: Vec<Shape>) -> Vec<Shape> {
        shapes.sort_by_key(|shape| (shape.vector_bytes, shape.id));
        let mut bytes = 0;
        shapes.retain(|shape| {
            bytes += shape.vector_bytes;
            bytes <= self.most_bytes()
        });
        shapes.sort_by_key(|shape| shape.id);
        shapes
    }

    fn merge(&mut self, shapes: &[Shape], why: String) {
        let plan = Plan::Merge {
            segments: shapes.iter().map(|shape| shape.id).collect(),
            graph: shapes.iter().any(|shape| shape.has_graph),
            kind: "merge",
        };
        self.take(plan, why);
    }

    fn flat_merge(&mut self) {
        let all = self.free.iter().filter(|shape| self.may_get_graph(shape));
        let all: Vec<Shape> = all.cloned().collect();
        // An operator wants those merged as well that stay flat.
        let forced = |shape: &&Shape| shape.forced.merge && !shape.has_graph;
        let forced: Vec<Shape> = self.free.iter().filter(forced).cloned().collect();
        let (flat, forced) = (self.fitting(all.clone()), self.fitting(forced));
        let bytes: u64 = flat.iter().map(|shape| shape.vector_bytes).sum();
        // As many as go into one segment, and enough for it to be left alone from then on.
        let full = flat.len() < all.len() && bytes * 2 >= self.most_bytes();
        let many = flat.len() >= self.fan_out() || full && flat.len() >= 2;
        let large = flat.iter().any(|shape| self.wants_graph(shape));
        let due = many || self.now.quiet && large && flat.len() >= 2;
        let flat = if due { flat } else { forced };
        if due || flat.len() >= 2 {
            let why = format!("{} flat segments", flat.len());
            self.merge(&flat, why);
        }
    }

    fn graphs(&mut self) {
        let pending = self
            .choices
            .iter()
            .any(|choice| matches!(choice.plan, Plan::Merge { .. }));
        self.each(|this, shape| {
            let settled = this.now.quiet || shape.forced.merge;
            // A segment larger than what a flat merge gathers will not be merged flat again soon.
            let big = this.threshold().is_some_and(|least| {
                shape.vector_bytes >= least.max(this.settings.memtable_bytes_max.saturating_mul(2))
            });
            let vector = *shape.without_graph.first()?;
            let due = this.wants_graph(shape) && (shape.has_graph || big || settled && !pending);
            let why = format!("{} KiB of vectors have no graph", shape.vector_bytes / 1024);
            due.then_some((
                Plan::Graph {
                    segment: shape.id,
                    vector,
                },
                why,
            ))
        });
    }

    fn vacuums(&mut self) {
        self.each(|this, shape| {
            let share = shape.dead as f64 / shape.rows.max(1) as f64;
            let due = share > this.settings.deleted_threshold
                && shape.rows >= this.settings.vacuum_min_rows;
            let due = due || shape.forced.vacuum && shape.dead > 0;
            let plan = Plan::Merge {
                segments: vec![shape.id],
                graph: shape.has_graph,
                kind: "vacuum",
            };
            due.then(|| {
                (
                    plan,
                    format!("{} of {} rows are dead", shape.dead, shape.rows),
                )
            })
        });
    }

    /// Merges the smallest run of at least `fan_out` segments of similar size.
    fn tiers(&mut self) {
        let fan_out = self.fan_out();
        let mut by_size: Vec<Shape> = self
            .free
            .iter()
            .filter(|shape| !self.wants_graph(shape))
            .cloned()
            .collect();
        by_size.sort_by_key(|shape| (shape.bytes, shape.id));
        let tier = by_size.windows(fan_out).find(|run| {
            let largest = run[fan_out - 1].bytes;
            let sum: u64 = run.iter().map(|shape| shape.vector_bytes).sum();
            largest <= run[0].bytes.max(1) * fan_out as u64 && sum <= self.most_bytes()
        });
        if let Some(tier) = tier {
            let why = format!("{fan_out} segments of similar size");
            let mut tier = tier.to_vec();
            tier.sort_by_key(|shape| shape.id);
            self.merge(&tier, why);
        }
    }

    /// Merges the smallest segments when there are more than the operator asked for.
    fn count(&mut self) {
        let target = self.settings.segment_count_target as usize;
        let busy = !self.choices.is_empty();
        let forced = self.free.iter().filter(|shape| shape.forced.merge).count();
        let settled = self.now.quiet || forced > target;
        if target == 0 || self.free.len() <= target || busy || !settled {
            return;
        }
        let excess = self.free.len() - target + 1;
        let mut smallest = self.free.clone();
        smallest.sort_by_key(|shape| (shape.vector_bytes, shape.id));
        smallest.truncate(excess);
        let smallest = self.fitting(smallest);
        if smallest.len() >= 2 {
            let why = format!("{} segments, wanted {target}", self.free.len());
            self.merge(&smallest, why);
        }
    }

    /// Writes the segment that it costs least to anew, if that is all there is to do.
    fn reorder(&mut self) {
        let forced = self.free.iter().any(|shape| shape.forced.vacuum);
        if !self.choices.is_empty() || !(self.now.quiet || forced) {
            return;
        }
        let far = self.free.iter().filter(|shape| shape.out_of_order);
        if let Some(shape) = far.min_by_key(|shape| (shape.bytes, shape.id)) {
            let plan = Plan::Merge {
                segments: vec![shape.id],
                graph: shape.has_graph,
                kind: "reorder",
            };
            let why = "rows do not lie in the order of their tenants".to_owned();
            self.take(plan, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn shape(id: u64, mib: u64, graph: bool) -> Shape {
        Shape {
            id: SegmentId(id),
            rows: mib * 1000,
            dead: 0,
            patched: 0,
            bytes: mib * MIB,
            vector_bytes: mib * MIB,
            without_codes: vec![],
            without_graph: if graph { vec![] } else { vec![0] },
            has_graph: graph,
            without_column: vec![],
            payload_bytes: 0,
            without_statistics: false,
            out_of_order: false,
            forced: Forced::default(),
        }
    }

    #[test]
    fn a_segment_is_put_in_order_once_nothing_else_is_due() {
        let mut shapes = [shape(1, 300, true), shape(2, 200, true)];
        assert!(plans(&shapes, true).is_empty());
        shapes[0].out_of_order = true;
        shapes[1].out_of_order = true;
        assert!(plans(&shapes, false).is_empty());
        let smaller = Plan::Merge {
            segments: vec![SegmentId(2)],
            graph: true,
            kind: "reorder",
        };
        assert_eq!(plans(&shapes, true), [smaller]);
        shapes[0].without_column = vec![0];
        let column = Plan::Column {
            segment: SegmentId(1),
            field: 0,
        };
        assert_eq!(plans(&shapes, true), [column]);
    }

    fn plans(shapes: &[Shape], quiet: bool) -> Vec<Plan> {
        let now = Circumstances { quiet };
        let choices = choose(shapes, &CompactionSettings::default(), now);
        choices.into_iter().map(|choice| choice.plan).collect()
    }

    fn merge(ids: &[u64], graph: bool) -> Plan {
        let segments = ids.iter().map(|&id| SegmentId(id)).collect();
        Plan::Merge {
            segments,
            graph,
            kind: "merge",
        }
    }

    #[test]
    fn flat_segments_are_merged_before_they_get_a_graph() {
        let flat = [
            shape(1, 64, false),
            shape(2, 64, false),
            shape(3, 30, false),
        ];
        assert_eq!(plans(&flat, false), []);
        assert_eq!(plans(&flat, true), [merge(&[1, 2, 3], false)]);
        let merged = [shape(4, 158, false)];
        assert_eq!(
            plans(&merged, true),
            [Plan::Graph {
                segment: SegmentId(4),
                vector: 0
            }]
        );
    }

    #[test]
    fn flat_segments_that_fill_one_are_merged_although_they_are_few() {
        let settings = CompactionSettings {
            segment_bytes_max: 100 * MIB,
            ..CompactionSettings::default()
        };
        let now = Circumstances { quiet: false };
        let plans = |shapes: &[Shape]| -> Vec<Plan> {
            let choices = choose(shapes, &settings, now);
            choices.into_iter().map(|choice| choice.plan).collect()
        };
        let three = [40, 41, 42].map(|mib| shape(mib, mib, false));
        assert_eq!(plans(&three), [merge(&[40, 41], false)]);
        // Where nothing more fits, nothing is to be done, and no writer waits for it.
        let large = [81, 82, 83].map(|mib| shape(mib, mib, false));
        assert_eq!(plans(&large), []);
    }

    #[test]
    fn segments_that_stay_flat_are_merged_in_tiers() {
        let settings = CompactionSettings {
            indexing_threshold_kb: 0,
            ..CompactionSettings::default()
        };
        let plans = |shapes: &[Shape]| -> Vec<Plan> {
            let choices = choose(shapes, &settings, Circumstances { quiet: false });
            choices.into_iter().map(|choice| choice.plan).collect()
        };
        let mut flat: Vec<Shape> = (1..4).map(|id| shape(id, 10, false)).collect();
        flat.insert(0, shape(9, 400, false));
        assert_eq!(plans(&flat), [], "the large one is not written again");
        flat.push(shape(4, 10, false));
        assert_eq!(plans(&flat), [merge(&[1, 2, 3, 4], false)]);
    }

    #[test]
    fn a_forced_run_is_about_what_was_there() {
        let mut old = [shape(1, 1, false), shape(2, 1, false), shape(3, 1, false)];
        for shape in &mut old[..2] {
            shape.forced.merge = true;
        }
        assert_eq!(plans(&old, false), [merge(&[1, 2], false)]);
        for shape in &mut old {
            shape.without_graph.clear(); // codes are enough
        }
        assert_eq!(plans(&old, false), [merge(&[1, 2], false)]);
        let mut worn = shape(1, 9, true);
        (worn.dead, worn.patched) = (1, 1);
        assert_eq!(plans(&[worn.clone()], false), []);
        worn.forced.fold = true;
        let fold = Plan::Fold {
            segment: SegmentId(1),
        };
        assert_eq!(plans(&[worn], false), [fold]);
    }

    #[test]
    fn small_segments_stay_flat_and_are_left_alone() {
        assert_eq!(plans(&[shape(1, 3, false)], true), []);
        assert_eq!(plans(&[shape(1, 158, true), shape(2, 3, false)], true), []);
    }

    #[test]
    fn a_tier_is_merged_when_it_is_full() {
        let tier = [
            shape(1, 100, true),
            shape(2, 120, true),
            shape(3, 90, true),
            shape(4, 200, true),
        ];
        assert_eq!(plans(&tier, false), [merge(&[1, 2, 3, 4], true)]);
        let uneven = [
            shape(1, 10, true),
            shape(2, 120, true),
            shape(3, 90, true),
            shape(4, 2000, true),
        ];
        assert_eq!(plans(&uneven, false), []);
    }

    #[test]
    fn dead_rows_are_dropped_and_vacuumed() {
        let mut gone = shape(1, 50, true);
        gone.dead = gone.rows;
        let mut worn = shape(2, 50, true);
        worn.dead = worn.rows / 2;
        let vacuum = Plan::Merge {
            segments: vec![SegmentId(2)],
            graph: true,
            kind: "vacuum",
        };
        assert_eq!(
            plans(&[gone, worn], false),
            [
                Plan::Drop {
                    segment: SegmentId(1)
                },
                vacuum
            ]
        );
    }
}
