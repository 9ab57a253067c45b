//! How does it look for somebody who is logged in?

use jiff::tz::TimeZone;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::super::chat::Chat;
use super::super::conversations::Conversation;
use super::super::editor::Rows;
use super::super::entries::Dresser;
use super::super::status::Status;
use super::super::theme::Look;
use super::super::wrap::{columns, fit, wrap};
use super::form::hidden;
use super::{Canvas, WIDE_MIN, pages};
use crate::client::show::escape_line;
use crate::types::Time;

/// Rows that a notice may take.
const NOTICE_ROWS_MAX: usize = 3;
/// What is to be read where there is no conversation.
const EMPTY: &[&str] = &[
    "No conversations yet.",
    "",
    "/to NAME   begins one",
    "/list      shows who has an account",
    "/help      lists the rest",
];

/// Everything around a chat that is drawn with it.
pub(super) struct Place<'a> {
    pub status: &'a Status,
    pub zone: &'a TimeZone,
    pub is_leaving: bool,
    pub now: Time,
}

/// Draws it, and says where the cursor is.
pub(super) fn draw(chat: &mut Chat, place: &Place<'_>, canvas: &mut Canvas) -> Option<Position> {
    let (width, height) = (canvas.width(), canvas.height());
    chat.is_narrow = width < WIDE_MIN;
    let status = status_rows(chat, place, usize::from(width).saturating_sub(1));
    let foot = height.saturating_sub(status.len() as u16);
    for (y, row) in (foot..).zip(&status) {
        canvas.text(1, y, width.saturating_sub(1), row, place.status.look());
    }
    let (rows, prompt) = input(chat, usize::from(width));
    let input_height = rows.rows.len().min(usize::from(height / 4).max(1));
    let input_top = foot.saturating_sub(input_height as u16);
    let cursor = draw_input(&rows, &prompt, input_top, input_height, canvas);
    let notice = notice_rows(chat, usize::from(width).saturating_sub(2));
    let notice_top = input_top.saturating_sub(notice.len() as u16);
    for (y, (row, look)) in (notice_top..).zip(&notice) {
        canvas.text(1, y, width.saturating_sub(1), row, *look);
    }
    let body = Rect::new(0, 0, width, notice_top.saturating_sub(1));
    draw_body(chat, place, body, canvas);
    cursor
}

fn status_rows(chat: &Chat, place: &Place<'_>, width: usize) -> Vec<String> {
    if place.is_leaving {
        return vec![fit("leaving…", width)];
    }
    let waiting = chat.conversations.pending();
    let longest = chat.longest_wait(place.now);
    place.status.rows(width, waiting, longest, place.now)
}

/// What is being typed, and what stands before it.
fn input(chat: &Chat, width: usize) -> (Rows, String) {
    if let Some(secret) = &chat.secret {
        let prompt = " password, to delete your account: ".to_owned();
        let room = width.saturating_sub(columns(&prompt));
        let (dots, column) = hidden(secret.text(), room);
        let rows = Rows {
            rows: vec![dots],
            cursor_row: 0,
            cursor_column: column,
        };
        return (rows, prompt);
    }
    if let Some(search) = &chat.search {
        let prompt = " search: ".to_owned();
        let room = width.saturating_sub(columns(&prompt));
        return (search.text.rows(room), prompt);
    }
    (chat.input.rows(width.saturating_sub(3)), " > ".to_owned())
}

fn draw_input(
    rows: &Rows,
    prompt: &str,
    top: u16,
    height: usize,
    canvas: &mut Canvas,
) -> Option<Position> {
    let x = columns(prompt) as u16;
    // The row with the cursor is always among those that are seen.
    let first = (rows.cursor_row + 1).saturating_sub(height);
    canvas.text(0, top, x, prompt, Look::Faint);
    for (y, row) in (top..).zip(rows.rows.iter().skip(first).take(height)) {
        canvas.text(x, y, canvas.width().saturating_sub(x), row, Look::Plain);
    }
    let y = top + (rows.cursor_row - first) as u16;
    Some(Position::new(x + rows.cursor_column as u16, y))
}

