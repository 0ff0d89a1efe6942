//! Training: the centroids of one sub-space by k-means (Lloyd, IEEE Trans. Inf. Theory 28, 1982),
//! from a seed.
//!
//! # Invariants
//! - The same points and seed give the same centroids on every instruction set and with any number
//!   of threads: a sub-space is learned by one thread, which takes its points in order.

use crate::Isa;
use crate::codes::split_mix;
use crate::kernel::Products;

use super::codebook::ProductCodebook;
use super::shape::{CENTROIDS, ProductShape};

/// Vectors a codebook is learned from. Of 100,000 embeddings of 384 coordinates, six times as many
/// lower the squared error by a twenty-fifth, cost seven times the 0.2 seconds, and leave recall
/// where it is: `benches/record/amd-epyc/2026-11-22-product.md`.
pub const TRAINING_ROWS: usize = 8_192;
/// Rounds, at most.
const ROUNDS: usize = 12;

/// Learns the codebooks of sub-spaces, each by itself.
#[derive(Copy, Clone, Debug)]
pub struct ProductTraining<'a> {
    shape: ProductShape,
    sample: &'a [f32],
    seed: u64,
    kernels: Products,
}

/// The centroids of one sub-space.
#[derive(Clone, Debug, PartialEq)]
pub struct Subspace {
    /// For each of its coordinates a number of each centroid.
    stored: Vec<f32>,
}

impl<'a> ProductTraining<'a> {
    /// From vectors side by side, as they are stored: at unit length where the metric is Cosine.
    /// [`TRAINING_ROWS`] of them, spread over all there are, are enough.
    ///
    /// # Panics
    /// If `sample` is not whole vectors.
    #[must_use]
    pub fn new(shape: ProductShape, sample: &'a [f32], seed: u64) -> Self {
        Self::on(Products::new(None), shape, sample, seed)
    }

    /// [`Self::new`] on an instruction set other than the process's, for tests and measurements.
    ///
    /// # Panics
    /// As [`Self::new`], or if this machine cannot run `isa`.
    #[must_use]
    pub fn with_isa(isa: Isa, shape: ProductShape, sample: &'a [f32], seed: u64) -> Self {
        Self::on(Products::new(Some(isa)), shape, sample, seed)
    }

    fn on(kernels: Products, shape: ProductShape, sample: &'a [f32], seed: u64) -> Self {
        assert!(
            sample.len().is_multiple_of(shape.dim()),
            "sample of {} numbers is not vectors of {}",
            sample.len(),
            shape.dim()
        );
        Self {
            shape,
            sample,
            seed,
            kernels,
        }
    }

    /// Centroids that each sub-space will have: 256, or as many as there are vectors.
    #[must_use]
    pub fn count(&self) -> usize {
        (self.sample.len() / self.shape.dim()).clamp(1, CENTROIDS)
    }

    /// Learns one sub-space of the [`ProductShape::row_len`]; they may be learned side by side.
    #[must_use]
    pub fn subspace(&self, subspace: usize) -> Subspace {
        let coordinates = self.shape.coordinates(subspace);
        let width = coordinates.len();
        let rows = self.sample.chunks_exact(self.shape.dim());
        let points: Vec<f32> = rows
            .flat_map(|row| &row[coordinates.clone()])
            .copied()
            .collect();
        let mut means = Means::new(self.kernels, &points, width, self.count());
        let mut seed = self.seed ^ (subspace as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        means.begin(&mut seed);
        for _ in 0..ROUNDS {
            if !means.round() {
                break;
            }
        }
        let learned = means.book.iter().flat_map(|all| &all[..self.count()]);
        Subspace {
            stored: learned.copied().collect(),
        }
    }

    /// Puts all sub-spaces, in order, together.
    ///
    /// # Panics
    /// If they are not those of the shape.
    #[must_use]
    pub fn codebook(&self, subspaces: &[Subspace]) -> ProductCodebook {
        let stored: Vec<f32> = subspaces
            .iter()
            .flat_map(|each| &each.stored)
            .copied()
            .collect();
        ProductCodebook::on(self.kernels, self.shape, self.count(), &stored)
    }

    /// Learns all sub-spaces, one after another.
    #[must_use]
    pub fn train(&self) -> ProductCodebook {
        let subspaces = (0..self.shape.row_len()).map(|at| self.subspace(at));
        self.codebook(&subspaces.collect::<Vec<_>>())
    }
}

/// The state of k-means in one sub-space.
struct Means<'a> {
    kernels: Products,
    points: &'a [f32],
    width: usize,
    /// Centroids.
    count: usize,
    book: Vec<[f32; CENTROIDS]>,
    /// Of each point the nearest centroid and its squared distance.
    codes: Vec<u8>,
    distances: Vec<f32>,
}

