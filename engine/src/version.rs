//! Version: what a shard consists of at one moment, as readers see it.
//!
//! A [`ShardState`] is immutable and published whole: the segments with their dead and patched
//! rows, the memtables, the schema and the SeqNo all belong together. A snapshot is an `Arc`
//! of one.
//!
//! # Invariants
//! - Every live point is one live row of exactly one source.
//! - `seqno` is the last operation whose effects the state holds; it holds all before it.

use std::sync::Arc;

use format_spec::{PointId, Row, Schema, SegmentId, SeqNo};

use crate::bits::Bits;
use crate::error::Result;
use crate::memtable::MemtableView;
use crate::patches::{Patch, Patches};
use crate::segment::Segment;

/// A segment with what has happened to its rows since it was written.
#[derive(Clone, Debug)]
pub(crate) struct SegmentState {
    /// The files.
    pub(crate) segment: Arc<Segment>,
    /// Rows that were deleted or written anew.
    pub(crate) dead: Bits,
    /// Rows whose payload was replaced.
    pub(crate) patches: Patches,
    /// The dead rows that the manifest's tombstones part has.
    pub(crate) persisted_dead: Bits,
}

impl SegmentState {
    /// The segment as its parts have it.
    ///
    /// # Errors
    /// `Corrupt` when tombstones or patches do not verify.
    pub(crate) fn open(segment: Arc<Segment>) -> Result<Self> {
        let dead = segment.read_tombstones()?;
        let rows = segment.read_patched_rows()?;
        let patches = Patches {
            rows,
            ..Patches::default()
        };
        Ok(Self {
            segment,
            persisted_dead: dead.clone(),
            dead,
            patches,
        })
    }

    /// The same, with every payload as the payload part has it.
    pub(crate) fn without_patches(&self) -> Self {
        Self {
            patches: Patches::new(self.segment.row_count()),
            ..self.clone()
        }
    }

    /// The live row of `id`.
    ///
    /// # Errors
    /// `Corrupt` when the rows part does not verify.
    pub(crate) fn row_of(&self, id: PointId) -> Result<Option<Row>> {
        let row = self.segment.rows()?.row_of(id);
        Ok(row.filter(|&row| !self.dead.get(row)))
    }

    /// Rows that live.
    pub(crate) fn live_count(&self) -> u32 {
        self.segment.row_count() - self.dead.count()
    }

    /// Replaces the payload of a row.
    pub(crate) fn patch(&mut self, patch: Patch) {
        self.patches.rows.set(patch.row);
        self.patches.delta.set(patch);
    }

    /// Whether the manifest lacks some of the dead or patched rows.
    pub(crate) fn is_dirty(&self) -> bool {
        self.patches.delta.count() > 0 || self.dead.count() != self.persisted_dead.count()
    }
}

/// A segment that is not served, because a file of it does not verify.
#[derive(Clone, Debug)]
pub(crate) struct Damaged {
    /// Which segment.
    pub(crate) segment: SegmentId,
    /// What still opens of it, so that newer writes of its ids are noted as deaths and patches:
    /// they win when the files are repaired. `None` when even its rows cannot be read.
    pub(crate) state: Option<Arc<SegmentState>>,
    /// File, offset and what is wrong there.
    pub(crate) why: String,
}

/// One consistent state of a shard.
#[derive(Debug)]
pub(crate) struct ShardState {
    /// The last operation applied.
    pub(crate) seqno: SeqNo,
    /// The collection's schema.
    pub(crate) schema: Arc<Schema>,
    /// Oldest first.
    pub(crate) segments: Vec<Arc<SegmentState>>,
    /// Oldest first; the last one takes writes.
    pub(crate) memtables: Vec<MemtableView>,
    /// Segments set aside.
    pub(crate) damaged: Vec<Damaged>,
}

impl ShardState {
    /// Every segment whose deaths and patches are to be kept, served or not.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Arc<SegmentState>> {
        let aside = self
            .damaged
            .iter()
            .filter_map(|damaged| damaged.state.as_ref());
        self.segments.iter().chain(aside)
    }
}
