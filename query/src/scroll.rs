//! Listing points in id order.
//!
//! Each source yields its matching rows in id order, lazily, and the smallest id of all is taken
//! next, so that a page of a large collection reads little more than the page.
//!
//! With a filter, rows that columns leave open are tested one by one in id order, which may mean
//! one payload block each. When that has gone on for too long, the rest is tested in row order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use engine::{IdsInOrder, Snapshot, Source};
use format_spec::ids::{PointId, Row};

use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::QueryError;
use crate::filter::{Bound, Candidates, RowTester, bind, candidates};
use crate::hydrate::{Place, Projection, hydrate};
use crate::request::{Env, Page, ScrollRequest};

/// One page: the first `limit` matching points from `offset` on, and where the next page begins.
///
/// # Errors
/// A filter that does not bind, the deadline, or a failure to read.
pub fn scroll(
    snapshot: &Snapshot,
    request: &ScrollRequest,
    env: &Env<'_>,
) -> Result<Page, QueryError> {
    let budget = Budget::new(env);
    let filter = request
        .filter
        .as_ref()
        .map(|filter| bind(filter, snapshot.schema()));
    let filter = filter.transpose()?;
    let projection = Projection::bind(
        snapshot.schema(),
        &request.with_payload,
        &request.with_vector,
    );
    let wanted = request.limit.saturating_add(1);
    let mut listed = list(snapshot, filter.as_ref(), request.offset, wanted, &budget)?;
    let next = if listed.len() > request.limit {
        listed.pop().map(|(id, _)| id)
    } else {
        None
    };
    let places: Vec<Place> = listed.into_iter().map(|(_, place)| place).collect();
    Ok(Page {
        points: hydrate(snapshot, &places, &projection, &budget)?,
        next,
    })
}

/// The first `wanted` matching points in id order, from `start` on.
pub(crate) fn list(
    snapshot: &Snapshot,
    filter: Option<&Bound<'_>>,
    start: Option<PointId>,
    wanted: usize,
    budget: &Budget<'_>,
) -> Result<Vec<(PointId, Place)>, QueryError> {
    let mut cursors = Vec::new();
    let mut heads = BinaryHeap::new();
    for (source, rows) in snapshot.sources().iter().enumerate() {
        let mut cursor = Cursor::new(rows, filter, start, budget)?;
        if let Some((id, row)) = cursor.next(budget)? {
            heads.push(Reverse((id, cursors.len(), Place { source, row })));
            cursors.push(cursor);
        }
    }
    let mut listed = Vec::new();
    while listed.len() < wanted {
        let Some(Reverse((id, at, place))) = heads.pop() else {
            break;
        };
        listed.push((id, place));
        if listed.len() < wanted
            && let Some((id, row)) = cursors[at].next(budget)?
        {
            heads.push(Reverse((id, at, Place { row, ..place })));
        }
    }
    Ok(listed)
}

/// Rows that may match are sorted rather than sought among all ids if they are fewer than one in so
/// many: sorting costs about 50 ns a row, walking past an id about 5.
const SORT_SHARE: u32 = 16;

/// Open rows tested one by one before the rest is tested in row order: this many, and one in so
/// many of them. A test alone may decompress a block of 16 KiB (12 us), one in row order shares it
/// (0.3 us).
const ALONE: u32 = 64;
const ALONE_SHARE: u32 = 128;

/// The matching rows of one source in id order.
struct Cursor<'a> {
    ids: IdsInOrder<'a>,
    test: Option<OpenRows<'a>>,
    seen: usize,
}

impl<'a> Cursor<'a> {
    fn new(
        source: &'a Source,
        filter: Option<&'a Bound<'a>>,
        start: Option<PointId>,
        budget: &Budget<'_>,
    ) -> Result<Self, QueryError> {
        let Some(filter) = filter else {
            return Ok(Self {
                ids: source.ids_from(start),
                test: None,
                seen: 0,
            });
        };
        let candidates = candidates(filter, source, &source.live(), budget)?;
        let possible = candidates.possible();
        let ids = if possible.count() <= source.rows() / SORT_SHARE {
            let mut ids = Vec::with_capacity(possible.count() as usize);
            for row in &possible {
                let id = source.id(row)?;
                if start.is_none_or(|start| id >= start) {
                    ids.push((id, row));
                }
            }
            ids.sort_unstable();
            Box::new(ids.into_iter().map(Ok))
        } else {
            source.ids_from(start)
        };
        Ok(Self {
            ids,
            test: Some(OpenRows::new(filter, source, candidates)),
            seen: 0,
        })
    }

    fn next(&mut self, budget: &Budget<'_>) -> Result<Option<(PointId, Row)>, QueryError> {
        for entry in &mut self.ids {
            let (id, row) = entry?;
            if self.seen.is_multiple_of(PAYLOAD_ROWS) {
                budget.check()?;
            }
            self.seen += 1;
            let passes = match &mut self.test {
                Some(test) => test.passes(row, budget)?,
                None => true,
            };
            if passes {
                return Ok(Some((id, row)));
            }
        }
        Ok(None)
    }
}

/// The rows of one source that may match, tested when they are asked for, in whatever order.
pub(crate) struct OpenRows<'a> {
    filter: &'a Bound<'a>,
    source: &'a Source,
    candidates: Candidates,
    tester: RowTester<'a>,
    tests_left: u32,
}

impl<'a> OpenRows<'a> {
    pub(crate) fn new(filter: &'a Bound<'a>, source: &'a Source, candidates: Candidates) -> Self {
        Self {
            filter,
            source,
            tests_left: ALONE + candidates.open.count() / ALONE_SHARE,
            tester: RowTester::new(filter, source),
            candidates,
        }
    }

    /// Whether the row matches.
    pub(crate) fn passes(&mut self, row: Row, budget: &Budget<'_>) -> Result<bool, QueryError> {
        if !self.candidates.open.contains(row) {
            return Ok(self.candidates.sure.contains(row));
        }
        if self.tests_left > 0 {
            self.tests_left -= 1;
            return self.tester.test(row);
        }
        self.candidates
            .settle_in_place(self.filter, self.source, budget)?;
        Ok(self.candidates.sure.contains(row))
    }
}
