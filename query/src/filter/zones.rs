//! What the statistics of a segment tell about a test of a field that has no column: for each zone
//! of rows that none match, that all do, or nothing.
//!
//! # Invariants
//! - `sure` rows match and rows outside `perhaps` do not, for every row whose payload is the one
//!   that the statistics were made of.
//! - A path with an index, `a[0]`, selects some of what `a[]` selects: of it only what no value of
//!   `a[]` could change is told.

use engine::{ErrorKind, Source};
use format_spec::statistics::{hash_integer, hash_text};
use format_spec::{FieldStatistics, Kinds, StatisticsView, Zone};
use index::{FieldPath, RowSet};

use super::access::ZoneCounts;
use super::ask::{Ask, Range, ValueTest};
use super::estimate::{Estimate, to_f64};
use super::subset::{Answer, Subset};
use crate::error::QueryError;

/// Values that are looked up one by one in the filter of every zone: with more, hardly a zone would
/// have none of them.
const LOOKUPS_MAX: usize = 64;
/// Whole numbers of a range that are looked up likewise.
const RANGE_LOOKUPS: i64 = 16;

/// The statistics of a source, unless it has none or they are damaged.
pub(crate) fn open(source: &Source) -> Result<Option<StatisticsView<'_>>, QueryError> {
    match source.statistics() {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        opened => Ok(opened?),
    }
}

/// What the statistics say of one path.
#[derive(Clone, Debug)]
pub(crate) enum Known<'a> {
    /// The path may select something and nothing is known of it.
    Unknown,
    /// The path selects nothing in any row.
    Missing,
    /// The path, or one that selects more.
    Field {
        field: FieldStatistics<'a>,
        exact: bool,
    },
}

/// Looks up a path.
pub(crate) fn find<'a>(view: &StatisticsView<'a>, path: &FieldPath) -> Known<'a> {
    let (path, exact) = path.widened();
    match view.field(&path.to_string()) {
        Some(field) => Known::Field { field, exact },
        None if view.is_complete() => Known::Missing,
        None => Known::Unknown,
    }
}

/// What is true of the rows of a zone.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Matching {
    /// No row matches.
    None,
    /// Every row matches.
    All,
    /// Up to so many rows match, at least so many.
    Some { least: u32, most: u32 },
}

impl Matching {
    fn not(self, rows: u32) -> Self {
        match self {
            Self::None => Self::All,
            Self::All => Self::None,
            Self::Some { least, most } => Self::Some {
                least: rows - most,
                most: rows - least,
            },
        }
    }

    /// Exactly so many.
    fn exactly(count: u32, rows: u32) -> Self {
        match count {
            0 => Self::None,
            _ if count == rows => Self::All,
            _ => Self::Some {
                least: count,
                most: count,
            },
        }
    }
}

/// A test, prepared to be asked of many zones.
struct Lookup<'t> {
    ask: &'t Ask<'t>,
    exact: bool,
    /// The hashes of the values that pass, where they can be listed; the first list of texts and
    /// whole numbers is what a filter is asked for.
    hashes: Option<Vec<u64>>,
}

impl<'t> Lookup<'t> {
    fn new(ask: &'t Ask<'t>, exact: bool) -> Self {
        let hashes = match ask {
            Ask::Any(test) => hashes(test),
            Ask::IsEmpty(_) | Ask::IsNull(_) | Ask::Count(_) => None,
        };
        Self { ask, exact, hashes }
    }

    fn zone(&self, zone: &Zone<'_>) -> Matching {
        let rows = zone.rows.end - zone.rows.start;
        let record = &zone.record;
        let (full, null) = (
            u32::from(record.rows_with_value),
            u32::from(record.rows_with_null),
        );
        match self.ask {
            Ask::IsEmpty(wanted) => {
                let full = self.counted(full, rows);
                if *wanted { full.not(rows) } else { full }
            }
            Ask::IsNull(wanted) => {
                let null = self.counted(null, rows);
                if *wanted { null } else { null.not(rows) }
            }
            // Nothing is selected in any row.
            Ask::Count(bounds) if record.kinds == Kinds::NONE => {
                Matching::exactly(if bounds.contains(0) { rows } else { 0 }, rows)
            }
            // Only rows that have a value count one or more.
            Ask::Count(bounds) => Matching::Some {
                least: 0,
                most: if bounds.contains(0) { rows } else { full },
            },
            Ask::Any(test) => self.values(test, zone, full, rows),
        }
    }

