//! `range`: bounds that are numbers, or dates in texts.

use std::fmt;

use query::filter::{FieldTest, datetime};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::error::ApiError;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(expecting = "an object with `lt`, `lte`, `gt` or `gte`")]
pub(super) struct JsonRange {
    lt: Option<Bound>,
    gt: Option<Bound>,
    gte: Option<Bound>,
    lte: Option<Bound>,
}

#[derive(Debug)]
enum Bound {
    Number(f64),
    Text(String),
}

impl JsonRange {
    pub(super) fn convert(self, field: &str) -> Result<FieldTest, ApiError> {
        let bounds = [&self.lt, &self.gt, &self.gte, &self.lte];
        let text = |bound: &&Option<Bound>| matches!(bound, Some(Bound::Text(_)));
        if bounds.iter().any(text) {
            return self.of_dates(field);
        }
        let number = |bound| match bound {
            Some(Bound::Number(number)) => Some(number),
            Some(Bound::Text(_)) | None => None,
        };
        Ok(FieldTest::Range {
            gt: number(self.gt),
            gte: number(self.gte),
            lt: number(self.lt),
            lte: number(self.lte),
        })
    }

    fn of_dates(self, field: &str) -> Result<FieldTest, ApiError> {
        let date = |bound, name: &str| match bound {
            None => Ok(None),
            Some(Bound::Text(text)) => match datetime::parse(&text) {
                Some(micros) => Ok(Some(micros)),
                None => Err(ApiError::json(format!(
                    "{field}.{name}: '{text}' does not match accepted datetime format (RFC3339). \
                     Example: 2014-01-01T00:00:00Z"
                ))),
            },
            Some(Bound::Number(number)) => Err(ApiError::json(format!(
                "{field}.{name}: {number} is a number beside a bound that is a date; \
                 expected dates only or numbers only"
            ))),
        };
        Ok(FieldTest::DatetimeRange {
            gt: date(self.gt, "gt")?,
            gte: date(self.gte, "gte")?,
            lt: date(self.lt, "lt")?,
            lte: date(self.lte, "lte")?,
        })
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

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bound, E> {
                Ok(Bound::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(BoundVisitor)
    }
}
