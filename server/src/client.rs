//! A small client of our own API, for the commands that talk to a server.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::run::Failure;

/// Longest time for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Talks to one server.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self::with_timeout(url, TIMEOUT)
    }

    pub(crate) fn with_timeout(url: &str, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            // An error status has a body that says why.
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .build();
        Self {
            agent: config.into(),
            url: url.trim_end_matches('/').to_owned(),
        }
    }

    /// The `result` of an answer.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.result(path, self.agent.get(self.at(path)).call())
    }

    /// As [`Client::get`].
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.result(path, self.agent.delete(self.at(path)).call())
    }

    /// Sends a body.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.agent.put(self.at(path));
        let request = request.content_type("application/json");
        self.result(path, request.send(body.to_string()))
    }

    /// Sends a body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        Ok(self.timed_post(path, body)?.0)
    }

    /// Sends a body; also how many seconds the server says it took.
    pub(crate) fn timed_post(&self, path: &str, body: &Value) -> Result<(Value, f64), Failure> {
        let request = self.agent.post(self.at(path));
        let request = request.content_type("application/json");
        let mut envelope = self.envelope(path, request.send(body.to_string()))?;
        let time = envelope["time"].as_f64().unwrap_or_default();
        Ok((envelope["result"].take(), time))
    }

    /// The text of an answer without envelope.
    pub(crate) fn text(&self, path: &str) -> Result<String, Failure> {
        let at = self.at(path);
        let told = |error: ureq::Error| format!("{at}: {error}");
        let mut answer = self.agent.get(&at).call().map_err(told)?;
        let text = answer.body_mut().read_to_string().map_err(told)?;
        if !answer.status().is_success() {
            return Err(format!("{at}: {}: {text}", answer.status()).into());
        }
        Ok(text)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn result(
        &self,
        path: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        Ok(self.envelope(path, answer)?["result"].take())
    }

    fn envelope(
        &self,
        path: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let mut answer = answer.map_err(|error| format!("{}: {error}", self.at(path)))?;
        let text = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            return Err(format!("{path}: {}: {text}", answer.status()).into());
        }
        Ok(serde_json::from_str(&text)?)
    }
}

/// Whether the server at `url` would serve requests: what it says.
///
/// # Errors
/// It does not answer, or says that it is not ready.
pub fn health(url: &str) -> Result<String, Failure> {
    Client::with_timeout(url, Duration::from_secs(5)).text("/readyz")
}
