//! A query prepared for codes: tables for blocks, integers for rows.

use std::fmt;

use crate::Isa;
use crate::kernel::{BlockOperand, Codes, ENTRY_MOST};

use super::block::{BLOCK_ROWS, BlockBuilder, SignRows};
use super::encode::{ADD_MAX, CodeBits, CodeMetric, LENGTH_MAX, ROW_FACTORS_LEN};
use super::pair::BlockQuery;
use super::rotation::Rotation;
use super::slices;
use super::space::CodeSpace;

/// A query rotated once, for all parts of one rotation.
#[derive(Clone, Debug)]
pub struct RotatedQuery {
    seed: u64,
    rotated: Vec<f32>,
}

impl RotatedQuery {
    /// Rotates `vector`, which is prepared as its metric wants it.
    ///
    /// # Panics
    /// If it has another dimension than the rotation.
    #[must_use]
    pub fn new(rotation: &Rotation, vector: &[f32]) -> Self {
        let mut rotated = Vec::new();
        rotation.rotate(vector, &mut rotated);
        Self {
            seed: rotation.seed(),
            rotated,
        }
    }

    /// Whether it was rotated by this rotation.
    #[must_use]
    pub fn is_of(&self, rotation: &Rotation) -> bool {
        self.seed == rotation.seed() && self.rotated.len() == rotation.padded()
    }
}

/// An estimated distance.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Estimate {
    /// The estimate, without bias.
    pub distance: f32,
    /// Its standard deviation.
    pub deviation: f32,
}

/// The estimates of one block.
#[derive(Clone, Debug)]
pub struct BlockEstimates {
    /// Distances.
    pub distances: [f32; BLOCK_ROWS],
    /// Lower bounds: the distance less the query's number of deviations.
    pub lower: [f32; BLOCK_ROWS],
    /// Bit `i` says that the lower bound of row `i` is below the worst distance that was given.
    pub below: u32,
}

impl Default for BlockEstimates {
    fn default() -> Self {
        Self {
            distances: [f32::INFINITY; BLOCK_ROWS],
            lower: [f32::INFINITY; BLOCK_ROWS],
            below: 0,
        }
    }
}

/// A query for the codes of one part.
#[derive(Clone)]
pub struct CodeQuery {
    operand: BlockOperand,
    codes: Codes,
    bits: CodeBits,
    /// The query's part of every distance.
    add: f32,
    /// Length of the centred query.
    norm: f32,
    /// Quantized coordinates for rows of one, of two or four, and of eight bits; two of them are
    /// empty.
    slices: Vec<u64>,
    bytes: Vec<i8>,
    words: Vec<i16>,
    /// What one quantized step is worth.
    step: f32,
    /// What the grid's offset adds to every product.
    offset: f32,
    deviations: f32,
}

/// Deviation of a value that was rounded to whole steps, in steps: 1 / sqrt(12).
const ROUNDING: f32 = 0.288_675_13;

impl CodeQuery {
    /// Prepares a query; bounds are `deviations` standard deviations from the estimates.
    ///
    /// # Panics
    /// If the query was rotated by another rotation than that of `space`.
    #[must_use]
    pub fn new(
        space: &CodeSpace,
        metric: CodeMetric,
        bits: CodeBits,
        query: &RotatedQuery,
        deviations: f32,
    ) -> Self {
        Self::on(Codes::new(None), space, metric, bits, query, deviations)
    }

    /// The same on an instruction set, for tests and benches.
    ///
    /// # Panics
    /// As [`Self::new`], and if this machine cannot run `isa`.
    #[must_use]
    pub fn with_isa(
        isa: Isa,
        space: &CodeSpace,
        (metric, bits): (CodeMetric, CodeBits),
        query: &RotatedQuery,
        deviations: f32,
    ) -> Self {
        Self::on(
            Codes::new(Some(isa)),
            space,
            metric,
            bits,
            query,
            deviations,
        )
    }

    pub(super) fn on(
        codes: Codes,
        space: &CodeSpace,
        metric: CodeMetric,
        bits: CodeBits,
        query: &RotatedQuery,
        deviations: f32,
    ) -> Self {
        assert!(
            query.is_of(space.rotation()),
            "the query was rotated otherwise"
        );
        let centre = space.centre();
        let along: f64 = dot(&query.rotated, centre);
        let centered: Vec<f32> = query
            .rotated
            .iter()
            .zip(centre)
            .map(|(q, c)| q - c)
            .collect();
        let square = dot(&centered, &centered);
        let add = match metric {
            CodeMetric::Dot => -along,
            CodeMetric::Euclid => square,
        } as f32;
        let norm = square.sqrt() as f32;
        let operand = block_operand(&centered, add, norm, deviations);
        let quantized = quantize(&centered, bits);
        let sum: i64 = quantized.values.iter().map(|&x| i64::from(x)).sum();
        let centre_of_grid = ((1 << bits.count()) - 1) as f32 / 2.0;
        let (mut slices, mut bytes, mut words) = Default::default();
        match bits {
            CodeBits::One => slices = slices::of_bytes(&as_bytes(&quantized.values)),
            CodeBits::Two => bytes = as_bytes(&quantized.values),
            CodeBits::Four => bytes = as_nibble_order(&quantized.values),
            CodeBits::Eight => words = quantized.values,
        }
        Self {
            slices,
            operand,
            codes,
            bits,
            add,
            norm,
            bytes,
            words,
            step: quantized.step,
            offset: -(quantized.step * centre_of_grid * sum as f32),
            deviations,
        }
    }

