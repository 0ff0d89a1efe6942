//! Codebook: the centroids that the codes of a part name.
//!
//! ```text
//! [256 f32 a coordinate]   number k of coordinate j: that coordinate of centroid k of the
//!                          sub-space that j is in
//! ```
//!
//! Centroids lie side by side, so that a vector register compares sixteen of them at once.
//!
//! # Invariants
//! - There are 256 numbers a coordinate: where fewer centroids were learned, the rest repeat the
//!   first one, and no vector is encoded as one of them.

use crate::Isa;
use crate::kernel::Products;

use super::shape::{CENTROIDS, ProductShape};

/// The centroids of all sub-spaces.
#[derive(Clone, Debug)]
pub struct ProductCodebook {
    shape: ProductShape,
    /// Centroids learned, 1 to 256.
    count: usize,
    book: Vec<[f32; CENTROIDS]>,
    kernels: Products,
}

impl ProductCodebook {
    /// Of centroids as they are stored: for each coordinate of a vector `count` numbers, that
    /// coordinate of each centroid of its sub-space.
    ///
    /// # Panics
    /// If `count` is not of 1 to 256, or `stored` has another length.
    #[must_use]
    pub fn new(shape: ProductShape, count: usize, stored: &[f32]) -> Self {
        Self::on(Products::new(None), shape, count, stored)
    }

    /// [`Self::new`] on an instruction set other than the process's, for tests and measurements.
    ///
    /// # Panics
    /// As [`Self::new`], or if this machine cannot run `isa`.
    #[must_use]
    pub fn with_isa(isa: Isa, shape: ProductShape, count: usize, stored: &[f32]) -> Self {
        Self::on(Products::new(Some(isa)), shape, count, stored)
    }

    pub(super) fn on(kernels: Products, shape: ProductShape, count: usize, stored: &[f32]) -> Self {
        assert!(
            (1..=CENTROIDS).contains(&count) && stored.len() == shape.dim() * count,
            "codebook of {} numbers, not {} times {count} of 1 to 256",
            stored.len(),
            shape.dim()
        );
        let book = stored.chunks_exact(count).map(|learned| {
            let mut all = [learned[0]; CENTROIDS];
            all[..count].copy_from_slice(learned);
            all
        });
        Self {
            shape,
            count,
            book: book.collect(),
            kernels,
        }
    }

    /// How vectors are cut.
    #[must_use]
    pub fn shape(&self) -> ProductShape {
        self.shape
    }

    /// Centroids of each sub-space, 1 to 256.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The centroids as they are stored; see [`Self::new`].
    #[must_use]
    pub fn stored(&self) -> Vec<f32> {
        let learned = self.book.iter().flat_map(|all| &all[..self.count]);
        learned.copied().collect()
    }

    /// Appends the codes of `vector`, a byte for each sub-space: the nearest centroid, of those
    /// whose squared distances differ by less than 2^-15 of themselves the first.
    ///
    /// The vector is as it is stored: at unit length where the metric is Cosine.
    ///
    /// # Panics
    /// If it has another dimension.
    pub fn encode(&self, vector: &[f32], out: &mut Vec<u8>) {
        assert!(
            vector.len() == self.shape.dim(),
            "vector of {} coordinates, not {}",
            vector.len(),
            self.shape.dim()
        );
        let start = out.len();
        out.resize(start + self.shape.row_len(), 0);
        self.kernels
            .encode(&self.book, self.shape.width(), vector, &mut out[start..]);
    }

    /// Appends the vector that a row of codes stands for.
    ///
    /// # Panics
    /// If the row has another length than [`ProductShape::row_len`].
    pub fn decode(&self, codes: &[u8], out: &mut Vec<f32>) {
        assert!(
            codes.len() == self.shape.row_len(),
            "row of {} codes, not {}",
            codes.len(),
            self.shape.row_len()
        );
        for (books, &code) in self.book.chunks(self.shape.width()).zip(codes) {
            out.extend(books.iter().map(|book| book[usize::from(code)]));
        }
    }

    pub(super) fn book(&self) -> &[[f32; CENTROIDS]] {
        &self.book
    }

    pub(super) fn kernels(&self) -> Products {
        self.kernels
    }
}
