//! One condition of a filter: which kind it is, told by its keys.
//!
//! # Invariants
//! - Where the keys of several kinds are there, the first kind in the order of the API counts:
//!   field, is_empty, is_null, has_id, has_vector, slice, nested, filter.
//! - A key that no kind has is refused, unless it stands beside the key of a kind that is not a
//!   filter.

use std::fmt;

use query::filter::Condition;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::field::JsonField;
use super::{Conditions, JsonFilter, invalid, path};
use crate::error::ApiError;
use crate::wire::id::{Id, plain};

/// A condition; the first variant that fits, in the order of the API.
#[derive(Debug)]
pub(super) enum JsonCondition {
    Field(Box<JsonField>),
    IsEmpty(String),
    IsNull(String),
    HasId(Vec<Id>),
    HasVector(String),
    Slice(JsonSlice),
    Nested(Box<JsonNested>),
    Filter(Box<JsonFilter>),
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `total` and `index`")]
pub(super) struct JsonSlice {
    total: u32,
    index: u32,
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `key` and `filter`")]
pub(super) struct JsonNested {
    key: String,
    filter: JsonFilter,
}

impl JsonCondition {
    /// How many conditions it is, with those in it.
    pub(super) fn conditions(&self) -> usize {
        match self {
            Self::Nested(nested) => 1 + nested.filter.conditions(),
            Self::Filter(filter) => 1 + filter.conditions(),
            Self::Field(_)
            | Self::IsEmpty(_)
            | Self::IsNull(_)
            | Self::HasId(_)
            | Self::HasVector(_)
            | Self::Slice(_) => 1,
        }
    }

    /// The condition, checked; `field` is where it stands in the body, `depth` that of its filter.
    pub(super) fn convert(self, field: &str, depth: usize) -> Result<Condition, ApiError> {
        Ok(match self {
            Self::Field(condition) => condition.convert(field)?,
            Self::IsEmpty(key) => Condition::IsEmpty(path(&key, field)?),
            Self::IsNull(key) => Condition::IsNull(path(&key, field)?),
            Self::HasId(ids) => Condition::HasId(plain(ids)),
            Self::HasVector(name) => Condition::HasVector(name),
            Self::Slice(slice) => slice.convert(&format!("{field}.slice"))?,
            Self::Nested(nested) => {
                let field = format!("{field}.nested");
                let inner = nested
                    .filter
                    .convert_at(&format!("{field}.filter"), depth + 1)?;
                Condition::Nested {
                    path: path(&nested.key, &format!("{field}.key"))?,
                    filter: Box::new(inner),
                }
            }
            Self::Filter(filter) => {
                Condition::Filter(Box::new(filter.convert_at(field, depth + 1)?))
            }
        })
    }
}

impl JsonSlice {
    fn convert(self, field: &str) -> Result<Condition, ApiError> {
        let Self { total, index } = self;
        if total == 0 {
            let what = "value 0 invalid, must be 1 or larger";
            return Err(invalid(&format!("{field}.total"), what));
        }
        if index >= total {
            let most = total - 1;
            let what = format!("value {index} invalid, must be from 0 to {most}");
            return Err(invalid(&format!("{field}.index"), what));
        }
        Ok(Condition::Slice { total, index })
    }
}

impl<'de> Deserialize<'de> for JsonCondition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConditionVisitor)
    }
}

/// Every key that any kind of condition has.
#[derive(Default)]
struct AnyCondition {
    key: Option<String>,
    field: JsonField,
    is_empty: Option<Presence>,
    is_null: Option<Presence>,
    has_id: Option<Vec<Id>>,
    has_vector: Option<String>,
    slice: Option<JsonSlice>,
    nested: Option<Box<JsonNested>>,
    filter: JsonFilter,
    unknown: Option<String>,
}

/// `is_empty` is an object beside no key, and a boolean beside one.
#[derive(Debug)]
enum Presence {
    Flag(bool),
    Of(String),
}

