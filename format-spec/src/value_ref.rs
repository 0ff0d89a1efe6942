//! Looks into encoded values without decoding more than is asked for.
//!
//! # Invariants
//! - Nothing here allocates, and stepping over a value costs the same whatever is in it.
//! - A [`ValueRef`] knows where its value ends; what is inside is checked when it is looked at.

use crate::bytes::Reader;
use crate::error::{DecodeError, Why};
use crate::value::{Value, read_text, tag};

/// Length of the value at the start of `bytes`, which are at least that long when this is `Ok`.
#[inline]
pub(crate) fn extent(bytes: &[u8]) -> Result<usize, DecodeError> {
    match measure(bytes) {
        Some(len) => Ok(len),
        None => extent_or_error(bytes),
    }
}

/// The same without a word about what is wrong: filters step over millions of values. `None` also
/// for texts of 128 bytes and more.
#[inline]
fn measure(bytes: &[u8]) -> Option<usize> {
    let (&tag, rest) = bytes.split_first()?;
    let len = match tag {
        tag::NULL | tag::FALSE | tag::TRUE => 1,
        tag::INT8 => 2,
        tag::INT16 => 3,
        tag::INT32 => 5,
        tag::INT64 | tag::UINT64 | tag::FLOAT => 9,
        tag::TEXT => 2 + usize::from(rest.first().copied().filter(|&len| len < 0x80)?),
        tag::ARRAY | tag::OBJECT => {
            let len = u32::from_le_bytes(*rest.first_chunk::<4>()?);
            usize::try_from(len).ok()?.checked_add(5)?
        }
        _ => return None,
    };
    (len <= bytes.len()).then_some(len)
}

#[cold]
fn extent_or_error(bytes: &[u8]) -> Result<usize, DecodeError> {
    let Some((&tag, rest)) = bytes.split_first() else {
        return Err(DecodeError::new(
            0,
            "tag",
            Why::Truncated { need: 1, have: 0 },
        ));
    };
    let len = match tag {
        tag::NULL | tag::FALSE | tag::TRUE => 1,
        tag::INT8 => 2,
        tag::INT16 => 3,
        tag::INT32 => 5,
        tag::INT64 | tag::UINT64 | tag::FLOAT => 9,
        tag::TEXT => match rest.first() {
            Some(&len) if len < 0x80 => 2 + usize::from(len),
            _ => {
                let mut reader = Reader::starting_at(rest, 1);
                let len = reader.varint_len("text length")?;
                (bytes.len() - reader.rest().len()).saturating_add(len)
            }
        },
        tag::ARRAY | tag::OBJECT => {
            let len = Reader::starting_at(rest, 1).u32("container length")?;
            usize::try_from(len).unwrap_or(usize::MAX).saturating_add(5)
        }
        other => {
            return Err(DecodeError::new(
                0,
                "tag",
                Why::Kind {
                    found: other.into(),
                },
            ));
        }
    };
    if len > bytes.len() {
        let why = Why::Truncated {
            need: len as u64,
            have: bytes.len() as u64,
        };
        return Err(DecodeError::new(0, "value", why));
    }
    Ok(len)
}

/// One encoded value, not decoded yet. Offsets in its errors count from its own first byte.
#[derive(Copy, Clone, Debug)]
pub struct ValueRef<'a> {
    /// Exactly one value as far as its own length goes; what it contains is not checked.
    bytes: &'a [u8],
}

/// What a [`ValueRef`] is.
#[derive(Copy, Clone, Debug)]
pub enum ValueKind<'a> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits in 64 signed bits.
    Int(i64),
    /// A whole number above `i64::MAX`.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// A list.
    Array(ArrayRef<'a>),
    /// Keys and values.
    Object(ObjectRef<'a>),
}

impl<'a> ValueRef<'a> {
    /// A view of bytes that [`extent`] measured.
    pub(crate) const fn of_extent(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// A view of exactly these bytes; only the length of the outermost value is checked.
    ///
    /// # Errors
    /// When the outermost value is longer or shorter than `bytes`, or its tag is unknown.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let len = extent(bytes)?;
        if len != bytes.len() {
            let why = Why::Trailing {
                bytes: (bytes.len() - len) as u64,
            };
            return Err(DecodeError::new(len as u64, "value", why));
        }
        Ok(Self { bytes })
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// What it is; numbers and text are decoded, arrays and objects opened.
    ///
    /// # Errors
    /// Text that is not UTF-8, or a number not in its shortest form.
    #[inline]
    pub fn kind(self) -> Result<ValueKind<'a>, DecodeError> {
        let mut reader = Reader::new(self.bytes);
        Ok(match reader.u8("tag")? {
            tag::NULL => ValueKind::Null,
            tag::FALSE => ValueKind::Bool(false),
            tag::TRUE => ValueKind::Bool(true),
            tag::INT8 => ValueKind::Int(i64::from(reader.u8("int")?.cast_signed())),
            tag::INT16 => {
                let number = reader.u16("int")?.cast_signed();
                shortest(i8::try_from(number).is_err(), ValueKind::Int(number.into()))?
            }
            tag::INT32 => {
                let number = reader.u32("int")?.cast_signed();
                shortest(
                    i16::try_from(number).is_err(),
                    ValueKind::Int(number.into()),
                )?
            }
            tag::INT64 => {
                let number = reader.u64("int")?.cast_signed();
                shortest(i32::try_from(number).is_err(), ValueKind::Int(number))?
            }
            tag::UINT64 => {
                let number = reader.u64("uint")?;
                shortest(i64::try_from(number).is_err(), ValueKind::Uint(number))?
            }
            tag::FLOAT => ValueKind::Float(f64::from_bits(reader.u64("float")?)),
            tag::TEXT => ValueKind::Text(read_text(&mut reader, "text")?),
            tag::ARRAY => {
                let (count, body, body_at) = open_container(&mut reader, "array")?;
                ValueKind::Array(ArrayRef {
                    count,
                    body,
                    body_at,
                })
            }
            tag::OBJECT => {
                let (count, body, body_at) = open_container(&mut reader, "object")?;
                ValueKind::Object(ObjectRef {
                    count,
                    body,
                    body_at,
                })
            }
            other => {
                return Err(DecodeError::new(
                    0,
                    "tag",
                    Why::Kind {
                        found: other.into(),
                    },
                ));
            }
        })
    }

    /// The whole tree, checked.
    ///
    /// # Errors
    /// Anything wrong inside it.
    pub fn to_value(self) -> Result<Value, DecodeError> {
        Value::decode(self.bytes)
    }
}

/// A number must not fit the next smaller form, so that equal values have equal bytes.
const fn shortest<'a>(ok: bool, kind: ValueKind<'a>) -> Result<ValueKind<'a>, DecodeError> {
    if ok {
        return Ok(kind);
    }
    Err(DecodeError::new(0, "number form", Why::Order))
}

