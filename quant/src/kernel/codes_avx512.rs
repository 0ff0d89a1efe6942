//! Code kernels for AVX-512 F, BW, VL and VNNI: four groups of a block, 64 nibble pairs or 32 bytes
//! at a time.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, each of an array of its size"
)]

use std::arch::x86_64::*;

use super::codes::{
    BlockOperand, CHUNK_LEN, CodeOps, LEAST_SHARE, MOST_SHARE, apply_rotation, block_len,
    check_codes, code_ops, grid_points, parts, round_to_grid, sliced_product,
};
use super::prefetch::prefetch_whole;
use crate::codes::{BLOCK_ROWS, BlockEstimates};

code_ops!([target_feature(enable = "avx512bw,avx512vl,avx512vnni")]);

/// The types that kernels load from, as they lie.
trait Lanes<const BYTES: usize> {}
impl Lanes<64> for [u8; 64] {}
impl Lanes<64> for [i8; 64] {}
impl Lanes<64> for [i16; 32] {}
impl Lanes<64> for [u32; 16] {}
impl Lanes<32> for [u8; 32] {}
impl Lanes<32> for [i8; 32] {}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn load<T: Lanes<64>>(lanes: &T) -> __m512i {
    let at = std::ptr::from_ref(lanes).cast();
    // SAFETY: `Lanes<64>` are 64 bytes.
    unsafe { _mm512_loadu_si512(at) }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn load_half<T: Lanes<32>>(lanes: &T) -> __m256i {
    let at = std::ptr::from_ref(lanes).cast();
    // SAFETY: `Lanes<32>` are 32 bytes.
    unsafe { _mm256_loadu_si256(at) }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn load_quarter(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are there.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Nothing goes through memory from the sums to the mask: a store that is loaded again in other
/// pieces took as long as a third of the sums.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn block(
    operand: &BlockOperand,
    block: &[u8],
    worst: f32,
    distances: &mut [f32; BLOCK_ROWS],
    lower: &mut [f32; BLOCK_ROWS],
) -> u32 {
    let (codes, factors) = parts(operand, block);
    // Of 16 rows each: what is added, scales, errors.
    let (factors, _) = factors.as_chunks::<64>();
    let mut below = 0;
    for (half, sums) in all_sums(operand, codes).into_iter().enumerate() {
        let factors = |list: usize| _mm512_castsi512_ps(load(&factors[2 * list + half]));
        let distance = estimate(operand, sums, [factors(0), factors(1)]);
        let bound = _mm512_sub_ps(distance, doubt(operand, [factors(1), factors(2)]));
        let is_below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(bound, _mm512_set1_ps(worst));
        below |= u32::from(is_below) << (16 * half);
        store(&mut distances.as_chunks_mut().0[half], distance);
        store(&mut lower.as_chunks_mut().0[half], bound);
    }
    below
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn near(
    operand: &BlockOperand,
    block: &[u8],
    worst: f32,
    distances: &mut [f32; BLOCK_ROWS],
) -> u32 {
    let (codes, factors) = parts(operand, block);
    let (factors, _) = factors.as_chunks::<64>();
    let mut below = 0;
    for (half, sums) in all_sums(operand, codes).into_iter().enumerate() {
        let factors = |list: usize| _mm512_castsi512_ps(load(&factors[2 * list + half]));
        let distance = estimate(operand, sums, [factors(0), factors(1)]);
        let is_below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(distance, _mm512_set1_ps(worst));
        below |= u32::from(is_below) << (16 * half);
        store(&mut distances.as_chunks_mut().0[half], distance);
    }
    below
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn all_sums(operand: &BlockOperand, codes: &[u8]) -> [__m512i; 2] {
    let mut sums = [_mm512_setzero_si512(); 2];
    let chunks = operand.lut.chunks(CHUNK_LEN).zip(codes.chunks(CHUNK_LEN));
    for (lut, codes) in chunks {
        let more = block_sums(lut, codes);
        sums[0] = _mm512_add_epi32(sums[0], more[0]);
        sums[1] = _mm512_add_epi32(sums[1], more[1]);
    }
    sums
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn store(rows: &mut [f32; 16], values: __m512) {
    // SAFETY: sixteen floats are there.
    unsafe { _mm512_storeu_ps(rows.as_mut_ptr(), values) };
}

/// Distances of sixteen rows, in the order of operations of [`finish`](super::codes::finish).
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn estimate(operand: &BlockOperand, sums: __m512i, [add, scale]: [__m512; 2]) -> __m512 {
    let all = |x: f32| _mm512_set1_ps(x);
    let along = _mm512_mul_ps(all(operand.delta), _mm512_cvtepu32_ps(sums));
    let along = _mm512_add_ps(along, all(operand.base));
    let known = _mm512_add_ps(all(operand.add), add);
    _mm512_add_ps(known, _mm512_mul_ps(scale, along))
}

/// How far the bounds of sixteen rows are from their distances, in the same order.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn doubt(operand: &BlockOperand, [scale, error]: [__m512; 2]) -> __m512 {
    let all = |x: f32| _mm512_set1_ps(x);
    let rounding = _mm512_mul_ps(_mm512_abs_ps(scale), all(operand.rounding));
    let code = _mm512_mul_ps(error, all(operand.error));
    // As `together`, of which neither is below nought.
    let (most, least) = (_mm512_max_ps(code, rounding), _mm512_min_ps(code, rounding));
    let sloped = _mm512_add_ps(
        _mm512_mul_ps(most, all(MOST_SHARE)),
        _mm512_mul_ps(least, all(LEAST_SHARE)),
    );
    _mm512_max_ps(most, sloped)
}

/// What the tables say of the codes of each row, sixteen rows a register; at most [`CHUNK_LEN`]
/// bytes.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn block_sums(lut: &[u8], codes: &[u8]) -> [__m512i; 2] {
    let nibble = _mm512_set1_epi8(15);
    // Sums of 16 bits: of the even rows with those of the odd ones above them, and of the odd.
    let mut low = [_mm512_setzero_si512(); 2];
    let mut high = [_mm512_setzero_si512(); 2];
    // Dimensions come in multiples of 64: groups in multiples of 16.
    let (tables, groups) = (lut.as_chunks::<256>().0, codes.as_chunks::<256>().0);
    for (tables, groups) in tables.iter().zip(groups) {
        // Bytes have room for the entries of `SUMMED` tables.
        let mut of = [_mm512_setzero_si512(); 2];
        let sides = tables.as_chunks::<64>().0.iter().zip(groups.as_chunks().0);
        for (table, group) in sides {
            let (table, group) = (load(table), load::<[u8; 64]>(group));
            let of_low = _mm512_shuffle_epi8(table, _mm512_and_si512(group, nibble));
            let above = _mm512_and_si512(_mm512_srli_epi16::<4>(group), nibble);
            let of_high = _mm512_shuffle_epi8(table, above);
            of = [
                _mm512_add_epi8(of[0], of_low),
                _mm512_add_epi8(of[1], of_high),
            ];
        }
        low[0] = _mm512_add_epi16(low[0], of[0]);
        low[1] = _mm512_add_epi16(low[1], _mm512_srli_epi16::<8>(of[0]));
        high[0] = _mm512_add_epi16(high[0], of[1]);
        high[1] = _mm512_add_epi16(high[1], _mm512_srli_epi16::<8>(of[1]));
    }
    let even = |[both, odd]: [__m512i; 2]| _mm512_sub_epi16(both, _mm512_slli_epi16::<8>(odd));
    in_row_order([even(low), low[1], even(high), high[1]])
}

/// Adds the quarters of each register, which are eight even or odd rows of the first or the second
/// sixteen, and puts the rows in order.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn in_row_order([a, b, c, d]: [__m512i; 4]) -> [__m512i; 2] {
    let fold = |a: __m512i, b: __m512i| {
        let first = _mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
        _mm512_add_epi16(first, _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b))
    };
    let quarters = fold(fold(a, b), fold(c, d));
    let rows = _mm512_permutexvar_epi16(load(&INTERLEAVED), quarters);
    [
        _mm512_cvtepu16_epi32(_mm512_castsi512_si256(rows)),
        _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(rows)),
    ]
}

