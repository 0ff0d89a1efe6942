//! What a column tells about a test, for all rows at once.
//!
//! A row with values that the column cannot hold has no pair in it (see `index::ColumnDraft`), but
//! is in `has_value`: such *strangers* are left open where the test could hold for them. Most
//! columns have none, which two figures of the column tell.
//!
//! # Invariants
//! - `sure` rows match and rows outside `perhaps` do not, for every row whose payload is the one
//!   that the column was made of.

use std::ops::Bound as End;

use engine::{ErrorKind, Source};
use format_spec::{ColumnValues, ColumnView, Postings};
use index::RowSet;

use super::ask::{Ask, Bounds, Range, ValueTest};
use super::estimate::Estimate;
use super::subset::{Answer, Subset};
use crate::error::QueryError;

/// The column of an index, unless the source has none or it is damaged: a derived part is answered
/// from the payloads until it has been built again.
pub(crate) fn open<'s>(
    source: &'s Source,
    name: &str,
) -> Result<Option<ColumnView<'s>>, QueryError> {
    match source.column(name) {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        opened => Ok(opened?),
    }
}

/// Answers what is asked of a field from its column.
pub(crate) fn answer(view: &ColumnView<'_>, ask: &Ask<'_>) -> Answer {
    match ask {
        Ask::IsEmpty(wanted) => {
            let full = rows(view, |words| view.has_value().or_into(words));
            let answer = Answer::exact(full);
            if *wanted { answer.not() } else { answer }
        }
        Ask::IsNull(wanted) => {
            let null = rows(view, |words| view.has_null().or_into(words));
            let answer = Answer::exact(null);
            if *wanted { answer } else { answer.not() }
        }
        Ask::Count(bounds) => counted(view, bounds),
        Ask::Any(test) => match held(view, test) {
            Held::Nothing => only_strangers(view),
            Held::Rows(found) => found.with_strangers(view),
            Held::Perhaps(found) => {
                let answer = found.with_strangers(view);
                Answer {
                    sure: Subset::Nothing,
                    ..answer
                }
            }
        },
    }
}

/// A row without a value counts 0; how many values another row has, its column does not tell.
fn counted(view: &ColumnView<'_>, bounds: &Bounds<u64>) -> Answer {
    let full = rows(view, |words| view.has_value().or_into(words));
    let empty = if bounds.contains(0) {
        Answer::ALL
    } else {
        Answer::NONE
    };
    empty.with_open(&full)
}

/// Rows whose pairs pass a test.
enum Held<'a> {
    /// The column's type has nothing to do with the test.
    Nothing,
    /// These rows pass, and no other row with pairs does.
    Rows(Pairs<'a>),
    /// No other row with pairs passes.
    Perhaps(Pairs<'a>),
}

/// Several lists of rows.
struct Pairs<'a>(Vec<Postings<'a>>);

impl Pairs<'_> {
    fn with_strangers(&self, view: &ColumnView<'_>) -> Answer {
        let found = rows(view, |words| {
            self.0.iter().for_each(|list| list.or_into(words));
        });
        let answer = Answer::exact(found);
        match strangers(view) {
            Some(open) => answer.with_open(&open),
            None => answer,
        }
    }
}

fn only_strangers(view: &ColumnView<'_>) -> Answer {
    match strangers(view) {
        Some(open) => Answer::NONE.with_open(&open),
        None => Answer::NONE,
    }
}

