//! How does a client ask, in binary frames?
//!
//! A request's body begins with the lowest number that its client still wants an answer for; the
//! fields of its kind follow. A wrong field refuses the request and leaves the connection as it
//! is, since the frame says where the next one begins; only a wrong header breaks it.

use crate::limits::{HISTORY_MESSAGES_MAX, PATTERN_BYTES_MAX, SESSION_OPEN_REQUESTS_MAX};
use crate::types::{
    ConversationId, ErrorCode, OpNumber, Password, RequestNumber, Secret, SessionId,
};

use super::decoded::Decoded;
use super::fields::{
    InvalidField, Reader, SHORT_STRING_BYTES_MAX, cut, put_short_string, put_u8, put_u32, put_u64,
    put_u128,
};
use super::frame::{Frame, Kind, decode_frame, put_frame};
use super::hello::{Hello, decode_hello};
use super::message::{Asked, Deliver, HistoryScope, Refusal, Request};

/// What a client can say.
#[derive(Debug, PartialEq)]
pub enum FromClient<'a> {
    /// Who it is. Comes once, before everything else.
    Hello(Hello),
    /// What it asks for.
    Asked(Asked<'a>),
}

/// Finds what a client says first in `bytes`. The caller sees to it that a hello came before
/// anything else, with [`super::hello::decode_first`], and that it comes once.
pub fn decode_from_client(bytes: &[u8], body_bytes_max: usize) -> Decoded<FromClient<'_>> {
    decode_frame(bytes, body_bytes_max).and_then(|frame| match frame.kind {
        Kind::HELLO => decode_hello(&frame).map(FromClient::Hello),
        _ => Ok(FromClient::Asked(decode_asked(&frame))),
    })
}

/// Writes a request. A raw name or password that is longer than a field can hold is cut: it is
/// too long for any account as well as for the field, and gets the same answer.
pub fn encode_request(
    out: &mut Vec<u8>,
    number: RequestNumber,
    lowest_open: RequestNumber,
    request: &Request<'_>,
) {
    put_frame(out, kind_of(request), number, |out| {
        put_u64(out, lowest_open.0);
        put_request(out, request);
    });
}

fn kind_of(request: &Request<'_>) -> Kind {
    match request {
        Request::Help => Kind::HELP,
        Request::Ping => Kind::PING,
        Request::Create { .. } => Kind::CREATE,
        Request::Login { .. } => Kind::LOGIN,
        Request::Resume { .. } => Kind::RESUME,
        Request::Logout => Kind::LOGOUT,
        Request::Delete { .. } => Kind::DELETE,
        Request::List { .. } => Kind::LIST,
        Request::Send { .. } => Kind::SEND,
        Request::History { .. } => Kind::HISTORY,
        Request::Log { .. } => Kind::LOG,
        Request::Acknowledge { .. } => Kind::ACKNOWLEDGE,
        Request::WhoAmI => Kind::WHO_AM_I,
        Request::Status => Kind::STATUS,
        Request::Quit => Kind::QUIT,
    }
}

fn put_request(out: &mut Vec<u8>, request: &Request<'_>) {
    match *request {
        Request::Help
        | Request::Ping
        | Request::Logout
        | Request::WhoAmI
        | Request::Status
        | Request::Quit => {}
        Request::Create {
            name,
            password,
            session,
        } => {
            put_session(out, session);
            put_short_string(out, name.as_str());
            put_short_string(out, password.as_str());
        }
        Request::Login {
            name,
            password,
            session,
            deliver,
        } => {
            put_session(out, session);
            put_deliver(out, deliver);
            put_short_string(out, cut(name, SHORT_STRING_BYTES_MAX));
            put_short_string(out, cut(password, SHORT_STRING_BYTES_MAX));
        }
        Request::Resume {
            session,
            secret,
            deliver,
        } => {
            put_session(out, Some(session));
            put_deliver(out, deliver);
            out.extend_from_slice(&secret.0);
        }
        Request::Delete { password } => {
            put_short_string(out, cut(password, SHORT_STRING_BYTES_MAX));
        }
        Request::List { pattern } => out.extend_from_slice(pattern.as_bytes()),
        Request::Send { to, text } => {
            put_short_string(out, to.as_str());
            out.extend_from_slice(text.as_str().as_bytes());
        }
        Request::History {
            scope,
            limit,
            before,
        } => put_history(out, scope, limit, before),
        Request::Log { after, limit } => {
            assert_ne!(limit, Some(0), "0 stands for no limit");
            put_u64(out, after.0);
            put_u32(out, limit.unwrap_or(0));
        }
        Request::Acknowledge {
            conversation,
            up_to,
        } => {
            put_u64(out, up_to.0);
            put_u64(out, conversation.map_or(0, |conversation| conversation.0));
        }
    }
}

