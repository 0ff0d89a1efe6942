//! Which jobs run, which are due, and what became of those that ran.
//!
//! # Invariants
//! - A segment is the input of at most one running job.
//! - A plan that failed waits for `RETRY_MS`, longer each time, so that a full disk is not
//!   hammered; others go on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use format_spec::{PartKind, SegmentId, SeqNo, VectorSchema};
use index::Progress;
use parking_lot::Mutex;

use super::policy::{Choice, Circumstances, Forced, Plan, Shape, choose};
use crate::error::{Error, ErrorKind, Result};
use crate::report::inputs;
use crate::segment::codes::{lacks_codes, planned};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::status::{JobReport, JobSegment};
use crate::version::{SegmentState, ShardState};

/// Jobs that are remembered after they ended.
const COMPLETED_MAX: usize = 16;
/// Pause of a plan after its first failure, doubled with each further one, up to the most.
const RETRY_MS: u64 = 1_000;
const RETRY_MOST_MS: u64 = 60_000;
/// Writers are quiet when nothing was written for this long ...
const QUIET_WRITE_MS: u64 = 300;
/// ... and no memtable filled up for this long; or when none did for `QUIET_ANYWAY_MS`.
const QUIET_FULL_MS: u64 = 1_000;
const QUIET_ANYWAY_MS: u64 = 10_000;

/// The books of one shard's jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    running: Mutex<Vec<Arc<Running>>>,
    completed: Mutex<VecDeque<JobReport>>,
    forced: Mutex<Option<ForcedRun>>,
    failed: Mutex<Vec<Failed>>,
}

/// What an operator asked for: everything that would do something, of what was there then.
#[derive(Copy, Clone, PartialEq, Debug)]
struct ForcedRun {
    /// The last operation before it.
    upto: SeqNo,
    /// The first segment made after it.
    next_segment: SegmentId,
}

/// A plan that failed.
#[derive(Debug)]
struct Failed {
    plan: Plan,
    times: u32,
    retry_at_ms: u64,
}

/// A job that runs.
#[derive(Debug)]
struct Running {
    choice: Choice,
    segments: Vec<JobSegment>,
    started_ms: u64,
    done: AtomicU32,
    total: AtomicU32,
}

/// How a job reports progress and learns that it should stop.
pub(super) struct Ticker<'a> {
    shard: &'a Shard,
    running: &'a Running,
}

impl Ticker<'_> {
    /// `done` of `total` rows are through.
    ///
    /// # Errors
    /// `Closed` when the job should end.
    pub(super) fn at(&self, done: u64, total: u64) -> Result<()> {
        self.running.total.store(clamp(total), Ordering::Relaxed);
        self.running.done.store(clamp(done), Ordering::Relaxed);
        if self.cancelled() {
            Err(Error::closed("compact"))
        } else {
            Ok(())
        }
    }
}

