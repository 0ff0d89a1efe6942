//! Retired: files that no kept manifest lists, waiting until no reader needs them.
//!
//! A part may be removed when neither the newest manifest nor the one before lists it, and no
//! snapshot holds it open. Holding is counted by the `Arc` of the open part: a snapshot keeps
//! its segments, and a segment its parts.

use std::collections::BTreeSet;
use std::sync::Weak;

use format_spec::{PartId, ShardManifest};

use crate::error::{ErrorKind, Result};
use crate::segment::Part;
use crate::storage::Storage;

/// Parts to remove, with a way to see whether somebody still reads them.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    parts: Vec<(String, PartId, Weak<Part>)>,
}

impl Retired {
    /// Notes a part that the newest manifest no longer lists.
    pub(crate) fn add(&mut self, path: String, id: PartId, part: Weak<Part>) {
        self.parts.push((path, id, part));
    }

    /// Files waiting.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Removes what nobody needs any more; returns how many files went.
    ///
    /// # Errors
    /// What the disk says; the rest stays noted.
    pub(crate) fn sweep(
        &mut self,
        storage: &dyn Storage,
        kept: &[&ShardManifest],
    ) -> Result<usize> {
        let listed: BTreeSet<PartId> = kept
            .iter()
            .flat_map(|manifest| &manifest.segments)
            .flat_map(|segment| segment.parts.iter().map(|part| part.id))
            .collect();
        let mut removed = 0;
        let mut at = 0;
        while at < self.parts.len() {
            let (path, id, part) = &self.parts[at];
            if listed.contains(id) || part.strong_count() > 0 {
                at += 1;
                continue;
            }
            match storage.remove_file(path) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.parts.swap_remove(at);
        }
        Ok(removed)
    }
}
