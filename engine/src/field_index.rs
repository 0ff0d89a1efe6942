//! What a shard tells about one field index: the points it has, how far it is built, its bytes.
//!
//! # Invariants
//! - A point counts while it lives, by its payload as it is now, if all its values are of the type
//!   of the index: by the column in a segment that has it, by the payload in memory and patches.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use format_spec::{FieldIndex, PartKind, ValueRef};
use index::{ColumnContent, FieldPath, Row, RowSet};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::memtable::IndexKey;
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
        let key = (
            field.path.clone(),
            content.field_type().tag(),
            content.settings_hash(),
        );
        let holds = Holds { path, content };
        let mut counted = Vec::new();
        for segment in &state.segments {
            let known = self.indexed.get(&key, segment);
            // What is damaged counts nothing until it has been built again.
            let points = match known {
                Some(points) => Some(points),
                None => points_of(segment, field, &holds).unwrap_or_default(),
            };
            if let Some(points) = points {
                report.segments_covered += 1;
                report.add_bytes(segment, field);
                report.points += points;
                counted.push((Arc::downgrade(segment), points));
            }
        }
        self.indexed.keep(key.clone(), counted);
        for memtable in &state.memtables {
            let held = memtable.count_held(&key, |payload| holds.holds(payload));
            report.points += held.unwrap_or(0);
        }
        report
    }
}

/// How many points each index has of segments, as they were when it was last asked: patched rows
/// are read again only once something has happened to their segment.
///
/// A weak reference keeps the place of a state, so that no other state can be taken for it.
#[derive(Default, Debug)]
pub(crate) struct IndexedPoints(Mutex<BTreeMap<IndexKey, Counted>>);

type Counted = Vec<(Weak<SegmentState>, u64)>;

/// Indexes that are counted; more are forgotten at once.
const COUNTED_MAX: usize = 256;

impl IndexedPoints {
    fn get(&self, key: &IndexKey, state: &Arc<SegmentState>) -> Option<u64> {
        let counted = self.0.lock();
        let mut segments = counted.get(key)?.iter();
        let same = |weak: &Weak<SegmentState>| weak.as_ptr() == Arc::as_ptr(state);
        segments.find_map(|(weak, points)| same(weak).then_some(*points))
    }

    fn keep(&self, key: IndexKey, segments: Counted) {
        let mut counted = self.0.lock();
        if counted.len() >= COUNTED_MAX {
            counted.clear();
        }
        counted.insert(key, segments);
    }
}

/// Live points of a segment that the index has; `None` without its column.
fn points_of(state: &Arc<SegmentState>, field: &FieldIndex, holds: &Holds) -> Result<Option<u64>> {
    if !state.segment.has_column(field) {
        return Ok(None);
    }
    let Some(column) = state.segment.column(&field.path)? else {
        return Ok(None);
    };
    let source = Source::segment(Arc::clone(state));
    let patched = source.patched();
    if patched.is_none() && source.live_count() == source.rows() {
        return Ok(Some(u64::from(column.stats().rows_indexed)));
    }
    // Bitmaps of a column have a bit a row: checked when it was opened.
    let set = |words| RowSet::from_words(source.rows(), words);
    let none = |_| RowSet::new(source.rows());
    let mut rows = set(column.has_value().to_words()).unwrap_or_else(none);
    rows.and_not(&set(column.open_rows().to_words()).unwrap_or_else(none));
    let (live, mut points) = (source.live(), 0);
    rows.and(&live);
    if let Some(mut patched) = patched {
        rows.and_not(&patched);
        patched.and(&live);
        points += holds.count(&source, patched.iter())?;
    }
    Ok(Some(points + u64::from(rows.count())))
}

impl FieldIndexReport {
    fn add_bytes(&mut self, state: &SegmentState, field: &FieldIndex) {
        let parts = state.segment.parts().iter();
        let of_field = |name: &str, kind| kind == PartKind::Column && name == field.path;
        for part in parts.filter(|part| of_field(&part.entry().name, part.entry().kind)) {
            self.bytes += part.entry().len;
            self.held.add(part.held());
        }
    }
}

/// Which payloads the index has.
struct Holds {
    path: FieldPath,
    content: ColumnContent,
}

impl Holds {
    fn holds(&self, payload: &[u8]) -> Result<bool> {
        let holds = |payload| self.content.holds(&self.path, payload);
        let held = ValueRef::new(payload).and_then(holds);
        held.map_err(|error| Error::corrupt("payload", error))
    }

    fn count(&self, source: &Source, rows: impl Iterator<Item = Row>) -> Result<u64> {
        let mut payloads = source.payloads();
        let mut count = 0;
        for row in rows {
            count += u64::from(self.holds(payloads.get(row)?)?);
        }
        Ok(count)
    }
}
