//! Made: the codes that a memtable has of its vectors, in the order of the rows of a segment.
//!
//! # Invariants
//! - The code of a row is what it was in the memtable, whatever rows lie beside it.

use std::sync::Arc;

use format_spec::Row;
use quant::{BLOCK_ROWS, BlockBuilder, CodeSpace, SignRows};
use rayon::prelude::*;

use crate::memtable::MemtableView;
use crate::memtable::codes::{Coding, Encoded};

/// Blocks of a memtable that are looked at together, for each thread of the pool.
const MADE_A_THREAD: usize = 64;
/// Rows put together by one task, and tasks in memory at once, for each thread of the pool.
const TASK_ROWS: usize = 32 * BLOCK_ROWS;
const TASKS_A_THREAD: usize = 4;

/// The codes of a memtable for a segment that was made of it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Made<'a> {
    memtable: &'a MemtableView,
    /// The memtable row of each row of the segment; `None` if they are the same.
    rows: Option<&'a [Row]>,
}

impl<'a> Made<'a> {
    /// For a segment of all rows, in their order.
    pub(crate) fn as_they_come(memtable: &'a MemtableView) -> Self {
        Self {
            memtable,
            rows: None,
        }
    }

    /// For a segment of these rows.
    pub(crate) fn of_rows(memtable: &'a MemtableView, rows: &'a [Row]) -> Self {
        Self {
            memtable,
            rows: Some(rows),
        }
    }

    /// How the vectors `index` are encoded, if they are.
    pub(crate) fn coding(&self, index: usize) -> Option<(&'a Coding, &'a CodeSpace)> {
        self.memtable.coding(index)
    }

