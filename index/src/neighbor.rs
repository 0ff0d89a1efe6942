//! Rows with their distance, and the bounded collections of the nearest ones.
//!
//! # Invariants
//! - Order is by distance, then by row; NaN sorts after every number.
//! - A [`Beam`] is sorted, holds no row twice if the caller offers none twice, and its cursor
//!   stands before the first row that is not expanded.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::Row;

/// A row and its distance from a query.
#[derive(Copy, Clone, Debug)]
pub struct Neighbor {
    /// The distance; smaller is nearer.
    pub distance: f32,
    /// The row.
    pub row: Row,
}

impl PartialEq for Neighbor {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Neighbor {}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Neighbor {
    fn cmp(&self, other: &Self) -> Ordering {
        ordered(self.distance)
            .cmp(&ordered(other.distance))
            .then(self.row.cmp(&other.row))
    }
}

/// Maps a distance to an integer of the same order. Both zeros are one value.
pub(crate) fn ordered(distance: f32) -> u32 {
    if distance.is_nan() {
        return u32::MAX;
    }
    let bits = (distance + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// The distance that [`ordered`] mapped.
pub(crate) fn distance_of(ordered: u32) -> f32 {
    f32::from_bits(if ordered >> 31 == 1 {
        ordered ^ (1 << 31)
    } else {
        !ordered
    })
}

/// The nearest rows seen, at most a fixed number.
#[derive(Clone, Debug)]
pub struct TopK {
    limit: usize,
    heap: BinaryHeap<Neighbor>,
}

impl TopK {
    /// Keeps the `limit` nearest.
    pub fn new(limit: usize) -> Self {
        // A caller may ask for a limit beyond any number of rows; memory follows the rows seen.
        Self {
            limit,
            heap: BinaryHeap::with_capacity(limit.min(1_024)),
        }
    }

    /// The number of rows kept at most.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The number of rows kept.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no row is kept.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// A row farther than this would not be kept; infinite while there is room.
    pub fn bound(&self) -> f32 {
        if self.heap.len() < self.limit {
            return f32::INFINITY;
        }
        self.heap
            .peek()
            .map_or(f32::NEG_INFINITY, |worst| worst.distance)
    }

    /// Keeps `neighbor` if it is among the nearest; tells whether it was kept.
    pub fn push(&mut self, neighbor: Neighbor) -> bool {
        if self.heap.len() < self.limit {
            self.heap.push(neighbor);
            return true;
        }
        let Some(mut worst) = self.heap.peek_mut() else {
            return false;
        };
        if neighbor < *worst {
            *worst = neighbor;
            return true;
        }
        false
    }

    /// The kept rows, nearest first.
    pub fn into_sorted(self) -> Vec<Neighbor> {
        self.heap.into_sorted_vec()
    }
}

/// The nearest rows seen, for many of them: those beyond the most are dropped now and then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nearest {
    most: usize,
    /// `ordered distance << 32 | row`.
    kept: Vec<u64>,
    bound: f32,
}

impl Nearest {
    /// Empties it, to keep the `most` nearest, at least one.
    pub(crate) fn reset(&mut self, most: usize) {
        self.most = most.max(1);
        self.kept.clear();
        self.bound = f32::INFINITY;
    }

    /// A row that is not nearer is not among the nearest; not the least such value.
    pub(crate) const fn bound(&self) -> f32 {
        self.bound
    }

    /// Adds a row, if it is near enough.
    pub(crate) fn push(&mut self, distance: f32, row: Row) {
        self.kept
            .push(u64::from(ordered(distance)) << 32 | u64::from(row));
        if self.kept.len() >= 2 * self.most {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.kept.len() > self.most {
            let (_, last, _) = self.kept.select_nth_unstable(self.most - 1);
            self.bound = distance_of((*last >> 32) as u32);
            self.kept.truncate(self.most);
        }
    }

    /// The nearest rows, in no order.
    pub(crate) fn rows(&mut self) -> impl Iterator<Item = Row> + '_ {
        self.shrink();
        self.kept.iter().map(|entry| *entry as u32)
    }

    /// The nearest rows, nearest first, instead of what is in `out`.
    pub(crate) fn sorted(&mut self, out: &mut Vec<Neighbor>) {
        self.shrink();
        self.kept.sort_unstable();
        out.clear();
        out.extend(self.kept.iter().map(|entry| Neighbor {
            distance: distance_of((*entry >> 32) as u32),
            row: *entry as u32,
        }));
    }
}

/// The candidates of a search: one sorted array and a cursor.
///
/// An entry is one integer, `ordered distance << 32 | row << 1 | expanded`, so that comparing is
/// one instruction and moving eight bytes; rows are therefore below 2^31. Faster than two heaps
/// for beams of up to some hundreds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beam {
    entries: Vec<u64>,
    width: usize,
    cursor: usize,
}

const EXPANDED: u64 = 1;

fn pack(distance: f32, row: Row) -> u64 {
    u64::from(ordered(distance)) << 32 | u64::from(row) << 1
}

fn unpack(entry: u64) -> Neighbor {
    let row = (entry as u32) >> 1;
    Neighbor {
        distance: distance_of((entry >> 32) as u32),
        row,
    }
}

impl Beam {
    /// Empties the beam and sets how many rows it keeps, at least one.
    pub(crate) fn reset(&mut self, width: usize) {
        self.entries.clear();
        self.width = width.max(1);
        self.cursor = 0;
    }

