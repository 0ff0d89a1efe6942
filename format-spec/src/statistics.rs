#![doc = include_str!("../docs/15-statistics.md")]

use std::ops::Range;

use crate::bytes::Reader;
use crate::container::{PartLayout, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{
    exact, failed, opened, out_of_range, require_equal, rest_is_zero, slice, u32_within,
};
use crate::ids::{Row, SeqNo};
use crate::path::PartKind;
pub use crate::statistics_builder::{FieldRecords, StatisticsBuilder};
pub use crate::statistics_filter::{
    DISTINCT_MAX, UNKNOWN, filter_len, filter_of, hash_integer, hash_text, may_have,
};
pub use crate::statistics_record::{Kinds, ZoneRecord};
use crate::statistics_record::{RECORD_LEN, numbers_of};

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// Membership filters.
pub const FILTERS: u32 = tag(b"FILT");
/// A record for each field and zone.
pub const RECORDS: u32 = tag(b"RECS");
/// The least and the greatest number of each zone.
pub const NUMBERS: u32 = tag(b"NUMS");
/// The first row of each zone.
pub const ZONES: u32 = tag(b"ZONE");
/// The written paths.
pub const PATHS: u32 = tag(b"PATH");
/// The figures of each field.
pub const FIELDS: u32 = tag(b"FLDS");
/// The figures of the part.
pub const META: u32 = tag(b"META");
/// Most fields of a part.
pub const FIELDS_MAX: u32 = 256;
/// Most rows of a zone.
pub const ZONE_ROWS_MAX: u32 = 65_535;

pub(crate) const FLAG_COMPLETE: u32 = 1;
const META_LEN: u64 = 64;
const FIELD_LEN: u64 = 64;

/// The figures of one field.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct FieldFigures {
    /// The kinds of value that occur.
    pub kinds: Kinds,
    /// Rows that have a value.
    pub rows_with_value: u32,
    /// Rows that have a null.
    pub rows_with_null: u32,
    /// Values other than null, repetitions counted.
    pub values: u64,
    /// Bytes of its texts, repetitions counted.
    pub text_bytes: u64,
    /// The least and the greatest number; `None` if there are none.
    pub numbers: Option<(f64, f64)>,
}

/// Where a field is in the sections.
#[derive(Clone, Debug)]
struct FieldPlace {
    path: Range<u64>,
    figures: FieldFigures,
    filters: Range<u64>,
    /// Which table of `NUMS` it has.
    numeric: Option<u32>,
}

/// Where everything is in an opened statistics part, and its figures.
///
/// All blocks must be verified before `open`.
#[derive(Clone, Debug)]
pub struct StatisticsLayout {
    rows: u32,
    zones: u32,
    complete: bool,
    exact_for: SeqNo,
    filters: Range<u64>,
    records: Range<u64>,
    numbers: Range<u64>,
    firsts: Range<u64>,
    paths: Range<u64>,
    fields: Vec<FieldPlace>,
}

/// What `META` says.
struct Meta {
    rows: u32,
    zones: u32,
    fields: u32,
    numeric: u32,
    complete: bool,
    exact_for: SeqNo,
}

impl Meta {
    fn decode(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (range, meta) = part.section_bytes(bytes, META, "statistics meta")?;
        let mut fields = exact(meta, range.start, META_LEN, "statistics meta")?;
        let rows = fields.u32("rows")?;
        let zones = u32_within(&mut fields, 0, rows, "zones")?;
        let count = u32_within(&mut fields, 0, FIELDS_MAX, "fields")?;
        let numeric = u32_within(&mut fields, 0, count, "numeric")?;
        let flags = u32_within(&mut fields, 0, FLAG_COMPLETE, "flags")?;
        fields.zeros(4, "statistics meta")?;
        let exact_for = SeqNo(fields.u64("exact_for")?);
        rest_is_zero(fields, "statistics meta")?;
        Ok(Self {
            rows,
            zones,
            fields: count,
            numeric,
            complete: flags == FLAG_COMPLETE,
            exact_for,
        })
    }
}

