//! RowCodes: the codes of one source's vectors, for a query.

use std::cell::RefCell;

use format_spec::Row;
use format_spec::codes::CodesView;
use index::{CodeRows, RowSet};
use quant::{CodeBits, CodeMetric, CodeQuery, CodeSpace, RotatedQuery};

use crate::error::{Error, Result};
use crate::memtable::MemtableCodes;
use crate::segment::{OpenCodes, Part};

/// The codes of a segment, of which every block of one-bit codes is verified if there are blocks to
/// read, or of a memtable, of which some rows may have none yet.
#[derive(Debug)]
pub struct RowCodes<'a> {
    rows: Rows<'a>,
    /// Damage found on the way: a scan cannot fail in the middle.
    damage: RefCell<Option<Error>>,
}

#[derive(Debug)]
enum Rows<'a> {
    Segment {
        part: &'a Part,
        open: &'a OpenCodes,
        view: CodesView<'a>,
        /// Whether blocks may be read.
        blocks: bool,
    },
    Memtable(MemtableCodes<'a>),
}

impl<'a> RowCodes<'a> {
    /// Verifies the blocks.
    ///
    /// # Errors
    /// `Corrupt`; the vectors can still be scanned.
    pub(crate) fn segment(part: &'a Part, open: &'a OpenCodes) -> Result<Self> {
        part.bytes_in(open.layout.blocks_range())?;
        Ok(Self::of_segment(part, open, true))
    }

    /// For reading row by row: blocks are verified only if there is nothing else, and are empty
    /// otherwise, so that those on disk stay there.
    ///
    /// # Errors
    /// As [`Self::segment`].
    pub(crate) fn segment_rows(part: &'a Part, open: &'a OpenCodes) -> Result<Self> {
        if open.bits() == CodeBits::One {
            return Self::segment(part, open);
        }
        part.damage().map_or(Ok(()), Err)?;
        Ok(Self::of_segment(part, open, false))
    }

    fn of_segment(part: &'a Part, open: &'a OpenCodes, blocks: bool) -> Self {
        let view = open.layout.view(part.raw());
        Self::new(Rows::Segment {
            part,
            open,
            view,
            blocks,
        })
    }

    pub(crate) fn memtable(codes: MemtableCodes<'a>) -> Self {
        Self::new(Rows::Memtable(codes))
    }

    fn new(rows: Rows<'a>) -> Self {
        Self {
            rows,
            damage: RefCell::new(None),
        }
    }

    /// Rotation and centre.
    pub fn space(&self) -> &CodeSpace {
        match &self.rows {
            Rows::Segment { open, .. } => &open.space,
            Rows::Memtable(codes) => codes.space(),
        }
    }

    /// What is estimated.
    pub fn metric(&self) -> CodeMetric {
        match &self.rows {
            Rows::Segment { open, .. } => open.metric(),
            Rows::Memtable(codes) => codes.metric(),
        }
    }

    /// Bits of the code that refines the one-bit code.
    pub fn bits(&self) -> CodeBits {
        match &self.rows {
            Rows::Segment { open, .. } => open.bits(),
            Rows::Memtable(codes) => codes.bits(),
        }
    }

    /// Prepares a query; bounds are `deviations` standard deviations from the estimates.
    pub fn query(&self, query: &RotatedQuery, deviations: f32) -> CodeQuery {
        CodeQuery::new(self.space(), self.metric(), self.bits(), query, deviations)
    }

    /// Those of `rows` that have no codes: a scan of the codes passes over them.
    pub fn uncoded(&self, rows: &RowSet) -> Option<RowSet> {
        let Rows::Memtable(codes) = &self.rows else {
            return None;
        };
        let mut uncoded = RowSet::new(rows.len());
        let mut any = false;
        for row in codes.without().flatten() {
            if row < rows.len() && rows.contains(row) {
                uncoded.insert(row);
                any = true;
            }
        }
        any.then_some(uncoded)
    }

    /// Whether every code was read from verified bytes.
    ///
    /// # Errors
    /// The damage that was found.
    pub fn check(&self) -> Result<()> {
        self.damage.borrow_mut().take().map_or(Ok(()), Err)
    }
}

impl CodeRows for RowCodes<'_> {
    fn block(&self, block: u32) -> &[u8] {
        match &self.rows {
            Rows::Segment { blocks: false, .. } => &[],
            Rows::Segment { view, .. } => view.block(block),
            Rows::Memtable(codes) => codes.block(block),
        }
    }

    fn blocks(&self, first: u32, count: u32) -> &[u8] {
        match &self.rows {
            Rows::Segment { blocks: false, .. } => &[],
            Rows::Segment { view, .. } => view.blocks_from(first, count),
            Rows::Memtable(codes) => codes.block(first),
        }
    }

    fn row(&self, row: Row) -> &[u8] {
        let (part, open, view) = match &self.rows {
            Rows::Segment {
                part, open, view, ..
            } => (part, open, view),
            Rows::Memtable(codes) => return codes.row(row),
        };
        let shape = open.layout.shape();
        let start = open.layout.codes_range().start + u64::from(row) * shape.row_len() as u64;
        match part.bytes_in(start..start + shape.row_len() as u64) {
            Ok(_) => view.row(row),
            Err(error) => {
                self.damage.borrow_mut().get_or_insert(error);
                &[]
            }
        }
    }
}
