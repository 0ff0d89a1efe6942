//! Documents: links, the two commands of the README, and the chapters of the format.

use crate::rust::{parent, resolve};
use crate::tree::Tree;

/// The two commands a newcomer needs. Both stand in the README, and CI runs both.
const COMMANDS: &[&str] = &["cargo run --release -- demo", "cargo test --workspace"];

/// Chapters that describe no file of their own and so have no golden file and no fuzz target.
const CHAPTERS_WITHOUT_BYTES: &[&str] = &["conventions"];

/// Relative links of Markdown files that lead nowhere.
pub(crate) fn dead_links(tree: &Tree) -> (u64, Vec<String>) {
    let mut checked = 0;
    let mut found = Vec::new();
    for (path, text) in tree.ending(".md") {
        for target in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let full = resolve(parent(path), file);
            if !tree.has(&full) {
                found.push(format!("{path}: link to {target}: no {full}"));
            }
        }
    }
    (checked, found)
}

/// The targets of `[text](target)`, code blocks left out.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, tail)) = after.split_once(')') else {
                break;
            };
            found.push(target.split(' ').next().unwrap_or_default());
            rest = tail;
        }
    }
    found
}

/// What is missing of: both commands in the README and in CI, the test command last.
pub(crate) fn missing_commands(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for path in ["README.md", ".ci/run"] {
        let Some(text) = tree.text(path) else {
            found.push(format!("{path} is not there"));
            continue;
        };
        for command in COMMANDS {
            if !text.contains(command) {
                found.push(format!("{path} does not have `{command}`"));
            }
        }
    }
    for path in ["Cargo.lock", "LICENSE", ".ci/run", "replication/README.md"] {
        if !tree.has(path) {
            found.push(format!("{path} is not committed"));
        }
    }
    found
}

/// Chapters of the format without their source file, golden file or fuzz target.
pub(crate) fn incomplete_chapters(tree: &Tree) -> (u64, Vec<String>) {
    let mut chapters = 0;
    let mut found = Vec::new();
    for (path, _) in tree.ending(".md") {
        let Some(file) = path.strip_prefix("format-spec/docs/") else {
            continue;
        };
        let Some((_, name)) = file.trim_end_matches(".md").split_once('-') else {
            continue;
        };
        chapters += 1;
        let name = name.replace('-', "_");
        let include = format!("include_str!(\"../docs/{file}\")");
        let owns = |(source, text): &(&str, &str)| {
            source.starts_with("format-spec/src/") && text.contains(&include)
        };
        if !tree.ending(".rs").any(|file| owns(&file)) {
            found.push(format!("{path}: no source file has it as its module doc"));
        }
        if CHAPTERS_WITHOUT_BYTES.contains(&name.as_str()) {
            continue;
        }
        for (what, dir) in [
            ("golden file", "format-spec/tests/golden/"),
            ("fuzz target", "fuzz/fuzz_targets/"),
        ] {
            let has = |other: &str| {
                other.strip_prefix(dir).is_some_and(|rest| {
                    rest.rsplit('/')
                        .next()
                        .unwrap_or_default()
                        .starts_with(&name)
                })
            };
            if !tree.files.iter().any(|other| has(&other.path)) {
                found.push(format!("{path}: no {what} {dir}..{name}.."));
            }
        }
    }
    (chapters, found)
}
