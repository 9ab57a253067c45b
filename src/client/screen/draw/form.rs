//! How does the first screen look?

use std::time::Duration;

use ratatui::layout::Position;
use ratatui::text::Line;
use unicode_segmentation::UnicodeSegmentation;

use super::super::entrance::{Entrance, Field};
use super::super::status::Status;
use super::super::theme::Look;
use super::super::wrap::{columns, fit, wrap};
use super::Canvas;
use crate::client::failover::Client;
use crate::client::screen::conversations::Fate;
use crate::client::show::escape_line;
use crate::types::Time;

/// Columns of the form at most.
const WIDTH_MAX: u16 = 56;
/// Columns of a field's name.
const LABEL_WIDTH: u16 = 10;
/// Messages whose fate is told here; the others are counted.
const LEFTOVERS_MAX: usize = 3;

/// Draws it, and says where the cursor is.
pub(super) fn draw(
    entrance: &Entrance,
    status: &Status,
    client: &Client,
    now: Time,
    canvas: &mut Canvas,
) -> Option<Position> {
    let width = canvas.width().saturating_sub(2).min(WIDTH_MAX);
    let x = canvas.width().saturating_sub(width) / 2;
    let mut y = match canvas.height() {
        height if height >= 22 => 3,
        height if height >= 16 => 1,
        _ => 0,
    };
    canvas.text(x, y, width, "lastword", Look::Title);
    y += 2;
    draw_choice(entrance, x, y, width, canvas);
    y += 2;
    let mut cursor = None;
    for field in entrance.fields() {
        let at = draw_field(entrance, *field, x, y, width, canvas);
        if *field == entrance.focus && !entrance.is_busy() {
            cursor = Some(at);
        }
        y += 1;
    }
    y += 1;
    for (row, look) in told(entrance, status, client, now, usize::from(width)) {
        canvas.text(x, y, width, &row, look);
        y += 1;
    }
    let is_connected = client.server().is_some();
    draw_foot(
        entrance,
        status.is_up().then_some((status, is_connected)),
        now,
        canvas,
    );
    cursor
}

fn draw_choice(entrance: &Entrance, x: u16, y: u16, width: u16, canvas: &mut Canvas) {
    let look = |is_chosen| if is_chosen { Look::Chosen } else { Look::Faint };
    let line = Line::from(vec![
        canvas.span(" Log in ", look(!entrance.is_new)),
        canvas.span("  ", Look::Plain),
        canvas.span(" New account ", look(entrance.is_new)),
        canvas.span("  Ctrl+N", Look::Faint),
    ]);
    canvas.line(x, y, width, &line);
}

fn draw_field(
    entrance: &Entrance,
    field: Field,
    x: u16,
    y: u16,
    width: u16,
    canvas: &mut Canvas,
) -> Position {
    let label = match field {
        Field::Name => "name",
        Field::Password => "password",
        Field::Again => "again",
    };
    let look = match field == entrance.focus {
        true => Look::Title,
        false => Look::Faint,
    };
    canvas.text(x, y, LABEL_WIDTH, label, look);
    let editor = entrance.editor(field);
    let room = width.saturating_sub(LABEL_WIDTH);
    let (shown, column) = match field {
        Field::Name => {
            let mut rows = editor.rows(usize::from(room));
            let row = rows.rows.swap_remove(rows.cursor_row);
            (row, rows.cursor_column)
        }
        Field::Password | Field::Again => hidden(editor.text(), usize::from(room)),
    };
    let x = x + LABEL_WIDTH;
    canvas.text(x, y, room, &shown, Look::Plain);
    Position::new(x + column as u16, y)
}

/// Dots for what nobody is to see, and the column behind them.
pub(super) fn hidden(text: &str, room: usize) -> (String, usize) {
    let dots = text.graphemes(true).count().min(room.saturating_sub(1));
    ("•".repeat(dots), dots)
}

/// What happened, what is being done, and what became of messages, in rows.
fn told(
    entrance: &Entrance,
    status: &Status,
    client: &Client,
    now: Time,
    width: usize,
) -> Vec<(String, Look)> {
    let mut rows = Vec::new();
    let mut put = |text: &str, look: Look| {
        rows.extend(wrap(text, width, width).into_iter().map(|row| (row, look)));
    };
    if !entrance.told.is_empty() {
        let look = match entrance.is_good {
            true => Look::Good,
            false => Look::Trouble,
        };
        put(&escape_line(&entrance.told), look);
    }
    if let Some((doing, seconds)) = entrance.doing(client, now) {
        let mut sentence = format!("{doing}…");
        if seconds > 0 {
            sentence.push_str(&format!(" still trying for {seconds} s"));
        }
        put(&sentence, Look::Waiting);
    }
    if !status.is_up() {
        put(&status.trouble_sentence(0, now), Look::Waiting);
    }
    for draft in entrance.drafts.iter().take(LEFTOVERS_MAX) {
        let to = draft.peer.as_deref().map(escape_line);
        let to = to.map_or(String::new(), |to| format!("to {to}: "));
        let line = format!("not sent, and kept: {to}{}", escape_line(&draft.text));
        put(&fit(&line, width * 2), Look::Trouble);
    }
    for leftover in entrance.leftovers.iter().take(LEFTOVERS_MAX) {
        let fate = match &leftover.local.fate {
            Fate::Refused(_) => "not sent",
            Fate::Pending { .. } | Fate::Unknown => "not known whether it was sent",
        };
        let text = escape_line(&leftover.local.text);
        let line = format!("? {fate}, to {}: {text}", escape_line(&leftover.peer));
        put(&fit(&line, width * 2), Look::Trouble);
    }
    let more = entrance.leftovers.len().saturating_sub(LEFTOVERS_MAX)
        + entrance.drafts.len().saturating_sub(LEFTOVERS_MAX);
    if more > 0 {
        put(&format!("and {more} more like this"), Look::Trouble);
    }
    rows
}

/// The keys, and how it is with the servers, if one was there.
fn draw_foot(entrance: &Entrance, up: Option<(&Status, bool)>, now: Time, canvas: &mut Canvas) {
    let width = canvas.width().saturating_sub(1);
    let enter = match entrance.is_new {
        true => "Enter make it and log in",
        false => "Enter log in",
    };
    let long = format!("{enter} · Tab next field · Ctrl+N other form · Ctrl+C leave");
    let hint = match columns(&long) <= usize::from(width) {
        true => long,
        false => "Enter · Tab · Ctrl+N · Ctrl+C leaves".to_owned(),
    };
    let foot = canvas.height().saturating_sub(1);
    if let Some((status, is_connected)) = up {
        let rows = status.rows(usize::from(width), 0, Duration::ZERO, now);
        // Who does not log in is sent away after a while.
        let row = match is_connected {
            true => rows.first().map(String::as_str).unwrap_or_default(),
            false => "○ not connected until you log in",
        };
        canvas.text(1, foot, width, row, Look::Faint);
    }
    canvas.text(1, foot.saturating_sub(1), width, &hint, Look::Faint);
}
