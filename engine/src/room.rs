//! Room for writers: what is refused or held back before anything is logged.
//!
//! | reason | writers |
//! |---|---|
//! | `flush`: sealed memtables wait for their flush | slow down, then wait |
//! | `compaction`: flat segments wait for their merge | slow down, then wait |
//! | disk full | get an error, unless they only delete |
//!
//! # Invariants
//! - Memory that a flush would free is bounded by `sealed_memtables_max + 1` memtables.
//! - A writer that waits is told why in `/metrics`, and gets the error that keeps the flush from
//!   making room, if there is one.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::batch::WriteBatch;
use crate::compaction::is_indexing;
use crate::error::{Error, ErrorKind, Result};
use crate::shard::Shard;
use crate::status::Meters;
use crate::wal::WriteClass;

/// Flat segments from which writers slow down, and at which they wait.
const FLAT_SLOW: usize = 24;
const FLAT_STOP: usize = 64;
/// How long a writer that slows down is held.
const SLOW: Duration = Duration::from_millis(2);
/// How long a waiting writer sleeps before it looks again.
const LOOK: Duration = Duration::from_millis(20);
/// A write that found no room for this long is refused; clients try again.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Pressure {
    None,
    Slow,
    Stop,
}

impl Shard {
    /// Waits until there is room in memory, for a write that needs some: a delete takes no memory
    /// that a flush would free, and must not wait for one. The caller holds no lock.
    ///
    /// # Errors
    /// `Busy`, `Closed`, and what keeps the flush from making room: nothing was logged.
    pub(crate) fn admit(&self, grows: bool) -> Result<()> {
        self.check_open("append")?;
        if grows {
            self.wait_for_room()?;
        }
        Ok(())
    }

    /// Asks the disk for room for a batch.
    ///
    /// # Errors
    /// `DiskFull`, `Poisoned`: nothing was logged.
    pub(crate) fn reserve(&self, batch: &WriteBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let class = if batch.grows() {
            WriteClass::Growing
        } else {
            WriteClass::Shrinking
        };
        let reserved = self.wal.reserve_for(batch.bytes() as u64, class);
        if reserved
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::DiskFull)
        {
            Meters::add(&self.base.meters.refused_disk_full, 1);
        }
        reserved?;
        Meters::add(&self.base.meters.ingested_bytes, batch.bytes() as u64);
        Ok(())
    }

    fn wait_for_room(&self) -> Result<()> {
        let meters = &self.base.meters;
        let clock = &self.base.around.clock;
        let start = clock.monotonic();
        let mut slowed = false;
        loop {
            let (pressure, stalled) = match (self.flush_pressure(), self.flat_pressure()) {
                (Pressure::None, compaction) => (compaction, &meters.stall_compaction_ms),
                (flush, _) => (flush, &meters.stall_flush_ms),
            };
            match pressure {
                Pressure::None => return Ok(()),
                Pressure::Slow if slowed => return Ok(()),
                Pressure::Slow => {
                    slowed = true;
                    self.hold(SLOW, stalled);
                }
                Pressure::Stop => self.hold(LOOK, stalled),
            }
            self.check_open("append")?;
            if pressure == Pressure::Stop && clock.monotonic() - start >= PATIENCE {
                return Err(self.no_room());
            }
            if pressure == Pressure::Stop && meters.flush_error.lock().is_some() {
                return Err(self.no_room());
            }
        }
    }

    fn flush_pressure(&self) -> Pressure {
        let most = self.base.around.settings.sealed_memtables_max.max(1);
        match self.state().memtables.len().saturating_sub(1) {
            sealed if sealed >= most => Pressure::Stop,
            sealed if sealed + 1 >= most && most > 1 => Pressure::Slow,
            _ => Pressure::None,
        }
    }

    fn flat_pressure(&self) -> Pressure {
        let state = self.state();
        if state.schema.compaction.paused || self.base.around.settings.workers == 0 {
            return Pressure::None;
        }
        let flat = |segment: &crate::version::SegmentState| {
            (0..state.schema.vectors.len()).all(|index| !segment.segment.is_indexed(index))
        };
        let count = state
            .segments
            .iter()
            .filter(|segment| flat(segment))
            .count();
        match count {
            count if count < FLAT_SLOW || !self.is_merging() => Pressure::None,
            count if count < FLAT_STOP => Pressure::Slow,
            _ => Pressure::Stop,
        }
    }

    /// Whether there is compaction to wait for.
    fn is_merging(&self) -> bool {
        let running = || !self.jobs.running().is_empty();
        // Twice: what is no longer due may have begun in between.
        running() || self.due().iter().any(is_indexing) || running()
    }

    fn hold(&self, time: Duration, stalled: &AtomicU64) {
        if self.base.around.settings.workers == 0 {
            // Nobody else would make room.
            self.step_flush();
            return;
        }
        self.base.around.wakeup.notify();
        let mut guard = self.room_lock.lock();
        self.room.wait_for(&mut guard, time);
        drop(guard);
        Meters::add(stalled, time.as_millis() as u64);
    }

    fn no_room(&self) -> Error {
        let flush = self.base.meters.flush_error.lock().clone();
        match flush {
            Some((kind, why)) => Error::new(kind, "append", format!("no room in memory: {why}")),
            None => Error::busy("append", "flushes and compaction are behind"),
        }
    }

    /// Tells waiting writers to look again.
    pub(crate) fn make_room(&self) {
        let guard = self.room_lock.lock();
        self.room.notify_all();
        drop(guard);
    }
}
