//! NEON: four f32 or 16 bytes at a time.
//!
//! A row is summed into four accumulators, element `i` of a vector register into accumulator `i / 4
//! % 4`, whatever the number of rows at a time; lanes beyond a tail add zero.

#![expect(
    unsafe_code,
    reason = "vector loads; lengths are checked by `elements`"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "loops with constant bounds over parallel arrays unroll: sums stay in registers"
)]

use std::arch::aarch64::*;

use super::entry::elements;

table!(
    Neon,
    codes codes_neon,
    products product_neon,
    [target_feature(enable = "neon")],
    float 4, half 4, byte 4, byte_cosine 2
);

/// How elements are read.
pub(super) trait Lanes {
    /// Bytes of an element.
    const SIZE: usize;

    /// Four elements.
    ///
    /// # Safety
    /// The CPU has NEON, and four elements from `at` on are readable.
    unsafe fn load(at: *const u8) -> float32x4_t;

    /// `count` elements, at most four, and zero for the others.
    ///
    /// # Safety
    /// The CPU has NEON, and `count` elements from `at` on are readable.
    unsafe fn load_some(count: usize, at: *const u8) -> float32x4_t;
}

/// `f32`, little-endian.
pub(super) struct F32;
/// `f16`, little-endian.
pub(super) struct F16;

impl Lanes for F32 {
    const SIZE: usize = 4;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn load(at: *const u8) -> float32x4_t {
        // SAFETY: the caller's contract; bytes have no alignment to keep.
        let bytes = unsafe { vld1q_u8(at) };
        vreinterpretq_f32_u8(bytes)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn load_some(count: usize, at: *const u8) -> float32x4_t {
        let mut padded = [0; 16];
        // SAFETY: the caller's contract; `padded` has room for four elements.
        unsafe { at.copy_to_nonoverlapping(padded.as_mut_ptr(), count * Self::SIZE) };
        // SAFETY: `padded` has 16 bytes.
        unsafe { Self::load(padded.as_ptr()) }
    }
}

impl Lanes for F16 {
    const SIZE: usize = 2;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn load(at: *const u8) -> float32x4_t {
        // SAFETY: the caller's contract; bytes have no alignment to keep.
        let bytes = unsafe { vld1_u8(at) };
        vcvt_f32_f16(vreinterpret_f16_u8(bytes))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn load_some(count: usize, at: *const u8) -> float32x4_t {
        let mut padded = [0; 8];
        // SAFETY: the caller's contract; `padded` has room for four elements.
        unsafe { at.copy_to_nonoverlapping(padded.as_mut_ptr(), count * Self::SIZE) };
        // SAFETY: `padded` has 8 bytes.
        unsafe { Self::load(padded.as_ptr()) }
    }
}

/// One step of a sum over floats.
pub(super) trait Step {
    /// `sums` with the terms of `a` and `b`.
    ///
    /// # Safety
    /// The CPU has NEON.
    unsafe fn step(sums: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t;
}

/// Product.
pub(super) struct Dot;
/// Squared difference.
pub(super) struct L2;
/// Magnitude of the difference.
pub(super) struct L1;

impl Step for Dot {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn step(sums: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vfmaq_f32(sums, a, b)
    }
}

impl Step for L2 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn step(sums: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        let d = vsubq_f32(a, b);
        vfmaq_f32(sums, d, d)
    }
}

impl Step for L1 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn step(sums: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vaddq_f32(sums, vabdq_f32(a, b))
    }
}

/// The sum of all terms of `left` with each of `rows`.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn sum_floats<A: Lanes, B: Lanes, S: Step, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [f32; R] {
    let n = elements(left, A::SIZE, rows, B::SIZE);
    let mut sums = [[vdupq_n_f32(0.0); 4]; R];
    let mut i = 0;
    while i + 16 <= n {
        for k in 0..4 {
            let at = i + 4 * k;
            // SAFETY: `at + 4 <= n`, and `left` has n elements.
            let a = unsafe { A::load(left.as_ptr().wrapping_add(at * A::SIZE)) };
            for r in 0..R {
                // SAFETY: as above; `elements` checked that every row has n elements.
                let b = unsafe { B::load(rows[r].as_ptr().wrapping_add(at * B::SIZE)) };
                // SAFETY: the features are this function's.
                sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
            }
        }
        i += 16;
    }
    for k in 0..4 {
        let at = i + 4 * k;
        if at >= n {
            break;
        }
        let count = (n - at).min(4);
        // SAFETY: `at + count <= n`.
        let a = unsafe { A::load_some(count, left.as_ptr().wrapping_add(at * A::SIZE)) };
        for r in 0..R {
            // SAFETY: as above.
            let b = unsafe { B::load_some(count, rows[r].as_ptr().wrapping_add(at * B::SIZE)) };
            // SAFETY: the features are this function's.
            sums[r][k] = unsafe { S::step(sums[r][k], a, b) };
        }
    }
    let mut out = [0.0; R];
    for r in 0..R {
        let [a, b, c, d] = sums[r];
        out[r] = vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)));
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
    /// The CPU has NEON.
    unsafe fn zero() -> Self::Sums;

    /// `sums` with the terms of `a` and `b`.
    ///
    /// # Safety
    /// The CPU has NEON.
    unsafe fn step(sums: Self::Sums, a: uint8x16_t, b: uint8x16_t) -> Self::Sums;

    /// The whole sum.
    ///
    /// # Safety
    /// The CPU has NEON.
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

