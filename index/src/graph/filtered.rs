//! Searching a graph when only some rows may be results.
//!
//! The beam holds accepted rows only and a heap, the frontier, the rows to be expanded. Where
//! enough neighbours are accepted, the others are scored too and lead the way. Where few are, the
//! walk looks through those that are not: their neighbours are read and the accepted ones among
//! them scored, so that no distance is spent on rows that cannot be results. Rows passed over in
//! this way are set aside and become the frontier if it runs dry before the beam is full; no
//! accepted row that the graph reaches is lost for good.
//!
//! The figures of the constants are from 100,000 text embeddings of 384 dimensions (m = 16, limit
//! 10), with filters of 1 to 95 % of the rows at random and of the clusters farthest from the
//! query.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::graph::search::{Ending, Layer, Scratch};
use crate::neighbor::Neighbor;
use crate::settings::LeastShare;
use crate::{Accept, Row, Scorer};

/// From this share of accepted neighbours on, the others are scored and lead the way.
///
/// At 0.35 the farthest half takes a third more distances, at 0.2 the farthest tenth twice as many.
pub(super) const DENSE_SHARE: f32 = 0.25;

/// Rows for which neighbours that are not accepted are looked through, at each step.
///
/// The base list of m = 16. Without this bound a filter of 30 % takes half as much again for the
/// same recall.
pub(super) const GATHER_MOST: usize = 32;

/// Accepted rows from which a walk starts beside the entry. A filter that is far from the query is
/// entered through them.
pub(super) const SEEDS: usize = 8;

/// Accepted rows that an adaptive walk finds at least, if there are as many, before it ends
/// because the frontier is dry: below one accepted row in a hundred the steps of two hops no longer
/// connect them.
pub(super) const DRY_LEAST: usize = 64;

/// The margin of an adaptive stop follows the share of accepted rows, down to this one.
///
/// Finding 10 of the half that is accepted is finding 20 of all, for which a smaller margin is
/// enough (the cube root of `SearchSettings::adaptive`). Steps of two hops take that advantage
/// back.
const MARGIN_SHARE_LEAST: f32 = 0.35;

/// Rows to be expanded, and rows passed over.
#[derive(Debug, Default)]
pub(crate) struct Frontier {
    pub(super) heap: BinaryHeap<Reverse<Neighbor>>,
    pub(super) aside: Vec<Row>,
    /// Neighbours of expanded rows, and how many of them are accepted.
    pub(super) met: u64,
    pub(super) accepted: u64,
}

/// Why a walk ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// There was nothing left that could be nearer.
    Done,
    /// The budget was spent.
    Budget,
    /// Too few of the rows met were accepted.
    Missed,
}

impl Frontier {
    /// Rows of which was asked whether they are accepted, one step from those expanded.
    pub(crate) const fn met(&self) -> u64 {
        self.met
    }

    pub(super) fn clear(&mut self) {
        self.heap.clear();
        self.aside.clear();
        self.met = 0;
        self.accepted = 0;
    }

    /// How much of the margin of an adaptive stop the filter leaves.
    fn margin(&self) -> f32 {
        let share = (self.accepted + 1) as f32 / (self.met + 1) as f32;
        share.max(MARGIN_SHARE_LEAST).cbrt()
    }
}

/// Walks the base layer from `scratch.rows`; tells what ended the walk.
pub(crate) fn walk<L: Layer, S: Scorer + ?Sized, F: Accept + ?Sized>(
    layer: &L,
    scorer: &S,
    accept: &F,
    ending: Ending,
    scratch: &mut Scratch,
) -> End {
    scratch.frontier.clear();
    accept.sample(SEEDS, &mut scratch.rows);
    let visited = &mut scratch.visited;
    scratch.rows.retain(|row| visited.insert(*row));
    push_scored(scorer, accept, f32::INFINITY, scratch);
    let wanted = if ending.is_adaptive() {
        scratch.beam.width().min(ending.limit.max(DRY_LEAST))
    } else {
        scratch.beam.width()
    };
    loop {
        let end = expand(layer, scorer, accept, ending, scratch);
        if end != End::Done {
            return end;
        }
        let found = scratch.beam.len();
        let done = found >= wanted || found >= accept.count() as usize;
        if done || !resume(scorer, accept, scratch) {
            return End::Done;
        }
    }
}

/// Expands the frontier until it is dry or too far.
fn expand<L: Layer, S: Scorer + ?Sized, F: Accept + ?Sized>(
    layer: &L,
    scorer: &S,
    accept: &F,
    ending: Ending,
    scratch: &mut Scratch,
) -> End {
    let mut expanded = 0;
    while let Some(Reverse(nearest)) = scratch.frontier.heap.pop() {
        let ending = ending.with_margin(scratch.frontier.margin());
        let cutoff = ending
            .cutoff(&scratch.beam, expanded)
            .min(scratch.beam.bound());
        expanded += 1;
        if nearest.distance > cutoff {
            break;
        }
        if scratch.lists_read >= ending.budget {
            return End::Budget;
        }
        let Frontier { met, accepted, .. } = scratch.frontier;
        let missed = |least: &LeastShare| least.is_missed(accepted, met);
        if ending.least.as_ref().is_some_and(missed) {
            return End::Missed;
        }
        gather(layer, scorer, accept, nearest.row, scratch);
        if let Some(Reverse(upcoming)) = scratch.frontier.heap.peek() {
            layer.prefetch(upcoming.row);
        }
        push_scored(scorer, accept, cutoff, scratch);
    }
    End::Done
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
    scratch.frontier.met += list.len() as u64;
    scratch.frontier.accepted += accepted as u64;
    let dense = accepted as f32 >= DENSE_SHARE * list.len() as f32;
    for row in list {
        if !scratch.visited.insert(*row) {
            continue;
        }
        if dense || accept.accepts(*row) {
            scorer.prefetch(*row);
            scratch.rows.push(*row);
            continue;
        }
        scratch.frontier.aside.push(*row);
        if scratch.rows.len() >= GATHER_MOST {
            continue;
        }
        scratch.lists_read += 1;
        for beyond in layer.neighbours(*row) {
            if accept.accepts(*beyond) && scratch.visited.insert(*beyond) {
                scorer.prefetch(*beyond);
                scratch.rows.push(*beyond);
            }
        }
    }
}

