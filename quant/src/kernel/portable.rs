//! Plain Rust: what runs where there is nothing better, and the reference that the other files are
//! compared with.
//!
//! Sixteen lanes are summed side by side, which the compiler turns into whatever vectors the target
//! has.

use super::entry::elements;

table!(
    Portable,
    codes codes_portable,
    products product_portable,
    [],
    float 1, half 1, byte 1, byte_cosine 1
);

/// Elements summed side by side.
const LANES: usize = 16;

/// How elements are read.
pub(super) trait Lanes {
    /// Bytes of an element.
    const SIZE: usize;
    /// The element in `bytes`, which are `SIZE` long.
    fn read(bytes: &[u8]) -> f32;
}

/// `f32`, little-endian.
pub(super) struct F32;
/// `f16`, little-endian.
pub(super) struct F16;

impl Lanes for F32 {
    const SIZE: usize = 4;
    #[inline]
    fn read(bytes: &[u8]) -> f32 {
        bytes
            .first_chunk()
            .map_or(0.0, |&bytes| f32::from_le_bytes(bytes))
    }
}

impl Lanes for F16 {
    const SIZE: usize = 2;
    #[inline]
    fn read(bytes: &[u8]) -> f32 {
        bytes.first_chunk().map_or(0.0, |&bytes| f16_to_f32(bytes))
    }
}

/// One term of a sum over floats.
pub(super) trait Step {
    /// What `a` and `b` add to the sum.
    fn term(a: f32, b: f32) -> f32;
}

/// Product.
pub(super) struct Dot;
/// Squared difference.
pub(super) struct L2;
/// Magnitude of the difference.
pub(super) struct L1;

impl Step for Dot {
    #[inline]
    fn term(a: f32, b: f32) -> f32 {
        a * b
    }
}

impl Step for L2 {
    #[inline]
    fn term(a: f32, b: f32) -> f32 {
        (a - b) * (a - b)
    }
}

impl Step for L1 {
    #[inline]
    fn term(a: f32, b: f32) -> f32 {
        (a - b).abs()
    }
}

/// The sum of all terms of `left` with each of `rows`.
#[inline]
pub(super) fn sum_floats<A: Lanes, B: Lanes, S: Step, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [f32; R] {
    elements(left, A::SIZE, rows, B::SIZE);
    rows.map(|row| {
        let mut sums = [0.0; LANES];
        let mut left = left.chunks_exact(A::SIZE * LANES);
        let mut right = row.chunks_exact(B::SIZE * LANES);
        for (a, b) in left.by_ref().zip(right.by_ref()) {
            add::<A, B, S>(&mut sums, a, b);
        }
        // In an array of its own: a loop of unknown length over `sums` would keep the sums out of
        // vector registers in the loop above as well.
        let mut rest = [0.0; LANES];
        add::<A, B, S>(&mut rest, left.remainder(), right.remainder());
        for (sum, rest) in sums.iter_mut().zip(rest) {
            *sum += rest;
        }
        fold(sums)
    })
}

/// Adds the terms of `a` and `b`, lane by lane.
#[inline]
fn add<A: Lanes, B: Lanes, S: Step>(sums: &mut [f32; LANES], a: &[u8], b: &[u8]) {
    let terms = a.chunks_exact(A::SIZE).zip(b.chunks_exact(B::SIZE));
    for (sum, (a, b)) in sums.iter_mut().zip(terms) {
        *sum += S::term(A::read(a), B::read(b));
    }
}

/// Sum of the lanes, as a tree: four roundings. Not inlined, because its last, narrow steps would
/// have the compiler make the sums themselves narrow.
#[inline(never)]
fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for k in 0..half {
            sums[k] += sums[k + half];
        }
        half /= 2;
    }
    sums[0]
}

/// One exact sum over bytes.
pub(super) trait ByteStep {
    /// What is summed.
    type Sum;
    /// Sum over all elements of two rows of one length.
    fn sum(a: &[u8], b: &[u8]) -> Self::Sum;
}

/// Product.
pub(super) struct ByteDot;
/// Squared difference.
pub(super) struct ByteL2;
/// Magnitude of the difference.
pub(super) struct ByteL1;
/// Product, and the row's square.
pub(super) struct ByteDotNorm;

impl ByteStep for ByteDot {
    type Sum = u32;
    #[inline]
    fn sum(a: &[u8], b: &[u8]) -> u32 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| u32::from(a) * u32::from(b))
            .sum()
    }
}

impl ByteStep for ByteL2 {
    type Sum = u32;
    #[inline]
    fn sum(a: &[u8], b: &[u8]) -> u32 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| u32::from(a.abs_diff(b)) * u32::from(a.abs_diff(b)))
            .sum()
    }
}

impl ByteStep for ByteL1 {
    type Sum = u32;
    #[inline]
    fn sum(a: &[u8], b: &[u8]) -> u32 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| u32::from(a.abs_diff(b)))
            .sum()
    }
}

impl ByteStep for ByteDotNorm {
    type Sum = (u32, u32);
    #[inline]
    fn sum(a: &[u8], b: &[u8]) -> (u32, u32) {
        (ByteDot::sum(a, b), ByteDot::sum(b, b))
    }
}

/// The exact sum of `left` with each of `rows`.
#[inline]
pub(super) fn sum_bytes<S: ByteStep, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [S::Sum; R] {
    elements(left, 1, rows, 1);
    rows.map(|row| S::sum(left, row))
}

/// The value of a little-endian `f16`, exact, without a branch or a table.
///
/// Sign aside, an f16 shifted up by the 13 bits its fraction is shorter is the f32 of the value
/// times 2^-112, the difference of the exponent biases, subnormals included; one exact product puts
/// that right. Infinity and NaN, the f16 with all exponent bits, take the f32's.
#[inline]
pub(crate) fn f16_to_f32(bytes: [u8; 2]) -> f32 {
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = (bits & 0x7fff) << 13;
    let special = if magnitude >= 0x7c00 << 13 {
        0x7f80_0000
    } else {
        0
    };
    let value = (f32::from_bits(magnitude) * SCALE).to_bits();
    f32::from_bits(value | special | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn every_f16_has_its_value() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (
                f16_to_f32(bits.to_le_bytes()),
                f16::from_bits(bits).to_f32(),
            );
            let same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
            assert!(same, "{bits:#06x}: {ours} is not {theirs}");
        }
    }
}
