//! Numbered, create-only files: catalogs and shard manifests.
//!
//! The highest number is the truth. A file is created under its final name, written, synced,
//! and then its directory is synced; nothing is renamed and no number is used twice.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;

/// Creates the file `dir/name` and makes it and its name durable.
///
/// # Errors
/// What the disk says. The file may then exist, whole or torn: its number is spent.
pub(crate) fn create(storage: &dyn Storage, dir: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let file = storage.create(&format!("{dir}/{name}"))?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    storage.sync_dir(dir)
}

/// Reads a whole file.
///
/// # Errors
/// What the disk says.
pub(crate) fn read(storage: &dyn Storage, path: &str) -> Result<Vec<u8>> {
    let file = storage.open(path)?;
    let len = usize::try_from(file.len()?)
        .map_err(|_| Error::new(ErrorKind::Unsupported, "read", "too large").with_path(path))?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// The numbers in `dir` whose names `parse` accepts, descending; other names are only logged.
///
/// # Errors
/// What the disk says.
pub(crate) fn numbers(
    storage: &dyn Storage,
    dir: &str,
    parse: fn(&str) -> Option<u64>,
) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in storage.list(dir)? {
        match parse(&entry.name) {
            Some(number) if !entry.is_dir => numbers.push(number),
            _ => tracing::warn!(dir, name = entry.name, "unknown file left alone"),
        }
    }
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}
