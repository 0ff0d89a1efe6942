//! Block: a few dozen consecutive rows of a memtable.
//!
//! A full block never changes; the last one is copied when a batch appends to it, so that
//! readers of the state before keep theirs. Blocks are small enough (`BLOCK_BYTES` of vectors)
//! that the copy costs less than the sync of the record that caused it.
//!
//! # Invariants
//! - All columns of a block have the same number of rows.
//! - `dead` is shared by all copies of a block: a row dies once, for every later snapshot.
//! - `codes` is set only when the block is full.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use format_spec::{PointId, SeqNo};

use super::codes::Encoded;

/// Bytes of vectors in one block.
const BLOCK_BYTES: usize = 128 << 10;
/// Most rows of a block: presence is four words.
const BLOCK_ROWS_MAX: usize = 256;
const BLOCK_ROWS_MIN: usize = 8;
/// Codes are made of so many rows at once, and up to so many bytes a block has them.
const CODED_ROWS: usize = quant::BLOCK_ROWS;
const CODED_BYTES: usize = 512 << 10;

/// The `dead_at` of a row that lives.
pub(crate) const ALIVE: u64 = u64::MAX;

/// Rows a block holds, a power of two, for vectors of `strides` bytes in all.
pub(crate) fn rows_for(strides: usize) -> usize {
    let least = if CODED_ROWS * strides <= CODED_BYTES {
        CODED_ROWS
    } else {
        BLOCK_ROWS_MIN
    };
    let fit = (BLOCK_BYTES / strides.max(1)).clamp(least, BLOCK_ROWS_MAX);
    1 << fit.ilog2()
}

/// The rows of one vector name in a block.
#[derive(Clone, Debug)]
struct BlockVectors {
    stride: usize,
    present: [u64; BLOCK_ROWS_MAX / 64],
    /// `stride` bytes a row, zeros where absent.
    data: Vec<u8>,
}

/// Consecutive rows of a memtable.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    ids: Vec<PointId>,
    born: Vec<SeqNo>,
    dead: Arc<[AtomicU64]>,
    vectors: Vec<BlockVectors>,
    payload_ends: Vec<u32>,
    payloads: Vec<u8>,
    /// For each vector name.
    codes: Arc<[OnceLock<Arc<Encoded>>]>,
}

