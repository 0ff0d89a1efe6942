//! Which method and path is what: one table, one radix router.
//!
//! Paths are matched as they came and percent-decoded afterwards, so that a collection may have
//! a `/` in a name that an old client wrote as `%2F`; a trailing slash does not matter.
//!
//! # Invariants
//! - Every operation of the API that this version does not have is in the table as [`NOT_YET`]
//!   and answers 501; a path that is not in the API at all answers a bare 404.

use hyper::Method;
use matchit::Router;

use crate::error::ApiError;
use crate::handler::{Kind, collections, indexes, lists, plans, points, reads, service};

/// One operation: its pattern is also its name in the metrics.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) pattern: &'static str,
    pub(crate) kind: Kind,
}

/// What a path is.
#[derive(Debug)]
pub(crate) enum Found<'r> {
    Route(&'r Route, PathValues),
    WrongMethod(String),
    Nothing,
}

/// Decoded path parameters, in the order of the pattern.
pub(crate) type PathValues = Vec<(&'static str, String)>;

/// The router over [`TABLE`].
#[derive(Debug)]
pub(crate) struct Routes(Router<Vec<Route>>);

use Kind::{Admin, Inline, NotYet as NOT_YET, Read, Waiting, Write};

/// A pattern below one collection.
macro_rules! C {
    ($rest:literal) => {
        concat!("/collections/{collection_name}", $rest)
    };
}

const TABLE: &[(Method, &str, Kind)] = &[
    (Method::GET, "/", Inline(service::root)),
    (Method::GET, "/healthz", Inline(service::healthz)),
    (Method::GET, "/livez", Inline(service::healthz)),
    (Method::GET, "/readyz", Inline(service::readyz)),
    (Method::GET, "/metrics", Read("Metrics", service::metrics)),
    (Method::GET, "/telemetry", NOT_YET),
    (Method::GET, "/issues", Inline(plans::issues)),
    (Method::DELETE, "/issues", Inline(plans::clear_issues)),
    (Method::GET, "/logger", NOT_YET),
    (Method::POST, "/logger", NOT_YET),
    (Method::GET, "/stacktrace", NOT_YET),
    (Method::GET, "/debugger", NOT_YET),
    (Method::PATCH, "/debugger", NOT_YET),
    (Method::GET, "/profiler/slow_requests", NOT_YET),
    (Method::POST, "/audit/logs", NOT_YET),
    (Method::GET, "/quotas", NOT_YET),
    (Method::PUT, "/quotas", NOT_YET),
    (Method::GET, "/cluster", NOT_YET),
    (Method::GET, "/cluster/telemetry", NOT_YET),
    (Method::POST, "/cluster/recover", NOT_YET),
    (Method::DELETE, "/cluster/peer/{peer_id}", NOT_YET),
    (Method::GET, "/cluster/metadata/keys", NOT_YET),
    (Method::GET, "/cluster/metadata/keys/{key}", NOT_YET),
    (Method::PUT, "/cluster/metadata/keys/{key}", NOT_YET),
    (Method::DELETE, "/cluster/metadata/keys/{key}", NOT_YET),
    (Method::GET, "/aliases", NOT_YET),
    (Method::GET, "/snapshots", NOT_YET),
    (Method::POST, "/snapshots", NOT_YET),
    (Method::GET, "/snapshots/{snapshot_name}", NOT_YET),
    (Method::DELETE, "/snapshots/{snapshot_name}", NOT_YET),
    (Method::GET, "/collections", Inline(collections::list)),
    (
        Method::GET,
        C!(""),
        Read("Collection info", collections::info),
    ),
    (Method::PUT, C!(""), Admin(collections::create)),
    (Method::PATCH, C!(""), Admin(collections::update)),
    (Method::DELETE, C!(""), Admin(collections::delete)),
    // The one collection name that is a route for this method: `/collections/aliases`.
    (Method::POST, C!(""), Inline(collections::change_aliases)),
    (Method::GET, C!("/exists"), Inline(collections::exists)),
    (
        Method::GET,
        C!("/optimizations"),
        Read("Optimizations", collections::optimizations),
    ),
    (
        Method::POST,
        C!("/optimizations/run"),
        Admin(collections::run_optimizations),
    ),
    (Method::PUT, C!("/index"), Waiting(indexes::create)),
    (
        Method::DELETE,
        C!("/index/{field_name}"),
        Waiting(indexes::delete),
    ),
    (Method::PUT, C!("/vectors/{vector_name}"), NOT_YET),
    (Method::DELETE, C!("/vectors/{vector_name}"), NOT_YET),
    (Method::GET, C!("/memory"), NOT_YET),
    (Method::POST, C!("/truncate_unapplied_wal"), NOT_YET),
    (Method::POST, C!("/debug"), NOT_YET),
    (Method::GET, C!("/aliases"), NOT_YET),
    (Method::GET, C!("/cluster"), NOT_YET),
    (Method::POST, C!("/cluster"), NOT_YET),
    (Method::GET, C!("/shards"), NOT_YET),
    (Method::PUT, C!("/shards"), NOT_YET),
    (Method::POST, C!("/shards/delete"), NOT_YET),
    (Method::POST, C!("/shards/{shard_id}/points"), NOT_YET),
    (
        Method::POST,
        C!("/shards/{shard_id}/points/scroll"),
        NOT_YET,
    ),
    (Method::POST, C!("/shards/{shard_id}/points/count"), NOT_YET),
    (Method::POST, C!("/shards/{shard_id}/cleanup"), NOT_YET),
    (Method::GET, C!("/shards/{shard_id}/wal"), NOT_YET),
    (
        Method::GET,
        C!("/shards/{shard_id}/recovery_point"),
        NOT_YET,
    ),
    (
        Method::POST,
        C!("/shards/{shard_id}/snapshot/partial/create"),
        NOT_YET,
    ),
    (
        Method::POST,
        C!("/shards/{shard_id}/snapshot/partial/recover"),
        NOT_YET,
    ),
    (
        Method::POST,
        C!("/shards/{shard_id}/snapshot/partial/recover_from"),
        NOT_YET,
    ),
    (
        Method::GET,
        C!("/shards/{shard_id}/snapshot/partial/manifest"),
        NOT_YET,
    ),
    (Method::GET, C!("/snapshots"), NOT_YET),
    (Method::POST, C!("/snapshots"), NOT_YET),
    (Method::GET, C!("/snapshots/{snapshot_name}"), NOT_YET),
    (Method::DELETE, C!("/snapshots/{snapshot_name}"), NOT_YET),
    (Method::POST, C!("/snapshots/upload"), NOT_YET),
    (Method::PUT, C!("/snapshots/recover"), NOT_YET),
    (Method::GET, C!("/shards/{shard_id}/snapshot"), NOT_YET),
    (Method::GET, C!("/shards/{shard_id}/snapshots"), NOT_YET),
    (Method::POST, C!("/shards/{shard_id}/snapshots"), NOT_YET),
    (
        Method::GET,
        C!("/shards/{shard_id}/snapshots/{snapshot_name}"),
        NOT_YET,
    ),
    (
        Method::DELETE,
        C!("/shards/{shard_id}/snapshots/{snapshot_name}"),
        NOT_YET,
    ),
    (
        Method::POST,
        C!("/shards/{shard_id}/snapshots/upload"),
        NOT_YET,
    ),
    (
        Method::PUT,
        C!("/shards/{shard_id}/snapshots/recover"),
        NOT_YET,
    ),
    (Method::PUT, C!("/points"), Write(points::upsert)),
    (
        Method::POST,
        C!("/points"),
        Read("Retrieve", reads::retrieve),
    ),
    (Method::GET, C!("/points/{id}"), Read("Get", reads::get)),
    (Method::POST, C!("/points/delete"), Write(points::delete)),
    (
        Method::PUT,
        C!("/points/vectors"),
        Write(points::update_vectors),
    ),
    (
        Method::POST,
        C!("/points/vectors/delete"),
        Write(points::delete_vectors),
    ),
    (
        Method::POST,
        C!("/points/payload"),
        Write(points::set_payload),
    ),
    (
        Method::PUT,
        C!("/points/payload"),
        Write(points::overwrite_payload),
    ),
    (
        Method::POST,
        C!("/points/payload/delete"),
        Write(points::delete_payload),
    ),
    (
        Method::POST,
        C!("/points/payload/clear"),
        Write(points::clear_payload),
    ),
    (Method::POST, C!("/points/batch"), Write(points::batch)),
    (
        Method::POST,
        C!("/points/scroll"),
        Read("Scroll", reads::scroll),
    ),
    (
        Method::POST,
        C!("/points/count"),
        Read("Count", reads::count),
    ),
    (
        Method::POST,
        C!("/points/query"),
        Read("Query", reads::query),
    ),
    (
        Method::POST,
        C!("/points/query/batch"),
        Read("Query batch", reads::query_batch),
    ),
    (
        Method::POST,
        C!("/points/query/explain"),
        Read("Explain", plans::explain),
    ),
    (
        Method::POST,
        C!("/points/query/groups"),
        Read("Query groups", lists::query_groups),
    ),
    (
        Method::POST,
        C!("/points/search"),
        Read("Search", reads::search),
    ),
    (
        Method::POST,
        C!("/points/search/batch"),
        Read("Search batch", reads::search_batch),
    ),
    (
        Method::POST,
        C!("/points/search/groups"),
        Read("Search groups", lists::search_groups),
    ),
    (
        Method::POST,
        C!("/points/search/matrix/pairs"),
        Read("Search matrix", lists::matrix_pairs),
    ),
    (
        Method::POST,
        C!("/points/search/matrix/offsets"),
        Read("Search matrix", lists::matrix_offsets),
    ),
    (Method::POST, C!("/points/recommend"), NOT_YET),
    (Method::POST, C!("/points/recommend/batch"), NOT_YET),
    (Method::POST, C!("/points/recommend/groups"), NOT_YET),
    (Method::POST, C!("/points/discover"), NOT_YET),
    (Method::POST, C!("/points/discover/batch"), NOT_YET),
    (Method::POST, C!("/facet"), Read("Facet", lists::facet)),
];

impl Routes {
    /// Builds the router.
    ///
    /// # Errors
    /// Two patterns that contradict each other, which a test rules out.
    pub(crate) fn new() -> Result<Self, matchit::InsertError> {
        let mut patterns: Vec<(&str, Vec<Route>)> = Vec::new();
        for (method, pattern, kind) in TABLE {
            let route = Route {
                method: method.clone(),
                pattern,
                kind: *kind,
            };
            match patterns.iter_mut().find(|(known, _)| known == pattern) {
                Some((_, routes)) => routes.push(route),
                None => patterns.push((pattern, vec![route])),
            }
        }
        let mut router = Router::new();
        for (pattern, routes) in patterns {
            router.insert(pattern, routes)?;
        }
        Ok(Self(router))
    }

    /// What `method` on `path` is.
    ///
    /// # Errors
    /// A path parameter that is not UTF-8.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<Found<'_>, ApiError> {
        let trimmed = path.trim_end_matches('/');
        let path = if trimmed.is_empty() { "/" } else { trimmed };
        let Ok(matched) = self.0.at(path) else {
            return Ok(Found::Nothing);
        };
        // A HEAD is a GET whose body hyper leaves out.
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let Some(route) = matched.value.iter().find(|route| route.method == wanted) else {
            let allowed: Vec<_> = matched.value.iter().map(|r| r.method.as_str()).collect();
            return Ok(Found::WrongMethod(allowed.join(", ")));
        };
        let names = parameter_names(route.pattern);
        let values = matched.params.iter().map(|(_, value)| value);
        let params = names
            .zip(values)
            .map(|(name, value)| Ok((name, percent_decode(value, false)?)))
            .collect::<Result<PathValues, ApiError>>()?;
        Ok(Found::Route(route, params))
    }
}

