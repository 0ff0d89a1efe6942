//! Requests to a server under test: JSON in, status and JSON out, connection failures as values.

use std::time::Duration;

use serde_json::Value;

/// What the server answered.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null when it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The result of the envelope.
    pub fn result(&self) -> &Value {
        &self.body["result"]
    }

    /// The error text of the envelope; empty when there is none.
    pub fn error(&self) -> &str {
        self.body["status"]["error"].as_str().unwrap_or_default()
    }
}

/// The connection broke, so that nobody knows whether the request was done.
#[derive(Clone, Debug)]
pub struct Broken(
    /// What the connection said.
    pub String,
);

/// A connection to one server.
#[derive(Clone, Debug)]
pub struct Http {
    agent: ureq::Agent,
    base: String,
}

impl Http {
    /// To the server at `base`; a request may take 30 seconds.
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        Self {
            agent: config.into(),
            base: base.to_owned(),
        }
    }

    /// A GET.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn get(&self, path: &str) -> Result<Answer, Broken> {
        answer(self.agent.get(format!("{}{path}", self.base)).call())
    }

    /// A DELETE.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn delete(&self, path: &str) -> Result<Answer, Broken> {
        answer(self.agent.delete(format!("{}{path}", self.base)).call())
    }

    /// A PUT of JSON.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn put(&self, path: &str, body: &Value) -> Result<Answer, Broken> {
        let request = self.agent.put(format!("{}{path}", self.base));
        answer(
            request
                .content_type("application/json")
                .send(body.to_string()),
        )
    }

    /// A POST of JSON.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, Broken> {
        let request = self.agent.post(format!("{}{path}", self.base));
        answer(
            request
                .content_type("application/json")
                .send(body.to_string()),
        )
    }
}

fn answer(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Answer, Broken> {
    let mut response = response.map_err(|error| Broken(error.to_string()))?;
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .with_config()
        .limit(256 << 20)
        .read_to_string()
        .map_err(|error| Broken(error.to_string()))?;
    Ok(Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or_default(),
    })
}
