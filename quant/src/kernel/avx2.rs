//! AVX2, FMA and F16C: eight f32 or 32 bytes at a time.
//!
//! A row is summed into four accumulators, element `i` of a vector register into accumulator `i / 8
//! % 4`, whatever the number of rows at a time; lanes that a tail leaves empty add
//! zero.

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
    Avx2,
    codes codes_avx2,
    products product_avx2,
    [target_feature(enable = "avx2,fma,f16c")],
    float 3, half 3, byte 4, byte_cosine 2
);

/// How elements are read.
pub(super) trait Lanes {
    /// Bytes of an element.
    const SIZE: usize;

    /// Eight elements.
    ///
    /// # Safety
    /// The CPU has the features of this file, and eight elements from `at` on are readable.
    unsafe fn load(at: *const u8) -> __m256;

    /// `count` elements of one to eight in the upper lanes, and zero in the lower ones.
    ///
    /// # Safety
    /// The CPU has the features of this file, and `count` elements from `at` on are readable; if
    /// `whole`, so are as many before them as make eight.
    unsafe fn load_tail(count: usize, whole: bool, at: *const u8) -> __m256;
}

/// `f32`, little-endian.
pub(super) struct F32;
/// `f16`, little-endian.
pub(super) struct F16;

impl Lanes for F32 {
    const SIZE: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load(at: *const u8) -> __m256 {
        // SAFETY: the caller's contract.
        unsafe { _mm256_loadu_ps(at.cast()) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load_tail(count: usize, _: bool, at: *const u8) -> __m256 {
        let before = 8 - count;
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let mask = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(before as i32 - 1));
        // SAFETY: the caller's contract; masked lanes are not read.
        unsafe { _mm256_maskload_ps(at.wrapping_sub(before * Self::SIZE).cast(), mask) }
    }
}

impl Lanes for F16 {
    const SIZE: usize = 2;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load(at: *const u8) -> __m256 {
        // SAFETY: the caller's contract.
        let halves = unsafe { _mm_loadu_si128(at.cast()) };
        _mm256_cvtph_ps(halves)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load_tail(count: usize, whole: bool, at: *const u8) -> __m256 {
        let before = 8 - count;
        let halves = if whole {
            // SAFETY: the caller's contract: eight elements end where the tail does.
            unsafe { _mm_loadu_si128(at.wrapping_sub(before * Self::SIZE).cast()) }
        } else {
            let mut padded = [0u8; 16];
            let to = padded[before * Self::SIZE..].as_mut_ptr();
            // SAFETY: the caller's contract; from `to` on `padded` has room for `count` elements.
            unsafe { at.copy_to_nonoverlapping(to, count * Self::SIZE) };
            // SAFETY: `padded` has 16 bytes.
            unsafe { _mm_loadu_si128(padded.as_ptr().cast()) }
        };
        let lane = _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7);
        let mask = _mm_cmpgt_epi16(lane, _mm_set1_epi16(before as i16 - 1));
        _mm256_cvtph_ps(_mm_and_si128(halves, mask))
    }
}

/// One step of a sum over floats.
pub(super) trait Step {
    /// `sums` with the terms of `a` and `b`.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn step(sums: __m256, a: __m256, b: __m256) -> __m256;
}

/// Product.
pub(super) struct Dot;
/// Squared difference.
pub(super) struct L2;
/// Magnitude of the difference.
pub(super) struct L1;

impl Step for Dot {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn step(sums: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, sums)
    }
}

impl Step for L2 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn step(sums: __m256, a: __m256, b: __m256) -> __m256 {
        let d = _mm256_sub_ps(a, b);
        _mm256_fmadd_ps(d, d, sums)
    }
}

impl Step for L1 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn step(sums: __m256, a: __m256, b: __m256) -> __m256 {
        let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_sub_ps(a, b));
        _mm256_add_ps(sums, magnitude)
    }
}

