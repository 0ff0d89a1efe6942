//! The second reader, written from the format's chapters, against the program: every file of a data
//! directory with something of everything in it is read by both, and they must agree.

use std::path::Path;
use std::process::Command;

use tests::process::binary;
use tests::{python, report};

/// Runs a script of the reader and returns what it printed.
fn reader(script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../format-spec/reader")
        .join(script);
    let output = Command::new(python::interpreter())
        .arg(&script)
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the interpreter runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} {arguments:?}:\n{said}{errors}",
        script.display()
    );
    said
}

#[test]
fn the_second_reader_agrees_on_every_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let (data, cairn) = (data.to_string_lossy(), binary().to_string_lossy());
    reader("sample_data.py", &[&data, "--cairn", &cairn]);
    let said = reader("compare.py", &[&data, "--cairn", &cairn]);
    let agreed = said
        .lines()
        .find_map(|line| line.strip_suffix(" files agree"));
    let agreed = agreed
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0);
    report::counts("files", &[("files agree", agreed)]);
    report::floor("files", "files agree", agreed, 60);
}
