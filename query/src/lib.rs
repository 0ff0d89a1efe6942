//! The read side: filters, plans, execution over a snapshot, and the resolution of writes that
//! depend on the state.
//!
//! Not here: JSON, files, threads of its own. A request comes as plain values ([`request`],
//! [`mod@write`]), runs over an [`engine::Snapshot`], and leaves as plain values or as an
//! [`engine::WriteBatch`].
//!
//! ```text
//! explain  the same, telling the plans, and what they did if it is to be tried
//! search   bind ── plan per source ── execute ── rescore ── merge ── hydrate the final hits
//! scroll   bind ── merge the sources' id orders ── test ── hydrate
//! ordered  bind ── merge the sources' orders by a field ── test ── hydrate
//! count    bind ── rows per source
//! facet    bind ── counts of values per source ── merge
//! groups   rounds of searches ── groups ── hydrate
//! resolve  bind ── ids ── overlay of earlier operations ── whole points and payloads
//! ```
//!
//! # Invariants
//! - A query returns `limit` points whenever that many match, at every selectivity: a graph that
//!   finds fewer is followed by a scan of the matching rows.
//! - Whether a field has an index changes the time of an answer and nothing else.
//! - A request sees one snapshot, and a failed one has changed nothing.

// Oracle and world are shared with the tests outside, which know this crate by its name.
#[cfg(test)]
extern crate self as query;
#[cfg(test)]
#[path = "../tests/search/world.rs"]
mod world;

pub mod error;
pub mod filter;
pub mod request;
pub mod write;

mod budget;
mod codes;
mod cost;
mod count;
mod effort;
mod estimate;
mod exact;
mod exec;
mod explain;
mod facet;
mod graph;
mod group;
mod hydrate;
mod later;
mod matrix;
mod order;
mod overlay;
mod parallel;
mod payload;
mod plan;
mod product;
mod rank;
mod resolve;
mod retrieve;
mod sample;
mod scroll;
mod search;
mod trace;
mod values;

pub use cost::Constants;
pub use count::count;
pub use error::QueryError;
pub use explain::{
    Choice, Curve, Explain, Explanation, KnownRecall, Matching, Reality, SourcePlan, explain,
};
pub use facet::{FacetHit, FacetRequest, FacetValue, facet};
pub use filter::{
    AnyOf, Condition, FieldAccess, FieldPath, FieldTest, Filter, MatchValue, MinShould, Unindexed,
    ZoneCounts, unindexed,
};
pub use group::{Group, GroupKey, GroupsRequest, groups};
pub use later::Later;
pub use matrix::{Matrix, MatrixRequest, matrix};
pub use order::{Direction, OrderBy, OrderValue, OrderedPage, OrderedRequest, ordered};
pub use plan::{AccessPath, Why};
pub use request::{
    CodeUse, Env, Hit, Page, PayloadSelector, QueryRequest, Record, ScrollRequest, SearchParams,
    Target, VectorSelector,
};
pub use resolve::resolve;
pub use retrieve::retrieve;
pub use scroll::scroll;
pub use search::search;
pub use trace::{Actual, Switch};
pub use write::{Selector, UpdateMode, WriteOp, grows, needs_turn};
