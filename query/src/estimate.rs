//! Estimates: distances as codes say them, for callers that want no rescoring.
//!
//! # Invariants
//! - A row of which the codes say nothing is compared exactly.

use std::cell::RefCell;

use engine::{RowCodes, RowScorer};
use format_spec::ids::Row;
use index::{CodeRows, Scorer};
use quant::{BLOCK_ROWS, BlockEstimates, CodeQuery};

/// Scores rows by their codes: those of several bits, or of one bit where there are no others.
#[derive(Debug)]
pub(crate) struct Estimates<'a> {
    codes: &'a RowCodes<'a>,
    query: &'a CodeQuery,
    exact: &'a RowScorer<'a>,
    /// The block estimated last.
    block: RefCell<(Option<u32>, BlockEstimates)>,
}

impl<'a> Estimates<'a> {
    pub(crate) fn new(
        codes: &'a RowCodes<'a>,
        query: &'a CodeQuery,
        exact: &'a RowScorer<'a>,
    ) -> Self {
        Self {
            codes,
            query,
            exact,
            block: RefCell::default(),
        }
    }

    fn of_block(&self, row: Row) -> f32 {
        let number = row / BLOCK_ROWS as u32;
        let mut last = self.block.borrow_mut();
        if last.0 != Some(number) {
            let block = self.codes.block(number);
            if block.len() != self.query.block_len() {
                return f32::INFINITY;
            }
            self.query.block(block, f32::INFINITY, &mut last.1);
            last.0 = Some(number);
        }
        last.1.distances[row as usize % BLOCK_ROWS]
    }
}

impl Scorer for Estimates<'_> {
    fn distance(&self, row: Row) -> f32 {
        let estimate = if self.query.row_len() == 0 {
            self.of_block(row)
        } else {
            let code = self.codes.row(row);
            if code.len() != self.query.row_len() {
                return f32::INFINITY;
            }
            self.query.row(code).distance
        };
        if estimate == f32::NEG_INFINITY {
            self.exact.distance(row)
        } else {
            estimate
        }
    }

    fn floor(&self) -> Option<f32> {
        self.exact.floor()
    }
}
