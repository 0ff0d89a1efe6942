//! Full text: how a text becomes the tokens that a text index holds and a query asks for.
//!
//! ```text
//! text ─ split ─► word ─ fold to ASCII ─ lower case ─ stop words ─ stem ─ length ─► token
//! ```
//!
//! # Invariants
//! - The tokens depend on the text and the [`TextSettings`] alone, so that a column, a payload and
//!   a query agree. [`ANALYSIS`] changes when the tokens of any text do.

pub(crate) mod draft;
mod fold;
mod language;
mod settings;
mod split;

use std::borrow::Cow;
use std::collections::HashSet;

pub use language::{StemLanguage, StopLanguage};
pub use settings::{TextSettings, TextSettingsError, Tokenizer};

/// Letters beyond which prefixes are not told apart: all prefixes of a word of n letters are
/// n^2 / 2 letters.
const PREFIX_MAX: usize = 64;

/// The version of the analysis: of the tables and algorithms behind the settings.
pub const ANALYSIS: u32 = 1;

/// Turns texts into tokens.
pub struct Analyzer {
    settings: TextSettings,
    stop_words: HashSet<String>,
    stemmer: Option<frostem::Stemmer>,
}

impl std::fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyzer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Default for Analyzer {
    /// Words in lower case: what a text condition means where no index says otherwise.
    fn default() -> Self {
        Self::new(TextSettings::default())
    }
}

impl Analyzer {
    /// The analyzer of some settings.
    #[must_use]
    pub fn new(settings: TextSettings) -> Self {
        let mut stop_words = HashSet::new();
        let languages = settings.stop_languages.iter();
        let listed = languages.flat_map(|language| language.words().iter().copied());
        let custom = settings.stop_words.iter().map(String::as_str);
        for word in listed.chain(custom) {
            stop_words.insert(settings.shape(word).into_owned());
        }
        let stemmer = settings.stemmer.map(StemLanguage::stemmer);
        Self {
            settings,
            stop_words,
            stemmer,
        }
    }

    /// The settings it was made of.
    #[must_use]
    pub fn settings(&self) -> &TextSettings {
        &self.settings
    }

    /// Gives the tokens of a text that is searched, each with its position: the number of words
    /// before it that gave a token. Positions ascend; the prefixes of one word share one.
    pub fn document(&self, text: &str, take: &mut dyn FnMut(&str, u32)) {
        let mut position = 0;
        let prefixes = self.settings.tokenizer == Tokenizer::Prefix;
        split::words(self.settings.tokenizer, text, &mut |word| {
            let Some(token) = self.token(word, !prefixes) else {
                return;
            };
            if prefixes {
                self.prefixes(&token, &mut |prefix| take(prefix, position));
            } else {
                take(&token, position);
            }
            position += 1;
        });
    }

    /// The tokens of a text that is searched for, in order, repetitions and all. A word that is
    /// searched for by prefix is one token, as long as the prefixes that are kept.
    #[must_use]
    pub fn query(&self, text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        let prefixes = self.settings.tokenizer == Tokenizer::Prefix;
        split::words(self.settings.tokenizer, text, &mut |word| {
            if let Some(token) = self.token(word, !prefixes) {
                let most = if prefixes { self.most() } else { usize::MAX };
                tokens.push(until(&token, most).to_owned());
            }
        });
        tokens
    }

    /// The token of a word, unless it is a stop word or of a length that is not kept.
    fn token<'t>(&self, word: Cow<'t, str>, longest: bool) -> Option<Cow<'t, str>> {
        let mut token = match word {
            Cow::Borrowed(word) => self.settings.shape(word),
            Cow::Owned(word) => Cow::Owned(self.settings.shape(&word).into_owned()),
        };
        if self.stop_words.contains(token.as_ref()) {
            return None;
        }
        if let Some(stemmer) = self.stemmer {
            let stem = stemmer.stem(&token);
            if stem != token {
                token = Cow::Owned(stem.into_owned());
            }
        }
        let (least, most) = (self.settings.min_token_len, self.settings.max_token_len);
        if least.is_none() && most.is_none() {
            return (!token.is_empty()).then_some(token);
        }
        let len = token.chars().count();
        let short = least.is_some_and(|least| len < least);
        let long = longest && most.is_some_and(|most| len > most);
        (len > 0 && !short && !long).then_some(token)
    }

    /// Letters of the longest prefix that is kept.
    fn most(&self) -> usize {
        let least = self.settings.min_token_len.unwrap_or(1);
        let asked = self.settings.max_token_len.unwrap_or(PREFIX_MAX);
        asked.min(PREFIX_MAX.max(least))
    }

    /// Gives every prefix of a token that is of a length that is kept, shortest first.
    fn prefixes(&self, token: &str, take: &mut dyn FnMut(&str)) {
        let least = self.settings.min_token_len.unwrap_or(1).max(1);
        let ends = token
            .char_indices()
            .map(|(at, letter)| at + letter.len_utf8());
        for (_, end) in (1..=self.most()).zip(ends).skip(least - 1) {
            take(&token[..end]);
        }
    }
}

/// The first `most` characters of a text.
fn until(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most);
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

#[cfg(test)]
mod tests;
