//! Linking the rows of a graph across to the rows of others, each from the neighbours it has.
//!
//! A row's neighbours need not be found again: they are candidates. Those of other graphs come from
//! a scan of codes ([`Clusters`]) of a third as many rows as a build's. Where there are no codes,
//! the row's neighbours know where it is: those that are linked across lead to rows of other graphs
//! that are near it, by a walk half as wide as a build's.
//!
//! # Invariants
//! - A row's own neighbours are considered for its list, wherever they are.

use std::collections::VecDeque;

use crate::error::BuildError;
use crate::graph::build::{BATCH, Builder, FromRow, Placer, RUN};
use crate::graph::clusters::{Clusters, Looked};
use crate::graph::links::{Links, List};
use crate::graph::prune;
use crate::graph::search::{Ending, Layer, Scratch, walk};
use crate::neighbor::Neighbor;
use crate::rowset::RowSet;
use crate::{Row, Scorer, Space};

/// Width of a walk in percent of `ef_construct`.
///
/// Of four graphs over 25,000 text embeddings each, at m = 16 and ef_construct = 100: 40 and 48
/// take 39.2 and 40.7 % of the CPU time of a build, and lose 0.35 and 0.04 points of recall at
/// ef = 128, 1.0 and 0.7 at ef = 64.
const WIDTH_PERCENT: usize = 40;
/// Rows linked across at once: each takes about half the work of one that is inserted.
const ROWS: usize = 4 * BATCH;
/// Rows linked across in the first batch, none of which has neighbours that are; each batch after
/// it is twice as large.
const ROWS_FIRST: usize = 32;
/// The least width, for builds with a narrow beam.
const WIDTH_LEAST: usize = 16;

/// Links rows across, and knows which are.
#[derive(Debug)]
pub(crate) struct Across {
    linked: RowSet,
}

impl Across {
    /// Of so many rows none is linked.
    pub(crate) fn new(rows: u32) -> Self {
        Self {
            linked: RowSet::new(rows),
        }
    }

    /// `rows` have neighbours as a build would have found them.
    pub(crate) fn take(&mut self, rows: impl Iterator<Item = Row>) {
        rows.for_each(|row| {
            self.linked.insert(row);
        });
    }

    /// Links `rows`, which have lists or not, in their order. In `clusters` their turns are `turn`
    /// and those after it; unless the rows are `whole`, all there once were, they look through each
    /// other too.
    pub(crate) fn link<S: Space + ?Sized>(
        &mut self,
        builder: &mut Builder<'_, S>,
        rows: &[Row],
        (clusters, turn): (Option<&Clusters>, u32),
        whole: bool,
    ) -> Result<(), BuildError> {
        let looked = Looked::across(builder.graph.settings.ef_construct as usize);
        let mut found: VecDeque<Vec<Row>> = VecDeque::new();
        let (mut rest, mut size) = (rows, ROWS_FIRST);
        while !rest.is_empty() {
            let first = rows.len() - rest.len();
            let (batch, after) = rest.split_at(size.min(rest.len()));
            if let Some(clusters) = clusters.filter(|_| found.len() < batch.len()) {
                builder.check()?;
                // What is whole has those near it of its own; what is not, of the batches before.
                let (run, turn) = match whole {
                    true => (&rest[found.len()..rest.len().min(RUN)], turn),
                    // Rows are counted in u32.
                    false => (batch, turn + first as u32),
                };
                let targets: Vec<(Row, u32)> = run.iter().map(|row| (*row, turn)).collect();
                found.extend(clusters.nearest(builder.space, &targets, looked));
            }
            let found: Vec<Vec<Row>> = found.drain(..batch.len().min(found.len())).collect();
            (rest, size) = (after, ROWS.min(2 * size));
            let linked = &self.linked;
            builder.insert_all(batch, |builder, placer, row, earlier| {
                let found = found.get(earlier.len()).map(|found| &found[..]);
                let earlier = &earlier[earlier.len().saturating_sub(BATCH)..];
                if !is_near(builder, linked, row) {
                    return builder.place(placer, row, earlier);
                }
                let mut placed = vec![List::default()];
                if !linked.contains(row) && builder.graph.levels[row as usize] > 0 {
                    placed = builder.place_above(placer, row, earlier);
                }
                placed[0] = match found {
                    Some(found) => place_found(builder, found, placer, row),
                    None => place_near(builder, linked, placer, row),
                };
                placed
            })?;
            self.take(batch.iter().copied());
        }
        Ok(())
    }
}

