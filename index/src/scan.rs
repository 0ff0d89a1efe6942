//! The exact scan: every row of a set is scored. Small segments, selective filters, ground truth.

use crate::neighbor::{Neighbor, TopK};
use crate::rowset::RowSet;
use crate::{Row, Scorer};

/// Rows scored in one call of [`Scorer::distances`].
///
/// Large enough that the call and the loop around it vanish, small enough that rows and
/// distances stay in the first cache.
const BLOCK: usize = 128;
/// Rows scored in one call where vectors are far: some megabytes, read at once.
const BLOCK_FAR: usize = 2_048;

/// Scores `rows` and offers each to `top`. Returns the number of rows scored.
pub fn scan<S: Scorer + ?Sized>(
    scorer: &S,
    rows: impl IntoIterator<Item = Row>,
    top: &mut TopK,
) -> u64 {
    let size = if scorer.is_far() { BLOCK_FAR } else { BLOCK };
    let mut block = Vec::with_capacity(size);
    let mut distances = vec![0.0; size];
    let mut scored = 0;
    for row in rows {
        block.push(row);
        if block.len() == size {
            score_block(scorer, &block, &mut distances, top);
            scored += size as u64;
            block.clear();
        }
    }
    score_block(scorer, &block, &mut distances, top);
    scored + block.len() as u64
}

/// Scores the rows of `set` and offers each to `top`. Returns the number of rows scored.
pub fn scan_set<S: Scorer + ?Sized>(scorer: &S, set: &RowSet, top: &mut TopK) -> u64 {
    scan(scorer, set.iter(), top)
}

/// Scores the rows `0..len` and offers each to `top`. Returns the number of rows scored.
pub fn scan_all<S: Scorer + ?Sized>(scorer: &S, len: u32, top: &mut TopK) -> u64 {
    scan(scorer, 0..len, top)
}

fn score_block<S: Scorer + ?Sized>(
    scorer: &S,
    rows: &[Row],
    distances: &mut [f32],
    top: &mut TopK,
) {
    let distances = &mut distances[..rows.len()];
    scorer.distances(rows, distances);
    for (row, distance) in rows.iter().zip(distances) {
        // Equal to the bound may still be kept: a smaller row wins a tie. NaN fills spare room.
        if *distance > top.bound() {
            continue;
        }
        top.push(Neighbor {
            distance: *distance,
            row: *row,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line(f32);

    impl Scorer for Line {
        fn distance(&self, row: Row) -> f32 {
            (row as f32 - self.0).abs()
        }
    }

    #[test]
    fn a_scan_finds_the_nearest_rows_in_order() {
        let mut top = TopK::new(4);
        assert_eq!(scan_all(&Line(500.0), 1_000, &mut top), 1_000);
        let rows: Vec<Row> = top
            .into_sorted()
            .iter()
            .map(|neighbor| neighbor.row)
            .collect();
        assert_eq!(rows, [500, 499, 501, 498]);
    }

    #[test]
    fn a_scan_of_a_set_sees_only_its_rows() {
        let mut set = RowSet::new(1_000);
        for row in [3, 499, 700, 999] {
            set.insert(row);
        }
        let mut top = TopK::new(10);
        assert_eq!(scan_set(&Line(500.0), &set, &mut top), 4);
        let rows: Vec<Row> = top
            .into_sorted()
            .iter()
            .map(|neighbor| neighbor.row)
            .collect();
        assert_eq!(rows, [499, 700, 3, 999]);
    }

    #[test]
    fn scanning_nothing_is_fine() {
        let mut top = TopK::new(3);
        assert_eq!(scan(&Line(0.0), [], &mut top), 0);
        assert!(top.is_empty());
    }
}
