//! The commands of the binary, and the demo from nothing to its answers.

use std::process::{Command, Output};

use serde_json::json;

use crate::harness::Server;

fn cairn(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.args(arguments).envs(variables.iter().copied());
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_loads_queries_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = server::Settings::default();
    settings.service.port = 0;
    settings.storage.path = directory.path().join("data");
    let out = demo(&settings, false).unwrap();
    for part in [
        "Loaded 3000 Python packages",
        "Nearest to the JavaScript package",
        "levenshtein",
        "released in 2026",
        "Most like numpy, by example: point 20",
        "ms in the server",
    ] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    // Once more, into what is there now, a point of somebody else's included.
    let points = || {
        let mut server = Server::over(&settings);
        let count = json!({"exact": true});
        let path = "/collections/demo/points/count";
        let count = server.post(path, &count).result()["count"].clone();
        let own = json!({"points": [{"id": 9_000_000, "vector": {}}]});
        server
            .put("/collections/demo/points?wait=true", &own)
            .result();
        server.stop();
        count
    };
    assert_eq!(points(), 3000);
    demo(&settings, false).unwrap();
    assert_eq!(points(), 3001);
    demo(&settings, true).unwrap();
    assert_eq!(points(), 3000);
}

fn demo(settings: &server::Settings, fresh: bool) -> Result<String, server::Failure> {
    let mut out = Vec::new();
    let options = server::DemoOptions { exit: true, fresh };
    server::demo(settings.clone(), options, &mut out)?;
    Ok(text(&out))
}

#[test]
fn the_demo_does_not_touch_a_collection_that_is_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = server::Settings::default();
    settings.service.port = 0;
    settings.storage.path = directory.path().join("data");
    let mut server = Server::over(&settings);
    let body = json!({"vectors": {"size": 2, "distance": "Dot"}});
    server.put("/collections/demo", &body).result();
    server.stop();
    let error = demo(&settings, false).unwrap_err().to_string();
    assert!(
        error.contains("384") && error.contains("--fresh"),
        "{error}"
    );
    let server = Server::over(&settings);
    let info = server.get("/collections/demo").result();
    assert_eq!(info["config"]["params"]["vectors"]["size"], 2);
}

#[test]
fn health_says_what_the_server_says() {
    let mut server = Server::new();
    let url = format!("http://{}", server.addr());
    let healthy = cairn(&["health", "--url", &url], &[]);
    assert!(healthy.status.success());
    assert!(text(&healthy.stdout).contains("all shards are ready"));
    server.stop();
    let gone = cairn(&["health", "--url", &url], &[]);
    assert_eq!(gone.status.code(), Some(1));
    let start = format!("cairn: {url}/readyz: ");
    assert!(text(&gone.stderr).starts_with(&start), "{gone:?}");
}

#[test]
fn a_setting_that_does_not_exist_stops_the_start() {
    let started = cairn(&["serve"], &[("CAIRN__SERVICE__HTPP_PORT", "1")]);
    assert_eq!(started.status.code(), Some(1));
    let error = text(&started.stderr);
    assert!(
        error.contains("did you mean `service.http_port`?"),
        "{error}"
    );
    let started = cairn(&["serve", "--set", "service.max_conections=1"], &[]);
    assert!(
        text(&started.stderr).contains("`service.max_connections`"),
        "{started:?}"
    );
    let started = cairn(&["serve"], &[("QDRANT__SERVICE__API_KEY", "sesame")]);
    let error = text(&started.stderr);
    assert!(
        error.contains("no authentication") && !error.contains("sesame"),
        "{error}"
    );
}

#[test]
fn inspect_prints_and_fails_on_damage() {
    let mut server = Server::new();
    server.make();
    server.stop();
    let data = server.directory.path().join("data");
    let entries = std::fs::read_dir(data.join("catalog")).unwrap();
    let catalog = entries.map(|entry| entry.unwrap().path()).max().unwrap();
    let path = catalog.to_str().unwrap();
    let sound = cairn(&["inspect", path], &[]);
    assert!(sound.status.success());
    assert!(text(&sound.stdout).contains("kind: catalog\n"), "{sound:?}");
    let json = cairn(&["inspect", path, "--json"], &[]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["collections"][0]["name"], "c");
    // As `cairn inspect FILE | head`, with a reader that has gone already.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for arguments in [&["inspect", path][..], &["inspect", path, "--json"]] {
        let stdout = writer.try_clone().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        let cut = command.args(arguments).stdout(stdout).output().unwrap();
        assert!(cut.status.success(), "{cut:?}");
        assert_eq!(text(&cut.stderr), "");
    }
    let mut bytes = std::fs::read(&catalog).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(&catalog, bytes).unwrap();
    let damaged = cairn(&["inspect", path], &[]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(text(&damaged.stderr).contains("at byte"), "{damaged:?}");
}
