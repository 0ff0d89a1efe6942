//! The house rules as tests.
//!
//! Each test names every place that breaks its rule, so that one run shows all there is to mend.

mod docs;
mod packages;
mod rust;
mod scrub;
mod tree;
mod words;

use std::sync::LazyLock;

use tests::report;

use crate::packages::Packages;
use crate::tree::Tree;

static TREE: LazyLock<Tree> = LazyLock::new(Tree::load);
static PACKAGES: LazyLock<Packages> = LazyLock::new(Packages::load);

/// Fails with every finding.
fn none(rule: &str, found: &[String]) {
    assert!(
        found.is_empty(),
        "{rule}: {} found\n  {}",
        found.len(),
        found.join("\n  ")
    );
}

#[test]
fn packages_use_only_what_the_table_allows() {
    none("dependencies point down", &PACKAGES.wrong_edges());
    none("one table of lints", &PACKAGES.without_lints());
    // It is a workspace of its own, which no other test builds.
    none("fuzz/Cargo.lock", &PACKAGES.missing_from_fuzz_lock());
}

#[test]
fn every_licence_is_on_the_list() {
    none("licences", &PACKAGES.wrong_licences());
    report::counts("licences", &[("packages", PACKAGES.count())]);
}

#[test]
fn every_rust_file_keeps_the_rules() {
    let files = rust::files(&TREE);
    none(
        "every file says what it owns",
        &rust::without_header(&files),
    );
    none(
        "every file is reachable",
        &rust::unreachable(&files, &PACKAGES.crate_roots()),
    );
    none("one noun a file", &rust::too_long(&files));
    none("line width", &rust::too_wide(&files));
    none("unsafe only where listed", &rust::unsafe_outside(&files));
    none(
        "one door to the file system",
        &rust::file_system_outside(&files),
    );
    none("names", &words::bad_names(&files));
    none("nothing unfinished", &words::unfinished(&files));
    let lines = files
        .iter()
        .map(|file| file.text.lines().count() as u64)
        .sum();
    report::counts(
        "tidy-rust",
        &[("files", files.len() as u64), ("lines", lines)],
    );
}

#[test]
fn every_text_speaks_of_the_product() {
    none("foreign words and marks", &words::foreign(&TREE));
    report::counts("tidy-words", &[("files", TREE.files.len() as u64)]);
}

#[test]
fn links_lead_somewhere_and_the_two_commands_stand() {
    let (links, dead) = docs::dead_links(&TREE);
    none("links", &dead);
    none("commands", &docs::missing_commands(&TREE));
    report::counts("tidy-docs", &[("links", links)]);
}

#[test]
fn every_chapter_of_the_format_is_whole() {
    let (chapters, incomplete) = docs::incomplete_chapters(&TREE);
    none("chapter, source, golden file, fuzz target", &incomplete);
    report::counts("tidy-format", &[("chapters", chapters)]);
}
