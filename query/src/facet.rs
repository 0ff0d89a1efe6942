//! Facets: the different values of a field, and how many of the matching points have each.
//!
//! ```text
//! each source   column ── value by value, its rows among the matching ones ──┐
//!               rows without one ── payloads ── counts by value ─────────────┴─ merge ── largest
//! ```
//!
//! # Invariants
//! - Counts are exact: of live points as they are now, each once for a value, however often it has
//!   it.
//! - Values come ascending from every source, so that merging holds the `limit` largest counts and
//!   one head a source.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use engine::{Snapshot, Source};
use format_spec::columns::{ColumnValues, ColumnView, Number, Numbers};
use format_spec::ids::Row;
use format_spec::schema::{FieldIndex, FieldType, Schema};
use format_spec::value::{ValueKind, ValueRef};
use index::{FieldPath, RowSet};

use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::cost;
use crate::error::{QueryError, damaged_payload};
use crate::filter::{Bound, Filter, bind, candidates, split};
use crate::order::{field_of, is_off};
use crate::parallel::{each_source, pays};
use crate::request::Env;
use crate::values::each_value;

/// What to count.
#[derive(Clone, Debug, PartialEq)]
pub struct FacetRequest {
    /// The field; it needs an index that tells values apart.
    pub path: FieldPath,
    /// Values wanted.
    pub limit: usize,
    /// Which points count.
    pub filter: Option<Filter>,
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FacetValue {
    /// False or true.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A UUID, however it is spelt.
    Uuid(u128),
    /// Text.
    Text(String),
}

/// How many points have a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetHit {
    /// The value.
    pub value: FacetValue,
    /// Points that match and have it, at least 1.
    pub count: u64,
}

/// The values that most of the matching points have: largest count first and, among equals, the
/// smallest value.
///
/// # Errors
/// [`QueryError::NoMapIndex`], a filter that does not bind, the deadline, or a failure to read.
pub fn facet(
    snapshot: &Snapshot,
    request: &FacetRequest,
    env: &Env<'_>,
) -> Result<Vec<FacetHit>, QueryError> {
    let schema = snapshot.schema();
    let filter = request.filter.as_ref().filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| bind(filter, schema)).transpose()?;
    let facets = Facets {
        field: bind_field(&request.path, schema)?,
        path: &request.path,
        filter: filter.as_ref(),
        budget: Budget::new(env),
    };
    let sources = snapshot.sources();
    let cost = |source: &Source| match source.column(&facets.field.path) {
        Ok(Some(_)) if filter.is_none() => 0.0,
        _ => cost::payload_walk_ns(source.live_count()),
    };
    let parallel = pays(sources, env, cost);
    let ready = each_source(sources, env, parallel, |_, source| facets.prepare(source))?;
    facets.largest(sources, &ready, request.limit)
}

fn bind_field<'s>(path: &FieldPath, schema: &'s Schema) -> Result<&'s FieldIndex, QueryError> {
    let tells_apart = |field: &&FieldIndex| match field.field_type {
        FieldType::Keyword | FieldType::Bool | FieldType::Uuid => true,
        FieldType::Integer => !is_off(field, "lookup"),
        FieldType::Float | FieldType::Datetime | FieldType::Geo | FieldType::Text => false,
    };
    let field = field_of(path, schema).filter(tells_apart);
    field.ok_or_else(|| QueryError::NoMapIndex {
        key: path.to_string(),
    })
}

/// A value where it lies.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Bool(bool),
    Int(i64),
    Uuid(u128),
    Text(&'a str),
}

impl Key<'_> {
    fn to_value(self) -> FacetValue {
        match self {
            Self::Bool(value) => FacetValue::Bool(value),
            Self::Int(number) => FacetValue::Int(number),
            Self::Uuid(uuid) => FacetValue::Uuid(uuid),
            Self::Text(text) => FacetValue::Text(text.to_owned()),
        }
    }
}