    /// A row at this distance or farther is not kept.
    pub(crate) fn bound(&self) -> f32 {
        if self.entries.len() < self.width {
            return f32::INFINITY;
        }
        self.entries
            .last()
            .map_or(f32::INFINITY, |last| unpack(*last).distance)
    }

    /// Keeps a row if it is near enough; tells whether it was kept.
    pub(crate) fn insert(&mut self, distance: f32, row: Row) -> bool {
        let entry = pack(distance, row);
        if self.entries.len() == self.width {
            match self.entries.last() {
                Some(last) if entry < *last => self.entries.pop(),
                _ => return false,
            };
        }
        let at = self.entries.partition_point(|kept| *kept < entry);
        self.entries.insert(at, entry);
        self.cursor = self.cursor.min(at);
        true
    }

    /// The nearest row not yet expanded, which the caller now expands.
    pub(crate) fn expand(&mut self) -> Option<Neighbor> {
        let entry = self.entries.get_mut(self.cursor)?;
        let nearest = unpack(*entry);
        *entry |= EXPANDED;
        self.cursor += 1;
        while self
            .entries
            .get(self.cursor)
            .is_some_and(|entry| entry & EXPANDED != 0)
        {
            self.cursor += 1;
        }
        Some(nearest)
    }

    /// The row that [`expand`](Self::expand) would return.
    pub(crate) fn upcoming(&self) -> Option<Neighbor> {
        self.entries.get(self.cursor).map(|entry| unpack(*entry))
    }

    /// The `rank`-th nearest row, counted from 0.
    pub(crate) fn get(&self, rank: usize) -> Option<Neighbor> {
        self.entries.get(rank).map(|entry| unpack(*entry))
    }

    /// The number of rows kept at most.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// The number of rows kept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The rows kept, nearest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Neighbor> + '_ {
        self.entries.iter().map(|entry| unpack(*entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zeros_are_equal_and_nan_is_last() {
        assert_eq!(ordered(0.0), ordered(-0.0));
        assert!(ordered(f32::NEG_INFINITY) < ordered(-1.0));
        assert!(ordered(-1.0) < ordered(-0.5));
        assert!(ordered(f32::INFINITY) < ordered(f32::NAN));
        assert!(ordered(f32::INFINITY) < ordered(-f32::NAN));
    }

    #[test]
    fn a_limit_of_zero_keeps_nothing() {
        let mut top = TopK::new(0);
        assert!(!top.push(Neighbor {
            distance: 0.0,
            row: 1
        }));
        assert!(top.into_sorted().is_empty());
    }

    proptest! {
        #[test]
        fn order_of_integers_is_order_of_distances(a in any::<f32>(), b in any::<f32>()) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(ordered(a) < ordered(b), a < b);
            prop_assert_eq!(distance_of(ordered(a)), a);
        }

        #[test]
        fn top_k_and_beam_keep_the_nearest(
            distances in prop::collection::vec(0u8..20, 0..200),
            width in 1usize..40,
        ) {
            let mut all: Vec<Neighbor> = distances.iter().enumerate()
                .map(|(row, d)| Neighbor { distance: f32::from(*d), row: row as Row }).collect();
            let mut top = TopK::new(width);
            let mut beam = Beam::default();
            beam.reset(width);
            for neighbor in &all {
                top.push(*neighbor);
                beam.insert(neighbor.distance, neighbor.row);
            }
            all.sort_unstable();
            all.truncate(width);
            prop_assert_eq!(top.into_sorted(), all.clone());
            prop_assert_eq!(beam.iter().collect::<Vec<_>>(), all);
        }

        #[test]
        fn beam_expands_the_nearest_unexpanded(
            steps in prop::collection::vec(prop::option::of(0u8..50), 1..200),
        ) {
            let mut beam = Beam::default();
            beam.reset(16);
            let mut model: Vec<(Neighbor, bool)> = Vec::new();
            for (row, step) in steps.iter().enumerate() {
                if let Some(distance) = step {
                    let neighbor = Neighbor { distance: f32::from(*distance), row: row as Row };
                    beam.insert(neighbor.distance, neighbor.row);
                    model.push((neighbor, false));
                    model.sort_unstable_by_key(|(neighbor, _)| *neighbor);
                    model.truncate(16);
                } else {
                    let expected = model.iter_mut().find(|(_, expanded)| !expanded);
                    let expected = expected.map(|(neighbor, expanded)| {
                        *expanded = true;
                        *neighbor
                    });
                    prop_assert_eq!(beam.upcoming(), expected);
                    prop_assert_eq!(beam.expand(), expected);
                }
            }
        }
    }
}
