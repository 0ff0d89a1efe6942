//! Upkeep: what the flush thread does beside flushing, and how a shard ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use format_spec::{PartEntry, SegmentEntry};

use crate::error::{Error, ErrorKind, Result};
use crate::segment::Segment;
use crate::shard::Shard;
use crate::version::{Damaged, SegmentState};

/// Pause after a flush that failed.
const FLUSH_RETRY_MS: u64 = 250;
/// A memtable large enough for a graph is sealed after this long without a write, so that a
/// finished load becomes green by itself.
const IDLE_SEAL_MS: u64 = 300;

impl Shard {
    /// One flush, and whatever small upkeep is due; false when nothing was flushed or sealed.
    pub(crate) fn step_flush(&self) -> bool {
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        if let Err(error) = self.wal.idle_marker() {
            tracing::error!(error = %error.chain(), "sync marker failed");
        }
        self.set_damaged_aside();
        self.seal_when_idle();
        // Where the caller runs the steps, it decides when to try again.
        let retry_at_ms = self.flush_retry_at_ms.load(Ordering::Relaxed);
        if self.base.around.settings.workers > 0 && self.base.now_ms() < retry_at_ms {
            return false;
        }
        self.sweep_retired();
        match self.flush() {
            Ok(flushed) => {
                *self.base.meters.flush_error.lock() = None;
                if flushed {
                    self.base.around.wakeup.notify();
                }
                flushed
            }
            Err(error) => {
                self.note_flush_failure(&error);
                false
            }
        }
    }

    fn note_flush_failure(&self, error: &Error) {
        // The shard ended between two steps, mostly because its collection was dropped.
        if error.kind() == ErrorKind::Closed {
            return;
        }
        tracing::warn!(error = %error.chain(), "flush failed, will be tried again");
        *self.base.meters.flush_error.lock() = Some((error.kind(), error.chain()));
        self.pause_flushes();
        self.make_room();
    }

    fn seal_when_idle(&self) {
        if self.base.around.settings.workers == 0 {
            return;
        }
        let state = self.state();
        let threshold = state
            .schema
            .compaction
            .indexing_threshold_kb
            .saturating_mul(1024);
        let since = self
            .base
            .now_ms()
            .saturating_sub(self.last_write_ms.load(Ordering::Relaxed));
        if threshold == 0 || since < IDLE_SEAL_MS {
            return;
        }
        let mut side = self.apply.lock();
        if side.unflushed_bytes() >= threshold && side.sealed.is_empty() {
            self.seal(&mut side);
            self.publish(&side);
        }
    }

    /// Seals the memtable if there is anything to flush.
    pub(crate) fn seal_now(&self) {
        let mut side = self.apply.lock();
        let dirty = side.segments.iter().any(|segment| segment.is_dirty());
        let rows = side
            .memtables
            .last()
            .is_some_and(|memtable| memtable.rows() > 0);
        if rows || dirty && side.sealed.is_empty() {
            self.seal(&mut side);
            self.publish(&side);
        }
    }

    /// Flushes and starts every job that would do something.
    pub(crate) fn run_now(&self) {
        self.seal_now();
        self.force_jobs();
        self.base.around.wakeup.notify();
    }

    /// Removes files that nobody lists and nobody reads.
    fn sweep_retired(&self) {
        let Some(mut version) = self.version.try_lock() else {
            return;
        };
        if version.retired.len() == 0 {
            return;
        }
        let manifests = [Some(version.current.clone()), version.previous.clone()];
        let kept: Vec<_> = manifests.iter().flatten().collect();
        if let Err(error) = version.retired.sweep(self.base.storage(), &kept) {
            tracing::warn!(error = %error.chain(), "a retired file could not be removed");
            self.pause_flushes();
        }
    }

    fn pause_flushes(&self) {
        let retry_at_ms = self.base.now_ms() + FLUSH_RETRY_MS;
        self.flush_retry_at_ms.store(retry_at_ms, Ordering::Relaxed);
    }

