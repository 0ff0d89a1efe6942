//! The second reader, written from the format's chapters, against the program: a data directory
//! with something of everything in it, golden files, crafted files that break one rule each, and
//! damaged copies are read by both, and they must agree. The other suites have theirs read too.

use tests::process::binary;
use tests::report;
use tests::second_reader::{agrees_on_killed, run};

#[test]
fn the_second_reader_agrees_on_every_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let (path, cairn) = (data.to_string_lossy(), binary().to_string_lossy());
    run("sample_data.py", &[&path, "--cairn", &cairn]);
    agrees_on_killed("sample", &data, 60);
    let said = run(
        "damage.py",
        &[&path, "--cairn", &cairn, "--seed", "1", "--times", "10"],
    );
    report::say(&format!(
        "damaged copies: {}",
        said.lines().last().unwrap_or_default()
    ));
}

#[test]
fn the_second_reader_judges_golden_and_crafted_files() {
    let said = run("golden.py", &[]);
    report::say(&format!(
        "golden files: {}",
        said.lines().last().unwrap_or_default()
    ));
    let cairn = binary().to_string_lossy();
    let said = run("cases.py", &["--cairn", &cairn]);
    report::say(&format!(
        "crafted files: {}",
        said.lines().last().unwrap_or_default()
    ));
}
