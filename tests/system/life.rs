//! Start and stop: a graceful stop keeps everything, a second process is refused.

use serde_json::json;
use tempfile::tempdir;
use tests::http::Http;
use tests::process::Node;
use tests::report;
use tests::second_reader::agrees_on_all;

/// How often a server is stopped as soon as it answers.
const STOPS_AT_ONCE: u32 = 12;

#[test]
fn sigterm_finishes_what_runs_and_keeps_everything() {
    let directory = tempdir().expect("a temporary directory");
    let mut node = Node::new(&directory.path().join("data"), &[]);
    node.start();
    let http = Http::new(&node.url());
    let created = http.put(
        "/collections/c",
        &json!({"vectors": {"size": 2, "distance": "Dot"}}),
    );
    assert_eq!(created.expect("connected").status, 200);
    let mut acked = 0_u64;
    let mut rounds = 0_u64;
    for round in 0..6 {
        let http = Http::new(&node.url());
        // One writer goes on until the server no longer answers it.
        let writer = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write_until_refused(&http, acked))
            .expect("a thread can be started");
        std::thread::sleep(std::time::Duration::from_millis(60 + 40 * round));
        let status = node.stop();
        assert!(
            status.success(),
            "round {round}: ended with {status}:\n{}",
            node.log()
        );
        let (answered, unknown) = writer.join().expect("the writer does not panic");
        node.start();
        let found = Http::new(&node.url())
            .post("/collections/c/points/count", &json!({"exact": true}))
            .expect("connected");
        let found = found.result()["count"].as_u64().expect("a count");
        assert!(
            found == answered || (unknown && found == answered + 1),
            "round {round}: {answered} acknowledged, {found} found"
        );
        acked = found;
        rounds += 1;
    }
    stop_at_once(&mut node);
    agrees_on_all("stops", directory.path(), 4);
    report::counts("stops", &[("stops", rounds), ("acked", acked)]);
    report::floor("stops", "acked", acked, 20);
}

/// Whoever got an answer can stop the server, however soon; at first it runs, at last it does not.
fn stop_at_once(node: &mut Node) {
    for stop in 0..STOPS_AT_ONCE {
        if stop > 0 {
            node.start();
        }
        let status = node.stop();
        assert!(status.success(), "ended with {status}:\n{}", node.log());
    }
}

/// Writes point after point from `next` on. Returns the next number, and whether the last one
/// got no answer.
fn write_until_refused(http: &Http, mut next: u64) -> (u64, bool) {
    loop {
        let point = json!({"points": [{"id": next, "vector": [1, 2], "payload": {"n": next}}]});
        match http.put("/collections/c/points?wait=true", &point) {
            Ok(answer) if answer.status == 200 => next += 1,
            // Refused with an answer: certainly not written.
            Ok(_) => return (next, false),
            Err(_) => return (next, true),
        }
    }
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let directory = tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let mut first = Node::new(&data, &[]);
    first.start();
    let mut second = Node::new(&data, &[]);
    second.spawn();
    let status = second.wait_ended();
    assert!(!status.success(), "the second process ended with success");
    let said = second.log();
    assert!(
        said.contains("LOCK") || said.contains("another process"),
        "does not say why: {said}"
    );
    assert!(
        Http::new(&first.url())
            .get("/readyz")
            .is_ok_and(|answer| answer.status == 200)
    );
    first.kill();
    // The lock of a killed process is free at once.
    second.start();
}
