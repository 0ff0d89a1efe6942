//! Request bodies: how large, how slow, and how many at once.
//!
//! # Invariants
//! - No body longer than the limit is ever held: one that announces it is refused by its
//!   `Content-Length`, one that does not is counted while it comes in.
//! - All bodies held together, waiting for a thread or being worked on, stay below one budget.
//! - A client that stops sending, or sends too slowly, loses its request and not our memory.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::error::ApiError;
use crate::settings::ServiceSettings;

/// Time a body gets before its rate counts.
const RATE_GRACE: Duration = Duration::from_secs(10);
/// Slowest body, in bytes a second; a phone on a bad line is faster.
const RATE_MIN: u64 = 1024;
/// A refused body is read and thrown away for so long, so that the client, which is busy sending
/// it, gets to see the answer instead of a reset connection.
const DISCARD: Duration = Duration::from_secs(5);
/// And at most so many bytes of it.
const DISCARD_BYTES: usize = 256 << 20;
/// Unit of the memory budget in bytes.
const UNIT: usize = 1024;

/// A request body in memory, and its share of the budget.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            _share: None,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads bodies within limits.
#[derive(Debug)]
pub(crate) struct BodyReader {
    bytes_max: usize,
    idle: Duration,
    budget: Arc<Semaphore>,
    budget_units: u32,
}

impl BodyReader {
    pub(crate) fn new(settings: &ServiceSettings) -> Self {
        let units = u32::try_from(settings.body_memory_bytes / UNIT).unwrap_or(u32::MAX);
        let units = units.max(1);
        Self {
            bytes_max: settings.body_bytes_max,
            idle: settings.body_idle,
            budget: Arc::new(Semaphore::new(units as usize)),
            budget_units: units,
        }
    }

    /// The whole body of a request that must be JSON.
    pub(crate) async fn read(&self, request: Request<Incoming>) -> Result<Body, ApiError> {
        // What tells that nothing comes is not the length alone: without one there is no body
        // either, unless it comes in chunks.
        check_content_type(request.headers(), request.body().is_end_stream())?;
        let announced = content_length(request.headers());
        let incoming = request.into_body();
        if let Some(len) = announced
            && len > self.bytes_max as u64
        {
            discard(incoming);
            return Err(self.too_large(&format!("{len} bytes")));
        }
        // Without a length the body may become as long as the limit.
        let need = announced.map_or(self.bytes_max, |len| len as usize);
        let share = self.reserve(need).await?;
        let bytes = self
            .collect(incoming, announced.map_or(0, |len| len as usize))
            .await?;
        Ok(Body {
            bytes,
            _share: Some(share),
        })
    }

    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let units = units.clamp(1, self.budget_units);
        Arc::clone(&self.budget)
            .acquire_many_owned(units)
            .await
            .map_err(|_| ApiError::unavailable("the server is stopping"))
    }

    async fn collect(&self, mut incoming: Incoming, len: usize) -> Result<Vec<u8>, ApiError> {
        let mut bytes = Vec::with_capacity(len);
        let start = Instant::now();
        loop {
            let frame = match timeout(self.idle, incoming.frame()).await {
                Ok(None) => return Ok(bytes),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    return Err(ApiError::bad_request(format!("request body: {error}")));
                }
                Err(_) => return Err(too_slow(bytes.len(), self.idle)),
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            if data.len() > self.bytes_max - bytes.len() {
                discard(incoming);
                return Err(self.too_large("of unknown length"));
            }
            append(&mut bytes, data);
            let counted = start.elapsed().saturating_sub(RATE_GRACE).as_secs();
            if (bytes.len() as u64) < counted * RATE_MIN && !incoming.is_end_stream() {
                return Err(too_slow(bytes.len(), start.elapsed()));
            }
        }
    }

    fn too_large(&self, what: &str) -> ApiError {
        ApiError::bad_request(format!(
            "JSON payload ({what}) is larger than allowed (limit: {} bytes)",
            self.bytes_max
        ))
    }
}

fn append(bytes: &mut Vec<u8>, data: &Bytes) {
    bytes.extend_from_slice(data);
}

fn too_slow(got: usize, after: Duration) -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        format!(
            "Timeout: the request body stopped coming: {got} bytes after {} seconds",
            after.as_secs()
        ),
    )
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body must say that it is JSON; web pages cannot send that across origins unasked.
fn check_content_type(headers: &HeaderMap, no_body: bool) -> Result<(), ApiError> {
    let given = headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("not text"));
    let name = given.map(|value| value.split(';').next().unwrap_or("").trim());
    match name {
        Some(name) if is_json(name) => Ok(()),
        None if no_body => Ok(()),
        _ => Err(ApiError::bad_request(format!(
            "Content type error: expected application/json, got {}",
            given.unwrap_or("none")
        ))),
    }
}

fn is_json(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "application/json" || (name.starts_with("application/") && name.ends_with("+json"))
}

/// Reads on in the background and forgets.
fn discard(mut incoming: Incoming) {
    tokio::spawn(timeout(DISCARD, async move {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = incoming.frame().await {
            let len = frame.data_ref().map_or(0, Bytes::len);
            if len > left {
                return;
            }
            left -= len;
        }
    }));
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_json_is_json() {
        let check = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            }
            check_content_type(&headers, false).is_ok()
        };
        assert!(check(Some("application/json")));
        assert!(check(Some("Application/JSON; charset=utf-8")));
        assert!(!check(Some("text/plain")));
        assert!(!check(Some("application/x-www-form-urlencoded")));
        assert!(!check(None));
        assert!(check_content_type(&HeaderMap::new(), true).is_ok());
    }
}
