//! The scan on codes: blocks of one-bit codes are estimated side by side, what may be near enough
//! is estimated again from its code of several bits, and what still may be is compared exactly.
//!
//! ```text
//! block of 32 ── lower bound below the worst hit? ── code of several bits ── still? ── vector
//! ```
//!
//! Where few rows of each block are wanted, [`gather_codes`] starts at the second step: their codes
//! of several bits are read one by one.
//!
//! The bound of each step leaves a row out by mistake with a known probability
//! ([`quant::CodeQuery`]); distances of the rows kept are exact.
//!
//! # Invariants
//! - Only rows of the set are scored.
//! - A row is left out only when its lower bound is not below the distance of a row that ends up as
//!   far as the last one kept.

use quant::{BLOCK_ROWS, BlockEstimates, CodeQuery};

use crate::Scorer;
use crate::neighbor::TopK;
use crate::refine::{CodeRows, CodeScanCounts, Refiner, SharedBound};
use crate::rowset::RowSet;

/// Blocks of more bytes than this come from memory and are asked for ahead; fewer are in the cache,
/// and asking costs a tenth.
const CACHED_BYTES: usize = 8 << 20;

/// Offers the rows of `rows` that may be among the nearest to `top`.
pub fn scan_codes<C: CodeRows, S: Scorer + ?Sized>(
    codes: &C,
    query: &CodeQuery,
    scorer: &S,
    rows: &RowSet,
    bound: &SharedBound,
    top: &mut TopK,
) -> CodeScanCounts {
    let mut refiner = Refiner::new(codes, query, scorer, bound, top);
    let mut estimates = BlockEstimates::default();
    let bytes = rows.len() as usize / BLOCK_ROWS * query.block_len();
    let cold = bytes > CACHED_BYTES;
    for (at, word) in rows.words().iter().enumerate() {
        for half in 0..2_u32 {
            let wanted = low_half(word >> (32 * half));
            let number = 2 * at as u32 + half;
            let block = if wanted == 0 {
                &[]
            } else {
                codes.block(number)
            };
            if block.len() != query.block_len() {
                continue;
            }
            refiner.counts.blocks += 1;
            if cold {
                quant::prefetch_whole(codes.block(number + 1));
            }
            let mut near = wanted & query.block(block, refiner.worst(), &mut estimates);
            while near != 0 {
                refiner.push(number * BLOCK_ROWS as u32 + near.trailing_zeros());
                near &= near - 1;
            }
        }
    }
    refiner.finish();
    refiner.counts
}

/// The same, row by row: cheaper where the rows are few and far between, and only where there are
/// codes of several bits.
pub fn gather_codes<C: CodeRows, S: Scorer + ?Sized>(
    codes: &C,
    query: &CodeQuery,
    scorer: &S,
    rows: &RowSet,
    bound: &SharedBound,
    top: &mut TopK,
) -> CodeScanCounts {
    let mut refiner = Refiner::new(codes, query, scorer, bound, top);
    rows.iter().for_each(|row| refiner.push(row));
    refiner.finish();
    refiner.counts
}

