//! Payload indexes: `field_schema` in both of its forms, and the stored one back.

use format_spec::{FieldIndex, FieldType, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Tree;

use super::config::Memory;
use super::filter::path;
use super::json;
use super::value::{AsJson, from_tree};
use crate::error::{ApiError, Part};

/// Body of `PUT collections/{name}/index`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `field_name` and `field_schema`")]
pub(crate) struct IndexBody {
    field_name: String,
    field_schema: Option<Tree>,
}

/// The parameters that any type of index has; which of them a type has is not checked, as in
/// Qdrant. What is none of them is not kept.
#[derive(Debug, Deserialize, Serialize)]
#[serde(expecting = "the name of a type, or an object with `type`")]
struct IndexOptions {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_tenant: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_principal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_disk: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_hnsw: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<bool>,
}

impl IndexBody {
    /// The index to make.
    pub(crate) fn convert(self) -> Result<FieldIndex, ApiError> {
        let schema = self
            .field_schema
            .filter(|schema| !schema.is_null())
            .ok_or_else(|| {
                ApiError::bad_request(
                    "Can't auto-detect field type, please specify `field_schema` in the request",
                )
            })?;
        let path = path(&self.field_name, "field_name")?.to_string();
        let (name, settings) = if let Tree::String(name) = schema {
            (name, Value::Null)
        } else {
            let options: IndexOptions =
                json::of_tree(schema).map_err(|why| ApiError::json(why.below("field_schema")))?;
            options.check()?;
            let kept = serde_json::to_value(&options).map_err(ApiError::internal)?;
            (options.r#type, from_tree(kept))
        };
        Ok(FieldIndex {
            path,
            field_type: field_type(&name)?,
            settings: settings.to_bytes(),
        })
    }
}

impl IndexOptions {
    fn check(&self) -> Result<(), ApiError> {
        if self.lookup == Some(false) && self.range == Some(false) {
            return Err(ApiError::validation(
                Part::Body,
                "field_schema: the 'lookup' and 'range' capabilities can't be both disabled",
            ));
        }
        Ok(())
    }

    /// What is set and has no effect.
    fn without_effect(&self) -> Vec<&'static str> {
        [
            ("is_tenant", self.is_tenant == Some(true)),
            ("is_principal", self.is_principal == Some(true)),
            ("on_disk", self.on_disk.is_some()),
            ("memory", self.memory.is_some()),
            ("enable_hnsw", self.enable_hnsw.is_some()),
            ("prefix", self.prefix == Some(true)),
            ("lookup", self.lookup == Some(false)),
            ("range", self.range == Some(false)),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
        .collect()
    }
}

fn field_type(name: &str) -> Result<FieldType, ApiError> {
    match name {
        "keyword" => Ok(FieldType::Keyword),
        "integer" => Ok(FieldType::Integer),
        "float" => Ok(FieldType::Float),
        "bool" => Ok(FieldType::Bool),
        "geo" | "text" | "datetime" | "uuid" => Err(ApiError::not_yet(format!(
            "{name} indexes, asked for in field_schema"
        ))),
        other => Err(ApiError::json(format!(
            "field_schema: unknown type `{other}`, expected one of `keyword`, `integer`, \
             `float`, `bool`, `geo`, `text`, `datetime`, `uuid`"
        ))),
    }
}

/// How the API calls a type.
pub(crate) fn type_name(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Keyword => "keyword",
        FieldType::Integer => "integer",
        FieldType::Float => "float",
        FieldType::Bool => "bool",
    }
}

/// An index as the description of a collection has it.
pub(crate) fn describe(index: &FieldIndex, points: u64) -> Result<Tree, ApiError> {
    let mut tree = serde_json::Map::new();
    tree.insert("data_type".to_owned(), type_name(index.field_type).into());
    if let Some(params) = stored(index)? {
        tree.insert("params".to_owned(), params);
    }
    tree.insert("points".to_owned(), points.into());
    Ok(Tree::Object(tree))
}

/// One line for each parameter of an index that is kept and has no effect.
pub(crate) fn warnings(index: &FieldIndex) -> Result<Vec<String>, ApiError> {
    let Some(params) = stored(index)? else {
        return Ok(Vec::new());
    };
    let params = IndexOptions::deserialize(params).map_err(ApiError::internal)?;
    let line = |name: &str| {
        let path = &index.path;
        format!("`payload_schema.{path}.{name}` is stored and returned, and has no effect yet")
    };
    Ok(params.without_effect().into_iter().map(line).collect())
}

/// The parameters that were given, unless it was the bare name of a type.
fn stored(index: &FieldIndex) -> Result<Option<Tree>, ApiError> {
    let value = Value::decode(&index.settings).map_err(ApiError::internal)?;
    if value == Value::Null {
        return Ok(None);
    }
    serde_json::to_value(AsJson(&value))
        .map(Some)
        .map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FieldIndex, ApiError> {
        json::read::<IndexBody>(text.as_bytes())?.convert()
    }

    #[test]
    fn a_type_comes_bare_or_with_parameters() {
        let index = read(r#"{"field_name": "a.b", "field_schema": "keyword"}"#).unwrap();
        assert_eq!(index.field_type, FieldType::Keyword);
        let tree = describe(&index, 7).unwrap();
        assert_eq!(tree.to_string(), r#"{"data_type":"keyword","points":7}"#);
        assert!(warnings(&index).unwrap().is_empty());

        let text = r#"{"field_name": "n", "field_schema":
            {"type": "integer", "range": true, "is_principal": true, "on_disk": false,
             "lookup": null, "bogus": 1}}"#;
        let index = read(text).unwrap();
        let tree = describe(&index, 0).unwrap();
        let kept = r#"{"type":"integer","is_principal":true,"on_disk":false,"range":true}"#;
        assert_eq!(tree["params"].to_string(), kept);
        assert_eq!(warnings(&index).unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_indexed_says_so() {
        for (text, status, what) in [
            (r#"{"field_name": "a"}"#, 400, "auto-detect"),
            (
                r#"{"field_name": "a", "field_schema": "text"}"#,
                501,
                "text",
            ),
            (
                r#"{"field_name": "a", "field_schema": {"type": "geo"}}"#,
                501,
                "geo",
            ),
            (
                r#"{"field_name": "a", "field_schema": "number"}"#,
                400,
                "number",
            ),
            (
                r#"{"field_name": "a", "field_schema": 7}"#,
                400,
                "field_schema",
            ),
            (
                r#"{"field_name": "a", "field_schema": {"type": "bool", "on_disk": 1}}"#,
                400,
                "field_schema.on_disk: invalid type",
            ),
            (
                r#"{"field_name": "", "field_schema": "bool"}"#,
                400,
                "field_name",
            ),
            (r#"{"field_schema": "bool"}"#, 400, "field_name"),
            (
                r#"{"field_name": "a", "field_schema":
                    {"type": "integer", "lookup": false, "range": false}}"#,
                422,
                "lookup",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.status(), status, "{text}: {error}");
            assert!(error.message().contains(what), "{text}: {error}");
        }
    }
}
