//! The server's share: ingestion by thread, overhead of a request, searches while loading.
//!
//! `cargo build --release && cargo run --release -p benches --bin serving -- --data DIR [--rows N]
//! [--rounds 3] [--loading 10]`
//!
//! Loads a part of the base over HTTP on one connection and tells what each group of the server's
//! threads spent on a batch. Then the same searches go over HTTP, on one connection and on four,
//! and in process on the same files, in turns: the difference is the server's. At last the node
//! is searched on one connection while another one loads for some seconds.
//!
//! Processor time is what the kernel counted for the threads (`/proc/PID/task/*/schedstat`), so it
//! says more than the clock on a machine that others use.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use benches::collection::nearest;
use benches::connection::Connection;
use benches::dataset::Dataset;
use benches::node::{Node, cpu_ns};
use benches::{Failure, argument, now, timed};
use engine::{Db, DiskStorage, Settings, Snapshot, SystemClock};
use query::{Env, QueryRequest, SearchParams};
use serde_json::json;

const BATCH: usize = 1_000;
const K: usize = 10;
const CONNECTIONS: usize = 4;
const NAME: &str = "serving";
const POINTS: &str = "/collections/serving/points?wait=true";
const QUERY: &str = "/collections/serving/points/query";

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let data = Dataset::read(Path::new(&dir))?;
    let rows = argument("--rows").map_or(Ok(50_000), |rows| rows.parse())?;
    let rounds: usize = argument("--rounds").map_or(Ok(3), |rounds| rounds.parse())?;
    let seconds = argument("--loading").map_or(Ok(10), |seconds| seconds.parse())?;
    let texts = Texts::new(&data);
    let temporary = tempfile::tempdir()?;
    let mut node = Node::new(temporary.path())?;
    node.start()?;
    println!("| figure | value |\n|---|--:|");
    load(&node, &texts, rows.min(data.base.rows))?;
    let queries = texts.queries(&data);
    for _ in 0..rounds {
        let over = over_http(&node, &queries)?;
        node.kill();
        let within = in_process(temporary.path(), &data)?;
        compare(&over, &within);
        node.start()?;
    }
    while_loading(&node, &texts, &queries, Duration::from_secs(seconds))
}

/// What requests are made of.
struct Texts {
    /// Vector and payload of each row, as members of a point.
    rows: Vec<String>,
}

impl Texts {
    fn new(data: &Dataset) -> Self {
        let row = |at: usize| {
            let (vector, payload) = (json!(data.base.row(at)), &data.payloads[at]);
            format!("\"vector\":{vector},\"payload\":{payload}")
        };
        Self {
            rows: (0..data.base.rows).map(row).collect(),
        }
    }

    /// An upsert of new points from id `first` on.
    fn batch(&self, first: usize) -> Vec<u8> {
        let mut text = String::from("{\"points\":[");
        for id in first..first + BATCH {
            if id > first {
                text.push(',');
            }
            text.push_str(&format!("{{\"id\":{id},"));
            text.push_str(&self.rows[id % self.rows.len()]);
            text.push('}');
        }
        text.push_str("]}");
        Connection::request("PUT", POINTS, text.as_bytes())
    }

    fn queries(&self, data: &Dataset) -> Vec<Vec<u8>> {
        let body = |at| json!({"query": data.queries.row(at), "limit": K}).to_string();
        (0..data.queries.rows)
            .map(|at| Connection::request("POST", QUERY, body(at).as_bytes()))
            .collect()
    }
}