/// The pairs that pass `test`.
fn held<'a>(view: &ColumnView<'a>, test: &ValueTest<'_>) -> Held<'a> {
    let one = |list| Held::Rows(Pairs(vec![list]));
    match (view.values(), test) {
        (ColumnValues::Keyword(words), ValueTest::Keyword(text)) => one(words.equals(text)),
        (ColumnValues::Keyword(words), ValueTest::AnyKeyword(list)) => {
            Held::Rows(Pairs(list.iter().map(|text| words.equals(text)).collect()))
        }
        (ColumnValues::Keyword(words), ValueTest::ExceptKeyword(list)) => {
            let others = words
                .iter()
                .filter(|(text, _)| list.binary_search(text).is_err());
            Held::Rows(Pairs(others.map(|(_, rows)| rows).collect()))
        }
        (ColumnValues::Integer(numbers), ValueTest::Integer(number)) => {
            one(numbers.equals(*number))
        }
        (ColumnValues::Integer(numbers), ValueTest::AnyInteger(list)) => {
            Held::Rows(Pairs(numbers.equals_each(list).collect()))
        }
        (ColumnValues::Integer(numbers), ValueTest::ExceptInteger(list)) => {
            let gaps = gaps(list).map(|gap| numbers.range(gap));
            Held::Rows(Pairs(gaps.collect()))
        }
        (ColumnValues::Integer(numbers), ValueTest::Range(range)) => match integers(range) {
            Some((least, most)) => one(numbers.range(least..=most)),
            None => Held::Rows(Pairs(Vec::new())),
        },
        (ColumnValues::Float(numbers), ValueTest::Range(range)) => {
            one(numbers.range(float_ends(range)))
        }
        // A float column does not tell 5 from 5.0, and only the first is equal to 5.
        (ColumnValues::Float(numbers), ValueTest::Integer(number)) => {
            Held::Perhaps(Pairs(vec![numbers.equals(as_f64(*number))]))
        }
        (ColumnValues::Float(numbers), ValueTest::AnyInteger(list)) => Held::Perhaps(Pairs(
            list.iter()
                .map(|number| numbers.equals(as_f64(*number)))
                .collect(),
        )),
        (ColumnValues::Bool(bools), ValueTest::Bool(value)) => one(bools.equals(*value)),
        // Values of another type than the list's are in no way equal to one in it.
        (
            ColumnValues::Integer(_) | ColumnValues::Bool(_) | ColumnValues::Float(_),
            ValueTest::ExceptKeyword(_),
        )
        | (ColumnValues::Keyword(_) | ColumnValues::Bool(_), ValueTest::ExceptInteger(_)) => {
            Held::Rows(Pairs(all_pairs(view)))
        }
        (ColumnValues::Float(_), ValueTest::ExceptInteger(_)) => {
            Held::Perhaps(Pairs(all_pairs(view)))
        }
        // Whatever else is asked of texts, each text is asked once.
        (ColumnValues::Keyword(words), test) => {
            let passing = words.iter().filter(|(text, _)| test.passes_text(text));
            Held::Rows(Pairs(passing.map(|(_, rows)| rows).collect()))
        }
        _ => Held::Nothing,
    }
}

/// Every pair of the column.
fn all_pairs<'a>(view: &ColumnView<'a>) -> Vec<Postings<'a>> {
    match view.values() {
        ColumnValues::Keyword(words) => words.iter().map(|(_, rows)| rows).collect(),
        ColumnValues::Integer(numbers) => vec![numbers.range(..)],
        ColumnValues::Float(numbers) => vec![numbers.range(..)],
        ColumnValues::Bool(bools) => vec![bools.equals(true), bools.equals(false)],
    }
}

/// The rows with values that the column cannot hold, if there are any.
pub(crate) fn strangers(view: &ColumnView<'_>) -> Option<RowSet> {
    if view.stats().rows_indexed == view.stats().rows_with_value {
        return None;
    }
    let mut open = rows(view, |words| view.has_value().or_into(words));
    let pairs = all_pairs(view);
    open.and_not(&rows(view, |words| {
        pairs.iter().for_each(|list| list.or_into(words));
    }));
    Some(open)
}

/// The rows whose bits `fill` sets.
pub(crate) fn rows(view: &ColumnView<'_>, fill: impl FnOnce(&mut [u64])) -> RowSet {
    let len = view.stats().rows;
    let mut words = vec![0; len.div_ceil(64) as usize];
    fill(&mut words);
    // Columns name no row beyond the segment: checked when they were opened.
    RowSet::from_words(len, words).unwrap_or_else(|_| RowSet::new(len))
}

/// The ranges between the numbers of a sorted list.
fn gaps(list: &[i64]) -> impl Iterator<Item = (End<i64>, End<i64>)> {
    let starts = std::iter::once(End::Unbounded).chain(list.iter().map(|n| End::Excluded(*n)));
    let ends = list
        .iter()
        .map(|n| End::Excluded(*n))
        .chain(std::iter::once(End::Unbounded));
    starts.zip(ends)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ranges compare as f64, as Qdrant does"
)]
fn as_f64(number: i64) -> f64 {
    number as f64
}

