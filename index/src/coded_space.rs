//! CodedSpace: rows by their codes, as a space to build a graph in.
//!
//! Codes of four bits are some times as fast to compare as vectors, and near enough to them for
//! choosing neighbours; blocks of one-bit codes around the same centre find the candidates.
//!
//! # Invariants
//! - There are blocks only if they are of all rows.

use std::borrow::Cow;

use quant::{BLOCK_ROWS, BlockQuery, CodePair, PreparedRow};

use crate::{Row, Space};

/// The codes of rows, those of four bits row by row and those of one bit in blocks.
#[derive(Clone, Debug)]
pub struct CodedSpace<'a> {
    rows: Cow<'a, [u8]>,
    blocks: Cow<'a, [u8]>,
    pair: CodePair,
    len: u32,
}

impl<'a> CodedSpace<'a> {
    /// Of `len` rows, `pair.row_len()` bytes each; blocks of another number of rows are left out.
    ///
    /// # Panics
    /// If `rows` has fewer bytes than that.
    pub fn new(
        rows: impl Into<Cow<'a, [u8]>>,
        blocks: impl Into<Cow<'a, [u8]>>,
        pair: CodePair,
        len: u32,
    ) -> Self {
        let (rows, blocks) = (rows.into(), blocks.into());
        assert!(
            rows.len() >= len as usize * pair.row_len(),
            "{} bytes are not {len} rows",
            rows.len()
        );
        Self {
            rows,
            blocks,
            pair,
            len,
        }
    }

    fn row(&self, row: Row) -> &[u8] {
        let len = self.pair.row_len();
        &self.rows[row as usize * len..][..len]
    }
}

impl Space for CodedSpace<'_> {
    type Prepared = PreparedRow;

    fn len(&self) -> u32 {
        self.len
    }

    fn prepare(&self, row: Row, prepared: &mut PreparedRow) {
        self.pair.prepare(self.row(row), prepared);
    }

    fn distance(&self, from: &PreparedRow, to: Row) -> f32 {
        self.pair.distance(from, self.row(to))
    }

    fn prefetch(&self, row: Row) {
        quant::prefetch(self.row(row));
    }

    fn blocks(&self) -> Option<&[u8]> {
        let count = (self.len as usize).div_ceil(BLOCK_ROWS);
        (self.blocks.len() == count * self.pair.block_len()).then_some(&self.blocks)
    }

    fn prepare_blocks(&self, from: &PreparedRow, query: &mut BlockQuery) {
        self.pair.prepare_blocks(from, query);
    }
}