    /// The query's side of blocks, by whose estimates rows are told apart instead of by bounds.
    #[must_use]
    pub fn without_doubt(&self) -> BlockQuery {
        let mut operand = self.operand.clone();
        (operand.error, operand.rounding) = (0.0, 0.0);
        BlockQuery::of(operand, self.codes)
    }

    /// Whether its estimates are finite; a query so large that they are not is compared exactly.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.add.abs() <= ADD_MAX && self.norm <= LENGTH_MAX
    }

    /// Bytes of a block it can estimate.
    #[must_use]
    pub fn block_len(&self) -> usize {
        BlockBuilder::block_len(self.operand.dimension())
    }

    /// Bytes of a row it can estimate; 0 where there are only blocks.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.bits.row_len(self.operand.dimension())
    }

    /// Estimates the rows of a block; bit `i` of the result says that the lower bound of row `i` is
    /// below `worst`.
    ///
    /// # Panics
    /// If `block` is not [`Self::block_len`] bytes.
    #[inline]
    pub fn block(&self, block: &[u8], worst: f32, out: &mut BlockEstimates) -> u32 {
        let (distances, lower) = (&mut out.distances, &mut out.lower);
        self.codes
            .block(&self.operand, block, worst, distances, lower)
    }

    /// Estimates the blocks that lie side by side in `blocks`, one for each place in `out`; those
    /// that are `far`, in memory and not in a cache, are asked for ahead.
    ///
    /// # Panics
    /// If there are fewer blocks than places.
    #[inline]
    pub fn blocks(&self, blocks: &[u8], worst: f32, far: bool, out: &mut [BlockEstimates]) {
        self.codes.blocks(&self.operand, blocks, worst, far, out);
    }

    /// Estimates a row from its code of several bits; one without a vector is infinitely far.
    ///
    /// # Panics
    /// If `row` is not [`Self::row_len`] bytes.
    #[inline]
    #[must_use]
    pub fn row(&self, row: &[u8]) -> Estimate {
        let (codes, factors) = row.split_at(row.len() - ROW_FACTORS_LEN);
        let product = match self.bits {
            // There are no such rows: their length says that they are not of this query.
            CodeBits::One => 0,
            CodeBits::Two => self.codes.bit_pairs(&self.bytes, codes),
            CodeBits::Four => self.codes.nibbles(&self.bytes, codes),
            CodeBits::Eight => self.codes.bytes(&self.words, codes),
        };
        let factor = |at: usize| {
            let bytes = factors.as_chunks::<4>().0[at];
            f32::from_le_bytes(bytes)
        };
        let (add, scale, error, length) = (factor(0), factor(1), factor(2), factor(3));
        let along = self.step * product as f32 + self.offset;
        // The query was rounded too: that error has the direction of no vector.
        let rounded = length * self.step * ROUNDING;
        let known = error * self.norm;
        Estimate {
            distance: self.add + add + scale * along,
            deviation: (known * known + rounded * rounded).sqrt(),
        }
    }

    /// Estimates a row from its code of one bit, where there are no others; one without a vector is
    /// infinitely far.
    ///
    /// # Panics
    /// If there is no such row, it has another dimension, or this query is for rows of more bits.
    #[inline]
    #[must_use]
    pub fn signs(&self, rows: &SignRows, row: usize) -> f32 {
        let (signs, factors) = rows.row(row);
        let product = self.codes.sliced(&self.slices, signs);
        let along = self.step * product as f32 + self.offset;
        self.add + factors.add + factors.scale * along
    }

    /// Lower and upper bound of a row, from its code of several bits.
    ///
    /// # Panics
    /// As [`Self::row`].
    #[inline]
    #[must_use]
    pub fn row_bounds(&self, row: &[u8]) -> (f32, f32) {
        let estimate = self.row(row);
        if estimate.distance == f32::NEG_INFINITY {
            // Nothing is known of the row: it may be as far as any.
            return (f32::NEG_INFINITY, f32::INFINITY);
        }
        let margin = self.deviations * estimate.deviation;
        (estimate.distance - margin, estimate.distance + margin)
    }

    /// The lower bound of a row, from its code of several bits.
    ///
    /// # Panics
    /// As [`Self::row`].
    #[inline]
    #[must_use]
    pub fn row_lower(&self, row: &[u8]) -> f32 {
        let estimate = self.row(row);
        estimate.distance - self.deviations * estimate.deviation
    }
}