impl<'a> Means<'a> {
    fn new(kernels: Products, points: &'a [f32], width: usize, count: usize) -> Self {
        let rows = points.len() / width.max(1);
        Self {
            kernels,
            points,
            width,
            count,
            book: vec![[0.0; CENTROIDS]; width],
            codes: vec![0; rows],
            distances: vec![f32::INFINITY; rows],
        }
    }

    /// Begins with points drawn at random, none twice.
    ///
    /// Drawing each as likely as it is far from those drawn before (k-means++) costs as much as
    /// several rounds and ends no nearer.
    fn begin(&mut self, seed: &mut u64) {
        let rows = self.codes.len();
        let mut order: Vec<usize> = (0..rows).collect();
        for number in 0..self.count.min(rows) {
            let drawn = number + (split_mix(seed) % (rows - number) as u64) as usize;
            order.swap(number, drawn);
            self.place(number, order[number]);
        }
        (self.count..CENTROIDS).for_each(|number| self.repeat(number));
    }

    /// Makes a point a centroid.
    fn place(&mut self, number: usize, row: usize) {
        let point = &self.points[row * self.width..][..self.width];
        for (book, &x) in self.book.iter_mut().zip(point) {
            book[number] = x;
        }
    }

    /// Makes a centroid the same as the first one.
    fn repeat(&mut self, number: usize) {
        for book in &mut self.book {
            book[number] = book[0];
        }
    }

    /// One round: each point to its nearest centroid, each centroid to the mean of its points.
    /// Returns whether anything moved.
    fn round(&mut self) -> bool {
        let before = self.codes.clone();
        self.kernels.assign(
            &self.book,
            self.points,
            &mut self.codes,
            &mut self.distances,
        );
        let mut sums = vec![0.0_f64; self.count * self.width];
        let mut counts = vec![0_u32; self.count];
        for (point, &code) in self.points.chunks_exact(self.width).zip(&self.codes) {
            let code = usize::from(code);
            counts[code] += 1;
            for (sum, &x) in sums[code * self.width..].iter_mut().zip(point) {
                *sum += f64::from(x);
            }
        }
        let mut empty = Vec::new();
        for (number, &count) in counts.iter().enumerate() {
            if count == 0 {
                empty.push(number);
                continue;
            }
            for (at, book) in self.book.iter_mut().enumerate() {
                book[number] = (sums[number * self.width + at] / f64::from(count)) as f32;
            }
        }
        (self.count..CENTROIDS).for_each(|number| self.repeat(number));
        self.reseed(&empty) || before != self.codes
    }

    /// Gives centroids without points the points that are farthest from theirs.
    fn reseed(&mut self, empty: &[usize]) -> bool {
        let mut moved = false;
        if empty.is_empty() {
            return false;
        }
        let mut farthest: Vec<usize> = (0..self.codes.len()).collect();
        farthest.sort_by(|&a, &b| {
            self.distances[b]
                .total_cmp(&self.distances[a])
                .then(a.cmp(&b))
        });
        let far = farthest
            .into_iter()
            .filter(|&row| self.distances[row] > 0.0);
        let far: Vec<usize> = far.take(empty.len()).collect();
        for (&number, row) in empty.iter().zip(far) {
            self.place(number, row);
            moved = true;
        }
        moved
    }
}
