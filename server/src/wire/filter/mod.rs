//! Filters: the JSON, checked and converted to what the query side evaluates.
//!
//! # Invariants
//! - Nested deeper than the query side allows, a filter is refused while it is converted; the
//!   JSON reader has stopped at 128 levels of brackets already.
//! - A filter has at most `CONDITIONS_MAX` conditions in all, on every level.
//! - What is wrong with a filter is a 400 (not of the form) or a 422 (of the form, with a value
//!   that makes no sense), and names the place.

mod condition;
mod field;
mod geo;
mod matching;
mod range;

#[cfg(test)]
mod tests;

use std::fmt;

use query::filter::{Condition, DEPTH_MAX, FieldPath, Filter, MinShould};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use self::condition::{ConditionVisitor, JsonCondition};
use crate::error::{ApiError, Part};

/// A filter as it came.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(expecting = "a filter: an object with `must`, `should`, `must_not` or `min_should`")]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonFilter {
    should: Option<Conditions>,
    min_should: Option<JsonMinShould>,
    must: Option<Conditions>,
    must_not: Option<Conditions>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `conditions` and `min_count`")]
struct JsonMinShould {
    conditions: Vec<JsonCondition>,
    min_count: usize,
}

/// One condition, or a list.
#[derive(Debug)]
struct Conditions(Vec<JsonCondition>);

/// Conditions of a filter, those of the filters in it included. Each is bound to every segment
/// before a clock is looked at; 100,000 that match texts took six seconds.
const CONDITIONS_MAX: usize = 32_768;

impl JsonFilter {
    /// The filter, checked; `field` is where it stands in the body.
    pub(crate) fn convert(self, field: &str) -> Result<Filter, ApiError> {
        let conditions = self.conditions();
        if conditions > CONDITIONS_MAX {
            let what = format!(
                "the filter has {conditions} conditions, and at most {CONDITIONS_MAX} are allowed"
            );
            return Err(invalid(field, what));
        }
        self.convert_at(field, 1)
    }

    /// How many conditions there are, on every level.
    fn conditions(&self) -> usize {
        let of = |list: &Option<Conditions>| list.as_ref().map_or(0, |list| count(&list.0));
        let min_should = self.min_should.as_ref();
        of(&self.should)
            + of(&self.must)
            + of(&self.must_not)
            + min_should.map_or(0, |min_should| count(&min_should.conditions))
    }

    fn convert_at(self, field: &str, depth: usize) -> Result<Filter, ApiError> {
        if depth > DEPTH_MAX {
            return Err(ApiError::bad_request(format!(
                "a filter nests deeper than {DEPTH_MAX} levels"
            )));
        }
        let list = |conditions: Option<Conditions>, name: &str| {
            let conditions = conditions.map_or(Vec::new(), |Conditions(list)| list);
            convert_all(conditions, &format!("{field}.{name}"), depth)
        };
        let min_should = match self.min_should {
            None => None,
            Some(JsonMinShould { min_count: 0, .. }) => {
                return Err(ApiError::validation(
                    Part::Body,
                    format!("{field}.min_should.min_count: value 0 invalid, must be 1 or larger"),
                ));
            }
            Some(JsonMinShould {
                conditions,
                min_count,
            }) => Some(MinShould {
                conditions: convert_all(conditions, &format!("{field}.min_should"), depth)?,
                min_count,
            }),
        };
        Ok(Filter {
            must: list(self.must, "must")?,
            should: list(self.should, "should")?,
            must_not: list(self.must_not, "must_not")?,
            min_should,
        })
    }
}

fn count(conditions: &[JsonCondition]) -> usize {
    conditions.iter().map(JsonCondition::conditions).sum()
}

fn convert_all(
    conditions: Vec<JsonCondition>,
    field: &str,
    depth: usize,
) -> Result<Vec<Condition>, ApiError> {
    let conditions = conditions.into_iter().enumerate();
    conditions
        .map(|(at, condition)| condition.convert(&format!("{field}[{at}]"), depth))
        .collect()
}

/// Bytes of a path that is asked for point after point, or kept with a collection.
const PATH_BYTES_MAX: usize = 512;

/// The path that a filter, an order, a facet, a group or an index names.
pub(crate) fn path(key: &str, field: &str) -> Result<FieldPath, ApiError> {
    if key.len() > PATH_BYTES_MAX {
        let what = format!(
            "the path has {} bytes, and at most {PATH_BYTES_MAX} are allowed",
            key.len()
        );
        return Err(invalid(field, what));
    }
    any_path(key, field)
}

/// A path of any length that a request allows: into a payload that is read or written.
pub(crate) fn any_path(key: &str, field: &str) -> Result<FieldPath, ApiError> {
    FieldPath::parse(key).map_err(|error| ApiError::json(format!("{field}: {error}")))
}

/// A value that is of its type and makes no sense.
fn invalid(field: &str, what: impl fmt::Display) -> ApiError {
    ApiError::validation(Part::Body, format!("{field}: {what}"))
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConditionsVisitor)
    }
}

struct ConditionsVisitor;

impl<'de> Visitor<'de> for ConditionsVisitor {
    type Value = Conditions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition or a list of conditions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Conditions, A::Error> {
        let mut list = Vec::new();
        while let Some(condition) = items.next_element()? {
            list.push(condition);
        }
        Ok(Conditions(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Conditions, A::Error> {
        ConditionVisitor
            .visit_map(members)
            .map(|one| Conditions(vec![one]))
    }
}
