//! Which pairs of a column pass a test, by the types of both.
//!
//! # Invariants
//! - A row with pairs passes exactly if one of its values does, and its values are those of its
//!   pairs. What a pair has lost of its value (5 or 5.0, how a moment was spelt) leaves the row
//!   open.

use format_spec::columns::{Keywords, Numbers, Texts};
use format_spec::{ColumnValues, ColumnView, Place, Postings};
use index::{datetime, uuid};

use super::ask::{Shape, ValueTest};
use super::ends::{as_f64, ends, gaps, integers};
use super::substring::containing;
use super::text_test::{TextTest, Wanted};
use crate::budget::{ASKED_TEXTS, Budget};
use crate::error::QueryError;

/// Rows whose pairs pass a test.
pub(super) enum Held<'a> {
    /// The column's type has nothing to do with the test.
    Nothing,
    /// The rows of these lists pass, and no other row with pairs does.
    Rows(Vec<Postings<'a>>),
    /// No other row with pairs passes.
    Perhaps(Vec<Postings<'a>>),
    /// Rows with several tokens, to be found.
    Tokens(Texts<'a>, &'a TextTest),
    /// Rows with a place in a shape, to be found.
    Places(Numbers<'a, Place>, &'a Shape),
}

/// The pairs that pass `test`. Where each text of a dictionary is asked, the clock is looked at.
pub(super) fn held<'a>(
    view: &ColumnView<'a>,
    test: &'a ValueTest<'_>,
    budget: &Budget<'_>,
) -> Result<Held<'a>, QueryError> {
    // What is no text, or a text that the column has all of, is answered by its type.
    Ok(match (view.values(), test) {
        (ColumnValues::Keyword(words), test) => Held::Rows(of_keywords(words, test, budget)?),
        (ColumnValues::Integer(numbers), test) => of_integers(view, numbers, test),
        (ColumnValues::Float(numbers), test) => of_floats(view, numbers, test),
        (ColumnValues::Bool(bools), ValueTest::Bool(value)) => {
            Held::Rows(vec![bools.equals(*value)])
        }
        (ColumnValues::Geo(places), ValueTest::Geo(shape)) => Held::Places(places, shape),
        (ColumnValues::Datetime(moments), test) => of_datetimes(view, moments, test),
        (ColumnValues::Uuid(uuids), test) => of_uuids(view, uuids, test),
        (ColumnValues::Text(texts), ValueTest::Text(test)) => of_texts(texts, test),
        // Nor are values of another type than the list's in any way equal to one in it.
        (ColumnValues::Bool(_) | ColumnValues::Geo(_), test) if test.is_except() => {
            Held::Rows(all_pairs(view))
        }
        (ColumnValues::Text(_), test) => of_other_texts(view, test),
        (ColumnValues::Bool(_) | ColumnValues::Geo(_), _) => Held::Nothing,
    })
}

/// How many texts of a dictionary are asked one by one for the pairs, if they are found so.
pub(super) fn asked_texts(view: &ColumnView<'_>, test: &ValueTest<'_>) -> Option<u64> {
    let one_by_one = matches!(
        test,
        ValueTest::Substring(_)
            | ValueTest::Text(_)
            | ValueTest::Datetime(_)
            | ValueTest::AnyUuid(_)
            | ValueTest::ExceptUuid(_)
    );
    match view.values() {
        ColumnValues::Keyword(words) => one_by_one.then_some(words.len() as u64),
        ColumnValues::Integer(_)
        | ColumnValues::Float(_)
        | ColumnValues::Bool(_)
        | ColumnValues::Datetime(_)
        | ColumnValues::Uuid(_)
        | ColumnValues::Geo(_)
        | ColumnValues::Text(_) => None,
    }
}

fn of_keywords<'a>(
    words: Keywords<'a>,
    test: &ValueTest<'_>,
    budget: &Budget<'_>,
) -> Result<Vec<Postings<'a>>, QueryError> {
    Ok(match (words, test) {
        (_, ValueTest::Keyword(text)) => vec![words.equals(text)],
        (_, ValueTest::AnyKeyword(list)) => list.iter().map(|text| words.equals(text)).collect(),
        (_, ValueTest::Prefix(prefix)) => {
            let found = words.starting_with(prefix);
            found.map(|index| words.postings(index)).collect()
        }
        (_, ValueTest::Substring(part)) => containing(words, part, budget)?,
        // Whatever else is asked of texts, each text is asked once.
        _ => {
            let mut passing = Vec::new();
            for (asked, (text, rows)) in words.iter().enumerate() {
                if asked % ASKED_TEXTS == 0 {
                    budget.check()?;
                }
                passing.extend(test.passes_text(text).then_some(rows));
            }
            passing
        }
    })
}

fn of_integers<'a>(
    view: &ColumnView<'a>,
    numbers: Numbers<'a, i64>,
    test: &ValueTest<'_>,
) -> Held<'a> {
    Held::Rows(match (numbers, test) {
        (_, ValueTest::Integer(number)) => vec![numbers.equals(*number)],
        (_, ValueTest::AnyInteger(list)) => numbers.equals_each(list).collect(),
        (_, ValueTest::ExceptInteger(list)) => gaps(list).map(|gap| numbers.range(gap)).collect(),
        (_, ValueTest::Range(range)) => match integers(range) {
            Some((least, most)) => vec![numbers.range(least..=most)],
            None => Vec::new(),
        },
        (_, test) if test.is_except() => all_pairs(view),
        _ => return Held::Nothing,
    })
}

