//! The way into the kernels of codes: their table of entry points and the safe calls.
//!
//! # Invariants
//! - As in [`super`]: a table is handed out only when the CPU has its features, and kernels check
//!   the lengths of their slices.
//! - All instruction sets give the same results, bit for bit: integers are summed exactly, floats
//!   in one order and without fused products.

#![expect(unsafe_code, reason = "calls through the table of detected features")]

use std::fmt;

use super::{Isa, table};
use crate::codes::block::BLOCK_FACTORS_LEN;
use crate::codes::{BLOCK_ROWS, BlockEstimates, encode, pair, rotation, slices};

/// Tables whose entries are added up in bytes before the sums are widened, which takes as long as
/// two look-ups.
const SUMMED: u8 = 4;
/// What an entry of a table is at most, so that bytes have room for [`SUMMED`] of them. Six bits
/// are as good as eight: the rounding adds a twentieth to the bound of 384 dimensions.
pub(crate) const ENTRY_MOST: u8 = u8::MAX / SUMMED;

/// A query's side of a block.
#[derive(Clone, Debug)]
pub(crate) struct BlockOperand {
    /// Sixteen subset sums for every four dimensions, each at most [`ENTRY_MOST`].
    pub(crate) lut: Vec<u8>,
    /// What one step of a sum is worth, and what nought is.
    pub(crate) delta: f32,
    pub(crate) base: f32,
    /// The query's part of every distance.
    pub(crate) add: f32,
    /// Deviations times the query's length, and times the rounding error of the table.
    pub(crate) error: f32,
    pub(crate) rounding: f32,
}

impl BlockOperand {
    pub(crate) fn dimension(&self) -> usize {
        self.lut.len() / 4
    }
}

type Rows = [f32; BLOCK_ROWS];
/// Of a grid point with a vector, and with itself.
type Product = (f32, f32);

/// The entry points of the code kernels of one instruction set. All need its features.
#[derive(Clone, Copy)]
pub(super) struct CodeOps {
    pub(super) block: unsafe fn(&BlockOperand, &[u8], f32, &mut Rows, &mut Rows) -> u32,
    pub(super) near: unsafe fn(&BlockOperand, &[u8], f32, &mut Rows) -> u32,
    pub(super) blocks: unsafe fn(&BlockOperand, &[u8], f32, bool, &mut [BlockEstimates]),
    pub(super) bit_pairs: unsafe fn(&[i8], &[u8]) -> i32,
    pub(super) nibbles: unsafe fn(&[i8], &[u8]) -> i32,
    pub(super) bytes: unsafe fn(&[i16], &[u8]) -> i32,
    pub(super) sliced: unsafe fn(&[u64], &[u8]) -> i32,
    pub(super) twice_centred: unsafe fn(&[u8], &mut [i8]) -> i32,
    pub(super) rotate: unsafe fn(&[u32], &mut [f32]),
    pub(super) grid: unsafe fn(&[f32], f32, &mut [f32]) -> Product,
}

/// The code kernels of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Codes {
    ops: CodeOps,
    isa: Isa,
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codes({})", self.isa)
    }
}

impl Codes {
    /// Those of `isa`, or of the one chosen for the process.
    ///
    /// # Panics
    /// If this machine cannot run `isa`.
    pub(crate) fn new(isa: Option<Isa>) -> Self {
        let table = table(isa);
        Self {
            ops: table.codes,
            isa: table.isa,
        }
    }

    /// Estimates a block; see [`crate::CodeQuery::block`].
    #[inline]
    pub(crate) fn block(
        &self,
        operand: &BlockOperand,
        block: &[u8],
        worst: f32,
        distances: &mut Rows,
        lower: &mut Rows,
    ) -> u32 {
        // SAFETY: `ops` came from `table`, which checked that this CPU has their features.
        unsafe { (self.ops.block)(operand, block, worst, distances, lower) }
    }

    /// Estimates a block without bounds; see [`crate::BlockQuery::block`].
    #[inline]
    pub(crate) fn near(
        &self,
        operand: &BlockOperand,
        block: &[u8],
        worst: f32,
        distances: &mut Rows,
    ) -> u32 {
        // SAFETY: as in `block`.
        unsafe { (self.ops.near)(operand, block, worst, distances) }
    }

    /// Estimates blocks side by side; see [`crate::CodeQuery::blocks`].
    #[inline]
    pub(crate) fn blocks(
        &self,
        operand: &BlockOperand,
        blocks: &[u8],
        worst: f32,
        far: bool,
        out: &mut [BlockEstimates],
    ) {
        // SAFETY: as in `block`.
        unsafe { (self.ops.blocks)(operand, blocks, worst, far, out) }
    }

