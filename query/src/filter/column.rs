//! What a column tells about a test, for all rows at once.
//!
//! A row with values that the column cannot hold has no pair in it (see `index::ColumnDraft`), but
//! is in `has_value`: such *strangers* are left open where the test could hold for them. Most
//! columns have none, which two figures of the column tell.
//!
//! # Invariants
//! - `sure` rows match and rows outside `perhaps` do not, for every row whose payload is the one
//!   that the column was made of.

use engine::{ErrorKind, Source};
use format_spec::{ColumnStats, ColumnView, FieldType, Postings};
use index::RowSet;

use super::ask::{Ask, Bounds};
use super::estimate::Estimate;
use super::held::{Held, asked_texts, held};
use super::subset::{Answer, Subset};
use super::{column_geo, column_text};
use crate::budget::Budget;
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

/// The column of an index as the schema has it now: its name, its type, and the hash of the
/// settings that its content depends on. One of another content is what is left of an index that
/// was changed, and means something else.
pub(crate) fn open_current<'s>(
    source: &'s Source,
    (name, field_type): &(String, FieldType),
    settings: u64,
) -> Result<Option<ColumnView<'s>>, QueryError> {
    let current = |view: &ColumnView<'_>| {
        (view.stats().field_type, view.stats().settings) == (*field_type, settings)
    };
    Ok(open(source, name)?.filter(current))
}

/// Answers what is asked of a field from its column.
pub(crate) fn answer(
    view: &ColumnView<'_>,
    ask: &Ask<'_>,
    budget: &Budget<'_>,
) -> Result<Answer, QueryError> {
    Ok(match ask {
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
        Ask::Any(test) => {
            let answer = match held(view, test, budget)? {
                Held::Nothing => Answer::NONE,
                Held::Rows(found) => Answer::exact(union(view, &found)),
                Held::Perhaps(found) => Answer {
                    sure: Subset::Nothing,
                    perhaps: Subset::These(union(view, &found)),
                },
                Held::Tokens(texts, test) => column_text::answer(view, texts, test),
                Held::Places(places, shape) => column_geo::answer(view, places, shape, budget)?,
            };
            match strangers(view) {
                Some(open) => answer.with_open(&open),
                None => answer,
            }
        }
    })
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

/// The rows in any of the lists.
fn union(view: &ColumnView<'_>, lists: &[Postings<'_>]) -> RowSet {
    rows(view, |words| {
        lists.iter().for_each(|list| list.or_into(words));
    })
}

/// The rows with values that the column cannot hold, if there are any.
pub(crate) fn strangers(view: &ColumnView<'_>) -> Option<RowSet> {
    let open = view.open_rows();
    (open.count() > 0).then(|| rows(view, |words| open.or_into(words)))
}

/// The rows whose bits `fill` sets.
pub(crate) fn rows(view: &ColumnView<'_>, fill: impl FnOnce(&mut [u64])) -> RowSet {
    let len = view.stats().rows;
    let mut words = vec![0; len.div_ceil(64) as usize];
    fill(&mut words);
    // Columns name no row beyond the segment: checked when they were opened.
    RowSet::from_words(len, words).unwrap_or_else(|_| RowSet::new(len))
}

/// How many rows pass, from the figures of the column and the lengths of its lists.
pub(crate) fn estimate(
    view: &ColumnView<'_>,
    ask: &Ask<'_>,
    budget: &Budget<'_>,
) -> Result<Estimate, QueryError> {
    let stats = view.stats();
    let rows = u64::from(stats.rows);
    let full = u64::from(stats.rows_with_value);
    let null = u64::from(stats.rows_with_null);
    Ok(match ask {
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
            if asked_texts(view, test).is_some() {
                // Asking each text is the work of the answer, and not done for its estimate too.
                return Ok(Estimate::unknown(indexed).loosened_above(full - indexed, rows));
            }
            let found = match held(view, test, budget)? {
                Held::Nothing => Estimate::exact(0),
                Held::Rows(lists) => of_lists(stats, &lists, true),
                Held::Perhaps(lists) => of_lists(stats, &lists, false),
                Held::Tokens(texts, test) => column_text::estimate(texts, test, indexed),
                Held::Places(places, shape) => column_geo::estimate(places, shape, indexed),
            };
            found.loosened_above(full - indexed, rows)
        }
    })
}

/// How many texts are asked one by one to answer, if any are.
pub(crate) fn texts_asked(view: &ColumnView<'_>, ask: &Ask<'_>) -> Option<u64> {
    match ask {
        Ask::Any(test) => asked_texts(view, test),
        Ask::IsEmpty(_) | Ask::IsNull(_) | Ask::Count(_) => None,
    }
}

