//! SIGKILL at any moment, with writers at work: nothing acknowledged is missing, nothing
//! unacknowledged is there in part.
//!
//! Each writer has ids of its own and one request under way, so at a kill exactly one request a
//! writer is in doubt. After the restart the writer's points, vectors and payloads are either
//! all as acknowledged or all as with that request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::tempdir;
use tests::http::Http;
use tests::process::Node;
use tests::report;
use tests::second_reader::agrees_on_all;

const WRITERS: u64 = 3;

/// Ids of a writer in a collection: few, so that points are replaced and deleted often.
const IDS: u64 = 120;

/// A collection: its name, and name, size and element type of its vectors.
type Shape = (&'static str, &'static [(&'static str, usize, &'static str)]);

/// Collections of different shapes.
const COLLECTIONS: [Shape; 3] = [
    ("plain", &[("", 8, "float32")]),
    ("named", &[("a", 16, "float32"), ("b", 4, "uint8")]),
    ("half", &[("h", 5, "float16")]),
];

/// A writer's points: (collection, id) to what must be there.
type Points = BTreeMap<(usize, u64), Point>;

#[derive(Clone, PartialEq, Debug)]
struct Point {
    vectors: Value,
    payload: Value,
}

/// What a writer did until it was cut off.
#[derive(Clone, Default, Debug)]
struct Written {
    /// Acknowledged.
    points: Points,
    /// With the request that got no answer.
    in_doubt: Option<Points>,
    requests: u64,
}

#[test]
fn acknowledged_writes_survive_kills() {
    let floor = if report::long() { 10_000 } else { 200 };
    let seed = report::seed();
    report::say(&format!("kills: CAIRN_SEED={seed}"));
    let mut rng = StdRng::seed_from_u64(seed);
    let directory = tempdir().expect("a temporary directory");
    // Small logs and memtables, so that their ends are among what is killed.
    let settings = [
        ("CAIRN__STORAGE__WAL__WAL_CAPACITY_MB", "1"),
        ("CAIRN__STORAGE__MEMTABLE_MB", "1"),
        ("CAIRN__STORAGE__CODES_KB_MIN", "0"),
        ("CAIRN__STORAGE__GRAPH_ROWS_MIN", "0"),
    ];
    let mut node = Node::new(&directory.path().join("data"), &settings);
    node.start();
    create(&Http::new(&node.url()));
    let mut written = vec![Written::default(); WRITERS as usize];
    let (mut kills, mut checked, mut in_doubt, mut done) = (0, 0, 0, 0);
    while kills < floor {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = start(&node, &mut written, &stop, &mut rng);
        std::thread::sleep(Duration::from_millis(rng.random_range(5..160)));
        if rng.random_bool(0.3) {
            // So that flushes and compactions are among what is killed.
            let name = COLLECTIONS[rng.random_range(0..COLLECTIONS.len())].0;
            let path = format!("/collections/{name}/optimizations/run");
            // The writers are what this suite looks at; this one may fail.
            let _ = Http::new(&node.url()).post(&path, &json!({}));
            std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
        }
        node.kill();
        kills += 1;
        stop.store(true, Ordering::Relaxed);
        written = threads
            .into_iter()
            .map(|t| t.join().expect("no writer panics"))
            .collect();
        while rng.random_bool(0.15) {
            // Killed again while it recovers.
            node.spawn();
            std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
            node.kill();
            kills += 1;
        }
        node.start();
        for (number, writer) in written.iter_mut().enumerate() {
            in_doubt += u64::from(writer.in_doubt.is_some());
            checked += settle(&node, number as u64, writer);
            done += std::mem::take(&mut writer.requests);
        }
    }
    let stopped = node.stop();
    assert!(stopped.success(), "ended with {stopped}:\n{}", node.log());
    agrees_on_all("kills", directory.path(), 30);
    report::counts(
        "kills",
        &[
            ("kills", kills),
            ("acked", done),
            ("checked", checked),
            ("in doubt", in_doubt),
        ],
    );
    report::floor("kills", "kills", kills, floor);
    report::floor("kills", "acked", done, 10 * floor);
}

fn create(http: &Http) {
    for (name, vectors) in COLLECTIONS {
        let params = |size: usize, datatype: &str| json!({"size": size, "distance": "Euclid", "datatype": datatype});
        let vectors: Value = match vectors {
            [("", size, datatype)] => params(*size, datatype),
            named => named
                .iter()
                .map(|(n, size, d)| ((*n).to_owned(), params(*size, d)))
                .collect(),
        };
        let body = json!({
            "vectors": vectors,
            // Graphs from the first kilobytes on, and flushes all the time.
            "hnsw_config": {"m": 4, "ef_construct": 16, "full_scan_threshold": 10},
            "optimizers_config": {"indexing_threshold": 4, "flush_interval_sec": 1},
        });
        let created = http
            .put(&format!("/collections/{name}"), &body)
            .expect("connected");
        assert_eq!(created.status, 200, "{created:?}");
        let index = json!({"field_name": "n", "field_schema": "integer"});
        let indexed = http.put(&format!("/collections/{name}/index?wait=true"), &index);
        assert_eq!(indexed.expect("connected").status, 200);
    }
}

fn start(
    node: &Node,
    written: &mut Vec<Written>,
    stop: &Arc<AtomicBool>,
    rng: &mut StdRng,
) -> Vec<JoinHandle<Written>> {
    let begin = |(number, written): (usize, Written)| {
        let http = Http::new(&node.url());
        let (stop, rng) = (Arc::clone(stop), StdRng::seed_from_u64(rng.random()));
        std::thread::Builder::new()
            .name(format!("writer-{number}"))
            .spawn(move || write(&http, number as u64, written, &stop, rng))
            .expect("a thread can be started")
    };
    std::mem::take(written)
        .into_iter()
        .enumerate()
        .map(begin)
        .collect()
}