    /// Rows that were counted; a path that selects less has at most as many.
    fn counted(&self, count: u32, rows: u32) -> Matching {
        if self.exact || count == 0 {
            return Matching::exactly(count, rows);
        }
        Matching::Some {
            least: 0,
            most: count,
        }
    }

    /// Only rows that have a value can match, and those are `full`.
    fn values(&self, test: &ValueTest<'_>, zone: &Zone<'_>, full: u32, rows: u32) -> Matching {
        match verdict(test, zone, self.hashes.as_deref()) {
            Verdict::None => Matching::None,
            // Every value passes, so the rows that have one do.
            Verdict::All if self.exact => Matching::exactly(full, rows),
            Verdict::All | Verdict::Some => Matching::Some {
                least: 0,
                most: full,
            },
        }
    }
}

/// What is true of the values of a zone.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Verdict {
    /// No value passes.
    None,
    /// Every value passes.
    All,
    /// Some may.
    Some,
}

fn when(holds: bool, then: Verdict, otherwise: Verdict) -> Verdict {
    if holds { then } else { otherwise }
}

fn verdict(test: &ValueTest<'_>, zone: &Zone<'_>, hashes: Option<&[u64]>) -> Verdict {
    let kinds = zone.record.kinds;
    // The values that pass are of one kind, and listed.
    let listed = |kind: Kinds| {
        let may = |hash: &u64| zone.may_have(*hash);
        let any = kinds.meets(kind) && hashes.is_none_or(|hashes| hashes.iter().any(may));
        when(any, Verdict::Some, Verdict::None)
    };
    // The values that do not pass are of one kind, and listed; and null.
    let others = |kind: Kinds| {
        if kinds.within(Kinds::NULL.union(Kinds::EMPTY)) {
            return Verdict::None;
        }
        if kinds.meets(Kinds::NULL) || listed(kind) == Verdict::Some {
            return Verdict::Some;
        }
        Verdict::All
    };
    match test {
        ValueTest::Keyword(_) | ValueTest::AnyKeyword(_) => listed(Kinds::TEXT),
        ValueTest::Integer(_) | ValueTest::AnyInteger(_) => listed(Kinds::INT),
        ValueTest::Bool(value) => {
            let wanted = if *value { Kinds::TRUE } else { Kinds::FALSE };
            let all = kinds.within(wanted.union(Kinds::EMPTY));
            match (kinds.meets(wanted), all) {
                (false, _) => Verdict::None,
                (true, true) => Verdict::All,
                (true, false) => Verdict::Some,
            }
        }
        ValueTest::ExceptKeyword(_) => others(Kinds::TEXT),
        ValueTest::ExceptInteger(_) => others(Kinds::INT),
        ValueTest::Range(range) => in_range(range, zone, hashes),
        ValueTest::Datetime(_)
        | ValueTest::Text(_)
        | ValueTest::Prefix(_)
        | ValueTest::Substring(_)
        // One UUID has several spellings, each with a hash of its own.
        | ValueTest::AnyUuid(_) => when(kinds.meets(Kinds::TEXT), Verdict::Some, Verdict::None),
        ValueTest::ExceptUuid(_) => when(
            kinds.within(Kinds::NULL.union(Kinds::EMPTY)),
            Verdict::None,
            Verdict::Some,
        ),
        ValueTest::Geo(_) => when(kinds.meets(Kinds::OBJECT), Verdict::Some, Verdict::None),
    }
}

fn in_range(range: &Range, zone: &Zone<'_>, hashes: Option<&[u64]>) -> Verdict {
    let kinds = zone.record.kinds;
    let nan = kinds.meets(Kinds::NAN);
    let Some((low, high)) = zone.record.numbers else {
        return when(nan, Verdict::Some, Verdict::None);
    };
    // Numbers beyond one bound are beyond it together.
    let below =
        range.gt.is_some_and(|bound| high <= bound) || range.gte.is_some_and(|bound| high < bound);
    let above =
        range.lt.is_some_and(|bound| low >= bound) || range.lte.is_some_and(|bound| low > bound);
    let whole = kinds.within(other_than_numbers().union(Kinds::INT));
    let absent =
        || hashes.is_some_and(|hashes| whole && !hashes.iter().any(|hash| zone.may_have(*hash)));
    if !nan && (below || above || absent()) {
        return Verdict::None;
    }
    let numbers = Kinds::INT.union(Kinds::UINT).union(Kinds::FLOAT);
    let only = kinds.within(numbers.union(Kinds::EMPTY));
    when(
        only && range.contains(low) && range.contains(high),
        Verdict::All,
        Verdict::Some,
    )
}

