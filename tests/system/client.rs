//! The official Python client: every route, and random operations against its in-memory mode.

use tests::process::binary;
use tests::{python, report};

fn cairn() -> &'static str {
    binary()
        .to_str()
        .expect("the target directory has a plain name")
}

#[test]
fn the_official_client_works_unchanged() {
    python::run("client_e2e.py", &["--binary", cairn()]);
}

#[test]
fn random_operations_answer_as_in_memory_mode_does() {
    let minutes = if report::long() { "60" } else { "2.5" };
    let first = report::seed() % 1_000_000;
    report::say(&format!("differential: first seed {first}"));
    let seeds = format!("{first}..{}", first + 1_000_000);
    python::run(
        "differential.py",
        &["--binary", cairn(), "--minutes", minutes, "--seeds", &seeds],
    );
}
