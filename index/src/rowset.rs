//! A set of rows as a bitmap over `0..len`.
//!
//! # Invariants
//! - There are exactly `len.div_ceil(64)` words; bits at and beyond `len` are 0.

use crate::Row;
use crate::error::WordsError;

/// A set of rows of one segment. A bit a row; row r is bit `r % 64` of word `r / 64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowSet {
    words: Vec<u64>,
    len: u32,
}

const fn words_for(len: u32) -> usize {
    len.div_ceil(64) as usize
}

impl RowSet {
    /// The empty set over `0..len`.
    pub fn new(len: u32) -> Self {
        Self {
            words: vec![0; words_for(len)],
            len,
        }
    }

    /// The set of all rows of `0..len`.
    pub fn full(len: u32) -> Self {
        let mut set = Self {
            words: vec![u64::MAX; words_for(len)],
            len,
        };
        set.clear_beyond_end();
        set
    }

    /// The set with these words.
    ///
    /// # Errors
    /// The number of words does not fit `len`, or a bit beyond it is set.
    pub fn from_words(len: u32, words: Vec<u64>) -> Result<Self, WordsError> {
        if words.len() != words_for(len) {
            return Err(WordsError::Count {
                words: words.len(),
                needed: words_for(len),
            });
        }
        let mut set = Self { words, len };
        let last = set.words.last().copied();
        set.clear_beyond_end();
        if set.words.last().copied() != last {
            return Err(WordsError::BeyondEnd { len });
        }
        Ok(set)
    }

    /// The set of `rows` over `0..len`.
    ///
    /// # Panics
    /// If a row is not below `len`.
    pub fn from_rows(len: u32, rows: impl IntoIterator<Item = Row>) -> Self {
        let mut set = Self::new(len);
        for row in rows {
            set.insert(row);
        }
        set
    }

    /// The same rows in a set over `0..len`, which is no less than it ranges over.
    #[must_use]
    pub fn extended(mut self, len: u32) -> Self {
        self.len = self.len.max(len);
        self.words.resize(words_for(self.len), 0);
        self
    }

    /// The number of rows the set ranges over, in it or not.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no row is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The words of the bitmap.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words of the bitmap, leaving the set.
    pub fn into_words(self) -> Vec<u64> {
        self.words
    }

    /// Adds `row`; tells whether it was not in the set.
    ///
    /// # Panics
    /// If `row` is not below [`len`](Self::len).
    pub fn insert(&mut self, row: Row) -> bool {
        assert!(
            row < self.len,
            "row {row} is beyond a set of {} rows",
            self.len
        );
        let word = &mut self.words[(row / 64) as usize];
        let bit = 1 << (row % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Takes `row` out; tells whether it was in the set.
    pub fn remove(&mut self, row: Row) -> bool {
        let Some(word) = self.words.get_mut((row / 64) as usize) else {
            return false;
        };
        let bit = 1 << (row % 64);
        let had = *word & bit != 0;
        *word &= !bit;
        had
    }

    /// Adds the rows `from..to`, as far as they are below [`len`](Self::len).
    pub fn insert_range(&mut self, from: Row, to: Row) {
        let to = to.min(self.len);
        if from >= to {
            return;
        }
        let (first, last) = ((from / 64) as usize, ((to - 1) / 64) as usize);
        let head = u64::MAX << (from % 64);
        let tail = u64::MAX >> (63 - (to - 1) % 64);
        if first == last {
            self.words[first] |= head & tail;
            return;
        }
        self.words[first] |= head;
        self.words[first + 1..last].fill(u64::MAX);
        self.words[last] |= tail;
    }

    /// Whether `row` is in the set. A row beyond the end is not.
    #[inline]
    pub fn contains(&self, row: Row) -> bool {
        let word = self.words.get((row / 64) as usize);
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The number of rows in the set.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Keeps the rows that are also in `other`.
    ///
    /// # Panics
    /// If the sets range over different numbers of rows.
    pub fn and(&mut self, other: &Self) {
        self.combine(other, |ours, theirs| ours & theirs);
    }

    /// Adds the rows of `other`.
    ///
    /// # Panics
    /// If the sets range over different numbers of rows.
    pub fn or(&mut self, other: &Self) {
        self.combine(other, |ours, theirs| ours | theirs);
    }

    /// Takes out the rows of `other`.
    ///
    /// # Panics
    /// If the sets range over different numbers of rows.
    pub fn and_not(&mut self, other: &Self) {
        self.combine(other, |ours, theirs| ours & !theirs);
    }

    /// Turns the set into the rows it does not hold.
    pub fn not(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.clear_beyond_end();
    }

    /// The rows in the set, ascending.
    pub fn iter(&self) -> Rows<'_> {
        Rows {
            words: self.words.iter(),
            word: 0,
            base: 0,
            next_base: 0,
        }
    }

    /// The rows in the set, ascending; the same as [`iter`](Self::iter).
    pub fn iter_ones(&self) -> Rows<'_> {
        self.iter()
    }

    /// Adds up to `wanted` rows of the set to `out`, spread evenly over the words.
    pub(crate) fn spread(&self, wanted: usize, out: &mut Vec<Row>) {
        let step = self.words.len().div_ceil(wanted.max(1)).max(1);
        for (at, chunk) in self.words.chunks(step).enumerate() {
            let Some(skipped) = chunk.iter().position(|word| *word != 0) else {
                continue;
            };
            let word = at * step + skipped;
            out.push((word * 64) as Row + chunk[skipped].trailing_zeros());
        }
    }

    fn combine(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        assert_eq!(self.len, other.len, "sets over different numbers of rows");
        for (ours, theirs) in self.words.iter_mut().zip(&other.words) {
            *ours = with(*ours, *theirs);
        }
    }

    fn clear_beyond_end(&mut self) {
        let used = self.len % 64;
        if let Some(last) = self.words.last_mut()
            && used != 0
        {
            *last &= (1 << used) - 1;
        }
    }
}

impl<'a> IntoIterator for &'a RowSet {
    type Item = Row;
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.iter()
    }
}

