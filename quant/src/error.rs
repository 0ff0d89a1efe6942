//! Why a vector cannot become a row or a query.
//!
//! The values are the user's; every variant names the position and the number that was refused, so
//! that the layers above can answer with the path of the field.

use std::fmt;

/// Why a vector was refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EncodeError {
    /// A coordinate is NaN or infinite.
    NotFinite {
        /// Position in the vector.
        index: usize,
    },
    /// A coordinate of a `u8` vector is not an integer of 0 to 255.
    OutOfRange {
        /// Position in the vector.
        index: usize,
        /// The number given.
        value: f32,
    },
    /// A coordinate of an `f16` vector rounds to infinity: it is 65 520 or more in magnitude.
    Overflow {
        /// Position in the vector.
        index: usize,
        /// The number given, after normalisation where the metric asks for it.
        value: f32,
    },
    /// The vector has another number of coordinates than the schema.
    Dimension {
        /// What the schema says.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// The schema asks for no coordinates, or for more than [`crate::MAX_DIM`].
    Unsupported {
        /// The dimension asked for.
        dim: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotFinite { index } => write!(f, "coordinate {index} is not a finite number"),
            Self::OutOfRange { index, value } => {
                write!(
                    f,
                    "coordinate {index} is {value}, not an integer of 0 to 255"
                )
            }
            Self::Overflow { index, value } => {
                write!(
                    f,
                    "coordinate {index} is {value}, beyond the largest f16 of 65504"
                )
            }
            Self::Dimension { expected, found } => {
                write!(f, "vector has {found} coordinates, expected {expected}")
            }
            Self::Unsupported { dim } => {
                write!(f, "dimension {dim} is not of 1 to {}", crate::MAX_DIM)
            }
        }
    }
}

impl std::error::Error for EncodeError {}
