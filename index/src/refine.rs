//! Refining: rows that a one-bit estimate let through are estimated again from their code of
//! several bits, and those still near enough are compared exactly.
//!
//! Rows wait in small queues between the steps, so that their bytes are on the way before they are
//! read.
//!
//! # Invariants
//! - `top` holds exact distances only.

use std::sync::atomic::{AtomicU32, Ordering};

use quant::CodeQuery;

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
}

impl<'a, C: CodeRows, S: Scorer + ?Sized> Refiner<'a, C, S> {
    pub(crate) fn new(
        codes: &'a C,
        query: &'a CodeQuery,
        scorer: &'a S,
        bound: &'a SharedBound,
        top: &'a mut TopK,
    ) -> Self {
        Self {
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
        self.top.bound().min(self.bound.get())
    }

    /// Adds a row that may be near enough.
    pub(crate) fn push(&mut self, row: Row) {
        quant::prefetch(self.codes.row(row));
        if self.refining.push(row) {
            self.refine();
        }
    }

    /// Takes what waits to its end.
    pub(crate) fn finish(&mut self) {
        self.refine();
        self.score();
    }

    fn refine(&mut self) {
        let (rows, len) = self.refining.take();
        self.counts.refined += len as u64;
        let refined = self.query.row_len() > 0;
        for &row in &rows[..len] {
            if refined {
                let code = self.codes.row(row);
                let is_whole = code.len() == self.query.row_len();
                if !is_whole || self.query.row_lower(code) >= self.worst() {
                    continue;
                }
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

    #[test]
    fn a_bound_only_falls() {
        let bound = SharedBound::default();
        for (lowered, left) in [(3.0, 3.0), (4.0, 3.0), (-1.0, -1.0), (f32::NAN, -1.0)] {
            bound.lower(lowered);
            assert_eq!(bound.get(), left);
        }
    }
}
