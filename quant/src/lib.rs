//! Arithmetic over vectors: metrics, element types, kernels.
pub use error::EncodeError;
pub use kernel::{Isa, MAX_DIM, isa, prefetch, rounding};
pub use pairwise::Pairwise;
pub use query::Query;
pub use row::{decode_row, encode_row};
pub use score::{distance_of_score, larger_score_is_better, score};

pub use format_spec::{Element, Metric};

mod error;
mod kernel;
mod pairwise;
mod query;
#[cfg(test)]
mod query_test;
mod row;
mod score;
