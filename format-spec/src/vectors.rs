#![doc = include_str!("../docs/07-vectors.md")]

use std::io::Write;
use std::ops::Range;

use crate::bitmap::{BitmapLayout, BitmapView, encode_bitmap};
use crate::bytes::{Reader, all_zero};
use crate::container::{PartLayout, PartSummary, PartWriter, WriteError, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, opened, require_equal, rest_is_zero, slice, u32_within};
use crate::ids::Row;
use crate::path::PartKind;
use crate::schema::{Element, Metric};

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// The vectors.
pub const DATA: u32 = tag(b"DATA");
/// Rows that have a vector.
pub const PRESENT: u32 = tag(b"PRES");
/// The figures of the part.
pub const META: u32 = tag(b"META");
/// Most elements of a vector.
pub const DIM_MAX: u32 = 65_536;
/// The sections whose blocks must be verified before [`VectorsLayout::open`].
pub const VERIFIED_BEFORE_OPEN: [u32; 2] = [PRESENT, META];

const META_LEN: u64 = 64;
const ZEROS: [u8; 4096] = [0; 4096];

/// The shape of the vectors of one name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct VectorShape {
    /// Elements a vector.
    pub dim: u32,
    /// How an element is stored.
    pub element: Element,
    /// How near two vectors are.
    pub metric: Metric,
}

impl VectorShape {
    /// Bytes of a row.
    pub const fn stride(&self) -> usize {
        self.dim as usize * self.element.size()
    }
}

/// Writes a vectors part, row by row.
#[derive(Debug)]
pub struct VectorsBuilder<W> {
    part: PartWriter<W>,
    shape: VectorShape,
    rows: u32,
    present: Vec<u64>,
}

impl<W: Write> VectorsBuilder<W> {
    /// Begins the part.
    ///
    /// # Errors
    /// The sink's; `Invalid` if the dimension is 0 or above [`DIM_MAX`].
    pub fn new(mut part: PartWriter<W>, shape: VectorShape) -> Result<Self, WriteError> {
        if shape.dim == 0 || shape.dim > DIM_MAX {
            return Err(WriteError::invalid("dim", shape.dim.into(), "1 to 65536"));
        }
        part.begin_section(DATA)?;
        Ok(Self {
            part,
            shape,
            rows: 0,
            present: Vec::new(),
        })
    }

    /// Adds the next row: its encoded vector, of exactly the stride, or none.
    ///
    /// # Errors
    /// The sink's; `Invalid` if the length differs or there are 2^32 - 1 rows already.
    pub fn push(&mut self, row: Option<&[u8]>) -> Result<(), WriteError> {
        let next = self.rows.checked_add(1);
        let next = next.ok_or(WriteError::invalid(
            "rows",
            self.rows.into(),
            "at most 2^32 - 1",
        ))?;
        if self.rows.is_multiple_of(64) {
            self.present.push(0);
        }
        let stride = self.shape.stride();
        match row {
            Some(bytes) if bytes.len() == stride => {
                self.part.write(bytes)?;
                if let Some(word) = self.present.last_mut() {
                    *word |= 1 << (self.rows % 64);
                }
            }
            Some(bytes) => {
                let len = bytes.len() as u64;
                return Err(WriteError::invalid(
                    "vector bytes",
                    len,
                    "dim times element size",
                ));
            }
            None => {
                let mut missing = stride;
                while missing > 0 {
                    let (zeros, _) = ZEROS.split_at(missing.min(ZEROS.len()));
                    self.part.write(zeros)?;
                    missing -= zeros.len();
                }
            }
        }
        self.rows = next;
        Ok(())
    }

    /// Writes what is left of the part.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self) -> Result<(W, PartSummary), WriteError> {
        let mut bitmap = Vec::new();
        let present = encode_bitmap(self.rows, &self.present, &mut bitmap);
        self.part.begin_section(PRESENT)?;
        self.part.write(&bitmap)?;
        let mut meta = Vec::with_capacity(64);
        let tags = [
            self.shape.element.tag().into(),
            self.shape.metric.tag().into(),
        ];
        for figure in [[self.rows, self.shape.dim], tags].as_flattened() {
            meta.extend_from_slice(&figure.to_le_bytes());
        }
        meta.extend_from_slice(&(self.shape.stride() as u64).to_le_bytes());
        meta.extend_from_slice(&present.to_le_bytes());
        meta.extend_from_slice(&[0; 36]);
        self.part.begin_section(META)?;
        self.part.write(&meta)?;
        Ok(self.part.finish()?)
    }
}

