//! What a shard tells about one field index: the points it has, how far it is built, its bytes.
//!
//! # Invariants
//! - A point counts while it lives, by its payload as it is now, if all its values are of the type
//!   of the index: by the column in a segment that has it, by the payload in memory and patches.

use std::sync::Arc;

use format_spec::{FieldIndex, PartKind, ValueRef};
use index::{ColumnContent, FieldPath, Row, RowSet};

use crate::error::{Error, Result};
use crate::placement::Held;
use crate::shard::Shard;
use crate::source::Source;
use crate::version::SegmentState;

/// A field index as it is now.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct FieldIndexReport {
    /// Live points that it has.
    pub points: u64,
    /// Bytes of its columns.
    pub bytes: u64,
    /// Where those bytes are.
    pub held: Held,
    /// Segments that have its column.
    pub segments_covered: u64,
    /// All segments.
    pub segments: u64,
}

impl Shard {
    /// The index of `path`; nothing where there is none.
    pub(crate) fn field_index(&self, path: &str) -> FieldIndexReport {
        let state = self.state();
        let mut report = FieldIndexReport {
            segments: state.segments.len() as u64,
            ..FieldIndexReport::default()
        };
        let Some(field) = state.schema.fields.iter().find(|field| field.path == path) else {
            return report;
        };
        let (Ok(path), Ok(content)) = (FieldPath::parse(path), ColumnContent::of(field)) else {
            return report;
        };
        let holds = Holds { path, content };
        for segment in &state.segments {
            // What is damaged counts nothing until it has been built again.
            report
                .add_segment(segment, field, &holds)
                .unwrap_or_default();
        }
        for memtable in &state.memtables {
            let source = Source::Memtable(memtable.clone());
            let live = source.live();
            report.points += holds.count(&source, live.iter()).unwrap_or(0);
        }
        report
    }
}

impl FieldIndexReport {
    fn add_segment(
        &mut self,
        state: &Arc<SegmentState>,
        field: &FieldIndex,
        holds: &Holds,
    ) -> Result<()> {
        if !state.segment.has_column(field) {
            return Ok(());
        }
        let Some(column) = state.segment.column(&field.path)? else {
            return Ok(());
        };
        self.segments_covered += 1;
        let parts = state.segment.parts().iter();
        let of_field = |name: &str, kind| kind == PartKind::Column && name == field.path;
        for part in parts.filter(|part| of_field(&part.entry().name, part.entry().kind)) {
            self.bytes += part.entry().len;
            self.held.add(part.held());
        }
        let source = Source::segment(Arc::clone(state));
        let patched = source.patched();
        if patched.is_none() && source.live_count() == source.rows() {
            self.points += u64::from(column.stats().rows_indexed);
            return Ok(());
        }
        // Bitmaps of a column have a bit a row: checked when it was opened.
        let set = |words| RowSet::from_words(source.rows(), words);
        let none = |_| RowSet::new(source.rows());
        let mut rows = set(column.has_value().to_words()).unwrap_or_else(none);
        rows.and_not(&set(column.open_rows().to_words()).unwrap_or_else(none));
        let live = source.live();
        rows.and(&live);
        if let Some(mut patched) = patched {
            rows.and_not(&patched);
            patched.and(&live);
            self.points += holds.count(&source, patched.iter())?;
        }
        self.points += u64::from(rows.count());
        Ok(())
    }
}

/// Which payloads the index has.
struct Holds {
    path: FieldPath,
    content: ColumnContent,
}

impl Holds {
    fn count(&self, source: &Source, rows: impl Iterator<Item = Row>) -> Result<u64> {
        let corrupt = |error| Error::corrupt("payload", error);
        let mut payloads = source.payloads();
        let mut count = 0;
        for row in rows {
            let payload = ValueRef::new(payloads.get(row)?).map_err(corrupt)?;
            let holds = self.content.holds(&self.path, payload).map_err(corrupt)?;
            count += u64::from(holds);
        }
        Ok(count)
    }
}
