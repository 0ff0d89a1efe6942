//! Building a graph in deterministic parallel batches.
//!
//! ```text
//! for each batch of rows:
//!   place  each row seeks its neighbours in the graph as it stood before the batch, and among the
//!          rows of the batch before it                          (parallel over rows)
//!   link   each row's own lists are written; then the rows they name are offered the row in
//!          return, in order of the offering row                 (parallel over named rows)
//! ```
//!
//! Nothing a row does depends on how far another of its batch has come, so the graph depends on
//! neither the number of threads nor their timing (the scheme of ParlayANN), and nothing is locked.
//! A row sees every row before it, as if rows came one by one.
//!
//! # Invariants
//! - During *place* the graph does not change. During *link* each list is changed by one thread.
//! - Levels are known from the start, so that every list has its place before the first row.

use std::sync::{Mutex, PoisonError};

use format_spec::graph::NOT_IN_GRAPH;
use rayon::prelude::*;

use crate::error::BuildError;
use crate::graph::clusters::{Clusters, Looked};
use crate::graph::links::{Links, LinksMut, List};
use crate::graph::search::{BaseLayer, Ending, Scratch, UpperLayer, descend, enter, walk};
use crate::graph::{Adjacency, BuiltGraph, ROWS_MOST, check, level, prune};
use crate::neighbor::{Nearest, Neighbor};
use crate::rowset::RowSet;
use crate::settings::BuildSettings;
use crate::{Row, Scorer, Space};

/// Rows placed at once.
///
/// Distances between the rows of a batch are all computed, half of this for each row; at 256 that
/// is about a hundredth of a row's cost, since the vectors stay in cache. Enough work for 64
/// threads between two barriers.
pub(crate) const BATCH: usize = 256;

/// Rows whose candidates are looked for at once, a whole number of batches: those of one cluster
/// look through the same blocks, while these are in the cache.
pub(crate) const RUN: usize = 16 * BATCH;

/// Lists that one thread links at a time.
const LINK_GRAIN: usize = 64;

/// What a caller hears of a build, and how it ends one.
pub trait Progress: Sync {
    /// So many rows are in the graph.
    fn rows_done(&self, rows: u32);

    /// Whether the build shall stop. Asked every few thousand rows at most.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Hears nothing and never stops a build.
#[derive(Copy, Clone, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn rows_done(&self, _rows: u32) {}
}

/// Builds the graph of the rows of `space`, or of those in `present`, on `pool`.
///
/// # Errors
/// A setting is out of range, the inputs do not fit each other, or `progress` cancels.
pub fn build<S: Space + ?Sized>(
    space: &S,
    present: Option<&RowSet>,
    settings: BuildSettings,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Result<BuiltGraph, BuildError> {
    let members = members(space, present, settings)?;
    pool.install(|| {
        let levels = drawn_levels(space.len(), &members, settings);
        let mut builder = Builder::new(space, levels, settings, progress);
        let check = || builder.check();
        let clusters = Clusters::new(space, 0..0, &members, settings.seed, check)?;
        builder.insert(&members, (clusters.as_ref(), 1))?;
        Ok(builder.finish(&members))
    })
}

/// The rows to be in the graph, in order, if settings and inputs allow one.
pub(crate) fn members<S: Space + ?Sized>(
    space: &S,
    present: Option<&RowSet>,
    settings: BuildSettings,
) -> Result<Vec<Row>, BuildError> {
    settings.validate()?;
    let rows = space.len();
    if rows > ROWS_MOST {
        return Err(BuildError::TooManyRows {
            rows,
            most: ROWS_MOST,
        });
    }
    if let Some(present) = present.map(RowSet::len).filter(|len| *len != rows) {
        return Err(BuildError::PresentLength { present, rows });
    }
    Ok(match present {
        Some(present) => present.iter().collect(),
        None => (0..rows).collect(),
    })
}

/// The levels of `rows` rows of which `members` are in the graph.
pub(crate) fn drawn_levels(rows: u32, members: &[Row], settings: BuildSettings) -> Vec<u8> {
    let mut levels = vec![NOT_IN_GRAPH; rows as usize];
    for row in members {
        levels[*row as usize] = level::level(settings.seed, *row, settings.m);
    }
    levels
}

/// A graph that rows are being inserted into.
pub(crate) struct Builder<'a, S: ?Sized> {
    pub(crate) space: &'a S,
    pub(crate) graph: BuiltGraph,
    progress: &'a dyn Progress,
    pub(crate) rows_done: u32,
    /// Memory of threads that are not placing a row right now.
    idle: Mutex<Vec<Placer>>,
}

