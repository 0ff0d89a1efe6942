//! Query parameters: `wait`, `timeout`, `ordering`, `consistency`, and what single routes add.

use std::time::Duration;

use crate::error::{ApiError, Part};
use crate::route::percent_decode;

/// The query parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    /// Answer when the write is visible, not already when it is durable.
    pub(crate) wait: bool,
    /// Longest time the client waits.
    pub(crate) timeout: Option<Duration>,
    /// Every pair, decoded.
    pairs: Vec<(String, String)>,
}

/// Longer timeouts are shortened to this, a day.
const TIMEOUT_MAX_S: u64 = 86_400;

impl Parameters {
    /// Reads and checks the part of a URL behind the `?`.
    ///
    /// `ordering` and `consistency` are checked and change nothing: on one node every write
    /// is ordered and every read sees all writes before it.
    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (percent_decode(name, true)?, percent_decode(value, true)?);
            match name.as_str() {
                "wait" => parameters.wait = boolean(&name, &value)?,
                "timeout" => parameters.timeout = Some(timeout(&value)?),
                "ordering" => one_of(&name, &value, &["weak", "medium", "strong"])?,
                "consistency" => consistency(&value)?,
                _ => {}
            }
            parameters.pairs.push((name, value));
        }
        Ok(parameters)
    }

    /// The value of a parameter that only some routes have.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A whole number that only some routes have.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, ApiError> {
        self.get(name).map(|value| number(name, value)).transpose()
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_| {
        ApiError::parameters(format!("{name}: `{value}` is neither `true` nor `false`"))
    })
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, ApiError> {
    value
        .parse()
        .map_err(|_| ApiError::parameters(format!("{name}: `{value}` is not a whole number")))
}

fn timeout(value: &str) -> Result<Duration, ApiError> {
    let seconds: u64 = number("timeout", value)?;
    if seconds == 0 {
        return Err(ApiError::validation(
            Part::Query,
            "timeout: value 0 invalid, must be 1 or larger",
        ));
    }
    Ok(Duration::from_secs(seconds.min(TIMEOUT_MAX_S)))
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<(), ApiError> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(ApiError::parameters(format!(
        "{name}: unknown variant `{value}`, expected one of `{}`",
        known.join("`, `")
    )))
}

fn consistency(value: &str) -> Result<(), ApiError> {
    match value.parse::<u64>() {
        Ok(0) => Err(ApiError::validation(
            Part::Query,
            "consistency: value 0 invalid, must be 1 or larger",
        )),
        Ok(_) => Ok(()),
        Err(_) => one_of("consistency", value, &["majority", "quorum", "all"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_unknown_ones_ignored() {
        let parsed = Parameters::parse("wait=true&timeout=5&ordering=strong&x=a%20b+c").unwrap();
        assert!(parsed.wait);
        assert_eq!(parsed.timeout, Some(Duration::from_secs(5)));
        assert_eq!(parsed.get("x"), Some("a b c"));
        assert!(!Parameters::parse("").unwrap().wait);
    }

    #[test]
    fn wrong_values_name_their_parameter() {
        for (query, status, text) in [
            ("wait=maybe", 400, "wait"),
            (
                "timeout=0",
                422,
                "timeout: value 0 invalid, must be 1 or larger",
            ),
            ("timeout=-1", 400, "timeout"),
            ("ordering=loose", 400, "ordering"),
            ("consistency=none", 400, "consistency"),
            ("consistency=0", 422, "consistency"),
        ] {
            let error = Parameters::parse(query).unwrap_err();
            assert_eq!(error.status(), status, "{query}");
            assert!(error.message().contains(text), "{query}: {error}");
        }
        let long = Parameters::parse("timeout=18446744073709551615").unwrap();
        assert_eq!(long.timeout, Some(Duration::from_secs(TIMEOUT_MAX_S)));
    }
}