/// The rows of a [`RowSet`], ascending.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    words: std::slice::Iter<'a, u64>,
    word: u64,
    base: Row,
    next_base: Row,
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while self.word == 0 {
            self.word = *self.words.next()?;
            self.base = self.next_base;
            // The base after the last word may be 2^32, which no row uses.
            self.next_base = self.next_base.wrapping_add(64);
        }
        let bit = self.word.trailing_zeros();
        self.word &= self.word - 1;
        Some(self.base + bit)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self
            .words
            .clone()
            .map(|word| word.count_ones() as usize)
            .sum::<usize>()
            + self.word.count_ones() as usize;
        (left, Some(left))
    }
}

impl std::iter::FusedIterator for Rows<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn model(len: u32, rows: &[u32]) -> (RowSet, BTreeSet<u32>) {
        let rows: BTreeSet<u32> = rows.iter().map(|row| row % len).collect();
        (RowSet::from_rows(len, rows.iter().copied()), rows)
    }

    proptest! {
        #[test]
        fn a_row_set_is_a_set_of_rows(
            len in 1u32..300,
            a in prop::collection::vec(any::<u32>(), 0..100),
            b in prop::collection::vec(any::<u32>(), 0..100),
        ) {
            let (left, left_model) = model(len, &a);
            let (right, right_model) = model(len, &b);
            let list = |set: &RowSet| set.iter().collect::<Vec<_>>();
            let of = |rows: BTreeSet<u32>| rows.into_iter().collect::<Vec<_>>();

            prop_assert_eq!(list(&left), of(left_model.clone()));
            prop_assert_eq!(left.count() as usize, left_model.len());
            prop_assert_eq!(left.iter().size_hint(), (left_model.len(), Some(left_model.len())));
            prop_assert_eq!(left.is_empty(), left_model.is_empty());
            for row in 0..len + 70 {
                prop_assert_eq!(left.contains(row), left_model.contains(&row));
            }
            let mut both = left.clone();
            both.and(&right);
            prop_assert_eq!(list(&both), of(&left_model & &right_model));
            let mut either = left.clone();
            either.or(&right);
            prop_assert_eq!(list(&either), of(&left_model | &right_model));
            let mut less = left.clone();
            less.and_not(&right);
            prop_assert_eq!(list(&less), of(&left_model - &right_model));
            let mut others = left.clone();
            others.not();
            prop_assert_eq!(list(&others), of(&(0..len).collect() - &left_model));
            prop_assert_eq!(RowSet::from_words(len, left.words().to_vec()), Ok(left.clone()));
            others.or(&left);
            prop_assert_eq!(others, RowSet::full(len));
        }

        #[test]
        fn inserting_and_removing_follow_a_set(
            len in 1u32..200,
            steps in prop::collection::vec((any::<bool>(), any::<u32>()), 0..100),
        ) {
            let mut set = RowSet::new(len);
            let mut model = BTreeSet::new();
            for (insert, row) in steps {
                let row = row % len;
                if insert {
                    prop_assert_eq!(set.insert(row), model.insert(row));
                } else {
                    prop_assert_eq!(set.remove(row), model.remove(&row));
                }
            }
            prop_assert_eq!(set.iter_ones().collect::<BTreeSet<_>>(), model);
        }

        #[test]
        fn a_range_is_its_rows(len in 1u32..300, from in 0u32..320, to in 0u32..320) {
            let mut set = RowSet::new(len);
            set.insert_range(from, to);
            prop_assert_eq!(set, RowSet::from_rows(len, from..to.min(len).max(from)));
        }

        #[test]
        fn a_sample_is_of_the_set(
            len in 1u32..3_000,
            rows in prop::collection::vec(any::<u32>(), 1..100),
            wanted in 1usize..20,
        ) {
            let (set, _) = model(len, &rows);
            let mut sample = Vec::new();
            set.spread(wanted, &mut sample);
            prop_assert!(!sample.is_empty() && sample.len() <= wanted);
            prop_assert!(sample.iter().all(|row| set.contains(*row)));
        }
    }

    #[test]
    fn words_that_do_not_fit_are_refused() {
        assert_eq!(
            RowSet::from_words(65, vec![0]),
            Err(WordsError::Count {
                words: 1,
                needed: 2
            })
        );
        assert_eq!(
            RowSet::from_words(3, vec![8]),
            Err(WordsError::BeyondEnd { len: 3 })
        );
        assert_eq!(RowSet::from_words(0, vec![]).unwrap().count(), 0);
    }
}