/// A thread's memory for placing rows.
#[derive(Default)]
pub(crate) struct Placer {
    pub(crate) scratch: Scratch,
    pub(crate) candidates: Vec<Neighbor>,
    nearest: Nearest,
}

/// The lists of a new row, base layer first.
pub(crate) type Placed = Vec<List>;

/// To which of the rows in a list its row is offered.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Offered {
    /// To those that the list did not have before: the others were asked then.
    New,
    /// To all.
    All,
}

/// `source` wants to be in the list of `block`, whose row is `target`.
#[derive(Copy, Clone, Debug)]
struct Offer {
    block: u32,
    target: Row,
    source: Neighbor,
}

impl<'a, S: Space + ?Sized> Builder<'a, S> {
    /// Begins a graph without links; `levels` has the level of each row that will be in it.
    pub(crate) fn new(
        space: &'a S,
        levels: Vec<u8>,
        settings: BuildSettings,
        progress: &'a dyn Progress,
    ) -> Self {
        let (mut count, mut blocks) = (0, 0);
        let mut upper_first = vec![0; levels.len()];
        for (level, first) in levels.iter().zip(&mut upper_first) {
            if *level != NOT_IN_GRAPH {
                count += 1;
                *first = blocks;
                blocks += u32::from(*level);
            }
        }
        let graph = BuiltGraph {
            settings,
            count,
            entry: None,
            base: Links::new(levels.len(), settings.m0() as usize),
            upper: Links::new(blocks as usize, settings.m as usize),
            upper_first,
            levels,
        };
        Self {
            space,
            graph,
            progress,
            rows_done: 0,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Inserts `rows` in batches, by scans if there are `clusters`, in which their turns are `turn`
    /// and those after it.
    pub(crate) fn insert(
        &mut self,
        rows: &[Row],
        (clusters, turn): (Option<&Clusters>, u32),
    ) -> Result<(), BuildError> {
        let Some(clusters) = clusters else {
            let mut batches = rows.chunks(BATCH);
            return batches.try_for_each(|batch| self.insert_all(batch, Self::place));
        };
        let looked = Looked::anew(self.graph.settings.ef_construct as usize);
        for (first, run) in (0..).step_by(RUN).zip(rows.chunks(RUN)) {
            self.check()?;
            let turn = |at: usize| turn + (first + at / BATCH * BATCH) as u32;
            let targets = run.iter().enumerate().map(|(at, row)| (*row, turn(at)));
            let targets: Vec<(Row, u32)> = targets.collect();
            let found = clusters.nearest(self.space, &targets, looked);
            for (batch, found) in run.chunks(BATCH).zip(found.chunks(BATCH)) {
                self.insert_all(batch, |builder, placer, row, earlier| {
                    builder.place_among(placer, row, (&found[earlier.len()], earlier))
                })?;
            }
        }
        Ok(())
    }

    /// Chooses the neighbours of `row`: in the base layer among the rows `found` and those
    /// `earlier` in its batch, above it by a walk.
    fn place_among(
        &self,
        placer: &mut Placer,
        row: Row,
        (found, earlier): (&[Row], &[Row]),
    ) -> Placed {
        let mut placed = match self.graph.levels[row as usize] {
            0 => vec![List::default()],
            _ => self.place_above(placer, row, earlier),
        };
        let mut prepared = S::Prepared::default();
        self.space.prepare(row, &mut prepared);
        let scorer = FromRow {
            space: self.space,
            row: &prepared,
        };
        let Placer {
            scratch,
            candidates,
            nearest,
        } = placer;
        scratch.rows.clear();
        scratch.rows.extend(found.iter().chain(earlier));
        scratch.score(&scorer);
        nearest.reset(self.graph.settings.ef_construct as usize);
        for (row, distance) in scratch.rows.iter().zip(&scratch.distances) {
            nearest.push(*distance, *row);
        }
        nearest.sorted(candidates);
        let room = (
            self.graph.settings.m as usize,
            self.graph.settings.m0() as usize,
        );
        let own = scorer.distance(row);
        prune::select(self.space, own, candidates, room, &mut placed[0]);
        placed
    }

    /// Inserts the rows of one batch.
    pub(crate) fn insert_all<P>(&mut self, batch: &[Row], place: P) -> Result<(), BuildError>
    where
        P: Fn(&Self, &mut Placer, Row, &[Row]) -> Placed + Sync,
    {
        self.check()?;
        let placed: Vec<Placed> = (0..batch.len())
            .into_par_iter()
            .map(|at| self.with_placer(|placer| place(self, placer, batch[at], &batch[..at])))
            .collect();
        self.link(batch, &placed, Offered::New);
        self.done(batch.len());
        Ok(())
    }

    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let rows_done = self.rows_done;
        if self.progress.cancelled() {
            return Err(BuildError::Cancelled { rows_done });
        }
        Ok(())
    }

    /// So many more rows are in the graph.
    pub(crate) fn done(&mut self, rows: usize) {
        // Rows are counted in u32.
        self.rows_done += rows as u32;
        self.progress.rows_done(self.rows_done);
    }

    /// Frees what only the build needs, and links what cannot be reached.
    pub(crate) fn finish(mut self, members: &[Row]) -> BuiltGraph {
        self.graph.base.finish();
        self.graph.upper.finish();
        if let Some((entry, _)) = self.graph.entry {
            let rows = self.graph.levels.len();
            check::repair(&mut self.graph.base, entry, members, rows);
        }
        self.graph
    }

    /// Lends a thread's memory to `work`.
    pub(crate) fn with_placer<T>(&self, work: impl FnOnce(&mut Placer) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut placer = kept.unwrap_or_default();
        let out = work(&mut placer);
        idle().push(placer);
        out
    }

    /// Chooses the neighbours of `row` among the rows in the graph and `earlier`, which are of the
    /// same batch. Neighbours it already has are candidates too.
    pub(crate) fn place(&self, placer: &mut Placer, row: Row, earlier: &[Row]) -> Placed {
        self.place_from(0, placer, row, earlier)
    }

    /// The same but for the base layer, whose list is left empty.
    pub(crate) fn place_above(&self, placer: &mut Placer, row: Row, earlier: &[Row]) -> Placed {
        self.place_from(1, placer, row, earlier)
    }

    fn place_from(&self, lowest: usize, placer: &mut Placer, row: Row, earlier: &[Row]) -> Placed {
        let ef_construct = self.graph.settings.ef_construct;
        let mut prepared = S::Prepared::default();
        self.space.prepare(row, &mut prepared);
        let scorer = FromRow {
            space: self.space,
            row: &prepared,
        };
        let level = self.graph.levels[row as usize];
        let (mut start, top) = match self.graph.entry {
            Some(entry) => (
                Some(descend(
                    &self.graph,
                    &scorer,
                    entry,
                    level,
                    &mut placer.scratch,
                )),
                entry.1,
            ),
            None => (None, 0),
        };
        let mut placed: Placed = vec![List::default(); usize::from(level) + 1];
        for (layer, list) in placed.iter_mut().enumerate().skip(lowest).rev() {
            // Levels are at most `LEVEL_MOST`.
            let layer = layer as u8;
            let scratch = &mut placer.scratch;
            scratch.begin(self.graph.len(), ef_construct as usize);
            if let Some(start) = start.filter(|_| layer <= top) {
                scratch.rows.clear();
                scratch.rows.push(start.row);
                enter(&scorer, scratch);
                self.seek(layer, &scorer, scratch);
            }
            start = scratch.beam.get(0).or(start);
            self.choose((layer, row), &scorer, earlier, placer, list);
        }
        placed
    }

    /// Chooses the list of `row` in `layer` from the beam, `earlier` and the list it has.
    fn choose(
        &self,
        (layer, row): (u8, Row),
        scorer: &FromRow<'_, S>,
        earlier: &[Row],
        placer: &mut Placer,
        list: &mut List,
    ) {
        let Placer {
            scratch,
            candidates,
            ..
        } = placer;
        for other in earlier {
            if self.graph.levels[*other as usize] >= layer && scratch.visited.insert(*other) {
                scratch.beam.insert(scorer.distance(*other), *other);
            }
        }
        let own = (layer == 0).then(|| self.graph.base.neighbors(row));
        for own in own.into_iter().flatten() {
            if scratch.visited.insert(own.row) {
                scratch.beam.insert(own.distance, own.row);
            }
        }
        let m = self.graph.settings.m;
        let cap = if layer == 0 { 2 * m } else { m };
        candidates.clear();
        // A row that had a list before may be in others.
        candidates.extend(scratch.beam.iter().filter(|found| found.row != row));
        let room = (m as usize, cap as usize);
        let own = scorer.distance(row);
        prune::select(self.space, own, candidates, room, list);
    }

    fn seek(&self, layer: u8, scorer: &FromRow<'_, S>, scratch: &mut Scratch) {
        // Without a budget a walk ends with its beam.
        if layer == 0 {
            walk(&BaseLayer(&self.graph), scorer, Ending::BEAM, scratch);
        } else {
            walk(
                &UpperLayer(&self.graph, layer),
                scorer,
                Ending::BEAM,
                scratch,
            );
        }
    }

    /// Writes the lists of `row`, base layer first.
    pub(crate) fn store(&mut self, row: Row, lists: &[List]) {
        let mut layers = (0..).zip(lists);
        if let Some((_, list)) = layers.next() {
            self.graph.base.as_mut().store(row, list);
        }
        for (layer, list) in layers {
            let block = self.graph.upper_block(layer, row);
            self.graph.upper.as_mut().store(block, list);
        }
    }

    /// The lists of `row`, base layer first.
    pub(crate) fn lists(&self, row: Row) -> Placed {
        let mut lists = vec![List::default(); usize::from(self.graph.levels[row as usize]) + 1];
        for (layer, list) in (0..).zip(&mut lists) {
            match layer {
                0 => self.graph.base.load(row, list),
                _ => self
                    .graph
                    .upper
                    .load(self.graph.upper_block(layer, row), list),
            }
        }
        lists
    }

    /// Writes the lists of a batch and offers its rows to those they name.
    pub(crate) fn link(&mut self, batch: &[Row], placed: &[Placed], offered: Offered) {
        let mut base = Vec::new();
        let mut upper = Vec::new();
        for (row, lists) in batch.iter().zip(placed) {
            for (layer, list) in (0..).zip(lists) {
                let block = |row| {
                    if layer == 0 {
                        row
                    } else {
                        self.graph.upper_block(layer, row)
                    }
                };
                let offers = if layer == 0 { &mut base } else { &mut upper };
                let had = match (layer, offered) {
                    (0, Offered::New) => self.graph.base.list(*row),
                    _ => &[],
                };
                let targets = list.iter().filter(|target| !had.contains(&target.row));
                offers.extend(targets.map(|target| {
                    let source = Neighbor {
                        distance: target.distance,
                        row: *row,
                    };
                    Offer {
                        block: block(target.row),
                        target: target.row,
                        source,
                    }
                }));
            }
            self.store(*row, lists);
            let level = self.graph.levels[*row as usize];
            if self.graph.entry.is_none_or(|(_, top)| level > top) {
                self.graph.entry = Some((*row, level));
            }
        }
        for (links, mut offers) in [(&mut self.graph.base, base), (&mut self.graph.upper, upper)] {
            offers.par_sort_unstable_by_key(|offer| (offer.block, offer.source.row));
            link_back(self.space, links.as_mut(), &offers);
        }
    }
}

/// Makes the offers, which are sorted by block, to the lists of `links`.
fn link_back<S: Space + ?Sized>(space: &S, mut links: LinksMut<'_>, offers: &[Offer]) {
    if offers.len() > LINK_GRAIN {
        let middle = offers[offers.len() / 2].block;
        let split = offers.partition_point(|offer| offer.block < middle);
        if split > 0 {
            let (left, right) = links.split_at(middle);
            let (before, after) = offers.split_at(split);
            rayon::join(
                || link_back(space, left, before),
                || link_back(space, right, after),
            );
            return;
        }
    }
    let (mut list, mut source) = (List::default(), S::Prepared::default());
    let mut upcoming = offers.chunk_by(|a, b| a.block == b.block).skip(1);
    for group in offers.chunk_by(|a, b| a.block == b.block) {
        if let Some(next) = upcoming.next() {
            links.prefetch(next[0].block);
        }
        links.load(group[0].block, &mut list);
        list.chosen.iter().for_each(|kept| space.prefetch(kept.row));
        for offer in group {
            let own = || {
                let mut target = S::Prepared::default();
                space.prepare(offer.target, &mut target);
                space.distance(&target, offer.target)
            };
            space.prepare(offer.source.row, &mut source);
            prune::offer(space, (own, offer.source), &source, links.cap(), &mut list);
        }
        links.store(group[0].block, &list);
    }
}

/// Distances from one row of a space.
pub(crate) struct FromRow<'a, S: Space + ?Sized> {
    pub(crate) space: &'a S,
    pub(crate) row: &'a S::Prepared,
}

