//! The scan on codes: blocks of one-bit codes are estimated side by side, what may be near enough
//! is estimated again from its code of several bits, and what still may be is compared exactly.
//!
//! ```text
//! block of 32 ── lower bound below the worst hit? ── code of several bits ── still? ── vector
//! ```
//!
//! How far the worst hit will be is known at the end only, and until then far more rows may be
//! near enough than in the end are. So they wait. Now and then those that seem nearest are
//! refined, which brings the worst hit nearer, and the others when all blocks are done, if they
//! still may be near enough.
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

use crate::neighbor::TopK;
use crate::refine::{CodeRows, CodeScanCounts, Refiner, SharedBound};
use crate::rowset::RowSet;
use crate::{Row, Scorer};

/// Blocks of more bytes than this come from memory and are asked for ahead; fewer are in the cache,
/// and asking costs a tenth.
const CACHED_BYTES: usize = 8 << 20;

/// Blocks before the first rows are refined.
const FIRST_BLOCKS: u32 = 8;
/// How many times as many it is the next time.
const ROUND_GROWTH: u32 = 4;
/// Blocks estimated at once.
const RUN: u32 = 16;
/// Rows refined then for each row wanted.
const BEST_SHARE: usize = 2;
/// Rows that wait at most.
const WAITING_MOST: usize = 4_096;

/// Offers the rows of `rows` that may be among the nearest to `top`.
pub fn scan_codes<C: CodeRows, S: Scorer + ?Sized>(
    codes: &C,
    query: &CodeQuery,
    scorer: &S,
    rows: &RowSet,
    bound: &SharedBound,
    top: &mut TopK,
) -> CodeScanCounts {
    let mut scan = Waiting {
        refiner: Refiner::new(codes, query, scorer, bound, top),
        rows: Vec::new(),
    };
    let mut estimates: [BlockEstimates; RUN as usize] = Default::default();
    let (blocks, block_len) = (rows.len().div_ceil(BLOCK_ROWS as u32), query.block_len());
    let cold = blocks as usize * block_len > CACHED_BYTES;
    let (mut at, mut done, mut round) = (0, 0, FIRST_BLOCKS);
    while at < blocks {
        let most = RUN.min(blocks - at).min(round - done);
        let run = (0..most).take_while(|nth| wanted(rows, at + nth) != 0);
        // At most `RUN`.
        let run = match run.count() as u32 {
            0 => &[],
            count => codes.blocks(at, count),
        };
        let count = (run.len() / block_len).min(most as usize);
        let estimates = &mut estimates[..count];
        query.blocks(run, scan.refiner.worst(), cold, estimates);
        for (number, estimates) in (at..).zip(&*estimates) {
            scan.add(
                number * BLOCK_ROWS as u32,
                wanted(rows, number) & estimates.below,
                estimates,
            );
        }
        done += estimates.len() as u32;
        // A block that no row of is wanted, or that cannot be read.
        at += (estimates.len() as u32).max(1);
        if done >= round {
            scan.refine_best();
            round = round.saturating_mul(ROUND_GROWTH);
        } else if scan.rows.len() >= WAITING_MOST {
            scan.refine_all();
        }
    }
    scan.refiner.counts.blocks += u64::from(done);
    scan.finish()
}

/// The rows of a block that are in a set, as bits.
fn wanted(rows: &RowSet, block: u32) -> u32 {
    let word = rows.words()[block as usize / 2];
    // The half that is asked for.
    (word >> (32 * (block % 2))) as u32
}

/// A row that its code of one bit let through.
#[derive(Copy, Clone)]
struct Estimated {
    distance: f32,
    lower: f32,
    row: Row,
}

/// Rows that wait to be refined.
struct Waiting<'a, C, S: ?Sized> {
    refiner: Refiner<'a, C, S>,
    rows: Vec<Estimated>,
}

