//! What is asked of the tokens of a text.
//!
//! # Invariants
//! - Query and text are cut by the same analyzer: that of the field's text index, or words in lower
//!   case where there is none.
//! - A query without a token holds for no text.

use format_spec::schema::FieldIndex;
use index::{Analyzer, ColumnContent};

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
    analyzer: Analyzer,
}

impl TextTest {
    /// Asks for the tokens of `query` at a path, which may have an index in the schema.
    pub(crate) fn new(wanted: Wanted, query: &str, index: Option<&FieldIndex>) -> Self {
        let analyzer = analyzer(index);
        let mut tokens = analyzer.query(query);
        if wanted != Wanted::Phrase {
            tokens.sort_unstable();
            tokens.dedup();
        }
        Self {
            wanted,
            tokens,
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
        let len = self.tokens.len();
        // Of each beginning of the phrase, whether it ends at the position before, and at this one.
        let (mut before, mut here) = (vec![false; len], vec![false; len]);
        let (mut at, mut found) = (0, false);
        self.analyzer.document(text, &mut |token, position| {
            if position != at {
                std::mem::swap(&mut before, &mut here);
                here.fill(false);
                at = position;
            }
            for (place, wanted) in self.tokens.iter().enumerate() {
                if wanted == token && (place == 0 || before[place - 1]) {
                    here[place] = true;
                }
            }
            found = found || here[len - 1];
        });
        found
    }
}

/// The analyzer of a text index, words in lower case where there is none.
fn analyzer(index: Option<&FieldIndex>) -> Analyzer {
    let content = index.and_then(|index| ColumnContent::of(index).ok());
    content
        .and_then(|content| content.analyzer())
        .unwrap_or_default()
}
