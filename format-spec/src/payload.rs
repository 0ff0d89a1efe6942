#![doc = include_str!("../docs/09-payload.md")]

use std::io::Write;
use std::ops::Range;

use crate::container::{PartLayout, PartSummary, PartWriter, WriteError, tag};
use crate::error::DecodeError;
use crate::fields::{exact, rest_is_zero};
use crate::ids::{Row, SeqNo};
use crate::path::PartKind;
use crate::payload_blocks::{self, BlockPacker, BlocksLayout, BlocksView};

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// Stored payload blocks.
pub const DATA: u32 = payload_blocks::DATA;
/// Where each of them is.
pub const INDEX: u32 = payload_blocks::INDEX;
/// The figures of the part.
pub const META: u32 = tag(b"META");
/// The sections whose blocks must be verified before [`PayloadLayout::open`].
pub const VERIFIED_BEFORE_OPEN: [u32; 2] = [INDEX, META];

const META_LEN: u64 = 64;

/// Writes a payload part, row by row.
#[derive(Debug)]
pub struct PayloadBuilder<W> {
    part: PartWriter<W>,
    packer: BlockPacker,
    exact_for: SeqNo,
}

impl<W: Write> PayloadBuilder<W> {
    /// Begins the part; patches up to `exact_for` are folded into what will be pushed.
    ///
    /// # Errors
    /// The sink's, and zstd's if memory is short.
    pub fn new(mut part: PartWriter<W>, exact_for: SeqNo) -> Result<Self, WriteError> {
        part.begin_section(DATA)?;
        Ok(Self {
            part,
            packer: BlockPacker::new()?,
            exact_for,
        })
    }

    /// Payload blocks that are full; the next row may still end one more.
    pub fn blocks(&self) -> u32 {
        self.packer.blocks()
    }

    /// Adds the encoded payload of the next row.
    ///
    /// # Errors
    /// The sink's; `Invalid` if it is longer than 2^28 - 4 bytes.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        self.packer.push(&mut self.part, payload)
    }

    /// Writes what is left of the part.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self) -> Result<(W, PartSummary), WriteError> {
        self.packer.flush(&mut self.part)?;
        let index = self.packer.index(&self.part);
        self.part.begin_section(INDEX)?;
        self.part.write(&index)?;
        let mut meta = Vec::with_capacity(64);
        meta.extend_from_slice(&self.packer.rows().to_le_bytes());
        meta.extend_from_slice(&self.packer.blocks().to_le_bytes());
        meta.extend_from_slice(&self.exact_for.0.to_le_bytes());
        meta.extend_from_slice(&self.packer.raw_bytes().to_le_bytes());
        meta.extend_from_slice(&[0; 40]);
        self.part.begin_section(META)?;
        self.part.write(&meta)?;
        Ok(self.part.finish()?)
    }
}

/// Where everything is in an opened payload part, and its figures.
///
/// The blocks of [`VERIFIED_BEFORE_OPEN`] must be verified before `open`; those of a payload
/// block, which [`PayloadView::block_range`] gives, before it is decompressed.
#[derive(Clone, Debug)]
pub struct PayloadLayout {
    rows: u32,
    exact_for: SeqNo,
    raw_bytes: u64,
    blocks: BlocksLayout,
}

impl PayloadLayout {
    /// Checks `META` and `INDX` of the payload part in `bytes`, the whole file.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Payload, FORMAT_VERSION, 0)?;
        let (range, meta) = part.section_bytes(bytes, META, "payload meta")?;
        let mut fields = exact(meta, range.start, META_LEN, "payload meta")?;
        let rows = fields.u32("rows")?;
        let blocks = fields.u32("payload_blocks")?;
        let exact_for = SeqNo(fields.u64("exact_for")?);
        let raw_bytes = fields.u64("raw_bytes")?;
        rest_is_zero(fields, "payload meta")?;
        let blocks = BlocksLayout::open(part, bytes, (blocks, rows, raw_bytes))?;
        Ok(Self {
            rows,
            exact_for,
            raw_bytes,
            blocks,
        })
    }

    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.rows
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Patches up to this SeqNo are folded in.
    pub const fn exact_for(&self) -> SeqNo {
        self.exact_for
    }

    /// Length of all payload blocks before compression.
    pub const fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Where all stored payload blocks are in the file.
    pub fn data_range(&self) -> Range<u64> {
        self.blocks.data().clone()
    }

    /// The payloads, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> PayloadView<'a> {
        PayloadView {
            rows: self.rows,
            blocks: self.blocks.view(bytes),
        }
    }
}

/// The payloads of a segment, read in place and decompressed by block.
#[derive(Copy, Clone, Debug)]
pub struct PayloadView<'a> {
    rows: u32,
    blocks: BlocksView<'a>,
}

impl<'a> PayloadView<'a> {
    /// Opens the part in `bytes`: [`PayloadLayout::open`] and [`PayloadLayout::view`] in one.
    ///
    /// # Errors
    /// Those of [`PayloadLayout::open`].
    pub fn open(part: &PartLayout, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(PayloadLayout::open(part, bytes)?.view(bytes))
    }

    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.rows
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Gives every payload to `take`, and checks the rules of blocks that opening leaves out.
    ///
    /// # Errors
    /// The first rule that is broken; what `take` returns.
    pub fn verify(
        &self,
        take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.blocks.verify(take)
    }

    /// Number of payload blocks.
    pub fn block_count(&self) -> u32 {
        self.blocks.len()
    }

    /// The payload block that has a row, if there is such a row.
    pub fn block_of(&self, row: Row) -> Option<u32> {
        self.blocks.block_of(row)
    }

    /// The rows of payload block `n`; an empty range if there is no such block.
    pub fn rows_of(&self, n: u32) -> Range<Row> {
        self.blocks.rows_of(n)
    }

    /// Where payload block `n` is in the file; an empty range if there is no such block.
    pub fn block_range(&self, n: u32) -> Range<u64> {
        self.blocks.range_of(n)
    }

    /// Replaces `out` by payload block `n`, decompressed. The blocks of the file that
    /// [`Self::block_range`] touches must be verified.
    ///
    /// # Errors
    /// What is wrong with the block; `OutOfRange` if there is no such block.
    pub fn decompress_block(&self, n: u32, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.blocks.decompress(n, out)
    }

    /// As [`Self::decompress_block`], from the bytes that [`Self::block_range`] names, read on
    /// their own and verified.
    ///
    /// # Errors
    /// As [`Self::decompress_block`], and when `stored` is shorter or longer.
    pub fn decompress_stored(
        &self,
        n: u32,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        self.blocks.decompress_stored(n, stored, out)
    }

    /// The encoded payload of a row, in its decompressed block.
    ///
    /// # Errors
    /// `Order` if there is no such row or `block` is not its block.
    pub fn slice<'b>(&self, row: Row, block: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        self.blocks.slice(row, block)
    }
}
