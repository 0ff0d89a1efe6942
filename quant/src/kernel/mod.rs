//! The only way into the kernels: detection, the table of entry points, and the safe calls.
//!
//! Each instruction set has a file with the same items in the same order, and a [`Table`] of entry
//! points that the [`table!`] macro writes from them. An entry point is one whole journey (one
//! distance, a block of rows, a list of rows) under one `#[target_feature]`, because a kernel
//! inlines only into a function with the same features; the indirect call is paid once a journey,
//! not once a row.
//!
//! ```text
//! Query ── Scan ──(fn pointer)── one | block | gather ── sum_floats / sum_bytes ── Lanes, Step
//! Pairwise ── Pair ──(fn pointer)── pair ──┘
//! ```
//!
//! # Invariants
//! - A [`Table`] is reachable only through [`table_of`], which hands it out only when the CPU has
//!   all its features. That is what every call through a table relies on.
//! - Kernels take slices and check their lengths, so that no caller can make them read out of
//!   bounds.
//! - On one instruction set a row has one distance: `one`, `block` and `gather` run the same kernel
//!   with another number of rows at a time, which does not change the order of any row's sum.
//! - No distance is NaN (see [`ranked`]).

#![expect(
    unsafe_code,
    reason = "calls through the table of detected features; prefetch"
)]

use std::fmt;
use std::sync::LazyLock;

use crate::{Element, Metric};