impl fmt::Debug for CodeQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeQuery")
            .field("dimension", &self.operand.dimension())
            .field("bits", &self.bits)
            .field("deviations", &self.deviations)
            .finish_non_exhaustive()
    }
}

/// Coordinates below this are nought: steps as small would have no inverse.
const LENGTH_LEAST: f32 = 1e-30;

/// In so many sums side by side, in the same order on every machine.
const SUMS: usize = 8;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f64; SUMS];
    let (eights, _) = a.as_chunks::<SUMS>();
    for (a, b) in eights.iter().zip(b.as_chunks::<SUMS>().0) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum()
}

/// The lowest bits of a number of so many, added to this, are those of the nearest whole number:
/// a float this large has none behind the point. Unlike a conversion, which has to look for numbers
/// out of range, this is done for several at once.
const WHOLE: f32 = 12_582_912.0;

/// The tables of subset sums of every four coordinates, as bytes: `lut[16 g + bits]` is
/// `(sum of the coordinates 4 g + i whose bit is set - least) / delta`.
fn block_operand(centered: &[f32], add: f32, norm: f32, deviations: f32) -> BlockOperand {
    let (fours, _) = centered.as_chunks::<4>();
    let (mut range, mut base, mut total) = (0.0_f32, 0.0_f64, 0.0_f64);
    for four in fours {
        let (least, most) = ends(four);
        range = range.max(most - least);
        base += f64::from(least);
        total += four.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    let delta = if range > LENGTH_LEAST {
        range / f32::from(ENTRY_MOST)
    } else {
        1.0
    };
    let mut lut = Vec::with_capacity(16 * fours.len());
    for four in fours {
        lut.extend(table(four, 1.0 / delta));
    }
    let rounding = delta * ROUNDING * (fours.len() as f32).sqrt();
    BlockOperand {
        lut,
        delta,
        // The grid's offset of one half is in here: <z, q> = <u, q> - sum(q) / 2.
        base: (base - 0.5 * total) as f32,
        add,
        error: deviations * norm,
        rounding: deviations * rounding,
    }
}

/// The least and the greatest sum of some of the coordinates.
fn ends(four: &[f32; 4]) -> (f32, f32) {
    let least = four.iter().fold(0.0, |sum, x| sum + x.min(0.0));
    let most = four.iter().fold(0.0, |sum, x| sum + x.max(0.0));
    (least, most)
}

/// Which subsets a coordinate is in.
const fn subsets_with(coordinate: usize) -> [f32; 16] {
    let (mut subsets, mut at) = ([0.0; 16], 0);
    while at < 16 {
        subsets[at] = (at >> coordinate & 1) as f32;
        at += 1;
    }
    subsets
}
const SUBSETS: [[f32; 16]; 4] = [
    subsets_with(0),
    subsets_with(1),
    subsets_with(2),
    subsets_with(3),
];

/// The sums of each subset of the coordinates above the least; `steps` go into one.
fn table(four: &[f32; 4], steps: f32) -> [u8; 16] {
    let mut sums = [-ends(four).0; 16];
    for (x, subsets) in four.iter().zip(&SUBSETS) {
        for (sum, is_in) in sums.iter_mut().zip(subsets) {
            *sum += x * is_in;
        }
    }
    sums.map(|sum| ((sum * steps + WHOLE).to_bits() as u8).min(ENTRY_MOST))
}

struct Quantized {
    values: Vec<i16>,
    step: f32,
}

/// Rounds coordinates to whole steps: of 127 to each side for rows of few bits, of as many as the
/// sums of products with rows of eight bits leave room for.
fn quantize(centered: &[f32], bits: CodeBits) -> Quantized {
    let largest = centered.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let most = match bits {
        CodeBits::One | CodeBits::Two | CodeBits::Four => 127.0,
        CodeBits::Eight => {
            let room = i32::MAX as usize / (255 * centered.len().max(1));
            room.min(4095) as f32
        }
    };
    let step = if largest > LENGTH_LEAST {
        largest / most
    } else {
        1.0
    };
    let steps = 1.0 / step;
    let nearest = |x: &f32| (x * steps + WHOLE).to_bits() as i16;
    let values = centered.iter().map(nearest);
    Quantized {
        values: values.collect(),
        step,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 127 to each side")]
fn as_bytes(values: &[i16]) -> Vec<i8> {
    values.iter().map(|&x| x as i8).collect()
}

/// The coordinates in the order in which rows of four bits have them: of every 64 the first 32, for
/// all of them; then the last 32.
fn as_nibble_order(values: &[i16]) -> Vec<i8> {
    let (chunks, _) = values.as_chunks::<64>();
    let low = chunks.iter().flat_map(|chunk| &chunk[..32]);
    let high = chunks.iter().flat_map(|chunk| &chunk[32..]);
    low.chain(high).map(|&x| x as i8).collect()
}