/// Whether the neighbours of `row` are enough to lead to all others.
fn is_near<S: Space + ?Sized>(builder: &Builder<'_, S>, linked: &RowSet, row: Row) -> bool {
    let graph = &builder.graph;
    let own = graph.base.list(row);
    own.len() * 2 >= graph.settings.m as usize && own.iter().any(|own| linked.contains(*own))
}

/// Chooses the base list of `row` from its list and from what a walk from there finds.
fn place_near<S: Space + ?Sized>(
    builder: &Builder<'_, S>,
    linked: &RowSet,
    placer: &mut Placer,
    row: Row,
) -> List {
    let (space, graph) = (builder.space, &builder.graph);
    let settings = graph.settings;
    let width = settings.ef_construct as usize * WIDTH_PERCENT / 100;
    let Placer {
        scratch,
        candidates,
        ..
    } = placer;
    scratch.begin(space.len(), width.max(WIDTH_LEAST));
    scratch.visited.insert(row);
    for own in graph.base.neighbors(row) {
        scratch.visited.insert(own.row);
        if linked.contains(own.row) {
            scratch.beam.insert(own.distance, own.row);
        }
    }
    let layer = LinkedRows {
        base: &graph.base,
        linked,
    };
    let mut prepared = S::Prepared::default();
    space.prepare(row, &mut prepared);
    let scorer = FromRow {
        space,
        row: &prepared,
    };
    walk(&layer, &scorer, Ending::BEAM, scratch);
    candidates.clear();
    candidates.extend(scratch.beam.iter());
    let found = candidates.len();
    for own in graph.base.neighbors(row) {
        if candidates[..found].binary_search(&own).is_err() {
            candidates.push(own);
        }
    }
    chosen(builder, &scorer, row, candidates)
}

/// Chooses the base list of `row` from its list and the rows `found`.
fn place_found<S: Space + ?Sized>(
    builder: &Builder<'_, S>,
    found: &[Row],
    placer: &mut Placer,
    row: Row,
) -> List {
    let (space, graph) = (builder.space, &builder.graph);
    let Placer {
        scratch,
        candidates,
        ..
    } = placer;
    let mut prepared = S::Prepared::default();
    space.prepare(row, &mut prepared);
    let scorer = FromRow {
        space,
        row: &prepared,
    };
    scratch.begin(space.len(), 0);
    scratch.visited.insert(row);
    candidates.clear();
    for own in graph.base.neighbors(row) {
        scratch.visited.insert(own.row);
        candidates.push(own);
    }
    let Scratch { rows, visited, .. } = scratch;
    rows.clear();
    rows.extend(found.iter().filter(|row| visited.insert(**row)));
    scratch.score(&scorer);
    let scored = scratch.rows.iter().zip(&scratch.distances);
    candidates.extend(scored.map(|(row, distance)| Neighbor {
        distance: *distance,
        row: *row,
    }));
    chosen(builder, &scorer, row, candidates)
}

/// The list of `row` from `candidates`, among which are those of its list.
fn chosen<S: Space + ?Sized>(
    builder: &Builder<'_, S>,
    scorer: &FromRow<'_, S>,
    row: Row,
    candidates: &mut [Neighbor],
) -> List {
    let graph = &builder.graph;
    candidates.sort_unstable();
    let mut list = List::default();
    let room = (graph.settings.m as usize, graph.settings.m0() as usize);
    let apart = graph.base.chosen(row);
    let own = scorer.distance(row);
    prune::select_knowing(builder.space, own, candidates, apart, room, &mut list);
    list
}

/// The chosen links between linked rows: fillers are near other neighbours, which lead there too.
struct LinkedRows<'a> {
    base: &'a Links,
    linked: &'a RowSet,
}

impl Layer for LinkedRows<'_> {
    fn neighbours(&self, row: Row) -> &[Row] {
        self.base.chosen(row)
    }

    fn leads_on(&self, row: Row) -> bool {
        self.linked.contains(row)
    }

    fn prefetch(&self, _row: Row) {}
}
