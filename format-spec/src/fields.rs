//! Checks that the chapters on parts share: exact lengths, zeros, bounds, figures that must agree.
//!
//! # Invariants
//! - An error names the field and its offset in the file.
//! - Nothing here panics, whatever the bytes.

use std::ops::Range;

use crate::bytes::Reader;
use crate::error::{DecodeError, Why};

pub(crate) const fn failed(at: u64, field: &'static str, why: Why) -> DecodeError {
    DecodeError::new(at, field, why)
}

pub(crate) const fn out_of_range(
    at: u64,
    field: &'static str,
    value: u64,
    bounds: (u64, u64),
) -> DecodeError {
    let (least, most) = bounds;
    failed(at, field, Why::OutOfRange { value, least, most })
}

/// A reader of a record at offset `at` of the file that must be `len` bytes long.
pub(crate) const fn exact<'a>(
    bytes: &'a [u8],
    at: u64,
    len: u64,
    field: &'static str,
) -> Result<Reader<'a>, DecodeError> {
    let have = bytes.len() as u64;
    if have < len {
        return Err(failed(at, field, Why::Truncated { need: len, have }));
    }
    if have > len {
        return Err(failed(at, field, Why::Trailing { bytes: have - len }));
    }
    Ok(Reader::starting_at(bytes, at))
}

/// The next u32, which must be within the bounds.
pub(crate) fn u32_within(
    reader: &mut Reader<'_>,
    least: u32,
    most: u32,
    field: &'static str,
) -> Result<u32, DecodeError> {
    let at = reader.at();
    let value = reader.u32(field)?;
    if value < least || value > most {
        return Err(out_of_range(
            at,
            field,
            value.into(),
            (least.into(), most.into()),
        ));
    }
    Ok(value)
}

/// All that is left of a record must be zero.
pub(crate) fn rest_is_zero(mut reader: Reader<'_>, field: &'static str) -> Result<(), DecodeError> {
    reader.zeros(reader.rest().len(), field)
}

/// Fails at the first byte that is not zero.
pub(crate) fn require_zero(bytes: &[u8], at: u64, field: &'static str) -> Result<(), DecodeError> {
    Reader::starting_at(bytes, at).zeros(bytes.len(), field)
}

/// A figure that two places of the file must agree on.
pub(crate) fn require_equal(
    value: u64,
    expected: u64,
    at: u64,
    field: &'static str,
) -> Result<(), DecodeError> {
    if value == expected {
        return Ok(());
    }
    Err(out_of_range(at, field, value, (expected, expected)))
}

/// A length or offset as an index. Saturates where it does not fit, so that `get` finds nothing.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The bytes of a range of the file.
pub(crate) fn slice<'a>(
    bytes: &'a [u8],
    range: &Range<u64>,
    field: &'static str,
) -> Result<&'a [u8], DecodeError> {
    bytes
        .get(to_usize(range.start)..to_usize(range.end))
        .ok_or_else(|| {
            let why = Why::Truncated {
                need: range.end,
                have: bytes.len() as u64,
            };
            failed(range.start, field, why)
        })
}

/// The bytes of a range that `open` has checked; empty if these are not the bytes it saw.
pub(crate) fn opened<'a>(bytes: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    bytes
        .get(to_usize(range.start)..to_usize(range.end))
        .unwrap_or_default()
}