/// The names between braces.
fn parameter_names(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    pattern
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Decodes `%41`, and `+` where that means a space.
///
/// # Errors
/// When the result is not UTF-8.
pub(crate) fn percent_decode(text: &str, plus: bool) -> Result<String, ApiError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let digits = after
            .first_chunk::<2>()
            .and_then(|&[a, b]| hex(a).zip(hex(b)));
        match (first, digits) {
            (b'%', Some((high, low))) => {
                bytes.push(high << 4 | low);
                rest = &after[2..];
            }
            (b'+', _) if plus => bytes.push(b' '),
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::path(format!("`{text}` is not UTF-8")))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(method: &Method, path: &str) -> Option<(String, PathValues)> {
        match Routes::new().unwrap().find(method, path).unwrap() {
            Found::Route(route, params) => Some((route.pattern.to_owned(), params)),
            Found::WrongMethod(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn a_path_is_decoded_after_it_is_matched() {
        let (pattern, params) = name_of(&Method::GET, "/collections/a%2Fb%20c/").unwrap();
        assert_eq!(pattern, "/collections/{collection_name}");
        assert_eq!(params, [("collection_name", "a/b c".to_owned())]);
        assert!(name_of(&Method::GET, "/collections/a/b").is_none());
    }

    #[test]
    fn fixed_names_come_before_ids() {
        let (pattern, _) = name_of(&Method::POST, "/collections/c/points/delete").unwrap();
        assert!(pattern.ends_with("/points/delete"));
        let (pattern, params) = name_of(&Method::GET, "/collections/c/points/7").unwrap();
        assert!(pattern.ends_with("/points/{id}"));
        assert_eq!(params[1], ("id", "7".to_owned()));
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let routes = Routes::new().unwrap();
        let found = routes.find(&Method::GET, "/nothing/here").unwrap();
        assert!(matches!(found, Found::Nothing));
        let found = routes.find(&Method::PUT, "/healthz").unwrap();
        assert!(matches!(found, Found::WrongMethod(allowed) if allowed == "GET"));
        assert!(name_of(&Method::HEAD, "/healthz").is_some());
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(percent_decode("100%", false).unwrap(), "100%");
        assert_eq!(percent_decode("%zz+a", true).unwrap(), "%zz a");
        assert!(percent_decode("%ff", false).is_err());
    }
}
