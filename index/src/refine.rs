//! Refining: rows that a one-bit estimate let through are estimated again from their code of
//! several bits, and those still near enough are compared exactly.
//!
//! Rows wait in small queues between the steps, so that their bytes are on the way before they are
//! read. Vectors are longer than codes, and may be far ([`Scorer::is_far`]): rows wait for theirs
//! until all are known. Then those that look nearest, as many as are wanted, are compared in one
//! batch, and what may still be nearer than the last of them in a second one. Until then the upper
//! bounds say which rows are not needed. Upper bounds of one bit would not do: of many rows the
//! nearest by such an estimate are those whose error is the largest, so that their bounds are too
//! low. Without longer codes rows do not wait, unless their vectors are far.
//!
//! # Invariants
//! - `top` holds distances of the scorer only, and the shared bound is lowered to those only: exact
//!   ones, or the estimates of the longest codes where a request wants no rescoring. All segments
//!   of a search have the same kind.

use std::sync::atomic::{AtomicU32, Ordering};

use quant::{BLOCK_ROWS, BlockEstimates, CodeQuery};

use crate::neighbor::{Neighbor, TopK};
use crate::{Row, Scorer};

/// Rows waiting for their code of several bits: about what is under way from memory at once.
const REFINED_AT_ONCE: usize = 24;
/// Rows waiting for their vector.
const SCORED_AT_ONCE: usize = 8;

/// The codes of a segment's rows.
pub trait CodeRows {
    /// A block of 32 one-bit codes; empty if it cannot be read.
    fn block(&self, block: u32) -> &[u8];

    /// `count` blocks side by side from `first` on, or as many as are side by side, at least that
    /// one; empty if it cannot be read. There are that many.
    fn blocks(&self, first: u32, count: u32) -> &[u8] {
        let _ = count;
        self.block(first)
    }

    /// The code of several bits of a row; empty if it cannot be read, or there is none.
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

/// A row that waits for its vector.
#[derive(Copy, Clone)]
struct Waiting {
    lower: f32,
    row: Row,
}

/// Their rows, those of one block side by side.
fn in_row_order<'a>(waiting: impl Iterator<Item = &'a Waiting>) -> Vec<Row> {
    let mut rows: Vec<Row> = waiting.map(|waiting| waiting.row).collect();
    rows.sort_unstable();
    rows
}

/// What waits for vectors.
struct Waves {
    waiting: Vec<Waiting>,
    /// The smallest upper bounds: no row is wanted that cannot be below the last of them.
    uppers: TopK,
}

/// What the best code there is says of a row; `None` if it cannot be read.
fn best<C: CodeRows + ?Sized, T>(
    codes: &C,
    query: &CodeQuery,
    row: Row,
    of_row: impl FnOnce(&[u8]) -> T,
    of_block: impl FnOnce(f32, f32) -> T,
) -> Option<T> {
    if query.row_len() > 0 {
        let code = codes.row(row);
        return (code.len() == query.row_len()).then(|| of_row(code));
    }
    of_one_bit(codes, query, row, of_block)
}

/// What the code of one bit says of a row; `None` if it cannot be read.
fn of_one_bit<C: CodeRows + ?Sized, T>(
    codes: &C,
    query: &CodeQuery,
    row: Row,
    of_block: impl FnOnce(f32, f32) -> T,
) -> Option<T> {
    let block = codes.block(row / BLOCK_ROWS as u32);
    if block.len() != query.block_len() {
        return None;
    }
    let mut estimates = BlockEstimates::default();
    query.block(block, f32::INFINITY, &mut estimates);
    let at = row as usize % BLOCK_ROWS;
    Some(of_block(estimates.distances[at], estimates.lower[at]))
}

/// Lower and upper bound of a row.
fn bounds<C: CodeRows + ?Sized>(codes: &C, query: &CodeQuery, row: Row) -> Option<(f32, f32)> {
    let of_block = |distance: f32, lower: f32| (lower, distance + (distance - lower));
    best(codes, query, row, |code| query.row_bounds(code), of_block)
}

/// The estimated distance of a row.
pub(crate) fn estimate<C: CodeRows + ?Sized>(
    codes: &C,
    query: &CodeQuery,
    row: Row,
) -> Option<f32> {
    let of_block = |distance: f32, _| distance;
    best(codes, query, row, |code| query.row(code).distance, of_block)
}

/// The estimated distance of a row by its code of one bit.
pub(crate) fn estimate_of_block<C: CodeRows + ?Sized>(
    codes: &C,
    query: &CodeQuery,
    row: Row,
) -> Option<f32> {
    of_one_bit(codes, query, row, |distance, _| distance)
}

