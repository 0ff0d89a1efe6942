//! Payload blocks: how the payload and patch chapters store many payloads compressed.
//!
//! # Invariants
//! - Packing is greedy, so the same payloads give the same raw blocks.
//! - A block is decompressed to exactly the length its index entry says, never more.

use std::cell::RefCell;
use std::io::Write;
use std::ops::Range;

use zstd::bulk::Decompressor;

use crate::bytes::Reader;
use crate::container::{PartLayout, PartWriter, WriteError, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{failed, opened, out_of_range, require_equal, slice};

/// Stored payload blocks.
pub(crate) const DATA: u32 = tag(b"DATA");
/// Where each of them is.
pub(crate) const INDEX: u32 = tag(b"INDX");

/// Most raw bytes of a block of more than one payload: what reading one row has to decompress.
const SHARED_BLOCK_MAX: usize = 16_384;
/// Most raw bytes of any block.
const BLOCK_MAX: u64 = 1 << 28;
const ENTRY_LEN: u64 = 16;
/// zstd's default level: about 300 MB/s, which keeps flushing bound by the disk.
const LEVEL: i32 = 3;

/// Packs payloads into blocks and writes them to the current section.
pub(crate) struct BlockPacker {
    ends: Vec<u32>,
    payloads: Vec<u8>,
    index: Vec<u8>,
    rows: u32,
    raw_bytes: u64,
    compressor: zstd::bulk::Compressor<'static>,
}

impl std::fmt::Debug for BlockPacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockPacker")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl BlockPacker {
    pub(crate) fn new() -> Result<Self, WriteError> {
        Ok(Self {
            ends: Vec::new(),
            payloads: Vec::new(),
            index: Vec::new(),
            rows: 0,
            raw_bytes: 0,
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
        })
    }

    /// Payloads so far.
    pub(crate) const fn rows(&self) -> u32 {
        self.rows
    }

    /// Raw bytes of all blocks written.
    pub(crate) const fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Blocks written.
    pub(crate) fn blocks(&self) -> u32 {
        u32::try_from(self.index.len() as u64 / ENTRY_LEN).unwrap_or(u32::MAX)
    }

    pub(crate) fn push<W: Write>(
        &mut self,
        part: &mut PartWriter<W>,
        payload: &[u8],
    ) -> Result<(), WriteError> {
        let len = payload.len();
        if len as u64 + 4 > BLOCK_MAX {
            return Err(WriteError::invalid(
                "payload bytes",
                len as u64,
                "at most 2^28 - 4",
            ));
        }
        let rows = self.rows.checked_add(1);
        let rows = rows.ok_or(WriteError::invalid(
            "rows",
            self.rows.into(),
            "at most 2^32 - 1",
        ))?;
        let raw = 4 * (self.ends.len() + 1) + self.payloads.len() + len;
        if raw > SHARED_BLOCK_MAX && !self.ends.is_empty() {
            self.flush(part)?;
        }
        self.payloads.extend_from_slice(payload);
        self.ends
            .push(u32::try_from(self.payloads.len()).unwrap_or(u32::MAX));
        self.rows = rows;
        Ok(())
    }

    /// Writes the block that is being packed, if it has a payload.
    pub(crate) fn flush<W: Write>(&mut self, part: &mut PartWriter<W>) -> Result<(), WriteError> {
        if self.ends.is_empty() {
            return Ok(());
        }
        let mut raw = Vec::with_capacity(4 * self.ends.len() + self.payloads.len());
        raw.extend(self.ends.iter().flat_map(|end| end.to_le_bytes()));
        raw.append(&mut self.payloads);
        let packed = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        self.index
            .extend_from_slice(&part.section_len().to_le_bytes());
        self.index
            .extend_from_slice(&(self.rows - packed).to_le_bytes());
        let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        self.index.extend_from_slice(&raw_len.to_le_bytes());
        self.raw_bytes += raw.len() as u64;
        self.ends.clear();
        let frame = self.compressor.compress(&raw)?;
        part.write(if frame.len() < raw.len() {
            &frame
        } else {
            &raw
        })?;
        Ok(())
    }

    /// The index section. Everything must be flushed and `DATA` still be the current section.
    pub(crate) fn index<W: Write>(&self, part: &PartWriter<W>) -> Vec<u8> {
        let mut index = self.index.clone();
        index.extend_from_slice(&part.section_len().to_le_bytes());
        index.extend_from_slice(&self.rows.to_le_bytes());
        index.extend_from_slice(&0_u32.to_le_bytes());
        index
    }
}

/// An entry of the index.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Entry {
    offset: u64,
    first_row: u32,
    raw_len: u32,
}

