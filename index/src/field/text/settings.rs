//! The settings of a text index, read from the parameters of the API.
//!
//! # Invariants
//! - Parameters that do not change the tokens or what the index holds of them are no part of
//!   [`TextSettings::content_hash`].

use std::borrow::Cow;
use std::hash::Hasher as _;

use format_spec::Value;
use siphasher::sip::SipHasher24;

use super::language::{StemLanguage, StopLanguage};
use super::{ANALYSIS, fold};

/// How a text is cut into words.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Tokenizer {
    /// Runs of letters and digits.
    #[default]
    Word,
    /// Whatever is between white space.
    Whitespace,
    /// As words, and in documents every prefix of each.
    Prefix,
    /// By the rules of the language that the text is in.
    Multilingual,
    /// As words, cut at the humps of identifiers too.
    Code,
}

impl Tokenizer {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::Prefix,
        Self::Whitespace,
        Self::Word,
        Self::Multilingual,
        Self::Code,
    ];

    /// What the API calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Whitespace => "whitespace",
            Self::Prefix => "prefix",
            Self::Multilingual => "multilingual",
            Self::Code => "code",
        }
    }
}

/// What decides about the tokens of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextSettings {
    /// Where the words are.
    pub tokenizer: Tokenizer,
    /// Whether letters become small.
    pub lowercase: bool,
    /// Whether accents are left out where ASCII has the letter.
    pub ascii_folding: bool,
    /// Shorter tokens are left out; in characters.
    pub min_token_len: Option<usize>,
    /// Longer tokens are left out; prefixes end there.
    pub max_token_len: Option<usize>,
    /// Languages whose stop words are left out.
    pub stop_languages: Vec<StopLanguage>,
    /// More words that are left out.
    pub stop_words: Vec<String>,
    /// How words are reduced to stems.
    pub stemmer: Option<StemLanguage>,
    /// Whether the index keeps positions, so that phrases are answered without payloads.
    pub phrase_matching: bool,
}

impl Default for TextSettings {
    fn default() -> Self {
        Self {
            tokenizer: Tokenizer::Word,
            lowercase: true,
            ascii_folding: false,
            min_token_len: None,
            max_token_len: None,
            stop_languages: Vec::new(),
            stop_words: Vec::new(),
            stemmer: None,
            phrase_matching: false,
        }
    }
}

/// A parameter of a text index that is not as the API has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextSettingsError {
    /// The parameter, with dots between levels.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl std::fmt::Display for TextSettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for TextSettingsError {}

impl TextSettings {
    /// Reads the parameters; what is absent or null has its default.
    ///
    /// # Errors
    /// The first parameter that is not of its type or names what there is not.
    pub fn from_value(params: &Value) -> Result<Self, TextSettingsError> {
        let at = Given(params);
        let lengths = (at.length("min_token_len")?, at.length("max_token_len")?);
        let (stop_languages, stop_words) = stop_words(at.get("stopwords"))?;
        Ok(Self {
            tokenizer: tokenizer(at.get("tokenizer"))?,
            lowercase: at.flag("lowercase")?.unwrap_or(true),
            ascii_folding: at.flag("ascii_folding")?.unwrap_or(false),
            min_token_len: lengths.0,
            max_token_len: lengths.1,
            stop_languages,
            stop_words,
            stemmer: stemmer(at.get("stemmer"))?,
            phrase_matching: at.flag("phrase_matching")?.unwrap_or(false),
        })
    }

    /// A word with its letters as the settings want them.
    pub(super) fn shape<'t>(&self, word: &'t str) -> Cow<'t, str> {
        let folded = if self.ascii_folding {
            fold::to_ascii(word)
        } else {
            Cow::Borrowed(word)
        };
        let small = |text: &str| text.chars().all(|c| !c.is_uppercase() && lower(c));
        if !self.lowercase || small(&folded) {
            return folded;
        }
        Cow::Owned(folded.to_lowercase())
    }

    /// Of what the index holds: equal for equal settings, and never 0.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let mut hash = SipHasher24::new();
        hash.write(&ANALYSIS.to_le_bytes());
        let mut take = |text: &str| {
            hash.write(&(text.len() as u64).to_le_bytes());
            hash.write(text.as_bytes());
        };
        take(self.tokenizer.name());
        let flags = [self.lowercase, self.ascii_folding, self.phrase_matching];
        for flag in flags {
            take(if flag { "yes" } else { "no" });
        }
        for length in [self.min_token_len, self.max_token_len] {
            take(&length.map_or_else(String::new, |length| length.to_string()));
        }
        take(self.stemmer.map_or("", StemLanguage::name));
        let mut languages: Vec<&str> = self.stop_languages.iter().map(|l| l.name()).collect();
        let mut words: Vec<&str> = self.stop_words.iter().map(String::as_str).collect();
        for list in [&mut languages, &mut words] {
            list.sort_unstable();
            list.dedup();
            take(&list.len().to_string());
            list.iter().for_each(|word| take(word));
        }
        hash.finish().max(1)
    }
}

