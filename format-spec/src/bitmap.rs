#![doc = include_str!("../docs/02b-bitmap.md")]

use std::ops::Range;

use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32, U64};

use crate::bytes::Reader;
use crate::error::{DecodeError, Why};
use crate::fields::{failed, opened, out_of_range, require_equal, require_zero, slice};
use crate::ids::Row;

/// Rows of a chunk.
const CHUNK_ROWS: u32 = 65_536;
/// Words of 64 rows in a chunk.
const CHUNK_WORDS: usize = 1024;

/// Appends the bitmap of the rows below `len` whose bits are set in `words`, 64 rows a word.
///
/// Words that are missing count as zero; bits from `len` on are ignored. Returns the number of rows
/// in the set.
pub fn encode_bitmap(len: u32, words: &[u64], out: &mut Vec<u8>) -> u32 {
    let words = clipped(len, words);
    let chunks = chunk_count(len);
    let start = out.len();
    let ones: u32 = words.iter().map(|word| word.count_ones()).sum();
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&ones.to_le_bytes());
    out.resize(start + 8 + 8 * chunks as usize, 0);
    let mut directory = Vec::with_capacity(8 * chunks as usize);
    let mut offset = 1 + chunks;
    let mut bodies = words.chunks(CHUNK_WORDS);
    for chunk in 0..chunks {
        let body = bodies.next().unwrap_or_default();
        let count: u32 = body.iter().map(|word| word.count_ones()).sum();
        directory.extend_from_slice(&count.to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        let shape = Shape::of(count, rows_in_chunk(len, chunk));
        match shape {
            Shape::Empty | Shape::Full => {}
            Shape::List => encode_list(body, out),
            Shape::Dense => out.extend(body.iter().flat_map(|word| word.to_le_bytes())),
        }
        offset += shape.units(count, rows_in_chunk(len, chunk));
    }
    if let Some(place) = out.get_mut(start + 8..start + 8 + directory.len()) {
        place.copy_from_slice(&directory);
    }
    ones
}

fn encode_list(body: &[u64], out: &mut Vec<u8>) {
    let mut count = 0_usize;
    for (low, word) in (0..=u16::MAX).step_by(64).zip(body) {
        for bit in BitsOf(*word) {
            out.extend_from_slice(&(low | bit).to_le_bytes());
            count += 1;
        }
    }
    out.resize(out.len() + 2 * (count.next_multiple_of(4) - count), 0);
}

/// Exactly the words for `len` rows, without bits beyond.
fn clipped(len: u32, words: &[u64]) -> Vec<u64> {
    let mut words = words.to_vec();
    words.resize(len.div_ceil(64) as usize, 0);
    if let Some(last) = words.last_mut() {
        *last &= last_mask(len);
    }
    words
}

/// The bits of the last word that stand for rows below `len`.
pub(crate) const fn last_mask(len: u32) -> u64 {
    match len % 64 {
        0 => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

const fn chunk_count(len: u32) -> u32 {
    len.div_ceil(CHUNK_ROWS)
}

fn rows_in_chunk(len: u32, chunk: u32) -> u32 {
    len.saturating_sub(chunk.saturating_mul(CHUNK_ROWS))
        .min(CHUNK_ROWS)
}

/// How the body of a chunk is stored.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Shape {
    Empty,
    Full,
    List,
    Dense,
}

impl Shape {
    const fn of(count: u32, rows: u32) -> Self {
        if count == 0 {
            Self::Empty
        } else if count == rows {
            Self::Full
        } else if count.div_ceil(4) < rows.div_ceil(64) {
            Self::List
        } else {
            Self::Dense
        }
    }

    /// Length of the body in units of 8 bytes.
    const fn units(self, count: u32, rows: u32) -> u32 {
        match self {
            Self::Empty | Self::Full => 0,
            Self::List => count.div_ceil(4),
            Self::Dense => rows.div_ceil(64),
        }
    }
}

/// The set bits of a word, lowest first.
pub(crate) const fn bits_of(word: u64) -> impl Iterator<Item = u16> {
    BitsOf(word)
}

/// The set bits of a word, lowest first.
#[derive(Clone, Debug)]
struct BitsOf(u64);

impl Iterator for BitsOf {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        u16::try_from(bit).ok()
    }
}

