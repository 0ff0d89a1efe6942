//! Folding to ASCII: accented letters become plain ones, where ASCII has a plain one.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The text with every letter that has one replaced by its ASCII form; the others stay.
pub(super) fn to_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            folded.push(letter);
        } else if let Some(plain) = by_itself(letter) {
            folded.push_str(plain);
        } else if !fold_parts(letter, &mut folded) && !is_accent(letter) {
            folded.push(letter);
        }
    }
    Cow::Owned(folded)
}

/// Takes a letter apart and keeps what is not a mark, if that is ASCII.
fn fold_parts(letter: char, folded: &mut String) -> bool {
    let start = folded.len();
    for part in std::iter::once(letter).nfkd() {
        if part.is_ascii() {
            folded.push(part);
        } else if !is_combining_mark(part) {
            folded.truncate(start);
            return false;
        }
    }
    folded.len() > start
}

/// The marks of Latin, Greek and Cyrillic letters that come apart from their letter.
const fn is_accent(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}')
}

/// Latin letters that Unicode does not take apart, as Lucene's `ASCIIFoldingFilter` spells them.
const fn by_itself(letter: char) -> Option<&'static str> {
    Some(match letter {
        'Æ' => "AE",
        'æ' => "ae",
        'Œ' => "OE",
        'œ' => "oe",
        'Ø' => "O",
        'ø' => "o",
        'ß' => "ss",
        'ẞ' => "SS",
        'Ð' | 'Đ' => "D",
        'ð' | 'đ' => "d",
        'Þ' => "TH",
        'þ' => "th",
        'Ł' => "L",
        'ł' => "l",
        'Ħ' => "H",
        'ħ' => "h",
        'Ŧ' => "T",
        'ŧ' => "t",
        'ı' => "i",
        'ȷ' => "j",
        'ĸ' => "q",
        'Ŋ' => "N",
        'ŋ' => "n",
        'Ɓ' => "B",
        'ɓ' => "b",
        'Ƈ' => "C",
        'ƈ' => "c",
        'Ɗ' => "D",
        'ɗ' => "d",
        'Ə' | 'ə' => "a",
        'Ɖ' => "D",
        'ɖ' => "d",
        'ƒ' => "f",
        'Ɠ' => "G",
        'ɠ' => "g",
        'Ɨ' => "I",
        'ɨ' => "i",
        'Ƙ' => "K",
        'ƙ' => "k",
        'ƚ' => "l",
        'Ɲ' => "N",
        'ɲ' => "n",
        'Ƥ' => "P",
        'ƥ' => "p",
        'Ƭ' => "T",
        'ƭ' => "t",
        'Ʋ' => "V",
        'ʋ' => "v",
        'Ƴ' => "Y",
        'ƴ' => "y",
        'Ƶ' => "Z",
        'ƶ' => "z",
        '‘' | '’' => "'",
        '“' | '”' => "\"",
        '–' | '—' => "-",
        _ => return None,
    })
}
