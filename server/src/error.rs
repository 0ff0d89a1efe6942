//! What goes wrong, as the API says it: a status and a text that clients match.
//!
//! One constructor a kind of failure, and one table each for the engine's and the query side's
//! errors. Texts begin as Qdrant's do; where the cause lies in a field, the field is named.
//!
//! # Invariants
//! - A client's mistake is a 4xx, whatever the input; 501 says that a feature is missing, 500
//!   and 503 that something is wrong on this side.

use std::fmt;
use std::time::Duration;

use engine::ErrorKind;
use hyper::StatusCode;
use query::QueryError;

/// A failed request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// A value that is well formed and wrong.
    pub(crate) fn bad_input(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("Wrong input: {what}"))
    }

    /// A request whose parts do not go together.
    pub(crate) fn bad_request(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("Bad request: {what}"))
    }

    /// A body that is not the JSON it should be.
    pub(crate) fn json(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("Format error in JSON body: {what}"),
        )
    }

    /// Query parameters that cannot be read.
    pub(crate) fn parameters(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("Deserialize error in query parameters: {what}"),
        )
    }

    /// A path segment that cannot be read.
    pub(crate) fn path(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("Deserialize error in path parameters: {what}"),
        )
    }

    /// Values outside of what the API allows; `what` is `field: why; field: why`.
    pub(crate) fn validation(part: Part, what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("Validation error in {part}: [{what}]"),
        )
    }

    pub(crate) fn no_collection(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Not found: Collection `{name}` doesn't exist!"),
        )
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Not found: {what}"))
    }

    pub(crate) fn collection_exists(name: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            format!("Wrong input: Collection `{name}` already exists!"),
        )
    }

    /// A part of the API that this version does not have. Never answered for what would only
    /// make things faster or smaller.
    pub(crate) fn not_yet(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("Not implemented: this version of Cairn does not have {what}"),
        )
    }

    pub(crate) fn timeout(operation: &str, after: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "Timeout: Timeout error: Operation '{operation}' timed out after {} seconds",
                after.as_secs_f64()
            ),
        )
    }

    pub(crate) fn internal(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Service internal error: {what}"),
        )
    }

    pub(crate) fn unavailable(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("Shard temporarily unavailable: {what}"),
        )
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The part of a request that a validation error is about.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Part {
    Body,
    Query,
    Path,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "JSON body",
            Self::Query => "query parameters",
            Self::Path => "path parameters",
        })
    }
}

/// The engine's kinds, as statuses.
impl From<engine::Error> for ApiError {
    fn from(error: engine::Error) -> Self {
        let text = error.chain();
        match error.kind() {
            ErrorKind::Invalid => Self::bad_input(text),
            ErrorKind::NotFound => Self::not_found(text),
            ErrorKind::Conflict => Self::new(StatusCode::CONFLICT, format!("Wrong input: {text}")),
            ErrorKind::Busy | ErrorKind::Closed => Self::unavailable(text),
            ErrorKind::DiskFull => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!("Insufficient storage: {text}"),
            ),
            ErrorKind::Unsupported => Self::not_yet(text),
            ErrorKind::Corrupt | ErrorKind::Io | ErrorKind::Poisoned => Self::internal(text),
            // The list may grow; a kind unknown here is at least not the client's fault.
            _ => Self::internal(text),
        }
    }
}

/// A vector that does not fit, and the field it came from (`points[3].vector`).
pub(crate) fn bad_vector(error: &engine::VectorError, field: &str) -> ApiError {
    use engine::VectorError as E;
    match error {
        E::Dimension { expected, got, .. } => ApiError::bad_input(format!(
            "Vector dimension error: expected dim: {expected}, got {got} in {field}"
        )),
        E::NotFinite { index, .. } => ApiError::bad_input(format!(
            "Vector contains a value that is not finite: {field}[{index}]"
        )),
        E::OutOfRange { index, value, .. } => ApiError::bad_input(format!(
            "Vector contains a value out of the range of its datatype: {field}[{index}] is {value}"
        )),
        E::Empty { .. } => ApiError::validation(
            Part::Body,
            format!("{field}: all vectors must be non-empty"),
        ),
        E::Unknown { name } => no_vector(name, field),
    }
}

/// A vector name that the collection does not have.
pub(crate) fn no_vector(name: &str, field: &str) -> ApiError {
    ApiError::bad_input(format!("Not existing vector name error: {name} in {field}"))
}

/// The query side's errors, of an operation that might take `limit`.
pub(crate) fn of_query(error: QueryError, operation: &str, limit: Duration) -> ApiError {
    use QueryError as E;
    match error {
        E::UnknownVector { name } => {
            ApiError::bad_input(format!("Not existing vector name error: {name}"))
        }
        E::Dimension { expected, got, .. } => ApiError::bad_input(format!(
            "Vector dimension error: expected dim: {expected}, got {got} in the query vector"
        )),
        E::NotFinite { index, .. } => ApiError::bad_input(format!(
            "Vector contains a value that is not finite: [{index}] of the query vector"
        )),
        E::OutOfRange { index, value, .. } => ApiError::bad_input(format!(
            "Vector contains a value out of the range of its datatype: \
             [{index}] of the query vector is {value}"
        )),
        E::PointNotFound { id } => ApiError::not_found(format!("No point with id {id} found")),
        E::VectorNotFound { name, id } => {
            ApiError::not_found(format!("No vector with name {name:?} in point {id}"))
        }
        E::Invalid { field, message } => ApiError::bad_request(format!("{field}: {message}")),
        E::NoRangeIndex { key } => ApiError::bad_input(format!(
            "No range index for `order_by` key: `{key}`. Please create one to use `order_by`. \
             Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see \
             which payload schemas support Range conditions"
        )),
        E::NoMapIndex { key } => ApiError::bad_input(format!(
            "No appropriate index for faceting: `{key}`. Please create one to facet on this field. \
             Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see \
             which payload schemas support Match conditions"
        )),
        E::Deadline => ApiError::timeout(operation, limit),
        E::Unsupported { what } => ApiError::not_yet(what),
        E::Damaged { what, source } => {
            ApiError::internal(format!("{what} does not decode: {source}"))
        }
        E::Engine(error) => error.into(),
        other => ApiError::internal(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_engine_has_a_status_of_its_own_side() {
        let status = |kind| ApiError::from(engine::Error::new(kind, "append", "why")).status();
        assert_eq!(status(ErrorKind::Invalid), 400);
        assert_eq!(status(ErrorKind::NotFound), 404);
        assert_eq!(status(ErrorKind::Conflict), 409);
        assert_eq!(status(ErrorKind::Busy), 503);
        assert_eq!(status(ErrorKind::Closed), 503);
        assert_eq!(status(ErrorKind::DiskFull), 507);
        assert_eq!(status(ErrorKind::Unsupported), 501);
        for kind in [ErrorKind::Corrupt, ErrorKind::Io, ErrorKind::Poisoned] {
            assert_eq!(status(kind), 500);
        }
    }

    #[test]
    fn texts_begin_as_clients_expect() {
        let error = no_vector("foo", "points[0].vector");
        assert!(
            error
                .message()
                .starts_with("Wrong input: Not existing vector name error: foo")
        );
        let error = of_query(QueryError::Deadline, "Query", Duration::from_secs(2));
        assert_eq!(error.status(), 408);
        assert_eq!(
            error.message(),
            "Timeout: Timeout error: Operation 'Query' timed out after 2 seconds"
        );
    }
}
