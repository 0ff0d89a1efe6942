//! Collection: the handle that readers and writers use.

use std::sync::Arc;
use std::time::Duration;

use format_spec::{CollectionEntry, CollectionId, Schema, SeqNo};

use crate::batch::WriteBatch;
use crate::error::Result;
use crate::field_index::FieldIndexReport;
use crate::placement::{Placement, PlacementReport};
use crate::shard::Shard;
use crate::snapshot::Snapshot;
use crate::status::{Counters, Optimizations, Status};
use crate::write::{Appended, Turn};

/// How often a waiting caller looks again.
const WAIT_STEP: Duration = Duration::from_millis(5);

/// An open collection.
#[derive(Debug)]
pub struct Collection {
    id: CollectionId,
    name: String,
    created_at_ms: u64,
    shard: Arc<Shard>,
}

impl Collection {
    pub(crate) fn new(entry: &CollectionEntry, shard: Arc<Shard>) -> Self {
        let name = entry.name.clone();
        Self {
            id: entry.id,
            name,
            created_at_ms: entry.created_at_ms,
            shard,
        }
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id: the folder name.
    pub fn id(&self) -> CollectionId {
        self.id
    }

    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub fn created_at_ms(&self) -> u64 {
        self.created_at_ms
    }

    /// The schema that is in force.
    pub fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.shard.state().schema)
    }

    /// The newest published state.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.shard.state())
    }

    /// Logs a batch. Durable when this returns, not yet visible.
    ///
    /// # Errors
    /// `DiskFull` and `Busy` before anything is logged; `Poisoned` after a failed sync: the batch
    /// may or may not survive then; `Closed`.
    pub fn append(&self, batch: WriteBatch) -> Result<Appended> {
        self.shard.append(batch)
    }

    /// Makes an appended batch, and all before it, visible. Cannot fail.
    pub fn apply(&self, appended: &Appended) -> SeqNo {
        self.shard.apply(appended)
    }

    /// Appends and applies.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn write(&self, batch: WriteBatch) -> Result<Appended> {
        let appended = self.append(batch)?;
        self.apply(&appended);
        Ok(appended)
    }

    /// Waits until everything appended is applied, and holds back other appends until the turn
    /// is used or dropped. What `grows` waits first until there is room in memory; a delete does
    /// not grow.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn turn(&self, grows: bool) -> Result<Turn<'_>> {
        self.shard.turn(grows)
    }

    /// Colour and true counts.
    pub fn status(&self) -> Status {
        self.shard.status()
    }

    /// What compaction does and why.
    pub fn optimizations(&self) -> Optimizations {
        self.shard.optimizations()
    }

    /// Seals the memtable if it has rows and starts every job that would do something, whatever
    /// the thresholds and pauses say.
    pub fn run_now(&self) {
        self.shard.run_now();
    }

    /// Holds the files of all segments, those to come too, as `placement` says; everything is
    /// cached until this is called. What is pinned is read in before it returns.
    pub fn place(&self, placement: Placement) {
        let _turn = self.shard.placing.lock();
        self.shard.place(placement);
    }

    /// As [`Self::place`], as `placement` makes of the schema. Calls follow each other, so that the
    /// newest schema is the last that is heeded.
    ///
    /// # Errors
    /// Those of `placement`, and nothing has changed.
    pub fn place_by_schema<E>(
        &self,
        placement: impl FnOnce(&Schema) -> Result<Placement, E>,
    ) -> Result<(), E> {
        let _turn = self.shard.placing.lock();
        let placement = placement(&self.schema())?;
        self.shard.place(placement);
        Ok(())
    }

    /// Where the bytes of all segments are.
    pub fn held(&self) -> PlacementReport {
        self.shard.held()
    }

    /// Figures for operators.
    pub fn counters(&self) -> Counters {
        self.shard.counters()
    }

    /// What there is of the index of `path`.
    pub fn field_index(&self, path: &str) -> FieldIndexReport {
        self.shard.field_index(path)
    }

    /// Waits until every segment has the column of `path`; false when `deadline` passes first.
    pub fn wait_indexed(&self, path: &str, deadline: Duration) -> bool {
        self.wait(deadline, || self.shard.is_field_indexed(path))
    }

    /// Waits until no flush or job runs or is due; false when `deadline` passes first.
    pub fn wait_idle(&self, deadline: Duration) -> bool {
        self.wait(deadline, || self.shard.is_idle())
    }

    fn wait(&self, deadline: Duration, done: impl Fn() -> bool) -> bool {
        let clock = &self.shard.base.around.clock;
        let end = clock.monotonic() + deadline;
        loop {
            if done() {
                return true;
            }
            if clock.monotonic() >= end {
                return false;
            }
            if self.shard.base.around.settings.workers == 0 {
                let stepped = self.shard.step_flush() || self.shard.step_compact();
                if !stepped {
                    return done();
                }
            } else {
                self.shard.base.around.wakeup.notify();
                std::thread::sleep(WAIT_STEP);
            }
        }
    }

    pub(crate) fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }
}
