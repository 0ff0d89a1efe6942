//! The languages of stop words and of stemmers, as the API names them.

use frostem::{Algorithm, Stemmer};

macro_rules! named {
    (
        $(#[$doc:meta])*
        $type:ident { $($variant:ident = $name:literal / $inner:expr,)* } $inner_type:ty
    ) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $type { $(#[doc = $name] $variant,)* }

        impl $type {
            /// Every one, in the order of the API.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What the API calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|language| language.name() == name)
            }

            const fn inner(self) -> $inner_type {
                match self { $(Self::$variant => $inner,)* }
            }
        }
    };
}

named! {
    /// A language that has a list of stop words.
    StopLanguage {
        Arabic = "arabic" / "ar",
        Azerbaijani = "azerbaijani" / "az",
        Basque = "basque" / "eu",
        Bengali = "bengali" / "bn",
        Catalan = "catalan" / "ca",
        Chinese = "chinese" / "zh",
        Danish = "danish" / "da",
        Dutch = "dutch" / "nl",
        English = "english" / "en",
        Finnish = "finnish" / "fi",
        French = "french" / "fr",
        German = "german" / "de",
        Greek = "greek" / "el",
        Hebrew = "hebrew" / "he",
        Hinglish = "hinglish" / "hinglish",
        Hungarian = "hungarian" / "hu",
        Indonesian = "indonesian" / "id",
        Italian = "italian" / "it",
        Japanese = "japanese" / "ja",
        Kazakh = "kazakh" / "kk",
        Nepali = "nepali" / "ne",
        Norwegian = "norwegian" / "no",
        Portuguese = "portuguese" / "pt",
        Romanian = "romanian" / "ro",
        Russian = "russian" / "ru",
        Slovene = "slovene" / "sl",
        Spanish = "spanish" / "es",
        Swedish = "swedish" / "sv",
        Tajik = "tajik" / "tg",
        Turkish = "turkish" / "tr",
    }
    &'static str
}

impl StopLanguage {
    /// Its stop words: NLTK's, and for Japanese those of stopwords-iso.
    #[must_use]
    pub fn words(self) -> &'static [&'static str] {
        stop_words::lookup(self.inner()).unwrap_or_default()
    }
}

named! {
    /// A language that has a Snowball stemmer.
    StemLanguage {
        Arabic = "arabic" / Algorithm::Arabic,
        Armenian = "armenian" / Algorithm::Armenian,
        Danish = "danish" / Algorithm::Danish,
        Dutch = "dutch" / Algorithm::DutchPorter,
        English = "english" / Algorithm::English,
        Finnish = "finnish" / Algorithm::Finnish,
        French = "french" / Algorithm::French,
        German = "german" / Algorithm::German,
        Greek = "greek" / Algorithm::Greek,
        Hungarian = "hungarian" / Algorithm::Hungarian,
        Italian = "italian" / Algorithm::Italian,
        Norwegian = "norwegian" / Algorithm::Norwegian,
        Portuguese = "portuguese" / Algorithm::Portuguese,
        Romanian = "romanian" / Algorithm::Romanian,
        Russian = "russian" / Algorithm::Russian,
        Spanish = "spanish" / Algorithm::Spanish,
        Swedish = "swedish" / Algorithm::Swedish,
        Tamil = "tamil" / Algorithm::Tamil,
        Turkish = "turkish" / Algorithm::Turkish,
    }
    Algorithm
}

impl StemLanguage {
    pub(super) fn stemmer(self) -> Stemmer {
        Stemmer::new(self.inner())
    }
}
