//! The catalog on disk: which collections exist, with their schemas and shards.
//!
//! # Invariants
//! - A collection's shard exists before the catalog names it, and is removed after the catalog
//!   has stopped naming it.
//! - The highest catalog that verifies is the truth. A torn one above it is a change that was
//!   never acknowledged; but if there is a shard that only the torn one can have named, and it
//!   holds writes, then it was acknowledged and is damaged, and opening is an error.

use std::collections::BTreeSet;

use format_spec::{Catalog, CollectionId};

use crate::error::{Error, ErrorKind, Result};
use crate::numbered;
use crate::storage::{Storage, sync_dirs_up};

/// The newest catalog and where the next one goes.
#[derive(Debug)]
pub(crate) struct CatalogStore {
    pub(crate) current: Catalog,
    next: u64,
    /// Whether a file with a higher number did not verify.
    fell_back: bool,
    /// Whether a change that failed may come true at the next start all the same.
    in_doubt: bool,
}

impl CatalogStore {
    /// Reads the newest catalog, or makes the first one.
    ///
    /// # Errors
    /// `Corrupt` when no catalog verifies though there are some.
    pub(crate) fn open(storage: &dyn Storage) -> Result<Self> {
        let dir = format_spec::path::CATALOG_DIR;
        storage.create_dir(dir)?;
        storage.create_dir(format_spec::path::COLLECTIONS_DIR)?;
        sync_dirs_up(storage, dir)?;
        let numbers = numbered::numbers(storage, dir, format_spec::path::parse_manifest_name)?;
        let Some(&highest) = numbers.first() else {
            let first = Catalog {
                number: 1,
                collections: Vec::new(),
                aliases: Vec::new(),
            };
            let mut store = Self {
                current: first.clone(),
                next: 1,
                fell_back: false,
                in_doubt: false,
            };
            store.install(storage, first)?;
            return Ok(store);
        };
        let mut damage = None;
        for &number in &numbers {
            let path = format_spec::path::catalog_file(number);
            match Catalog::decode(&numbered::read(storage, &path)?, number) {
                Ok(current) => {
                    let fell_back = damage.is_some();
                    return Ok(Self {
                        current,
                        next: highest + 1,
                        fell_back,
                        in_doubt: false,
                    });
                }
                Err(error) => {
                    tracing::warn!(path, %error, "catalog does not verify");
                    damage.get_or_insert(Error::corrupt(path, error));
                }
            }
        }
        // Torn files with nothing below are tries at the very first catalog, never acknowledged.
        if storage.list(format_spec::path::COLLECTIONS_DIR)?.is_empty() {
            let first = Catalog {
                number: highest + 1,
                collections: Vec::new(),
                aliases: Vec::new(),
            };
            let mut store = Self {
                current: first.clone(),
                next: highest + 1,
                fell_back: false,
                in_doubt: false,
            };
            store.install(storage, first)?;
            return Ok(store);
        }
        Err(damage.unwrap_or_else(|| Error::damaged(dir, "no catalog verifies")))
    }

    /// The number the next catalog gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Makes `catalog` (but for its number) the durable truth.
    ///
    /// # Errors
    /// What the disk says; the one before then stays the truth, for certain unless
    /// [`Self::in_doubt`].
    pub(crate) fn install(&mut self, storage: &dyn Storage, catalog: Catalog) -> Result<()> {
        let installed = self.create(storage, catalog);
        if self.in_doubt {
            // The one in force, under a higher number, overrules what the disk may have kept.
            drop(self.settle(storage));
        }
        installed
    }

    /// Whether a change that failed may come true at the next start.
    pub(crate) fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Makes what is in force the durable truth, if there is a doubt.
    ///
    /// # Errors
    /// What the disk says; the doubt stays.
    pub(crate) fn settle(&mut self, storage: &dyn Storage) -> Result<()> {
        if self.in_doubt {
            self.create(storage, self.current.clone())?;
        }
        Ok(())
    }

