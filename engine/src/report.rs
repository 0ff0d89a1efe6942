//! What a shard tells about itself: status, jobs, counters.

use std::sync::atomic::Ordering;

use crate::compaction::{Choice, is_indexing};
use crate::segment::codes::{lacks_codes, planned};
use crate::shard::Shard;
use crate::snapshot::Snapshot;
use crate::status::{
    Color, Counters, JobReport, JobSegment, Meters, Optimizations, SegmentReport, Status,
};
use crate::version::{SegmentState, ShardState};

impl Shard {
    /// Colour and true counts.
    pub(crate) fn status(&self) -> Status {
        let state = self.state();
        let snapshot = Snapshot::new(state.clone());
        let errors = [
            &self.base.meters.flush_error,
            &self.base.meters.compaction_error,
        ];
        let poisoned = self
            .wal
            .poison_reason()
            .map(|why| format!("no more writes: {why}"));
        let failing = errors
            .iter()
            .find_map(|error| error.lock().as_ref().map(|(_, why)| why.clone()));
        let optimizer_error = poisoned.or(failing);
        Status {
            color: self.color(&state, optimizer_error.is_some()),
            points: snapshot.live_count(),
            indexed_vectors: indexed_vectors(&state),
            segments: snapshot.sources().len(),
            queue_length: self.pending.lock().len(),
            optimizer_error,
            damaged: state
                .damaged
                .iter()
                .map(|damaged| format!("segment {}: {}", damaged.segment.0, damaged.why))
                .collect(),
        }
    }

    fn color(&self, state: &ShardState, failing: bool) -> Color {
        if failing || !state.damaged.is_empty() {
            return Color::Red;
        }
        let due = self.due().iter().any(is_indexing);
        let running = !self.jobs.running().is_empty();
        let threshold = state
            .schema
            .compaction
            .indexing_threshold_kb
            .saturating_mul(1024);
        let memtable = state.memtables.last().map_or(0, |view| view.bytes());
        let unflushed = state.memtables.len() > 1 || threshold > 0 && memtable >= threshold;
        match (running || unflushed, due) {
            (true, _) => Color::Yellow,
            (false, true) if state.schema.compaction.paused => Color::Grey,
            (false, true) => Color::Yellow,
            (false, false) if self.flat_and_large(state) => Color::Yellow,
            (false, false) => Color::Green,
        }
    }

    /// Whether a segment will get codes, or a graph once writers are quiet.
    fn flat_and_large(&self, state: &ShardState) -> bool {
        let (schema, settings) = (&*state.schema, &self.base.around.settings);
        let needs = |segment: &SegmentState| {
            let rows = u64::from(segment.live_count());
            let segment = &segment.segment;
            schema.vectors.iter().enumerate().any(|(index, vector)| {
                let planned = planned(settings, schema, vector, rows);
                segment.vectors_part(index).is_some()
                    && (planned.graph && !segment.has_graph(index)
                        || lacks_codes(segment, index, planned))
            })
        };
        state.segments.iter().any(|segment| needs(segment))
    }

