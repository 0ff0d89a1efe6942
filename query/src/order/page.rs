//! A page: the runs of all sources merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use engine::{Snapshot, Source};
use format_spec::columns::ColumnView;
use format_spec::ids::{PointId, Row};
use index::RowSet;

use super::key::OrderKey;
use super::payloads::first_by_payload;
use super::run::{ColumnRun, Pairs};
use super::value::{OrderValue, Turned};
use super::{Direction, OrderBy};
use crate::budget::Budget;
use crate::cost;
use crate::error::QueryError;
use crate::filter::{Bound, Candidates, Filter, bind, candidates, split};
use crate::hydrate::{Place, Projection, hydrate};
use crate::parallel::{each_source, pays};
use crate::request::{Env, PayloadSelector, Record, VectorSelector};

/// A listing in the order of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderedRequest {
    /// What to order by, and where to begin.
    pub order_by: OrderBy,
    /// Points wanted.
    pub limit: usize,
    /// Which points count.
    pub filter: Option<Filter>,
    /// What to return of the payload.
    pub with_payload: PayloadSelector,
    /// What to return of the vectors.
    pub with_vector: VectorSelector,
}

/// One page of a listing in the order of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderedPage {
    /// The points, each with the value it is listed for.
    pub points: Vec<Record>,
    /// Where the next page begins, if there is one.
    pub next: Option<OrderBy>,
}

/// One page.
///
/// # Errors
/// [`QueryError::NoRangeIndex`], a filter that does not bind, the deadline, or a failure to read.
pub fn ordered(
    snapshot: &Snapshot,
    request: &OrderedRequest,
    env: &Env<'_>,
) -> Result<OrderedPage, QueryError> {
    let budget = Budget::new(env);
    let schema = snapshot.schema();
    let filter = request.filter.as_ref().filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| bind(filter, schema)).transpose()?;
    let projection = Projection::bind(schema, &request.with_payload, &request.with_vector);
    let wanted = request.limit.saturating_add(1);
    let mut listed = list(snapshot, &request.order_by, filter.as_ref(), wanted, env)?;
    let more = listed.len() > request.limit;
    listed.truncate(request.limit);
    let last = listed.last().filter(|_| more);
    let next = last.map(|last| OrderBy {
        start_from: Some(last.value),
        after: Some(last.id),
        ..request.order_by.clone()
    });
    let places: Vec<Place> = listed.iter().map(|listed| listed.place).collect();
    let mut points = hydrate(snapshot, &places, &projection, &budget)?;
    for (record, listed) in points.iter_mut().zip(&listed) {
        record.order_value = Some(listed.value);
    }
    Ok(OrderedPage { points, next })
}

/// A point in its place in a listing.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) value: OrderValue,
    pub(crate) rank: Turned,
    pub(crate) id: PointId,
    pub(crate) place: Place,
}

/// A row of a source, and where it comes in the listing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) rank: Turned,
    pub(crate) id: PointId,
    pub(crate) row: Row,
}

/// The values that a listing goes through.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Span {
    pub(crate) direction: Direction,
    pub(crate) start: Option<OrderValue>,
    after: Option<PointId>,
}

impl Span {
    /// Whether the listing reaches the value.
    pub(crate) fn holds(&self, value: OrderValue) -> bool {
        self.start.is_none_or(|start| match self.direction {
            Direction::Ascending => value >= start,
            Direction::Descending => value <= start,
        })
    }

    /// Of the points with this value, only those with greater ids are listed.
    pub(crate) fn after_id(&self, value: OrderValue) -> Option<PointId> {
        self.after.filter(|_| self.start == Some(value))
    }
}

/// What is known of a source before its column is walked.
struct Ready {
    /// The first rows that payloads answer.
    first: Vec<Entry>,
    /// The rows that the column answers, and what the filter says of them.
    rows: RowSet,
    found: Option<Candidates>,
}

/// The first `wanted` places of the listing.
pub(crate) fn list(
    snapshot: &Snapshot,
    order_by: &OrderBy,
    filter: Option<&Bound<'_>>,
    wanted: usize,
    env: &Env<'_>,
) -> Result<Vec<Listed>, QueryError> {
    let budget = Budget::new(env);
    let listing = Listing {
        key: OrderKey::bind(&order_by.path, snapshot.schema())?,
        span: Span {
            direction: order_by.direction,
            start: order_by.start_from,
            after: order_by.after,
        },
        filter,
        wanted,
        budget,
    };
    let sources = snapshot.sources();
    // Sources without a column are read whole.
    let cost = |source: &Source| match source.column(listing.key.column) {
        Ok(Some(_)) => 0.0,
        _ => cost::payload_walk_ns(source.live_count()),
    };
    let parallel = pays(sources, env, cost);
    let ready = each_source(sources, env, parallel, |_, source| listing.prepare(source))?;
    listing.merge(sources, ready)
}

