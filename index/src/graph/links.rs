//! Neighbour lists of one layer while a graph is built: fixed strides, with distances.
//!
//! A list is in two parts. The *chosen* rows come first: those that passed the selection of
//! `graph::prune`, nearest first. *Fillers* follow, also nearest first: rows that did not pass but
//! fill room that would be empty. A list is kept in a block; block numbers are rows in the base
//! layer, and `upper_first` of the graph maps to them above it.
//!
//! # Invariants
//! - A block has `1 + cap` cells: a count, then that many rows.
//! - `distances` has `cap` values a block for the rows in its cells, or none at all once the graph
//!   is finished; `chosen <= count <= cap`.

use crate::Row;
use crate::neighbor::Neighbor;

/// The lists of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    cap: usize,
    cells: Vec<u32>,
    weights: Weights,
}

/// What only the build needs beside the rows.
#[derive(Clone, Debug, Default)]
struct Weights {
    chosen: Vec<u16>,
    distances: Vec<f32>,
}

/// Finished lists are equal if their rows are; distances are then gone.
impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        let bits = |weights: &Self| -> Vec<u32> {
            weights
                .distances
                .iter()
                .map(|distance| distance.to_bits())
                .collect()
        };
        self.chosen == other.chosen && bits(self) == bits(other)
    }
}

impl Eq for Weights {}

/// One list, taken out of its block.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    /// Rows that passed the selection, nearest first.
    pub(crate) chosen: Vec<Neighbor>,
    /// Rows that fill spare room, nearest first.
    pub(crate) fillers: Vec<Neighbor>,
}

impl List {
    /// Empties both parts.
    pub(crate) fn clear(&mut self) {
        self.chosen.clear();
        self.fillers.clear();
    }

    /// Replaces both parts: the first `chosen` rows are chosen ones.
    fn set(&mut self, mut neighbors: impl Iterator<Item = Neighbor>, chosen: usize) {
        self.clear();
        self.chosen.extend(neighbors.by_ref().take(chosen));
        self.fillers.extend(neighbors);
    }

    /// Every row, chosen ones first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Neighbor> {
        self.chosen.iter().chain(&self.fillers)
    }

    /// Drops the farthest fillers until the list fits `cap`.
    pub(crate) fn fit(&mut self, cap: usize) {
        self.fillers.truncate(cap.saturating_sub(self.chosen.len()));
    }
}

impl Links {
    /// Empty lists: `blocks` of them, each with room for `cap` rows.
    pub(crate) fn new(blocks: usize, cap: usize) -> Self {
        let weights = Weights {
            chosen: vec![0; blocks],
            distances: vec![0.0; blocks * cap],
        };
        Self {
            cap,
            cells: vec![0; blocks * (cap + 1)],
            weights,
        }
    }

    /// The most rows a list has.
    pub(crate) const fn cap(&self) -> usize {
        self.cap
    }

    /// The rows of a list.
    #[inline]
    pub(crate) fn list(&self, block: u32) -> &[Row] {
        let cells = &self.cells[block as usize * (self.cap + 1)..][..self.cap + 1];
        &cells[1..][..cells[0] as usize]
    }

    /// The chosen rows of a list, while they are told from fillers.
    #[inline]
    pub(crate) fn chosen(&self, block: u32) -> &[Row] {
        &self.list(block)[..usize::from(self.weights.chosen[block as usize])]
    }

    /// The rows of a list with their distances, while these are kept.
    pub(crate) fn neighbors(&self, block: u32) -> impl Iterator<Item = Neighbor> + '_ {
        let distances = &self.weights.distances[block as usize * self.cap..];
        let pairs = self.list(block).iter().zip(distances);
        pairs.map(|(row, distance)| Neighbor {
            distance: *distance,
            row: *row,
        })
    }

    /// Takes a copy of a list, while distances are kept.
    pub(crate) fn load(&self, block: u32, list: &mut List) {
        list.set(self.neighbors(block), self.chosen(block).len());
    }

    /// Replaces one row of a list, or adds it if `place` is the list's length.
    ///
    /// For lists whose distances are gone.
    pub(crate) fn put(&mut self, block: u32, place: usize, row: Row) {
        let cells = &mut self.cells[block as usize * (self.cap + 1)..][..self.cap + 1];
        if place == cells[0] as usize {
            cells[0] += 1;
        }
        cells[1 + place] = row;
    }

    /// Frees what only the build needs.
    pub(crate) fn finish(&mut self) {
        self.weights = Weights::default();
    }

    /// All blocks, to be changed.
    pub(crate) fn as_mut(&mut self) -> LinksMut<'_> {
        LinksMut {
            cap: self.cap,
            first: 0,
            cells: &mut self.cells,
            chosen: &mut self.weights.chosen,
            distances: &mut self.weights.distances,
        }
    }
}

/// A run of blocks that one thread may change.
#[derive(Debug)]
pub(crate) struct LinksMut<'a> {
    cap: usize,
    first: u32,
    cells: &'a mut [u32],
    chosen: &'a mut [u16],
    distances: &'a mut [f32],
}

impl LinksMut<'_> {
    /// The most rows a list has.
    pub(crate) const fn cap(&self) -> usize {
        self.cap
    }

    /// Splits the run before `block`, for two threads.
    pub(crate) fn split_at(&mut self, block: u32) -> (LinksMut<'_>, LinksMut<'_>) {
        let blocks = (block - self.first) as usize;
        let (cells_left, cells_right) = self.cells.split_at_mut(blocks * (self.cap + 1));
        let (chosen_left, chosen_right) = self.chosen.split_at_mut(blocks);
        let (distances_left, distances_right) = self.distances.split_at_mut(blocks * self.cap);
        let left = LinksMut {
            cap: self.cap,
            first: self.first,
            cells: cells_left,
            chosen: chosen_left,
            distances: distances_left,
        };
        let right = LinksMut {
            cap: self.cap,
            first: block,
            cells: cells_right,
            chosen: chosen_right,
            distances: distances_right,
        };
        (left, right)
    }

    /// Asks for a list to be brought near, without waiting.
    pub(crate) fn prefetch(&self, block: u32) {
        let at = (block - self.first) as usize;
        quant::prefetch_whole(&self.cells[at * (self.cap + 1)..][..self.cap + 1]);
        quant::prefetch_whole(&self.distances[at * self.cap..][..self.cap]);
    }

    /// Takes a copy of a list.
    pub(crate) fn load(&self, block: u32, list: &mut List) {
        let at = (block - self.first) as usize;
        let cells = &self.cells[at * (self.cap + 1)..][..self.cap + 1];
        let rows = &cells[1..][..cells[0] as usize];
        let pairs = rows.iter().zip(&self.distances[at * self.cap..]);
        let neighbors = pairs.map(|(row, distance)| Neighbor {
            distance: *distance,
            row: *row,
        });
        list.set(neighbors, usize::from(self.chosen[at]));
    }

    /// Writes a list, which must fit.
    pub(crate) fn store(&mut self, block: u32, list: &List) {
        let at = (block - self.first) as usize;
        let cells = &mut self.cells[at * (self.cap + 1)..][..self.cap + 1];
        let distances = &mut self.distances[at * self.cap..][..self.cap];
        let mut count = 0;
        for (place, neighbor) in list.iter().enumerate() {
            cells[1 + place] = neighbor.row;
            distances[place] = neighbor.distance;
            count += 1;
        }
        cells[0] = count;
        // The cap is at most 2 * `M_MOST`, which fits.
        self.chosen[at] = list.chosen.len() as u16;
    }
}
