#![doc = include_str!("../docs/12-patches.md")]

use std::io::Write;
use std::ops::Range;

use zerocopy::FromBytes;
use zerocopy::little_endian::{U32, U64};

use crate::container::{PartLayout, PartSummary, PartWriter, WriteError, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, opened, out_of_range, require_equal, rest_is_zero, u32_within};
use crate::ids::{Row, SeqNo};
use crate::path::PartKind;
use crate::payload_blocks::{self, BlockPacker, BlocksLayout, BlocksView};

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// Stored payload blocks.
pub const DATA: u32 = payload_blocks::DATA;
/// Where each of them is.
pub const INDEX: u32 = payload_blocks::INDEX;
/// The patched rows.
pub const ROWS: u32 = tag(b"ROWS");
/// SeqNo of each patch.
pub const SEQNOS: u32 = tag(b"SEQN");
/// The figures of the part.
pub const META: u32 = tag(b"META");

const META_LEN: u64 = 64;

/// Writes a patch part, patched row by patched row.
#[derive(Debug)]
pub struct PatchesBuilder<W> {
    part: PartWriter<W>,
    packer: BlockPacker,
    segment_rows: u32,
    exact_for: SeqNo,
    rows: Vec<Row>,
    seqnos: Vec<SeqNo>,
}

impl<W: Write> PatchesBuilder<W> {
    /// Begins the patches, up to `exact_for`, of a segment of `segment_rows` rows.
    ///
    /// # Errors
    /// The sink's, and zstd's if memory is short.
    pub fn new(
        mut part: PartWriter<W>,
        segment_rows: u32,
        exact_for: SeqNo,
    ) -> Result<Self, WriteError> {
        part.begin_section(DATA)?;
        let packer = BlockPacker::new()?;
        Ok(Self {
            part,
            packer,
            segment_rows,
            exact_for,
            rows: Vec::new(),
            seqnos: Vec::new(),
        })
    }

    /// Adds a patched row, which must be greater than the one before, with its whole new payload.
    ///
    /// # Errors
    /// The sink's; `Invalid` if the row is out of order or range, the SeqNo above `exact_for`, or
    /// the payload longer than 2^28 - 4 bytes.
    pub fn push(&mut self, row: Row, seqno: SeqNo, payload: &[u8]) -> Result<(), WriteError> {
        if row >= self.segment_rows || self.rows.last().is_some_and(|&last| last >= row) {
            return Err(WriteError::invalid(
                "row",
                row.into(),
                "ascending, in the segment",
            ));
        }
        if seqno > self.exact_for {
            return Err(WriteError::invalid("seqno", seqno.0, "at most exact_for"));
        }
        self.packer.push(&mut self.part, payload)?;
        self.rows.push(row);
        self.seqnos.push(seqno);
        Ok(())
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
        self.part.begin_section(ROWS)?;
        for row in &self.rows {
            self.part.write(&row.to_le_bytes())?;
        }
        self.part.begin_section(SEQNOS)?;
        for seqno in &self.seqnos {
            self.part.write(&seqno.0.to_le_bytes())?;
        }
        let mut meta = Vec::with_capacity(64);
        for figure in [
            self.segment_rows,
            self.packer.rows(),
            self.packer.blocks(),
            0,
        ] {
            meta.extend_from_slice(&figure.to_le_bytes());
        }
        let least = self.seqnos.iter().min().map_or(0, |seqno| seqno.0);
        let greatest = self.seqnos.iter().max().map_or(0, |seqno| seqno.0);
        for figure in [self.packer.raw_bytes(), self.exact_for.0, least, greatest] {
            meta.extend_from_slice(&figure.to_le_bytes());
        }
        meta.extend_from_slice(&[0; 16]);
        self.part.begin_section(META)?;
        self.part.write(&meta)?;
        Ok(self.part.finish()?)
    }
}

/// Where everything is in an opened patch part, and its figures.
///
/// All blocks must be verified before `open`. What `open` has checked, lookups rely on: the order
/// of
/// the rows.
#[derive(Clone, Debug)]
pub struct PatchesLayout {
    segment_rows: u32,
    patched: u32,
    exact_for: SeqNo,
    seqno_min: SeqNo,
    seqno_max: SeqNo,
    rows: Range<u64>,
    seqnos: Range<u64>,
    blocks: BlocksLayout,
}

