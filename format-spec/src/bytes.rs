//! Bounded little-endian reading and writing.
//!
//! # Invariants
//! - [`Reader`] never reads past its bytes: every method checks and returns a [`DecodeError`] that
//!   names the field and the offset.
//! - A varint (chapter 0) is at most 10 bytes and has one encoding: a longer form of the same
//!   number is refused.

use crate::error::{DecodeError, Why};

/// Reads a byte slice from front to back.
#[derive(Copy, Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; offsets in errors count from its start.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// Reads `bytes`, which start `at` bytes into what errors should count from.
    #[must_use]
    pub const fn starting_at(bytes: &'a [u8], at: u64) -> Self {
        Self { rest: bytes, at }
    }

    /// The same reader, with `base` added to its offsets.
    #[must_use]
    pub const fn shifted(self, base: u64) -> Self {
        Self {
            rest: self.rest,
            at: self.at + base,
        }
    }

    /// Offset of the next byte.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The bytes not yet read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at the next byte.
    #[must_use]
    pub const fn error(&self, field: &'static str, why: Why) -> DecodeError {
        DecodeError::new(self.at, field, why)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Why::Truncated`] when there are fewer.
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(len, field));
        };
        self.rest = rest;
        self.at += len as u64;
        Ok(taken)
    }

    /// The next `len` bytes, `len` as read from the file.
    ///
    /// # Errors
    /// [`Why::Truncated`] when there are fewer.
    pub fn take_u64(&mut self, len: u64, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.take(len, field)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Why::Truncated`] when there are fewer.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(N, field));
        };
        self.rest = rest;
        self.at += N as u64;
        Ok(*taken)
    }

    /// `count` items of `N` bytes each, borrowed.
    ///
    /// # Errors
    /// [`Why::Truncated`] when there are fewer bytes.
    pub fn chunks<const N: usize>(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [[u8; N]], DecodeError> {
        let bytes = self.take(count.saturating_mul(N), field)?;
        Ok(bytes.as_chunks::<N>().0)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Why::Truncated`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`Why::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`Why::Truncated`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`Why::Truncated`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// `len` bytes that must be zero.
    ///
    /// # Errors
    /// [`Why::Truncated`] or [`Why::NotZero`].
    pub fn zeros(&mut self, len: usize, field: &'static str) -> Result<(), DecodeError> {
        let at = self.at;
        let bytes = self.take(len, field)?;
        match bytes.iter().position(|&byte| byte != 0) {
            None => Ok(()),
            Some(offset) => Err(DecodeError::new(at + offset as u64, field, Why::NotZero)),
        }
    }

    /// Zero bytes up to the next multiple of `align` of the offset.
    ///
    /// # Errors
    /// [`Why::Truncated`] or [`Why::NotZero`].
    pub fn pad_to(&mut self, align: u64, field: &'static str) -> Result<(), DecodeError> {
        let missing = self.at.next_multiple_of(align) - self.at;
        self.zeros(usize::try_from(missing).unwrap_or(usize::MAX), field)
    }

    /// A varint in its shortest form.
    ///
    /// # Errors
    /// [`Why::Truncated`]; [`Why::OutOfRange`] when it is longer than needed or above 64 bits.
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let at = self.at;
        let mut value = 0_u64;
        for shift in (0..70_u32).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            let wrong = (shift == 63 && bits > 1) || (shift > 0 && byte == 0);
            if wrong {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        let why = Why::OutOfRange {
            value,
            least: 0,
            most: u64::MAX,
        };
        Err(DecodeError::new(at, field, why))
    }

    /// A varint that is a length or count of at most `u32::MAX`.
    ///
    /// # Errors
    /// As [`Self::varint`], and [`Why::OutOfRange`] above `u32::MAX`.
    pub fn varint_len(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let at = self.at;
        let value = self.varint(field)?;
        let why = Why::OutOfRange {
            value,
            least: 0,
            most: u64::from(u32::MAX),
        };
        let len = u32::try_from(value).map_err(|_| DecodeError::new(at, field, why))?;
        usize::try_from(len).map_err(|_| DecodeError::new(at, field, why))
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`Why::Trailing`].
    pub const fn finish(&self, field: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error(
            field,
            Why::Trailing {
                bytes: self.rest.len() as u64,
            },
        ))
    }

    const fn truncated(&self, need: usize, field: &'static str) -> DecodeError {
        self.error(
            field,
            Why::Truncated {
                need: need as u64,
                have: self.rest.len() as u64,
            },
        )
    }
}

/// Appends two bytes.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends four bytes.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends eight bytes.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the shortest varint of `value`.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

/// Appends zeros until the length is a multiple of `align`.
pub fn put_padding(out: &mut Vec<u8>, align: usize) {
    out.resize(out.len().next_multiple_of(align), 0);
}

/// Whether every byte is zero.
#[must_use]
pub fn all_zero(bytes: &[u8]) -> bool {
    // Eight words at a time keep this at memory speed on preallocated files of many megabytes.
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks
        .iter()
        .all(|block| block.iter().fold(0, |or, &byte| or | byte) == 0)
        && rest.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varint_has_one_form() {
        assert!(Reader::new(&[0x80, 0x00]).varint("n").is_err());
        assert!(Reader::new(&[0xff; 10]).varint("n").is_err());
        assert!(Reader::new(&[0x80]).varint("n").is_err());
        let mut most = vec![0xff; 9];
        most.push(1);
        assert_eq!(Reader::new(&most).varint("n"), Ok(u64::MAX));
    }

    #[test]
    fn padding_that_is_not_zero_is_named_by_offset() {
        let mut reader = Reader::new(&[1, 0, 0, 9, 0, 0, 0, 0]);
        reader.u8("tag").unwrap();
        let error = reader.pad_to(8, "padding").unwrap_err();
        assert_eq!(error, DecodeError::new(3, "padding", Why::NotZero));
    }

    #[test]
    fn one_nonzero_byte_anywhere_is_seen() {
        for at in 0..200 {
            let mut bytes = [0_u8; 200];
            assert!(all_zero(&bytes));
            bytes[at] = 1;
            assert!(!all_zero(&bytes));
        }
    }

    proptest! {
        #[test]
        fn varint_round_trips(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint("n"), Ok(value));
            prop_assert!(reader.finish("n").is_ok());
        }

        #[test]
        fn accepted_varints_are_canonical(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint("n") {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                prop_assert!(bytes.starts_with(&out));
                prop_assert_eq!(reader.at(), out.len() as u64);
            }
        }
    }
}