/// How many rows are in any of some lists, all of which pass, or none of which is sure to.
fn of_lists(stats: &ColumnStats, lists: &[Postings<'_>], sure: bool) -> Estimate {
    let indexed = u64::from(stats.rows_indexed);
    let counts: Vec<u64> = lists.iter().map(Postings::count).collect();
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
    Estimate {
        min: least,
        expected: Estimate::exact(most).expected,
        max: most,
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
    use crate::filter::ask::ValueTest;
    use crate::filter::bind::{Test, bind};
    use crate::filter::text_test::Wanted;
    use crate::filter::{Condition, FieldPath, Filter, Known, matches, oracle};
    use format_spec::schema::Schema;
    use format_spec::{
        CollectionId, ColumnValues, FieldIndex, PartHeader, PartId, PartIdentity, PartKind,
        PartLayout, PartWriter, PointId, SeqNo, ShardId, Value, ValueRef,
    };
    use index::{ColumnContent, ColumnDraft};
    use proptest::prelude::*;

    fn part(path: &FieldPath, index: &FieldIndex, payloads: &[Value]) -> Vec<u8> {
        let content = ColumnContent::of(index).unwrap();
        let mut draft = ColumnDraft::new(path.clone(), &content);
        for payload in payloads {
            draft
                .push(ValueRef::new(&payload.to_bytes()).unwrap())
                .unwrap();
        }
        let header = PartHeader::new(PartKind::Column, PartId(1), CollectionId(2), ShardId(3));
        let part = PartWriter::new(Vec::new(), header.derived_from([0; 32]));
        draft.finish(part, SeqNo(1)).unwrap().0
    }

    /// Indexes of every type, text indexes of several settings.
    fn indexes() -> impl Strategy<Value = (FieldType, Value)> {
        let settings = |members: &[(&str, Value)]| {
            let member = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
            Value::Object(members.iter().map(member).collect())
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let phrases = ("phrase_matching", Value::Bool(true));
        let texts = [
            settings(std::slice::from_ref(&phrases)),
            settings(&[("tokenizer", text("prefix")), phrases.clone()]),
            settings(&[
                ("tokenizer", text("whitespace")),
                ("stopwords", text("english")),
            ]),
            settings(&[
                ("ascii_folding", Value::Bool(true)),
                ("min_token_len", Value::Int(3)),
            ]),
        ];
        prop_oneof![
            3 => prop::sample::select(FieldType::ALL.to_vec()).prop_map(|t| (t, Value::Null)),
            1 => prop::sample::select(texts.to_vec()).prop_map(|s| (FieldType::Text, s)),
        ]
    }

    /// Whether the column knows all there is to know for the answer, strangers aside.
    fn knows(view: &ColumnView<'_>, ask: &Ask<'_>) -> bool {
        let Ask::Any(test) = ask else {
            return !matches!(ask, Ask::Count(_));
        };
        match (view.values(), test) {
            (ColumnValues::Float(_), test) => matches!(test, ValueTest::Range(_)),
            (ColumnValues::Datetime(_), test) => matches!(test, ValueTest::Datetime(_)),
            (ColumnValues::Uuid(_), test) => {
                matches!(test, ValueTest::AnyUuid(_) | ValueTest::ExceptUuid(_))
            }
            (ColumnValues::Text(texts), ValueTest::Text(test)) => match test.wanted {
                Wanted::Phrase => texts.has_positions() || test.tokens.len() < 2,
                Wanted::All | Wanted::Any => texts.many_texts().count() == 0,
            },
            (ColumnValues::Text(_), _) => false,
            (
                ColumnValues::Keyword(_)
                | ColumnValues::Integer(_)
                | ColumnValues::Bool(_)
                | ColumnValues::Geo(_),
                _,
            ) => true,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_column_agrees_with_the_oracle(
            path in oracle::path(),
            (field_type, settings) in indexes(),
            test in oracle::test(),
            payloads in prop::collection::vec(oracle::payload(), 0..12),
        ) {
            let index = FieldIndex {
                path: path.to_string(),
                field_type,
                settings: settings.to_bytes(),
            };
            let bytes = part(&path, &index, &payloads);
            let (kind, part_id, len) = (PartKind::Column, PartId(1), bytes.len() as u64);
            let (collection, shard) = (CollectionId(2), ShardId(3));
            let identity = PartIdentity { kind, part_id, collection, shard, len };
            let layout = PartLayout::open(&bytes, &identity).unwrap();
            let view = ColumnView::open(&layout, &bytes).unwrap();
            let condition = Condition::Field { path, test };
            let filter = Filter { must: vec![condition], ..Filter::default() };
            let schema = Schema { fields: vec![index], ..Schema::default() };
            let bound = bind(&filter, &schema).unwrap();
            let Test::Field(field) = &bound.must[0] else { panic!("a field") };
            prop_assert_eq!(field.settings, view.stats().settings);

            // Where an index means what no index means, the oracle has the last word.
            let plain = field_type != FieldType::Uuid && settings == Value::Null;
            let truth: Vec<bool> = payloads
                .iter()
                .map(|payload| {
                    let bytes = payload.to_bytes();
                    let known = Known { id: None, vectors: &[] };
                    let holds = matches(&bound, known, ValueRef::new(&bytes).unwrap()).unwrap();
                    let id = PointId::Number(0);
                    assert!(!plain || holds == oracle::matches(&filter, id, &[], payload));
                    holds
                })
                .collect();
            let all = RowSet::full(payloads.len() as u32);
            let found = answer(&view, &field.ask, &Budget::UNLIMITED).unwrap();
            let (sure, perhaps) = (found.sure.of(&all), found.perhaps.of(&all));
            for (row, matches) in (0..).zip(&truth) {
                prop_assert!(!sure.contains(row) || *matches, "row {row} is surely wrong");
                prop_assert!(perhaps.contains(row) || !*matches, "row {row} is left out");
            }
            let count = truth.iter().filter(|matches| **matches).count() as u64;
            let estimate = estimate(&view, &field.ask, &Budget::UNLIMITED).unwrap();
            prop_assert!(estimate.min <= count && count <= estimate.max, "{estimate:?} {count}");

            // Rows are left open only where the column cannot know.
            if strangers(&view).is_none() && knows(&view, &field.ask) {
                prop_assert_eq!(sure, perhaps);
            }
        }
    }
}