impl<S: Space + ?Sized> Scorer for FromRow<'_, S> {
    fn distance(&self, row: Row) -> f32 {
        self.space.distance(self.row, row)
    }

    fn prefetch(&self, row: Row) {
        self.space.prefetch(row);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::graph::testing::{Plain, pool, recall};
    use crate::{AcceptAll, SearchSettings, SettingsError, check_connectivity, search};

    const SETTINGS: BuildSettings = BuildSettings {
        m: 8,
        ef_construct: 50,
        seed: 3,
    };

    #[test]
    fn the_number_of_threads_does_not_change_the_graph() {
        let space = Plain::clustered(3_000, 40, 12, 5);
        let one = build(&space, None, SETTINGS, &pool(1), &Silent).unwrap();
        for threads in [2, 3, 4] {
            let many = build(&space, None, SETTINGS, &pool(threads), &Silent).unwrap();
            assert!(many == one, "{threads} threads");
        }
        let other = BuildSettings {
            seed: 4,
            ..SETTINGS
        };
        assert!(build(&space, None, other, &pool(1), &Silent).unwrap() != one);
    }

    #[test]
    fn a_search_finds_nine_tenths_of_the_nearest() {
        for (rows, clusters, dim) in [(4_000, 1, 16), (4_000, 60, 16), (4_000, 2_000, 8)] {
            let space = Plain::clustered(rows, clusters, dim, 6);
            let graph = space.build(SETTINGS, None);
            let mut scratch = Scratch::new();
            let mut sum = 0.0;
            for nth in 0..100 {
                let query = space.query(nth);
                let settings = SearchSettings::with_ef(10, 64);
                let found = search(&graph, &query, &AcceptAll, settings, &mut scratch);
                sum += recall(&found.neighbors, &query.nearest(&AcceptAll, 10));
            }
            assert!(sum > 93.0, "{clusters} clusters: {sum} %");
        }
    }

    #[test]
    fn rows_in_order_of_their_cluster_are_found_as_well() {
        let mut space = Plain::clustered(4_000, 40, 16, 7);
        let vectors = std::mem::take(&mut space.vectors);
        for cluster in 0..40 {
            space
                .vectors
                .extend(vectors.iter().skip(cluster).step_by(40).cloned());
        }
        let graph = space.build(SETTINGS, None);
        let mut scratch = Scratch::new();
        let mut sum = 0.0;
        for nth in 0..100 {
            let query = space.query(nth);
            let settings = SearchSettings::with_ef(10, 64);
            let found = search(&graph, &query, &AcceptAll, settings, &mut scratch);
            sum += recall(&found.neighbors, &query.nearest(&AcceptAll, 10));
        }
        assert!(sum > 93.0, "{sum} %");
    }

    #[test]
    fn absent_rows_are_not_in_the_graph() {
        let space = Plain::clustered(900, 10, 6, 8);
        let present = RowSet::from_rows(900, (100..900).step_by(2));
        let graph = space.build(SETTINGS, Some(&present));
        assert_eq!(graph.count(), 400);
        assert_eq!(check_connectivity(&graph).reachable, 400);
        let settings = SearchSettings::with_ef(900, 900);
        let found = search(
            &graph,
            &space.query(1),
            &AcceptAll,
            settings,
            &mut Scratch::new(),
        );
        let rows = RowSet::from_rows(900, found.neighbors.iter().map(|neighbor| neighbor.row));
        assert_eq!(rows, present);
    }

    struct After(AtomicU32);

    impl Progress for After {
        fn rows_done(&self, rows: u32) {
            self.0.store(rows, Ordering::Relaxed);
        }

        fn cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= 500
        }
    }

    #[test]
    fn a_cancelled_build_ends_soon() {
        let space = Plain::clustered(2_000, 10, 4, 9);
        let progress = After(AtomicU32::new(0));
        let ended = build(&space, None, SETTINGS, &pool(2), &progress);
        assert_eq!(ended, Err(BuildError::Cancelled { rows_done: 512 }));
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        let space = Plain::clustered(10, 2, 4, 9);
        let present = RowSet::full(11);
        let ended = build(&space, Some(&present), SETTINGS, &pool(1), &Silent);
        assert_eq!(
            ended,
            Err(BuildError::PresentLength {
                present: 11,
                rows: 10
            })
        );
        let settings = BuildSettings { m: 0, ..SETTINGS };
        let ended = build(&space, None, settings, &pool(1), &Silent);
        let cause = SettingsError {
            field: "m",
            value: 0,
            least: 2,
            most: 1_024,
        };
        assert_eq!(ended, Err(BuildError::Settings(cause)));
    }
}
