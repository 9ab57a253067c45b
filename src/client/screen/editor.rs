//! What does the line become in which somebody types?
//!
//! It may have several lines, and grows only up to a limit. Its keys are those of shells.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use super::super::show::escape;
use super::wrap::columns;

/// What has been typed, and where the next character goes.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    /// A byte of the text at which a character begins, or its end.
    cursor: usize,
    /// What was cut out last.
    cut: String,
    /// Bytes that the text may have.
    bytes_max: usize,
    /// It may have several lines.
    has_lines: bool,
}

/// The text as rows of a terminal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// At least one.
    pub rows: Vec<String>,
    /// In which of them the cursor is.
    pub cursor_row: usize,
    /// And in which column.
    pub cursor_column: usize,
}

impl Editor {
    /// An empty one of several lines with at most so many bytes.
    pub fn of_lines(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            has_lines: true,
            ..Self::default()
        }
    }

    /// An empty one of one line with at most so many bytes.
    pub fn of_one_line(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the cursor.
    pub fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// Another text, with the cursor at its end.
    pub fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
    }

    /// The text, after which there is none.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts a text where the cursor is: line ends of all kinds are line feeds, other control
    /// characters are left out. `false` if it would become too long; then nothing has changed.
    pub fn insert(&mut self, text: &str) -> bool {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let is_kept = |character: &char| match character {
            '\n' => self.has_lines,
            '\t' => self.has_lines,
            character => !character.is_control(),
        };
        let text: String = text.chars().filter(is_kept).collect();
        if self.text.len() + text.len() > self.bytes_max {
            return false;
        }
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        true
    }

    /// Puts `text` in place of what stands between `from` and the cursor.
    pub fn replace_from(&mut self, from: usize, text: &str) {
        self.text.replace_range(from..self.cursor, text);
        self.cursor = from + text.len();
    }

    /// Does what a key does here. `false` if that is nothing.
    pub fn handle_key(&mut self, key: KeyEvent) -> bool {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let has_alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char(character) if has_control => self.handle_control(character),
            KeyCode::Char('b') if has_alt => self.cursor = self.word_before(),
            KeyCode::Char('f') if has_alt => self.cursor = self.word_behind(),
            KeyCode::Char('d') if has_alt => self.cut_out(self.cursor, self.word_behind()),
            KeyCode::Backspace if has_alt || has_control => {
                self.cut_out(self.word_before(), self.cursor);
            }
            KeyCode::Char(character) if !has_alt => {
                return self.insert(character.encode_utf8(&mut [0; 4]));
            }
            KeyCode::Left if has_control || has_alt => self.cursor = self.word_before(),
            KeyCode::Right if has_control || has_alt => self.cursor = self.word_behind(),
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.behind(),
            KeyCode::Home => self.cursor = self.line_start(),
            KeyCode::End => self.cursor = self.line_end(),
            KeyCode::Backspace => self.remove(self.before(), self.cursor),
            KeyCode::Delete => self.remove(self.cursor, self.behind()),
            _ => return false,
        }
        true
    }

    fn handle_control(&mut self, character: char) {
        match character {
            'a' => self.cursor = self.line_start(),
            'e' => self.cursor = self.line_end(),
            'b' => self.cursor = self.before(),
            'h' => self.remove(self.before(), self.cursor),
            'd' => self.remove(self.cursor, self.behind()),
            'k' => self.cut_out(self.cursor, self.line_end()),
            'u' => self.cut_out(self.line_start(), self.cursor),
            'w' => self.cut_out(self.word_before(), self.cursor),
            'y' => drop(self.insert(&self.cut.clone())),
            _ => {}
        }
    }

    /// The cursor goes to the line above. `false` if there is none.
    pub fn up(&mut self) -> bool {
        let start = self.line_start();
        if start == 0 {
            return false;
        }
        let column = self.text[start..self.cursor].graphemes(true).count();
        let above = self.text[..start - 1].rfind('\n').map_or(0, |at| at + 1);
        self.cursor = self.place_in(above, column);
        true
    }

    /// The cursor goes to the line below. `false` if there is none.
    pub fn down(&mut self) -> bool {
        let end = self.line_end();
        if end == self.text.len() {
            return false;
        }
        let column = self.text[self.line_start()..self.cursor]
            .graphemes(true)
            .count();
        self.cursor = self.place_in(end + 1, column);
        true
    }

    /// The text in rows of so many columns.
    pub fn rows(&self, width: usize) -> Rows {
        let width = width.max(2);
        let mut shown = Rows {
            rows: vec![String::new()],
            cursor_row: 0,
            cursor_column: 0,
        };
        for (at, part) in self.text.grapheme_indices(true) {
            let piece = match part {
                "\n" => String::new(),
                "\t" => "    ".to_owned(),
                part => escape(part),
            };
            let last = shown.rows.len() - 1;
            // The cursor itself needs a column behind the last character.
            if columns(&shown.rows[last]) + columns(&piece) >= width {
                shown.rows.push(String::new());
            }
            let last = shown.rows.len() - 1;
            if at == self.cursor {
                shown.cursor_row = last;
                shown.cursor_column = columns(&shown.rows[last]);
            }
            match part {
                "\n" => shown.rows.push(String::new()),
                _ => shown.rows[last].push_str(&piece),
            }
        }
        if self.cursor == self.text.len() {
            shown.cursor_row = shown.rows.len() - 1;
            shown.cursor_column = columns(&shown.rows[shown.cursor_row]);
        }
        shown
    }
}

