//! Rules on Rust files: headers, sizes, reachability, unsafe code, the file system.

use std::collections::BTreeSet;

use crate::scrub::{line_of, scrub, words};
use crate::tree::Tree;

/// Lines before the tests of a file.
const LINES_MAX: usize = 600;

/// Lines of a file that is all tests.
const TEST_LINES_MAX: usize = 1_200;

/// Width of a line, string literals not counted (rustfmt leaves those alone).
const WIDTH_MAX: usize = 100;

/// Files above [`LINES_MAX`], each with its own bound and the reason.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Where `unsafe` may stand. Each use has a SAFETY comment; clippy sees to that.
const UNSAFE_FILES: &[&str] = &[
    "quant/src/kernel/",
    "engine/src/storage/disk.rs",
    "engine/src/storage/ring.rs",
];

/// Where `std::fs` may stand, tests aside.
const FILE_SYSTEM_FILES: &[&str] = &["engine/src/storage/disk.rs"];

/// One Rust file and its code without comments and literals.
#[derive(Debug)]
pub(crate) struct RustFile<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    pub(crate) code: String,
    /// Where the tests at the bottom begin, as an offset.
    pub(crate) tests_at: usize,
}

impl RustFile<'_> {
    /// Whether the whole file is there to test or to measure.
    pub(crate) fn is_test(&self) -> bool {
        ["tests/", "benches/", "fuzz/"]
            .iter()
            .any(|dir| self.path.starts_with(dir))
            || self.is_only_tests()
            || self.path.contains("/benches/")
            || self.path.ends_with("/build.rs")
    }

    /// Whether the whole file is the tests of something beside it.
    fn is_only_tests(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("_test.rs")
            || self.path.ends_with("/tests.rs")
    }

    fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, line_of(self.text, at))
    }
}

/// Every committed Rust file.
pub(crate) fn files(tree: &Tree) -> Vec<RustFile<'_>> {
    tree.ending(".rs")
        .map(|(path, text)| {
            let code = scrub(text);
            let tests_at = tests_at(&code);
            RustFile {
                path,
                text,
                code,
                tests_at,
            }
        })
        .collect()
}

/// Where `#[cfg(test)] mod` begins.
fn tests_at(code: &str) -> usize {
    let marker = "#[cfg(test)]";
    code.match_indices(marker)
        .find(|(at, _)| {
            let mut rest = code[at + marker.len()..].trim_start();
            while rest.starts_with('#') {
                rest = rest
                    .split_once(']')
                    .map_or("", |(_, after)| after)
                    .trim_start();
            }
            rest.starts_with("mod ") && rest.contains('{')
        })
        .map_or(code.len(), |(at, _)| at)
}

/// Files that do not open by saying what they own.
pub(crate) fn without_header(files: &[RustFile<'_>]) -> Vec<String> {
    let included = included(files);
    files
        .iter()
        .filter(|file| !included.contains(file.path))
        .filter(|file| {
            let start = file.text.trim_start();
            !start.starts_with("//!") && !start.starts_with("#![doc = include_str!")
        })
        .map(|file| format!("{}: does not open with //!", file.path))
        .collect()
}

/// Files whose text is part of another one: `include!("x.rs")`.
fn included<'a>(files: &[RustFile<'a>]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for file in files {
        for at in words(&file.code, "include") {
            let Some(target) = quoted(&file.text[at..]) else {
                continue;
            };
            let path = resolve(parent(file.path), target);
            found.extend(
                files
                    .iter()
                    .map(|other| other.path)
                    .filter(|other| *other == path),
            );
        }
    }
    found
}

/// Files with too many lines before their tests, and bounds that have become too wide.
pub(crate) fn too_long(files: &[RustFile<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let lines = line_of(file.text, file.tests_at) - 1;
        let known = LONG_FILES.iter().find(|(path, ..)| *path == file.path);
        let usual = if file.is_only_tests() {
            TEST_LINES_MAX
        } else {
            LINES_MAX
        };
        let bound = known.map_or(usual, |(_, bound, _)| *bound);
        if lines > bound {
            found.push(format!(
                "{}: {lines} lines before its tests, at most {bound}",
                file.path
            ));
        }
        if known.is_some() && lines <= LINES_MAX {
            found.push(format!(
                "{}: {lines} lines: take it off the list of long files",
                file.path
            ));
        }
    }
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path).collect();
    let gone = LONG_FILES.iter().filter(|(path, ..)| !paths.contains(path));
    found.extend(gone.map(|(path, ..)| format!("{path}: on the list of long files, not there")));
    found
}

