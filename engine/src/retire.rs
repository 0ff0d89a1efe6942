//! Retiring files: a part goes when no kept manifest lists it and no snapshot holds it open.
//!
//! Holding is counted by the `Arc` of the open part (`publish.rs`): a snapshot keeps its segments,
//! and a segment its parts. A part that was never opened has no readers.

use std::collections::BTreeSet;
use std::sync::Arc;

use format_spec::{PartId, ShardManifest};

use crate::error::{ErrorKind, Result};
use crate::publish::Retired;
use crate::segment::Part;
use crate::storage::Storage;

/// A file to remove, and what its readers share, if it was ever opened.
#[derive(Debug)]
pub(crate) struct RetiredFile {
    path: String,
    id: PartId,
}

/// The files of a shard that wait for removal.
#[derive(Debug, Default)]
pub(crate) struct RetiredFiles {
    open: Retired<Part>,
    unopened: Vec<RetiredFile>,
}

impl RetiredFiles {
    /// Notes an open part that the newest manifest no longer lists.
    pub(crate) fn add_open(&mut self, part: Arc<Part>) {
        self.open.add(part);
    }

    /// Notes a part that nobody has open.
    pub(crate) fn add_unopened(&mut self, path: String, id: PartId) {
        self.unopened.push(RetiredFile { path, id });
    }

    /// Files waiting.
    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.unopened.len()
    }

    /// Removes what nobody needs any more.
    ///
    /// # Errors
    /// What the disk says, the first time; files that could not be removed wait on.
    pub(crate) fn sweep(&mut self, storage: &dyn Storage, kept: &[&ShardManifest]) -> Result<()> {
        let segments = kept.iter().flat_map(|manifest| &manifest.segments);
        let listed: BTreeSet<PartId> = segments
            .flat_map(|segment| segment.parts.iter().map(|part| part.id))
            .collect();
        let free = self.open.sweep(|part| listed.contains(&part.entry().id));
        let (stay, go) = std::mem::take(&mut self.unopened)
            .into_iter()
            .partition::<Vec<_>, _>(|file| listed.contains(&file.id));
        self.unopened = stay;
        let closed = free.iter().map(|part| RetiredFile {
            path: part.path().to_owned(),
            id: part.entry().id,
        });
        let mut swept = Ok(());
        for file in closed.chain(go) {
            match storage.remove_file(&file.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    swept = swept.and(Err(error));
                    self.unopened.push(file);
                }
                _ => {}
            }
        }
        swept
    }
}

#[cfg(test)]
mod tests {
    use format_spec::{CollectionId, Epoch, SeqNo, ShardId};

    use super::*;
    use crate::storage::sim::{Fault, OpKind, SimDisk};

    fn nothing_listed() -> ShardManifest {
        ShardManifest {
            number: 1,
            shard: ShardId(0),
            collection: CollectionId(1),
            epoch: Epoch(0),
            flushed: SeqNo(0),
            hash_range: (0, u64::MAX),
            next_part: 9,
            next_segment: 1,
            first_wal: 1,
            segments: Vec::new(),
        }
    }

    #[test]
    fn a_file_that_cannot_be_removed_waits_and_holds_up_no_other() {
        let disk = SimDisk::new();
        disk.create_dir("parts").unwrap();
        let mut retired = RetiredFiles::default();
        for id in 1..=5 {
            let path = format!("parts/{id}");
            disk.create(&path).unwrap();
            retired.add_unopened(path, PartId(id));
        }
        let manifest = nothing_listed();
        disk.inject(Fault::once(OpKind::Remove, 1));
        let failed = retired.sweep(&disk, &[&manifest]).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Io);
        assert_eq!((disk.files().len(), retired.len()), (1, 1));
        disk.clear_faults();
        retired.sweep(&disk, &[&manifest]).unwrap();
        assert_eq!((disk.files().len(), retired.len()), (0, 0));
    }
}
