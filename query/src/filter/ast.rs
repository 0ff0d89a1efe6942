//! The filter as the request states it: a tree of conditions over payload fields and ids.
//!
//! What a condition means is decided in `eval_payload`, where a point is tested against it; the
//! other ways to answer a filter (columns, estimates) must agree with that one.
//!
//! # Invariants
//! - A filter nests at most [`DEPTH_MAX`] deep; `bind` refuses deeper ones, so evaluation recurses.

use format_spec::ids::PointId;
use index::{FieldPath, GeoPoint};

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
    /// The point has the vector of this name; a name that there is not, no point has.
    HasVector(String),
    /// The point is in one of so many disjoint parts of all ids.
    Slice {
        /// How many parts; at least 1.
        total: u32,
        /// Which of them, below `total`.
        index: u32,
    },
    /// One object in the array at a path matches a filter on its own.
    Nested {
        /// Where the array is; a closing `[]` says no more.
        path: FieldPath,
        /// Its paths begin in the object. Ids, vectors and slices are no business of an object:
        /// asked for in here, they do not hold.
        filter: Box<Filter>,
    },
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
    /// A text with a date (`index::datetime`) within the bounds.
    DatetimeRange {
        /// Later than.
        gt: Option<i64>,
        /// Then or later.
        gte: Option<i64>,
        /// Earlier than.
        lt: Option<i64>,
        /// Then or earlier. All in microseconds since 1970, UTC.
        lte: Option<i64>,
    },
    /// A text that has every token of this one, in any order.
    Text(String),
    /// A text that has one token of this one at least.
    TextAny(String),
    /// A text that has the tokens of this one, one behind the other.
    Phrase(String),
    /// A text that begins with this, byte for byte.
    Prefix(String),
    /// A text that contains this, byte for byte.
    Substring(String),
    /// A geo point nearer to `center` than `radius`.
    GeoRadius {
        /// The centre.
        center: GeoPoint,
        /// In metres, not negative.
        radius: f64,
    },
    /// A geo point inside a box, which may cross the antimeridian.
    GeoBox {
        /// The north-west corner.
        top_left: GeoPoint,
        /// The south-east corner.
        bottom_right: GeoPoint,
    },
    /// A geo point inside a closed ring and in none of its holes.
    GeoPolygon {
        /// The ring.
        exterior: Vec<GeoPoint>,
        /// The rings of the holes.
        interiors: Vec<Vec<GeoPoint>>,
    },
    /// As many values as the bounds say: an array has as many as it has elements, null none, and
    /// anything else one. Nothing at the path counts as no values.
    ValuesCount {
        /// More than.
        gt: Option<u64>,
        /// So many or more.
        gte: Option<u64>,
        /// Fewer than.
        lt: Option<u64>,
        /// So many or fewer.
        lte: Option<u64>,
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
