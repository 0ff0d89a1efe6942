//! Making statistics: what values lie where, gathered from the payloads of a segment as they are
//! written.
//!
//! Every path that selects anything is followed, keys and elements of arrays, as a tree of steps;
//! the fields that most rows have are kept, within a share of the payloads' own size.
//!
//! # Invariants
//! - What a kept field says of a zone covers every value that the field has in the zone's rows, as
//!   the chapter on statistics counts values; counts of rows are exact.
//! - Memory, and the length of the part, are bounded by a share of the payloads that were pushed.

use std::io::Write;

use format_spec::statistics::{
    DISTINCT_MAX, FIELDS_MAX, UNKNOWN, ZONE_ROWS_MAX, filter_of, hash_integer, hash_text,
};
use format_spec::value::{ArrayRef, ObjectRef};
use format_spec::{
    DecodeError, FieldRecords, Kinds, PartSummary, PartWriter, SeqNo, StatisticsBuilder, ValueKind,
    ValueRef, WriteError, ZoneRecord,
};

use crate::Row;
use crate::field::path::{FieldPath, PathItem};

/// Steps that are followed at once; the paths of payloads with more keys than that are not all
/// kept.
const STEPS_MAX: usize = 1_024;
/// Bytes of records that are held before the rarest fields are given up, beside a share of the
/// payloads: one in 16.
const HELD_BYTES: u64 = 1 << 20;
const HELD_SHARE: u64 = 16;
/// Bytes that the part may have beside a share of the payloads: one in 24. Fields that do not fit
/// are left without filters, or out.
const PART_BYTES: u64 = 16 << 10;
const PART_SHARE: u64 = 24;
/// Hashes that are collected before repetitions are taken out.
const HASHES_MAX: usize = 16 * DISTINCT_MAX as usize;

/// Statistics in the making: payloads go in, row after row and zone after zone, and a part comes
/// out.
#[derive(Debug)]
pub struct StatisticsDraft {
    /// The first is the payload itself.
    steps: Vec<Step>,
    /// The steps that have something in this zone.
    touched: Vec<usize>,
    zone_ends: Vec<Row>,
    rows: Row,
    /// Objects seen so far.
    objects: u64,
    payload_bytes: u64,
    held_bytes: u64,
    /// Whether a field that selects a value is not kept.
    missing: bool,
}

/// A path, as the step that ends it.
#[derive(Debug)]
struct Step {
    item: PathItem,
    parent: usize,
    children: Vec<usize>,
    /// The last object whose member this was: of equal keys the first counts.
    object: u64,
    /// Whether records are kept.
    kept: bool,
    /// This zone so far.
    here: Here,
    /// The zones before.
    done: FieldRecords,
    /// Rows of them that have a value or a null.
    frequency: u64,
}

/// What a zone has of a field.
#[derive(Default, Debug)]
struct Here {
    record: ZoneRecord,
    /// The last rows that were counted, plus one.
    last_with_value: u64,
    last_with_null: u64,
    hashes: Vec<u64>,
    /// Whether there are too many different hashes.
    unknown: bool,
}

impl Here {
    fn has_value(&mut self, row: Row) {
        let row = u64::from(row) + 1;
        if self.last_with_value != row {
            self.last_with_value = row;
            self.record.rows_with_value += 1;
        }
    }

    fn has_null(&mut self, row: Row) {
        let row = u64::from(row) + 1;
        if self.last_with_null != row {
            self.last_with_null = row;
            self.record.rows_with_null += 1;
        }
    }

    fn kind(&mut self, kind: Kinds) {
        self.record.kinds = self.record.kinds.union(kind);
    }

    fn number(&mut self, number: f64) {
        let (low, high) = self.record.numbers.unwrap_or((number, number));
        self.record.numbers = Some((low.min(number), high.max(number)));
    }

    fn hash(&mut self, hash: u64) {
        if self.unknown {
            return;
        }
        self.hashes.push(hash);
        if self.hashes.len() >= HASHES_MAX {
            self.hashes.sort_unstable();
            self.hashes.dedup();
            self.unknown = self.hashes.len() > usize::from(DISTINCT_MAX);
        }
    }
}

