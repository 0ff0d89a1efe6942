//! Patches: the payloads that replace those in a segment's payload part.
//!
//! A patch is a row's whole new payload. Those that a flush has written lie in a patch part
//! (`base`); newer ones are held in memory (`delta`), copied on write in chunks of rows.
//!
//! # Invariants
//! - A row in `delta` hides the same row in `base`, and both hide the payload part.
//! - `rows` has exactly the rows that `base` or `delta` patch.

use std::sync::Arc;

use format_spec::{Row, SeqNo};

use crate::bits::Bits;

/// Rows of one copy-on-write chunk.
const CHUNK_ROWS: u32 = 256;

/// One patched row.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// The row.
    pub(crate) row: Row,
    /// The operation that patched it.
    pub(crate) seqno: SeqNo,
    /// The row's whole payload, encoded.
    pub(crate) payload: Arc<[u8]>,
}

/// The patches of one segment that are only in memory (and in the WAL).
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    /// By `row / CHUNK_ROWS`, each sorted by row.
    chunks: Vec<Option<Arc<Vec<Patch>>>>,
    count: u32,
    bytes: u64,
}

impl Delta {
    /// The patch of `row`.
    pub(crate) fn get(&self, row: Row) -> Option<&Patch> {
        let chunk = self.chunks.get((row / CHUNK_ROWS) as usize)?.as_ref()?;
        chunk
            .binary_search_by_key(&row, |patch| patch.row)
            .ok()
            .map(|at| &chunk[at])
    }

    /// Sets the payload of a row.
    pub(crate) fn set(&mut self, patch: Patch) {
        let at = (patch.row / CHUNK_ROWS) as usize;
        if self.chunks.len() <= at {
            self.chunks.resize(at + 1, None);
        }
        let chunk = Arc::make_mut(self.chunks[at].get_or_insert_default());
        self.bytes += patch.payload.len() as u64;
        match chunk.binary_search_by_key(&patch.row, |p| p.row) {
            Ok(found) => {
                self.bytes -= chunk[found].payload.len() as u64;
                chunk[found] = patch;
            }
            Err(place) => {
                self.count += 1;
                chunk.insert(place, patch);
            }
        }
    }

    /// Patches, ascending by row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Patch> {
        self.chunks.iter().flatten().flat_map(|chunk| chunk.iter())
    }

    /// The patches of `self` written after `seqno`.
    pub(crate) fn newer_than(&self, seqno: SeqNo) -> Self {
        let mut newer = Self::default();
        for patch in self.iter().filter(|patch| patch.seqno > seqno) {
            newer.set(patch.clone());
        }
        newer
    }

    /// Patched rows.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of payload held in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + u64::from(self.count) * 64
    }
}

/// All patches of a segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patches {
    /// Rows patched by either layer.
    pub(crate) rows: Bits,
    /// The patches not yet in a part.
    pub(crate) delta: Delta,
}

impl Patches {
    /// No patches, for a segment of `rows` rows.
    pub(crate) fn new(rows: u32) -> Self {
        Self {
            rows: Bits::new(rows),
            delta: Delta::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(row: Row, seqno: u64) -> Patch {
        Patch {
            row,
            seqno: SeqNo(seqno),
            payload: Arc::from(seqno.to_le_bytes().as_slice()),
        }
    }

    #[test]
    fn the_last_patch_of_a_row_stands() {
        let mut delta = Delta::default();
        for (row, seqno) in [(900, 1), (3, 2), (900, 3), (901, 4)] {
            delta.set(patch(row, seqno));
        }
        let older = delta.clone();
        delta.set(patch(3, 5));
        assert_eq!(older.get(3).map(|p| p.seqno), Some(SeqNo(2)));
        assert_eq!(
            delta.iter().map(|p| (p.row, p.seqno.0)).collect::<Vec<_>>(),
            [(3, 5), (900, 3), (901, 4)]
        );
        assert_eq!(delta.newer_than(SeqNo(3)).count(), 2);
        assert_eq!(delta.count(), 3);
    }
}
