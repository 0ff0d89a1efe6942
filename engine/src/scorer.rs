//! RowScorer: distances from one query to the rows of a source.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use format_spec::Row;
use format_spec::vectors::{VectorsLayout, VectorsView};
use index::Scorer;
use quant::Query;

use crate::error::{Error, Result};
use crate::memtable::MemtableView;
use crate::segment::{Part, Segment, Vectors};
use crate::storage::File;

/// Rows of a memtable that are scored in one call, at most.
const BLOCK_ROWS_MOST: usize = 128;

/// Scores the rows of one source; absent vectors are infinitely far.
#[derive(Debug)]
pub struct RowScorer<'a> {
    query: &'a Query,
    rows: Rows<'a>,
    /// Damage found on the way: a scorer cannot fail in the middle of a traversal.
    damage: RefCell<Option<Error>>,
    /// Vectors read from the file, and their bytes.
    cold: Cell<(u64, u64)>,
}

#[derive(Debug)]
enum Rows<'a> {
    Memtable {
        view: &'a MemtableView,
        vector_index: usize,
    },
    Segment {
        part: &'a Part,
        layout: &'a VectorsLayout,
        view: VectorsView<'a>,
    },
    /// As a segment, read from the file.
    Cold {
        part: &'a Part,
        file: Arc<dyn File>,
        layout: &'a VectorsLayout,
        /// Whether rows have the vector; the vectors themselves are not touched.
        view: VectorsView<'a>,
    },
    Absent,
}

impl<'a> RowScorer<'a> {
    pub(crate) fn memtable(view: &'a MemtableView, vector_index: usize, query: &'a Query) -> Self {
        Self::new(query, Rows::Memtable { view, vector_index })
    }

    pub(crate) fn segment(
        segment: &'a Segment,
        vector_index: usize,
        query: &'a Query,
    ) -> Result<Self> {
        let rows = match segment.vectors(vector_index)? {
            Some(Vectors { part, layout, view }) => match part.cold_file() {
                Some(file) => Rows::Cold {
                    part,
                    file,
                    layout,
                    view,
                },
                None => Rows::Segment { part, layout, view },
            },
            None => Rows::Absent,
        };
        Ok(Self::new(query, rows))
    }

    fn new(query: &'a Query, rows: Rows<'a>) -> Self {
        Self {
            query,
            rows,
            damage: RefCell::new(None),
            cold: Cell::new((0, 0)),
        }
    }

    /// Vectors read from the file so far, and their bytes.
    pub fn cold_reads(&self) -> (u64, u64) {
        self.cold.get()
    }

    /// Whether every distance was computed from verified bytes.
    ///
    /// # Errors
    /// The damage that was found.
    pub fn check(&self) -> Result<()> {
        self.damage.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// Whether the blocks of `row` are verified; damage is noted.
    fn is_verified(&self, row: Row) -> bool {
        let Rows::Segment { part, layout, .. } = &self.rows else {
            return true;
        };
        match part.bytes_in(layout.row_range(row)) {
            Ok(_) => true,
            Err(error) => {
                self.damage.borrow_mut().get_or_insert(error);
                false
            }
        }
    }

    /// Distances of rows of a memtable, those that follow each other in one block together.
    fn in_blocks(&self, view: &MemtableView, index: usize, rows: &[Row], out: &mut [f32]) {
        let block_rows = view.block_rows();
        let mut done = 0;
        while let Some(&first) = rows.get(done) {
            let block = first / block_rows;
            let same = rows[done..]
                .iter()
                .take_while(|&&row| row / block_rows == block);
            let end = done + same.take(BLOCK_ROWS_MOST).count();
            let mut places = [0; BLOCK_ROWS_MOST];
            let places = &mut places[..end - done];
            for (place, row) in places.iter_mut().zip(&rows[done..end]) {
                *place = row % block_rows;
            }
            let data = view.block_data(index, block as usize);
            let stride = self.query.row_len();
            self.query
                .distances_gather(data, stride, places, &mut out[done..end]);
            done = end;
        }
        if !view.is_complete(index) {
            for (row, slot) in rows.iter().zip(out) {
                if !view.has_vector(index, *row) {
                    *slot = f32::INFINITY;
                }
            }
        }
    }

    fn row(&self, row: Row) -> Option<&[u8]> {
        match &self.rows {
            Rows::Memtable { view, vector_index } => view.vector(*vector_index, row),
            Rows::Segment { view, .. } => {
                if view.is_present(row) && self.is_verified(row) {
                    view.row(row)
                } else {
                    None
                }
            }
            Rows::Cold { .. } | Rows::Absent => None,
        }
    }

    /// Reads rows of a cold part and scores them; absent rows are not read.
    fn cold_distances(&self, rows: &[Row], out: &mut [f32]) {
        let Rows::Cold {
            part,
            file,
            layout,
            view,
        } = &self.rows
        else {
            return;
        };
        out.fill(f32::INFINITY);
        let present = |at: &usize| view.is_present(rows[*at]);
        let places: Vec<usize> = (0..rows.len()).filter(present).collect();
        let ranges: Vec<Range<u64>> = places
            .iter()
            .map(|&at| layout.row_range(rows[at]))
            .collect();
        let (reads, bytes) = self.cold.get();
        let more = ranges.iter().map(|range| range.end - range.start);
        self.cold
            .set((reads + ranges.len() as u64, bytes + more.sum::<u64>()));
        let read = part.fetch(file, &ranges, |number, bytes| {
            out[places[number]] = self.query.distance(bytes);
        });
        if let Err(error) = read {
            self.damage.borrow_mut().get_or_insert(error);
        }
    }
}

impl Scorer for RowScorer<'_> {
    fn distance(&self, row: Row) -> f32 {
        if self.is_far() {
            let mut distance = [f32::INFINITY];
            self.cold_distances(&[row], &mut distance);
            return distance[0];
        }
        self.row(row)
            .map_or(f32::INFINITY, |bytes| self.query.distance(bytes))
    }

    fn is_far(&self) -> bool {
        matches!(self.rows, Rows::Cold { .. })
    }

    fn distances(&self, rows: &[Row], out: &mut [f32]) {
        let (layout, view) = match &self.rows {
            Rows::Segment { layout, view, .. } => (layout, view),
            Rows::Cold { .. } => return self.cold_distances(rows, out),
            Rows::Memtable { view, vector_index } => {
                self.in_blocks(view, *vector_index, rows, out);
                return;
            }
            Rows::Absent => {
                out.fill(f32::INFINITY);
                return;
            }
        };
        let every = layout.present_count() == layout.len();
        let verified = rows.iter().all(|&row| self.is_verified(row));
        if verified {
            self.query
                .distances_gather(view.data(), view.stride(), rows, out);
        }
        for (row, slot) in rows.iter().zip(out) {
            if !verified || !every && !view.is_present(*row) {
                *slot = self.distance(*row);
            }
        }
    }

    fn prefetch(&self, row: Row) {
        let bytes = match &self.rows {
            Rows::Memtable { view, vector_index } => view.vector(*vector_index, row),
            // A prefetch reads nothing, so the block need not be verified.
            Rows::Segment { view, .. } => view.row(row),
            Rows::Cold { .. } | Rows::Absent => None,
        };
        if let Some(bytes) = bytes {
            quant::prefetch(bytes);
        }
    }
}
