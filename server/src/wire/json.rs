//! Reading a body, with errors that say where.
//!
//! The first reading pays nothing for that: the quick reader says only whether it took the body.
//! What it did not take `serde_json` reads, and when that fails too, once more with a reader that
//! keeps track of the path.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeOwned, DeserializeSeed};
use serde_json::Value as Tree;
use serde_json::error::Category;
use serde_path_to_error::{Deserializer as Tracked, Track};

use super::reader;
use crate::error::ApiError;

/// Reads a whole body.
pub(crate) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ApiError> {
    if let Ok(value) = reader::take(body, PhantomData::<T>) {
        return Ok(value);
    }
    first(body, PhantomData::<T>).map_err(|error| explain(&error, body, PhantomData::<T>))
}

/// Reads a whole body with a seed, as the library reads it.
pub(crate) fn first<'de, S: DeserializeSeed<'de>>(
    body: &'de [u8],
    seed: S,
) -> Result<S::Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// What to tell the client about `error`, for which a wrong value is looked up once more.
pub(crate) fn explain<'de, S: DeserializeSeed<'de>>(
    error: &serde_json::Error,
    body: &'de [u8],
    seed: S,
) -> ApiError {
    if error.classify() != Category::Data {
        return ApiError::json(error);
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let mut track = Track::new();
    // The outcome is the one from before; only the path is new.
    let _ = seed.deserialize(Tracked::new(&mut reader, &mut track));
    let text = in_words(error, body);
    let path = track.path().to_string();
    if path == "." {
        return ApiError::json(text.strip_prefix('.').unwrap_or(&text));
    }
    ApiError::json(join(&path, &text))
}

/// Puts a path before what is wrong there, which may begin with the rest of the path.
fn join(path: &str, text: &str) -> String {
    if text.starts_with(['.', '[']) {
        format!("{path}{text}")
    } else {
        format!("{path}: {text}")
    }
}

/// The text of the reader, with the client's own spelling and counting columns from one.
fn in_words(error: &serde_json::Error, body: &[u8]) -> String {
    let mut text = error.to_string();
    // The reader stands before the first byte when that is wrong already.
    if (error.line(), error.column()) == (1, 0)
        && let Some(before) = text.strip_suffix("column 0")
    {
        text = format!("{before}column 1");
    }
    // An integer beyond 64 bits is a rounded float by the time that somebody refuses it.
    let Some((literal, float)) = number_before(error, body) else {
        return text;
    };
    for printed in [float.to_string(), Tree::from(float).to_string()] {
        if let Some((before, after)) = text.split_once(&printed) {
            return format!("{before}{literal}{after}");
        }
    }
    text
}

/// The number that ends where the error is, as it is written.
fn number_before<'b>(error: &serde_json::Error, body: &'b [u8]) -> Option<(&'b str, f64)> {
    let line = body.split(|byte| *byte == b'\n').nth(error.line() - 1)?;
    let read = line.get(..error.column())?;
    let part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let start = read.iter().rposition(|byte| !part(byte));
    let literal = std::str::from_utf8(&read[start.map_or(0, |at| at + 1)..]).ok()?;
    Some((literal, literal.parse().ok()?))
}

/// What is wrong with a value that was read as a tree, and where below it.
#[derive(Debug)]
pub(crate) struct TreeError {
    /// Empty when it is the value itself.
    path: String,
    why: String,
}

impl TreeError {
    /// The text for a value that stands at `path`.
    pub(crate) fn below(&self, path: &str) -> String {
        join(&format!("{path}{}", self.path), &self.why)
    }

    /// The same, seen from one level up.
    pub(crate) fn in_member(mut self, name: &str) -> Self {
        self.path = format!(".{name}{}", self.path);
        self
    }

    /// For the reader that the tree came from: [`explain`] finds the rest of the path in the text.
    pub(crate) fn custom<E: de::Error>(self) -> E {
        E::custom(self)
    }
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.why),
            path => f.write_str(&join(path, &self.why)),
        }
    }
}

/// Reads a value from a tree.
pub(crate) fn of_tree<T: DeserializeOwned>(tree: Tree) -> Result<T, TreeError> {
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path if path.starts_with('[') => path,
            path => format!(".{path}"),
        };
        TreeError {
            path,
            why: error.into_inner().to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    struct Body {
        #[expect(dead_code, reason = "only its type matters")]
        limits: Vec<u32>,
    }

    #[test]
    fn malformed_json_is_told_by_its_position() {
        let error = read::<Body>(b"{\"limits\": [1,\n 2,, 3]}").unwrap_err();
        assert_eq!(error.status(), 400);
        assert_eq!(
            error.message(),
            "Format error in JSON body: expected value at line 2 column 4"
        );
        assert!(read::<Body>(b"").unwrap_err().message().contains("EOF"));
        assert!(read::<Body>(b"{\"limits\":[]} x").is_err());
        assert!(read::<Body>(b"{\"limits\":[NaN]}").is_err());
    }

    #[test]
    fn a_wrong_number_is_told_as_it_is_written() {
        let error = read::<Body>(b"{\"limits\":\n[1, 18446744073709551616]}").unwrap_err();
        assert!(
            error.message().contains("`18446744073709551616`"),
            "{error}"
        );
        let error = read::<Body>(b"{\"limits\": [1.50]}").unwrap_err();
        assert!(error.message().contains("`1.50`"), "{error}");
    }

    #[test]
    fn a_body_of_the_wrong_kind_is_wrong_from_its_first_column() {
        for body in [&b"7"[..], b"[]", b"\"x\"", b"{}"] {
            let error = read::<Body>(body).unwrap_err();
            assert!(!error.message().contains("column 0"), "{error}");
        }
    }

    #[test]
    fn a_wrong_type_is_told_by_its_path() {
        let error = read::<Body>(b"{\"limits\": [1, \"two\"]}").unwrap_err();
        let expected = "Format error in JSON body: limits[1]: invalid type: string \"two\", \
                        expected u32 at line 1 column 20";
        assert_eq!(error.message(), expected);
    }
}
