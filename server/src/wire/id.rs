//! Point ids: an unsigned integer, or a UUID in any of its spellings.

use std::fmt;

use format_spec::PointId;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use uuid::Uuid;

/// A point id in JSON.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Id(pub(crate) PointId);

/// A UUID with or without hyphens, braces or `urn:uuid:`.
pub(crate) fn parse_uuid(text: &str) -> Option<PointId> {
    let uuid = Uuid::try_parse(text).ok()?;
    Some(PointId::Uuid(uuid.as_u128()))
}

/// An id as it stands in a path.
pub(crate) fn parse(text: &str) -> Option<PointId> {
    text.parse()
        .map(PointId::Number)
        .ok()
        .or_else(|| parse_uuid(text))
}

/// Unwraps a list.
pub(crate) fn plain(ids: Vec<Id>) -> Vec<PointId> {
    ids.into_iter().map(|Id(id)| id).collect()
}

fn refuse<E: de::Error>(value: impl fmt::Display) -> E {
    E::custom(format_args!(
        "value {value} is not a valid point ID, valid values are either an unsigned integer \
         or a UUID"
    ))
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a point ID: an unsigned integer or a UUID")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Id, E> {
        Ok(Id(PointId::Number(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Id, E> {
        u64::try_from(value)
            .map(|value| Id(PointId::Number(value)))
            .map_err(|_| refuse(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Id, E> {
        Err(refuse(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Id, E> {
        parse_uuid(value).map(Id).ok_or_else(|| refuse(value))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            PointId::Number(number) => serializer.serialize_u64(number),
            PointId::Uuid(uuid) => {
                let mut buffer = Uuid::encode_buffer();
                let text = Uuid::from_u128(uuid).hyphenated().encode_lower(&mut buffer);
                serializer.serialize_str(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_uuid_is_the_same_id() {
        let canonical = "\"550e8400-e29b-41d4-a716-446655440000\"";
        for text in [
            canonical,
            "\"550e8400e29b41d4a716446655440000\"",
            "\"{550E8400-E29B-41D4-A716-446655440000}\"",
            "\"urn:uuid:550e8400-e29b-41d4-a716-446655440000\"",
        ] {
            let id: Id = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&id).unwrap(), canonical);
        }
    }

    #[test]
    fn what_is_no_id_is_refused_in_the_words_of_the_api() {
        for text in ["-1", "1.5", "\"7\"", "\"x\"", "18446744073709551616"] {
            let error = serde_json::from_str::<Id>(text).unwrap_err().to_string();
            assert!(
                error.contains("is not a valid point ID, valid values are"),
                "{error}"
            );
        }
        assert!(serde_json::from_str::<Id>("null").is_err());
        let most: Id = serde_json::from_str("18446744073709551615").unwrap();
        assert_eq!(most.0, PointId::Number(u64::MAX));
    }
}