impl Entry {
    fn decode(bytes: &[u8; 16], at: u64) -> Result<Self, DecodeError> {
        let mut reader = Reader::starting_at(bytes, at);
        Ok(Self {
            offset: reader.u64("block offset")?,
            first_row: reader.u32("first_row")?,
            raw_len: reader.u32("raw_len")?,
        })
    }
}

/// Where the payload blocks of a part are.
#[derive(Clone, Debug)]
pub(crate) struct BlocksLayout {
    data: Range<u64>,
    index: Range<u64>,
}

impl BlocksLayout {
    /// Checks the index: `blocks` blocks of `rows` payloads and `raw_bytes` in all.
    pub(crate) fn open(
        part: &PartLayout,
        bytes: &[u8],
        figures: (u32, u32, u64),
    ) -> Result<Self, DecodeError> {
        let (blocks, rows, raw_bytes) = figures;
        let data = part.required_section(DATA)?;
        let index = part.required_section(INDEX)?;
        let len = ENTRY_LEN * (u64::from(blocks) + 1);
        require_equal(index.end - index.start, len, index.start, "payload index")?;
        let entries = slice(bytes, &index, "payload index")?.as_chunks::<16>().0;
        let mut sum = 0_u64;
        let mut at = index.start;
        let mut before: Option<Entry> = None;
        for bytes in entries {
            let entry = Entry::decode(bytes, at)?;
            match before {
                None => {
                    require_equal(entry.offset, 0, at, "first block offset")?;
                    require_equal(entry.first_row.into(), 0, at + 8, "first row")?;
                }
                Some(before) => {
                    check_block(before, entry, at)?;
                    sum += u64::from(before.raw_len);
                }
            }
            before = Some(entry);
            at += ENTRY_LEN;
        }
        let at = index.end - ENTRY_LEN;
        if let Some(last) = before {
            require_equal(last.offset, data.end - data.start, at, "last block offset")?;
            require_equal(last.first_row.into(), rows.into(), at + 8, "last row")?;
            require_equal(last.raw_len.into(), 0, at + 12, "last raw_len")?;
        }
        require_equal(raw_bytes, sum, at, "raw_bytes")?;
        Ok(Self { data, index })
    }

    pub(crate) const fn data(&self) -> &Range<u64> {
        &self.data
    }

    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> BlocksView<'a> {
        BlocksView {
            data: opened(bytes, &self.data),
            data_at: self.data.start,
            entries: opened(bytes, &self.index).as_chunks().0,
            index_at: self.index.start,
        }
    }
}

/// One block, from its entry and the next one, at `at`.
fn check_block(entry: Entry, next: Entry, at: u64) -> Result<(), DecodeError> {
    if next.offset <= entry.offset || next.first_row <= entry.first_row {
        return Err(failed(at, "payload index", Why::Order));
    }
    let raw_len = u64::from(entry.raw_len);
    let rows = u64::from(next.first_row - entry.first_row);
    let least = (4 * rows).max(next.offset - entry.offset);
    let most = if rows > 1 {
        SHARED_BLOCK_MAX as u64
    } else {
        BLOCK_MAX
    };
    if raw_len < least || raw_len > most {
        let at = at - ENTRY_LEN + 12;
        return Err(out_of_range(at, "raw_len", raw_len, (least, most)));
    }
    Ok(())
}

/// Payload blocks, read in place.
#[derive(Copy, Clone, Debug)]
pub(crate) struct BlocksView<'a> {
    data: &'a [u8],
    data_at: u64,
    entries: &'a [[u8; 16]],
    index_at: u64,
}

