//! Rotation: a random orthogonal map in `D log D` steps.
//!
//! Four rounds of random sign flips and a Hadamard transform. Where the padded dimension is no
//! power of two, the transform takes the first and the last `2^k` coordinates in turn, and a
//! rotation by 45 degrees of the two halves (the last step of Kac's walk) follows each round: the
//! FHT-Kac rotator of the RaBitQ library (docs/rabitq/rotator).
//!
//! # Invariants
//! - The map is fixed by dimension and seed, for ever: codes on disk depend on it.
//! - Lengths are kept, but for rounding.

use crate::kernel::Codes;

/// Coordinates are padded with zeros to a multiple of this.
const PAD: usize = 64;
/// Rounds of flips and transforms.
const ROUNDS: usize = 4;
const SIGN: u32 = 1 << 31;

/// A rotation of vectors of one dimension.
#[derive(Clone, Debug)]
pub struct Rotation {
    dim: usize,
    seed: u64,
    /// For each round and coordinate the sign bit to flip, or zero.
    flips: Vec<u32>,
    codes: Codes,
}

impl Rotation {
    /// The rotation of vectors of `dim` coordinates that `seed` stands for.
    #[must_use]
    pub fn new(dim: usize, seed: u64) -> Self {
        let padded = Self::padded_of(dim);
        let mut flips = Vec::with_capacity(ROUNDS * padded);
        let mut state = seed;
        for _ in 0..ROUNDS * padded / 64 {
            let bits = split_mix(&mut state);
            flips.extend((0..64).map(|at| if bits >> at & 1 == 1 { SIGN } else { 0 }));
        }
        Self {
            dim,
            seed,
            flips,
            codes: Codes::new(None),
        }
    }

    /// Coordinates of a vector before.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Coordinates after: a multiple of 64.
    #[must_use]
    pub fn padded(&self) -> usize {
        self.flips.len() / ROUNDS
    }

    /// The padded dimension of vectors of `dim` coordinates.
    #[must_use]
    pub fn padded_of(dim: usize) -> usize {
        dim.max(1).next_multiple_of(PAD)
    }

    /// What it was made from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Replaces `out` by the rotated `vector`.
    ///
    /// # Panics
    /// If `vector` has another dimension.
    pub fn rotate(&self, vector: &[f32], out: &mut Vec<f32>) {
        assert!(
            vector.len() == self.dim,
            "vector of {} coordinates, not {}",
            vector.len(),
            self.dim
        );
        out.clear();
        out.extend_from_slice(vector);
        out.resize(self.padded(), 0.0);
        self.codes.rotate(&self.flips, out);
    }
}

/// The next of a sequence of 64 random bits (Steele, Lea and Flood, SplitMix, OOPSLA 2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// Rotates `x` in place; `flips` are those of all rounds. Inlined into a copy for each instruction
/// set.
#[inline(always)]
pub(crate) fn apply(flips: &[u32], x: &mut [f32]) {
    let padded = x.len();
    let wide = 1 << padded.ilog2();
    let scale = 1.0 / (wide as f32).sqrt();
    for (round, flips) in flips.chunks_exact(padded).enumerate() {
        for (x, flip) in x.iter_mut().zip(flips) {
            *x = f32::from_bits(x.to_bits() ^ flip);
        }
        let part = if round % 2 == 0 {
            &mut x[..wide]
        } else {
            &mut x[padded - wide..]
        };
        hadamard(part);
        part.iter_mut().for_each(|x| *x *= scale);
        if wide < padded {
            let (low, high) = x.split_at_mut(padded / 2);
            butterflies(low, high);
            x.iter_mut()
                .for_each(|x| *x *= std::f32::consts::FRAC_1_SQRT_2);
        }
    }
}

#[inline(always)]
fn butterflies(low: &mut [f32], high: &mut [f32]) {
    for (a, b) in low.iter_mut().zip(high) {
        (*a, *b) = (*a + *b, *a - *b);
    }
}

/// The Hadamard transform of a power of two of coordinates, at least 16, not normalised.
#[inline(always)]
fn hadamard(x: &mut [f32]) {
    for lanes in x.as_chunks_mut::<16>().0 {
        let mut half = 1;
        while half < 16 {
            let from = *lanes;
            for at in 0..16 {
                let (a, b) = (from[at & !half], from[at | half]);
                lanes[at] = if at & half == 0 { a + b } else { a - b };
            }
            half *= 2;
        }
    }
    let mut half = 16;
    while half < x.len() {
        for pair in x.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            butterflies(low, high);
        }
        half *= 2;
    }
}
