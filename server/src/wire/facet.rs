//! Facets and distance matrices: bodies and answers.

use query::{FacetHit, FacetRequest, FacetValue, Matrix, MatrixRequest};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::filter::{JsonFilter, path};
use super::id::Id;
use super::search::{filter, limit};
use super::select::ShardKey;
use crate::error::{ApiError, Part};

/// What the API gives when the request does not say how many.
const FACET_LIMIT_DEFAULT: u64 = 10;
const SAMPLE_DEFAULT: u64 = 10;
const NEIGHBOURS_DEFAULT: u64 = 3;

/// Body of `facet`.
#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `key`")]
pub(crate) struct FacetBody {
    key: String,
    limit: Option<u64>,
    filter: Option<JsonFilter>,
    /// Counts are exact either way; it is read so that something else in its place is refused.
    #[serde(rename = "exact")]
    _exact: Option<bool>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// Body of `points/search/matrix/pairs` and `/offsets`.
#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object that describes a sample")]
pub(crate) struct MatrixBody {
    filter: Option<JsonFilter>,
    sample: Option<u64>,
    limit: Option<u64>,
    using: Option<String>,
    #[serde(default)]
    shard_key: ShardKey,
}

impl FacetBody {
    /// The request, checked.
    pub(crate) fn convert(self) -> Result<FacetRequest, ApiError> {
        self.shard_key.refuse()?;
        Ok(FacetRequest {
            path: path(&self.key, "key")?,
            limit: limit(
                self.limit.unwrap_or(FACET_LIMIT_DEFAULT),
                "facet_request.limit",
            )?,
            filter: filter(self.filter, "filter")?,
        })
    }
}

impl MatrixBody {
    /// The request, checked.
    pub(crate) fn convert(self, seed: u64) -> Result<MatrixRequest, ApiError> {
        self.shard_key.refuse()?;
        let sample = self.sample.unwrap_or(SAMPLE_DEFAULT);
        let field = "search_request.sample";
        if sample < 2 {
            return Err(ApiError::validation(
                Part::Body,
                format!("{field}: value {sample} invalid, must be 2 or larger"),
            ));
        }
        Ok(MatrixRequest {
            using: self.using.unwrap_or_default(),
            filter: filter(self.filter, "filter")?,
            sample: limit(sample, field)?,
            limit: limit(
                self.limit.unwrap_or(NEIGHBOURS_DEFAULT),
                "search_request.limit",
            )?,
            seed,
        })
    }
}

/// A value and its count.
#[derive(Debug)]
pub(crate) struct JsonFacetHit(pub(crate) FacetHit);

struct Value<'a>(&'a FacetValue);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            FacetValue::Bool(value) => serializer.serialize_bool(*value),
            FacetValue::Int(number) => serializer.serialize_i64(*number),
            FacetValue::Uuid(uuid) => serializer.collect_str(&uuid::Uuid::from_u128(*uuid)),
            FacetValue::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl Serialize for JsonFacetHit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hit = serializer.serialize_struct("hit", 2)?;
        hit.serialize_field("value", &Value(&self.0.value))?;
        hit.serialize_field("count", &self.0.count)?;
        hit.end()
    }
}

/// A matrix as pairs of ids.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Pairs {
    pairs: Vec<Pair>,
}

#[derive(Debug, serde::Serialize)]
struct Pair {
    a: Id,
    b: Id,
    score: f32,
}

/// A matrix as positions in a list of ids.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Offsets {
    offsets_row: Vec<usize>,
    offsets_col: Vec<usize>,
    scores: Vec<f32>,
    ids: Vec<Id>,
}

/// Row, column and score of every pair. JSON has no infinity.
fn entries(matrix: &Matrix) -> impl Iterator<Item = (usize, usize, f32)> {
    let rows = matrix.nearest.iter().enumerate();
    rows.flat_map(|(row, nearest)| {
        let entry = move |(col, score): &(usize, f32)| (row, *col, score.clamp(f32::MIN, f32::MAX));
        nearest.iter().map(entry)
    })
}

impl Pairs {
    pub(crate) fn new(matrix: &Matrix) -> Self {
        let pair = |(a, b, score): (usize, usize, f32)| Pair {
            a: Id(matrix.ids[a]),
            b: Id(matrix.ids[b]),
            score,
        };
        Self {
            pairs: entries(matrix).map(pair).collect(),
        }
    }
}

impl Offsets {
    pub(crate) fn new(matrix: &Matrix) -> Self {
        Self {
            offsets_row: entries(matrix).map(|(row, ..)| row).collect(),
            offsets_col: entries(matrix).map(|(_, col, _)| col).collect(),
            scores: entries(matrix).map(|(.., score)| score).collect(),
            ids: matrix.ids.iter().copied().map(Id).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use format_spec::PointId;

    use super::*;
    use crate::wire::json;

    #[test]
    fn defaults_are_those_of_the_api() {
        let facet = |text: &str| json::read::<FacetBody>(text.as_bytes())?.convert();
        assert_eq!(facet(r#"{"key": "a"}"#).unwrap().limit, 10);
        let matrix = |text: &str| json::read::<MatrixBody>(text.as_bytes())?.convert(1);
        let request = matrix("{}").unwrap();
        assert_eq!((request.sample, request.limit), (10, 3));
        for (text, status, word) in [
            ("{}", 400, "key"),
            (r#"{"key": "a", "limit": 0}"#, 422, "limit: value 0 invalid"),
            (r#"{"key": "a", "exact": 1}"#, 400, "exact"),
            (r#"{"key": "a", "filter": {"x": 1}}"#, 400, "x"),
            (r#"{"key": "a..b"}"#, 400, "key"),
        ] {
            let error = facet(text).unwrap_err();
            assert_eq!(error.status(), status, "{text}: {error}");
            assert!(error.message().contains(word), "{error}");
        }
        let error = matrix(r#"{"sample": 1}"#).unwrap_err();
        assert!(
            error
                .message()
                .contains("sample: value 1 invalid, must be 2 or larger")
        );
        assert_eq!(matrix(r#"{"limit": 0}"#).unwrap_err().status(), 422);
    }

    #[test]
    fn a_matrix_is_pairs_or_offsets() {
        let matrix = Matrix {
            ids: vec![PointId::Number(7), PointId::Number(9)],
            nearest: vec![vec![(1, 0.5)], vec![(0, f32::INFINITY)]],
        };
        let json = serde_json::to_value(Pairs::new(&matrix)).unwrap();
        assert_eq!(json["pairs"][0]["a"], 7);
        assert_eq!(json["pairs"][0]["b"], 9);
        assert!(json["pairs"][1]["score"].is_number());
        let json = serde_json::to_value(Offsets::new(&matrix)).unwrap();
        assert_eq!(json["offsets_row"], serde_json::json!([0, 1]));
        assert_eq!(json["offsets_col"], serde_json::json!([1, 0]));
        assert_eq!(json["ids"], serde_json::json!([7, 9]));
    }
}