fn put_session(out: &mut Vec<u8>, session: Option<SessionId>) {
    put_u128(out, session.map_or(0, |session| session.0));
}

fn put_deliver(out: &mut Vec<u8>, deliver: Deliver) {
    let (how, after) = match deliver {
        Deliver::Nothing => (0, 0),
        Deliver::Unread => (1, 0),
        Deliver::After(id) => (2, id.0),
    };
    put_u8(out, how);
    put_u64(out, after);
}

fn put_history(out: &mut Vec<u8>, scope: HistoryScope, limit: u32, before: OpNumber) {
    put_u64(out, before.0);
    put_u32(out, limit);
    match scope {
        HistoryScope::All => put_u8(out, 0),
        HistoryScope::With(name) => {
            put_u8(out, 1);
            put_short_string(out, name.as_str());
        }
        HistoryScope::Conversation(conversation) => {
            put_u8(out, 2);
            put_u64(out, conversation.0);
        }
    }
}

fn decode_asked<'a>(frame: &Frame<'a>) -> Asked<'a> {
    let mut fields = Reader::new(frame.body);
    let (lowest_open, request) = match fields.u64() {
        Ok(lowest_open) => {
            let lowest_open = RequestNumber(lowest_open);
            let request = check_numbers(frame.number, lowest_open)
                .and_then(|()| decode_request(frame.kind, fields));
            (lowest_open, request)
        }
        Err(invalid) => (RequestNumber(0), Err(invalid.into())),
    };
    Asked {
        number: frame.number,
        lowest_open,
        request,
    }
}

/// Whether a client may use this number now. Without this, one that never raises `lowest_open`
/// would make every server remember its answers for ever.
fn check_numbers(number: RequestNumber, lowest_open: RequestNumber) -> Result<(), Refusal> {
    if number.0 == 0 {
        return Err(Refusal::new(
            ErrorCode::BadArguments,
            "requests are numbered from 1",
        ));
    }
    match number.0.checked_sub(lowest_open.0) {
        None => Err(Refusal::new(
            ErrorCode::BadArguments,
            "the lowest open number is not above the request's own",
        )),
        Some(open) if open >= SESSION_OPEN_REQUESTS_MAX => Err(Refusal::new(
            ErrorCode::BadArguments,
            format!("a session has at most {SESSION_OPEN_REQUESTS_MAX} requests open"),
        )),
        Some(_) => Ok(()),
    }
}

fn decode_request(kind: Kind, mut fields: Reader<'_>) -> Result<Request<'_>, Refusal> {
    let request = match kind {
        Kind::HELP => Request::Help,
        Kind::PING => Request::Ping,
        Kind::CREATE => read_create(&mut fields)?,
        Kind::LOGIN => read_login(&mut fields)?,
        Kind::RESUME => read_resume(&mut fields)?,
        Kind::LOGOUT => Request::Logout,
        Kind::DELETE => Request::Delete {
            password: fields.short_string()?,
        },
        Kind::LIST => read_list(&mut fields)?,
        Kind::SEND => Request::Send {
            to: fields.name()?,
            text: fields.text()?,
        },
        Kind::HISTORY => read_history(&mut fields)?,
        Kind::LOG => read_log(&mut fields)?,
        Kind::ACKNOWLEDGE => read_acknowledge(&mut fields)?,
        Kind::WHO_AM_I => Request::WhoAmI,
        Kind::STATUS => Request::Status,
        Kind::QUIT => Request::Quit,
        _ => {
            return Err(Refusal::new(
                ErrorCode::UnknownCommand,
                "there is no such kind of request",
            ));
        }
    };
    fields.finish()?;
    Ok(request)
}

fn read_create<'a>(fields: &mut Reader<'a>) -> Result<Request<'a>, InvalidField> {
    Ok(Request::Create {
        session: read_session(fields)?,
        name: fields.name()?,
        password: Password::parse(fields.short_string()?)?,
    })
}

