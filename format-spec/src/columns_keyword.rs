//! Keyword columns: a sorted dictionary and the postings of each value.
//!
//! # Invariants
//! - A `Keywords` that `check` has accepted has UTF-8 values in strictly ascending order and
//!   ascending postings.

use std::ops::Range;

use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

use crate::container::PartLayout;
use crate::error::{DecodeError, Why};
use crate::fields::{failed, opened, require_equal, to_usize};
use crate::postings::Postings;

use crate::columns::{POSTING_OFFSETS, POSTINGS, TEXT_OFFSETS, TEXTS};

/// Where the sections of a keyword column are.
#[derive(Clone, Debug)]
pub(crate) struct KeywordsLayout {
    rows: u32,
    postings: Range<u64>,
    posting_offsets: Range<u64>,
    texts: Range<u64>,
    text_offsets: Range<u64>,
}

impl KeywordsLayout {
    /// Checks the dictionary and all postings; returns the number of pairs.
    pub(crate) fn open(
        part: &PartLayout,
        bytes: &[u8],
        rows: u32,
        distinct: u64,
    ) -> Result<(Self, u64), DecodeError> {
        let offsets = |tag, field| {
            let range = part.required_section(tag)?;
            let len = distinct.saturating_add(1).saturating_mul(8);
            require_equal(range.end - range.start, len, range.start, field)?;
            Ok(range)
        };
        let layout = Self {
            rows,
            postings: part.required_section(POSTINGS)?,
            posting_offsets: offsets(POSTING_OFFSETS, "posting offsets")?,
            texts: part.required_section(TEXTS)?,
            text_offsets: offsets(TEXT_OFFSETS, "text offsets")?,
        };
        let pairs = layout.check(&layout.view(bytes))?;
        Ok((layout, pairs))
    }

    fn check(&self, view: &Keywords<'_>) -> Result<u64, DecodeError> {
        check_offsets(
            view.posting_offsets,
            view.postings.len(),
            &self.posting_offsets,
        )?;
        check_offsets(view.text_offsets, view.texts.len(), &self.text_offsets)?;
        let mut before: Option<&str> = None;
        let mut pairs = 0;
        for index in 0..view.len() {
            let text_at = self.texts.start + view.text_offsets.get(index).map_or(0, |o| o.get());
            let text = std::str::from_utf8(view.text_bytes(index))
                .map_err(|_| failed(text_at, "keyword", Why::Utf8))?;
            if before.is_some_and(|before| before >= text) {
                return Err(failed(text_at, "keyword", Why::Order));
            }
            before = Some(text);
            let offset = view
                .posting_offsets
                .get(index)
                .map_or(0, |offset| offset.get());
            let bytes = part_of(view.postings, view.posting_offsets, index);
            Postings::check(bytes, self.rows, self.postings.start + offset)?;
            pairs += view.postings(index).count();
        }
        Ok(pairs)
    }

    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> Keywords<'a> {
        let longs = |range| <[U64]>::ref_from_bytes(opened(bytes, range)).unwrap_or_default();
        Keywords {
            rows: self.rows,
            postings: opened(bytes, &self.postings),
            posting_offsets: longs(&self.posting_offsets),
            texts: opened(bytes, &self.texts),
            text_offsets: longs(&self.text_offsets),
        }
    }
}

pub(crate) fn check_offsets(
    offsets: &[U64],
    len: usize,
    range: &Range<u64>,
) -> Result<(), DecodeError> {
    let at = range.start;
    require_equal(
        offsets.first().map_or(1, |offset| offset.get()),
        0,
        at,
        "first offset",
    )?;
    if !offsets.is_sorted_by(|a, b| a.get() <= b.get()) {
        return Err(failed(at, "offsets", Why::Order));
    }
    let last = offsets.last().map_or(0, |offset| offset.get());
    require_equal(last, len as u64, range.end - 8, "last offset")
}

/// The bytes between offset `index` and the next one.
pub(crate) fn part_of<'a>(bytes: &'a [u8], offsets: &[U64], index: usize) -> &'a [u8] {
    let (Some(start), Some(end)) = (offsets.get(index), offsets.get(index + 1)) else {
        return &[];
    };
    bytes
        .get(to_usize(start.get())..to_usize(end.get()))
        .unwrap_or_default()
}

/// The values of a keyword column. They are numbered in ascending order of their bytes.
#[derive(Copy, Clone, Debug)]
pub struct Keywords<'a> {
    rows: u32,
    postings: &'a [u8],
    posting_offsets: &'a [U64],
    texts: &'a [u8],
    text_offsets: &'a [U64],
}

impl<'a> Keywords<'a> {
    /// Number of different values.
    pub const fn len(&self) -> usize {
        self.text_offsets.len().saturating_sub(1)
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn text_bytes(&self, index: usize) -> &'a [u8] {
        part_of(self.texts, self.text_offsets, index)
    }

    /// The value of a number.
    pub fn text(&self, index: usize) -> Option<&'a str> {
        let bytes = (index < self.len()).then(|| self.text_bytes(index))?;
        std::str::from_utf8(bytes).ok()
    }

    /// All values one after another, in order.
    pub const fn joined(&self) -> &'a [u8] {
        self.texts
    }

    /// Where the value of a number is in [`Self::joined`]; at its end if there is no such value.
    pub fn place(&self, index: usize) -> Range<usize> {
        let offset = |index: usize| {
            let offset = self.text_offsets.get(index);
            offset.map_or(self.texts.len(), |offset| to_usize(offset.get()))
        };
        offset(index)..offset(index.saturating_add(1))
    }

    /// The number of the value that has the byte at `at` of [`Self::joined`].
    pub fn number_at(&self, at: usize) -> usize {
        let begun = |offset: &U64| to_usize(offset.get()) <= at;
        self.text_offsets.partition_point(begun).saturating_sub(1)
    }

    /// The rows that have the value of a number; none if there is no such value.
    pub fn postings(&self, index: usize) -> Postings<'a> {
        Postings::stored(
            part_of(self.postings, self.posting_offsets, index),
            self.rows,
        )
    }

    /// The number of a value, or where it would be.
    ///
    /// # Errors
    /// The number of the first value greater than `text`, if no row has it.
    pub fn find(&self, text: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.text_bytes(middle).cmp(text.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The rows that have a value; none if it does not occur.
    pub fn equals(&self, text: &str) -> Postings<'a> {
        self.find(text)
            .map(|index| self.postings(index))
            .unwrap_or_default()
    }

    /// The numbers of the values that begin with a text.
    pub fn starting_with(&self, prefix: &str) -> Range<usize> {
        let start = self.find(prefix).unwrap_or_else(|first| first);
        let begins = |index: &usize| self.text_bytes(*index).starts_with(prefix.as_bytes());
        let (mut low, mut high) = (start, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if begins(&middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        start..low
    }

    /// All values with their rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Postings<'a>)> + use<'a> {
        let view = *self;
        (0..view.len()).filter_map(move |index| Some((view.text(index)?, view.postings(index))))
    }
}
