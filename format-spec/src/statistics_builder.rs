//! Writing a statistics part from the records of its fields.

use std::io::Write;

use crate::container::{PartSummary, PartWriter, WriteError};
use crate::ids::{Row, SeqNo};
use crate::statistics::{
    FIELDS, FIELDS_MAX, FILTERS, FLAG_COMPLETE, META, NUMBERS, PATHS, RECORDS, ZONE_ROWS_MAX, ZONES,
};
use crate::statistics_filter::filter_len;
use crate::statistics_record::{Kinds, ZoneRecord};

/// What is to be written of one field.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct FieldRecords {
    /// Its written path.
    pub path: String,
    /// Values other than null, repetitions counted.
    pub values: u64,
    /// Bytes of its texts, repetitions counted.
    pub text_bytes: u64,
    /// Zones and what is known of them, ascending; those left out have nothing of the field.
    pub zones: Vec<(u32, ZoneRecord)>,
    /// The filters of these zones, one after another.
    pub filters: Vec<u8>,
}

/// Writes a statistics part.
#[derive(Copy, Clone, Debug)]
pub struct StatisticsBuilder<'a> {
    /// Where each zone ends, which is where the next begins; the last is the number of rows.
    pub zone_ends: &'a [Row],
    /// Patches up to this SeqNo are folded in.
    pub exact_for: SeqNo,
    /// Whether no field that selects a value in any row is missing.
    pub complete: bool,
    /// The fields, ascending by their paths.
    pub fields: &'a [FieldRecords],
}

