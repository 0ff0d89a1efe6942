//! Searching a graph with codes in its nodes when few rows may be results: the walk of two hops of
//! `filtered`, on estimates.
//!
//! The beam holds accepted rows only, a heap the rows to be expanded. Expanding a row estimates all
//! its neighbours. Where few of them are accepted, the others that look near enough to lead on are
//! looked through, nearest first: their nodes are read and the accepted rows in them taken. Rows
//! not looked through are set aside and become the frontier if it runs dry (ACORN-1: arXiv
//! 2403.04871; directed as in NaviX: arXiv 2506.23397).
//!
//! # Invariants
//! - Only accepted rows are refined.
//! - No accepted row that the graph reaches is lost for good while rows are missing.

use std::cmp::Reverse;

use quant::BlockEstimates;

use crate::graph::coded::{ByCodes, CodedCounts, CodedSearch, CodedSettings, NONE};
use crate::graph::filtered::{DENSE_SHARE, DRY_LEAST, Frontier, GATHER_MOST, SEEDS};
use crate::graph::search::Scratch;
use crate::neighbor::Neighbor;
use crate::refine::{CodeRows, Refiner};
use crate::{Accept, Adjacency, Row, Scorer};

/// One such search.
pub(super) struct TwoHops<'a, 's, A: ?Sized, C, S: ?Sized, F: ?Sized> {
    pub(super) search: &'a CodedSearch<'s, A, C, S>,
    pub(super) accept: &'a F,
    pub(super) settings: CodedSettings,
    pub(super) by_codes: ByCodes<'a, C>,
}

/// Neighbours of one row: those to go on with, and those to look through.
#[derive(Default)]
struct Met {
    /// Rows expanded so far.
    expanded: u64,
    estimates: BlockEstimates,
    ahead: Vec<Neighbor>,
    through: Vec<Neighbor>,
}

