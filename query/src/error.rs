//! What goes wrong with a query or a resolved write.
//!
//! Everything but [`QueryError::Engine`] and [`QueryError::Damaged`] is about the request; the
//! server turns the variant into a status without looking at the message.

use std::fmt;

use format_spec::error::DecodeError;
use format_spec::ids::PointId;

/// Why a request has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum QueryError {
    /// The collection has no vector of this name.
    UnknownVector {
        /// As asked for; the default vector has the empty name.
        name: String,
    },
    /// The query vector has the wrong number of dimensions.
    Dimension {
        /// The vector's name.
        name: String,
        /// Of the schema.
        expected: usize,
        /// Of the request.
        got: usize,
    },
    /// The query vector contains NaN or an infinity.
    NotFinite {
        /// The vector's name.
        name: String,
        /// The first such dimension.
        index: usize,
    },
    /// The query vector has a value that the element type cannot hold.
    OutOfRange {
        /// The vector's name.
        name: String,
        /// The first such dimension.
        index: usize,
        /// What was there.
        value: f32,
    },
    /// There is no such point.
    PointNotFound {
        /// The first id that does not exist.
        id: PointId,
    },
    /// The point exists without the vector that was to be the query.
    VectorNotFound {
        /// The vector's name.
        name: String,
        /// The point.
        id: PointId,
    },
    /// A field of the request has a value that makes no sense.
    Invalid {
        /// Where, as a path into the request.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// No index puts the values of this field in an order.
    NoRangeIndex {
        /// The path.
        key: String,
    },
    /// No index tells the different values of this field apart.
    NoMapIndex {
        /// The path.
        key: String,
    },
    /// The time allowed for the request is over.
    Deadline,
    /// Well-formed, but not something this version does.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// Stored bytes do not decode although their block verified.
    Damaged {
        /// What was read.
        what: &'static str,
        /// Where and why.
        source: DecodeError,
    },
    /// The engine failed below.
    Engine(engine::Error),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVector { name } => write!(f, "no vector with name {name:?}"),
            Self::Dimension {
                name,
                expected,
                got,
            } => {
                write!(f, "vector {name:?} has {expected} dimensions, got {got}")
            }
            Self::NotFinite { name, index } => {
                write!(f, "vector {name:?} is not finite at dimension {index}")
            }
            Self::OutOfRange { name, index, value } => {
                write!(
                    f,
                    "vector {name:?} cannot hold {value} at dimension {index}"
                )
            }
            Self::PointNotFound { id } => write!(f, "no point with id {id} found"),
            Self::VectorNotFound { name, id } => {
                write!(f, "point {id} has no vector with name {name:?}")
            }
            Self::Invalid { field, message } => write!(f, "{field}: {message}"),
            Self::NoRangeIndex { key } => write!(f, "no index puts {key} in an order"),
            Self::NoMapIndex { key } => write!(f, "no index tells the values of {key} apart"),
            Self::Deadline => f.write_str("the time allowed for the request is over"),
            Self::Unsupported { what } => write!(f, "{what} is not supported"),
            Self::Damaged { what, .. } => write!(f, "{what} does not decode"),
            Self::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for QueryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Damaged { source, .. } => Some(source),
            // Display prints the engine's own line, so the cause is the one below it.
            Self::Engine(error) => error.source(),
            Self::UnknownVector { .. }
            | Self::Dimension { .. }
            | Self::NotFinite { .. }
            | Self::OutOfRange { .. }
            | Self::PointNotFound { .. }
            | Self::VectorNotFound { .. }
            | Self::Invalid { .. }
            | Self::NoRangeIndex { .. }
            | Self::NoMapIndex { .. }
            | Self::Deadline
            | Self::Unsupported { .. } => None,
        }
    }
}

impl From<engine::Error> for QueryError {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

/// A payload that does not decode.
pub(crate) fn damaged_payload(source: DecodeError) -> QueryError {
    QueryError::Damaged {
        what: "payload",
        source,
    }
}
