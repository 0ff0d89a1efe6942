#![doc = include_str!("../docs/14-product.md")]

use std::io::Write;
use std::ops::Range;

use crate::bitmap::{BitmapLayout, BitmapView, encode_bitmap};
use crate::container::{PartLayout, PartSummary, PartWriter, WriteError, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, opened, require_equal, rest_is_zero, slice, u32_within};
use crate::ids::Row;
use crate::path::PartKind;
use crate::vectors::DIM_MAX;

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// Codes, row by row.
pub const CODES: u32 = tag(b"CODE");
/// The centroids.
pub const BOOK: u32 = tag(b"BOOK");
/// The rows that have a vector.
pub const PRESENT: u32 = tag(b"PRES");
/// The figures of the part.
pub const META: u32 = tag(b"META");
/// The sections whose blocks must be verified before [`ProductLayout::open`].
pub const VERIFIED_BEFORE_OPEN: [u32; 3] = [BOOK, PRESENT, META];
/// Most centroids of a sub-space: what a byte can name.
pub const CENTROIDS_MAX: u32 = 256;

const META_LEN: u64 = 64;

/// The shape of the product codes of one name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProductPartShape {
    /// Elements a vector.
    pub dim: u32,
    /// Elements a sub-space.
    pub width: u32,
    /// Centroids of each sub-space: 1 to 256.
    pub count: u32,
    /// What the centroids were learned with.
    pub seed: u64,
}

impl ProductPartShape {
    /// Bytes of a row.
    pub const fn row_len(&self) -> usize {
        self.dim.div_ceil(self.width) as usize
    }

    /// Numbers of the codebook.
    pub const fn book_len(&self) -> usize {
        self.dim as usize * self.count as usize
    }
}

/// Writes a product part row by row.
#[derive(Debug)]
pub struct ProductBuilder<W> {
    part: PartWriter<W>,
    shape: ProductPartShape,
    rows: u32,
    /// A bit for each row that has a vector.
    present: Vec<u64>,
}

impl<W: Write> ProductBuilder<W> {
    /// Begins the part.
    ///
    /// # Errors
    /// The sink's; `Invalid` for a shape that the chapter does not have.
    pub fn new(mut part: PartWriter<W>, shape: ProductPartShape) -> Result<Self, WriteError> {
        for (field, found) in [("dim", shape.dim), ("width", shape.width)] {
            if found == 0 || found > DIM_MAX {
                return Err(WriteError::invalid(field, found.into(), "1 to 65536"));
            }
        }
        if shape.count == 0 || shape.count > CENTROIDS_MAX {
            return Err(WriteError::invalid("count", shape.count.into(), "1 to 256"));
        }
        part.begin_section(CODES)?;
        Ok(Self {
            part,
            shape,
            rows: 0,
            present: Vec::new(),
        })
    }

    /// Adds the codes of the next row; `None` if it has no vector.
    ///
    /// # Errors
    /// The sink's; `Invalid` for codes of another length, for one without a centroid, and for the
    /// row after the last that a u32 can number.
    pub fn push(&mut self, codes: Option<&[u8]>) -> Result<(), WriteError> {
        let next = self.rows.checked_add(1);
        let next = next.ok_or(WriteError::invalid("rows", u64::MAX, "at most 2^32 - 1"))?;
        let (word, bit) = ((self.rows / 64) as usize, self.rows % 64);
        if word == self.present.len() {
            self.present.push(0);
        }
        let row_len = self.shape.row_len();
        match codes {
            Some(codes) if codes.len() == row_len => {
                let largest = codes.iter().max().map_or(0, |&code| u32::from(code));
                if largest >= self.shape.count {
                    return Err(WriteError::invalid("code", largest.into(), "below count"));
                }
                if let Some(word) = self.present.get_mut(word) {
                    *word |= 1 << bit;
                }
                self.part.write(codes)?;
            }
            Some(codes) => {
                let found = codes.len() as u64;
                return Err(WriteError::invalid("codes", found, "one a sub-space"));
            }
            None => self.part.write(&vec![0; row_len])?,
        }
        self.rows = next;
        Ok(())
    }

    /// Writes what is left of the part; `book` as the chapter lays it out.
    ///
    /// # Errors
    /// The sink's; `Invalid` if the codebook is not of the shape.
    pub fn finish(mut self, book: &[f32]) -> Result<(W, PartSummary), WriteError> {
        if book.len() != self.shape.book_len() {
            let found = book.len() as u64;
            return Err(WriteError::invalid("codebook", found, "dim times count"));
        }
        let book: Vec<u8> = book.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.part.begin_section(BOOK)?;
        self.part.write(&book)?;
        let mut bitmap = Vec::new();
        let present = encode_bitmap(self.rows, &self.present, &mut bitmap);
        self.part.begin_section(PRESENT)?;
        self.part.write(&bitmap)?;
        let ProductPartShape {
            dim,
            width,
            count,
            seed,
        } = self.shape;
        let mut meta = Vec::with_capacity(64);
        for figure in [self.rows, dim, width, count, present, 0] {
            meta.extend_from_slice(&figure.to_le_bytes());
        }
        meta.extend_from_slice(&seed.to_le_bytes());
        meta.extend_from_slice(&[0; 32]);
        self.part.begin_section(META)?;
        self.part.write(&meta)?;
        Ok(self.part.finish()?)
    }
}