fn read_login<'a>(fields: &mut Reader<'a>) -> Result<Request<'a>, InvalidField> {
    Ok(Request::Login {
        session: read_session(fields)?,
        deliver: read_deliver(fields)?,
        name: fields.short_string()?,
        password: fields.short_string()?,
    })
}

fn read_resume<'a>(fields: &mut Reader<'a>) -> Result<Request<'a>, InvalidField> {
    Ok(Request::Resume {
        session: read_session(fields)?.ok_or(InvalidField::OutOfRange(
            "a session that can be resumed is not 0",
        ))?,
        deliver: read_deliver(fields)?,
        secret: Secret(fields.array()?),
    })
}

fn read_session(fields: &mut Reader<'_>) -> Result<Option<SessionId>, InvalidField> {
    let session = fields.u128()?;
    Ok((session != 0).then_some(SessionId(session)))
}

fn read_deliver(fields: &mut Reader<'_>) -> Result<Deliver, InvalidField> {
    let how = fields.u8()?;
    let after = OpNumber(fields.u64()?);
    match (how, after) {
        (0, OpNumber::ZERO) => Ok(Deliver::Nothing),
        (1, OpNumber::ZERO) => Ok(Deliver::Unread),
        (2, after) => Ok(Deliver::After(after)),
        (0 | 1, _) => Err(InvalidField::OutOfRange(
            "the id to deliver after is 0 unless 2 is asked for",
        )),
        _ => Err(InvalidField::OutOfRange(
            "what to deliver is 0 (nothing), 1 (the unread) or 2 (all after an id)",
        )),
    }
}

fn read_list<'a>(fields: &mut Reader<'a>) -> Result<Request<'a>, InvalidField> {
    let pattern = fields.rest_string()?;
    check_pattern(pattern)?;
    Ok(Request::List { pattern })
}

/// A pattern's length, in either dialect.
pub(super) fn check_pattern(pattern: &str) -> Result<(), InvalidField> {
    if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
        return Err(InvalidField::OutOfRange("a pattern has 1 to 128 bytes"));
    }
    Ok(())
}

fn read_history<'a>(fields: &mut Reader<'a>) -> Result<Request<'a>, InvalidField> {
    let before = OpNumber(fields.u64()?);
    let limit = fields.u32()?;
    check_history_limit(limit)?;
    let scope = match fields.u8()? {
        0 => HistoryScope::All,
        1 => HistoryScope::With(fields.name()?),
        2 => HistoryScope::Conversation(ConversationId(fields.u64()?)),
        _ => {
            return Err(InvalidField::OutOfRange(
                "a history's scope is 0 (all), 1 (with a name) or 2 (a conversation)",
            ));
        }
    };
    Ok(Request::History {
        scope,
        limit,
        before,
    })
}

/// How many messages HISTORY may be asked for, in either dialect.
pub(super) fn check_history_limit(limit: u32) -> Result<(), InvalidField> {
    if !(1..=HISTORY_MESSAGES_MAX).contains(&limit) {
        return Err(InvalidField::OutOfRange(
            "HISTORY gives 1 to 1000 messages at a time; LOG gives all",
        ));
    }
    Ok(())
}

fn read_log<'a>(fields: &mut Reader<'a>) -> Result<Request<'a>, InvalidField> {
    let after = OpNumber(fields.u64()?);
    let limit = fields.u32()?;
    Ok(Request::Log {
        after,
        limit: (limit != 0).then_some(limit),
    })
}

fn read_acknowledge<'a>(fields: &mut Reader<'a>) -> Result<Request<'a>, InvalidField> {
    let up_to = OpNumber(fields.u64()?);
    let conversation = fields.u64()?;
    Ok(Request::Acknowledge {
        conversation: (conversation != 0).then_some(ConversationId(conversation)),
        up_to,
    })
}
