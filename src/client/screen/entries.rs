//! How does a message look on the screen?
//!
//! ```text
//! 14:03   bob: a text whose further rows stand
//!         further right than any name, so that nobody can write what looks like somebody
//!         else's message
//! 14:04 ✓ alice: acknowledged: it is on the disk of every server in sync
//! 14:05 … alice: not yet (waits for 3 s)
//! ```

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;

use super::super::event::Message;
use super::super::show::{Colours, escape, escape_line, moment};
use super::conversations::{Conversation, Fate, Local, Place};
use super::theme::Look;
use super::wrap::{columns, wrap};
use crate::types::{Name, OpNumber, Time, Timestamp};

/// Where texts stand: behind the time and the mark.
const MARGIN: usize = 8;
/// Pending messages say for how long from this on.
const WAIT_TOLD_AFTER: Duration = Duration::from_secs(1);

/// Something in a conversation.
#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    Message(&'a Message),
    Local(Place, &'a Local),
}

impl<'a> Entry<'a> {
    /// Everything in a conversation, in its order.
    pub fn all(conversation: &'a Conversation) -> Vec<Self> {
        let mut entries: Vec<Self> = conversation.messages.values().map(Self::Message).collect();
        if !conversation.locals.is_empty() {
            let locals = conversation.locals.iter();
            entries.extend(locals.map(|(place, local)| Self::Local(*place, local)));
            entries.sort_by_key(Self::place);
        }
        entries
    }

    pub fn place(&self) -> Place {
        match self {
            Self::Message(message) => (message.id, 0),
            Self::Local(place, _) => *place,
        }
    }

    /// Its id, if it is a message.
    pub fn id(&self) -> Option<OpNumber> {
        match self {
            Self::Message(message) => Some(message.id),
            Self::Local(..) => None,
        }
    }

    pub fn text(&self) -> &'a str {
        match self {
            Self::Message(message) => &message.text,
            Self::Local(_, local) => &local.text,
        }
    }
}

/// What it takes to show entries.
pub(super) struct Dresser<'a> {
    pub me: Name,
    pub zone: &'a TimeZone,
    pub colours: Colours,
    pub width: usize,
    pub now: Time,
    /// In lower case, what is to be found in texts; nothing if it is empty.
    pub wanted: &'a str,
    /// What was found.
    pub found: Option<Place>,
    /// The first that had not been seen when the conversation was opened.
    pub new_from: Option<OpNumber>,
}