/// Where everything is in an opened product part, and its figures.
///
/// The blocks of [`VERIFIED_BEFORE_OPEN`] must be verified before `open`; those of codes, which
/// [`Self::rows_range`] gives, before they are used.
#[derive(Clone, Debug)]
pub struct ProductLayout {
    shape: ProductPartShape,
    rows: u32,
    codes: Range<u64>,
    book: Range<u64>,
    present: BitmapLayout,
}

impl ProductLayout {
    /// Checks `META`, `PRES` and the lengths of the product part in `bytes`, the whole file.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Product, FORMAT_VERSION, 0)?;
        let (range, meta) = part.section_bytes(bytes, META, "product meta")?;
        let at = range.start;
        let mut fields = exact(meta, at, META_LEN, "product meta")?;
        let rows = fields.u32("rows")?;
        let dim = u32_within(&mut fields, 1, DIM_MAX, "dim")?;
        let width = u32_within(&mut fields, 1, DIM_MAX, "width")?;
        let count = u32_within(&mut fields, 1, CENTROIDS_MAX, "count")?;
        let with_vector = u32_within(&mut fields, 0, rows, "present")?;
        fields.zeros(4, "product meta")?;
        let shape = ProductPartShape {
            dim,
            width,
            count,
            seed: fields.u64("seed")?,
        };
        rest_is_zero(fields, "product meta")?;
        let section = |tag: u32, len: u64, field: &'static str| {
            let range = part.required_section(tag)?;
            require_equal(range.end - range.start, len, range.start, field)?;
            Ok::<_, DecodeError>(range)
        };
        let codes = section(CODES, u64::from(rows) * shape.row_len() as u64, "codes")?;
        let book = section(BOOK, 4 * shape.book_len() as u64, "codebook")?;
        let range = part.required_section(PRESENT)?;
        let present_at = range.start;
        let present = BitmapLayout::open(bytes, range, "present")?;
        require_equal(present.len().into(), rows.into(), present_at, "present")?;
        let ones = present.count().into();
        require_equal(ones, with_vector.into(), present_at + 4, "present")?;
        Ok(Self {
            shape,
            rows,
            codes,
            book,
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

    /// Dimension, width, number of centroids and seed.
    pub const fn shape(&self) -> ProductPartShape {
        self.shape
    }

    /// Where consecutive rows of codes are in the file, as far as there are such rows.
    pub fn rows_range(&self, rows: Range<Row>) -> Range<u64> {
        let row_len = self.shape.row_len() as u64;
        let end = u64::from(rows.end.min(self.rows));
        let start = u64::from(rows.start).min(end);
        self.codes.start + start * row_len..self.codes.start + end * row_len
    }

    /// Checks what `open` leaves out: that each code has a centroid, and that rows without a vector
    /// have zero codes. All blocks must be verified.
    ///
    /// # Errors
    /// The first row of which that is not so.
    pub fn verify_codes(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let codes = slice(bytes, &self.codes, "codes")?;
        let present = self.present.view(bytes);
        let most = u64::from(self.shape.count) - 1;
        for (row, codes) in (0..self.rows).zip(codes.chunks_exact(self.shape.row_len())) {
            let at = self.rows_range(row..row.saturating_add(1)).start;
            let largest = codes.iter().max().map_or(0, |&code| u64::from(code));
            if !present.contains(row) && largest > 0 {
                return Err(failed(at, "absent row", Why::NotZero));
            }
            if largest > most {
                let why = Why::OutOfRange {
                    value: largest,
                    least: 0,
                    most,
                };
                return Err(failed(at, "code", why));
            }
        }
        Ok(())
    }

    /// The codes, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> ProductView<'a> {
        ProductView {
            shape: self.shape,
            rows: self.rows,
            codes: opened(bytes, &self.codes),
            book: opened(bytes, &self.book),
            present: self.present.view(bytes),
        }
    }
}

/// The product codes of one name of a segment, read in place.
#[derive(Copy, Clone, Debug)]
pub struct ProductView<'a> {
    shape: ProductPartShape,
    rows: u32,
    codes: &'a [u8],
    book: &'a [u8],
    present: BitmapView<'a>,
}

