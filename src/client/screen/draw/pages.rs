//! What stands on the pages that cover the conversation?

use ratatui::text::Line;

use super::super::chat::Page;
use super::super::commands::COMMANDS;
use super::super::theme::Look;
use super::super::wrap::wrap;
use super::Canvas;
use crate::client::cluster::Cluster;

/// Every key and what it does.
const KEYS: &[(&str, &str)] = &[
    ("Enter", "send"),
    ("Alt+Enter, Ctrl+J", "a new line within the message"),
    ("Tab", "complete a name or a command, again: the next one"),
    ("Up, Down", "what was sent before"),
    ("PageUp, PageDown", "scroll; older messages are loaded"),
    ("End", "to the newest message, when nothing is typed"),
    ("Ctrl+N, Ctrl+P", "the next conversation, the one before"),
    ("Ctrl+F", "search here; Enter: older, Down: newer"),
    ("Esc", "back: out of a page, a search, to the list"),
    ("Ctrl+A E K U W Y", "edit the line as in a shell"),
    ("Ctrl+L", "draw everything anew"),
    ("Ctrl+C", "leave"),
];

/// What the marks beside messages mean.
const MARKS: &[(&str, &str)] = &[
    ("…", "no server has acknowledged it yet"),
    ("✓", "on the disk of every server that is in sync"),
    ("✗", "not sent, and why"),
    ("?", "nobody knows whether it was sent"),
];

/// Columns of what stands at the left of a table.
const LEFT_WIDTH: usize = 20;

/// Its title.
pub(super) fn title(page: &Page) -> &'static str {
    match page {
        Page::Help => "Help",
        Page::Accounts { .. } => "Accounts",
        Page::Servers => "Servers",
    }
}

/// Its rows, of so many columns.
pub(super) fn rows(
    page: &Page,
    cluster: Option<&Cluster>,
    width: usize,
    canvas: &Canvas,
) -> Vec<Line<'static>> {
    let mut rows = Vec::new();
    match page {
        Page::Help => help(width, canvas, &mut rows),
        Page::Accounts { accounts, is_whole } => {
            for (name, online) in accounts {
                let (presence, look) = match online {
                    true => ("online ", Look::Good),
                    false => ("offline", Look::Faint),
                };
                rows.push(Line::from(vec![
                    canvas.span(format!("{presence}  "), look),
                    canvas.span(name.as_str(), Look::Plain),
                ]));
            }
            let sum = match (is_whole, accounts.len()) {
                (false, _) => "asking…".to_owned(),
                (true, 1) => "1 account".to_owned(),
                (true, count) => format!("{count} accounts"),
            };
            rows.push(Line::from(canvas.span(sum, Look::Faint)));
        }
        Page::Servers => servers(cluster, width, canvas, &mut rows),
    }
    rows
}

fn help(width: usize, canvas: &Canvas, rows: &mut Vec<Line<'static>>) {
    for (words, arguments, purpose) in COMMANDS {
        let call = format!("{} {arguments}", words[0]);
        table_row(call.trim_end(), purpose, width, canvas, rows);
    }
    table_row(
        "//TEXT",
        "send a text that begins with /",
        width,
        canvas,
        rows,
    );
    rows.push(Line::default());
    for (keys, purpose) in KEYS {
        table_row(keys, purpose, width, canvas, rows);
    }
    rows.push(Line::default());
    for (mark, meaning) in MARKS {
        table_row(mark, meaning, width, canvas, rows);
    }
}

fn servers(
    cluster: Option<&Cluster>,
    width: usize,
    canvas: &Canvas,
    rows: &mut Vec<Line<'static>>,
) {
    let Some(cluster) = cluster else {
        let nothing = "no server has said anything yet";
        return rows.push(Line::from(canvas.span(nothing, Look::Waiting)));
    };
    let primary = cluster.primary.map(|(server, _)| server);
    for member in &cluster.members {
        let is_primary = primary == Some(member.server);
        let role = if is_primary { ", primary" } else { "" };
        let lag = match member.lag {
            Some(lag) if lag > 0 => format!(", {lag} behind"),
            _ => String::new(),
        };
        let server = format!("server {}", member.server);
        let state = format!("{}{role}{lag}", member.state);
        let look = match member.state.as_str() {
            "in-sync" => Look::Good,
            _ => Look::Trouble,
        };
        let mut line = Line::from(vec![
            canvas.span(format!("{server:11}"), Look::Title),
            canvas.span(state, look),
        ]);
        let address = format!("  {}", member.address);
        if line.width() + address.len() <= width {
            line.push_span(canvas.span(address, Look::Faint));
        }
        rows.push(line);
    }
    rows.push(Line::default());
    let mut fact = |what: &str, value: String| {
        let line = format!("{what:11}{value}");
        rows.push(Line::from(canvas.span(line, Look::Plain)));
    };
    fact("view", cluster.view.to_string());
    if let Some(service) = cluster.service {
        fact("service", service.to_string());
    }
    if let Some(clients) = cluster.clients {
        fact("clients", clients.to_string());
    }
}

/// Something and what it means, beside each other or below.
fn table_row(
    left: &str,
    right: &str,
    width: usize,
    canvas: &Canvas,
    rows: &mut Vec<Line<'static>>,
) {
    let is_wide = width >= LEFT_WIDTH * 2 + 8;
    let indent = if is_wide { LEFT_WIDTH } else { 4 };
    let mut left = canvas.span(left, Look::Title);
    let rest = width.saturating_sub(indent);
    for row in wrap(right, rest, rest) {
        let room = indent.saturating_sub(left.width());
        if room == 0 {
            rows.push(Line::from(std::mem::take(&mut left)));
        }
        let room = indent.saturating_sub(left.width());
        let gap = canvas.span(" ".repeat(room), Look::Plain);
        let right = canvas.span(row, Look::Plain);
        rows.push(Line::from(vec![std::mem::take(&mut left), gap, right]));
    }
}