/// Writes the entry points of one kernel as a module with a constant `OPS`.
///
/// `$kernel` sums for a query and `$rows` rows at a time, `$pair` for two rows, `$finish` turns a
/// sum into a distance, and `$norm`, where the metric wants it, is the kernel for the left side's
/// squared length.
macro_rules! entry_points {
    (
        [$($feature:meta)?] $name:ident, $rows:literal rows of $kernel:path, pair $pair:path,
        $finish:ident $(, norm $norm:path)?
    ) => {
        mod $name {
            use super::*;
            use crate::kernel::{self, Operand, Ops};

            $(#[$feature])?
            fn one(left: &Operand, row: &[u8]) -> f32 {
                let [sum] = $kernel(left.bytes(), [row]);
                kernel::$finish(sum, left.norm)
            }

            $(#[$feature])?
            fn block(left: &Operand, rows: &[u8], stride: usize, out: &mut [f32]) {
                let (bytes, len) = (left.bytes(), left.row_len);
                let row = |n: usize| &rows[n * stride..][..len];
                let (groups, rest) = out.as_chunks_mut::<$rows>();
                let mut next = 0;
                for group in groups {
                    let mut taken = [row(next); $rows];
                    for (k, slot) in taken.iter_mut().enumerate().skip(1) {
                        *slot = row(next + k);
                    }
                    let sums = $kernel(bytes, taken);
                    for (distance, sum) in group.iter_mut().zip(sums) {
                        *distance = kernel::$finish(sum, left.norm);
                    }
                    next += $rows;
                }
                for distance in rest {
                    let [sum] = $kernel(bytes, [row(next)]);
                    *distance = kernel::$finish(sum, left.norm);
                    next += 1;
                }
            }

            $(#[$feature])?
            fn gather(left: &Operand, base: &[u8], stride: usize, rows: &[u32], out: &mut [f32]) {
                let (bytes, len) = (left.bytes(), left.row_len);
                let find = |row: u32| kernel::row_at(base, stride, len, row);
                for &row in rows.iter().take(kernel::PREFETCH_AHEAD) {
                    kernel::prefetch(find(row).unwrap_or_default());
                }
                let mut ahead = rows.iter().skip(kernel::PREFETCH_AHEAD);
                for (rows, out) in rows.chunks($rows).zip(out.chunks_mut($rows)) {
                    for &row in ahead.by_ref().take($rows) {
                        kernel::prefetch(find(row).unwrap_or_default());
                    }
                    let mut taken = [Default::default(); $rows];
                    let mut found = 0;
                    let present = rows.iter().filter_map(|&row| find(row));
                    for (slot, row) in taken.iter_mut().zip(present) {
                        *slot = row;
                        found += 1;
                    }
                    if found == $rows {
                        let sums = $kernel(bytes, taken);
                        for (distance, sum) in out.iter_mut().zip(sums) {
                            *distance = kernel::$finish(sum, left.norm);
                        }
                        continue;
                    }
                    for (distance, &row) in out.iter_mut().zip(rows) {
                        *distance = match find(row) {
                            Some(row) => {
                                let [sum] = $kernel(bytes, [row]);
                                kernel::$finish(sum, left.norm)
                            }
                            None => f32::INFINITY,
                        };
                    }
                }
            }

            $(#[$feature])?
            fn pair(left: &[u8], right: &[u8]) -> f32 {
                let [sum] = $pair(left, [right]);
                let norm = 0 $(+ {
                    let [norm] = $norm(left, [left]);
                    norm
                })?;
                kernel::$finish(sum, norm)
            }

            pub(super) const OPS: Ops = Ops { one, block, gather, pair };
        }
    };
}

/// Writes the `TABLE` of an instruction set whose file has the items named here.
///
/// `float`, `half` and `byte` are how many rows a kernel of that element takes at a time: what
/// measures fastest.
macro_rules! table {
    ($isa:ident, [$($f:meta)?], float $f32:literal, half $f16:literal, byte $u8:literal) => {
        entry_points!([$($f)?] f32_dot, $f32 rows of sum_floats::<F32, F32, Dot, _>,
            pair sum_floats::<F32, F32, Dot, _>, dot_distance);
        entry_points!([$($f)?] f32_l2, $f32 rows of sum_floats::<F32, F32, L2, _>,
            pair sum_floats::<F32, F32, L2, _>, distance);
        entry_points!([$($f)?] f32_l1, $f32 rows of sum_floats::<F32, F32, L1, _>,
            pair sum_floats::<F32, F32, L1, _>, distance);
        entry_points!([$($f)?] f16_dot, $f16 rows of sum_floats::<F32, F16, Dot, _>,
            pair sum_floats::<F16, F16, Dot, _>, dot_distance);
        entry_points!([$($f)?] f16_l2, $f16 rows of sum_floats::<F32, F16, L2, _>,
            pair sum_floats::<F16, F16, L2, _>, distance);
        entry_points!([$($f)?] f16_l1, $f16 rows of sum_floats::<F32, F16, L1, _>,
            pair sum_floats::<F16, F16, L1, _>, distance);
        entry_points!([$($f)?] u8_dot, $u8 rows of sum_bytes::<ByteDot, _>,
            pair sum_bytes::<ByteDot, _>, byte_dot_distance);
        entry_points!([$($f)?] u8_l2, $u8 rows of sum_bytes::<ByteL2, _>,
            pair sum_bytes::<ByteL2, _>, byte_distance);
        entry_points!([$($f)?] u8_l1, $u8 rows of sum_bytes::<ByteL1, _>,
            pair sum_bytes::<ByteL1, _>, byte_distance);
        entry_points!([$($f)?] u8_cosine, $u8 rows of sum_bytes::<ByteDotNorm, _>,
            pair sum_bytes::<ByteDotNorm, _>, byte_cosine_distance, norm sum_bytes::<ByteDot, _>);

        /// The entry points of this instruction set.
        pub(super) static TABLE: crate::kernel::Table = crate::kernel::Table {
            isa: crate::Isa::$isa,
            f32_dot: f32_dot::OPS,
            f32_l2: f32_l2::OPS,
            f32_l1: f32_l1::OPS,
            f16_dot: f16_dot::OPS,
            f16_l2: f16_l2::OPS,
            f16_l1: f16_l1::OPS,
            u8_dot: u8_dot::OPS,
            u8_l2: u8_l2::OPS,
            u8_l1: u8_l1::OPS,
            u8_cosine: u8_cosine::OPS,
        };
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
pub(crate) mod portable;

/// The most coordinates a vector may have.
///
/// Sums over `u8` rows are kept in u32: 65 536 products of 255 * 255 are 4 261 478 400, just below
/// 2^32.
pub const MAX_DIM: usize = 65_536;
const _: () = assert!((MAX_DIM as u64) * 255 * 255 <= u32::MAX as u64);

/// How far a computed distance of float rows may be from the exact one: `rounding(dim)` times the
/// sum of the magnitudes of all terms, where nothing overflows, plus `dim` times 2^-149 where terms
/// are subnormal.
///
/// With u = 2^-24, the unit roundoff of f32, a value rounded k times is off by at most the factor
/// ku / (1 - ku). A term is rounded at most three times (a difference counts twice in its square,
/// then the product; a fused product not at all). Every kernel sums at least 16 lanes side by side,
/// so a term takes part in at most `ceil(dim / 16)` additions of its lane, and then in at most six
/// that fold the lanes (four accumulators of sixteen).
///
/// The terms of L2 and L1 have one sign: there this bounds the relative error of the distance. Sums
/// over `u8` rows are exact and rounded to f32 once.
#[must_use]
pub fn rounding(dim: usize) -> f64 {
    let rounded = (dim.div_ceil(16) + 9) as f64 * f64::from(f32::EPSILON) / 2.0;
    rounded / (1.0 - rounded)
}

/// How many rows ahead of the kernel a gather prefetches.
const PREFETCH_AHEAD: usize = 4;

/// How many lines of a row are prefetched; the hardware follows the stream from there.
const PREFETCH_LINES: usize = 12;

/// Bytes of a cache line, on every machine that Cairn has kernels for.
const LINE: usize = 64;

/// An instruction set that has kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust: every machine, and the reference of the others.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512,
    /// AArch64 with NEON.
    Neon,
}

impl Isa {
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The name `CAIRN_ISA` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// Whether this machine can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        table_of(self).is_some()
    }

    /// All that this machine can run, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The instruction set that queries use unless they ask for another.
///
/// It is the fastest of this machine, or the one that the environment variable `CAIRN_ISA` names
/// (`portable`, `avx2`, `avx512`, `neon`). Decided at the first call, for the life of the process.
///
/// # Panics
/// If `CAIRN_ISA` names nothing that this machine can run: it is there to test one instruction set,
/// and testing another in silence would be worse.
#[must_use]
pub fn isa() -> Isa {
    CHOSEN.isa
}

static CHOSEN: LazyLock<&'static Table> = LazyLock::new(|| {
    let forced = std::env::var("CAIRN_ISA").ok();
    let chosen = choose(forced.as_deref());
    assert!(
        chosen.is_some(),
        "CAIRN_ISA is {forced:?}, which this machine cannot run"
    );
    chosen.unwrap_or(&portable::TABLE)
});

/// The fastest table of this machine, or the one of the instruction set called `forced`.
fn choose(forced: Option<&str>) -> Option<&'static Table> {
    let mut tables = Isa::ALL.into_iter().filter_map(table_of);
    match forced {
        None | Some("") => tables.next(),
        Some(name) => tables.find(|table| table.isa.name() == name),
    }
}

/// The entry points of an instruction set, if this machine has it.
fn table_of(isa: Isa) -> Option<&'static Table> {
    match isa {
        Isa::Portable => Some(&portable::TABLE),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            let found = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            found.then_some(&avx2::TABLE)
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            let found = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            found.then_some(&avx512::TABLE)
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Isa::Neon => std::arch::is_aarch64_feature_detected!("neon").then_some(&neon::TABLE),
        #[cfg(target_arch = "x86_64")]
        Isa::Neon => None,
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Isa::Avx2 | Isa::Avx512 => None,
        #[cfg(not(any(
            target_arch = "x86_64",
            all(target_arch = "aarch64", target_endian = "little")
        )))]
        Isa::Avx2 | Isa::Avx512 | Isa::Neon => None,
    }
}