impl<'a> ProductView<'a> {
    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.rows
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Dimension, width, number of centroids and seed.
    pub const fn shape(&self) -> ProductPartShape {
        self.shape
    }

    /// The set of rows that have a vector.
    pub const fn present(&self) -> BitmapView<'a> {
        self.present
    }

    /// Whether a row has a vector.
    pub fn is_present(&self, row: Row) -> bool {
        self.present.contains(row)
    }

    /// The codes of a row: zeros if it has no vector, empty past the last row.
    #[inline]
    pub fn row(&self, row: Row) -> &'a [u8] {
        let row_len = self.shape.row_len();
        let start = (row as usize).saturating_mul(row_len);
        let codes = self.codes.get(start..start.saturating_add(row_len));
        codes.unwrap_or_default()
    }

    /// All codes, row after row.
    pub const fn codes(&self) -> &'a [u8] {
        self.codes
    }

    /// The centroids, as the chapter lays them out.
    pub fn book(&self) -> Vec<f32> {
        let (floats, _) = self.book.as_chunks::<4>();
        floats.iter().map(|&x| f32::from_le_bytes(x)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::{layout, writer};
    use proptest::prelude::*;

    const KIND: PartKind = PartKind::Product;

    fn part(shape: ProductPartShape, rows: &[Option<Vec<u8>>], book: &[f32]) -> Vec<u8> {
        let mut builder = ProductBuilder::new(writer(KIND), shape).unwrap();
        rows.iter()
            .for_each(|row| builder.push(row.as_deref()).unwrap());
        builder.finish(book).unwrap().0
    }

    fn shape(dim: u32, width: u32, count: u32) -> ProductPartShape {
        ProductPartShape {
            dim,
            width,
            count,
            seed: 5,
        }
    }

    #[test]
    fn what_the_chapter_does_not_have_is_refused() {
        for shape in [
            shape(0, 1, 1),
            shape(1, 0, 1),
            shape(1, 1, 0),
            shape(1, 1, 257),
        ] {
            assert!(
                ProductBuilder::new(writer(KIND), shape).is_err(),
                "{shape:?}"
            );
        }
        let mut builder = ProductBuilder::new(writer(KIND), shape(5, 2, 3)).unwrap();
        assert!(builder.push(Some(&[0; 2])).is_err());
        assert!(builder.push(Some(&[0, 3, 0])).is_err());
        assert!(builder.push(Some(&[0, 2, 0])).is_ok());
        assert!(builder.finish(&[0.0; 14]).is_err());
    }

    #[test]
    fn codes_that_mean_nothing_are_seen() {
        let bytes = part(shape(4, 2, 2), &[None, Some(vec![1, 0])], &[0.0; 8]);
        let opened = ProductLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
        assert_eq!(opened.verify_codes(&bytes), Ok(()));
        for (at, code, row_at, field) in [(1, 1, 0, "absent row"), (3, 2, 2, "code")] {
            let mut damaged = bytes.clone();
            damaged[4096 + at] = code;
            let error = opened.verify_codes(&damaged).unwrap_err();
            assert_eq!((error.at, error.field), (4096 + row_at, field));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn product_codes_round_trip(
            dim in 1..70_u32,
            width in 1..80_u32,
            count in 1..=256_u32,
            present in prop::collection::vec(any::<Option<u8>>(), 0..200),
        ) {
            let shape = shape(dim, width, count);
            let code = |seed: u8, at: usize| (u32::from(seed.wrapping_mul(at as u8)) % count) as u8;
            let row = |seed: u8| (0..shape.row_len()).map(|at| code(seed, at)).collect();
            let rows: Vec<Option<Vec<u8>>> = present.iter().map(|seed| seed.map(row)).collect();
            let book: Vec<f32> = (0..shape.book_len()).map(|at| at as f32 - 7.5).collect();
            let bytes = part(shape, &rows, &book);
            let opened = ProductLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
            opened.verify_codes(&bytes).unwrap();
            let view = opened.view(&bytes);
            prop_assert_eq!((view.len() as usize, view.shape()), (rows.len(), shape));
            prop_assert_eq!(view.book(), book);
            for (n, row) in (0..).zip(&rows) {
                prop_assert_eq!(view.is_present(n), row.is_some());
                let codes = row.clone().unwrap_or(vec![0; shape.row_len()]);
                prop_assert_eq!(view.row(n), &codes[..]);
                let range = opened.rows_range(n..n + 1);
                prop_assert_eq!(slice(&bytes, &range, "row").unwrap(), &codes[..]);
            }
            prop_assert_eq!(view.row(view.len()), &[] as &[u8]);
            prop_assert_eq!(view.codes().len(), rows.len() * shape.row_len());
        }
    }
}
