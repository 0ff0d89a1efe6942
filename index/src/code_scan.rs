//! The scan on codes: blocks of one-bit codes are estimated side by side, what may be near enough
//! is estimated again from its code of several bits, and what still may be is compared exactly.
//!
//! ```text
//! block of 32 ── lower bound below the worst hit? ── code of several bits ── still? ── vector
//! ```
//!
//! Rows wait in small queues between the steps, so that their bytes are on the way before they are
//! read. The bound of each step leaves a row out by mistake with a known probability
//! ([`quant::CodeQuery`]); distances of the rows kept are exact.
//!
//! # Invariants
//! - Only rows of the set are scored.
//! - A row is left out only when its lower bound is not below the distance of a row that ends up as
//!   far as the last one kept.

use std::sync::atomic::{AtomicU32, Ordering};

use quant::{BLOCK_ROWS, BlockEstimates, CodeQuery};

use crate::neighbor::{Neighbor, TopK};
use crate::rowset::RowSet;
use crate::{Row, Scorer};

/// Rows waiting for their code of several bits: about what is under way from memory at once.
const REFINED_AT_ONCE: usize = 24;
/// Rows waiting for their vector.
const SCORED_AT_ONCE: usize = 8;

/// The codes of a segment's rows.
pub trait CodeRows {
    /// A block of 32 one-bit codes; empty if it cannot be read.
    fn block(&self, block: u32) -> &[u8];

    /// The code of several bits of a row; empty if it cannot be read.
    fn row(&self, row: Row) -> &[u8];
}

/// The distance of the worst hit wanted, shared by the scans of several segments: what one has
/// found spares the others.
#[derive(Debug)]
pub struct SharedBound(AtomicU32);

impl Default for SharedBound {
    fn default() -> Self {
        Self(AtomicU32::new(f32::INFINITY.to_bits()))
    }
}

impl SharedBound {
    /// No row farther than this is wanted.
    pub fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Lowers the bound to `distance`.
    pub fn lower(&self, distance: f32) {
        let lowered = |bits: u32| (distance < f32::from_bits(bits)).then(|| distance.to_bits());
        // Failing means that it is as low already.
        let _ = (self.0).fetch_update(Ordering::Relaxed, Ordering::Relaxed, lowered);
    }
}

/// What a scan has done.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct CodeScanCounts {
    /// Blocks estimated.
    pub blocks: u64,
    /// Rows estimated from their code of several bits.
    pub refined: u64,
    /// Rows compared exactly.
    pub scored: u64,
}

/// Offers the rows of `rows` that may be among the nearest to `top`.
pub fn scan_codes<C: CodeRows, S: Scorer + ?Sized>(
    codes: &C,
    query: &CodeQuery,
    scorer: &S,
    rows: &RowSet,
    bound: &SharedBound,
    top: &mut TopK,
) -> CodeScanCounts {
    let mut scan = Scan {
        codes,
        query,
        scorer,
        bound,
        top,
        counts: CodeScanCounts::default(),
        refining: Queue::EMPTY,
        scoring: Queue::EMPTY,
    };
    let mut estimates = BlockEstimates::default();
    for (at, word) in rows.words().iter().enumerate() {
        for half in 0..2_u32 {
            let wanted = low_half(word >> (32 * half));
            if wanted != 0 {
                scan.block(2 * at as u32 + half, wanted, &mut estimates);
            }
        }
    }
    scan.refine();
    scan.score();
    scan.counts
}

fn low_half(word: u64) -> u32 {
    (word & u64::from(u32::MAX)) as u32
}

/// Rows that wait for a step.
struct Queue<const N: usize> {
    rows: [Row; N],
    len: usize,
}

impl<const N: usize> Queue<N> {
    const EMPTY: Self = Self {
        rows: [0; N],
        len: 0,
    };

    fn take(&mut self) -> ([Row; N], usize) {
        (self.rows, std::mem::take(&mut self.len))
    }

    /// Adds a row; true when the queue is full.
    fn push(&mut self, row: Row) -> bool {
        self.rows[self.len] = row;
        self.len += 1;
        self.len == N
    }
}

struct Scan<'a, C, S: ?Sized> {
    codes: &'a C,
    query: &'a CodeQuery,
    scorer: &'a S,
    bound: &'a SharedBound,
    top: &'a mut TopK,
    counts: CodeScanCounts,
    refining: Queue<REFINED_AT_ONCE>,
    scoring: Queue<SCORED_AT_ONCE>,
}

impl<C: CodeRows, S: Scorer + ?Sized> Scan<'_, C, S> {
    /// The distance from which on a row is not wanted.
    fn worst(&self) -> f32 {
        self.top.bound().min(self.bound.get())
    }

    fn block(&mut self, block: u32, wanted: u32, estimates: &mut BlockEstimates) {
        let bytes = self.codes.block(block);
        if bytes.len() != self.query.block_len() {
            return;
        }
        self.counts.blocks += 1;
        let mut near = wanted & self.query.block(bytes, self.worst(), estimates);
        while near != 0 {
            let row = block * BLOCK_ROWS as u32 + near.trailing_zeros();
            near &= near - 1;
            quant::prefetch(self.codes.row(row));
            if self.refining.push(row) {
                self.refine();
            }
        }
    }

    fn refine(&mut self) {
        let (rows, len) = self.refining.take();
        self.counts.refined += len as u64;
        for &row in &rows[..len] {
            let code = self.codes.row(row);
            if code.len() != self.query.row_len() || self.query.row_lower(code) >= self.worst() {
                continue;
            }
            self.scorer.prefetch(row);
            if self.scoring.push(row) {
                self.score();
            }
        }
    }

    fn score(&mut self) {
        let (rows, len) = self.scoring.take();
        self.counts.scored += len as u64;
        let mut distances = [0.0; SCORED_AT_ONCE];
        self.scorer.distances(&rows[..len], &mut distances[..len]);
        for (&row, distance) in rows[..len].iter().zip(distances) {
            if distance <= self.top.bound() {
                self.top.push(Neighbor { distance, row });
            }
        }
        if self.top.len() == self.top.limit() {
            self.bound.lower(self.top.bound());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quant::{BlockBuilder, CodeBits, CodeMetric, CodeSpace, Encoder, RotatedQuery, Rotation};

    const DIM: usize = 48;

    struct Rows {
        vectors: Vec<Vec<f32>>,
        query: Vec<f32>,
        block_len: usize,
        row_len: usize,
        blocks: Vec<u8>,
        rows: Vec<u8>,
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
        };
        let (mut found, mut wanted, mut scored) = (0, 0, 0);
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
        }
        assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
        assert!(scored < 40 * 400, "{scored} rows scored");
    }

    #[test]
    fn a_bound_only_falls() {
        let bound = SharedBound::default();
        for (lowered, left) in [(3.0, 3.0), (4.0, 3.0), (-1.0, -1.0), (f32::NAN, -1.0)] {
            bound.lower(lowered);
            assert_eq!(bound.get(), left);
        }
    }
}