impl Dresser<'_> {
    /// The rows of an entry that stands behind another one.
    pub fn rows(&self, entry: Entry<'_>, before: Option<Entry<'_>>) -> Vec<Line<'static>> {
        let mut rows = Vec::new();
        if let Entry::Message(message) = entry {
            let day = self.day(message.time);
            let day_before = before.and_then(|entry| match entry {
                Entry::Message(message) => Some(self.day(message.time)),
                Entry::Local(..) => None,
            });
            let follows_local = matches!(before, Some(Entry::Local(..)));
            if day_before != Some(day) && !follows_local {
                let date = day.strftime("%A, %-d %B %Y").to_string();
                rows.push(self.rule(&date, Look::Faint));
            }
            if self.new_from == Some(message.id) {
                rows.push(self.rule("new", Look::New));
            }
        }
        match entry {
            Entry::Message(message) => self.message_rows(message, &mut rows),
            Entry::Local(place, local) => self.local_rows(place, local, &mut rows),
        }
        rows
    }

    fn message_rows(&self, message: &Message, rows: &mut Vec<Line<'static>>) {
        let time = moment(message.time).to_zoned(self.zone.clone());
        let clock = time.strftime("%H:%M").to_string();
        let is_mine = message.from == self.me.as_str();
        let mark = match is_mine {
            true => ("✓", Look::Good),
            false => (" ", Look::Plain),
        };
        let name = escape_line(&message.from);
        let mark = self.mark(mark, (message.id, 0));
        self.text_rows(&clock, mark, &name, is_mine, &message.text, "", rows);
    }

    fn local_rows(&self, place: Place, local: &Local, rows: &mut Vec<Line<'static>>) {
        let (mark, look, fate) = match &local.fate {
            Fate::Pending { asked_at, .. } => {
                let waiting = self.now.since(*asked_at);
                let fate = match waiting < WAIT_TOLD_AFTER {
                    true => "(pending)".to_owned(),
                    false => format!("(pending for {} s)", waiting.as_secs()),
                };
                ("…", Look::Waiting, fate)
            }
            Fate::Refused(why) => {
                let fate = format!("(not sent: {})", escape_line(why));
                ("✗", Look::Trouble, fate)
            }
            Fate::Unknown => {
                let fate = "(not known: it may or may not have been sent)";
                ("?", Look::Trouble, fate.to_owned())
            }
        };
        let me = self.me.as_str();
        let mark = self.mark((mark, look), place);
        self.text_rows("", mark, me, true, &local.text, &fate, rows);
    }

    /// What was found is marked, whatever else there is to say about it.
    fn mark(&self, mark: (&'static str, Look), place: Place) -> (&'static str, Look) {
        match self.found == Some(place) {
            true => ("▶", Look::New),
            false => mark,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of one row")]
    fn text_rows(
        &self,
        clock: &str,
        (mark, mark_look): (&'static str, Look),
        name: &str,
        is_mine: bool,
        text: &str,
        fate: &str,
        rows: &mut Vec<Line<'static>>,
    ) {
        let name = format!("{name}: ");
        let rest = self.width.saturating_sub(MARGIN);
        let first = rest.saturating_sub(columns(&name));
        let name_look = if is_mine { Look::Me } else { Look::Person };
        let mut texts = wrap(&escape(text), first, rest).into_iter();
        let mut spans = vec![
            self.span(format!("{clock:5} "), Look::Faint),
            self.span(mark.to_owned(), mark_look),
            self.span(" ".to_owned(), Look::Plain),
            self.span(name.trim_end().to_owned(), name_look),
            self.span(" ".to_owned(), Look::Plain),
        ];
        spans.extend(self.found_in(&texts.next().unwrap_or_default()));
        rows.push(Line::from(spans));
        for text in texts {
            let mut spans = vec![self.margin()];
            spans.extend(self.found_in(&text));
            rows.push(Line::from(spans));
        }
        self.put_fate(fate, mark_look, rows);
    }

    /// What became of a message stands behind it, or below it where there is no room.
    fn put_fate(&self, fate: &str, look: Look, rows: &mut Vec<Line<'static>>) {
        if fate.is_empty() {
            return;
        }
        if let Some(last) = rows.last_mut()
            && last.width() + 1 + columns(fate) <= self.width
        {
            last.push_span(self.span(format!(" {fate}"), look));
            return;
        }
        let rest = self.width.saturating_sub(MARGIN);
        for row in wrap(fate, rest, rest) {
            rows.push(Line::from(vec![self.margin(), self.span(row, look)]));
        }
    }

    fn margin(&self) -> Span<'static> {
        self.span(" ".repeat(MARGIN), Look::Plain)
    }

    /// A row of a text, in which what is looked for stands out.
    fn found_in(&self, row: &str) -> Vec<Span<'static>> {
        let mut spans = Vec::new();
        let mut plain = String::new();
        let mut rest = row;
        while !rest.is_empty() {
            let length = begins_with(rest, self.wanted);
            if length > 0 {
                spans.push(self.span(std::mem::take(&mut plain), Look::Plain));
                spans.push(self.span(rest[..length].to_owned(), Look::Chosen));
                rest = &rest[length..];
            } else {
                let part = rest.graphemes(true).next().unwrap_or(rest);
                plain.push_str(part);
                rest = &rest[part.len()..];
            }
        }
        spans.push(self.span(plain, Look::Plain));
        spans
    }

    /// A line across, with a word in it.
    fn rule(&self, word: &str, look: Look) -> Line<'static> {
        let room = self.width.saturating_sub(columns(word) + 2);
        let left = "─".repeat(room / 2);
        let right = "─".repeat(room - room / 2);
        Line::from(self.span(format!("{left} {word} {right}"), look))
    }

    fn day(&self, time: Timestamp) -> Date {
        moment(time).to_zoned(self.zone.clone()).date()
    }

    fn span(&self, text: String, look: Look) -> Span<'static> {
        Span::styled(text, look.style(self.colours))
    }
}

/// How many bytes of `text` are what is looked for, which is in lower case.
fn begins_with(text: &str, wanted: &str) -> usize {
    let mut wanted = wanted;
    if wanted.is_empty() {
        return 0;
    }
    for (at, part) in text.grapheme_indices(true) {
        let Some(rest) = wanted.strip_prefix(part.to_lowercase().as_str()) else {
            return 0;
        };
        if rest.is_empty() {
            return at + part.len();
        }
        wanted = rest;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_found_in_any_case() {
        assert_eq!(begins_with("Hello", "hel"), 3);
        assert_eq!(begins_with("Hello", "help"), 0);
        assert_eq!(begins_with("Hel", "hello"), 0);
        assert_eq!(begins_with("ÄRGER", "ärg"), 4);
        assert_eq!(begins_with("x", ""), 0);
    }
}
