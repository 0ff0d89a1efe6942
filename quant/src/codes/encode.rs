//! Encoding: from a vector to its one-bit code, its code of several bits, and their factors.
//!
//! The magnitudes of the rotated, centred vector are scaled and rounded down to the grid; of some
//! scales the one with the largest cosine is kept, and then single coordinates are moved as long as
//! that raises the cosine (coordinate adjustment: SAQ, arXiv 2509.12086, section 4). Signs are
//! never moved, so the one-bit code is the top bit of the other.

use crate::Metric;
use crate::kernel::Codes;

use super::block::BlockBuilder;
use super::space::CodeSpace;

/// Scales tried, from the one that puts the largest magnitude on the last level, in steps.
const SCALES: usize = 12;
const SCALE_STEP: f32 = 0.09;
/// Rounds of coordinate adjustment.
const ROUNDS: usize = 2;

/// Bits a dimension of the code that refines the one-bit code.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CodeBits {
    /// One: there is nothing but the one-bit code.
    One,
    /// Two: four dimensions a byte.
    Two,
    /// Four: two dimensions a byte.
    Four,
    /// Eight.
    Eight,
}

impl CodeBits {
    /// As a number.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Of a number, if there are codes of so many bits.
    #[must_use]
    pub const fn of_count(count: u32) -> Option<Self> {
        match count {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    /// Whether there are rows of codes that refine the one-bit codes.
    #[must_use]
    pub const fn has_rows(self) -> bool {
        !matches!(self, Self::One)
    }

    /// Bytes of one row: its codes and four factors; none with one bit.
    #[must_use]
    pub const fn row_len(self, padded: usize) -> usize {
        if self.has_rows() {
            padded * self.count() / 8 + ROW_FACTORS_LEN
        } else {
            0
        }
    }

    /// Levels of a magnitude.
    pub(super) const fn levels(self) -> u32 {
        1 << (self.count() - 1)
    }
}

/// Bytes of the factors of a row: add, scale, error, length of the residual.
pub(crate) const ROW_FACTORS_LEN: usize = 16;

/// What codes estimate. Manhattan is not kept by a rotation and has no codes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CodeMetric {
    /// Minus the dot product.
    Dot,
    /// The squared distance.
    Euclid,
}

impl CodeMetric {
    /// For vectors as they are stored: those of Cosine are at unit length.
    #[must_use]
    pub const fn of(metric: Metric) -> Option<Self> {
        match metric {
            Metric::Cosine | Metric::Dot => Some(Self::Dot),
            Metric::Euclid => Some(Self::Euclid),
            Metric::Manhattan => None,
        }
    }
}

/// Largest length of a residual or of a centred query, and largest part of a distance, of which
/// anything is said: sums and products of two of them are finite, so no bound is a difference of
/// infinities.
pub(crate) const LENGTH_MAX: f32 = 1e18;
pub(crate) const ADD_MAX: f32 = 1e37;

/// The factors of one code: see the table of the module.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Factors {
    pub(crate) add: f32,
    pub(crate) scale: f32,
    pub(crate) error: f32,
}

impl Factors {
    /// Of a vector so large that nothing finite can be said: it is always compared exactly.
    const UNKNOWN: Self = Self {
        add: f32::NEG_INFINITY,
        scale: 0.0,
        error: 0.0,
    };

    /// These, for a residual of that length, if an estimate with them is finite for every query
    /// within [`LENGTH_MAX`] and [`ADD_MAX`].
    fn known(self, norm: f32) -> Self {
        let within = norm <= LENGTH_MAX && self.add.abs() <= ADD_MAX;
        if within && self.scale.is_finite() && self.error.is_finite() {
            self
        } else {
            Self::UNKNOWN
        }
    }

    /// Of a row without a vector.
    pub(crate) const ABSENT: Self = Self {
        add: f32::INFINITY,
        scale: 0.0,
        error: 0.0,
    };
}

/// The residual of a vector.
#[derive(Copy, Clone, Debug)]
struct Residual {
    /// Its length `n`.
    norm: f32,
    /// `<r, P c>`.
    along_centre: f32,
}

/// Encodes vectors of one part.
#[derive(Debug)]
pub struct Encoder<'a> {
    space: &'a CodeSpace,
    metric: CodeMetric,
    bits: CodeBits,
    codes: Codes,
    rotated: Vec<f32>,
    magnitudes: Vec<f32>,
    levels: Vec<f32>,
}

