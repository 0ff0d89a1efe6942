//! Filters: the JSON, and what of it the query side can evaluate.
//!
//! # Invariants
//! - Nested deeper than the query side allows, a filter is refused while it is converted; the
//!   JSON reader has stopped at 128 levels of brackets already.

use std::fmt;

use query::filter::{
    AnyOf, Condition, DEPTH_MAX, FieldPath, FieldTest, Filter, MatchValue, MinShould,
};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::id::{Id, plain};
use super::value::Json;
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

/// A condition; the first variant that fits, in the order of the API.
#[derive(Debug)]
enum JsonCondition {
    Field(Box<JsonField>),
    IsEmpty(String),
    IsNull(String),
    HasId(Vec<Id>),
    Unsupported(&'static str),
    Filter(Box<JsonFilter>),
}

#[derive(Debug, Default)]
struct JsonField {
    key: String,
    matches: Option<JsonMatch>,
    range: Option<JsonRange>,
    is_empty: Option<bool>,
    is_null: Option<bool>,
    unsupported: Option<&'static str>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(expecting = "an object with `value`, `any` or `except`")]
struct JsonMatch {
    value: Option<Json>,
    any: Option<Vec<Json>>,
    except: Option<Vec<Json>>,
    text: Option<IgnoredAny>,
    text_any: Option<IgnoredAny>,
    phrase: Option<IgnoredAny>,
    prefix: Option<IgnoredAny>,
    substring: Option<IgnoredAny>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(expecting = "an object with `lt`, `lte`, `gt` or `gte`")]
struct JsonRange {
    lt: Option<Bound>,
    gt: Option<Bound>,
    gte: Option<Bound>,
    lte: Option<Bound>,
}

#[derive(Debug)]
enum Bound {
    Number(f64),
    Text,
}

/// `is_empty` is an object beside no key, and a boolean beside one.
#[derive(Debug)]
enum Presence {
    Flag(bool),
    Of(String),
}

impl JsonFilter {
    /// The filter, checked; `field` is where it stands in the body.
    pub(crate) fn convert(self, field: &str) -> Result<Filter, ApiError> {
        self.convert_at(field, 1)
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

impl JsonCondition {
    fn convert(self, field: &str, depth: usize) -> Result<Condition, ApiError> {
        Ok(match self {
            Self::Field(condition) => condition.convert(field)?,
            Self::IsEmpty(key) => Condition::IsEmpty(path(&key, field)?),
            Self::IsNull(key) => Condition::IsNull(path(&key, field)?),
            Self::HasId(ids) => Condition::HasId(plain(ids)),
            Self::Filter(filter) => {
                Condition::Filter(Box::new(filter.convert_at(field, depth + 1)?))
            }
            Self::Unsupported(what) => return Err(not_yet(what, field)),
        })
    }
}

impl JsonField {
    fn convert(self, field: &str) -> Result<Condition, ApiError> {
        let path = path(&self.key, field)?;
        let test = if let Some(what) = self.unsupported {
            return Err(not_yet(what, field));
        } else if let Some(matches) = self.matches {
            matches.convert(field)?
        } else if let Some(range) = self.range {
            range.convert(field)?
        } else if let Some(flag) = self.is_empty {
            FieldTest::IsEmpty(flag)
        } else if let Some(flag) = self.is_null {
            FieldTest::IsNull(flag)
        } else {
            return Err(ApiError::validation(
                Part::Body,
                format!("{field}: At least one field condition must be specified"),
            ));
        };
        Ok(Condition::Field { path, test })
    }
}

impl JsonMatch {
    fn convert(self, field: &str) -> Result<FieldTest, ApiError> {
        let unsupported = [
            (self.text.is_some(), "match.text (a text index)"),
            (self.text_any.is_some(), "match.text_any (a text index)"),
            (self.phrase.is_some(), "match.phrase (a text index)"),
            (self.prefix.is_some(), "match.prefix"),
            (self.substring.is_some(), "match.substring"),
        ];
        if let Some(Json(value)) = self.value {
            return Ok(FieldTest::Match(match_value(value, field)?));
        }
        if let Some((_, what)) = unsupported.into_iter().find(|(there, _)| *there) {
            return Err(not_yet(what, field));
        }
        if let Some(any) = self.any {
            return Ok(FieldTest::Any(any_of(any, &format!("{field}.match.any"))?));
        }
        if let Some(except) = self.except {
            let field = format!("{field}.match.except");
            return Ok(FieldTest::Except(any_of(except, &field)?));
        }
        Err(ApiError::json(format!(
            "{field}.match: expected one of `value`, `any`, `except`"
        )))
    }
}

impl JsonRange {
    fn convert(self, field: &str) -> Result<FieldTest, ApiError> {
        let number = |bound: Option<Bound>| match bound {
            None => Ok(None),
            Some(Bound::Number(number)) => Ok(Some(number)),
            Some(Bound::Text) => Err(not_yet("range over dates", field)),
        };
        Ok(FieldTest::Range {
            gt: number(self.gt)?,
            gte: number(self.gte)?,
            lt: number(self.lt)?,
            lte: number(self.lte)?,
        })
    }
}

fn match_value(value: format_spec::Value, field: &str) -> Result<MatchValue, ApiError> {
    use format_spec::Value;
    match value {
        Value::Text(text) => Ok(MatchValue::Keyword(text)),
        Value::Int(number) => Ok(MatchValue::Integer(number)),
        Value::Bool(flag) => Ok(MatchValue::Bool(flag)),
        Value::Null | Value::Uint(_) | Value::Float(_) | Value::Array(_) | Value::Object(_) => {
            Err(ApiError::json(format!(
                "{field}.match.value: expected a string, a 64-bit integer or a boolean"
            )))
        }
    }
}

fn any_of(values: Vec<Json>, field: &str) -> Result<AnyOf, ApiError> {
    let mut keywords = Vec::new();
    let mut integers = Vec::new();
    for Json(value) in values {
        match match_value(value, field) {
            Ok(MatchValue::Keyword(text)) => keywords.push(text),
            Ok(MatchValue::Integer(number)) => integers.push(number),
            Ok(MatchValue::Bool(_)) | Err(_) => return Err(mixed(field)),
        }
    }
    match (keywords.is_empty(), integers.is_empty()) {
        (_, true) => Ok(AnyOf::Keywords(keywords)),
        (true, false) => Ok(AnyOf::Integers(integers)),
        (false, false) => Err(mixed(field)),
    }
}

fn mixed(field: &str) -> ApiError {
    ApiError::json(format!(
        "{field}: expected strings only, or 64-bit integers only"
    ))
}

/// A path into the payload.
pub(crate) fn path(key: &str, field: &str) -> Result<FieldPath, ApiError> {
    FieldPath::parse(key).map_err(|error| ApiError::json(format!("{field}: {error}")))
}

fn not_yet(what: &str, field: &str) -> ApiError {
    ApiError::not_yet(format!("{what}, asked for in {field}"))
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
    unsupported: Option<&'static str>,
    filter: JsonFilter,
    is_filter: bool,
    unknown: Option<String>,
}

struct ConditionVisitor;

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
            "geo_bounding_box" => self.unsupported_field(members, "geo_bounding_box conditions")?,
            "geo_radius" => self.unsupported_field(members, "geo_radius conditions")?,
            "geo_polygon" => self.unsupported_field(members, "geo_polygon conditions")?,
            "values_count" => self.unsupported_field(members, "values_count conditions")?,
            "is_empty" => self.is_empty = members.next_value()?,
            "is_null" => self.is_null = members.next_value()?,
            "has_id" => self.has_id = members.next_value()?,
            "has_vector" => self.unsupported(members, "has_vector conditions")?,
            "slice" => self.unsupported(members, "slice conditions")?,
            "nested" => self.unsupported(members, "nested conditions")?,
            "must" => self.filter_part(members.next_value()?, |filter| &mut filter.must),
            "should" => self.filter_part(members.next_value()?, |filter| &mut filter.should),
            "must_not" => self.filter_part(members.next_value()?, |filter| &mut filter.must_not),
            "min_should" => {
                self.filter.min_should = members.next_value()?;
                self.is_filter = true;
            }
            _ => {
                members.next_value::<IgnoredAny>()?;
                self.unknown.get_or_insert(name);
            }
        }
        Ok(())
    }

