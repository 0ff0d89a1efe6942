//! Bits: a bitmap over the rows of a sealed segment that is copied on write, chunk by chunk.
//!
//! A published state shares its chunks with the next one; only the chunks that a write touches
//! are copied, so publishing after a batch costs what the batch touched.
//!
//! # Invariants
//! - Bits at or beyond `len` are zero.
//! - `count` is the number of ones.

use std::sync::Arc;

use index::RowSet;

/// Words of one chunk: 64 Ki rows, 8 KiB.
const CHUNK_WORDS: usize = 1024;
const CHUNK_BITS: u32 = (CHUNK_WORDS as u32) * 64;

/// A copy-on-write bitmap over rows `0..len`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    /// `None` is a chunk of zeros.
    chunks: Vec<Option<Arc<[u64; CHUNK_WORDS]>>>,
    len: u32,
    count: u32,
}

impl Bits {
    /// All zero, over `len` rows.
    pub(crate) fn new(len: u32) -> Self {
        Self {
            chunks: vec![None; len.div_ceil(CHUNK_BITS) as usize],
            len,
            count: 0,
        }
    }

    /// The rows for which `words` has a one; words beyond `len` are ignored.
    pub(crate) fn from_rows(len: u32, rows: impl Iterator<Item = u32>) -> Self {
        let mut bits = Self::new(len);
        for row in rows {
            bits.set(row);
        }
        bits
    }

    /// Number of ones.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Whether `row` is set.
    pub(crate) fn get(&self, row: u32) -> bool {
        let (chunk, word, bit) = place(row);
        match self.chunks.get(chunk) {
            Some(Some(words)) => words[word] >> bit & 1 == 1,
            _ => false,
        }
    }

    /// Sets `row`; false if it was set before or lies outside.
    pub(crate) fn set(&mut self, row: u32) -> bool {
        if row >= self.len {
            return false;
        }
        let (chunk, word, bit) = place(row);
        let words = self.chunks[chunk].get_or_insert_with(|| Arc::new([0; CHUNK_WORDS]));
        if words[word] >> bit & 1 == 1 {
            return false;
        }
        Arc::make_mut(words)[word] |= 1 << bit;
        self.count += 1;
        true
    }

    /// The ones, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.chunks.iter().enumerate().flat_map(|(index, chunk)| {
            let base = index as u32 * CHUNK_BITS;
            chunk.iter().flat_map(move |words| {
                words
                    .iter()
                    .enumerate()
                    .flat_map(move |(at, &word)| ones(base + at as u32 * 64, word))
            })
        })
    }

    /// The ones of `self` that are zero in `older`; chunks shared by both cost nothing.
    pub(crate) fn added_since<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = u32> + 'a {
        self.chunks
            .iter()
            .enumerate()
            .flat_map(move |(index, chunk)| {
                let before = older.chunks.get(index).and_then(Option::as_ref);
                let base = index as u32 * CHUNK_BITS;
                let same = matches!((chunk, before), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
                chunk.iter().filter(move |_| !same).flat_map(move |words| {
                    words.iter().enumerate().flat_map(move |(at, &word)| {
                        ones(base + at as u32 * 64, word & !before.map_or(0, |b| b[at]))
                    })
                })
            })
    }

    /// A plain copy.
    pub(crate) fn to_row_set(&self) -> RowSet {
        let mut words = Vec::with_capacity(self.len.div_ceil(64) as usize);
        for chunk in &self.chunks {
            match chunk {
                Some(chunk) => words.extend_from_slice(&chunk[..]),
                None => words.extend_from_slice(&[0; CHUNK_WORDS]),
            }
        }
        words.truncate(self.len.div_ceil(64) as usize);
        // INVARIANT: as many words as `len` needs, and no bit beyond it.
        RowSet::from_words(self.len, words).unwrap_or_else(|_| RowSet::new(self.len))
    }
}

fn place(row: u32) -> (usize, usize, u32) {
    (
        (row / CHUNK_BITS) as usize,
        (row % CHUNK_BITS / 64) as usize,
        row % 64,
    )
}

fn ones(base: u32, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros();
        word &= word - 1;
        Some(base + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_ones_while_the_original_changes() {
        let mut bits = Bits::new(200_000);
        assert!(bits.set(3) && bits.set(199_999) && !bits.set(3) && !bits.set(200_000));
        let older = bits.clone();
        assert!(bits.set(70_000));
        assert_eq!(older.iter().collect::<Vec<_>>(), [3, 199_999]);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [3, 70_000, 199_999]);
        assert_eq!(bits.added_since(&older).collect::<Vec<_>>(), [70_000]);
        assert_eq!((older.count(), bits.count()), (2, 3));
        assert!(bits.to_row_set().contains(70_000));
    }
}