/// Takes turns between the first and the second quarter, then between the third and the fourth.
const INTERLEAVED: [i16; 32] = [
    0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15, //
    16, 24, 17, 25, 18, 26, 19, 27, 20, 28, 21, 29, 22, 30, 23, 31,
];

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn bit_pairs(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 16);
    // Each quarter of a register has another part of the same sixteen bytes.
    let shifts = _mm512_set_epi64(6, 6, 4, 4, 2, 2, 0, 0);
    let pair = _mm512_set1_epi8(3);
    let mut sums = _mm512_setzero_si512();
    let sides = query.as_chunks::<64>().0.iter().zip(codes.as_chunks().0);
    for (query, codes) in sides {
        let codes = _mm512_broadcast_i32x4(load_quarter(codes));
        let codes = _mm512_and_si512(_mm512_srlv_epi64(codes, shifts), pair);
        sums = _mm512_dpbusd_epi32(sums, codes, load(query));
    }
    _mm512_reduce_add_epi32(sums)
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn nibbles(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 32);
    let (low, high) = query.split_at(query.len() / 2);
    let (low, last_low) = low.as_chunks::<64>();
    let (high, last_high) = high.as_chunks::<64>();
    let (codes, last_codes) = codes.as_chunks::<64>();
    let nibble = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_si512(); 2];
    for (codes, (low, high)) in codes.iter().zip(low.iter().zip(high)) {
        let codes = load(codes);
        let above = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble);
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_and_si512(codes, nibble), load(low));
        sums[1] = _mm512_dpbusd_epi32(sums[1], above, load(high));
    }
    let mut sum = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]));
    // Of an odd number of 64 dimensions half a register is left.
    let last = (
        last_codes.as_array::<32>(),
        last_low.as_array(),
        last_high.as_array(),
    );
    if let (Some(codes), Some(low), Some(high)) = last {
        let (codes, nibble) = (load_half(codes), _mm256_set1_epi8(15));
        let above = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
        let below = _mm256_and_si256(codes, nibble);
        let first = _mm256_dpbusd_epi32(_mm256_setzero_si256(), below, load_half::<[i8; 32]>(low));
        let both = _mm256_dpbusd_epi32(first, above, load_half::<[i8; 32]>(high));
        sum += _mm512_reduce_add_epi32(_mm512_zextsi256_si512(both));
    }
    sum
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn bytes(query: &[i16], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 64);
    let mut sums = [_mm512_setzero_si512(); 2];
    let sides = query
        .as_chunks::<64>()
        .0
        .iter()
        .zip(codes.as_chunks::<64>().0);
    for (query, codes) in sides {
        let halves = query.as_chunks().0.iter().zip(codes.as_chunks().0);
        for (sum, (query, codes)) in sums.iter_mut().zip(halves) {
            let codes = _mm512_cvtepu8_epi16(load_half::<[u8; 32]>(codes));
            *sum = _mm512_dpwssd_epi32(*sum, codes, load::<[i16; 32]>(query));
        }
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}
