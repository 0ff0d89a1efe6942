//! Columns of keys of one width: pairs of key and row, ordered by key.
//!
//! # Invariants
//! - A `Numbers` that `check` has accepted is strictly ascending by (key, row), and every key is
//!   storable.

use std::ops::{Bound, Range, RangeBounds};

use zerocopy::little_endian::{F64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes as _, KnownLayout, big_endian};

use crate::columns::{KEYS, ROWS};
use crate::container::PartLayout;
use crate::error::{DecodeError, Why};
use crate::fields::{failed, opened, out_of_range, require_equal};
use crate::ids::Row;
use crate::place::Place;
use crate::postings::Postings;

/// A key of a column: an integer or datetime (`i64`), a float (`f64` other than NaN and negative
/// zero), a UUID (`u128`) or a [`Place`].
pub trait Number: Copy + PartialOrd + private::Sealed {
    /// The key in the file.
    type Stored: FromBytes + Immutable + KnownLayout + Copy + std::fmt::Debug + 'static;
    /// The key that is stored.
    fn load(stored: &Self::Stored) -> Self;
    /// Appends the key as it is stored.
    fn store(self, out: &mut Vec<u8>);
    /// Whether a column may hold it.
    fn is_storable(self) -> bool;
    /// What `META` says of it as the least or greatest key.
    fn figure(self) -> u64;
}

mod private {
    pub trait Sealed {}
    impl Sealed for i64 {}
    impl Sealed for f64 {}
    impl Sealed for u128 {}
    impl Sealed for super::Place {}
}

impl Number for i64 {
    type Stored = U64;

    fn load(stored: &U64) -> Self {
        stored.get().cast_signed()
    }

    fn store(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn is_storable(self) -> bool {
        true
    }

    fn figure(self) -> u64 {
        self.cast_unsigned()
    }
}

impl Number for f64 {
    type Stored = F64;

    fn load(stored: &F64) -> Self {
        stored.get()
    }

    fn store(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn is_storable(self) -> bool {
        !self.is_nan() && (self != 0.0 || self.is_sign_positive())
    }

    fn figure(self) -> u64 {
        self.to_bits()
    }
}

impl Number for u128 {
    type Stored = big_endian::U128;

    fn load(stored: &big_endian::U128) -> Self {
        stored.get()
    }

    fn store(self, out: &mut Vec<u8>) {
        out.extend_from_slice(big_endian::U128::new(self).as_bytes());
    }

    fn is_storable(self) -> bool {
        true
    }

    fn figure(self) -> u64 {
        0
    }
}

impl Number for Place {
    type Stored = [F64; 2];

    fn load(&[lon, lat]: &[F64; 2]) -> Self {
        Self::unchecked(lon.get(), lat.get())
    }

    fn store(self, out: &mut Vec<u8>) {
        self.lon().store(out);
        self.lat().store(out);
    }

    fn is_storable(self) -> bool {
        Self::new(self.lon(), self.lat()).is_some()
            && self.lon().is_storable()
            && self.lat().is_storable()
    }

    fn figure(self) -> u64 {
        0
    }
}

/// The float as a column holds it: negative zero is zero, NaN is nothing.
pub fn storable(value: f64) -> Option<f64> {
    // Adding positive zero turns negative zero into it and changes nothing else.
    (!value.is_nan()).then_some(value + 0.0)
}

/// Where the sections of a number column are.
#[derive(Clone, Debug)]
pub(crate) struct NumbersLayout {
    keys: Range<u64>,
    rows: Range<u64>,
}

/// What a number column says of itself in `META`.
#[derive(Copy, Clone, Debug)]
pub(crate) struct NumberFigures {
    pub(crate) rows: u32,
    pub(crate) values: u64,
    pub(crate) distinct: u64,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl NumbersLayout {
    pub(crate) fn open<N: Number>(
        part: &PartLayout,
        bytes: &[u8],
        figures: NumberFigures,
    ) -> Result<Self, DecodeError> {
        let sized = |tag, width: u64, field| {
            let range = part.required_section(tag)?;
            let len = figures.values.saturating_mul(width);
            require_equal(range.end - range.start, len, range.start, field)?;
            Ok(range)
        };
        let layout = Self {
            keys: sized(KEYS, size_of::<N::Stored>() as u64, "keys")?,
            rows: sized(ROWS, 4, "key rows")?,
        };
        layout.check(&layout.view::<N>(bytes), figures)?;
        Ok(layout)
    }

    fn check<N: Number>(
        &self,
        view: &Numbers<'_, N>,
        figures: NumberFigures,
    ) -> Result<(), DecodeError> {
        let mut before: Option<(N, Row)> = None;
        let mut distinct = 0;
        for ((index, key), row) in (0_u64..).zip(view.keys).zip(view.rows) {
            let (key, row) = (N::load(key), row.get());
            let at = self.keys.start + size_of::<N::Stored>() as u64 * index;
            let ascending = before.is_none_or(|(k, r)| k < key || (k == key && r < row));
            if !key.is_storable() || !ascending {
                return Err(failed(at, "keys", Why::Order));
            }
            if row >= figures.rows {
                let bounds = (0, u64::from(figures.rows).saturating_sub(1));
                let at = self.rows.start + 4 * index;
                return Err(out_of_range(at, "key rows", row.into(), bounds));
            }
            distinct += u64::from(before.is_none_or(|(k, _)| k < key));
            before = Some((key, row));
        }
        let at = self.keys.start;
        require_equal(figures.distinct, distinct, at, "distinct")?;
        require_equal(
            figures.min,
            view.keys.first().map_or(0, |key| N::load(key).figure()),
            at,
            "min",
        )?;
        require_equal(
            figures.max,
            view.keys.last().map_or(0, |key| N::load(key).figure()),
            at,
            "max",
        )
    }

    pub(crate) fn view<'a, N: Number>(&self, bytes: &'a [u8]) -> Numbers<'a, N> {
        Numbers {
            keys: <[N::Stored]>::ref_from_bytes(opened(bytes, &self.keys)).unwrap_or_default(),
            rows: <[U32]>::ref_from_bytes(opened(bytes, &self.rows)).unwrap_or_default(),
        }
    }
}

/// The pairs of a column of keys, in order of key, then row.
#[derive(Copy, Clone, Debug)]
pub struct Numbers<'a, N: Number> {
    keys: &'a [N::Stored],
    rows: &'a [U32],
}