impl PatchesLayout {
    /// Checks the patch part in `bytes`, the whole file, every block of which is verified.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Patch, FORMAT_VERSION, 0)?;
        let (range, meta) = part.section_bytes(bytes, META, "patch meta")?;
        let at = range.start;
        let mut fields = exact(meta, at, META_LEN, "patch meta")?;
        let segment_rows = fields.u32("rows")?;
        let patched = u32_within(&mut fields, 0, segment_rows, "patched")?;
        let blocks = fields.u32("payload_blocks")?;
        fields.zeros(4, "patch meta")?;
        let raw_bytes = fields.u64("raw_bytes")?;
        let exact_for = SeqNo(fields.u64("exact_for")?);
        let seqno_min = SeqNo(fields.u64("seqno_min")?);
        let seqno_max = SeqNo(fields.u64("seqno_max")?);
        rest_is_zero(fields, "patch meta")?;
        if seqno_max > exact_for {
            return Err(out_of_range(
                at + 40,
                "seqno_max",
                seqno_max.0,
                (0, exact_for.0),
            ));
        }
        let sized = |tag, width: u64, field| {
            let range = part.required_section(tag)?;
            let len = u64::from(patched) * width;
            require_equal(range.end - range.start, len, range.start, field)?;
            Ok(range)
        };
        let layout = Self {
            segment_rows,
            patched,
            exact_for,
            seqno_min,
            seqno_max,
            rows: sized(ROWS, 4, "patched rows")?,
            seqnos: sized(SEQNOS, 8, "patch seqnos")?,
            blocks: BlocksLayout::open(part, bytes, (blocks, patched, raw_bytes))?,
        };
        let view = layout.view(bytes);
        if !view.rows.is_sorted_by(|a, b| a.get() < b.get()) {
            return Err(failed(layout.rows.start, "patched rows", Why::Order));
        }
        if let Some(last) = view.rows.last().filter(|row| row.get() >= segment_rows) {
            let bounds = (0, u64::from(segment_rows).saturating_sub(1));
            let at = layout.rows.end - 4;
            return Err(out_of_range(at, "patched rows", last.get().into(), bounds));
        }
        let least = view
            .seqnos
            .iter()
            .map(|seqno| seqno.get())
            .min()
            .unwrap_or(0);
        let greatest = view
            .seqnos
            .iter()
            .map(|seqno| seqno.get())
            .max()
            .unwrap_or(0);
        require_equal(seqno_min.0, least, at + 32, "seqno_min")?;
        require_equal(seqno_max.0, greatest, at + 40, "seqno_max")?;
        Ok(layout)
    }

    /// Rows of the segment.
    pub const fn segment_rows(&self) -> u32 {
        self.segment_rows
    }

    /// Patched rows.
    pub const fn len(&self) -> u32 {
        self.patched
    }

    /// Whether no row is patched.
    pub const fn is_empty(&self) -> bool {
        self.patched == 0
    }

    /// The part holds every patch up to this SeqNo that the payload part does not.
    pub const fn exact_for(&self) -> SeqNo {
        self.exact_for
    }

    /// Least SeqNo of a patch; 0 without patches.
    pub const fn seqno_min(&self) -> SeqNo {
        self.seqno_min
    }

    /// Greatest SeqNo of a patch; 0 without patches.
    pub const fn seqno_max(&self) -> SeqNo {
        self.seqno_max
    }

    /// The patches, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> PatchesView<'a> {
        PatchesView {
            rows: <[U32]>::ref_from_bytes(opened(bytes, &self.rows)).unwrap_or_default(),
            seqnos: <[U64]>::ref_from_bytes(opened(bytes, &self.seqnos)).unwrap_or_default(),
            blocks: self.blocks.view(bytes),
        }
    }
}

/// The patched rows of a segment, read in place.
///
/// Patches are numbered 0 to `len() - 1` in the order of their rows; that number is their
/// **position**.
#[derive(Copy, Clone, Debug)]
pub struct PatchesView<'a> {
    rows: &'a [U32],
    seqnos: &'a [U64],
    blocks: BlocksView<'a>,
}