impl<'a> Encoder<'a> {
    /// For vectors of a part, as they are stored.
    #[must_use]
    pub fn new(space: &'a CodeSpace, metric: CodeMetric, bits: CodeBits) -> Self {
        Self::on(space, metric, bits, Codes::new(None))
    }

    pub(super) fn on(
        space: &'a CodeSpace,
        metric: CodeMetric,
        bits: CodeBits,
        codes: Codes,
    ) -> Self {
        Self {
            space,
            metric,
            bits,
            codes,
            rotated: Vec::new(),
            magnitudes: Vec::new(),
            levels: Vec::new(),
        }
    }

    /// Adds a vector to `block` and appends its row to `rows`.
    ///
    /// # Panics
    /// If the vector has another dimension than the part, or the block is full.
    pub fn encode(&mut self, vector: &[f32], block: &mut BlockBuilder, rows: &mut Vec<u8>) {
        self.space.rotation().rotate(vector, &mut self.rotated);
        let residual = self.center();
        block.push(&self.rotated, self.one_bit(residual));
        if self.bits.has_rows() {
            self.several_bits(residual, rows);
        }
    }

    /// Adds a row without a vector.
    ///
    /// # Panics
    /// If the block is full.
    pub fn encode_absent(&self, block: &mut BlockBuilder, rows: &mut Vec<u8>) {
        block.push_absent();
        if self.bits.has_rows() {
            let len = self.bits.row_len(self.space.padded()) - ROW_FACTORS_LEN;
            rows.resize(rows.len() + len, 0);
            put_factors(Factors::ABSENT, 0.0, rows);
        }
    }

    /// Takes the centre from the rotated vector.
    fn center(&mut self) -> Residual {
        let mut along = [0.0; LANES];
        let mut squares = [0.0; LANES];
        let pairs = self.rotated.iter_mut().zip(self.space.centre());
        for (at, (x, &c)) in pairs.enumerate() {
            *x -= c;
            along[at % LANES] += *x * c;
            squares[at % LANES] += *x * *x;
        }
        Residual {
            norm: sum(squares).sqrt(),
            along_centre: sum(along),
        }
    }

    fn one_bit(&self, residual: Residual) -> Factors {
        let mut along = [0.0; LANES];
        for (at, x) in self.rotated.iter().enumerate() {
            along[at % LANES] += x.abs();
        }
        // Every grid coordinate is plus or minus one half.
        let padded = self.space.padded() as f32;
        self.factors(residual, 0.5 * sum(along), 0.25 * padded)
    }

    fn several_bits(&mut self, residual: Residual, rows: &mut Vec<u8>) {
        self.magnitudes.clear();
        self.magnitudes.extend(self.rotated.iter().map(|x| x.abs()));
        self.levels.resize(self.magnitudes.len(), 0.0);
        let last = (self.bits.levels() - 1) as f32;
        let (along, square) = self.codes.grid(&self.magnitudes, last, &mut self.levels);
        let half = self.bits.levels();
        let code = |(level, x): (&f32, &f32)| -> u8 {
            let level = *level as u32;
            let code = if x.is_sign_negative() {
                half - 1 - level
            } else {
                half + level
            };
            code as u8
        };
        let codes = self.levels.iter().zip(&self.rotated).map(code);
        let codes: Vec<u8> = codes.collect();
        let chunks = codes.as_chunks::<64>().0.iter();
        match self.bits {
            CodeBits::One => {}
            CodeBits::Two => rows.extend(chunks.flat_map(|chunk| packed::<16>(chunk, 2))),
            CodeBits::Four => rows.extend(chunks.flat_map(|chunk| packed::<32>(chunk, 4))),
            CodeBits::Eight => rows.extend(codes),
        }
        let factors = self.factors(residual, along, square);
        let norm = if factors == Factors::UNKNOWN {
            0.0
        } else {
            residual.norm
        };
        put_factors(factors, norm, rows);
    }

    /// The factors of a code with `along = <z, r>` and `square = |z|^2`.
    fn factors(&self, residual: Residual, along: f32, square: f32) -> Factors {
        let Residual { norm, along_centre } = residual;
        let dimension = self.space.padded() as f32;
        // A vector at the centre has no direction: its distance is known without any.
        let scale = if along > 0.0 {
            norm * norm / along
        } else {
            0.0
        };
        let inverse_cosine = if along > 0.0 {
            norm * square.sqrt() / along
        } else {
            1.0
        };
        let spread = (inverse_cosine * inverse_cosine - 1.0).max(0.0);
        let error = norm * (spread / (dimension - 1.0)).sqrt();
        let factors = match self.metric {
            CodeMetric::Dot => Factors {
                add: -along_centre,
                scale: -scale,
                error,
            },
            CodeMetric::Euclid => Factors {
                add: norm * norm,
                scale: -2.0 * scale,
                error: 2.0 * error,
            },
        };
        factors.known(norm)
    }
}

