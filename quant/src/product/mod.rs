//! Product codes: vectors in a byte for 1, 2, 4, 8 or 16 coordinates, by learned codebooks.
//!
//! A vector is cut into sub-spaces, and of each the number of the nearest of 256 centroids is kept
//! (Jegou, Douze and Schmid, IEEE TPAMI 33, 2011). A distance is estimated with the stored vector
//! replaced by its centroids and the query as it is: a table says what each centroid adds, and a
//! row costs one look-up a code.
//!
//! | compression | coordinates a byte | of 384 | recall@10 by codes | of 100 by codes |
//! |---|---|---|---|---|
//! | x4 | 1 | 384 bytes | 0.98 | 1.00 |
//! | x8 | 2 | 192 bytes | 0.93 | 1.00 |
//! | x16 | 4 | 96 bytes | 0.81 | 1.00 |
//! | x32 | 8 | 48 bytes | 0.63 | 0.99 |
//! | x64 | 16 | 24 bytes | 0.44 | 0.88 |
//!
//! Recall is of 100,000 sentence embeddings of 384 coordinates, alone and with as many candidates
//! compared exactly: `benches/record/amd-epyc/2026-11-22-product.md`.
//!
//! An estimate has no bound worth keeping beside it. The triangle inequality allows it to be off by
//! the length of the reconstruction error; of those embeddings, 15 rows a query at x4, 108 at x8,
//! 9,447 at x16 and nine tenths from x32 on are then not ruled out of the ten nearest. Candidates
//! are therefore taken by number and compared exactly.
//!
//! # The way of a vector
//!
//! [`ProductTraining`] learns each sub-space by itself from a sample and puts a [`ProductCodebook`]
//! together, which encodes rows. A [`ProductQuery`] is made once for a query and a codebook, and
//! compared with rows of codes: side by side, or by number. Where the metric is Cosine, vectors and
//! query are at unit length before they come here, those of bytes too.
//!
//! # Invariants
//! - The same vectors and seed give the same bytes on every instruction set and with any number of
//!   threads: no sum is taken in another order, and no product is fused.
//! - A row of codes has one distance, bit for bit, by whichever call and instruction set, and it is
//!   never NaN while [`ProductQuery::is_finite`].

pub use codebook::ProductCodebook;
pub use query::ProductQuery;
pub(crate) use shape::CENTROIDS;
pub use shape::{Compression, ProductShape};
pub use train::{ProductTraining, Subspace, TRAINING_ROWS};

mod codebook;
pub(crate) mod encode;
pub(crate) mod query;
mod shape;
#[cfg(test)]
mod tests;
mod train;