/// Where a checked bitmap is in its file, and its figures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BitmapLayout {
    range: Range<u64>,
    len: u32,
    ones: u32,
}

impl BitmapLayout {
    /// Checks the bitmap that is exactly `range` of the file in `bytes`.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands, at its offset in the file.
    pub fn open(bytes: &[u8], range: Range<u64>, field: &'static str) -> Result<Self, DecodeError> {
        let mut head = Reader::starting_at(slice(bytes, &range, field)?, range.start);
        let layout = Self {
            len: head.u32(field)?,
            ones: head.u32(field)?,
            range,
        };
        let chunks = chunk_count(layout.len);
        head.chunks::<8>(chunks as usize, field)?;
        let view = layout.view(bytes);
        let mut total = 0_u64;
        let mut expected = 1 + u64::from(chunks);
        for (chunk, entry) in (0..=u32::MAX).zip(view.directory) {
            let at = layout.range.start + 8 + 8 * u64::from(chunk);
            let [count, offset] = entry.map(U32::get);
            let rows = rows_in_chunk(layout.len, chunk);
            if count > rows {
                return Err(out_of_range(at, field, count.into(), (0, rows.into())));
            }
            require_equal(offset.into(), expected, at + 4, field)?;
            let body_at = layout.range.start + 8 * expected;
            expected += u64::from(Shape::of(count, rows).units(count, rows));
            total += u64::from(count);
            view.check_body(chunk, (count, offset), body_at, field)?;
        }
        let at = layout.range.start;
        require_equal(layout.ones.into(), total, at + 4, field)?;
        require_equal(layout.range.end - at, 8 * expected, at, field)?;
        Ok(layout)
    }

    /// Rows covered.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no row is covered.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows in the set.
    pub const fn count(&self) -> u32 {
        self.ones
    }

    /// The bitmap, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> BitmapView<'a> {
        let bytes = opened(bytes, &self.range);
        let directory = bytes
            .get(8..8 + 8 * chunk_count(self.len) as usize)
            .unwrap_or_default();
        BitmapView {
            len: self.len,
            ones: self.ones,
            directory: <[[U32; 2]]>::ref_from_bytes(directory).unwrap_or_default(),
            bytes,
        }
    }
}

/// A set of rows, read in place.
#[derive(Copy, Clone, Debug)]
pub struct BitmapView<'a> {
    len: u32,
    ones: u32,
    directory: &'a [[U32; 2]],
    bytes: &'a [u8],
}

