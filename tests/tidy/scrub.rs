//! Rust source with comments and literals blanked, byte for byte in place.
//!
//! Enough of a lexer for the checks: a word found in the result is code, and its offset is its
//! offset in the file. Literals become quotes (`"`), comments become spaces, newlines stay.

/// Blanks comments and literals of `source`. The result has the same length and line breaks.
pub(crate) fn scrub(source: &str) -> String {
    let mut lexer = Lexer {
        source: source.as_bytes(),
        out: source.as_bytes().to_vec(),
        at: 0,
    };
    lexer.run();
    String::from_utf8(lexer.out).expect("whole characters were blanked")
}

struct Lexer<'a> {
    source: &'a [u8],
    out: Vec<u8>,
    at: usize,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while self.at < self.source.len() {
            let end = self.token_end();
            self.at = end.max(self.at + 1);
        }
    }

    /// The end of what starts at `at`, blanked if it is a comment or a literal.
    fn token_end(&mut self) -> usize {
        let rest = &self.source[self.at..];
        if rest.starts_with(b"//") {
            return self.blank(self.at, line_end(self.source, self.at), b' ');
        }
        if rest.starts_with(b"/*") {
            return self.blank(self.at, block_comment_end(self.source, self.at), b' ');
        }
        if is_word(rest[0]) {
            return self.word_end();
        }
        match rest[0] {
            b'"' => self.blank(self.at, string_end(self.source, self.at), b'"'),
            b'\'' => match char_end(self.source, self.at) {
                Some(end) => self.blank(self.at, end, b'"'),
                None => self.at + 1,
            },
            _ => self.at + 1,
        }
    }

    /// A word, or a literal with a prefix: `r"..."`, `br#"..."#`, `b'x'`, `c"..."`.
    fn word_end(&mut self) -> usize {
        let start = self.at;
        let mut end = start;
        while end < self.source.len() && is_word(self.source[end]) {
            end += 1;
        }
        let word = &self.source[start..end];
        let next = self.source.get(end).copied();
        if matches!(word, b"r" | b"br" | b"cr") && matches!(next, Some(b'"' | b'#')) {
            return match raw_string_end(self.source, end) {
                Some(close) => self.blank(start, close, b'"'),
                None => end, // `r#match`, a raw identifier
            };
        }
        if matches!(word, b"b" | b"c") && next == Some(b'"') {
            return self.blank(start, string_end(self.source, end), b'"');
        }
        if word == b"b" && next == Some(b'\'') {
            let close = char_end(self.source, end).unwrap_or(end + 1);
            return self.blank(start, close, b'"');
        }
        end
    }

    fn blank(&mut self, start: usize, end: usize, with: u8) -> usize {
        for byte in &mut self.out[start..end] {
            if *byte != b'\n' {
                *byte = with;
            }
        }
        end
    }
}

/// Whether a byte can be part of an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn line_end(source: &[u8], at: usize) -> usize {
    source[at..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(source.len(), |n| at + n)
}

fn block_comment_end(source: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut here = at;
    while here < source.len() {
        if source[here..].starts_with(b"/*") {
            depth += 1;
            here += 2;
        } else if source[here..].starts_with(b"*/") {
            depth -= 1;
            here += 2;
            if depth == 0 {
                return here;
            }
        } else {
            here += 1;
        }
    }
    source.len()
}

/// The end of a string whose quote is at `at`.
fn string_end(source: &[u8], at: usize) -> usize {
    let mut here = at + 1;
    while here < source.len() {
        match source[here] {
            b'\\' => here += 2,
            b'"' => return here + 1,
            _ => here += 1,
        }
    }
    source.len()
}

/// The end of a raw string whose hashes or quote start at `at`.
fn raw_string_end(source: &[u8], at: usize) -> Option<usize> {
    let hashes = source[at..]
        .iter()
        .take_while(|&&byte| byte == b'#')
        .count();
    let open = at + hashes;
    if source.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = open + 1;
    let length = source[body..]
        .windows(close.len())
        .position(|window| window == close)?;
    Some(body + length + close.len())
}

/// The end of a character literal whose quote is at `at`; `None` for a lifetime.
fn char_end(source: &[u8], at: usize) -> Option<usize> {
    let first = *source.get(at + 1)?;
    if first == b'\\' {
        let from = at + 3;
        let length = source.get(from..)?.iter().position(|&byte| byte == b'\'')?;
        return Some(from + length + 1);
    }
    // One character of one to four bytes, then the quote.
    let length = 1 + source[at + 2..]
        .iter()
        .take_while(|&&byte| byte & 0xC0 == 0x80)
        .count();
    (source.get(at + 1 + length) == Some(&b'\'')).then_some(at + length + 2)
}

/// Where `word` stands in `code` as a whole word.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let before = at == 0 || !is_word(bytes[at - 1]);
            let after = bytes
                .get(at + word.len())
                .is_none_or(|&byte| !is_word(byte));
            before && after
        })
}

/// The line number, from 1, of an offset.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

#[test]
fn only_code_is_left_and_nothing_moves() {
    let source = "fn a<'x>(c: &'x str) { let q = '\"'; let s = r#\"un\"safe\"#; } // unsafe\n\
                  /* unsafe /* nested */ unsafe */ unsafe {} b'\\'' \"esc \\\" unsafe\"";
    let code = scrub(source);
    assert_eq!(code.len(), source.len());
    assert_eq!(words(&code, "unsafe").count(), 1);
    let at = words(&code, "unsafe").next().expect("the code word stays");
    assert_eq!(&source[at..at + 9], "unsafe {}");
    assert_eq!(line_of(source, at), 2);
    assert!(code.contains("fn a<'x>(c: &'x str)"));
}
