#![doc = include_str!("../docs/10-columns.md")]

use crate::bitmap::{BitmapLayout, BitmapView};
use crate::bytes::Reader;
pub use crate::columns_builder::ColumnBuilder;
pub use crate::columns_keyword::Keywords;
use crate::columns_keyword::KeywordsLayout;
pub use crate::columns_number::{Number, Numbers, storable};
use crate::columns_number::{NumberFigures, NumbersLayout};
use crate::columns_text::TextsLayout;
pub use crate::columns_text::{Texts, TokenAt, TokenPositions};
use crate::container::{PartLayout, tag};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, out_of_range, require_equal, rest_is_zero, u32_within};
use crate::ids::SeqNo;
use crate::path::PartKind;
pub use crate::place::{Place, interleave, lat_cell, lon_cell};
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
/// Key of each pair of a column of keys.
pub const KEYS: u32 = tag(b"KEYS");
/// Row of each pair of a column of keys.
pub const ROWS: u32 = tag(b"ROWS");
/// Rows that have the value true.
pub const TRUE: u32 = tag(b"TRUE");
/// Rows that have the value false.
pub const FALSE: u32 = tag(b"FALS");
/// Rows of a text column with more than one text.
pub const MANY_TEXTS: u32 = tag(b"MANY");
/// Where the tokens of a text column are.
pub const POSITIONS: u32 = tag(b"POSN");
/// Where the positions of each token begin.
pub const POSITION_OFFSETS: u32 = tag(b"PNOF");
/// Rows with a value and without a pair.
pub const OPEN: u32 = tag(b"OPEN");
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
    /// Bits of the least integer, float or datetime; 0 in columns of other types.
    pub min_bits: u64,
    /// Bits of the greatest value, likewise.
    pub max_bits: u64,
    /// Whether a text column knows where its tokens are.
    pub has_positions: bool,
    /// Hash of the settings of the index that the content depends on; 0 without such settings.
    pub settings: u64,
}

const HAS_POSITIONS: u32 = 1;

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
            if self.has_positions { HAS_POSITIONS } else { 0 },
        ];
        out.extend(rows.iter().flat_map(|figure| figure.to_le_bytes()));
        out.extend_from_slice(&self.min_bits.to_le_bytes());
        out.extend_from_slice(&self.max_bits.to_le_bytes());
        out.extend_from_slice(&self.settings.to_le_bytes());
        out.extend_from_slice(&[0; 24]);
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
        let positions = if field_type == FieldType::Text {
            HAS_POSITIONS
        } else {
            0
        };
        let flags = u32_within(&mut fields, 0, positions, "column flags")?;
        let min_bits = fields.u64("min")?;
        let max_bits = fields.u64("max")?;
        let settings = fields.u64("settings")?;
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
            has_positions: flags & HAS_POSITIONS != 0,
            settings,
        };
        let numbers = matches!(
            field_type,
            FieldType::Integer | FieldType::Float | FieldType::Datetime
        );
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
    Datetime(NumbersLayout),
    Uuid(NumbersLayout),
    Geo(NumbersLayout),
    Text(TextsLayout),
    Bool { yes: BitmapLayout, no: BitmapLayout },
}

