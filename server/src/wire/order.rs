//! `order_by`: a key, or an object with a direction and where to begin.
//!
//! `after_id` is Cairn's own: together with `start_from` it continues a listing after one point, so
//! that points with equal values are neither lost nor repeated between pages. An answer that has a
//! next page carries the whole `order_by` of it.

use std::fmt;

use query::filter::datetime;
use query::{Direction, OrderBy, OrderValue};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::filter::path;
use super::id::Id;
use crate::error::ApiError;

/// `order_by` in a request.
#[derive(Debug)]
pub(crate) struct JsonOrderBy(Members);

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `key`")]
struct Members {
    key: String,
    direction: Option<JsonDirection>,
    start_from: Option<StartFrom>,
    after_id: Option<Id>,
}

#[derive(Copy, Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum JsonDirection {
    Asc,
    Desc,
}

#[derive(Copy, Clone, Debug)]
struct StartFrom(OrderValue);

impl JsonOrderBy {
    /// What to order by, checked; `field` is where it stands.
    pub(crate) fn convert(self, field: &str) -> Result<OrderBy, ApiError> {
        let Self(members) = self;
        if members.after_id.is_some() && members.start_from.is_none() {
            return Err(ApiError::bad_input(format!(
                "{field}.after_id continues after a point with the value `start_from`, \
                 which is missing"
            )));
        }
        Ok(OrderBy {
            path: path(&members.key, &format!("{field}.key"))?,
            direction: match members.direction {
                None | Some(JsonDirection::Asc) => Direction::Ascending,
                Some(JsonDirection::Desc) => Direction::Descending,
            },
            start_from: members.start_from.map(|StartFrom(value)| value),
            after: members.after_id.map(|Id(id)| id),
        })
    }
}

impl<'de> Deserialize<'de> for JsonOrderBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrderByVisitor)
    }
}

struct OrderByVisitor;

impl<'de> Visitor<'de> for OrderByVisitor {
    type Value = JsonOrderBy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key, or an object with `key`")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<JsonOrderBy, E> {
        Ok(JsonOrderBy(Members {
            key: key.to_owned(),
            direction: None,
            start_from: None,
            after_id: None,
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<JsonOrderBy, A::Error> {
        Members::deserialize(MapAccessDeserializer::new(members)).map(JsonOrderBy)
    }
}

impl<'de> Deserialize<'de> for StartFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StartVisitor)
    }
}

struct StartVisitor;

impl Visitor<'_> for StartVisitor {
    type Value = StartFrom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a date in RFC 3339")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<StartFrom, E> {
        Ok(StartFrom(OrderValue::Int(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<StartFrom, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<StartFrom, E> {
        let micros = datetime::parse(value).map(|micros| StartFrom(OrderValue::Int(micros)));
        micros.ok_or_else(|| {
            E::custom(format_args!(
                "'{value}' does not match accepted datetime format (RFC3339). \
                 Example: 2014-01-01T00:00:00Z"
            ))
        })
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<StartFrom, E> {
        let value = OrderValue::float(value).map(StartFrom);
        value.ok_or_else(|| E::invalid_value(de::Unexpected::Other("NaN"), &self))
    }
}

/// A value that points are ordered by, in an answer.
#[derive(Copy, Clone, Debug)]
pub(crate) struct JsonOrderValue(pub(crate) OrderValue);

impl Serialize for JsonOrderValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            OrderValue::Int(value) => serializer.serialize_i64(value),
            OrderValue::Float(value) => serializer.serialize_f64(value),
        }
    }
}

/// The `order_by` of the next page.
#[derive(Debug)]
pub(crate) struct NextOrderBy(pub(crate) OrderBy);

impl Serialize for NextOrderBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.0.path.to_string())?;
        let direction = match self.0.direction {
            Direction::Ascending => "asc",
            Direction::Descending => "desc",
        };
        map.serialize_entry("direction", direction)?;
        if let Some(value) = self.0.start_from {
            map.serialize_entry("start_from", &JsonOrderValue(value))?;
        }
        if let Some(id) = self.0.after {
            map.serialize_entry("after_id", &Id(id))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use format_spec::PointId;

    use super::*;
    use crate::wire::json;

    fn read(text: &str) -> Result<OrderBy, ApiError> {
        json::read::<JsonOrderBy>(text.as_bytes())?.convert("order_by")
    }

    #[test]
    fn a_key_alone_or_with_where_to_begin() {
        let order_by = read(r#""a.b""#).unwrap();
        assert_eq!(order_by.path.to_string(), "a.b");
        assert_eq!(order_by.direction, Direction::Ascending);
        assert_eq!((order_by.start_from, order_by.after), (None, None));
        let text = r#"{"key": "n", "direction": "desc", "start_from": 7, "after_id": 3}"#;
        let order_by = read(text).unwrap();
        assert_eq!(order_by.direction, Direction::Descending);
        assert_eq!(order_by.start_from, Some(OrderValue::Int(7)));
        assert_eq!(order_by.after, Some(PointId::Number(3)));
        let sent_back = serde_json::to_string(&NextOrderBy(order_by.clone())).unwrap();
        assert_eq!(read(&sent_back).unwrap(), order_by);
        let start = |text: &str| read(text).unwrap().start_from;
        let float = OrderValue::float(-1.5);
        assert_eq!(start(r#"{"key": "n", "start_from": -1.5}"#), float);
        assert_eq!(start(r#"{"key": "n", "start_from": null}"#), None);
        assert_eq!(
            start(r#"{"key": "n", "start_from": "1970-01-02"}"#),
            Some(OrderValue::Int(86_400_000_000))
        );
        assert_eq!(
            start(r#"{"key": "n", "start_from": 9223372036854775808}"#),
            OrderValue::float(9_223_372_036_854_775_808.0)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, word) in [
            ("7", "a key"),
            ("{}", "key"),
            (r#"{"key": "a..b"}"#, "order_by.key"),
            (r#"{"key": "a", "direction": "up"}"#, "direction"),
            (r#"{"key": "a", "start_from": true}"#, "start_from"),
            (r#"{"key": "a", "start_from": "soon"}"#, "start_from"),
            (r#"{"key": "a", "start_from": [1]}"#, "start_from"),
            (r#"{"key": "a", "after_id": 1}"#, "after_id"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.status(), 400, "{text}");
            assert!(error.message().contains(word), "{error}");
        }
    }
}