impl<'a> PatchesView<'a> {
    /// Opens the part in `bytes`: [`PatchesLayout::open`] and [`PatchesLayout::view`] in one.
    ///
    /// # Errors
    /// Those of [`PatchesLayout::open`].
    pub fn open(part: &PartLayout, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(PatchesLayout::open(part, bytes)?.view(bytes))
    }

    /// Patched rows.
    pub fn len(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// Whether no row is patched.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a position.
    pub fn row(&self, position: u32) -> Option<Row> {
        self.rows.get(position as usize).map(|row| row.get())
    }

    /// SeqNo of the write that gave the row at a position its payload.
    pub fn seqno(&self, position: u32) -> Option<SeqNo> {
        self.seqnos
            .get(position as usize)
            .map(|seqno| SeqNo(seqno.get()))
    }

    /// The position of a row, if it is patched.
    pub fn position(&self, row: Row) -> Option<u32> {
        let found = self.rows.binary_search_by_key(&row, |row| row.get()).ok()?;
        u32::try_from(found).ok()
    }

    /// The patched rows, ascending.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row> + use<'a> {
        self.rows.iter().map(|row| row.get())
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

    /// The payload block that has a position.
    pub fn block_of(&self, position: u32) -> Option<u32> {
        self.blocks.block_of(position)
    }

    /// The positions of payload block `n`; an empty range if there is no such block.
    pub fn positions_of(&self, n: u32) -> Range<u32> {
        self.blocks.rows_of(n)
    }

    /// Replaces `out` by payload block `n`, decompressed.
    ///
    /// # Errors
    /// What is wrong with the block; `OutOfRange` if there is no such block.
    pub fn decompress_block(&self, n: u32, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.blocks.decompress(n, out)
    }

    /// The encoded payload at a position, in its decompressed block.
    ///
    /// # Errors
    /// `Order` if there is no such position or `block` is not its block.
    pub fn slice<'b>(&self, position: u32, block: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        self.blocks.slice(position, block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::{layout, writer};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KIND: PartKind = PartKind::Patch;

    #[test]
    fn rows_must_ascend_within_the_segment() {
        let mut builder = PatchesBuilder::new(writer(KIND), 10, SeqNo(5)).unwrap();
        builder.push(3, SeqNo(5), b"{}").unwrap();
        assert!(builder.push(3, SeqNo(5), b"{}").is_err());
        assert!(builder.push(2, SeqNo(5), b"{}").is_err());
        assert!(builder.push(10, SeqNo(5), b"{}").is_err());
        assert!(builder.push(4, SeqNo(6), b"{}").is_err());
        builder.push(9, SeqNo(1), b"{}").unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn patches_round_trip(
            patches in prop::collection::btree_map(
                0..5000_u32,
                (0..1000_u64, prop::collection::vec(any::<u8>(), 0..3000)),
                0..80,
            ),
        ) {
            let patches: BTreeMap<u32, (u64, Vec<u8>)> = patches;
            let mut builder = PatchesBuilder::new(writer(KIND), 5000, SeqNo(999)).unwrap();
            for (&row, (seqno, payload)) in &patches {
                builder.push(row, SeqNo(*seqno), payload).unwrap();
            }
            let bytes = builder.finish().unwrap().0;
            let opened = PatchesLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
            prop_assert_eq!((opened.segment_rows(), opened.exact_for()), (5000, SeqNo(999)));
            let view = opened.view(&bytes);
            prop_assert!(view.rows().eq(patches.keys().copied()));
            let mut block = Vec::new();
            for (position, (&row, (seqno, payload))) in (0..).zip(&patches) {
                prop_assert_eq!(view.position(row), Some(position));
                prop_assert_eq!(view.row(position), Some(row));
                prop_assert_eq!(view.seqno(position), Some(SeqNo(*seqno)));
                let n = view.block_of(position).unwrap();
                prop_assert!(view.positions_of(n).contains(&position));
                view.decompress_block(n, &mut block).unwrap();
                prop_assert_eq!(view.slice(position, &block), Ok(&payload[..]));
            }
            prop_assert_eq!(view.position(5001), None);
            prop_assert_eq!(view.row(view.len()), None);
        }
    }
}
