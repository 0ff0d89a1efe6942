//! Writing columns from sorted pairs.
//!
//! # Invariants
//! - Pairs out of order, rows out of range, and rows whose field is said to be empty are refused.
//! - Memory held: the dictionary or nothing of the values, one list of postings, a bit a row.

use std::io::Write;

use crate::bitmap::encode_bitmap;
use crate::columns::{
    ColumnStats, FALSE, HAS_NULL, HAS_VALUE, KEYS, META, Number, POSTING_OFFSETS, POSTINGS, ROWS,
    TEXT_OFFSETS, TEXTS, TRUE,
};
use crate::container::{PartSummary, PartWriter, WriteError};
use crate::ids::{Row, SeqNo};
use crate::postings::encode_postings;
use crate::schema::FieldType;

/// Writes a column part: the facts about its rows, then one of the methods with its values.
///
/// The part must name its payload part as source. A pair given twice in a row counts once.
#[derive(Copy, Clone, Debug)]
pub struct ColumnBuilder<'a> {
    /// Rows of the segment.
    pub rows: u32,
    /// Patches up to this SeqNo are folded in.
    pub exact_for: SeqNo,
    /// Rows whose field is not empty, 64 a word. Every row with a value must be among them.
    pub has_value: &'a [u64],
    /// Rows whose field is null or holds a null, 64 a word.
    pub has_null: &'a [u64],
}

/// What the values of a column add to its figures.
#[derive(Debug)]
struct Tally {
    field_type: FieldType,
    values: u64,
    distinct: u64,
    min_bits: u64,
    max_bits: u64,
    indexed: Vec<u64>,
}

impl Tally {
    fn new(field_type: FieldType, rows: u32) -> Self {
        let indexed = vec![0; rows.div_ceil(64) as usize];
        Self {
            field_type,
            values: 0,
            distinct: 0,
            min_bits: 0,
            max_bits: 0,
            indexed,
        }
    }
}

