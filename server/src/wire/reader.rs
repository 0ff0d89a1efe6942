//! Reading JSON for the first time: quickly, and without a word about what is wrong.
//!
//! Everything that this reader takes, `serde_json` takes too and gives to the same visitor the same
//! way, but for floats: here they are the nearest ones. What it does not take, be it wrong or
//! merely rare, the caller reads again with `serde_json`, whose errors are those of the API.
//!
//! # Invariants
//! - Never takes a text that `serde_json` would refuse.
//! - Lists and objects are nested no deeper than [`DEPTH_MAX`].

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::number::scan;

/// Lists and objects within each other; `serde_json` takes one more.
const DEPTH_MAX: u8 = 126;

/// The name under which a visitor asks for a value whose numbers are 32-bit floats.
pub(super) const FLOAT: &str = "cairn::wire::Float";

/// The text was not taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct NotTaken;

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text was not taken")
    }
}

impl std::error::Error for NotTaken {}

impl de::Error for NotTaken {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type Taken<T> = Result<T, NotTaken>;

/// Reads a whole text with a seed.
pub(crate) fn take<'de, S: DeserializeSeed<'de>>(text: &'de [u8], seed: S) -> Taken<S::Value> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    let value = seed.deserialize(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(NotTaken),
    }
}

/// A place in a text.
struct Reader<'de> {
    text: &'de [u8],
    at: usize,
    depth: u8,
}

