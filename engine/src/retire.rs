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