/// Whether a letter is its own small letter.
fn lower(letter: char) -> bool {
    letter.is_ascii() || letter.to_lowercase().eq(std::iter::once(letter))
}

struct Given<'v>(&'v Value);

impl<'v> Given<'v> {
    fn get(&self, key: &str) -> Option<&'v Value> {
        self.0.get(key).filter(|value| **value != Value::Null)
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, TextSettingsError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(key, "expected a boolean")),
        }
    }

    fn length(&self, key: &'static str) -> Result<Option<usize>, TextSettingsError> {
        let number = match self.get(key) {
            None => return Ok(None),
            Some(Value::Int(number)) => usize::try_from(*number).ok(),
            Some(Value::Uint(number)) => usize::try_from(*number).ok(),
            Some(_) => None,
        };
        let number = number.ok_or_else(|| wrong(key, "expected a number of characters"))?;
        Ok(Some(number))
    }
}

fn wrong(field: &'static str, message: impl Into<String>) -> TextSettingsError {
    let message = message.into();
    TextSettingsError { field, message }
}

/// A name that is none of those there are.
fn unknown<'n>(
    field: &'static str,
    name: &str,
    names: impl Iterator<Item = &'n str>,
) -> TextSettingsError {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    wrong(
        field,
        format!("unknown variant `{name}`, expected one of {names}"),
    )
}

fn text<'v>(field: &'static str, value: &'v Value) -> Result<&'v str, TextSettingsError> {
    let Value::Text(text) = value else {
        return Err(wrong(field, "expected a string"));
    };
    Ok(text)
}

fn tokenizer(value: Option<&Value>) -> Result<Tokenizer, TextSettingsError> {
    let Some(value) = value else {
        return Ok(Tokenizer::default());
    };
    let name = text("tokenizer", value)?;
    let found = Tokenizer::ALL
        .iter()
        .find(|tokenizer| tokenizer.name() == name);
    found.copied().ok_or_else(|| {
        unknown(
            "tokenizer",
            name,
            Tokenizer::ALL.iter().map(|tokenizer| tokenizer.name()),
        )
    })
}

fn stop_language(field: &'static str, value: &Value) -> Result<StopLanguage, TextSettingsError> {
    let name = text(field, value)?;
    StopLanguage::from_name(name)
        .ok_or_else(|| unknown(field, name, StopLanguage::ALL.iter().map(|l| l.name())))
}

fn stop_words(
    value: Option<&Value>,
) -> Result<(Vec<StopLanguage>, Vec<String>), TextSettingsError> {
    let list = |key: &str, field| match value.and_then(|value| Given(value).get(key)) {
        None => Ok([].as_slice()),
        Some(Value::Array(list)) => Ok(list.as_slice()),
        Some(_) => Err(wrong(field, "expected an array of strings")),
    };
    match value {
        None => Ok((Vec::new(), Vec::new())),
        Some(Value::Object(_)) => {
            let field = "stopwords.languages";
            let languages = list("languages", field)?.iter();
            let languages = languages.map(|name| stop_language(field, name));
            let field = "stopwords.custom";
            let custom = list("custom", field)?.iter();
            let custom = custom.map(|word| text(field, word).map(str::to_owned));
            Ok((
                languages.collect::<Result<_, _>>()?,
                custom.collect::<Result<_, _>>()?,
            ))
        }
        Some(value @ Value::Text(_)) => Ok((vec![stop_language("stopwords", value)?], Vec::new())),
        Some(_) => Err(wrong(
            "stopwords",
            "expected the name of a language, or an object with `languages` and `custom`",
        )),
    }
}

fn stemmer(value: Option<&Value>) -> Result<Option<StemLanguage>, TextSettingsError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let params = Given(value);
    let kind = params
        .get("type")
        .ok_or_else(|| wrong("stemmer", "missing field `type`"))?;
    match text("stemmer.type", kind)? {
        "none" => Ok(None),
        "snowball" => {
            let field = "stemmer.language";
            let language = params.get("language");
            let language = language.ok_or_else(|| wrong(field, "missing field `language`"))?;
            let name = text(field, language)?;
            let found = StemLanguage::from_name(name);
            let names = StemLanguage::ALL.iter().map(|language| language.name());
            found.map(Some).ok_or_else(|| unknown(field, name, names))
        }
        other => Err(unknown(
            "stemmer.type",
            other,
            ["snowball", "none"].into_iter(),
        )),
    }
}