/// The body of a chunk.
#[derive(Copy, Clone, Debug)]
enum Body<'a> {
    Empty,
    Full,
    List(&'a [U16]),
    Dense(&'a [U64]),
}

impl<'a> BitmapView<'a> {
    /// Rows covered.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no row is covered.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows in the set.
    pub const fn count(&self) -> u32 {
        self.ones
    }

    /// Whether the row is in the set.
    pub fn contains(&self, row: Row) -> bool {
        if row >= self.len {
            return false;
        }
        let [low, high] = halves(row);
        match self.body(high.into()) {
            Body::Empty => false,
            Body::Full => true,
            Body::List(rows) => rows.binary_search_by_key(&low, |row| row.get()).is_ok(),
            Body::Dense(words) => words
                .get(usize::from(low / 64))
                .is_some_and(|word| word.get() >> (low % 64) & 1 == 1),
        }
    }

    /// The rows of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Row> + use<'a> {
        let view = *self;
        (0..chunk_count(view.len)).flat_map(move |chunk| {
            let base = chunk * CHUNK_ROWS;
            let rows = rows_in_chunk(view.len, chunk);
            let body = view.body(chunk);
            let full = if matches!(body, Body::Full) {
                0..rows
            } else {
                0..0
            };
            let list = if let Body::List(list) = body {
                list
            } else {
                &[]
            };
            let words = if let Body::Dense(words) = body {
                words
            } else {
                &[]
            };
            let dense = (0..=u32::MAX)
                .step_by(64)
                .zip(words)
                .flat_map(|(low, word)| BitsOf(word.get()).map(move |bit| low + u32::from(bit)));
            full.chain(list.iter().map(|row| row.get().into()))
                .chain(dense)
                .map(move |row| base + row)
        })
    }

    /// Sets the bit of every row of the set in `words`, 64 rows a word. Words that are missing are
    /// left out.
    pub fn or_into(&self, words: &mut [u64]) {
        for (chunk, out) in (0..chunk_count(self.len)).zip(words.chunks_mut(CHUNK_WORDS)) {
            match self.body(chunk) {
                Body::Empty => {}
                Body::Full => {
                    let rows = rows_in_chunk(self.len, chunk);
                    let used = out.iter_mut().take(rows.div_ceil(64) as usize);
                    for (index, word) in (1..).zip(used) {
                        let last = index == rows.div_ceil(64);
                        *word |= if last { last_mask(rows) } else { u64::MAX };
                    }
                }
                Body::List(list) => {
                    for row in list.iter().map(|row| row.get()) {
                        if let Some(word) = out.get_mut(usize::from(row / 64)) {
                            *word |= 1 << (row % 64);
                        }
                    }
                }
                Body::Dense(dense) => {
                    for (word, more) in out.iter_mut().zip(dense) {
                        *word |= more.get();
                    }
                }
            }
        }
    }

    /// The set as words of 64 rows, `len / 64` rounded up of them.
    pub fn to_words(&self) -> Vec<u64> {
        let mut words = vec![0; self.len.div_ceil(64) as usize];
        self.or_into(&mut words);
        words
    }

    fn body(&self, chunk: u32) -> Body<'a> {
        let Some(entry) = self.directory.get(chunk as usize) else {
            return Body::Empty;
        };
        let [count, offset] = entry.map(U32::get);
        let rows = rows_in_chunk(self.len, chunk);
        let shape = Shape::of(count, rows);
        let start = (offset as usize).saturating_mul(8);
        let len = match shape {
            Shape::Empty => return Body::Empty,
            Shape::Full => return Body::Full,
            Shape::List => 2 * count as usize,
            Shape::Dense => 8 * rows.div_ceil(64) as usize,
        };
        let bytes = self
            .bytes
            .get(start..start.saturating_add(len))
            .unwrap_or_default();
        match shape {
            Shape::Dense => Body::Dense(<[U64]>::ref_from_bytes(bytes).unwrap_or_default()),
            Shape::Empty | Shape::Full | Shape::List => {
                Body::List(<[U16]>::ref_from_bytes(bytes).unwrap_or_default())
            }
        }
    }

    fn check_body(
        &self,
        chunk: u32,
        entry: (u32, u32),
        at: u64,
        field: &'static str,
    ) -> Result<(), DecodeError> {
        let (count, offset) = entry;
        let rows = rows_in_chunk(self.len, chunk);
        match self.body(chunk) {
            Body::Empty | Body::Full => Ok(()),
            Body::List(list) => {
                require_equal(list.len() as u64, count.into(), at, field)?;
                let ascending = list.is_sorted_by(|a, b| a.get() < b.get());
                if !ascending {
                    return Err(failed(at, field, Why::Order));
                }
                let last = list.last().map_or(0, |row| u32::from(row.get()));
                if last >= rows {
                    return Err(out_of_range(
                        at,
                        field,
                        last.into(),
                        (0, u64::from(rows) - 1),
                    ));
                }
                let start = (offset as usize).saturating_mul(8);
                let units = Shape::List.units(count, rows) as usize;
                let end = start.saturating_add(units * 8);
                let padding = self.bytes.get(start + 2 * list.len()..end);
                let why = Why::Truncated {
                    need: end as u64,
                    have: self.bytes.len() as u64,
                };
                require_zero(padding.ok_or(failed(at, field, why))?, at, field)
            }
            Body::Dense(words) => {
                let found: u32 = words.iter().map(|word| word.get().count_ones()).sum();
                require_equal(found.into(), count.into(), at, field)?;
                let beyond = words.last().map_or(0, |word| word.get() & !last_mask(rows));
                if beyond != 0 {
                    return Err(failed(at, field, Why::NotZero));
                }
                Ok(())
            }
        }
    }
}

