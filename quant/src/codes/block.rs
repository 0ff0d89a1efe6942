//! Block: the one-bit codes of 32 rows side by side.
//!
//! ```text
//! [16 bytes for each 4 dimensions]   byte j: bits of row j in the low, of row j + 16 in the high
//!                                    half; bit i of a half is dimension 4 g + i
//! [add f32 x 32][scale f32 x 32][error f32 x 32]
//! ```
//!
//! Sixteen bytes are what one byte shuffle looks up at once (fast scan: Andre et al., VLDB 2015).

use super::encode::Factors;
use crate::kernel::prefetch_whole;

/// Rows of a block.
pub const BLOCK_ROWS: usize = 32;
/// Bytes of the factors of a block.
pub(crate) const BLOCK_FACTORS_LEN: usize = 3 * 4 * BLOCK_ROWS;

/// The one-bit codes of many rows, row by row: for packing them into other blocks, and for single
/// rows out of many.
#[derive(Clone, Debug)]
pub struct SignRows {
    /// For each row a byte for every eight dimensions: the halves as in a block.
    signs: Vec<u8>,
    factors: Vec<Factors>,
    /// Bytes of a row.
    width: usize,
}

impl SignRows {
    /// Takes blocks apart; `padded` is their dimension.
    ///
    /// # Panics
    /// If a block has another length.
    pub fn of_blocks<'a>(blocks: impl ExactSizeIterator<Item = &'a [u8]>, padded: usize) -> Self {
        let width = padded / 8;
        let rows = blocks.len() * BLOCK_ROWS;
        let mut signs = Vec::with_capacity(rows * width);
        let mut factors = Vec::with_capacity(rows);
        for block in blocks {
            assert!(
                block.len() == BlockBuilder::block_len(padded),
                "block is {} bytes",
                block.len()
            );
            let (codes, lists) = block.split_at(4 * padded);
            for row in 0..BLOCK_ROWS {
                let (byte, shift) = (row % 16, row / 16 * 4);
                let half = |group: &[u8; 16]| group[byte] >> shift & 15;
                let pairs = codes.as_chunks::<32>().0.iter();
                signs.extend(pairs.map(|pair| {
                    let (first, second) = (pair.first_chunk(), pair.last_chunk());
                    first.map_or(0, half) | second.map_or(0, half) << 4
                }));
                let factor = |list: usize| {
                    let bytes = lists.as_chunks::<4>().0[BLOCK_ROWS * list + row];
                    f32::from_le_bytes(bytes)
                };
                factors.push(Factors {
                    add: factor(0),
                    scale: factor(1),
                    error: factor(2),
                });
            }
        }
        Self {
            signs,
            factors,
            width,
        }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.signs.len() + self.factors.len() * size_of::<Factors>()
    }

    /// Bytes that so many rows would take, whole blocks of them.
    #[must_use]
    pub const fn bytes_for(rows: u32, padded: usize) -> u64 {
        let rows = rows.next_multiple_of(BLOCK_ROWS as u32);
        rows as u64 * (padded / 8 + size_of::<Factors>()) as u64
    }

    #[inline]
    pub(super) fn row(&self, row: usize) -> (&[u8], &Factors) {
        let signs = &self.signs[row * self.width..][..self.width];
        (signs, &self.factors[row])
    }

    /// Asks for a row to be brought near, without waiting.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn prefetch(&self, row: usize) {
        let (signs, factors) = self.row(row);
        prefetch_whole(signs);
        prefetch_whole(std::slice::from_ref(factors));
    }
}

/// The mean of rows, which stands for all of them: its estimated distance is about the mean of
/// theirs.
#[derive(Clone, Debug)]
pub struct SignMean {
    /// For each dimension the rows with a positive sign.
    positive: Vec<u32>,
    rows: u32,
    /// Sums of the factors.
    add: f64,
    scale: f64,
}

impl SignMean {
    /// Of no rows yet, of `padded` dimensions.
    #[must_use]
    pub fn new(padded: usize) -> Self {
        Self {
            positive: vec![0; padded],
            rows: 0,
            add: 0.0,
            scale: 0.0,
        }
    }