/// The codes of 64 dimensions in `LEN` bytes: byte `i` has, from its lowest bits up, the dimensions
/// `i`, `LEN + i`, and so on.
fn packed<const LEN: usize>(codes: &[u8; 64], bits: usize) -> [u8; LEN] {
    let code = |at: usize, part: usize| codes[part * LEN + at] << (part * bits);
    std::array::from_fn(|at| (0..64 / LEN).fold(0, |byte, part| byte | code(at, part)))
}

fn put_factors(factors: Factors, norm: f32, out: &mut Vec<u8>) {
    for factor in [factors.add, factors.scale, factors.error, norm] {
        out.extend_from_slice(&factor.to_le_bytes());
    }
}

/// Sums taken side by side, so that the compiler may use vectors without changing the order.
const LANES: usize = 16;

#[inline(always)]
fn sum(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for at in 0..half {
            lanes[at] += lanes[at + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Rounds magnitudes to the levels `0 ..= last`, which stand for the level and a half. Returns
/// `<z, r>` and `|z|^2` over the magnitudes. Inlined into a copy for each instruction set.
#[inline(always)]
pub(crate) fn grid(magnitudes: &[f32], last: f32, levels: &mut [f32]) -> (f32, f32) {
    let largest = magnitudes.iter().fold(0.0_f32, |most, &x| most.max(x));
    if largest <= 0.0 || !largest.is_finite() {
        levels.fill(0.0);
        return (0.0, 0.25 * levels.len() as f32);
    }
    let first = (last + 1.0) / largest;
    let (mut best, mut best_cosine) = (first, -1.0);
    for step in 0..SCALES {
        let scale = first * (1.0 + SCALE_STEP * step as f32);
        let (along, square) = at_scale(magnitudes, scale, last, levels);
        let cosine = along * along / square;
        if cosine > best_cosine {
            (best, best_cosine) = (scale, cosine);
        }
    }
    let (mut along, mut square) = at_scale(magnitudes, best, last, levels);
    for _ in 0..ROUNDS {
        adjust(magnitudes, last, levels, &mut along, &mut square);
    }
    // Summed anew: what single moves have added up is rounded.
    sums(magnitudes, levels)
}

#[inline(always)]
fn at_scale(magnitudes: &[f32], scale: f32, last: f32, levels: &mut [f32]) -> (f32, f32) {
    /// Adding and taking away 2^23 rounds to an integer.
    const INTEGER: f32 = 8_388_608.0;
    for (level, x) in levels.iter_mut().zip(magnitudes) {
        *level = (x * scale - 0.5 + INTEGER - INTEGER).clamp(0.0, last);
    }
    sums(magnitudes, levels)
}

#[inline(always)]
fn sums(magnitudes: &[f32], levels: &[f32]) -> (f32, f32) {
    let (mut along, mut square) = ([0.0; LANES], [0.0; LANES]);
    let (magnitudes, levels) = (magnitudes.as_chunks::<LANES>().0, levels.as_chunks().0);
    for (magnitudes, levels) in magnitudes.iter().zip(levels) {
        let levels: &[f32; LANES] = levels;
        for at in 0..LANES {
            let z = levels[at] + 0.5;
            along[at] += z * magnitudes[at];
            square[at] += z * z;
        }
    }
    (sum(along), sum(square))
}

/// Moves each coordinate by one level where that raises the cosine.
#[inline(always)]
fn adjust(magnitudes: &[f32], last: f32, levels: &mut [f32], along: &mut f32, square: &mut f32) {
    for (level, &x) in levels.iter_mut().zip(magnitudes) {
        let z = *level + 0.5;
        // Towards the grid point that the best multiple of the vector is nearest to.
        let wanted = x * *square / *along;
        let step = if wanted > z { 1.0 } else { -1.0 };
        let moved = *level + step;
        if moved < 0.0 || moved > last {
            continue;
        }
        let (next_along, next_square) = (*along + step * x, *square + 2.0 * step * z + 1.0);
        if next_along * next_along * *square > *along * *along * next_square {
            (*level, *along, *square) = (moved, next_along, next_square);
        }
    }
}
