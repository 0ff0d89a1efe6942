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

use rayon::prelude::*;

use crate::error::BuildError;
use crate::graph::links::{Links, LinksMut, List};
use crate::graph::search::{BaseLayer, Ending, Scratch, UpperLayer, descend, enter, walk};
use crate::graph::{Adjacency, BuiltGraph, ROWS_MOST, check, level, prune};
use crate::neighbor::Neighbor;
use crate::rowset::RowSet;
use crate::settings::BuildSettings;
use crate::{Row, Scorer, Space};

/// Rows placed at once.
///
/// Distances between the rows of a batch are all computed, half of this for each row; at 256 that
/// is about a hundredth of a row's cost, since the vectors stay in cache. Enough work for 64
/// threads between two barriers.
const BATCH: usize = 256;

/// Lists that one thread links at a time.
const LINK_GRAIN: usize = 64;

/// What a caller hears of a build, and how it ends one.
pub trait Progress: Sync {
    /// So many rows are in the graph.
    fn rows_done(&self, rows: u32);

    /// Whether the build shall stop. Asked about every 256 rows.
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
    pool.install(|| Builder::new(space, present, settings).run(progress))
}

struct Builder<'a, S: ?Sized> {
    space: &'a S,
    graph: BuiltGraph,
    /// Memory of threads that are not placing a row right now.
    idle: Mutex<Vec<Placer>>,
}

/// A thread's memory for placing rows.
#[derive(Default)]
struct Placer {
    scratch: Scratch,
    candidates: Vec<Neighbor>,
}

/// The lists of a new row, base layer first.
type Placed = Vec<List>;

/// `source` wants to be in the list of `block`, whose row is `target`.
#[derive(Copy, Clone, Debug)]
struct Offer {
    block: u32,
    target: Row,
    source: Neighbor,
}

