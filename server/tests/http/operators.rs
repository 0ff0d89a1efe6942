//! Collections, payload indexes, and the controls of compaction.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Server;

fn info(server: &Server) -> Value {
    server.get("/collections/c").result()
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < end, "{what} did not come");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_collection_lives_and_goes() {
    let server = Server::new();
    assert_eq!(
        server.get("/collections").result(),
        json!({"collections": []})
    );
    assert_eq!(
        server.get("/collections/c/exists").result()["exists"],
        false
    );
    server.make();
    assert_eq!(server.get("/collections/c/exists").result()["exists"], true);
    let list = server.get("/collections").result();
    assert_eq!(list, json!({"collections": [{"name": "c"}]}));
    let again = server.put("/collections/c", &json!({})).error(409);
    assert_eq!(again, "Wrong input: Collection `c` already exists!");
    assert_eq!(server.delete("/collections/c?timeout=5").result(), true);
    assert_eq!(server.delete("/collections/c").result(), false);
    let gone = server.get("/collections/c").error(404);
    assert_eq!(gone, "Not found: Collection `c` doesn't exist!");
}

#[test]
fn a_description_has_what_clients_require_and_survives_a_restart() {
    let server = Server::new();
    let body = json!({
        "vectors": {"a": {"size": 4, "distance": "Cosine", "on_disk": true}},
        "quantization_config": {"scalar": {"type": "int8", "always_ram": true}},
        "shard_number": 2,
        "metadata": {"owner": "me"},
    });
    server.put("/collections/c", &body).result();
    let before = info(&server);
    assert_eq!(before["status"], "green");
    assert_eq!(before["optimizer_status"], "ok");
    assert_eq!(
        (&before["points_count"], &before["segments_count"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(before["payload_schema"], json!({}));
    let config = &before["config"];
    assert_eq!(config["params"]["vectors"]["a"]["on_disk"], true);
    assert_eq!(config["hnsw_config"]["m"], 16);
    assert_eq!(config["optimizer_config"]["flush_interval_sec"], 5);
    assert_eq!(config["wal_config"]["wal_capacity_mb"], 32);
    assert_eq!(config["metadata"]["owner"], "me");
    assert_eq!(config["quantization_config"]["scalar"]["type"], "int8");
    assert_eq!(before["cairn"]["known_recall"], json!([]));
    let warnings = before["warnings"].to_string();
    assert!(warnings.contains("shard_number"), "{warnings}");
    assert!(!warnings.contains("on_disk"), "{warnings}");
    let server = server.restart();
    assert_eq!(info(&server)["config"], *config);
}

#[test]
fn an_index_is_made_used_and_dropped() {
    let server = Server::new();
    server.fill(20);
    let create = json!({"field_name": "n", "field_schema": "integer"});
    let result = server
        .put("/collections/c/index?wait=true", &create)
        .result();
    assert_eq!(result["status"], "completed");
    assert!(result["operation_id"].is_u64());
    let tag = json!({"field_name": "tag", "field_schema": {"type": "keyword", "is_tenant": true}});
    let result = server.put("/collections/c/index", &tag).result();
    assert_eq!(result["status"], "acknowledged");
    let schema = &info(&server)["payload_schema"];
    assert_eq!(schema["n"], json!({"data_type": "integer", "points": 20}));
    assert_eq!(schema["tag"]["params"]["is_tenant"], true);
    let count = json!({"filter": {"must": {"key": "n", "range": {"gt": 15}}}});
    assert_eq!(
        server.post("/collections/c/points/count", &count).result()["count"],
        5
    );
    let server = server.restart();
    assert_eq!(info(&server)["payload_schema"]["n"]["data_type"], "integer");
    assert_eq!(
        server.post("/collections/c/points/count", &count).result()["count"],
        5
    );
    for _ in 0..2 {
        let result = server.delete("/collections/c/index/n?wait=true").result();
        assert_eq!(result["status"], "completed");
    }
    assert!(info(&server)["payload_schema"].get("n").is_none());
    assert_eq!(
        server.post("/collections/c/points/count", &count).result()["count"],
        5
    );
    let error = server.put("/collections/nope/index", &create).error(404);
    assert!(error.contains("`nope`"), "{error}");
}

#[test]
fn compaction_is_paused_tuned_resumed_and_run_now() {
    let server = Server::new();
    let body = json!({
        "vectors": {"size": 16, "distance": "Euclid"},
        "optimizers_config": {"indexing_threshold": 10, "cairn": {"paused": true}},
    });
    server.put("/collections/c", &body).result();
    let points: Vec<Value> = (0..1500)
        .map(|n: u64| {
            let vector: Vec<u64> = (0..16).map(|d| (n * 7 + d * d) % 101).collect();
            json!({"id": n, "vector": vector})
        })
        .collect();
    let body = json!({"points": points});
    server
        .put("/collections/c/points?wait=true", &body)
        .result();

    let mut queued = Value::Null;
    eventually("a job that is due and paused", || {
        let told = server.get("/collections/c/optimizations?with=queued");
        queued = told.result()["queued"].clone();
        queued[0]["optimizer"] == "graph"
    });
    let why = queued[0]["cairn"]["why"].as_str().unwrap();
    assert!(why.starts_with("paused: "), "{why}");
    assert_eq!(queued[0]["segments"][0]["points_count"], 1500);

    let tuned = json!({"optimizers_config": {
        "cairn": {"rate_bytes_per_s": 1_000_000_000, "fan_out": 6, "jobs_max": 1}
    }});
    assert_eq!(server.patch("/collections/c", &tuned).result(), true);
    let cairn = info(&server)["config"]["optimizer_config"]["cairn"].clone();
    assert_eq!(cairn["paused"], true);
    assert_eq!(
        (&cairn["fan_out"], &cairn["jobs_max"]),
        (&json!(6), &json!(1))
    );

    assert_eq!(
        server
            .post("/collections/c/optimizations/run", &json!({}))
            .result(),
        true
    );
    eventually("a graph, run now although paused", || {
        info(&server)["indexed_vectors_count"] == 1500
    });
    let resumed = json!({"optimizers_config": {"cairn": {"paused": false}}});
    assert_eq!(server.patch("/collections/c", &resumed).result(), true);
    eventually("green", || info(&server)["status"] == "green");
    let told = server.get("/collections/c/optimizations?with=queued,completed,idle_segments");
    let told = told.result();
    let done = told["completed"].as_array().unwrap();
    assert!(!done.is_empty());
    assert_eq!(done[0]["status"], "done");
    assert!(!done[0]["cairn"]["why"].as_str().unwrap().is_empty());
    assert!(
        done[0]["progress"]["finished_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    assert_eq!(told["queued"], json!([]));
    assert!(told["summary"]["idle_segments"].as_u64().unwrap() >= 1);
    let plain = server.get("/collections/c/optimizations").result();
    assert!(plain.get("completed").is_none() && plain["running"].is_array());
    let error = server
        .get("/collections/c/optimizations?with=everything")
        .error(400);
    assert!(error.contains("everything"), "{error}");
}

#[test]
fn an_index_that_is_not_there_in_time_is_a_wait_timeout_and_comes_later() {
    let server = Server::new();
    let body = json!({
        "vectors": {"size": 4, "distance": "Euclid"},
        "optimizers_config": {"cairn": {"paused": true, "memtable_bytes_max": 1 << 20}},
    });
    server.put("/collections/c", &body).result();
    // More than a memtable, so that it is flushed without being asked.
    let text = "x".repeat(10_000);
    let points: Vec<Value> = (0..150)
        .map(|n: u64| json!({"id": n, "vector": [n, 1, 2, 3], "payload": {"n": n % 5, "t": text}}))
        .collect();
    server
        .put(
            "/collections/c/points?wait=true",
            &json!({"points": points}),
        )
        .result();
    eventually("a flush", || {
        let told = server.get("/collections/c/optimizations?with=completed");
        told.result()["completed"][0]["optimizer"] == "flush"
    });
    let index = json!({"field_name": "n", "field_schema": "integer"});
    let result = server
        .put("/collections/c/index?wait=true&timeout=1", &index)
        .result();
    assert_eq!(result["status"], "wait_timeout");
    let resumed = json!({"optimizers_config": {"cairn": {"paused": false}}});
    assert_eq!(server.patch("/collections/c", &resumed).result(), true);
    let result = server
        .put("/collections/c/index?wait=true", &index)
        .result();
    assert_eq!(result["status"], "completed");
}

#[test]
fn run_now_needs_no_body() {
    let server = Server::new();
    server.make();
    let answer = server.request("POST", "/collections/c/optimizations/run", Some(""));
    assert_eq!(answer.result(), true);
    // As `curl -X POST`: neither a length nor a type.
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    write!(
        stream,
        "POST /collections/c/optimizations/run HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