/// The entry points of one kernel. All need the features of the table they are in.
#[derive(Clone, Copy)]
struct Ops {
    /// One row.
    one: unsafe fn(&Operand, &[u8]) -> f32,
    /// Rows at a fixed stride.
    block: unsafe fn(&Operand, &[u8], usize, &mut [f32]),
    /// Rows by number.
    gather: unsafe fn(&Operand, &[u8], usize, &[u32], &mut [f32]),
    /// Two rows.
    pair: unsafe fn(&[u8], &[u8]) -> f32,
}

/// All entry points of an instruction set. Cosine over floats is `dot`: rows are stored at unit
/// length.
struct Table {
    isa: Isa,
    f32_dot: Ops,
    f32_l2: Ops,
    f32_l1: Ops,
    f16_dot: Ops,
    f16_l2: Ops,
    f16_l1: Ops,
    u8_dot: Ops,
    u8_l2: Ops,
    u8_l1: Ops,
    u8_cosine: Ops,
}

impl Table {
    fn ops(&self, metric: Metric, element: Element) -> Ops {
        match (element, metric) {
            (Element::F32, Metric::Cosine | Metric::Dot) => self.f32_dot,
            (Element::F32, Metric::Euclid) => self.f32_l2,
            (Element::F32, Metric::Manhattan) => self.f32_l1,
            (Element::F16, Metric::Cosine | Metric::Dot) => self.f16_dot,
            (Element::F16, Metric::Euclid) => self.f16_l2,
            (Element::F16, Metric::Manhattan) => self.f16_l1,
            (Element::U8, Metric::Cosine) => self.u8_cosine,
            (Element::U8, Metric::Dot) => self.u8_dot,
            (Element::U8, Metric::Euclid) => self.u8_l2,
            (Element::U8, Metric::Manhattan) => self.u8_l1,
        }
    }
}