/// Scores `scratch.rows`: those not beyond `cutoff` enter the frontier and, if accepted, the beam.
fn push_scored<S: Scorer + ?Sized, F: Accept + ?Sized>(
    scorer: &S,
    accept: &F,
    cutoff: f32,
    scratch: &mut Scratch,
) {
    scratch.score(scorer);
    for (row, distance) in scratch.rows.iter().zip(&scratch.distances) {
        if *distance > cutoff.min(scratch.beam.bound()) {
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
    push_scored(scorer, accept, f32::INFINITY, scratch);
    !scratch.frontier.heap.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::graph::testing::{Plain, recall};
    use crate::{BuildSettings, RowSet, Scratch, SearchSettings, search};

    const SETTINGS: BuildSettings = BuildSettings {
        m: 8,
        ef_construct: 50,
        seed: 3,
    };

    #[test]
    fn filters_of_every_share_are_searched_well() {
        let space = Plain::clustered(6_000, 50, 12, 11);
        let graph = space.build(SETTINGS, None);
        let mut scratch = Scratch::new();
        for one_in in [1, 2, 3, 7, 20, 100, 500] {
            let accept = RowSet::from_rows(6_000, (0..6_000).filter(|row| row * 7 % one_in == 0));
            let mut sum = 0.0;
            for nth in 0..50 {
                let query = space.query(nth);
                let settings = SearchSettings::with_ef(10, 64);
                let found = search(&graph, &query, &accept, settings, &mut scratch);
                assert_eq!(found.neighbors.len(), 10.min(accept.count() as usize));
                assert!(
                    found
                        .neighbors
                        .iter()
                        .all(|neighbor| accept.contains(neighbor.row))
                );
                sum += recall(&found.neighbors, &query.nearest(&accept, 10));
            }
            assert!(sum > 46.0, "one in {one_in}: {sum} of 50");
        }
    }

    #[test]
    fn rows_far_from_the_query_are_found() {
        // One cluster is accepted; queries stand in others.
        let space = Plain::clustered(6_000, 50, 12, 12);
        let graph = space.build(SETTINGS, None);
        let accept = RowSet::from_rows(6_000, (0..6_000).filter(|row| row % 50 == 17));
        let mut scratch = Scratch::new();
        let mut sum = 0.0;
        for nth in 0..50 {
            let query = space.query(nth);
            let settings = SearchSettings::with_ef(10, 64);
            let found = search(&graph, &query, &accept, settings, &mut scratch);
            assert_eq!(found.neighbors.len(), 10);
            sum += recall(&found.neighbors, &query.nearest(&accept, 10));
        }
        assert!(sum > 40.0, "{sum} of 50");
    }

    #[test]
    fn a_spent_budget_is_told() {
        let space = Plain::clustered(3_000, 10, 8, 13);
        let graph = space.build(SETTINGS, None);
        let accept = RowSet::from_rows(3_000, [5, 2_900]);
        let settings = SearchSettings::with_ef(10, 64);
        let mut scratch = Scratch::new();
        let found = search(
            &graph,
            &space.query(3),
            &accept,
            settings.budget(30),
            &mut scratch,
        );
        assert!(found.exhausted_budget);
        // The list that passes the budget is read whole.
        assert!(
            found.visited >= 30 && found.visited < 30 + 40,
            "{}",
            found.visited
        );
        let found = search(&graph, &space.query(3), &accept, settings, &mut scratch);
        assert!(!found.exhausted_budget);
        assert_eq!(found.neighbors.len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn the_limit_is_reached_if_that_many_rows_are_accepted(
            rows in 1u32..800,
            clusters in 1u32..20,
            accepted in prop::collection::vec(any::<u32>(), 0..60),
            limit in 1u32..40,
            seed in any::<u64>(),
        ) {
            let space = Plain::clustered(rows, clusters, 4, seed);
            let graph = space.build(BuildSettings { m: 4, ef_construct: 20, seed: 1 }, None);
            let accept = RowSet::from_rows(rows, accepted.iter().map(|row| row % rows));
            let settings = SearchSettings::with_ef(limit, 1);
            let mut scratch = Scratch::new();
            let found = search(&graph, &space.query(seed), &accept, settings, &mut scratch);
            prop_assert_eq!(found.neighbors.len() as u32, limit.min(accept.count()));
            prop_assert!(found.neighbors.is_sorted());
            prop_assert!(found.neighbors.iter().all(|neighbor| accept.contains(neighbor.row)));
        }
    }
}
