//! AVX-512 F, BW, VL and VNNI: sixteen f32 or 64 bytes at a time, tails under a mask.
//!
//! A row is summed into four accumulators, element `i` of a vector register into accumulator `i /
//! 16 % 4`, whatever the number of rows at a time; masked lanes add zero.

#![expect(
    unsafe_code,
    reason = "vector loads; lengths are checked by `elements`"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "loops with constant bounds over parallel arrays unroll: sums stay in registers"
)]

use std::arch::x86_64::*;

use super::entry::elements;

table!(
    Avx512,
    codes codes_avx512,
    products product_avx512,
    [target_feature(enable = "avx512bw,avx512vl,avx512vnni")],
    float 4, half 4, byte 4, byte_cosine 2
);

/// How elements are read.
pub(super) trait Lanes {
    /// Bytes of an element.
    const SIZE: usize;

    /// Sixteen elements.
    ///
    /// # Safety
    /// The CPU has the features of this file, and sixteen elements from `at` on are readable.
    unsafe fn load(at: *const u8) -> __m512;

    /// The elements whose bit in `mask` is set, and zero for the others.
    ///
    /// # Safety
    /// The CPU has the features of this file, and the elements of the set bits are readable.
    unsafe fn load_some(mask: u16, at: *const u8) -> __m512;
}

/// `f32`, little-endian.
pub(super) struct F32;
/// `f16`, little-endian.
pub(super) struct F16;

impl Lanes for F32 {
    const SIZE: usize = 4;

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn load(at: *const u8) -> __m512 {
        // SAFETY: the caller's contract.
        unsafe { _mm512_loadu_ps(at.cast()) }
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn load_some(mask: u16, at: *const u8) -> __m512 {
        if mask == u16::MAX {
            // SAFETY: the caller's contract.
            return unsafe { Self::load(at) };
        }
        // SAFETY: the caller's contract; masked lanes are not read.
        unsafe { _mm512_maskz_loadu_ps(mask, at.cast()) }
    }
}

impl Lanes for F16 {
    const SIZE: usize = 2;

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn load(at: *const u8) -> __m512 {
        // SAFETY: the caller's contract.
        let halves = unsafe { _mm256_loadu_si256(at.cast()) };
        _mm512_cvtph_ps(halves)
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn load_some(mask: u16, at: *const u8) -> __m512 {
        if mask == u16::MAX {
            // SAFETY: the caller's contract.
            return unsafe { Self::load(at) };
        }
        // SAFETY: the caller's contract; masked lanes are not read.
        let halves = unsafe { _mm256_maskz_loadu_epi16(mask, at.cast()) };
        _mm512_cvtph_ps(halves)
    }
}

/// One step of a sum over floats.
pub(super) trait Step {
    /// `sums` with the terms of `a` and `b`.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn step(sums: __m512, a: __m512, b: __m512) -> __m512;
}

/// Product.
pub(super) struct Dot;
/// Squared difference.
pub(super) struct L2;
/// Magnitude of the difference.
pub(super) struct L1;

impl Step for Dot {
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn step(sums: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, sums)
    }
}

impl Step for L2 {
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn step(sums: __m512, a: __m512, b: __m512) -> __m512 {
        let d = _mm512_sub_ps(a, b);
        _mm512_fmadd_ps(d, d, sums)
    }
}

impl Step for L1 {
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn step(sums: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(sums, _mm512_abs_ps(_mm512_sub_ps(a, b)))
    }
}

/// The sum of all terms of `left` with each of `rows`.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
pub(super) fn sum_floats<A: Lanes, B: Lanes, S: Step, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [f32; R] {
    let n = elements(left, A::SIZE, rows, B::SIZE);
    let mut sums = [[_mm512_setzero_ps(); 4]; R];
    let mut i = 0;
    while i + 64 <= n {
        for k in 0..4 {
            let at = i + 16 * k;
            // SAFETY: `at + 16 <= n`, and `left` has n elements.
            let a = unsafe { A::load(left.as_ptr().wrapping_add(at * A::SIZE)) };
            for r in 0..R {
                // SAFETY: as above; `elements` checked that every row has n elements.
                let b = unsafe { B::load(rows[r].as_ptr().wrapping_add(at * B::SIZE)) };
                // SAFETY: the features are this function's.
                sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
            }
        }
        i += 64;
    }
    for k in 0..4 {
        let at = i + 16 * k;
        if at >= n {
            break;
        }
        let mask = u16::MAX >> (16 - (n - at).min(16));
        // SAFETY: the mask has bits only for elements below n.
        let a = unsafe { A::load_some(mask, left.as_ptr().wrapping_add(at * A::SIZE)) };
        for r in 0..R {
            // SAFETY: as above.
            let b = unsafe { B::load_some(mask, rows[r].as_ptr().wrapping_add(at * B::SIZE)) };
            // SAFETY: the features are this function's.
            sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
        }
    }
    let mut out = [0.0; R];
    for r in 0..R {
        let [a, b, c, d] = sums[r];
        out[r] = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
    }
    out
}

/// One exact sum over bytes, modulo 2^32, below which [`crate::MAX_DIM`] keeps it.
pub(super) trait ByteStep {
    /// What is summed.
    type Sum: Copy + Default;
    /// Sums side by side.
    type Sums: Copy;