/// The low and the high 16 bits of a row.
const fn halves(row: Row) -> [u16; 2] {
    let [a, b, c, d] = row.to_le_bytes();
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn words(len: u32, rows: &BTreeSet<Row>) -> Vec<u64> {
        let mut words = vec![0; len.div_ceil(64) as usize];
        for &row in rows {
            words[row as usize / 64] |= 1 << (row % 64);
        }
        words
    }

    fn encoded(len: u32, rows: &BTreeSet<Row>) -> Vec<u8> {
        let mut bytes = vec![];
        let count = encode_bitmap(len, &words(len, rows), &mut bytes);
        assert_eq!(count as usize, rows.len());
        bytes
    }

    fn check(len: u32, rows: &BTreeSet<Row>) {
        let bytes = encoded(len, rows);
        let layout = BitmapLayout::open(&bytes, 0..bytes.len() as u64, "rows").unwrap();
        let view = layout.view(&bytes);
        assert_eq!((view.len(), view.count()), (len, rows.len() as u32));
        assert!(view.iter().eq(rows.iter().copied()));
        assert_eq!(view.to_words(), words(len, rows));
        for row in (0..len)
            .step_by(97)
            .chain(rows.iter().copied().take(500))
            .chain([len])
        {
            assert_eq!(view.contains(row), rows.contains(&row), "row {row}");
        }
    }

    #[test]
    fn every_shape_of_chunk_round_trips() {
        for len in [0, 1, 63, 64, 65, 1000, 65_535, 65_536, 65_537, 200_001] {
            check(len, &BTreeSet::new());
            check(len, &(0..len).collect());
            check(len, &(0..len).step_by(2).collect());
            check(len, &(0..len).step_by(300).collect());
            check(len, &(1..len).collect());
            check(len, &(0..len.min(70_000)).collect());
        }
    }

    #[test]
    fn bits_past_the_end_are_not_taken() {
        let mut bytes = Vec::new();
        assert_eq!(encode_bitmap(3, &[u64::MAX, 1], &mut bytes), 3);
        assert_eq!(encode_bitmap(130, &[1], &mut bytes), 1);
    }

    proptest! {
        #[test]
        fn sets_round_trip(len in 1..150_000_u32, picks: Vec<prop::sample::Index>) {
            check(len, &picks.iter().map(|pick| pick.index(len as usize) as u32).collect());
        }

        // One set has one encoding: what opens after damage must encode to the damaged bytes.
        #[test]
        fn damage_is_refused_or_another_set(
            len in 1..140_000_u32,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let rows = picks.iter().map(|pick| pick.index(len as usize) as u32).collect();
            let mut bytes = encoded(len, &rows);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(layout) = BitmapLayout::open(&bytes, 0..bytes.len() as u64, "rows") {
                let view = layout.view(&bytes);
                let mut again = Vec::new();
                encode_bitmap(view.len(), &view.to_words(), &mut again);
                prop_assert_eq!(again, bytes);
            }
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>, other: Vec<u8>) {
            if let Ok(layout) = BitmapLayout::open(&bytes, 0..bytes.len() as u64, "rows") {
                let stale = layout.view(&other);
                stale.iter().take(1000).for_each(drop);
                stale.contains(5);
            }
        }
    }
}
