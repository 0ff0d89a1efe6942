//! Where the answer to a test of a field comes from: a column, on disk or in memory, or statistics.
//!
//! # Invariants
//! - Rows whose payload was patched are left open, and estimates loosened by them, whatever
//!   answers.

use std::sync::Arc;

use engine::{DerivedColumn, Source};
use format_spec::ColumnView;
use index::RowSet;

use super::ask::Ask;
use super::bind::{Bound, Field, Test};
use super::estimate::Estimate;
use super::subset::Answer;
use super::zones::{self, Known};
use super::{column, derive};
use crate::budget::Budget;
use crate::error::QueryError;

/// What a source has of a field, best first.
#[derive(Debug)]
pub(crate) enum Access<'s> {
    /// The column of an index.
    Column(Box<ColumnView<'s>>),
    /// A column in memory, left behind by an earlier filter.
    Derived(Arc<DerivedColumn>),
    /// The statistics of the segment.
    Zones(Known<'s>),
    /// Nothing but the payloads.
    Payloads,
}

impl<'s> Access<'s> {
    /// The access to a field for what is asked of it.
    pub(crate) fn of(field: &Field<'_>, source: &'s Source) -> Result<Self, QueryError> {
        if let Some(indexed) = &field.column
            && let Some(view) = column::open_current(source, indexed, field.settings)?
        {
            return Ok(Self::Column(Box::new(view)));
        }
        let statistics = zones::open(source)?;
        let known = statistics.map(|view| zones::find(&view, &field.path));
        if let Some(column) = derive::find(field, source, known.as_ref()) {
            return Ok(Self::Derived(column));
        }
        Ok(known.map_or(Self::Payloads, Self::Zones))
    }

    /// The access to the rows around a field inside an array of objects: of a row, to the values of
    /// all its elements.
    pub(crate) fn around(field: &Field<'_>, source: &'s Source) -> Result<Self, QueryError> {
        let (Some(around), Ask::Any(_)) = (&field.around, &field.ask) else {
            // That an element has no value is not told by those of the others.
            return Ok(Self::Payloads);
        };
        if let Some(indexed) = &around.column
            && let Some(view) = column::open_current(source, indexed, field.settings)?
        {
            return Ok(Self::Column(Box::new(view)));
        }
        let statistics = zones::open(source)?;
        let known = statistics.map(|view| zones::find(&view, &around.path));
        Ok(known.map_or(Self::Payloads, Self::Zones))
    }

    /// Answers without reading a payload.
    pub(crate) fn answer(
        &self,
        ask: &Ask<'_>,
        (rows, patched): (u32, Option<&RowSet>),
        budget: &Budget<'_>,
    ) -> Result<Answer, QueryError> {
        let answer = match self {
            Self::Column(view) => column::answer(view, ask, budget)?,
            Self::Derived(derived) => {
                let view = derived.view();
                column::answer(&view, ask, budget)?.of_first(view.stats().rows, rows)
            }
            Self::Zones(known) => zones::answer(known, ask, rows),
            Self::Payloads => return Ok(Answer::OPEN),
        };
        Ok(match patched {
            Some(patched) => answer.with_open(patched),
            None => answer,
        })
    }

    /// How many of `rows` rows match.
    pub(crate) fn estimate(
        &self,
        ask: &Ask<'_>,
        (rows, patched): (u64, u64),
        budget: &Budget<'_>,
    ) -> Result<Estimate, QueryError> {
        let estimate = match self {
            Self::Column(view) => column::estimate(view, ask, budget)?,
            Self::Derived(derived) => {
                let view = derived.view();
                let others = rows.saturating_sub(u64::from(view.stats().rows));
                column::estimate(&view, ask, budget)?.loosened(others, rows)
            }
            Self::Zones(known) => zones::estimate(known, ask, rows),
            Self::Payloads => return Ok(Estimate::unknown(rows)),
        };
        Ok(estimate.loosened(patched, rows))
    }

    /// How many texts are asked one by one, if any are.
    fn texts_asked(&self, ask: &Ask<'_>) -> Option<u64> {
        match self {
            Self::Column(view) => column::texts_asked(view, ask),
            Self::Derived(derived) => column::texts_asked(&derived.view(), ask),
            Self::Zones(_) | Self::Payloads => None,
        }
    }
}

/// How a source answers what a filter asks of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldAccess {
    /// The path as it is written shortest.
    pub path: String,
    /// `index`, `memory` (a column that an earlier filter left), `statistics` or `payloads`.
    pub by: &'static str,
    /// What statistics tell of the zones that the rows are cut into.
    pub zones: Option<ZoneCounts>,
    /// Different texts of a column that are asked one by one: the cost of the test.
    pub texts_asked: Option<u64>,
}

/// Zones, by what is known of their rows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneCounts {
    /// No row matches.
    pub none: u32,
    /// Every row matches.
    pub all: u32,
    /// Payloads have to tell.
    pub open: u32,
}

/// How `source` answers each test of a field in the filter.
pub(crate) fn accesses(
    filter: &Bound<'_>,
    source: &Source,
    found: &mut Vec<FieldAccess>,
) -> Result<(), QueryError> {
    for test in filter.tests() {
        match test {
            Test::Filter(inner) => accesses(inner, source, found)?,
            Test::Nested(_, inner) => accesses(inner, source, found)?,
            Test::Field(field) => {
                let (access, path) = match &field.around {
                    Some(around) => (Access::around(field, source)?, &around.path),
                    None => (Access::of(field, source)?, &*field.path),
                };
                let (by, zones) = match &access {
                    Access::Column(_) => ("index", None),
                    Access::Derived(_) => ("memory", None),
                    Access::Zones(known) => ("statistics", Some(zones::counts(known, &field.ask))),
                    Access::Payloads => ("payloads", None),
                };
                found.push(FieldAccess {
                    path: path.to_string(),
                    by,
                    zones,
                    texts_asked: access.texts_asked(&field.ask),
                });
            }
            Test::HasId(_) | Test::HasVector { .. } | Test::Slice(_) | Test::Never => {}
        }
    }
    Ok(())
}
