//! PayloadReader: the payloads of one source, block by block.
//!
//! # Invariants
//! - A block is decompressed once while neighbouring rows are asked for; of hits it is kept for
//!   those that come next ([`PayloadCache`]).
//! - Of a cold part the blocks that follow each other are read [`AHEAD`] at once; memory for what
//!   was read and not asked for is bounded by that, or by what [`PayloadReader::prefetch`] was
//!   given.

use std::collections::BTreeMap;
use std::sync::Arc;

use format_spec::payload::PayloadView;
use format_spec::{EMPTY_PAYLOAD, Row};

use crate::error::Result;
use crate::payload_cache::{BlockKey, PayloadCache};
use crate::segment::{Part, Payloads};
use crate::source::{Source, no_row};
use crate::storage::File;
use crate::version::SegmentState;

/// Blocks read at once while rows are read in order.
const AHEAD: u32 = 16;

/// The last block that was decompressed.
#[derive(Debug, Default)]
struct Block {
    number: Option<u32>,
    /// Shared with the cache of hits, if that has it.
    bytes: Arc<Vec<u8>>,
}

impl Block {
    /// Room to decompress another block into.
    fn room(&mut self) -> &mut Vec<u8> {
        self.number = None;
        if Arc::get_mut(&mut self.bytes).is_none() {
            self.bytes = Arc::default();
        }
        Arc::make_mut(&mut self.bytes)
    }
}

/// Reads the payloads of one source, keeping the last blocks it decompressed.
#[derive(Debug)]
pub struct PayloadReader<'a> {
    source: &'a Source,
    sealed: Block,
    patched: Block,
    /// Whether cold payloads are read through the map all the same.
    mapped: bool,
    /// Whether patches are passed over.
    unpatched: bool,
    /// Where the blocks of hits are kept, and the part in it.
    cache: Option<(&'a PayloadCache, u128)>,
    /// Blocks of a cold part that were read and not yet asked for, as they are stored.
    ahead: BTreeMap<u32, Vec<u8>>,
    /// Blocks read from the file so far, and their bytes.
    cold: (u64, u64),
}