struct Listing<'a> {
    key: OrderKey<'a>,
    span: Span,
    filter: Option<&'a Bound<'a>>,
    wanted: usize,
    budget: Budget<'a>,
}

impl<'a> Listing<'a> {
    fn column<'s>(
        &self,
        source: &'s Source,
    ) -> Result<Option<(ColumnView<'s>, Pairs<'s>)>, QueryError> {
        let view = split::column(source, self.key.column)?;
        Ok(view.and_then(|view| Some((view, self.key.pairs(&view)?))))
    }

    /// Splits the rows between column and payloads, and reads the payloads.
    fn prepare(&self, source: &Source) -> Result<Ready, QueryError> {
        self.budget.check()?;
        let live = source.live();
        let found = match self.filter {
            Some(filter) => Some(candidates(filter, source, &live, &self.budget)?),
            None => None,
        };
        let mut rows = found.as_ref().map_or(live, Candidates::possible);
        let column = self.column(source)?;
        let mut by_payload = rows.clone();
        match &column {
            Some((view, pairs)) if !self.are_few(&rows, pairs.len()) => {
                by_payload.and(&split::unanswered(view, source));
                rows.and_not(&by_payload);
            }
            _ => rows = RowSet::new(rows.len()),
        }
        let open = found.as_ref().map(|found| &found.open);
        let filter = self.filter.zip(open);
        let first = first_by_payload(
            source,
            &self.key,
            &self.span,
            (&by_payload, filter),
            self.wanted,
            &self.budget,
        )?;
        Ok(Ready { first, rows, found })
    }

    /// Whether the payloads of so few rows are read sooner than they are met in the column.
    #[expect(clippy::cast_precision_loss, reason = "an estimate of a time")]
    fn are_few(&self, rows: &RowSet, pairs: usize) -> bool {
        let count = f64::from(rows.count());
        let walked = (self.wanted as f64 * pairs as f64 / count.max(1.0)).min(pairs as f64);
        count * ALONE_NS < walked * STEP_NS
    }

    fn merge(
        &'a self,
        sources: &'a [Source],
        ready: Vec<Ready>,
    ) -> Result<Vec<Listed>, QueryError> {
        let mut runs = Vec::with_capacity(2 * ready.len());
        for (at, (source, ready)) in sources.iter().zip(ready).enumerate() {
            runs.push((at, Run::Sorted(ready.first.into_iter())));
            if ready.rows.is_empty() {
                continue;
            }
            let Some((_, pairs)) = self.column(source)? else {
                continue;
            };
            let filter = self.filter.zip(ready.found);
            let run = ColumnRun::new(source, pairs, self.span, ready.rows, filter);
            runs.push((at, Run::Column(Box::new(run))));
        }
        let mut heads = BinaryHeap::new();
        for (number, (_, run)) in runs.iter_mut().enumerate() {
            heads.extend(
                run.next(&self.budget)?
                    .map(|entry| Reverse((entry, number))),
            );
        }
        let mut listed = Vec::new();
        while listed.len() < self.wanted {
            let Some(Reverse((entry, number))) = heads.pop() else {
                break;
            };
            let (source, run) = &mut runs[number];
            let place = Place {
                source: *source,
                row: entry.row,
            };
            listed.push(Listed {
                value: entry.rank.value(),
                rank: entry.rank,
                id: entry.id,
                place,
            });
            if listed.len() < self.wanted {
                heads.extend(
                    run.next(&self.budget)?
                        .map(|entry| Reverse((entry, number))),
                );
            }
        }
        Ok(listed)
    }
}

/// A payload read alone decompresses a block; a step in a column touches a pair and a bit.
const ALONE_NS: f64 = 50_000.0;
const STEP_NS: f64 = 4.0;

enum Run<'a> {
    Sorted(std::vec::IntoIter<Entry>),
    Column(Box<ColumnRun<'a>>),
}

impl Run<'_> {
    fn next(&mut self, budget: &Budget<'_>) -> Result<Option<Entry>, QueryError> {
        match self {
            Self::Sorted(entries) => Ok(entries.next()),
            Self::Column(run) => run.next(budget),
        }
    }
}
