//! What the client reads.
//!
//! A server is not trusted further than it has to be: what its frames hold can be shown on a
//! terminal, because whatever could steer one breaks the connection here.

use crate::limits::{FRAME_BODY_BYTES_MAX_TO_CLIENT, SENTENCE_BYTES_MAX};
use crate::types::{ConversationId, ErrorCode, OpNumber, RequestNumber, Secret, Timestamp};

use super::super::decoded::Decoded;
use super::super::fields::{InvalidField, Reader};
use super::super::frame::{Frame, Kind, decode_frame};
use super::super::hello::{Hello, decode_hello};
use super::super::message::{Answer, Item, MessageView, NoteKind, Push, Refusal};
use super::super::{Dialect, dialect_of};

/// Longest line of text that a binary client may meet: a code's word, a sentence, and what stands
/// around them.
const LINE_BYTES_MAX_TO_BINARY: usize = SENTENCE_BYTES_MAX + 64;

/// What a server can say.
#[derive(Debug, PartialEq)]
pub enum FromServer<'a> {
    /// Who it is. Comes once, before every other frame.
    Hello(Hello),
    /// The last word of the answer to a request.
    Answer {
        /// The request's number; 0 when the whole connection is meant.
        number: RequestNumber,
        /// What was done (never [`Answer::Refused`]), or why it was not. A code that only newer
        /// servers know is [`ErrorCode::Internal`] here, with their sentence.
        answer: Result<Answer<'static>, Refusal>,
    },
    /// A part of an answer before its last word.
    Item {
        /// The request's number.
        number: RequestNumber,
        /// The part.
        item: Item<'a>,
    },
    /// What it says unasked.
    Push(Push<'a>),
}

/// Finds what a server says first in `bytes`. Lines of text may stand between frames as long as
/// the server has not seen any: its greeting, which is [`Decoded::Nothing`], and an error, after
/// which it closes. What is pushed and only newer clients understand is nothing, too.
pub fn decode_from_server(bytes: &[u8]) -> Decoded<FromServer<'_>> {
    if bytes.first().copied().map(dialect_of) == Some(Dialect::Text) {
        return decode_line(bytes);
    }
    decode_frame(bytes, FRAME_BODY_BYTES_MAX_TO_CLIENT)
        .and_then_if_known(|frame| decode_frame_body(&frame))
}

fn decode_line<'a>(bytes: &[u8]) -> Decoded<FromServer<'a>> {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX_TO_BINARY)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if window.len() < LINE_BYTES_MAX_TO_BINARY {
            Decoded::Incomplete
        } else {
            not_a_server()
        };
    };
    let Ok(line) = std::str::from_utf8(&window[..end]) else {
        return not_a_server();
    };
    if line.starts_with("NOTE ") {
        return Decoded::Nothing { consumed: end + 1 };
    }
    let Some((word, sentence)) = line
        .strip_prefix("ERR ")
        .and_then(|rest| rest.split_once(' '))
    else {
        return not_a_server();
    };
    let code = ErrorCode::ALL.iter().find(|code| code.word() == word);
    match check_shown(sentence) {
        Ok(sentence) => Decoded::Broken {
            refusal: Refusal::new(
                code.copied().unwrap_or(ErrorCode::Internal),
                sentence.to_owned(),
            ),
        },
        Err(_) => not_a_server(),
    }
}

fn not_a_server<T>() -> Decoded<T> {
    Decoded::Broken {
        refusal: Refusal::new(
            ErrorCode::BadArguments,
            "there is no Lastword server at this address: what it says is no frame",
        ),
    }
}

/// `None` for what may be skipped.
fn decode_frame_body<'a>(frame: &Frame<'a>) -> Result<Option<FromServer<'a>>, Refusal> {
    let number = frame.number;
    let fields = Reader::new(frame.body);
    let message = match frame.kind {
        Kind::HELLO => FromServer::Hello(decode_hello(frame)?),
        Kind::REFUSED => FromServer::Answer {
            number,
            answer: Err(read_refusal(fields)?),
        },
        Kind::ITEM_LINE | Kind::ITEM_ACCOUNT | Kind::ITEM_MESSAGE => FromServer::Item {
            number,
            item: read_item(frame.kind, fields)?,
        },
        Kind::PUSH_MESSAGE => FromServer::Push(Push::Message(read_message(fields)?)),
        Kind::PUSH_NOTE => match read_note(fields)? {
            Some(note) => FromServer::Push(note),
            None => return Ok(None),
        },
        kind if kind.is_push() => return Ok(None),
        kind => FromServer::Answer {
            number,
            answer: Ok(read_answer(kind, fields)?),
        },
    };
    Ok(Some(message))
}