/// A bitmap with a bit a row.
fn row_bitmap(
    part: &PartLayout,
    bytes: &[u8],
    rows: u32,
    (tag, field): (u32, &'static str),
) -> Result<BitmapLayout, DecodeError> {
    let range = part.required_section(tag)?;
    let at = range.start;
    let layout = BitmapLayout::open(bytes, range, field)?;
    require_equal(layout.len().into(), rows.into(), at, field)?;
    Ok(layout)
}

impl ValuesLayout {
    /// Checks the values; `at` is where the figures are, which must agree.
    fn open(
        part: &PartLayout,
        bytes: &[u8],
        stats: &ColumnStats,
        at: u64,
    ) -> Result<Self, DecodeError> {
        let figures = NumberFigures {
            rows: stats.rows,
            values: stats.values,
            distinct: stats.distinct,
            min: stats.min_bits,
            max: stats.max_bits,
        };
        Ok(match stats.field_type {
            FieldType::Keyword => {
                let opened = KeywordsLayout::open(part, bytes, stats.rows, stats.distinct)?;
                let (layout, pairs) = opened;
                require_equal(stats.values, pairs, at + 16, "values")?;
                Self::Keyword(layout)
            }
            FieldType::Integer => Self::Integer(NumbersLayout::open::<i64>(part, bytes, figures)?),
            FieldType::Float => Self::Float(NumbersLayout::open::<f64>(part, bytes, figures)?),
            FieldType::Datetime => {
                Self::Datetime(NumbersLayout::open::<i64>(part, bytes, figures)?)
            }
            FieldType::Uuid => Self::Uuid(NumbersLayout::open::<u128>(part, bytes, figures)?),
            FieldType::Geo => Self::Geo(NumbersLayout::open::<Place>(part, bytes, figures)?),
            FieldType::Text => {
                let figures = (stats.rows, stats.distinct);
                let opened = TextsLayout::open(part, bytes, figures, stats.has_positions)?;
                let (layout, pairs) = opened;
                require_equal(stats.values, pairs, at + 16, "values")?;
                Self::Text(layout)
            }
            FieldType::Bool => {
                let yes = row_bitmap(part, bytes, stats.rows, (TRUE, "true rows"))?;
                let no = row_bitmap(part, bytes, stats.rows, (FALSE, "false rows"))?;
                let pairs = u64::from(yes.count()) + u64::from(no.count());
                require_equal(stats.values, pairs, at + 16, "values")?;
                let distinct = u64::from(yes.count() > 0) + u64::from(no.count() > 0);
                require_equal(stats.distinct, distinct, at + 24, "distinct")?;
                Self::Bool { yes, no }
            }
        })
    }
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
    open: BitmapLayout,
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
        let has_value = row_bitmap(part, bytes, stats.rows, (HAS_VALUE, "has_value"))?;
        let has_null = row_bitmap(part, bytes, stats.rows, (HAS_NULL, "has_null"))?;
        let open = row_bitmap(part, bytes, stats.rows, (OPEN, "open rows"))?;
        let without_pair = stats.rows_with_value - stats.rows_indexed;
        require_equal(
            open.count().into(),
            without_pair.into(),
            at + 40,
            "rows_indexed",
        )?;
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
        let values = ValuesLayout::open(part, bytes, &stats, at)?;
        Ok(Self {
            stats,
            source_hash,
            values,
            open,
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
            ValuesLayout::Datetime(layout) => ColumnValues::Datetime(layout.view(bytes)),
            ValuesLayout::Uuid(layout) => ColumnValues::Uuid(layout.view(bytes)),
            ValuesLayout::Geo(layout) => ColumnValues::Geo(layout.view(bytes)),
            ValuesLayout::Text(layout) => ColumnValues::Text(layout.view(bytes)),
            ValuesLayout::Bool { yes, no } => ColumnValues::Bool(Bools {
                yes: yes.view(bytes),
                no: no.view(bytes),
            }),
        };
        ColumnView {
            stats: self.stats,
            values,
            open: self.open.view(bytes),
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
    /// Microseconds since 1970, UTC.
    Datetime(Numbers<'a, i64>),
    /// UUIDs, as RFC 4122 orders them.
    Uuid(Numbers<'a, u128>),
    /// Places, along a Morton curve.
    Geo(Numbers<'a, Place>),
    /// Tokens of texts.
    Text(Texts<'a>),
}

impl ColumnValues<'_> {
    /// Sets the bit of every row with a pair in `words`, 64 rows a word.
    pub fn or_into(&self, words: &mut [u64]) {
        match self {
            Self::Keyword(values) => values.iter().for_each(|(_, rows)| rows.or_into(words)),
            Self::Integer(values) | Self::Datetime(values) => values.range(..).or_into(words),
            Self::Float(values) => values.range(..).or_into(words),
            Self::Uuid(values) => values.range(..).or_into(words),
            Self::Geo(values) => values.range(..).or_into(words),
            Self::Text(values) => {
                let tokens = values.tokens();
                tokens.iter().for_each(|(_, rows)| rows.or_into(words));
            }
            Self::Bool(values) => {
                values.equals(true).or_into(words);
                values.equals(false).or_into(words);
            }
        }
    }
}

/// The index of a payload field over the rows of a segment, read in place.
#[derive(Copy, Clone, Debug)]
pub struct ColumnView<'a> {
    stats: ColumnStats,
    values: ColumnValues<'a>,
    open: BitmapView<'a>,
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

    /// The rows with a value and without a pair: of these only the payload tells the values.
    pub const fn open_rows(&self) -> BitmapView<'a> {
        self.open
    }

    /// The rows whose field is not empty: `is_empty` is the complement.
    pub const fn has_value(&self) -> BitmapView<'a> {
        self.has_value
    }

    /// The rows whose field is null or holds a null.
    pub const fn has_null(&self) -> BitmapView<'a> {
        self.has_null
    }

    /// Checks what `open` leaves out: `rows_indexed`, that rows with a pair are not empty, and that
    /// those with a value and without a pair are the open ones.
    ///
    /// # Errors
    /// `OutOfRange` for the figure that differs, `Order` for rows that do; the offset is 0, the
    /// part as a whole is wrong.
    pub fn verify(&self) -> Result<(), DecodeError> {
        let mut words = vec![0_u64; self.stats.rows.div_ceil(64) as usize];
        self.values.or_into(&mut words);
        let indexed: u32 = words.iter().map(|word| word.count_ones()).sum();
        require_equal(
            self.stats.rows_indexed.into(),
            indexed.into(),
            0,
            "rows_indexed",
        )?;
        self.open.or_into(&mut words);
        if words == self.has_value.to_words() {
            return Ok(());
        }
        Err(failed(0, "has_value", Why::Order))
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
            settings: 0,
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
        fn uuids_places_and_datetimes_round_trip(
            uuids in prop::collection::btree_set((any::<u128>(), 0..200_u32), 0..60),
            moments in prop::collection::btree_set((any::<i64>(), 0..200_u32), 0..60),
            places in prop::collection::vec((-180.0..=180.0, -90.0..=90.0, 0..200_u32), 0..60),
        ) {
            let facts = facts(200);
            let pairs: Vec<_> = uuids.into_iter().collect();
            let bytes = builder(200, &facts).uuids(writer(KIND), &pairs).unwrap().0;
            let ColumnValues::Uuid(column) = open(&bytes, 200).values() else { panic!() };
            check_numbers(column, &pairs, (1 << 100, 1 << 127));
            let pairs: Vec<_> = moments.into_iter().collect();
            let bytes = builder(200, &facts).datetimes(writer(KIND), &pairs).unwrap().0;
            let ColumnValues::Datetime(column) = open(&bytes, 200).values() else { panic!() };
            check_numbers(column, &pairs, (-5, i64::MAX / 2));
            let mut pairs: Vec<(Place, u32)> = places
                .into_iter()
                .map(|(lon, lat, row)| (Place::new(lon, lat).unwrap(), row))
                .collect();
            pairs.sort_by(|a, b| a.partial_cmp(b).unwrap());
            pairs.dedup();
            let bytes = builder(200, &facts).places(writer(KIND), &pairs).unwrap().0;
            let ColumnValues::Geo(column) = open(&bytes, 200).values() else { panic!() };
            let corner = |lon, lat| Place::new(lon, lat).unwrap();
            check_numbers(column, &pairs, (corner(-90.0, -45.0), corner(60.0, 30.0)));
            let after = column.first_where(|place| place.morton() >= 1 << 62);
            prop_assert!(column.pairs(0..after).all(|(place, _)| place.morton() < 1 << 62));
        }

        #[test]
        fn texts_round_trip(
            rows in 1..900_u32,
            places in prop::collection::btree_set((0..9_u8, 0..900_u32, 0..400_u32), 0..500),
            with_positions: bool,
        ) {
            let names: Vec<String> = (0..9).map(|n| "ab".repeat(n)).collect();
            let tokens: Vec<TokenAt<'_>> = places
                .iter()
                .filter(|(_, row, _)| *row < rows)
                .map(|&(n, row, position)| TokenAt { token: &names[usize::from(n)], row, position })
                .collect();
            let (facts, many) = (facts(rows), words(rows, (0..rows).step_by(7)));
            let column = builder(rows, &facts);
            let written = column.texts(writer(KIND), tokens.clone(), &many, with_positions);
            let bytes = written.unwrap().0;
            let view = open(&bytes, rows);
            let ColumnValues::Text(column) = view.values() else { panic!("not texts") };
            prop_assert_eq!(column.has_positions(), with_positions);
            prop_assert_eq!(column.many_texts().to_words(), many);
            let mut found = Vec::new();
            column.each(&mut |token| found.push(token));
            let mut expected = tokens;
            if !with_positions {
                expected.iter_mut().for_each(|token| token.position = 0);
                expected.dedup();
            }
            prop_assert_eq!(found, expected);
            for (index, _) in column.tokens().iter().enumerate() {
                let (mut passed, mut left) = (column.positions(index), column.positions(index));
                passed.skip_row();
                let (mut a, mut b) = (Vec::new(), Vec::new());
                left.next_row(&mut a);
                prop_assert_eq!(passed.next_row(&mut a), left.next_row(&mut b));
                prop_assert_eq!(a, b);
            }
            let begins = column.tokens().starting_with("abab");
            let starts = |n: &usize| column.tokens().text(*n).unwrap().starts_with("abab");
            prop_assert!((0..column.tokens().len()).filter(starts).eq(begins));
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
