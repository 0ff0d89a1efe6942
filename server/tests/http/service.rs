//! The server's own routes, and what every answer has.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::harness::Server;

#[test]
fn the_root_says_what_clients_compare() {
    let server = Server::new();
    let root = server.get("/").json();
    assert_eq!(root["title"], "qdrant - vector search engine");
    assert_eq!(root["version"], "1.19.0");
    assert_eq!(root["cairn"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn health_is_plain_text() {
    let server = Server::new();
    for (path, text) in [
        ("/healthz", "healthz check passed"),
        ("/livez", "healthz check passed"),
        ("/readyz", "all shards are ready"),
        ("/readyz/", "all shards are ready"),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.text.as_str()), (200, text));
        assert!(
            answer.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/plain")
        );
    }
    assert_eq!(server.request("HEAD", "/healthz", None).status, 200);
}

#[test]
fn a_server_without_one_of_its_collections_is_not_ready() {
    let mut server = Server::new();
    server.make();
    server.stop();
    let collections = server.directory.path().join("data/collections");
    let entry = std::fs::read_dir(collections).unwrap().next().unwrap();
    let manifests = entry.unwrap().path().join("shards/0/manifest");
    std::fs::remove_dir_all(&manifests).unwrap();
    std::fs::create_dir(&manifests).unwrap();
    let server = server.again();
    for (path, status, text) in [
        ("/readyz", 503, "some shards are not ready"),
        ("/healthz", 200, "healthz check passed"),
        ("/livez", 200, "healthz check passed"),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.text.as_str()), (status, text));
    }
}

#[test]
fn metrics_count_requests_and_points() {
    let server = Server::new();
    server.fill(3);
    let upserts = "rest_responses_total{method=\"PUT\",\
                   endpoint=\"/collections/{collection_name}/points\",status=\"200\"}";
    assert_eq!(server.metric(upserts) as u64, 1);
    assert_eq!(server.metric("collections_total") as u64, 1);
    assert_eq!(server.metric("collection_points{id=\"c\"}") as u64, 3);
    assert!(server.metric("rest_responses_duration_seconds_count") >= 1.0);
    assert!(server.metric("memory_resident_bytes") > 1e6);
    assert!(server.metric("process_open_fds") > 3.0);
    for name in [
        "app_info{",
        "collection_running_optimizations{",
        "cairn_write_amplification{id=\"c\"}",
        "cairn_space_amplification{id=\"c\"}",
        "cairn_compaction_debt_bytes{id=\"c\"}",
        "cairn_write_stall_seconds_total{id=\"c\",reason=\"flush_behind\"}",
        "cairn_write_stall_seconds_total{id=\"c\",reason=\"compaction_behind\"}",
        "cairn_ingested_bytes_total{id=\"c\"}",
        "cairn_wal_written_bytes_total{id=\"c\"}",
        "cairn_wal_syncs_total{id=\"c\"}",
        "cairn_flushed_bytes_total{id=\"c\"}",
        "cairn_compacted_bytes_total{id=\"c\"}",
        "cairn_writes_refused_disk_full_total{id=\"c\"}",
        "cairn_payload_cache_bytes",
        "cairn_payload_cache_hits_total",
        "cairn_payload_cache_misses_total",
    ] {
        server.metric(name);
    }
    let text = server.get("/metrics").text;
    assert!(
        text.contains("# TYPE cairn_ingested_bytes counter"),
        "{text}"
    );
}

#[test]
fn long_answers_are_compressed_for_those_who_ask() {
    let server = Server::new();
    server.fill(1000);
    let ask = |limit: u64, accept: &str| {
        let body = json!({"limit": limit}).to_string();
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        write!(
            stream,
            "POST /collections/c/points/scroll HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\n{accept}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let body = answer.split_off(end.unwrap() + 4);
        (String::from_utf8(answer).unwrap(), body)
    };
    let gzip = "accept-encoding: gzip, deflate\r\n";
    let (head, compressed) = ask(1000, gzip);
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    assert!(head.contains("vary: accept-encoding\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", compressed.len())));
    let (head, plain) = ask(1000, "");
    assert!(!head.contains("content-encoding"), "{head}");
    assert!(head.contains("vary: accept-encoding\r\n"), "{head}");
    assert!(compressed.len() * 4 < plain.len());
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(compressed.as_slice());
    reader.read_to_string(&mut text).unwrap();
    let result = |bytes: &[u8]| {
        let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        json["result"].clone()
    };
    assert_eq!(result(text.as_bytes()), result(&plain));
    let (head, short) = ask(1, gzip);
    assert!(!head.contains("content-encoding") && !head.contains("vary"));
    assert!(short.starts_with(b"{\"result\""));
}

#[test]
fn unknown_paths_are_bare_and_known_ones_name_their_methods() {
    let server = Server::new();
    let answer = server.get("/no/such/path");
    assert_eq!((answer.status, answer.text.as_str()), (404, ""));
    let answer = server.post("/healthz", &json!({}));
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["allow"], "GET");
}

#[test]
fn what_is_not_there_yet_says_so() {
    let server = Server::new();
    server.make();
    for (method, path) in [
        ("GET", "/telemetry"),
        ("GET", "/cluster"),
        ("GET", "/aliases"),
        ("POST", "/collections/aliases"),
        ("GET", "/collections/c/aliases"),
        ("GET", "/collections/c/snapshots"),
        ("POST", "/snapshots"),
        ("POST", "/collections/c/points/recommend"),
        ("POST", "/collections/c/points/discover"),
        ("POST", "/collections/c/points/recommend/groups"),
        ("PUT", "/collections/c/vectors/v"),
        ("GET", "/logger"),
        ("POST", "/logger"),
        ("GET", "/stacktrace"),
        ("GET", "/debugger"),
        ("PATCH", "/debugger"),
        ("GET", "/profiler/slow_requests"),
        ("POST", "/audit/logs"),
        ("GET", "/cluster/metadata/keys"),
        ("PUT", "/cluster/metadata/keys/k"),
        ("GET", "/collections/c/memory"),
        ("POST", "/collections/c/truncate_unapplied_wal"),
        ("POST", "/collections/c/shards/0/points"),
        ("POST", "/collections/c/shards/0/points/count"),
        ("POST", "/collections/c/shards/0/cleanup"),
        ("GET", "/collections/c/shards/0/wal"),
        ("GET", "/collections/c/shards/0/recovery_point"),
        ("POST", "/collections/c/shards/0/snapshot/partial/create"),
        ("GET", "/collections/c/shards/0/snapshot/partial/manifest"),
    ] {
        let body = (method != "GET").then_some("{}");
        let text = server.request(method, path, body).error(501);
        assert!(text.starts_with("Not implemented: "), "{text}");
    }
}

#[test]
fn any_web_page_may_call_unless_told_otherwise() {
    let server = Server::new();
    let answer = server.request("OPTIONS", "/collections/c/points", None);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(
        answer.headers["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("PATCH")
    );
    assert_eq!(
        server.get("/collections").headers["access-control-allow-origin"],
        "*"
    );
    let closed = Server::with(|settings| settings.service.cors = false);
    assert!(
        closed
            .get("/collections")
            .headers
            .get("access-control-allow-origin")
            .is_none()
    );
}