    /// No terms yet.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn zero() -> Self::Sums;

    /// What `a` adds to the sums of every row.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn left(sums: __m512i, a: __m512i) -> __m512i;

    /// `sums` with the terms of `a` and `b`.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn step(sums: Self::Sums, a: __m512i, b: __m512i) -> Self::Sums;

    /// The whole sum.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn total(left: [__m512i; 4], sums: [Self::Sums; 4]) -> Self::Sum;
}

/// Product.
pub(super) struct ByteDot;
/// Squared difference.
pub(super) struct ByteL2;
/// Magnitude of the difference.
pub(super) struct ByteL1;
/// Product, and the row's square.
pub(super) struct ByteDotNorm;

/// `vpdpbusd` multiplies unsigned by signed bytes, so `b` goes in as `b - 128` and the sum of `a`
/// puts it right: `a . b = a . (b - 128) + 128 * sum(a)`.
impl ByteStep for ByteDot {
    type Sum = u32;
    type Sums = __m512i;

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn left(sums: __m512i, a: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sums, a, _mm512_set1_epi8(1))
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn step(sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sums, a, less_128(b))
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn total(left: [__m512i; 4], sums: [__m512i; 4]) -> u32 {
        reduce(_mm512_add_epi32(
            fold(sums),
            _mm512_slli_epi32::<7>(fold(left)),
        ))
    }
}

/// The magnitude of the difference fits a byte; its square is taken as words, even bytes and odd
/// bytes apart.
impl ByteStep for ByteL2 {
    type Sum = u32;
    type Sums = __m512i;

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn left(sums: __m512i, _: __m512i) -> __m512i {
        sums
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn step(sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        let d = _mm512_sub_epi8(_mm512_max_epu8(a, b), _mm512_min_epu8(a, b));
        let even = _mm512_and_si512(d, _mm512_set1_epi16(0xff));
        let odd = _mm512_srli_epi16::<8>(d);
        _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sums, even, even), odd, odd)
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn total(_: [__m512i; 4], sums: [__m512i; 4]) -> u32 {
        reduce(fold(sums))
    }
}

impl ByteStep for ByteL1 {
    type Sum = u32;
    type Sums = __m512i;

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn left(sums: __m512i, _: __m512i) -> __m512i {
        sums
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn step(sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // Sums of eight bytes in lanes of 64 bits, whose upper halves stay zero.
        _mm512_add_epi32(sums, _mm512_sad_epu8(a, b))
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn total(_: [__m512i; 4], sums: [__m512i; 4]) -> u32 {
        reduce(fold(sums))
    }
}

/// As [`ByteDot`], twice: sums of `a . (b - 128)`, of `b . (b - 128)` and of `b`.
impl ByteStep for ByteDotNorm {
    type Sum = (u32, u32);
    type Sums = [__m512i; 3];

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn zero() -> [__m512i; 3] {
        [_mm512_setzero_si512(); 3]
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn left(sums: __m512i, a: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sums, a, _mm512_set1_epi8(1))
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn step([dot, norm, sum]: [__m512i; 3], a: __m512i, b: __m512i) -> [__m512i; 3] {
        let signed = less_128(b);
        [
            _mm512_dpbusd_epi32(dot, a, signed),
            _mm512_dpbusd_epi32(norm, b, signed),
            _mm512_dpbusd_epi32(sum, b, _mm512_set1_epi8(1)),
        ]
    }

    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn total(left: [__m512i; 4], [a, b, c, d]: [[__m512i; 3]; 4]) -> (u32, u32) {
        let dot = fold([a[0], b[0], c[0], d[0]]);
        let norm = fold([a[1], b[1], c[1], d[1]]);
        let sum = fold([a[2], b[2], c[2], d[2]]);
        (
            reduce(_mm512_add_epi32(dot, _mm512_slli_epi32::<7>(fold(left)))),
            reduce(_mm512_add_epi32(norm, _mm512_slli_epi32::<7>(sum))),
        )
    }
}

/// `b - 128`, as signed bytes.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn less_128(b: __m512i) -> __m512i {
    _mm512_xor_si512(b, _mm512_set1_epi8(i8::MIN))
}

/// Four accumulators in one.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn fold([a, b, c, d]: [__m512i; 4]) -> __m512i {
    _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d))
}