impl ColumnBuilder<'_> {
    /// Writes a keyword column from pairs ascending by text, then row.
    ///
    /// # Errors
    /// The sink's; `Invalid` if a pair is out of order or its row out of range or empty.
    pub fn keywords<'t, W: Write>(
        self,
        mut part: PartWriter<W>,
        pairs: impl IntoIterator<Item = (&'t str, Row)>,
    ) -> Result<(W, PartSummary), WriteError> {
        self.require_source(&part)?;
        let mut tally = Tally::new(FieldType::Keyword, self.rows);
        let mut texts: Vec<u8> = Vec::new();
        let mut text_offsets = vec![];
        let mut posting_offsets = vec![];
        let mut rows: Vec<Row> = Vec::new();
        let mut before: Option<&str> = None;
        let mut encoded = Vec::new();
        part.begin_section(POSTINGS)?;
        for (text, row) in pairs {
            self.take(row, &mut tally)?;
            match before.map(|before| before.cmp(text)) {
                Some(std::cmp::Ordering::Equal) => {
                    match rows.last() {
                        Some(&last) if last == row => continue,
                        Some(&last) if last > row => return Err(unsorted(row)),
                        _ => rows.push(row),
                    }
                    continue;
                }
                Some(std::cmp::Ordering::Greater) => return Err(unsorted(row)),
                Some(std::cmp::Ordering::Less) => {
                    self.flush_postings(&mut part, &mut rows, &mut tally, &mut encoded)?;
                }
                None => {}
            }
            text_offsets.extend_from_slice(&(texts.len() as u64).to_le_bytes());
            posting_offsets.extend_from_slice(&part.section_len().to_le_bytes());
            texts.extend_from_slice(text.as_bytes());
            rows.push(row);
            before = Some(text);
        }
        self.flush_postings(&mut part, &mut rows, &mut tally, &mut encoded)?;
        text_offsets.extend_from_slice(&(texts.len() as u64).to_le_bytes());
        posting_offsets.extend_from_slice(&part.section_len().to_le_bytes());
        let sections = [
            (POSTING_OFFSETS, posting_offsets),
            (TEXTS, texts),
            (TEXT_OFFSETS, text_offsets),
        ];
        for (tag, bytes) in sections {
            part.begin_section(tag)?;
            part.write(&bytes)?;
        }
        self.finish(part, &tally)
    }

    /// Writes the postings collected for one value, if any.
    fn flush_postings<W: Write>(
        &self,
        part: &mut PartWriter<W>,
        rows: &mut Vec<Row>,
        tally: &mut Tally,
        encoded: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        if rows.is_empty() {
            return Ok(());
        }
        tally.values += rows.len() as u64;
        tally.distinct += 1;
        encoded.clear();
        encode_postings(rows, self.rows, encoded);
        rows.clear();
        Ok(part.write(encoded)?)
    }

    /// Writes an integer column from pairs ascending by value, then row.
    ///
    /// # Errors
    /// The sink's; `Invalid` if a pair is out of order or its row out of range or empty.
    pub fn integers<W: Write>(
        self,
        part: PartWriter<W>,
        pairs: &[(i64, Row)],
    ) -> Result<(W, PartSummary), WriteError> {
        self.numbers(part, FieldType::Integer, pairs)
    }

    /// Writes a float column from pairs ascending by value, then row. The values must be as
    /// [`storable`](crate::columns::storable) gives them.
    ///
    /// # Errors
    /// The sink's; `Invalid` if a pair is out of order, its value NaN or negative zero, or its row
    /// out of range or empty.
    pub fn floats<W: Write>(
        self,
        part: PartWriter<W>,
        pairs: &[(f64, Row)],
    ) -> Result<(W, PartSummary), WriteError> {
        self.numbers(part, FieldType::Float, pairs)
    }

    fn numbers<W: Write, N: Number>(
        self,
        mut part: PartWriter<W>,
        field_type: FieldType,
        pairs: &[(N, Row)],
    ) -> Result<(W, PartSummary), WriteError> {
        self.require_source(&part)?;
        let mut tally = Tally::new(field_type, self.rows);
        let mut before: Option<(N, Row)> = None;
        part.begin_section(KEYS)?;
        for &(key, row) in pairs {
            self.take(row, &mut tally)?;
            if before == Some((key, row)) {
                continue;
            }
            if !key.is_storable() || before.is_some_and(|before| before > (key, row)) {
                return Err(unsorted(row));
            }
            if before.is_none() {
                tally.min_bits = key.to_bits();
            }
            tally.max_bits = key.to_bits();
            tally.distinct += u64::from(before.is_none_or(|(value, _)| value < key));
            tally.values += 1;
            before = Some((key, row));
            part.write(&key.to_bits().to_le_bytes())?;
        }
        part.begin_section(ROWS)?;
        let mut before: Option<(N, Row)> = None;
        for &pair in pairs {
            if before != Some(pair) {
                part.write(&pair.1.to_le_bytes())?;
            }
            before = Some(pair);
        }
        self.finish(part, &tally)
    }

    /// Writes a bool column from the rows that have the value true and those that have the value
    /// false, 64 a word.
    ///
    /// # Errors
    /// The sink's; `Invalid` if such a row is empty.
    pub fn bools<W: Write>(
        self,
        mut part: PartWriter<W>,
        yes: &[u64],
        no: &[u64],
    ) -> Result<(W, PartSummary), WriteError> {
        self.require_source(&part)?;
        let mut tally = Tally::new(FieldType::Bool, self.rows);
        for (tag, words) in [(TRUE, yes), (FALSE, no)] {
            let mut bitmap = Vec::new();
            let count = encode_bitmap(self.rows, words, &mut bitmap);
            part.begin_section(tag)?;
            part.write(&bitmap)?;
            tally.values += u64::from(count);
            tally.distinct += u64::from(count > 0);
        }
        for row in 0..self.rows {
            if bit(yes, row) || bit(no, row) {
                self.take(row, &mut tally)?;
            }
        }
        self.finish(part, &tally)
    }

    fn require_source<W: Write>(&self, part: &PartWriter<W>) -> Result<(), WriteError> {
        if part.header().source_hash.is_none() {
            return Err(WriteError::invalid(
                "source_hash",
                0,
                "a column names its payload part",
            ));
        }
        Ok(())
    }

    /// Notes that a row has a value.
    fn take(&self, row: Row, tally: &mut Tally) -> Result<(), WriteError> {
        if row >= self.rows || !bit(self.has_value, row) {
            return Err(WriteError::invalid(
                "row",
                row.into(),
                "in the segment and not empty",
            ));
        }
        if let Some(word) = tally.indexed.get_mut(row as usize / 64) {
            *word |= 1 << (row % 64);
        }
        Ok(())
    }

    fn finish<W: Write>(
        &self,
        mut part: PartWriter<W>,
        tally: &Tally,
    ) -> Result<(W, PartSummary), WriteError> {
        let mut bitmap = Vec::new();
        let rows_with_value = encode_bitmap(self.rows, self.has_value, &mut bitmap);
        part.begin_section(HAS_VALUE)?;
        part.write(&bitmap)?;
        bitmap.clear();
        let rows_with_null = encode_bitmap(self.rows, self.has_null, &mut bitmap);
        part.begin_section(HAS_NULL)?;
        part.write(&bitmap)?;
        let stats = ColumnStats {
            field_type: tally.field_type,
            rows: self.rows,
            exact_for: self.exact_for,
            values: tally.values,
            distinct: tally.distinct,
            rows_with_value,
            rows_with_null,
            rows_indexed: tally.indexed.iter().map(|word| word.count_ones()).sum(),
            min_bits: tally.min_bits,
            max_bits: tally.max_bits,
        };
        part.begin_section(META)?;
        part.write(&stats.encode())?;
        Ok(part.finish()?)
    }
}

const fn unsorted(row: Row) -> WriteError {
    WriteError::invalid("pair of row", row as u64, "ascending by value, then row")
}

fn bit(words: &[u64], row: Row) -> bool {
    words
        .get(row as usize / 64)
        .is_some_and(|word| word >> (row % 64) & 1 == 1)
}
