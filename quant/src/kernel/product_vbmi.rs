//! Product kernels for AVX-512 with VBMI: 64 codes of one sub-space are looked up at once.
//!
//! A register holds 64 bytes, and a permutation looks up two: 256 entries are four registers of low
//! and four of high bytes. Rows lie code after code; of 64 of them, sixteen codes at a time are
//! transposed. Both together take a quarter
//! of the time of a look-up in memory for each code, and half of it for short rows:
//! `benches/record/amd-epyc/2026-11-22-product.md`.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, each of an array of its size"
)]

use std::arch::x86_64::*;

use super::entry::FirstByte;
use super::product::{
    Planes, ProductOperand, ProductOps, Term, assign_points, check_block, check_gather, encode_row,
    look_up_block, look_up_numbers, operand_of, product_ops,
};
use crate::product::CENTROIDS;

product_ops!([target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")] with_planes);

/// Sub-spaces whose codes are transposed at once.
const GROUP: usize = 16;
/// Rows of a register.
const LANES: usize = 64;
/// Sub-spaces after which sums of 16 bits are full: 256 bytes of 255.
const FULL: usize = 256;
/// Fewer rows than this are looked up one code at a time.
const ROWS_MIN: usize = 12;

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn with_planes(mut operand: ProductOperand) -> ProductOperand {
    let none = Planes([[0; CENTROIDS]; 2]);
    operand.planes = vec![none; operand.entries.len().next_multiple_of(GROUP)];
    for (planes, entries) in operand.planes.iter_mut().zip(&operand.entries) {
        let [low, high] = &mut planes.0;
        for ((low, high), entry) in low.iter_mut().zip(high).zip(entries) {
            [*low, *high] = entry.to_le_bytes();
        }
    }
    operand
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn block(operand: &ProductOperand, rows: &[u8], out: &mut [f32]) {
    check_block(operand, rows, out);
    let len = operand.entries.len();
    let (wide, rest) = out.as_chunks_mut::<{ 2 * LANES }>();
    let (wide_rows, rest_rows) = rows.split_at(2 * LANES * len * wide.len());
    for (rows, out) in wide_rows.chunks_exact(2 * LANES * len).zip(wide) {
        let (first, second) = rows.split_at(LANES * len);
        distances(
            operand,
            &[side_by_side(first, len), side_by_side(second, len)],
            out,
        );
    }
    for (rows, out) in rest_rows.chunks(LANES * len).zip(rest.chunks_mut(LANES)) {
        if out.len() < ROWS_MIN {
            look_up_block(operand, rows, out);
        } else {
            distances(operand, &[side_by_side(rows, len)], out);
        }
    }
}

/// The rows, at least one; the first one again where they are fewer than 64.
#[inline(always)]
fn side_by_side(rows: &[u8], len: usize) -> [&[u8]; LANES] {
    let mut taken = [&rows[..len]; LANES];
    for (taken, row) in taken.iter_mut().zip(rows.chunks_exact(len)) {
        *taken = row;
    }
    taken
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn gather(operand: &ProductOperand, rows: &[u8], numbers: &[u32], out: &mut [f32]) {
    check_gather(numbers, out);
    let len = operand.entries.len();
    let Some(held) = FirstByte::new(rows, len, len) else {
        out.fill(f32::INFINITY);
        return;
    };
    for (numbers, out) in numbers.chunks(LANES).zip(out.chunks_mut(LANES)) {
        if numbers.len() < ROWS_MIN {
            look_up_numbers(operand, rows, numbers, out);
            continue;
        }
        // Their misses are under way together.
        numbers.iter().for_each(|&number| held.prefetch(number));
        let mut taken = [held.row(0); LANES];
        for (taken, &number) in taken.iter_mut().zip(numbers) {
            *taken = held.row(number);
        }
        distances(operand, &[taken], out);
        for (out, &number) in out.iter_mut().zip(numbers) {
            *out = held.if_held(number, *out);
        }
    }
}

/// Rows of as many codes as the query has sub-spaces; `WIDE` registers of them share each load of
/// the planes.
type Rows<'a, const WIDE: usize> = [[&'a [u8]; LANES]; WIDE];
/// Codes of sixteen sub-spaces, transposed.
#[repr(align(64))]
struct Codes<const WIDE: usize>([[[u8; LANES]; WIDE]; GROUP]);
/// Sums of 16 bits: of the even rows with those of the odd ones above them, and of the odd.
type Sums = [__m512i; 2];

/// The distances of the first `out.len()` rows.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn distances<const WIDE: usize>(operand: &ProductOperand, rows: &Rows<'_, WIDE>, out: &mut [f32]) {
    let mut totals = [[0_u32; LANES]; WIDE];
    let mut codes = Codes([[[0; LANES]; WIDE]; GROUP]);
    for (chunk, planes) in operand.planes.chunks(FULL).enumerate() {
        let (mut low, mut high) = ([zeros(); WIDE], [zeros(); WIDE]);
        for (group, planes) in planes.chunks_exact(GROUP).enumerate() {
            let at = chunk * FULL + group * GROUP;
            for (wide, rows) in rows.iter().enumerate() {
                transpose(rows, at, &mut codes, wide);
            }
            for (planes, codes) in planes.iter().zip(&codes.0) {
                let [low_plane, high_plane] = planes.0.each_ref().map(|plane| quarters(plane));
                for wide in 0..WIDE {
                    let codes = load(&codes[wide]);
                    add(&mut low[wide], look_up(&low_plane, codes));
                    add(&mut high[wide], look_up(&high_plane, codes));
                }
            }
        }
        for (totals, (low, high)) in totals.iter_mut().zip(low.into_iter().zip(high)) {
            let (low, high) = (words(low), words(high));
            for (row, total) in totals.iter_mut().enumerate() {
                *total += low[row % 2][row / 2] + (high[row % 2][row / 2] << 8);
            }
        }
    }
    for (out, &total) in out.iter_mut().zip(totals.as_flattened()) {
        *out = operand.distance(total);
    }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn zeros() -> Sums {
    [_mm512_setzero_si512(); 2]
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn load(lanes: &[u8; LANES]) -> __m512i {
    // SAFETY: 64 bytes are there.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn store(lanes: __m512i, out: &mut [u8; LANES]) {
    // SAFETY: there is room for 64 bytes.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), lanes) }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn quarters(plane: &[u8; CENTROIDS]) -> [__m512i; 4] {
    let (quarters, _) = plane.as_chunks::<LANES>();
    std::array::from_fn(|at| load(&quarters[at]))
}

/// The entry of each code.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn look_up(quarters: &[__m512i; 4], codes: __m512i) -> __m512i {
    let below = _mm512_permutex2var_epi8(quarters[0], codes, quarters[1]);
    let above = _mm512_permutex2var_epi8(quarters[2], codes, quarters[3]);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), below, above)
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn add([both, odd]: &mut Sums, bytes: __m512i) {
    *both = _mm512_add_epi16(*both, bytes);
    *odd = _mm512_add_epi16(*odd, _mm512_srli_epi16::<8>(bytes));
}

/// The sums of the even rows and of the odd ones.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn words([both, odd]: Sums) -> [[u32; LANES / 2]; 2] {
    let even = _mm512_sub_epi16(both, _mm512_slli_epi16::<8>(odd));
    [even, odd].map(|sums| {
        let mut words = [0_u16; LANES / 2];
        // SAFETY: there is room for 32 times two bytes.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), sums) };
        words.map(u32::from)
    })
}

