//! Packages: who depends on whom, and under which licences.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::tree::root;

/// Which package uses which of ours, to build (tests may use more): the whole table.
const EDGES: &[(&str, &[&str])] = &[
    ("cairn-format-spec", &[]),
    ("cairn-quant", &["cairn-format-spec"]),
    ("cairn-index", &["cairn-quant", "cairn-format-spec"]),
    (
        "cairn-engine",
        &["cairn-index", "cairn-quant", "cairn-format-spec"],
    ),
    (
        "cairn-query",
        &[
            "cairn-engine",
            "cairn-index",
            "cairn-quant",
            "cairn-format-spec",
        ],
    ),
    (
        "cairn",
        &["cairn-query", "cairn-engine", "cairn-format-spec"],
    ),
];

/// Packages that may use any of ours and that none of ours may use.
const TOPS: &[&str] = &["tests", "benches"];

/// Licences that ask for no more than a notice. File-level copyleft (MPL-2.0) is left out on
/// purpose: nothing needs it, and whoever ships the binary would have to offer those sources.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What `cargo metadata` says, with the lock file as it is committed.
#[derive(Debug)]
pub(crate) struct Packages {
    metadata: Value,
}

impl Packages {
    pub(crate) fn load() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--all-features",
            ])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata --locked: {text}");
        let metadata = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        Self { metadata }
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.metadata["packages"].as_array().into_iter().flatten()
    }

    fn members(&self) -> impl Iterator<Item = &Value> {
        let members = &self.metadata["workspace_members"];
        let ids: BTreeSet<&str> = members
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.all()
            .filter(move |package| ids.contains(text(package, "id")))
    }

    /// How many packages there are in all.
    pub(crate) fn count(&self) -> u64 {
        self.all().count() as u64
    }

    /// The source file of every target of ours, relative to the root.
    pub(crate) fn crate_roots(&self) -> Vec<String> {
        let prefix = format!("{}/", root().display());
        let targets = self
            .members()
            .flat_map(|member| member["targets"].as_array());
        targets
            .flatten()
            .map(|target| text(target, "src_path").replace('\\', "/"))
            .map(|path| {
                path.strip_prefix(&prefix)
                    .map_or(path.clone(), str::to_owned)
            })
            .collect()
    }

    /// Edges between our packages that differ from the table.
    pub(crate) fn wrong_edges(&self) -> Vec<String> {
        let table: BTreeMap<&str, BTreeSet<&str>> = EDGES
            .iter()
            .map(|&(name, uses)| (name, uses.iter().copied().collect()))
            .collect();
        let mut found = Vec::new();
        for member in self.members() {
            let name = text(member, "name");
            let uses = self.uses(member);
            if let Some(top) = uses.iter().find(|used| TOPS.contains(used)) {
                found.push(format!("{name} uses {top}, which is for suites only"));
            }
            let Some(allowed) = table.get(name) else {
                if !TOPS.contains(&name) {
                    found.push(format!(
                        "{name} is in no table: add it with what it may use"
                    ));
                }
                continue;
            };
            found.extend(
                uses.difference(allowed)
                    .map(|used| format!("{name} must not use {used}")),
            );
            found.extend(
                allowed
                    .difference(&uses)
                    .map(|used| format!("{name} no longer uses {used}")),
            );
        }
        found
    }

    /// Our packages that a package needs to build.
    fn uses<'a>(&'a self, package: &'a Value) -> BTreeSet<&'a str> {
        let ours: BTreeSet<&str> = self.members().map(|member| text(member, "name")).collect();
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        dependencies
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .map(|dependency| text(dependency, "name"))
            .filter(|name| ours.contains(name))
            .collect()
    }

    /// Packages, ours and others', whose licence is not one of [`LICENCES`].
    pub(crate) fn wrong_licences(&self) -> Vec<String> {
        let describe =
            |package: &Value| format!("{} {}", text(package, "name"), text(package, "version"));
        self.all()
            .filter_map(|package| match package["license"].as_str() {
                None => Some(format!("{} states no licence", describe(package))),
                Some(licence) => acceptable(licence)
                    .err()
                    .map(|why| format!("{}: \"{licence}\": {why}", describe(package))),
            })
            .collect()
    }

    /// Dependencies of the formats that the lock file of their fuzz targets does not have.
    pub(crate) fn missing_from_fuzz_lock(&self) -> Vec<String> {
        const FORMATS: &str = "cairn-format-spec";
        let lock = std::fs::read_to_string(root().join("fuzz/Cargo.lock")).expect("it is there");
        let ours = lock
            .split("[[package]]")
            .find(|package| package.contains(&format!("name = \"{FORMATS}\"")))
            .unwrap_or_default();
        let formats = self
            .members()
            .filter(|member| text(member, "name") == FORMATS);
        let dependencies = formats.flat_map(|member| member["dependencies"].as_array());
        dependencies
            .flatten()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(dependency, "name"))
            .filter(|name| !ours.contains(&format!("\"{name}\"")))
            .map(|name| format!("{name}, which {FORMATS} uses"))
            .collect()
    }

    /// Our packages that do not take the workspace's lints. The suites have their own table.
    pub(crate) fn without_lints(&self) -> Vec<String> {
        self.members()
            .filter(|member| text(member, "name") != "tests")
            .filter(|member| {
                let manifest = std::fs::read_to_string(text(member, "manifest_path"));
                !manifest.is_ok_and(|text| text.contains("[lints]\nworkspace = true"))
            })
            .map(|member| {
                format!(
                    "{} does not take the workspace's lints",
                    text(member, "name")
                )
            })
            .collect()
    }
}

/// Whether the expression can be met with licences of the list alone.
fn acceptable(licence: &str) -> Result<(), String> {
    // Older manifests write `MIT/Apache-2.0` for what is now `MIT OR Apache-2.0`.
    let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
        .map_err(|error| error.to_string())?;
    let met = expression.evaluate(|requirement| {
        // An exception only adds rights, so it does not matter here.
        requirement
            .license
            .id()
            .is_some_and(|id| LICENCES.contains(&id.name))
    });
    if met {
        Ok(())
    } else {
        Err("not on the list of licences".to_owned())
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn a_choice_of_licences_is_met_by_one_and_a_union_by_all() {
    assert_eq!(acceptable("GPL-3.0-only OR MIT"), Ok(()));
    assert_eq!(acceptable("MIT/Apache-2.0"), Ok(()));
    assert_eq!(acceptable("(MIT OR Apache-2.0) AND Unicode-3.0"), Ok(()));
    assert_eq!(
        acceptable("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only"),
        Ok(())
    );
    assert!(acceptable("MIT AND GPL-3.0-only").is_err());
    assert!(acceptable("MPL-2.0").is_err());
    assert!(acceptable("Nonsense-1.0").is_err());
}
