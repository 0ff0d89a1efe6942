//! The values that points are grouped by.
//!
//! # Invariants
//! - A column answers only rows whose values it has all of; the others, and those with null among
//!   their values, are answered by their payloads.

use std::collections::BTreeMap;

use engine::{Snapshot, Source};
use format_spec::columns::{ColumnValues, ColumnView};
use format_spec::ids::Row;
use format_spec::schema::Schema;
use format_spec::value::{ValueKind, ValueRef};
use index::{FieldPath, RowSet};

use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::{QueryError, damaged_payload};
use crate::filter::split;
use crate::order::field_of;
use crate::rank::Ranked;
use crate::request::Env;
use crate::values::each_value;

/// A value that makes a group; numbers come before text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    /// An integer.
    Int(i64),
    /// An integer beyond those.
    Uint(u64),
    /// Text.
    Text(String),
}

/// The field that points are grouped by.
pub(super) struct GroupKeys<'a> {
    path: &'a FieldPath,
    /// The path as the schema spells it, if there is an index.
    column: Option<&'a str>,
}

/// The keys of points, each point's ascending and each once.
type KeyLists = Vec<Vec<GroupKey>>;

impl<'a> GroupKeys<'a> {
    pub(super) fn new(path: &'a FieldPath, schema: &'a Schema) -> Self {
        let column = field_of(path, schema).map(|field| field.path.as_str());
        Self { path, column }
    }

    /// The keys of each of the points.
    pub(super) fn of(
        &self,
        snapshot: &Snapshot,
        points: &[Ranked],
        env: &Env<'_>,
    ) -> Result<KeyLists, QueryError> {
        let budget = Budget::new(env);
        let mut lists = vec![Vec::new(); points.len()];
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_unstable_by_key(|at| points[*at].place);
        let same_source = |a: &usize, b: &usize| points[*a].place.source == points[*b].place.source;
        for group in order.chunk_by(same_source) {
            let source = &snapshot.sources()[points[group[0]].place.source];
            let rows: Vec<Row> = group.iter().map(|at| points[*at].place.row).collect();
            for (at, keys) in group.iter().zip(self.of_rows(source, &rows, &budget)?) {
                lists[*at] = keys;
            }
        }
        Ok(lists)
    }

    /// The keys of `rows`, which ascend.
    fn of_rows(
        &self,
        source: &Source,
        rows: &[Row],
        budget: &Budget<'_>,
    ) -> Result<KeyLists, QueryError> {
        let Some(view) = self.column_for(source, rows.len())? else {
            return self.in_payloads(source, rows, budget);
        };
        let mut unanswered = split::unanswered(&view, source);
        let mut nulls = RowSet::new(source.rows());
        for row in view.has_null().iter() {
            nulls.insert(row);
        }
        unanswered.or(&nulls);
        let mut found = in_column(&view, rows);
        let open: Vec<Row> = rows
            .iter()
            .copied()
            .filter(|row| unanswered.contains(*row))
            .collect();
        let read = self.in_payloads(source, &open, budget)?;
        found.extend(open.into_iter().zip(read));
        let keys = |row: &Row| found.get(row).cloned().unwrap_or_default();
        Ok(rows.iter().map(keys).collect())
    }

    /// The column, where it answers so many rows sooner than their payloads do.
    #[expect(clippy::cast_precision_loss, reason = "an estimate of a time")]
    fn column_for<'s>(
        &self,
        source: &'s Source,
        rows: usize,
    ) -> Result<Option<ColumnView<'s>>, QueryError> {
        let Some(name) = self.column else {
            return Ok(None);
        };
        let view = split::column(source, name)?;
        Ok(view.filter(|view| {
            let texts = matches!(
                view.values(),
                ColumnValues::Keyword(_) | ColumnValues::Integer(_)
            );
            let stats = view.stats();
            let lists = stats.distinct as f64 * LIST_NS;
            texts && lists + stats.values as f64 * PAIR_NS < rows as f64 * ALONE_NS
        }))
    }

    fn in_payloads(
        &self,
        source: &Source,
        rows: &[Row],
        budget: &Budget<'_>,
    ) -> Result<KeyLists, QueryError> {
        let mut payloads = source.payloads();
        let mut lists = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(PAYLOAD_ROWS) {
            budget.check()?;
            payloads.prefetch(chunk)?;
            for &row in chunk {
                let payload = ValueRef::new(payloads.get(row)?).map_err(damaged_payload)?;
                lists.push(self.of_payload(payload)?);
            }
        }
        Ok(lists)
    }

    fn of_payload(&self, payload: ValueRef<'_>) -> Result<Vec<GroupKey>, QueryError> {
        let (mut keys, mut fits) = (Vec::new(), true);
        let take = |kind: ValueKind<'_>| match kind {
            ValueKind::Int(number) => keys.push(GroupKey::Int(number)),
            ValueKind::Uint(number) => keys.push(GroupKey::Uint(number)),
            ValueKind::Text(text) => keys.push(GroupKey::Text(text.to_owned())),
            ValueKind::Null
            | ValueKind::Bool(_)
            | ValueKind::Float(_)
            | ValueKind::Array(_)
            | ValueKind::Object(_) => fits = false,
        };
        each_value(self.path, payload, take).map_err(damaged_payload)?;
        if !fits {
            keys.clear();
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

/// What the column has of `rows`, which ascend: its values come in order, so that each row's do.
fn in_column(view: &ColumnView<'_>, rows: &[Row]) -> BTreeMap<Row, Vec<GroupKey>> {
    let mut wanted = RowSet::new(view.stats().rows);
    for row in rows {
        wanted.insert(*row);
    }
    let mut found: BTreeMap<Row, Vec<GroupKey>> = BTreeMap::new();
    match view.values() {
        ColumnValues::Keyword(texts) => {
            for (text, postings) in texts.iter() {
                for row in postings.iter().filter(|row| wanted.contains(*row)) {
                    let keys = found.entry(row).or_default();
                    keys.push(GroupKey::Text(text.to_owned()));
                }
            }
        }
        ColumnValues::Integer(numbers) => {
            for (number, row) in numbers.pairs(0..numbers.len()) {
                if wanted.contains(row) {
                    found.entry(row).or_default().push(GroupKey::Int(number));
                }
            }
        }
        ColumnValues::Float(_)
        | ColumnValues::Bool(_)
        | ColumnValues::Datetime(_)
        | ColumnValues::Uuid(_)
        | ColumnValues::Geo(_)
        | ColumnValues::Text(_) => {}
    }
    found
}

/// A payload read alone decompresses a block; of a column each value is looked at and each pair.
const ALONE_NS: f64 = 50_000.0;
const LIST_NS: f64 = 20.0;
const PAIR_NS: f64 = 1.5;
