//! Writes other than bulk upserts, and the batch of all kinds.

use std::fmt;

use format_spec::Schema;
use query::{Selector, WriteOp};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::filter::{JsonFilter, any_path};
use super::id::Id;
use super::json;
use super::reader;
use super::select::{PointsSelector, ShardKey, paths};
use super::upsert::{Checked, Ingest, Upsert, UpsertSeed, Want};
use super::value::Object;
use crate::error::{ApiError, Part, no_vector};

/// Body of set and overwrite payload.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `payload` and `points` or `filter`")]
struct PayloadBody {
    payload: Object,
    points: Option<Vec<Id>>,
    filter: Option<JsonFilter>,
    key: Option<String>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// Body of delete payload.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `keys` and `points` or `filter`")]
struct KeysBody {
    keys: Vec<String>,
    points: Option<Vec<Id>>,
    filter: Option<JsonFilter>,
    #[serde(default)]
    shard_key: ShardKey,
}

/// Body of delete vectors.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `vector` and `points` or `filter`")]
struct NamesBody {
    vector: Vec<String>,
    points: Option<Vec<Id>>,
    filter: Option<JsonFilter>,
    #[serde(default)]
    shard_key: ShardKey,
}

impl PayloadBody {
    fn select(
        points: Option<Vec<Id>>,
        filter: Option<JsonFilter>,
        shard_key: ShardKey,
        place: &str,
    ) -> Result<Selector, ApiError> {
        PointsSelector {
            points,
            filter,
            shard_key,
        }
        .convert(place)
    }

    fn set(self, place: &str) -> Result<WriteOp, ApiError> {
        let key = self
            .key
            .map(|key| any_path(&key, &format!("{place}key")))
            .transpose()?;
        Ok(WriteOp::SetPayload {
            payload: self.payload.0,
            select: Self::select(self.points, self.filter, self.shard_key, place)?,
            key,
        })
    }

    fn overwrite(self, place: &str) -> Result<WriteOp, ApiError> {
        Ok(WriteOp::OverwritePayload {
            payload: self.payload.0,
            select: Self::select(self.points, self.filter, self.shard_key, place)?,
        })
    }
}

impl KeysBody {
    fn convert(self, place: &str) -> Result<WriteOp, ApiError> {
        Ok(WriteOp::DeletePayload {
            keys: paths(&self.keys, &format!("{place}keys"))?,
            select: PayloadBody::select(self.points, self.filter, self.shard_key, place)?,
        })
    }
}

impl NamesBody {
    fn convert(self, schema: &Schema, place: &str) -> Result<WriteOp, ApiError> {
        if self.vector.is_empty() {
            return Err(ApiError::validation(
                Part::Body,
                format!("{place}vector: must specify vector names to delete"),
            ));
        }
        let known = |name: &String| schema.vectors.iter().any(|vector| vector.name == *name);
        if let Some(name) = self.vector.iter().find(|name| !known(name)) {
            return Err(no_vector(name, &format!("{place}vector")));
        }
        Ok(WriteOp::DeleteVectors {
            names: self.vector,
            select: PayloadBody::select(self.points, self.filter, self.shard_key, place)?,
        })
    }
}

fn upsert(checked: Checked) -> WriteOp {
    WriteOp::Upsert {
        rows: checked.rows,
        update_filter: checked.update_filter,
        mode: checked.mode,
    }
}

fn vectors(checked: Checked) -> WriteOp {
    WriteOp::UpdateVectors {
        rows: checked.rows,
        update_filter: checked.update_filter,
    }
}

/// `PUT points`.
pub(crate) fn read_upsert(schema: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    Ingest::new(schema, Want::Points, String::new())
        .read(body)
        .map(upsert)
}

/// `PUT points/vectors`.
pub(crate) fn read_vectors(schema: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    Ingest::new(schema, Want::Vectors, String::new())
        .read(body)
        .map(vectors)
}

/// `POST points/delete`.
pub(crate) fn read_delete(_: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    json::read::<PointsSelector>(body)?
        .convert("")
        .map(WriteOp::Delete)
}

/// `POST points/payload`.
pub(crate) fn read_set_payload(_: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    json::read::<PayloadBody>(body)?.set("")
}

/// `PUT points/payload`.
pub(crate) fn read_overwrite_payload(_: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    json::read::<PayloadBody>(body)?.overwrite("")
}

/// `POST points/payload/delete`.
pub(crate) fn read_delete_payload(_: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    json::read::<KeysBody>(body)?.convert("")
}

/// `POST points/payload/clear`.
pub(crate) fn read_clear_payload(_: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    json::read::<PointsSelector>(body)?
        .convert("")
        .map(WriteOp::ClearPayload)
}

/// `POST points/vectors/delete`.
pub(crate) fn read_delete_vectors(schema: &Schema, body: &[u8]) -> Result<WriteOp, ApiError> {
    json::read::<NamesBody>(body)?.convert(schema, "")
}

/// `POST points/batch`.
pub(crate) fn read_batch(schema: &Schema, body: &[u8]) -> Result<Vec<WriteOp>, ApiError> {
    let operations = operations(schema, body)?.into_iter().enumerate();
    operations
        .map(|(at, operation)| operation.convert(schema, at))
        .collect()
}

fn operations(schema: &Schema, body: &[u8]) -> Result<Vec<Operation>, ApiError> {
    let mut batch = Batch::new(schema);
    if let Ok(operations) = reader::take(body, BatchSeed(&mut batch)) {
        return Ok(operations);
    }
    if let Some(refusal) = batch.refusal {
        return Err(refusal);
    }
    let mut second = Batch::new(schema);
    json::first(body, BatchSeed(&mut second)).map_err(|error| {
        second
            .refusal
            .take()
            .unwrap_or_else(|| json::explain(&error, body, BatchSeed(&mut Batch::new(schema))))
    })
}

/// What the readers of one batch share.
struct Batch<'s> {
    schema: &'s Schema,
    refusal: Option<ApiError>,
}