    fn filter_part(
        &mut self,
        conditions: Option<Conditions>,
        part: impl FnOnce(&mut JsonFilter) -> &mut Option<Conditions>,
    ) {
        *part(&mut self.filter) = conditions;
        self.is_filter = true;
    }

    fn unsupported<'de, A: MapAccess<'de>>(
        &mut self,
        members: &mut A,
        what: &'static str,
    ) -> Result<(), A::Error> {
        if members.next_value::<Option<IgnoredAny>>()?.is_some() {
            self.unsupported = Some(what);
        }
        Ok(())
    }

    fn unsupported_field<'de, A: MapAccess<'de>>(
        &mut self,
        members: &mut A,
        what: &'static str,
    ) -> Result<(), A::Error> {
        if members.next_value::<Option<IgnoredAny>>()?.is_some() {
            self.field.unsupported = Some(what);
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
        if let Some(what) = self.unsupported {
            return Ok(JsonCondition::Unsupported(what));
        }
        if let Some(unknown) = self.unknown {
            return Err(E::custom(format_args!(
                "unknown field `{unknown}` in a condition"
            )));
        }
        if self.field.matches.is_some() || self.field.range.is_some() {
            return Err(E::missing_field("key"));
        }
        // Nothing at all is the empty filter, which holds for every point.
        Ok(JsonCondition::Filter(Box::new(self.filter)))
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoundVisitor;
        impl Visitor<'_> for BoundVisitor {
            type Value = Bound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a date")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Bound, E> {
                Ok(Bound::Number(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Bound, E> {
                Ok(Bound::Number(value as f64))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Bound, E> {
                Ok(Bound::Number(value as f64))
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Bound, E> {
                Ok(Bound::Text)
            }
        }
        deserializer.deserialize_any(BoundVisitor)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn read(text: &str) -> Result<Filter, ApiError> {
        json::read::<JsonFilter>(text.as_bytes())?.convert("filter")
    }

    fn field(key: &str, test: FieldTest) -> Condition {
        Condition::Field {
            path: FieldPath::parse(key).unwrap(),
            test,
        }
    }

    #[test]
    fn one_condition_or_a_list_of_them() {
        let one = read(r#"{"must": {"key": "a.b", "match": {"value": "x"}}}"#).unwrap();
        let list = read(r#"{"must": [{"key": "a.b", "match": {"value": "x"}}]}"#).unwrap();
        assert_eq!(one, list);
        let value = MatchValue::Keyword("x".to_owned());
        assert_eq!(one.must, [field("a.b", FieldTest::Match(value))]);
        assert_eq!(read("{}").unwrap(), Filter::default());
        assert_eq!(
            read(r#"{"must": null, "should": []}"#).unwrap(),
            Filter::default()
        );
    }

    #[test]
    fn every_condition_that_is_there_is_read() {
        let filter = read(
            r#"{"should": [
                {"key": "n", "range": {"gte": 1, "lt": 2.5, "gt": null}},
                {"key": "n", "match": {"any": [1, 2]}},
                {"key": "n", "match": {"except": ["a"]}},
                {"key": "n", "is_null": true},
                {"is_empty": {"key": "n"}}, {"is_null": {"key": "n"}},
                {"has_id": [1, "550e8400-e29b-41d4-a716-446655440000"]},
                {"must_not": [{"key": "b", "match": {"value": true}}]}
            ], "min_should": {"conditions": [{"has_id": [1]}], "min_count": 1}}"#,
        )
        .unwrap();
        let range = FieldTest::Range {
            gt: None,
            gte: Some(1.0),
            lt: Some(2.5),
            lte: None,
        };
        assert_eq!(filter.should[0], field("n", range));
        assert_eq!(
            filter.should[1],
            field("n", FieldTest::Any(AnyOf::Integers(vec![1, 2])))
        );
        let except = FieldTest::Except(AnyOf::Keywords(vec!["a".to_owned()]));
        assert_eq!(filter.should[2], field("n", except));
        assert_eq!(filter.should[3], field("n", FieldTest::IsNull(true)));
        assert!(matches!(filter.should[4], Condition::IsEmpty(_)));
        assert!(matches!(filter.should[5], Condition::IsNull(_)));
        assert!(matches!(&filter.should[6], Condition::HasId(ids) if ids.len() == 2));
        assert!(matches!(&filter.should[7], Condition::Filter(inner) if inner.must_not.len() == 1));
        assert_eq!(filter.min_should.unwrap().min_count, 1);
    }

    #[test]
    fn what_is_missing_is_refused_by_name() {
        for (text, what) in [
            (
                r#"{"must": [{"key": "a", "match": {"text": "x"}}]}"#,
                "match.text",
            ),
            (
                r#"{"must": [{"key": "a", "match": {"prefix": "x"}}]}"#,
                "match.prefix",
            ),
            (r#"{"must": [{"key": "a", "geo_radius": {}}]}"#, "geo"),
            (
                r#"{"must": [{"key": "a", "values_count": {"gt": 1}}]}"#,
                "values_count",
            ),
            (
                r#"{"must": [{"key": "a", "range": {"gt": "2020-01-01"}}]}"#,
                "dates",
            ),
            (r#"{"must": [{"has_vector": "v"}]}"#, "has_vector"),
            (
                r#"{"must": [{"nested": {"key": "a", "filter": {}}}]}"#,
                "nested",
            ),
            (
                r#"{"must": [{"slice": {"total": 2, "index": 0}}]}"#,
                "slice",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.status(), 501, "{text}");
            assert!(error.message().contains(what), "{error}");
            assert!(error.message().contains("filter.must[0]"), "{error}");
        }
    }

    #[test]
    fn mistakes_name_their_place() {
        for (text, status, place) in [
            (r#"{"mast": []}"#, 400, "mast"),
            (r#"{"must": [{"must": [], "foo": 1}]}"#, 400, "foo"),
            (r#"{"must": [{"key": "a"}]}"#, 422, "filter.must[0]"),
            (r#"{"must": [{"match": {"value": 1}}]}"#, 400, "must[0]"),
            (
                r#"{"must": [{"key": "a", "match": {"value": 1.5}}]}"#,
                400,
                "filter.must[0].match",
            ),
            (
                r#"{"must": [{"key": "a", "match": {"any": [1, "b"]}}]}"#,
                400,
                "match.any",
            ),
            (
                r#"{"must": [{"key": "a[", "match": {"value": 1}}]}"#,
                400,
                "filter.must[0]",
            ),
            (r#"{"must": 7}"#, 400, "must"),
            (
                r#"{"min_should": {"conditions": [], "min_count": 0}}"#,
                422,
                "min_count",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.status(), status, "{text}: {error}");
            assert!(error.message().contains(place), "{text}: {error}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let nested = |depth: usize| {
            format!(
                "{}{{}}{}",
                r#"{"must":"#.repeat(depth - 1),
                "}".repeat(depth - 1)
            )
        };
        assert!(read(&nested(DEPTH_MAX)).is_ok());
        let error = read(&nested(DEPTH_MAX + 1)).unwrap_err();
        assert!(error.message().contains("deeper than 64"), "{error}");
        let error = read(&nested(10_000)).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.message().contains("recursion limit"), "{error}");
    }
}
