//! The best rows of one source by the values in their payloads, where no column has them.
//!
//! # Invariants
//! - No more entries are held than are wanted.

use std::collections::BinaryHeap;

use engine::Source;
use format_spec::value::ValueRef;
use index::RowSet;

use super::key::OrderKey;
use super::page::{Entry, Span};
use super::value::Turned;
use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::{QueryError, damaged_payload};
use crate::filter::{Bound, RowTester};

/// The first `wanted` entries of `rows`, in order; those in `open` are tested first.
pub(crate) fn first_by_payload(
    source: &Source,
    key: &OrderKey<'_>,
    span: &Span,
    (rows, filter): (&RowSet, Option<(&Bound<'_>, &RowSet)>),
    wanted: usize,
    budget: &Budget<'_>,
) -> Result<Vec<Entry>, QueryError> {
    let mut payloads = source.payloads();
    let mut best: BinaryHeap<Entry> = BinaryHeap::new();
    let mut values = Vec::new();
    let mut tester = filter.map(|(filter, open)| (RowTester::new(filter, source), open));
    for (seen, row) in rows.iter().enumerate() {
        if seen % PAYLOAD_ROWS == 0 {
            budget.check()?;
        }
        let payload = ValueRef::new(payloads.get(row)?).map_err(damaged_payload)?;
        key.values(payload, &mut values).map_err(damaged_payload)?;
        values.retain(|value| span.holds(*value));
        if values.is_empty() {
            continue;
        }
        if let Some((tester, open)) = &mut tester
            && open.contains(row)
            && !tester.test_read(row, payload)?
        {
            continue;
        }
        let id = source.id(row)?;
        for value in &values {
            if span.after_id(*value).is_some_and(|after| id <= after) {
                continue;
            }
            let rank = Turned::new(*value, span.direction);
            let entry = Entry { rank, id, row };
            if best.len() < wanted {
                best.push(entry);
            } else if let Some(mut worst) = best.peek_mut()
                && entry < *worst
            {
                *worst = entry;
            }
        }
    }
    Ok(best.into_sorted_vec())
}
