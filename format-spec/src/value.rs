#![doc = include_str!("../docs/value.md")]
//!
//! # In this module
//! [`Value`] is the owned tree; [`ValueRef`] looks into encoded bytes without allocating, which is
//! how filters read millions of payloads. [`validate`] checks bytes once, in full.

use crate::bytes::{Reader, put_u16, put_u32, put_u64, put_varint};
use crate::error::{DecodeError, Why};

mod tag {
    pub(super) const NULL: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const INT8: u8 = 4;
    pub(super) const INT16: u8 = 5;
    pub(super) const INT32: u8 = 6;
    pub(super) const INT64: u8 = 7;
    pub(super) const UINT64: u8 = 8;
    pub(super) const FLOAT: u8 = 9;
    pub(super) const TEXT: u8 = 10;
    pub(super) const ARRAY: u8 = 11;
    pub(super) const OBJECT: u8 = 12;
}

/// Arrays and objects nest at most this deep.
pub const MAX_DEPTH: usize = 128;

/// The encoding of `{}`: what a point without a payload has.
pub const EMPTY_PAYLOAD: &[u8] = &[tag::OBJECT, 1, 0, 0, 0, 0];

/// A payload value; objects keep the order of their keys.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits in 64 signed bits.
    Int(i64),
    /// A whole number above `i64::MAX`; a smaller one is an [`Value::Int`].
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    Array(Vec<Value>),
    /// Keys and values in their order.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Appends the encoding.
    ///
    /// # Panics
    /// When one value takes 4 GiB or more; requests are bounded far below.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(tag::NULL),
            Self::Bool(false) => out.push(tag::FALSE),
            Self::Bool(true) => out.push(tag::TRUE),
            Self::Int(number) => encode_int(*number, out),
            Self::Uint(number) => match i64::try_from(*number) {
                Ok(small) => encode_int(small, out),
                Err(_) => {
                    out.push(tag::UINT64);
                    put_u64(out, *number);
                }
            },
            Self::Float(number) => {
                out.push(tag::FLOAT);
                put_u64(out, number.to_bits());
            }
            Self::Text(text) => {
                out.push(tag::TEXT);
                put_text(text, out);
            }
            Self::Array(items) => encode_container(tag::ARRAY, items.len(), out, |out| {
                for item in items {
                    item.encode(out);
                }
            }),
            Self::Object(members) => encode_container(tag::OBJECT, members.len(), out, |out| {
                for (key, value) in members {
                    put_text(key, out);
                    value.encode(out);
                }
            }),
        }
    }

    /// The encoding alone.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// The value of exactly these bytes.
    ///
    /// # Errors
    /// Anything the chapter does not allow, bytes after the end included.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = decode_value(&mut reader, 0)?;
        reader.finish("value")?;
        Ok(value)
    }

    /// The value of the first member called `key`; `None` also when this is not an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        members
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }
}

fn encode_int(number: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(number) {
        out.push(tag::INT8);
        out.push(small.cast_unsigned());
    } else if let Ok(small) = i16::try_from(number) {
        out.push(tag::INT16);
        put_u16(out, small.cast_unsigned());
    } else if let Ok(small) = i32::try_from(number) {
        out.push(tag::INT32);
        put_u32(out, small.cast_unsigned());
    } else {
        out.push(tag::INT64);
        put_u64(out, number.cast_unsigned());
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_varint(out, u64::from(checked_len(text.len())));
    out.extend_from_slice(text.as_bytes());
}

/// The length goes in front of a body whose size is known only afterwards, hence its fixed width.
fn encode_container(tag: u8, count: usize, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let len_at = out.len();
    put_u32(out, 0);
    let start = out.len();
    put_varint(out, u64::from(checked_len(count)));
    body(out);
    let len = checked_len(out.len() - start);
    if let Some(field) = out.get_mut(len_at..start) {
        field.copy_from_slice(&len.to_le_bytes());
    }
}

#[expect(
    clippy::expect_used,
    reason = "a value of 4 GiB cannot come from a bounded request"
)]
fn checked_len(len: usize) -> u32 {
    u32::try_from(len).expect("one payload value is below 4 GiB")
}

