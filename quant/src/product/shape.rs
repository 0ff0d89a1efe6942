//! Shape: how a vector is cut into sub-spaces.

use crate::MAX_DIM;

/// Centroids of a sub-space: what one byte can name.
pub(crate) const CENTROIDS: usize = 256;

/// How much smaller codes are than coordinates of 32 bits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Compression {
    /// A byte a coordinate.
    X4,
    /// A byte for two.
    X8,
    /// A byte for four.
    X16,
    /// A byte for eight.
    X32,
    /// A byte for sixteen.
    X64,
}

impl Compression {
    /// All, the mildest first.
    pub const ALL: [Self; 5] = [Self::X4, Self::X8, Self::X16, Self::X32, Self::X64];

    /// The factor.
    #[must_use]
    pub const fn factor(self) -> usize {
        match self {
            Self::X4 => 4,
            Self::X8 => 8,
            Self::X16 => 16,
            Self::X32 => 32,
            Self::X64 => 64,
        }
    }

    /// Coordinates that share a byte.
    #[must_use]
    pub const fn width(self) -> usize {
        self.factor() / 4
    }
}

/// A dimension and the width of its sub-spaces; the last one is narrower where they do not divide.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProductShape {
    dim: usize,
    width: usize,
}

impl ProductShape {
    /// Vectors of `dim` coordinates in sub-spaces of `width`.
    ///
    /// # Panics
    /// If `dim` is not of 1 to [`MAX_DIM`], or `width` is 0.
    #[must_use]
    pub const fn new(dim: usize, width: usize) -> Self {
        assert!(dim > 0 && dim <= MAX_DIM, "dimension out of range");
        assert!(width > 0, "sub-spaces have coordinates");
        Self { dim, width }
    }

    /// As `compression` cuts vectors of `dim` coordinates.
    ///
    /// # Panics
    /// If `dim` is not of 1 to [`MAX_DIM`].
    #[must_use]
    pub const fn of(dim: usize, compression: Compression) -> Self {
        Self::new(dim, compression.width())
    }

    /// Coordinates of a vector.
    #[must_use]
    pub const fn dim(self) -> usize {
        self.dim
    }

    /// Coordinates of a sub-space, of all but the last one.
    #[must_use]
    pub const fn width(self) -> usize {
        self.width
    }

    /// Sub-spaces, and so bytes of a row of codes.
    #[must_use]
    pub const fn row_len(self) -> usize {
        self.dim.div_ceil(self.width)
    }

    /// The coordinates of a sub-space; none past the last one.
    #[must_use]
    pub fn coordinates(self, subspace: usize) -> std::ops::Range<usize> {
        let start = subspace.saturating_mul(self.width).min(self.dim);
        start..start.saturating_add(self.width).min(self.dim)
    }
}
