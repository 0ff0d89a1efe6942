//! `cairn demo`: a server, real data in it, and three queries, all through the public API.
//!
//! The sample is described in `demo/README.md`. Point ids are ranks by downloads.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use engine::{Clock, SystemClock};
use half::f16;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::run::{Failure, Running, start};
use crate::settings::Settings;

const COLLECTION: &str = "demo";
/// Payload fields that the queries filter by, and their types.
const INDEXES: [(&str, &str); 3] = [
    ("rank", "integer"),
    ("released", "keyword"),
    ("name", "keyword"),
];
const DIM: usize = 384;
/// The point that the next steps ask about: the rank of fastapi.
const EXAMPLE: u64 = 67;
/// Points a request.
const BATCH: usize = 250;
/// Longest wait for the graph; the queries work without it.
const GRAPH_WAIT: Duration = Duration::from_secs(60);

const VECTORS: &[u8] = include_bytes!("../demo/sample.f16");
const ROWS: &str = include_str!("../demo/sample.jsonl");
const QUERY_VECTORS: &[u8] = include_bytes!("../demo/queries.f16");
const QUERY_TEXTS: &str = include_str!("../demo/queries.jsonl");

/// How the demo runs.
#[derive(Copy, Clone, Default, Debug)]
pub struct DemoOptions {
    /// Ends after the queries.
    pub exit: bool,
    /// Deletes a collection of that name first.
    pub fresh: bool,
}

/// Runs the demo, then serves until told to stop, unless it is to end at once. A collection that
/// has the demo's name keeps its points, and gets those of the sample.
///
/// # Errors
/// The server does not start or stop, or does not answer as it should; there is a collection that
/// the sample does not fit into.
pub fn demo(settings: Settings, options: DemoOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let directory = settings.storage.path.clone();
    let running = start(settings)?;
    let told = tell(&running, &directory, options, out);
    // Also after a failure: whoever sees it may open the directory at once.
    let stopped = running.stop();
    told.and(stopped)
}

fn tell(
    running: &Running,
    directory: &Path,
    options: DemoOptions,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let url = format!("http://{}", running.addr());
    let client = Client::new(&url);
    writeln!(
        out,
        "Cairn listens on {url}; its data is in {}\n",
        directory.display()
    )?;
    prepare(&client, options.fresh)?;
    load(&client, out)?;
    show(&client, out)?;
    if !options.exit {
        next_steps(&url, out)?;
        running.wait_for_signal()?;
    }
    Ok(())
}

/// One point of the sample.
#[derive(Debug)]
struct SamplePoint {
    id: u64,
    vector: Vec<f32>,
    payload: Value,
}

impl Serialize for SamplePoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut point = serializer.serialize_struct("point", 3)?;
        point.serialize_field("id", &self.id)?;
        point.serialize_field("vector", &self.vector)?;
        point.serialize_field("payload", &self.payload)?;
        point.end()
    }
}

fn vectors(bytes: &[u8]) -> impl Iterator<Item = Vec<f32>> {
    bytes.chunks_exact(DIM * size_of::<f16>()).map(|row| {
        let halves = row.as_chunks().0.iter();
        halves
            .map(|&half| f16::from_le_bytes(half).to_f32())
            .collect()
    })
}

fn sample() -> Result<Vec<SamplePoint>, Failure> {
    vectors(VECTORS)
        .zip(ROWS.lines())
        .map(|(vector, row)| {
            let payload: Value = serde_json::from_str(row)?;
            let id = payload["rank"]
                .as_u64()
                .ok_or("a row of the sample has no rank")?;
            Ok(SamplePoint {
                id,
                vector,
                payload,
            })
        })
        .collect()
}

/// The sample queries: text and vector.
fn queries() -> Result<Vec<(String, Vec<f32>)>, Failure> {
    QUERY_TEXTS
        .lines()
        .zip(vectors(QUERY_VECTORS))
        .map(|(line, vector)| Ok((serde_json::from_str(line)?, vector)))
        .collect()
}

/// Makes the collection, or checks the one that is there.
fn prepare(client: &Client, fresh: bool) -> Result<(), Failure> {
    let path = format!("/collections/{COLLECTION}");
    if fresh {
        client.delete(&path)?;
    }
    if client.get(&format!("{path}/exists"))?["exists"] == true {
        let info = client.get(&path)?;
        let vectors = &info["config"]["params"]["vectors"];
        if vectors["size"] != DIM {
            return Err(format!(
                "there is a collection `{COLLECTION}` with other vectors ({vectors}) than the \
                 sample has, one of size {DIM}: `--fresh` replaces it, `--storage-path` goes \
                 elsewhere"
            )
            .into());
        }
    } else {
        client.put(
            &path,
            &json!({
                "vectors": {"size": DIM, "distance": "Cosine", "datatype": "float16"},
                // Low, so that even this little gets a graph.
                "optimizers_config": {"indexing_threshold": 1000},
            }),
        )?;
    }
    let indexed = client.get(&path)?["payload_schema"].take();
    for (field, kind) in INDEXES {
        if indexed.get(field).is_none() {
            client.put(
                &format!("{path}/index?wait=true"),
                &json!({"field_name": field, "field_schema": kind}),
            )?;
        }
    }
    Ok(())
}

