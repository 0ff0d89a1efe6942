//! The second reader of the formats, written from the chapters alone, over the files of a suite.

use std::path::Path;
use std::process::Command;

use engine::storage::sim::SimDisk;

use crate::process::binary;
use crate::{python, report};

/// Runs a script of `format-spec/reader` and returns what it printed.
///
/// # Panics
/// When it fails.
pub fn run(script: &str, arguments: &[&str]) -> String {
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

/// Reads every file below `directory`, which suite `name` has written, with the second reader and
/// with `cairn inspect`: both find it valid, or torn at the same place, and agree on what is in it.
///
/// # Panics
/// When they differ on a file, or there are fewer than `least`.
pub fn agrees_on_all(name: &str, directory: &Path, least: u64) {
    agrees(name, directory, least, |_| false);
}

/// The same where the process was killed: parts that it did not get to name may be cut off.
///
/// # Panics
/// When they differ on a file, or there are fewer than `least`.
pub fn agrees_on_killed(name: &str, directory: &Path, least: u64) {
    agrees(name, directory, least, |kind| kind.contains(" unnamed "));
}

fn agrees(name: &str, directory: &Path, least: u64, may_be_invalid: fn(&str) -> bool) {
    let (directory, cairn) = (directory.to_string_lossy(), binary().to_string_lossy());
    let said = run("compare.py", &[&directory, "--cairn", &cairn]);
    // A manifest or catalog that was cut off stays until two more are installed; nothing else does.
    let kinds = said.lines().flat_map(|line| line.split(", "));
    let torn = |kind: &str| kind.ends_with("manifest") || kind.ends_with("catalog");
    let invalid: Vec<&str> = kinds
        .filter(|k| k.contains(" invalid ") && !torn(k) && !may_be_invalid(k))
        .collect();
    assert!(invalid.is_empty(), "{name}: {said}");
    let agreed = said
        .lines()
        .find_map(|line| line.strip_suffix(" files agree"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0);
    let suite = format!("files-{name}");
    report::counts(&suite, &[("files agree", agreed)]);
    report::floor(&suite, "files agree", agreed, least);
}

/// Copies what a simulated disk holds into a real directory.
///
/// # Panics
/// When it cannot be written.
pub fn copy_out(disk: &SimDisk, directory: &Path) {
    for path in disk.files() {
        let to = directory.join(&path);
        let parent = to.parent().expect("it is below the directory");
        std::fs::create_dir_all(parent).expect("the directory can be written");
        let bytes = disk.bytes(&path).expect("it is in the list");
        std::fs::write(to, bytes).expect("the directory can be written");
    }
}