    /// Whether no flush or job runs or is due.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.memtables.len() <= 1
            && self.jobs.running().is_empty()
            && self.due().is_empty()
            && self.color(&state, false) != Color::Yellow
    }

    /// What runs, is due, and is done.
    pub(crate) fn optimizations(&self) -> Optimizations {
        let state = self.state();
        let running = self.jobs.running();
        let mut queued: Vec<JobReport> = Vec::new();
        let sealed = state.memtables.len().saturating_sub(1);
        for view in state.memtables.iter().take(sealed) {
            queued.push(JobReport {
                kind: "flush",
                why: "a memtable is full".to_owned(),
                segments: Vec::new(),
                rows: u64::from(view.live_count()),
                progress: 0.0,
                started_ms: 0,
                ended_ms: None,
                error: None,
            });
        }
        let paused = state.schema.compaction.paused && !self.jobs.is_forced();
        let due = self.due();
        queued.extend(due.iter().map(|due| queued_report(due, &state, paused)));
        let taken: Vec<u64> = running
            .iter()
            .chain(&queued)
            .flat_map(|job| job.segments.iter().map(|segment| segment.id))
            .collect();
        let idle = state
            .segments
            .iter()
            .filter(|s| !taken.contains(&s.segment.id().0));
        Optimizations {
            idle_segments: idle
                .map(|segment| segment_report(segment, &state))
                .collect(),
            running,
            queued,
            completed: self.jobs.completed(),
        }
    }

    /// Figures for operators.
    pub(crate) fn counters(&self) -> Counters {
        let state = self.state();
        let meters = &self.base.meters;
        let wal = self.wal.counters();
        let (mut segment_bytes, mut live_bytes) = (0, 0);
        for segment in &state.segments {
            let bytes = segment.segment.bytes();
            let rows = u64::from(segment.segment.row_count()).max(1);
            segment_bytes += bytes;
            live_bytes += bytes * u64::from(segment.live_count()) / rows;
        }
        let derived = state.segments.iter();
        let derived = derived.filter_map(|segment| segment.segment.derived());
        let derived = derived.chain(state.memtables.iter().filter_map(|view| view.derived()));
        let patches = state
            .segments
            .iter()
            .map(|segment| segment.patches.delta.bytes());
        let memtables = state.memtables.iter().map(|view| view.bytes());
        Counters {
            ingested_bytes: Meters::get(&meters.ingested_bytes),
            wal_bytes: wal.bytes,
            wal_syncs: wal.syncs,
            wal_disk_bytes: self.wal.disk_bytes(),
            flushed_bytes: Meters::get(&meters.flushed_bytes),
            compacted_bytes: Meters::get(&meters.compacted_bytes),
            segment_bytes,
            live_bytes,
            debt_bytes: self.due().iter().map(|choice| choice.bytes).sum(),
            memtable_bytes: memtables.sum::<u64>() + patches.sum::<u64>(),
            derived_bytes: derived.map(|columns| columns.bytes()).sum(),
            retired_files: self
                .version
                .try_lock()
                .map_or(0, |v| v.retired.len() as u64),
            stall_flush_ms: Meters::get(&meters.stall_flush_ms),
            stall_compaction_ms: Meters::get(&meters.stall_compaction_ms),
            refused_disk_full: Meters::get(&meters.refused_disk_full),
        }
    }

    /// Whether every segment has the column of the field index of `path`.
    pub(crate) fn is_field_indexed(&self, path: &str) -> bool {
        let state = self.state();
        let Some(field) = state.schema.fields.iter().find(|field| field.path == path) else {
            return false;
        };
        let has = |state: &SegmentState| state.segment.has_column(field);
        !self.closed.load(Ordering::Acquire) && state.segments.iter().all(|segment| has(segment))
    }
}

fn queued_report(choice: &Choice, state: &ShardState, paused: bool) -> JobReport {
    let why = &choice.why;
    JobReport {
        kind: choice.plan.kind(),
        why: if paused {
            format!("paused: {why}")
        } else {
            why.clone()
        },
        segments: inputs(choice, state),
        rows: choice.rows,
        progress: 0.0,
        started_ms: 0,
        ended_ms: None,
        error: None,
    }
}

/// The segments that a job takes in, with their live rows; one that has just gone has none.
pub(crate) fn inputs(choice: &Choice, state: &ShardState) -> Vec<JobSegment> {
    let rows = |id| {
        let found = state.segments.iter().find(|s| s.segment.id() == id);
        found.map_or(0, |segment| u64::from(segment.live_count()))
    };
    let segments = choice.plan.segments().into_iter();
    segments
        .map(|id| JobSegment {
            id: id.0,
            rows: rows(id),
        })
        .collect()
}

fn segment_report(state: &SegmentState, shard: &ShardState) -> SegmentReport {
    let segment = &state.segment;
    let indexed = (0..shard.schema.vectors.len())
        .all(|index| segment.vectors_part(index).is_none() || segment.is_indexed(index));
    SegmentReport {
        id: segment.id().0,
        rows: u64::from(segment.row_count()),
        dead_rows: u64::from(state.dead.count()),
        bytes: segment.bytes(),
        indexed,
    }
}

/// Live vectors that a graph or codes cover, over all names.
fn indexed_vectors(shard: &ShardState) -> u64 {
    let indexed = |state: &SegmentState, index: usize| -> u64 {
        let vectors = state.segment.vectors(index).ok().flatten();
        let Some(vectors) = vectors.filter(|_| state.segment.is_indexed(index)) else {
            return 0;
        };
        let dead = state.dead.iter();
        let dead = dead.filter(|&row| vectors.view.is_present(row)).count() as u64;
        u64::from(vectors.view.present_count()) - dead
    };
    let names = 0..shard.schema.vectors.len();
    let of = |state: &SegmentState| -> u64 { names.clone().map(|i| indexed(state, i)).sum() };
    shard.segments.iter().map(|state| of(state)).sum()
}
