#![doc = include_str!("../docs/10-columns.md")]

use crate::bitmap::{BitmapLayout, BitmapView};
use crate::bytes::Reader;
pub use crate::columns_builder::ColumnBuilder;
pub use crate::columns_keyword::Keywords;
use crate::columns_keyword::KeywordsLayout;
pub use crate::columns_number::{Number, Numbers, storable};
use crate::columns_number::{NumberFigures, NumbersLayout};
use crate::container::{PartLayout, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, out_of_range, require_equal, rest_is_zero, u32_within};
use crate::ids::SeqNo;
use crate::path::PartKind;
pub use crate::postings::Postings;
use crate::schema::FieldType;

/// The newest format version of this chapter, and the one written.
pub const FORMAT_VERSION: u32 = 1;
/// Postings of a keyword column.
pub const POSTINGS: u32 = tag(b"POST");
/// Where the postings of each keyword begin.
pub const POSTING_OFFSETS: u32 = tag(b"POFF");
/// The keywords.
pub const TEXTS: u32 = tag(b"TEXT");
/// Where each keyword begins.
pub const TEXT_OFFSETS: u32 = tag(b"TOFF");
/// Value of each pair of a number column.
pub const KEYS: u32 = tag(b"KEYS");
/// Row of each pair of a number column.
pub const ROWS: u32 = tag(b"ROWS");
/// Rows that have the value true.
pub const TRUE: u32 = tag(b"TRUE");
/// Rows that have the value false.
pub const FALSE: u32 = tag(b"FALS");
/// Rows whose field is not empty.
pub const HAS_VALUE: u32 = tag(b"HASV");
/// Rows whose field is null or holds a null.
pub const HAS_NULL: u32 = tag(b"HNUL");
/// The figures of the part.
pub const META: u32 = tag(b"META");

pub(crate) const META_LEN: u64 = 96;

/// The figures of a column: what a planner knows without reading it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ColumnStats {
    /// Type of the values.
    pub field_type: FieldType,
    /// Rows of the segment.
    pub rows: u32,
    /// Patches up to this SeqNo are folded in.
    pub exact_for: SeqNo,
    /// Pairs of value and row.
    pub values: u64,
    /// Different values.
    pub distinct: u64,
    /// Rows whose field is not empty.
    pub rows_with_value: u32,
    /// Rows whose field is null or holds a null.
    pub rows_with_null: u32,
    /// Rows with at least one value of the column's type.
    pub rows_indexed: u32,
    /// Bits of the least value of a number column; 0 otherwise.
    pub min_bits: u64,
    /// Bits of the greatest value of a number column; 0 otherwise.
    pub max_bits: u64,
}

impl ColumnStats {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.extend_from_slice(&u32::from(self.field_type.tag()).to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.exact_for.0.to_le_bytes());
        out.extend_from_slice(&self.values.to_le_bytes());
        out.extend_from_slice(&self.distinct.to_le_bytes());
        let rows = [
            self.rows_with_value,
            self.rows_with_null,
            self.rows_indexed,
            0,
        ];
        out.extend(rows.iter().flat_map(|figure| figure.to_le_bytes()));
        out.extend_from_slice(&self.min_bits.to_le_bytes());
        out.extend_from_slice(&self.max_bits.to_le_bytes());
        out.extend_from_slice(&[0; 32]);
        out
    }

    fn decode(mut fields: Reader<'_>) -> Result<Self, DecodeError> {
        let at = fields.at();
        let found = fields.u32("column type")?;
        let field_type = u8::try_from(found).ok().and_then(FieldType::from_tag);
        let field_type = field_type.ok_or(failed(at, "column type", Why::Kind { found }))?;
        let rows = fields.u32("rows")?;
        let exact_for = SeqNo(fields.u64("exact_for")?);
        let values = fields.u64("values")?;
        let distinct = fields.u64("distinct")?;
        let rows_with_value = u32_within(&mut fields, 0, rows, "rows_with_value")?;
        let rows_with_null = u32_within(&mut fields, 0, rows, "rows_with_null")?;
        let rows_indexed = u32_within(&mut fields, 0, rows_with_value, "rows_indexed")?;
        fields.zeros(4, "column meta")?;
        let min_bits = fields.u64("min")?;
        let max_bits = fields.u64("max")?;
        rest_is_zero(fields, "column meta")?;
        if distinct > values || u64::from(rows_indexed) > values {
            return Err(out_of_range(at + 24, "distinct", distinct, (0, values)));
        }
        let stats = Self {
            field_type,
            rows,
            exact_for,
            values,
            distinct,
            rows_with_value,
            rows_with_null,
            rows_indexed,
            min_bits,
            max_bits,
        };
        let numbers = matches!(field_type, FieldType::Integer | FieldType::Float);
        if !numbers && (min_bits, max_bits) != (0, 0) {
            return Err(failed(at + 48, "min", Why::NotZero));
        }
        Ok(stats)
    }
}