impl<A, C, S, F> TwoHops<'_, '_, A, C, S, F>
where
    A: Adjacency + ?Sized,
    C: CodeRows,
    S: Scorer + ?Sized,
    F: Accept + ?Sized,
{
    /// Walks from `starts` and from rows of the filter.
    pub(super) fn run(
        &self,
        starts: [Row; 2],
        scratch: &mut Scratch,
        refiner: &mut Refiner<'_, C, S>,
        counts: &mut CodedCounts,
    ) {
        scratch.frontier.clear();
        scratch.rows.clear();
        scratch.rows.extend_from_slice(&starts);
        self.accept.sample(SEEDS, &mut scratch.rows);
        let visited = &mut scratch.visited;
        scratch.rows.retain(|row| visited.insert(*row));
        self.enter(scratch);
        let wanted = scratch.beam.width().min(self.settings.limit.max(DRY_LEAST));
        let mut met = Met::default();
        loop {
            let ended = self.expand(scratch, refiner, counts, &mut met);
            let found = scratch.beam.len();
            let done = found >= wanted || found >= self.accept.count() as usize;
            if ended || done || scratch.frontier.aside.is_empty() {
                break;
            }
            scratch.rows.clear();
            scratch.rows.append(&mut scratch.frontier.aside);
            self.enter(scratch);
        }
        counts.asked = scratch.frontier.met;
    }

    /// Makes `scratch.rows` part of the frontier.
    fn enter(&self, scratch: &mut Scratch) {
        for &row in &scratch.rows {
            let distance = self.by_codes.distance(row);
            scratch
                .frontier
                .heap
                .push(Reverse(Neighbor { distance, row }));
            if self.accept.accepts(row) {
                scratch.beam.insert(distance, row);
            }
        }
    }

    /// Expands the frontier until it is dry or too far; tells whether the search is to end.
    fn expand(
        &self,
        scratch: &mut Scratch,
        refiner: &mut Refiner<'_, C, S>,
        counts: &mut CodedCounts,
        met: &mut Met,
    ) -> bool {
        while let Some(Reverse(nearest)) = scratch.frontier.heap.pop() {
            let margin = self.settings.cutoff(met.expanded, refiner.worst());
            let cutoff = margin.min(scratch.beam.bound());
            if nearest.distance > cutoff {
                return false;
            }
            if counts.expanded >= self.settings.budget {
                counts.exhausted_budget = true;
                return true;
            }
            let Frontier {
                met: seen,
                accepted,
                ..
            } = scratch.frontier;
            let least = self.settings.least;
            if least.is_some_and(|least| least.is_missed(accepted, seen)) {
                counts.missed = true;
                return true;
            }
            if self.accept.accepts(nearest.row) {
                refiner.push(nearest.row);
            }
            self.gather(nearest.row, cutoff, scratch, counts, met);
            if let Some(Reverse(upcoming)) = scratch.frontier.heap.peek() {
                self.search.nodes.prefetch(upcoming.row);
            }
            for &near in &met.ahead {
                scratch.frontier.heap.push(Reverse(near));
                if self.accept.accepts(near.row) {
                    scratch.beam.insert(near.distance, near.row);
                }
            }
        }
        false
    }

    /// Puts into `met.ahead` what is near enough to go on with from `row`.
    fn gather(
        &self,
        row: Row,
        cutoff: f32,
        scratch: &mut Scratch,
        counts: &mut CodedCounts,
        met: &mut Met,
    ) {
        let Met {
            estimates,
            ahead,
            through,
            expanded,
        } = met;
        *expanded += 1;
        ahead.clear();
        through.clear();
        counts.expanded += 1;
        let (mut all, mut accepted) = (0, 0);
        let mut meet = |row: Row| {
            let accepts = self.accept.accepts(row);
            all += 1;
            accepted += u64::from(accepts);
            scratch.visited.insert(row).then_some(accepts)
        };
        if let Some(nodes) = self.search.nodes.with_codes() {
            for (block, rows) in nodes.parts(row) {
                self.search.query.block(block, cutoff, estimates);
                for (row, &distance) in rows.iter().zip(&estimates.distances) {
                    let row = Row::from_le_bytes(*row);
                    if row == NONE {
                        continue;
                    }
                    if let Some(accepts) = meet(row) {
                        let list = if accepts { &mut *ahead } else { &mut *through };
                        list.push(Neighbor { distance, row });
                    }
                }
            }
        } else {
            let (rows, distances) = (&mut scratch.rows, &mut scratch.distances);
            let new = |row: &Row| meet(*row).is_some();
            self.search.near(row, new, rows, distances);
            for (&row, &distance) in rows.iter().zip(&*distances) {
                let accepts = self.accept.accepts(row);
                let list = if accepts { &mut *ahead } else { &mut *through };
                list.push(Neighbor { distance, row });
            }
        }
        scratch.frontier.met += all;
        scratch.frontier.accepted += accepted;
        if accepted as f32 >= DENSE_SHARE * all as f32 {
            ahead.append(through);
        }
        ahead.retain(|near| near.distance < cutoff);
        through.sort_unstable();
        for &near in &*through {
            if near.distance >= cutoff || ahead.len() >= GATHER_MOST {
                scratch.frontier.aside.push(near.row);
                continue;
            }
            counts.expanded += 1;
            self.look_through(near.row, cutoff, scratch, estimates, ahead);
        }
    }

    /// Adds to `ahead` the accepted rows in the list of `row`.
    fn look_through(
        &self,
        row: Row,
        cutoff: f32,
        scratch: &mut Scratch,
        estimates: &mut BlockEstimates,
        ahead: &mut Vec<Neighbor>,
    ) {
        let visited = &mut scratch.visited;
        let Some(nodes) = self.search.nodes.with_codes() else {
            let (rows, distances) = (&mut scratch.rows, &mut scratch.distances);
            let new = |row: &Row| self.accept.accepts(*row) && visited.insert(*row);
            self.search.near(row, new, rows, distances);
            let met = rows.iter().zip(&*distances);
            let met = met.map(|(&row, &distance)| Neighbor { distance, row });
            ahead.extend(met.filter(|near| near.distance < cutoff));
            return;
        };
        for (block, rows) in nodes.parts(row) {
            self.search.query.block(block, cutoff, estimates);
            for (row, &distance) in rows.iter().zip(&estimates.distances) {
                let row = Row::from_le_bytes(*row);
                let wanted = row != NONE && distance < cutoff && self.accept.accepts(row);
                if wanted && visited.insert(row) {
                    ahead.push(Neighbor { distance, row });
                }
            }
        }
    }
}
