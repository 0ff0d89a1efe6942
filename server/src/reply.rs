//! Answers: the envelope around every result, and the few that have none.
//!
//! `{"result": ..., "status": "ok", "time": seconds}`; on failure `status` is `{"error": text}`
//! and there is no result. Clients read these keys by name and in this order.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use crate::error::ApiError;

/// Shorter answers fit into a few packets as they are.
const COMPRESSED_BYTES_MIN: usize = 16 << 10;

/// What the server sends.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A rendered answer, before it has a status line.
#[derive(Debug)]
pub(crate) struct Reply {
    body: Vec<u8>,
    content_type: &'static str,
    status: StatusCode,
    gzip: bool,
}

#[derive(Serialize)]
struct Success<T> {
    result: T,
    status: &'static str,
    time: f64,
}

#[derive(Serialize)]
struct Failure<'a> {
    status: Cause<'a>,
    time: f64,
}

#[derive(Serialize)]
struct Cause<'a> {
    error: &'a str,
}

impl Reply {
    /// A result in its envelope; `time` is how long it took in seconds.
    pub(crate) fn ok(result: impl Serialize, time: f64) -> Result<Self, ApiError> {
        Self::json(&Success {
            result,
            status: "ok",
            time,
        })
    }

    /// JSON without an envelope.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(ApiError::internal)?;
        Ok(Self {
            body,
            content_type: "application/json",
            status: StatusCode::OK,
            gzip: false,
        })
    }

    /// Plain text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            body: text.into().into_bytes(),
            content_type: "text/plain; charset=utf-8",
            status: StatusCode::OK,
            gzip: false,
        }
    }

    /// The same, with another status than 200.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same, compressed if it is long enough for that to pay. Takes a millisecond for each
    /// hundred kilobytes, so it has no place on a thread that moves bytes.
    pub(crate) fn compressed(mut self) -> Self {
        if self.body.len() < COMPRESSED_BYTES_MIN {
            return self;
        }
        // Writing into memory cannot fail; if it did, the plain answer would be as good.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder
            .write_all(&self.body)
            .and_then(|()| encoder.finish());
        if let Ok(body) = written
            && body.len() < self.body.len()
        {
            self.body = body;
            self.gzip = true;
        }
        self
    }

    /// What hyper sends.
    pub(crate) fn answer(self) -> Answer {
        let varies = self.gzip || self.body.len() >= COMPRESSED_BYTES_MIN;
        let mut answer = Response::new(Full::new(Bytes::from(self.body)));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if varies {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        answer
    }
}

/// A failure in its envelope.
pub(crate) fn failure(error: &ApiError, time: f64) -> Answer {
    let failure = Failure {
        status: Cause {
            error: error.message(),
        },
        time,
    };
    // A string and a number always serialise.
    let body = serde_json::to_vec(&failure).unwrap_or_default();
    Reply {
        body,
        content_type: "application/json",
        status: error.status(),
        gzip: false,
    }
    .answer()
}

/// Whether the client reads gzip: it names it, or everything, with a weight above zero.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut any = false;
    for coding in texts.flat_map(|text| text.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=");
        let wanted = weight.is_none_or(|q| q.trim().parse().is_ok_and(|q: f32| q > 0.0));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// No such path: nothing to say.
pub(crate) fn no_such_path() -> Answer {
    empty(StatusCode::NOT_FOUND)
}

/// The path exists for other methods.
pub(crate) fn wrong_method(allowed: &str) -> Answer {
    let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(value) = HeaderValue::from_str(allowed) {
        answer.headers_mut().insert(ALLOW, value);
    }
    answer
}

pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_read_it() {
        let accepts = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            accepts_gzip(&headers)
        };
        for text in ["gzip", "deflate, GZIP", "br;q=1.0, gzip;q=0.5, *;q=0", "*"] {
            assert!(accepts(text), "{text}");
        }
        for text in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "*, gzip; q=0.0",
            "gzip;q=x",
        ] {
            assert!(!accepts(text), "{text}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn keys_come_in_the_order_of_the_api() {
        let reply = Reply::ok(true, 0.5).unwrap();
        assert_eq!(reply.body, br#"{"result":true,"status":"ok","time":0.5}"#);
    }
}
