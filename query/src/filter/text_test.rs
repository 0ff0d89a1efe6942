//! What is asked of the tokens of a text.
//!
//! # Invariants
//! - Query and text are cut by the same analyzer: that of the field's text index, or words in lower
//!   case where there is none.
//! - A query without a token holds for no text.

use std::collections::BTreeMap;

use format_spec::schema::FieldIndex;
use index::{Analyzer, ColumnContent};

/// Tokens that a query may have: a filter asks every text for them.
pub(crate) const TOKENS_MAX: usize = 4_096;

/// Which tokens of the query a text must have.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of them, anywhere.
    All,
    /// One of them.
    Any,
    /// All of them, one behind the other.
    Phrase,
}

/// A test of the tokens of a text.
#[derive(Debug)]
pub(crate) struct TextTest {
    pub(crate) wanted: Wanted,
    /// In the order of the query; sorted and without repetition unless a phrase is wanted.
    pub(crate) tokens: Vec<String>,
    /// Where each token stands, if a phrase is wanted.
    places: BTreeMap<String, Places>,
    analyzer: Analyzer,
}

impl TextTest {
    /// Asks for the tokens of `query` at a path, which may have an index in the schema.
    pub(crate) fn new(wanted: Wanted, query: &str, index: Option<&FieldIndex>) -> Self {
        let analyzer = analyzer(index);
        let mut tokens = analyzer.query(query);
        let mut places = BTreeMap::new();
        if wanted == Wanted::Phrase {
            places = Places::of(&tokens);
        } else {
            tokens.sort_unstable();
            tokens.dedup();
        }
        Self {
            wanted,
            tokens,
            places,
            analyzer,
        }
    }

    /// Whether a text passes.
    pub(crate) fn passes(&self, text: &str) -> bool {
        match self.wanted {
            _ if self.tokens.is_empty() => false,
            Wanted::All => self.has_all(text),
            Wanted::Any => self.has_any(text),
            Wanted::Phrase => self.has_phrase(text),
        }
    }

    fn has_any(&self, text: &str) -> bool {
        let mut found = false;
        self.analyzer.document(text, &mut |token, _| {
            found = found || self.place(token).is_some();
        });
        found
    }

    fn has_all(&self, text: &str) -> bool {
        let mut missing = vec![true; self.tokens.len()];
        self.analyzer.document(text, &mut |token, _| {
            if let Some(place) = self.place(token) {
                missing[place] = false;
            }
        });
        !missing.contains(&true)
    }

    fn place(&self, token: &str) -> Option<usize> {
        self.tokens
            .binary_search_by(|wanted| wanted.as_str().cmp(token))
            .ok()
    }

    fn has_phrase(&self, text: &str) -> bool {
        // Of each beginning of the phrase, whether it ends at the position before, and at this one.
        let mut before = vec![0_u64; self.tokens.len().div_ceil(64)];
        let mut here = before.clone();
        let (mut at, mut found) = (0, false);
        let last = self.tokens.len() - 1;
        self.analyzer.document(text, &mut |token, position| {
            if position != at {
                std::mem::swap(&mut before, &mut here);
                here.fill(0);
                at = position;
            }
            if let Some(places) = self.places.get(token) {
                places.follow(&before, &mut here);
            }
            found = found || here[last / 64] >> (last % 64) & 1 == 1;
        });
        found
    }
}

/// Where a token stands in a phrase.
#[derive(Debug)]
enum Places {
    /// At few places, these.
    Few(Vec<usize>),
    /// At those whose bit is set, 64 a word.
    Many(Vec<u64>),
}

impl Places {
    /// Of each token of `phrase`. With a bit a place for those only that have many, all together
    /// take no more than some bits for each place.
    fn of(phrase: &[String]) -> BTreeMap<String, Self> {
        let mut lists: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, token) in phrase.iter().enumerate() {
            lists.entry(token.clone()).or_default().push(place);
        }
        let words = phrase.len().div_ceil(64);
        let of_list = |list: Vec<usize>| {
            if list.len() <= words {
                return Self::Few(list);
            }
            let mut bits = vec![0; words];
            list.iter()
                .for_each(|place| bits[place / 64] |= 1 << (place % 64));
            Self::Many(bits)
        };
        let lists = lists.into_iter();
        lists.map(|(token, list)| (token, of_list(list))).collect()
    }

    /// Marks `here` where the token continues what ended before, and where it begins.
    fn follow(&self, before: &[u64], here: &mut [u64]) {
        match self {
            Self::Few(list) => {
                for &place in list {
                    let ended = |place: usize| before[place / 64] >> (place % 64) & 1;
                    here[place / 64] |= place.checked_sub(1).map_or(1, ended) << (place % 64);
                }
            }
            Self::Many(bits) => {
                let mut carried = 1;
                for ((bits, before), here) in bits.iter().zip(before).zip(here) {
                    *here |= bits & (before << 1 | carried);
                    carried = before >> 63;
                }
            }
        }
    }
}

/// The analyzer of a text index, words in lower case where there is none.
fn analyzer(index: Option<&FieldIndex>) -> Analyzer {
    let content = index.and_then(|index| ColumnContent::of(index).ok());
    content
        .and_then(|content| content.analyzer())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_phrase_is_found_where_its_tokens_follow_each_other(
            phrase in prop::collection::vec(0..3_u8, 1..90),
            text in prop::collection::vec(0..3_u8, 0..200),
            cut in 0..90_usize,
        ) {
            let written = |tokens: &[u8]| {
                let tokens: Vec<String> = tokens.iter().map(|t| format!("w{t}")).collect();
                tokens.join(" ")
            };
            // A piece of the text as often as anything.
            let piece = text.get(cut..(cut + phrase.len()).min(text.len()));
            for phrase in [Some(&phrase[..]), piece].into_iter().flatten() {
                let test = TextTest::new(Wanted::Phrase, &written(phrase), None);
                let there = !phrase.is_empty() && text.windows(phrase.len()).any(|w| w == phrase);
                prop_assert_eq!(test.passes(&written(&text)), there);
            }
        }
    }
}
