//! One record of the statistics chapter: kinds, counts and extremes of a field in a zone.
//!
//! # Invariants
//! - A decoded record obeys the chapter, whatever the bytes were.

use crate::bytes::Reader;
use crate::error::{DecodeError, Why};
use crate::fields::{failed, out_of_range};
use crate::statistics_filter::{DISTINCT_MAX, UNKNOWN};

pub(crate) const RECORD_LEN: u64 = 8;

/// A set of kinds of value.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Kinds(u16);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Null.
    pub const NULL: Self = Self(1);
    /// False.
    pub const FALSE: Self = Self(1 << 1);
    /// True.
    pub const TRUE: Self = Self(1 << 2);
    /// A whole number that fits in 64 signed bits.
    pub const INT: Self = Self(1 << 3);
    /// A whole number above `i64::MAX`.
    pub const UINT: Self = Self(1 << 4);
    /// Any other number but NaN.
    pub const FLOAT: Self = Self(1 << 5);
    /// NaN.
    pub const NAN: Self = Self(1 << 6);
    /// Text.
    pub const TEXT: Self = Self(1 << 7);
    /// An array in a selected array.
    pub const ARRAY: Self = Self(1 << 8);
    /// An object.
    pub const OBJECT: Self = Self(1 << 9);
    /// A selected array that is empty.
    pub const EMPTY: Self = Self(1 << 10);

    const ALL: u16 = (1 << 11) - 1;

    /// The kinds of these bits.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits & !Self::ALL == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The bits, as a record has them.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The kinds of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any kind is in both.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every kind is one of `others`.
    #[must_use]
    pub const fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// Whether there is a number that has a place in the order of numbers.
    #[must_use]
    pub const fn has_number(self) -> bool {
        self.meets(Self::INT.union(Self::UINT).union(Self::FLOAT))
    }

    /// Reads a u16 of kinds.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        let bits = reader.u16("kinds")?;
        let most = (0, u64::from(Self::ALL));
        Self::from_bits(bits).ok_or_else(|| out_of_range(at, "kinds", bits.into(), most))
    }
}

/// What is known of a field in one zone.
#[derive(Copy, Clone, PartialEq, Default, Debug)]
pub struct ZoneRecord {
    /// The kinds of value that occur.
    pub kinds: Kinds,
    /// Rows that have a value.
    pub rows_with_value: u16,
    /// Rows that have a null.
    pub rows_with_null: u16,
    /// Different texts and whole numbers in the filter, or [`UNKNOWN`].
    pub distinct: u16,
    /// The least and the greatest number; `None` if there are none.
    pub numbers: Option<(f64, f64)>,
}

impl ZoneRecord {
    /// The eight bytes of `RECS`.
    pub(crate) fn encode(&self) -> [u8; 8] {
        let [a, b] = self.kinds.0.to_le_bytes();
        let [c, d] = self.rows_with_value.to_le_bytes();
        let [e, f] = self.rows_with_null.to_le_bytes();
        let [g, h] = self.distinct.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Reads a record of a zone of `rows` rows, and its numbers at `number_at`, if the field has
    /// any.
    pub(crate) fn decode(
        mut reader: Reader<'_>,
        rows: usize,
        numbers: Option<&[u8; 16]>,
        number_at: u64,
    ) -> Result<Self, DecodeError> {
        let kinds = Kinds::decode(&mut reader)?;
        let mut count = |field: &'static str| {
            let at = reader.at();
            let count = reader.u16(field)?;
            if usize::from(count) > rows {
                return Err(out_of_range(at, field, count.into(), (0, rows as u64)));
            }
            Ok(count)
        };
        let rows_with_value = count("rows_with_value")?;
        let rows_with_null = count("rows_with_null")?;
        let at = reader.at();
        let distinct = reader.u16("distinct")?;
        if distinct > DISTINCT_MAX && distinct != UNKNOWN {
            let most = (0, DISTINCT_MAX.into());
            return Err(out_of_range(at, "distinct", distinct.into(), most));
        }
        let numbers = match numbers {
            Some(bytes) => {
                let mut reader = Reader::starting_at(bytes, number_at);
                let ends = (reader.u64("least")?, reader.u64("greatest")?);
                numbers_of(ends, kinds, number_at)?
            }
            None => None,
        };
        Ok(Self {
            kinds,
            rows_with_value,
            rows_with_null,
            distinct,
            numbers,
        })
    }

    /// The record of bytes that `decode` has seen.
    #[inline]
    pub(crate) fn of_checked(raw: &[u8; 8], numbers: Option<&[u8; 16]>) -> Self {
        let [a, b, c, d, e, f, g, h] = *raw;
        let kinds = Kinds(u16::from_le_bytes([a, b]) & Kinds::ALL);
        let ends = |bytes: &[u8; 16]| {
            let (low, high) = bytes.split_at(8);
            let number = |raw: &[u8]| raw.try_into().map_or(0.0, f64::from_le_bytes);
            (number(low), number(high))
        };
        Self {
            kinds,
            rows_with_value: u16::from_le_bytes([c, d]),
            rows_with_null: u16::from_le_bytes([e, f]),
            distinct: u16::from_le_bytes([g, h]),
            numbers: numbers.filter(|_| kinds.has_number()).map(ends),
        }
    }
}

/// The extremes of these bits, which are 0 where there is no number.
pub(crate) fn numbers_of(
    (min, max): (u64, u64),
    kinds: Kinds,
    at: u64,
) -> Result<Option<(f64, f64)>, DecodeError> {
    if !kinds.has_number() {
        return if (min, max) == (0, 0) {
            Ok(None)
        } else {
            Err(failed(at, "min", Why::NotZero))
        };
    }
    let minus_zero = (-0.0_f64).to_bits();
    let (low, high) = (f64::from_bits(min), f64::from_bits(max));
    if low <= high && min != minus_zero && max != minus_zero {
        return Ok(Some((low, high)));
    }
    Err(failed(at, "min", Why::Order))
}