/// Where byte `4 s + r` of a register of four rows is before they are transposed: `16 r + s`.
const BY_CODE: [u8; LANES] = {
    let (mut order, mut at) = ([0; LANES], 0);
    while at < LANES {
        order[at] = (16 * (at % 4) + at / 4) as u8;
        at += 1;
    }
    order
};

/// Sixteen codes of each row from the code `at` on, or as many as there are: those of one sub-space
/// side by side.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn transpose<const WIDE: usize>(
    rows: &[&[u8]; LANES],
    at: usize,
    out: &mut Codes<WIDE>,
    wide: usize,
) {
    let order = load(&BY_CODE);
    let mut x = [order; 16];
    for (x, [a, b, c, d]) in x.iter_mut().zip(rows.as_chunks::<4>().0) {
        let four = _mm512_castsi128_si512(sixteen(&a[at..]));
        let four = _mm512_inserti32x4::<1>(four, sixteen(&b[at..]));
        let four = _mm512_inserti32x4::<2>(four, sixteen(&c[at..]));
        let four = _mm512_inserti32x4::<3>(four, sixteen(&d[at..]));
        *x = _mm512_permutexvar_epi8(order, four);
    }
    // What is left is a matrix of 16 x 16 doublewords, of four rows of one code each. Afterwards
    // register 4 i + c has, in part p of 128 bits, code 4 p + c of the registers 4 i to 4 i + 3.
    let mut z = x;
    for (z, x) in z
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(x.as_chunks::<4>().0)
    {
        let first = [
            _mm512_unpacklo_epi32(x[0], x[1]),
            _mm512_unpackhi_epi32(x[0], x[1]),
        ];
        let second = [
            _mm512_unpacklo_epi32(x[2], x[3]),
            _mm512_unpackhi_epi32(x[2], x[3]),
        ];
        *z = [
            _mm512_unpacklo_epi64(first[0], second[0]),
            _mm512_unpackhi_epi64(first[0], second[0]),
            _mm512_unpacklo_epi64(first[1], second[1]),
            _mm512_unpackhi_epi64(first[1], second[1]),
        ];
    }
    for c in 0..4 {
        let even = even_parts(z[c], z[4 + c]);
        let odd = odd_parts(z[c], z[4 + c]);
        let last_even = even_parts(z[8 + c], z[12 + c]);
        let last_odd = odd_parts(z[8 + c], z[12 + c]);
        store(even_parts(even, last_even), &mut out.0[c][wide]);
        store(even_parts(odd, last_odd), &mut out.0[4 + c][wide]);
        store(odd_parts(even, last_even), &mut out.0[8 + c][wide]);
        store(odd_parts(odd, last_odd), &mut out.0[12 + c][wide]);
    }
}

/// Parts 0 and 2 of 128 bits of two registers.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn even_parts(a: __m512i, b: __m512i) -> __m512i {
    _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b)
}

/// Parts 1 and 3 of 128 bits of two registers.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn odd_parts(a: __m512i, b: __m512i) -> __m512i {
    _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b)
}

/// The first sixteen bytes, zeros where there are fewer.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
#[inline]
fn sixteen(bytes: &[u8]) -> __m128i {
    if let Some(bytes) = bytes.first_chunk::<GROUP>() {
        // SAFETY: 16 bytes are there.
        return unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    }
    let mask = (1_u16 << bytes.len()) - 1;
    // SAFETY: the mask has a bit for each byte that is there.
    unsafe { _mm_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) }
}