fn read_answer(kind: Kind, mut fields: Reader<'_>) -> Result<Answer<'static>, Refusal> {
    let answer = match kind {
        Kind::HELPED => Answer::Helped,
        Kind::PONG => Answer::Pong,
        Kind::CREATED => Answer::Created {
            name: fields.name()?,
        },
        Kind::LOGGED_IN => read_logged_in(&mut fields)?,
        Kind::LOGGED_OUT => Answer::LoggedOut,
        Kind::DELETED => Answer::Deleted {
            name: fields.name()?,
        },
        Kind::LISTED => Answer::Listed {
            count: fields.u64()?,
        },
        Kind::SENT => Answer::Sent {
            id: OpNumber(fields.u64()?),
        },
        Kind::MESSAGES => Answer::Messages {
            count: fields.u64()?,
        },
        Kind::ACKNOWLEDGED => Answer::Acknowledged {
            up_to: OpNumber(fields.u64()?),
        },
        Kind::YOU => Answer::You {
            name: fields.name()?,
        },
        Kind::REPORTED => Answer::Reported,
        Kind::BYE => Answer::Bye,
        Kind(number) => {
            return Err(Refusal::new(
                ErrorCode::BadArguments,
                format!("the server sent a frame of the unknown kind {number:04x}"),
            ));
        }
    };
    fields.finish()?;
    Ok(answer)
}

fn read_logged_in(fields: &mut Reader<'_>) -> Result<Answer<'static>, InvalidField> {
    Ok(Answer::LoggedIn {
        unread: fields.u64()?,
        name: fields.name()?,
        secret: match fields.flag()? {
            true => Some(Secret(fields.array()?)),
            false => None,
        },
    })
}

/// Reads why something was not done.
pub(in super::super) fn read_refusal(mut fields: Reader<'_>) -> Result<Refusal, InvalidField> {
    let code = ErrorCode::from_number(fields.u16()?).unwrap_or(ErrorCode::Internal);
    let sentence = check_shown(fields.rest_string()?)?;
    Ok(Refusal::new(code, sentence.to_owned()))
}

fn read_item<'a>(kind: Kind, mut fields: Reader<'a>) -> Result<Item<'a>, InvalidField> {
    match kind {
        Kind::ITEM_LINE => Ok(Item::Line(check_shown(fields.rest_string()?)?)),
        Kind::ITEM_ACCOUNT => {
            let online = fields.flag()?;
            let name = fields.name()?;
            fields.finish()?;
            Ok(Item::Account { name, online })
        }
        _ => Ok(Item::Message(read_message(fields)?)),
    }
}

/// `None` for a note about something that only newer clients know.
fn read_note<'a>(mut fields: Reader<'a>) -> Result<Option<Push<'a>>, InvalidField> {
    let about = NoteKind::from_number(fields.u16()?);
    let sentence = check_shown(fields.rest_string()?)?;
    Ok(about.map(|about| Push::Note { about, sentence }))
}

fn read_message<'a>(mut fields: Reader<'a>) -> Result<MessageView<'a>, InvalidField> {
    Ok(MessageView {
        id: OpNumber(fields.u64()?),
        time: Timestamp(fields.u64()?),
        conversation: ConversationId(fields.u64()?),
        from: check_shown(fields.short_string()?)?,
        to: check_shown(fields.short_string()?)?,
        text: fields.text()?.as_str(),
    })
}

/// `text`, if it can be shown in one line.
fn check_shown(text: &str) -> Result<&str, InvalidField> {
    if text.contains(char::is_control) {
        return Err(InvalidField::OutOfRange(
            "a line for people has no control characters",
        ));
    }
    Ok(text)
}