impl StatisticsBuilder<'_> {
    /// Writes the part.
    ///
    /// # Errors
    /// The sink's; `Invalid` for fields or zones that the chapter does not allow.
    pub fn finish<W: Write>(self, mut part: PartWriter<W>) -> Result<(W, PartSummary), WriteError> {
        let zones = self.check()?;
        part.begin_section(FILTERS)?;
        for field in self.fields {
            part.write(&field.filters)?;
        }
        part.begin_section(RECORDS)?;
        for field in self.fields {
            let dense = dense(field, zones);
            let bytes: Vec<u8> = dense.flat_map(|record| record.encode()).collect();
            part.write(&bytes)?;
        }
        part.begin_section(NUMBERS)?;
        let numeric = self.fields.iter().filter(|field| kinds(field).has_number());
        for field in numeric.clone() {
            let ends = dense(field, zones).flat_map(|record| encode_numbers(record.numbers));
            part.write(&ends.collect::<Vec<u8>>())?;
        }
        part.begin_section(ZONES)?;
        let firsts = std::iter::once(&0).chain(self.zone_ends);
        part.write(
            &firsts
                .flat_map(|row| row.to_le_bytes())
                .collect::<Vec<u8>>(),
        )?;
        part.begin_section(PATHS)?;
        for field in self.fields {
            part.write(field.path.as_bytes())?;
        }
        part.begin_section(FIELDS)?;
        part.write(&self.figures())?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let rows = self.zone_ends.last().copied().unwrap_or_default();
        let mut meta = Vec::with_capacity(64);
        for figure in [
            rows,
            zones,
            count(self.fields.len()),
            count(numeric.count()),
            if self.complete { FLAG_COMPLETE } else { 0 },
            0,
        ] {
            meta.extend_from_slice(&figure.to_le_bytes());
        }
        meta.extend_from_slice(&self.exact_for.0.to_le_bytes());
        meta.extend_from_slice(&[0; 32]);
        part.begin_section(META)?;
        part.write(&meta)?;
        Ok(part.finish()?)
    }

    /// Number of zones, if everything is as the chapter demands.
    fn check(&self) -> Result<u32, WriteError> {
        let fields = self.fields.len() as u64;
        if fields > u64::from(FIELDS_MAX) {
            return Err(WriteError::invalid("fields", fields, "at most 256"));
        }
        let firsts = std::iter::once(&0).chain(self.zone_ends);
        for (first, end) in firsts.zip(self.zone_ends) {
            let rows = end.checked_sub(*first);
            if !rows.is_some_and(|rows| (1..=ZONE_ROWS_MAX).contains(&rows)) {
                return Err(WriteError::invalid(
                    "zone",
                    (*end).into(),
                    "1 to 65535 rows",
                ));
            }
        }
        let paths = self.fields.iter().map(|field| field.path.as_str());
        if !paths.clone().is_sorted_by(|a, b| a < b) || paths.clone().any(str::is_empty) {
            return Err(WriteError::invalid("paths", fields, "ascending, not empty"));
        }
        let zones = u32::try_from(self.zone_ends.len()).unwrap_or(u32::MAX);
        for field in self.fields {
            let lens = field
                .zones
                .iter()
                .map(|(_, record)| filter_len(record.distinct));
            let (len, found) = (lens.sum::<usize>(), field.filters.len());
            if len != found {
                return Err(WriteError::invalid(
                    "filters",
                    found as u64,
                    "those of the zones",
                ));
            }
            let numbers = field.zones.iter().map(|(zone, _)| *zone);
            let in_order = numbers.clone().is_sorted_by(|a, b| a < b);
            if !in_order || numbers.clone().any(|zone| zone >= zones) {
                return Err(WriteError::invalid(
                    "zones",
                    fields,
                    "ascending, of the part",
                ));
            }
        }
        Ok(zones)
    }

    /// The section `FLDS`.
    fn figures(&self) -> Vec<u8> {
        let (mut path_end, mut filters) = (0_u32, 0_u64);
        let mut out = Vec::with_capacity(64 * self.fields.len());
        for field in self.fields {
            let len = u32::try_from(field.path.len()).unwrap_or(u32::MAX);
            path_end = path_end.saturating_add(len);
            let sum = |of: fn(&ZoneRecord) -> u16| {
                let counts = field.zones.iter().map(|(_, record)| u32::from(of(record)));
                counts.fold(0_u32, u32::saturating_add)
            };
            let numbers = field.zones.iter().filter_map(|(_, record)| record.numbers);
            let numbers = numbers.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
            out.extend_from_slice(&path_end.to_le_bytes());
            out.extend_from_slice(&kinds(field).bits().to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&sum(|record| record.rows_with_value).to_le_bytes());
            out.extend_from_slice(&sum(|record| record.rows_with_null).to_le_bytes());
            for figure in [filters, field.values, field.text_bytes] {
                out.extend_from_slice(&figure.to_le_bytes());
            }
            out.extend_from_slice(&encode_numbers(numbers));
            out.extend_from_slice(&[0; 8]);
            filters += field.filters.len() as u64;
        }
        out
    }
}

/// The kinds of all zones.
fn kinds(field: &FieldRecords) -> Kinds {
    let kinds = field.zones.iter().map(|(_, record)| record.kinds);
    kinds.fold(Kinds::NONE, Kinds::union)
}

/// A record for every zone.
fn dense(field: &FieldRecords, zones: u32) -> impl Iterator<Item = ZoneRecord> {
    let mut rest = field.zones.iter().peekable();
    (0..zones).map(move |zone| {
        let here = rest.next_if(|(of, _)| *of == zone);
        here.map_or_else(ZoneRecord::default, |(_, record)| *record)
    })
}

/// The extremes as `NUMS` has them.
fn encode_numbers(numbers: Option<(f64, f64)>) -> [u8; 16] {
    let mut out = [0; 16];
    if let Some((low, high)) = numbers {
        // -0 is written as 0.
        let (low_bytes, high_bytes) = out.split_at_mut(8);
        low_bytes.copy_from_slice(&(low + 0.0).to_le_bytes());
        high_bytes.copy_from_slice(&(high + 0.0).to_le_bytes());
    }
    out
}
