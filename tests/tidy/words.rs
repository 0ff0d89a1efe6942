//! Words: names of types and files, what must not be merged, what does not belong here.

use crate::rust::RustFile;
use crate::scrub::{is_word, line_of, words};
use crate::tree::Tree;

/// Endings that say nothing about what a type is.
const TYPE_ENDINGS: &[&str] = &[
    "Base", "Context", "Data", "Helper", "Holder", "Impl", "Info", "Internal", "Manager", "Params",
    "Service", "Util", "Utils", "Wrapper",
];

/// Types that end so because the outside world calls them so.
const TYPE_NAMES_ALLOWED: &[(&str, &str)] = &[
    ("BuildParams", "the algorithm's own parameters"),
    ("SearchParams", "the API's name"),
    ("VectorParams", "the API's name"),
    ("CollectionInfo", "the API's name"),
    ("PayloadIndexInfo", "the API's name"),
    ("CollectionParams", "the API's name"),
];

/// Files whose name could hold anything, and so will.
const FILE_NAMES: &[&str] = &[
    "common.rs",
    "conversions.rs",
    "helpers.rs",
    "misc.rs",
    "types.rs",
    "utils.rs",
];

/// What never merges, as code. Each is written in two halves so that this file keeps the rule.
const CODE: &[&str] = &[
    concat!("db", "g!"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[", "ignore"),
    concat!("#[al", "low("),
    concat!("#![al", "low("),
];

/// What never merges, in any text, as whole words.
const MARKS: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
];

/// Who wrote the code, where and how is nobody's business but the log's.
const FOREIGN: &[&str] = &[
    concat!("cla", "ude"),
    concat!("chat", "gpt"),
    concat!("sub", "agent"),
    concat!("this ses", "sion"),
    concat!("previous ses", "sion"),
    concat!("as an ", "ai"),
    concat!("the assis", "tant"),
    concat!("work", "place"),
    concat!("/wo", "rk/"),
];

/// Types and files with names that say nothing.
pub(crate) fn bad_names(files: &[RustFile<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let parts: Vec<&str> = file.path.split('/').collect();
        let (name, folders) = parts.split_last().expect("a path has a name");
        if FILE_NAMES.contains(name) {
            found.push(format!("{}: a file name that says nothing", file.path));
        }
        if folders
            .last()
            .is_some_and(|folder| *name == format!("{folder}.rs"))
        {
            found.push(format!("{}: named as its folder", file.path));
        }
        let below = folders.iter().position(|folder| *folder == "src");
        if below.is_some_and(|src| folders.len() - src > 3) {
            found.push(format!("{}: more than two folders under src", file.path));
        }
        for (at, kind) in declared_types(&file.code) {
            if let Some(why) = bad_type(file.path, kind) {
                found.push(format!(
                    "{}:{}: {kind}: {why}",
                    file.path,
                    line_of(file.text, at)
                ));
            }
        }
    }
    found
}

fn declared_types(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for keyword in ["struct", "enum", "trait", "type", "union"] {
        for at in words(code, keyword) {
            let rest = code[at + keyword.len()..].trim_start();
            let end = rest
                .bytes()
                .position(|byte| !is_word(byte))
                .unwrap_or(rest.len());
            if rest.starts_with(|first: char| first.is_ascii_uppercase()) {
                found.push((at, &rest[..end]));
            }
        }
    }
    found
}

fn bad_type(path: &str, name: &str) -> Option<&'static str> {
    if TYPE_NAMES_ALLOWED
        .iter()
        .any(|(allowed, _)| *allowed == name)
    {
        return None;
    }
    if name.ends_with("Handler") && !path.starts_with("server/") {
        return Some("Handler is the server's word");
    }
    let bad = TYPE_ENDINGS.iter().any(|end| name.ends_with(end));
    bad.then_some("an ending that says nothing")
}

/// Code that was meant to go before the merge.
pub(crate) fn unfinished(files: &[RustFile<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for pattern in CODE {
            for (at, _) in file.code.match_indices(pattern) {
                let line = line_of(file.text, at);
                found.push(format!("{}:{line}: {pattern}", file.path));
            }
        }
    }
    found
}

/// Marks of unfinished work and foreign words, in every committed text but the lock file.
pub(crate) fn foreign(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in &tree.files {
        let Some(text) = file.text.as_deref() else {
            continue;
        };
        if file.path.ends_with(".lock") || file.path == "LICENSE" || is_sample(&file.path) {
            continue;
        }
        for mark in MARKS {
            for at in words(text, mark) {
                found.push(format!("{}:{}: {mark}", file.path, line_of(text, at)));
            }
        }
        let lower = text.to_ascii_lowercase();
        for word in FOREIGN {
            for (at, _) in lower.match_indices(word) {
                found.push(format!("{}:{}: \"{word}\"", file.path, line_of(text, at)));
            }
        }
    }
    found
}

/// Other people's texts that ship as sample data.
fn is_sample(path: &str) -> bool {
    path.contains("/sample/") || path.ends_with(".jsonl") || path.contains("/golden/")
}