/// The sum of all terms of `left` with each of `rows`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn sum_floats<A: Lanes, B: Lanes, S: Step, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [f32; R] {
    let n = elements(left, A::SIZE, rows, B::SIZE);
    let mut sums = [[_mm256_setzero_ps(); 4]; R];
    let mut i = 0;
    while i + 32 <= n {
        for k in 0..4 {
            let at = i + 8 * k;
            // SAFETY: `at + 8 <= n`, and `left` has n elements.
            let a = unsafe { A::load(left.as_ptr().wrapping_add(at * A::SIZE)) };
            for r in 0..R {
                // SAFETY: as above; `elements` checked that every row has n elements.
                let b = unsafe { B::load(rows[r].as_ptr().wrapping_add(at * B::SIZE)) };
                // SAFETY: the features are this function's.
                sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
            }
        }
        i += 32;
    }
    for k in 0..4 {
        let at = i + 8 * k;
        if at >= n {
            break;
        }
        let count = (n - at).min(8);
        // SAFETY: `at + count <= n`; where n is eight or more, eight elements end there.
        let a = unsafe { A::load_tail(count, n >= 8, left.as_ptr().wrapping_add(at * A::SIZE)) };
        for r in 0..R {
            let row = rows[r].as_ptr().wrapping_add(at * B::SIZE);
            // SAFETY: as above.
            let b = unsafe { B::load_tail(count, n >= 8, row) };
            // SAFETY: the features are this function's.
            sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
        }
    }
    let mut out = [0.0; R];
    for r in 0..R {
        let [a, b, c, d] = sums[r];
        out[r] = reduce_floats(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
    }
    out
}

/// The sum of the lanes, as a tree.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn reduce_floats(lanes: __m256) -> f32 {
    let four = _mm_add_ps(
        _mm256_castps256_ps128(lanes),
        _mm256_extractf128_ps::<1>(lanes),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
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

    /// `sums` with the terms of `a` and `b`.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn step(sums: Self::Sums, a: __m256i, b: __m256i) -> Self::Sums;

    /// The whole sum.
    ///
    /// # Safety
    /// The CPU has the features of this file.
    unsafe fn total(sums: [Self::Sums; 4]) -> Self::Sum;
}

/// Product.
pub(super) struct ByteDot;
/// Squared difference.
pub(super) struct ByteL2;
/// Magnitude of the difference.
pub(super) struct ByteL1;
/// Product, and the row's square.
pub(super) struct ByteDotNorm;

/// `vpmaddubsw` would saturate at 255 * 127 * 2, so bytes are widened to words: even bytes and odd
/// bytes apart, which takes no shuffle.
impl ByteStep for ByteDot {
    type Sum = u32;
    type Sums = __m256i;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn zero() -> __m256i {
        _mm256_setzero_si256()
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn step(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(sums, products(words(a), words(b)))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn total(sums: [__m256i; 4]) -> u32 {
        reduce(fold(sums))
    }
}

/// The magnitude of the difference fits a byte; its square is a product of words as in [`ByteDot`].
impl ByteStep for ByteL2 {
    type Sum = u32;
    type Sums = __m256i;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn zero() -> __m256i {
        _mm256_setzero_si256()
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn step(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        let d = words(_mm256_sub_epi8(
            _mm256_max_epu8(a, b),
            _mm256_min_epu8(a, b),
        ));
        _mm256_add_epi32(sums, products(d, d))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn total(sums: [__m256i; 4]) -> u32 {
        reduce(fold(sums))
    }
}

impl ByteStep for ByteL1 {
    type Sum = u32;
    type Sums = __m256i;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn zero() -> __m256i {
        _mm256_setzero_si256()
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn step(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // Sums of eight bytes in lanes of 64 bits, whose upper halves stay zero.
        _mm256_add_epi32(sums, _mm256_sad_epu8(a, b))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn total(sums: [__m256i; 4]) -> u32 {
        reduce(fold(sums))
    }
}

/// As [`ByteDot`], twice.
impl ByteStep for ByteDotNorm {
    type Sum = (u32, u32);
    type Sums = [__m256i; 2];

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn zero() -> [__m256i; 2] {
        [_mm256_setzero_si256(); 2]
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn step([dot, norm]: [__m256i; 2], a: __m256i, b: __m256i) -> [__m256i; 2] {
        let b = words(b);
        [
            _mm256_add_epi32(dot, products(words(a), b)),
            _mm256_add_epi32(norm, products(b, b)),
        ]
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn total([a, b, c, d]: [[__m256i; 2]; 4]) -> (u32, u32) {
        (
            reduce(fold([a[0], b[0], c[0], d[0]])),
            reduce(fold([a[1], b[1], c[1], d[1]])),
        )
    }
}

/// The even bytes and the odd bytes, as words.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn words(bytes: __m256i) -> [__m256i; 2] {
    [
        _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)),
        _mm256_srli_epi16::<8>(bytes),
    ]
}

/// Products of the words, summed by four.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn products(a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
    _mm256_add_epi32(_mm256_madd_epi16(a[0], b[0]), _mm256_madd_epi16(a[1], b[1]))
}

/// Four accumulators in one.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn fold([a, b, c, d]: [__m256i; 4]) -> __m256i {
    _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d))
}

/// The sum of the lanes modulo 2^32.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn reduce(lanes: __m256i) -> u32 {
    let four = _mm_add_epi32(
        _mm256_castsi256_si128(lanes),
        _mm256_extracti128_si256::<1>(lanes),
    );
    let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two))).cast_unsigned()
}

