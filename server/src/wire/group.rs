//! Groups: the bodies of `query/groups` and of the older `search/groups`, and the answer.

use std::fmt;

use format_spec::PointId;
use query::{Group, GroupKey, GroupsRequest, PayloadSelector, Record, VectorSelector};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::filter::{JsonFilter, path};
use super::id;
use super::record::{JsonHit, JsonRecord};
use super::search::{
    Present, QueryBody, QueryInput, SearchBody, SearchOptions, SearchVector, limit,
};
use super::select::{ShardKey, WithPayload, WithVector};
use super::vector::float;
use crate::error::ApiError;

/// Groups and points of each when the request does not say how many.
const LIMIT_DEFAULT: u64 = 10;
const SIZE_DEFAULT: u64 = 3;

/// Body of `points/query/groups`.
#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `group_by`")]
pub(crate) struct QueryGroupsBody {
    prefetch: Option<Present>,
    query: Option<QueryInput>,
    using: Option<String>,
    filter: Option<JsonFilter>,
    params: Option<SearchOptions>,
    #[serde(default, deserialize_with = "float")]
    score_threshold: Option<f32>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    with_payload: Option<WithPayload>,
    lookup_from: Option<IgnoredAny>,
    group_by: String,
    group_size: Option<u64>,
    limit: Option<u64>,
    with_lookup: Option<JsonLookup>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// Body of `points/search/groups`.
#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `vector`, `group_by`, `group_size` and `limit`")]
pub(crate) struct SearchGroupsBody {
    vector: SearchVector,
    filter: Option<JsonFilter>,
    params: Option<SearchOptions>,
    #[serde(default, deserialize_with = "float")]
    score_threshold: Option<f32>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    with_payload: Option<WithPayload>,
    group_by: String,
    group_size: u64,
    limit: u64,
    with_lookup: Option<JsonLookup>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// `with_lookup`: the name of a collection, or an object.
#[derive(Debug)]
struct JsonLookup(Members);

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `collection`")]
struct Members {
    collection: String,
    with_payload: Option<WithPayload>,
    #[serde(alias = "with_vector")]
    with_vectors: Option<WithVector>,
}

/// Where the points that groups are named after are.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) collection: String,
    pub(crate) with_payload: PayloadSelector,
    pub(crate) with_vector: VectorSelector,
}

/// Points wanted of each group, within the bounds of the API.
fn size(value: u64) -> Result<usize, ApiError> {
    limit(value, "search_group_request.group_request.group_size")
}

/// Groups wanted, within the bounds of the API.
fn groups(value: u64) -> Result<u64, ApiError> {
    limit(value, "search_group_request.group_request.limit")?;
    Ok(value)
}

impl QueryGroupsBody {
    /// The request, checked, and where to look the groups up.
    pub(crate) fn convert(self) -> Result<(GroupsRequest, Option<Lookup>), ApiError> {
        let wanted = groups(self.limit.unwrap_or(LIMIT_DEFAULT))?;
        let group_size = size(self.group_size.unwrap_or(SIZE_DEFAULT))?;
        let lookup = self.with_lookup.map(JsonLookup::convert).transpose()?;
        let body = QueryBody {
            prefetch: self.prefetch,
            query: self.query,
            using: self.using,
            filter: self.filter,
            params: self.params,
            score_threshold: self.score_threshold,
            limit: Some(wanted),
            offset: None,
            with_vector: self.with_vector,
            with_payload: self.with_payload,
            lookup_from: self.lookup_from,
            shard_key: self.shard_key,
        };
        let request = GroupsRequest {
            query: body.convert("")?,
            group_by: path(&self.group_by, "group_by")?,
            group_size,
        };
        Ok((request, lookup))
    }
}

impl SearchGroupsBody {
    /// The request, checked, and where to look the groups up.
    pub(crate) fn convert(self) -> Result<(GroupsRequest, Option<Lookup>), ApiError> {
        let wanted = groups(self.limit)?;
        let group_size = size(self.group_size)?;
        let lookup = self.with_lookup.map(JsonLookup::convert).transpose()?;
        let body = SearchBody {
            vector: self.vector,
            filter: self.filter,
            params: self.params,
            score_threshold: self.score_threshold,
            limit: wanted,
            offset: None,
            with_vector: self.with_vector,
            with_payload: self.with_payload,
            shard_key: self.shard_key,
        };
        let request = GroupsRequest {
            query: body.convert("")?,
            group_by: path(&self.group_by, "group_by")?,
            group_size,
        };
        Ok((request, lookup))
    }
}

impl JsonLookup {
    fn convert(self) -> Result<Lookup, ApiError> {
        let Self(members) = self;
        Ok(Lookup {
            collection: members.collection,
            with_payload: WithPayload::convert(members.with_payload, true)?,
            with_vector: WithVector::convert(members.with_vectors),
        })
    }
}

impl<'de> Deserialize<'de> for JsonLookup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LookupVisitor;
        impl<'de> Visitor<'de> for LookupVisitor {
            type Value = JsonLookup;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a collection, or an object with `collection`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<JsonLookup, E> {
                Ok(JsonLookup(Members {
                    collection: name.to_owned(),
                    with_payload: None,
                    with_vectors: None,
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<JsonLookup, A::Error> {
                Members::deserialize(MapAccessDeserializer::new(members)).map(JsonLookup)
            }
        }
        deserializer.deserialize_any(LookupVisitor)
    }
}

/// The point that a group is named after, if its value can be an id.
pub(crate) fn id_of(key: &GroupKey) -> Option<PointId> {
    match key {
        GroupKey::Int(number) => u64::try_from(*number).ok().map(PointId::Number),
        GroupKey::Uint(number) => Some(PointId::Number(*number)),
        GroupKey::Text(text) => id::parse_uuid(text),
    }
}

/// A group in an answer.
#[derive(Debug)]
pub(crate) struct JsonGroup {
    pub(crate) group: Group,
    pub(crate) lookup: Option<Record>,
}

struct Key<'a>(&'a GroupKey);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            GroupKey::Int(number) => serializer.serialize_i64(*number),
            GroupKey::Uint(number) => serializer.serialize_u64(*number),
            GroupKey::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl Serialize for JsonGroup {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let hits: Vec<JsonHit> = self.group.hits.iter().cloned().map(JsonHit).collect();
        map.serialize_entry("hits", &hits)?;
        map.serialize_entry("id", &Key(&self.group.key))?;
        if let Some(record) = &self.lookup {
            map.serialize_entry("lookup", &JsonRecord(record.clone()))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn query(text: &str) -> Result<(GroupsRequest, Option<Lookup>), ApiError> {
        json::read::<QueryGroupsBody>(text.as_bytes())?.convert()
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let (request, lookup) = query(r#"{"group_by": "a"}"#).unwrap();
        assert_eq!((request.query.limit, request.group_size), (10, 3));
        assert_eq!(request.query.target, None);
        assert!(lookup.is_none());
        let (_, lookup) = query(r#"{"group_by": "a", "with_lookup": "b"}"#).unwrap();
        let lookup = lookup.unwrap();
        assert_eq!(lookup.collection, "b");
        assert_eq!(lookup.with_payload, PayloadSelector::All(true));
        assert_eq!(lookup.with_vector, VectorSelector::All(false));
        let text = r#"{"group_by": "a", "with_lookup":
            {"collection": "b", "with_payload": ["x"], "with_vectors": true}}"#;
        let lookup = query(text).unwrap().1.unwrap();
        assert!(matches!(lookup.with_payload, PayloadSelector::Include(_)));
        assert_eq!(lookup.with_vector, VectorSelector::All(true));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, status, word) in [
            ("{}", 400, "group_by"),
            (r#"{"group_by": ""}"#, 400, "group_by"),
            (
                r#"{"group_by": "a", "limit": 0}"#,
                422,
                "group_request.limit: value 0",
            ),
            (
                r#"{"group_by": "a", "group_size": 0}"#,
                422,
                "group_size: value 0",
            ),
            (r#"{"group_by": "a", "group_size": -1}"#, 400, "group_size"),
            (r#"{"group_by": "a", "with_lookup": 7}"#, 400, "with_lookup"),
            (r#"{"group_by": "a", "with_lookup": {}}"#, 400, "collection"),
            (
                r#"{"group_by": "a", "with_payload": {"x": 1}}"#,
                400,
                "with_payload",
            ),
            (r#"{"group_by": "a", "prefetch": {}}"#, 501, "prefetch"),
            (r#"{"group_by": "a", "shard_key": "x"}"#, 501, "shard_key"),
        ] {
            let error = query(text).unwrap_err();
            assert_eq!(error.status(), status, "{text}: {error}");
            assert!(error.message().contains(word), "{error}");
        }
        let search = |text: &str| json::read::<SearchGroupsBody>(text.as_bytes())?.convert();
        let error = search(r#"{"vector": [1], "group_by": "a", "limit": 1}"#).unwrap_err();
        assert!(error.message().contains("group_size"), "{error}");
        let text = r#"{"vector": [1], "group_by": "a", "limit": 4, "group_size": 2}"#;
        let (request, _) = search(text).unwrap();
        assert_eq!((request.query.limit, request.group_size), (4, 2));
    }

    #[test]
    fn groups_that_may_be_ids_are_looked_up() {
        let text = |text: &str| GroupKey::Text(text.to_owned());
        assert_eq!(id_of(&GroupKey::Int(7)), Some(PointId::Number(7)));
        assert_eq!(id_of(&GroupKey::Int(-7)), None);
        assert_eq!(
            id_of(&GroupKey::Uint(u64::MAX)),
            Some(PointId::Number(u64::MAX))
        );
        assert_eq!(id_of(&text("7")), None);
        let uuid = text("550e8400-e29b-41d4-a716-446655440000");
        assert!(matches!(id_of(&uuid), Some(PointId::Uuid(_))));
    }
}