pub(super) struct ConditionVisitor;

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = JsonCondition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition: an object with `key`, `has_id`, `is_empty`, `must`, ...")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<JsonCondition, A::Error> {
        let mut any = AnyCondition::default();
        while let Some(name) = members.next_key::<String>()? {
            any.member(name, &mut members)?;
        }
        any.decide()
    }
}

impl AnyCondition {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: String,
        members: &mut A,
    ) -> Result<(), A::Error> {
        match name.as_str() {
            "key" => self.key = members.next_value()?,
            "match" => self.field.matches = members.next_value()?,
            "range" => self.field.range = members.next_value()?,
            "geo_bounding_box" => self.field.geo_bounding_box = members.next_value()?,
            "geo_radius" => self.field.geo_radius = members.next_value()?,
            "geo_polygon" => self.field.geo_polygon = members.next_value()?,
            "values_count" => self.field.values_count = members.next_value()?,
            "is_empty" => self.is_empty = members.next_value()?,
            "is_null" => self.is_null = members.next_value()?,
            "has_id" => self.has_id = members.next_value()?,
            "has_vector" => self.has_vector = members.next_value()?,
            "slice" => self.slice = members.next_value()?,
            "nested" => self.nested = members.next_value()?,
            "must" => self.filter.must = members.next_value::<Option<Conditions>>()?,
            "should" => self.filter.should = members.next_value::<Option<Conditions>>()?,
            "must_not" => self.filter.must_not = members.next_value::<Option<Conditions>>()?,
            "min_should" => self.filter.min_should = members.next_value()?,
            _ => {
                members.next_value::<IgnoredAny>()?;
                self.unknown.get_or_insert(name);
            }
        }
        Ok(())
    }

    fn decide<E: de::Error>(self) -> Result<JsonCondition, E> {
        if let Some(key) = self.key {
            let flag = |presence| match presence {
                None => Ok(None),
                Some(Presence::Flag(flag)) => Ok(Some(flag)),
                Some(Presence::Of(_)) => Err(E::custom("expected a boolean beside `key`")),
            };
            return Ok(JsonCondition::Field(Box::new(JsonField {
                key,
                is_empty: flag(self.is_empty)?,
                is_null: flag(self.is_null)?,
                ..self.field
            })));
        }
        let of = |presence| match presence {
            Presence::Of(key) => Ok(key),
            Presence::Flag(_) => Err(E::missing_field("key")),
        };
        if let Some(presence) = self.is_empty {
            return of(presence).map(JsonCondition::IsEmpty);
        }
        if let Some(presence) = self.is_null {
            return of(presence).map(JsonCondition::IsNull);
        }
        if let Some(ids) = self.has_id {
            return Ok(JsonCondition::HasId(ids));
        }
        if let Some(name) = self.has_vector {
            return Ok(JsonCondition::HasVector(name));
        }
        if let Some(slice) = self.slice {
            return Ok(JsonCondition::Slice(slice));
        }
        if let Some(nested) = self.nested {
            return Ok(JsonCondition::Nested(nested));
        }
        if let Some(unknown) = self.unknown {
            return Err(E::custom(format_args!(
                "unknown field `{unknown}` in a condition"
            )));
        }
        if self.field.asks_something() {
            return Err(E::missing_field("key"));
        }
        // Nothing at all is the empty filter, which holds for every point.
        Ok(JsonCondition::Filter(Box::new(self.filter)))
    }
}

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PresenceVisitor;
        impl<'de> Visitor<'de> for PresenceVisitor {
            type Value = Presence;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean, or an object with `key`")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Presence, E> {
                Ok(Presence::Flag(value))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Presence, A::Error> {
                let mut key = None;
                while let Some(name) = members.next_key::<String>()? {
                    if name == "key" {
                        key = Some(members.next_value()?);
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                key.map(Presence::Of)
                    .ok_or_else(|| de::Error::missing_field("key"))
            }
        }
        deserializer.deserialize_any(PresenceVisitor)
    }
}