/// Where everything is in an opened vectors part, and its figures.
///
/// The blocks of [`VERIFIED_BEFORE_OPEN`] must be verified before `open`; those of a row, which
/// [`Self::row_range`] gives, before its bytes are used.
#[derive(Clone, Debug)]
pub struct VectorsLayout {
    shape: VectorShape,
    rows: u32,
    data: Range<u64>,
    present: BitmapLayout,
}

impl VectorsLayout {
    /// Checks `META` and `PRES` of the vectors part in `bytes`, the whole file.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Vectors, FORMAT_VERSION, 0)?;
        let (range, meta) = part.section_bytes(bytes, META, "vectors meta")?;
        let at = range.start;
        let mut fields = exact(meta, at, META_LEN, "vectors meta")?;
        let rows = fields.u32("rows")?;
        let dim = u32_within(&mut fields, 1, DIM_MAX, "dim")?;
        let element = tagged(&mut fields, "element", Element::from_tag)?;
        let metric = tagged(&mut fields, "metric", Metric::from_tag)?;
        let shape = VectorShape {
            dim,
            element,
            metric,
        };
        let stride = shape.stride() as u64;
        require_equal(fields.u64("stride")?, stride, at + 16, "stride")?;
        let count = u32_within(&mut fields, 0, rows, "present")?;
        rest_is_zero(fields, "vectors meta")?;
        let data = part.required_section(DATA)?;
        let len = u64::from(rows) * stride;
        require_equal(data.end - data.start, len, data.start, "vectors data")?;
        let range = part.required_section(PRESENT)?;
        let present_at = range.start;
        let present = BitmapLayout::open(bytes, range, "present")?;
        require_equal(present.len().into(), rows.into(), present_at, "present")?;
        require_equal(
            present.count().into(),
            count.into(),
            present_at + 4,
            "present",
        )?;
        Ok(Self {
            shape,
            rows,
            data,
            present,
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

    /// Dimension, element and metric.
    pub const fn shape(&self) -> VectorShape {
        self.shape
    }

    /// Rows that have a vector.
    pub const fn present_count(&self) -> u32 {
        self.present.count()
    }

    /// Where all vectors are in the file.
    pub fn data_range(&self) -> Range<u64> {
        self.data.clone()
    }

    /// Where a row is in the file; an empty range past the last row.
    pub fn row_range(&self, row: Row) -> Range<u64> {
        self.rows_range(row..row.saturating_add(1))
    }

    /// Where consecutive rows are in the file, as far as there are such rows.
    pub fn rows_range(&self, rows: Range<Row>) -> Range<u64> {
        let stride = self.shape.stride() as u64;
        let end = u64::from(rows.end.min(self.rows));
        let start = u64::from(rows.start).min(end);
        self.data.start + start * stride..self.data.start + end * stride
    }

    /// Checks what `open` leaves out: that rows without a vector are zero. All blocks must be
    /// verified.
    ///
    /// # Errors
    /// `NotZero` at the first row that is not.
    pub fn verify_absent(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let present = self.present.view(bytes);
        if present.count() == self.rows {
            return Ok(());
        }
        for row in (0..self.rows).filter(|&row| !present.contains(row)) {
            let range = self.row_range(row);
            if !all_zero(slice(bytes, &range, "absent row")?) {
                return Err(failed(range.start, "absent row", Why::NotZero));
            }
        }
        Ok(())
    }

    /// The vectors, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> VectorsView<'a> {
        VectorsView {
            data: opened(bytes, &self.data),
            stride: self.shape.stride(),
            rows: self.rows,
            shape: self.shape,
            present: self.present.view(bytes),
        }
    }
}

fn tagged<T>(
    fields: &mut Reader<'_>,
    field: &'static str,
    from_tag: impl Fn(u8) -> Option<T>,
) -> Result<T, DecodeError> {
    let at = fields.at();
    let found = fields.u32(field)?;
    let value = u8::try_from(found).ok().and_then(from_tag);
    value.ok_or(failed(at, field, Why::Kind { found }))
}

/// The vectors of one name of a segment, read in place.
#[derive(Copy, Clone, Debug)]
pub struct VectorsView<'a> {
    data: &'a [u8],
    stride: usize,
    rows: u32,
    shape: VectorShape,
    present: BitmapView<'a>,
}

impl<'a> VectorsView<'a> {
    /// Opens the part in `bytes`: [`VectorsLayout::open`] and [`VectorsLayout::view`] in one.
    ///
    /// # Errors
    /// Those of [`VectorsLayout::open`].
    pub fn open(part: &PartLayout, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(VectorsLayout::open(part, bytes)?.view(bytes))
    }