/// The kinds that no range holds.
fn other_than_numbers() -> Kinds {
    [
        Kinds::NULL,
        Kinds::FALSE,
        Kinds::TRUE,
        Kinds::TEXT,
        Kinds::ARRAY,
        Kinds::OBJECT,
        Kinds::EMPTY,
    ]
    .into_iter()
    .fold(Kinds::NONE, Kinds::union)
}

/// The hashes of the values that a test lists.
fn hashes(test: &ValueTest<'_>) -> Option<Vec<u64>> {
    let hashes: Vec<u64> = match test {
        ValueTest::Keyword(text) => vec![hash_text(text)],
        ValueTest::AnyKeyword(list) | ValueTest::ExceptKeyword(list) => {
            list.iter().map(|text| hash_text(text)).collect()
        }
        ValueTest::Integer(number) => vec![hash_integer(*number)],
        ValueTest::AnyInteger(list) | ValueTest::ExceptInteger(list) => {
            list.iter().map(|number| hash_integer(*number)).collect()
        }
        ValueTest::Range(range) => {
            let (least, most) = super::ends::integers(range)?;
            if most.checked_sub(least)? >= RANGE_LOOKUPS {
                return None;
            }
            (least..=most).map(hash_integer).collect()
        }
        ValueTest::Bool(_)
        | ValueTest::Datetime(_)
        | ValueTest::Text(_)
        | ValueTest::Prefix(_)
        | ValueTest::Substring(_)
        | ValueTest::AnyUuid(_)
        | ValueTest::ExceptUuid(_)
        | ValueTest::Geo(_) => return None,
    };
    (hashes.len() <= LOOKUPS_MAX).then_some(hashes)
}

/// Answers what is asked of a field of `rows` rows.
pub(crate) fn answer(known: &Known<'_>, ask: &Ask<'_>, rows: u32) -> Answer {
    let (field, exact) = match known {
        Known::Unknown => return Answer::OPEN,
        Known::Missing => {
            return if of_nothing(ask) {
                Answer::ALL
            } else {
                Answer::NONE
            };
        }
        Known::Field { field, exact } => (field, *exact),
    };
    let lookup = Lookup::new(ask, exact);
    let (mut sure, mut perhaps) = (RowSet::new(rows), RowSet::new(rows));
    let (mut none, mut open) = (true, true);
    for zone in field.zones() {
        match lookup.zone(&zone) {
            Matching::None => open = false,
            Matching::All => {
                sure.insert_range(zone.rows.start, zone.rows.end);
                perhaps.insert_range(zone.rows.start, zone.rows.end);
                none = false;
                open = false;
            }
            Matching::Some { .. } => {
                perhaps.insert_range(zone.rows.start, zone.rows.end);
                none = false;
            }
        }
    }
    if none {
        return Answer::NONE;
    }
    if open {
        return Answer::OPEN;
    }
    Answer {
        sure: Subset::These(sure),
        perhaps: Subset::These(perhaps),
    }
}

/// How many zones there are of which is known what.
pub(crate) fn counts(known: &Known<'_>, ask: &Ask<'_>) -> ZoneCounts {
    let mut counts = ZoneCounts::default();
    if let Known::Field { field, exact } = known {
        let lookup = Lookup::new(ask, *exact);
        for zone in field.zones() {
            match lookup.zone(&zone) {
                Matching::None => counts.none += 1,
                Matching::All => counts.all += 1,
                Matching::Some { .. } => counts.open += 1,
            }
        }
    }
    counts
}

/// Whether a row of which the path selects nothing matches.
fn of_nothing(ask: &Ask<'_>) -> bool {
    match ask {
        Ask::IsEmpty(wanted) => *wanted,
        Ask::IsNull(wanted) => !*wanted,
        Ask::Count(bounds) => bounds.contains(0),
        Ask::Any(_) => false,
    }
}

