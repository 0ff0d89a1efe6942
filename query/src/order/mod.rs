//! Points in the order of the values of a field.
//!
//! ```text
//! each source   column ── the pairs from the start on, value by value ──┐
//!               rows without one ── payloads, the best of them sorted ──┴─ merge ── page
//! ```
//!
//! A point is listed once for each of its values; among equal values the smallest id comes first,
//! in both directions. Which values count is decided by the type of the index, as the schema has
//! it.
//!
//! # Invariants
//! - No more of a column is read than the page needs, whatever the number of rows.
//! - The value and the id of the last point of a page say where the next one begins: no point is
//!   lost between pages of one snapshot and none comes twice.

mod key;
mod page;
mod payloads;
mod run;
mod value;

use format_spec::ids::PointId;
use index::FieldPath;

pub(crate) use key::{field_of, is_off};
pub(crate) use page::{Listed, list};
pub use page::{OrderedPage, OrderedRequest, ordered};
pub use value::OrderValue;
pub(crate) use value::Turned;

/// Which values come first.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The least.
    #[default]
    Ascending,
    /// The greatest.
    Descending,
}

/// What to order by, and where to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    /// The field; it needs an index whose values have an order.
    pub path: FieldPath,
    /// Which values come first.
    pub direction: Direction,
    /// The first value to list; without it all are.
    pub start_from: Option<OrderValue>,
    /// Of the points with the value `start_from`, only those with greater ids.
    pub after: Option<PointId>,
}
