//! Paths into a payload: `a.b`, `a[].b`, `a[0]`, `"quoted.key".c`.
//!
//! The grammar is Qdrant's: a path starts with a key; then follow `.key`, `[]` (every element of an
//! array) and `[n]` (one element), in any order. A bare key is made of letters, digits, `_` and
//! `-`;
//! anything else goes between double quotes, which have no escapes.
//!
//! # Invariants
//! - A path has 1 to 128 items and begins with a key.
//! - [`Display`](std::fmt::Display) writes the shortest spelling, and parsing it gives an equal
//!   path,
//!   so two spellings of one path compare equal.
//! - Keys never look through arrays: `a.b` selects nothing when `a` is an array.

use std::fmt;
use std::ops::ControlFlow;

use format_spec::error::DecodeError;
use format_spec::value::{ValueKind, ValueRef};

/// The longest path: payload values nest no deeper (`format_spec::value`).
const DEPTH_MAX: usize = 128;

/// A parsed path into a payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath {
    items: Box<[PathItem]>,
}

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathItem {
    /// The value under a key of an object.
    Key(String),
    /// One element of an array.
    Index(usize),
    /// Every element of an array.
    Every,
}

/// Why a path does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    path: String,
    at: usize,
    why: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid path {:?} at byte {}: {}",
            self.path, self.at, self.why
        )
    }
}

impl std::error::Error for PathError {}

impl FieldPath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`PathError`] when the text is not a path, naming the byte where it goes wrong.
    pub fn parse(text: &str) -> Result<FieldPath, PathError> {
        let error = |rest: &str, why| PathError {
            path: text.to_owned(),
            at: text.len() - rest.len(),
            why,
        };
        let mut items = Vec::new();
        let mut rest = text;
        loop {
            let (key, after) = take_key(rest).map_err(|why| error(rest, why))?;
            items.push(PathItem::Key(key.to_owned()));
            rest = after;
            while rest.starts_with('[') {
                let (item, after) = take_bracket(rest).map_err(|why| error(rest, why))?;
                items.push(item);
                rest = after;
            }
            if items.len() > DEPTH_MAX {
                return Err(error(rest, "more than 128 steps"));
            }
            if rest.is_empty() {
                return Ok(FieldPath {
                    items: items.into(),
                });
            }
            rest = rest
                .strip_prefix('.')
                .ok_or_else(|| error(rest, "expected `.`, `[` or the end"))?;
        }
    }

    /// The path of these steps, which begin with a key.
    #[must_use]
    pub fn of_items(items: Vec<PathItem>) -> FieldPath {
        FieldPath {
            items: items.into(),
        }
    }

    /// The path that selects whatever this one does and the other elements of its arrays, and
    /// whether it is this one.
    #[must_use]
    pub fn widened(&self) -> (FieldPath, bool) {
        let every = |item: &PathItem| match item {
            PathItem::Index(_) => PathItem::Every,
            PathItem::Key(_) | PathItem::Every => item.clone(),
        };
        let items: Vec<PathItem> = self.items.iter().map(every).collect();
        let same = items[..] == self.items[..];
        (Self::of_items(items), same)
    }

    /// The steps, in order.
    #[must_use]
    pub fn items(&self) -> &[PathItem] {
        &self.items
    }

    /// The path without one closing `[]`: of the array, where elements are meant.
    #[must_use]
    pub fn without_every(&self) -> FieldPath {
        let items = match self.items.split_last() {
            Some((PathItem::Every, array)) => array,
            _ => &self.items,
        };
        FieldPath {
            items: items.into(),
        }
    }
}

impl std::str::FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<FieldPath, PathError> {
        FieldPath::parse(text)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, item) in self.items.iter().enumerate() {
            match item {
                PathItem::Key(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    if !key.is_empty() && key.chars().all(is_bare) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "\"{key}\"")?;
                    }
                }
                PathItem::Index(index) => write!(f, "[{index}]")?,
                PathItem::Every => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

fn is_bare(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '-'
}

/// A key from the start of `text`, and what follows it.
fn take_key(text: &str) -> Result<(&str, &str), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"').ok_or("a quoted key does not end");
    }
    let end = text.find(|letter| !is_bare(letter)).unwrap_or(text.len());
    if end == 0 {
        return Err("expected a key");
    }
    Ok(text.split_at(end))
}

