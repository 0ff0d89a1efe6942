//! Searching a graph when only some rows may be results.
//!
//! The beam holds accepted rows only and a heap, the frontier, the rows to be expanded. Where
//! most neighbours are accepted, the others are scored too and lead the way. Where few are, the
//! walk looks through those that are not: their neighbours are read and the accepted ones among
//! them scored, so that no distance is spent on rows that cannot be results. Rows passed over in
//! this way are set aside and become the frontier if it runs dry before `limit` rows are found;
//! no accepted row that the graph reaches is lost for good.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::graph::search::{Ending, Layer, Scratch};
use crate::neighbor::Neighbor;
use crate::{Accept, Row, Scorer};

/// From this share of accepted neighbours on, the others are scored and lead the way.
const DENSE_SHARE: f32 = 0.35;

/// Accepted rows from which a walk starts beside the entry.
const SEEDS: usize = 8;

/// Rows to be expanded, and rows passed over.
#[derive(Debug, Default)]
pub(crate) struct Frontier {
    heap: BinaryHeap<Reverse<Neighbor>>,
    aside: Vec<Row>,
}

/// Walks the base layer from `scratch.rows`; tells whether the budget ended the walk.
pub(crate) fn walk<L: Layer, S: Scorer + ?Sized, F: Accept + ?Sized>(
    layer: &L,
    scorer: &S,
    accept: &F,
    ending: Ending,
    scratch: &mut Scratch,
) -> bool {
    scratch.frontier.heap.clear();
    scratch.frontier.aside.clear();
    accept.sample(SEEDS, &mut scratch.rows);
    let visited = &mut scratch.visited;
    scratch.rows.retain(|row| visited.insert(*row));
    push_scored(scorer, accept, scratch);
    loop {
        while let Some(Reverse(nearest)) = scratch.frontier.heap.pop() {
            if nearest.distance > scratch.beam.bound()
                || ending.reached(nearest.distance, &scratch.beam)
            {
                break;
            }
            if scratch.lists_read >= ending.budget {
                return true;
            }
            gather(layer, scorer, accept, nearest.row, scratch);
            if let Some(Reverse(upcoming)) = scratch.frontier.heap.peek() {
                layer.prefetch(upcoming.row);
            }
            push_scored(scorer, accept, scratch);
        }
        let enough = ending.limit.min(accept.count() as usize);
        if scratch.beam.len() >= enough || !resume(scorer, accept, scratch) {
            return false;
        }
    }
}

/// Puts into `scratch.rows` what is to be scored when `row` is expanded.
fn gather<L: Layer, S: Scorer + ?Sized, F: Accept + ?Sized>(
    layer: &L,
    scorer: &S,
    accept: &F,
    row: Row,
    scratch: &mut Scratch,
) {
    let list = layer.neighbours(row);
    scratch.lists_read += 1;
    scratch.rows.clear();
    let accepted = list.iter().filter(|row| accept.accepts(**row)).count();
    if accepted as f32 >= DENSE_SHARE * list.len() as f32 {
        for row in list {
            if scratch.visited.insert(*row) {
                scorer.prefetch(*row);
                scratch.rows.push(*row);
            }
        }
        return;
    }
    for row in list {
        if !scratch.visited.insert(*row) {
            continue;
        }
        if accept.accepts(*row) {
            scorer.prefetch(*row);
            scratch.rows.push(*row);
            continue;
        }
        scratch.frontier.aside.push(*row);
        scratch.lists_read += 1;
        for beyond in layer.neighbours(*row) {
            if accept.accepts(*beyond) && scratch.visited.insert(*beyond) {
                scorer.prefetch(*beyond);
                scratch.rows.push(*beyond);
            }
        }
    }
}

/// Scores `scratch.rows`: near ones enter the frontier and, if accepted, the beam.
fn push_scored<S: Scorer + ?Sized, F: Accept + ?Sized>(
    scorer: &S,
    accept: &F,
    scratch: &mut Scratch,
) {
    scratch.score(scorer);
    for (row, distance) in scratch.rows.iter().zip(&scratch.distances) {
        if *distance > scratch.beam.bound() {
            continue;
        }
        let neighbor = Neighbor {
            distance: *distance,
            row: *row,
        };
        scratch.frontier.heap.push(Reverse(neighbor));
        if accept.accepts(*row) {
            scratch.beam.insert(*distance, *row);
        }
    }
}

/// Makes the rows set aside the frontier; tells whether there were any.
fn resume<S: Scorer + ?Sized, F: Accept + ?Sized>(
    scorer: &S,
    accept: &F,
    scratch: &mut Scratch,
) -> bool {
    scratch.rows.clear();
    scratch.rows.append(&mut scratch.frontier.aside);
    push_scored(scorer, accept, scratch);
    !scratch.frontier.heap.is_empty()
}