impl<'a, S: Space + ?Sized> Builder<'a, S> {
    fn new(space: &'a S, present: Option<&RowSet>, settings: BuildSettings) -> Self {
        let rows = space.len();
        let mut levels = vec![0; rows as usize];
        let mut upper_first = vec![0; rows as usize];
        let mut blocks = 0u32;
        let mut assign = |row: Row| {
            let level = level::level(settings.seed, row, settings.m);
            levels[row as usize] = level;
            upper_first[row as usize] = blocks;
            blocks += u32::from(level);
        };
        match present {
            Some(present) => present.iter().for_each(&mut assign),
            None => (0..rows).for_each(&mut assign),
        }
        let graph = BuiltGraph {
            settings,
            levels,
            present: present.cloned(),
            entry: None,
            base: Links::new(rows as usize, settings.m0() as usize),
            upper: Links::new(blocks as usize, settings.m as usize),
            upper_first,
        };
        Self {
            space,
            graph,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn run(mut self, progress: &dyn Progress) -> Result<BuiltGraph, BuildError> {
        let members: Vec<Row> = match &self.graph.present {
            Some(present) => present.iter().collect(),
            None => (0..self.graph.len()).collect(),
        };
        let mut rows_done = 0;
        for batch in members.chunks(BATCH) {
            if progress.cancelled() {
                return Err(BuildError::Cancelled { rows_done });
            }
            let placed: Vec<Placed> = (0..batch.len())
                .into_par_iter()
                .map(|at| self.place_at(batch, at))
                .collect();
            self.link(batch, &placed);
            rows_done += batch.len() as u32;
            progress.rows_done(rows_done);
        }
        self.graph.base.finish();
        self.graph.upper.finish();
        if let Some((entry, _)) = self.graph.entry {
            let len = self.graph.len();
            check::repair(&mut self.graph.base, entry, members.into_iter(), len);
        }
        Ok(self.graph)
    }

    fn place_at(&self, batch: &[Row], at: usize) -> Placed {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut placer = idle.unwrap_or_default();
        let placed = self.place(&mut placer, batch[at], &batch[..at]);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(placer);
        placed
    }

    /// Chooses the neighbours of `row` among the rows in the graph and `earlier`, which are of the
    /// same batch.
    fn place(&self, placer: &mut Placer, row: Row, earlier: &[Row]) -> Placed {
        let BuildSettings {
            m, ef_construct, ..
        } = self.graph.settings;
        let scorer = FromRow {
            space: self.space,
            row,
        };
        let level = self.graph.level(row);
        let mut start = None;
        if let Some((entry, top)) = self.graph.entry {
            start = Some(descend(
                &self.graph,
                &scorer,
                (entry, top),
                level,
                &mut placer.scratch,
            ));
        }
        let top = self.graph.entry.map_or(0, |(_, top)| top);
        let mut placed: Placed = (0..=level).map(|_| List::default()).collect();
        for layer in (0..=level).rev() {
            placer
                .scratch
                .begin(self.graph.len(), ef_construct as usize);
            if let Some(start) = start.filter(|_| layer <= top) {
                placer.scratch.rows.clear();
                placer.scratch.rows.push(start.row);
                enter(&scorer, &mut placer.scratch);
                self.seek(layer, &scorer, &mut placer.scratch);
            }
            let scratch = &mut placer.scratch;
            start = scratch.beam.get(0).or(start);
            for other in earlier
                .iter()
                .filter(|other| self.graph.level(**other) >= layer)
            {
                scratch
                    .beam
                    .insert(self.space.distance(row, *other), *other);
            }
            placer.candidates.clear();
            placer.candidates.extend(scratch.beam.iter());
            let cap = if layer == 0 { 2 * m } else { m } as usize;
            let shape = (m as usize, cap);
            prune::select(
                self.space,
                row,
                &placer.candidates,
                shape,
                &mut placed[usize::from(layer)],
            );
        }
        placed
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

    /// Writes the lists of a batch and offers its rows to those they name.
    fn link(&mut self, batch: &[Row], placed: &[Placed]) {
        let mut base = Vec::new();
        let mut upper = Vec::new();
        for (row, lists) in batch.iter().zip(placed) {
            for (layer, list) in lists.iter().enumerate() {
                let (links, block, offers) = if layer == 0 {
                    (&mut self.graph.base, *row, &mut base)
                } else {
                    let block = self.graph.upper_first[*row as usize] + layer as u32 - 1;
                    (&mut self.graph.upper, block, &mut upper)
                };
                links.as_mut().store(block, list);
                for target in &list.chosen {
                    let block = match layer {
                        0 => target.row,
                        _ => self.graph.upper_first[target.row as usize] + layer as u32 - 1,
                    };
                    let source = Neighbor {
                        distance: target.distance,
                        row: *row,
                    };
                    offers.push(Offer {
                        block,
                        target: target.row,
                        source,
                    });
                }
            }
            let level = self.graph.levels[*row as usize];
            if self.graph.entry.is_none_or(|(_, top)| level > top) {
                self.graph.entry = Some((*row, level));
            }
        }
        for (links, offers) in [(&mut self.graph.base, base), (&mut self.graph.upper, upper)] {
            let mut offers = offers;
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
    let mut list = List::default();
    for group in offers.chunk_by(|a, b| a.block == b.block) {
        links.load(group[0].block, &mut list);
        for offer in group {
            prune::offer(space, offer.target, offer.source, links.cap(), &mut list);
        }
        links.store(group[0].block, &list);
    }
}

/// Distances from one row of a space.
struct FromRow<'a, S: ?Sized> {
    space: &'a S,
    row: Row,
}

impl<S: Space + ?Sized> Scorer for FromRow<'_, S> {
    fn distance(&self, row: Row) -> f32 {
        self.space.distance(self.row, row)
    }

    fn prefetch(&self, row: Row) {
        self.space.prefetch(row);
    }
}