impl StatisticsLayout {
    /// Checks the statistics part in `bytes`, the whole file, every block of which is verified.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Statistics, FORMAT_VERSION, 0)?;
        let meta = Meta::decode(part, bytes)?;
        let section = |tag: u32, len: u64, field: &'static str| {
            let range = part.required_section(tag)?;
            require_equal(range.end - range.start, len, range.start, field)?;
            Ok::<_, DecodeError>(range)
        };
        let zones = u64::from(meta.zones);
        let of_fields = u64::from(meta.fields) * zones;
        let records = section(RECORDS, RECORD_LEN * of_fields, "records")?;
        let numbers = section(NUMBERS, 16 * u64::from(meta.numeric) * zones, "numbers")?;
        let firsts = section(ZONES, 4 * (zones + 1), "zones")?;
        let fields = section(FIELDS, FIELD_LEN * u64::from(meta.fields), "fields")?;
        let mut layout = Self {
            rows: meta.rows,
            zones: meta.zones,
            complete: meta.complete,
            exact_for: meta.exact_for,
            filters: part.required_section(FILTERS)?,
            records,
            numbers,
            firsts,
            paths: part.required_section(PATHS)?,
            fields: Vec::with_capacity(meta.fields as usize),
        };
        layout.check_zones(bytes)?;
        layout.read_fields(bytes, fields)?;
        let numeric = layout.fields.iter().filter(|field| field.numeric.is_some());
        let numeric = numeric.count() as u64;
        require_equal(
            numeric,
            meta.numeric.into(),
            layout.numbers.start,
            "numeric",
        )?;
        for at in 0..layout.fields.len() {
            layout.check_field(bytes, at)?;
        }
        let end = layout
            .fields
            .last()
            .map_or(layout.filters.start, |field| field.filters.end);
        require_equal(end, layout.filters.end, layout.filters.start, "filters")?;
        Ok(layout)
    }

    fn check_zones(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut at = self.firsts.start;
        let mut before = None;
        for first in slice(bytes, &self.firsts, "zones")?.as_chunks().0 {
            let first = u32::from_le_bytes(*first);
            match before {
                None => require_equal(first.into(), 0, at, "first row")?,
                Some(before) if first <= before || first - before > ZONE_ROWS_MAX => {
                    return Err(failed(at, "first row", Why::Order));
                }
                Some(_) => {}
            }
            before = Some(first);
            at += 4;
        }
        let last = before.unwrap_or_default();
        require_equal(last.into(), self.rows.into(), at - 4, "last row")
    }

    /// Reads `FLDS`: paths, figures, and where filters and numbers are.
    fn read_fields(&mut self, bytes: &[u8], range: Range<u64>) -> Result<(), DecodeError> {
        let mut path_end = self.paths.start;
        let mut numeric = 0;
        let mut at = range.start;
        for entry in slice(bytes, &range, "fields")?.as_chunks::<64>().0 {
            let mut reader = Reader::starting_at(entry, at);
            let end = self.paths.start + u64::from(reader.u32("path_end")?);
            if end <= path_end || end > self.paths.end {
                return Err(failed(at, "path_end", Why::Order));
            }
            let path = path_end..end;
            path_end = end;
            let text = slice(bytes, &path, "path")?;
            std::str::from_utf8(text).map_err(|_| failed(path.start, "path", Why::Utf8))?;
            if let Some(before) = self.fields.last()
                && slice(bytes, &before.path, "path")? >= text
            {
                return Err(failed(path.start, "path", Why::Order));
            }
            let (figures, filters) = self.decode_figures(&mut reader)?;
            rest_is_zero(reader, "field")?;
            let filters = self.filters.start.saturating_add(filters);
            let has_numbers = figures.kinds.has_number();
            self.fields.push(FieldPlace {
                path,
                figures,
                filters: filters..filters,
                numeric: has_numbers.then_some(numeric),
            });
            numeric += u32::from(has_numbers);
            at += FIELD_LEN;
        }
        require_equal(path_end, self.paths.end, self.paths.start, "paths")
    }

    fn decode_figures(&self, reader: &mut Reader<'_>) -> Result<(FieldFigures, u64), DecodeError> {
        let kinds = Kinds::decode(reader)?;
        reader.zeros(2, "field")?;
        let rows_with_value = u32_within(reader, 0, self.rows, "rows_with_value")?;
        let rows_with_null = u32_within(reader, 0, self.rows, "rows_with_null")?;
        let filters = reader.u64("filters")?;
        let values = reader.u64("values")?;
        let text_bytes = reader.u64("text_bytes")?;
        let at = reader.at();
        let (min, max) = (reader.u64("min")?, reader.u64("max")?);
        let numbers = numbers_of((min, max), kinds, at)?;
        let figures = FieldFigures {
            kinds,
            rows_with_value,
            rows_with_null,
            values,
            text_bytes,
            numbers,
        };
        Ok((figures, filters))
    }

    /// Checks the records of a field against its figures, and finds where its filters end.
    fn check_field(&mut self, bytes: &[u8], at: usize) -> Result<(), DecodeError> {
        let start = match at.checked_sub(1).and_then(|before| self.fields.get(before)) {
            Some(before) => before.filters.end,
            None => self.filters.start,
        };
        let mut sum = Sum::default();
        let view = self.view(bytes);
        let Some(field) = view.nth(at) else {
            return Ok(());
        };
        let record_at = |zone: u32| {
            let nth = at as u64 * u64::from(self.zones) + u64::from(zone);
            self.records.start + RECORD_LEN * nth
        };
        for (zone, raw) in (0..).zip(field.raw_records()) {
            let reader = Reader::starting_at(raw, record_at(zone));
            let rows = view.zone_rows(zone);
            let numbers = field.raw_numbers(zone);
            let number_at = field.number_at(zone);
            let record = ZoneRecord::decode(reader, rows.len(), numbers, number_at)?;
            sum.add(&record);
        }
        let figures = field.place.figures;
        let field_at = record_at(0);
        require_equal(field.place.filters.start, start, field_at, "filters")?;
        if !sum.agrees(&figures) {
            return Err(failed(field_at, "field", Why::Order));
        }
        let end = start.saturating_add(sum.filters);
        if end > self.filters.end {
            let most = (0, self.filters.end - start);
            return Err(out_of_range(field_at, "filters", sum.filters, most));
        }
        if let Some(field) = self.fields.get_mut(at) {
            field.filters = start..end;
        }
        Ok(())
    }

    /// Rows of the segment.
    pub const fn len(&self) -> u32 {
        self.rows
    }

    /// Whether the segment has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The statistics, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> StatisticsView<'a> {
        StatisticsView {
            layout: self,
            bytes,
            firsts: opened(bytes, &self.firsts).as_chunks().0,
        }
    }
}

