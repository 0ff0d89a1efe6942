//! Points in bulk: JSON straight into columns in element encoding.
//!
//! This is the hot path of loading. Both forms of the API are read in one pass over the body:
//! `points`, a list of objects, and `batch`, a list a column. The floats of a point go through
//! one reused buffer into [`UpsertRows`], which checks and encodes them.
//!
//! A refusal (a wrong dimension, an unknown name, a sparse vector) is an [`ApiError`] with a
//! status of its own. It is kept aside in [`Ingest`] while the JSON reader is told to stop.
//!
//! # Invariants
//! - Members of an object may come in any order; of one that comes twice the last counts.
//! - Nothing of a body is kept when any part of it is refused.

use std::fmt;
use std::ops::Range;

use engine::UpsertRows;
use format_spec::{EMPTY_PAYLOAD, PointId, Schema};
use query::UpdateMode;
use query::filter::Filter;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::columns::BatchSeed;
use super::filter::JsonFilter;
use super::id::Id;
use super::json;
use super::reader;
use super::select::ShardKey;
use super::value::Object;
use super::vector::{FloatsSeed, Shape};
use crate::error::{ApiError, Part, bad_vector, no_vector};

/// An upsert, or an update of vectors, as read.
#[derive(Debug)]
pub(crate) struct Upsert {
    pub(crate) rows: UpsertRows,
    update_filter: Option<JsonFilter>,
    pub(crate) mode: UpdateMode,
    shard_key: ShardKey,
}

impl Upsert {
    /// Checks what is beside the points.
    pub(crate) fn convert(self, place: &str) -> Result<Checked, ApiError> {
        self.shard_key.refuse()?;
        let field = format!("{place}update_filter");
        Ok(Checked {
            rows: self.rows,
            update_filter: self.update_filter.map(|f| f.convert(&field)).transpose()?,
            mode: self.mode,
        })
    }
}

/// An upsert that can be resolved.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) rows: UpsertRows,
    pub(crate) update_filter: Option<Filter>,
    pub(crate) mode: UpdateMode,
}

/// What of a point is read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Vectors and payload: an upsert.
    Points,
    /// Vectors, of which there must be one: an update of vectors.
    Vectors,
}

/// What the readers of one body share.
#[derive(Debug)]
pub(crate) struct Ingest<'s> {
    pub(super) schema: &'s Schema,
    pub(super) want: Want,
    /// Where the points stand in the body, such as `operations[1].upsert.`.
    pub(super) place: String,
    pub(super) rows: UpsertRows,
    /// Floats of the point being read.
    floats: Vec<f32>,
    /// Vectors of the point being read: position in the schema, place in `floats`.
    spans: Vec<(usize, Range<usize>)>,
    payload: Vec<u8>,
    /// Why the reader was told to stop, if it was.
    pub(crate) refusal: Option<ApiError>,
}

impl<'s> Ingest<'s> {
    pub(crate) fn new(schema: &'s Schema, want: Want, place: String) -> Self {
        Self {
            schema,
            want,
            place,
            rows: UpsertRows::new(schema),
            floats: Vec::new(),
            spans: Vec::new(),
            payload: Vec::new(),
            refusal: None,
        }
    }

    /// Reads a whole body.
    pub(crate) fn read(mut self, body: &[u8]) -> Result<Checked, ApiError> {
        if let Ok(upsert) = reader::take(body, UpsertSeed(&mut self)) {
            return upsert.convert("");
        }
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let again = || Self::new(self.schema, self.want, self.place.clone());
        let mut second = again();
        match json::first(body, UpsertSeed(&mut second)) {
            Ok(upsert) => upsert.convert(""),
            Err(error) => Err(second
                .refusal
                .take()
                .unwrap_or_else(|| json::explain(&error, body, UpsertSeed(&mut again())))),
        }
    }

    /// Stops the reader.
    pub(super) fn refuse<E: de::Error>(&mut self, error: ApiError) -> E {
        let text = error.message().to_owned();
        self.refusal.get_or_insert(error);
        E::custom(text)
    }

    pub(super) fn unsupported<E: de::Error>(&mut self, what: &str, field: &str) -> E {
        self.refuse(ApiError::not_yet(format!("{what}, asked for in {field}")))
    }

    /// Position of a vector name in the schema.
    pub(super) fn vector_index(&self, name: &str) -> Option<usize> {
        self.schema
            .vectors
            .iter()
            .position(|vector| vector.name == name)
    }

    /// Forgets what an earlier list in the same body brought.
    fn clear(&mut self) {
        self.rows = UpsertRows::new(self.schema);
    }

