//! From a request to its answer: find the route, read the body, run the operation on the right
//! threads, wrap the result.
//!
//! An operation is a plain function of a [`Call`]; the [`Kind`] it has in the route table says
//! where it runs. Nothing here or below it knows HTTP.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderValue,
};
use hyper::{Method, Request, StatusCode};

use crate::body::Body;
use crate::error::ApiError;
use crate::reply::{self, Answer, Reply};
use crate::route::{Found, PathValues};
use crate::state::State;
use crate::wire::parameters::Parameters;

pub(crate) mod collections;
pub(crate) mod indexes;
pub(crate) mod lists;
pub(crate) mod plans;
pub(crate) mod points;
pub(crate) mod reads;
pub(crate) mod service;

/// One request, ready to run.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) state: Arc<State>,
    pub(crate) path: PathValues,
    pub(crate) parameters: Parameters,
    pub(crate) body: Body,
    /// On the monotonic clock.
    pub(crate) started: Duration,
    /// Whether the client reads compressed answers.
    pub(crate) gzip: bool,
}

/// What a waiting operation returns.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send>>;

/// Where an operation runs.
#[derive(Copy, Clone)]
pub(crate) enum Kind {
    /// At once: it looks at memory and does not wait.
    Inline(fn(&Call) -> Result<Reply, ApiError>),
    /// On the thread that received it, when its turn comes, with a deadline; the text names it in a
    /// timeout.
    Read(&'static str, fn(&Call) -> Result<Reply, ApiError>),
    /// On the admin threads.
    Admin(fn(&Call) -> Result<Reply, ApiError>),
    /// On the write threads, answered when durable or when visible.
    Write(fn(&Call, points::Durable) -> Result<points::Written, ApiError>),
    /// A write followed by waiting for background work.
    Waiting(fn(Arc<Call>) -> Pending),
    /// In the API, but not in this version.
    NotYet,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inline(_) => "Inline",
            Self::Read(..) => "Read",
            Self::Admin(_) => "Admin",
            Self::Write(_) => "Write",
            Self::Waiting(_) => "Waiting",
            Self::NotYet => "NotYet",
        })
    }
}

impl Call {
    /// A path parameter; the route table guarantees those of its pattern.
    pub(crate) fn path(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn collection_name(&self) -> &str {
        self.path("collection_name")
    }

    /// The collection of the path.
    pub(crate) fn collection(&self) -> Result<Arc<engine::Collection>, ApiError> {
        self.state.collection(self.collection_name())
    }

    /// Notes what of a filter has no index.
    pub(crate) fn note(&self, schema: &format_spec::Schema, filter: Option<&query::Filter>) {
        let now_ms = || self.state.clock.now_ms();
        let issues = &self.state.issues;
        issues.note(self.collection_name(), schema, filter, now_ms);
    }

    /// Seconds since the request came.
    pub(crate) fn elapsed(&self) -> f64 {
        (self.state.clock.monotonic().saturating_sub(self.started)).as_secs_f64()
    }

    /// A result in the envelope.
    pub(crate) fn ok(&self, result: impl serde::Serialize) -> Result<Reply, ApiError> {
        Reply::ok(result, self.elapsed())
    }

    /// Runs an operation and puts its answer into the form that the client reads best.
    fn perform(&self, operation: fn(&Self) -> Result<Reply, ApiError>) -> Result<Reply, ApiError> {
        let reply = operation(self)?;
        Ok(if self.gzip { reply.compressed() } else { reply })
    }

    /// How long a read may take.
    pub(crate) fn read_limit(&self) -> Duration {
        let settings = &self.state.settings.service;
        self.parameters.timeout.unwrap_or(settings.search_timeout)
    }

    /// When a read has to give up, on the monotonic clock.
    pub(crate) fn deadline(&self) -> Duration {
        self.started + self.read_limit()
    }

    /// What the query side runs with.
    pub(crate) fn env(&self, deadline: Option<Duration>) -> query::Env<'_> {
        query::Env {
            pool: self.state.search.threads(),
            clock: self.state.clock.as_ref(),
            deadline,
            later: Some(self.state.search.later()),
        }
    }
}

/// Answers one request.
pub(crate) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let started = state.clock.monotonic();
    let method = method_name(request.method());
    let mut endpoint = "";
    let mut answer = if request.method() == Method::OPTIONS {
        reply::empty(StatusCode::NO_CONTENT)
    } else {
        match routed(&state, request, started, &mut endpoint).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.status().is_server_error() && error.status() != StatusCode::NOT_IMPLEMENTED
                {
                    tracing::error!(method, endpoint, error = error.message(), "request failed");
                }
                let took = state.clock.monotonic().saturating_sub(started);
                reply::failure(&error, took.as_secs_f64())
            }
        }
    };
    if state.settings.service.cors {
        allow_every_origin(&mut answer);
    }
    state.search.work_later();
    let took = state.clock.monotonic().saturating_sub(started);
    let status = answer.status().as_u16();
    state.telemetry.answered(method, endpoint, status, took);
    tracing::debug!(method, endpoint, status, ?took, "answered");
    answer
}

async fn routed(
    state: &Arc<State>,
    request: Request<Incoming>,
    started: Duration,
    endpoint: &mut &'static str,
) -> Result<Answer, ApiError> {
    let (route, path) = match state.routes.find(request.method(), request.uri().path())? {
        Found::Route(route, path) => (route, path),
        Found::WrongMethod(allowed) => return Ok(reply::wrong_method(&allowed)),
        Found::Nothing => return Ok(reply::no_such_path()),
    };
    *endpoint = route.pattern;
    if matches!(route.kind, Kind::NotYet) {
        return Err(ApiError::not_yet(format!(
            "{} {}",
            route.method, route.pattern
        )));
    }
    let gzip = reply::accepts_gzip(request.headers());
    let parameters = Parameters::parse(request.uri().query().unwrap_or_default())?;
    let body = if matches!(route.method, Method::POST | Method::PUT | Method::PATCH) {
        state.bodies.read(request).await?
    } else {
        Body::empty()
    };
    let call = Arc::new(Call {
        state: Arc::clone(state),
        path,
        parameters,
        body,
        started,
        gzip,
    });
    let reply = run(route.kind, call).await?;
    Ok(reply.answer())
}

async fn run(kind: Kind, call: Arc<Call>) -> Result<Reply, ApiError> {
    let state = Arc::clone(&call.state);
    match kind {
        Kind::Inline(operation) => operation(&call),
        Kind::Read(name, operation) => {
            let limit = call.read_limit();
            state
                .search
                .run(name, limit, move || call.perform(operation))
                .await
        }
        Kind::Admin(operation) => state.admin.run(move || call.perform(operation)).await,
        Kind::Write(operation) => points::write(operation, call).await,
        Kind::Waiting(operation) => operation(call).await,
        Kind::NotYet => Err(ApiError::not_yet("this route")),
    }
}

/// The method as a label; there are more methods than anybody needs counted.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

fn allow_every_origin(answer: &mut Answer) {
    let headers = answer.headers_mut();
    let any = || HeaderValue::from_static("*");
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any());
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, PUT, POST, PATCH, DELETE, OPTIONS"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("*, authorization"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}
