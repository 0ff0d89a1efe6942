//! Postings: the rows that a column gives for a value or a range, without materialising them.
//!
//! # Invariants
//! - `count` is exact and costs nothing: it is the planner's estimate.

use zerocopy::FromBytes;
use zerocopy::little_endian::{U32, U64};

use crate::bitmap::{BitmapView, bits_of, last_mask};
use crate::error::{DecodeError, Why};
use crate::fields::{failed, out_of_range, require_equal};
use crate::ids::Row;

/// Rows that have a value, or a value in a range.
///
/// For one value the rows are ascending and each is there once. For a range they are in the order
/// of
/// the values, and a row with several values in the range is there several times: `count` is then
/// the number of pairs, an upper bound for the number of rows.
#[derive(Copy, Clone, Debug)]
pub struct Postings<'a>(Shape<'a>);

#[derive(Copy, Clone, Debug)]
enum Shape<'a> {
    List(&'a [U32]),
    Words { count: u32, words: &'a [U64] },
    Bitmap(BitmapView<'a>),
}

impl Default for Postings<'_> {
    fn default() -> Self {
        Self(Shape::List(&[]))
    }
}

impl<'a> Postings<'a> {
    pub(crate) const fn list(rows: &'a [U32]) -> Self {
        Self(Shape::List(rows))
    }

    pub(crate) const fn bitmap(rows: BitmapView<'a>) -> Self {
        Self(Shape::Bitmap(rows))
    }

    /// Postings of a keyword, as stored: words if they have exactly the length of words.
    pub(crate) fn stored(bytes: &'a [u8], rows: u32) -> Self {
        if bytes.len() as u64 == words_len(rows)
            && let Ok([count, words @ ..]) = <[U64]>::ref_from_bytes(bytes)
        {
            let count = u32::try_from(count.get()).unwrap_or(u32::MAX);
            return Self(Shape::Words { count, words });
        }
        Self::list(<[U32]>::ref_from_bytes(bytes).unwrap_or_default())
    }

    /// Checks the stored postings of a keyword, which begin at `at` in the file.
    pub(crate) fn check(bytes: &[u8], rows: u32, at: u64) -> Result<(), DecodeError> {
        match Postings::stored(bytes, rows).0 {
            Shape::Bitmap(_) => Ok(()),
            Shape::Words { count, words } => {
                let found: u64 = words
                    .iter()
                    .map(|word| u64::from(word.get().count_ones()))
                    .sum();
                require_equal(count.into(), found, at, "posting count")?;
                if 4 * found < words_len(rows) {
                    return Err(failed(at, "posting count", Why::Order));
                }
                let beyond = words.last().map_or(0, |word| word.get() & !last_mask(rows));
                if beyond != 0 {
                    return Err(failed(at, "posting words", Why::NotZero));
                }
                Ok(())
            }
            Shape::List(list) => {
                let len = bytes.len() as u64;
                if len >= words_len(rows) || list.is_empty() {
                    return Err(out_of_range(at, "posting bytes", len, (4, words_len(rows))));
                }
                if !list.is_sorted_by(|a, b| a.get() < b.get()) {
                    return Err(failed(at, "posting rows", Why::Order));
                }
                let last = list.last().map_or(0, |row| row.get());
                if last >= rows {
                    let bounds = (0, u64::from(rows).saturating_sub(1));
                    return Err(out_of_range(at, "posting rows", last.into(), bounds));
                }
                Ok(())
            }
        }
    }

    /// Number of rows; for a range, of pairs.
    pub const fn count(&self) -> u64 {
        match self.0 {
            Shape::List(rows) => rows.len() as u64,
            Shape::Words { count, .. } => count as u64,
            Shape::Bitmap(rows) => rows.count() as u64,
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = Row> + use<'a> {
        let (list, words, bitmap) = match self.0 {
            Shape::List(list) => (list, Default::default(), None),
            Shape::Words { words, .. } => (Default::default(), words, None),
            Shape::Bitmap(rows) => (Default::default(), Default::default(), Some(rows)),
        };
        let dense = (0..=u32::MAX)
            .step_by(64)
            .zip(words)
            .flat_map(|(low, word)| bits_of(word.get()).map(move |bit| low + u32::from(bit)));
        let bitmap = bitmap.into_iter().flat_map(|rows| rows.iter());
        list.iter().map(|row| row.get()).chain(dense).chain(bitmap)
    }

    /// Number of the rows whose bit is set in `words`, 64 rows a word; for a range, of the pairs.
    pub fn count_in(&self, words: &[u64]) -> u64 {
        let set = |row: Row| {
            let word = words.get(row as usize / 64).copied().unwrap_or_default();
            word >> (row % 64) & 1
        };
        match self.0 {
            Shape::List(list) => list.iter().map(|row| set(row.get())).sum(),
            Shape::Words { words: ours, .. } => {
                let both = ours.iter().zip(words);
                both.map(|(ours, theirs)| u64::from((ours.get() & theirs).count_ones()))
                    .sum()
            }
            Shape::Bitmap(rows) => {
                let both = rows.to_words().into_iter().zip(words);
                both.map(|(ours, theirs)| u64::from((ours & theirs).count_ones()))
                    .sum()
            }
        }
    }

    /// Whether `row` is one of the ascending rows of one value; of a range, it may be missed.
    pub fn contains(&self, row: Row) -> bool {
        match self.0 {
            Shape::List(list) => list.binary_search_by_key(&row, |row| row.get()).is_ok(),
            Shape::Words { words, .. } => words
                .get(row as usize / 64)
                .is_some_and(|word| word.get() >> (row % 64) & 1 == 1),
            Shape::Bitmap(rows) => rows.contains(row),
        }
    }

    /// Sets the bit of every row in `words`, 64 rows a word. Words that are missing are left out.
    pub fn or_into(&self, out: &mut [u64]) {
        match self.0 {
            Shape::List(list) => {
                for row in list.iter().map(|row| row.get()) {
                    if let Some(word) = out.get_mut(row as usize / 64) {
                        *word |= 1 << (row % 64);
                    }
                }
            }
            Shape::Words { words, .. } => {
                for (word, more) in out.iter_mut().zip(words) {
                    *word |= more.get();
                }
            }
            Shape::Bitmap(rows) => rows.or_into(out),
        }
    }
}

/// Length of the postings of a value as words, for a segment of `rows` rows.
fn words_len(rows: u32) -> u64 {
    8 + 8 * u64::from(rows.div_ceil(64))
}

/// Appends the postings of one value: ascending rows, at least one.
pub(crate) fn encode_postings(list: &[Row], rows: u32, out: &mut Vec<u8>) {
    let len = words_len(rows);
    if 4 * (list.len() as u64) < len {
        out.extend(list.iter().flat_map(|row| row.to_le_bytes()));
        return;
    }
    let mut words = vec![0_u64; rows.div_ceil(64) as usize];
    for &row in list {
        if let Some(word) = words.get_mut(row as usize / 64) {
            *word |= 1 << (row % 64);
        }
    }
    out.extend_from_slice(&(list.len() as u64).to_le_bytes());
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
