//! Searching a graph: a greedy descent through the upper layers, a beam over the base layer.
//!
//! At each step the nearest row that is not yet expanded is taken, the neighbours not seen before
//! are scored in one call, and those near enough enter the beam. Memory is asked for ahead: the
//! list of the next row while vectors are scored, and vectors while their list is read.

use crate::graph::filtered;
use crate::neighbor::{Beam, Neighbor};
use crate::settings::{LeastShare, SearchSettings, Stop};
use crate::visited::Visited;
use crate::{Accept, Adjacency, Row, Scorer};

/// Vectors asked for while a list is still being read.
const PREFETCH_FIRST: usize = 4;

/// Rows that a search with an adaptive stop expands at least.
///
/// Where vectors have few degrees of freedom, distances grow fast from row to row, and few rows
/// lie within the margin: with 32 of them behind 128 dimensions, recall of 10 rows at margin 0.2
/// rises from 0.95 to 0.97. Text embeddings expand more in any case.
const EXPANDED_LEAST: u32 = 64;

/// What a search found and what it cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The nearest accepted rows found, nearest first, at most `limit`.
    pub neighbors: Vec<Neighbor>,
    /// Lists of neighbours that were read.
    pub visited: u64,
    /// Distances that were computed.
    pub distances: u64,
    /// Whether the budget ended the search: the rows are then not the best the graph offers.
    pub exhausted_budget: bool,
    /// Whether too few of the rows met were accepted; as with the budget.
    pub missed: bool,
    /// Rows of which was asked whether they are accepted.
    pub asked: u64,
}

/// Memory of a search, to be used again. One a thread; it grows with the largest segment.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) visited: Visited,
    pub(crate) beam: Beam,
    pub(crate) rows: Vec<Row>,
    pub(crate) distances: Vec<f32>,
    pub(crate) frontier: filtered::Frontier,
    pub(crate) lists_read: u64,
    pub(crate) scored: u64,
}

impl Scratch {
    /// Empty; memory comes with the first search.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn begin(&mut self, rows: u32, width: usize) {
        self.visited.begin(rows as usize);
        self.beam.reset(width);
        self.lists_read = 0;
        self.scored = 0;
    }

    /// Scores `self.rows` into `self.distances`.
    pub(crate) fn score<S: Scorer + ?Sized>(&mut self, scorer: &S) {
        self.distances.resize(self.rows.len(), 0.0);
        scorer.distances(&self.rows, &mut self.distances);
        self.scored += self.rows.len() as u64;
    }
}

/// One layer of a graph.
pub(crate) trait Layer {
    fn neighbours(&self, row: Row) -> &[Row];

    /// Whether `row`, a neighbour, may be scored and expanded.
    #[inline]
    fn leads_on(&self, row: Row) -> bool {
        let _ = row;
        true
    }

    fn prefetch(&self, row: Row);
}

/// The base layer of a graph.
pub(crate) struct BaseLayer<'a, A: ?Sized>(pub(crate) &'a A);

impl<A: Adjacency + ?Sized> Layer for BaseLayer<'_, A> {
    fn neighbours(&self, row: Row) -> &[Row] {
        self.0.base(row)
    }

    fn prefetch(&self, row: Row) {
        self.0.prefetch(row);
    }
}

/// An upper layer of a graph, counted from 1.
pub(crate) struct UpperLayer<'a, A: ?Sized>(pub(crate) &'a A, pub(crate) u8);

impl<A: Adjacency + ?Sized> Layer for UpperLayer<'_, A> {
    fn neighbours(&self, row: Row) -> &[Row] {
        self.0.upper(self.1, row)
    }

    fn prefetch(&self, _row: Row) {}
}

/// Finds the accepted rows nearest to the scorer's query.
///
/// The beam is `max(ef, limit)` wide and counts accepted rows only. `limit` rows are returned if
/// the search came upon that many accepted rows; it goes on until it has, the graph ends or the
/// budget is spent.
pub fn search<A, S, F>(
    graph: &A,
    scorer: &S,
    accept: &F,
    settings: SearchSettings,
    scratch: &mut Scratch,
) -> Found
where
    A: Adjacency + ?Sized,
    S: Scorer + ?Sized,
    F: Accept + ?Sized,
{
    search_from(graph, scorer, accept, &[], settings, scratch)
}

/// The same, starting also from `seeds`: rows of the graph that are thought to be near.
pub fn search_from<A, S, F>(
    graph: &A,
    scorer: &S,
    accept: &F,
    seeds: &[Row],
    settings: SearchSettings,
    scratch: &mut Scratch,
) -> Found
where
    A: Adjacency + ?Sized,
    S: Scorer + ?Sized,
    F: Accept + ?Sized,
{
    let width = settings.ef.max(settings.limit) as usize;
    scratch.begin(graph.len(), width);
    let Some((entry, level)) = graph.entry() else {
        return Found::default();
    };
    if settings.limit == 0 {
        return Found::default();
    }
    let nearest = descend(graph, scorer, (entry, level), 0, scratch);
    scratch.rows.clear();
    // Every row can be reached from the entry, which cannot be said of where the descent ends.
    scratch.rows.extend_from_slice(&[nearest.row, entry]);
    scratch.rows.extend_from_slice(seeds);
    let layer = BaseLayer(graph);
    let ending = Ending::new(&settings, scorer.floor());
    let (mut asked, mut missed) = (0, false);
    let exhausted_budget = if accept.is_all() {
        enter(scorer, scratch);
        walk(&layer, scorer, ending, scratch)
    } else {
        let end = filtered::walk(&layer, scorer, accept, ending, scratch);
        asked = scratch.frontier.met();
        missed = end == filtered::End::Missed;
        end == filtered::End::Budget
    };
    Found {
        neighbors: scratch.beam.iter().take(settings.limit as usize).collect(),
        visited: scratch.lists_read,
        distances: scratch.scored,
        exhausted_budget,
        missed,
        asked,
    }
}