impl Step {
    fn new(item: PathItem, parent: usize) -> Self {
        Self {
            item,
            parent,
            children: Vec::new(),
            object: 0,
            kept: true,
            here: Here::default(),
            done: FieldRecords::default(),
            frequency: 0,
        }
    }

    /// Takes one value, which is not an array that was selected.
    fn take(&mut self, value: ValueKind<'_>, row: Row) {
        let here = &mut self.here;
        let kind = match value {
            ValueKind::Null => {
                here.has_null(row);
                return here.kind(Kinds::NULL);
            }
            ValueKind::Bool(false) => Kinds::FALSE,
            ValueKind::Bool(true) => Kinds::TRUE,
            ValueKind::Int(number) => {
                here.number(number as f64);
                here.hash(hash_integer(number));
                Kinds::INT
            }
            ValueKind::Uint(number) => {
                here.number(number as f64);
                Kinds::UINT
            }
            ValueKind::Float(number) if number.is_nan() => Kinds::NAN,
            ValueKind::Float(number) => {
                here.number(number);
                Kinds::FLOAT
            }
            ValueKind::Text(text) => {
                here.hash(hash_text(text));
                self.done.text_bytes += text.len() as u64;
                Kinds::TEXT
            }
            ValueKind::Array(_) => Kinds::ARRAY,
            ValueKind::Object(_) => Kinds::OBJECT,
        };
        here.kind(kind);
        self.done.values += 1;
    }

    /// Ends zone number `zone`; tells how many bytes more are held.
    fn end_zone(&mut self, zone: u32) -> u64 {
        let mut here = std::mem::take(&mut self.here);
        let (record, filters) = (&mut here.record, &mut self.done.filters);
        self.frequency += u64::from(record.rows_with_value.max(record.rows_with_null));
        let before = filters.len();
        here.hashes.sort_unstable();
        here.hashes.dedup();
        record.distinct = if here.unknown {
            UNKNOWN
        } else {
            filter_of(&here.hashes, filters)
        };
        let held = filters.len() - before + size_of::<(u32, ZoneRecord)>();
        self.done.zones.push((zone, here.record));
        // Kept for its room.
        here.hashes.clear();
        self.here.hashes = here.hashes;
        held as u64
    }

    fn held_bytes(&self) -> u64 {
        let zones = self.done.zones.len() * size_of::<(u32, ZoneRecord)>();
        (self.done.filters.len() + zones) as u64
    }

    /// Leaves out the filters, which are most of what is held; tells how long they were.
    fn without_filters(&mut self) -> u64 {
        for (_, record) in &mut self.done.zones {
            if record.distinct > 0 {
                record.distinct = UNKNOWN;
            }
        }
        std::mem::take(&mut self.done.filters).len() as u64
    }

    fn give_up(&mut self) {
        self.kept = false;
        self.done = FieldRecords::default();
        self.here = Here::default();
    }
}

impl Default for StatisticsDraft {
    fn default() -> Self {
        Self::new()
    }
}

impl StatisticsDraft {
    /// Statistics of nothing.
    pub fn new() -> Self {
        Self {
            steps: vec![Step::new(PathItem::Every, 0)],
            touched: Vec::new(),
            zone_ends: Vec::new(),
            rows: 0,
            objects: 0,
            payload_bytes: 0,
            held_bytes: 0,
            missing: false,
        }
    }

