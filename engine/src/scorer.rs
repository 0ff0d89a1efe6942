//! RowScorer: distances from one query to the rows of a source.

use std::cell::RefCell;

use format_spec::Row;
use format_spec::vectors::{VectorsLayout, VectorsView};
use index::Scorer;
use quant::Query;

use crate::error::{Error, Result};
use crate::memtable::MemtableView;
use crate::segment::{Part, Segment, Vectors};

/// Scores the rows of one source; absent vectors are infinitely far.
#[derive(Debug)]
pub struct RowScorer<'a> {
    query: &'a Query,
    rows: Rows<'a>,
    /// Damage found on the way: a scorer cannot fail in the middle of a traversal.
    damage: RefCell<Option<Error>>,
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
            Some(Vectors { part, layout, view }) => Rows::Segment { part, layout, view },
            None => Rows::Absent,
        };
        Ok(Self::new(query, rows))
    }

    fn new(query: &'a Query, rows: Rows<'a>) -> Self {
        Self {
            query,
            rows,
            damage: RefCell::new(None),
        }
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
            Rows::Absent => None,
        }
    }
}

impl Scorer for RowScorer<'_> {
    fn distance(&self, row: Row) -> f32 {
        self.row(row)
            .map_or(f32::INFINITY, |bytes| self.query.distance(bytes))
    }

    fn distances(&self, rows: &[Row], out: &mut [f32]) {
        let Rows::Segment { layout, view, .. } = &self.rows else {
            for (row, slot) in rows.iter().zip(out) {
                *slot = self.distance(*row);
            }
            return;
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
            Rows::Absent => None,
        };
        if let Some(bytes) = bytes {
            quant::prefetch(bytes);
        }
    }
}
