//! Reads: query, the older search, scroll, count, retrieve.

use std::fmt;

use format_spec::PointId;
use query::filter::Filter;
use query::{
    CodeUse, OrderedRequest, PayloadSelector, QueryRequest, ScrollRequest, SearchParams, Target,
    VectorSelector,
};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::filter::JsonFilter;
use super::id::{Id, plain};
use super::order::JsonOrderBy;
use super::select::{ShardKey, WithPayload, WithVector};
use super::vector::{FloatsSeed, Shape, float};
use crate::error::{ApiError, Part};

/// Results when the request does not say how many.
const LIMIT_DEFAULT: u64 = 10;
/// A larger `limit` or `offset` is refused: no collection has as many points, and sums of the
/// two stay far from the end of the number line.
const LIMIT_MAX: u64 = u32::MAX as u64;

/// Body of `points/query`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object that describes a query")]
pub(crate) struct QueryBody {
    pub(super) prefetch: Option<Present>,
    pub(super) query: Option<QueryInput>,
    pub(super) using: Option<String>,
    pub(super) filter: Option<JsonFilter>,
    pub(super) params: Option<SearchOptions>,
    #[serde(default, deserialize_with = "float")]
    pub(super) score_threshold: Option<f32>,
    pub(super) limit: Option<u64>,
    pub(super) offset: Option<u64>,
    #[serde(alias = "with_vectors")]
    pub(super) with_vector: Option<WithVector>,
    pub(super) with_payload: Option<WithPayload>,
    pub(super) lookup_from: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) shard_key: ShardKey,
}

/// Body of `points/search`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `vector` and `limit`")]
pub(crate) struct SearchBody {
    pub(super) vector: SearchVector,
    pub(super) filter: Option<JsonFilter>,
    pub(super) params: Option<SearchOptions>,
    #[serde(default, deserialize_with = "float")]
    pub(super) score_threshold: Option<f32>,
    pub(super) limit: u64,
    pub(super) offset: Option<u64>,
    #[serde(alias = "with_vectors")]
    pub(super) with_vector: Option<WithVector>,
    pub(super) with_payload: Option<WithPayload>,
    #[serde(default)]
    pub(super) shard_key: ShardKey,
}

/// Body of the batch forms.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `searches`")]
pub(crate) struct BatchBody<T> {
    pub(crate) searches: Vec<T>,
}