    /// Adds the next row, whose payload this is.
    ///
    /// # Errors
    /// The payload does not decode; the draft is then of no use.
    pub fn push(&mut self, payload: ValueRef<'_>) -> Result<(), DecodeError> {
        if self.zone_rows() == ZONE_ROWS_MAX {
            self.end_zone();
        }
        self.payload_bytes += payload.bytes().len() as u64;
        if let ValueKind::Object(object) = payload.kind()? {
            self.object(0, object)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Ends the zone of the rows pushed since the last one ended, if there are any. The most rows
    /// that a zone can have end it as well.
    pub fn end_zone(&mut self) {
        if self.zone_rows() == 0 {
            return;
        }
        let zone = self.zone_ends.len() as u32;
        self.zone_ends.push(self.rows);
        for at in std::mem::take(&mut self.touched) {
            let step = &mut self.steps[at];
            if step.kept {
                self.held_bytes += step.end_zone(zone);
            } else {
                step.here = Here::default();
            }
        }
        if self.held_bytes > HELD_BYTES + self.payload_bytes / HELD_SHARE {
            self.shed();
        }
    }

    fn zone_rows(&self) -> Row {
        self.rows - self.zone_ends.last().copied().unwrap_or_default()
    }

    /// Gives the rarest fields up until half of what is held is left.
    fn shed(&mut self) {
        let mut order: Vec<usize> = (1..self.steps.len()).collect();
        order.retain(|&at| self.steps[at].kept);
        order.sort_by_key(|&at| self.steps[at].frequency);
        let most = self.held_bytes / 2;
        for at in order {
            if self.held_bytes <= most {
                break;
            }
            self.held_bytes -= self.steps[at].held_bytes();
            self.steps[at].give_up();
            self.missing = true;
        }
    }

    fn object(&mut self, at: usize, object: ObjectRef<'_>) -> Result<(), DecodeError> {
        self.objects += 1;
        let this = self.objects;
        for (nth, member) in object.iter().enumerate() {
            let (key, value) = member?;
            let Some(child) = self.under_key(at, key, nth) else {
                continue;
            };
            if std::mem::replace(&mut self.steps[child].object, this) != this {
                self.selected(child, value)?;
            }
        }
        Ok(())
    }

    /// A value that a path selects.
    fn selected(&mut self, at: usize, value: ValueRef<'_>) -> Result<(), DecodeError> {
        self.touch(at);
        let row = self.rows;
        let kind = value.kind()?;
        let step = &mut self.steps[at];
        if let ValueKind::Array(array) = kind {
            if array.is_empty() {
                step.here.kind(Kinds::EMPTY);
                return Ok(());
            }
            step.here.has_value(row);
            return self.elements(at, array);
        }
        if !matches!(kind, ValueKind::Null) {
            step.here.has_value(row);
        }
        step.take(kind, row);
        if let ValueKind::Object(object) = kind {
            return self.object(at, object);
        }
        Ok(())
    }

    fn elements(&mut self, at: usize, array: ArrayRef<'_>) -> Result<(), DecodeError> {
        let every = self.under(at, |item| matches!(item, PathItem::Every));
        let every = every.or_else(|| self.add(at, PathItem::Every));
        let row = self.rows;
        for element in array.iter() {
            let element = element?;
            self.steps[at].take(element.kind()?, row);
            if let Some(every) = every {
                self.selected(every, element)?;
            }
        }
        Ok(())
    }

    fn touch(&mut self, at: usize) {
        let here = &self.steps[at].here;
        if here.record.kinds == Kinds::NONE && here.record.rows_with_value == 0 {
            self.touched.push(at);
        }
    }

    /// The step to the member under `key`, the `nth` of its object; `None` if it is not followed.
    fn under_key(&mut self, at: usize, key: &str, nth: usize) -> Option<usize> {
        let is = |item: &PathItem| matches!(item, PathItem::Key(of) if of == key);
        // Objects of one collection mostly have the same members in the same order.
        let guess = self.steps[at].children.get(nth).copied();
        if let Some(child) = guess.filter(|&child| is(&self.steps[child].item)) {
            return Some(child);
        }
        if let Some(child) = self.under(at, is) {
            return Some(child);
        }
        // A key with a quote in it has no written form, so nobody can ask for it.
        if key.contains('"') {
            return None;
        }
        self.add(at, PathItem::Key(key.to_owned()))
    }

    fn under(&self, at: usize, is: impl Fn(&PathItem) -> bool) -> Option<usize> {
        let children = self.steps[at].children.iter().copied();
        children
            .into_iter()
            .find(|&child| is(&self.steps[child].item))
    }

    fn add(&mut self, parent: usize, item: PathItem) -> Option<usize> {
        if self.steps.len() >= STEPS_MAX {
            self.missing = true;
            return None;
        }
        let at = self.steps.len();
        self.steps.push(Step::new(item, parent));
        self.steps[parent].children.push(at);
        Some(at)
    }

    /// The steps that lead to `at`.
    fn path(&self, mut at: usize) -> FieldPath {
        let mut items = Vec::new();
        while at > 0 {
            items.push(self.steps[at].item.clone());
            at = self.steps[at].parent;
        }
        items.reverse();
        FieldPath::of_items(items)
    }

    /// Writes the statistics part.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish<W: Write>(
        mut self,
        part: PartWriter<W>,
        exact_for: SeqNo,
    ) -> Result<(W, PartSummary), WriteError> {
        self.end_zone();
        let fields = self.fields();
        StatisticsBuilder {
            zone_ends: &self.zone_ends,
            exact_for,
            complete: !self.missing,
            fields: &fields,
        }
        .finish(part)
    }

    /// The fields that are kept: those that most rows have, as far as there is room.
    fn fields(&mut self) -> Vec<FieldRecords> {
        let mut order: Vec<(u64, FieldPath, usize)> = (1..self.steps.len())
            .filter(|&at| self.steps[at].kept && !self.steps[at].done.zones.is_empty())
            .map(|at| (self.steps[at].frequency, self.path(at), at))
            .collect();
        order.sort_by(|(a, a_path, _), (b, b_path, _)| {
            let depth = |path: &FieldPath| path.items().len();
            let depths = depth(a_path).cmp(&depth(b_path));
            b.cmp(a).then(depths).then_with(|| a_path.cmp(b_path))
        });
        let mut room = PART_BYTES + self.payload_bytes / PART_SHARE;
        let mut fields = Vec::new();
        for (_, path, at) in order {
            let path = path.to_string();
            let mut bytes = self.part_bytes(at) + path.len() as u64;
            if bytes > room {
                bytes -= self.steps[at].without_filters();
            }
            if fields.len() == FIELDS_MAX as usize || bytes > room {
                self.missing = true;
                continue;
            }
            room -= bytes;
            fields.push(FieldRecords {
                path,
                ..std::mem::take(&mut self.steps[at].done)
            });
        }
        fields.sort_by(|a, b| a.path.cmp(&b.path));
        fields
    }

    /// Bytes that a field has in the part.
    fn part_bytes(&self, at: usize) -> u64 {
        let done = &self.steps[at].done;
        let numeric = done
            .zones
            .iter()
            .any(|(_, record)| record.kinds.has_number());
        let record = if numeric { 24 } else { 8 };
        let zones = self.zone_ends.len() as u64;
        64 + zones * record + done.filters.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_spec::{
        CollectionId, PartHeader, PartId, PartIdentity, PartKind, PartLayout, ShardId,
        StatisticsLayout, StatisticsView, Value,
    };

    fn object(members: &[(&str, Value)]) -> Value {
        let member = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
        Value::Object(members.iter().map(member).collect())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// Checks the statistics of payloads in zones of two.
    fn with_view(payloads: &[Value], check: impl FnOnce(StatisticsView<'_>)) {
        let mut draft = StatisticsDraft::new();
        for (n, payload) in payloads.iter().enumerate() {
            if n % 2 == 0 {
                draft.end_zone();
            }
            draft
                .push(ValueRef::new(&payload.to_bytes()).unwrap())
                .unwrap();
        }
        let (kind, part_id) = (PartKind::Statistics, PartId(1));
        let (collection, shard) = (CollectionId(2), ShardId(3));
        let header = PartHeader::new(kind, part_id, collection, shard).derived_from([7; 32]);
        let writer = PartWriter::new(Vec::new(), header);
        let bytes = draft.finish(writer, SeqNo(9)).unwrap().0;
        let identity = PartIdentity {
            kind,
            part_id,
            collection,
            shard,
            len: bytes.len() as u64,
        };
        let layout = PartLayout::open(&bytes, &identity).unwrap();
        let opened = StatisticsLayout::open(&layout, &bytes).unwrap();
        check(opened.view(&bytes));
    }

    #[test]
    fn every_path_is_followed_and_counted() {
        let tags = Value::Array(vec![text("x"), Value::Null, Value::Array(vec![])]);
        let boxes = Value::Array(vec![object(&[("w", Value::Int(-3))]), Value::Int(7)]);
        let payloads = [
            object(&[("a", Value::Int(5)), ("tags", tags)]),
            object(&[("boxes", boxes), ("a", Value::Null)]),
            object(&[("in side", object(&[("f", Value::Float(2.5))]))]),
        ];
        with_view(&payloads, |view| {
            assert!(view.is_complete());
            assert_eq!((view.rows(), view.zones()), (3, 2));
            let paths: Vec<&str> = view.fields().map(|field| field.path()).collect();
            let all = [
                "\"in side\"",
                "\"in side\".f",
                "a",
                "boxes",
                "boxes[]",
                "boxes[].w",
                "tags",
                "tags[]",
            ];
            assert_eq!(paths, all);
            let figures = |path: &str| *view.field(path).unwrap().figures();
            let a = figures("a");
            assert_eq!((a.rows_with_value, a.rows_with_null, a.values), (1, 1, 1));
            assert_eq!(
                (a.kinds, a.numbers),
                (Kinds::INT.union(Kinds::NULL), Some((5.0, 5.0)))
            );
            let tags = figures("tags");
            let kinds = Kinds::TEXT.union(Kinds::NULL).union(Kinds::ARRAY);
            assert_eq!(
                (tags.kinds, tags.rows_with_null, tags.text_bytes),
                (kinds, 1, 1)
            );
            let each = figures("tags[]");
            let kinds = Kinds::TEXT.union(Kinds::NULL).union(Kinds::EMPTY);
            assert_eq!((each.kinds, each.rows_with_value), (kinds, 1));
            assert_eq!(figures("boxes[].w").numbers, Some((-3.0, -3.0)));
            let zones: Vec<_> = view.field("a").unwrap().zones().collect();
            assert!(zones[0].may_have(hash_integer(5)) && !zones[1].may_have(hash_integer(5)));
            assert_eq!(zones[1].record, ZoneRecord::default());
        });
    }

    #[test]
    fn of_equal_keys_the_first_counts_and_quoted_quotes_are_left_out() {
        let payload = object(&[
            ("a", Value::Int(1)),
            ("a", text("x")),
            ("q\"", Value::Int(2)),
        ]);
        with_view(&[payload], |view| {
            assert!(view.is_complete());
            let fields: Vec<_> = view.fields().collect();
            assert_eq!(fields.len(), 1);
            assert_eq!(fields[0].figures().kinds, Kinds::INT);
        });
    }

    #[test]
    fn odd_payloads_are_bounded_and_common_fields_stay() {
        let mut draft = StatisticsDraft::new();
        let mut bytes = 0;
        for row in 0..20_000 {
            let (odd, other) = (format!("k{row}"), format!("j{}", row % 700));
            let members = [
                (odd.as_str(), Value::Int(row)),
                (other.as_str(), text("abc")),
                ("common", Value::Int(row)),
            ];
            let payload = object(&members).to_bytes();
            bytes += payload.len() as u64;
            draft.push(ValueRef::new(&payload).unwrap()).unwrap();
            if row % 40 == 39 {
                draft.end_zone();
            }
        }
        assert!(draft.steps.len() <= STEPS_MAX);
        assert!(draft.held_bytes <= HELD_BYTES + bytes / HELD_SHARE);
        let fields = draft.fields();
        assert!(draft.missing && fields.len() <= FIELDS_MAX as usize);
        assert!(fields.iter().any(|field| field.path == "common"));
        let len: usize = fields.iter().map(|field| field.filters.len()).sum();
        assert!((len as u64) < PART_BYTES + bytes / PART_SHARE);
    }

    #[test]
    fn no_rows_have_no_zones() {
        with_view(&[], |view| assert_eq!((view.rows(), view.zones()), (0, 0)));
    }
}
