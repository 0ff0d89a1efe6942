//! Writing columns from sorted pairs.
//!
//! # Invariants
//! - Pairs out of order, rows out of range, and rows whose field is said to be empty are refused.
//! - Memory held: the dictionary or nothing of the values, one list of postings, a bit a row.

use std::io::Write;

use crate::bitmap::encode_bitmap;
use crate::columns::{
    ColumnStats, FALSE, HAS_NULL, HAS_VALUE, KEYS, MANY_TEXTS, META, Number, OPEN,
    POSITION_OFFSETS, POSITIONS, POSTING_OFFSETS, POSTINGS, Place, ROWS, TEXT_OFFSETS, TEXTS, TRUE,
    TokenAt,
};
use crate::columns_text::{POSITION_MAX, encode_positions};
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
    /// Hash of the settings of the index that the content depends on; 0 without such settings.
    pub settings: u64,
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
    has_positions: bool,
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
            has_positions: false,
            indexed,
        }
    }
}

/// The tables of a dictionary while its postings are written.
#[derive(Debug, Default)]
struct Dictionary {
    texts: Vec<u8>,
    text_offsets: Vec<u8>,
    posting_offsets: Vec<u8>,
    positions: Vec<u8>,
    position_offsets: Vec<u8>,
    /// Of the last value.
    rows: Vec<Row>,
    /// Of the last value in its last row.
    places: Vec<u32>,
    encoded: Vec<u8>,
}

impl Dictionary {
    /// Begins the next value, whose postings will be at `at`.
    fn begin(&mut self, text: &str, at: u64) {
        let offset = (self.texts.len() as u64).to_le_bytes();
        self.text_offsets.extend_from_slice(&offset);
        self.posting_offsets.extend_from_slice(&at.to_le_bytes());
        let offset = (self.positions.len() as u64).to_le_bytes();
        self.position_offsets.extend_from_slice(&offset);
        self.texts.extend_from_slice(text.as_bytes());
    }

    fn end_row(&mut self) {
        encode_positions(&self.places, &mut self.positions);
        self.places.clear();
    }

