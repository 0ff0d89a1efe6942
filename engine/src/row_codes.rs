//! RowCodes: the codes of one source's vectors, for a query.

use std::cell::RefCell;

use format_spec::Row;
use format_spec::codes::CodesView;
use index::CodeRows;
use quant::{CodeBits, CodeMetric, CodeQuery, CodeSpace, RotatedQuery};

use crate::error::{Error, Result};
use crate::segment::{OpenCodes, Part};

/// The codes of a segment; every block of one-bit codes is verified.
#[derive(Debug)]
pub struct RowCodes<'a> {
    part: &'a Part,
    open: &'a OpenCodes,
    view: CodesView<'a>,
    /// Damage found on the way: a scan cannot fail in the middle.
    damage: RefCell<Option<Error>>,
}

impl<'a> RowCodes<'a> {
    /// Verifies the blocks.
    ///
    /// # Errors
    /// `Corrupt`; the vectors can still be scanned.
    pub(crate) fn new(part: &'a Part, open: &'a OpenCodes) -> Result<Self> {
        part.bytes_in(open.layout.blocks_range())?;
        Ok(Self {
            part,
            open,
            view: open.layout.view(part.raw()),
            damage: RefCell::new(None),
        })
    }

    /// Rotation and centre.
    pub fn space(&self) -> &CodeSpace {
        &self.open.space
    }

    /// What is estimated.
    pub fn metric(&self) -> CodeMetric {
        self.open.metric()
    }

    /// Bits of the code that refines the one-bit code.
    pub fn bits(&self) -> CodeBits {
        self.open.bits()
    }

    /// Prepares a query; bounds are `deviations` standard deviations from the estimates.
    pub fn query(&self, query: &RotatedQuery, deviations: f32) -> CodeQuery {
        CodeQuery::new(self.space(), self.metric(), self.bits(), query, deviations)
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
        self.view.block(block)
    }

    fn row(&self, row: Row) -> &[u8] {
        let shape = self.open.layout.shape();
        let start = self.open.layout.codes_range().start + u64::from(row) * shape.row_len() as u64;
        match self.part.bytes_in(start..start + shape.row_len() as u64) {
            Ok(_) => self.view.row(row),
            Err(error) => {
                self.damage.borrow_mut().get_or_insert(error);
                &[]
            }
        }
    }
}