impl<'a, N: Number> Numbers<'a, N> {
    /// Number of pairs.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no pair.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The pair at a position.
    pub fn pair(&self, position: usize) -> Option<(N, Row)> {
        let key = self.keys.get(position)?;
        Some((N::load(key), self.rows.get(position)?.get()))
    }

    /// The position of the first pair whose value is not less than `value`.
    pub fn first_ge(&self, value: N) -> usize {
        self.keys.partition_point(|key| N::load(key) < value)
    }

    /// The position of the first pair for whose value `holds` is true, if it stays true from there
    /// on.
    pub fn first_where(&self, holds: impl Fn(N) -> bool) -> usize {
        self.keys.partition_point(|key| !holds(N::load(key)))
    }

    /// The position of the first pair whose value is greater than `value`.
    pub fn first_gt(&self, value: N) -> usize {
        self.keys.partition_point(|key| N::load(key) <= value)
    }

    /// The positions of the pairs whose value is in a range; empty if the range is.
    pub fn positions(&self, range: impl RangeBounds<N>) -> Range<usize> {
        let start = match range.start_bound() {
            Bound::Unbounded => 0,
            Bound::Included(&value) => self.first_ge(value),
            Bound::Excluded(&value) => self.first_gt(value),
        };
        let end = match range.end_bound() {
            Bound::Unbounded => self.len(),
            Bound::Included(&value) => self.first_gt(value),
            Bound::Excluded(&value) => self.first_ge(value),
        };
        start..end.max(start)
    }

    /// The rows of the pairs at some positions.
    pub fn rows(&self, positions: Range<usize>) -> Postings<'a> {
        Postings::list(self.rows.get(positions).unwrap_or_default())
    }

    /// The rows of the pairs whose value is in a range.
    pub fn range(&self, range: impl RangeBounds<N>) -> Postings<'a> {
        self.rows(self.positions(range))
    }

    /// The rows that have a value.
    pub fn equals(&self, value: N) -> Postings<'a> {
        self.range(value..=value)
    }

    /// The rows of each of `values`, which ascend: each is looked for from where the one before it
    /// was found, so that many cost little more than the pairs between them.
    pub fn equals_each(&self, values: &[N]) -> impl Iterator<Item = Postings<'a>> {
        let mut from = 0;
        values.iter().map(move |&value| {
            let start = self.gallop(from, |key| key < value);
            from = self.gallop(start, |key| key <= value);
            Postings::list(self.rows.get(start..from).unwrap_or_default())
        })
    }

    /// The first position, from `from` on, whose value is not `before`; all that are come first.
    fn gallop(&self, from: usize, before: impl Fn(N) -> bool) -> usize {
        let rest = self.keys.get(from..).unwrap_or_default();
        let is_before = |key: &N::Stored| before(N::load(key));
        let mut step = 1;
        while rest.get(step).is_some_and(is_before) {
            step *= 2;
        }
        // What was looked at last but one is before, unless that is where it began.
        let start = if step == 1 { 0 } else { step / 2 };
        let end = rest.len().min(step + 1);
        let between = rest.get(start..end).unwrap_or_default();
        from + start + between.partition_point(is_before)
    }

    /// The pairs at some positions, in order; both ends can be taken.
    pub fn pairs(
        &self,
        positions: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (N, Row)> + use<'a, N> {
        let keys = self.keys.get(positions.clone()).unwrap_or_default();
        let rows = self.rows.get(positions).unwrap_or_default();
        keys.iter()
            .zip(rows)
            .map(|(key, row)| (N::load(key), row.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_looked_for_together_are_found_as_each_alone(
            mut held in prop::collection::vec(-60_i64..60, 0..300),
            mut asked in prop::collection::vec(-70_i64..70, 0..90),
        ) {
            held.sort_unstable();
            asked.sort_unstable();
            asked.dedup();
            let keys: Vec<U64> = held.iter().map(|key| U64::new(key.cast_unsigned())).collect();
            let rows: Vec<U32> = (0..held.len() as u32).map(U32::new).collect();
            let numbers = Numbers::<'_, i64> { keys: &keys, rows: &rows };
            let list = |postings: Postings<'_>| postings.iter().collect::<Vec<_>>();
            let together: Vec<_> = numbers.equals_each(&asked).map(list).collect();
            let alone: Vec<_> = asked.iter().map(|n| list(numbers.equals(*n))).collect();
            prop_assert_eq!(together, alone);
        }
    }
}