impl<'a> PayloadReader<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self {
            source,
            sealed: Block::default(),
            patched: Block::default(),
            mapped: false,
            unpatched: false,
            cache: None,
            ahead: BTreeMap::new(),
            cold: (0, 0),
        }
    }

    /// Looks for blocks among those of earlier hits, and leaves them there.
    pub(crate) fn keeping(source: &'a Source) -> Self {
        let cache = match source {
            Source::Memtable(_) => None,
            Source::Segment(view) => view.0.segment.payload_cache(),
        };
        Self {
            cache,
            ..Self::new(source)
        }
    }

    /// Reads through the map, cold or not.
    pub(crate) fn mapped(source: &'a Source) -> Self {
        Self {
            mapped: true,
            ..Self::new(source)
        }
    }

    /// Passes over patches.
    pub(crate) fn unpatched(source: &'a Source) -> Self {
        Self {
            unpatched: true,
            ..Self::new(source)
        }
    }

    /// Blocks read from the file of a cold part so far, and their bytes as they are stored.
    pub fn cold_reads(&self) -> (u64, u64) {
        self.cold
    }

    /// Reads the payloads of `rows` at once where they are cold; each is then to be asked for in
    /// row order. A hint of which rows come next.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn prefetch(&mut self, rows: &[Row]) -> Result<()> {
        let Source::Segment(view) = self.source else {
            return Ok(());
        };
        let Payloads { part, view: blocks } = view.0.segment.payload()?;
        let Some(file) = part.cold_file().filter(|_| !self.mapped) else {
            return Ok(());
        };
        let sealed = rows.iter().filter(|&&row| !view.0.patches.rows.get(row));
        let mut numbers: Vec<u32> = sealed.filter_map(|&row| blocks.block_of(row)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|&number| self.sealed.number != Some(number));
        if let Some((cache, part)) = self.cache {
            numbers.retain(|&block| !cache.has(BlockKey { part, block }));
        }
        let ahead = (&mut self.ahead, &mut self.cold);
        read_ahead(part, &file, &blocks, &numbers, ahead)
    }

    /// The whole payload of `row`, an encoded object, with patches honoured unless this reader
    /// passes over them.
    ///
    /// # Errors
    /// `Corrupt` when a part does not verify.
    pub fn get(&mut self, row: Row) -> Result<&[u8]> {
        match self.source {
            Source::Memtable(view) => Ok(view.payload(row)),
            Source::Segment(view) if !self.unpatched && view.0.patches.rows.get(row) => {
                match view.0.patches.delta.get(row) {
                    Some(patch) => Ok(&patch.payload),
                    None => self.patched(&view.0, row),
                }
            }
            Source::Segment(view) => self.sealed(&view.0, row),
        }
    }

    fn sealed(&mut self, state: &SegmentState, row: Row) -> Result<&[u8]> {
        let Payloads { part, view } = state.segment.payload()?;
        let Some(number) = view.block_of(row) else {
            return Ok(EMPTY_PAYLOAD);
        };
        if self.sealed.number != Some(number) && !self.take_kept(number) {
            self.decompress(part, &view, number)?;
            if let Some((cache, part)) = self.cache {
                let key = BlockKey {
                    part,
                    block: number,
                };
                cache.put(key, &self.sealed.bytes);
            }
        }
        view.slice(row, &self.sealed.bytes)
            .map_err(|error| part.damaged(error))
    }

    /// Takes a block that earlier hits have left; false when there is none.
    fn take_kept(&mut self, block: u32) -> bool {
        let kept = self.cache;
        let kept = kept.and_then(|(cache, part)| cache.get(BlockKey { part, block }));
        let Some(bytes) = kept else {
            return false;
        };
        self.sealed = Block {
            number: Some(block),
            bytes,
        };
        true
    }

    fn decompress(&mut self, part: &Part, view: &PayloadView<'_>, number: u32) -> Result<()> {
        let before = self.sealed.number;
        let room = self.sealed.room();
        let decompressed = match part.cold_file().filter(|_| !self.mapped) {
            None => {
                part.bytes_in(view.block_range(number))?;
                view.decompress_block(number, room)
            }
            Some(file) => {
                if !self.ahead.contains_key(&number) {
                    let follows = before.is_some_and(|before| before + 1 == number);
                    let count = if follows { AHEAD } else { 1 };
                    let end = number.saturating_add(count).min(view.block_count());
                    let numbers: Vec<u32> = (number..end).collect();
                    let ahead = (&mut self.ahead, &mut self.cold);
                    read_ahead(part, &file, view, &numbers, ahead)?;
                }
                let stored = self.ahead.remove(&number).unwrap_or_default();
                view.decompress_stored(number, &stored, room)
            }
        };
        decompressed.map_err(|error| part.damaged(error))?;
        self.sealed.number = Some(number);
        Ok(())
    }

    fn patched(&mut self, state: &SegmentState, row: Row) -> Result<&[u8]> {
        let found = state.segment.patches()?.zip(state.segment.patch_part());
        let place = found.and_then(|(view, part)| {
            let position = view.position(row)?;
            Some((view, part, position, view.block_of(position)?))
        });
        // A patched row is in the delta or in the patch part.
        let Some((view, part, position, number)) = place else {
            return Err(no_row(row));
        };
        let block = &mut self.patched;
        if block.number != Some(number) {
            view.decompress_block(number, block.room())
                .map_err(|error| part.damaged(error))?;
            block.number = Some(number);
        }
        view.slice(position, &block.bytes)
            .map_err(|error| part.damaged(error))
    }
}

/// Reads blocks in one batch, in the place of those read before, and counts them.
fn read_ahead(
    part: &Part,
    file: &Arc<dyn File>,
    view: &PayloadView<'_>,
    numbers: &[u32],
    (ahead, (reads, read)): (&mut BTreeMap<u32, Vec<u8>>, &mut (u64, u64)),
) -> Result<()> {
    ahead.clear();
    let ranges: Vec<_> = numbers
        .iter()
        .map(|&number| view.block_range(number))
        .collect();
    part.fetch(file, &ranges, |at, bytes| {
        *reads += 1;
        *read += bytes.len() as u64;
        ahead.insert(numbers[at], bytes.to_vec());
    })
}
