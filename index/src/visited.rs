//! Which rows one search has seen: a stamp a row, so that starting anew is one increment.
//!
//! # Invariants
//! - A row is seen exactly if its stamp equals the current one, which is never 0.

use crate::Row;

/// Rows seen by the current search. Two bytes a row; cleared once in 65,535 searches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visited {
    stamps: Vec<u16>,
    current: u16,
}

impl Visited {
    /// Forgets every row and makes room for `rows`.
    pub(crate) fn begin(&mut self, rows: usize) {
        if self.stamps.len() < rows {
            self.stamps.resize(rows, 0);
        }
        self.current = self.current.wrapping_add(1);
        if self.current == 0 {
            self.stamps.fill(0);
            self.current = 1;
        }
    }

    /// Marks `row`; tells whether it was new.
    pub(crate) fn insert(&mut self, row: Row) -> bool {
        let stamp = &mut self.stamps[row as usize];
        let new = *stamp != self.current;
        *stamp = self.current;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_seen_after_a_begin_even_when_stamps_wrap() {
        let mut visited = Visited::default();
        for round in 0..70_000u32 {
            visited.begin(4);
            let row = round % 4;
            assert!(visited.insert(row));
            assert!(!visited.insert(row));
        }
    }
}
