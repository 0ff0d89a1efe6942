//! Foreign files: what lies in a folder of ours and has no name of ours.
//!
//! # Invariants
//! - Such files are named in the log and left alone.

use format_spec::path;

use crate::error::Result;
use crate::shard::ShardName;
use crate::storage::{Storage, parent};

/// Warns of what does not belong directly into the data directory.
///
/// # Errors
/// What the disk says.
pub(crate) fn warn_in_root(storage: &dyn Storage) -> Result<()> {
    warn(storage, "", &in_root)
}

/// Warns of what belongs into none of the folders above the files of a shard.
///
/// # Errors
/// What the disk says.
pub(crate) fn warn_around(storage: &dyn Storage, name: ShardName) -> Result<()> {
    let shards = path::shards_dir(name.collection);
    let of_collection = |name: &str| shards.rsplit('/').next() == Some(name);
    let shard = path::shard_dir(name.collection, name.shard);
    warn(storage, parent(&shards), &of_collection)?;
    warn(storage, &shards, &|name| {
        path::parse_shard_name(name).is_some()
    })?;
    warn(storage, &shard, &in_shard)
}

fn in_root(name: &str) -> bool {
    [path::LOCK, path::CATALOG_DIR, path::COLLECTIONS_DIR].contains(&name)
}

fn in_shard(name: &str) -> bool {
    [path::WAL_DIR, path::MANIFEST_DIR, path::PARTS_DIR].contains(&name)
}

fn warn(storage: &dyn Storage, dir: &str, ours: &dyn Fn(&str) -> bool) -> Result<()> {
    for name in foreign(storage, dir, ours)? {
        tracing::warn!(dir, name, "unknown file left alone");
    }
    Ok(())
}

fn foreign(storage: &dyn Storage, dir: &str, ours: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
    let names = storage.list(dir)?.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| !ours(name)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use format_spec::{CollectionId, Schema, ShardId};

    use super::*;
    use crate::storage::sim::SimDisk;
    use crate::{Clock, Db, ManualClock, Settings};

    #[test]
    fn only_what_is_not_ours_is_foreign() {
        let disk = SimDisk::new();
        let settings = || Settings {
            workers: 0,
            build_threads: 1,
            soft_free_bytes: 0,
            ..Settings::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1));
        let open = || Db::open(Arc::new(disk.clone()), Arc::clone(&clock), settings()).unwrap();
        let db = open();
        db.create_collection("c", Schema::default()).unwrap();
        let collection: CollectionId = db.collection("c").unwrap().id();
        let shard = path::shard_dir(collection, ShardId(0));
        assert!(foreign(&disk, "", &in_root).unwrap().is_empty());
        assert!(foreign(&disk, &shard, &in_shard).unwrap().is_empty());
        disk.create("notes.txt").unwrap();
        disk.create(&format!("{shard}/core")).unwrap();
        assert_eq!(foreign(&disk, "", &in_root).unwrap(), ["notes.txt"]);
        assert_eq!(foreign(&disk, &shard, &in_shard).unwrap(), ["core"]);
        drop(db);
        drop(open());
        assert!(disk.exists("notes.txt").unwrap(), "left alone");
    }
}
