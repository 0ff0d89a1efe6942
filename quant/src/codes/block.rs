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

/// Rows of a block.
pub const BLOCK_ROWS: usize = 32;
/// Bytes of the factors of a block.
pub(crate) const BLOCK_FACTORS_LEN: usize = 3 * 4 * BLOCK_ROWS;

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

    pub(super) fn push_absent(&mut self) {
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