    /// Elements a vector.
    pub const fn dim(&self) -> u32 {
        self.shape.dim
    }

    /// How an element is stored.
    pub const fn element(&self) -> Element {
        self.shape.element
    }

    /// How near two vectors are.
    pub const fn metric(&self) -> Metric {
        self.shape.metric
    }

    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.rows
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of a row.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// Whether a row has a vector.
    pub fn is_present(&self, row: Row) -> bool {
        self.present.contains(row)
    }

    /// Rows that have a vector.
    pub const fn present_count(&self) -> u32 {
        self.present.count()
    }

    /// The set of rows that have a vector.
    pub const fn present(&self) -> BitmapView<'a> {
        self.present
    }

    /// The stored bytes of a row: zeros if it has no vector, none past the last row.
    #[inline]
    pub fn row(&self, row: Row) -> Option<&'a [u8]> {
        let start = (row as usize).saturating_mul(self.stride);
        self.data.get(start..start.saturating_add(self.stride))
    }

    /// The vector of a row, if it has one.
    pub fn vector(&self, row: Row) -> Option<&'a [u8]> {
        if self.is_present(row) {
            self.row(row)
        } else {
            None
        }
    }

    /// All rows, one after another.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::{layout, writer};
    use proptest::prelude::*;

    const KIND: PartKind = PartKind::Vectors;

    fn part(shape: VectorShape, rows: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut builder = VectorsBuilder::new(writer(KIND), shape).unwrap();
        rows.iter()
            .for_each(|row| builder.push(row.as_deref()).unwrap());
        builder.finish().unwrap().0
    }

    fn shape(dim: u32, element: Element) -> VectorShape {
        VectorShape {
            dim,
            element,
            metric: Metric::Dot,
        }
    }

    #[test]
    fn rows_of_another_length_are_refused() {
        let mut builder = VectorsBuilder::new(writer(KIND), shape(3, Element::F16)).unwrap();
        assert!(builder.push(Some(&[0; 5])).is_err());
        assert!(VectorsBuilder::new(writer(KIND), shape(0, Element::F16)).is_err());
    }

    #[test]
    fn bytes_under_an_absent_row_are_seen() {
        let bytes = part(shape(8, Element::F32), &[None, Some(vec![1; 32])]);
        let opened = VectorsLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
        assert_eq!(opened.verify_absent(&bytes), Ok(()));
        let mut damaged = bytes.clone();
        damaged[4096 + 31] = 1;
        assert_eq!(opened.verify_absent(&damaged).unwrap_err().at, 4096);
    }

    #[test]
    fn ranges_stop_at_the_last_row() {
        let bytes = part(shape(8, Element::U8), &[None, None, None]);
        let opened = VectorsLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
        assert_eq!(opened.row_range(2), 4112..4120);
        assert!(opened.row_range(3).is_empty());
        assert!(opened.row_range(u32::MAX).is_empty());
        assert_eq!(opened.rows_range(1..9), 4104..4120);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn vectors_round_trip(
            dim in 1..70_u32,
            element in prop::sample::select(Element::ALL),
            present in prop::collection::vec(any::<Option<u8>>(), 0..200),
        ) {
            let shape = shape(dim, element);
            let row = |seed: u8| (0..shape.stride()).map(|i| seed.wrapping_mul(i as u8)).collect();
            let rows: Vec<Option<Vec<u8>>> = present.iter().map(|seed| seed.map(row)).collect();
            let bytes = part(shape, &rows);
            let opened = VectorsLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
            opened.verify_absent(&bytes).unwrap();
            let view = opened.view(&bytes);
            prop_assert_eq!((view.len() as usize, view.stride()), (rows.len(), shape.stride()));
            prop_assert_eq!((opened.shape(), view.dim()), (shape, dim));
            for (n, row) in (0..).zip(&rows) {
                prop_assert_eq!(view.is_present(n), row.is_some());
                prop_assert_eq!(view.vector(n), row.as_deref());
                let stored = row.clone().unwrap_or(vec![0; shape.stride()]);
                prop_assert_eq!(view.row(n), Some(&stored[..]));
                prop_assert_eq!(slice(&bytes, &opened.row_range(n), "row").unwrap(), &stored[..]);
            }
            let count = rows.iter().filter(|row| row.is_some()).count();
            prop_assert_eq!(view.present_count() as usize, count);
            prop_assert_eq!(view.row(view.len()), None);
            prop_assert_eq!(view.data().len(), rows.len() * shape.stride());
        }
    }
}
