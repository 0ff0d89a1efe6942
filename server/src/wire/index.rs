//! Payload indexes: `field_schema` in both of its forms, and the stored one back.

use engine::{FieldIndexReport, Residency};
use format_spec::{FieldIndex, FieldType, Value};
use query::filter::{FieldPath, PathItem, TextSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value as Tree;

use super::config::Memory;
use super::filter::path;
use super::json;
use super::placement::of_on_disk;
use super::value::{AsJson, from_tree};
use crate::error::{ApiError, Part};

/// Body of `PUT collections/{name}/index`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `field_name` and `field_schema`")]
pub(crate) struct IndexBody {
    field_name: String,
    field_schema: Option<Tree>,
}

/// The parameters of an index; what is none of its type is not kept, as in Qdrant.
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
    substring: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested: Option<String>,
    #[serde(flatten)]
    text: TextOptions,
}

/// The parameters of a text index, read by [`TextSettings`].
#[derive(Debug, Default, Deserialize, Serialize)]
struct TextOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    tokenizer: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_token_len: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_token_len: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lowercase: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ascii_folding: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phrase_matching: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopwords: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stemmer: Option<Tree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scoring: Option<Scoring>,
}

/// How texts are ranked.
#[derive(Debug, Deserialize, Serialize)]
struct Scoring {
    r#type: ScoringType,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum ScoringType {
    Bm25,
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
        let path = path(&self.field_name, "field_name")?;
        let (name, settings) = if let Tree::String(name) = schema {
            (name, Value::Null)
        } else {
            let options: IndexOptions =
                json::of_tree(schema).map_err(|why| ApiError::json(why.below("field_schema")))?;
            let of_type = field_type(&options.r#type)?;
            let options = options.of_type(of_type);
            options.check(&path)?;
            let kept = serde_json::to_value(&options).map_err(ApiError::internal)?;
            (options.r#type, from_tree(kept))
        };
        let field_type = field_type(&name)?;
        if field_type == FieldType::Text {
            check_text(&settings)?;
        }
        Ok(FieldIndex {
            path: path.to_string(),
            field_type,
            settings: settings.to_bytes(),
        })
    }
}

/// Checks the parameters of a text index.
fn check_text(settings: &Value) -> Result<(), ApiError> {
    let settings = TextSettings::from_value(settings)
        .map_err(|error| ApiError::json(format!("field_schema.{error}")))?;
    match (settings.min_token_len, settings.max_token_len) {
        (Some(least), Some(most)) if least > most => Err(invalid(format!(
            "min_token_len: {least} is more than max_token_len, {most}"
        ))),
        (_, Some(0)) => Err(invalid(
            "max_token_len: value 0 is invalid, must be 1 or larger",
        )),
        _ => Ok(()),
    }
}

fn invalid(what: impl std::fmt::Display) -> ApiError {
    ApiError::validation(Part::Body, format!("field_schema.{what}"))
}

impl IndexOptions {
    /// Only what an index of this type has.
    fn of_type(self, field_type: FieldType) -> Self {
        use FieldType as T;
        let keep = |types: &[T]| types.contains(&field_type);
        Self {
            is_tenant: self.is_tenant.filter(|_| keep(&[T::Keyword, T::Uuid])),
            is_principal: self
                .is_principal
                .filter(|_| keep(&[T::Integer, T::Float, T::Datetime])),
            prefix: self.prefix.filter(|_| keep(&[T::Keyword])),
            substring: self.substring.filter(|_| keep(&[T::Keyword])),
            lookup: self.lookup.filter(|_| keep(&[T::Integer])),
            range: self.range.filter(|_| keep(&[T::Integer])),
            text: if keep(&[T::Text]) {
                self.text
            } else {
                TextOptions::default()
            },
            ..self
        }
    }

