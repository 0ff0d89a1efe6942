//! Part: one sealed file, mapped, its blocks verified on first touch.
//!
//! A part that is cold is mapped too, for its tables; its bulk is read as [`super::cold`] says, and
//! by jobs, in one pass through the map ([`Part::pass`]).
//!
//! # Invariants
//! - No byte of the body leaves this file before the block it lies in has been verified.
//! - A part that failed once stays damaged: the failure is kept and repeated.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use format_spec::container::PartLayout;
use format_spec::{CollectionId, DecodeError, PartEntry, PartId, PartKind, ShardId};

use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};
use crate::placement::{Held, Residency};
use crate::storage::{Advice, File, Map, Storage};

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
    place: RwLock<Place>,
    /// Held while the place changes, which may take as long as reading the file in.
    moving: Mutex<()>,
}

/// How a part is held.
#[derive(Clone, Default, Debug)]
struct Place {
    residency: Residency,
    /// The file, of a part that is cold.
    file: Option<Arc<dyn File>>,
    /// Whether the map is locked in memory.
    locked: bool,
}

/// Reading a part from start to end through its map; when it ends, a cold part is dropped from
/// the page cache.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Part>);

impl Drop for Pass {
    fn drop(&mut self) {
        // It may have been placed elsewhere meanwhile, and been advised otherwise.
        if self.0.is_cold() {
            self.0.map.advise_random();
            self.0.drop_cached();
        }
    }
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
        let identity = entry.identity(owner.0, owner.1);
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
            place: RwLock::default(),
            moving: Mutex::new(()),
        })
    }

    /// Holds the part as `residency` says; readers go on meanwhile. A cold part whose file cannot
    /// be opened stays cached until this is called again.
    pub(crate) fn place(&self, storage: &dyn Storage, residency: Residency) {
        let _turn = self.moving.lock();
        let before = self.place.read().clone();
        if before.residency == residency {
            return;
        }
        let place = self.moved(storage, residency);
        *self.place.write() = place;
        if before.locked {
            self.map.unpin();
        }
    }

    /// The place that `residency` says, with all that it takes done.
    fn moved(&self, storage: &dyn Storage, residency: Residency) -> Place {
        let (mut file, mut locked) = (None, false);
        match residency {
            Residency::Cold => match storage.open(&self.path) {
                Ok(opened) => {
                    opened.advise(Advice::Random, 0..self.entry.len);
                    self.map.advise_random();
                    file = Some(opened);
                }
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "part stays cached");
                    return Place::default();
                }
            },
            Residency::Cached => self.map.advise_normal(),
            Residency::Pinned => {
                self.map.advise_normal();
                locked = self.map.pin();
            }
        }
        Place {
            residency,
            file,
            locked,
        }
    }

    /// Whether the part is to stay on disk.
    pub(crate) fn is_cold(&self) -> bool {
        self.place.read().residency == Residency::Cold
    }

    /// The file to read a cold part from; `None` when it is mapped.
    pub(crate) fn cold_file(&self) -> Option<Arc<dyn File>> {
        self.place.read().file.clone()
    }

    /// Where its bytes are.
    pub(crate) fn held(&self) -> Held {
        let (bytes, place) = (self.entry.len, self.place.read());
        let in_place = |is: bool| if is { bytes } else { 0 };
        let cold = place.residency == Residency::Cold;
        Held {
            resident: 0,
            locked: in_place(place.locked),
            mapped: in_place(!cold && !place.locked),
            cold: in_place(cold),
        }
    }

    /// Begins to read a cold part from start to end through its map.
    pub(crate) fn pass(self: &Arc<Self>) -> Option<Pass> {
        self.is_cold().then(|| {
            self.map.advise_sequential();
            Pass(Arc::clone(self))
        })
    }

    /// Lets what the page cache has of a cold part go.
    pub(crate) fn drop_cached(&self) {
        if let Some(file) = self.cold_file() {
            self.map.advise_dontneed();
            file.advise(Advice::Drop, 0..self.entry.len);
        }
    }

    /// Takes the pages out of this process's memory, unless they are locked there: they were read
    /// once, to be verified or to be made something else of, and few of them will be again. What is
    /// touched comes back, as a rule from the page cache.
    pub(crate) fn let_pages_go(&self) {
        if self.place.read().residency != Residency::Pinned {
            self.map.advise_dontneed();
        }
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
            if !self.is_verified(block) {
                if let Some(damage) = self.damage() {
                    return Err(damage);
                }
                self.layout
                    .verify_block(&self.map, block)
                    .map_err(|error| self.damaged(error))?;
                self.note_verified(block);
            }
        }
        Ok(())
    }

    /// Verifies the blocks that `range` touches and that are not verified; `bytes` are those of the
    /// file from `start` on and hold these blocks whole.
    ///
    /// # Errors
    /// `Corrupt`, naming file and offset.
    pub(crate) fn verify_within(&self, range: &Range<u64>, bytes: &[u8], start: u64) -> Result<()> {
        for block in self.layout.blocks_of(range.clone()) {
            if self.is_verified(block) {
                continue;
            }
            let place = self.layout.block_range(block).unwrap_or_default();
            let at =
                |offset: u64| usize::try_from(offset.wrapping_sub(start)).unwrap_or(usize::MAX);
            let whole = bytes
                .get(at(place.start)..at(place.end))
                .unwrap_or_default();
            let checked = self
                .layout
                .stored_checksum(&self.map, block)
                .and_then(|stored| self.layout.verify_block_bytes(whole, block, stored));
            checked.map_err(|error| self.damaged(error))?;
            self.note_verified(block);
        }
        Ok(())
    }

    /// Whether a block is verified; one that there is not needs no verifying.
    pub(crate) fn is_verified(&self, block: u32) -> bool {
        let (word, bit) = place_of(block);
        let word = self.verified.get(word);
        word.is_none_or(|word| word.load(Ordering::Acquire) & bit != 0)
    }

    fn note_verified(&self, block: u32) {
        let (word, bit) = place_of(block);
        if let Some(word) = self.verified.get(word) {
            word.fetch_or(bit, Ordering::AcqRel);
        }
    }
}

/// Word and bit of a block.
fn place_of(block: u32) -> (usize, u64) {
    ((block / 64) as usize, 1_u64 << (block % 64))
}

/// The path of a part in the folder `dir`.
pub(crate) fn part_path(dir: &str, id: PartId, kind: PartKind) -> String {
    format!("{dir}/{}", format_spec::path::part_name(id, kind))
}