fn clamp(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

impl Progress for Ticker<'_> {
    fn rows_done(&self, rows: u32) {
        self.running
            .total
            .store(clamp(self.running.choice.rows), Ordering::Relaxed);
        self.running.done.store(rows, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.shard.closed.load(Ordering::Acquire) || self.shard.base.around.wakeup.stopping()
    }
}

impl Running {
    fn report(&self) -> JobReport {
        let total = self.total.load(Ordering::Relaxed).max(1);
        let done = f64::from(self.done.load(Ordering::Relaxed)) / f64::from(total);
        JobReport {
            kind: self.choice.plan.kind(),
            why: self.choice.why.clone(),
            segments: self.segments.clone(),
            rows: self.choice.rows,
            progress: done.clamp(0.0, 1.0),
            started_ms: self.started_ms,
            ended_ms: None,
            error: None,
        }
    }
}

impl Jobs {
    /// Starts everything that would do something with what was written up to `upto`, once.
    fn force(&self, upto: SeqNo, next_segment: SegmentId) {
        *self.forced.lock() = Some(ForcedRun { upto, next_segment });
        self.failed.lock().clear();
    }

    /// Whether a forced run is under way.
    pub(crate) fn is_forced(&self) -> bool {
        self.forced.lock().is_some()
    }

    fn may_start(&self, plan: &Plan, now_ms: u64) -> bool {
        let failed = self.failed.lock();
        let failed = failed.iter().find(|failed| failed.plan == *plan);
        failed.is_none_or(|failed| now_ms >= failed.retry_at_ms)
    }

    fn note_failure(&self, plan: &Plan, now_ms: u64) {
        let mut failed = self.failed.lock();
        let before = failed.iter().position(|failed| failed.plan == *plan);
        let times = before.map_or(0, |at| failed.swap_remove(at).times + 1);
        // Plans whose time is long past were overtaken by others: nobody asks for them any more.
        failed.retain(|failed| now_ms < failed.retry_at_ms + RETRY_MOST_MS);
        let pause = RETRY_MS
            .saturating_mul(1 << times.min(16))
            .min(RETRY_MOST_MS);
        failed.push(Failed {
            plan: plan.clone(),
            times,
            retry_at_ms: now_ms + pause,
        });
    }

    /// Reports of running jobs.
    pub(crate) fn running(&self) -> Vec<JobReport> {
        self.running.lock().iter().map(|job| job.report()).collect()
    }

    /// Reports of jobs that ended, newest first.
    pub(crate) fn completed(&self) -> Vec<JobReport> {
        self.completed.lock().iter().cloned().collect()
    }

    /// Notes a job that ended, a flush too.
    pub(crate) fn note(&self, report: JobReport) {
        let mut completed = self.completed.lock();
        completed.push_front(report);
        completed.truncate(COMPLETED_MAX);
    }

    fn busy(&self) -> Vec<SegmentId> {
        self.running
            .lock()
            .iter()
            .flat_map(|job| job.choice.plan.segments())
            .collect()
    }
}

impl Shard {
    /// The jobs that are due now, most urgent first; none of a segment that is in a running one.
    /// While compaction is paused, a forced run leaves segments alone that were not there.
    pub(crate) fn due(&self) -> Vec<Choice> {
        // Busy first: a job that ends in between then shows its outcome in the state.
        let busy = self.jobs.busy();
        let state = self.state();
        let forced = *self.jobs.forced.lock();
        let only_forced = state.schema.compaction.paused && forced.is_some();
        let shapes: Vec<Shape> = state
            .segments
            .iter()
            .filter(|segment| !busy.contains(&segment.segment.id()))
            .map(|segment| shape(segment, &state, &self.base.around.settings, forced))
            .filter(|shape| shape.forced.merge || !only_forced)
            .collect();
        let now = Circumstances {
            quiet: self.is_quiet(),
        };
        choose(&shapes, &state.schema.compaction, now)
    }

    fn is_quiet(&self) -> bool {
        let now = self.base.now_ms();
        let since_write = now.saturating_sub(self.last_write_ms.load(Ordering::Relaxed));
        let since_full = now.saturating_sub(self.last_full_ms.load(Ordering::Relaxed));
        // Where the caller runs the steps, it decides when to compact.
        self.base.around.settings.workers == 0
            || since_write >= QUIET_WRITE_MS && since_full >= QUIET_FULL_MS
            || since_full >= QUIET_ANYWAY_MS
    }

    /// Starts every job that would do something with what is there now.
    pub(crate) fn force_jobs(&self) {
        let next_segment = SegmentId(self.base.next_ids().1);
        self.jobs.force(self.state().seqno, next_segment);
    }

    /// Runs the most urgent job on this thread; false when there is none to run.
    pub(crate) fn step_compact(&self) -> bool {
        let paused = self.state().schema.compaction.paused && !self.jobs.is_forced();
        if paused || self.closed.load(Ordering::Acquire) {
            return false;
        }
        let Some(running) = self.start_job() else {
            return self.make_coded();
        };
        let ticker = Ticker {
            shard: self,
            running: &running,
        };
        let outcome = self.run(&running.choice, &ticker);
        self.end_job(&running, outcome);
        true
    }

    /// Makes a coded graph that is still missing; false when there is none to make.
    fn make_coded(&self) -> bool {
        let (state, around) = (self.state(), &self.base.around);
        for segment in state.segments.iter().map(|state| &state.segment) {
            let names = 0..state.schema.vectors.len();
            for index in names.filter(|&index| segment.wants_coded(index)) {
                match segment.make_coded(index, &around.coded_room, &around.build_pool) {
                    Ok(true) => return true,
                    // No room: tried again, because others give theirs back.
                    Ok(false) => {}
                    // What is damaged is set aside and made again.
                    Err(error) => tracing::warn!(error = %error.chain(), "no coded graph"),
                }
            }
        }
        false
    }

    fn start_job(&self) -> Option<Arc<Running>> {
        let most = match self.state().schema.compaction.jobs_max {
            0 => 1,
            most => most as usize,
        };
        let now_ms = self.base.now_ms();
        // Before what is due: a run that is forced in between is not over.
        let forced = *self.jobs.forced.lock();
        let mut choices = self.due();
        choices.retain(|choice| self.jobs.may_start(&choice.plan, now_ms));
        if choices.is_empty() {
            forced.inspect(|run| self.finish_forced(run));
            return None;
        }
        let mut jobs = self.jobs.running.lock();
        let taken = |id: &SegmentId| jobs.iter().any(|j| j.choice.plan.segments().contains(id));
        let free = |choice: &Choice| !choice.plan.segments().iter().any(taken);
        if jobs.len() >= most {
            return None;
        }
        let choice = choices.into_iter().find(free)?;
        let running = Arc::new(Running {
            segments: inputs(&choice, &self.state()),
            choice,
            started_ms: self.base.around.clock.now_ms(),
            done: AtomicU32::new(0),
            total: AtomicU32::new(1),
        });
        jobs.push(Arc::clone(&running));
        Some(running)
    }

    /// A forced run is over when nothing is due or runs, and what it is about is flushed.
    fn finish_forced(&self, run: &ForcedRun) {
        let oldest = self.apply.lock().sealed.front().map(|sealed| sealed.seqno);
        let flushed = oldest.is_none_or(|seqno| seqno > run.upto);
        let idle = self.jobs.running.lock().is_empty();
        let mut forced = self.jobs.forced.lock();
        if flushed && idle && forced.as_ref() == Some(run) {
            *forced = None;
        }
    }

    fn end_job(&self, running: &Arc<Running>, outcome: Result<()>) {
        let mut report = running.report();
        report.ended_ms = Some(self.base.around.clock.now_ms());
        match outcome {
            Ok(()) => {
                report.progress = 1.0;
                *self.base.meters.compaction_error.lock() = None;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::Conflict) => {
                report.error = Some(error.chain());
            }
            Err(error) => {
                let why = error.chain();
                tracing::warn!(kind = report.kind, error = why, "compaction job failed");
                report.error = Some(why.clone());
                *self.base.meters.compaction_error.lock() = Some((error.kind(), why));
                let plan = &running.choice.plan;
                self.jobs.note_failure(plan, self.base.now_ms());
            }
        }
        self.jobs
            .running
            .lock()
            .retain(|job| !Arc::ptr_eq(job, running));
        self.jobs.note(report);
        self.make_room();
        self.base.around.wakeup.notify();
    }
}

/// What the policy needs to know of a segment.
fn shape(
    state: &SegmentState,
    shard: &ShardState,
    settings: &Settings,
    forced: Option<ForcedRun>,
) -> Shape {
    let segment = &state.segment;
    let schema = &shard.schema;
    let rows = u64::from(segment.row_count());
    let live = u64::from(state.live_count());
    let vectors = schema.vectors.iter().enumerate();
    let present = |index: usize| segment.vectors_part(index).is_some();
    let largest = vectors.clone().filter(|(index, _)| present(*index));
    let largest = largest
        .map(|(_, vector)| vector.stride() as u64 * live)
        .max();
    let planned = |vector: &VectorSchema| planned(settings, schema, vector, live);
    let without_codes = vectors
        .clone()
        .filter(|(i, vector)| present(*i) && lacks_codes(segment, *i, planned(vector)));
    // Those too small for a graph yet may be merged into one that is not.
    let scanned = |vector: &VectorSchema| planned(vector).codes.is_some() && !planned(vector).graph;
    let without_graph = vectors
        .filter(|(i, vector)| vector.hnsw.m > 0 && present(*i) && !segment.has_graph(*i))
        .filter(|(_, vector)| !scanned(vector))
        .map(|(index, _)| index);
    let fields = schema.fields.iter().enumerate();
    let payload = segment.parts().iter().map(|part| part.entry());
    let payload = payload.clone().find(|part| part.kind == PartKind::Payload);
    Shape {
        id: segment.id(),
        rows,
        payload_bytes: payload.map_or(0, |part| part.len),
        forced: forced.map_or_else(Forced::default, |run| Forced {
            merge: segment.entry().seqno_min <= run.upto,
            vacuum: segment.id() < run.next_segment,
            fold: payload.is_some_and(|part| part.exact_for < run.upto),
        }),
        without_statistics: !segment.has_statistics(),
        out_of_order: segment.is_out_of_order(&schema.fields),
        dead: rows - live,
        patched: u64::from(state.patches.rows.count()),
        bytes: segment.bytes(),
        vector_bytes: largest.unwrap_or(0),
        without_codes: without_codes.map(|(index, _)| index).collect(),
        without_graph: without_graph.collect(),
        has_graph: segment
            .parts()
            .iter()
            .any(|part| part.entry().kind == PartKind::Graph),
        without_column: fields
            .filter(|(_, field)| !segment.has_column(field))
            .map(|(index, _)| index)
            .collect(),
    }
}

/// Whether a plan makes the collection searchable through graphs or columns, and not only smaller.
pub(crate) fn is_indexing(choice: &Choice) -> bool {
    matches!(
        choice.plan,
        Plan::Codes { .. } | Plan::Graph { .. } | Plan::Column { .. } | Plan::Merge { .. }
    )
}