/// When a walk over the base layer ends.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) limit: usize,
    pub(crate) budget: u64,
    pub(crate) least: Option<LeastShare>,
    /// With an adaptive stop: the margin, and what distances are measured from.
    adaptive: Option<(f32, f32)>,
}

impl Ending {
    /// Ends when the beam does, and not before.
    pub(crate) const BEAM: Self = Self {
        limit: usize::MAX,
        budget: u64::MAX,
        least: None,
        adaptive: None,
    };

    fn new(settings: &SearchSettings, floor: Option<f32>) -> Self {
        let adaptive = match settings.stop {
            Stop::Beam => None,
            Stop::Adaptive { gamma } => floor.map(|floor| (gamma, floor)),
        };
        let budget = settings.budget_visits.unwrap_or(u64::MAX);
        Self {
            limit: settings.limit as usize,
            budget,
            least: settings.least,
            adaptive,
        }
    }

    /// Whether the walk may end before the beam does.
    pub(crate) const fn is_adaptive(&self) -> bool {
        self.adaptive.is_some()
    }

    /// The same with a margin `factor` times as wide.
    pub(crate) fn with_margin(mut self, factor: f32) -> Self {
        if let Some((gamma, _)) = &mut self.adaptive {
            *gamma *= factor;
        }
        self
    }

    /// A row farther than this need not be expanded, and so need not enter the beam either.
    /// `expanded` rows were so far.
    pub(crate) fn cutoff(&self, beam: &Beam, expanded: u32) -> f32 {
        let Some((gamma, floor)) = self.adaptive.filter(|_| expanded >= EXPANDED_LEAST) else {
            return f32::INFINITY;
        };
        let last = beam.get(self.limit - 1);
        last.map_or(f32::INFINITY, |last| {
            floor + (1.0 + gamma) * (last.distance - floor)
        })
    }
}

/// Walks greedily from the entry down to `to_layer`, exclusive: the nearest row met.
pub(crate) fn descend<A: Adjacency + ?Sized, S: Scorer + ?Sized>(
    graph: &A,
    scorer: &S,
    (entry, level): (Row, u8),
    to_layer: u8,
    scratch: &mut Scratch,
) -> Neighbor {
    let mut nearest = Neighbor {
        distance: scorer.distance(entry),
        row: entry,
    };
    scratch.scored += 1;
    for layer in (to_layer + 1..=level).rev() {
        loop {
            let from = nearest.row;
            scratch.rows.clear();
            scratch.rows.extend_from_slice(graph.upper(layer, from));
            scratch.lists_read += 1;
            scratch.score(scorer);
            for (row, distance) in scratch.rows.iter().zip(&scratch.distances) {
                nearest = nearest.min(Neighbor {
                    distance: *distance,
                    row: *row,
                });
            }
            if nearest.row == from {
                break;
            }
        }
    }
    nearest
}

/// Puts `scratch.rows` into the beam, to start from.
pub(crate) fn enter<S: Scorer + ?Sized>(scorer: &S, scratch: &mut Scratch) {
    let visited = &mut scratch.visited;
    scratch.rows.retain(|row| visited.insert(*row));
    scratch.score(scorer);
    for (row, distance) in scratch.rows.iter().zip(&scratch.distances) {
        scratch.beam.insert(*distance, *row);
    }
}

/// Expands the beam until it ends; tells whether the budget ended it.
pub(crate) fn walk<L: Layer, S: Scorer + ?Sized>(
    layer: &L,
    scorer: &S,
    ending: Ending,
    scratch: &mut Scratch,
) -> bool {
    let mut expanded = 0;
    while let Some(nearest) = scratch.beam.expand() {
        let cutoff = ending.cutoff(&scratch.beam, expanded);
        expanded += 1;
        if nearest.distance > cutoff {
            break;
        }
        if scratch.lists_read >= ending.budget {
            return true;
        }
        scratch.lists_read += 1;
        scratch.rows.clear();
        for row in layer.neighbours(nearest.row) {
            if layer.leads_on(*row) && scratch.visited.insert(*row) {
                if scratch.rows.len() < PREFETCH_FIRST {
                    scorer.prefetch(*row);
                }
                scratch.rows.push(*row);
            }
        }
        if let Some(upcoming) = scratch.beam.upcoming() {
            layer.prefetch(upcoming.row);
        }
        scratch.score(scorer);
        for (row, distance) in scratch.rows.iter().zip(&scratch.distances) {
            if *distance <= cutoff {
                scratch.beam.insert(*distance, *row);
            }
        }
    }
    false
}
