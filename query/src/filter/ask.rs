//! What is asked of the values of a field, and whether one value passes.
//!
//! # Invariants
//! - Lists are sorted and without repetition.

use format_spec::error::DecodeError;
use format_spec::schema::{FieldIndex, FieldType};
use format_spec::value::ValueKind;
use index::{GeoBounds, GeoBox, GeoPoint, GeoPolygon, GeoRadius, datetime, uuid};

use super::ast::{AnyOf, FieldTest, MatchValue};
use super::bind::sorted;
use super::text_test::{TextTest, Wanted};

/// What is asked of a field.
#[derive(Debug)]
pub(crate) enum Ask<'f> {
    /// Whether any of the values passes.
    Any(ValueTest<'f>),
    /// Whether all of them are nothing, or not.
    IsEmpty(bool),
    /// Whether any of them is null, or not.
    IsNull(bool),
    /// Whether one of them, arrays taken whole, is as many values.
    Count(Bounds<u64>),
}

/// A test of one value.
#[derive(Debug)]
pub(crate) enum ValueTest<'f> {
    Keyword(&'f str),
    Integer(i64),
    Bool(bool),
    AnyKeyword(Box<[&'f str]>),
    AnyInteger(Box<[i64]>),
    ExceptKeyword(Box<[&'f str]>),
    ExceptInteger(Box<[i64]>),
    /// Equal to a UUID of the list, however it is spelt, or to a text of it.
    AnyUuid(UuidList<'f>),
    ExceptUuid(UuidList<'f>),
    Range(Range),
    /// Microseconds since 1970, UTC.
    Datetime(Bounds<i64>),
    Text(Box<TextTest>),
    Prefix(&'f str),
    Substring(&'f str),
    Geo(Shape),
}

/// Texts, some of which are UUIDs.
#[derive(Debug)]
pub(crate) struct UuidList<'f> {
    texts: Box<[&'f str]>,
    uuids: Box<[u128]>,
}

impl<'f> UuidList<'f> {
    fn new(texts: impl Iterator<Item = &'f str> + Clone) -> Self {
        Self {
            uuids: sorted(texts.clone().filter_map(uuid::parse)),
            texts: sorted(texts),
        }
    }

    /// The UUIDs of the list.
    pub(crate) fn uuids(&self) -> &[u128] {
        &self.uuids
    }

    fn contains(&self, text: &str) -> bool {
        self.texts.binary_search(&text).is_ok()
            || uuid::parse(text).is_some_and(|uuid| self.uuids.binary_search(&uuid).is_ok())
    }
}

/// A part of the earth.
#[derive(Debug)]
pub(crate) enum Shape {
    Radius(GeoRadius),
    Box(GeoBox),
    Polygon(GeoPolygon),
}

impl Shape {
    /// Whether the point is inside.
    pub(crate) fn contains(&self, point: GeoPoint) -> bool {
        match self {
            Self::Radius(radius) => radius.contains(point),
            Self::Box(area) => area.contains(point),
            Self::Polygon(polygon) => polygon.contains(point),
        }
    }

    /// Corners that may have to be walked for one point.
    pub(crate) fn corners(&self) -> usize {
        match self {
            Self::Radius(_) | Self::Box(_) => 1,
            Self::Polygon(polygon) => polygon.corners(),
        }
    }

    /// Rectangles that cover it.
    pub(crate) fn bounds(&self) -> Vec<GeoBounds> {
        match self {
            Self::Radius(radius) => radius.bounds(),
            Self::Box(area) => area.bounds(),
            Self::Polygon(polygon) => polygon.bounds(),
        }
    }
}

/// Bounds on a number. Numbers are compared as f64, as Qdrant does.
pub(crate) type Range = Bounds<f64>;

/// Bounds on something with an order.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Bounds<T> {
    pub(crate) gt: Option<T>,
    pub(crate) gte: Option<T>,
    pub(crate) lt: Option<T>,
    pub(crate) lte: Option<T>,
}

impl<T: PartialOrd + Copy> Bounds<T> {
    /// Whether `value` is within the bounds.
    pub(crate) fn contains(&self, value: T) -> bool {
        self.gt.is_none_or(|bound| value > bound)
            && self.gte.is_none_or(|bound| value >= bound)
            && self.lt.is_none_or(|bound| value < bound)
            && self.lte.is_none_or(|bound| value <= bound)
    }
}

impl<'f> Ask<'f> {
    /// Prepares a test of the values at a path, which may have an index in the schema.
    pub(crate) fn new(test: &'f FieldTest, index: Option<&FieldIndex>) -> Self {
        let text =
            |wanted, query: &str| ValueTest::Text(Box::new(TextTest::new(wanted, query, index)));
        let uuids = index.is_some_and(|index| index.field_type == FieldType::Uuid);
        Self::Any(match test {
            FieldTest::IsEmpty(wanted) => return Self::IsEmpty(*wanted),
            FieldTest::IsNull(wanted) => return Self::IsNull(*wanted),
            FieldTest::ValuesCount { gt, gte, lt, lte } => {
                return Self::Count(bounds(gt, gte, lt, lte));
            }
            FieldTest::Match(MatchValue::Keyword(text)) if uuids => {
                ValueTest::AnyUuid(UuidList::new(std::iter::once(text.as_str())))
            }
            FieldTest::Any(AnyOf::Keywords(list)) if uuids => {
                ValueTest::AnyUuid(UuidList::new(list.iter().map(String::as_str)))
            }
            FieldTest::Except(AnyOf::Keywords(list)) if uuids => {
                ValueTest::ExceptUuid(UuidList::new(list.iter().map(String::as_str)))
            }
            FieldTest::Match(value) => ValueTest::equal_to(value),
            FieldTest::Any(list) => ValueTest::any_of(list),
            FieldTest::Except(list) => ValueTest::none_of(list),
            FieldTest::Range { gt, gte, lt, lte } => ValueTest::Range(bounds(gt, gte, lt, lte)),
            FieldTest::DatetimeRange { gt, gte, lt, lte } => {
                ValueTest::Datetime(bounds(gt, gte, lt, lte))
            }
            FieldTest::Text(query) => text(Wanted::All, query),
            FieldTest::TextAny(query) => text(Wanted::Any, query),
            FieldTest::Phrase(query) => text(Wanted::Phrase, query),
            FieldTest::Prefix(text) => ValueTest::Prefix(text),
            FieldTest::Substring(text) => ValueTest::Substring(text),
            FieldTest::GeoRadius { center, radius } => ValueTest::Geo(Shape::Radius(GeoRadius {
                center: *center,
                radius_m: *radius,
            })),
            FieldTest::GeoBox {
                top_left,
                bottom_right,
            } => ValueTest::Geo(Shape::Box(GeoBox {
                top_left: *top_left,
                bottom_right: *bottom_right,
            })),
            FieldTest::GeoPolygon {
                exterior,
                interiors,
            } => {
                let polygon = GeoPolygon::new(exterior.clone(), interiors.clone());
                ValueTest::Geo(Shape::Polygon(polygon))
            }
        })
    }
}

fn bounds<T: Copy>(gt: &Option<T>, gte: &Option<T>, lt: &Option<T>, lte: &Option<T>) -> Bounds<T> {
    Bounds {
        gt: *gt,
        gte: *gte,
        lt: *lt,
        lte: *lte,
    }
}

impl<'f> ValueTest<'f> {
    fn equal_to(value: &'f MatchValue) -> Self {
        match value {
            MatchValue::Keyword(keyword) => Self::Keyword(keyword),
            MatchValue::Integer(integer) => Self::Integer(*integer),
            MatchValue::Bool(value) => Self::Bool(*value),
        }
    }

    fn any_of(list: &'f AnyOf) -> Self {
        match list {
            AnyOf::Keywords(list) => Self::AnyKeyword(sorted_texts(list)),
            AnyOf::Integers(list) => Self::AnyInteger(sorted(list.iter().copied())),
        }
    }

    fn none_of(list: &'f AnyOf) -> Self {
        match list {
            AnyOf::Keywords(list) => Self::ExceptKeyword(sorted_texts(list)),
            AnyOf::Integers(list) => Self::ExceptInteger(sorted(list.iter().copied())),
        }
    }

    /// Whether a value passes.
    ///
    /// # Errors
    /// The value does not decode.
    pub(crate) fn passes(&self, value: ValueKind<'_>) -> Result<bool, DecodeError> {
        Ok(match (self, value) {
            (_, ValueKind::Text(text)) => self.passes_text(text),
            (Self::Integer(wanted), ValueKind::Int(integer)) => integer == *wanted,
            (Self::AnyInteger(list), ValueKind::Int(integer)) => {
                list.binary_search(&integer).is_ok()
            }
            (Self::Bool(wanted), ValueKind::Bool(value)) => value == *wanted,
            (test, ValueKind::Null) if test.is_except() => false,
            (Self::ExceptInteger(list), ValueKind::Int(integer)) => {
                list.binary_search(&integer).is_err()
            }
            (test, _) if test.is_except() => true,
            (Self::Range(range), value) => number(value).is_some_and(|n| range.contains(n)),
            (Self::Geo(shape), value) => {
                GeoPoint::of(value)?.is_some_and(|point| shape.contains(point))
            }
            _ => false,
        })
    }

    /// Whether it asks for values that are not in a list.
    pub(crate) fn is_except(&self) -> bool {
        matches!(
            self,
            Self::ExceptKeyword(_) | Self::ExceptInteger(_) | Self::ExceptUuid(_)
        )
    }

    /// Whether a text passes.
    pub(crate) fn passes_text(&self, text: &str) -> bool {
        match self {
            Self::Keyword(wanted) => text == *wanted,
            Self::AnyKeyword(list) => list.binary_search(&text).is_ok(),
            Self::ExceptKeyword(list) => list.binary_search(&text).is_err(),
            Self::AnyUuid(list) => list.contains(text),
            Self::ExceptUuid(list) => !list.contains(text),
            Self::ExceptInteger(_) => true,
            Self::Datetime(bounds) => datetime::parse(text).is_some_and(|at| bounds.contains(at)),
            Self::Text(test) => test.passes(text),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Substring(part) => text.contains(part),
            Self::Integer(_)
            | Self::Bool(_)
            | Self::AnyInteger(_)
            | Self::Range(_)
            | Self::Geo(_) => false,
        }
    }
}

fn sorted_texts(list: &[String]) -> Box<[&str]> {
    sorted(list.iter().map(String::as_str))
}

/// The number a range compares.
#[expect(
    clippy::cast_precision_loss,
    reason = "ranges compare as f64, as Qdrant does"
)]
fn number(value: ValueKind<'_>) -> Option<f64> {
    match value {
        ValueKind::Int(integer) => Some(integer as f64),
        ValueKind::Uint(integer) => Some(integer as f64),
        ValueKind::Float(float) => Some(float),
        ValueKind::Null
        | ValueKind::Bool(_)
        | ValueKind::Text(_)
        | ValueKind::Array(_)
        | ValueKind::Object(_) => None,
    }
}
