//! What entry points are made of: the macros that write them, their checks, and what turns a sum
//! into a distance.
//!
//! An entry point is one whole journey (one distance, a block of rows, rows by number, a pair)
//! under one `#[target_feature]`, because a kernel inlines only into a function with the same
//! features; the indirect call is paid once a journey, not once a row.
//!
//! A block takes its rows one by one, as the hardware's streamer likes them; rows by number are
//! taken several at a time, so that the misses of several rows are under way together. Both were
//! measured: `benches/record/amd-epyc/2026-11-22-kernels.md`.

use super::prefetch;

/// Where a kernel is called from, as a parameter of it: every caller has a copy of its own, which
/// the compiler inlines because nothing else calls it. A shared copy stays a call, which costs a
/// block of short rows a tenth to a quarter.
pub(super) const ONE: u8 = 0;
/// In a block.
pub(super) const BLOCK: u8 = 1;
/// In a gather, for several rows.
pub(super) const GROUP: u8 = 2;
/// In a gather, for one of the last rows.
pub(super) const REST: u8 = 3;
/// For a pair.
pub(super) const PAIR: u8 = 4;
/// For the squared length of the left side.
pub(super) const NORM: u8 = 5;

/// Writes the entry points of one kernel as a module with a constant `OPS`.
///
/// `$sum` of `$query` sums for a query, `$rows` rows by number at a time; of `$pair`, for two rows;
/// `$finish` turns a sum into a distance; `$sum` of `$norm`, where the metric wants it, is the left
/// side's squared length.
macro_rules! entry_points {
    (
        [$($feature:meta)?] $name:ident, $finish:ident, $rows:literal rows of
        $sum:ident [$($query:ty),*], pair [$($pair:ty),*] $(, norm [$norm:ty])?
    ) => {
        mod $name {
            use super::*;
            use crate::kernel::entry::{self, FirstByte};
            use crate::kernel::{Operand, Ops, prefetch};

            $(#[$feature])?
            fn one(left: &Operand, row: &[u8]) -> f32 {
                let [sum] = $sum::<$($query),*, _, { entry::ONE }>(left.bytes(), [row]);
                entry::$finish(sum, left.norm)
            }

            $(#[$feature])?
            fn block(left: &Operand, rows: &[u8], stride: usize, out: &mut [f32]) {
                let (bytes, len) = (left.bytes(), left.row_len);
                let lines = prefetch::lines_in_order(len);
                for (n, distance) in out.iter_mut().enumerate() {
                    let at = n * stride;
                    let ahead = prefetch::AHEAD_IN_ORDER.wrapping_mul(stride);
                    prefetch::lines(rows.as_ptr().wrapping_add(at).wrapping_add(ahead), lines);
                    let row = &rows[at..][..len];
                    let [sum] = $sum::<$($query),*, _, { entry::BLOCK }>(bytes, [row]);
                    *distance = entry::$finish(sum, left.norm);
                }
            }

            $(#[$feature])?
            fn gather(left: &Operand, base: &[u8], stride: usize, rows: &[u32], out: &mut [f32]) {
                let Some(base) = FirstByte::new(base, stride, left.row_len) else {
                    out.fill(f32::INFINITY);
                    return;
                };
                let bytes = left.bytes();
                for &row in rows.iter().take(prefetch::AHEAD_BY_NUMBER) {
                    base.prefetch(row);
                }
                let mut ahead = rows.iter().skip(prefetch::AHEAD_BY_NUMBER);
                let (groups, rest) = rows.as_chunks::<$rows>();
                let (out_groups, out_rest) = out.as_chunks_mut::<$rows>();
                for (group, out) in groups.iter().zip(out_groups) {
                    let mut taken = [base.row(group[0]); $rows];
                    for (slot, &row) in taken.iter_mut().zip(group) {
                        *slot = base.row(row);
                        if let Some(&row) = ahead.next() {
                            base.prefetch(row);
                        }
                    }
                    let sums = $sum::<$($query),*, _, { entry::GROUP }>(bytes, taken);
                    for ((distance, sum), &row) in out.iter_mut().zip(sums).zip(group) {
                        *distance = base.if_held(row, entry::$finish(sum, left.norm));
                    }
                }
                for (distance, &row) in out_rest.iter_mut().zip(rest) {
                    let [sum] = $sum::<$($query),*, _, { entry::REST }>(bytes, [base.row(row)]);
                    *distance = base.if_held(row, entry::$finish(sum, left.norm));
                }
            }

            $(#[$feature])?
            fn pair(left: &[u8], right: &[u8]) -> f32 {
                let [sum] = $sum::<$($pair),*, _, { entry::PAIR }>(left, [right]);
                let norm = 0 $(+ {
                    let [norm] = $sum::<$norm, _, { entry::NORM }>(left, [left]);
                    norm
                })?;
                entry::$finish(sum, norm)
            }

            pub(super) const OPS: Ops = Ops { one, block, gather, pair };
        }
    };
}

/// Writes the `TABLE` of an instruction set whose file has the items named here.
///
/// `float`, `half`, `byte` and `byte_cosine` are how many rows by number a kernel of that element
/// (and of Cosine over bytes) takes at a time: what measures fastest. `codes` and
/// `products` are the files with the kernels of codes and of product codes.
macro_rules! table {
    (
        $isa:ident, codes $codes:ident, products $products:ident, [$($f:meta)?],
        float $f32:literal, half $f16:literal, byte $u8:literal, byte_cosine $norm:literal
    ) => {
        entry_points!([$($f)?] f32_dot, dot_distance, $f32 rows of
            sum_floats [F32, F32, Dot], pair [F32, F32, Dot]);
        entry_points!([$($f)?] f32_l2, distance, $f32 rows of
            sum_floats [F32, F32, L2], pair [F32, F32, L2]);
        entry_points!([$($f)?] f32_l1, distance, $f32 rows of
            sum_floats [F32, F32, L1], pair [F32, F32, L1]);
        entry_points!([$($f)?] f16_dot, dot_distance, $f16 rows of
            sum_floats [F32, F16, Dot], pair [F16, F16, Dot]);
        entry_points!([$($f)?] f16_l2, distance, $f16 rows of
            sum_floats [F32, F16, L2], pair [F16, F16, L2]);
        entry_points!([$($f)?] f16_l1, distance, $f16 rows of
            sum_floats [F32, F16, L1], pair [F16, F16, L1]);
        entry_points!([$($f)?] u8_dot, byte_dot_distance, $u8 rows of
            sum_bytes [ByteDot], pair [ByteDot]);
        entry_points!([$($f)?] u8_l2, byte_distance, $u8 rows of
            sum_bytes [ByteL2], pair [ByteL2]);
        entry_points!([$($f)?] u8_l1, byte_distance, $u8 rows of
            sum_bytes [ByteL1], pair [ByteL1]);
        entry_points!([$($f)?] u8_cosine, byte_cosine_distance, $norm rows of
            sum_bytes [ByteDotNorm], pair [ByteDotNorm], norm [ByteDot]);

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
            codes: crate::kernel::$codes::CODES,
            products: crate::kernel::$products::PRODUCTS,
        };
    };
}

/// Rows by number, as a gather reads them: at least one.
///
/// A number that is not held reads row 0 and has its distance replaced, so that the loop over the
/// numbers has no branch.
#[derive(Clone, Copy)]
pub(super) struct FirstByte<'a> {
    bytes: &'a [u8],
    stride: usize,
    /// Bytes of a row.
    len: usize,
    /// How many rows `bytes` holds whole.
    count: usize,
    /// Lines of a row to prefetch.
    lines: usize,
}

impl<'a> FirstByte<'a> {
    /// `None` if there is no whole row.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], stride: usize, len: usize) -> Option<Self> {
        let count = bytes.len().checked_sub(len)?.checked_div(stride)? + 1;
        Some(Self {
            bytes,
            stride,
            len,
            count,
            lines: prefetch::lines_by_number(len),
        })
    }

    #[inline]
    fn start(&self, row: u32) -> usize {
        let row = row as usize;
        if row < self.count {
            row * self.stride
        } else {
            0
        }
    }

    #[inline]
    pub(super) fn row(&self, row: u32) -> &'a [u8] {
        &self.bytes[self.start(row)..][..self.len]
    }

    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        prefetch::lines(
            self.bytes.as_ptr().wrapping_add(self.start(row)),
            self.lines,
        );
    }

    #[inline]
    pub(super) fn if_held(&self, row: u32, distance: f32) -> f32 {
        if (row as usize) < self.count {
            distance
        } else {
            f32::INFINITY
        }
    }
}

