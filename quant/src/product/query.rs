//! A query prepared for product codes: what each centroid adds to a distance, in 16 bits.
//!
//! ```text
//! distance = base + step * (sum over sub-spaces of entry[sub-space][code])
//! ```
//!
//! Sums of integers are exact, so that a row has one distance, by whichever call and on whichever
//! instruction set. Rounding to 16 bits moves a distance by at most half a step a sub-space; `step`
//! is the widest range of a sub-space's terms over 65 535.

use std::fmt;

use crate::Metric;
use crate::kernel::{ProductOperand, Products, Term};

use super::codebook::ProductCodebook;
use super::shape::CENTROIDS;

/// The largest entry.
const ENTRY_MAX: f32 = 65_535.0;
/// Adding 2^23 rounds to an integer.
const INTEGER: f32 = 8_388_608.0;

/// A query for the codes of one codebook.
#[derive(Clone)]
pub struct ProductQuery {
    operand: ProductOperand,
    kernels: Products,
}

impl ProductQuery {
    /// Prepares `vector`: at unit length where the metric is Cosine, as rows were encoded.
    ///
    /// Distances are those of [`crate::Query`] for `f32` rows: minus the dot product, the squared
    /// distance, the sum of magnitudes.
    ///
    /// # Panics
    /// If the vector has another dimension than the codebook.
    #[must_use]
    pub fn new(codebook: &ProductCodebook, metric: Metric, vector: &[f32]) -> Self {
        let shape = codebook.shape();
        assert!(
            vector.len() == shape.dim(),
            "query of {} coordinates, not {}",
            vector.len(),
            shape.dim()
        );
        let term = match metric {
            Metric::Cosine | Metric::Dot => Term::Dot,
            Metric::Euclid => Term::Euclid,
            Metric::Manhattan => Term::Manhattan,
        };
        let kernels = codebook.kernels();
        let operand = kernels.operand(term, codebook.book(), shape.width(), vector);
        Self { operand, kernels }
    }

    /// Whether its distances are finite; a query so large that they are not is compared exactly.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let ProductOperand { base, step, .. } = self.operand;
        base.is_finite()
            && step.is_finite()
            && (base + step * self.row_len() as f32 * ENTRY_MAX).is_finite()
    }

    /// Bytes of a row it can compare.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.operand.entries.len()
    }

    /// How far a distance may be from the one between the query and the decoded row, not counting
    /// what `f32` rounds.
    #[must_use]
    pub fn rounding(&self) -> f32 {
        0.5 * self.operand.step * self.row_len() as f32
    }

    /// The distance of a row.
    ///
    /// # Panics
    /// If `row` is not [`Self::row_len`] bytes.
    #[inline]
    #[must_use]
    pub fn distance(&self, row: &[u8]) -> f32 {
        let mut out = [0.0];
        self.kernels.block(&self.operand, row, &mut out);
        out[0]
    }

    /// The distances of rows side by side.
    ///
    /// # Panics
    /// If `rows` are not `out.len()` times [`Self::row_len`] bytes.
    #[inline]
    pub fn distances(&self, rows: &[u8], out: &mut [f32]) {
        self.kernels.block(&self.operand, rows, out);
    }

    /// The distances of the rows numbered `numbers` of `rows`, which lie side by side; infinity for
    /// a number past the last one.
    ///
    /// # Panics
    /// If `out` is not as long as `numbers`.
    #[inline]
    pub fn distances_gather(&self, rows: &[u8], numbers: &[u32], out: &mut [f32]) {
        self.kernels.gather(&self.operand, rows, numbers, out);
    }
}

impl fmt::Debug for ProductQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProductQuery")
            .field("row_len", &self.row_len())
            .field("base", &self.operand.base)
            .field("step", &self.operand.step)
            .finish_non_exhaustive()
    }
}

/// The entries of a query, the step between them, and what nought is. Inlined into a copy for each
/// instruction set.
#[inline(always)]
pub(crate) fn operand(
    term: Term,
    book: &[[f32; CENTROIDS]],
    width: usize,
    query: &[f32],
) -> ProductOperand {
    let mut terms = vec![[0.0_f32; CENTROIDS]; query.len().div_ceil(width)];
    let mut leasts = Vec::with_capacity(terms.len());
    let (mut range, mut base) = (0.0_f32, 0.0_f64);
    let pieces = book.chunks(width).zip(query.chunks(width));
    for ((book, piece), terms) in pieces.zip(&mut terms) {
        for (book, &x) in book.iter().zip(piece) {
            match term {
                Term::Dot => add(terms, book, |c| -(x * c)),
                Term::Euclid => add(terms, book, |c| (x - c) * (x - c)),
                Term::Manhattan => add(terms, book, |c| (x - c).abs()),
            }
        }
        let (least, most) = bounds(terms);
        range = range.max(most - least);
        base += f64::from(least);
        leasts.push(least);
    }
    // Never so small that nothing is left of it, or that its reciprocal is infinite.
    let step = (range / ENTRY_MAX).max(f32::MIN_POSITIVE);
    let scale = 1.0 / step;
    let mut entries = vec![[0_u16; CENTROIDS]; terms.len()];
    for ((entries, terms), least) in entries.iter_mut().zip(&terms).zip(leasts) {
        for (entry, term) in entries.iter_mut().zip(terms) {
            let steps = (term - least) * scale;
            let steps = if steps < ENTRY_MAX { steps } else { ENTRY_MAX };
            // Rounded to an integer, which is then in the last bits.
            *entry = (steps + INTEGER).to_bits() as u16;
        }
    }
    ProductOperand {
        entries,
        planes: Vec::new(),
        step,
        base: base as f32,
    }
}

#[inline(always)]
fn add(terms: &mut [f32; CENTROIDS], book: &[f32; CENTROIDS], of: impl Fn(f32) -> f32) {
    for (term, &c) in terms.iter_mut().zip(book) {
        *term += of(c);
    }
}

/// The least and the most of the terms; minus infinity and infinity if one is no finite number.
#[inline(always)]
fn bounds(terms: &[f32; CENTROIDS]) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    // Nought times anything else is NaN, which a sum keeps.
    let mut noughts = [0.0; LANES];
    for terms in terms.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let x = terms[lane];
            least[lane] = if x < least[lane] { x } else { least[lane] };
            most[lane] = if x > most[lane] { x } else { most[lane] };
            noughts[lane] += 0.0 * x;
        }
    }
    if noughts.iter().any(|nought| nought.is_nan()) {
        return (f32::NEG_INFINITY, f32::INFINITY);
    }
    let smaller = |a: f32, b: &f32| if *b < a { *b } else { a };
    let larger = |a: f32, b: &f32| if *b > a { *b } else { a };
    (
        least.iter().fold(f32::INFINITY, smaller),
        most.iter().fold(f32::NEG_INFINITY, larger),
    )
}
