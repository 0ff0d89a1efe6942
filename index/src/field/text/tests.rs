//! What analyzers give for texts.

use format_spec::Value;
use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn object(members: &[(&str, Value)]) -> Value {
    let member = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
    Value::Object(members.iter().map(member).collect())
}

fn analyzer(members: &[(&str, Value)]) -> Analyzer {
    Analyzer::new(TextSettings::from_value(&object(members)).unwrap())
}

fn document(analyzer: &Analyzer, text: &str) -> Vec<(String, u32)> {
    let mut tokens = Vec::new();
    analyzer.document(text, &mut |token, at| tokens.push((token.to_owned(), at)));
    tokens
}

fn tokens(analyzer: &Analyzer, text: &str) -> Vec<String> {
    let document: Vec<String> = document(analyzer, text).into_iter().map(|t| t.0).collect();
    assert_eq!(document, analyzer.query(text));
    document
}

#[test]
fn words_are_runs_of_letters_and_digits_in_lower_case() {
    let plain = Analyzer::default();
    assert_eq!(
        tokens(&plain, "The quick-brown Fox, 42 ÉTÉ_x!"),
        ["the", "quick", "brown", "fox", "42", "été", "x"]
    );
    assert!(tokens(&plain, " .,-! ").is_empty());
    let positions = document(&plain, "a b a");
    assert_eq!(
        positions,
        [("a".into(), 0), ("b".into(), 1), ("a".into(), 2)]
    );
}

#[test]
fn whitespace_keeps_punctuation_and_case_can_be_kept() {
    let spaces = analyzer(&[("tokenizer", text("whitespace"))]);
    assert_eq!(
        tokens(&spaces, "C++ is\tnot C#"),
        ["c++", "is", "not", "c#"]
    );
    let cased = analyzer(&[("lowercase", Value::Bool(false))]);
    assert_eq!(tokens(&cased, "Hello hello"), ["Hello", "hello"]);
}

#[test]
fn prefixes_are_in_documents_and_whole_words_in_queries() {
    let prefix = analyzer(&[
        ("tokenizer", text("prefix")),
        ("min_token_len", Value::Int(2)),
        ("max_token_len", Value::Int(4)),
    ]);
    assert_eq!(
        document(&prefix, "Straße x go"),
        [
            ("st".into(), 0),
            ("str".into(), 0),
            ("stra".into(), 0),
            ("go".into(), 1),
        ]
    );
    assert_eq!(prefix.query("STRASSEN x go"), ["stra", "go"]);
    let all = analyzer(&[("tokenizer", text("prefix"))]);
    assert_eq!(document(&all, "ab").len(), 2);
}

#[test]
fn lengths_are_counted_in_characters() {
    let some = analyzer(&[
        ("min_token_len", Value::Int(2)),
        ("max_token_len", Value::Int(3)),
    ]);
    assert_eq!(tokens(&some, "é éa éab éabc"), ["éa", "éab"]);
}

#[test]
fn accents_are_folded_where_ascii_has_a_letter() {
    let folded = analyzer(&[("ascii_folding", Value::Bool(true))]);
    assert_eq!(
        tokens(&folded, "ação Łódź Straße cœur Ångström ﬁn Ελλάδα 東京"),
        [
            "acao",
            "lodz",
            "strasse",
            "coeur",
            "angstrom",
            "fin",
            "ελλάδα",
            "東京"
        ]
    );
}

#[test]
fn stop_words_come_by_language_and_by_hand() {
    let english = analyzer(&[("stopwords", text("english"))]);
    assert_eq!(tokens(&english, "The cat and the hat"), ["cat", "hat"]);
    assert_eq!(
        document(&english, "The cat and the hat")[1],
        ("hat".into(), 1)
    );
    let both = object(&[
        (
            "languages",
            Value::Array(vec![text("french"), text("german")]),
        ),
        ("custom", Value::Array(vec![text("Katze")])),
    ]);
    let both = analyzer(&[("stopwords", both), ("ascii_folding", Value::Bool(true))]);
    assert_eq!(tokens(&both, "die Katze était là avec le chien"), ["chien"]);
}

#[test]
fn every_stop_list_is_there_and_is_the_one_that_was_frozen() {
    use std::hash::Hasher as _;
    let mut hash = siphasher::sip::SipHasher24::new();
    for language in StopLanguage::ALL {
        let words = language.words();
        assert!(words.len() > 20, "{}: {}", language.name(), words.len());
        for word in words {
            hash.write(word.as_bytes());
            hash.write_u8(0);
        }
    }
    // A change of these is a new `ANALYSIS`.
    assert_eq!(hash.finish(), 0x16ca_7641_47a3_a498, "{:#x}", hash.finish());
}