/// The least and the greatest integer that is within the bounds once it is an f64.
///
/// Conversion never changes the order, so both are found by bisection, exactly.
pub(crate) fn integers(range: &Range) -> Option<(i64, i64)> {
    let above = |n: i64| {
        let n = as_f64(n);
        range.gt.is_none_or(|bound| n > bound) && range.gte.is_none_or(|bound| n >= bound)
    };
    let below = |n: i64| {
        let n = as_f64(n);
        range.lt.is_none_or(|bound| n < bound) && range.lte.is_none_or(|bound| n <= bound)
    };
    let least = first_where(above)?;
    // The first that is too great, less one; if none is, the greatest there is.
    let most = match first_where(|n| !below(n)) {
        Some(beyond) => beyond.checked_sub(1)?,
        None => i64::MAX,
    };
    (least <= most).then_some((least, most))
}

/// The first integer for which `holds` is true; it stays true from there on.
fn first_where(holds: impl Fn(i64) -> bool) -> Option<i64> {
    if !holds(i64::MAX) {
        return None;
    }
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    while low < high {
        // Rounded down, which `midpoint` does not do below zero.
        let middle = (low & high) + ((low ^ high) >> 1);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

/// The tighter end of each side.
fn float_ends(range: &Range) -> (End<f64>, End<f64>) {
    let start = match (range.gt, range.gte) {
        (Some(gt), Some(gte)) if gt >= gte => End::Excluded(gt),
        (_, Some(gte)) => End::Included(gte),
        (Some(gt), None) => End::Excluded(gt),
        (None, None) => End::Unbounded,
    };
    let end = match (range.lt, range.lte) {
        (Some(lt), Some(lte)) if lt <= lte => End::Excluded(lt),
        (_, Some(lte)) => End::Included(lte),
        (Some(lt), None) => End::Excluded(lt),
        (None, None) => End::Unbounded,
    };
    (start, end)
}

/// How many rows pass, from the figures of the column and the lengths of its lists.
pub(crate) fn estimate(view: &ColumnView<'_>, ask: &Ask<'_>) -> Estimate {
    let stats = view.stats();
    let rows = u64::from(stats.rows);
    let full = u64::from(stats.rows_with_value);
    let null = u64::from(stats.rows_with_null);
    match ask {
        Ask::IsEmpty(true) => Estimate::exact(rows - full),
        Ask::IsEmpty(false) => Estimate::exact(full),
        Ask::IsNull(true) => Estimate::exact(null),
        Ask::IsNull(false) => Estimate::exact(rows - null),
        // Of the rows with a value, nothing is known.
        Ask::Count(bounds) => {
            let sure = if bounds.contains(0) { rows - full } else { 0 };
            let open = Estimate::unknown(full);
            Estimate {
                min: sure,
                expected: open.expected + Estimate::exact(sure).expected,
                max: full + sure,
            }
        }
        Ask::Any(test) => {
            let indexed = u64::from(stats.rows_indexed);
            let (pairs, sure) = match held(view, test) {
                Held::Nothing => (Pairs(Vec::new()), true),
                Held::Rows(pairs) => (pairs, true),
                Held::Perhaps(pairs) => (pairs, false),
            };
            let counts: Vec<u64> = pairs.0.iter().map(Postings::count).collect();
            let sum = counts
                .iter()
                .fold(0_u64, |sum, count| sum.saturating_add(*count));
            // A row may be in several lists, and several times in a list over several values.
            let once = stats.values == indexed;
            let most = sum.min(indexed);
            let least = match (sure, once) {
                (false, _) => 0,
                (true, true) => most,
                (true, false) => least_rows(stats.values, indexed, &counts),
            };
            let found = Estimate {
                min: least,
                expected: Estimate::exact(most).expected,
                max: most,
            };
            found.loosened_above(full - indexed, rows)
        }
    }
}

/// The fewest rows that lists of so many pairs can have: beyond one pair for each row, the column
/// has `values - indexed` pairs that repeat a row.
fn least_rows(values: u64, indexed: u64, counts: &[u64]) -> u64 {
    let sum: u64 = counts.iter().sum();
    let repeats = values - indexed.min(values);
    sum.saturating_sub(repeats).max(u64::from(sum > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::bind::{Test, bind};
    use crate::filter::{Condition, FieldPath, FieldTest, Filter, oracle};
    use format_spec::schema::Schema;
    use format_spec::{
        CollectionId, FieldType, PartHeader, PartId, PartIdentity, PartKind, PartLayout,
        PartWriter, PointId, SeqNo, ShardId, Value, ValueRef,
    };
    use index::ColumnDraft;
    use proptest::prelude::*;

    const ANY: Range = Range {
        gt: None,
        gte: None,
        lt: None,
        lte: None,
    };

    #[test]
    fn bounds_become_integers_exactly() {
        assert_eq!(integers(&ANY), Some((i64::MIN, i64::MAX)));
        assert_eq!(
            integers(&Range {
                gt: Some(1.0),
                lt: Some(3.0),
                ..ANY
            }),
            Some((2, 2))
        );
        assert_eq!(
            integers(&Range {
                gte: Some(1.5),
                lte: Some(3.9),
                ..ANY
            }),
            Some((2, 3))
        );
        assert_eq!(
            integers(&Range {
                gt: Some(1.0),
                lt: Some(2.0),
                ..ANY
            }),
            None
        );
        assert_eq!(
            integers(&Range {
                gte: Some(-0.0),
                lte: Some(0.0),
                ..ANY
            }),
            Some((0, 0))
        );
        assert_eq!(
            integers(&Range {
                gt: Some(1e19),
                ..ANY
            }),
            None
        );
        assert_eq!(
            integers(&Range {
                lt: Some(-1e19),
                ..ANY
            }),
            None
        );
        // 2^53 + 1 is 2^53 as an f64.
        let near = 9_007_199_254_740_992.0;
        let range = Range {
            gte: Some(near),
            lte: Some(near),
            ..ANY
        };
        assert_eq!(
            integers(&range),
            Some((9_007_199_254_740_992, 9_007_199_254_740_993))
        );
    }

    #[test]
    fn gaps_leave_out_the_list() {
        let numbers: Vec<i64> = (0..10)
            .filter(|n| gaps(&[3, 4, 8]).any(|gap| std::ops::RangeBounds::contains(&gap, n)))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 5, 6, 7, 9]);
    }

    fn part(path: &FieldPath, field_type: FieldType, payloads: &[Value]) -> Vec<u8> {
        let mut draft = ColumnDraft::new(path.clone(), field_type);
        for payload in payloads {
            draft
                .push(ValueRef::new(&payload.to_bytes()).unwrap())
                .unwrap();
        }
        let header = PartHeader::new(PartKind::Column, PartId(1), CollectionId(2), ShardId(3));
        let part = PartWriter::new(Vec::new(), header.derived_from([0; 32]));
        draft.finish(part, SeqNo(1)).unwrap().0
    }

    fn truth(path: &FieldPath, test: &FieldTest, payloads: &[Value]) -> Vec<bool> {
        let condition = Condition::Field {
            path: path.clone(),
            test: test.clone(),
        };
        let filter = Filter {
            must: vec![condition],
            ..Filter::default()
        };
        let id = PointId::Number(0);
        payloads
            .iter()
            .map(|payload| oracle::matches(&filter, id, &[], payload))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_column_agrees_with_the_oracle(
            path in oracle::path(),
            field_type in prop::sample::select(FieldType::ALL.to_vec()),
            test in oracle::test(),
            payloads in prop::collection::vec(oracle::payload(), 0..12),
        ) {
            let bytes = part(&path, field_type, &payloads);
            let (kind, part_id, len) = (PartKind::Column, PartId(1), bytes.len() as u64);
            let (collection, shard) = (CollectionId(2), ShardId(3));
            let identity = PartIdentity { kind, part_id, collection, shard, len };
            let layout = PartLayout::open(&bytes, &identity).unwrap();
            let view = ColumnView::open(&layout, &bytes).unwrap();
            let condition = Condition::Field { path: path.clone(), test: test.clone() };
            let filter = Filter { must: vec![condition], ..Filter::default() };
            let bound = bind(&filter, &Schema::default()).unwrap();
            let Test::Field(field) = &bound.must[0] else { panic!("a field") };

            let all = RowSet::full(payloads.len() as u32);
            let found = answer(&view, &field.ask);
            let (sure, perhaps) = (found.sure.of(&all), found.perhaps.of(&all));
            let truth = truth(&path, &test, &payloads);
            for (row, matches) in (0..).zip(&truth) {
                prop_assert!(!sure.contains(row) || *matches, "row {row} is surely wrong");
                prop_assert!(perhaps.contains(row) || !*matches, "row {row} is left out");
            }
            let count = truth.iter().filter(|matches| **matches).count() as u64;
            let estimate = estimate(&view, &field.ask);
            prop_assert!(estimate.min <= count && count <= estimate.max, "{estimate:?} {count}");

            // Rows are left open only where the column cannot know.
            let counts = matches!(field.ask, Ask::Count(_));
            if strangers(&view).is_none() && field_type != FieldType::Float && !counts {
                prop_assert_eq!(sure, perhaps);
            }
        }
    }
}
