#![doc = include_str!("../docs/value.md")]
//!
//! # In this module
//! [`Value`] is the owned tree; [`ValueRef`] looks into encoded bytes without allocating, which is
//! how filters read millions of payloads. [`validate`] checks bytes once, in full.

use crate::bytes::{Reader, put_u16, put_u32, put_u64, put_varint};
use crate::error::{DecodeError, Why};
pub use crate::value_ref::{ArrayIter, ArrayRef, ObjectIter, ObjectRef, ValueKind, ValueRef};
use crate::value_ref::{extent, split_short};

pub(crate) mod tag {
    pub(crate) const NULL: u8 = 1;
    pub(crate) const FALSE: u8 = 2;
    pub(crate) const TRUE: u8 = 3;
    pub(crate) const INT8: u8 = 4;
    pub(crate) const INT16: u8 = 5;
    pub(crate) const INT32: u8 = 6;
    pub(crate) const INT64: u8 = 7;
    pub(crate) const UINT64: u8 = 8;
    pub(crate) const FLOAT: u8 = 9;
    pub(crate) const TEXT: u8 = 10;
    pub(crate) const ARRAY: u8 = 11;
    pub(crate) const OBJECT: u8 = 12;
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

/// Appends the object whose only member, `key`, is the array of these values.
pub fn encode_list_of(key: &str, values: &[ValueRef<'_>], out: &mut Vec<u8>) {
    encode_container(tag::OBJECT, 1, out, |out| {
        put_text(key, out);
        encode_container(tag::ARRAY, values.len(), out, |out| {
            for value in values {
                out.extend_from_slice(value.bytes());
            }
        });
    });
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
    let value = ValueRef::of_extent(reader.take(len, "value")?);
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
            let mut items = Vec::with_capacity(array.len().min(MAX_RESERVED));
            let mut body = array.body().shifted(at);
            for _ in 0..array.len() {
                items.push(decode_value(&mut body, depth)?);
            }
            body.finish("array")?;
            Value::Array(items)
        }
        ValueKind::Object(object) => {
            check_depth(depth, at)?;
            let mut members = Vec::with_capacity(object.len().min(MAX_RESERVED));
            let mut body = object.body().shifted(at);
            for _ in 0..object.len() {
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

pub(crate) fn read_text<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<&'a str, DecodeError> {
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
    if skip_valid(bytes, 0).is_some_and(<[u8]>::is_empty) {
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

/// What follows the valid value at the start of `bytes`. Every write and every replay goes through
/// here, so that saying what is wrong is left to [`validate_value`].
fn skip_valid(bytes: &[u8], depth: usize) -> Option<&[u8]> {
    let (&tag, rest) = bytes.split_first()?;
    match tag {
        tag::NULL | tag::FALSE | tag::TRUE => Some(rest),
        tag::INT8 => rest.get(1..),
        tag::INT16 => {
            let (number, rest) = rest.split_first_chunk()?;
            i8::try_from(i16::from_le_bytes(*number))
                .is_err()
                .then_some(rest)
        }
        tag::INT32 => {
            let (number, rest) = rest.split_first_chunk()?;
            i16::try_from(i32::from_le_bytes(*number))
                .is_err()
                .then_some(rest)
        }
        tag::INT64 => {
            let (number, rest) = rest.split_first_chunk()?;
            i32::try_from(i64::from_le_bytes(*number))
                .is_err()
                .then_some(rest)
        }
        tag::UINT64 => {
            let (number, rest) = rest.split_first_chunk()?;
            i64::try_from(u64::from_le_bytes(*number))
                .is_err()
                .then_some(rest)
        }
        tag::FLOAT => rest.get(8..),
        tag::TEXT => skip_text(rest),
        tag::ARRAY | tag::OBJECT if depth < MAX_DEPTH => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
            let (body, rest) = rest.split_at_checked(len)?;
            let mut body = Reader::new(body);
            let count = body.varint_len("count").ok()?;
            let mut body = body.rest();
            for _ in 0..count {
                if tag == tag::OBJECT {
                    body = skip_text(body)?;
                }
                body = skip_valid(body, depth + 1)?;
            }
            body.is_empty().then_some(rest)
        }
        _ => None,
    }
}

fn skip_text(bytes: &[u8]) -> Option<&[u8]> {
    if let Some((text, rest)) = split_short(bytes) {
        // Most keys and texts are ASCII, and for short ones this test is the cheaper one.
        let valid = text.is_ascii() || std::str::from_utf8(text).is_ok();
        return valid.then_some(rest);
    }
    let mut reader = Reader::new(bytes);
    read_text(&mut reader, "text").ok()?;
    Some(reader.rest())
}

fn validate_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), DecodeError> {
    let at = reader.at();
    let len = extent(reader.rest()).map_err(|error| error.shifted(at))?;
    let value = ValueRef::of_extent(reader.take(len, "value")?);
    let (count, body, keyed) = match value.kind().map_err(|error| error.shifted(at))? {
        ValueKind::Array(array) => (array.len(), array.body(), false),
        ValueKind::Object(object) => (object.len(), object.body(), true),
        ValueKind::Null
        | ValueKind::Bool(_)
        | ValueKind::Int(_)
        | ValueKind::Uint(_)
        | ValueKind::Float(_)
        | ValueKind::Text(_) => return Ok(()),
    };
    check_depth(depth + 1, at)?;
    let mut body = body.shifted(at);
    for _ in 0..count {
        if keyed {
            read_text(&mut body, "key")?;
        }
        validate_value(&mut body, depth + 1)?;
    }
    body.finish("container")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any value a request can hold: floats are finite, keys may repeat.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-200_i64..200).prop_map(Value::Int),
            ((1_u64 << 63)..).prop_map(Value::Uint),
            any::<f64>()
                .prop_filter("equal to itself", |f| !f.is_nan())
                .prop_map(Value::Float),
            ".{0,300}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
                prop::collection::vec((".{0,12}", inner), 0..8).prop_map(Value::Object),
            ]
        })
    }

    /// Rebuilds the tree through the borrowed views alone.
    fn walk(value: ValueRef<'_>) -> Result<Value, DecodeError> {
        Ok(match value.kind()? {
            ValueKind::Null => Value::Null,
            ValueKind::Bool(value) => Value::Bool(value),
            ValueKind::Int(number) => Value::Int(number),
            ValueKind::Uint(number) => Value::Uint(number),
            ValueKind::Float(number) => Value::Float(number),
            ValueKind::Text(text) => Value::Text(text.to_owned()),
            ValueKind::Array(array) => Value::Array(
                array
                    .iter()
                    .map(|item| walk(item?))
                    .collect::<Result<_, _>>()?,
            ),
            ValueKind::Object(object) => {
                let members = object.iter().map(|member| {
                    let (key, value) = member?;
                    Ok((key.to_owned(), walk(value)?))
                });
                Value::Object(members.collect::<Result<_, _>>()?)
            }
        })
    }

    fn nested(depth: usize) -> Vec<u8> {
        let mut value = Value::Null;
        for _ in 0..depth {
            value = Value::Array(vec![value]);
        }
        value.to_bytes()
    }

    #[test]
    fn the_empty_payload_is_an_empty_object() {
        assert_eq!(Value::Object(vec![]).to_bytes(), EMPTY_PAYLOAD);
        assert!(validate(EMPTY_PAYLOAD).is_ok());
    }

    // The example of the chapter.
    #[test]
    fn the_example_of_the_chapter_holds() {
        let list = Value::Array(vec![Value::Int(1), Value::Int(-200)]);
        let value = Value::Object(vec![
            ("a".into(), list),
            ("b".into(), Value::Text("ü".into())),
        ]);
        let mut bytes = vec![
            0x0c, 20, 0, 0, 0, 2, 1, 0x61, 0x0b, 6, 0, 0, 0, 2, 4, 1, 5, 0x38,
        ];
        bytes.extend_from_slice(&[0xff, 1, 0x62, 0x0a, 2, 0xc3, 0xbc]);
        assert_eq!(value.to_bytes(), bytes);
    }

    #[test]
    fn a_small_uint_is_written_as_an_int() {
        assert_eq!(Value::decode(&Value::Uint(7).to_bytes()), Ok(Value::Int(7)));
    }

    #[test]
    fn longer_forms_of_a_number_are_refused() {
        for bytes in [
            &[5, 7, 0][..],
            &[6, 0, 1, 0, 0],
            &[7, 1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(Value::decode(bytes).is_err(), "{bytes:?}");
            assert!(validate(bytes).is_err(), "{bytes:?}");
        }
        assert!(Value::decode(&[8, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn nesting_ends_at_the_bound() {
        assert!(Value::decode(&nested(MAX_DEPTH)).is_ok());
        let error = Value::decode(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(error.field, "depth");
        assert_eq!(validate(&nested(MAX_DEPTH + 1)), Err(error));
    }

    #[test]
    fn a_count_that_differs_from_the_items_is_refused() {
        let two = Value::Array(vec![Value::Null, Value::Null]).to_bytes();
        for count in [0, 1, 3] {
            let mut bytes = two.clone();
            bytes[5] = count;
            assert!(Value::decode(&bytes).is_err());
            assert!(walk(ValueRef::new(&bytes).unwrap()).is_err());
        }
    }

    #[test]
    fn get_finds_the_first_of_equal_keys() {
        let object = Value::Object(vec![
            ("a".into(), Value::Text("x".repeat(1000))),
            ("b".into(), Value::Int(1)),
            ("b".into(), Value::Int(2)),
        ]);
        let bytes = object.to_bytes();
        let ValueKind::Object(view) = ValueRef::new(&bytes).unwrap().kind().unwrap() else {
            panic!("an object")
        };
        let found = view.get("b").unwrap().unwrap();
        assert_eq!(found.to_value(), Ok(Value::Int(1)));
        assert_eq!(object.get("b"), Some(&Value::Int(1)));
        assert!(view.get("c").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn values_round_trip(value in any_value()) {
            let bytes = value.to_bytes();
            prop_assert_eq!(Value::decode(&bytes), Ok(value.clone()));
            prop_assert_eq!(validate(&bytes), Ok(()));
            prop_assert_eq!(walk(ValueRef::new(&bytes).unwrap()), Ok(value));
        }

        #[test]
        fn prefixes_are_refused(value in any_value()) {
            let bytes = value.to_bytes();
            for end in 0..bytes.len() {
                prop_assert!(Value::decode(&bytes[..end]).is_err());
                prop_assert!(ValueRef::new(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn damage_never_panics_and_decoding_is_canonical(
            value in any_value(), at: prop::sample::Index, byte: u8,
        ) {
            let mut bytes = value.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let decoded = Value::decode(&bytes);
            prop_assert_eq!(decoded.is_ok(), validate(&bytes).is_ok());
            if let Ok(view) = ValueRef::new(&bytes) {
                prop_assert_eq!(walk(view).is_ok(), decoded.is_ok());
            }
            if let Ok(decoded) = decoded {
                prop_assert_eq!(decoded.to_bytes(), bytes);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(0_u8..14, 0..200)) {
            let decoded = Value::decode(&bytes);
            prop_assert_eq!(decoded.is_ok(), validate(&bytes).is_ok());
            if let Ok(view) = ValueRef::new(&bytes) {
                prop_assert!(walk(view).is_ok() == decoded.is_ok());
            }
        }
    }
}
