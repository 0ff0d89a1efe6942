//! Code kernels for AVX2: two groups of a block, 32 nibble pairs or 16 bytes at a time.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, each of an array of its size"
)]

use std::arch::x86_64::*;

use super::codes::{
    BlockOperand, CHUNK_LEN, CodeOps, apply_rotation, block_by_sums, block_len, check_codes,
    code_ops, finish, finish_near, grid_points, parts, round_to_grid, sliced_product,
};
use super::prefetch::prefetch_whole;
use crate::codes::{BLOCK_ROWS, BlockEstimates};

code_ops!([target_feature(enable = "avx2,fma,f16c")]);
block_by_sums!([target_feature(enable = "avx2,fma,f16c")]);

/// The types that kernels load from, as they lie.
trait Lanes<const BYTES: usize> {}
impl Lanes<32> for [u8; 32] {}
impl Lanes<32> for [i8; 32] {}
impl Lanes<32> for [i16; 16] {}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load<T: Lanes<32>>(lanes: &T) -> __m256i {
    let at = std::ptr::from_ref(lanes).cast();
    // SAFETY: `Lanes<32>` are 32 bytes.
    unsafe { _mm256_loadu_si256(at) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_half(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are there.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Adds to each row what the tables say of its codes; at most [`CHUNK_LEN`] bytes.
#[target_feature(enable = "avx2,fma,f16c")]
fn block_sums(lut: &[u8], codes: &[u8], sums: &mut [u32; BLOCK_ROWS]) {
    let nibble = _mm256_set1_epi8(15);
    // Sums of 16 bits: of the even rows with those of the odd ones above them, and of the odd.
    let mut low = [_mm256_setzero_si256(); 2];
    let mut high = [_mm256_setzero_si256(); 2];
    // Dimensions come in multiples of 64: groups in multiples of 16.
    let (tables, groups) = (lut.as_chunks::<128>().0, codes.as_chunks::<128>().0);
    for (tables, groups) in tables.iter().zip(groups) {
        // Bytes have room for the entries of `SUMMED` tables.
        let mut of = [_mm256_setzero_si256(); 2];
        let sides = tables.as_chunks::<32>().0.iter().zip(groups.as_chunks().0);
        for (table, group) in sides {
            let (table, group) = (load(table), load::<[u8; 32]>(group));
            let of_low = _mm256_shuffle_epi8(table, _mm256_and_si256(group, nibble));
            let above = _mm256_and_si256(_mm256_srli_epi16::<4>(group), nibble);
            let of_high = _mm256_shuffle_epi8(table, above);
            of = [
                _mm256_add_epi8(of[0], of_low),
                _mm256_add_epi8(of[1], of_high),
            ];
        }
        low[0] = _mm256_add_epi16(low[0], of[0]);
        low[1] = _mm256_add_epi16(low[1], _mm256_srli_epi16::<8>(of[0]));
        high[0] = _mm256_add_epi16(high[0], of[1]);
        high[1] = _mm256_add_epi16(high[1], _mm256_srli_epi16::<8>(of[1]));
    }
    let (first, second) = sums.split_at_mut(16);
    add_rows(low, first);
    add_rows(high, second);
}

/// A bit for each row whose lower bound is below `worst`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn below(lower: &[f32; BLOCK_ROWS], worst: f32) -> u32 {
    let worst = _mm256_set1_ps(worst);
    let eights = lower.as_chunks::<8>().0.iter().enumerate();
    eights.fold(0, |bits, (at, eight)| {
        // SAFETY: eight floats are there.
        let eight = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
        let is_below = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(eight, worst));
        bits | is_below.cast_unsigned() << (8 * at)
    })
}

/// Adds sixteen sums, of the two groups together, to their rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_rows([both, odd]: [__m256i; 2], sums: &mut [u32]) {
    let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
    let fold =
        |x: __m256i| _mm_add_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let (even, odd) = (fold(even), fold(odd));
    let halves = [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)];
    let mut rows = [0_u16; 16];
    for (half, rows) in halves.into_iter().zip(rows.as_chunks_mut::<8>().0) {
        let at = rows.as_mut_ptr().cast();
        // SAFETY: eight of 16 bits are 16 bytes.
        unsafe { _mm_storeu_si128(at, half) };
    }
    for (sum, row) in sums.iter_mut().zip(rows) {
        *sum += u32::from(row);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn total(sums: __m256i) -> i32 {
    let sums = _mm_add_epi32(
        _mm256_castsi256_si128(sums),
        _mm256_extracti128_si256::<1>(sums),
    );
    let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b01_00_11_10>(sums));
    let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b10_11_00_01>(sums));
    _mm_cvtsi128_si32(sums)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn bit_pairs(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 16);
    let (pair, ones) = (_mm256_set1_epi8(3), _mm256_set1_epi16(1));
    // Each half of a register has another part of the same sixteen bytes.
    let (first, second) = (_mm256_set_epi64x(2, 2, 0, 0), _mm256_set_epi64x(6, 6, 4, 4));
    let mut sums = _mm256_setzero_si256();
    let sides = query.as_chunks::<64>().0.iter().zip(codes.as_chunks().0);
    for (query, codes) in sides {
        let codes = _mm256_broadcastsi128_si256(load_half(codes));
        let low = _mm256_and_si256(_mm256_srlv_epi64(codes, first), pair);
        let high = _mm256_and_si256(_mm256_srlv_epi64(codes, second), pair);
        let halves = query.as_chunks::<32>().0;
        // Four products of at most 3 * 127 fit 16 bits.
        let products = _mm256_add_epi16(
            _mm256_maddubs_epi16(low, load(&halves[0])),
            _mm256_maddubs_epi16(high, load(&halves[1])),
        );
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(products, ones));
    }
    total(sums)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 32);
    let (low, high) = query.split_at(query.len() / 2);
    let (nibble, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut sums = _mm256_setzero_si256();
    let sides = low.as_chunks().0.iter().zip(high.as_chunks().0);
    for (codes, (low, high)) in codes.as_chunks().0.iter().zip(sides) {
        let codes = load::<[u8; 32]>(codes);
        let above = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
        // Four products of at most 15 * 127 fit 16 bits.
        let pairs = _mm256_add_epi16(
            _mm256_maddubs_epi16(_mm256_and_si256(codes, nibble), load::<[i8; 32]>(low)),
            _mm256_maddubs_epi16(above, load::<[i8; 32]>(high)),
        );
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
    }
    total(sums)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn bytes(query: &[i16], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 64);
    let mut sums = [_mm256_setzero_si256(); 2];
    let sides = query
        .as_chunks::<32>()
        .0
        .iter()
        .zip(codes.as_chunks::<32>().0);
    for (query, codes) in sides {
        let halves = query.as_chunks().0.iter().zip(codes.as_chunks().0);
        for (sum, (query, codes)) in sums.iter_mut().zip(halves) {
            let codes = _mm256_cvtepu8_epi16(load_half(codes));
            let products = _mm256_madd_epi16(codes, load::<[i16; 16]>(query));
            *sum = _mm256_add_epi32(*sum, products);
        }
    }
    total(_mm256_add_epi32(sums[0], sums[1]))
}
