#![doc = include_str!("../docs/13-codes.md")]

use std::io::Write;
use std::ops::Range;

use crate::container::{PartLayout, PartSummary, PartWriter, WriteError, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, opened, require_equal, rest_is_zero, slice, u32_within};
use crate::ids::Row;
use crate::path::PartKind;
use crate::vectors::DIM_MAX;

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// Codes of several bits, row by row.
pub const CODES: u32 = tag(b"CODE");
/// Codes of one bit, in blocks.
pub const BLOCKS: u32 = tag(b"BLKS");
/// The centre.
pub const CENTRE: u32 = tag(b"CENT");
/// The figures of the part.
pub const META: u32 = tag(b"META");
/// The sections whose blocks must be verified before [`CodesLayout::open`].
pub const VERIFIED_BEFORE_OPEN: [u32; 2] = [CENTRE, META];
/// Rows of a block.
pub const BLOCK_ROWS: u32 = 32;

const META_LEN: u64 = 64;
/// Bits a dimension that codes may have.
const BITS: [u32; 4] = [1, 2, 4, 8];
/// Dimensions are padded to a multiple of this.
const PAD: u32 = 64;
/// Bytes of the factors of a row of several bits.
const ROW_FACTORS_LEN: usize = 16;
/// Bytes of the factors of a block.
const BLOCK_FACTORS_LEN: usize = 3 * 4 * BLOCK_ROWS as usize;

/// What codes estimate.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Minus the dot product.
    Dot,
    /// The squared distance.
    Euclid,
}

impl Measure {
    const fn tag(self) -> u32 {
        match self {
            Self::Dot => 1,
            Self::Euclid => 2,
        }
    }

    const fn from_tag(tag: u32) -> Option<Self> {
        match tag {
            1 => Some(Self::Dot),
            2 => Some(Self::Euclid),
            _ => None,
        }
    }
}

/// The shape of the codes of one name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CodesShape {
    /// Elements a vector.
    pub dim: u32,
    /// Bits a dimension: 1, where there are blocks only, or 2, 4 or 8 of the codes of several bits.
    pub bits: u32,
    /// What is estimated.
    pub measure: Measure,
    /// Stands for the rotation.
    pub seed: u64,
}

impl CodesShape {
    /// Dimensions with padding.
    pub const fn padded(&self) -> usize {
        self.dim.next_multiple_of(PAD) as usize
    }

    /// Bytes of a row of several bits; 0 where there are blocks only.
    pub const fn row_len(&self) -> usize {
        if self.bits == 1 {
            return 0;
        }
        self.padded() * self.bits as usize / 8 + ROW_FACTORS_LEN
    }

    /// Bytes of a block of one bit.
    pub const fn block_len(&self) -> usize {
        4 * self.padded() + BLOCK_FACTORS_LEN
    }
}

/// Writes a codes part: rows as they come, blocks at the end.
#[derive(Debug)]
pub struct CodesBuilder<W> {
    part: PartWriter<W>,
    shape: CodesShape,
    bytes: u64,
}

impl<W: Write> CodesBuilder<W> {
    /// Begins the part.
    ///
    /// # Errors
    /// The sink's; `Invalid` for a dimension or a number of bits that the chapter does not have.
    pub fn new(mut part: PartWriter<W>, shape: CodesShape) -> Result<Self, WriteError> {
        if shape.dim == 0 || shape.dim > DIM_MAX {
            return Err(WriteError::invalid("dim", shape.dim.into(), "1 to 65536"));
        }
        if !BITS.contains(&shape.bits) {
            let found = shape.bits.into();
            return Err(WriteError::invalid("bits", found, "1, 2, 4 or 8"));
        }
        part.begin_section(CODES)?;
        Ok(Self {
            part,
            shape,
            bytes: 0,
        })
    }

