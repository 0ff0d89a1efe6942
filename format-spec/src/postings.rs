//! Postings: the rows that a column gives for a value or a range, without materialising them.
//!
//! # Invariants
//! - `count` is exact and costs nothing: it is the planner's estimate.

use zerocopy::FromBytes;
use zerocopy::little_endian::{U32, U64};

use crate::bitmap::{BitmapView, bits_of, last_mask};
use crate::bytes::{Reader, put_varint};
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
    /// Varints of the gaps, the first from 0.
    Gaps {
        count: u32,
        gaps: &'a [u8],
    },
    Words {
        count: u32,
        words: &'a [U64],
    },
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
        let mut gaps = bytes;
        let count = next_varint(&mut gaps).unwrap_or(0);
        Self(Shape::Gaps { count, gaps })
    }

    /// Checks the stored postings of a keyword, which begin at `at` in the file.
    pub(crate) fn check(bytes: &[u8], rows: u32, at: u64) -> Result<(), DecodeError> {
        let len = bytes.len() as u64;
        match Postings::stored(bytes, rows).0 {
            Shape::Bitmap(_) | Shape::List(_) => Ok(()),
            Shape::Words { count, words } => {
                let beyond = words.last().map_or(0, |word| word.get() & !last_mask(rows));
                if beyond != 0 {
                    return Err(failed(at, "posting words", Why::NotZero));
                }
                let (mut found, mut gaps, mut last) = (0_u64, 0, 0);
                for row in Postings(Shape::Words { count, words }).iter() {
                    found += 1;
                    gaps += varint_len((row - last).into());
                    last = row;
                }
                require_equal(count.into(), found, at, "posting count")?;
                if varint_len(found) + gaps < words_len(rows) {
                    return Err(failed(at, "posting count", Why::Order));
                }
                Ok(())
            }
            Shape::Gaps { .. } if len >= words_len(rows) => {
                Err(out_of_range(at, "posting bytes", len, (2, words_len(rows))))
            }
            Shape::Gaps { .. } => check_gaps(Reader::starting_at(bytes, at), rows),
        }
    }

    /// Number of rows; for a range, of pairs.
    pub const fn count(&self) -> u64 {
        match self.0 {
            Shape::List(rows) => rows.len() as u64,
            Shape::Words { count, .. } | Shape::Gaps { count, .. } => count as u64,
            Shape::Bitmap(rows) => rows.count() as u64,
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = Row> + use<'a> {
        let (list, gaps, words, bitmap) = match self.0 {
            Shape::List(list) => (list, Gaps::default(), Default::default(), None),
            Shape::Gaps { count, gaps } => {
                let gaps = Gaps {
                    left: count,
                    row: 0,
                    gaps,
                };
                (Default::default(), gaps, Default::default(), None)
            }
            Shape::Words { words, .. } => (Default::default(), Gaps::default(), words, None),
            Shape::Bitmap(rows) => {
                let none = Default::default();
                (none, Gaps::default(), Default::default(), Some(rows))
            }
        };
        let dense = (0..=u32::MAX)
            .step_by(64)
            .zip(words)
            .flat_map(|(low, word)| bits_of(word.get()).map(move |bit| low + u32::from(bit)));
        let bitmap = bitmap.into_iter().flat_map(|rows| rows.iter());
        let listed = list.iter().map(|row| row.get()).chain(gaps);
        listed.chain(dense).chain(bitmap)
    }

    /// Number of the rows whose bit is set in `words`, 64 rows a word; for a range, of the pairs.
    pub fn count_in(&self, words: &[u64]) -> u64 {
        let set = |row: Row| {
            let word = words.get(row as usize / 64).copied().unwrap_or_default();
            word >> (row % 64) & 1
        };
        match self.0 {
            Shape::List(list) => list.iter().map(|row| set(row.get())).sum(),
            Shape::Gaps { .. } => self.iter().map(set).sum(),
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
            Shape::Gaps { .. } => {
                for row in self.iter() {
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

/// Rows from the gaps between them.
#[derive(Clone, Debug, Default)]
struct Gaps<'a> {
    left: u32,
    row: Row,
    gaps: &'a [u8],
}

impl Iterator for Gaps<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        self.left = self.left.checked_sub(1)?;
        self.row = self.row.wrapping_add(next_varint(&mut self.gaps)?);
        Some(self.row)
    }
}

fn check_gaps(mut gaps: Reader<'_>, rows: u32) -> Result<(), DecodeError> {
    let at = gaps.at();
    let count = gaps.varint("posting count")?;
    if count == 0 || count > rows.into() {
        return Err(out_of_range(at, "posting count", count, (1, rows.into())));
    }
    let mut row = 0_u64;
    for index in 0..count {
        let at = gaps.at();
        let gap = gaps.varint("posting rows")?;
        if index > 0 && gap == 0 {
            return Err(failed(at, "posting rows", Why::Order));
        }
        row = row.saturating_add(gap);
        if row >= rows.into() {
            let bounds = (0, u64::from(rows).saturating_sub(1));
            return Err(out_of_range(at, "posting rows", row, bounds));
        }
    }
    crate::fields::exact(gaps.rest(), gaps.at(), 0, "posting rows").map(|_| ())
}

/// The next varint of bytes that were checked; none at their end.
pub(crate) fn next_varint(bytes: &mut &[u8]) -> Option<u32> {
    let (mut value, mut shift) = (0_u32, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Bytes of a varint.
const fn varint_len(value: u64) -> u64 {
    let bits = 64 - (value | 1).leading_zeros() as u64;
    bits.div_ceil(7)
}

/// Appends the postings of one value: ascending rows, at least one.
pub(crate) fn encode_postings(list: &[Row], rows: u32, out: &mut Vec<u8>) {
    let start = out.len();
    put_varint(out, list.len() as u64);
    let mut last = 0;
    for &row in list {
        put_varint(out, (row - last).into());
        last = row;
    }
    if ((out.len() - start) as u64) < words_len(rows) {
        return;
    }
    out.truncate(start);
    let mut words = vec![0_u64; rows.div_ceil(64) as usize];
    for &row in list {
        if let Some(word) = words.get_mut(row as usize / 64) {
            *word |= 1 << (row % 64);
        }
    }
    out.extend_from_slice(&(list.len() as u64).to_le_bytes());
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