    /// Adds a row of `rows`.
    ///
    /// # Panics
    /// If there is no such row, or it has another dimension.
    pub fn add(&mut self, rows: &SignRows, row: usize) {
        assert!(
            rows.width * 8 == self.positive.len(),
            "{} bytes",
            rows.width
        );
        let (signs, factors) = rows.row(row);
        for (positive, signs) in self.positive.as_chunks_mut::<8>().0.iter_mut().zip(signs) {
            for (at, positive) in positive.iter_mut().enumerate() {
                *positive += u32::from(signs >> at & 1);
            }
        }
        self.rows += 1;
        self.add += f64::from(factors.add);
        self.scale += f64::from(factors.scale);
    }

    /// The signs, and what the mean of the rows' signs is in units of them.
    fn factors(&self) -> Factors {
        let rows = f64::from(self.rows);
        let (mut squares, mut lengths) = (0.0, 0.0);
        for positive in &self.positive {
            let mean = 2.0 * f64::from(*positive) / rows - 1.0;
            squares += mean * mean;
            lengths += mean.abs();
        }
        let share = if lengths > 0.0 {
            squares / lengths
        } else {
            0.0
        };
        Factors {
            add: (self.add / rows) as f32,
            scale: (self.scale / rows * share) as f32,
            error: 0.0,
        }
    }
}

/// Collects the codes of up to 32 rows.
#[derive(Clone, Debug)]
pub struct BlockBuilder {
    codes: Vec<u8>,
    factors: [Factors; BLOCK_ROWS],
    rows: usize,
}

impl BlockBuilder {
    /// For vectors of `padded` coordinates, a multiple of 64.
    #[must_use]
    pub fn new(padded: usize) -> Self {
        Self {
            codes: vec![0; 4 * padded],
            factors: [Factors::ABSENT; BLOCK_ROWS],
            rows: 0,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_len(padded: usize) -> usize {
        4 * padded + BLOCK_FACTORS_LEN
    }

    /// Whether no row fits any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows == BLOCK_ROWS
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds the signs of a residual.
    pub(super) fn push(&mut self, residual: &[f32], factors: Factors) {
        let (byte, shift) = (self.rows % 16, self.rows / 16 * 4);
        let (fours, _) = residual.as_chunks::<4>();
        for (codes, four) in self.codes.chunks_exact_mut(16).zip(fours) {
            let bits = four.iter().enumerate().fold(0, |bits, (at, x)| {
                bits | u8::from(x.is_sign_positive()) << at
            });
            codes[byte] |= bits << shift;
        }
        self.factors[self.rows] = factors;
        self.rows += 1;
    }

    /// Adds a row of `rows`.
    ///
    /// # Panics
    /// If there is no such row, or the block is full.
    pub fn push_row(&mut self, rows: &SignRows, row: usize) {
        let (byte, shift) = (self.rows % 16, self.rows / 16 * 4);
        let (signs, factors) = rows.row(row);
        for (pair, signs) in self.codes.as_chunks_mut::<32>().0.iter_mut().zip(signs) {
            pair[byte] |= (signs & 15) << shift;
            pair[16 + byte] |= (signs >> 4) << shift;
        }
        self.factors[self.rows] = *factors;
        self.rows += 1;
    }

    /// Adds the mean of rows; of no rows, one without a vector.
    ///
    /// # Panics
    /// If it has another dimension, or the block is full.
    pub fn push_mean(&mut self, mean: &SignMean) {
        if mean.rows == 0 {
            return self.push_absent();
        }
        assert!(4 * mean.positive.len() == self.codes.len());
        let (byte, shift) = (self.rows % 16, self.rows / 16 * 4);
        let (fours, _) = mean.positive.as_chunks::<4>();
        for (codes, four) in self.codes.chunks_exact_mut(16).zip(fours) {
            let bits = four.iter().enumerate().fold(0, |bits, (at, positive)| {
                bits | u8::from(2 * positive >= mean.rows) << at
            });
            codes[byte] |= bits << shift;
        }
        self.factors[self.rows] = mean.factors();
        self.rows += 1;
    }

    /// Adds a row without a vector.
    pub fn push_absent(&mut self) {
        self.factors[self.rows] = Factors::ABSENT;
        self.rows += 1;
    }

    /// Appends the block to `out`, rows that were not added as absent ones, and begins a new one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.codes);
        for factor in [
            |factors: &Factors| factors.add,
            |factors: &Factors| factors.scale,
            |factors: &Factors| factors.error,
        ] {
            out.extend(self.factors.iter().flat_map(|f| factor(f).to_le_bytes()));
        }
        self.codes.fill(0);
        self.factors = [Factors::ABSENT; BLOCK_ROWS];
        self.rows = 0;
    }
}