#[derive(Clone, Debug)]
enum ValuesLayout {
    Keyword(KeywordsLayout),
    Integer(NumbersLayout),
    Float(NumbersLayout),
    Bool { yes: BitmapLayout, no: BitmapLayout },
}

/// Where everything is in an opened column part, and its figures.
///
/// All blocks must be verified before `open`. What `open` has checked, lookups rely on: the order
/// of
/// values and rows.
#[derive(Clone, Debug)]
pub struct ColumnLayout {
    stats: ColumnStats,
    source_hash: [u8; 32],
    values: ValuesLayout,
    has_value: BitmapLayout,
    has_null: BitmapLayout,
}

impl ColumnLayout {
    /// Checks the column part in `bytes`, the whole file, every block of which is verified.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        part.require(PartKind::Column, FORMAT_VERSION, 0)?;
        let source_hash = part
            .header()
            .source_hash
            .ok_or(failed(72, "source_hash", Why::Hash))?;
        let (range, meta) = part.section_bytes(bytes, META, "column meta")?;
        let at = range.start;
        let stats = ColumnStats::decode(exact(meta, at, META_LEN, "column meta")?)?;
        let bitmap = |tag, field| {
            let range = part.required_section(tag)?;
            let at = range.start;
            let layout = BitmapLayout::open(bytes, range, field)?;
            require_equal(layout.len().into(), stats.rows.into(), at, field)?;
            Ok(layout)
        };
        let has_value = bitmap(HAS_VALUE, "has_value")?;
        let has_null = bitmap(HAS_NULL, "has_null")?;
        let counts = [stats.rows_with_value, stats.rows_with_null];
        require_equal(
            has_value.count().into(),
            counts[0].into(),
            at + 32,
            "rows_with_value",
        )?;
        require_equal(
            has_null.count().into(),
            counts[1].into(),
            at + 36,
            "rows_with_null",
        )?;
        let figures = NumberFigures {
            rows: stats.rows,
            values: stats.values,
            distinct: stats.distinct,
            min: stats.min_bits,
            max: stats.max_bits,
        };
        let values = match stats.field_type {
            FieldType::Keyword => {
                let opened = KeywordsLayout::open(part, bytes, stats.rows, stats.distinct)?;
                let (layout, pairs) = opened;
                require_equal(stats.values, pairs, at + 16, "values")?;
                ValuesLayout::Keyword(layout)
            }
            FieldType::Integer => {
                ValuesLayout::Integer(NumbersLayout::open::<i64>(part, bytes, figures)?)
            }
            FieldType::Float => {
                ValuesLayout::Float(NumbersLayout::open::<f64>(part, bytes, figures)?)
            }
            FieldType::Bool => {
                let (yes, no) = (bitmap(TRUE, "true rows")?, bitmap(FALSE, "false rows")?);
                let pairs = u64::from(yes.count()) + u64::from(no.count());
                require_equal(stats.values, pairs, at + 16, "values")?;
                let distinct = u64::from(yes.count() > 0) + u64::from(no.count() > 0);
                require_equal(stats.distinct, distinct, at + 24, "distinct")?;
                ValuesLayout::Bool { yes, no }
            }
        };
        Ok(Self {
            stats,
            source_hash,
            values,
            has_value,
            has_null,
        })
    }

    /// The figures of the column.
    pub const fn stats(&self) -> &ColumnStats {
        &self.stats
    }

    /// Content hash of the payload part the column was built from.
    pub const fn source_hash(&self) -> &[u8; 32] {
        &self.source_hash
    }

    /// The column, over the bytes of the file that `open` has seen.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> ColumnView<'a> {
        let values = match &self.values {
            ValuesLayout::Keyword(layout) => ColumnValues::Keyword(layout.view(bytes)),
            ValuesLayout::Integer(layout) => ColumnValues::Integer(layout.view(bytes)),
            ValuesLayout::Float(layout) => ColumnValues::Float(layout.view(bytes)),
            ValuesLayout::Bool { yes, no } => ColumnValues::Bool(Bools {
                yes: yes.view(bytes),
                no: no.view(bytes),
            }),
        };
        ColumnView {
            stats: self.stats,
            values,
            has_value: self.has_value.view(bytes),
            has_null: self.has_null.view(bytes),
        }
    }
}

