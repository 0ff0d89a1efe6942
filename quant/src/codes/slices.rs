//! Slices: a query cut into bits, for rows of one bit that lie anywhere.
//!
//! ```text
//! for each 64 dimensions [8 words]   bit i of word s: bit s of coordinate i, in two's complement
//! ```
//!
//! The product with a row is the number of bits that both have in each slice, times what the slice
//! is worth (RaBitQ: arXiv 2405.12497, 3.3.2). Eight words are one register of AVX-512.

/// Slices of a query: its coordinates have eight bits.
const SLICES: usize = 8;

/// Slices of coordinates, of which there are a multiple of 64.
pub(super) fn of_bytes(values: &[i8]) -> Vec<u64> {
    let mut slices = vec![0_u64; values.len() / 64 * SLICES];
    let words = values.as_chunks::<64>().0.iter();
    for (slices, values) in slices.as_chunks_mut::<SLICES>().0.iter_mut().zip(words) {
        for (at, eight) in values.as_chunks::<8>().0.iter().enumerate() {
            let eight = u64::from_le_bytes(eight.map(i8::cast_unsigned));
            for (slice, word) in slices.iter_mut().enumerate() {
                *word |= first_bits(eight >> slice) << (8 * at);
            }
        }
    }
    slices
}

/// The lowest bit of each of eight bytes.
const fn first_bits(bytes: u64) -> u64 {
    const FIRST: u64 = 0x0101_0101_0101_0101;
    // Bit 8 k times 2^(56 - 7 k) is bit 56 + k, and no two of the products meet.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    (bytes & FIRST).wrapping_mul(GATHER) >> 56
}

/// The sum of the coordinates whose bit in `signs` is set; bit `i` of byte `k` is coordinate
/// `8 k + i`. Compiled for each instruction set.
///
/// # Panics
/// If there are not as many signs as coordinates.
#[inline(always)]
pub(crate) fn product(slices: &[u64], signs: &[u8]) -> i32 {
    assert!(
        slices.len() == signs.len(),
        "{} bytes of signs for {} words",
        signs.len(),
        slices.len()
    );
    let mut counts = [0_u64; SLICES];
    let words = signs.as_chunks::<8>().0.iter();
    for (slices, word) in slices.as_chunks::<SLICES>().0.iter().zip(words) {
        let word = u64::from_le_bytes(*word);
        for (count, slice) in counts.iter_mut().zip(slices) {
            *count += u64::from((slice & word).count_ones());
        }
    }
    let worth = |(slice, count): (usize, &u64)| (*count as i32) << slice;
    let (positive, negative) = counts.split_at(SLICES - 1);
    let positive: i32 = positive.iter().enumerate().map(worth).sum();
    positive - worth((SLICES - 1, &negative[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_of_the_coordinates_that_are_set() {
        for dim in [64, 192, 4096] {
            let mut state = 7_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let values: Vec<i8> = (0..dim).map(|_| next().cast_signed()).collect();
            let signs: Vec<u8> = (0..dim / 8).map(|_| next()).collect();
            let set = |at: &usize| signs[at / 8] >> (at % 8) & 1 == 1;
            let sum = (0..dim).filter(set).map(|at| i32::from(values[at])).sum();
            assert_eq!(product(&of_bytes(&values), &signs), sum, "{dim}");
        }
    }

    #[test]
    #[should_panic(expected = "1 bytes of signs for 8 words")]
    fn rows_of_another_dimension_are_refused() {
        product(&[0; 8], &[0]);
    }
}
