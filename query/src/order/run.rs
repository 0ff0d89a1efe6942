//! The rows of one source in the order of their values, read lazily from its column.
//!
//! Values are taken one after the other. A column has the rows of one value in row order; they are
//! put in the order of their ids: by a heap when they are few among all rows, by walking the ids
//! when they are many.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use engine::{IdsInOrder, Source};
use format_spec::columns::{Number, Numbers};
use format_spec::ids::{PointId, Row};
use index::RowSet;

use super::Direction;
use super::page::{Entry, Span};
use super::value::{OrderValue, Turned};
use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::QueryError;
use crate::filter::{Bound, Candidates};
use crate::scroll::OpenRows;

/// Rows of one value are walked in id order once they are more than one in so many of all rows:
/// looking up an id and keeping it in a heap costs about 80 ns, walking past an id about 5.
const WALK_SHARE: usize = 16;

/// So many rows of a value are looked for one by one before their end is sought by bisection.
const STEPS: usize = 8;

/// The pairs of a column whose values have an order.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Pairs<'a> {
    Int(Numbers<'a, i64>),
    Float(Numbers<'a, f64>),
}

impl Pairs<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Int(numbers) => numbers.len(),
            Self::Float(numbers) => numbers.len(),
        }
    }

    fn value(&self, at: usize) -> Option<OrderValue> {
        match self {
            Self::Int(numbers) => Some(OrderValue::Int(numbers.pair(at)?.0)),
            Self::Float(numbers) => Some(OrderValue::Float(numbers.pair(at)?.0)),
        }
    }

    fn rows(&self, range: Range<usize>) -> Box<dyn Iterator<Item = Row> + '_> {
        fn of<'a, N: Number>(
            numbers: &Numbers<'a, N>,
            range: Range<usize>,
        ) -> impl Iterator<Item = Row> + use<'a, N> {
            numbers.pairs(range).map(|(_, row)| row)
        }
        match self {
            Self::Int(numbers) => Box::new(of(numbers, range)),
            Self::Float(numbers) => Box::new(of(numbers, range)),
        }
    }

    /// The first position in `range` whose value is not before what `before` says.
    fn partition(&self, range: Range<usize>, before: impl Fn(OrderValue) -> bool) -> usize {
        let Range { mut start, mut end } = range;
        while start < end {
            let middle = start + (end - start) / 2;
            if self.value(middle).is_some_and(&before) {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        start
    }
}

/// What is left of a column, in the direction of the listing.
struct Left<'a> {
    pairs: Pairs<'a>,
    range: Range<usize>,
    direction: Direction,
}

impl<'a> Left<'a> {
    fn new(pairs: Pairs<'a>, span: &Span) -> Self {
        let all = 0..pairs.len();
        let direction = span.direction;
        let range = match (span.start, direction) {
            (None, _) => all,
            (Some(start), Direction::Ascending) => {
                pairs.partition(all.clone(), |value| value < start)..all.end
            }
            (Some(start), Direction::Descending) => 0..pairs.partition(all, |value| value <= start),
        };
        Self {
            pairs,
            range,
            direction,
        }
    }

    /// The next value and the positions that have it.
    fn next(&mut self) -> Option<(OrderValue, Range<usize>)> {
        let Range { start, end } = self.range.clone();
        if start >= end {
            return None;
        }
        let is = |at: usize, value| self.pairs.value(at) == Some(value);
        match self.direction {
            Direction::Ascending => {
                let value = self.pairs.value(start)?;
                let near = (start + 1..end.min(start + STEPS)).find(|at| !is(*at, value));
                let beyond =
                    near.unwrap_or_else(|| self.pairs.partition(start..end, |v| v <= value));
                self.range.start = beyond;
                Some((value, start..beyond))
            }
            Direction::Descending => {
                let value = self.pairs.value(end - 1)?;
                let mut near = (start.max(end.saturating_sub(STEPS))..end - 1).rev();
                let first = match near.find(|at| !is(*at, value)) {
                    Some(other) => other + 1,
                    None => self.pairs.partition(start..end, |v| v < value),
                };
                self.range.end = first;
                Some((value, first..end))
            }
        }
    }
}