/// The sum of the lanes modulo 2^32.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
fn reduce(lanes: __m512i) -> u32 {
    _mm512_reduce_add_epi32(lanes).cast_unsigned()
}

/// The bytes whose bit in `mask` is set, and zero for the others.
///
/// # Safety
/// The CPU has the features of this file, and the bytes of the set bits are readable.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn load_bytes(mask: u64, at: *const u8) -> __m512i {
    if mask == u64::MAX {
        // SAFETY: the caller's contract.
        unsafe { _mm512_loadu_si512(at.cast()) }
    } else {
        // SAFETY: the caller's contract; masked lanes are not read.
        unsafe { _mm512_maskz_loadu_epi8(mask, at.cast()) }
    }
}

/// The exact sum of `left` with each of `rows`.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
#[inline]
pub(super) fn sum_bytes<S: ByteStep, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [S::Sum; R] {
    let n = elements(left, 1, rows, 1);
    let mut of_left = [_mm512_setzero_si512(); 4];
    // SAFETY: the features are this function's.
    let mut sums = [[unsafe { S::zero() }; 4]; R];
    let mut i = 0;
    while i + 256 <= n {
        for k in 0..4 {
            let at = i + 64 * k;
            // SAFETY: `at + 64 <= n`, and `left` has n bytes.
            let a = unsafe { _mm512_loadu_si512(left.as_ptr().wrapping_add(at).cast()) };
            // SAFETY: the features are this function's.
            of_left[k] = unsafe { S::left(of_left[k], a) };
            for r in 0..R {
                // SAFETY: as above; `elements` checked that every row has n bytes.
                let b = unsafe { _mm512_loadu_si512(rows[r].as_ptr().wrapping_add(at).cast()) };
                // SAFETY: the features are this function's.
                sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
            }
        }
        i += 256;
    }
    for k in 0..4 {
        let at = i + 64 * k;
        if at >= n {
            break;
        }
        let mask = u64::MAX >> (64 - (n - at).min(64));
        // SAFETY: the mask has bits only for bytes below n.
        let a = unsafe { load_bytes(mask, left.as_ptr().wrapping_add(at)) };
        // SAFETY: the features are this function's.
        of_left[k] = unsafe { S::left(of_left[k], a) };
        for r in 0..R {
            // SAFETY: as above.
            let b = unsafe { load_bytes(mask, rows[r].as_ptr().wrapping_add(at)) };
            // SAFETY: the features are this function's.
            sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
        }
    }
    let mut out = [S::Sum::default(); R];
    for r in 0..R {
        // SAFETY: the features are this function's.
        out[r] = unsafe { S::total(of_left, sums[r]) };
    }
    out
}