/// What is counted of a source before its column is walked.
struct Ready {
    /// Counts of the rows that only payloads answer.
    counted: BTreeMap<FacetValue, u64>,
    rows: Rows,
}

/// The rows that the column answers, and that match.
enum Rows {
    None,
    These(RowSet),
    /// Every row that the column has.
    All,
}

struct Facets<'a> {
    field: &'a FieldIndex,
    path: &'a FieldPath,
    filter: Option<&'a Bound<'a>>,
    budget: Budget<'a>,
}

impl Facets<'_> {
    fn column<'s>(&self, source: &'s Source) -> Result<Option<ColumnView<'s>>, QueryError> {
        let view = split::column(source, &self.field.path)?;
        Ok(view.filter(|view| view.stats().field_type == self.field.field_type))
    }

    fn prepare(&self, source: &Source) -> Result<Ready, QueryError> {
        self.budget.check()?;
        let column = self.column(source)?;
        let untouched = self.filter.is_none() && source.live_count() == source.rows();
        let live = source.live();
        let mut rows = match self.filter {
            Some(filter) => candidates(filter, source, &live, &self.budget)?.settle(
                filter,
                source,
                &self.budget,
            )?,
            None => live,
        };
        let mut by_payload = rows.clone();
        let rows = match &column {
            Some(view) if !are_few(&rows, view) => {
                by_payload.and(&split::unanswered(view, source));
                if untouched && by_payload.is_empty() {
                    Rows::All
                } else {
                    rows.and_not(&by_payload);
                    Rows::These(rows)
                }
            }
            _ => Rows::None,
        };
        let counted = self.count_payloads(source, &by_payload)?;
        Ok(Ready { counted, rows })
    }

    fn count_payloads(
        &self,
        source: &Source,
        rows: &RowSet,
    ) -> Result<BTreeMap<FacetValue, u64>, QueryError> {
        let mut payloads = source.payloads();
        let mut counted: BTreeMap<FacetValue, u64> = BTreeMap::new();
        let field_type = self.field.field_type;
        for (seen, row) in rows.iter().enumerate() {
            if seen % PAYLOAD_ROWS == 0 {
                self.budget.check()?;
            }
            let payload = ValueRef::new(payloads.get(row)?).map_err(damaged_payload)?;
            let mut values = Vec::new();
            let mut take = |kind: ValueKind<'_>| match (field_type, kind) {
                (FieldType::Bool, ValueKind::Bool(value)) => values.push(FacetValue::Bool(value)),
                (FieldType::Integer, ValueKind::Int(number)) => {
                    values.push(FacetValue::Int(number));
                }
                (FieldType::Keyword, ValueKind::Text(text)) => {
                    values.push(FacetValue::Text(text.to_owned()));
                }
                (FieldType::Uuid, ValueKind::Text(text)) => {
                    values.extend(index::uuid::parse(text).map(FacetValue::Uuid));
                }
                _ => {}
            };
            each_value(self.path, payload, &mut take).map_err(damaged_payload)?;
            values.sort_unstable();
            values.dedup();
            for value in values {
                *counted.entry(value).or_default() += 1;
            }
        }
        Ok(counted)
    }

    /// Merges the counts of all sources, value by value.
    fn largest(
        &self,
        sources: &[Source],
        ready: &[Ready],
        limit: usize,
    ) -> Result<Vec<FacetHit>, QueryError> {
        let mut runs: Vec<Counts<'_>> = Vec::new();
        for (source, ready) in sources.iter().zip(ready) {
            runs.push(Box::new(ready.counted.iter().map(|(value, count)| {
                let key = match value {
                    FacetValue::Bool(value) => Key::Bool(*value),
                    FacetValue::Int(number) => Key::Int(*number),
                    FacetValue::Uuid(uuid) => Key::Uuid(*uuid),
                    FacetValue::Text(text) => Key::Text(text),
                };
                (key, *count)
            })));
            if let Some(view) = self.column(source)? {
                runs.extend(column_counts(&view, &ready.rows));
            }
        }
        let mut heads: BinaryHeap<Reverse<(Key<'_>, usize, u64)>> = BinaryHeap::new();
        for (at, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next().map(|(key, count)| Reverse((key, at, count))));
        }
        let mut largest: BinaryHeap<Reverse<(u64, Reverse<Key<'_>>)>> = BinaryHeap::new();
        let mut merged = 0_usize;
        while let Some(Reverse((key, at, mut total))) = heads.pop() {
            if merged.is_multiple_of(PAYLOAD_ROWS) {
                self.budget.check()?;
            }
            merged += 1;
            let mut advance = |at: usize, heads: &mut BinaryHeap<_>| {
                heads.extend(
                    runs[at]
                        .next()
                        .map(|(key, count)| Reverse((key, at, count))),
                );
            };
            advance(at, &mut heads);
            while let Some(Reverse((next, at, count))) = heads.peek().copied()
                && next == key
            {
                total += count;
                heads.pop();
                advance(at, &mut heads);
            }
            if total > 0 {
                largest.push(Reverse((total, Reverse(key))));
                if largest.len() > limit {
                    largest.pop();
                }
            }
        }
        let hits = largest.into_sorted_vec().into_iter();
        Ok(hits
            .map(|Reverse((count, Reverse(key)))| FacetHit {
                value: key.to_value(),
                count,
            })
            .collect())
    }
}

