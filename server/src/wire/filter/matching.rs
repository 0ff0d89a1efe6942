//! `match`: equality, lists, and what is asked of texts.

use query::filter::{AnyOf, FieldTest, MatchValue};

use crate::error::ApiError;
use crate::wire::value::Json;

/// A match as it came; the first key that is there counts, in the order of the API.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(
    expecting = "an object with `value`, `text`, `text_any`, `phrase`, `prefix`, `any` or `except`"
)]
pub(super) struct JsonMatch {
    value: Option<Json>,
    text: Option<String>,
    text_any: Option<String>,
    phrase: Option<String>,
    prefix: Option<String>,
    substring: Option<String>,
    any: Option<Vec<Json>>,
    except: Option<Vec<Json>>,
}

impl JsonMatch {
    pub(super) fn convert(self, field: &str) -> Result<FieldTest, ApiError> {
        if let Some(Json(value)) = self.value {
            return Ok(FieldTest::Match(match_value(value, field)?));
        }
        let text = self.text.map(FieldTest::Text);
        let text = text.or(self.text_any.map(FieldTest::TextAny));
        let text = text.or(self.phrase.map(FieldTest::Phrase));
        let text = text.or(self.prefix.map(FieldTest::Prefix));
        if let Some(test) = text.or(self.substring.map(FieldTest::Substring)) {
            return Ok(test);
        }
        if let Some(any) = self.any {
            return Ok(FieldTest::Any(any_of(any, &format!("{field}.any"))?));
        }
        if let Some(except) = self.except {
            let list = any_of(except, &format!("{field}.except"))?;
            return Ok(FieldTest::Except(list));
        }
        Err(ApiError::json(format!(
            "{field}: expected one of `value`, `text`, `text_any`, `phrase`, `prefix`, \
             `substring`, `any`, `except`"
        )))
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
                "{field}.value: expected a string, a 64-bit integer or a boolean"
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