/// Writes until the server is gone.
fn write(
    http: &Http,
    writer: u64,
    mut written: Written,
    stop: &AtomicBool,
    mut rng: StdRng,
) -> Written {
    while !stop.load(Ordering::Relaxed) {
        let collection = rng.random_range(0..COLLECTIONS.len());
        let mut next = written.points.clone();
        let request = draw(&mut rng, writer, collection, &mut next);
        let wait = rng.random_bool(0.7);
        let name = COLLECTIONS[collection].0;
        let path = format!("/collections/{name}/points/batch?wait={wait}");
        match http.post(&path, &json!({"operations": request})) {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
                written.points = next;
                written.requests += 1;
            }
            Err(_) => {
                written.in_doubt = Some(next);
                break;
            }
        }
    }
    written
}

/// One to three operations, and what they make of the points.
fn draw(rng: &mut StdRng, writer: u64, collection: usize, points: &mut Points) -> Vec<Value> {
    let mut operations = Vec::new();
    for _ in 0..rng.random_range(1..4) {
        let ids: Vec<u64> = (0..rng.random_range(1..25))
            .map(|_| writer * 1_000_000 + rng.random_range(0..IDS))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let present: Vec<u64> = ids
            .iter()
            .copied()
            .filter(|id| points.contains_key(&(collection, *id)))
            .collect();
        match rng.random_range(0..10) {
            0 => {
                points.retain(|(c, id), _| *c != collection || !ids.contains(id));
                operations.push(json!({"delete": {"points": ids}}));
            }
            1 | 2 if !present.is_empty() => {
                let mark = rng.random_range(0..1_000_000);
                for id in &present {
                    let point = points.get_mut(&(collection, *id)).expect("it is present");
                    point.payload["mark"] = json!(mark);
                }
                let set = json!({"payload": {"mark": mark}, "points": present});
                operations.push(json!({"set_payload": set}));
            }
            3 if !present.is_empty() => {
                let mut updates = Vec::new();
                for id in &present {
                    let point = points.get_mut(&(collection, *id)).expect("it is present");
                    point.vectors = vectors(rng, collection);
                    updates.push(json!({"id": id, "vector": point.vectors}));
                }
                operations.push(json!({"update_vectors": {"points": updates}}));
            }
            _ => {
                let mut upserts = Vec::new();
                for id in ids {
                    let payload = json!({
                        "writer": writer, "n": rng.random_range(0..1_000_000),
                        "text": "x".repeat(rng.random_range(0..300)),
                    });
                    let point = Point {
                        vectors: vectors(rng, collection),
                        payload,
                    };
                    upserts.push(json!({
                        "id": id, "vector": point.vectors, "payload": point.payload
                    }));
                    points.insert((collection, id), point);
                }
                operations.push(json!({"upsert": {"points": upserts}}));
            }
        }
    }
    operations
}

/// Small whole numbers: exact in every element type.
fn vectors(rng: &mut StdRng, collection: usize) -> Value {
    let mut draw = |size: usize| -> Value {
        (0..size)
            .map(|_| json!(f64::from(rng.random_range(0_u8..=255))))
            .collect()
    };
    match COLLECTIONS[collection].1 {
        [("", size, _)] => draw(*size),
        named => named
            .iter()
            .map(|(name, size, _)| ((*name).to_owned(), draw(*size)))
            .collect(),
    }
}

/// Compares a writer's points with what is there, and takes up what was in doubt. Returns how
/// many points were compared.
fn settle(node: &Node, writer: u64, written: &mut Written) -> u64 {
    let found = read(node, writer);
    if found != written.points {
        match written.in_doubt.take() {
            Some(other) if other == found => written.points = other,
            other => panic!(
                "writer {writer}: {}\nlog of the server:\n{}",
                difference(&found, &written.points, other.as_ref()),
                node.log()
            ),
        }
    }
    written.in_doubt = None;
    found.len() as u64
}

fn difference(found: &Points, acked: &Points, in_doubt: Option<&Points>) -> String {
    let mut said = String::new();
    for (what, points) in [
        ("acknowledged", Some(acked)),
        ("with the last request", in_doubt),
    ] {
        let Some(points) = points else { continue };
        let keys: std::collections::BTreeSet<_> = found.keys().chain(points.keys()).collect();
        let wrong: Vec<_> = keys
            .into_iter()
            .filter(|k| found.get(k) != points.get(k))
            .collect();
        said += &format!(
            "{} points differ from what is {what}: {:?}\n",
            wrong.len(),
            &wrong
        );
        for key in wrong.iter().take(2) {
            said += &format!(
                "  found {:?}\n  not   {:?}\n",
                found.get(key),
                points.get(key)
            );
        }
    }
    said
}

/// All points of a writer.
fn read(node: &Node, writer: u64) -> Points {
    let http = Http::new(&node.url());
    let mut points = Points::new();
    let ids: Vec<u64> = (0..IDS).map(|id| writer * 1_000_000 + id).collect();
    for (collection, (name, _)) in COLLECTIONS.iter().enumerate() {
        let body = json!({"ids": ids, "with_vector": true, "with_payload": true});
        let answer = http
            .post(&format!("/collections/{name}/points"), &body)
            .expect("connected");
        assert_eq!(answer.status, 200, "{answer:?}\n{}", node.log());
        for record in answer.result().as_array().expect("a list of records") {
            let id = record["id"].as_u64().expect("a numeric id");
            let point = Point {
                vectors: record["vector"].clone(),
                payload: record["payload"].clone(),
            };
            assert!(
                points.insert((collection, id), point).is_none(),
                "{id} came twice"
            );
        }
    }
    points
}