impl<'s> Batch<'s> {
    fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            refusal: None,
        }
    }
}

/// One operation of a batch, as read.
enum Operation {
    Upsert(Upsert),
    Delete(PointsSelector),
    SetPayload(PayloadBody),
    OverwritePayload(PayloadBody),
    DeletePayload(KeysBody),
    ClearPayload(PointsSelector),
    UpdateVectors(Upsert),
    DeleteVectors(NamesBody),
}

#[derive(Copy, Clone, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum OperationName {
    Upsert,
    Delete,
    SetPayload,
    OverwritePayload,
    DeletePayload,
    ClearPayload,
    UpdateVectors,
    DeleteVectors,
}

impl Operation {
    fn convert(self, schema: &Schema, at: usize) -> Result<WriteOp, ApiError> {
        let place = |name: &str| format!("operations[{at}].{name}.");
        match self {
            Self::Upsert(body) => body.convert(&place("upsert")).map(upsert),
            Self::Delete(body) => body.convert(&place("delete")).map(WriteOp::Delete),
            Self::SetPayload(body) => body.set(&place("set_payload")),
            Self::OverwritePayload(body) => body.overwrite(&place("overwrite_payload")),
            Self::DeletePayload(body) => body.convert(&place("delete_payload")),
            Self::ClearPayload(body) => body
                .convert(&place("clear_payload"))
                .map(WriteOp::ClearPayload),
            Self::UpdateVectors(body) => body.convert(&place("update_vectors")).map(vectors),
            Self::DeleteVectors(body) => body.convert(schema, &place("delete_vectors")),
        }
    }
}

/// Reads the body of a batch.
struct BatchSeed<'a, 's>(&'a mut Batch<'s>);

