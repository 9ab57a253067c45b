//! How do messages look to people, and to programs?
//!
//! Nothing that somebody else wrote reaches a terminal as a control character: the protocol forbids
//! them in texts, and they are made visible here all the same, since a server may be a stranger.

use std::fmt::Write;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::types::{Name, Timestamp};
use crate::wire::message::MessageView;

/// How text is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// For a terminal.
    On,
    /// For files and pipes, and for those who set NO_COLOR.
    Off,
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Beside the point: times, dates, hints.
    Faint,
    /// Who speaks.
    Person,
    /// Something went wrong.
    Trouble,
}

impl Colours {
    /// `text` in the colour of its role. The text is not escaped.
    pub fn paint(self, role: Role, text: &str) -> String {
        let code = match (self, role) {
            (Self::Off, _) => return text.to_owned(),
            (Self::On, Role::Faint) => "2",
            (Self::On, Role::Person) => "1;36",
            (Self::On, Role::Trouble) => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Messages as people read them: in their own time zone, with a line where the day changes.
#[derive(Debug)]
pub struct Conversation {
    zone: TimeZone,
    colours: Colours,
    /// The day of what was shown last; at first the day on which the client was started, so that
    /// today's messages come without a date.
    day: Date,
}

impl Conversation {
    /// A conversation shown in `zone`, begun at `now`.
    pub fn new(zone: TimeZone, colours: Colours, now: Timestamp) -> Self {
        let day = moment(now).to_zoned(zone.clone()).date();
        Self { zone, colours, day }
    }

    /// `message` as `me` reads it, with its line ends.
    pub fn message(&mut self, message: MessageView<'_>, me: Option<Name>) -> String {
        let time = moment(message.time).to_zoned(self.zone.clone());
        let mut shown = String::new();
        if time.date() != self.day {
            self.day = time.date();
            let date = format!("--- {} ---", time.strftime("%A, %-d %B %Y"));
            shown.push_str(&self.colours.paint(Role::Faint, &date));
            shown.push('\n');
        }
        let clock = time.strftime("%H:%M").to_string();
        let who = speakers(&message, me);
        // A line that a message breaks itself stands further right than any line of ours, so that
        // nobody can write what looks like somebody else's message.
        let margin = " ".repeat(clock.len() + 1);
        let text = escape(message.text).replace('\n', &format!("\n{margin}| "));
        let _ = writeln!(
            shown,
            "{} {}: {text}",
            self.colours.paint(Role::Faint, &clock),
            self.colours.paint(Role::Person, &who),
        );
        shown
    }
}

/// How long something took, as people say it.
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        _ => format!("{:.1} s", time.as_secs_f32()),
    }
}

/// One JSON object in one line, with its end.
pub fn json(message: MessageView<'_>) -> String {
    format!(
        "{{\"id\":{},\"time\":\"{:.3}\",\"from\":{},\"to\":{},\"conversation\":{},\"text\":{}}}\n",
        message.id,
        moment(message.time),
        json_string(message.from),
        json_string(message.to),
        message.conversation,
        json_string(message.text),
    )
}

/// `text` as a JSON string, in which no control character is left raw.
pub fn json_string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    if !quoted.contains(is_dangerous) {
        return quoted;
    }
    let mut escaped = String::with_capacity(quoted.len());
    for character in quoted.chars() {
        if is_dangerous(character) {
            // All of them lie in the basic plane: one escape is enough.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// `text` with its control characters made visible, but tab and line feed.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' | '\n' => escaped.push(character),
            _ if is_dangerous(character) => escaped.extend(character.escape_unicode()),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// `text` in one line, with its control characters made visible.
pub fn escape_line(text: &str) -> String {
    escape(text).replace('\n', "\\n").replace('\t', " ")
}

/// Who speaks to whom. What comes to me needs no recipient.
fn speakers(message: &MessageView<'_>, me: Option<Name>) -> String {
    let from = escape_line(message.from);
    let is_me = |name: &str| me.is_some_and(|me| me.as_str() == name);
    if is_me(message.to) {
        from
    } else {
        format!("{from} -> {}", escape_line(message.to))
    }
}

/// Characters that steer a terminal: C0, DEL and C1, and those that turn the direction of what
/// follows, by which a line can be made to read as another.
fn is_dangerous(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A time that cannot be is shown as the last one that can.
pub(super) fn moment(time: Timestamp) -> jiff::Timestamp {
    i64::try_from(time.0)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ConversationId, OpNumber};

    /// 2026-11-21, 14:03:09.042 in UTC.
    const AFTERNOON: Timestamp = Timestamp(1_795_269_789_042);
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn message<'a>(from: &'a str, to: &'a str, text: &'a str) -> MessageView<'a> {
        MessageView {
            id: OpNumber(42),
            time: AFTERNOON,
            conversation: ConversationId(7),
            from,
            to,
            text,
        }
    }

    fn conversation() -> Conversation {
        Conversation::new(TimeZone::UTC, Colours::Off, AFTERNOON)
    }

    fn bob() -> Option<Name> {
        Some(Name::parse("bob").unwrap())
    }

    #[test]
    fn a_message_is_shown_with_the_readers_time() {
        assert_eq!(
            conversation().message(message("alice", "bob", "hi"), bob()),
            "14:03 alice: hi\n"
        );
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        assert_eq!(
            Conversation::new(zone, Colours::Off, AFTERNOON)
                .message(message("alice", "bob", "hi"), bob()),
            "23:03 alice: hi\n"
        );
    }

    #[test]
    fn what_is_not_for_me_names_its_reader() {
        assert_eq!(
            conversation().message(message("bob", "alice(deleted)", "hi"), bob()),
            "14:03 bob -> alice(deleted): hi\n"
        );
        assert_eq!(
            conversation().message(message("bob", "bob", "note"), bob()),
            "14:03 bob: note\n"
        );
    }

    #[test]
    fn a_date_stands_where_the_day_changes_and_only_there() {
        let mut conversation = conversation();
        let at = |time| MessageView {
            time,
            ..message("alice", "bob", "hi")
        };
        let yesterday = Timestamp(AFTERNOON.0 - DAY_MS);
        assert_eq!(
            conversation.message(at(yesterday), bob()),
            "--- Friday, 20 November 2026 ---\n14:03 alice: hi\n"
        );
        assert_eq!(
            conversation.message(at(yesterday), bob()),
            "14:03 alice: hi\n"
        );
        assert_eq!(
            conversation.message(at(AFTERNOON), bob()),
            "--- Saturday, 21 November 2026 ---\n14:03 alice: hi\n"
        );
    }

    #[test]
    fn no_text_looks_like_another_message_or_steers_the_terminal() {
        assert_eq!(
            conversation().message(
                message(
                    "mallory",
                    "bob",
                    "hi\n14:04 alice: pay him\x1b[2J\u{9b}\u{202e}"
                ),
                bob()
            ),
            "14:03 mallory: hi\n      | 14:04 alice: pay him\\u{1b}[2J\\u{9b}\\u{202e}\n"
        );
        let shown = conversation().message(message("a\nb\x07", "c\r", "x"), bob());
        assert_eq!(shown, "14:03 a\\nb\\u{7} -> c\\u{d}: x\n");
    }

    #[test]
    fn colours_are_only_there_when_they_are_wanted() {
        let shown = Conversation::new(TimeZone::UTC, Colours::On, AFTERNOON)
            .message(message("alice", "bob", "hi"), bob());
        assert_eq!(shown, "\x1b[2m14:03\x1b[0m \x1b[1;36malice\x1b[0m: hi\n");
    }

    #[test]
    fn json_is_one_line_that_a_parser_reads_back() {
        let text = "say \"hi\"\n\tä\u{7f}\u{85}\u{202e}🙂";
        let line = json(message("alice", "bob", text));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.starts_with(
            "{\"id\":42,\"time\":\"2026-11-21T14:03:09.042Z\",\"from\":\"alice\",\"to\":\"bob\",\"conversation\":7,\"text\":"
        ));
        assert!(!line.contains(['\u{7f}', '\u{85}', '\u{202e}']));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], text);
    }

    #[test]
    fn a_short_time_is_told_in_milliseconds() {
        let said = [0, 36, 999, 1000, 61_250].map(|time| duration(Duration::from_millis(time)));
        assert_eq!(said, ["0 ms", "36 ms", "999 ms", "1.0 s", "61.2 s"]);
    }

    #[test]
    fn a_time_that_cannot_be_is_no_panic() {
        let shown = conversation().message(
            MessageView {
                time: Timestamp(u64::MAX),
                ..message("alice", "bob", "hi")
            },
            bob(),
        );
        assert!(shown.contains("9999"), "{shown}");
    }
}