/// How many rows match, of a field of `rows` rows.
pub(crate) fn estimate(known: &Known<'_>, ask: &Ask<'_>, rows: u64) -> Estimate {
    let (field, exact) = match known {
        Known::Unknown => return Estimate::unknown(rows),
        Known::Missing if of_nothing(ask) => return Estimate::exact(rows),
        Known::Missing => return Estimate::exact(0),
        Known::Field { field, exact } => (field, *exact),
    };
    let lookup = Lookup::new(ask, exact);
    let mut sum = Estimate::exact(0);
    for zone in field.zones() {
        let all = zone.rows.end - zone.rows.start;
        let (least, most) = match lookup.zone(&zone) {
            Matching::None => continue,
            Matching::All => (all, all),
            Matching::Some { least, most } => (least, most),
        };
        let share = share(ask, &zone, lookup.hashes.as_deref());
        sum.min += u64::from(least);
        sum.max += u64::from(most);
        sum.expected += f64::from(least) + f64::from(most - least) * share;
    }
    sum.expected = sum.expected.clamp(to_f64(sum.min), to_f64(sum.max));
    sum
}

/// A guess at the share of the rows with a value that match in a zone where some may.
fn share(ask: &Ask<'_>, zone: &Zone<'_>, hashes: Option<&[u64]>) -> f64 {
    let Ask::Any(test) = ask else {
        return 0.5;
    };
    let distinct = f64::from(zone.record.distinct.max(1));
    let least = 1.0 / f64::from(zone.record.rows_with_value.max(1));
    match test {
        ValueTest::Keyword(_)
        | ValueTest::AnyKeyword(_)
        | ValueTest::Integer(_)
        | ValueTest::AnyInteger(_) => {
            let found = hashes.into_iter().flatten();
            let found = found.filter(|hash| zone.may_have(**hash)).count();
            (found as f64 / distinct).min(1.0)
        }
        ValueTest::ExceptKeyword(list) => 1.0 - (list.len() as f64 / distinct).min(1.0),
        ValueTest::ExceptInteger(list) => 1.0 - (list.len() as f64 / distinct).min(1.0),
        ValueTest::Bool(_)
        | ValueTest::Datetime(_)
        | ValueTest::Text(_)
        | ValueTest::Prefix(_)
        | ValueTest::Substring(_)
        | ValueTest::AnyUuid(_)
        | ValueTest::ExceptUuid(_)
        | ValueTest::Geo(_) => 0.5,
        // As if the numbers lay evenly between the extremes.
        ValueTest::Range(range) => zone.record.numbers.map_or(0.5, |(low, high)| {
            let from = range.gt.into_iter().chain(range.gte).fold(low, f64::max);
            let to = range.lt.into_iter().chain(range.lte).fold(high, f64::min);
            if high > low {
                ((to - from) / (high - low)).clamp(least, 1.0)
            } else {
                1.0
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::bind::{Field, Test, bind};
    use crate::filter::{Condition, Filter, oracle};
    use format_spec::schema::Schema;
    use format_spec::{
        CollectionId, PartHeader, PartId, PartIdentity, PartKind, PartLayout, PartWriter, PointId,
        SeqNo, ShardId, StatisticsLayout, Value, ValueRef,
    };
    use index::StatisticsDraft;
    use proptest::prelude::*;

    /// The statistics part of payloads in zones of `zone` rows.
    fn part(payloads: &[Value], zone: usize) -> Vec<u8> {
        let mut draft = StatisticsDraft::new();
        for (row, payload) in payloads.iter().enumerate() {
            if row % zone == 0 {
                draft.end_zone();
            }
            let bytes = payload.to_bytes();
            draft.push(ValueRef::new(&bytes).unwrap()).unwrap();
        }
        let kind = PartKind::Statistics;
        let header = PartHeader::new(kind, PartId(1), CollectionId(2), ShardId(3));
        let writer = PartWriter::new(Vec::new(), header.derived_from([0; 32]));
        draft.finish(writer, SeqNo(1)).unwrap().0
    }

    fn with_view<T>(
        payloads: &[Value],
        zone: usize,
        ask: impl FnOnce(StatisticsView<'_>) -> T,
    ) -> T {
        let bytes = part(payloads, zone);
        let identity = PartIdentity {
            kind: PartKind::Statistics,
            part_id: PartId(1),
            collection: CollectionId(2),
            shard: ShardId(3),
            len: bytes.len() as u64,
        };
        let layout = PartLayout::open(&bytes, &identity).unwrap();
        let opened = StatisticsLayout::open(&layout, &bytes).unwrap();
        ask(opened.view(&bytes))
    }

    fn only(condition: Condition) -> Filter {
        Filter {
            must: vec![condition],
            ..Filter::default()
        }
    }

    fn bound<T>(filter: &Filter, with: impl FnOnce(&Field<'_>) -> T) -> T {
        let bound = bind(filter, &Schema::default()).unwrap();
        let Test::Field(field) = &bound.must[0] else {
            panic!("a field")
        };
        with(field)
    }

    fn truth(filter: &Filter, payloads: &[Value]) -> Vec<bool> {
        let id = PointId::Number(0);
        let matches = |payload| oracle::matches(filter, id, &[], payload);
        payloads.iter().map(matches).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn statistics_agree_with_the_oracle(
            path in oracle::path(),
            test in oracle::test(),
            payloads in prop::collection::vec(oracle::payload(), 0..12),
            zone in 1usize..5,
        ) {
            let filter = only(Condition::Field { path, test });
            let truth = truth(&filter, &payloads);
            let rows = payloads.len() as u32;
            let all = RowSet::full(rows);
            let (found, estimate) = with_view(&payloads, zone, |view| {
                assert!(view.is_complete());
                bound(&filter, |field| {
                    let known = find(&view, &field.path);
                    let found = answer(&known, &field.ask, rows);
                    (found, estimate(&known, &field.ask, rows.into()))
                })
            });
            let (sure, perhaps) = (found.sure.of(&all), found.perhaps.of(&all));
            for (row, matches) in (0..).zip(&truth) {
                prop_assert!(!sure.contains(row) || *matches, "row {row} is surely wrong");
                prop_assert!(perhaps.contains(row) || !*matches, "row {row} is left out");
            }
            let count = truth.iter().filter(|matches| **matches).count() as u64;
            prop_assert!(estimate.min <= count && count <= estimate.max, "{estimate:?} {count}");
            prop_assert!(to_f64(estimate.min) <= estimate.expected, "{estimate:?}");
            prop_assert!(estimate.expected <= to_f64(estimate.max), "{estimate:?}");
        }
    }

    /// Rows of `n`, ascending, and `word`, one of 2,000 at random, are told apart.
    #[test]
    fn zones_without_a_matching_value_are_left_out() {
        let member = |key: &str, value| (key.to_owned(), value);
        let payloads: Vec<Value> = (0..10_000_i64)
            .map(|row| {
                let word = Value::Text(format!("w{}", row * 7_919 % 9_973 % 2_000));
                let n = member("n", Value::Int(row));
                Value::Object(vec![
                    n,
                    member("word", word),
                    member("even", Value::Int(row % 2 * 2)),
                ])
            })
            .collect();
        let path = |path: &str| FieldPath::parse(path).unwrap();
        let range = |key: &str, gte: f64, lte: f64| Condition::Field {
            path: path(key),
            test: crate::filter::FieldTest::Range {
                gt: None,
                gte: Some(gte),
                lt: None,
                lte: Some(lte),
            },
        };
        let word = Condition::Field {
            path: path("word"),
            test: crate::filter::FieldTest::Match(crate::filter::MatchValue::Keyword("w7".into())),
        };
        let cases = [
            // Ascending: only the zones at both ends of the range are open.
            (range("n", 1_010.0, 1_989.0), 400),
            // In one zone in ten.
            (word, 1_600),
            // Between what there is: the filter tells.
            (range("even", 1.0, 1.0), 400),
            (range("n", 1e9, 1e10), 0),
            (Condition::IsEmpty(path("missing")), 0),
            (Condition::IsNull(path("n")), 0),
        ];
        for (condition, most) in cases {
            let filter = only(condition);
            let truth = truth(&filter, &payloads);
            let rows = payloads.len() as u32;
            let (sure, perhaps) = with_view(&payloads, 200, |view| {
                bound(&filter, |field| {
                    let found = answer(&find(&view, &field.path), &field.ask, rows);
                    let all = RowSet::full(rows);
                    (found.sure.of(&all), found.perhaps.of(&all))
                })
            });
            let open = perhaps.count() - sure.count();
            assert!(open <= most, "{open} rows open of {filter:?}");
            for (row, matches) in (0..).zip(truth) {
                assert!(!sure.contains(row) || matches);
                assert!(perhaps.contains(row) || !matches);
            }
        }
    }
}