impl ByteStep for ByteDot {
    type Sum = u32;
    type Sums = uint32x4_t;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn zero() -> uint32x4_t {
        vdupq_n_u32(0)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn step(sums: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
        add_products(sums, a, b)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn total(sums: [uint32x4_t; 4]) -> u32 {
        reduce(sums)
    }
}

impl ByteStep for ByteL2 {
    type Sum = u32;
    type Sums = uint32x4_t;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn zero() -> uint32x4_t {
        vdupq_n_u32(0)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn step(sums: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
        let d = vabdq_u8(a, b);
        add_products(sums, d, d)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn total(sums: [uint32x4_t; 4]) -> u32 {
        reduce(sums)
    }
}

impl ByteStep for ByteL1 {
    type Sum = u32;
    type Sums = uint32x4_t;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn zero() -> uint32x4_t {
        vdupq_n_u32(0)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn step(sums: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
        vpadalq_u16(sums, vpaddlq_u8(vabdq_u8(a, b)))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn total(sums: [uint32x4_t; 4]) -> u32 {
        reduce(sums)
    }
}

/// As [`ByteDot`], twice.
impl ByteStep for ByteDotNorm {
    type Sum = (u32, u32);
    type Sums = [uint32x4_t; 2];

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn zero() -> [uint32x4_t; 2] {
        [vdupq_n_u32(0); 2]
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn step([dot, norm]: [uint32x4_t; 2], a: uint8x16_t, b: uint8x16_t) -> [uint32x4_t; 2] {
        [add_products(dot, a, b), add_products(norm, b, b)]
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn total([a, b, c, d]: [[uint32x4_t; 2]; 4]) -> (u32, u32) {
        (
            reduce([a[0], b[0], c[0], d[0]]),
            reduce([a[1], b[1], c[1], d[1]]),
        )
    }
}

/// `sums` with the products of the bytes, each of 16 bits, by pairs.
#[target_feature(enable = "neon")]
#[inline]
fn add_products(sums: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
    let low = vmull_u8(vget_low_u8(a), vget_low_u8(b));
    let high = vmull_u8(vget_high_u8(a), vget_high_u8(b));
    vpadalq_u16(vpadalq_u16(sums, low), high)
}

/// The sum of all lanes modulo 2^32.
#[target_feature(enable = "neon")]
#[inline]
fn reduce([a, b, c, d]: [uint32x4_t; 4]) -> u32 {
    vaddvq_u32(vaddq_u32(vaddq_u32(a, b), vaddq_u32(c, d)))
}

/// `count` bytes, at most 16, and zero for the others.
///
/// # Safety
/// The CPU has NEON, and `count` bytes from `at` on are readable.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn load_bytes(count: usize, at: *const u8) -> uint8x16_t {
    let mut padded = [0; 16];
    // SAFETY: the caller's contract; `padded` has room for 16 bytes.
    unsafe { at.copy_to_nonoverlapping(padded.as_mut_ptr(), count) };
    // SAFETY: `padded` has 16 bytes.
    unsafe { vld1q_u8(padded.as_ptr()) }
}

/// The exact sum of `left` with each of `rows`.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn sum_bytes<S: ByteStep, const R: usize, const PLACE: u8>(
    left: &[u8],
    rows: [&[u8]; R],
) -> [S::Sum; R] {
    let n = elements(left, 1, rows, 1);
    // SAFETY: the features are this function's.
    let mut sums = [[unsafe { S::zero() }; 4]; R];
    let mut i = 0;
    while i + 64 <= n {
        for k in 0..4 {
            let at = i + 16 * k;
            // SAFETY: `at + 16 <= n`, and `left` has n bytes.
            let a = unsafe { vld1q_u8(left.as_ptr().wrapping_add(at)) };
            for r in 0..R {
                // SAFETY: as above; `elements` checked that every row has n bytes.
                let b = unsafe { vld1q_u8(rows[r].as_ptr().wrapping_add(at)) };
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
        let count = (n - at).min(16);
        // SAFETY: `at + count <= n`.
        let a = unsafe { load_bytes(count, left.as_ptr().wrapping_add(at)) };
        for r in 0..R {
            // SAFETY: as above.
            let b = unsafe { load_bytes(count, rows[r].as_ptr().wrapping_add(at)) };
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
