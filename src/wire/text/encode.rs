//! The lines of answers.

use std::io::Write;

use crate::types::Timestamp;

use super::super::fields::put_line;
use super::super::message::{Answer, Item, MessageView, Push};

/// Writes the last line of an answer.
pub fn encode_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    match answer {
        Answer::Helped | Answer::LoggedOut | Answer::Acknowledged { .. } | Answer::Reported => {
            put(out, format_args!("OK\n"));
        }
        Answer::Pong => put(out, format_args!("OK pong\n")),
        Answer::Created { name } => put(out, format_args!("OK created {name}\n")),
        Answer::LoggedIn { name, unread, .. } => {
            put(out, format_args!("OK {name}, {unread} unread\n"));
        }
        Answer::Deleted { name } => put(out, format_args!("OK deleted {name}\n")),
        Answer::Listed { count } => put(out, format_args!("OK {count} accounts\n")),
        Answer::Sent { id } => put(out, format_args!("OK {id}\n")),
        Answer::Messages { count } => put(out, format_args!("OK {count}\n")),
        Answer::You { name } => put(out, format_args!("OK {name}\n")),
        Answer::Bye => put(out, format_args!("OK bye\n")),
        Answer::Refused(refusal) => {
            put(out, format_args!("ERR {} ", refusal.code.word()));
            put_line(out, &refusal.sentence);
            out.push(b'\n');
        }
    }
}

/// Writes a line of an answer before its last.
pub fn encode_item(out: &mut Vec<u8>, item: &Item<'_>) {
    match item {
        Item::Line(line) => {
            out.extend_from_slice(b"* ");
            put_line(out, line);
            out.push(b'\n');
        }
        Item::Account { name, online } => {
            let state = if *online { "online" } else { "offline" };
            put(out, format_args!("* {name} {state}\n"));
        }
        Item::Message(message) => put_message(out, message),
    }
}

/// Writes a line that stands between answers.
pub fn encode_push(out: &mut Vec<u8>, push: &Push<'_>) {
    match push {
        Push::Message(message) => put_message(out, message),
        Push::Note { sentence, .. } => {
            out.extend_from_slice(b"NOTE ");
            put_line(out, sentence);
            out.push(b'\n');
        }
    }
}

fn put(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    out.write_fmt(line).expect("a vector takes every byte");
}

fn put_message(out: &mut Vec<u8>, message: &MessageView<'_>) {
    let MessageView {
        id, time, from, to, ..
    } = message;
    let time = in_utc(*time);
    put(out, format_args!("MSG {id} {time:.3} {from} {to} "));
    put_escaped(out, message.text);
    out.push(b'\n');
}

/// The time as calendars have it. What lies behind the last year of theirs is shown as its end.
pub(crate) fn in_utc(time: Timestamp) -> jiff::Timestamp {
    i64::try_from(time.0)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

/// A text in one line, so that SEND would take it as it stands.
fn put_escaped(out: &mut Vec<u8>, text: &str) {
    for part in text.split_inclusive(['\n', '\\']) {
        match part.as_bytes() {
            [plain @ .., b'\n'] => {
                out.extend_from_slice(plain);
                out.extend_from_slice(b"\\n");
            }
            [plain @ .., b'\\'] => {
                out.extend_from_slice(plain);
                out.extend_from_slice(b"\\\\");
            }
            plain => out.extend_from_slice(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ConversationId, ErrorCode, Name, OpNumber, Secret};
    use crate::wire::message::{NoteKind, Refusal};

    fn answered(answer: &Answer<'_>) -> String {
        let mut out = Vec::new();
        encode_answer(&mut out, answer);
        String::from_utf8(out).unwrap()
    }

    fn pushed(push: &Push<'_>) -> String {
        let mut out = Vec::new();
        encode_push(&mut out, push);
        String::from_utf8(out).unwrap()
    }

    fn message(text: &str) -> MessageView<'_> {
        MessageView {
            id: OpNumber(42),
            time: Timestamp(1_700_000_000_007),
            conversation: ConversationId(40),
            from: "alice",
            to: "bob(deleted)",
            text,
        }
    }

    #[test]
    fn answers_are_the_lines_of_the_contract() {
        let name = Name::parse("alice").unwrap();
        let id = OpNumber(7);
        let refusal = Refusal::new(ErrorCode::NotPrimary, "unknown is\nthe primary");
        let secret = Some(Secret([7; 32]));
        for (answer, line) in [
            (Answer::Helped, "OK\n"),
            (Answer::Pong, "OK pong\n"),
            (Answer::Created { name }, "OK created alice\n"),
            (
                Answer::LoggedIn {
                    name,
                    unread: 3,
                    secret,
                },
                "OK alice, 3 unread\n",
            ),
            (Answer::LoggedOut, "OK\n"),
            (Answer::Deleted { name }, "OK deleted alice\n"),
            (Answer::Listed { count: 1 }, "OK 1 accounts\n"),
            (Answer::Sent { id }, "OK 7\n"),
            (Answer::Messages { count: 2 }, "OK 2\n"),
            (Answer::Acknowledged { up_to: id }, "OK\n"),
            (Answer::You { name }, "OK alice\n"),
            (Answer::Reported, "OK\n"),
            (Answer::Bye, "OK bye\n"),
            (
                Answer::Refused(&refusal),
                "ERR not_primary unknown is the primary\n",
            ),
        ] {
            assert_eq!(answered(&answer), line);
        }
    }

    #[test]
    fn every_code_has_its_word_and_one_line() {
        for &code in ErrorCode::ALL {
            let line = answered(&Answer::Refused(&code.into()));
            assert_eq!(line, format!("ERR {} {}\n", code.word(), code.sentence()));
            assert_eq!(line.lines().count(), 1);
        }
    }

    #[test]
    fn items_and_notes_are_lines() {
        let mut out = Vec::new();
        encode_item(&mut out, &Item::Line("ready\nyes"));
        for online in [true, false] {
            let name = Name::parse("bob").unwrap();
            encode_item(&mut out, &Item::Account { name, online });
        }
        assert_eq!(out, b"* ready yes\n* bob online\n* bob offline\n");
        let note = Push::Note {
            about: NoteKind::Greeting,
            sentence: "lastword 0.1.0: type HELP",
        };
        assert_eq!(pushed(&note), "NOTE lastword 0.1.0: type HELP\n");
    }

    #[test]
    fn a_message_is_one_line_whatever_it_says() {
        let line = "MSG 42 2023-11-14T22:13:20.007Z alice bob(deleted) a\\nb\\\\c\td\n";
        assert_eq!(pushed(&Push::Message(message("a\nb\\c\td"))), line);
        let mut out = Vec::new();
        encode_item(&mut out, &Item::Message(message("a\nb\\c\td")));
        assert_eq!(out, line.as_bytes());
    }

    #[test]
    fn times_have_milliseconds_always_and_an_end() {
        let at = |time| {
            let time = Timestamp(time);
            pushed(&Push::Message(MessageView {
                time,
                ..message("x")
            }))
        };
        assert!(at(0).contains(" 1970-01-01T00:00:00.000Z "));
        assert!(at(1).contains(" 1970-01-01T00:00:00.001Z "));
        assert!(at(951_782_400_000).contains(" 2000-02-29T00:00:00.000Z "));
        assert!(at(u64::MAX).contains(" 9999-12-30T"));
    }
}
