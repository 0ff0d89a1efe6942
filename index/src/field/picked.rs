//! What some paths select of some payloads, copied, so that threads read payloads side by side and
//! columns are drafted of them in order.
//!
//! Of each payload a smaller one is kept, with all that was selected in one list.
//!
//! # Invariants
//! - A column drafted of the small payloads is the one drafted of the payloads themselves.

use std::ops::ControlFlow;

use format_spec::value::encode_list_of;
use format_spec::{DecodeError, FieldType, ValueRef};

use crate::field::column::ColumnDraft;
use crate::field::path::{FieldPath, PathItem};

/// The key of the list in a small payload.
const KEY: &str = "v";

/// What paths select of consecutive payloads.
#[derive(Debug)]
pub struct Picked {
    fields: Vec<Small>,
}

/// The small payloads of one path, one after another, and where each ends.
#[derive(Default, Debug)]
struct Small {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Picked {
    /// Of no payloads, for so many paths.
    pub fn new(paths: usize) -> Self {
        let mut fields = Vec::new();
        fields.resize_with(paths, Small::default);
        Self { fields }
    }

    /// An empty column of what a path selects, to be filled by [`Self::pour`].
    pub fn draft(field_type: FieldType) -> ColumnDraft {
        let items = vec![PathItem::Key(KEY.to_owned()), PathItem::Every];
        ColumnDraft::new(FieldPath::of_items(items), &field_type.into())
    }

    /// Adds what `paths` select of the next payload.
    ///
    /// # Errors
    /// The payload does not decode.
    pub fn push(&mut self, paths: &[&FieldPath], payload: ValueRef<'_>) -> Result<(), DecodeError> {
        let mut selected = Vec::new();
        for (path, field) in paths.iter().zip(&mut self.fields) {
            selected.clear();
            let _ = path.select(payload, &mut |value| {
                selected.push(value);
                Ok(ControlFlow::Continue(()))
            })?;
            encode_list_of(KEY, &selected, &mut field.bytes);
            field.ends.push(field.bytes.len());
        }
        Ok(())
    }

    /// Bytes of what the nth path selected.
    pub fn bytes(&self, nth: usize) -> usize {
        self.fields.get(nth).map_or(0, |field| field.bytes.len())
    }

    /// Adds what the nth path selected to a column, row after row.
    ///
    /// # Errors
    /// A value does not decode.
    pub fn pour(&self, nth: usize, column: &mut ColumnDraft) -> Result<(), DecodeError> {
        let Some(field) = self.fields.get(nth) else {
            return Ok(());
        };
        let mut start = 0;
        for &end in &field.ends {
            column.push(ValueRef::new(&field.bytes[start..end])?)?;
            start = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_spec::{
        CollectionId, PartHeader, PartId, PartKind, PartWriter, SeqNo, ShardId, Value,
    };

    fn part(draft: ColumnDraft) -> Vec<u8> {
        let header = PartHeader::new(PartKind::Column, PartId(1), CollectionId(2), ShardId(3));
        let writer = PartWriter::new(Vec::new(), header.derived_from([7; 32]));
        draft.finish(writer, SeqNo(9)).unwrap().0
    }

    #[test]
    fn a_column_of_picked_values_is_the_column_of_the_payloads() {
        let object = |value: Value| Value::Object(vec![("b".to_owned(), value)]);
        let int = Value::Int;
        let values = [
            Value::Null,
            int(5),
            Value::Array(vec![object(int(1)), int(2), object(Value::Null)]),
            Value::Array(vec![
                object(Value::Array(vec![int(7), Value::Null])),
                object(int(7)),
            ]),
            Value::Array(vec![]),
            Value::Array(vec![object(Value::Text("x".to_owned())), object(int(3))]),
            object(int(9)),
        ];
        for path in ["a", "a[].b", "a.b", "a[0]", "b"] {
            let path = FieldPath::parse(path).unwrap();
            for &field_type in FieldType::ALL {
                let mut direct = ColumnDraft::new(path.clone(), &field_type.into());
                let mut drafted = Picked::draft(field_type);
                let mut picked = Picked::new(1);
                for value in &values {
                    let payload = Value::Object(vec![("a".to_owned(), value.clone())]).to_bytes();
                    let payload = ValueRef::new(&payload).unwrap();
                    direct.push(payload).unwrap();
                    picked.push(&[&path], payload).unwrap();
                }
                picked.pour(0, &mut drafted).unwrap();
                assert_eq!(part(drafted), part(direct), "{path} {field_type:?}");
            }
        }
    }
}
