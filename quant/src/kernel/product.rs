//! The way into the kernels of product codes: their table of entry points and the safe calls.
//!
//! # Invariants
//! - As in [`super`]: a table is handed out only when the CPU has its features, and kernels check
//!   the lengths of their slices.
//! - All instruction sets give the same results, bit for bit: integers are summed exactly, floats
//!   in one order and without fused products.

#![expect(unsafe_code, reason = "calls through the table of detected features")]

use std::fmt;

use super::entry::FirstByte;
use super::{Isa, MAX_DIM, Table, prefetch, table};
use crate::product::{CENTROIDS, encode, query};

/// What a coordinate adds to a distance.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Term {
    /// Minus the product.
    Dot,
    /// The squared difference.
    Euclid,
    /// The magnitude of the difference.
    Manhattan,
}

/// A query's side.
#[derive(Clone, Debug)]
pub(crate) struct ProductOperand {
    /// For each sub-space what each centroid adds to a distance, in steps.
    pub(crate) entries: Vec<[u16; CENTROIDS]>,
    /// The same as kernels read it that look up registers of bytes, padded with zeros to whole
    /// groups of sub-spaces; otherwise empty.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the kernels of AVX-512 VBMI read it")
    )]
    pub(crate) planes: Vec<Planes>,
    /// What a step is worth, and what nought is.
    pub(crate) step: f32,
    pub(crate) base: f32,
}

/// The low and the high bytes of the entries of a sub-space.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Planes(
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the kernels of AVX-512 VBMI read it")
    )]
    pub(super) [[u8; CENTROIDS]; 2],
);

impl ProductOperand {
    /// Of a row whose entries sum to `sum`.
    #[inline(always)]
    pub(super) fn distance(&self, sum: u32) -> f32 {
        self.base + self.step * sum as f32
    }
}

type Book = [[f32; CENTROIDS]];

/// The entry points of the product kernels of one instruction set. All need its features.
#[derive(Clone, Copy)]
pub(super) struct ProductOps {
    pub(super) encode: unsafe fn(&Book, usize, &[f32], &mut [u8]),
    pub(super) assign: unsafe fn(&Book, &[f32], &mut [u8], &mut [f32]),
    pub(super) operand: unsafe fn(Term, &Book, usize, &[f32]) -> ProductOperand,
    pub(super) block: unsafe fn(&ProductOperand, &[u8], &mut [f32]),
    pub(super) gather: unsafe fn(&ProductOperand, &[u8], &[u32], &mut [f32]),
}

/// The product kernels of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Products {
    ops: ProductOps,
    isa: Isa,
}

impl fmt::Debug for Products {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Products({})", self.isa)
    }
}

impl Products {
    /// Those of `isa`, or of the one chosen for the process.
    ///
    /// # Panics
    /// If this machine cannot run `isa`.
    pub(crate) fn new(isa: Option<Isa>) -> Self {
        let table = table(isa);
        Self {
            ops: ops_of(table),
            isa: table.isa,
        }
    }

    /// [`encode::encode`].
    #[inline]
    pub(crate) fn encode(&self, book: &Book, width: usize, vector: &[f32], codes: &mut [u8]) {
        // SAFETY: `ops` came from `table`, which checked that this CPU has their features.
        unsafe { (self.ops.encode)(book, width, vector, codes) }
    }

    /// [`encode::assign`].
    pub(crate) fn assign(&self, book: &Book, points: &[f32], codes: &mut [u8], far: &mut [f32]) {
        // SAFETY: as in `encode`.
        unsafe { (self.ops.assign)(book, points, codes, far) }
    }

    /// [`query::operand`].
    pub(crate) fn operand(
        &self,
        term: Term,
        book: &Book,
        width: usize,
        x: &[f32],
    ) -> ProductOperand {
        // SAFETY: as in `encode`.
        unsafe { (self.ops.operand)(term, book, width, x) }
    }

    /// The distances of rows side by side.
    #[inline]
    pub(crate) fn block(&self, operand: &ProductOperand, rows: &[u8], out: &mut [f32]) {
        // SAFETY: as in `encode`.
        unsafe { (self.ops.block)(operand, rows, out) }
    }

    /// The distances of rows by number.
    #[inline]
    pub(crate) fn gather(
        &self,
        operand: &ProductOperand,
        rows: &[u8],
        numbers: &[u32],
        out: &mut [f32],
    ) {
        // SAFETY: as in `encode`.
        unsafe { (self.ops.gather)(operand, rows, numbers, out) }
    }
}

/// The entry points of a table. Those of AVX-512 are better where the CPU has VBMI as well, which
/// nothing else asks for.
fn ops_of(table: &Table) -> ProductOps {
    #[cfg(target_arch = "x86_64")]
    if table.isa == Isa::Avx512 && is_x86_feature_detected!("avx512vbmi") {
        return super::product_vbmi::PRODUCTS;
    }
    table.products
}