    /// Adds whole rows of several bits.
    ///
    /// # Errors
    /// The sink's.
    pub fn push(&mut self, rows: &[u8]) -> Result<(), WriteError> {
        self.bytes += rows.len() as u64;
        Ok(self.part.write(rows)?)
    }

    /// Writes what is left of the part: the blocks of all `rows`, and the centre.
    ///
    /// # Errors
    /// The sink's; `Invalid` if rows, blocks and centre do not fit each other.
    pub fn finish(
        mut self,
        rows: u32,
        blocks: &[u8],
        centre: &[f32],
    ) -> Result<(W, PartSummary), WriteError> {
        if u64::from(rows) * self.shape.row_len() as u64 != self.bytes {
            return Err(WriteError::invalid("code bytes", self.bytes, "whole rows"));
        }
        let wanted = rows.div_ceil(BLOCK_ROWS) as usize * self.shape.block_len();
        if blocks.len() != wanted {
            let found = blocks.len() as u64;
            return Err(WriteError::invalid(
                "block bytes",
                found,
                "a block for 32 rows",
            ));
        }
        if centre.len() != self.shape.padded() {
            let found = centre.len() as u64;
            return Err(WriteError::invalid("centre", found, "padded coordinates"));
        }
        self.part.begin_section(BLOCKS)?;
        self.part.write(blocks)?;
        let centre: Vec<u8> = centre.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.part.begin_section(CENTRE)?;
        self.part.write(&centre)?;
        let mut meta = Vec::with_capacity(64);
        let CodesShape {
            dim,
            bits,
            measure,
            seed,
        } = self.shape;
        for figure in [rows, dim, bits, measure.tag()] {
            meta.extend_from_slice(&figure.to_le_bytes());
        }
        meta.extend_from_slice(&seed.to_le_bytes());
        meta.extend_from_slice(&[0; 40]);
        self.part.begin_section(META)?;
        self.part.write(&meta)?;
        Ok(self.part.finish()?)
    }
}

/// Where everything is in an opened codes part, and its figures.
///
/// The blocks of [`VERIFIED_BEFORE_OPEN`] must be verified before `open`; those of codes, which
/// [`Self::codes_range`] and [`Self::blocks_range`] give, before they are used.
#[derive(Clone, Debug)]
pub struct CodesLayout {
    shape: CodesShape,
    rows: u32,
    codes: Range<u64>,
    blocks: Range<u64>,
    centre: Range<u64>,
}