/// Sums over the records of a field.
#[derive(Default)]
struct Sum {
    kinds: Kinds,
    rows_with_value: u64,
    rows_with_null: u64,
    numbers: Option<(f64, f64)>,
    filters: u64,
}

impl Sum {
    fn add(&mut self, record: &ZoneRecord) {
        self.kinds = self.kinds.union(record.kinds);
        self.rows_with_value += u64::from(record.rows_with_value);
        self.rows_with_null += u64::from(record.rows_with_null);
        self.filters += filter_len(record.distinct) as u64;
        self.numbers = match (self.numbers, record.numbers) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
    }

    fn agrees(&self, figures: &FieldFigures) -> bool {
        self.kinds == figures.kinds
            && self.rows_with_value == u64::from(figures.rows_with_value)
            && self.rows_with_null == u64::from(figures.rows_with_null)
            && self.numbers == figures.numbers
    }
}

/// The statistics of a segment, read in place.
#[derive(Copy, Clone, Debug)]
pub struct StatisticsView<'a> {
    layout: &'a StatisticsLayout,
    bytes: &'a [u8],
    firsts: &'a [[u8; 4]],
}

impl<'a> StatisticsView<'a> {
    /// Rows of the segment.
    pub const fn rows(&self) -> u32 {
        self.layout.rows
    }

    /// Zones that the rows are cut into.
    pub const fn zones(&self) -> u32 {
        self.layout.zones
    }

    /// Whether every field that selects a value in any row is here.
    pub const fn is_complete(&self) -> bool {
        self.layout.complete
    }

    /// Patches up to this SeqNo are folded in.
    pub const fn exact_for(&self) -> SeqNo {
        self.layout.exact_for
    }

    /// The rows of a zone; an empty range if there is no such zone.
    pub fn zone_rows(&self, zone: u32) -> Range<Row> {
        let first = |nth: usize| self.firsts.get(nth).map(|first| u32::from_le_bytes(*first));
        let nth = zone as usize;
        match (first(nth), first(nth.saturating_add(1))) {
            (Some(start), Some(end)) => start..end,
            _ => 0..0,
        }
    }