    /// The product of a query and codes of two bits.
    #[inline]
    pub(crate) fn bit_pairs(&self, query: &[i8], codes: &[u8]) -> i32 {
        // SAFETY: as in `block`.
        unsafe { (self.ops.bit_pairs)(query, codes) }
    }

    /// The product of a query in nibble order and codes of four bits.
    #[inline]
    pub(crate) fn nibbles(&self, query: &[i8], codes: &[u8]) -> i32 {
        // SAFETY: as in `block`.
        unsafe { (self.ops.nibbles)(query, codes) }
    }

    /// The product of a query and codes of eight bits.
    #[inline]
    pub(crate) fn bytes(&self, query: &[i16], codes: &[u8]) -> i32 {
        // SAFETY: as in `block`.
        unsafe { (self.ops.bytes)(query, codes) }
    }

    /// [`slices::product`].
    #[inline]
    pub(crate) fn sliced(&self, slices: &[u64], signs: &[u8]) -> i32 {
        // SAFETY: as in `block`.
        unsafe { (self.ops.sliced)(slices, signs) }
    }

    /// [`pair::twice_centred`].
    #[inline]
    pub(crate) fn twice_centred(&self, codes: &[u8], values: &mut [i8]) -> i32 {
        // SAFETY: as in `block`.
        unsafe { (self.ops.twice_centred)(codes, values) }
    }

    /// [`rotation::apply`].
    pub(crate) fn rotate(&self, flips: &[u32], x: &mut [f32]) {
        // SAFETY: as in `block`.
        unsafe { (self.ops.rotate)(flips, x) }
    }

    /// [`encode::grid`].
    pub(crate) fn grid(&self, magnitudes: &[f32], last: f32, levels: &mut [f32]) -> (f32, f32) {
        // SAFETY: as in `block`.
        unsafe { (self.ops.grid)(magnitudes, last, levels) }
    }
}

