//! A query, prepared once and compared with many rows.

use std::fmt;

use crate::kernel::{Isa, Scan};
use crate::row::{check_finite, decode_row, encode_f32, encode_u8, prepared};
use crate::{Element, EncodeError, MAX_DIM, Metric};

/// A vector to compare rows with: its elements laid out for the kernels, and the kernel of its
/// metric, chosen.
///
/// Distances are as in [`crate::score()`]: smaller is nearer, never NaN. The same row gets the same
/// bits from [`Query::distance`], [`Query::distances`] and [`Query::distances_gather`].
#[derive(Clone)]
pub struct Query {
    scan: Scan,
    metric: Metric,
    element: Element,
    dim: usize,
}

impl Query {
    /// Prepares `vector` for rows of `dim` times `element` under `metric`, normalised where rows
    /// are.
    ///
    /// Rows of `f16` are compared with the query as it is, in f32; rows of `u8` ask for a query of
    /// integers of 0 to 255.
    ///
    /// # Errors
    /// Another dimension than `dim`, a coordinate that is not finite, or one that rows of `u8`
    /// cannot have.
    pub fn new(
        metric: Metric,
        element: Element,
        dim: usize,
        vector: &[f32],
    ) -> Result<Self, EncodeError> {
        Self::on(None, metric, element, dim, vector)
    }

    /// [`Query::new`] on an instruction set other than the process's, for tests and measurements.
    ///
    /// # Errors
    /// As [`Query::new`].
    ///
    /// # Panics
    /// If this machine cannot run `isa`.
    pub fn with_isa(
        isa: Isa,
        metric: Metric,
        element: Element,
        dim: usize,
        vector: &[f32],
    ) -> Result<Self, EncodeError> {
        Self::on(Some(isa), metric, element, dim, vector)
    }

    fn on(
        isa: Option<Isa>,
        metric: Metric,
        element: Element,
        dim: usize,
        vector: &[f32],
    ) -> Result<Self, EncodeError> {
        if dim == 0 || dim > MAX_DIM {
            return Err(EncodeError::Unsupported { dim });
        }
        if vector.len() != dim {
            return Err(EncodeError::Dimension {
                expected: dim,
                found: vector.len(),
            });
        }
        check_finite(vector)?;
        let mut elements = Vec::new();
        match element {
            Element::F32 | Element::F16 => {
                encode_f32(&prepared(metric, element, vector), &mut elements);
            }
            Element::U8 => encode_u8(vector, &mut elements)?,
        }
        Ok(Self {
            scan: Scan::new(isa, metric, element, &elements),
            metric,
            element,
            dim,
        })
    }

    /// Prepares a row as the query, as it is: its distances are those of [`crate::Pairwise`], bit
    /// for bit.
    ///
    /// # Panics
    /// If `row` is empty, not whole elements, or longer than [`MAX_DIM`] elements.
    #[must_use]
    pub fn of_row(metric: Metric, element: Element, row: &[u8]) -> Self {
        let dim = row.len() / element.size();
        assert!(
            dim > 0 && dim <= MAX_DIM,
            "row of {} bytes is no vector",
            row.len()
        );
        let scan = match element {
            Element::F32 | Element::U8 => {
                assert!(
                    row.len() == dim * element.size(),
                    "row of {} bytes",
                    row.len()
                );
                Scan::new(None, metric, element, row)
            }
            Element::F16 => {
                let (mut vector, mut elements) = (Vec::new(), Vec::new());
                decode_row(element, row, &mut vector);
                encode_f32(&vector, &mut elements);
                Scan::new(None, metric, element, &elements)
            }
        };
        Self {
            scan,
            metric,
            element,
            dim,
        }
    }

    /// Its coordinates as rows are compared with them: at unit length where rows are.
    #[must_use]
    pub fn prepared(&self) -> Vec<f32> {
        let mut vector = Vec::with_capacity(self.dim);
        let stored = match self.element {
            Element::F32 | Element::F16 => Element::F32,
            Element::U8 => Element::U8,
        };
        decode_row(stored, self.scan.elements(), &mut vector);
        vector
    }

    /// The metric it was prepared for.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The element of the rows it was prepared for.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// How many coordinates it has.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of a row it can be compared with.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.scan.row_len()
    }

    /// The distance of one row.
    ///
    /// # Panics
    /// If `row` is not [`Query::row_len`] bytes.
    #[inline]
    #[must_use]
    pub fn distance(&self, row: &[u8]) -> f32 {
        self.scan.one(row)
    }

    /// The distances of the first `out.len()` rows of `rows`, which start `stride` bytes apart.
    ///
    /// # Panics
    /// If `stride` is less than a row, or `rows` ends before the last of them.
    pub fn distances(&self, rows: &[u8], stride: usize, out: &mut [f32]) {
        assert!(
            stride >= self.row_len(),
            "stride {stride} of rows of {}",
            self.row_len()
        );
        self.scan.block(rows, stride, out);
    }

    /// The distances of the rows numbered `rows` among those that start `stride` bytes apart in
    /// `base`; infinity for a number that is not in `base`. Rows are fetched ahead of their turn.
    ///
    /// # Panics
    /// If `rows` and `out` differ in length, or `stride` is less than a row.
    pub fn distances_gather(&self, base: &[u8], stride: usize, rows: &[u32], out: &mut [f32]) {
        assert!(
            stride >= self.row_len(),
            "stride {stride} of rows of {}",
            self.row_len()
        );
        assert!(
            rows.len() == out.len(),
            "{} rows into {} distances",
            rows.len(),
            out.len()
        );
        self.scan.gather(base, stride, rows, out);
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("metric", &self.metric)
            .field("element", &self.element)
            .field("dim", &self.dim)
            .field("isa", &self.scan.isa())
            .finish()
    }
}