/// The table for a choice of the caller, or the one chosen for the process.
///
/// # Panics
/// If this machine cannot run `isa`.
fn table(isa: Option<Isa>) -> &'static Table {
    let Some(isa) = isa else { return &CHOSEN };
    let table = table_of(isa);
    assert!(table.is_some(), "this machine cannot run {isa}");
    table.unwrap_or(&portable::TABLE)
}

/// The query's side of a kernel: its elements from a 64-byte boundary, so that no load of it splits
/// a line.
struct Operand {
    /// The elements, after `start` bytes of padding.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of the elements.
    len: usize,
    /// Bytes of a row that this can be compared with.
    row_len: usize,
    /// Squared length, where the metric is Cosine over `u8`; otherwise 0.
    norm: u32,
}

impl Operand {
    fn new(elements: &[u8], row_len: usize, norm: u32) -> Self {
        let mut buffer = vec![0; elements.len() + LINE - 1];
        let start = buffer.as_ptr().align_offset(LINE).min(LINE - 1);
        buffer[start..start + elements.len()].copy_from_slice(elements);
        Self {
            buffer,
            start,
            len: elements.len(),
            row_len,
            norm,
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }
}

impl Clone for Operand {
    fn clone(&self) -> Self {
        Self::new(self.bytes(), self.row_len, self.norm)
    }
}

/// A query bound to the entry points of its metric and element.
#[derive(Clone)]
pub(crate) struct Scan {
    left: Operand,
    ops: Ops,
    isa: Isa,
}

impl Scan {
    /// `elements` are `f32` for rows of `f32` and `f16`, `u8` for rows of `u8`.
    pub(crate) fn new(isa: Option<Isa>, metric: Metric, element: Element, elements: &[u8]) -> Self {
        let row_len = match element {
            Element::F32 | Element::U8 => elements.len(),
            Element::F16 => elements.len() / 2,
        };
        let norm = match (metric, element) {
            (Metric::Cosine, Element::U8) => {
                let [norm] = portable::sum_bytes::<portable::ByteDot, 1>(elements, [elements]);
                norm
            }
            (_, Element::F32 | Element::F16)
            | (Metric::Dot | Metric::Euclid | Metric::Manhattan, Element::U8) => 0,
        };
        let table = table(isa);
        let left = Operand::new(elements, row_len, norm);
        Self {
            left,
            ops: table.ops(metric, element),
            isa: table.isa,
        }
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    pub(crate) fn row_len(&self) -> usize {
        self.left.row_len
    }

    /// Distance of one row; the kernel panics if the row has another length.
    #[inline]
    pub(crate) fn one(&self, row: &[u8]) -> f32 {
        // SAFETY: `ops` came from `table`, which checked that this CPU has their features.
        unsafe { (self.ops.one)(&self.left, row) }
    }

    /// Distances of the first `out.len()` rows of `rows`, `stride` bytes apart.
    pub(crate) fn block(&self, rows: &[u8], stride: usize, out: &mut [f32]) {
        // SAFETY: as in `one`.
        unsafe { (self.ops.block)(&self.left, rows, stride, out) }
    }

    /// Distances of the rows numbered `rows` of `base`, `stride` bytes apart.
    pub(crate) fn gather(&self, base: &[u8], stride: usize, rows: &[u32], out: &mut [f32]) {
        // SAFETY: as in `one`.
        unsafe { (self.ops.gather)(&self.left, base, stride, rows, out) }
    }
}

/// The entry point for two rows.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pair: unsafe fn(&[u8], &[u8]) -> f32,
}

impl Pair {
    pub(crate) fn new(isa: Option<Isa>, metric: Metric, element: Element) -> Self {
        Self {
            pair: table(isa).ops(metric, element).pair,
        }
    }