    fn set_payload(&mut self, payload: Option<Object>) {
        self.payload.clear();
        match payload {
            Some(Object(payload)) => payload.encode(&mut self.payload),
            None => self.payload.extend_from_slice(EMPTY_PAYLOAD),
        }
    }

    /// Moves the point that was read into the rows.
    fn commit(&mut self, id: PointId, field: &dyn Fn() -> String) -> Result<(), ApiError> {
        self.rows.begin(id);
        for (index, span) in self.spans.drain(..) {
            let added = self.rows.vector(index, &self.floats[span]);
            added.map_err(|error| {
                bad_vector(
                    &error,
                    &with_name(field(), &self.schema.vectors[index].name),
                )
            })?;
        }
        self.rows.payload(&self.payload);
        self.floats.clear();
        Ok(())
    }
}

/// The path of a vector of this name; the unnamed one stands for the whole.
pub(super) fn with_name(mut field: String, name: &str) -> String {
    if !name.is_empty() {
        field.push('.');
        field.push_str(name);
    }
    field
}

/// Reads the object around the points.
pub(crate) struct UpsertSeed<'a, 's>(pub(crate) &'a mut Ingest<'s>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum UpsertField {
    Points,
    Batch,
    UpdateFilter,
    UpdateMode,
    ShardKey,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Upsert,
    InsertOnly,
    UpdateOnly,
}

impl<'de> DeserializeSeed<'de> for UpsertSeed<'_, '_> {
    type Value = Upsert;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Upsert, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for UpsertSeed<'_, '_> {
    type Value = Upsert;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `points` or `batch`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Upsert, A::Error> {
        let ingest = self.0;
        let (mut update_filter, mut mode) = (None, None);
        let mut shard_key = ShardKey::default();
        let mut any = false;
        while let Some(field) = members.next_key()? {
            match field {
                UpsertField::Points => {
                    ingest.clear();
                    members.next_value_seed(PointsSeed(ingest))?;
                    any = true;
                }
                UpsertField::Batch if ingest.want == Want::Points => {
                    ingest.clear();
                    members.next_value_seed(BatchSeed(ingest))?;
                    any = true;
                }
                UpsertField::UpdateFilter => update_filter = members.next_value()?,
                UpsertField::UpdateMode => mode = members.next_value()?,
                UpsertField::ShardKey => shard_key = members.next_value()?,
                UpsertField::Batch | UpsertField::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        if !any {
            return Err(de::Error::missing_field("points"));
        }
        Ok(Upsert {
            rows: std::mem::replace(&mut ingest.rows, UpsertRows::new(ingest.schema)),
            update_filter,
            mode: match mode {
                None | Some(Mode::Upsert) => UpdateMode::Upsert,
                Some(Mode::InsertOnly) => UpdateMode::InsertOnly,
                Some(Mode::UpdateOnly) => UpdateMode::UpdateOnly,
            },
            shard_key,
        })
    }
}

/// Reads the list of points.
struct PointsSeed<'a, 's>(&'a mut Ingest<'s>);

impl<'de> DeserializeSeed<'de> for PointsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PointsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of points")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut at = 0;
        while let Some(()) = items.next_element_seed(PointSeed { ingest: self.0, at })? {
            at += 1;
        }
        Ok(())
    }
}

/// Reads one point.
struct PointSeed<'a, 's> {
    ingest: &'a mut Ingest<'s>,
    at: usize,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum PointField {
    Id,
    Vector,
    Payload,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for PointSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PointSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a point: an object with `id` and `vector`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { ingest, at } = self;
        let (mut id, mut vector) = (None, false);
        ingest.set_payload(None);
        while let Some(field) = members.next_key()? {
            match field {
                PointField::Id => id = Some(members.next_value::<Id>()?.0),
                PointField::Vector => {
                    members.next_value_seed(VectorSeed { ingest, at })?;
                    vector = true;
                }
                PointField::Payload if ingest.want == Want::Points => {
                    ingest.set_payload(members.next_value()?);
                }
                PointField::Payload | PointField::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        let id = id.ok_or_else(|| de::Error::missing_field("id"))?;
        if !vector {
            return Err(de::Error::missing_field("vector"));
        }
        let place = ingest.place.clone();
        let field = || format!("{place}points[{at}].vector");
        if ingest.want == Want::Vectors && ingest.spans.is_empty() {
            let what = format!("{}: must specify vectors to update for point", field());
            return Err(ingest.refuse(ApiError::validation(Part::Body, what)));
        }
        ingest
            .commit(id, &field)
            .map_err(|error| ingest.refuse(error))
    }
}

/// Reads the vectors of one point: a list for the unnamed one, or a map.
struct VectorSeed<'a, 's> {
    ingest: &'a mut Ingest<'s>,
    at: usize,
}

impl VectorSeed<'_, '_> {
    fn field(&self) -> String {
        format!("{}points[{}].vector", self.ingest.place, self.at)
    }

    /// Notes the floats from `start` as the vector at `index` of the schema.
    fn span<E: de::Error>(
        &mut self,
        name: &str,
        index: Option<usize>,
        start: usize,
        shape: Shape,
    ) -> Result<(), E> {
        if let Shape::Unsupported(what) = shape {
            let field = self.field();
            return Err(self.ingest.unsupported(what, &field));
        }
        let Some(index) = index else {
            let error = no_vector(name, &self.field());
            return Err(self.ingest.refuse(error));
        };
        let end = self.ingest.floats.len();
        self.ingest.spans.push((index, start..end));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for VectorSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.ingest.floats.clear();
        self.ingest.spans.clear();
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for VectorSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector, or an object of named vectors")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, items: A) -> Result<(), A::Error> {
        let shape = FloatsSeed(&mut self.ingest.floats).visit_seq(items)?;
        let index = self.ingest.vector_index("");
        self.span("", index, 0, shape)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(NameSeed(self.ingest))? {
            let start = self.ingest.floats.len();
            let shape = members.next_value_seed(FloatsSeed(&mut self.ingest.floats))?;
            match name {
                Name::Known(index) => self.span("", Some(index), start, shape)?,
                Name::Unknown(name) => self.span(&name, None, start, shape)?,
            }
        }
        Ok(())
    }
}

/// Looks a vector name up without copying it.
pub(super) struct NameSeed<'a, 's>(pub(super) &'a Ingest<'s>);

pub(super) enum Name {
    Known(usize),
    Unknown(String),
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_, '_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a vector")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(self
            .0
            .vector_index(name)
            .map_or_else(|| Name::Unknown(name.to_owned()), Name::Known))
    }
}

#[cfg(test)]
mod tests {
    use format_spec::{Metric, Value, VectorSchema};

    use super::*;

    fn schema() -> Schema {
        let vector = |name: &str, dim| VectorSchema {
            name: name.to_owned(),
            ..VectorSchema::unnamed(dim, Metric::Dot)
        };
        Schema {
            vectors: vec![vector("", 2), vector("b", 1)],
            ..Schema::default()
        }
    }

    fn read(text: &str) -> Result<Checked, ApiError> {
        Ingest::new(&schema(), Want::Points, String::new()).read(text.as_bytes())
    }

    fn floats(checked: &Checked, at: usize, index: usize) -> Option<Vec<f32>> {
        let row = checked.rows.get_vector(at, index)?;
        let chunks = row
            .chunks_exact(4)
            .map(|c| f32::from_le_bytes(c.try_into().unwrap()));
        Some(chunks.collect())
    }

    #[test]
    fn both_forms_give_the_same_rows() {
        let points = read(
            r#"{"points": [
                {"payload": {"k": [1, "x"]}, "vector": {"b": [3], "": [1, 2]}, "id": 1},
                {"id": "550e8400e29b41d4a716446655440000", "vector": {"": [4, 5]}, "payload": null}
            ], "shard_key": null, "unknown": {"deep": []}}"#,
        )
        .unwrap();
        let batch = read(
            r#"{"batch": {
                "payloads": [{"k": [1, "x"]}, null],
                "vectors": {"": [[1, 2], [4, 5]]},
                "ids": [1, "550e8400-e29b-41d4-a716-446655440000"]
            }}"#,
        )
        .unwrap();
        for checked in [&points, &batch] {
            assert_eq!(checked.rows.len(), 2);
            assert_eq!(checked.rows.id(0), PointId::Number(1));
            assert_eq!(floats(checked, 0, 0).unwrap(), [1.0, 2.0]);
            assert_eq!(floats(checked, 1, 0).unwrap(), [4.0, 5.0]);
            assert_eq!(floats(checked, 1, 1), None);
            let payload = Value::decode(checked.rows.get_payload(0)).unwrap();
            assert!(payload.get("k").is_some());
            assert_eq!(checked.rows.get_payload(1), EMPTY_PAYLOAD);
        }
        assert_eq!(floats(&points, 0, 1).unwrap(), [3.0]);
    }

    #[test]
    fn a_point_may_have_no_vectors_and_a_list_is_the_unnamed_one() {
        let checked = read(r#"{"points": [{"id": 1, "vector": {}}, {"id": 2, "vector": [1, 2]}]}"#);
        let checked = checked.unwrap();
        assert_eq!(floats(&checked, 0, 0), None);
        assert_eq!(floats(&checked, 1, 0).unwrap(), [1.0, 2.0]);
        assert_eq!(checked.mode, UpdateMode::Upsert);
    }

    #[test]
    fn refusals_have_their_own_status_and_name_the_field() {
        for (vector, status, text) in [
            (
                "[1]",
                400,
                "Vector dimension error: expected dim: 2, got 1 in points[1].vector",
            ),
            (
                r#"{"b": [1, 2]}"#,
                400,
                "Vector dimension error: expected dim: 1, got 2 in points[1].vector.b",
            ),
            ("[]", 422, "points[1].vector: all vectors must be non-empty"),
            (
                r#"{"c": [1]}"#,
                400,
                "Not existing vector name error: c in points[1].vector",
            ),
            (
                "[[1, 2]]",
                501,
                "multivectors, asked for in points[1].vector",
            ),
            (
                r#"{"b": {"indices": [1], "values": [1]}}"#,
                501,
                "sparse vectors",
            ),
            (r#"{"text": "a", "model": "b"}"#, 501, "inference"),
            (r#"{"b": {"text": "a", "model": "b"}}"#, 501, "inference"),
            (
                "[1, 1e39]",
                400,
                "points[1].vector[1]: number 1e39 is out of the range",
            ),
            ("[1, NaN]", 400, "expected value at line 1 column"),
            (
                r#"[1, "a"]"#,
                400,
                "points[1].vector[1]: invalid type: string",
            ),
            ("null", 400, "points[1].vector: invalid type: null"),
        ] {
            let text_in = format!(
                r#"{{"points": [{{"id": 1, "vector": [1, 2]}}, {{"id": 2, "vector": {vector}}}]}}"#
            );
            let error = read(&text_in).unwrap_err();
            assert_eq!(error.status(), status, "{vector}: {error}");
            assert!(error.message().contains(text), "{vector}: {error}");
        }
    }

    #[test]
    fn broken_points_name_what_is_missing() {
        for (text, place) in [
            (
                r#"{"points": [{"vector": [1, 2]}]}"#,
                "points[0]: missing field `id`",
            ),
            (
                r#"{"points": [{"id": 1}]}"#,
                "points[0]: missing field `vector`",
            ),
            (
                r#"{"points": [{"id": -1, "vector": [1, 2]}]}"#,
                "points[0].id: value -1 is not",
            ),
            (
                r#"{"points": [{"id": 1, "vector": [1, 2], "payload": 7}]}"#,
                "points[0].payload",
            ),
            (r#"{"points": 7}"#, "points: invalid type"),
            ("{}", "missing field `points`"),
            (
                r#"{"points": [], "update_mode": "sometimes"}"#,
                "update_mode: unknown variant",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.status(), 400, "{text}");
            assert!(error.message().contains(place), "{text}: {error}");
        }
    }

    #[test]
    fn columns_of_different_lengths_are_refused() {
        for (text, what) in [
            (
                r#""ids": [1, 2], "vectors": [[1, 2]]"#,
                "number of ids and vectors must be equal",
            ),
            (
                r#""ids": [1], "vectors": {"b": []}"#,
                "number of ids and vectors must be equal",
            ),
            (
                r#""ids": [1], "vectors": [[1, 2]], "payloads": []"#,
                "number of ids and payloads must be equal",
            ),
        ] {
            let error = read(&format!(r#"{{"batch": {{{text}}}}}"#)).unwrap_err();
            assert_eq!(error.status(), 422, "{text}: {error}");
            assert!(error.message().contains(what), "{text}: {error}");
        }
        let text = r#"{"batch": {"ids": [1], "vectors": {"": [[1, 2, 3]]}}}"#;
        let error = read(text).unwrap_err();
        assert!(
            error.message().contains("got 3 in batch.vectors[0]"),
            "{error}"
        );
        let error = read(r#"{"batch": {"ids": [1], "vectors": [[[1]]]}}"#).unwrap_err();
        assert_eq!(error.status(), 501);
    }

    #[test]
    fn an_update_of_vectors_needs_vectors() {
        let schema = schema();
        let read =
            |text: &str| Ingest::new(&schema, Want::Vectors, String::new()).read(text.as_bytes());
        let error = read(r#"{"points": [{"id": 1, "vector": {}}]}"#).unwrap_err();
        assert_eq!(error.status(), 422);
        assert!(
            error
                .message()
                .contains("[points[0].vector: must specify vectors to update")
        );
        assert_eq!(
            read(r#"{"points": [{"id": 1, "vector": [1, 2]}]}"#)
                .unwrap()
                .rows
                .len(),
            1
        );
    }
}