fn notice_rows(chat: &Chat, width: usize) -> Vec<(String, Look)> {
    let Some(notice) = &chat.notice else {
        return Vec::new();
    };
    let look = match notice.is_trouble {
        true => Look::Trouble,
        false => Look::Waiting,
    };
    let mut rows = wrap(&escape_line(&notice.sentence), width, width);
    if rows.len() > NOTICE_ROWS_MAX {
        let rest = rows.split_off(NOTICE_ROWS_MAX - 1).join(" ");
        rows.push(fit(&rest, width));
    }
    rows.into_iter().map(|row| (row, look)).collect()
}

/// The list and the conversation, beside each other or in turns, with the line below them.
fn draw_body(chat: &mut Chat, place: &Place<'_>, body: Rect, canvas: &mut Canvas) {
    let rule = "─".repeat(usize::from(body.width));
    canvas.text(0, body.height, body.width, &rule, Look::Faint);
    let hint_room = body.width.saturating_sub(1);
    canvas.text_right(0, body.height, hint_room, " /help ", Look::Faint);
    if chat.shows_list() {
        return draw_list(chat, body, canvas);
    }
    if chat.is_narrow {
        return draw_right(chat, place, body, canvas);
    }
    let left = (body.width / 4).clamp(16, 28);
    draw_list(chat, Rect::new(0, 0, left, body.height), canvas);
    for y in 0..body.height {
        canvas.text(left, y, 1, "│", Look::Faint);
    }
    canvas.text(left, body.height, 1, "┴", Look::Faint);
    let right = Rect::new(left + 1, 0, body.width - left - 1, body.height);
    draw_right(chat, place, right, canvas);
}

fn draw_list(chat: &Chat, area: Rect, canvas: &mut Canvas) {
    let title = Line::from(vec![
        canvas.span(" lastword ", Look::Faint),
        canvas.span(chat.me.as_str(), Look::Title),
    ]);
    canvas.line(0, 0, area.width, &title);
    let ordered = chat.conversations.in_order();
    if ordered.is_empty() && chat.shows_list() {
        let is_loading = chat.is_loading;
        return draw_empty(is_loading, area, canvas);
    }
    let room = usize::from(area.height.saturating_sub(1));
    let at = ordered.iter().position(|(key, _)| Some(*key) == chat.open);
    let first = (at.unwrap_or(0) + 1).saturating_sub(room);
    for (y, (key, conversation)) in (1..).zip(ordered.iter().skip(first).take(room)) {
        let is_open = Some(*key) == chat.open;
        draw_item(conversation, is_open, y, area.width, canvas);
    }
}

fn draw_item(conversation: &Conversation, is_open: bool, y: u16, width: u16, canvas: &mut Canvas) {
    let count = match (conversation.unread.len(), conversation.pending()) {
        (0, 0) => String::new(),
        (0, _) => "…".to_owned(),
        (unread, _) => unread.to_string(),
    };
    let look = match (is_open, conversation.unread.is_empty()) {
        (_, false) => Look::New,
        (true, true) => Look::Title,
        (false, true) => Look::Plain,
    };
    let sign = if is_open { "▸" } else { " " };
    canvas.text(0, y, 1, sign, Look::Title);
    let room = width.saturating_sub(columns(&count) as u16 + 3);
    let peer = fit(&escape_line(&conversation.peer), usize::from(room));
    canvas.text(1, y, room, &peer, look);
    let count_look = match conversation.unread.is_empty() {
        true => Look::Waiting,
        false => Look::New,
    };
    canvas.text_right(0, y, width.saturating_sub(1), &count, count_look);
}

fn draw_empty(is_loading: bool, area: Rect, canvas: &mut Canvas) {
    let lines: &[&str] = match is_loading {
        true => &["loading…"],
        false => EMPTY,
    };
    let y = area.y + (area.height / 3).max(1);
    for (y, line) in (y..area.bottom()).zip(lines) {
        canvas.text(
            area.x + 2,
            y,
            area.width.saturating_sub(2),
            line,
            Look::Faint,
        );
    }
}