/// Writes the table of one instruction set. Its file has `block`, `near`, `bit_pairs`, `nibbles`
/// and `bytes`; the rest is plain Rust, compiled with the features.
macro_rules! code_ops {
    ([$($feature:meta)?]) => {
        /// The code kernels of this instruction set.
        pub(super) const CODES: CodeOps = CodeOps {
            block,
            near,
            blocks,
            bit_pairs,
            nibbles,
            bytes,
            sliced,
            twice_centred,
            rotate,
            grid,
        };

        $(#[$feature])?
        fn blocks(
            operand: &BlockOperand,
            blocks: &[u8],
            worst: f32,
            far: bool,
            out: &mut [BlockEstimates],
        ) {
            let len = block_len(operand);
            let mut rest = blocks;
            for out in out {
                let (current, after) = rest.split_at(len.min(rest.len()));
                if far {
                    prefetch_whole(&after[..len.min(after.len())]);
                }
                out.below = block(operand, current, worst, &mut out.distances, &mut out.lower);
                rest = after;
            }
        }

        $(#[$feature])?
        fn sliced(slices: &[u64], signs: &[u8]) -> i32 {
            sliced_product(slices, signs)
        }

        $(#[$feature])?
        fn twice_centred(codes: &[u8], values: &mut [i8]) -> i32 {
            grid_points(codes, values)
        }

        $(#[$feature])?
        fn rotate(flips: &[u32], x: &mut [f32]) {
            apply_rotation(flips, x);
        }

        $(#[$feature])?
        fn grid(magnitudes: &[f32], last: f32, levels: &mut [f32]) -> (f32, f32) {
            round_to_grid(magnitudes, last, levels)
        }
    };
}
pub(super) use code_ops;

/// Writes `block` and `near` of an instruction set whose file has `block_sums` and `below`.
macro_rules! block_by_sums {
    ([$($feature:meta)?]) => {
        $(#[$feature])?
        #[inline]
        fn block(
            operand: &BlockOperand,
            block: &[u8],
            worst: f32,
            distances: &mut [f32; BLOCK_ROWS],
            lower: &mut [f32; BLOCK_ROWS],
        ) -> u32 {
            let (codes, factors) = parts(operand, block);
            finish(operand, &all_sums(operand, codes), factors, distances, lower);
            below(lower, worst)
        }

        $(#[$feature])?
        fn near(
            operand: &BlockOperand,
            block: &[u8],
            worst: f32,
            distances: &mut [f32; BLOCK_ROWS],
        ) -> u32 {
            let (codes, factors) = parts(operand, block);
            finish_near(operand, &all_sums(operand, codes), factors, distances);
            below(distances, worst)
        }

        $(#[$feature])?
        #[inline]
        fn all_sums(operand: &BlockOperand, codes: &[u8]) -> [u32; BLOCK_ROWS] {
            let mut sums = [0; BLOCK_ROWS];
            let chunks = operand.lut.chunks(CHUNK_LEN).zip(codes.chunks(CHUNK_LEN));
            for (lut, codes) in chunks {
                block_sums(lut, codes, &mut sums);
            }
            sums
        }
    };
}
pub(super) use block_by_sums;

pub(super) use encode::grid as round_to_grid;
pub(super) use pair::twice_centred as grid_points;
pub(super) use rotation::apply as apply_rotation;
pub(super) use slices::product as sliced_product;

/// Bytes of codes, and of tables, after which sums of 16 bits are full: 1,024 groups of 63.
pub(super) const CHUNK_LEN: usize = 1024 * 16;

/// Bytes of a block.
#[inline(always)]
pub(super) fn block_len(operand: &BlockOperand) -> usize {
    operand.lut.len() + BLOCK_FACTORS_LEN
}

/// Codes and factors of a block.
///
/// # Panics
/// If the block has another length than the operand asks for. The kernels' loads rely on this.
#[inline]
pub(super) fn parts<'a>(operand: &BlockOperand, block: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let codes_len = operand.lut.len();
    assert!(
        block.len() == codes_len + BLOCK_FACTORS_LEN,
        "block is {} bytes, not {}",
        block.len(),
        codes_len + BLOCK_FACTORS_LEN
    );
    block.split_at(codes_len)
}

/// Of the larger and of the smaller of two deviations, in what both come to.
pub(super) const MOST_SHARE: f32 = 0.875;
pub(super) const LEAST_SHARE: f32 = 0.5;

/// What two independent deviations come to: the root of the sum of their squares, within 3 %.
#[inline(always)]
fn together(a: f32, b: f32) -> f32 {
    let (most, least) = (larger(a, b), larger(-a, -b));
    larger(most, MOST_SHARE * most + LEAST_SHARE * -least)
}

/// As the instruction of that name: the second where one is not a number.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Estimates and lower bounds from the sums.
#[inline(always)]
pub(super) fn finish(
    operand: &BlockOperand,
    sums: &[u32; BLOCK_ROWS],
    factors: &[u8],
    distances: &mut Rows,
    lower: &mut Rows,
) {
    let (factors, _) = factors.as_chunks::<4>();
    let (add, rest) = factors.split_at(BLOCK_ROWS);
    let (scale, error) = rest.split_at(BLOCK_ROWS);
    let (add, scale, error) = (
        &add[..BLOCK_ROWS],
        &scale[..BLOCK_ROWS],
        &error[..BLOCK_ROWS],
    );
    for row in 0..BLOCK_ROWS {
        let scale = f32::from_le_bytes(scale[row]);
        let distance = distance(operand, sums[row], f32::from_le_bytes(add[row]), scale);
        let code = f32::from_le_bytes(error[row]) * operand.error;
        let doubt = together(code, scale.abs() * operand.rounding);
        distances[row] = distance;
        lower[row] = distance - doubt;
    }
}

/// Estimates alone from the sums.
#[inline(always)]
pub(super) fn finish_near(
    operand: &BlockOperand,
    sums: &[u32; BLOCK_ROWS],
    factors: &[u8],
    distances: &mut Rows,
) {
    let (factors, _) = factors.as_chunks::<4>();
    let (add, scale) = factors.split_at(BLOCK_ROWS);
    let (add, scale) = (&add[..BLOCK_ROWS], &scale[..BLOCK_ROWS]);
    for row in 0..BLOCK_ROWS {
        let [add, scale] = [add[row], scale[row]].map(f32::from_le_bytes);
        distances[row] = distance(operand, sums[row], add, scale);
    }
}

#[inline(always)]
fn distance(operand: &BlockOperand, sum: u32, add: f32, scale: f32) -> f32 {
    let along = operand.delta * sum as f32 + operand.base;
    operand.add + add + scale * along
}

/// A bit for each row whose lower bound is below `worst`.
#[inline(always)]
pub(super) fn rows_below(lower: &Rows, worst: f32) -> u32 {
    let bits = lower.iter().enumerate();
    bits.fold(0, |bits, (row, lower)| {
        bits | u32::from(*lower < worst) << row
    })
}

/// How many codes both sides have.
///
/// # Panics
/// If the query is not in whole chunks of 64, or the codes are not as many. The kernels' loads rely
/// on this.
#[inline]
pub(super) fn check_codes(query: usize, codes: usize, codes_of_64: usize) {
    assert!(
        query.is_multiple_of(64) && codes == query / 64 * codes_of_64,
        "codes are {codes} bytes for a query of {query}"
    );
}
