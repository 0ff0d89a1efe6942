//! Making a column: the values of one field of every row, gathered from payloads and put in order.
//!
//! What is gathered follows how filters read payloads, so that a filter has the same answer with
//! the
//! column as without: a selected array stands for its elements, one level; a text belongs to a
//! keyword column, a whole number to an integer column, any number to a float column (as f64, which
//! is how ranges compare), true and false to a bool column. A text that is a datetime or a UUID
//! belongs to a column of those, an object with a longitude and a latitude to a geo column, and the
//! tokens of a text to a text column.
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
    ColumnBuilder, DecodeError, FieldType, PartSummary, PartWriter, Place, SeqNo, ValueKind,
    ValueRef, WriteError,
};

use crate::Row;
use crate::field::content::ColumnContent;
use crate::field::geo::GeoPoint;
use crate::field::keyword_draft::KeywordDraft;
use crate::field::path::FieldPath;
use crate::field::text::draft::TextDraft;
use crate::field::{datetime, uuid};

/// A column in the making: payloads go in, row after row, and a part comes out.
///
/// Memory: 8 to 32 bytes a value, and the different texts of a keyword or tokens of a text column.
#[derive(Debug)]
pub struct ColumnDraft {
    path: FieldPath,
    settings: u64,
    rows: Row,
    values: Values,
    has_value: Vec<u64>,
    has_null: Vec<u64>,
}

#[derive(Debug)]
enum Values {
    Keyword(Box<KeywordDraft>),
    Integer(Vec<(i64, Row)>),
    Float(Vec<(f64, Row)>),
    Bool { yes: Vec<u64>, no: Vec<u64> },
    Datetime(Vec<(i64, Row)>),
    Uuid(Vec<(u128, Row)>),
    Geo(Vec<(Place, Row)>),
    Text(Box<TextDraft>),
}

impl Values {
    fn new(content: &ColumnContent) -> Self {
        match content.field_type() {
            FieldType::Keyword => Self::Keyword(Box::default()),
            FieldType::Integer => Self::Integer(Vec::new()),
            FieldType::Float => Self::Float(Vec::new()),
            FieldType::Bool => Self::Bool {
                yes: Vec::new(),
                no: Vec::new(),
            },
            FieldType::Datetime => Self::Datetime(Vec::new()),
            FieldType::Uuid => Self::Uuid(Vec::new()),
            FieldType::Geo => Self::Geo(Vec::new()),
            FieldType::Text => {
                let analyzer = content.analyzer().unwrap_or_default();
                Self::Text(Box::new(TextDraft::new(analyzer)))
            }
        }
    }

    /// Takes a value of `row`; tells whether the column can hold it.
    fn take(&mut self, value: ValueKind<'_>, row: Row) -> Result<bool, DecodeError> {
        Ok(match (self, value) {
            (Self::Keyword(draft), ValueKind::Text(text)) => draft.take(text, row),
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
            (Self::Datetime(pairs), ValueKind::Text(text)) => {
                keep(pairs, datetime::parse(text), row)
            }
            (Self::Uuid(pairs), ValueKind::Text(text)) => keep(pairs, uuid::parse(text), row),
            (Self::Geo(pairs), value) => {
                let point = GeoPoint::of(value)?;
                let place = point.and_then(|point| Place::new(point.lon, point.lat));
                keep(pairs, place, row)
            }
            (Self::Text(draft), ValueKind::Text(text)) => draft.take(text, row),
            _ => false,
        })
    }

    /// Takes back all values of the last row.
    fn forget(&mut self, row: Row) {
        match self {
            Self::Keyword(draft) => draft.forget(row),
            Self::Integer(pairs) | Self::Datetime(pairs) => drop_row(pairs, row),
            Self::Float(pairs) => drop_row(pairs, row),
            Self::Uuid(pairs) => drop_row(pairs, row),
            Self::Geo(pairs) => drop_row(pairs, row),
            Self::Text(draft) => draft.forget(row),
            Self::Bool { yes, no } => {
                unset(yes, row);
                unset(no, row);
            }
        }
    }
}

fn keep<T>(pairs: &mut Vec<(T, Row)>, value: Option<T>, row: Row) -> bool {
    let kept = value.is_some();
    pairs.extend(value.map(|value| (value, row)));
    kept
}

fn drop_row<T>(pairs: &mut Vec<(T, Row)>, row: Row) {
    while pairs.pop_if(|(_, of)| *of == row).is_some() {}
}

pub(crate) fn set(words: &mut Vec<u64>, row: Row) {
    let at = (row / 64) as usize;
    if words.len() <= at {
        words.resize(at + 1, 0);
    }
    words[at] |= 1 << (row % 64);
}

pub(crate) fn unset(words: &mut [u64], row: Row) {
    if let Some(word) = words.get_mut((row / 64) as usize) {
        *word &= !(1 << (row % 64));
    }
}