fn of_floats<'a>(
    view: &ColumnView<'a>,
    numbers: Numbers<'a, f64>,
    test: &ValueTest<'_>,
) -> Held<'a> {
    let equal = |number: &i64| numbers.equals(as_f64(*number));
    match (numbers, test) {
        (_, ValueTest::Range(range)) => Held::Rows(vec![numbers.range(ends(range))]),
        // A float column does not tell 5 from 5.0, and only the first is equal to 5.
        (_, ValueTest::Integer(number)) => Held::Perhaps(vec![equal(number)]),
        (_, ValueTest::AnyInteger(list)) => Held::Perhaps(list.iter().map(equal).collect()),
        (_, ValueTest::ExceptInteger(_)) => Held::Perhaps(all_pairs(view)),
        (_, test) if test.is_except() => Held::Rows(all_pairs(view)),
        _ => Held::Nothing,
    }
}

fn of_datetimes<'a>(
    view: &ColumnView<'a>,
    moments: Numbers<'a, i64>,
    test: &ValueTest<'_>,
) -> Held<'a> {
    let spelt = |text: &&str| datetime::parse(text).map(|moment| moments.equals(moment));
    match (moments, test) {
        (_, ValueTest::Datetime(bounds)) => Held::Rows(vec![moments.range(ends(bounds))]),
        // A moment can be spelt in several ways, and the same text is the same moment.
        (_, ValueTest::Keyword(text)) => Held::Perhaps(spelt(text).into_iter().collect()),
        (_, ValueTest::AnyKeyword(list)) => Held::Perhaps(list.iter().filter_map(spelt).collect()),
        _ => of_other_texts(view, test),
    }
}

fn of_uuids<'a>(view: &ColumnView<'a>, uuids: Numbers<'a, u128>, test: &ValueTest<'_>) -> Held<'a> {
    let spelt = |text: &&str| uuid::parse(text).map(|uuid| uuids.equals(uuid));
    match (uuids, test) {
        (_, ValueTest::AnyUuid(list)) => Held::Rows(
            list.uuids()
                .iter()
                .map(|uuid| uuids.equals(*uuid))
                .collect(),
        ),
        (_, ValueTest::ExceptUuid(list)) => {
            Held::Rows(gaps(list.uuids()).map(|gap| uuids.range(gap)).collect())
        }
        (_, ValueTest::Keyword(text)) => Held::Perhaps(spelt(text).into_iter().collect()),
        (_, ValueTest::AnyKeyword(list)) => Held::Perhaps(list.iter().filter_map(spelt).collect()),
        _ => of_other_texts(view, test),
    }
}

fn of_texts<'a>(texts: Texts<'a>, test: &'a TextTest) -> Held<'a> {
    let tokens = texts.tokens();
    match (test.wanted, test.tokens.as_slice()) {
        (_, []) => Held::Nothing,
        (_, [token]) => Held::Rows(vec![tokens.equals(token)]),
        (Wanted::Any, list) => Held::Rows(list.iter().map(|token| tokens.equals(token)).collect()),
        (Wanted::All | Wanted::Phrase, _) => Held::Tokens(texts, test),
    }
}

/// Of texts that the column has in another form than they were given in.
fn of_other_texts<'a>(view: &ColumnView<'a>, test: &ValueTest<'_>) -> Held<'a> {
    match test {
        ValueTest::ExceptInteger(_) => Held::Rows(all_pairs(view)),
        ValueTest::Integer(_)
        | ValueTest::AnyInteger(_)
        | ValueTest::Bool(_)
        | ValueTest::Range(_)
        | ValueTest::Geo(_) => Held::Nothing,
        ValueTest::Keyword(_)
        | ValueTest::AnyKeyword(_)
        | ValueTest::ExceptKeyword(_)
        | ValueTest::AnyUuid(_)
        | ValueTest::ExceptUuid(_)
        | ValueTest::Datetime(_)
        | ValueTest::Text(_)
        | ValueTest::Prefix(_)
        | ValueTest::Substring(_) => Held::Perhaps(all_pairs(view)),
    }
}

/// Every pair of the column.
fn all_pairs<'a>(view: &ColumnView<'a>) -> Vec<Postings<'a>> {
    match view.values() {
        ColumnValues::Keyword(words) => words.iter().map(|(_, rows)| rows).collect(),
        ColumnValues::Text(texts) => texts.tokens().iter().map(|(_, rows)| rows).collect(),
        ColumnValues::Integer(numbers) | ColumnValues::Datetime(numbers) => {
            vec![numbers.range(..)]
        }
        ColumnValues::Float(numbers) => vec![numbers.range(..)],
        ColumnValues::Uuid(uuids) => vec![uuids.range(..)],
        ColumnValues::Geo(places) => vec![places.range(..)],
        ColumnValues::Bool(bools) => vec![bools.equals(true), bools.equals(false)],
    }
}
