//! The only way into the kernels: detection, the table of entry points, and the safe calls.
//!
//! Each instruction set has a file with the same items in the same order, and a [`Table`] of entry
//! points that the macros of [`entry`] write from them.
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
//! - No distance is NaN (see [`entry`]).

#![expect(unsafe_code, reason = "calls through the table of detected features")]

use std::fmt;
use std::sync::LazyLock;

use crate::{Element, Metric};

#[macro_use]
mod entry;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod codes;
#[cfg(target_arch = "x86_64")]
mod codes_avx2;
#[cfg(target_arch = "x86_64")]
mod codes_avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod codes_neon;
mod codes_portable;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
pub(crate) mod portable;
mod prefetch;
mod product;
#[cfg(target_arch = "x86_64")]
mod product_avx2;
#[cfg(target_arch = "x86_64")]
mod product_avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod product_neon;
mod product_portable;
#[cfg(target_arch = "x86_64")]
mod product_vbmi;

pub(crate) use codes::{BlockOperand, Codes, ENTRY_MOST};
pub use prefetch::{prefetch, prefetch_whole};
pub(crate) use product::{ProductOperand, Products, Term};

use prefetch::LINE;

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
        Isa::Avx2 => has_avx2().then_some(&avx2::TABLE),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            let found = has_avx2()
                && is_x86_feature_detected!("avx512f")
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

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
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
    codes: codes::CodeOps,
    products: product::ProductOps,
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
                let [norm] = portable::sum_bytes::<portable::ByteDot, 1, { entry::NORM }>(
                    elements,
                    [elements],
                );
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

    /// The elements that rows are compared with.
    pub(crate) fn elements(&self) -> &[u8] {
        self.left.bytes()
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
}
