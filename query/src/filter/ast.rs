//! The filter as the request states it: a tree of conditions over payload fields and ids.
//!
//! What a condition means is decided in `eval_payload`, where a point is tested against it; the
//! other ways to answer a filter (columns, estimates) must agree with that one.
//!
//! # Invariants
//! - A filter nests at most [`DEPTH_MAX`] deep; `bind` refuses deeper ones, so evaluation recurses.

use format_spec::ids::PointId;
use index::FieldPath;

/// The deepest nesting of filters inside filters.
pub const DEPTH_MAX: usize = 64;

/// A predicate over points: all of `must`, none of `must_not`, one of `should` (when there are any)
/// and `min_should` together. The empty filter matches every point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Each must hold.
    pub must: Vec<Condition>,
    /// At least one must hold, unless there are none.
    pub should: Vec<Condition>,
    /// None may hold.
    pub must_not: Vec<Condition>,
    /// At least so many must hold.
    pub min_should: Option<MinShould>,
}

/// At least `min_count` of `conditions` must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct MinShould {
    /// The alternatives.
    pub conditions: Vec<Condition>,
    /// How many must hold; at least 1.
    pub min_count: usize,
}

/// One condition of a [`Filter`].
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A test of the values at a path: holds when any of them passes; the elements of an array
    /// count as values of their own.
    Field {
        /// Where the values are.
        path: FieldPath,
        /// What is asked of them.
        test: FieldTest,
    },
    /// Nothing at the path but null and empty arrays.
    IsEmpty(FieldPath),
    /// Null at the path, or an array that contains null.
    IsNull(FieldPath),
    /// The point is one of these.
    HasId(Vec<PointId>),
    /// A filter inside the filter.
    Filter(Box<Filter>),
}

/// A test of the values of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldTest {
    /// Equal to a value of the same type.
    Match(MatchValue),
    /// Equal to one of the values.
    Any(AnyOf),
    /// Not null and equal to none of the values; a missing field does not pass.
    Except(AnyOf),
    /// A number within the bounds; booleans and text never are.
    Range {
        /// Greater than.
        gt: Option<f64>,
        /// Greater than or equal to.
        gte: Option<f64>,
        /// Less than.
        lt: Option<f64>,
        /// Less than or equal to.
        lte: Option<f64>,
    },
    /// [`Condition::IsEmpty`], or its opposite.
    IsEmpty(bool),
    /// [`Condition::IsNull`], or its opposite.
    IsNull(bool),
}

/// The value of a [`FieldTest::Match`]. An integer is equal to integers only, never to `1.0` or
/// `true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchValue {
    /// Text, byte for byte.
    Keyword(String),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Bool(bool),
}

/// The values of a [`FieldTest::Any`] or [`FieldTest::Except`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyOf {
    /// Texts.
    Keywords(Vec<String>),
    /// Integers.
    Integers(Vec<i64>),
}

impl Filter {
    /// Whether there is no condition at all, so that every point matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.must.is_empty()
            && self.should.is_empty()
            && self.must_not.is_empty()
            && self.min_should.is_none()
    }
}
