//! Reading a body, with errors that say where.
//!
//! The first reading pays nothing for that. Only when it fails the body is read once more, by a
//! reader that keeps track of the path.

use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed};
use serde_json::error::Category;
use serde_path_to_error::{Deserializer as Tracked, Track};

use crate::error::ApiError;

/// Reads a whole body.
pub(crate) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ApiError> {
    first(body, PhantomData::<T>).map_err(|error| explain(&error, body, PhantomData::<T>))
}

/// Reads a whole body with a seed.
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
    let path = track.path().to_string();
    if path == "." {
        return ApiError::json(error);
    }
    ApiError::json(format!("{path}: {error}"))
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
    fn a_wrong_type_is_told_by_its_path() {
        let error = read::<Body>(b"{\"limits\": [1, \"two\"]}").unwrap_err();
        let expected = "Format error in JSON body: limits[1]: invalid type: string \"two\", \
                        expected u32 at line 1 column 20";
        assert_eq!(error.message(), expected);
    }
}