    /// Writes the postings collected for the last value, if any.
    fn end_value<W: Write>(
        &mut self,
        part: &mut PartWriter<W>,
        rows: u32,
        tally: &mut Tally,
    ) -> Result<(), WriteError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.end_row();
        tally.values += self.rows.len() as u64;
        tally.distinct += 1;
        self.encoded.clear();
        encode_postings(&self.rows, rows, &mut self.encoded);
        self.rows.clear();
        Ok(part.write(&self.encoded)?)
    }

    fn finish<W: Write>(
        mut self,
        part: &mut PartWriter<W>,
        with_positions: bool,
    ) -> Result<(), WriteError> {
        let ends = [self.texts.len(), self.positions.len()].map(|len| (len as u64).to_le_bytes());
        let postings_end = part.section_len().to_le_bytes();
        self.text_offsets.extend_from_slice(&ends[0]);
        self.position_offsets.extend_from_slice(&ends[1]);
        self.posting_offsets.extend_from_slice(&postings_end);
        let sections = [
            (POSTING_OFFSETS, &self.posting_offsets),
            (TEXTS, &self.texts),
            (TEXT_OFFSETS, &self.text_offsets),
        ];
        let positions = [
            (POSITIONS, &self.positions),
            (POSITION_OFFSETS, &self.position_offsets),
        ];
        let positions = positions.iter().filter(|_| with_positions);
        for (tag, bytes) in sections.iter().chain(positions) {
            part.begin_section(*tag)?;
            part.write(bytes)?;
        }
        Ok(())
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
        let mut tally = Tally::new(FieldType::Keyword, self.rows);
        let tokens = pairs.into_iter().map(|(token, row)| TokenAt {
            token,
            row,
            position: 0,
        });
        self.dictionary(&mut part, tokens, &mut tally)?;
        self.finish(part, &tally)
    }

    /// Writes a text column from tokens ascending by token, row and position; `many` are the rows
    /// with more than one text. Positions are kept if asked for.
    ///
    /// # Errors
    /// The sink's; `Invalid` if a token is out of order or its row out of range or empty.
    pub fn texts<'t, W: Write>(
        self,
        mut part: PartWriter<W>,
        tokens: impl IntoIterator<Item = TokenAt<'t>>,
        many: &[u64],
        with_positions: bool,
    ) -> Result<(W, PartSummary), WriteError> {
        let mut tally = Tally::new(FieldType::Text, self.rows);
        tally.has_positions = with_positions;
        self.dictionary(&mut part, tokens, &mut tally)?;
        let mut bitmap = Vec::new();
        encode_bitmap(self.rows, many, &mut bitmap);
        part.begin_section(MANY_TEXTS)?;
        part.write(&bitmap)?;
        self.finish(part, &tally)
    }

    fn dictionary<'t, W: Write>(
        &self,
        part: &mut PartWriter<W>,
        tokens: impl IntoIterator<Item = TokenAt<'t>>,
        tally: &mut Tally,
    ) -> Result<(), WriteError> {
        self.require_source(part)?;
        let mut dictionary = Dictionary::default();
        let mut before: Option<TokenAt<'_>> = None;
        part.begin_section(POSTINGS)?;
        for next in tokens {
            self.take(next.row, tally)?;
            if before.is_some_and(|before| before > next) || next.position > POSITION_MAX {
                return Err(unsorted(next.row));
            }
            let same = before.filter(|before| before.token == next.token);
            if same.is_none() {
                dictionary.end_value(part, self.rows, tally)?;
                dictionary.begin(next.token, part.section_len());
            }
            let same_row = same.filter(|before| before.row == next.row);
            if same_row.is_none() {
                if same.is_some() {
                    dictionary.end_row();
                }
                dictionary.rows.push(next.row);
            }
            if tally.has_positions && same_row.is_none_or(|same| same.position < next.position) {
                dictionary.places.push(next.position);
            }
            before = Some(next);
        }
        dictionary.end_value(part, self.rows, tally)?;
        dictionary.finish(part, tally.has_positions)
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

    /// Writes a datetime column from pairs of microseconds since 1970 and row, ascending.
    ///
    /// # Errors
    /// As [`Self::integers`].
    pub fn datetimes<W: Write>(
        self,
        part: PartWriter<W>,
        pairs: &[(i64, Row)],
    ) -> Result<(W, PartSummary), WriteError> {
        self.numbers(part, FieldType::Datetime, pairs)
    }

    /// Writes a UUID column from pairs ascending by UUID, then row.
    ///
    /// # Errors
    /// As [`Self::integers`].
    pub fn uuids<W: Write>(
        self,
        part: PartWriter<W>,
        pairs: &[(u128, Row)],
    ) -> Result<(W, PartSummary), WriteError> {
        self.numbers(part, FieldType::Uuid, pairs)
    }

    /// Writes a geo column from pairs ascending by place, then row.
    ///
    /// # Errors
    /// As [`Self::integers`].
    pub fn places<W: Write>(
        self,
        part: PartWriter<W>,
        pairs: &[(Place, Row)],
    ) -> Result<(W, PartSummary), WriteError> {
        self.numbers(part, FieldType::Geo, pairs)
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
        let mut stored = Vec::new();
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
                tally.min_bits = key.figure();
            }
            tally.max_bits = key.figure();
            tally.distinct += u64::from(before.is_none_or(|(value, _)| value < key));
            tally.values += 1;
            before = Some((key, row));
            stored.clear();
            key.store(&mut stored);
            part.write(&stored)?;
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
        let words = self.has_value.iter().zip(&tally.indexed);
        let open: Vec<u64> = words.map(|(value, indexed)| value & !indexed).collect();
        encode_bitmap(self.rows, &open, &mut bitmap);
        part.begin_section(OPEN)?;
        part.write(&bitmap)?;
        bitmap.clear();
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
            has_positions: tally.has_positions,
            settings: self.settings,
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
