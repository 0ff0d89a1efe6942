//! Selectors: which points, which part of their payload, which of their vectors.

use std::fmt;

use query::filter::FieldPath;
use query::{PayloadSelector, Selector, VectorSelector};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::filter::{JsonFilter, any_path};
use super::id::{Id, plain};
use crate::error::ApiError;

/// `with_payload`: a flag, a list of paths, or one of two objects.
#[derive(Debug)]
pub(crate) enum WithPayload {
    Flag(bool),
    Include(Vec<String>),
    Exclude(Vec<String>),
}

impl WithPayload {
    pub(crate) fn convert(
        selector: Option<Self>,
        unset: bool,
    ) -> Result<PayloadSelector, ApiError> {
        Ok(match selector {
            None => PayloadSelector::All(unset),
            Some(Self::Flag(flag)) => PayloadSelector::All(flag),
            Some(Self::Include(keys)) => PayloadSelector::Include(paths(&keys, "with_payload")?),
            Some(Self::Exclude(keys)) => PayloadSelector::Exclude(paths(&keys, "with_payload")?),
        })
    }
}

/// Paths into the payload.
pub(crate) fn paths(keys: &[String], field: &str) -> Result<Vec<FieldPath>, ApiError> {
    keys.iter().map(|key| any_path(key, field)).collect()
}

/// `with_vector`: a flag or a list of names.
#[derive(Debug)]
pub(crate) enum WithVector {
    Flag(bool),
    Names(Vec<String>),
}

impl WithVector {
    pub(crate) fn convert(selector: Option<Self>) -> VectorSelector {
        match selector {
            None => VectorSelector::All(false),
            Some(Self::Flag(flag)) => VectorSelector::All(flag),
            Some(Self::Names(names)) => VectorSelector::Names(names),
        }
    }
}

/// `points`, or `filter`, and `shard_key`: whose points a write is about.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `points` or `filter`")]
pub(crate) struct PointsSelector {
    pub(super) points: Option<Vec<Id>>,
    pub(super) filter: Option<JsonFilter>,
    #[serde(default)]
    pub(super) shard_key: ShardKey,
}

impl PointsSelector {
    pub(crate) fn convert(self, place: &str) -> Result<Selector, ApiError> {
        self.shard_key.refuse()?;
        match (self.points, self.filter) {
            // As in Qdrant, ids win over a filter.
            (Some(ids), _) => Ok(Selector::Ids(plain(ids))),
            (None, Some(filter)) => {
                Ok(Selector::Filter(filter.convert(&format!("{place}filter"))?))
            }
            (None, None) => Err(ApiError::json(format!(
                "{place}points: Either list of ids or filter must be provided"
            ))),
        }
    }
}

/// Where a request may name a shard key, which no collection has yet.
#[derive(Debug, Default)]
pub(crate) struct ShardKey {
    given: bool,
}

impl ShardKey {
    /// # Errors
    /// 501 when a key was given.
    pub(crate) fn refuse(&self) -> Result<(), ApiError> {
        if self.given {
            return Err(ApiError::not_yet("custom sharding, asked for in shard_key"));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for ShardKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Option::<de::IgnoredAny>::deserialize(deserializer)?.is_some();
        Ok(Self { given })
    }
}

impl<'de> Deserialize<'de> for WithPayload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PayloadVisitor;
        impl<'de> Visitor<'de> for PayloadVisitor {
            type Value = WithPayload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean, a list of keys, or an object with `include` or `exclude`")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<WithPayload, E> {
                Ok(WithPayload::Flag(flag))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<WithPayload, A::Error> {
                strings(items).map(WithPayload::Include)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<WithPayload, A::Error> {
                let mut selector = None;
                while let Some(key) = members.next_key::<String>()? {
                    if selector.is_some() {
                        return Err(de::Error::custom(
                            "expected one of `include` and `exclude`, not both",
                        ));
                    }
                    selector = Some(match key.as_str() {
                        "include" => WithPayload::Include(members.next_value()?),
                        "exclude" => WithPayload::Exclude(members.next_value()?),
                        other => {
                            return Err(de::Error::unknown_field(other, &["include", "exclude"]));
                        }
                    });
                }
                selector.ok_or_else(|| de::Error::missing_field("include"))
            }
        }
        deserializer.deserialize_any(PayloadVisitor)
    }
}

impl<'de> Deserialize<'de> for WithVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VectorVisitor;
        impl<'de> Visitor<'de> for VectorVisitor {
            type Value = WithVector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean or a list of vector names")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<WithVector, E> {
                Ok(WithVector::Flag(flag))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<WithVector, A::Error> {
                strings(items).map(WithVector::Names)
            }
        }
        deserializer.deserialize_any(VectorVisitor)
    }
}

fn strings<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Vec<String>, A::Error> {
    let mut strings = Vec::new();
    while let Some(item) = items.next_element()? {
        strings.push(item);
    }
    Ok(strings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: &str) -> Result<PayloadSelector, ApiError> {
        let selector = crate::wire::json::read(text.as_bytes())?;
        WithPayload::convert(selector, true)
    }

    #[test]
    fn every_form_of_a_payload_selector() {
        let keys = || vec![FieldPath::parse("a.b").unwrap()];
        assert_eq!(payload("null").unwrap(), PayloadSelector::All(true));
        assert_eq!(payload("false").unwrap(), PayloadSelector::All(false));
        assert_eq!(
            payload(r#"["a.b"]"#).unwrap(),
            PayloadSelector::Include(keys())
        );
        let include = payload(r#"{"include": ["a.b"]}"#).unwrap();
        assert_eq!(include, PayloadSelector::Include(keys()));
        let exclude = payload(r#"{"exclude": ["a.b"]}"#).unwrap();
        assert_eq!(exclude, PayloadSelector::Exclude(keys()));
        assert!(payload(r#"{"exlude": ["a.b"]}"#).is_err());
        assert!(payload(r#"{"include": ["a"], "exclude": ["b"]}"#).is_err());
        assert!(payload(r#"{"include": ["a"], "more": ["b"]}"#).is_err());
        assert!(payload("{}").is_err());
        assert!(payload("7").is_err());
    }

    #[test]
    fn points_or_a_filter_must_be_there() {
        let select =
            |text: &str| crate::wire::json::read::<PointsSelector>(text.as_bytes())?.convert("");
        assert!(matches!(select(r#"{"points": [1]}"#), Ok(Selector::Ids(ids)) if ids.len() == 1));
        assert!(matches!(
            select(r#"{"filter": {}}"#),
            Ok(Selector::Filter(_))
        ));
        assert_eq!(select("{}").unwrap_err().status(), 400);
        let error = select(r#"{"points": [1], "shard_key": "a"}"#).unwrap_err();
        assert_eq!(error.status(), 501);
        assert!(select(r#"{"points": [1], "shard_key": null}"#).is_ok());
    }
}