/// The open conversation, or a page over it.
fn draw_right(chat: &mut Chat, place: &Place<'_>, area: Rect, canvas: &mut Canvas) {
    draw_header(chat, area, canvas);
    let area = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    chat.height = usize::from(area.height);
    if chat.page.is_some() {
        return draw_page(chat, place, area, canvas);
    }
    let Some(conversation) = chat.open.and_then(|key| chat.conversations.of(key)) else {
        return draw_empty(chat.is_loading, area, canvas);
    };
    let search = chat.search.as_ref();
    let wanted = search.map(|search| search.text.text().to_lowercase());
    let dresser = Dresser {
        me: chat.me,
        zone: place.zone,
        colours: canvas.colours,
        width: usize::from(area.width.saturating_sub(2)),
        now: place.now,
        wanted: wanted.as_deref().unwrap_or_default(),
        found: search.and_then(|search| search.found),
        new_from: chat.view.new_from,
    };
    let rows = chat
        .view
        .rows(conversation, &dresser, usize::from(area.height));
    let top = area.bottom().saturating_sub(rows.len() as u16);
    for (y, row) in (top..).zip(&rows) {
        canvas.line(area.x + 1, y, area.width.saturating_sub(1), row);
    }
    let below = chat.view.seen.below;
    if below > 0 {
        let hint = format!(" {below} below, End goes there ");
        canvas.text_right(
            area.x,
            area.bottom(),
            area.width.saturating_sub(1),
            &hint,
            Look::New,
        );
    }
    chat.drawn();
}

/// With whom, and whether they are there.
fn draw_header(chat: &Chat, area: Rect, canvas: &mut Canvas) {
    let room = area.width.saturating_sub(2);
    if let Some(page) = &chat.page {
        canvas.text(area.x + 1, area.y, room, pages::title(page), Look::Title);
        return canvas.text_right(area.x + 1, area.y, room, "Esc closes", Look::Faint);
    }
    let Some(key) = chat.open else { return };
    let Some(conversation) = chat.conversations.of(key) else {
        return;
    };
    let back = if chat.is_narrow { "‹ " } else { "" };
    let title = format!("{back}{}", escape_line(&conversation.peer));
    canvas.text(area.x + 1, area.y, room, &title, Look::Title);
    let mut facts = Vec::new();
    if chat.is_loading_above() {
        facts.push("loading…".to_owned());
    }
    if let Some((_, online)) = chat.presence {
        facts.push(if online { "online" } else { "offline" }.to_owned());
    }
    let elsewhere: usize = chat
        .conversations
        .all()
        .filter(|it| it.peer != conversation.peer)
        .map(|it| it.unread.len())
        .sum();
    if chat.is_narrow && elsewhere > 0 {
        facts.push(format!("{elsewhere} unread"));
    }
    let facts = facts.join(" · ");
    canvas.text_right(area.x + 1, area.y, room, &facts, Look::Faint);
}

fn draw_page(chat: &mut Chat, place: &Place<'_>, area: Rect, canvas: &mut Canvas) {
    let Some(page) = &chat.page else { return };
    let width = usize::from(area.width.saturating_sub(2));
    let rows = pages::rows(page, place.status.cluster.as_ref(), width, canvas);
    let height = usize::from(area.height);
    chat.page_scroll = chat.page_scroll.min(rows.len().saturating_sub(height));
    let seen = rows.iter().skip(chat.page_scroll).take(height);
    for (y, row) in (area.y..).zip(seen) {
        canvas.line(area.x + 1, y, area.width.saturating_sub(1), row);
    }
    if rows.len() > chat.page_scroll + height {
        let hint = " PageDown: more ";
        let room = area.width.saturating_sub(1);
        canvas.text_right(area.x, area.bottom(), room, hint, Look::New);
    }
}
