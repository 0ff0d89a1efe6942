//! What operators see of a collection: colour, counts, jobs and counters.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::ErrorKind;

/// The colour clients poll for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Color {
    /// Everything that should have a graph has one.
    Green,
    /// Flushes or compaction jobs are due or running.
    Yellow,
    /// Work is due and paused.
    Grey,
    /// A segment is damaged, or background work fails.
    Red,
}

/// A collection's condition.
#[derive(Clone, Debug)]
pub struct Status {
    /// The colour.
    pub color: Color,
    /// Live points.
    pub points: u64,
    /// Vectors that a graph covers.
    pub indexed_vectors: u64,
    /// Segments, memtables with rows included.
    pub segments: usize,
    /// Batches that are durable and not yet visible.
    pub queue_length: usize,
    /// Why background work fails, or no write is taken any more.
    pub optimizer_error: Option<String>,
    /// Segments that are set aside: id, file and reason.
    pub damaged: Vec<String>,
}

/// A job that runs, waits or is done.
#[derive(Clone, PartialEq, Debug)]
pub struct JobReport {
    /// What it does: `flush`, `merge`, `graph`, `column`, `fold`, `vacuum`, `drop`.
    pub kind: &'static str,
    /// Why it was chosen, with the figures.
    pub why: String,
    /// Its input segments.
    pub segments: Vec<JobSegment>,
    /// Live rows of its inputs.
    pub rows: u64,
    /// 0 to 1.
    pub progress: f64,
    /// Wall clock, ms since 1970.
    pub started_ms: u64,
    /// Wall clock when it ended.
    pub ended_ms: Option<u64>,
    /// How it failed, if it did.
    pub error: Option<String>,
}

/// An input segment of a job.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct JobSegment {
    /// Its id.
    pub id: u64,
    /// Its live rows: now while the job waits, and those the job began with afterwards.
    pub rows: u64,
}

/// What runs, what is due, what is done.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Optimizations {
    /// Running now.
    pub running: Vec<JobReport>,
    /// Due, in the order they would start.
    pub queued: Vec<JobReport>,
    /// The last ones that ended, newest first.
    pub completed: Vec<JobReport>,
    /// Segments that no job touches or waits for.
    pub idle_segments: Vec<SegmentReport>,
}

/// One segment, for operators.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentReport {
    /// Its id.
    pub id: u64,
    /// Rows, dead ones included.
    pub rows: u64,
    /// Rows that are dead.
    pub dead_rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether all its vectors have graphs.
    pub indexed: bool,
}

/// Figures for `/metrics`; byte counts are since the start of the process.
#[derive(Copy, Clone, PartialEq, Default, Debug)]
pub struct Counters {
    /// Bytes of operations given to the WAL.
    pub ingested_bytes: u64,
    /// Bytes the WAL wrote, framing included.
    pub wal_bytes: u64,
    /// Syncs of the WAL.
    pub wal_syncs: u64,
    /// Bytes of WAL files on disk.
    pub wal_disk_bytes: u64,
    /// Bytes flushes wrote.
    pub flushed_bytes: u64,
    /// Bytes compaction wrote.
    pub compacted_bytes: u64,
    /// Bytes of all segment files.
    pub segment_bytes: u64,
    /// Bytes of segment files that belong to live rows, estimated by their share.
    pub live_bytes: u64,
    /// Bytes of inputs of the jobs that are due.
    pub debt_bytes: u64,
    /// Bytes of all memtables and patches in memory.
    pub memtable_bytes: u64,
    /// Files waiting for their readers to end.
    pub retired_files: u64,
    /// Bytes in memory of columns that queries made of fields without an index.
    pub derived_bytes: u64,
    /// Milliseconds writers waited because flushes were behind.
    pub stall_flush_ms: u64,
    /// Milliseconds writers waited because compaction was behind.
    pub stall_compaction_ms: u64,
    /// Writes refused because the disk was full.
    pub refused_disk_full: u64,
}

impl Counters {
    /// Bytes written for each byte ingested; 0 while nothing was.
    pub fn write_amplification(&self) -> f64 {
        if self.ingested_bytes == 0 {
            return 0.0;
        }
        let written = self.wal_bytes + self.flushed_bytes + self.compacted_bytes;
        written as f64 / self.ingested_bytes as f64
    }

    /// Bytes on disk for each byte that lives.
    pub fn space_amplification(&self) -> f64 {
        self.segment_bytes as f64 / self.live_bytes.max(1) as f64
    }
}

/// The counters a shard keeps.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) ingested_bytes: AtomicU64,
    pub(crate) flushed_bytes: AtomicU64,
    pub(crate) compacted_bytes: AtomicU64,
    pub(crate) stall_flush_ms: AtomicU64,
    pub(crate) stall_compaction_ms: AtomicU64,
    pub(crate) refused_disk_full: AtomicU64,
    /// The last failure of background work; cleared by the next success of the same kind.
    pub(crate) flush_error: Mutex<Option<(ErrorKind, String)>>,
    pub(crate) compaction_error: Mutex<Option<(ErrorKind, String)>>,
}

impl Meters {
    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub(crate) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
