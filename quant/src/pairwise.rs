//! The distance of two rows, for building graphs.

use std::fmt;

use crate::kernel::{Isa, Pair};
use crate::{Element, MAX_DIM, Metric};

/// The distance of any two rows of one vector name.
///
/// Symmetric bit for bit, smaller is nearer, never NaN.
#[derive(Clone, Copy)]
pub struct Pairwise {
    pair: Pair,
    metric: Metric,
    element: Element,
    row_len: usize,
}

impl Pairwise {
    /// Chooses the kernel for rows of `dim` times `element` under `metric`.
    ///
    /// # Panics
    /// If `dim` is more than [`MAX_DIM`].
    #[must_use]
    pub fn new(metric: Metric, element: Element, dim: usize) -> Self {
        Self::on(None, metric, element, dim)
    }

    /// [`Pairwise::new`] on an instruction set other than the process's, for tests and
    /// measurements.
    ///
    /// # Panics
    /// If `dim` is more than [`MAX_DIM`], or this machine cannot run `isa`.
    #[must_use]
    pub fn with_isa(isa: Isa, metric: Metric, element: Element, dim: usize) -> Self {
        Self::on(Some(isa), metric, element, dim)
    }

    fn on(isa: Option<Isa>, metric: Metric, element: Element, dim: usize) -> Self {
        assert!(dim <= MAX_DIM, "dimension {dim} is more than {MAX_DIM}");
        let pair = Pair::new(isa, metric, element);
        Self {
            pair,
            metric,
            element,
            row_len: dim * element.size(),
        }
    }

    /// The distance of rows `a` and `b`.
    ///
    /// # Panics
    /// If one of them is not `dim` elements.
    #[inline]
    #[must_use]
    pub fn distance(&self, a: &[u8], b: &[u8]) -> f32 {
        // The kernel checks that both are of one length.
        assert!(
            a.len() == self.row_len,
            "row is {} bytes, not {}",
            a.len(),
            self.row_len
        );
        self.pair.distance(a, b)
    }
}

impl fmt::Debug for Pairwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairwise")
            .field("metric", &self.metric)
            .field("element", &self.element)
            .field("row_len", &self.row_len)
            .finish_non_exhaustive()
    }
}