impl<'de> DeserializeSeed<'de> for BatchSeed<'_, '_> {
    type Value = Vec<Operation>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BatchSeed<'_, '_> {
    type Value = Vec<Operation>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `operations`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut operations = None;
        while let Some(key) = members.next_key::<String>()? {
            if key == "operations" {
                operations = Some(members.next_value_seed(OperationsSeed(self.0))?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        operations.ok_or_else(|| de::Error::missing_field("operations"))
    }
}

/// Reads the list of operations.
struct OperationsSeed<'a, 's>(&'a mut Batch<'s>);

impl<'de> DeserializeSeed<'de> for OperationsSeed<'_, '_> {
    type Value = Vec<Operation>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OperationsSeed<'_, '_> {
    type Value = Vec<Operation>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut operations = Vec::new();
        while let Some(operation) = items.next_element_seed(OperationSeed {
            batch: self.0,
            at: operations.len(),
        })? {
            operations.push(operation);
        }
        Ok(operations)
    }
}

/// Reads one operation: an object with one member, whose name says which.
struct OperationSeed<'a, 's> {
    batch: &'a mut Batch<'s>,
    at: usize,
}

impl OperationSeed<'_, '_> {
    fn points<'de, A: MapAccess<'de>>(
        &mut self,
        members: &mut A,
        want: Want,
        name: &str,
    ) -> Result<Upsert, A::Error> {
        let place = format!("operations[{}].{name}.", self.at);
        let mut ingest = Ingest::new(self.batch.schema, want, place);
        let read = members.next_value_seed(UpsertSeed(&mut ingest));
        if let Some(refusal) = ingest.refusal.take() {
            self.batch.refusal = Some(refusal);
        }
        read
    }
}

impl<'de> DeserializeSeed<'de> for OperationSeed<'_, '_> {
    type Value = Operation;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Operation, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OperationSeed<'_, '_> {
    type Value = Operation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one operation, such as `upsert`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Operation, A::Error> {
        use OperationName as Name;
        let name = members.next_key()?;
        let name: Name = name.ok_or_else(|| de::Error::missing_field("upsert"))?;
        let operation = match name {
            Name::Upsert => Operation::Upsert(self.points(&mut members, Want::Points, "upsert")?),
            Name::Delete => Operation::Delete(members.next_value()?),
            Name::SetPayload => Operation::SetPayload(members.next_value()?),
            Name::OverwritePayload => Operation::OverwritePayload(members.next_value()?),
            Name::DeletePayload => Operation::DeletePayload(members.next_value()?),
            Name::ClearPayload => Operation::ClearPayload(members.next_value()?),
            Name::UpdateVectors => Operation::UpdateVectors(self.points(
                &mut members,
                Want::Vectors,
                "update_vectors",
            )?),
            Name::DeleteVectors => Operation::DeleteVectors(members.next_value()?),
        };
        if let Some(second) = members.next_key::<String>()? {
            return Err(de::Error::custom(format_args!(
                "`{second}` is a second operation in one object; each needs its own"
            )));
        }
        Ok(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<WriteOp>, ApiError> {
        read_batch(&Schema::default(), text.as_bytes())
    }

    #[test]
    fn a_batch_has_all_kinds_in_order() {
        let ops = read(
            r#"{"operations": [
                {"upsert": {"points": [{"id": 1, "vector": {}}]}},
                {"delete": {"points": [1]}},
                {"set_payload": {"payload": {"a": 1}, "points": [1], "key": "b.c"}},
                {"overwrite_payload": {"payload": {}, "filter": {}}},
                {"delete_payload": {"keys": ["a"], "points": [1]}},
                {"clear_payload": {"filter": {"must": []}}},
                {"update_vectors": {"points": []}}
            ]}"#,
        )
        .unwrap();
        assert!(matches!(ops[0], WriteOp::Upsert { .. }));
        assert!(matches!(ops[1], WriteOp::Delete(Selector::Ids(_))));
        assert!(matches!(ops[2], WriteOp::SetPayload { key: Some(_), .. }));
        assert!(matches!(ops[3], WriteOp::OverwritePayload { .. }));
        assert!(matches!(ops[4], WriteOp::DeletePayload { .. }));
        assert!(matches!(ops[5], WriteOp::ClearPayload(Selector::Filter(_))));
        assert!(matches!(ops[6], WriteOp::UpdateVectors { .. }));
    }

    #[test]
    fn a_refusal_deep_in_a_batch_names_its_operation() {
        for (operation, status, text) in [
            (
                r#"{"upsert": {"points": [{"id": 1, "vector": {"x": [1]}}]}}"#,
                400,
                "Not existing vector name error: x in operations[1].upsert.points[0].vector",
            ),
            (
                r#"{"update_vectors": {"points": [{"id": 1, "vector": {}}]}}"#,
                422,
                "operations[1].update_vectors.points[0].vector: must specify vectors",
            ),
            (r#"{"delete": {}}"#, 400, "operations[1].delete.points"),
            (
                r#"{"clear_payload": {"filter": {"must": [{"key": "a"}]}}}"#,
                422,
                "operations[1].clear_payload.filter.must[0]",
            ),
            (
                r#"{"delete_vectors": {"points": [1], "vector": ["v"]}}"#,
                400,
                "error: v in operations[1].delete_vectors.vector",
            ),
            (
                r#"{"delete_vectors": {"points": [1], "vector": []}}"#,
                422,
                "operations[1]",
            ),
            (r#"{"insert": {}}"#, 400, "unknown field `insert`"),
            (
                r#"{"delete": {"points": [1]}, "upsert": {}}"#,
                400,
                "operations[1]",
            ),
            ("{}", 400, "operations[1]"),
            (
                r#"{"delete": {"points": ["x"]}}"#,
                400,
                "operations[1].delete.points[0]",
            ),
        ] {
            let text_in =
                format!(r#"{{"operations": [{{"delete": {{"points": []}}}}, {operation}]}}"#);
            let error = read(&text_in).unwrap_err();
            assert_eq!(error.status(), status, "{operation}: {error}");
            assert!(error.message().contains(text), "{operation}: {error}");
        }
    }
}