/// Body of `points/scroll`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object that describes a scroll")]
pub(crate) struct ScrollBody {
    offset: Option<Id>,
    limit: Option<u64>,
    filter: Option<JsonFilter>,
    with_payload: Option<WithPayload>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    order_by: Option<JsonOrderBy>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// A scroll, checked.
#[derive(Debug)]
pub(crate) enum Scroll {
    /// In the order of ids.
    ById(ScrollRequest),
    /// In the order of a field.
    ByField(OrderedRequest),
}

/// Body of `points/count`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `filter` and `exact`")]
pub(crate) struct CountBody {
    filter: Option<JsonFilter>,
    exact: Option<bool>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// Body of `points`, by POST.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `ids`")]
pub(crate) struct RetrieveBody {
    ids: Vec<Id>,
    with_payload: Option<WithPayload>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// A retrieve, checked.
#[derive(Debug)]
pub(crate) struct Retrieve {
    pub(crate) ids: Vec<PointId>,
    pub(crate) with_payload: PayloadSelector,
    pub(crate) with_vector: VectorSelector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object of search parameters")]
pub(super) struct SearchOptions {
    hnsw_ef: Option<usize>,
    exact: Option<bool>,
    indexed_only: Option<bool>,
    /// Cairn's own: the recall that is wanted.
    recall: Option<f32>,
    /// Tunes the use of codes.
    quantization: Option<Quantization>,
    /// Asks for a way of filtering in the graph; Cairn chooses its own.
    acorn: Option<Acorn>,
    idf: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object of quantization parameters")]
struct Quantization {
    ignore: Option<bool>,
    rescore: Option<bool>,
    oversampling: Option<f64>,
}

impl Quantization {
    fn convert(&self) -> CodeUse {
        let default = CodeUse::default();
        CodeUse {
            ignore: self.ignore.unwrap_or(default.ignore),
            rescore: self.rescore.unwrap_or(default.rescore),
            oversampling: self.oversampling.unwrap_or(default.oversampling),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `enable` and `max_selectivity`")]
struct Acorn {
    max_selectivity: Option<f64>,
}

/// Whether a value, or a list of them, is there.
#[derive(Debug)]
pub(super) struct Present(bool);

impl SearchOptions {
    fn convert(params: Option<Self>, field: &str) -> Result<SearchParams, ApiError> {
        let params = params.unwrap_or_default();
        if params.idf.is_some() {
            return Err(ApiError::not_yet(format!(
                "sparse vectors, asked for in {field}.idf"
            )));
        }
        let codes = params.quantization.as_ref().map(Quantization::convert);
        let oversampling = params.quantization.and_then(|q| q.oversampling);
        let acorn = params.acorn.and_then(|acorn| acorn.max_selectivity);
        let wrong = if params.hnsw_ef == Some(0) {
            "hnsw_ef: value 0 invalid, must be 1 or larger".to_owned()
        } else if let Some(factor) = oversampling.filter(|factor| *factor < 1.0) {
            format!("quantization.oversampling: value {factor} invalid, must be 1.0 or larger")
        } else if let Some(recall) = params.recall.filter(|r| !(*r > 0.0 && *r <= 1.0)) {
            format!("recall: value {recall} invalid, must be above 0.0 and up to 1.0")
        } else if let Some(share) = acorn.filter(|share| !(0.0..=1.0).contains(share)) {
            format!("acorn.max_selectivity: value {share} invalid, must be from 0.0 to 1.0")
        } else {
            String::new()
        };
        if !wrong.is_empty() {
            return Err(ApiError::validation(Part::Body, format!("{field}.{wrong}")));
        }
        Ok(SearchParams {
            hnsw_ef: params.hnsw_ef,
            // All of the nearest for certain: that is what comparing all of them is for.
            exact: params.exact.unwrap_or(false) || params.recall == Some(1.0),
            indexed_only: params.indexed_only.unwrap_or(false),
            recall: params.recall,
            codes: codes.unwrap_or_default(),
        })
    }
}

pub(super) fn limit(value: u64, field: &str) -> Result<usize, ApiError> {
    match value {
        0 => Err(ApiError::validation(
            Part::Body,
            format!("{field}: value 0 invalid, must be 1 or larger"),
        )),
        1..=LIMIT_MAX => Ok(value as usize),
        _ => Err(too_far(value, field, 1)),
    }
}

fn offset(value: Option<u64>, field: &str) -> Result<usize, ApiError> {
    match value.unwrap_or(0) {
        value @ 0..=LIMIT_MAX => Ok(value as usize),
        value => Err(too_far(value, field, 0)),
    }
}

fn too_far(value: u64, field: &str, least: u64) -> ApiError {
    ApiError::validation(
        Part::Body,
        format!("{field}: value {value} invalid, must be from {least} to {LIMIT_MAX}"),
    )
}

pub(super) fn filter(filter: Option<JsonFilter>, field: &str) -> Result<Option<Filter>, ApiError> {
    filter.map(|filter| filter.convert(field)).transpose()
}

impl QueryBody {
    /// The request, checked; `place` is where it stands (`searches[1].`), empty for a body.
    pub(crate) fn convert(self, place: &str) -> Result<QueryRequest, ApiError> {
        self.shard_key.refuse()?;
        if self.prefetch.is_some_and(|Present(any)| any) {
            return Err(ApiError::not_yet(format!(
                "prefetch, asked for in {place}prefetch"
            )));
        }
        if self.lookup_from.is_some() {
            return Err(ApiError::not_yet(format!(
                "lookup_from, asked for in {place}lookup_from"
            )));
        }
        if self.query.is_none() && self.score_threshold.is_some() {
            return Err(ApiError::bad_request(
                "A query is needed to use the score_threshold. \
                 Can't have score_threshold without defining a query.",
            ));
        }
        let by_field = matches!(self.query, Some(QueryInput::OrderBy(_)));
        if by_field && self.score_threshold.is_some() {
            return Err(ApiError::bad_request(
                "Can't use score_threshold with an order_by query.",
            ));
        }
        Ok(QueryRequest {
            target: self.query.map(|query| query.convert(place)).transpose()?,
            using: self.using.unwrap_or_default(),
            filter: filter(self.filter, &format!("{place}filter"))?,
            params: SearchOptions::convert(self.params, &format!("{place}internal.params"))?,
            score_threshold: self.score_threshold,
            limit: limit(
                self.limit.unwrap_or(LIMIT_DEFAULT),
                &format!("{place}internal.limit"),
            )?,
            offset: offset(self.offset, &format!("{place}internal.offset"))?,
            with_payload: WithPayload::convert(self.with_payload, false)?,
            with_vector: WithVector::convert(self.with_vector),
        })
    }
}

impl SearchBody {
    /// The request, checked.
    pub(crate) fn convert(self, place: &str) -> Result<QueryRequest, ApiError> {
        self.shard_key.refuse()?;
        if let Shape::Unsupported(what) = self.vector.shape {
            return Err(ApiError::not_yet(format!(
                "{what}, asked for in {place}vector"
            )));
        }
        let field = |name| format!("{place}search_request.{name}");
        Ok(QueryRequest {
            target: Some(Target::Vector(self.vector.floats)),
            using: self.vector.name,
            filter: filter(self.filter, &format!("{place}filter"))?,
            params: SearchOptions::convert(self.params, &field("params"))?,
            score_threshold: self.score_threshold,
            limit: limit(self.limit, &field("limit"))?,
            offset: offset(self.offset, &field("offset"))?,
            with_payload: WithPayload::convert(self.with_payload, false)?,
            with_vector: WithVector::convert(self.with_vector),
        })
    }
}

impl ScrollBody {
    /// The request, checked.
    pub(crate) fn convert(self) -> Result<Scroll, ApiError> {
        self.shard_key.refuse()?;
        let limit = limit(self.limit.unwrap_or(LIMIT_DEFAULT), "scroll_request.limit")?;
        let filter = filter(self.filter, "filter")?;
        let with_payload = WithPayload::convert(self.with_payload, true)?;
        let with_vector = WithVector::convert(self.with_vector);
        let Some(order_by) = self.order_by else {
            return Ok(Scroll::ById(ScrollRequest {
                offset: self.offset.map(|Id(id)| id),
                limit,
                filter,
                with_payload,
                with_vector,
            }));
        };
        if self.offset.is_some() {
            return Err(ApiError::bad_input(
                "Cannot use an `offset` when using `order_by`. The alternative for paging is to \
                 use `order_by.start_from` and a filter to exclude the IDs that you've already \
                 seen for the `order_by.start_from` value",
            ));
        }
        Ok(Scroll::ByField(OrderedRequest {
            order_by: order_by.convert("order_by")?,
            limit,
            filter,
            with_payload,
            with_vector,
        }))
    }
}

impl CountBody {
    /// The filter, and whether the count must be exact.
    pub(crate) fn convert(self) -> Result<(Option<Filter>, bool), ApiError> {
        self.shard_key.refuse()?;
        Ok((filter(self.filter, "filter")?, self.exact.unwrap_or(true)))
    }
}

impl RetrieveBody {
    /// The request, checked.
    pub(crate) fn convert(self) -> Result<Retrieve, ApiError> {
        self.shard_key.refuse()?;
        Ok(Retrieve {
            ids: plain(self.ids),
            with_payload: WithPayload::convert(self.with_payload, true)?,
            with_vector: WithVector::convert(self.with_vector),
        })
    }
}

/// How a sample is drawn.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sample {
    Random,
}

/// What stands in `query`: an id or a vector, bare or under `nearest`, or another order.
#[derive(Debug)]
pub(super) enum QueryInput {
    Vector(Vec<f32>),
    Id(PointId),
    OrderBy(JsonOrderBy),
    Random,
    Unsupported(&'static str),
}

impl QueryInput {
    fn convert(self, place: &str) -> Result<Target, ApiError> {
        match self {
            Self::Vector(floats) => Ok(Target::Vector(floats)),
            Self::Id(id) => Ok(Target::Point(id)),
            Self::OrderBy(order_by) => {
                let order_by = order_by.convert(&format!("{place}query.order_by"))?;
                Ok(Target::OrderBy(order_by))
            }
            // Whoever runs the query chooses the seed.
            Self::Random => Ok(Target::Random { seed: 0 }),
            Self::Unsupported(what) => Err(ApiError::not_yet(format!(
                "{what}, asked for in {place}query"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for QueryInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QueryVisitor)
    }
}

struct QueryVisitor;

impl<'de> Visitor<'de> for QueryVisitor {
    type Value = QueryInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector, a point ID, or a query object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<QueryInput, A::Error> {
        let mut floats = Vec::new();
        Ok(match FloatsSeed(&mut floats).visit_seq(items)? {
            Shape::Dense => QueryInput::Vector(floats),
            Shape::Unsupported(what) => QueryInput::Unsupported(what),
        })
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<QueryInput, E> {
        id(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<QueryInput, E> {
        id(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<QueryInput, E> {
        id(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<QueryInput, E> {
        id(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<QueryInput, A::Error> {
        let mut input = None;
        while let Some(key) = members.next_key::<String>()? {
            let what = match key.as_str() {
                "nearest" => {
                    let nearest = members.next_value()?;
                    input.get_or_insert(nearest);
                    continue;
                }
                "mmr" => {
                    if members.next_value::<Option<IgnoredAny>>()?.is_some() {
                        input = Some(QueryInput::Unsupported("maximal marginal relevance (mmr)"));
                    }
                    continue;
                }
                "order_by" => {
                    input = Some(QueryInput::OrderBy(members.next_value()?));
                    continue;
                }
                "sample" => {
                    let Sample::Random = members.next_value()?;
                    input = Some(QueryInput::Random);
                    continue;
                }
                "recommend" => "recommend queries",
                "discover" => "discover queries",
                "context" => "context queries",
                "fusion" | "rrf" => "fusion queries",
                "formula" => "formula queries",
                "relevance_feedback" => "relevance feedback queries",
                "indices" | "values" => super::vector::SPARSE,
                "text" | "image" | "object" | "model" => super::vector::INFERENCE,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            members.next_value::<IgnoredAny>()?;
            input = Some(QueryInput::Unsupported(what));
        }
        input.ok_or_else(|| de::Error::missing_field("nearest"))
    }
}

fn id<'de, E: de::Error>(value: impl IntoDeserializer<'de, E>) -> Result<QueryInput, E> {
    Id::deserialize(value.into_deserializer()).map(|Id(id)| QueryInput::Id(id))
}

/// What stands in `vector` of a search: a list, or a list and its name.
#[derive(Debug)]
pub(super) struct SearchVector {
    name: String,
    floats: Vec<f32>,
    shape: Shape,
}

impl<'de> Deserialize<'de> for SearchVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SearchVectorVisitor)
    }
}

struct SearchVectorVisitor;

impl<'de> Visitor<'de> for SearchVectorVisitor {
    type Value = SearchVector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector, or an object with `name` and `vector`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<SearchVector, A::Error> {
        let mut floats = Vec::new();
        let shape = FloatsSeed(&mut floats).visit_seq(items)?;
        Ok(SearchVector {
            name: String::new(),
            floats,
            shape,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<SearchVector, A::Error> {
        let (mut name, mut floats, mut shape) = (None, Vec::new(), None);
        while let Some(key) = members.next_key::<String>()? {
            match key.as_str() {
                "name" => name = Some(members.next_value()?),
                "vector" => {
                    floats.clear();
                    shape = Some(members.next_value_seed(FloatsSeed(&mut floats))?);
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(SearchVector {
            name: name.ok_or_else(|| de::Error::missing_field("name"))?,
            floats,
            shape: shape.ok_or_else(|| de::Error::missing_field("vector"))?,
        })
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PresentVisitor;
        impl<'de> Visitor<'de> for PresentVisitor {
            type Value = Present;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a list of objects")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Present, A::Error> {
                IgnoredAny.visit_map(members)?;
                Ok(Present(true))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Present, A::Error> {
                let mut any = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(Present(any))
            }
        }
        deserializer.deserialize_any(PresentVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn query(text: &str) -> Result<QueryRequest, ApiError> {
        json::read::<QueryBody>(text.as_bytes())?.convert("")
    }

    #[test]
    fn a_query_is_a_vector_or_an_id_bare_or_nearest() {
        let target = |text: &str| query(text).unwrap().target;
        let vector = Some(Target::Vector(vec![0.5, 1.0]));
        assert_eq!(target(r#"{"query": [0.5, 1]}"#), vector);
        assert_eq!(target(r#"{"query": {"nearest": [0.5, 1]}}"#), vector);
        let point = Some(Target::Point(PointId::Number(7)));
        assert_eq!(target(r#"{"query": 7}"#), point);
        assert_eq!(target(r#"{"query": {"nearest": 7, "mmr": null}}"#), point);
        assert!(matches!(
            target(r#"{"query": "550e8400-e29b-41d4-a716-446655440000"}"#),
            Some(Target::Point(PointId::Uuid(_)))
        ));
        assert_eq!(target("{}"), None);
        assert_eq!(target(r#"{"query": null, "prefetch": []}"#), None);
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let request = query("{}").unwrap();
        assert_eq!((request.limit, request.offset), (10, 0));
        assert_eq!(request.with_payload, PayloadSelector::All(false));
        assert_eq!(request.using, "");
        let body: ScrollBody = json::read(b"{}").unwrap();
        let Scroll::ById(request) = body.convert().unwrap() else {
            panic!("no field was named");
        };
        assert_eq!(request.limit, 10);
        assert_eq!(request.with_payload, PayloadSelector::All(true));
        let body: CountBody = json::read(b"{}").unwrap();
        assert!(body.convert().unwrap().1);
    }

    #[test]
    fn a_query_may_be_another_order() {
        let order_by = query(r#"{"query": {"order_by": {"key": "n"}}}"#)
            .unwrap()
            .target;
        assert!(matches!(order_by, Some(Target::OrderBy(by)) if by.path.to_string() == "n"));
        let order_by = query(r#"{"query": {"order_by": "n"}}"#).unwrap().target;
        assert!(matches!(order_by, Some(Target::OrderBy(_))));
        let sample = query(r#"{"query": {"sample": "random"}}"#).unwrap().target;
        assert!(matches!(sample, Some(Target::Random { .. })));
        let text = r#"{"query": {"order_by": "n"}, "score_threshold": 1}"#;
        let error = query(text).unwrap_err();
        assert_eq!(error.status(), 400);
        let message = "Bad request: Can't use score_threshold with an order_by query.";
        assert_eq!(error.message(), message);
        for text in [
            r#"{"query": {"order_by": 7}}"#,
            r#"{"query": {"order_by": "a..b"}}"#,
            r#"{"query": {"sample": "sorted"}}"#,
            r#"{"query": {"sample": null}}"#,
        ] {
            assert_eq!(query(text).unwrap_err().status(), 400, "{text}");
        }
        let scroll = |text: &str| json::read::<ScrollBody>(text.as_bytes())?.convert();
        assert!(matches!(
            scroll(r#"{"order_by": "n"}"#),
            Ok(Scroll::ByField(_))
        ));
        let error = scroll(r#"{"order_by": "n", "offset": 3}"#).unwrap_err();
        let text = "Wrong input: Cannot use an `offset` when using `order_by`. The alternative";
        assert!(error.message().starts_with(text), "{error}");
    }

    #[test]
    fn limits_at_both_ends_name_the_field() {
        let error = query(r#"{"limit": 0}"#).unwrap_err();
        assert_eq!(error.status(), 422);
        assert_eq!(
            error.message(),
            "Validation error in JSON body: \
             [internal.limit: value 0 invalid, must be 1 or larger]"
        );
        let error = query(r#"{"limit": 9223372036854775808}"#).unwrap_err();
        assert_eq!(error.status(), 422);
        assert!(
            error
                .message()
                .contains("internal.limit: value 9223372036854775808")
        );
        let error = query(r#"{"limit": 18446744073709551616}"#).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.message().contains("limit: "), "{error}");
        let error = query(r#"{"offset": 9223372036854775808}"#).unwrap_err();
        assert!(error.message().contains("internal.offset"), "{error}");
        for (params, field) in [
            (r#"{"hnsw_ef": 0}"#, "internal.params.hnsw_ef"),
            (r#"{"quantization": {"oversampling": 0.5}}"#, "oversampling"),
            (r#"{"recall": 0.0}"#, "recall"),
            (r#"{"recall": 1.01}"#, "recall"),
            (
                r#"{"acorn": {"enable": true, "max_selectivity": 2}}"#,
                "max_selectivity",
            ),
        ] {
            let error = query(&format!("{{\"params\": {params}}}")).unwrap_err();
            assert_eq!(error.status(), 422);
            assert!(error.message().contains(field), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_refused_by_name() {
        for (text, what) in [
            (
                r#"{"prefetch": {"query": [1]}, "query": {"fusion": "rrf"}}"#,
                "prefetch",
            ),
            (r#"{"query": {"fusion": "rrf"}}"#, "fusion"),
            (
                r#"{"query": {"recommend": {"positive": [1]}}}"#,
                "recommend",
            ),
            (
                r#"{"query": {"nearest": [1], "mmr": {"diversity": 0.5}}}"#,
                "mmr",
            ),
            (r#"{"query": {"indices": [1], "values": [1]}}"#, "sparse"),
            (r#"{"query": [[1, 2], [3, 4]]}"#, "multivectors"),
            (r#"{"query": {"text": "x", "model": "y"}}"#, "inference"),
            (
                r#"{"query": {"nearest": {"text": "x", "model": "y"}}}"#,
                "inference",
            ),
            (
                r#"{"query": 1, "lookup_from": {"collection": "x"}}"#,
                "lookup_from",
            ),
            (r#"{"params": {"idf": "global"}}"#, "idf"),
            (r#"{"shard_key": "a"}"#, "shard_key"),
        ] {
            let error = query(text).unwrap_err();
            assert_eq!(error.status(), 501, "{text}: {error}");
            assert!(error.message().contains(what), "{error}");
        }
    }

    #[test]
    fn a_vector_with_a_number_too_large_names_its_place() {
        let error = query(r#"{"query": [0, 1e39]}"#).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.message().contains("query[1]"), "{error}");
        let error = query(r#"{"query": [1], "score_threshold": 1e39}"#).unwrap_err();
        assert!(error.message().contains("score_threshold"), "{error}");
    }

    #[test]
    fn a_search_names_its_vector_or_does_not() {
        let read = |text: &str| json::read::<SearchBody>(text.as_bytes())?.convert("");
        let request = read(r#"{"vector": [1, 2], "limit": 3}"#).unwrap();
        assert_eq!(request.using, "");
        let text = r#"{"vector": {"name": "a", "vector": [1]}, "limit": 3, "offset": 2}"#;
        let request = read(text).unwrap();
        assert_eq!((request.using.as_str(), request.offset), ("a", 2));
        assert!(
            read(r#"{"vector": [1]}"#)
                .unwrap_err()
                .message()
                .contains("limit")
        );
        let error = read(r#"{"vector": {"name": "a", "vector": {"indices": []}}, "limit": 1}"#);
        assert_eq!(error.unwrap_err().status(), 501);
    }
}
