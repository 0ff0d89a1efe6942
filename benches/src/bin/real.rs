//! Real embeddings through the real server: load, recall, restart.
//!
//! `cargo build --release && cargo run --release -p benches --bin real -- --data DIR [--rows N]`
//!
//! Loads the base with its payload over HTTP, one connection, durable batches of 1,000; checks
//! recall against the exact answers, kills the server, opens it again and compares the answers.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::path::Path;
use std::time::Duration;

use benches::dataset::Dataset;
use benches::node::Node;
use benches::{Failure, argument, now, timed};
use serde_json::{Value, json};

/// Rows of one upsert.
const BATCH: usize = 1_000;
/// Least recall@10 without `hnsw_ef`, and longest time to open.
const RECALL_FLOOR: f64 = 0.97;
const OPEN_MOST: Duration = Duration::from_secs(1);
const K: usize = 10;

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let data = Dataset::read(Path::new(&dir))?;
    let rows = argument("--rows").map_or(Ok(data.base.rows), |rows| rows.parse())?;
    let rows = rows.min(data.base.rows);
    let temporary = tempfile::tempdir()?;
    let mut node = Node::new(temporary.path())?;
    node.start()?;
    let client = Client::new(node.url());
    client.create(data.base.columns)?;
    load(&client, &data, rows)?;
    let before = search(&client, &data, rows, rows == data.base.rows)?;
    node.kill();
    let opened = node.start()?;
    println!(
        "| open after SIGKILL | {:.0} ms |",
        opened.as_secs_f64() * 1e3
    );
    let after = Client::new(node.url()).answers(&data, &json!({}))?.0;
    if after != before {
        return Err("the answers after the restart differ".into());
    }
    println!("| answers after the restart | the same |");
    if opened > OPEN_MOST {
        return Err(format!("opening took {opened:?}, at most {OPEN_MOST:?}").into());
    }
    Ok(())
}

fn load(client: &Client, data: &Dataset, rows: usize) -> Result<(), Failure> {
    let bodies: Vec<String> = (0..rows)
        .step_by(BATCH)
        .map(|start| {
            let points: Vec<Value> = (start..(start + BATCH).min(rows))
                .map(|at| {
                    json!({"id": at, "vector": data.base.row(at), "payload": data.payloads[at]})
                })
                .collect();
            json!({ "points": points }).to_string()
        })
        .collect();
    let start = now();
    for body in &bodies {
        client.send("PUT", "/collections/real/points?wait=true", body)?;
    }
    let loaded = start.elapsed();
    while client.get("/collections/real")?["result"]["status"] != "green" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let green = start.elapsed();
    println!("| figure | value |\n|---|--:|");
    let rate = rows as f64 / loaded.as_secs_f64();
    println!("| points loaded | {rows} |");
    println!("| ingestion, one connection, batches of {BATCH}, durable | {rate:.0} points/s |");
    println!("| first upsert to green | {:.1} s |", green.as_secs_f64());
    let indexed = &client.get("/collections/real")?["result"]["indexed_vectors_count"];
    println!("| vectors indexed at green | {indexed} |");
    Ok(())
}

type Answers = Vec<Vec<(u64, f64)>>;

fn search(client: &Client, data: &Dataset, rows: usize, judge: bool) -> Result<Answers, Failure> {
    let (answers, elapsed) = client.answers(data, &json!({}))?;
    let recall = recall(&answers, data, rows);
    let rate = answers.len() as f64 / elapsed.as_secs_f64();
    println!(
        "| default: recall@{K}, queries a second on one connection | {recall:.4}, {rate:.0} |"
    );
    for ef in [64, 128, 256, 512] {
        let (answers, elapsed) = client.answers(data, &json!({"params": {"hnsw_ef": ef}}))?;
        let recall = self::recall(&answers, data, rows);
        let rate = answers.len() as f64 / elapsed.as_secs_f64();
        println!("| hnsw_ef {ef}: recall@{K}, queries a second | {recall:.4}, {rate:.0} |");
    }
    if judge && recall < RECALL_FLOOR {
        return Err(format!("recall {recall} is below {RECALL_FLOOR}").into());
    }
    Ok(answers)
}

/// Share of the exact answers among those that are loaded.
fn recall(answers: &Answers, data: &Dataset, rows: usize) -> f64 {
    let ids = |answer: &Vec<(u64, f64)>| answer.iter().map(|(id, _)| *id).collect();
    data.recall(&answers.iter().map(ids).collect::<Vec<_>>(), rows, K)
}

struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    fn new(url: String) -> Self {
        Self {
            agent: ureq::Agent::new_with_defaults(),
            url,
        }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.url);
        let request = if method == "PUT" {
            self.agent.put(&url)
        } else {
            self.agent.post(&url)
        };
        let mut answer = request
            .header("content-type", "application/json")
            .send(body)?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }

    fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut answer = self.agent.get(&format!("{}{path}", self.url)).call()?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }

    fn create(&self, dim: usize) -> Result<(), Failure> {
        let vectors = json!({"vectors": {"size": dim, "distance": "Cosine"}});
        self.send("PUT", "/collections/real", &vectors.to_string())?;
        for (field, kind) in [("rank", "integer"), ("released", "keyword")] {
            let index = json!({"field_name": field, "field_schema": kind});
            self.send(
                "PUT",
                "/collections/real/index?wait=true",
                &index.to_string(),
            )?;
        }
        Ok(())
    }

    /// Ids and scores of every query, and the time they took in all.
    fn answers(&self, data: &Dataset, extra: &Value) -> Result<(Answers, Duration), Failure> {
        let bodies: Vec<String> = (0..data.queries.rows)
            .map(|at| {
                let mut body = json!({"query": data.queries.row(at), "limit": K});
                if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
                    body.extend(extra.clone());
                }
                body.to_string()
            })
            .collect();
        let ask = |body: &String| self.send("POST", "/collections/real/points/query", body);
        let (raw, elapsed) = timed(|| bodies.iter().map(ask).collect::<Result<Vec<_>, _>>());
        let answers = raw?.iter().map(points).collect();
        Ok((answers, elapsed))
    }
}

fn points(answer: &Value) -> Vec<(u64, f64)> {
    let points = answer["result"]["points"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let point = |point: &Value| Some((point["id"].as_u64()?, point["score"].as_f64()?));
    points.iter().filter_map(point).collect()
}