/// Makes the collection and loads `rows` points.
fn load(node: &Node, texts: &Texts, rows: usize) -> Result<(), Failure> {
    let mut connection = Connection::open(node)?;
    let dim = texts.rows[0]
        .split(']')
        .next()
        .map_or(0, |v| v.split(',').count());
    let body = json!({"vectors": {"size": dim, "distance": "Cosine"}}).to_string();
    let path = format!("/collections/{NAME}");
    connection.send(&Connection::request("PUT", &path, body.as_bytes()))?;
    for (field, kind) in [("rank", "integer"), ("released", "keyword")] {
        let body = json!({"field_name": field, "field_schema": kind}).to_string();
        let path = format!("/collections/{NAME}/index?wait=true");
        connection.send(&Connection::request("PUT", &path, body.as_bytes()))?;
    }
    let bodies: Vec<Vec<u8>> = (0..rows)
        .step_by(BATCH)
        .map(|first| texts.batch(first))
        .collect();
    let before = node.cpu_ns();
    let (sent, elapsed) = timed(|| {
        bodies
            .iter()
            .try_for_each(|body| connection.send(body).map(drop))
    });
    sent?;
    let batches = bodies.len() as f64;
    let rate = batches * BATCH as f64 / elapsed.as_secs_f64();
    println!("| ingestion, one connection, batches of {BATCH}, durable | {rate:.0} points/s |");
    for (group, ns) in node.cpu_ns() {
        let spent = ns.saturating_sub(before.get(&group).copied().unwrap_or(0));
        let ms = spent as f64 / batches / 1e6;
        if ms >= 0.05 {
            println!("| processor time of {group}, a batch | {ms:.2} ms |");
        }
    }
    wait_green(&mut connection)
}

