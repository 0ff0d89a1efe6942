//! Rows that have several tokens, or a phrase, in one text.
//!
//! # Invariants
//! - Positions of two texts of a row are never neighbours, so a phrase found is within one text;
//!   two tokens without positions may be of two texts, which leaves rows with several texts open.

use format_spec::columns::Texts;
use format_spec::{ColumnView, Row};
use index::RowSet;

use super::column::rows;
use super::estimate::{Estimate, to_f64};
use super::subset::{Answer, Subset};
use super::text_test::{TextTest, Wanted};

/// The numbers of the tokens, if the column has all of them.
fn numbers(texts: &Texts<'_>, test: &TextTest) -> Option<Vec<usize>> {
    let tokens = test.tokens.iter();
    tokens
        .map(|token| texts.tokens().find(token).ok())
        .collect()
}

/// The rows that have all tokens, or the phrase of them.
pub(super) fn answer(view: &ColumnView<'_>, texts: Texts<'_>, test: &TextTest) -> Answer {
    let Some(tokens) = numbers(&texts, test) else {
        return Answer::NONE;
    };
    let mut rarest = tokens.clone();
    rarest.sort_unstable_by_key(|&token| (texts.tokens().postings(token).count(), token));
    rarest.dedup();
    let of = |token: usize| rows(view, |words| texts.tokens().postings(token).or_into(words));
    let mut all = of(rarest[0]);
    for &token in &rarest[1..] {
        if all.count() == 0 {
            return Answer::NONE;
        }
        all.and(&of(token));
    }
    match test.wanted {
        Wanted::Phrase if texts.has_positions() => {
            let mut found = RowSet::new(view.stats().rows);
            for row in phrase(&texts, &tokens, &all) {
                found.insert(row);
            }
            Answer::exact(found)
        }
        Wanted::Phrase => Answer {
            sure: Subset::Nothing,
            perhaps: Subset::These(all),
        },
        Wanted::All | Wanted::Any => {
            let mut many = rows(view, |words| texts.many_texts().or_into(words));
            many.and(&all);
            Answer::exact(all).with_open(&many)
        }
    }
}

/// The rows of `among` in which the tokens are one behind the other.
fn phrase(texts: &Texts<'_>, tokens: &[usize], among: &RowSet) -> Vec<Row> {
    // Where the tokens so far end, row after row.
    let mut ends: Vec<(Row, Vec<u32>)> = Vec::new();
    let mut places = Vec::new();
    for (nth, &token) in tokens.iter().enumerate() {
        let mut positions = texts.positions(token);
        let mut before = std::mem::take(&mut ends).into_iter().peekable();
        for row in texts.tokens().postings(token).iter() {
            while before.next_if(|(earlier, _)| *earlier < row).is_some() {}
            let ended = before.next_if(|(same, _)| *same == row);
            if !among.contains(row) || nth > 0 && ended.is_none() {
                positions.skip_row();
                continue;
            }
            positions.next_row(&mut places);
            if let Some((_, ended)) = ended {
                let follows = |at: &u32| *at > 0 && ended.binary_search(&(at - 1)).is_ok();
                places.retain(follows);
            }
            if !places.is_empty() {
                ends.push((row, places.clone()));
            }
        }
    }
    ends.into_iter().map(|(row, _)| row).collect()
}

/// At most the rows of the rarest token; as if tokens came independently of each other.
pub(super) fn estimate(texts: Texts<'_>, test: &TextTest, indexed: u64) -> Estimate {
    let Some(tokens) = numbers(&texts, test) else {
        return Estimate::exact(0);
    };
    let counts = tokens
        .iter()
        .map(|&token| texts.tokens().postings(token).count());
    let max = counts.clone().min().unwrap_or(0);
    let indexed = to_f64(indexed.max(1));
    let share: f64 = counts.map(|count| to_f64(count) / indexed).product();
    Estimate {
        min: 0,
        expected: (share * indexed).min(to_f64(max)),
        max,
    }
}
