//! The committed files of the repository, read once.
//!
//! Only what git tracks counts: a build directory or a half-written file beside the tree is
//! nobody's rule to keep.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository as its committed files.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<TrackedFile>,
}

/// One committed file.
#[derive(Debug)]
pub(crate) struct TrackedFile {
    /// Relative to the root, `/` between names.
    pub(crate) path: String,
    /// Its text; `None` when it is not UTF-8.
    pub(crate) text: Option<String>,
}

impl Tree {
    /// Reads every tracked file.
    pub(crate) fn load() -> Self {
        let root = root();
        let listed = git(&root, &["ls-files", "-z", "--cached"]);
        let mut files = Vec::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            // A file deleted and not yet committed is listed but not there.
            let Ok(bytes) = std::fs::read(root.join(path)) else {
                continue;
            };
            files.push(TrackedFile {
                path: path.to_owned(),
                text: String::from_utf8(bytes).ok(),
            });
        }
        assert!(
            files.len() > 20,
            "only {} tracked files under {}",
            files.len(),
            root.display()
        );
        Self { files }
    }

    /// Whether a committed file, or a directory of some, has this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let dir = format!("{path}/");
        self.files
            .iter()
            .any(|file| file.path == path || file.path.starts_with(&dir))
    }

    /// The text of a committed file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)?
            .text
            .as_deref()
    }

    /// Path and text of every file with this ending.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(end))
            .filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package is a folder of the workspace")
        .to_path_buf()
}

fn git(root: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        // A clean clone made by another user is still ours to read.
        .args(["-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(root)
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "git {arguments:?} in {}: {output:?}",
        root.display()
    );
    String::from_utf8(output.stdout).expect("paths are UTF-8")
}