fn load(client: &Client, out: &mut dyn Write) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let points = sample()?;
    // Drawn on standard error, and only on a terminal.
    let bar = ProgressBar::new(points.len() as u64).with_message("loading");
    bar.set_style(ProgressStyle::with_template(
        "{msg} {bar:40} {pos}/{len} points, {per_sec}",
    )?);
    for batch in points.chunks(BATCH) {
        let path = format!("/collections/{COLLECTION}/points?wait=true");
        client.put(&path, &json!({"points": batch}))?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    let took = clock.monotonic().as_secs_f64();
    let rate = points.len() as f64 / took;
    writeln!(
        out,
        "Loaded {} Python packages ({DIM} dimensions, float16, payload, 3 payload indexes) \
         in {took:.2} s: {rate:.0} points/s, every batch durable before its answer",
        points.len()
    )?;
    wait_for_graph(client, &clock, points.len() as u64, out)
}

/// Asks for the graph now and shows how far it is.
fn wait_for_graph(
    client: &Client,
    clock: &SystemClock,
    points: u64,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let before = clock.monotonic();
    client.post(
        &format!("/collections/{COLLECTION}/optimizations/run"),
        &json!({}),
    )?;
    let spinner = ProgressBar::new_spinner().with_message("building the graph");
    loop {
        let info = client.get(&format!("/collections/{COLLECTION}"))?;
        let waited = clock.monotonic().saturating_sub(before);
        // A collection that was there may have points of others, without a vector or a graph.
        let indexed = info["indexed_vectors_count"].as_u64().unwrap_or_default();
        if info["status"] == "green" && indexed >= points {
            spinner.finish_and_clear();
            writeln!(out, "Built the graph in {:.2} s\n", waited.as_secs_f64())?;
            return Ok(());
        }
        if waited > GRAPH_WAIT {
            spinner.finish_and_clear();
            writeln!(out, "The graph is still being built: the queries scan\n")?;
            return Ok(());
        }
        spinner.tick();
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn show(client: &Client, out: &mut dyn Write) -> Result<(), Failure> {
    let queries = queries()?;
    let [nearest, filtered, ..] = queries.as_slice() else {
        return Err("the sample has no queries".into());
    };
    let title = format!("Nearest to the JavaScript package\n  {}", nearest.0);
    table(client, out, &title, json!({"query": nearest.1}))?;
    let title = format!(
        "Nearest to\n  {}\namong the 1,000 most downloaded, released in 2026",
        filtered.0
    );
    let months: Vec<_> = (1..=12).map(|month| format!("2026-{month:02}")).collect();
    let filter = json!({"must": [
        {"key": "rank", "range": {"lte": 1000}},
        {"key": "released", "match": {"any": months}},
    ]});
    table(
        client,
        out,
        &title,
        json!({"query": filtered.1, "filter": filter}),
    )?;
    let name = "numpy";
    let filter = json!({"must": [{"key": "name", "match": {"value": name}}]});
    let page = client.post(
        &format!("/collections/{COLLECTION}/points/scroll"),
        &json!({"filter": filter, "limit": 1, "with_payload": false}),
    )?;
    let id = &page["points"][0]["id"];
    let title = format!("Most like {name}, by example: point {id}");
    table(client, out, &title, json!({"query": id}))
}

/// Runs one query and prints its results.
fn table(
    client: &Client,
    out: &mut dyn Write,
    title: &str,
    mut query: Value,
) -> Result<(), Failure> {
    query["limit"] = json!(5);
    query["with_payload"] = json!(true);
    let clock = SystemClock::new();
    let path = format!("/collections/{COLLECTION}/points/query");
    let (result, in_server) = client.timed_post(&path, &query)?;
    let took = clock.monotonic().as_secs_f64() * 1000.0;
    writeln!(out, "{title}")?;
    writeln!(
        out,
        "  {:>6}  {:>6}  {:<22} summary",
        "score", "rank", "package"
    )?;
    for hit in result["points"].as_array().into_iter().flatten() {
        let payload = &hit["payload"];
        writeln!(
            out,
            "  {:>6.4}  {:>6}  {:<22} {}",
            hit["score"].as_f64().unwrap_or_default(),
            hit["id"].to_string(),
            clipped(&payload["name"], 22),
            clipped(&payload["summary"], 56),
        )?;
    }
    writeln!(
        out,
        "  {:.2} ms in the server, {took:.2} ms in all\n",
        in_server * 1000.0
    )?;
    Ok(())
}

fn clipped(text: &Value, width: usize) -> String {
    let text = text.as_str().unwrap_or_default();
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width - 1).collect();
    short.push('…');
    short
}

fn next_steps(url: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "Still serving on {url}. Try:

  curl {url}/collections/{COLLECTION}
  curl {url}/collections/{COLLECTION}/points/query -H 'content-type: application/json' \\
       -d '{{\"query\": {EXAMPLE}, \"limit\": 3, \"with_payload\": [\"name\", \"summary\"]}}'

  pip install qdrant-client
  python3 -c \"
from qdrant_client import QdrantClient
client = QdrantClient('{url}')
for point in client.query_points('{COLLECTION}', query={EXAMPLE}, limit=3).points:
    print(point.score, point.payload['name'], '-', point.payload['summary'])
\"

Ctrl-C stops the server; the data stays."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_whole_and_small() {
        let points = sample().unwrap();
        assert_eq!(points.len(), 3000);
        assert_eq!(VECTORS.len(), 3000 * DIM * 2);
        assert!(points.iter().any(|point| point.id == EXAMPLE));
        for point in &points {
            let length: f32 = point.vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 0.01, "{}", point.id);
        }
        let bytes = VECTORS.len() + ROWS.len() + QUERY_VECTORS.len() + QUERY_TEXTS.len();
        assert!(bytes <= 3_000_000, "{bytes}");
        assert_eq!(queries().unwrap().len(), 4);
    }
}
