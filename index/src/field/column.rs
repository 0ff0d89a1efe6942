//! Making a column: the values of one field of every row, gathered from payloads and put in order.
//!
//! What is gathered follows how filters read payloads, so that a filter has the same answer with
//! the
//! column as without: a selected array stands for its elements, one level; a text belongs to a
//! keyword column, a whole number to an integer column, any number to a float column (as f64, which
//! is
//! how ranges compare), true and false to a bool column.
//!
//! # Invariants
//! - **A row with any value, null aside, that the column cannot hold has no pair at all.** It is in
//!   `has_value` only, so that the rows in `has_value` without a pair are exactly those whose
//!   payload a
//!   filter must read. A row with pairs is answered by them alone.

use std::io::Write;
use std::ops::ControlFlow;

use format_spec::columns::storable;
use format_spec::{
    ColumnBuilder, DecodeError, FieldType, PartSummary, PartWriter, SeqNo, ValueKind, ValueRef,
    WriteError,
};

use crate::Row;
use crate::field::path::FieldPath;

/// A column in the making: payloads go in, row after row, and a part comes out.
///
/// Memory: 12 to 16 bytes a value, and the texts of a keyword column.
#[derive(Debug)]
pub struct ColumnDraft {
    path: FieldPath,
    rows: Row,
    values: Values,
    has_value: Vec<u64>,
    has_null: Vec<u64>,
}

#[derive(Debug)]
enum Values {
    /// Where the text begins in `texts`, its length, and the row.
    Keyword {
        texts: String,
        pairs: Vec<(u64, u32, Row)>,
    },
    Integer(Vec<(i64, Row)>),
    Float(Vec<(f64, Row)>),
    Bool {
        yes: Vec<u64>,
        no: Vec<u64>,
    },
}

impl Values {
    fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Keyword => Self::Keyword {
                texts: String::new(),
                pairs: Vec::new(),
            },
            FieldType::Integer => Self::Integer(Vec::new()),
            FieldType::Float => Self::Float(Vec::new()),
            FieldType::Bool => Self::Bool {
                yes: Vec::new(),
                no: Vec::new(),
            },
        }
    }

    /// Takes a value of `row`; tells whether the column can hold it.
    fn take(&mut self, value: ValueKind<'_>, row: Row) -> bool {
        match (self, value) {
            (Self::Keyword { texts, pairs }, ValueKind::Text(text)) => {
                // Payloads are far below 4 GiB; a text that is not stays out of the column.
                let Ok(len) = u32::try_from(text.len()) else {
                    return false;
                };
                pairs.push((texts.len() as u64, len, row));
                texts.push_str(text);
                true
            }
            (Self::Integer(pairs), ValueKind::Int(number)) => {
                pairs.push((number, row));
                true
            }
            (Self::Float(pairs), number) => {
                let number = match number {
                    ValueKind::Int(number) => Some(number as f64),
                    ValueKind::Uint(number) => Some(number as f64),
                    ValueKind::Float(number) => storable(number),
                    ValueKind::Null
                    | ValueKind::Bool(_)
                    | ValueKind::Text(_)
                    | ValueKind::Array(_)
                    | ValueKind::Object(_) => None,
                };
                pairs.extend(number.map(|number| (number, row)));
                number.is_some()
            }
            (Self::Bool { yes, no }, ValueKind::Bool(value)) => {
                set(if value { yes } else { no }, row);
                true
            }
            _ => false,
        }
    }

    /// Takes back all values of the last row.
    fn forget(&mut self, row: Row) {
        match self {
            Self::Keyword { texts, pairs } => {
                while let Some((start, _, _)) = pairs.pop_if(|(_, _, of)| *of == row) {
                    texts.truncate(start as usize);
                }
            }
            Self::Integer(pairs) => while pairs.pop_if(|(_, of)| *of == row).is_some() {},
            Self::Float(pairs) => while pairs.pop_if(|(_, of)| *of == row).is_some() {},
            Self::Bool { yes, no } => {
                unset(yes, row);
                unset(no, row);
            }
        }
    }
}