impl BlocksView<'_> {
    /// Number of blocks.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.entries.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn entry(&self, n: usize) -> Option<Entry> {
        Entry::decode(self.entries.get(n)?, 0).ok()
    }

    /// The block that has a row, if there is such a row.
    pub(crate) fn block_of(&self, row: u32) -> Option<u32> {
        let begun = |bytes: &[u8; 16]| {
            let [.., a, b, c, d, _, _, _, _] = *bytes;
            u32::from_le_bytes([a, b, c, d]) <= row
        };
        let after = self.entries.partition_point(begun);
        let block = u32::try_from(after.checked_sub(1)?).ok()?;
        (block < self.len()).then_some(block)
    }

    /// The rows of a block; an empty range if there is no such block.
    pub(crate) fn rows_of(&self, n: u32) -> Range<u32> {
        let n = n as usize;
        match (self.entry(n), self.entry(n + 1)) {
            (Some(entry), Some(next)) => entry.first_row..next.first_row,
            _ => 0..0,
        }
    }

    /// Where a block is in the file; an empty range if there is no such block.
    pub(crate) fn range_of(&self, n: u32) -> Range<u64> {
        let n = n as usize;
        match (self.entry(n), self.entry(n + 1)) {
            (Some(entry), Some(next)) => {
                self.data_at.saturating_add(entry.offset)..self.data_at.saturating_add(next.offset)
            }
            _ => 0..0,
        }
    }

    /// Replaces `out` by the raw block `n` and checks its table of ends.
    pub(crate) fn decompress(&self, n: u32, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let range = self.range_of(n);
        let within = |at: u64| at.saturating_sub(self.data_at);
        let range = within(range.start)..within(range.end);
        self.decompress_stored(n, slice(self.data, &range, "payload block")?, out)
    }

    /// As [`Self::decompress`], from the bytes of the block, read on their own.
    pub(crate) fn decompress_stored(
        &self,
        n: u32,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        out.clear();
        let at = self.index_at + ENTRY_LEN * u64::from(n);
        let count = u64::from(self.len());
        let missing = || out_of_range(at, "payload block", n.into(), (0, count.saturating_sub(1)));
        let entry = self.entry(n as usize).ok_or_else(missing)?;
        let next = self.entry(n as usize + 1).ok_or_else(missing)?;
        let at = self.data_at + entry.offset;
        let len = next.offset.saturating_sub(entry.offset);
        require_equal(stored.len() as u64, len, at, "payload block")?;
        let raw_len = entry.raw_len as usize;
        if stored.len() == raw_len {
            out.extend_from_slice(stored);
        } else {
            inflate(stored, raw_len, out).map_err(|()| failed(at, "payload block", Why::Zstd))?;
        }
        require_equal(out.len() as u64, raw_len as u64, at, "payload block")?;
        let rows = next.first_row.saturating_sub(entry.first_row) as usize;
        let (ends, payloads) = table(out, rows).ok_or(failed(at, "payload ends", Why::Order))?;
        let mut ends = ends.iter().map(|end| u32::from_le_bytes(*end));
        if !ends.clone().is_sorted() || ends.next_back() != u32::try_from(payloads.len()).ok() {
            out.clear();
            return Err(failed(at, "payload ends", Why::Order));
        }
        Ok(())
    }

    /// Decompresses every block and gives each payload to `take`; checks what opening leaves out:
    /// that rows are packed greedily, and that a stored block is one frame and nothing else.
    pub(crate) fn verify(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut raw = Vec::new();
        let mut room = None;
        for n in 0..self.len() {
            self.decompress(n, &mut raw)?;
            let range = self.range_of(n);
            let stored = slice(
                self.data,
                &(range.start - self.data_at..range.end - self.data_at),
                "payload block",
            )?;
            let frame = zstd::zstd_safe::find_frame_compressed_size(stored);
            if stored.len() != raw.len() && frame != Ok(stored.len()) {
                return Err(failed(range.start, "payload block", Why::Zstd));
            }
            for (nth, row) in self.rows_of(n).enumerate() {
                let payload = self.slice(row, &raw)?;
                let fits = room.is_some_and(|room| 4 + payload.len() <= room);
                if nth == 0 && fits {
                    return Err(failed(range.start, "payload block", Why::Order));
                }
                take(payload)?;
            }
            room = Some(SHARED_BLOCK_MAX.saturating_sub(raw.len()));
        }
        Ok(())
    }

    /// The payload of a row in `raw`, its block as `decompress` gave it.
    pub(crate) fn slice<'b>(&self, row: u32, raw: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        let missing = failed(self.index_at, "payload row", Why::Order);
        let block = self.block_of(row).ok_or(missing)?;
        let rows = self.rows_of(block);
        let (ends, payloads) = table(raw, rows.len()).ok_or(missing)?;
        let index = row.checked_sub(rows.start).ok_or(missing)? as usize;
        let end_of = |index: usize| ends.get(index).map(|end| u32::from_le_bytes(*end) as usize);
        let start = index
            .checked_sub(1)
            .map_or(Some(0), end_of)
            .ok_or(missing)?;
        let end = end_of(index).ok_or(missing)?;
        payloads.get(start..end).ok_or(missing)
    }
}

/// The table of ends and the payloads of a raw block of `rows` payloads.
fn table(raw: &[u8], rows: usize) -> Option<(&[[u8; 4]], &[u8])> {
    let (ends, payloads) = raw.split_at_checked(rows.checked_mul(4)?)?;
    Some((ends.as_chunks().0, payloads))
}