fn decode_value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, DecodeError> {
    let at = reader.at();
    let len = extent(reader.rest()).map_err(|error| error.shifted(at))?;
    let value = ValueRef {
        bytes: reader.take(len, "value")?,
    };
    let kind = value.kind().map_err(|error| error.shifted(at))?;
    let depth = depth + 1;
    Ok(match kind {
        ValueKind::Null => Value::Null,
        ValueKind::Bool(value) => Value::Bool(value),
        ValueKind::Int(number) => Value::Int(number),
        ValueKind::Uint(number) => Value::Uint(number),
        ValueKind::Float(number) => Value::Float(number),
        ValueKind::Text(text) => Value::Text(text.to_owned()),
        ValueKind::Array(array) => {
            check_depth(depth, at)?;
            let mut items = Vec::with_capacity(array.count.min(MAX_RESERVED));
            let mut body = Reader::starting_at(array.body, at + array.body_at);
            for _ in 0..array.count {
                items.push(decode_value(&mut body, depth)?);
            }
            body.finish("array")?;
            Value::Array(items)
        }
        ValueKind::Object(object) => {
            check_depth(depth, at)?;
            let mut members = Vec::with_capacity(object.count.min(MAX_RESERVED));
            let mut body = Reader::starting_at(object.body, at + object.body_at);
            for _ in 0..object.count {
                let key = read_text(&mut body, "key")?.to_owned();
                members.push((key, decode_value(&mut body, depth)?));
            }
            body.finish("object")?;
            Value::Object(members)
        }
    })
}

/// Memory is not reserved on the word of a count alone: an item may be one byte here and 32 there.
const MAX_RESERVED: usize = 1024;

fn check_depth(depth: usize, at: u64) -> Result<(), DecodeError> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    let why = Why::OutOfRange {
        value: depth as u64,
        least: 0,
        most: MAX_DEPTH as u64,
    };
    Err(DecodeError::new(at, "depth", why))
}

fn read_text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
    let len = reader.varint_len(field)?;
    let at = reader.at();
    let bytes = reader.take(len, field)?;
    std::str::from_utf8(bytes)
        .map_err(|error| DecodeError::new(at + error.valid_up_to() as u64, field, Why::Utf8))
}

/// Checks that `bytes` are exactly one value, everything in it included, without allocating.
///
/// # Errors
/// Whenever [`Value::decode`] fails.
pub fn validate(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes == EMPTY_PAYLOAD {
        return Ok(());
    }
    let mut reader = Reader::new(bytes);
    validate_value(&mut reader, 0)?;
    reader.finish("value")
}

/// Whether the outermost value is an object.
pub(crate) const fn is_object(bytes: &[u8]) -> bool {
    matches!(bytes, [tag::OBJECT, ..])
}

fn validate_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), DecodeError> {
    let at = reader.at();
    let len = extent(reader.rest()).map_err(|error| error.shifted(at))?;
    let value = ValueRef {
        bytes: reader.take(len, "value")?,
    };
    let (count, body, body_at, keyed) = match value.kind().map_err(|error| error.shifted(at))? {
        ValueKind::Array(array) => (array.count, array.body, array.body_at, false),
        ValueKind::Object(object) => (object.count, object.body, object.body_at, true),
        ValueKind::Null
        | ValueKind::Bool(_)
        | ValueKind::Int(_)
        | ValueKind::Uint(_)
        | ValueKind::Float(_)
        | ValueKind::Text(_) => return Ok(()),
    };
    check_depth(depth + 1, at)?;
    let mut body = Reader::starting_at(body, at + body_at);
    for _ in 0..count {
        if keyed {
            read_text(&mut body, "key")?;
        }
        validate_value(&mut body, depth + 1)?;
    }
    body.finish("container")
}

/// Length of the value at the start of `bytes`, which are at least that long when this is `Ok`.
fn extent(bytes: &[u8]) -> Result<usize, DecodeError> {
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
    /// A view of exactly these bytes; only the length of the outermost value is checked.
    ///
    /// # Errors
    /// When the outermost value is longer or shorter than `bytes`, or its tag is unknown.
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

fn split_key<'a>(body: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let mut reader = Reader::new(body);
    let len = reader.varint_len("key")?;
    let key = reader.take(len, "key")?;
    *body = reader.rest();
    Ok(key)
}

fn split_value<'a>(body: &mut &'a [u8]) -> Result<ValueRef<'a>, DecodeError> {
    let mut reader = Reader::new(body);
    let bytes = reader.take(extent(body)?, "value")?;
    *body = reader.rest();
    Ok(ValueRef { bytes })
}

/// An error, once, when bytes follow the last item.
fn leftover(body: &mut &[u8]) -> Option<DecodeError> {
    let bytes = std::mem::take(body).len() as u64;
    (bytes > 0).then(|| DecodeError::new(0, "container", Why::Trailing { bytes }))
}
