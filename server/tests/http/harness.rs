//! A server on a free port over a directory of its own, and requests to it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use server::settings::Settings;
use server::{Running, start};
use tempfile::TempDir;
use ureq::Agent;

/// A running server.
pub(crate) struct Server {
    running: Option<Running>,
    pub(crate) directory: TempDir,
    agent: Agent,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) headers: ureq::http::HeaderMap,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The result of a success.
    pub(crate) fn result(&self) -> Value {
        let json = self.json();
        assert_eq!(self.status, 200, "{json}");
        assert_eq!(json["status"], "ok");
        assert!(json["time"].as_f64().unwrap() >= 0.0);
        json["result"].clone()
    }

    /// The text of a failure.
    pub(crate) fn error(&self, status: u16) -> String {
        let json = self.json();
        assert_eq!(self.status, status, "{json}");
        assert!(
            json.get("result").is_none() && json["time"].is_number(),
            "{json}"
        );
        json["status"]["error"]
            .as_str()
            .expect("an error text")
            .to_owned()
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(TempDir::new().unwrap(), change)
    }

    /// A server with these settings; its own directory stays empty.
    pub(crate) fn over(settings: &Settings) -> Self {
        Self::with(|own| *own = settings.clone())
    }

    fn on(directory: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.service.port = 0;
        settings.storage.path = directory.path().join("data");
        settings.storage.engine.build_threads = 1;
        change(&mut settings);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self {
            running: Some(start(settings).expect("the server starts")),
            directory,
            agent: config.into(),
        }
    }

    /// Stops it and starts another one on the same directory.
    pub(crate) fn restart(mut self) -> Self {
        self.stop();
        self.again()
    }

    pub(crate) fn stop(&mut self) {
        self.running
            .take()
            .unwrap()
            .stop()
            .expect("it stops cleanly");
    }

    /// Starts one that was stopped again, on the same directory.
    pub(crate) fn again(self) -> Self {
        Self::on(self.directory, |_| {})
    }

    pub(crate) fn running(&mut self) -> Running {
        self.running.take().unwrap()
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().addr()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr()));
        let answer = match body {
            None => self.agent.run(request.body(()).unwrap()),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_owned()).unwrap())
            }
        };
        let mut answer = answer.expect("an answer");
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, None)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, None)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path, Some(&body.to_string()))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, Some(&body.to_string()))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.request("PATCH", path, Some(&body.to_string()))
    }

    /// Makes collection `c` with an unnamed vector of two dimensions.
    pub(crate) fn make(&self) {
        let body = json!({"vectors": {"size": 2, "distance": "Dot"}});
        assert_eq!(self.put("/collections/c", &body).result(), true);
    }

    /// Makes `c` with points 1 to `count`: vector (n, 1), payload {n, even, tag}.
    pub(crate) fn fill(&self, count: u64) {
        self.make();
        let points: Vec<Value> = (1..=count)
            .map(|n| {
                let tag = if n % 2 == 0 { "even" } else { "odd" };
                json!({"id": n, "vector": [n, 1], "payload": {"n": n, "tag": tag}})
            })
            .collect();
        let body = json!({"points": points});
        let result = self.put("/collections/c/points?wait=true", &body).result();
        assert_eq!(result["status"], "completed");
    }

    /// The value of a metric, by the start of its line.
    pub(crate) fn metric(&self, start: &str) -> f64 {
        let text = self.get("/metrics").text;
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start} is not in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn points_count(&self) -> u64 {
        self.post("/collections/c/points/count", &json!({}))
            .result()["count"]
            .as_u64()
            .unwrap()
    }
}

/// The ids of a list of points.
pub(crate) fn ids(points: &Value) -> Vec<u64> {
    let points = points.as_array().expect("a list");
    points
        .iter()
        .map(|point| point["id"].as_u64().unwrap())
        .collect()
}

/// `text`, many times.
pub(crate) fn repeated(text: &str, count: usize) -> String {
    (0..count).fold(String::new(), |mut all, _| {
        let _ = write!(all, "{text}");
        all
    })
}
