#![doc = include_str!("../docs/11-tombstones.md")]

use std::io::Write;

use crate::bitmap::{BitmapLayout, BitmapView, encode_bitmap};
use crate::container::{PartLayout, PartSummary, PartWriter, WriteError, tag};
use crate::error::DecodeError;
use crate::fields::{exact, require_equal, rest_is_zero, u32_within};
use crate::ids::{Row, SeqNo};
use crate::path::PartKind;

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// The dead rows.
pub const DEAD: u32 = tag(b"DEAD");
/// The figures of the part.
pub const META: u32 = tag(b"META");

const META_LEN: u64 = 64;

/// Writes a tombstones part.
#[derive(Copy, Clone, Debug)]
pub struct TombstonesBuilder<'a> {
    /// Rows of the segment.
    pub rows: u32,
    /// Writes up to this SeqNo are taken into account, and no others.
    pub exact_for: SeqNo,
    /// The dead rows, 64 a word; bits from `rows` on are ignored.
    pub dead: &'a [u64],
}

impl TombstonesBuilder<'_> {
    /// Writes the part.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish<W: Write>(self, mut part: PartWriter<W>) -> Result<(W, PartSummary), WriteError> {
        let mut bitmap = Vec::new();
        let dead = encode_bitmap(self.rows, self.dead, &mut bitmap);
        part.begin_section(DEAD)?;
        part.write(&bitmap)?;
        let mut meta = Vec::with_capacity(64);
        meta.extend_from_slice(&self.rows.to_le_bytes());
        meta.extend_from_slice(&dead.to_le_bytes());
        meta.extend_from_slice(&self.exact_for.0.to_le_bytes());
        meta.extend_from_slice(&[0; 48]);
        part.begin_section(META)?;
        part.write(&meta)?;
        Ok(part.finish()?)
    }
}

/// Where everything is in an opened tombstones part, and its figures.
///
/// All blocks must be verified before `open`.
#[derive(Clone, Debug)]
pub struct TombstonesLayout {
    dead: BitmapLayout,
    exact_for: SeqNo,
}

impl TombstonesLayout {
    /// Checks the tombstones part in `bytes`, the whole file, every block of which is verified.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Tombstones, FORMAT_VERSION, 0)?;
        let (range, meta) = part.section_bytes(bytes, META, "tombstones meta")?;
        let at = range.start;
        let mut fields = exact(meta, at, META_LEN, "tombstones meta")?;
        let rows = fields.u32("rows")?;
        let count = u32_within(&mut fields, 0, rows, "dead")?;
        let exact_for = SeqNo(fields.u64("exact_for")?);
        rest_is_zero(fields, "tombstones meta")?;
        let dead = BitmapLayout::open(bytes, part.required_section(DEAD)?, "dead")?;
        require_equal(dead.len().into(), rows.into(), at, "rows")?;
        require_equal(dead.count().into(), count.into(), at + 4, "dead")?;
        Ok(Self { dead, exact_for })
    }

    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.dead.len()
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.dead.is_empty()
    }

    /// Dead rows.
    pub const fn dead_count(&self) -> u32 {
        self.dead.count()
    }

    /// Writes up to this SeqNo are taken into account, and no others.
    pub const fn exact_for(&self) -> SeqNo {
        self.exact_for
    }

    /// The tombstones, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> TombstonesView<'a> {
        TombstonesView {
            dead: self.dead.view(bytes),
            exact_for: self.exact_for,
        }
    }
}

/// The dead rows of a segment, read in place.
#[derive(Copy, Clone, Debug)]
pub struct TombstonesView<'a> {
    dead: BitmapView<'a>,
    exact_for: SeqNo,
}

impl<'a> TombstonesView<'a> {
    /// Opens the part in `bytes`: [`TombstonesLayout::open`] and [`TombstonesLayout::view`] in one.
    ///
    /// # Errors
    /// Those of [`TombstonesLayout::open`].
    pub fn open(part: &PartLayout, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(TombstonesLayout::open(part, bytes)?.view(bytes))
    }

    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.dead.len()
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.dead.is_empty()
    }

    /// Dead rows.
    pub const fn dead_count(&self) -> u32 {
        self.dead.count()
    }

    /// Whether a row is dead.
    pub fn is_dead(&self, row: Row) -> bool {
        self.dead.contains(row)
    }

    /// The set of dead rows.
    pub const fn dead(&self) -> BitmapView<'a> {
        self.dead
    }

    /// Writes up to this SeqNo are taken into account, and no others.
    pub const fn exact_for(&self) -> SeqNo {
        self.exact_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::{layout, writer};
    use proptest::prelude::*;

    const KIND: PartKind = PartKind::Tombstones;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn tombstones_round_trip(rows in 0..70_000_u32, dead: Vec<u64>, exact_for: u64) {
            let builder = TombstonesBuilder { rows, exact_for: SeqNo(exact_for), dead: &dead };
            let bytes = builder.finish(writer(KIND)).unwrap().0;
            let view = TombstonesView::open(&layout(KIND, &bytes), &bytes).unwrap();
            prop_assert_eq!((view.len(), view.exact_for()), (rows, SeqNo(exact_for)));
            let is_dead = |row: u32| {
                dead.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
            };
            let mut count = 0;
            for row in 0..rows {
                prop_assert_eq!(view.is_dead(row), is_dead(row));
                count += u32::from(is_dead(row));
            }
            prop_assert_eq!(view.dead_count(), count);
            prop_assert!(!view.is_dead(rows));
            prop_assert_eq!(view.dead().iter().count() as u32, count);
        }
    }
}
