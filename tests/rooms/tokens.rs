//! What does a source say when comments and texts are left out? Just enough of Rust's lexer to
//! find paths and words that count.

/// A word or a sign of a source. Comments are not there at all; of literals only that there was
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// An identifier, `::`, a single sign, or `""` for a literal.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

/// All tokens of `source`.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader {
        rest: source.chars().collect(),
        at: 0,
        line: 1,
    };
    let mut tokens = Vec::new();
    while let Some(token) = reader.token() {
        tokens.push(token);
    }
    tokens
}

struct Reader {
    rest: Vec<char>,
    /// The next character; never beyond the end.
    at: usize,
    /// The line of that character, from 1.
    line: usize,
}

impl Reader {
    fn token(&mut self) -> Option<Token> {
        self.skip_blanks_and_comments();
        let line = self.line;
        let first = self.peek(0)?;
        let text = if is_word(first) {
            self.word_or_literal()
        } else if first == '"' {
            self.skip_quoted('"');
            String::new()
        } else if first == '\'' {
            self.lifetime_or_character()
        } else if first == ':' && self.peek(1) == Some(':') {
            self.skip(2);
            "::".to_owned()
        } else {
            self.skip(1);
            first.to_string()
        };
        Some(Token { text, line })
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == Some('\n') {
                self.line += 1;
            }
            self.at = (self.at + 1).min(self.rest.len());
        }
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(c), _) if c.is_whitespace() => self.skip(1),
                (Some('/'), Some('/')) => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.skip(1);
                    }
                }
                (Some('/'), Some('*')) => self.skip_block_comment(),
                _ => return,
            }
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.skip(2);
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.skip(2);
                }
                (None, _) => return,
                _ => self.skip(1),
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// A word, or the literal that it is the prefix of: `b"…"`, `r#"…"#`, `br"…"`, `c"…"`, `b'…'`.
    fn word_or_literal(&mut self) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(is_word) {
            self.skip(1);
        }
        let word: String = self.rest[start..self.at].iter().collect();
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        match self.peek(0) {
            Some('"' | '#') if raw && self.raw_string_begins() => {
                self.skip_raw_string();
                String::new()
            }
            // A raw identifier: `r#type` is the name `type`.
            Some('#') if word == "r" && self.peek(1).is_some_and(is_word) => {
                self.skip(1);
                self.word_or_literal()
            }
            Some('"') if matches!(word.as_str(), "b" | "c") => {
                self.skip_quoted('"');
                String::new()
            }
            Some('\'') if word == "b" => {
                self.skip_quoted('\'');
                String::new()
            }
            _ => word,
        }
    }

    fn raw_string_begins(&self) -> bool {
        let signs = (0..)
            .take_while(|ahead| self.peek(*ahead) == Some('#'))
            .count();
        self.peek(signs) == Some('"')
    }

    fn skip_raw_string(&mut self) {
        let signs = (0..)
            .take_while(|ahead| self.peek(*ahead) == Some('#'))
            .count();
        self.skip(signs + 1);
        while let Some(c) = self.peek(0) {
            self.skip(1);
            if c == '"' && (0..signs).all(|ahead| self.peek(ahead) == Some('#')) {
                self.skip(signs);
                return;
            }
        }
    }

    fn skip_quoted(&mut self, quote: char) {
        self.skip(1);
        while let Some(c) = self.peek(0) {
            self.skip(if c == '\\' { 2 } else { 1 });
            if c == quote {
                return;
            }
        }
    }

    /// `'a'` and `'\n'` are characters, `'a` is a lifetime.
    fn lifetime_or_character(&mut self) -> String {
        let lifetime = self.peek(1).is_some_and(is_word) && self.peek(2) != Some('\'');
        if lifetime {
            self.skip(1);
            while self.peek(0).is_some_and(is_word) {
                self.skip(1);
            }
            return "'".to_owned();
        }
        self.skip_quoted('\'');
        String::new()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source)
            .into_iter()
            .map(|token| token.text)
            .filter(|text| text.chars().any(is_word))
            .collect()
    }

    #[test]
    fn comments_say_nothing() {
        assert_eq!(words("a // b\n/* c /* d */ e */ f //! g"), ["a", "f"]);
    }

    #[test]
    fn literals_say_nothing() {
        let source = r####"a("b\"c", r#"d"e"#, b"f", br##"g"#"##, 'h', '\'', b'i', c"j") k"####;
        assert_eq!(words(source), ["a", "k"]);
    }

    #[test]
    fn lifetimes_do_not_swallow_what_follows() {
        assert_eq!(
            words("fn a<'x>(b: &'x str, c: &'static C)"),
            ["fn", "a", "b", "str", "c", "C"]
        );
    }

    #[test]
    fn raw_identifiers_are_their_names() {
        assert_eq!(words("r#type::b"), ["type", "b"]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let found = tokens("a\n\"x\ny\"\n/*\n*/ b");
        assert_eq!(found.first().map(|token| token.line), Some(1));
        assert_eq!(found.last().map(|token| token.line), Some(5));
    }
}
