//! Distances between two rows of four bits, for building graphs.

use super::block::BlockBuilder;
use super::encode::{CodeBits, CodeMetric, ROW_FACTORS_LEN};
use super::query::BlockEstimates;
use crate::kernel::{BlockOperand, Codes};

/// Estimates distances between rows that have codes of four bits.
///
/// Both sides are grid points: `r` is taken as `scale * z`, so that with the factors of the
/// module's table the distance is `add + add - k * scale * scale * <z, z>`, with `k` 1 for the dot
/// product (less a constant, `|c|^2`, that does not change which of two is nearer) and 1/2 for the
/// squared distance. Symmetric bit for bit: `<z, z>` is a sum of integers.
#[derive(Copy, Clone, Debug)]
pub struct CodePair {
    codes: Codes,
    share: f32,
    padded: usize,
}

/// A row made ready to be compared with many.
#[derive(Clone, Debug, Default)]
pub struct PreparedRow {
    /// `2 z`, in nibble order.
    values: Vec<i8>,
    /// Their sum.
    sum: i32,
    add: f32,
    scale: f32,
}

impl CodePair {
    /// For rows of `padded` dimensions.
    #[must_use]
    pub fn new(metric: CodeMetric, padded: usize) -> Self {
        Self::on(Codes::new(None), metric, padded)
    }

    pub(super) fn on(codes: Codes, metric: CodeMetric, padded: usize) -> Self {
        Self {
            codes,
            share: match metric {
                CodeMetric::Dot => 1.0,
                CodeMetric::Euclid => 0.5,
            },
            padded,
        }
    }

    /// Bytes of a row it can compare.
    #[must_use]
    pub fn row_len(&self) -> usize {
        CodeBits::Four.row_len(self.padded)
    }

    /// Bytes of a block of such rows.
    #[must_use]
    pub const fn block_len(&self) -> usize {
        BlockBuilder::block_len(self.padded)
    }

    /// Makes a row ready.
    ///
    /// # Panics
    /// If it is not [`Self::row_len`] bytes.
    pub fn prepare(&self, row: &[u8], prepared: &mut PreparedRow) {
        assert!(row.len() == self.row_len(), "row is {} bytes", row.len());
        let (codes, factors) = row.split_at(row.len() - ROW_FACTORS_LEN);
        prepared.values.resize(2 * codes.len(), 0);
        prepared.sum = self.codes.twice_centred(codes, &mut prepared.values);
        [prepared.add, prepared.scale] = add_and_scale(factors);
    }

    /// The estimated distance of two rows; infinity if one has no vector.
    ///
    /// # Panics
    /// If a row is not [`Self::row_len`] bytes, or `a` was never prepared.
    #[inline]
    #[must_use]
    pub fn distance(&self, a: &PreparedRow, b: &[u8]) -> f32 {
        let (codes, factors) = b.split_at(b.len() - ROW_FACTORS_LEN);
        // <2 z, u>, of which four times <z, z> follows with z = u - 7.5.
        let product = self.codes.nibbles(&a.values, codes);
        let along = 0.25 * (2 * product - 15 * a.sum) as f32;
        let [add, scale] = add_and_scale(factors);
        a.add + add - self.share * (a.scale * scale) * along
    }

    /// Makes a prepared row ready for blocks.
    pub fn prepare_blocks(&self, row: &PreparedRow, query: &mut BlockQuery) {
        let operand = &mut query.operand;
        operand.lut.clear();
        let (low, high) = row.values.split_at(row.values.len() / 2);
        let mut least = 0;
        // Of every 64 dimensions the first 32 are in the one half, the others in the other.
        for (low, high) in low.chunks_exact(32).zip(high.chunks_exact(32)) {
            for four in low.as_chunks().0.iter().chain(high.as_chunks().0) {
                let (table, nought) = subset_sums(four);
                operand.lut.extend(table);
                least += nought;
            }
        }
        // r is about -scale z for the dot product, half of it for the squared distance.
        operand.delta = -0.5 * self.share * row.scale;
        // The grid's offset of one half: <z, q> = <u, q> - sum(q) / 2.
        operand.base = operand.delta * (least as f32 - 0.5 * row.sum as f32);
        operand.add = row.add;
        query.codes = self.codes;
    }
}

/// A row's side of blocks of one-bit codes.
#[derive(Clone, Debug)]
pub struct BlockQuery {
    operand: BlockOperand,
    codes: Codes,
}

impl Default for BlockQuery {
    fn default() -> Self {
        Self {
            operand: BlockOperand {
                lut: Vec::new(),
                delta: 0.0,
                base: 0.0,
                add: 0.0,
                error: 0.0,
                rounding: 0.0,
            },
            codes: Codes::new(None),
        }
    }
}

impl BlockQuery {
    pub(super) const fn of(operand: BlockOperand, codes: Codes) -> Self {
        Self { operand, codes }
    }

    /// Dimensions.
    #[must_use]
    pub fn padded(&self) -> usize {
        self.operand.dimension()
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_len(&self) -> usize {
        BlockBuilder::block_len(self.operand.dimension())
    }

    /// Estimates the rows of a block, without bounds; bit `i` of the result says that row `i` is
    /// nearer than `worst`.
    ///
    /// Estimates of one row stand to each other as distances do; those of the dot product lack the
    /// constant that [`CodePair::distance`] lacks.
    ///
    /// # Panics
    /// If `block` is not [`Self::block_len`] bytes.
    #[inline]
    pub fn block(&self, block: &[u8], worst: f32, out: &mut BlockEstimates) -> u32 {
        self.codes
            .near(&self.operand, block, worst, &mut out.distances)
    }
}

/// Writes `2 z` of each code, in nibble order, and returns their sum; compiled for each instruction
/// set.
#[inline(always)]
pub(crate) fn twice_centred(codes: &[u8], values: &mut [i8]) -> i32 {
    let (low, high) = values.split_at_mut(codes.len());
    let mut sum = 0;
    for ((codes, low), high) in codes.iter().zip(low).zip(high) {
        // Codes are below 16.
        *low = (2 * (codes & 15)).wrapping_sub(15) as i8;
        *high = (2 * (codes >> 4)).wrapping_sub(15) as i8;
        sum += u32::from(codes & 15) + u32::from(codes >> 4);
    }
    // At most 65,536 codes of 15.
    2 * sum as i32 - 30 * codes.len() as i32
}

fn add_and_scale(factors: &[u8]) -> [f32; 2] {
    let (factors, _) = factors.as_chunks();
    [
        f32::from_le_bytes(factors[0]),
        f32::from_le_bytes(factors[1]),
    ]
}

/// The sums of the subsets of four values above the least one, which comes second.
#[expect(clippy::cast_sign_loss, reason = "above the least one")]
fn subset_sums(four: &[i8; 4]) -> ([u8; 16], i32) {
    let least: i8 = four.iter().map(|&value| value.min(0)).sum();
    // Four values of at most 15: no sum is above `ENTRY_MOST`.
    let mut sums = [least.wrapping_neg() as u8; 16];
    for (at, &value) in four.iter().enumerate() {
        for (subset, sum) in sums.iter_mut().enumerate() {
            let is_in = (subset as u8 >> at & 1).wrapping_neg();
            *sum = sum.wrapping_add(value as u8 & is_in);
        }
    }
    (sums, i32::from(least))
}
