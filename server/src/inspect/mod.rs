//! `cairn inspect FILE`: any file of a data directory, verified and printed.
//!
//! What a file is, it says itself; what it must be, its place in the data directory says. Both
//! are held against each other, and every byte is verified before anything is printed of it. The
//! JSON is plain, so that a reader written from the format's text alone can be compared with it.
//!
//! # Invariants
//! - Only [`format_spec`] decodes: what this prints is what the engine would read.
//! - A damaged file is reported with the offset and field of the damage, as far as it decodes,
//!   and the command fails.

use std::io::Write;
use std::path::Path;

use engine::{DiskStorage, Storage};
use format_spec::DecodeError;
use format_spec::path::DataPath;
use serde_json::{Map, Value as Tree, json};

use crate::run::Failure;

mod contents;
mod manifest;
mod part;
mod wal;

/// First bytes of a part; the chapters of the other kinds name theirs.
const PART_MAGIC: [u8; 8] = *b"CAIRNPRT";

/// What became known of a file.
#[derive(Debug, Default)]
struct Report {
    /// In the order of printing.
    members: Map<String, Tree>,
    /// The first thing that is wrong.
    error: Option<DecodeError>,
}

impl Report {
    fn set(&mut self, key: &str, value: impl Into<Tree>) {
        self.members.insert(key.to_owned(), value.into());
    }

    /// Keeps the value of a step, or the error that ends the report.
    fn step<T>(&mut self, result: Result<T, DecodeError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }
}

/// Verifies and prints a file.
///
/// # Errors
/// The file cannot be read, is no file of Cairn, or is damaged; in the last case what is sound
/// has been printed.
pub fn inspect(file: &Path, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let (storage, name) = door(file)?;
    let bytes = storage.map(name)?;
    let report = report(file, &bytes, json);
    if json {
        serde_json::to_writer(&mut *out, &report.members)?;
        writeln!(out)?;
    } else {
        print_text(&report.members, out)?;
    }
    match report.error {
        None => Ok(()),
        Some(error) => Err(format!("{}: {error}", file.display()).into()),
    }
}

/// The storage that a file is in, and its name there.
fn door(file: &Path) -> Result<(DiskStorage, &str), Failure> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or("not the name of a file")?;
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    if !parent.is_dir() {
        return Err(format!("{}: no such directory", parent.display()).into());
    }
    Ok((DiskStorage::new(parent)?, name))
}

/// The text of a file.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub(crate) fn read_text(file: &Path) -> Result<String, Failure> {
    let (storage, name) = door(file)?;
    Ok(String::from_utf8(storage.map(name)?.to_vec())?)
}

/// `contents` decides whether what the file holds is reported, or only its figures.
fn report(file: &Path, bytes: &[u8], contents: bool) -> Report {
    let mut report = Report::default();
    report.set("file", file.display().to_string());
    let place = place(file);
    // Where the place says what the file must be, a damaged magic does not hide it.
    let kind = match place {
        Some(DataPath::Wal { .. }) => Some(format_spec::wal::MAGIC),
        Some(DataPath::Manifest { .. }) => Some(format_spec::manifest::MAGIC),
        Some(DataPath::Catalog { .. }) => Some(format_spec::catalog::MAGIC),
        Some(DataPath::Part { .. }) => Some(PART_MAGIC),
        Some(DataPath::Lock) | None => bytes.first_chunk().copied(),
    };
    match kind {
        Some(format_spec::wal::MAGIC) => {
            wal::report(&mut report, bytes, place.as_ref(), contents);
        }
        Some(format_spec::manifest::MAGIC) => {
            manifest::report_shard(&mut report, bytes, place.as_ref());
        }
        Some(format_spec::catalog::MAGIC) => {
            manifest::report_catalog(&mut report, bytes, place.as_ref());
        }
        Some(PART_MAGIC) => part::report(&mut report, (file, bytes), place.as_ref(), contents),
        _ => {
            report.set("kind", "unknown");
            report.error = Some(DecodeError::new(0, "magic", format_spec::Why::Magic));
        }
    }
    report.set("valid", report.error.is_none());
    if let Some(error) = &report.error {
        report.set(
            "error",
            json!({"at": error.at, "field": error.field, "why": error.why.to_string()}),
        );
    }
    report
}

/// What the path says the file is, if it lies in a data directory.
fn place(file: &Path) -> Option<DataPath> {
    let absolute = std::path::absolute(file).ok()?;
    let names: Vec<&str> = absolute.iter().filter_map(|name| name.to_str()).collect();
    // The data directory may be anywhere, so the longest ending that is a path in one counts.
    (0..names.len()).find_map(|start| DataPath::parse(&names[start..].join("/")))
}

/// Top-level members a line each; lists by their length.
fn print_text(members: &Map<String, Tree>, out: &mut dyn Write) -> Result<(), Failure> {
    for (key, value) in members {
        match value {
            Tree::String(text) => writeln!(out, "{key}: {text}")?,
            Tree::Object(inner) => {
                writeln!(out, "{key}:")?;
                for (key, value) in inner {
                    writeln!(out, "  {key}: {}", short(value))?;
                }
            }
            Tree::Array(items) => {
                writeln!(out, "{key}: {}", items.len())?;
                for item in items {
                    writeln!(out, "  {}", line(item))?;
                }
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => writeln!(out, "{key}: {value}")?,
        }
    }
    Ok(())
}

/// An item of a list on one line.
fn line(item: &Tree) -> String {
    let Tree::Object(members) = item else {
        return short(item);
    };
    let pairs = members
        .iter()
        .map(|(key, value)| format!("{key} {}", short(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

fn short(value: &Tree) -> String {
    match (value.as_str(), value.as_array()) {
        (Some(text), _) => text.to_owned(),
        (_, Some(items)) => format!("{} items", items.len()),
        _ => value.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An id as in the API: a number or a UUID.
fn id(id: format_spec::PointId) -> Tree {
    match id {
        format_spec::PointId::Number(number) => number.into(),
        format_spec::PointId::Uuid(_) => id.to_string().into(),
    }
}

/// An encoded payload as JSON.
fn payload(bytes: &[u8]) -> Result<Tree, DecodeError> {
    let value = format_spec::Value::decode(bytes)?;
    // A stored value always serialises; a float that JSON lacks becomes null.
    Ok(serde_json::to_value(crate::wire::value::AsJson(&value)).unwrap_or(Tree::Null))
}
