//! What a suite says: one line of counts, printed even when the test passes.

use std::fmt::Write as _;
use std::io::Write as _;

/// Prints a line past the test runner, which swallows what a passing test prints by macro.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is the reader's choice and no fault of the suite.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Prints `suite NAME: 12 kills, 3456 acked`: what `.ci/run` reads and compares with its floors.
pub fn counts(suite: &str, counts: &[(&str, u64)]) {
    let mut line = format!("suite {suite}:");
    for (index, (unit, count)) in counts.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(line, "{comma} {count} {unit}");
    }
    say(&line);
}

/// Fails the suite when it did less than it claims to do.
///
/// # Panics
/// When `count` is below `floor`.
pub fn floor(suite: &str, unit: &str, count: u64, floor: u64) {
    assert!(
        count >= floor,
        "suite {suite}: {count} {unit}, its floor is {floor}"
    );
}

/// Prints why a suite could not run here. CI runs as root and fails on such a line.
pub fn skipped(suite: &str, why: &str) {
    say(&format!("suite {suite}: SKIPPED: {why}"));
}

/// The seed of a run: `CAIRN_SEED`, or one drawn from the clock. The caller prints it.
///
/// # Panics
/// When `CAIRN_SEED` is not a number.
pub fn seed() -> u64 {
    match std::env::var("CAIRN_SEED") {
        Ok(text) => text.parse().expect("CAIRN_SEED is a decimal number"),
        Err(_) => {
            let since = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            u64::from(since.subsec_nanos()) ^ since.as_secs().rotate_left(20)
        }
    }
}

/// Whether the long size of the suites is asked for (`CAIRN_LONG=1`).
pub fn long() -> bool {
    std::env::var_os("CAIRN_LONG").is_some_and(|value| value == "1")
}