impl ColumnDraft {
    /// An empty column of the values at `path`.
    pub fn new(path: FieldPath, content: &ColumnContent) -> Self {
        let values = Values::new(content);
        Self {
            path,
            settings: content.settings_hash(),
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
                fits &= values.take(kind, row)?;
            }
            Ok(())
        };
        let walked = path.select(payload, &mut |value| {
            let kind = value.kind()?;
            if let ValueKind::Array(array) = kind {
                some |= !array.is_empty();
                for element in array.iter() {
                    take(element?.kind()?)?;
                }
            } else {
                some |= !matches!(kind, ValueKind::Null);
                take(kind)?;
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
            settings,
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
            settings,
            has_value,
            has_null,
        };
        match values {
            Values::Keyword(draft) => draft.finish(builder, part),
            Values::Integer(mut pairs) => {
                pairs.sort_unstable();
                builder.integers(part, &pairs)
            }
            Values::Float(mut pairs) => {
                pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                builder.floats(part, &pairs)
            }
            Values::Bool { yes, no } => builder.bools(part, &yes, &no),
            Values::Datetime(mut pairs) => {
                pairs.sort_unstable();
                builder.datetimes(part, &pairs)
            }
            Values::Uuid(mut pairs) => {
                pairs.sort_unstable();
                builder.uuids(part, &pairs)
            }
            Values::Geo(mut pairs) => {
                // Places are on the globe, so that any two have an order.
                pairs.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
                builder.places(part, &pairs)
            }
            Values::Text(draft) => draft.finish(builder, part),
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
    fn part(content: impl Into<ColumnContent>, values: &[Option<Value>]) -> Vec<u8> {
        let mut draft = ColumnDraft::new(FieldPath::parse("a").unwrap(), &content.into());
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
    fn datetimes_and_uuids_are_known_by_what_they_mean() {
        let values = [
            Some(text("2020-01-01T00:00:00Z")),
            Some(text("2020-01-01 01:00:00+01:00")),
            Some(text("soon")),
            Some(array(&[text("1970-01-01"), Value::Int(0)])),
        ];
        with_view(&part(FieldType::Datetime, &values), |view| {
            let ColumnValues::Datetime(moments) = view.values() else {
                panic!("a datetime column")
            };
            let all: Vec<_> = moments.pairs(0..moments.len()).collect();
            assert_eq!(
                all,
                [(1_577_836_800_000_000, 0), (1_577_836_800_000_000, 1)]
            );
            assert_eq!(rows(&view.open_rows().to_words()), [2, 3]);
        });
        let values = [
            Some(text("550e8400-e29b-41d4-a716-446655440000")),
            Some(text("550E8400E29B41D4A716446655440000")),
            Some(text("550e8400")),
        ];
        with_view(&part(FieldType::Uuid, &values), |view| {
            let ColumnValues::Uuid(uuids) = view.values() else {
                panic!("a uuid column")
            };
            let one = 0x550e_8400_e29b_41d4_a716_4466_5544_0000;
            assert_eq!(uuids.equals(one).iter().collect::<Vec<_>>(), [0, 1]);
            assert_eq!(rows(&view.open_rows().to_words()), [2]);
        });
    }

    #[test]
    fn places_are_objects_with_coordinates_on_the_globe() {
        let place = |lon: f64, lat: f64| {
            let members = [("lon", lon), ("lat", lat)];
            let members = members.map(|(key, number)| (key.to_owned(), Value::Float(number)));
            Value::Object(members.to_vec())
        };
        let values = [
            Some(place(13.4, 52.5)),
            Some(array(&[place(-0.0, 0.0), place(13.4, 52.5)])),
            Some(place(13.4, 95.0)),
            Some(text("13.4,52.5")),
        ];
        with_view(&part(FieldType::Geo, &values), |view| {
            let ColumnValues::Geo(places) = view.values() else {
                panic!("a geo column")
            };
            let berlin = Place::new(13.4, 52.5).unwrap();
            assert_eq!(places.equals(berlin).iter().collect::<Vec<_>>(), [0, 1]);
            assert_eq!(places.len(), 3);
            assert_eq!(rows(&view.open_rows().to_words()), [2, 3]);
        });
    }

    #[test]
    fn texts_are_known_by_their_tokens() {
        let settings = Value::Object(vec![("phrase_matching".to_owned(), Value::Bool(true))]);
        let index = format_spec::FieldIndex {
            path: "a".to_owned(),
            field_type: FieldType::Text,
            settings: settings.to_bytes(),
        };
        let values = [
            Some(text("The cairn, the stone")),
            Some(array(&[text("A stone"), text("cairn")])),
            Some(array(&[text("cairn"), Value::Int(1)])),
            Some(text("...")),
        ];
        with_view(&part(ColumnContent::of(&index).unwrap(), &values), |view| {
            let ColumnValues::Text(texts) = view.values() else {
                panic!("a text column")
            };
            let mut found = Vec::new();
            texts.each(&mut |token| found.push((token.token, token.row, token.position)));
            assert_eq!(
                found,
                [
                    ("a", 1, 0),
                    ("cairn", 0, 1),
                    ("cairn", 1, 3),
                    ("stone", 0, 3),
                    ("stone", 1, 1),
                    ("the", 0, 0),
                    ("the", 0, 2)
                ]
            );
            assert_eq!(rows(&texts.many_texts().to_words()), [1]);
            assert_eq!(rows(&view.open_rows().to_words()), [2, 3]);
            assert_ne!(view.stats().settings, 0);
        });
    }

    #[test]
    fn a_column_of_no_rows_is_a_column() {
        for &field_type in FieldType::ALL {
            with_view(&part(field_type, &[]), |view| {
                assert_eq!(view.stats().rows, 0);
                assert_eq!(view.stats().field_type, field_type);
            });
        }
    }
}