/// `[]` or `[n]` from the start of `text`, which begins with `[`, and what follows it.
fn take_bracket(text: &str) -> Result<(PathItem, &str), &'static str> {
    let (inside, rest) = text[1..]
        .split_once(']')
        .ok_or("a bracket does not close")?;
    if inside.is_empty() {
        return Ok((PathItem::Every, rest));
    }
    if !inside.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("an index is made of digits");
    }
    let index = inside.parse().map_err(|_| "an index is at most 2^64 - 1")?;
    Ok((PathItem::Index(index), rest))
}

impl FieldPath {
    /// Calls `visit` with every value of `payload` that the path selects, in payload order, until
    /// it
    /// breaks. Selected arrays are passed whole.
    ///
    /// # Errors
    /// The payload does not decode, or `visit` fails.
    pub fn select<'a>(
        &self,
        payload: ValueRef<'a>,
        visit: &mut impl FnMut(ValueRef<'a>) -> Result<ControlFlow<()>, DecodeError>,
    ) -> Result<ControlFlow<()>, DecodeError> {
        select(payload, &self.items, visit)
    }
}

fn select<'a>(
    value: ValueRef<'a>,
    items: &[PathItem],
    visit: &mut impl FnMut(ValueRef<'a>) -> Result<ControlFlow<()>, DecodeError>,
) -> Result<ControlFlow<()>, DecodeError> {
    let Some((first, rest)) = items.split_first() else {
        return visit(value);
    };
    match (first, value.kind()?) {
        (PathItem::Key(key), ValueKind::Object(object)) => match object.get(key)? {
            Some(inner) => select(inner, rest, visit),
            None => Ok(ControlFlow::Continue(())),
        },
        (PathItem::Index(index), ValueKind::Array(array)) => match array.iter().nth(*index) {
            Some(element) => select(element?, rest, visit),
            None => Ok(ControlFlow::Continue(())),
        },
        (PathItem::Every, ValueKind::Array(array)) => {
            for element in array.iter() {
                if select(element?, rest, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        }
        _ => Ok(ControlFlow::Continue(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> PathItem {
        PathItem::Key(name.to_owned())
    }

    #[test]
    fn paths_of_the_grammar_parse_and_print() {
        let cases: [(&str, &[PathItem], &str); 10] = [
            ("a", &[key("a")], "a"),
            ("a.b", &[key("a"), key("b")], "a.b"),
            ("a[].b", &[key("a"), PathItem::Every, key("b")], "a[].b"),
            ("a[0]", &[key("a"), PathItem::Index(0)], "a[0]"),
            (
                "a[0][].b-c",
                &[key("a"), PathItem::Index(0), PathItem::Every, key("b-c")],
                "a[0][].b-c",
            ),
            ("\"a.b\".c", &[key("a.b"), key("c")], "\"a.b\".c"),
            ("\"a\"", &[key("a")], "a"),
            ("\"\"[]", &[key(""), PathItem::Every], "\"\"[]"),
            ("größe.名", &[key("größe"), key("名")], "größe.名"),
            ("a[007]", &[key("a"), PathItem::Index(7)], "a[7]"),
        ];
        for (text, items, printed) in cases {
            let path = FieldPath::parse(text).unwrap();
            assert_eq!(path.items(), items, "{text}");
            assert_eq!(path.to_string(), printed);
            assert_eq!(FieldPath::parse(printed).unwrap(), path);
        }
    }

    #[test]
    fn text_outside_the_grammar_is_refused_with_its_place() {
        let cases = [
            ("", 0),
            (".", 0),
            ("a.", 2),
            ("a..b", 2),
            ("[0].a", 0),
            ("a[0]b", 4),
            ("a[", 1),
            ("a[-1]", 1),
            ("a[x]", 1),
            ("a[99999999999999999999]", 1),
            ("a b", 1),
            ("\"a", 0),
            ("a.[0]", 2),
        ];
        for (text, at) in cases {
            assert_eq!(FieldPath::parse(text).unwrap_err().at, at, "{text}");
        }
        assert!(FieldPath::parse(&format!("a{}", "[0]".repeat(127))).is_ok());
        assert!(FieldPath::parse(&format!("a{}", "[0]".repeat(128))).is_err());
    }
}
