//! The columnar form of an upsert: `ids`, `vectors`, `payloads`, each a list.
//!
//! The columns may come in any order, so they are read whole and then zipped into rows.

use std::fmt;

use format_spec::{EMPTY_PAYLOAD, PointId};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::id::{Id, plain};
use super::upsert::{Ingest, Name, NameSeed, with_name};
use super::value::Object;
use super::vector::{FloatsSeed, Shape};
use crate::error::{ApiError, Part, bad_vector, no_vector};

/// Reads `batch`.
pub(super) struct BatchSeed<'a, 's>(pub(super) &'a mut Ingest<'s>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum BatchField {
    Ids,
    Vectors,
    Payloads,
    #[serde(other)]
    Other,
}

/// The columns as they were read.
#[derive(Default)]
struct Columns {
    ids: Option<Vec<PointId>>,
    vectors: Option<Vec<VectorColumn>>,
    payloads: Option<PayloadColumn>,
}

/// The vectors of one name, one behind the other.
struct VectorColumn {
    index: usize,
    floats: Vec<f32>,
    ends: Vec<usize>,
}

/// Encoded payloads, one behind the other.
#[derive(Default)]
struct PayloadColumn {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What lies between two ends.
fn slice<'a, T>(items: &'a [T], ends: &[usize], at: usize) -> &'a [T] {
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &items[start..ends[at]]
}

impl<'de> DeserializeSeed<'de> for BatchSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BatchSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `ids`, `vectors` and `payloads`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut columns = Columns::default();
        while let Some(field) = members.next_key()? {
            match field {
                BatchField::Ids => columns.ids = Some(plain(members.next_value::<Vec<Id>>()?)),
                BatchField::Vectors => {
                    columns.vectors = Some(members.next_value_seed(VectorsSeed(self.0))?);
                }
                BatchField::Payloads => columns.payloads = members.next_value()?,
                BatchField::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        let ids = columns.ids.ok_or_else(|| de::Error::missing_field("ids"))?;
        let vectors = columns
            .vectors
            .ok_or_else(|| de::Error::missing_field("vectors"))?;
        zip(self.0, &ids, &vectors, columns.payloads.as_ref()).map_err(|error| self.0.refuse(error))
    }
}

fn zip(
    ingest: &mut Ingest<'_>,
    ids: &[PointId],
    vectors: &[VectorColumn],
    payloads: Option<&PayloadColumn>,
) -> Result<(), ApiError> {
    for column in vectors {
        same_length(&ingest.place, ids.len(), "vectors", column.ends.len())?;
    }
    if let Some(column) = payloads {
        same_length(&ingest.place, ids.len(), "payloads", column.ends.len())?;
    }
    for (at, &id) in ids.iter().enumerate() {
        ingest.rows.begin(id);
        for column in vectors {
            let floats = slice(&column.floats, &column.ends, at);
            ingest.rows.vector(column.index, floats).map_err(|error| {
                let name = &ingest.schema.vectors[column.index].name;
                let vectors = with_name(format!("{}batch.vectors", ingest.place), name);
                bad_vector(&error, &format!("{vectors}[{at}]"))
            })?;
        }
        let payload = payloads.map_or(EMPTY_PAYLOAD, |all| slice(&all.bytes, &all.ends, at));
        ingest.rows.payload(payload);
    }
    Ok(())
}

fn same_length(place: &str, ids: usize, what: &str, others: usize) -> Result<(), ApiError> {
    if ids == others {
        return Ok(());
    }
    Err(ApiError::validation(
        Part::Body,
        format!("{place}batch: number of ids and {what} must be equal ({ids} != {others})"),
    ))
}

/// Reads all vectors: a list for the unnamed one, or a map of lists.
struct VectorsSeed<'a, 's>(&'a mut Ingest<'s>);

impl VectorsSeed<'_, '_> {
    fn field(&self) -> String {
        format!("{}batch.vectors", self.0.place)
    }

    fn column<E: de::Error>(
        &mut self,
        name: &str,
        index: Option<usize>,
        column: RawColumn,
    ) -> Result<VectorColumn, E> {
        if let Shape::Unsupported(what) = column.shape {
            let field = self.field();
            return Err(self.0.unsupported(what, &field));
        }
        let Some(index) = index else {
            let error = no_vector(name, &self.field());
            return Err(self.0.refuse(error));
        };
        Ok(VectorColumn {
            index,
            floats: column.floats,
            ends: column.ends,
        })
    }
}

impl<'de> DeserializeSeed<'de> for VectorsSeed<'_, '_> {
    type Value = Vec<VectorColumn>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for VectorsSeed<'_, '_> {
    type Value = Vec<VectorColumn>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of vectors, or an object of lists by name")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, items: A) -> Result<Self::Value, A::Error> {
        let column = RawVisitor.visit_seq(items)?;
        let index = self.0.vector_index("");
        Ok(vec![self.column("", index, column)?])
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut columns = Vec::new();
        while let Some(name) = members.next_key_seed(NameSeed(self.0))? {
            let column = members.next_value()?;
            columns.push(match name {
                Name::Known(index) => self.column("", Some(index), column)?,
                Name::Unknown(name) => self.column(&name, None, column)?,
            });
        }
        Ok(columns)
    }
}

/// A list of vectors before it is known what it is for.
struct RawColumn {
    floats: Vec<f32>,
    ends: Vec<usize>,
    shape: Shape,
}

impl<'de> Deserialize<'de> for RawColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawColumn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of vectors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawColumn, A::Error> {
        let mut column = RawColumn {
            floats: Vec::new(),
            ends: Vec::new(),
            shape: Shape::Dense,
        };
        while let Some(shape) = items.next_element_seed(FloatsSeed(&mut column.floats))? {
            column.ends.push(column.floats.len());
            if shape != Shape::Dense {
                column.shape = shape;
            }
        }
        Ok(column)
    }
}

impl<'de> Deserialize<'de> for PayloadColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PayloadsVisitor;
        impl<'de> Visitor<'de> for PayloadsVisitor {
            type Value = PayloadColumn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects and nulls")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PayloadColumn, A::Error> {
                let mut column = PayloadColumn::default();
                while let Some(payload) = items.next_element::<Option<Object>>()? {
                    match payload {
                        Some(Object(payload)) => payload.encode(&mut column.bytes),
                        None => column.bytes.extend_from_slice(EMPTY_PAYLOAD),
                    }
                    column.ends.push(column.bytes.len());
                }
                Ok(column)
            }
        }
        deserializer.deserialize_seq(PayloadsVisitor)
    }
}
