//! What the server writes.

use crate::types::RequestNumber;

use super::super::fields::{put_line, put_short_string, put_u8, put_u16, put_u64};
use super::super::frame::{Kind, put_frame};
use super::super::message::{Answer, Item, MessageView, Push};

/// Writes the last word of an answer. Number 0 says that it concerns the whole connection, as
/// after a frame that broke it.
pub fn encode_answer(out: &mut Vec<u8>, number: RequestNumber, answer: &Answer<'_>) {
    put_frame(out, kind_of(answer), number, |out| put_answer(out, answer));
}

/// Writes a part of an answer before its last word.
pub fn encode_item(out: &mut Vec<u8>, number: RequestNumber, item: &Item<'_>) {
    match item {
        Item::Line(line) => put_frame(out, Kind::ITEM_LINE, number, |out| put_line(out, line)),
        Item::Account { name, online } => put_frame(out, Kind::ITEM_ACCOUNT, number, |out| {
            put_u8(out, u8::from(*online));
            put_short_string(out, name.as_str());
        }),
        Item::Message(message) => put_frame(out, Kind::ITEM_MESSAGE, number, |out| {
            put_message(out, message)
        }),
    }
}

/// Writes what the server says unasked.
pub fn encode_push(out: &mut Vec<u8>, push: &Push<'_>) {
    let number = RequestNumber(0);
    match push {
        Push::Message(message) => put_frame(out, Kind::PUSH_MESSAGE, number, |out| {
            put_message(out, message)
        }),
        Push::Note { about, sentence } => put_frame(out, Kind::PUSH_NOTE, number, |out| {
            put_u16(out, *about as u16);
            put_line(out, sentence);
        }),
    }
}

fn kind_of(answer: &Answer<'_>) -> Kind {
    match answer {
        Answer::Helped => Kind::HELPED,
        Answer::Pong => Kind::PONG,
        Answer::Created { .. } => Kind::CREATED,
        Answer::LoggedIn { .. } => Kind::LOGGED_IN,
        Answer::LoggedOut => Kind::LOGGED_OUT,
        Answer::Deleted { .. } => Kind::DELETED,
        Answer::Listed { .. } => Kind::LISTED,
        Answer::Sent { .. } => Kind::SENT,
        Answer::Messages { .. } => Kind::MESSAGES,
        Answer::Acknowledged { .. } => Kind::ACKNOWLEDGED,
        Answer::You { .. } => Kind::YOU,
        Answer::Reported => Kind::REPORTED,
        Answer::Bye => Kind::BYE,
        Answer::Refused(_) => Kind::REFUSED,
    }
}

fn put_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    match answer {
        Answer::Helped | Answer::Pong | Answer::LoggedOut | Answer::Reported | Answer::Bye => {}
        Answer::Created { name } | Answer::Deleted { name } | Answer::You { name } => {
            put_short_string(out, name.as_str());
        }
        Answer::LoggedIn {
            name,
            unread,
            secret,
        } => {
            put_u64(out, *unread);
            put_short_string(out, name.as_str());
            put_u8(out, u8::from(secret.is_some()));
            if let Some(secret) = secret {
                out.extend_from_slice(&secret.0);
            }
        }
        Answer::Listed { count } | Answer::Messages { count } => put_u64(out, *count),
        Answer::Sent { id } => put_u64(out, id.0),
        Answer::Acknowledged { up_to } => put_u64(out, up_to.0),
        Answer::Refused(refusal) => {
            put_u16(out, refusal.code as u16);
            put_line(out, &refusal.sentence);
        }
    }
}

fn put_message(out: &mut Vec<u8>, message: &MessageView<'_>) {
    put_u64(out, message.id.0);
    put_u64(out, message.time.0);
    put_u64(out, message.conversation.0);
    put_short_string(out, message.from);
    put_short_string(out, message.to);
    out.extend_from_slice(message.text.as_bytes());
}