    /// The field of a written path.
    pub fn field(&self, path: &str) -> Option<FieldStatistics<'a>> {
        let (bytes, fields) = (self.bytes, &self.layout.fields);
        let found =
            fields.binary_search_by(|field| opened(bytes, &field.path).cmp(path.as_bytes()));
        self.nth(found.ok()?)
    }

    /// The fields, in the order of their paths.
    pub fn fields(&self) -> impl Iterator<Item = FieldStatistics<'a>> {
        let view = *self;
        (0..self.layout.fields.len()).filter_map(move |nth| view.nth(nth))
    }

    fn nth(&self, nth: usize) -> Option<FieldStatistics<'a>> {
        let place = self.layout.fields.get(nth)?;
        let zones = u64::from(self.layout.zones);
        let start = self.layout.records.start + RECORD_LEN * zones * nth as u64;
        let numbers_start = place
            .numeric
            .map(|table| self.layout.numbers.start + 16 * zones * u64::from(table));
        let numbers = numbers_start.map_or(0..0, |start| start..start + 16 * zones);
        Some(FieldStatistics {
            view: *self,
            place,
            records: opened(self.bytes, &(start..start + RECORD_LEN * zones))
                .as_chunks()
                .0,
            numbers: opened(self.bytes, &numbers).as_chunks().0,
            numbers_at: numbers.start,
            filters: opened(self.bytes, &place.filters),
        })
    }
}

/// The statistics of one field.
#[derive(Copy, Clone, Debug)]
pub struct FieldStatistics<'a> {
    view: StatisticsView<'a>,
    place: &'a FieldPlace,
    records: &'a [[u8; 8]],
    numbers: &'a [[u8; 16]],
    numbers_at: u64,
    filters: &'a [u8],
}

impl<'a> FieldStatistics<'a> {
    /// Its written path.
    pub fn path(&self) -> &'a str {
        // Checked by `open`.
        std::str::from_utf8(opened(self.view.bytes, &self.place.path)).unwrap_or_default()
    }

    /// Its figures for the whole segment.
    pub const fn figures(&self) -> &'a FieldFigures {
        &self.place.figures
    }

    /// What is known of each zone, in their order.
    pub fn zones(&self) -> impl Iterator<Item = Zone<'a>> {
        let field = *self;
        let mut rest = self.filters;
        (0..).zip(self.records).map(move |(zone, raw)| {
            let record = ZoneRecord::of_checked(raw, field.raw_numbers(zone));
            let len = filter_len(record.distinct);
            let (filter, after) = rest.split_at_checked(len).unwrap_or_default();
            rest = after;
            let rows = field.view.zone_rows(zone);
            Zone {
                rows,
                record,
                filter,
            }
        })
    }

    /// What a builder writes of it.
    pub fn to_records(&self) -> FieldRecords {
        let zones = (0..).zip(self.zones().map(|zone| zone.record));
        FieldRecords {
            path: self.path().to_owned(),
            values: self.place.figures.values,
            text_bytes: self.place.figures.text_bytes,
            zones: zones
                .filter(|(_, record)| *record != ZoneRecord::default())
                .collect(),
            filters: self.filters.to_vec(),
        }
    }

    const fn raw_records(&self) -> &'a [[u8; 8]] {
        self.records
    }

    fn raw_numbers(&self, zone: u32) -> Option<&'a [u8; 16]> {
        self.numbers.get(zone as usize)
    }

    fn number_at(&self, zone: u32) -> u64 {
        self.numbers_at + 16 * u64::from(zone)
    }
}

/// What is known of a field in one zone.
#[derive(Clone, Debug)]
pub struct Zone<'a> {
    /// The rows of the zone.
    pub rows: Range<Row>,
    /// Kinds, counts and extremes.
    pub record: ZoneRecord,
    /// The filter, as the chapter lays it out; empty if there is none.
    pub filter: &'a [u8],
}

impl Zone<'_> {
    /// Whether a text or whole number of this hash may be in the zone.
    #[inline]
    pub fn may_have(&self, hash: u64) -> bool {
        match self.record.distinct {
            0 => false,
            UNKNOWN => true,
            _ => may_have(self.filter, hash),
        }
    }
}

#[cfg(test)]
#[path = "statistics_test.rs"]
mod tests;