/// Places in the text.
impl Editor {
    fn before(&self) -> usize {
        let part = self.text[..self.cursor].graphemes(true).next_back();
        self.cursor - part.map_or(0, str::len)
    }

    fn behind(&self) -> usize {
        let part = self.text[self.cursor..].graphemes(true).next();
        self.cursor + part.map_or(0, str::len)
    }

    fn line_start(&self) -> usize {
        let line_feed = self.text[..self.cursor].rfind('\n');
        line_feed.map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        let line_feed = self.text[self.cursor..].find('\n');
        line_feed.map_or(self.text.len(), |at| self.cursor + at)
    }

    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        let space = before.char_indices().rev().find(|it| it.1.is_whitespace());
        space.map_or(0, |(at, space)| at + space.len_utf8())
    }

    fn word_behind(&self) -> usize {
        let behind = &self.text[self.cursor..];
        let word = behind.len() - behind.trim_start().len();
        let space = behind[word..].find(char::is_whitespace);
        self.cursor + space.map_or(behind.len(), |at| word + at)
    }

    /// So many characters behind the start of a line, or at its end.
    fn place_in(&self, line: usize, column: usize) -> usize {
        let text = self.text[line..].split('\n').next().unwrap_or_default();
        let before: usize = text.graphemes(true).take(column).map(str::len).sum();
        line + before
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.drain(from..to);
        self.cursor = from;
    }

    fn cut_out(&mut self, from: usize, to: usize) {
        if from < to {
            self.cut = self.text.drain(from..to).collect();
            self.cursor = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An editor with a text, the cursor where the `|` is.
    fn editor(text: &str) -> Editor {
        let mut editor = Editor::of_lines(100);
        editor.set(&text.replace('|', ""));
        editor.cursor = text.find('|').unwrap();
        editor
    }

    fn shown(editor: &Editor) -> String {
        let (before, behind) = editor.text.split_at(editor.cursor);
        format!("{before}|{behind}")
    }

    fn press(editor: &mut Editor, code: KeyCode, modifiers: KeyModifiers) -> String {
        editor.handle_key(KeyEvent::new(code, modifiers));
        shown(editor)
    }

    fn control(text: &str, character: char) -> String {
        let mut editor = editor(text);
        press(&mut editor, KeyCode::Char(character), KeyModifiers::CONTROL)
    }

    #[test]
    fn keys_do_what_they_do_in_a_shell() {
        assert_eq!(control("one two|", 'a'), "|one two");
        assert_eq!(control("|one two", 'e'), "one two|");
        assert_eq!(control("one| two", 'k'), "one|");
        assert_eq!(control("one| two", 'u'), "| two");
        assert_eq!(control("one two |three", 'w'), "one |three");
        assert_eq!(control("one two|", 'w'), "one |");
        assert_eq!(control("on|e", 'd'), "on|");
        assert_eq!(control("one\ntwo|\nthree", 'u'), "one\n|\nthree");
        assert_eq!(control("one\nt|wo\nthree", 'k'), "one\nt|\nthree");
        let mut cut = editor("one two|");
        press(&mut cut, KeyCode::Char('w'), KeyModifiers::CONTROL);
        press(&mut cut, KeyCode::Char('a'), KeyModifiers::CONTROL);
        let pasted = press(&mut cut, KeyCode::Char('y'), KeyModifiers::CONTROL);
        assert_eq!(pasted, "two|one ");
    }

    #[test]
    fn a_character_is_what_a_reader_takes_for_one() {
        let none = KeyModifiers::NONE;
        let mut accents = editor("ae\u{301}🇩🇪|");
        assert_eq!(press(&mut accents, KeyCode::Left, none), "ae\u{301}|🇩🇪");
        assert_eq!(press(&mut accents, KeyCode::Backspace, none), "a|🇩🇪");
        assert_eq!(press(&mut accents, KeyCode::Delete, none), "a|");
        assert_eq!(press(&mut accents, KeyCode::Delete, none), "a|");
    }

    #[test]
    fn words_are_walked_and_cut() {
        let mut words = editor("one  two| three");
        let alt = KeyModifiers::ALT;
        assert_eq!(
            press(&mut words, KeyCode::Char('b'), alt),
            "one  |two three"
        );
        assert_eq!(
            press(&mut words, KeyCode::Left, KeyModifiers::CONTROL),
            "|one  two three"
        );
        assert_eq!(press(&mut words, KeyCode::Right, alt), "one|  two three");
        assert_eq!(press(&mut words, KeyCode::Char('d'), alt), "one| three");
    }

    #[test]
    fn a_paste_keeps_its_lines_and_loses_what_steers_a_terminal() {
        let mut lines = editor("a|b");
        assert!(lines.insert("1\r\n2\r3\x1b[2J\u{9b}\t"));
        assert_eq!(lines.text(), "a1\n2\n3[2J\tb");
        let mut line = Editor::of_one_line(100);
        assert!(line.insert("na\nme\t"));
        assert_eq!(line.text(), "name");
    }

    #[test]
    fn what_would_become_too_long_is_not_taken() {
        let mut full = Editor::of_lines(4);
        assert!(full.insert("abc"));
        assert!(!full.insert("ä"));
        assert!(full.insert("d"));
        assert_eq!(full.text(), "abcd");
    }

    #[test]
    fn the_cursor_goes_from_line_to_line() {
        let mut lines = editor("long line\nab\nlonger| line");
        assert!(lines.up());
        assert_eq!(shown(&lines), "long line\nab|\nlonger line");
        assert!(lines.up());
        assert_eq!(shown(&lines), "lo|ng line\nab\nlonger line");
        assert!(!lines.up());
        assert!(lines.down() && lines.down() && !lines.down());
        assert_eq!(shown(&lines), "long line\nab\nlo|nger line");
    }

    #[test]
    fn rows_leave_a_column_for_the_cursor() {
        let rows = |text: &str| {
            let rows = editor(text).rows(4);
            (rows.rows.join("/"), rows.cursor_row, rows.cursor_column)
        };
        assert_eq!(rows("|"), (String::new(), 0, 0));
        assert_eq!(rows("abc|"), ("abc".into(), 0, 3));
        assert_eq!(rows("abcd|"), ("abc/d".into(), 1, 1));
        assert_eq!(rows("abc|d"), ("abc/d".into(), 1, 0));
        assert_eq!(rows("a\n|b"), ("a/b".into(), 1, 0));
        assert_eq!(rows("a|\nb"), ("a/b".into(), 0, 1));
        assert_eq!(rows("日日|"), ("日/日".into(), 1, 2));
    }
}
