//! Snapshot: what a reader holds.
//!
//! One `Arc` to a published state: segments, memtables, schema and SeqNo of one moment. No lock
//! is held, and the files it names are not removed while it lives.

use std::sync::Arc;

use format_spec::{PointId, Row, Schema, SeqNo};

use crate::error::Result;
use crate::source::Source;
use crate::version::ShardState;

/// One consistent state of a collection.
#[derive(Clone, Debug)]
pub struct Snapshot {
    state: Arc<ShardState>,
    sources: Arc<[Source]>,
}

impl Snapshot {
    pub(crate) fn new(state: Arc<ShardState>) -> Self {
        let segments = state
            .segments
            .iter()
            .map(|segment| Source::segment(Arc::clone(segment)));
        let memtables = state.memtables.iter().filter(|view| view.rows() > 0);
        let sources = segments
            .chain(memtables.cloned().map(Source::Memtable))
            .collect();
        Self { state, sources }
    }

    /// The last operation it holds.
    pub fn seqno(&self) -> SeqNo {
        self.state.seqno
    }

    /// The schema of that moment.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.state.schema
    }

    /// Where the points are: segments oldest first, then memtables. Every live point is one
    /// live row of exactly one source.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Live points.
    pub fn live_count(&self) -> u64 {
        self.sources
            .iter()
            .map(|source| u64::from(source.live_count()))
            .sum()
    }

    /// The source and row of a live point.
    ///
    /// # Errors
    /// `Corrupt` when a rows part does not verify.
    pub fn find(&self, id: PointId) -> Result<Option<(usize, Row)>> {
        for (at, source) in self.sources.iter().enumerate().rev() {
            if let Some(row) = source.row_of(id)? {
                return Ok(Some((at, row)));
            }
        }
        Ok(None)
    }
}