    /// Stops serving segments in which damage was found, and derived parts likewise.
    fn set_damaged_aside(&self) {
        let state = self.state();
        let core = |s: &Arc<SegmentState>| s.segment.damage().is_some();
        let derived = |s: &Arc<SegmentState>| s.segment.damaged_derived().next().is_some();
        if !state
            .segments
            .iter()
            .any(|segment| core(segment) || derived(segment))
        {
            return;
        }
        let _version = self.version.lock();
        let mut side = self.apply.lock();
        let mut kept = Vec::with_capacity(side.segments.len());
        for segment in std::mem::take(&mut side.segments) {
            if let Some(damage) = segment.segment.damage() {
                let why = damage.chain();
                let id = segment.segment.id();
                tracing::error!(segment = id.0, error = why, "segment set aside");
                let state = segment.segment.rows().is_ok().then_some(segment);
                side.damaged.push(Damaged {
                    segment: id,
                    state,
                    why,
                });
            } else if derived(&segment) {
                kept.push(self.without_damaged_parts(&segment).unwrap_or(segment));
            } else {
                kept.push(segment);
            }
        }
        side.segments = kept;
        self.publish(&side);
    }

    /// The same segment without its damaged graphs and columns, which compaction then rebuilds.
    fn without_damaged_parts(&self, state: &Arc<SegmentState>) -> Result<Arc<SegmentState>> {
        let damaged: Vec<PartEntry> = state
            .segment
            .damaged_derived()
            .map(|part| part.entry().clone())
            .collect();
        let mut entry = state.segment.entry().clone();
        entry.parts.retain(|part| !damaged.contains(part));
        for part in damaged {
            tracing::warn!(
                segment = entry.id.0,
                kind = part.kind.extension(),
                name = part.name,
                "damaged derived part dropped, to be built again"
            );
        }
        self.reopened(state, entry)
    }

    /// Gives back the coded graphs of segments whose graph is to stay on disk by now.
    pub(crate) fn let_coded_go(&self) {
        let stays = |state: &SegmentState| state.segment.keeps_coded_of_cold();
        if !self.state().segments.iter().any(|state| stays(state)) {
            return;
        }
        let _version = self.version.lock();
        let mut side = self.apply.lock();
        for state in &mut side.segments {
            if stays(state) {
                match self.reopened(state, state.segment.entry().clone()) {
                    Ok(without) => *state = without,
                    Err(error) => tracing::warn!(error = %error.chain(), "coded graph stays"),
                }
            }
        }
        self.publish(&side);
    }

    /// The same segment with the parts of `entry` and nothing made in memory.
    fn reopened(&self, state: &SegmentState, entry: SegmentEntry) -> Result<Arc<SegmentState>> {
        let base = &self.base;
        let (dir, owner) = (base.name.parts_dir(), base.name.owner());
        let schema = &self.state().schema;
        let parts = state.segment.parts();
        let segment = Segment::open(base.storage(), &dir, owner, entry, schema, parts)?;
        segment.place(base.storage(), &base.placement());
        segment.serve(&base.around, Some(&state.segment));
        let segment = Arc::new(segment);
        Ok(Arc::new(SegmentState {
            segment,
            ..SegmentState::clone(state)
        }))
    }

    /// Ends the shard: nothing more is appended, and the WAL says that it ended cleanly.
    ///
    /// # Errors
    /// What the disk says; what was acknowledged is safe all the same.
    pub(crate) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.base.rate.set(0);
        self.make_room();
        let side = self.append.lock();
        let closed = self.wal.close();
        drop(side);
        closed
    }

    /// Ends the shard because its collection is dropped: waits for an install that is under way.
    pub(crate) fn abandon(&self) {
        self.closed.store(true, Ordering::Release);
        self.base.rate.set(0);
        self.make_room();
        drop(self.version.lock());
        drop(self.append.lock());
    }
}

#[cfg(test)]
mod tests {
    use format_spec::Schema;

    use super::*;
    use crate::storage::sim::SimDisk;
    use crate::{Clock, Db, ManualClock, Settings};

    #[test]
    fn a_flush_that_finds_its_shard_closed_is_no_failure() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1));
        let settings = Settings {
            workers: 0,
            build_threads: 1,
            soft_free_bytes: 0,
            ..Settings::default()
        };
        let db = Db::open(Arc::new(SimDisk::new()), clock, settings).unwrap();
        let collection = db.create_collection("c", Schema::default()).unwrap();
        assert!(db.drop_collection("c").unwrap());
        let shard = collection.shard();
        // As if the drop had come after the step had looked.
        let error = shard.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        shard.note_flush_failure(&error);
        assert!(shard.base.meters.flush_error.lock().is_none());
        let failure = Error::new(ErrorKind::Io, "flush", "why");
        shard.note_flush_failure(&failure);
        assert!(shard.base.meters.flush_error.lock().is_some());
    }
}