/// The rows of one value in id order.
enum Ties<'a> {
    None,
    Heap(BinaryHeap<Reverse<(PointId, Row)>>),
    Walk { ids: IdsInOrder<'a>, rows: RowSet },
}

/// The rows of a column in the order of a listing.
pub(crate) struct ColumnRun<'a> {
    source: &'a Source,
    left: Left<'a>,
    span: Span,
    /// The rows that the column answers, and that may match.
    rows: RowSet,
    open: Option<OpenRows<'a>>,
    value: Option<OrderValue>,
    ties: Ties<'a>,
    seen: usize,
}

impl<'a> ColumnRun<'a> {
    /// A run over the `rows` of `source`, which the column answers; with a filter those that
    /// `candidates` leave open are tested.
    pub(crate) fn new(
        source: &'a Source,
        pairs: Pairs<'a>,
        span: Span,
        rows: RowSet,
        filter: Option<(&'a Bound<'a>, Candidates)>,
    ) -> Self {
        let open = filter.map(|(filter, candidates)| OpenRows::new(filter, source, candidates));
        Self {
            source,
            left: Left::new(pairs, &span),
            span,
            rows,
            open,
            value: None,
            ties: Ties::None,
            seen: 0,
        }
    }

    /// The next row.
    pub(crate) fn next(&mut self, budget: &Budget<'_>) -> Result<Option<Entry>, QueryError> {
        loop {
            while let Some((id, row)) = self.next_tied(budget)? {
                if let Some(open) = &mut self.open
                    && !open.passes(row, budget)?
                {
                    continue;
                }
                let Some(value) = self.value else { continue };
                let rank = Turned::new(value, self.span.direction);
                return Ok(Some(Entry { rank, id, row }));
            }
            let Some((value, positions)) = self.left.next() else {
                return Ok(None);
            };
            self.value = Some(value);
            self.ties = self.ties_of(value, positions, budget)?;
        }
    }

    fn ties_of(
        &mut self,
        value: OrderValue,
        positions: Range<usize>,
        budget: &Budget<'_>,
    ) -> Result<Ties<'a>, QueryError> {
        let after = self.span.after_id(value);
        let few = positions.len() <= self.rows.len() as usize / WALK_SHARE;
        if positions.len() > 1 && !few {
            let mut rows = RowSet::new(self.rows.len());
            for row in self.left.pairs.rows(positions) {
                rows.insert(row);
            }
            rows.and(&self.rows);
            let ids = self.source.ids_from(after);
            return Ok(Ties::Walk { ids, rows });
        }
        let mut found = Vec::new();
        for row in self.left.pairs.rows(positions) {
            if self.seen.is_multiple_of(PAYLOAD_ROWS) {
                budget.check()?;
            }
            self.seen += 1;
            if self.rows.contains(row) {
                let id = self.source.id(row)?;
                if after.is_none_or(|after| id > after) {
                    found.push(Reverse((id, row)));
                }
            }
        }
        Ok(Ties::Heap(found.into()))
    }

    fn next_tied(&mut self, budget: &Budget<'_>) -> Result<Option<(PointId, Row)>, QueryError> {
        match &mut self.ties {
            Ties::None => Ok(None),
            Ties::Heap(heap) => Ok(heap.pop().map(|Reverse(next)| next)),
            Ties::Walk { ids, rows } => {
                let after = self.value.and_then(|value| self.span.after_id(value));
                for entry in ids {
                    let (id, row) = entry?;
                    if self.seen.is_multiple_of(PAYLOAD_ROWS) {
                        budget.check()?;
                    }
                    self.seen += 1;
                    if rows.contains(row) && Some(id) != after {
                        return Ok(Some((id, row)));
                    }
                }
                Ok(None)
            }
        }
    }
}