fn set(words: &mut Vec<u64>, row: Row) {
    let at = (row / 64) as usize;
    if words.len() <= at {
        words.resize(at + 1, 0);
    }
    words[at] |= 1 << (row % 64);
}

fn unset(words: &mut [u64], row: Row) {
    if let Some(word) = words.get_mut((row / 64) as usize) {
        *word &= !(1 << (row % 64));
    }
}

impl ColumnDraft {
    /// An empty column of the values at `path`.
    pub fn new(path: FieldPath, field_type: FieldType) -> Self {
        let values = Values::new(field_type);
        Self {
            path,
            rows: 0,
            values,
            has_value: Vec::new(),
            has_null: Vec::new(),
        }
    }

    /// Adds the next row, whose payload this is.
    ///
    /// # Errors
    /// The payload does not decode; the row then counts as added, without values.
    pub fn push(&mut self, payload: ValueRef<'_>) -> Result<(), DecodeError> {
        let row = self.rows;
        self.rows += 1;
        let (mut some, mut null, mut fits) = (false, false, true);
        let (path, values) = (&self.path, &mut self.values);
        let mut take = |kind: ValueKind<'_>| {
            if matches!(kind, ValueKind::Null) {
                null = true;
            } else {
                fits &= values.take(kind, row);
            }
        };
        let walked = path.select(payload, &mut |value| {
            let kind = value.kind()?;
            if let ValueKind::Array(array) = kind {
                some |= !array.is_empty();
                for element in array.iter() {
                    take(element?.kind()?);
                }
            } else {
                some |= !matches!(kind, ValueKind::Null);
                take(kind);
            }
            Ok(ControlFlow::Continue(()))
        });
        if !fits || walked.is_err() {
            self.values.forget(row);
        }
        let _ = walked?;
        if some {
            set(&mut self.has_value, row);
        }
        if null {
            set(&mut self.has_null, row);
        }
        Ok(())
    }

    /// Rows added so far.
    pub fn rows(&self) -> Row {
        self.rows
    }

    /// Writes the column part.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish<W: Write>(
        self,
        part: PartWriter<W>,
        exact_for: SeqNo,
    ) -> Result<(W, PartSummary), WriteError> {
        let Self {
            rows,
            values,
            has_value,
            has_null,
            ..
        } = self;
        let (has_value, has_null) = (&has_value, &has_null);
        let builder = ColumnBuilder {
            rows,
            exact_for,
            has_value,
            has_null,
        };
        match values {
            Values::Keyword { texts, mut pairs } => {
                let text = |start: u64, len: u32| &texts[start as usize..][..len as usize];
                pairs.sort_unstable_by(|a, b| {
                    text(a.0, a.1).cmp(text(b.0, b.1)).then(a.2.cmp(&b.2))
                });
                let pairs = pairs
                    .iter()
                    .map(|&(start, len, row)| (text(start, len), row));
                builder.keywords(part, pairs)
            }
            Values::Integer(mut pairs) => {
                pairs.sort_unstable();
                builder.integers(part, &pairs)
            }
            Values::Float(mut pairs) => {
                pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                builder.floats(part, &pairs)
            }
            Values::Bool { yes, no } => builder.bools(part, &yes, &no),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_spec::{
        CollectionId, ColumnValues, ColumnView, PartHeader, PartId, PartIdentity, PartKind,
        PartLayout, ShardId, Value,
    };

    fn array(items: &[Value]) -> Value {
        Value::Array(items.to_vec())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// The part made of one row for each of `values` of the field `a`.
    fn part(field_type: FieldType, values: &[Option<Value>]) -> Vec<u8> {
        let mut draft = ColumnDraft::new(FieldPath::parse("a").unwrap(), field_type);
        for value in values {
            let members = value
                .iter()
                .map(|value| ("a".to_owned(), value.clone()))
                .collect();
            let payload = Value::Object(members).to_bytes();
            draft.push(ValueRef::new(&payload).unwrap()).unwrap();
        }
        let (kind, id) = (PartKind::Column, PartId(1));
        let header = PartHeader::new(kind, id, CollectionId(2), ShardId(3)).derived_from([7; 32]);
        let writer = PartWriter::new(Vec::new(), header);
        draft.finish(writer, SeqNo(9)).unwrap().0
    }

    fn with_view(bytes: &[u8], check: impl FnOnce(ColumnView<'_>)) {
        let (collection, shard, len) = (CollectionId(2), ShardId(3), bytes.len() as u64);
        let (kind, part_id) = (PartKind::Column, PartId(1));
        let identity = PartIdentity {
            kind,
            part_id,
            collection,
            shard,
            len,
        };
        let layout = PartLayout::open(bytes, &identity).unwrap();
        let view = ColumnView::open(&layout, bytes).unwrap();
        view.verify().unwrap();
        check(view);
    }

    fn rows(words: &[u64]) -> Vec<Row> {
        let len = words.len() as u32 * 64;
        crate::RowSet::from_words(len, words.to_vec())
            .unwrap()
            .iter()
            .collect()
    }

    #[test]
    fn values_of_the_type_are_in_the_column_and_rows_with_others_are_not() {
        let values = [
            Some(Value::Int(5)),
            Some(array(&[
                Value::Int(5),
                Value::Int(7),
                Value::Int(5),
                Value::Null,
            ])),
            Some(array(&[Value::Int(5), Value::Float(5.5)])),
            Some(Value::Null),
            Some(array(&[])),
            None,
            Some(text("5")),
            Some(array(&[Value::Null])),
        ];
        with_view(&part(FieldType::Integer, &values), |view| {
            let ColumnValues::Integer(numbers) = view.values() else {
                panic!("an integer column")
            };
            assert_eq!(numbers.equals(5).iter().collect::<Vec<_>>(), [0, 1]);
            assert_eq!(numbers.equals(7).iter().collect::<Vec<_>>(), [1]);
            assert_eq!(numbers.len(), 3);
            assert_eq!(rows(&view.has_value().to_words()), [0, 1, 2, 6, 7]);
            assert_eq!(rows(&view.has_null().to_words()), [1, 3, 7]);
            assert_eq!(view.stats().rows_indexed, 2);
        });
    }

    #[test]
    fn a_float_column_holds_every_number() {
        let values = [
            Some(Value::Float(-0.0)),
            Some(Value::Int(3)),
            Some(Value::Uint(u64::MAX)),
            Some(Value::Bool(true)),
            Some(Value::Float(-2.5)),
        ];
        with_view(&part(FieldType::Float, &values), |view| {
            let ColumnValues::Float(numbers) = view.values() else {
                panic!("a float column")
            };
            let all: Vec<_> = numbers.pairs(0..numbers.len()).collect();
            assert_eq!(all, [(-2.5, 4), (0.0, 0), (3.0, 1), (u64::MAX as f64, 2)]);
        });
    }

    #[test]
    fn keywords_and_booleans_are_grouped_by_value() {
        let values = [
            Some(text("b")),
            Some(array(&[text("a"), text("b")])),
            None,
            Some(text("")),
        ];
        with_view(&part(FieldType::Keyword, &values), |view| {
            let ColumnValues::Keyword(words) = view.values() else {
                panic!("a keyword column")
            };
            let all: Vec<(&str, Vec<Row>)> = words
                .iter()
                .map(|(text, rows)| (text, rows.iter().collect()))
                .collect();
            assert_eq!(all, [("", vec![3]), ("a", vec![1]), ("b", vec![0, 1])]);
        });
        let both = array(&[Value::Bool(true), Value::Bool(false)]);
        let values = [
            Some(Value::Bool(true)),
            Some(both),
            Some(array(&[Value::Bool(true), text("x")])),
        ];
        with_view(&part(FieldType::Bool, &values), |view| {
            let ColumnValues::Bool(bools) = view.values() else {
                panic!("a bool column")
            };
            assert_eq!(bools.equals(true).iter().collect::<Vec<_>>(), [0, 1]);
            assert_eq!(bools.equals(false).iter().collect::<Vec<_>>(), [1]);
        });
    }

    #[test]
    fn a_column_of_no_rows_is_a_column() {
        with_view(&part(FieldType::Keyword, &[]), |view| {
            assert_eq!(view.stats().rows, 0);
        });
    }
}