/// Rows on their way to `top`.
pub(crate) struct Refiner<'a, C, S: ?Sized> {
    codes: &'a C,
    query: &'a CodeQuery,
    scorer: &'a S,
    bound: &'a SharedBound,
    top: &'a mut TopK,
    pub(crate) counts: CodeScanCounts,
    refining: Queue<REFINED_AT_ONCE>,
    scoring: Queue<SCORED_AT_ONCE>,
    waves: Option<Waves>,
}

impl<'a, C: CodeRows, S: Scorer + ?Sized> Refiner<'a, C, S> {
    pub(crate) fn new(
        codes: &'a C,
        query: &'a CodeQuery,
        scorer: &'a S,
        bound: &'a SharedBound,
        top: &'a mut TopK,
    ) -> Self {
        let waves = || Waves {
            waiting: Vec::new(),
            uppers: TopK::new(top.limit()),
        };
        Self {
            waves: (query.row_len() > 0 || scorer.is_far()).then(waves),
            codes,
            query,
            scorer,
            bound,
            top,
            counts: CodeScanCounts::default(),
            refining: Queue::EMPTY,
            scoring: Queue::EMPTY,
        }
    }

    /// The distance from which on a row is not wanted.
    pub(crate) fn worst(&self) -> f32 {
        let known = self.top.bound().min(self.bound.get());
        let likely = self.waves.as_ref().map(|waves| waves.uppers.bound());
        likely.map_or(known, |likely| known.min(likely))
    }

    /// Adds a row that may be near enough.
    pub(crate) fn push(&mut self, row: Row) {
        quant::prefetch(self.codes.row(row));
        if self.refining.push(row) {
            self.refine();
        }
    }

    /// The rows wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.top.limit()
    }

    /// Takes the rows that wait in queues as far as they go now.
    pub(crate) fn flush(&mut self) {
        self.refine();
        let (rows, len) = self.scoring.take();
        self.score(&rows[..len]);
    }

    /// Takes what waits to its end.
    pub(crate) fn finish(&mut self) {
        self.flush();
        let waves = self.waves.as_mut();
        if let Some(waiting) = waves.map(|waves| std::mem::take(&mut waves.waiting)) {
            self.score_in_waves(waiting);
        }
    }

    fn refine(&mut self) {
        let (rows, len) = self.refining.take();
        self.counts.refined += len as u64;
        for &row in &rows[..len] {
            if self.waves.is_some() {
                self.refine_one(row);
                continue;
            }
            self.scorer.prefetch(row);
            if self.scoring.push(row) {
                let (rows, len) = self.scoring.take();
                self.score(&rows[..len]);
            }
        }
    }

    fn refine_one(&mut self, row: Row) {
        let Some((lower, upper)) = bounds(self.codes, self.query, row) else {
            return;
        };
        if !self.is_needed(lower) {
            return;
        }
        if let Some(waves) = &mut self.waves {
            waves.waiting.push(Waiting { lower, row });
            let distance = upper;
            waves.uppers.push(Neighbor { distance, row });
        }
    }

    /// Whether a row that waits has to be compared: of those whose upper bounds are the smallest
    /// each is, and one whose lower bound is not a number.
    fn is_needed(&self, lower: f32) -> bool {
        let known = self.top.bound().min(self.bound.get());
        let likely = self.waves.as_ref().map(|waves| waves.uppers.bound());
        let farther = lower >= known || likely.is_some_and(|likely| lower > likely);
        !farther
    }

    /// Two waves: the exact distances of the first tell who is not needed in the second.
    fn score_in_waves(&mut self, mut waiting: Vec<Waiting>) {
        // The upper bounds have fallen since, and other segments may have found nearer rows.
        waiting.retain(|waiting| self.is_needed(waiting.lower));
        waiting.sort_unstable_by(|a, b| a.lower.total_cmp(&b.lower).then(a.row.cmp(&b.row)));
        let first = waiting.len().min(self.top.limit());
        let (first, second) = waiting.split_at(first);
        self.score(&in_row_order(first.iter()));
        let needed = second
            .iter()
            .filter(|waiting| self.is_needed(waiting.lower));
        let rows = in_row_order(needed);
        self.score(&rows);
    }

    fn score(&mut self, rows: &[Row]) {
        self.counts.scored += rows.len() as u64;
        let mut few = [0.0; SCORED_AT_ONCE];
        let mut many = Vec::new();
        let distances = match few.get_mut(..rows.len()) {
            Some(few) => few,
            None => {
                many.resize(rows.len(), 0.0);
                &mut many[..]
            }
        };
        self.scorer.distances(rows, distances);
        for (&row, &mut distance) in rows.iter().zip(distances) {
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

    #[test]
    fn a_bound_only_falls() {
        let bound = SharedBound::default();
        for (lowered, left) in [(3.0, 3.0), (4.0, 3.0), (-1.0, -1.0), (f32::NAN, -1.0)] {
            bound.lower(lowered);
            assert_eq!(bound.get(), left);
        }
    }
}
