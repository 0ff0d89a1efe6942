//! Making a keyword column: the texts of every row, each different text kept once.
//!
//! # Invariants
//! - Pairs are ascending by row, so that counting them by text puts the rows of each in order.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;

use format_spec::{ColumnBuilder, PartSummary, PartWriter, WriteError};
use hashbrown::HashTable;

use crate::Row;

/// Texts in the making: rows go in, in order.
///
/// Memory: 8 bytes a pair, and for each different text about 16 bytes beside its own.
#[derive(Default, Debug)]
pub(crate) struct KeywordDraft {
    /// The different texts, one after the other, by number.
    texts: String,
    /// Where each ends.
    ends: Vec<u64>,
    numbers: HashTable<u32>,
    /// Which places the table uses depends on this; what is written does not.
    hasher: RandomState,
    pairs: Vec<(u32, Row)>,
}

fn text_of<'t>(texts: &'t str, ends: &[u64], number: u32) -> &'t str {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &texts[start as usize..ends[number] as usize]
}

impl KeywordDraft {
    /// Takes a text of `row`; tells whether the column can hold it.
    pub(crate) fn take(&mut self, text: &str, row: Row) -> bool {
        let Ok(next) = u32::try_from(self.ends.len()) else {
            return false;
        };
        let Self {
            texts,
            ends,
            numbers,
            hasher,
            pairs,
        } = self;
        let hash = hasher.hash_one(text);
        let same = |number: &u32| text_of(texts, ends, *number) == text;
        let number = match numbers.find(hash, same) {
            Some(number) => *number,
            None => {
                texts.push_str(text);
                ends.push(texts.len() as u64);
                let hash_of = |number: &u32| hasher.hash_one(text_of(texts, ends, *number));
                numbers.insert_unique(hash, next, hash_of);
                next
            }
        };
        pairs.push((number, row));
        true
    }

    /// Takes back all texts of the last row. Those that no other row has are not written.
    pub(crate) fn forget(&mut self, row: Row) {
        while self.pairs.pop_if(|(_, of)| *of == row).is_some() {}
    }

    /// Writes the column part.
    pub(crate) fn finish<W: Write>(
        self,
        builder: ColumnBuilder<'_>,
        part: PartWriter<W>,
    ) -> Result<(W, PartSummary), WriteError> {
        let Self {
            texts,
            ends,
            numbers,
            pairs,
            ..
        } = self;
        drop(numbers);
        let text = |number: u32| text_of(&texts, &ends, number);
        let mut sorted: Vec<u32> = (0..).take(ends.len()).collect();
        sorted.sort_unstable_by(|a, b| text(*a).cmp(text(*b)));
        let rows = RowsByText::new(&pairs, ends.len());
        drop(pairs);
        let pairs = sorted.iter().flat_map(|&number| {
            let text = text(number);
            rows.of(number).iter().map(move |&row| (text, row))
        });
        builder.keywords(part, pairs)
    }
}

/// The rows of each text, in order, by its number.
struct RowsByText {
    rows: Vec<Row>,
    ends: Vec<usize>,
}

impl RowsByText {
    fn new(pairs: &[(u32, Row)], texts: usize) -> Self {
        let mut places = vec![0; texts];
        for (number, _) in pairs {
            places[*number as usize] += 1;
        }
        let mut start = 0;
        for place in &mut places {
            start += std::mem::replace(place, start);
        }
        let mut rows = vec![0; pairs.len()];
        for (number, row) in pairs {
            let place = &mut places[*number as usize];
            rows[*place] = *row;
            *place += 1;
        }
        Self { rows, ends: places }
    }

    fn of(&self, number: u32) -> &[Row] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rows[start..self.ends[number]]
    }
}
