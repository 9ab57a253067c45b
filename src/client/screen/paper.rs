//! Which bytes turn what a terminal shows into what it is to show?
//!
//! Only cells that have changed are written. Where a terminal's idea of a character's width may be
//! another one than ours, the cursor is placed anew behind it, so that the rest of the row stays
//! where it belongs.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Position;
use ratatui::style::{Color, Modifier};

/// What a terminal shows.
#[derive(Debug, Default)]
pub(super) struct Paper {
    /// The cells; `None` if nobody knows.
    shown: Option<Buffer>,
    /// Where the cursor is seen, if it is.
    cursor: Option<Position>,
}

impl Paper {
    /// What the terminal shows is not known any more: the next time all of it is written.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    /// The bytes after which the terminal shows `next`, with the cursor there.
    pub fn paint(&mut self, next: Buffer, cursor: Option<Position>) -> String {
        let mut out = String::new();
        let before = match self.shown.take() {
            Some(shown) if shown.area == next.area => shown,
            _ => {
                out.push_str("\x1b[0m\x1b[2J");
                Buffer::empty(next.area)
            }
        };
        let is_new = !out.is_empty();
        let changed = before.diff(&next);
        if changed.is_empty() && self.cursor == cursor && !is_new {
            self.shown = Some(next);
            return out;
        }
        // The cursor is not to be seen running about.
        out.insert_str(0, "\x1b[?25l");
        write_cells(&mut out, &changed);
        if let Some(Position { x, y }) = cursor {
            place(&mut out, x, y);
            out.push_str("\x1b[?25h");
        }
        self.cursor = cursor;
        self.shown = Some(next);
        out
    }
}

fn write_cells(out: &mut String, cells: &[(u16, u16, &Cell)]) {
    let mut at = None;
    let mut dress = String::new();
    for (x, y, cell) in cells {
        if at != Some((*x, *y)) {
            place(out, *x, *y);
        }
        let wanted = dress_of(cell);
        if wanted != dress {
            out.push_str(&wanted);
            dress = wanted;
        }
        out.push_str(cell.symbol());
        at = cell.symbol().is_ascii().then_some((x + 1, *y));
    }
    if !dress.is_empty() {
        out.push_str("\x1b[0m");
    }
}

fn place(out: &mut String, x: u16, y: u16) {
    let _ = write!(out, "\x1b[{};{}H", y + 1, x + 1);
}

/// The sequence that begins a cell's style, whatever was before.
fn dress_of(cell: &Cell) -> String {
    const MODIFIERS: [(Modifier, &str); 4] = [
        (Modifier::BOLD, ";1"),
        (Modifier::DIM, ";2"),
        (Modifier::UNDERLINED, ";4"),
        (Modifier::REVERSED, ";7"),
    ];
    let mut sequence = "\x1b[0".to_owned();
    for (modifier, code) in MODIFIERS {
        if cell.modifier.contains(modifier) {
            sequence.push_str(code);
        }
    }
    sequence.push_str(match cell.fg {
        Color::Red => ";31",
        Color::Green => ";32",
        Color::Yellow => ";33",
        Color::Cyan => ";36",
        _ => "",
    });
    sequence.push('m');
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    fn page(text: &str, style: Style) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 2));
        buffer.set_string(0, 1, text, style);
        buffer
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut paper = Paper::default();
        let cursor = Some(Position::new(3, 1));
        let first = paper.paint(page("abc", Style::new()), cursor);
        assert_eq!(
            first,
            "\x1b[?25l\x1b[0m\x1b[2J\x1b[2;1H\x1b[0mabc\x1b[0m\x1b[2;4H\x1b[?25h"
        );
        assert_eq!(paper.paint(page("abc", Style::new()), cursor), "");
        let next = paper.paint(page("abd", Style::new()), cursor);
        assert_eq!(next, "\x1b[?25l\x1b[2;3H\x1b[0md\x1b[0m\x1b[2;4H\x1b[?25h");
        let hidden = paper.paint(page("abd", Style::new()), None);
        assert_eq!(hidden, "\x1b[?25l");
        paper.forget();
        assert!(paper.paint(page("abd", Style::new()), None).contains("abd"));
    }

    #[test]
    fn the_place_behind_a_wide_character_is_said_anew() {
        let out = Paper::default().paint(page("🙂é.", Style::new()), None);
        assert!(
            out.contains("\x1b[2;1H\x1b[0m🙂\x1b[2;3Hé\x1b[2;4H."),
            "{out:?}"
        );
    }

    #[test]
    fn a_style_is_written_in_full() {
        let style = Style::new()
            .fg(Color::Red)
            .add_modifier(Modifier::BOLD | Modifier::REVERSED);
        let out = Paper::default().paint(page("x", style), None);
        assert!(out.contains("\x1b[0;1;7;31mx\x1b[0m"), "{out:?}");
    }
}
