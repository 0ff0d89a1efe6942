//! `cairn inspect` on every file of a data directory, sound and damaged.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::Server;

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.file_name().unwrap() != "LOCK" {
            found.push(path);
        }
    }
}

fn inspect(path: &Path) -> (Value, Option<String>) {
    let mut out = Vec::new();
    let error = server::inspect(path, true, &mut out)
        .err()
        .map(|error| error.to_string());
    (serde_json::from_slice(&out).unwrap_or_default(), error)
}

/// A directory with every kind of file that the engine writes.
fn written() -> Server {
    let server = Server::new();
    let body = json!({
        "vectors": {"size": 2, "distance": "Dot"},
        "optimizers_config": {"indexing_threshold": 1},
    });
    server.put("/collections/c", &body).result();
    let index = json!({"field_name": "n", "field_schema": "integer"});
    server
        .put("/collections/c/index?wait=true", &index)
        .result();
    let put = |from: u64, to: u64| {
        let points: Vec<Value> = (from..to)
            .map(|n| json!({"id": n, "vector": [n, 1], "payload": {"n": n, "text": "some text"}}))
            .collect();
        server
            .put(
                "/collections/c/points?wait=true",
                &json!({"points": points}),
            )
            .result();
    };
    put(0, 600);
    for _ in 0..2 {
        server
            .post("/collections/c/optimizations/run", &json!({}))
            .result();
        let mut left = 3000;
        while server.get("/collections/c").result()["indexed_vectors_count"] != 600 && left > 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            left -= 1;
        }
    }
    let delete = json!({"points": [1, 2, 3]});
    server
        .post("/collections/c/points/delete?wait=true", &delete)
        .result();
    let patch = json!({"payload": {"patched": true}, "points": [4, 5]});
    server
        .post("/collections/c/points/payload?wait=true", &patch)
        .result();
    put(600, 700);
    server
}

#[test]
fn every_file_is_verified_and_printed() {
    let mut server = written();
    server.stop();
    let mut all = Vec::new();
    files(&server.directory.path().join("data"), &mut all);
    let mut kinds = Vec::new();
    for path in &all {
        let (json, error) = inspect(path);
        assert_eq!(error, None, "{}", path.display());
        assert_eq!(json["valid"], true, "{json}");
        assert!(
            json["version"].is_u64() && json["file"].is_string(),
            "{json}"
        );
        let kind = json["kind"].as_str().unwrap().to_owned();
        if kind == "rows" {
            assert!(json["contents"]["rows"][0]["id"].is_u64());
        }
        if kind == "vectors" {
            assert_eq!(json["contents"]["vectors"][0].as_array().unwrap().len(), 2);
        }
        kinds.push(kind);
        let mut text = Vec::new();
        server::inspect(path, false, &mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("valid: true"));
    }
    for kind in [
        "catalog", "manifest", "wal", "rows", "vectors", "payload", "column", "graph",
    ] {
        assert!(
            kinds.iter().any(|known| known == kind),
            "no {kind} among {kinds:?}"
        );
    }
}

#[test]
fn a_flipped_bit_is_reported_with_its_place() {
    let mut server = written();
    server.stop();
    let mut all = Vec::new();
    files(&server.directory.path().join("data"), &mut all);
    for path in &all {
        let (sound, _) = inspect(path);
        if sound["records"].as_array().is_some_and(Vec::is_empty) {
            // A log without a record, whose header is as good as none.
            continue;
        }
        let mut bytes = std::fs::read(path).unwrap();
        bytes[60] ^= 4;
        std::fs::write(path, &bytes).unwrap();
        let (json, error) = inspect(path);
        let error = error.unwrap_or_else(|| panic!("{}: damage went unseen", path.display()));
        assert_eq!(json["valid"], false);
        assert!(json["error"]["at"].is_u64(), "{json}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn what_is_no_file_of_ours_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "hello, this is text").unwrap();
    let (json, error) = inspect(&path);
    assert_eq!(json["kind"], "unknown");
    assert!(error.unwrap().contains("notes.txt"));
    let absent = directory.path().join("absent");
    assert!(server::inspect(&absent, true, &mut Vec::new()).is_err());
}