thread_local! {
    /// Kept, because making one takes 150 KiB of memory, and a third of the time of a block.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn inflate(stored: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<(), ()> {
    out.resize(raw_len, 0);
    let written = DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().map_err(|_| ())?),
        };
        let written = decompressor.decompress_to_buffer(stored, out.as_mut_slice());
        written.map_err(|_| ())
    })?;
    out.truncate(written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::{layout, writer};
    use crate::ids::SeqNo;
    use crate::path::PartKind;
    use crate::payload::{PayloadBuilder, PayloadLayout, PayloadView};
    use proptest::prelude::*;

    const KIND: PartKind = PartKind::Payload;

    fn part(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = PayloadBuilder::new(writer(KIND), SeqNo(77)).unwrap();
        payloads
            .iter()
            .for_each(|payload| builder.push(payload).unwrap());
        builder.finish().unwrap().0
    }

    fn check(payloads: &[Vec<u8>]) -> u32 {
        let bytes = part(payloads);
        let opened = PayloadLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
        assert_eq!(
            (opened.len() as usize, opened.exact_for()),
            (payloads.len(), SeqNo(77))
        );
        let view = opened.view(&bytes);
        let mut block = Vec::new();
        let mut loaded = None;
        for (row, payload) in (0..).zip(payloads) {
            let n = view.block_of(row).unwrap();
            assert!(view.rows_of(n).contains(&row));
            if loaded != Some(n) {
                view.decompress_block(n, &mut block).unwrap();
                loaded = Some(n);
            }
            assert_eq!(view.slice(row, &block), Ok(&payload[..]));
        }
        assert_eq!(view.block_of(view.len()), None);
        assert!(
            view.decompress_block(view.block_count(), &mut block)
                .is_err()
        );
        view.block_count()
    }

    #[test]
    fn payloads_of_all_sizes_round_trip() {
        assert_eq!(check(&[]), 0);
        assert_eq!(check(&[vec![]]), 1);
        assert_eq!(check(&[vec![1; 16_380]]), 1);
        assert_eq!(check(&[vec![1; 16_376], vec![]]), 1);
        assert_eq!(check(&[vec![1; 16_377], vec![]]), 2);
        assert_eq!(check(&[vec![], vec![9; 300_000], vec![]]), 3);
        assert_eq!(check(&vec![vec![]; 4_096]), 1);
        assert_eq!(check(&vec![vec![]; 4_097]), 2);
    }

    fn noise(len: usize, mut seed: u64) -> Vec<u8> {
        let mut next = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            (seed >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn what_zstd_cannot_shorten_is_stored_as_it_is() {
        let payloads = [noise(3000, 1)];
        check(&payloads);
        let bytes = part(&payloads);
        let opened = PayloadLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
        assert_eq!(opened.data_range().end - opened.data_range().start, 3004);
        assert_eq!(opened.raw_bytes(), 3004);
    }

    #[test]
    fn a_frame_of_another_length_is_refused() {
        let bytes = part(&[vec![5; 5000]]);
        let opened = PayloadLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
        let index = layout(KIND, &bytes).section(INDEX).unwrap().start as usize;
        for raw_len in [4_u32, 5003, 5005, 60_000] {
            let mut damaged = bytes.clone();
            damaged[index + 12..index + 16].copy_from_slice(&raw_len.to_le_bytes());
            let error = opened
                .view(&damaged)
                .decompress_block(0, &mut Vec::new())
                .unwrap_err();
            assert!(
                !matches!(error.why, Why::Checksum { .. }),
                "{raw_len}: {error}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn payloads_round_trip(
            lens in prop::collection::vec(
                prop_oneof![9 => 0..200_usize, 2 => 0..9000_usize, 1 => 0..90_000_usize],
                0..60,
            ),
            seed: u64,
        ) {
            let payloads: Vec<_> = (seed..)
                .zip(&lens)
                .map(|(seed, &len)| if seed % 3 == 0 { vec![7; len] } else { noise(len, seed) })
                .collect();
            check(&payloads);
        }

        // Blocks are verified lazily, so the codec must stand on its own over any bytes.
        #[test]
        fn damaged_blocks_never_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            row in 0..40_u32,
        ) {
            let payloads: Vec<_> = (0..30).map(|n| noise(n * 100, 5)).collect();
            let bytes = part(&payloads);
            let opened = PayloadLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
            let mut damaged = bytes.clone();
            for (at, byte) in damage {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
            let view: PayloadView<'_> = opened.view(&damaged);
            let mut block = Vec::new();
            for n in 0..view.block_count() {
                if view.decompress_block(n, &mut block).is_ok() {
                    let _ = view.slice(row, &block);
                }
            }
        }
    }
}