impl CodesLayout {
    /// Checks `META` and the lengths of the codes part in `bytes`, the whole file.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Codes, FORMAT_VERSION, 0)?;
        let (range, meta) = part.section_bytes(bytes, META, "codes meta")?;
        let at = range.start;
        let mut fields = exact(meta, at, META_LEN, "codes meta")?;
        let rows = fields.u32("rows")?;
        let dim = u32_within(&mut fields, 1, DIM_MAX, "dim")?;
        let bits = fields.u32("bits")?;
        if !BITS.contains(&bits) {
            return Err(failed(at + 8, "bits", Why::Kind { found: bits }));
        }
        let found = fields.u32("measure")?;
        let measure = Measure::from_tag(found);
        let measure = measure.ok_or(failed(at + 12, "measure", Why::Kind { found }))?;
        let shape = CodesShape {
            dim,
            bits,
            measure,
            seed: fields.u64("seed")?,
        };
        rest_is_zero(fields, "codes meta")?;
        let section = |tag: u32, len: u64, field: &'static str| {
            let range = part.required_section(tag)?;
            require_equal(range.end - range.start, len, range.start, field)?;
            Ok::<_, DecodeError>(range)
        };
        let blocks = u64::from(rows.div_ceil(BLOCK_ROWS));
        let codes_len = u64::from(rows) * shape.row_len() as u64;
        Ok(Self {
            shape,
            rows,
            codes: section(CODES, codes_len, "codes")?,
            blocks: section(BLOCKS, blocks * shape.block_len() as u64, "code blocks")?,
            centre: section(CENTRE, 4 * shape.padded() as u64, "centre")?,
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

    /// Dimension, bits, measure and seed.
    pub const fn shape(&self) -> CodesShape {
        self.shape
    }

    /// Where all codes of several bits are in the file.
    pub fn codes_range(&self) -> Range<u64> {
        self.codes.clone()
    }

    /// Where all blocks are in the file.
    pub fn blocks_range(&self) -> Range<u64> {
        self.blocks.clone()
    }

    /// Checks what `open` leaves out: the rows past the last one. All blocks must be verified.
    ///
    /// # Errors
    /// The first such row that is not absent.
    pub fn verify_past_end(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let used = (self.rows % BLOCK_ROWS) as usize;
        if used == 0 {
            return Ok(());
        }
        let start = self.blocks.end - self.shape.block_len() as u64;
        let block = slice(bytes, &(start..self.blocks.end), "code block")?;
        let (codes, factors) = block.split_at(4 * self.shape.padded());
        let clear = codes.as_chunks::<16>().0.iter().all(|group| {
            let mut bytes = (0..).zip(group);
            bytes.all(|(j, byte)| (j < used || byte & 15 == 0) && (16 + j < used || byte >> 4 == 0))
        });
        let lists = factors.as_chunks::<4>().0.chunks_exact(BLOCK_ROWS as usize);
        let absent = [f32::INFINITY, 0.0, 0.0].map(f32::to_le_bytes);
        let mut lists = lists.zip(absent);
        if clear && lists.all(|(list, absent)| list.iter().skip(used).all(|x| *x == absent)) {
            Ok(())
        } else {
            Err(failed(start, "code block", Why::NotZero))
        }
    }

    /// The codes, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> CodesView<'a> {
        CodesView {
            shape: self.shape,
            rows: self.rows,
            codes: opened(bytes, &self.codes),
            blocks: opened(bytes, &self.blocks),
            centre: opened(bytes, &self.centre),
        }
    }
}

/// The codes of one name of a segment, read in place.
#[derive(Copy, Clone, Debug)]
pub struct CodesView<'a> {
    shape: CodesShape,
    rows: u32,
    codes: &'a [u8],
    blocks: &'a [u8],
    centre: &'a [u8],
}

impl<'a> CodesView<'a> {
    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.rows
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Dimension, bits, measure and seed.
    pub const fn shape(&self) -> CodesShape {
        self.shape
    }

    /// Number of blocks.
    pub const fn block_count(&self) -> u32 {
        self.rows.div_ceil(BLOCK_ROWS)
    }

    /// All blocks.
    pub const fn blocks(&self) -> &'a [u8] {
        self.blocks
    }

    /// So many blocks from the first of them on; none if there are not that many.
    pub fn blocks_from(&self, first: u32, count: u32) -> &'a [u8] {
        let len = self.shape.block_len();
        let start = first as usize * len;
        let end = start + count as usize * len;
        self.blocks.get(start..end).unwrap_or_default()
    }

    /// A block; empty past the last one.
    pub fn block(&self, block: u32) -> &'a [u8] {
        stretch(self.blocks, self.shape.block_len(), block)
    }

    /// The codes of several bits of all rows, with their factors.
    pub const fn rows(&self) -> &'a [u8] {
        self.codes
    }

    /// The codes of several bits of a row, with their factors; empty past the last row.
    pub fn row(&self, row: Row) -> &'a [u8] {
        stretch(self.codes, self.shape.row_len(), row)
    }

    /// The centre, rotated.
    pub fn centre(&self) -> Vec<f32> {
        let (floats, _) = self.centre.as_chunks::<4>();
        floats
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect()
    }
}

fn stretch(bytes: &[u8], len: usize, number: u32) -> &[u8] {
    let start = number as usize * len;
    bytes.get(start..start + len).unwrap_or_default()
}
