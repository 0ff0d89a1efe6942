//! Shard: one WAL, one list of segments and memtables, and the locks between them.
//!
//! # Lock order
//! `version` (installing a manifest) before `append` (assigning SeqNos) before `apply`
//! (memtables and the published state); `placing` before all of them. Readers take none of them.
//!
//! # Invariants
//! - `pending` holds appended batches in the order of their SeqNos.
//! - Only the holder of `apply` publishes a state.
//! - Only the holder of `version` creates manifests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use format_spec::{
    CollectionId, PartId, PartKind, Schema, SegmentId, SeqNo, ShardId, ShardManifest,
};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::clock::Clock;
use crate::compaction::Jobs;
use crate::derived::DerivedRoom;
use crate::error::{Error, Result};
use crate::field_index::IndexedPoints;
use crate::memtable::Memtable;
use crate::payload_cache::PayloadCache;
use crate::placement::{Placement, PlacementReport, VectorHeld};
use crate::pool::Pool;
use crate::publish::Cell;
use crate::rate::RateLimit;
use crate::retire::RetiredFiles;
use crate::segment::CodedRoom;
use crate::settings::Settings;
use crate::status::Meters;
use crate::storage::Storage;
use crate::version::{Damaged, SegmentState, ShardState};
use crate::wal::Wal;
use crate::worker::Wakeup;
use crate::write::Pending;

/// What a shard is given when it opens.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Arc<Settings>,
    /// Wakes the background threads.
    pub(crate) wakeup: Arc<Wakeup>,
    /// Builds graphs.
    pub(crate) build_pool: Arc<Pool>,
    /// Encodes vectors.
    pub(crate) encode_pool: Arc<Pool>,
    /// Memory for coded graphs.
    pub(crate) coded_room: Arc<CodedRoom>,
    /// Memory for columns of fields without an index.
    pub(crate) derived_room: Arc<DerivedRoom>,
    /// Payload blocks of recent hits.
    pub(crate) payload_cache: Arc<PayloadCache>,
}

/// Names a shard.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct ShardName {
    pub(crate) collection: CollectionId,
    pub(crate) shard: ShardId,
}

impl ShardName {
    /// Where its parts are.
    pub(crate) fn parts_dir(self) -> String {
        format_spec::path::parts_dir(self.collection, self.shard)
    }

    /// Where its manifests are.
    pub(crate) fn manifest_dir(self) -> String {
        format_spec::path::manifest_dir(self.collection, self.shard)
    }

    /// Where its WAL files are.
    pub(crate) fn wal_dir(self) -> String {
        format_spec::path::wal_dir(self.collection, self.shard)
    }

    /// Collection and shard, as part identities want them.
    pub(crate) fn owner(self) -> (CollectionId, ShardId) {
        (self.collection, self.shard)
    }
}

/// What the parts of a shard need that no lock guards.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) name: ShardName,
    pub(crate) around: Surroundings,
    pub(crate) rate: RateLimit,
    pub(crate) meters: Meters,
    placement: RwLock<Arc<Placement>>,
    next_part: AtomicU64,
    next_segment: AtomicU64,
}

impl Ground {
    /// `next_part` and `next_segment` have never been used.
    pub(crate) fn new(name: ShardName, around: Surroundings, next: (u64, u64)) -> Self {
        Self {
            name,
            rate: RateLimit::new(Arc::clone(&around.clock)),
            around,
            meters: Meters::default(),
            placement: RwLock::default(),
            next_part: AtomicU64::new(next.0),
            next_segment: AtomicU64::new(next.1),
        }
    }

    /// How parts are to be held.
    pub(crate) fn placement(&self) -> Arc<Placement> {
        Arc::clone(&self.placement.read())
    }

    /// A part id that was never used.
    pub(crate) fn new_part(&self) -> PartId {
        PartId(self.next_part.fetch_add(1, Ordering::Relaxed))
    }

    /// A segment id that was never used.
    pub(crate) fn new_segment(&self) -> SegmentId {
        SegmentId(self.next_segment.fetch_add(1, Ordering::Relaxed))
    }

    /// The ids that no manifest may reach.
    pub(crate) fn next_ids(&self) -> (u64, u64) {
        (
            self.next_part.load(Ordering::Relaxed),
            self.next_segment.load(Ordering::Relaxed),
        )
    }

    /// The disk.
    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.around.storage
    }

    /// Milliseconds of the monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.around.clock.monotonic().as_millis() as u64
    }
}

/// Guarded by `append`.
#[derive(Debug)]
pub(crate) struct AppendSide {
    /// The SeqNo of the next operation.
    pub(crate) next: SeqNo,
}

/// Guarded by `apply`.
#[derive(Debug)]
pub(crate) struct ApplySide {
    pub(crate) seqno: SeqNo,
    pub(crate) schema: Arc<Schema>,
    pub(crate) segments: Vec<Arc<SegmentState>>,
    /// Oldest first; the last one takes writes.
    pub(crate) memtables: Vec<Memtable>,
    /// For each sealed memtable, the state when it was sealed.
    pub(crate) sealed: VecDeque<Arc<ShardState>>,
    pub(crate) damaged: Vec<Damaged>,
    /// Bytes of patches in memory that a seal has counted already.
    pub(crate) sealed_patches: u64,
    /// Room for the derived columns of memtables.
    pub(crate) derived_room: Arc<DerivedRoom>,
}

