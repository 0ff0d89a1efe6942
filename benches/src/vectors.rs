//! The rows of a data set in memory, encoded as a segment has them.

use index::{Row, Scorer, Space};
use quant::{Element, Metric, Pairwise, Query, encode_row, prefetch};

use crate::Failure;
use crate::dataset::Dataset;

/// Bytes of a cache line; rows start at one, as they do in a part.
const LINE: usize = 64;

/// Encoded rows, each at the start of a cache line if its length allows.
#[derive(Debug)]
pub struct Vectors {
    bytes: Vec<u8>,
    start: usize,
    stride: usize,
    rows: u32,
    pairwise: Pairwise,
}

impl Vectors {
    /// The first `rows` rows of the base of `data`, under the cosine distance.
    ///
    /// # Errors
    /// A row that cannot be encoded.
    pub fn new(data: &Dataset, rows: usize) -> Result<Self, Failure> {
        let dim = data.base.columns;
        let stride = dim * Element::F32.size();
        let mut bytes = vec![0; rows * stride + LINE];
        let start = bytes.as_ptr().align_offset(LINE);
        let mut row = Vec::with_capacity(stride);
        for (at, slot) in bytes[start..]
            .chunks_exact_mut(stride)
            .take(rows)
            .enumerate()
        {
            row.clear();
            encode_row(Metric::Cosine, Element::F32, data.base.row(at), &mut row)?;
            slot.copy_from_slice(&row);
        }
        let pairwise = Pairwise::new(Metric::Cosine, Element::F32, dim);
        Ok(Self {
            bytes,
            start,
            stride,
            rows: u32::try_from(rows)?,
            pairwise,
        })
    }

    /// The bytes of all rows.
    fn all(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn row(&self, row: Row) -> &[u8] {
        &self.bytes[self.start + row as usize * self.stride..][..self.stride]
    }

    /// Prepares a query.
    ///
    /// # Errors
    /// A query that cannot be encoded.
    pub fn query(&self, vector: &[f32]) -> Result<ToQuery<'_>, Failure> {
        let query = Query::new(Metric::Cosine, Element::F32, vector.len(), vector)?;
        Ok(ToQuery {
            query,
            vectors: self,
        })
    }
}

impl Space for Vectors {
    type Prepared = Row;

    fn prepare(&self, row: Row, prepared: &mut Row) {
        *prepared = row;
    }

    fn len(&self) -> u32 {
        self.rows
    }

    fn distance(&self, from: &Row, to: Row) -> f32 {
        self.pairwise.distance(self.row(*from), self.row(to))
    }

    fn prefetch(&self, row: Row) {
        prefetch(self.row(row));
    }
}

/// Distances from a query to [`Vectors`].
#[derive(Debug)]
pub struct ToQuery<'a> {
    query: Query,
    vectors: &'a Vectors,
}

impl Scorer for ToQuery<'_> {
    fn distance(&self, row: Row) -> f32 {
        self.query.distance(self.vectors.row(row))
    }

    fn distances(&self, rows: &[Row], out: &mut [f32]) {
        self.query
            .distances_gather(self.vectors.all(), self.vectors.stride, rows, out);
    }

    fn prefetch(&self, row: Row) {
        prefetch(self.vectors.row(row));
    }

    fn floor(&self) -> Option<f32> {
        Some(-1.0)
    }
}