#[test]
fn stems_are_those_of_the_language() {
    let stemmer = |language: &str| {
        analyzer(&[(
            "stemmer",
            object(&[("type", text("snowball")), ("language", text(language))]),
        )])
    };
    assert_eq!(
        tokens(&stemmer("english"), "Running connections fruitlessly"),
        ["run", "connect", "fruitless"]
    );
    assert_eq!(tokens(&stemmer("german"), "Häuser"), ["haus"]);
    assert_eq!(tokens(&stemmer("russian"), "книги"), ["книг"]);
    for language in StemLanguage::ALL {
        assert_eq!(tokens(&stemmer(language.name()), "x").len(), 1);
    }
    let none = analyzer(&[("stemmer", object(&[("type", text("none"))]))]);
    assert_eq!(tokens(&none, "running"), ["running"]);
}

#[test]
fn languages_without_spaces_are_cut_into_words() {
    let many = analyzer(&[("tokenizer", text("multilingual"))]);
    assert_eq!(tokens(&many, "The quick fox"), ["the", "quick", "fox"]);
    let chinese = tokens(&many, "我们喜欢编程语言");
    assert!(chinese.len() > 2, "{chinese:?}");
    let thai = tokens(&many, "ภาษาไทยง่ายนิดเดียว");
    assert!(thai.len() > 2, "{thai:?}");
}

#[test]
fn code_is_cut_at_humps_and_signs() {
    let code = analyzer(&[("tokenizer", text("code"))]);
    assert_eq!(
        tokens(&code, "fn parseHTTPResponse(my_var: Vec2d) -> x9"),
        [
            "fn", "parse", "http", "response", "my", "var", "vec2d", "x9"
        ]
    );
}

#[test]
fn settings_that_are_not_of_the_api_are_refused() {
    let refused = |members: &[(&str, Value)], what: &str| {
        let error = TextSettings::from_value(&object(members)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    };
    refused(&[("tokenizer", text("words"))], "unknown variant `words`");
    refused(&[("tokenizer", Value::Int(1))], "tokenizer");
    refused(&[("lowercase", text("yes"))], "lowercase");
    refused(&[("min_token_len", Value::Int(-1))], "min_token_len");
    refused(&[("stopwords", text("klingon"))], "klingon");
    refused(&[("stopwords", Value::Int(3))], "stopwords");
    refused(&[("stemmer", text("english"))], "stemmer");
    refused(
        &[("stemmer", object(&[("type", text("porter"))]))],
        "porter",
    );
    refused(
        &[("stemmer", object(&[("type", text("snowball"))]))],
        "language",
    );
}

#[test]
fn the_content_is_known_by_a_hash_that_other_keys_do_not_change() {
    let hash = |members: &[(&str, Value)]| {
        TextSettings::from_value(&object(members))
            .unwrap()
            .content_hash()
    };
    let plain = hash(&[]);
    assert_ne!(plain, 0);
    assert_eq!(
        hash(&[("on_disk", Value::Bool(true)), ("tokenizer", text("word"))]),
        plain
    );
    let mut all = vec![plain];
    all.push(hash(&[("tokenizer", text("whitespace"))]));
    all.push(hash(&[("lowercase", Value::Bool(false))]));
    all.push(hash(&[("ascii_folding", Value::Bool(true))]));
    all.push(hash(&[("phrase_matching", Value::Bool(true))]));
    all.push(hash(&[("min_token_len", Value::Int(2))]));
    all.push(hash(&[("max_token_len", Value::Int(2))]));
    all.push(hash(&[("stopwords", text("english"))]));
    all.push(hash(&[(
        "stopwords",
        object(&[("custom", Value::Array(vec![text("a")]))]),
    )]));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 9);
}

proptest! {
    #[test]
    fn no_text_is_too_odd(
        words in ".{0,60}",
        tokenizer in prop::sample::select(Tokenizer::ALL.to_vec()),
        folding: bool,
    ) {
        let analyzer = analyzer(&[
            ("tokenizer", text(tokenizer.name())),
            ("ascii_folding", Value::Bool(folding)),
        ]);
        let document = document(&analyzer, &words);
        let query = analyzer.query(&words);
        // Whoever searches for a text finds it.
        for token in &query {
            prop_assert!(document.iter().any(|(found, _)| found == token), "{token:?}");
        }
        prop_assert!(document.is_sorted_by_key(|(_, at)| *at));
    }
}

#[test]
fn prefixes_of_a_long_word_are_few() {
    let analyzer = analyzer(&[("tokenizer", Value::Text("prefix".to_owned()))]);
    let word = "x".repeat(150_000);
    let mut found = Vec::new();
    analyzer.document(&word, &mut |token, _| found.push(token.len()));
    assert_eq!(found, (1..=64).collect::<Vec<_>>());
    assert_eq!(analyzer.query(&word), [&word[..64]]);
}