    /// Calls `take` with the codes of the vectors `index`, some thousand rows at a time, those that
    /// are missing made now, and with how many rows that is in all.
    ///
    /// # Errors
    /// What `take` returns.
    pub(crate) fn each<E>(
        &self,
        index: usize,
        pool: &rayon::ThreadPool,
        take: impl FnMut(&Encoded, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.rows {
            None => self.each_block(index, pool, take),
            Some(rows) => self.each_of(rows, index, pool, take),
        }
    }

    fn each_block<E>(
        &self,
        index: usize,
        pool: &rayon::ThreadPool,
        mut take: impl FnMut(&Encoded, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let memtable = self.memtable;
        let blocks: Vec<usize> = (0..memtable.block_count()).collect();
        let most = u64::from(memtable.rows());
        for wave in blocks.chunks(MADE_A_THREAD * pool.current_num_threads()) {
            let made = |&block: &usize| memtable.encoded(index, block);
            let made: Vec<_> = pool.install(|| wave.par_iter().map(made).collect());
            for (&block, encoded) in wave.iter().zip(made.iter().flatten()) {
                let done = (block as u64 + 1) * u64::from(memtable.block_rows());
                take(encoded, done.min(most))?;
            }
        }
        Ok(())
    }

    fn each_of<E>(
        &self,
        rows: &[Row],
        index: usize,
        pool: &rayon::ThreadPool,
        mut take: impl FnMut(&Encoded, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(apart) = Apart::new(self.memtable, index, pool) else {
            return Ok(());
        };
        let mut done = 0;
        let tasks: Vec<&[Row]> = rows.chunks(TASK_ROWS).collect();
        for wave in tasks.chunks(TASKS_A_THREAD * pool.current_num_threads()) {
            let put = |rows: &&[Row]| apart.together(rows);
            let put: Vec<Encoded> = pool.install(|| wave.par_iter().map(put).collect());
            for (rows, encoded) in wave.iter().zip(&put) {
                done += rows.len() as u64;
                take(encoded, done)?;
            }
        }
        Ok(())
    }
}

/// The codes of all rows of a memtable, row by row.
struct Apart {
    blocks: Vec<Option<(Arc<Encoded>, SignRows)>>,
    block_rows: u32,
    row_len: usize,
    padded: usize,
}

impl Apart {
    fn new(memtable: &MemtableView, index: usize, pool: &rayon::ThreadPool) -> Option<Self> {
        let (coding, space) = memtable.coding(index)?;
        let padded = space.padded();
        let apart = |block: usize| {
            let encoded = memtable.encoded(index, block)?;
            let blocks = encoded.blocks.chunks_exact(BlockBuilder::block_len(padded));
            let signs = SignRows::of_blocks(blocks, padded);
            Some((encoded, signs))
        };
        let blocks = 0..memtable.block_count();
        Some(Self {
            blocks: pool.install(|| blocks.into_par_iter().map(apart).collect()),
            block_rows: memtable.block_rows(),
            row_len: coding.bits().row_len(padded),
            padded,
        })
    }

    /// The codes of these rows side by side.
    fn together(&self, rows: &[Row]) -> Encoded {
        let mut block = BlockBuilder::new(self.padded);
        let mut encoded = Encoded {
            rows: Vec::with_capacity(rows.len() * self.row_len),
            blocks: Vec::new(),
        };
        for row in rows {
            let (number, at) = (row / self.block_rows, (row % self.block_rows) as usize);
            // Each block has codes by now, since the vectors have a space.
            if let Some(Some((codes, signs))) = self.blocks.get(number as usize) {
                let start = at * self.row_len;
                encoded
                    .rows
                    .extend_from_slice(&codes.rows[start..start + self.row_len]);
                block.push_row(signs, at);
            }
            if block.is_full() {
                block.finish(&mut encoded.blocks);
            }
        }
        if !block.is_empty() {
            block.finish(&mut encoded.blocks);
        }
        encoded
    }
}

#[cfg(test)]
mod tests {
    use format_spec::{Metric, PointId, Schema, SeqNo, VectorSchema};

    use super::*;
    use crate::memtable::Memtable;

    /// Of any rows in any order: what encoding their vectors in that order makes.
    #[test]
    fn codes_follow_their_rows() {
        let vector = VectorSchema::unnamed(64, Metric::Cosine);
        let coding = Coding::of(&vector).unwrap();
        let mut table = Memtable::of(&Schema {
            vectors: vec![vector],
            ..Schema::default()
        });
        let rows: Row = 3_000;
        for n in 0..rows {
            let floats = (0..64).map(|at| ((n * 31 + at * 17) % 97) as f32 / 97.0 - 0.4);
            let bytes: Vec<u8> = floats.flat_map(f32::to_le_bytes).collect();
            // Some have no vector.
            let vector = |_| (n % 50 != 3).then_some(&bytes[..]);
            table.insert(
                PointId::Number(n.into()),
                SeqNo(1 + u64::from(n)),
                vector,
                b"",
            );
        }
        table.due_for_codes(0).expect("blocks are full").run();
        let view = table.view(SeqNo(u64::from(rows)));
        let space = view.coding(0).unwrap().1;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .unwrap();
        let turned: Vec<Row> = (0..rows)
            .map(|n| n * 7 % rows)
            .filter(|n| n % 11 != 0)
            .collect();
        let all: Vec<Row> = (0..rows).collect();
        for (made, rows) in [
            (Made::of_rows(&view, &turned), &turned),
            (Made::as_they_come(&view), &all),
        ] {
            let (mut found, mut blocks, mut last) = (Vec::new(), Vec::new(), 0);
            let taken = made.each(0, &pool, |task, done| {
                found.extend_from_slice(&task.rows);
                blocks.extend_from_slice(&task.blocks);
                last = done;
                Ok::<_, ()>(())
            });
            taken.unwrap();
            let vectors: Vec<_> = rows.iter().map(|&row| view.vector(0, row)).collect();
            let wanted = coding.encode(space, vectors.into_iter());
            assert!(found == wanted.rows && blocks == wanted.blocks);
            assert_eq!(last, rows.len() as u64);
        }
    }
}
