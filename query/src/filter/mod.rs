//! Filters: what they say, what they mean, and which rows of a source they select.
//!
//! ```text
//! ast ── bind ──┬── eval_payload   one point against the filter: the meaning
//!   (names,     ├── estimate       how many rows, from column statistics
//!    once)      └── eval           which rows: columns first, payloads for the rest
//! ```

mod access;
mod ask;
mod ast;
mod bind;
mod column;
mod column_geo;
mod column_text;
mod derive;
mod elements;
mod ends;
mod estimate;
mod eval;
mod eval_payload;
mod held;
pub(crate) mod split;
mod subset;
mod substring;
mod text_test;
mod unindexed;
mod zones;

#[cfg(test)]
#[path = "../../tests/search/oracle.rs"]
mod oracle;

pub use ast::{AnyOf, Condition, DEPTH_MAX, FieldTest, Filter, MatchValue, MinShould};
pub use index::{FieldPath, GeoPoint, PathError, PathItem, TextSettings, datetime};
pub use unindexed::{Unindexed, unindexed};

pub use access::{FieldAccess, ZoneCounts};

pub(crate) use access::accesses;
pub(crate) use bind::{Bound, bind};
pub(crate) use derive::{make as make_columns, note as note_payloads};
pub(crate) use elements::require_value;
pub(crate) use estimate::estimate;
pub(crate) use eval::{Candidates, RowTester, candidates};
pub(crate) use eval_payload::{Known, matches};