    fn create(&mut self, storage: &dyn Storage, mut catalog: Catalog) -> Result<()> {
        let dir = format_spec::path::CATALOG_DIR;
        catalog.number = self.next;
        self.next += 1;
        let name = format_spec::path::manifest_name(catalog.number);
        numbered::create(storage, dir, &name, &catalog.encode()).map_err(|failed| {
            self.in_doubt |= failed.in_doubt;
            failed.error
        })?;
        let kept = self.current.number;
        self.current = catalog;
        self.fell_back = false;
        self.in_doubt = false;
        numbered::remove_below(storage, dir, kept, format_spec::path::parse_manifest_name);
        Ok(())
    }

    /// Removes collection folders that the catalog does not name.
    ///
    /// # Errors
    /// `Corrupt` when such a folder holds writes though the catalog above was torn.
    pub(crate) fn remove_orphans(
        &self,
        storage: &dyn Storage,
        has_writes: impl Fn(CollectionId) -> Result<bool>,
    ) -> Result<()> {
        let named: BTreeSet<CollectionId> = self
            .current
            .collections
            .iter()
            .map(|entry| entry.id)
            .collect();
        for entry in storage.list(format_spec::path::COLLECTIONS_DIR)? {
            let Some(id) = format_spec::path::parse_collection_name(&entry.name) else {
                tracing::warn!(name = entry.name, "unknown file left alone");
                continue;
            };
            if !entry.is_dir || named.contains(&id) {
                continue;
            }
            if self.fell_back && has_writes(id)? {
                let path = format_spec::path::catalog_file(self.next - 1);
                let message = format!("does not verify, and collection {} needs it", entry.name);
                return Err(Error::damaged(path, message));
            }
            tracing::info!(
                collection = entry.name,
                "files of a dropped collection removed"
            );
            remove_collection(storage, id)?;
        }
        Ok(())
    }
}

/// Removes every file of known name below a collection's folder, and the folders that are empty
/// then. Foreign files stay, and with them their folder.
///
/// # Errors
/// What the disk says.
pub(crate) fn remove_collection(storage: &dyn Storage, id: CollectionId) -> Result<()> {
    let dir = format_spec::path::collection_dir(id);
    // DURABILITY: manifests go first, so that what a crash leaves of a dropped collection is never
    // taken for one that a torn catalog should have named.
    for shard in storage
        .list(&format_spec::path::shards_dir(id))
        .unwrap_or_default()
    {
        if let Some(shard) = format_spec::path::parse_shard_name(&shard.name) {
            let manifests = format_spec::path::manifest_dir(id, shard);
            if storage.exists(&manifests)? {
                remove_files(storage, &manifests)?;
                storage.sync_dir(&manifests)?;
            }
        }
    }
    remove_tree(storage, &dir)?;
    storage.sync_dir(format_spec::path::COLLECTIONS_DIR)
}

fn remove_files(storage: &dyn Storage, dir: &str) -> Result<()> {
    for entry in storage.list(dir)?.iter().filter(|entry| !entry.is_dir) {
        let path = format!("{dir}/{}", entry.name);
        if format_spec::path::DataPath::parse(&path).is_some() {
            remove_if_there(storage, &path)?;
        }
    }
    Ok(())
}

fn remove_tree(storage: &dyn Storage, dir: &str) -> Result<()> {
    for entry in storage.list(dir)? {
        let path = format!("{dir}/{}", entry.name);
        if entry.is_dir {
            remove_tree(storage, &path)?;
        } else if format_spec::path::DataPath::parse(&path).is_some() {
            remove_if_there(storage, &path)?;
        } else {
            tracing::warn!(path, "unknown file left alone");
        }
    }
    if storage.list(dir)?.is_empty() {
        storage.remove_dir(dir)?;
    }
    Ok(())
}

fn remove_if_there(storage: &dyn Storage, path: &str) -> Result<()> {
    match storage.remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
