//! The official Python client: every route, and random operations and filters against its in-memory
//! mode.

use tempfile::tempdir;
use tests::process::binary;
use tests::second_reader::agrees_on_all;
use tests::{python, report};

fn cairn() -> &'static str {
    binary()
        .to_str()
        .expect("the target directory has a plain name")
}

#[test]
fn the_official_client_works_unchanged() {
    let directory = tempdir().expect("a temporary directory");
    let data = directory.path().to_string_lossy();
    python::run("client_e2e.py", &["--binary", cairn(), "--data", &data]);
    agrees_on_all("client", directory.path(), 2);
}

#[test]
fn random_operations_answer_as_in_memory_mode_does() {
    let minutes = if report::long() { "60" } else { "2.5" };
    let first = report::seed() % 1_000_000;
    report::say(&format!("differential: first seed {first}"));
    let seeds = format!("{first}..{}", first + 1_000_000);
    let directory = tempdir().expect("a temporary directory");
    let data = directory.path().to_string_lossy();
    let arguments = [
        "--binary",
        cairn(),
        "--data",
        &data,
        "--minutes",
        minutes,
        "--seeds",
        &seeds,
    ];
    python::run("differential.py", &arguments);
    agrees_on_all("differential", directory.path(), 2);
}

#[test]
fn random_filters_match_what_in_memory_mode_matches() {
    let seed = (report::seed() % 1_000_000).to_string();
    report::say(&format!("filters: first seed {seed}"));
    let directory = tempdir().expect("a temporary directory");
    let data = directory.path().to_string_lossy();
    let mut arguments = vec!["--binary", cairn(), "--data", &data, "--seed", &seed];
    if report::long() {
        arguments.push("--long");
    }
    python::run("filters.py", &arguments);
}