/// The values of a bool column.
#[derive(Copy, Clone, Debug)]
pub struct Bools<'a> {
    yes: BitmapView<'a>,
    no: BitmapView<'a>,
}

impl<'a> Bools<'a> {
    /// The rows that have a value.
    pub const fn equals(&self, value: bool) -> Postings<'a> {
        Postings::bitmap(if value { self.yes } else { self.no })
    }
}

/// The values of a column, by type.
#[derive(Copy, Clone, Debug)]
pub enum ColumnValues<'a> {
    /// Text, compared as bytes.
    Keyword(Keywords<'a>),
    /// 64-bit signed numbers.
    Integer(Numbers<'a, i64>),
    /// 64-bit floating point numbers.
    Float(Numbers<'a, f64>),
    /// True and false.
    Bool(Bools<'a>),
}

/// The index of a payload field over the rows of a segment, read in place.
#[derive(Copy, Clone, Debug)]
pub struct ColumnView<'a> {
    stats: ColumnStats,
    values: ColumnValues<'a>,
    has_value: BitmapView<'a>,
    has_null: BitmapView<'a>,
}

impl<'a> ColumnView<'a> {
    /// Opens the part in `bytes`: [`ColumnLayout::open`] and [`ColumnLayout::view`] in one.
    ///
    /// # Errors
    /// Those of [`ColumnLayout::open`].
    pub fn open(part: &PartLayout, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(ColumnLayout::open(part, bytes)?.view(bytes))
    }

    /// The figures of the column.
    pub const fn stats(&self) -> &ColumnStats {
        &self.stats
    }

    /// The values.
    pub const fn values(&self) -> ColumnValues<'a> {
        self.values
    }

    /// The rows whose field is not empty: `is_empty` is the complement.
    pub const fn has_value(&self) -> BitmapView<'a> {
        self.has_value
    }

    /// The rows whose field is null or holds a null.
    pub const fn has_null(&self) -> BitmapView<'a> {
        self.has_null
    }

    /// Checks what `open` leaves out: `rows_indexed`, and that rows with a value are not empty.
    ///
    /// # Errors
    /// `OutOfRange` for the figure that differs; the offset is 0, the part as a whole is wrong.
    pub fn verify(&self) -> Result<(), DecodeError> {
        let mut words = vec![0_u64; self.stats.rows.div_ceil(64) as usize];
        match self.values {
            ColumnValues::Keyword(values) => {
                values
                    .iter()
                    .for_each(|(_, postings)| postings.or_into(&mut words));
            }
            ColumnValues::Integer(values) => values.range(..).or_into(&mut words),
            ColumnValues::Float(values) => values.range(..).or_into(&mut words),
            ColumnValues::Bool(values) => {
                values.equals(true).or_into(&mut words);
                values.equals(false).or_into(&mut words);
            }
        }
        let indexed: u32 = words.iter().map(|word| word.count_ones()).sum();
        require_equal(
            self.stats.rows_indexed.into(),
            indexed.into(),
            0,
            "rows_indexed",
        )?;
        self.has_value.or_into(&mut words);
        let with_value: u32 = words.iter().map(|word| word.count_ones()).sum();
        require_equal(
            self.stats.rows_with_value.into(),
            with_value.into(),
            0,
            "has_value",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::{layout, writer};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const KIND: PartKind = PartKind::Column;

    fn words(rows: u32, set: impl IntoIterator<Item = u32>) -> Vec<u64> {
        let mut words = vec![0; rows.div_ceil(64) as usize];
        for row in set {
            words[row as usize / 64] |= 1 << (row % 64);
        }
        words
    }

    /// Every row is not empty, every third is null.
    fn facts(rows: u32) -> [Vec<u64>; 2] {
        [words(rows, 0..rows), words(rows, (0..rows).step_by(3))]
    }

    fn builder(rows: u32, facts: &[Vec<u64>; 2]) -> ColumnBuilder<'_> {
        let [has_value, has_null] = facts;
        ColumnBuilder {
            rows,
            exact_for: SeqNo(11),
            has_value,
            has_null,
        }
    }

    fn open(bytes: &[u8], rows: u32) -> ColumnView<'_> {
        let view = ColumnView::open(&layout(KIND, bytes), bytes).unwrap();
        view.verify().unwrap();
        assert_eq!(
            (view.stats().rows, view.stats().exact_for),
            (rows, SeqNo(11))
        );
        assert_eq!(view.has_value().count(), rows);
        assert_eq!(view.has_null().count(), rows.div_ceil(3));
        view
    }

    fn check_postings(found: Postings<'_>, expected: &BTreeSet<u32>, rows: u32) {
        assert_eq!(found.count(), expected.len() as u64);
        assert!(found.iter().eq(expected.iter().copied()));
        let mut bits = vec![0; rows.div_ceil(64) as usize];
        found.or_into(&mut bits);
        assert_eq!(bits, words(rows, expected.iter().copied()));
        assert!((0..rows).all(|row| found.contains(row) == expected.contains(&row)));
        let thirds: BTreeSet<u32> = (0..rows).step_by(3).collect();
        let within = found.count_in(&words(rows, thirds.iter().copied()));
        assert_eq!(within, expected.intersection(&thirds).count() as u64);
        assert_eq!(found.count_in(&[]), 0);
    }

    fn check_numbers<N: Number + std::fmt::Debug>(
        column: Numbers<'_, N>,
        pairs: &[(N, u32)],
        bounds: (N, N),
    ) {
        assert_eq!(column.len(), pairs.len());
        assert!(column.pairs(0..column.len()).eq(pairs.iter().copied()));
        let (low, high) = bounds;
        let wanted = |keep: &dyn Fn(N) -> bool| -> Vec<u32> {
            pairs
                .iter()
                .filter(|pair| keep(pair.0))
                .map(|pair| pair.1)
                .collect()
        };
        assert!(
            column
                .range(low..high)
                .iter()
                .eq(wanted(&|n| low <= n && n < high))
        );
        assert!(
            column
                .range(low..=high)
                .iter()
                .eq(wanted(&|n| low <= n && n <= high))
        );
        assert!(column.range(..high).iter().eq(wanted(&|n| n < high)));
        assert!(column.range(low..).iter().eq(wanted(&|n| low <= n)));
        let over = (std::ops::Bound::Excluded(low), std::ops::Bound::Unbounded);
        assert_eq!(
            column.range(over).count(),
            wanted(&|n| low < n).len() as u64
        );
        assert!(column.equals(low).iter().eq(wanted(&|n| n == low)));
    }

    #[test]
    fn builder_refuses_pairs_out_of_order_and_empty_rows() {
        let facts = facts(10);
        let column = builder(10, &facts);
        assert!(column.integers(writer(KIND), &[(2, 1), (1, 1)]).is_err());
        assert!(column.integers(writer(KIND), &[(1, 10)]).is_err());
        assert!(column.floats(writer(KIND), &[(f64::NAN, 1)]).is_err());
        assert!(column.floats(writer(KIND), &[(-0.0, 1)]).is_err());
        assert!(column.keywords(writer(KIND), [("b", 1), ("a", 1)]).is_err());
        assert!(column.keywords(writer(KIND), [("b", 2), ("b", 1)]).is_err());
        let no_rows = ColumnBuilder {
            has_value: &[],
            ..column
        };
        assert!(no_rows.bools(writer(KIND), &[1], &[]).is_err());
        assert!(no_rows.integers(writer(KIND), &[(1, 1)]).is_err());
        assert!(no_rows.integers(writer(PartKind::Payload), &[]).is_err());
    }

    #[test]
    fn negative_zero_is_zero_and_nan_is_nothing() {
        assert_eq!(storable(-0.0).map(f64::to_bits), Some(0));
        assert_eq!(storable(f64::NAN), None);
        assert_eq!(storable(-1.5), Some(-1.5));
    }

    #[test]
    fn stats_are_known_without_reading() {
        let facts = facts(4);
        let pairs = [(-3, 0), (-3, 2), (8, 2), (8, 2)];
        let bytes = builder(4, &facts).integers(writer(KIND), &pairs).unwrap().0;
        let stats = *open(&bytes, 4).stats();
        assert_eq!(
            (stats.values, stats.distinct, stats.rows_indexed),
            (3, 2, 2)
        );
        assert_eq!((stats.min_bits.cast_signed(), stats.max_bits), (-3, 8));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn keywords_round_trip(
            rows in 1..3000_u32,
            pairs in prop::collection::vec((0..12_u8, any::<prop::sample::Index>()), 0..600),
        ) {
            let mut model: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
            for (text, row) in pairs {
                let row = row.index(rows as usize) as u32;
                let text = format!("{}{text}", "é".repeat(usize::from(text % 3)));
                model.entry(text).or_default().insert(row);
            }
            model.insert("everywhere".into(), (0..rows).collect());
            let pairs = model
                .iter()
                .flat_map(|(t, rows)| rows.iter().map(|&r| (t.as_str(), r)));
            let facts = facts(rows);
            let bytes = builder(rows, &facts).keywords(writer(KIND), pairs).unwrap().0;
            let view = open(&bytes, rows);
            let ColumnValues::Keyword(column) = view.values() else { panic!("not keywords") };
            prop_assert_eq!(view.stats().distinct, model.len() as u64);
            for ((text, postings), (expected, rows_of)) in column.iter().zip(&model) {
                prop_assert_eq!(text, expected);
                check_postings(postings, rows_of, rows);
                check_postings(column.equals(text), rows_of, rows);
            }
            prop_assert!(column.equals("nowhere").is_empty());
            prop_assert_eq!(column.find(""), Err(0));
        }

        #[test]
        fn numbers_round_trip(
            pairs: BTreeSet<(i64, u8)>,
            near in prop::collection::btree_set((-5..5_i64, 0..200_u8), 0..300),
            low in -7..7_i64,
            width in 0..7_i64,
        ) {
            let facts = facts(256);
            let pairs: BTreeSet<_> = pairs.union(&near).map(|&(n, row)| (n, row.into())).collect();
            let pairs: Vec<(i64, u32)> = pairs.into_iter().collect();
            let bytes = builder(256, &facts).integers(writer(KIND), &pairs).unwrap().0;
            let ColumnValues::Integer(column) = open(&bytes, 256).values() else { panic!() };
            check_numbers(column, &pairs, (low, low + width));
            let pairs: Vec<(f64, u32)> = near.iter().map(|&(n, r)| (n as f64, r.into())).collect();
            let bytes = builder(256, &facts).floats(writer(KIND), &pairs).unwrap().0;
            let ColumnValues::Float(column) = open(&bytes, 256).values() else { panic!() };
            check_numbers(column, &pairs, (low as f64, (low + width) as f64 + 0.5));
        }

        #[test]
        fn bools_round_trip(
            yes in prop::collection::btree_set(0..500_u32, 0..300),
            no in prop::collection::btree_set(0..500_u32, 0..300),
        ) {
            let facts = facts(500);
            let (yes_words, no_words) = (words(500, yes.clone()), words(500, no.clone()));
            let bytes = builder(500, &facts).bools(writer(KIND), &yes_words, &no_words).unwrap().0;
            let view = open(&bytes, 500);
            let ColumnValues::Bool(column) = view.values() else { panic!("not bools") };
            check_postings(column.equals(true), &yes, 500);
            check_postings(column.equals(false), &no, 500);
            prop_assert_eq!(view.stats().rows_indexed as usize, yes.union(&no).count());
        }
    }
}
