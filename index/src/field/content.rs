//! What a column holds: the type of a field index, and the settings its content depends on.
//!
//! # Invariants
//! - Two indexes of one field with equal content have equal columns over equal payloads.

use std::ops::ControlFlow;

use format_spec::{DecodeError, FieldIndex, FieldType, Value, ValueKind, ValueRef};

use super::geo::GeoPoint;
use super::path::FieldPath;
use super::{datetime, uuid};

use super::text::{Analyzer, TextSettings, TextSettingsError};

/// What a column of a field index holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColumnContent {
    field_type: FieldType,
    /// Of a text index.
    text: Option<TextSettings>,
}

/// Why the settings of a field index are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContentError {
    /// They do not decode.
    Decode(DecodeError),
    /// They are not those of a text index.
    Text(TextSettingsError),
}

impl std::fmt::Display for ContentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Decode(error) => write!(f, "settings of a field index: {error}"),
            Self::Text(error) => write!(f, "settings of a text index: {error}"),
        }
    }
}

impl std::error::Error for ContentError {}

impl From<FieldType> for ColumnContent {
    /// With the settings that hold where none are given.
    fn from(field_type: FieldType) -> Self {
        let text = (field_type == FieldType::Text).then(TextSettings::default);
        Self { field_type, text }
    }
}

impl ColumnContent {
    /// The content of the column of an index.
    ///
    /// # Errors
    /// The settings of a text index do not decode or are none.
    pub fn of(index: &FieldIndex) -> Result<Self, ContentError> {
        // An index that was made without settings has the defaults.
        if index.field_type != FieldType::Text || index.settings.is_empty() {
            return Ok(index.field_type.into());
        }
        let settings = Value::decode(&index.settings).map_err(ContentError::Decode)?;
        let text = TextSettings::from_value(&settings).map_err(ContentError::Text)?;
        Ok(Self {
            field_type: FieldType::Text,
            text: Some(text),
        })
    }

    /// The type of the values.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// Hash of the settings that the content depends on; 0 if there are none.
    #[must_use]
    pub fn settings_hash(&self) -> u64 {
        self.text.as_ref().map_or(0, TextSettings::content_hash)
    }

    /// Cuts texts as a text index does.
    #[must_use]
    pub fn analyzer(&self) -> Option<Analyzer> {
        self.text.clone().map(Analyzer::new)
    }
}

impl ColumnContent {
    /// Whether a payload has values at `path` and all of them, null aside, are of the type.
    ///
    /// # Errors
    /// The payload does not decode.
    pub fn holds(&self, path: &FieldPath, payload: ValueRef<'_>) -> Result<bool, DecodeError> {
        let (mut any, mut all) = (false, true);
        let mut take = |kind: ValueKind<'_>| {
            if !matches!(kind, ValueKind::Null) {
                any = true;
                all &= self.is_of_type(kind)?;
            }
            Ok(if all {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        };
        let _ = path.select(payload, &mut |value| {
            let kind = value.kind()?;
            let ValueKind::Array(array) = kind else {
                return take(kind);
            };
            for element in array.iter() {
                if take(element?.kind()?)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(any && all)
    }

    fn is_of_type(&self, value: ValueKind<'_>) -> Result<bool, DecodeError> {
        Ok(match (self.field_type, value) {
            (FieldType::Keyword | FieldType::Text, ValueKind::Text(_))
            | (FieldType::Integer, ValueKind::Int(_))
            | (FieldType::Float, ValueKind::Int(_) | ValueKind::Uint(_))
            | (FieldType::Bool, ValueKind::Bool(_)) => true,
            (FieldType::Float, ValueKind::Float(number)) => !number.is_nan(),
            (FieldType::Datetime, ValueKind::Text(text)) => datetime::parse(text).is_some(),
            (FieldType::Uuid, ValueKind::Text(text)) => uuid::parse(text).is_some(),
            (FieldType::Geo, value) => GeoPoint::of(value)?.is_some(),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(field_type: FieldType, settings: &Value) -> FieldIndex {
        FieldIndex {
            path: "a".to_owned(),
            field_type,
            settings: settings.to_bytes(),
        }
    }

    #[test]
    fn only_the_settings_of_texts_are_part_of_the_content() {
        let odd = Value::Object(vec![("tokenizer".to_owned(), Value::Int(3))]);
        let of = |field_type, settings: &Value| ColumnContent::of(&index(field_type, settings));
        assert!(of(FieldType::Text, &odd).is_err());
        let keyword = of(FieldType::Keyword, &odd).unwrap();
        assert_eq!(
            (keyword.settings_hash(), keyword.analyzer().is_none()),
            (0, true)
        );
        let bare = of(FieldType::Text, &Value::Null).unwrap();
        assert_eq!(bare, FieldType::Text.into());
        assert_ne!(bare.settings_hash(), 0);
        let without = FieldIndex {
            settings: Vec::new(),
            ..index(FieldType::Text, &odd)
        };
        assert_eq!(ColumnContent::of(&without).unwrap(), bare);
        let broken = FieldIndex {
            settings: vec![0xff],
            ..index(FieldType::Text, &odd)
        };
        assert!(matches!(
            ColumnContent::of(&broken),
            Err(ContentError::Decode(_))
        ));
    }
}
