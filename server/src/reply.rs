//! Answers: the envelope around every result, and the few that have none.
//!
//! `{"result": ..., "status": "ok", "time": seconds}`; on failure `status` is `{"error": text}`
//! and there is no result. Clients read these keys by name and in this order.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::error::ApiError;

/// What the server sends.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A rendered answer, before it has a status line.
#[derive(Debug)]
pub(crate) struct Reply {
    body: Vec<u8>,
    content_type: &'static str,
    status: StatusCode,
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
        })
    }

    /// Plain text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            body: text.into().into_bytes(),
            content_type: "text/plain; charset=utf-8",
            status: StatusCode::OK,
        }
    }

    /// The same, with another status than 200.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// What hyper sends.
    pub(crate) fn answer(self) -> Answer {
        let mut answer = Response::new(Full::new(Bytes::from(self.body)));
        *answer.status_mut() = self.status;
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
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
    }
    .answer()
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
    fn keys_come_in_the_order_of_the_api() {
        let reply = Reply::ok(true, 0.5).unwrap();
        assert_eq!(reply.body, br#"{"result":true,"status":"ok","time":0.5}"#);
    }
}
