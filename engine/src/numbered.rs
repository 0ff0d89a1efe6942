//! Numbered, create-only files: catalogs and shard manifests.
//!
//! The highest number is the truth. A file is created under its final name, written, synced,
//! and then its directory is synced; nothing is renamed and no number is used twice.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::{File, Storage};

/// A file that could not be created.
#[derive(Debug)]
pub(crate) struct CreateError {
    /// What the disk said first.
    pub(crate) error: Error,
    /// Whether the disk may keep the file all the same, whole or torn.
    pub(crate) in_doubt: bool,
}

impl From<CreateError> for Error {
    fn from(failed: CreateError) -> Self {
        failed.error
    }
}

/// Creates the file `dir/name` and makes it and its name durable.
///
/// # Errors
/// What the disk says. The file is then taken away again, so that what was refused does not turn
/// up after a restart; its number is spent all the same. A disk that fails that too leaves the
/// file in doubt.
pub(crate) fn create(
    storage: &dyn Storage,
    dir: &str,
    name: &str,
    bytes: &[u8],
) -> std::result::Result<(), CreateError> {
    let path = format!("{dir}/{name}");
    let file = storage.create(&path).map_err(|error| CreateError {
        error,
        in_doubt: false,
    })?;
    write(storage, dir, &*file, bytes).map_err(|error| {
        let gone = storage
            .remove_file(&path)
            .and_then(|()| storage.sync_dir(dir));
        CreateError {
            error,
            in_doubt: gone.is_err(),
        }
    })
}

fn write(storage: &dyn Storage, dir: &str, file: &dyn File, bytes: &[u8]) -> Result<()> {
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

/// Removes the files with numbers below `kept`. The newest is durable by now, so one that cannot be
/// removed is only said, and goes with the next.
pub(crate) fn remove_below(
    storage: &dyn Storage,
    dir: &str,
    kept: u64,
    parse: fn(&str) -> Option<u64>,
) {
    let removed = storage.list(dir).and_then(|entries| {
        let old = |name: &str| parse(name).is_some_and(|number| number < kept);
        let old = entries
            .iter()
            .filter(|entry| !entry.is_dir && old(&entry.name));
        old.map(|entry| format!("{dir}/{}", entry.name))
            .try_for_each(|path| storage.remove_file(&path))
    });
    if let Err(error) = removed {
        tracing::warn!(error = %error.chain(), "a superseded file could not be removed");
    }
}
