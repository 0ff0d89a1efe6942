//! A full disk: writes get a clear error, reads and deletes go on, and writing resumes by itself
//! when space comes back.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};
use tempfile::tempdir;
use tests::http::{Answer, Http};
use tests::process::Node;
use tests::report;
use tests::second_reader::agrees_on_all;

/// Size of the disk. The server keeps a reserve and preallocates its log, so not too small.
const DISK_MIB: u64 = 640;

/// What somebody else has on the disk, and takes away later.
const BALLAST_MIB: u64 = 384;

/// Bytes of payload in a batch.
const BATCH_BYTES: usize = 1 << 20;

/// A small file system of its own, gone when dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let size = format!("size={DISK_MIB}m");
        let options = std::ffi::CString::new(size).expect("no zero byte");
        mount(
            "tmpfs",
            at,
            "tmpfs",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .ok()?;
        Some(Self(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Detached, it goes as soon as nothing is open on it.
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_stops_writes_and_nothing_else() {
    let directory = tempdir().expect("a temporary directory");
    let Some(_disk) = Disk::mount(directory.path()) else {
        report::skipped("disk-full", "mounting a tmpfs needs root");
        return;
    };
    let ballast = directory.path().join("ballast");
    std::fs::write(&ballast, vec![7; (BALLAST_MIB << 20) as usize]).expect("room for the ballast");
    let mut node = Node::new(
        &directory.path().join("data"),
        &[("CAIRN__STORAGE__FREE_SPACE_MIN_MB", "64")],
    );
    node.start();
    let http = Http::new(&node.url());
    let created = http.put(
        "/collections/c",
        &json!({"vectors": {"size": 4, "distance": "Dot"}}),
    );
    assert_eq!(created.expect("connected").status, 200);

    let (acked, refusal) = fill(&http);
    assert_eq!(refusal.status, 507, "{refusal:?}");
    let text = refusal.error().to_ascii_lowercase();
    assert!(
        text.contains("space") || text.contains("disk"),
        "not clear: {refusal:?}"
    );

    // Refused means unchanged, reads are right, deletes are done.
    assert_eq!(count(&http), acked);
    assert_eq!(put(&http, acked).status, 507, "still refused");
    let hits = http.post(
        "/collections/c/points/query",
        &json!({"query": [1, 0, 0, 0]}),
    );
    let hits = hits.expect("connected");
    assert_eq!(
        hits.result()["points"].as_array().map(Vec::len),
        Some(10),
        "{hits:?}"
    );
    let deleted = http.post(
        "/collections/c/points/delete?wait=true",
        &json!({"points": [0, 1]}),
    );
    assert_eq!(deleted.expect("connected").status, 200);
    assert_eq!(count(&http), acked - 2);

    // A restart on a full disk loses nothing and serves.
    node.kill();
    node.start();
    let http = Http::new(&node.url());
    assert_eq!(count(&http), acked - 2);

    std::fs::remove_file(&ballast).expect("the ballast is ours");
    let start = Instant::now();
    let resumed = loop {
        let answer = put(&http, acked);
        if answer.status == 200 {
            break start.elapsed();
        }
        assert_eq!(answer.status, 507, "{answer:?}");
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "does not resume: {answer:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(count(&http), acked - 1);
    assert!(node.stop().success());
    agrees_on_all("disk-full", &directory.path().join("data"), 3);
    let millis = u64::try_from(resumed.as_millis()).expect("less than an age");
    report::counts("disk-full", &[("acked", acked), ("ms to resume", millis)]);
    report::floor("disk-full", "acked", acked, 10);
}

/// Writes until it is refused.
fn fill(http: &Http) -> (u64, Answer) {
    for number in 0..2 * DISK_MIB {
        let answer = put(http, number);
        if answer.status != 200 {
            return (number, answer);
        }
    }
    panic!("{DISK_MIB} MiB were never full");
}

/// One point with a megabyte of text that does not compress to nothing.
fn put(http: &Http, number: u64) -> Answer {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let text: String = (0..BATCH_BYTES)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'!' + (state >> 58) as u8)
        })
        .collect();
    let point = json!({"id": number, "vector": [1, 0, 0, number], "payload": {"text": text}});
    let body: Value = json!({"points": [point]});
    http.put("/collections/c/points?wait=true", &body)
        .expect("the server lives")
}

fn count(http: &Http) -> u64 {
    let answer = http.post("/collections/c/points/count", &json!({"exact": true}));
    let answer = answer.expect("the server lives");
    answer.result()["count"]
        .as_u64()
        .unwrap_or_else(|| panic!("{answer:?}"))
}