/// How many elements both sides have.
///
/// # Panics
/// If the sides differ. The kernels' loads rely on this check.
#[inline]
pub(super) fn elements<const R: usize>(
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
pub(super) fn dot_distance(dot: f32, _norm: u32) -> f32 {
    ranked(0.0 - dot)
}

/// Distance that is the sum itself.
#[inline]
pub(super) fn distance(sum: f32, _norm: u32) -> f32 {
    ranked(sum)
}

/// [`dot_distance`] of an exact sum, rounded once.
#[inline]
pub(super) fn byte_dot_distance(dot: u32, _norm: u32) -> f32 {
    0.0 - dot as f32
}

/// [`distance`] of an exact sum, rounded once.
#[inline]
pub(super) fn byte_distance(sum: u32, _norm: u32) -> f32 {
    sum as f32
}

/// Cosine distance of exact sums: the dot product and the row's squared length; `norm` is the
/// query's. The zero vector is at distance 0 of everything.
#[inline]
pub(super) fn byte_cosine_distance((dot, row_norm): (u32, u32), norm: u32) -> f32 {
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
    fn nan_ranks_last() {
        assert_eq!(ranked(f32::NAN), f32::INFINITY);
        assert_eq!(ranked(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(dot_distance(f32::NAN, 0), f32::INFINITY);
        assert!(dot_distance(0.0, 0).is_sign_positive());
    }
}