/// `count` bytes of one to 32 in the upper lanes, and zero in the lower ones.
///
/// # Safety
/// The CPU has the features of this file, and `count` bytes from `at` on are readable; if `whole`,
/// so are as many before them as make 32.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn load_tail(count: usize, whole: bool, at: *const u8) -> __m256i {
    let before = 32 - count;
    let bytes = if whole {
        // SAFETY: the caller's contract: 32 bytes end where the tail does.
        unsafe { _mm256_loadu_si256(at.wrapping_sub(before).cast()) }
    } else {
        let mut padded = [0u8; 32];
        let to = padded[before..].as_mut_ptr();
        // SAFETY: the caller's contract; from `to` on `padded` has room for `count` bytes.
        unsafe { at.copy_to_nonoverlapping(to, count) };
        // SAFETY: `padded` has 32 bytes.
        unsafe { _mm256_loadu_si256(padded.as_ptr().cast()) }
    };
    let lane = _mm256_setr_epi8(
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29, 30, 31,
    );
    _mm256_and_si256(
        bytes,
        _mm256_cmpgt_epi8(lane, _mm256_set1_epi8(before as i8 - 1)),
    )
}

/// The exact sum of `left` with each of `rows`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn sum_bytes<S: ByteStep, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [S::Sum; R] {
    let n = elements(left, 1, rows, 1);
    // SAFETY: the features are this function's.
    let mut sums = [[unsafe { S::zero() }; 4]; R];
    let mut i = 0;
    while i + 128 <= n {
        for k in 0..4 {
            let at = i + 32 * k;
            // SAFETY: `at + 32 <= n`, and `left` has n bytes.
            let a = unsafe { _mm256_loadu_si256(left.as_ptr().wrapping_add(at).cast()) };
            for r in 0..R {
                // SAFETY: as above; `elements` checked that every row has n bytes.
                let b = unsafe { _mm256_loadu_si256(rows[r].as_ptr().wrapping_add(at).cast()) };
                // SAFETY: the features are this function's.
                sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
            }
        }
        i += 128;
    }
    for k in 0..4 {
        let at = i + 32 * k;
        if at >= n {
            break;
        }
        let count = (n - at).min(32);
        // SAFETY: `at + count <= n`; where n is 32 or more, 32 bytes end there.
        let a = unsafe { load_tail(count, n >= 32, left.as_ptr().wrapping_add(at)) };
        for r in 0..R {
            // SAFETY: as above.
            let b = unsafe { load_tail(count, n >= 32, rows[r].as_ptr().wrapping_add(at)) };
            // SAFETY: the features are this function's.
            sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
        }
    }
    let mut out = [S::Sum::default(); R];
    for r in 0..R {
        // SAFETY: the features are this function's.
        out[r] = unsafe { S::total(sums[r]) };
    }
    out
}