impl<'de> Reader<'de> {
    /// The next byte that is not space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Taken<()> {
        if self.peek() != Some(byte) {
            return Err(NotTaken);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Taken<()> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(NotTaken);
        }
        self.at += word.len();
        Ok(())
    }

    /// Enters a list or object, whose first byte is next.
    fn enter(&mut self) -> Taken<()> {
        if self.depth == DEPTH_MAX {
            return Err(NotTaken);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Whether another item comes, after a comma unless it is the first; `end` ends them.
    #[inline]
    fn another(&mut self, first: &mut bool, end: u8) -> Taken<bool> {
        match self.peek() {
            Some(byte) if byte == end => Ok(false),
            Some(b',') if !*first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if *first => {
                *first = false;
                Ok(true)
            }
            _ => Err(NotTaken),
        }
    }

    fn leave(&mut self, end: u8) -> Taken<()> {
        self.depth -= 1;
        self.expect(end)
    }

    /// The text between the quotes that begin here, and whether it has escapes.
    fn quoted(&mut self) -> Taken<(&'de [u8], bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .iter()
                .position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ');
            self.at += plain.ok_or(NotTaken)?;
            match self.text[self.at] {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    // What is escaped is looked at later; here it only must not end the text.
                    self.at += 2;
                    if self.at > self.text.len() {
                        return Err(NotTaken);
                    }
                }
                _ => return Err(NotTaken),
            }
        }
        self.at += 1;
        Ok((&self.text[start..self.at - 1], escaped))
    }

    fn string<V: Visitor<'de>>(&mut self, visitor: V) -> Taken<V::Value> {
        let before = self.at;
        let (text, escaped) = self.quoted()?;
        if escaped {
            let text: String =
                serde_json::from_slice(&self.text[before..self.at]).map_err(|_| NotTaken)?;
            return visitor.visit_str(&text);
        }
        visitor.visit_borrowed_str(std::str::from_utf8(text).map_err(|_| NotTaken)?)
    }

    #[inline]
    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Taken<V::Value> {
        let text = &self.text[self.at..];
        let number = scan(text).ok_or(NotTaken)?;
        self.at += number.len;
        if let Some(value) = number.unsigned(text) {
            return visitor.visit_u64(value);
        }
        if let Some(value) = number.signed(text) {
            return visitor.visit_i64(value);
        }
        visitor.visit_f64(number.double(text).ok_or(NotTaken)?)
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Taken<V::Value> {
        self.enter()?;
        let items = Items {
            reader: self,
            first: true,
        };
        let value = visitor.visit_seq(items)?;
        self.leave(b']')?;
        Ok(value)
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Taken<V::Value> {
        self.enter()?;
        let members = Items {
            reader: self,
            first: true,
        };
        let value = visitor.visit_map(members)?;
        self.leave(b'}')?;
        Ok(value)
    }

    /// Passes over a value.
    fn skip(&mut self) -> Taken<()> {
        match self.peek().ok_or(NotTaken)? {
            b'"' => {
                let before = self.at;
                if self.quoted()?.1 {
                    let text = &self.text[before..self.at];
                    serde_json::from_slice::<de::IgnoredAny>(text).map_err(|_| NotTaken)?;
                }
                Ok(())
            }
            b'[' => {
                self.enter()?;
                let mut first = true;
                while self.another(&mut first, b']')? {
                    self.skip()?;
                }
                self.leave(b']')
            }
            b'{' => {
                self.enter()?;
                let mut first = true;
                while self.another(&mut first, b'}')? {
                    self.peek();
                    self.string(de::IgnoredAny)?;
                    self.expect(b':')?;
                    self.skip()?;
                }
                self.leave(b'}')
            }
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => {
                let text = &self.text[self.at..];
                let number = scan(text).ok_or(NotTaken)?;
                if !number.whole {
                    number.double(text).ok_or(NotTaken)?;
                }
                self.at += number.len;
                Ok(())
            }
        }
    }

    /// Whether the next value begins with one of these bytes.
    fn begins(&mut self, with: &[u8]) -> Taken<()> {
        match self.peek() {
            Some(byte) if with.contains(&byte) => Ok(()),
            _ => Err(NotTaken),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = NotTaken;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        match self.peek().ok_or(NotTaken)? {
            b'-' | b'0'..=b'9' => self.number(visitor),
            b'"' => self.string(visitor),
            b'[' => self.list(visitor),
            b'{' => self.object(visitor),
            b't' => {
                self.word("true")?;
                visitor.visit_bool(true)
            }
            b'f' => {
                self.word("false")?;
                visitor.visit_bool(false)
            }
            b'n' => {
                self.word("null")?;
                visitor.visit_unit()
            }
            _ => Err(NotTaken),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        if self.peek() == Some(b'n') {
            self.word("null")?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Taken<V::Value> {
        if name == FLOAT
            && let Some(b'-' | b'0'..=b'9') = self.peek()
        {
            let text = &self.text[self.at..];
            let number = scan(text).ok_or(NotTaken)?;
            self.at += number.len;
            return visitor.visit_f32(number.float(text).ok_or(NotTaken)?);
        }
        // Names like this ask `serde_json` for something of its own.
        if name.starts_with('$') {
            return Err(NotTaken);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.begins(b"\"")?;
        self.string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.begins(b"n")?;
        self.deserialize_any(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.begins(b"[")?;
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Taken<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.begins(b"{")?;
        self.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Taken<V::Value> {
        self.begins(b"[{")?;
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Taken<V::Value> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(Unit(self)),
            Some(b'{') => {
                self.enter()?;
                self.peek();
                let value = visitor.visit_enum(Keyed(self))?;
                self.leave(b'}')?;
                Ok(value)
            }
            _ => Err(NotTaken),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    // Each of these wants one kind of value, and no visitor that does takes any other.
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64
    }

    // Nothing that is read from JSON here asks for these.
    fn deserialize_i128<V: Visitor<'de>>(self, _: V) -> Taken<V::Value> {
        Err(NotTaken)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, _: V) -> Taken<V::Value> {
        Err(NotTaken)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, _: V) -> Taken<V::Value> {
        Err(NotTaken)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, _: V) -> Taken<V::Value> {
        Err(NotTaken)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Taken<V::Value> {
        Err(NotTaken)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Taken<V::Value> {
        Err(NotTaken)
    }
}

/// The items of a list, or the members of an object.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = NotTaken;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Taken<Option<S::Value>> {
        if self.reader.another(&mut self.first, b']')? {
            seed.deserialize(&mut *self.reader).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = NotTaken;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Taken<Option<S::Value>> {
        if !self.reader.another(&mut self.first, b'}')? {
            return Ok(None);
        }
        self.reader.begins(b"\"")?;
        seed.deserialize(Key(self.reader)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Taken<S::Value> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The key of a member: text, whatever is asked for.
struct Key<'r, 'de>(&'r mut Reader<'de>);

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = NotTaken;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.0.string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Taken<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Taken<V::Value> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant that is its name.
struct Unit<'r, 'de>(&'r mut Reader<'de>);

impl<'de> EnumAccess<'de> for Unit<'_, 'de> {
    type Error = NotTaken;
    type Variant = NoContent;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Taken<(S::Value, NoContent)> {
        Ok((seed.deserialize(self.0)?, NoContent))
    }
}

struct NoContent;

impl<'de> VariantAccess<'de> for NoContent {
    type Error = NotTaken;

    fn unit_variant(self) -> Taken<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Taken<S::Value> {
        Err(NotTaken)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Taken<V::Value> {
        Err(NotTaken)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Taken<V::Value> {
        Err(NotTaken)
    }
}

/// A variant that is the key of its content.
struct Keyed<'r, 'de>(&'r mut Reader<'de>);

impl<'de> EnumAccess<'de> for Keyed<'_, 'de> {
    type Error = NotTaken;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Taken<(S::Value, Self)> {
        let variant = seed.deserialize(&mut *self.0)?;
        self.0.expect(b':')?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Keyed<'_, 'de> {
    type Error = NotTaken;

    fn unit_variant(self) -> Taken<()> {
        de::Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Taken<S::Value> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Taken<V::Value> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Taken<V::Value> {
        self.0.deserialize_struct("", &[], visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::marker::PhantomData;

    use format_spec::Value;
    use serde::Deserialize;
    use serde::de::IgnoredAny;

    use super::*;
    use crate::wire::value::Json;

    fn taken<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Option<T> {
        take(text, PhantomData::<T>).ok()
    }

    const TEXTS: [&str; 7] = [
        r#"{"a":[1,-2,3.5,-4.25e+3,0,-0,18446744073709551615],"b":{"c":null,"d":true,"e":false}}"#,
        " [ \"plain\" , \"\\u00e9\\n\\\"q\\\"\" , \"\u{e9}\\ud83d\\ude00\" ] ",
        r#"{"k":"v","\u006b":[[],{},[[1]]],"":0}"#,
        "\t\r\n-12e-7 ",
        "[0.1, 1e22, 1e23, 123456789012345678901234567890, 0.000001]",
        "\"\"",
        "null",
    ];

    /// The library may miss the nearest double by one.
    fn is_same(ours: &Value, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Value::Float(a), Value::Float(b)) => a == b || (a - b).abs() <= a.abs() * 3e-16,
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                let same = |(a, b): (&(String, Value), &(String, Value))| {
                    a.0 == b.0 && is_same(&a.1, &b.1)
                };
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            (ours, theirs) => ours == theirs,
        }
    }

    /// Every text that is taken is taken by the library, with the same value; the bytes of sound
    /// texts are replaced, removed and repeated one by one.
    #[test]
    fn what_is_taken_is_json() {
        let (mut took, mut tried) = (0, 0);
        for text in TEXTS {
            let text = text.as_bytes();
            assert!(taken::<Json>(text).is_some() && taken::<IgnoredAny>(text).is_some());
            for at in 0..text.len() {
                let with = b"\"\\{}[],:01-+.eEnt \n\x01\x7f\xc3\xffau/".iter();
                let mut cases: Vec<Vec<u8>> = with
                    .map(|&byte| [&text[..at], &[byte], &text[at + 1..]].concat())
                    .collect();
                cases.push([&text[..at], &text[at + 1..]].concat());
                cases.push([&text[..=at], &text[at..]].concat());
                cases.push(text[..at].to_vec());
                for case in &cases {
                    tried += 1;
                    let shown = String::from_utf8_lossy(case);
                    let value: Result<Json, _> = serde_json::from_slice(case);
                    if let Some(ours) = taken::<Json>(case) {
                        took += 1;
                        let Json(theirs) = value.unwrap_or_else(|e| panic!("{shown}: {e}"));
                        assert!(is_same(&ours.0, &theirs), "{shown}: {ours:?}, {theirs:?}");
                    }
                    if taken::<IgnoredAny>(case).is_some() {
                        let sound = serde_json::from_slice::<IgnoredAny>(case).is_ok();
                        assert!(sound, "{shown}");
                    }
                }
            }
        }
        assert!(took * 7 > tried, "{took} of {tried} were taken");
    }

    #[test]
    fn floats_are_the_nearest_ones() {
        let text = b"[0.3, 123456789.123456789, 5e-324, 1.7976931348623157e308]";
        let expected = [0.3, 123_456_789.123_456_79, 5e-324, f64::MAX];
        assert_eq!(taken::<Vec<f64>>(text).unwrap(), expected);
    }

    #[test]
    fn what_is_nested_too_deep_is_left_to_the_library() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        let most = usize::from(DEPTH_MAX);
        assert!(taken::<Json>(nested(most).as_bytes()).is_some());
        assert!(serde_json::from_str::<Json>(&nested(most)).is_ok());
        assert!(taken::<Json>(nested(most + 1).as_bytes()).is_none());
        assert!(taken::<IgnoredAny>(nested(1_000_000).as_bytes()).is_none());
    }

    #[derive(Deserialize, PartialEq, Debug)]
    struct Every {
        flag: bool,
        list: Vec<u8>,
        some: Option<i16>,
        none: Option<i16>,
        pair: (f32, String),
        kind: Kind,
        kinds: Vec<Kind>,
        map: BTreeMap<String, f64>,
    }

    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Unit,
        New(u8),
        Named { inner: u8 },
    }

    #[test]
    fn derived_types_are_read_as_by_the_library() {
        let text = br#"{"flag":true,"list":[1,2],"some":-3,"none":null,"pair":[1.5,"x"],
            "kind":"unit","kinds":[{"new":1},{"named":{"inner":2}}],"map":{"a":1,"b":2.5},
            "more":[{"x":"\n"}]}"#;
        let every: Every = taken(text).unwrap();
        assert_eq!(every, serde_json::from_slice(text).unwrap());
        for wrong in [
            &br#""flag""#[..],
            br#"{"flag":1}"#,
            br#"{"kind":{"unit":1}}"#,
            br#"{"list":[256]}"#,
            br#"{"list":{}}"#,
        ] {
            assert_eq!(taken::<Every>(wrong), None);
        }
    }
}
