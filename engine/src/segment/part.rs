//! Part: one sealed file, mapped, its blocks verified on first touch.
//!
//! # Invariants
//! - No byte of the body leaves this file before the block it lies in has been verified.
//! - A part that failed once stays damaged: the failure is kept and repeated.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use format_spec::container::{PartIdentity, PartLayout};
use format_spec::{CollectionId, DecodeError, PartEntry, PartId, PartKind, ShardId};

use crate::error::{Error, Result};
use crate::storage::{Map, Storage};

/// An open part file.
#[derive(Debug)]
pub(crate) struct Part {
    path: String,
    entry: PartEntry,
    map: Map,
    layout: PartLayout,
    /// A bit a block: verified.
    verified: Box<[AtomicU64]>,
    complete: AtomicBool,
    damage: OnceLock<DecodeError>,
}

impl Part {
    /// Maps the file and checks its length, header, footer and tables.
    ///
    /// # Errors
    /// `Corrupt` when the file is not what the manifest says, `Io` when it cannot be mapped.
    pub(crate) fn open(
        storage: &dyn Storage,
        dir: &str,
        entry: &PartEntry,
        owner: (CollectionId, ShardId),
    ) -> Result<Self> {
        let path = part_path(dir, entry.id, entry.kind);
        let map = storage.map(&path)?;
        let identity = PartIdentity {
            kind: entry.kind,
            part_id: entry.id,
            collection: owner.0,
            shard: owner.1,
            len: entry.len,
        };
        let layout =
            PartLayout::open(&map, &identity).map_err(|error| Error::corrupt(&path, error))?;
        let blocks = layout.block_count() as usize;
        let verified = (0..blocks.div_ceil(64))
            .map(|_| AtomicU64::new(0))
            .collect();
        Ok(Self {
            path,
            entry: entry.clone(),
            map,
            layout,
            verified,
            complete: AtomicBool::new(false),
            damage: OnceLock::new(),
        })
    }

    /// What the manifest says of the part.
    pub(crate) fn entry(&self) -> &PartEntry {
        &self.entry
    }

    /// The file.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Sections and blocks.
    pub(crate) fn layout(&self) -> &PartLayout {
        &self.layout
    }

    /// Why the part cannot be used, once that is known.
    pub(crate) fn damage(&self) -> Option<Error> {
        self.damage
            .get()
            .map(|&error| Error::corrupt(&self.path, error))
    }

    /// Records damage that a view found in verified bytes.
    pub(crate) fn damaged(&self, error: DecodeError) -> Error {
        Error::corrupt(&self.path, *self.damage.get_or_init(|| error))
    }

    /// The bytes of the whole file, every block of it verified.
    ///
    /// # Errors
    /// `Corrupt`, naming file and offset.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        if !self.complete.load(Ordering::Acquire) {
            self.verify(0..self.layout.block_count())?;
            self.complete.store(true, Ordering::Release);
        }
        Ok(&self.map)
    }

    /// The bytes of the file, of which the blocks of `range` are verified; no other may be used.
    ///
    /// # Errors
    /// `Corrupt`, naming file and offset.
    pub(crate) fn bytes_in(&self, range: Range<u64>) -> Result<&[u8]> {
        if !self.complete.load(Ordering::Acquire) {
            self.verify(self.layout.blocks_of(range))?;
        }
        Ok(&self.map)
    }

    /// Verifies the blocks of some sections; those a part does not have are the reader's to miss.
    ///
    /// # Errors
    /// `Corrupt`, naming file and offset.
    pub(crate) fn verify_sections(&self, tags: &[u32]) -> Result<()> {
        for range in tags.iter().filter_map(|&tag| self.layout.section(tag)) {
            self.bytes_in(range)?;
        }
        Ok(())
    }

    /// The bytes of the file as they are; only those of verified blocks may be used.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.map
    }

    fn verify(&self, blocks: Range<u32>) -> Result<()> {
        for block in blocks {
            let (word, bit) = ((block / 64) as usize, 1_u64 << (block % 64));
            let Some(word) = self.verified.get(word) else {
                break;
            };
            if word.load(Ordering::Acquire) & bit == 0 {
                if let Some(damage) = self.damage() {
                    return Err(damage);
                }
                self.layout
                    .verify_block(&self.map, block)
                    .map_err(|error| self.damaged(error))?;
                word.fetch_or(bit, Ordering::AcqRel);
            }
        }
        Ok(())
    }
}

/// The path of a part in the folder `dir`.
pub(crate) fn part_path(dir: &str, id: PartId, kind: PartKind) -> String {
    format!("{dir}/{}", format_spec::path::part_name(id, kind))
}