/// Lines that are too wide even without their string literals.
pub(crate) fn too_wide(files: &[RustFile<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, (line, code)) in file.text.lines().zip(file.code.lines()).enumerate() {
            let literal = code.bytes().filter(|&byte| byte == b'"').count();
            let width = line.chars().count();
            let is_link = line.contains("://");
            if width > WIDTH_MAX && width.saturating_sub(literal) > WIDTH_MAX && !is_link {
                found.push(format!("{}:{}: {width} characters", file.path, number + 1));
            }
        }
    }
    found
}

/// Files that no `mod` leads to from a crate root: dead code that still looks alive.
pub(crate) fn unreachable(files: &[RustFile<'_>], roots: &[String]) -> Vec<String> {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path).collect();
    let mut reached: BTreeSet<&str> = included(files);
    let is_root = |path: &str| {
        roots.iter().any(|root| root == path) || path.starts_with("fuzz/fuzz_targets/")
    };
    let mut queue: Vec<&str> = paths.iter().copied().filter(|path| is_root(path)).collect();
    queue.extend(reached.iter());
    while let Some(path) = queue.pop() {
        reached.insert(path);
        let Some(file) = files.iter().find(|file| file.path == path) else {
            continue;
        };
        for child in children(file, is_root(path)) {
            if let Some(&known) = paths.get(child.as_str())
                && !reached.contains(known)
            {
                queue.push(known);
            }
        }
    }
    let dead = paths.iter().filter(|path| !reached.contains(*path));
    dead.map(|path| format!("{path}: no mod leads here"))
        .collect()
}

/// The paths that the `mod x;` of a file may stand for.
fn children(file: &RustFile<'_>, is_root: bool) -> Vec<String> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let dir = parent(file.path);
    let own = if is_root || name == "mod.rs" {
        dir.to_owned()
    } else {
        format!("{dir}/{}", name.trim_end_matches(".rs"))
    };
    let mut found = Vec::new();
    for at in words(&file.code, "mod") {
        let rest = &file.code[at + 3..];
        let Some((module, _)) = rest.split_once(';') else {
            continue;
        };
        let module = module.trim();
        if module.is_empty() || !module.bytes().all(crate::scrub::is_word) {
            continue; // a module with its body in place
        }
        // An attribute `#[path = "..."]` stands on one of the lines right above.
        let above = file.text[..at]
            .trim_end()
            .rsplit(['{', '}', ';'])
            .next()
            .unwrap_or_default();
        if let Some(path_at) = above.rfind("#[path") {
            found.extend(quoted(&above[path_at..]).map(|target| resolve(dir, target)));
        } else {
            found.push(format!("{own}/{module}.rs"));
            found.push(format!("{own}/{module}/mod.rs"));
        }
    }
    found
}

/// `unsafe` outside the files it is allowed in.
pub(crate) fn unsafe_outside(files: &[RustFile<'_>]) -> Vec<String> {
    let allowed = |file: &RustFile<'_>| UNSAFE_FILES.iter().any(|ok| file.path.starts_with(ok));
    let rest = files.iter().filter(|file| !allowed(file));
    rest.flat_map(|file| {
        words(&file.code, "unsafe").map(|at| format!("{}: unsafe code", file.place(at)))
    })
    .collect()
}

/// `std::fs` outside the one file that may touch real files.
pub(crate) fn file_system_outside(files: &[RustFile<'_>]) -> Vec<String> {
    let allowed = |file: &RustFile<'_>| file.is_test() || FILE_SYSTEM_FILES.contains(&file.path);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !allowed(file)) {
        let code = &file.code[..file.tests_at];
        for at in words(code, "std::fs") {
            found.push(format!(
                "{}: std::fs; go through engine::storage",
                file.place(at)
            ));
        }
    }
    found
}

/// The first string literal of a text.
fn quoted(text: &str) -> Option<&str> {
    let text = &text[..text.find(['\n', ';']).unwrap_or(text.len())];
    let (_, rest) = text.split_once('"')?;
    Some(rest.split_once('"')?.0)
}

/// The directory part of a path.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// `target` as seen from the directory `dir`.
pub(crate) fn resolve(dir: &str, target: &str) -> String {
    let mut names: Vec<&str> = dir.split('/').filter(|name| !name.is_empty()).collect();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            _ => names.push(name),
        }
    }
    names.join("/")
}