fn open_container<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<(usize, &'a [u8], u64), DecodeError> {
    let len = reader.u32(field)?;
    let at = reader.at();
    let mut body = Reader::starting_at(reader.take_u64(len.into(), field)?, at);
    let count = body.varint_len(field)?;
    Ok((count, body.rest(), body.at()))
}

/// An encoded list.
#[derive(Copy, Clone, Debug)]
pub struct ArrayRef<'a> {
    count: usize,
    body: &'a [u8],
    /// Where `body` starts in the bytes of the array.
    body_at: u64,
}

impl<'a> ArrayRef<'a> {
    /// The items, after their count, with offsets from the tag.
    pub(crate) const fn body(self) -> Reader<'a> {
        Reader::starting_at(self.body, self.body_at)
    }

    /// Number of items.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The items; stops after the first error.
    #[must_use]
    pub const fn iter(self) -> ArrayIter<'a> {
        ArrayIter {
            left: self.count,
            body: self.body,
        }
    }
}

/// Items of an [`ArrayRef`].
#[derive(Clone, Debug)]
pub struct ArrayIter<'a> {
    left: usize,
    body: &'a [u8],
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = Result<ValueRef<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return leftover(&mut self.body).map(Err);
        }
        self.left -= 1;
        let item = split_value(&mut self.body);
        if item.is_err() {
            *self = Self { left: 0, body: &[] };
        }
        Some(item)
    }
}

/// Encoded keys and values.
#[derive(Copy, Clone, Debug)]
pub struct ObjectRef<'a> {
    count: usize,
    body: &'a [u8],
    /// Where `body` starts in the bytes of the object.
    body_at: u64,
}

impl<'a> ObjectRef<'a> {
    /// The items, after their count, with offsets from the tag.
    pub(crate) const fn body(self) -> Reader<'a> {
        Reader::starting_at(self.body, self.body_at)
    }

    /// Number of members.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The value of the first member called `key`. Other values are stepped over, not read.
    ///
    /// # Errors
    /// When a member before it does not fit into the object.
    #[inline]
    pub fn get(self, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        let mut body = self.body;
        for _ in 0..self.count {
            let name = split_key(&mut body)?;
            let value = split_value(&mut body)?;
            if name == key.as_bytes() {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The members in their order; stops after the first error.
    #[must_use]
    pub const fn iter(self) -> ObjectIter<'a> {
        ObjectIter {
            left: self.count,
            body: self.body,
        }
    }
}

/// Members of an [`ObjectRef`].
#[derive(Clone, Debug)]
pub struct ObjectIter<'a> {
    left: usize,
    body: &'a [u8],
}

impl<'a> Iterator for ObjectIter<'a> {
    type Item = Result<(&'a str, ValueRef<'a>), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return leftover(&mut self.body).map(Err);
        }
        self.left -= 1;
        let member = split_member(&mut self.body);
        if member.is_err() {
            *self = Self { left: 0, body: &[] };
        }
        Some(member)
    }
}

fn split_member<'a>(body: &mut &'a [u8]) -> Result<(&'a str, ValueRef<'a>), DecodeError> {
    let key = split_key(body)?;
    let key = std::str::from_utf8(key).map_err(|_| DecodeError::new(0, "key", Why::Utf8))?;
    Ok((key, split_value(body)?))
}

#[inline]
fn split_key<'a>(body: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    if let Some((key, rest)) = split_short(body) {
        *body = rest;
        return Ok(key);
    }
    let mut reader = Reader::new(body);
    let len = reader.varint_len("key")?;
    let key = reader.take(len, "key")?;
    *body = reader.rest();
    Ok(key)
}

#[inline]
fn split_value<'a>(body: &mut &'a [u8]) -> Result<ValueRef<'a>, DecodeError> {
    let len = extent(body)?;
    let (bytes, rest) = body.split_at_checked(len).unwrap_or((body, &[]));
    *body = rest;
    Ok(ValueRef { bytes })
}

/// Bytes of fewer than 128 that follow their length, and the rest.
#[inline]
pub(crate) fn split_short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    if len >= 0x80 {
        return None;
    }
    rest.split_at_checked(len.into())
}

/// An error, once, when bytes follow the last item.
fn leftover(body: &mut &[u8]) -> Option<DecodeError> {
    let bytes = std::mem::take(body).len() as u64;
    (bytes > 0).then(|| DecodeError::new(0, "container", Why::Trailing { bytes }))
}
