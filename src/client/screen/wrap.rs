//! How does a text fit into a number of columns?

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Fewer columns than these beside a name are not worth beginning a text in.
const FIRST_ROW_MIN: usize = 8;

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The rows of `text`, which is escaped and may hold line feeds, of at most `first` columns the first
/// and `rest` the others. Rows end between words where that is possible. There is at least one,
/// which is empty if there is no room for anything beside what stands before it.
pub(super) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let rest = rest.max(1);
    let text = text.replace('\t', "    ");
    let mut rows = Vec::new();
    if first < FIRST_ROW_MIN && columns(&text) > first {
        rows.push(String::new());
    }
    for line in text.split('\n') {
        wrap_line(line, first.max(1), rest, &mut rows);
    }
    rows
}

fn wrap_line(line: &str, first: usize, rest: usize, rows: &mut Vec<String>) {
    let mut row = String::new();
    // Behind the last space of the row.
    let mut word_at = 0;
    for part in line.graphemes(true) {
        let room = if rows.is_empty() { first } else { rest };
        if columns(&row) + columns(part) > room && !row.is_empty() {
            let is_space = part == " ";
            let word = match word_at {
                0 => String::new(),
                _ if is_space => String::new(),
                at => row.split_off(at),
            };
            rows.push(row.trim_end().to_owned());
            row = word;
            word_at = 0;
            if is_space {
                continue;
            }
        }
        row.push_str(part);
        if part == " " {
            word_at = row.len();
        }
    }
    rows.push(row);
}

/// `text` with at most so many columns; what is cut off is told by a dot.
pub(super) fn fit(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let mut fitted = String::new();
    for part in text.graphemes(true) {
        if columns(&fitted) + columns(part) + 1 > columns_max {
            break;
        }
        fitted.push_str(part);
    }
    if columns_max > 0 {
        fitted.push('…');
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_between_words_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 8, 8), ["one two", "three"]);
        assert_eq!(wrap("one two three", 9, 5), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8, 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("ab abcdefghijkl", 8, 8), ["ab", "abcdefgh", "ijkl"]);
        assert_eq!(wrap("", 8, 8), [""]);
        assert_eq!(wrap("a\n\nb", 8, 8), ["a", "", "b"]);
        assert_eq!(wrap("\tx", 8, 8), ["    x"]);
    }

    #[test]
    fn a_text_begins_below_a_name_that_leaves_no_room() {
        assert_eq!(wrap("one two three", 2, 8), ["", "one two", "three"]);
        assert_eq!(wrap("ab", 2, 8), ["ab"]);
        assert_eq!(wrap("ab", 0, 8), ["", "ab"]);
    }

    #[test]
    fn columns_are_what_a_terminal_shows() {
        assert_eq!(wrap("日本語日本語", 8, 8), ["日本語日", "本語"]);
        // A letter with its accents is one character, wherever the row ends.
        assert_eq!(wrap("aaaaaaae\u{301}", 8, 8), ["aaaaaaae\u{301}"]);
        for row in wrap(&"🙂x".repeat(40), 9, 10) {
            assert!(columns(&row) <= 10, "{row}");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_with_a_sign() {
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abcd", 3), "ab…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abcd", 0), "");
    }
}
