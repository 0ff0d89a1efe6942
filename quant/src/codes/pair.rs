//! Distances between two rows of four bits, for building graphs.

use super::encode::{CodeBits, CodeMetric, ROW_FACTORS_LEN};
use crate::kernel::Codes;

/// Estimates distances between rows that have codes of four bits.
///
/// Both sides are grid points: `r` is taken as `scale * z`, so that with the factors of the
/// module's table the distance is `add + add - k * scale * scale * <z, z>`, with `k` 1 for the dot
/// product (less a constant, `|c|^2`, that does not change which of two is nearer) and 1/2 for the
/// squared distance.
#[derive(Copy, Clone, Debug)]
pub struct CodePair {
    codes: Codes,
    share: f32,
    dimension: f32,
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
            dimension: padded as f32,
        }
    }

    /// Bytes of a row it can compare.
    #[must_use]
    pub fn row_len(&self) -> usize {
        CodeBits::Four.row_len(self.dimension as usize)
    }

    /// The estimated distance of two rows; infinity if one has no vector.
    ///
    /// # Panics
    /// If a row is not [`Self::row_len`] bytes.
    #[inline]
    #[must_use]
    pub fn distance(&self, a: &[u8], b: &[u8]) -> f32 {
        let (a, a_factors) = a.split_at(a.len() - ROW_FACTORS_LEN);
        let (b, b_factors) = b.split_at(b.len() - ROW_FACTORS_LEN);
        let [product, of_a, of_b] = self.codes.nibble_pair(a, b);
        // <z, z> with z = u - 7.5.
        let along = product as f32 - 7.5 * (of_a + of_b) as f32 + 56.25 * self.dimension;
        let factor = |factors: &[u8], at: usize| f32::from_le_bytes(factors.as_chunks().0[at]);
        let scales = factor(a_factors, 1) * factor(b_factors, 1);
        factor(a_factors, 0) + factor(b_factors, 0) - self.share * scales * along
    }
}