fn wait_green(connection: &mut Connection) -> Result<(), Failure> {
    let path = format!("/collections/{NAME}");
    let ask = Connection::request("GET", &path, b"");
    loop {
        let answer: serde_json::Value = serde_json::from_slice(connection.send(&ask)?)?;
        if answer["result"]["status"] == "green" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One side of the comparison.
struct Side {
    /// Mean time of a search on one connection or thread.
    mean: Duration,
    /// The same as the server counts it, from the head of the request to its answer.
    inside: Duration,
    /// Processor time of a search.
    cpu: Duration,
    /// Searches a second on four connections or threads.
    rate: f64,
}

fn over_http(node: &Node, queries: &[Vec<u8>]) -> Result<Side, Failure> {
    let mut connection = Connection::open(node)?;
    queries
        .iter()
        .try_for_each(|query| connection.send(query).map(drop))?;
    let (mut inside, before) = (0.0, node.cpu_ns().values().sum::<u64>());
    let (asked, elapsed) = timed(|| {
        queries.iter().try_for_each(|query| {
            inside += seconds(connection.send(query)?);
            Ok::<_, Failure>(())
        })
    });
    asked?;
    let cpu = node.cpu_ns().values().sum::<u64>().saturating_sub(before);
    let count = u32::try_from(queries.len())?;
    let (all, together) = timed(|| {
        std::thread::scope(|scope| {
            let ask = || {
                let mut connection = Connection::open(node)?;
                queries
                    .iter()
                    .try_for_each(|query| connection.send(query).map(drop))
            };
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().try_for_each(joined)
        })
    });
    all?;
    Ok(Side {
        mean: elapsed / count,
        inside: Duration::from_secs_f64(inside) / count,
        cpu: Duration::from_nanos(cpu) / count,
        rate: (CONNECTIONS * queries.len()) as f64 / together.as_secs_f64(),
    })
}

/// The `time` of an answer.
fn seconds(answer: &[u8]) -> f64 {
    let text = std::str::from_utf8(answer).unwrap_or_default();
    let time = text
        .rsplit_once("\"time\":")
        .map(|(_, time)| time.trim_end_matches('}'));
    time.and_then(|time| time.parse().ok()).unwrap_or(0.0)
}

fn joined(thread: std::thread::ScopedJoinHandle<'_, Result<(), Failure>>) -> Result<(), Failure> {
    thread.join().map_err(|_| "a thread panicked")?
}

fn in_process(directory: &Path, data: &Dataset) -> Result<Side, Failure> {
    let settings = Settings {
        workers: 0,
        ..Settings::default()
    };
    let db = Db::open(
        Arc::new(DiskStorage::new(directory)?),
        Arc::new(SystemClock::new()),
        settings,
    )?;
    let collection = db.collection(NAME).ok_or("no collection")?;
    let snapshot = collection.snapshot();
    let requests: Vec<QueryRequest> = (0..data.queries.rows)
        .map(|at| nearest(data.queries.row(at), K, SearchParams::default()))
        .collect();
    ask_all(&snapshot, &requests)?;
    let before = own_cpu();
    let (asked, elapsed) = timed(|| ask_all(&snapshot, &requests));
    asked?;
    let count = u32::try_from(requests.len())?;
    let cpu = own_cpu().saturating_sub(before) / count;
    let (all, together) = timed(|| {
        std::thread::scope(|scope| {
            let ask = || ask_all(&snapshot, &requests);
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().try_for_each(joined)
        })
    });
    all?;
    drop(snapshot);
    db.close()?;
    Ok(Side {
        mean: elapsed / count,
        inside: elapsed / count,
        cpu,
        rate: (CONNECTIONS * requests.len()) as f64 / together.as_secs_f64(),
    })
}

/// Processor time of this process so far.
fn own_cpu() -> Duration {
    Duration::from_nanos(cpu_ns(std::process::id()).values().sum())
}

fn ask_all(snapshot: &Snapshot, requests: &[QueryRequest]) -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let clock = SystemClock::new();
    let env = Env {
        pool: &pool,
        clock: &clock,
        deadline: None,
        later: None,
    };
    for request in requests {
        query::search(snapshot, request, &env)?;
    }
    Ok(())
}

fn compare(over: &Side, within: &Side) {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (all, inside) = (
        us(over.mean) - us(within.mean),
        us(over.inside) - us(within.mean),
    );
    println!(
        "| search over HTTP, in process, one at a time | {:.0}, {:.0} us |",
        us(over.mean),
        us(within.mean)
    );
    println!(
        "| overhead: of it before and after the handler, in it | {all:.0}: {:.0}, {inside:.0} us |",
        all - inside
    );
    println!(
        "| processor time of a search: server, in process | {:.0}, {:.0}: {:.0} us more |",
        us(over.cpu),
        us(within.cpu),
        us(over.cpu) - us(within.cpu)
    );
    println!(
        "| {CONNECTIONS} connections over HTTP, threads in process | {:.0}, {:.0} a second: {:.2} |",
        over.rate,
        within.rate,
        over.rate / within.rate
    );
}

/// Searches for so long, and the sorted times.
fn latencies(
    connection: &mut Connection,
    queries: &[Vec<u8>],
    time: Duration,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let start = now();
    for query in queries.iter().cycle() {
        if start.elapsed() > time {
            break;
        }
        let (answer, took) = timed(|| connection.send(query).map(drop));
        answer?;
        times.push(took);
    }
    times.sort_unstable();
    Ok(times)
}

fn while_loading(
    node: &Node,
    texts: &Texts,
    queries: &[Vec<u8>],
    time: Duration,
) -> Result<(), Failure> {
    let mut connection = Connection::open(node)?;
    let half = queries.len() / 2;
    latencies(&mut connection, &queries[..half], time / 10)?;
    let quiet = latencies(&mut connection, queries, time / 2)?;
    let (stop, loaded) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = node.cpu_ns();
    let busy = std::thread::scope(|scope| {
        let loader = scope.spawn(|| {
            let mut connection = Connection::open(node)?;
            for number in 1_000.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                connection.send(&texts.batch(number * BATCH))?;
                loaded.fetch_add(BATCH as u64, Ordering::Relaxed);
            }
            Ok(())
        });
        let busy = latencies(&mut connection, queries, time);
        stop.store(true, Ordering::Relaxed);
        joined(loader).and(busy)
    })?;
    let points = loaded.load(Ordering::Relaxed);
    let rate = points as f64 / time.as_secs_f64();
    println!("| loading beside searches | {rate:.0} points/s |");
    for (group, ns) in node.cpu_ns() {
        let spent = ns.saturating_sub(before.get(&group).copied().unwrap_or(0));
        let share = spent as f64 / time.as_nanos() as f64;
        if share >= 0.01 {
            println!("| processors taken by {group} | {share:.2} |");
        }
    }
    for (name, place) in [("p50", 0.5), ("p99", 0.99)] {
        let at = |times: &[Duration]| {
            let rank = ((times.len() as f64 * place) as usize).min(times.len().saturating_sub(1));
            times
                .get(rank)
                .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
        };
        let (quiet, busy) = (at(&quiet), at(&busy));
        let ratio = busy / quiet;
        println!("| search {name}: quiet, while loading | {quiet:.0}, {busy:.0} us: {ratio:.1} |");
    }
    Ok(())
}