/// Writes the table of one instruction set: plain Rust, compiled with the features. Where rows
/// are looked up otherwise, the file has `block`, `gather`, and the function `$planes` that readies
/// a query for them.
macro_rules! product_ops {
    ([$($feature:meta)?]) => {
        product_ops!([$($feature)?] without_planes);

        $(#[$feature])?
        fn block(operand: &ProductOperand, rows: &[u8], out: &mut [f32]) {
            look_up_block(operand, rows, out);
        }

        $(#[$feature])?
        fn gather(operand: &ProductOperand, rows: &[u8], numbers: &[u32], out: &mut [f32]) {
            look_up_numbers(operand, rows, numbers, out);
        }
    };
    ([$($feature:meta)?] $planes:ident) => {
        /// The product kernels of this instruction set.
        pub(super) const PRODUCTS: ProductOps = ProductOps {
            encode,
            assign,
            operand,
            block,
            gather,
        };

        $(#[$feature])?
        fn encode(book: &[[f32; CENTROIDS]], width: usize, vector: &[f32], codes: &mut [u8]) {
            encode_row(book, width, vector, codes);
        }

        $(#[$feature])?
        fn assign(book: &[[f32; CENTROIDS]], points: &[f32], codes: &mut [u8], far: &mut [f32]) {
            assign_points(book, points, codes, far);
        }

        $(#[$feature])?
        fn operand(
            term: Term,
            book: &[[f32; CENTROIDS]],
            width: usize,
            query: &[f32],
        ) -> ProductOperand {
            $planes(operand_of(term, book, width, query))
        }
    };
}
pub(super) use product_ops;

pub(super) use encode::assign as assign_points;
pub(super) use encode::encode as encode_row;
pub(super) use query::operand as operand_of;

#[inline(always)]
pub(super) fn without_planes(operand: ProductOperand) -> ProductOperand {
    operand
}

/// Rows, and sub-spaces, that are looked up before the next ones: entries of 32 sub-spaces and
/// codes of 64 rows stay in the first-level cache.
const ROWS: usize = 64;
const SUBSPACES: usize = 32;

/// Checks that `rows` are as many as distances are asked for.
///
/// # Panics
/// If they are not.
#[inline]
pub(super) fn check_block(operand: &ProductOperand, rows: &[u8], out: &[f32]) {
    let row_len = operand.entries.len();
    assert!(
        rows.len() == out.len() * row_len,
        "rows are {} bytes, not {} times {row_len}",
        rows.len(),
        out.len(),
    );
}

/// Checks that as many distances are asked for as there are numbers.
///
/// # Panics
/// If they are not.
#[inline]
pub(super) fn check_gather(numbers: &[u32], out: &[f32]) {
    assert!(
        numbers.len() == out.len(),
        "{} rows for {} distances",
        numbers.len(),
        out.len()
    );
}

/// The distances of rows side by side, a code at a time.
#[inline(always)]
pub(super) fn look_up_block(operand: &ProductOperand, rows: &[u8], out: &mut [f32]) {
    check_block(operand, rows, out);
    let len = operand.entries.len();
    for (rows, out) in rows.chunks(ROWS * len).zip(out.chunks_mut(ROWS)) {
        let mut sums = [0_u32; ROWS];
        for (chunk, entries) in operand.entries.chunks(SUBSPACES).enumerate() {
            for (row, sum) in rows.chunks_exact(len).zip(&mut sums) {
                *sum += sum_of(entries, &row[chunk * SUBSPACES..]);
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = operand.distance(sum);
        }
    }
}

/// The distances of rows by number, a code at a time.
#[inline(always)]
pub(super) fn look_up_numbers(
    operand: &ProductOperand,
    rows: &[u8],
    numbers: &[u32],
    out: &mut [f32],
) {
    check_gather(numbers, out);
    let len = operand.entries.len();
    let Some(rows) = FirstByte::new(rows, len, len) else {
        out.fill(f32::INFINITY);
        return;
    };
    for &number in numbers.iter().take(prefetch::AHEAD_BY_NUMBER) {
        rows.prefetch(number);
    }
    for (at, (&number, out)) in numbers.iter().zip(out).enumerate() {
        if let Some(&ahead) = numbers.get(at + prefetch::AHEAD_BY_NUMBER) {
            rows.prefetch(ahead);
        }
        let sum = sum_of(&operand.entries, rows.row(number));
        *out = rows.if_held(number, operand.distance(sum));
    }
}

/// The entries of one row's codes. 65 536 of them fit 32 bits.
#[inline(always)]
fn sum_of(entries: &[[u16; CENTROIDS]], codes: &[u8]) -> u32 {
    const _: () = assert!(MAX_DIM as u64 * u16::MAX as u64 <= u32::MAX as u64);
    let mut sum = 0;
    for (entries, &code) in entries.iter().zip(codes) {
        sum += u32::from(entries[usize::from(code)]);
    }
    sum
}