impl<C: CodeRows, S: Scorer + ?Sized> Waiting<'_, C, S> {
    /// Adds the rows `near`, bits of the block that begins with `first`.
    fn add(&mut self, first: Row, mut near: u32, estimates: &BlockEstimates) {
        while near != 0 {
            let lane = near.trailing_zeros();
            near &= near - 1;
            self.rows.push(Estimated {
                distance: estimates.distances[lane as usize],
                lower: estimates.lower[lane as usize],
                row: first + lane,
            });
        }
    }

    /// Refines the rows that seem nearest; of the others only those that may be near enough wait
    /// on.
    fn refine_best(&mut self) {
        let best = self.refiner.wanted().saturating_mul(BEST_SHARE);
        if best < self.rows.len() {
            let distance = |a: &Estimated, b: &Estimated| {
                a.distance.total_cmp(&b.distance).then(a.row.cmp(&b.row))
            };
            self.rows.select_nth_unstable_by(best, distance);
        }
        for estimated in self.rows.drain(..best.min(self.rows.len())) {
            self.refiner.push(estimated.row);
        }
        self.refiner.flush();
        let worst = self.refiner.worst();
        self.rows.retain(|waiting| waiting.lower < worst);
    }

    /// Refines all rows that may be near enough, those that seem nearest before the others.
    fn refine_all(&mut self) {
        self.refine_best();
        // In order their codes are read forwards.
        self.rows.sort_unstable_by_key(|waiting| waiting.row);
        for waiting in self.rows.drain(..) {
            if waiting.lower < self.refiner.worst() {
                self.refiner.push(waiting.row);
            }
        }
    }

    fn finish(mut self) -> CodeScanCounts {
        self.refine_all();
        self.refiner.finish();
        self.refiner.counts
    }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Neighbor;
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
        /// Blocks that lie side by side.
        side_by_side: u32,
    }

    impl CodeRows for Rows {
        fn block(&self, block: u32) -> &[u8] {
            self.blocks(block, 1)
        }

        fn blocks(&self, first: u32, count: u32) -> &[u8] {
            let count = count.min(self.side_by_side) as usize;
            &self.blocks[first as usize * self.block_len..][..count * self.block_len]
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

    impl Rows {
        fn new(count: u64) -> (Self, CodeSpace) {
            let vectors: Vec<Vec<f32>> = (0..count).map(|n| noise(DIM, n)).collect();
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
            let rows = Self {
                vectors,
                query: Vec::new(),
                block_len: BlockBuilder::block_len(space.padded()),
                row_len: CodeBits::Four.row_len(space.padded()),
                blocks,
                rows: codes,
                batches: None,
                side_by_side: u32::MAX,
            };
            (rows, space)
        }

        /// What a scan of the rows in `set` finds of the `limit` nearest to a query, and what there
        /// is.
        fn scan(
            &mut self,
            space: &CodeSpace,
            (query, limit): (u64, usize),
            set: &RowSet,
        ) -> (Vec<Neighbor>, Vec<Neighbor>) {
            self.query = noise(DIM, 1_000_000 + query);
            let rotated = RotatedQuery::new(space.rotation(), &self.query);
            let kind = (CodeMetric::Euclid, CodeBits::Four);
            let query = CodeQuery::new(space, kind.0, kind.1, &rotated, 1.9);
            let (mut top, mut truth) = (TopK::new(limit), TopK::new(limit));
            scan_codes(
                &*self,
                &query,
                &*self,
                set,
                &SharedBound::default(),
                &mut top,
            );
            crate::scan_set(&*self, set, &mut truth);
            (top.into_sorted(), truth.into_sorted())
        }
    }

    /// More rows wait than may, and every one of them is wanted.
    #[test]
    fn of_many_rows_that_are_wanted_none_is_lost() {
        let (mut rows, space) = Rows::new(12_000);
        let set = RowSet::from_rows(12_000, 0..12_000);
        for limit in [4_000, 11_000, 12_000, 20_000] {
            let (found, truth) = rows.scan(&space, (1, limit), &set);
            assert_eq!(found.len(), limit.min(12_000));
            let ends = [found[0], found[found.len() / 2]];
            assert_eq!(ends, [truth[0], truth[truth.len() / 2]], "{limit}");
            let missed = truth
                .iter()
                .filter(|near| found.binary_search(near).is_err());
            assert!(missed.count() * 100 <= limit, "{limit}");
        }
    }

    /// However many blocks lie side by side, and whichever of them are wanted.
    #[test]
    fn runs_of_blocks_are_scanned_as_single_blocks_are() {
        let (mut rows, space) = Rows::new(3_000);
        let every = |third: fn(u32) -> bool| {
            RowSet::from_rows(3_000, (0..3_000).filter(move |row| third(row / 32)))
        };
        let sets = [
            every(|_| true),
            every(|block| block % 3 != 1),
            every(|block| block > 90),
        ];
        for set in &sets {
            for query in 0..10 {
                rows.side_by_side = u32::MAX;
                let (found, _) = rows.scan(&space, (query, 10), set);
                assert_eq!(found.len(), 10);
                assert!(found.iter().all(|near| set.contains(near.row)));
                for side_by_side in [1, 5] {
                    rows.side_by_side = side_by_side;
                    assert_eq!(rows.scan(&space, (query, 10), set).0, found);
                }
            }
        }
    }

    #[test]
    fn the_nearest_rows_of_the_set_are_found() {
        let (mut rows, space) = Rows::new(3_000);
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
        assert_eq!(scored_far, scored);
        assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
        assert!(scored < 40 * 40, "{scored} rows scored");
    }
}