fn low_half(word: u64) -> u32 {
    (word & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Row;
    use quant::{BlockBuilder, CodeBits, CodeMetric, CodeSpace, Encoder, RotatedQuery, Rotation};

    const DIM: usize = 48;

    struct Rows {
        vectors: Vec<Vec<f32>>,
        query: Vec<f32>,
        block_len: usize,
        row_len: usize,
        blocks: Vec<u8>,
        rows: Vec<u8>,
        /// Batches asked for, where vectors are far.
        batches: Option<Cell<u32>>,
    }

    impl CodeRows for Rows {
        fn block(&self, block: u32) -> &[u8] {
            &self.blocks[block as usize * self.block_len..][..self.block_len]
        }

        fn row(&self, row: Row) -> &[u8] {
            &self.rows[row as usize * self.row_len..][..self.row_len]
        }
    }

    impl Scorer for Rows {
        fn distance(&self, row: Row) -> f32 {
            let pairs = self.vectors[row as usize].iter().zip(&self.query);
            pairs.map(|(a, b)| (a - b) * (a - b)).sum()
        }

        fn distances(&self, rows: &[Row], out: &mut [f32]) {
            if let Some(batches) = &self.batches {
                batches.set(batches.get() + u32::from(!rows.is_empty()));
            }
            for (row, slot) in rows.iter().zip(out) {
                *slot = self.distance(*row);
            }
        }

        fn is_far(&self) -> bool {
            self.batches.is_some()
        }
    }

    fn noise(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            let bytes = (0..4).map(|at| (state >> (8 * at + 24)) & 255).sum::<u64>();
            bytes as f32 / 148.0 - 3.445
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn the_nearest_rows_of_the_set_are_found() {
        let vectors: Vec<Vec<f32>> = (0..3_000).map(|n| noise(DIM, n)).collect();
        let rotation = Rotation::new(DIM, 5);
        let space = CodeSpace::of_sample(rotation, vectors.iter().map(|v| &v[..]));
        let mut encoder = Encoder::new(&space, CodeMetric::Euclid, CodeBits::Four);
        let mut block = BlockBuilder::new(space.padded());
        let (mut blocks, mut codes) = (Vec::new(), Vec::new());
        for vector in &vectors {
            encoder.encode(vector, &mut block, &mut codes);
            if block.is_full() {
                block.finish(&mut blocks);
            }
        }
        block.finish(&mut blocks);
        let mut rows = Rows {
            vectors,
            query: Vec::new(),
            block_len: BlockBuilder::block_len(space.padded()),
            row_len: CodeBits::Four.row_len(space.padded()),
            blocks,
            rows: codes,
            batches: None,
        };
        let (mut found, mut wanted, mut scored) = (0, 0, 0);
        let mut scored_far = 0;
        for n in 0..40 {
            rows.query = noise(DIM, 1_000_000 + n);
            let set = RowSet::from_rows(3_000, (0..3_000).filter(|row| row % 3 != 1));
            let rotated = RotatedQuery::new(space.rotation(), &rows.query);
            let query = CodeQuery::new(&space, CodeMetric::Euclid, CodeBits::Four, &rotated, 1.9);
            let (mut top, mut truth) = (TopK::new(10), TopK::new(10));
            let bound = SharedBound::default();
            scored += scan_codes(&rows, &query, &rows, &set, &bound, &mut top).scored;
            crate::scan_set(&rows, &set, &mut truth);
            let (top, truth) = (top.into_sorted(), truth.into_sorted());
            assert_eq!(top.len(), 10);
            assert!(top.iter().all(|near| set.contains(near.row)));
            assert!(bound.get() >= truth[9].distance);
            found += truth.iter().filter(|near| top.contains(near)).count();
            wanted += truth.len();
            let (mut gathered, own) = (TopK::new(10), SharedBound::default());
            gather_codes(&rows, &query, &rows, &set, &own, &mut gathered);
            let gathered = gathered.into_sorted();
            assert!(gathered.iter().all(|near| set.contains(near.row)));
            found += truth.iter().filter(|near| gathered.contains(near)).count();
            wanted += truth.len();
            rows.batches = Some(Cell::new(0));
            let (mut far, own) = (TopK::new(10), SharedBound::default());
            scored_far += scan_codes(&rows, &query, &rows, &set, &own, &mut far).scored;
            let batches = rows.batches.take().map_or(0, |batches| batches.get());
            assert!(batches <= 2, "{batches} batches");
            assert_eq!(own.get(), far.bound());
            let far = far.into_sorted();
            found += truth.iter().filter(|near| far.contains(near)).count();
            wanted += truth.len();
        }
        assert!(scored_far < scored, "{scored_far} rows from afar, {scored}");
        assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
        assert!(scored < 40 * 400, "{scored} rows scored");
    }
}