impl Block {
    /// An empty block for `rows` rows of vectors with the given strides in bytes.
    pub(crate) fn new(rows: usize, strides: &[usize]) -> Self {
        let vectors = strides.iter().map(|&stride| BlockVectors {
            stride,
            present: [0; BLOCK_ROWS_MAX / 64],
            data: Vec::with_capacity(stride * rows),
        });
        Self {
            ids: Vec::with_capacity(rows),
            born: Vec::with_capacity(rows),
            dead: (0..rows).map(|_| AtomicU64::new(ALIVE)).collect(),
            vectors: vectors.collect(),
            payload_ends: Vec::with_capacity(rows),
            payloads: Vec::new(),
            codes: strides.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Whether no row fits any more.
    pub(crate) fn is_full(&self) -> bool {
        self.ids.len() == self.dead.len()
    }

    /// Adds a row; `vectors` gives each vector name's bytes in schema order.
    pub(crate) fn push<'a>(
        &mut self,
        id: PointId,
        born: SeqNo,
        vector: impl Fn(usize) -> Option<&'a [u8]>,
        payload: &[u8],
    ) {
        let at = self.ids.len();
        for (index, column) in self.vectors.iter_mut().enumerate() {
            match vector(index) {
                Some(row) if row.len() == column.stride => {
                    column.present[at / 64] |= 1 << (at % 64);
                    column.data.extend_from_slice(row);
                }
                _ => column.data.resize(column.data.len() + column.stride, 0),
            }
        }
        self.payloads.extend_from_slice(payload);
        self.payload_ends.push(self.payloads.len() as u32);
        self.ids.push(id);
        self.born.push(born);
    }

    /// The id of row `at`.
    pub(crate) fn id(&self, at: usize) -> PointId {
        self.ids[at]
    }

    /// The SeqNo that wrote row `at`.
    pub(crate) fn born(&self, at: usize) -> SeqNo {
        self.born[at]
    }

    /// Whether row `at` is visible at `seqno`.
    pub(crate) fn is_visible(&self, at: usize, seqno: SeqNo) -> bool {
        self.born[at] <= seqno && seqno.0 < self.dead[at].load(Ordering::Acquire)
    }

    /// Ends row `at` with the operation `seqno`; false if it was dead already.
    pub(crate) fn kill(&self, at: usize, seqno: SeqNo) -> bool {
        self.dead[at]
            .compare_exchange(ALIVE, seqno.0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Whether no operation has ended row `at`.
    pub(crate) fn is_alive(&self, at: usize) -> bool {
        self.dead[at].load(Ordering::Acquire) == ALIVE
    }

    /// The vector `index` of row `at`.
    pub(crate) fn vector(&self, index: usize, at: usize) -> Option<&[u8]> {
        let column = self.vectors.get(index)?;
        if column.present[at / 64] >> (at % 64) & 1 == 0 {
            return None;
        }
        column
            .data
            .get(at * column.stride..(at + 1) * column.stride)
    }

    /// Whether row `at` has the vector `index`.
    pub(crate) fn has_vector(&self, index: usize, at: usize) -> bool {
        self.vectors
            .get(index)
            .is_some_and(|c| c.present[at / 64] >> (at % 64) & 1 == 1)
    }

    /// The vector `index` of all rows.
    pub(crate) fn vectors_of(
        &self,
        index: usize,
    ) -> impl ExactSizeIterator<Item = Option<&[u8]>> + '_ {
        (0..self.ids.len()).map(move |at| self.vector(index, at))
    }

    /// Where the codes of the vector `index` are, or will be.
    pub(crate) fn codes(&self, index: usize) -> Option<&OnceLock<Arc<Encoded>>> {
        self.codes.get(index).filter(|_| self.is_full())
    }

    /// All rows of the vector `index`, contiguous, zeros where absent.
    pub(crate) fn vector_data(&self, index: usize) -> &[u8] {
        self.vectors.get(index).map_or(&[], |column| &column.data)
    }

    /// The payload of row `at`, encoded.
    pub(crate) fn payload(&self, at: usize) -> &[u8] {
        let start = if at == 0 {
            0
        } else {
            self.payload_ends[at - 1] as usize
        };
        &self.payloads[start..self.payload_ends[at] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_rows_are_a_power_of_two_within_bounds() {
        assert_eq!(rows_for(0), 256);
        assert_eq!(rows_for(1536), 64);
        assert_eq!(rows_for(3_072 * 4), 32);
        assert_eq!(rows_for(65_536 * 4), 8);
    }

    #[test]
    fn a_row_is_visible_from_its_birth_until_its_death() {
        let mut block = Block::new(4, &[2]);
        block.push(PointId::Number(7), SeqNo(5), |_| Some(&[1, 2]), b"x");
        block.push(PointId::Number(8), SeqNo(6), |_| None, b"");
        assert!(!block.is_visible(0, SeqNo(4)) && block.is_visible(0, SeqNo(5)));
        assert!(block.kill(0, SeqNo(9)) && !block.kill(0, SeqNo(10)));
        assert!(block.is_visible(0, SeqNo(8)) && !block.is_visible(0, SeqNo(9)));
        assert_eq!(
            (block.vector(0, 0), block.vector(0, 1)),
            (Some(&[1, 2][..]), None)
        );
        assert_eq!((block.payload(0), block.payload(1)), (&b"x"[..], &b""[..]));
        assert_eq!(block.vector_data(0), &[1, 2, 0, 0]);
    }
}
