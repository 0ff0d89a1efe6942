//! The exact scan of one source.
//!
//! # Invariants
//! - Among equally near rows those with the smallest ids are kept.

use engine::{RowScorer, Source};
use format_spec::ids::Row;
use index::{Neighbor, RowSet, TopK};

use crate::budget::SCAN_ROWS;
use crate::error::QueryError;
use crate::exec::{Near, Search};
use crate::trace::Trace;

impl Search<'_> {
    /// The nearest of `rows`, each compared exactly.
    pub(crate) fn scan_rows(
        &self,
        source: &Source,
        rows: &RowSet,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<Near>, QueryError> {
        let scorer = source.scorer(self.vector, self.query)?;
        // One more than wanted shows whether the last place is shared.
        let mut top = TopK::new(self.wanted.saturating_add(1));
        self.in_turns(rows, |turn| {
            trace.scanned(index::scan(&scorer, turn.iter().copied(), &mut top));
        })?;
        scorer.check()?;
        trace.cold(&scorer);
        let mut nearest = top.into_sorted();
        let Some(beyond) = nearest.get(self.wanted).copied() else {
            return self.with_ids(source, &nearest);
        };
        nearest.truncate(self.wanted);
        let last = nearest.last().map(|last| last.distance);
        if last != Some(beyond.distance) {
            return self.with_ids(source, &nearest);
        }
        // The last place is shared: of the rows just as far, those with the smallest ids are
        // wanted.
        nearest.retain(|near| near.distance < beyond.distance);
        let mut result = self.with_ids(source, &nearest)?;
        let tied = self.tied(source, rows, &scorer, beyond.distance)?;
        result.extend(tied.into_iter().take(self.wanted - result.len()));
        Ok(result)
    }

    /// The rows at exactly this distance, by id.
    fn tied(
        &self,
        source: &Source,
        rows: &RowSet,
        scorer: &RowScorer<'_>,
        distance: f32,
    ) -> Result<Vec<Near>, QueryError> {
        let mut tied = Vec::new();
        let mut distances = Vec::new();
        self.in_turns(rows, |turn| {
            distances.resize(turn.len(), 0.0);
            index::Scorer::distances(scorer, turn, &mut distances);
            let pairs = turn.iter().zip(&distances);
            tied.extend(
                pairs
                    .filter(|(_, d)| **d == distance)
                    .map(|(row, _)| Neighbor {
                        distance,
                        row: *row,
                    }),
            );
        })?;
        scorer.check()?;
        let mut tied = self.with_ids(source, &tied)?;
        tied.sort_unstable_by_key(|near| near.id);
        Ok(tied)
    }

    /// Calls `take` with some thousand rows at a time, as long as there is time.
    pub(crate) fn in_turns(
        &self,
        rows: &RowSet,
        mut take: impl FnMut(&[Row]),
    ) -> Result<(), QueryError> {
        let mut turn = Vec::with_capacity(SCAN_ROWS);
        let mut rows = rows.iter();
        loop {
            self.budget.check()?;
            turn.clear();
            turn.extend(rows.by_ref().take(SCAN_ROWS));
            if turn.is_empty() {
                return Ok(());
            }
            take(&turn);
        }
    }
}
