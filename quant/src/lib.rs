//! Arithmetic over vectors: metrics, element types, kernels.
//!
//! It turns a vector into the bytes of a row, and rows into distances. It is not a search: it knows
//! no ids, no graphs and no files, allocates nothing while it compares, and starts no threads.
//!
//! # The way of a vector
//!
//! [`encode_row`] checks a vector and writes it as a row, at unit length where the metric is Cosine
//! over floats; [`decode_row`] reads it back. A [`Query`] is prepared once and compared with rows:
//! one, a block side by side, or a list by number. [`Pairwise`] compares two rows, for building
//! graphs. Distances are small when rows are near, whatever the metric; [`score()`] makes of them
//! what the API shows.
//!
//! # Kernels
//!
//! | metric | `f32`, `f16` rows | `u8` rows |
//! |---|---|---|
//! | Cosine | as Dot, rows and query being of unit length | minus the dot product by both lengths |
//! | Dot | minus the dot product | minus the dot product |
//! | Euclid | squared L2 | squared L2 |
//! | Manhattan | L1 | L1 |
//!
//! A query for `f32` or `f16` rows is in `f32`; two `f16` rows are compared in `f32` as well,
//! element by element. Sums over floats are taken in `f32` and are within [`rounding`] of the exact
//! ones. Sums over `u8` rows are exact, and so equal on every machine.
//!
//! | instruction set | at a time | `f16` to `f32` | products of bytes |
//! |---|---|---|---|
//! | AVX-512 F, BW, VL, VNNI | 16 f32, 64 bytes | `vcvtph2ps` | `vpdpbusd` on `b - 128` |
//! | AVX2, FMA, F16C | 8 f32, 32 bytes | `vcvtph2ps` | `vpmaddwd` on even and odd bytes |
//! | NEON | 4 f32, 16 bytes | `fcvtl` | `umull`, `uadalp` |
//! | portable | what the compiler makes of 16 lanes | shift and multiply | u32 |
//!
//! # How dispatch works
//!
//! The first use asks the CPU what it has, once, and takes the table of entry points of the best
//! instruction set; the environment variable `CAIRN_ISA` forces another ([`isa`]). A [`Query`] or
//! [`Pairwise`] copies the entry points of its metric and element out of the table, so that a
//! distance costs one indirect call and no decision. A block or a list of rows is one call as well:
//! the loop, the prefetches and the kernel are compiled together for the instruction set.
//!
//! On one instruction set a row has one distance, bit for bit, by whichever call; on another one
//! the sums over floats are added in another order.
//!
//! # Invariants
//! - No distance is NaN and none is a negative zero, so that any order of floats orders them.
//! - `unsafe` code is in `kernel` only, behind functions that are safe for all arguments.
//!
//! What the kernels cost is kept in `benches/record/amd-epyc/2026-11-22-kernels.md`.

pub use codes::{
    BLOCK_ROWS, BlockBuilder, BlockEstimates, BlockQuery, CodeBits, CodeMetric, CodePair,
    CodeQuery, CodeSpace, Encoder, Estimate, PreparedRow, RotatedQuery, Rotation, SignMean,
    SignRows,
};
pub use error::EncodeError;
pub use kernel::{Isa, MAX_DIM, isa, prefetch, prefetch_whole, rounding};
pub use pairwise::Pairwise;
pub use product::{
    Compression, ProductCodebook, ProductQuery, ProductShape, ProductTraining, Subspace,
    TRAINING_ROWS,
};
pub use query::Query;
pub use row::{decode_row, encode_row};
pub use score::{distance_of_score, larger_score_is_better, score};

pub use format_spec::{Element, Metric};

mod codes;
mod error;
mod kernel;
mod pairwise;
mod product;
mod query;
#[cfg(test)]
mod query_test;
mod row;
mod score;