/// Values ascending, each with the number of rows.
type Counts<'a> = Box<dyn Iterator<Item = (Key<'a>, u64)> + 'a>;

/// The counts of a column among `rows`.
fn column_counts<'a>(view: &ColumnView<'a>, rows: &'a Rows) -> Option<Counts<'a>> {
    let words = match rows {
        Rows::None => return None,
        Rows::All => None,
        Rows::These(rows) => Some(rows.words()),
    };
    let count = move |postings: format_spec::Postings<'_>| match words {
        Some(words) => postings.count_in(words),
        None => postings.count(),
    };
    Some(match view.values() {
        ColumnValues::Keyword(texts) => Box::new(
            texts
                .iter()
                .map(move |(text, rows)| (Key::Text(text), count(rows))),
        ),
        ColumnValues::Integer(numbers) => number_counts(numbers, words, Key::Int),
        ColumnValues::Uuid(uuids) => number_counts(uuids, words, Key::Uuid),
        ColumnValues::Bool(bools) => Box::new(
            [false, true]
                .into_iter()
                .map(move |value| (Key::Bool(value), count(bools.equals(value)))),
        ),
        ColumnValues::Float(_)
        | ColumnValues::Datetime(_)
        | ColumnValues::Geo(_)
        | ColumnValues::Text(_) => return None,
    })
}

/// The counts of numbers among the rows whose bit is set in `words`, or among all.
fn number_counts<'a, N: Number + 'a>(
    numbers: Numbers<'a, N>,
    words: Option<&'a [u64]>,
    key: fn(N) -> Key<'a>,
) -> Counts<'a> {
    let holds = move |row: Row| match words {
        Some(words) => words
            .get(row as usize / 64)
            .map_or(0, |word| word >> (row % 64) & 1),
        None => 1,
    };
    let mut pairs = numbers.pairs(0..numbers.len()).peekable();
    Box::new(std::iter::from_fn(move || {
        let (number, row) = pairs.next()?;
        let mut count = holds(row);
        while let Some((_, row)) = pairs.next_if(|(next, _)| *next == number) {
            count += holds(row);
        }
        Some((key(number), count))
    }))
}

/// Whether the payloads of so few rows are read sooner than the whole column.
#[expect(clippy::cast_precision_loss, reason = "an estimate of a time")]
fn are_few(rows: &RowSet, view: &ColumnView<'_>) -> bool {
    f64::from(rows.count()) * ALONE_NS < view.stats().values as f64 * PAIR_NS
}

/// A payload read alone decompresses a block; counting a pair looks at one bit.
const ALONE_NS: f64 = 50_000.0;
const PAIR_NS: f64 = 2.0;