impl ApplySide {
    /// Begins a new memtable.
    pub(crate) fn add_memtable(&mut self) {
        let memtable = Memtable::with_room(&self.schema, &self.derived_room);
        self.memtables.push(memtable);
    }

    /// A segment whose deaths and patches are kept, served or not.
    pub(crate) fn known_mut(&mut self, id: SegmentId) -> Option<&mut Arc<SegmentState>> {
        let aside = self
            .damaged
            .iter_mut()
            .filter_map(|damaged| damaged.state.as_mut());
        self.segments
            .iter_mut()
            .chain(aside)
            .find(|state| state.segment.id() == id)
    }

    /// What readers get when this is published.
    pub(crate) fn state(&self) -> ShardState {
        ShardState {
            seqno: self.seqno,
            schema: Arc::clone(&self.schema),
            segments: self.segments.clone(),
            memtables: self
                .memtables
                .iter()
                .map(|memtable| memtable.view(self.seqno))
                .collect(),
            damaged: self.damaged.clone(),
        }
    }
}

/// Guarded by `version`.
#[derive(Debug)]
pub(crate) struct VersionSide {
    /// The newest manifest that is durable.
    pub(crate) current: ShardManifest,
    /// The one before it, which is kept.
    pub(crate) previous: Option<ShardManifest>,
    /// The number of the next manifest; numbers of failed attempts are skipped.
    pub(crate) next_manifest: u64,
    /// Files that are no longer listed and wait for their readers.
    pub(crate) retired: RetiredFiles,
}

/// One shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) base: Ground,
    pub(crate) wal: Wal,
    pub(crate) version: Mutex<VersionSide>,
    /// Held while parts are placed anew, which may take as long as reading them in.
    pub(crate) placing: Mutex<()>,
    /// What was last told of field indexes.
    pub(crate) indexed: IndexedPoints,
    pub(crate) append: Mutex<AppendSide>,
    pub(crate) apply: Mutex<ApplySide>,
    pub(crate) pending: Mutex<VecDeque<Pending>>,
    pub(crate) state: Cell<ShardState>,
    /// Signalled when a flush has made room for writers.
    pub(crate) room: Condvar,
    pub(crate) room_lock: Mutex<()>,
    pub(crate) jobs: Jobs,
    /// Monotonic milliseconds of the last write applied.
    pub(crate) last_write_ms: AtomicU64,
    /// Monotonic milliseconds when a memtable last filled up.
    pub(crate) last_full_ms: AtomicU64,
    /// Monotonic milliseconds before which no flush is tried, because the last one failed.
    pub(crate) flush_retry_at_ms: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// Whether the collection may be gone after a restart, because dropping it half failed.
    pub(crate) in_doubt: AtomicBool,
}

impl Shard {
    /// The state that readers get now.
    pub(crate) fn state(&self) -> Arc<ShardState> {
        self.state.load()
    }

    /// Refuses work once the database is closing.
    pub(crate) fn check_open(&self, op: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            Err(Error::closed(op))
        } else {
            Ok(())
        }
    }

    /// Refuses a write that a restart might take away with the whole collection.
    pub(crate) fn check_certain(&self) -> Result<()> {
        if self.in_doubt.load(Ordering::Acquire) {
            let why = "dropping the collection failed and is not yet undone on the disk";
            Err(Error::busy("append", why))
        } else {
            Ok(())
        }
    }

    /// Builds the state from the apply side and makes it what readers get.
    pub(crate) fn publish(&self, side: &ApplySide) {
        self.state.publish(|_| side.state());
    }

    /// Makes a new schema the one that readers and writers see. It is durable already.
    pub(crate) fn set_schema(&self, schema: Arc<Schema>) {
        self.base.rate.set(schema.compaction.rate_bytes_per_s);
        let mut side = self.apply.lock();
        side.schema = schema;
        self.publish(&side);
        drop(side);
        self.base.around.wakeup.notify();
    }

    /// Holds all parts, those to come too, as `placement` says.
    pub(crate) fn place(&self, placement: Placement) {
        let placement = Arc::new(placement);
        {
            // Whoever installs parts holds it, and asks for the placement meanwhile: what is
            // installed later is placed by this one.
            let _version = self.version.lock();
            *self.base.placement.write() = Arc::clone(&placement);
        }
        // Outside of the lock, because what is pinned is read in.
        for state in self.state().known() {
            state.segment.place(self.base.storage(), &placement);
        }
        self.let_coded_go();
        self.base.around.wakeup.notify();
    }

    /// Where the bytes of all segments are.
    pub(crate) fn held(&self) -> PlacementReport {
        let state = self.state();
        let mut report = PlacementReport::default();
        for (index, vector) in state.schema.vectors.iter().enumerate() {
            let mut held = VectorHeld {
                name: vector.name.clone(),
                ..VectorHeld::default()
            };
            for state in &state.segments {
                state.segment.add_held(index, &mut held);
            }
            report.vectors.push(held);
        }
        let parts = state
            .segments
            .iter()
            .flat_map(|state| state.segment.parts());
        parts
            .filter(|part| part.entry().kind == PartKind::Payload)
            .for_each(|part| report.payload.add(part.held()));
        report
    }
}
