//! What is where on the screen?
//!
//! ```text
//!  lastword  alice    │ bob                                        online
//! ▸bob              3 │ ─────────── Tuesday, 24 November 2026 ──────────
//!  carol              │ 14:03   bob: hi
//!  dave            12 │ 14:04 ✓ alice: hello
//! ────────────────────┴──────────────────────────────────────────────────
//!  > what is being typed
//!  ● 127.0.0.1:5000 (server 1) · view 1 · 3 of 3 in sync · 0.3 ms
//! ```
//!
//! With fewer than [`WIDE_MIN`] columns the list and the conversation take turns.

mod conversation;
mod form;
mod pages;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::super::failover::Client;
use super::super::show::Colours;
use super::theme::Look;
use super::{SIZE_MAX, Screen};
use crate::types::Time;

/// From so many columns on the list stands beside the conversation.
pub(super) const WIDE_MIN: u16 = 60;

/// The cells of the whole screen, and where the cursor is.
pub(super) fn screen(
    screen: &mut Screen,
    client: &Client,
    now: Time,
) -> (Buffer, Option<Position>) {
    let (columns, rows) = screen.size;
    let area = Rect::new(0, 0, columns.min(SIZE_MAX), rows.min(SIZE_MAX));
    let mut canvas = Canvas {
        buffer: Buffer::empty(area),
        colours: screen.colours,
    };
    let cursor = match &mut screen.chat {
        Some(chat) => {
            let is_leaving = screen.leaving.is_some();
            let place = conversation::Place {
                status: &screen.status,
                zone: &screen.zone,
                is_leaving,
                now,
            };
            conversation::draw(chat, &place, &mut canvas)
        }
        None => form::draw(&screen.entrance, &screen.status, client, now, &mut canvas),
    };
    let seen = |at: &Position| at.x < area.width && at.y < area.height;
    (canvas.buffer, cursor.filter(seen))
}

/// What is drawn on. What would lie beyond its edges is left out.
struct Canvas {
    buffer: Buffer,
    colours: Colours,
}

impl Canvas {
    fn width(&self) -> u16 {
        self.buffer.area.width
    }

    fn height(&self) -> u16 {
        self.buffer.area.height
    }

    fn span(&self, text: impl Into<String>, look: Look) -> Span<'static> {
        Span::styled(text.into(), look.style(self.colours))
    }

    /// A line in at most so many columns.
    fn line(&mut self, x: u16, y: u16, columns: u16, line: &Line<'_>) {
        if x < self.width() && y < self.height() {
            let columns = columns.min(self.width() - x);
            self.buffer.set_line(x, y, line, columns);
            self.buffer
                .set_style(Rect::new(x, y, columns, 1), line.style);
        }
    }

    fn text(&mut self, x: u16, y: u16, columns: u16, text: &str, look: Look) {
        let line = Line::from(self.span(text, look));
        self.line(x, y, columns, &line);
    }

    /// The same, ending at the right edge of the columns.
    fn text_right(&mut self, x: u16, y: u16, columns: u16, text: &str, look: Look) {
        let width = Line::from(text).width() as u16;
        let left = columns.saturating_sub(width);
        self.text(x + left, y, columns - left, text, look);
    }
}