    fn check(&self, path: &FieldPath) -> Result<(), ApiError> {
        if self.lookup == Some(false) && self.range == Some(false) {
            return Err(ApiError::validation(
                Part::Body,
                "field_schema: the 'lookup' and 'range' capabilities can't be both disabled",
            ));
        }
        let Some(nested) = &self.nested else {
            return Ok(());
        };
        let array = super::filter::path(nested, "field_schema.nested")?;
        let mut inside = array.items().to_vec();
        if inside.last() != Some(&PathItem::Every) {
            inside.push(PathItem::Every);
        }
        if path.items().len() > inside.len() && path.items().starts_with(&inside) {
            return Ok(());
        }
        Err(invalid(format!(
            "nested: {path} is not inside the elements of {nested}"
        )))
    }

    /// What is set and has no effect. `prefix`, `substring`, `lookup` and `range` ask for what
    /// every index of their type does; only that it be left out has none. There are no graphs for
    /// single values of a field that `enable_hnsw` could ask for or leave out: searches among
    /// the points of a filter need none.
    fn without_effect(&self) -> Vec<&'static str> {
        [
            ("prefix", self.prefix == Some(false)),
            ("substring", self.substring == Some(false)),
            ("lookup", self.lookup == Some(false)),
            ("range", self.range == Some(false)),
            ("scoring", self.text.scoring.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
        .collect()
    }
}

/// The types by the names the API has for them.
const TYPES: [(&str, FieldType); 8] = [
    ("keyword", FieldType::Keyword),
    ("integer", FieldType::Integer),
    ("float", FieldType::Float),
    ("bool", FieldType::Bool),
    ("geo", FieldType::Geo),
    ("text", FieldType::Text),
    ("datetime", FieldType::Datetime),
    ("uuid", FieldType::Uuid),
];

fn field_type(name: &str) -> Result<FieldType, ApiError> {
    let found = TYPES.iter().find(|(known, _)| *known == name);
    found.map(|(_, field_type)| *field_type).ok_or_else(|| {
        let names = TYPES.map(|(known, _)| format!("`{known}`")).join(", ");
        ApiError::json(format!(
            "field_schema: unknown type `{name}`, expected one of {names}"
        ))
    })
}

/// How the API calls a type.
pub(crate) fn type_name(field_type: FieldType) -> &'static str {
    let found = TYPES.iter().find(|(_, known)| *known == field_type);
    found.map_or("", |(name, _)| name)
}

/// Where the columns of an index are, and how far they are built.
#[derive(Debug, Serialize)]
pub(crate) struct JsonFieldIndex {
    bytes: u64,
    /// Locked in memory.
    resident: u64,
    /// In memory as far as there is room.
    cached: u64,
    segments_covered: u64,
    segments: u64,
}

impl From<FieldIndexReport> for JsonFieldIndex {
    fn from(report: FieldIndexReport) -> Self {
        Self {
            bytes: report.bytes,
            resident: report.held.resident + report.held.locked,
            cached: report.held.mapped,
            segments_covered: report.segments_covered,
            segments: report.segments,
        }
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

/// Where the columns of an index are to be.
pub(crate) fn residency(index: &FieldIndex) -> Result<Residency, ApiError> {
    let Some(params) = stored(index)? else {
        return Ok(Residency::default());
    };
    let params = IndexOptions::deserialize(params).map_err(ApiError::internal)?;
    Ok(of_on_disk(params.memory, params.on_disk).unwrap_or_default())
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
        assert!(warnings(&index).unwrap().is_empty());

        let served = r#"{"field_name": "a", "field_schema":
            {"type": "keyword", "prefix": true, "substring": true}}"#;
        assert!(warnings(&read(served).unwrap()).unwrap().is_empty());
        let left_out = r#"{"field_name": "a", "field_schema":
            {"type": "keyword", "prefix": false, "substring": false}}"#;
        assert_eq!(warnings(&read(left_out).unwrap()).unwrap().len(), 2);
        let text = r#"{"field_name": "n", "field_schema":
            {"type": "uuid", "is_tenant": true, "enable_hnsw": false}}"#;
        assert!(warnings(&read(text).unwrap()).unwrap().is_empty());
        let text = r#"{"field_name": "a[].b", "field_schema":
            {"type": "text", "nested": "a", "scoring": {"type": "bm25"}}}"#;
        let lines = warnings(&read(text).unwrap()).unwrap();
        assert!(lines.len() == 1 && lines[0].contains("scoring"));
    }

    #[test]
    fn every_type_is_taken_with_its_parameters_and_given_back() {
        for (name, field_type) in TYPES {
            let body = format!(r#"{{"field_name": "a", "field_schema": "{name}"}}"#);
            let index = read(&body).unwrap();
            assert_eq!(index.field_type, field_type);
            assert_eq!(describe(&index, 0).unwrap()["data_type"], name);
        }
        for params in [
            r#"{"type":"keyword","is_tenant":true,"on_disk":true,"prefix":true}"#,
            r#"{"type":"keyword","prefix":true,"substring":true}"#,
            r#"{"type":"uuid","is_tenant":true,"enable_hnsw":false}"#,
            r#"{"type":"datetime","is_principal":true,"memory":"cold"}"#,
            r#"{"type":"geo","nested":"a"}"#,
            concat!(
                r#"{"type":"text","tokenizer":"multilingual","min_token_len":2,"#,
                r#""max_token_len":20,"lowercase":true,"ascii_folding":true,"#,
                r#""phrase_matching":true,"#,
                r#""stopwords":{"languages":["english"],"custom":["cairn"]},"#,
                r#""stemmer":{"type":"snowball","language":"english"},"#,
                r#""scoring":{"type":"bm25"}}"#
            ),
        ] {
            let body = format!(r#"{{"field_name": "a[].b", "field_schema": {params}}}"#);
            let index = read(&body).unwrap();
            assert_eq!(describe(&index, 1).unwrap()["params"].to_string(), params);
        }
        // What another type has is left out.
        let body = r#"{"field_name": "a", "field_schema":
            {"type": "bool", "tokenizer": "word", "prefix": true, "is_tenant": true}}"#;
        let index = read(body).unwrap();
        assert_eq!(
            describe(&index, 1).unwrap()["params"].to_string(),
            r#"{"type":"bool"}"#
        );
    }

    #[test]
    fn columns_are_held_as_asked() {
        let of = |params: &str| {
            let body = format!(r#"{{"field_name": "a", "field_schema": {params}}}"#);
            residency(&read(&body).unwrap()).unwrap()
        };
        assert_eq!(of(r#""geo""#), Residency::Cached);
        assert_eq!(of(r#"{"type": "geo", "on_disk": true}"#), Residency::Cold);
        let both = r#"{"type": "geo", "on_disk": true, "memory": "pinned"}"#;
        assert_eq!(of(both), Residency::Pinned);
    }

    #[test]
    fn what_cannot_be_indexed_says_so() {
        for (text, status, what) in [
            (r#"{"field_name": "a"}"#, 400, "auto-detect"),
            (
                r#"{"field_name": "a", "field_schema": {"type": "text", "tokenizer": "bytes"}}"#,
                400,
                "field_schema.tokenizer: unknown variant `bytes`",
            ),
            (
                r#"{"field_name": "a", "field_schema": {"type": "text", "lowercase": "yes"}}"#,
                400,
                "field_schema.lowercase: expected a boolean",
            ),
            (
                r#"{"field_name": "a", "field_schema":
                    {"type": "text", "stemmer": {"type": "snowball", "language": "latin"}}}"#,
                400,
                "field_schema.stemmer.language: unknown variant `latin`",
            ),
            (
                r#"{"field_name": "a", "field_schema":
                    {"type": "text", "min_token_len": 5, "max_token_len": 3}}"#,
                422,
                "min_token_len",
            ),
            (
                r#"{"field_name": "a", "field_schema": {"type": "text", "min_token_len": -1}}"#,
                400,
                "min_token_len",
            ),
            (
                r#"{"field_name": "a.b", "field_schema": {"type": "keyword", "nested": "a"}}"#,
                422,
                "nested",
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
