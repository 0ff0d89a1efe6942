//! Codes: vectors in one bit and in four or eight bits a dimension, with an estimate of every
//! distance and a bound on its error.
//!
//! One family (RaBitQ: Gao and Long, arXiv 2405.12497; several bits: Gao et al., arXiv 2409.09913).
//! A vector is rotated at random, the centre of its part is taken away, and the direction of what
//! is left is rounded to a uniform grid. The rounding error is spread evenly over all directions by
//! the rotation, so the estimate has no bias and its error is normally distributed with a
//! deviation that is known for each vector.
//!
//! # Notation
//! `P` the rotation, `c` the centre, `D` the padded dimension; `r = P (o - c)` for a stored vector
//! `o`, `n = |r|`; `q = P (query - c)`. `z` is the grid point of a code `u` of `B` bits,
//! `z = u - (2^B - 1) / 2`, and `t` the unit vector `r / n`.
//!
//! ```text
//! <q, r>  is about  n / <z, t> * <z, q>          deviation  n |q| sqrt((1 / cos^2 - 1) / (D - 1))
//!                                                where cos = <z, t> / |z|
//! distance = query's part + add + scale * <z, q>
//! ```
//!
//! | metric | query's part | `add` | `scale` | `error` |
//! |---|---|---|---|---|
//! | Dot, Cosine at unit length | `-<query, c>` | `-<r, P c>` | `-n / <z, t>` | `n sqrt(...)` |
//! | Euclid, squared | `\|q\|^2` | `n^2` | `-2 n / <z, t>` | `2 n sqrt(...)` |
//!
//! # The way of a search
//!
//! A [`CodeSpace`] is made once for a part. A [`RotatedQuery`] is made once for a query, a
//! [`CodeQuery`] of it for each part. Blocks of 32 one-bit codes are estimated side by side
//! ([`CodeQuery::block`]); a row whose lower bound is below the worst hit so far is estimated
//! again from its four or eight bits ([`CodeQuery::row`]), and is compared exactly if that bound
//! still is.
//!
//! # Invariants
//! - The same vectors give the same bytes on every instruction set: no sum is taken in another
//!   order, and no product is fused.
//! - A row without a vector has the distance infinity.

pub use block::{BLOCK_ROWS, BlockBuilder, SignMean, SignRows};
pub use encode::{CodeBits, CodeMetric, Encoder};
pub use pair::{BlockQuery, CodePair, PreparedRow};
pub use query::{BlockEstimates, CodeQuery, Estimate, RotatedQuery};
pub use rotation::Rotation;
pub(crate) use rotation::split_mix;
pub use space::CodeSpace;

pub(crate) mod block;
pub(crate) mod encode;
pub(crate) mod pair;
mod query;
pub(crate) mod rotation;
pub(crate) mod slices;
mod space;
#[cfg(test)]
mod tests;