    /// Distance of two rows; the kernel panics if their lengths differ.
    #[inline]
    pub(crate) fn distance(self, a: &[u8], b: &[u8]) -> f32 {
        // SAFETY: `pair` came from `table`, which checked that this CPU has its features.
        unsafe { (self.pair)(a, b) }
    }
}

/// Asks the CPU for the first lines of `row` (at most twelve), for a read that comes soon.
#[inline]
pub fn prefetch(row: &[u8]) {
    for line in row.chunks(LINE).take(PREFETCH_LINES) {
        prefetch_line(line.as_ptr());
    }
}

#[inline]
fn prefetch_line(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which no address can make fault; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which no address can make fault; it writes neither memory nor registers.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{line}]",
            line = in(reg) line,
            options(nostack, preserves_flags, readonly)
        );
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = line;
}

/// The bytes of row `row`, if `base` holds them all.
#[inline]
fn row_at(base: &[u8], stride: usize, len: usize, row: u32) -> Option<&[u8]> {
    let start = usize::try_from(row).ok()?.checked_mul(stride)?;
    base.get(start..)?.get(..len)
}

/// How many elements both sides have.
///
/// # Panics
/// If the sides differ. The kernels' loads rely on this check.
#[inline]
fn elements<const R: usize>(
    left: &[u8],
    left_size: usize,
    rows: [&[u8]; R],
    row_size: usize,
) -> usize {
    let n = left.len() / left_size;
    for row in rows {
        assert!(
            row.len() == n * row_size,
            "row is {} bytes, not {}",
            row.len(),
            n * row_size
        );
    }
    n
}

/// `distance`, or infinity when it is NaN.
///
/// Products beyond the range of f32 can meet as `inf - inf`, and damaged rows can hold NaN; neither
/// may break a heap or a sort, so they rank last. One `min` instruction.
#[inline]
fn ranked(distance: f32) -> f32 {
    if distance < f32::INFINITY {
        distance
    } else {
        f32::INFINITY
    }
}

/// Distance of a dot product. `0 - x` has no negative zero.
#[inline]
fn dot_distance(dot: f32, _norm: u32) -> f32 {
    ranked(0.0 - dot)
}

/// Distance that is the sum itself.
#[inline]
fn distance(sum: f32, _norm: u32) -> f32 {
    ranked(sum)
}

/// [`dot_distance`] of an exact sum, rounded once.
#[inline]
fn byte_dot_distance(dot: u32, _norm: u32) -> f32 {
    0.0 - dot as f32
}

/// [`distance`] of an exact sum, rounded once.
#[inline]
fn byte_distance(sum: u32, _norm: u32) -> f32 {
    sum as f32
}

/// Cosine distance of exact sums: the dot product and the row's squared length; `norm` is the
/// query's. The zero vector is at distance 0 of everything.
#[inline]
fn byte_cosine_distance((dot, row_norm): (u32, u32), norm: u32) -> f32 {
    // Both below 2^32, so that the product has at most 64 bits and is rounded once.
    let squared = f64::from(norm) * f64::from(row_norm);
    if squared == 0.0 {
        return 0.0;
    }
    (0.0 - f64::from(dot) / squared.sqrt()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fastest_is_chosen_unless_one_is_named() {
        let names = |forced| choose(forced).map(|table| table.isa);
        assert_eq!(names(None), Isa::available().next());
        assert_eq!(names(Some("")), Isa::available().next());
        for isa in Isa::available() {
            assert_eq!(names(Some(isa.name())), Some(isa));
        }
        assert_eq!(names(Some("mmx")), None);
    }

    #[test]
    fn portable_is_always_available_and_last() {
        assert_eq!(Isa::available().last(), Some(Isa::Portable));
    }

    #[test]
    fn operand_starts_at_a_line_in_every_copy() {
        let operand = Operand::new(&[7; 100], 100, 3);
        for operand in [operand.clone(), operand] {
            assert_eq!(operand.bytes(), &[7; 100]);
            assert_eq!(operand.bytes().as_ptr().align_offset(LINE), 0);
        }
    }

    #[test]
    fn nan_ranks_last() {
        assert_eq!(ranked(f32::NAN), f32::INFINITY);
        assert_eq!(ranked(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(dot_distance(f32::NAN, 0), f32::INFINITY);
        assert!(dot_distance(0.0, 0).is_sign_positive());
    }

    #[test]
    fn prefetch_takes_any_row() {
        prefetch(&[]);
        prefetch(&[1]);
        prefetch(&[0; 100_000]);
    }
}
