//! Tokenizers: where the words of a text are.

use std::borrow::Cow;

use charabia::TokenizerBuilder;

use super::settings::Tokenizer;

/// Gives the words of a text, in order.
pub(super) fn words<'t>(tokenizer: Tokenizer, text: &'t str, take: &mut dyn FnMut(Cow<'t, str>)) {
    match tokenizer {
        Tokenizer::Whitespace => text
            .split_whitespace()
            .for_each(|word| take(Cow::Borrowed(word))),
        Tokenizer::Word | Tokenizer::Prefix => {
            alphanumeric(text).for_each(|word| take(Cow::Borrowed(word)));
        }
        Tokenizer::Multilingual => multilingual(text, take),
        Tokenizer::Code => alphanumeric(text)
            .flat_map(humps)
            .for_each(|word| take(Cow::Borrowed(word))),
    }
}

fn alphanumeric(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Words as the script of the text has them, by charabia: dictionaries for Chinese and Thai,
/// Unicode's rules (UAX 29) elsewhere. Variants of one Chinese character become one.
fn multilingual<'t>(text: &'t str, take: &mut dyn FnMut(Cow<'t, str>)) {
    let mut builder = TokenizerBuilder::<Vec<u8>>::default();
    // Only what keeps the letters: case and accents are for the settings to decide.
    let tokenizer = builder.lossy_normalization(false).build();
    for token in tokenizer.tokenize(text) {
        if token.is_word() && token.lemma().chars().any(char::is_alphanumeric) {
            take(Cow::Owned(token.lemma().to_owned()));
        }
    }
}

/// The parts of an identifier: a capital begins one after a small letter or a digit, and before a
/// small letter (`parseHTTPResponse` is `parse`, `HTTP`, `Response`).
fn humps(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut letters = rest.char_indices().peekable();
        let mut before: Option<char> = letters.next().map(|(_, letter)| letter);
        before?;
        while let Some((at, letter)) = letters.next() {
            let next_small = letters.peek().is_some_and(|(_, next)| next.is_lowercase());
            let after_capital = before.is_some_and(char::is_uppercase);
            if letter.is_uppercase() && (!after_capital || next_small) {
                let (hump, tail) = rest.split_at(at);
                rest = tail;
                return Some(hump);
            }
            before = Some(letter);
        }
        Some(std::mem::take(&mut rest))
    })
}
