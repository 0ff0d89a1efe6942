//! Which rows a column answers and which only their payloads do.
//!
//! # Invariants
//! - Of a row that is not [`unanswered`], the column has every value but null.

use engine::Source;
use format_spec::ColumnView;
use index::RowSet;

use super::column;
use crate::error::QueryError;

/// The column of an index, unless the source has none or it is damaged.
pub(crate) fn column<'s>(
    source: &'s Source,
    name: &str,
) -> Result<Option<ColumnView<'s>>, QueryError> {
    column::open(source, name)
}

/// The rows whose payload was replaced, or has a value that the column cannot hold.
pub(crate) fn unanswered(view: &ColumnView<'_>, source: &Source) -> RowSet {
    let mut rows = column::strangers(view).unwrap_or_else(|| RowSet::new(source.rows()));
    if let Some(patched) = source.patched() {
        rows.or(&patched);
    }
    rows
}
