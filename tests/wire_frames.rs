//! Frames that a client should not send, and what each of them gets: every code that a decoder can
//! give, and every limit at, below and above it. The bytes are put together by hand, since our own
//! encoder would not write them.

use lastword::limits::*;
use lastword::types::ErrorCode;
use lastword::wire::frame::Kind;
use lastword::wire::message::{Asked, Deliver, Refusal, Request};
use lastword::wire::reply::decode_from_server;
use lastword::wire::request::decode_from_client;
use lastword::wire::{Decoded, FromClient, FromServer};

fn frame(kind: Kind, number: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xcc, 1];
    bytes.extend(kind.0.to_be_bytes());
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(body);
    bytes
}

fn short(string: &str) -> Vec<u8> {
    [&[string.len() as u8], string.as_bytes()].concat()
}

/// What a request of this kind with these fields becomes. Its number is 1, and so is the lowest
/// that is open.
fn with_request<T>(kind: Kind, fields: &[&[u8]], look: impl FnOnce(Asked<'_>) -> T) -> T {
    let body = [&1u64.to_be_bytes()[..], &fields.concat()].concat();
    let bytes = frame(kind, 1, &body);
    match decode_from_client(&bytes, FRAME_BODY_BYTES_MAX) {
        Decoded::Message {
            message: FromClient::Asked(asked),
            consumed,
        } if consumed == bytes.len() => look(asked),
        other => panic!("the connection goes on: {other:?}"),
    }
}

fn code(kind: Kind, fields: &[&[u8]]) -> Option<ErrorCode> {
    with_request(kind, fields, |asked| asked.request.err().map(|r| r.code))
}

const SESSION: [u8; 16] = [7; 16];
const NO_SESSION: [u8; 16] = [0; 16];

#[test]
fn unknown_kinds_are_refused_and_the_connection_goes_on() {
    for kind in [0x0100, 0x0110, 0x0201, 0x0401, 0x1001, 0xffff] {
        assert_eq!(code(Kind(kind), &[]), Some(ErrorCode::UnknownCommand));
    }
}

#[test]
fn a_body_has_exactly_its_fields() {
    let id = 1u64.to_be_bytes();
    let limit = 1u32.to_be_bytes();
    let secret = [9; 32];
    let deliver = [0; 9];
    let name = short("bob");
    let password = short("12345678");
    let bodies: &[(Kind, &[&[u8]])] = &[
        (Kind::HELP, &[]),
        (Kind::PING, &[]),
        (Kind::CREATE, &[&SESSION, &name, &password]),
        (Kind::LOGIN, &[&SESSION, &deliver, &name, &password]),
        (Kind::RESUME, &[&SESSION, &deliver, &secret]),
        (Kind::LOGOUT, &[]),
        (Kind::DELETE, &[&password]),
        (Kind::HISTORY, &[&id, &limit, &[0]]),
        (Kind::HISTORY, &[&id, &limit, &[1], &name]),
        (Kind::HISTORY, &[&id, &limit, &[2], &id]),
        (Kind::LOG, &[&id, &limit]),
        (Kind::ACKNOWLEDGE, &[&id, &id]),
        (Kind::WHO_AM_I, &[]),
        (Kind::STATUS, &[]),
        (Kind::QUIT, &[]),
    ];
    for (kind, fields) in bodies {
        let body = fields.concat();
        assert_eq!(code(*kind, &[&body]), None, "{kind:?}");
        let longer = code(*kind, &[&body, &[0]]);
        assert_eq!(longer, Some(ErrorCode::BadArguments), "{kind:?}");
        if let [shorter @ .., _] = &body[..] {
            let shorter = code(*kind, &[shorter]);
            assert_eq!(shorter, Some(ErrorCode::BadArguments), "{kind:?}");
        }
    }
}

#[test]
fn a_body_without_the_lowest_open_number_is_refused() {
    let bytes = frame(Kind::PING, 5, &[0; 7]);
    let Decoded::Message {
        message: FromClient::Asked(asked),
        ..
    } = decode_from_client(&bytes, 100)
    else {
        panic!("the connection goes on");
    };
    assert_eq!(asked.number.0, 5);
    assert_eq!(asked.request.unwrap_err().code, ErrorCode::BadArguments);
}

#[test]
fn numbers_at_below_and_above_their_limits() {
    let numbered = |number, lowest_open: u64| {
        let bytes = frame(Kind::PING, number, &lowest_open.to_be_bytes());
        match decode_from_client(&bytes, 100) {
            Decoded::Message {
                message: FromClient::Asked(asked),
                ..
            } => asked.request.err().map(|refusal| refusal.code),
            other => panic!("the connection goes on: {other:?}"),
        }
    };
    assert_eq!(numbered(0, 0), Some(ErrorCode::BadArguments));
    assert_eq!(numbered(1, 0), None);
    assert_eq!(numbered(7, 7), None);
    assert_eq!(numbered(7, 8), Some(ErrorCode::BadArguments));
    assert_eq!(numbered(262, 7), None);
    assert_eq!(numbered(263, 7), Some(ErrorCode::BadArguments));
    assert_eq!(numbered(u64::MAX, u64::MAX), None);
}

#[test]
fn names_at_below_and_above_their_limits() {
    let create = |name: &str| {
        let fields: [&[u8]; 3] = [&SESSION, &short(name), &short("12345678")];
        code(Kind::CREATE, &fields)
    };
    assert_eq!(create(""), Some(ErrorCode::BadName));
    assert_eq!(create("a"), None);
    assert_eq!(create(&"x".repeat(32)), None);
    assert_eq!(create(&"x".repeat(33)), Some(ErrorCode::BadName));
    assert_eq!(create("al ice"), Some(ErrorCode::BadName));

    let text = b"hi";
    assert_eq!(code(Kind::SEND, &[&short("bob"), text]), None);
    let wrong = code(Kind::SEND, &[&short("b*b"), text]);
    assert_eq!(wrong, Some(ErrorCode::BadName));
    let not_utf8 = code(Kind::SEND, &[&[1, 0xff], text]);
    assert_eq!(not_utf8, Some(ErrorCode::NotUtf8));
}

#[test]
fn passwords_at_below_and_above_their_limits() {
    let create = |password: &str| {
        let fields: [&[u8]; 3] = [&NO_SESSION, &short("alice"), &short(password)];
        code(Kind::CREATE, &fields)
    };
    assert_eq!(create(&"x".repeat(7)), Some(ErrorCode::BadPassword));
    assert_eq!(create(&"x".repeat(8)), None);
    assert_eq!(create(&"x".repeat(128)), None);
    assert_eq!(create(&"x".repeat(129)), Some(ErrorCode::BadPassword));
    assert_eq!(create("with space"), Some(ErrorCode::BadPassword));
}

#[test]
fn texts_at_below_and_above_their_limits() {
    let send = |text: &[u8]| code(Kind::SEND, &[&short("bob"), text]);
    assert_eq!(send(b""), Some(ErrorCode::BadText));
    assert_eq!(send(b"x"), None);
    assert_eq!(send(&[b'x'; TEXT_BYTES_MAX]), None);
    let above = [b'x'; TEXT_BYTES_MAX + 1];
    assert_eq!(send(&above), Some(ErrorCode::TooLong));
    assert_eq!(send(b"one\ttwo\nthree"), None);
    assert_eq!(send(b"nul\0"), Some(ErrorCode::BadText));
    assert_eq!(send(b"\x1b[2J"), Some(ErrorCode::BadText));
    assert_eq!(send(b"\xff"), Some(ErrorCode::NotUtf8));
}

#[test]
fn patterns_and_history_limits_at_below_and_above_their_limits() {
    assert_eq!(code(Kind::LIST, &[]), Some(ErrorCode::BadArguments));
    assert_eq!(code(Kind::LIST, &[b"*"]), None);
    assert_eq!(code(Kind::LIST, &[&[b'?'; 128]]), None);
    let above = code(Kind::LIST, &[&[b'?'; 129]]);
    assert_eq!(above, Some(ErrorCode::BadArguments));

    let history = |limit: u32| {
        let fields: [&[u8]; 3] = [&[0xff; 8], &limit.to_be_bytes(), &[0]];
        code(Kind::HISTORY, &fields)
    };
    assert_eq!(history(0), Some(ErrorCode::BadArguments));
    assert_eq!(history(1), None);
    assert_eq!(history(HISTORY_MESSAGES_MAX), None);
    let above = history(HISTORY_MESSAGES_MAX + 1);
    assert_eq!(above, Some(ErrorCode::BadArguments));
    let scope = code(Kind::HISTORY, &[&[0xff; 8], &1u32.to_be_bytes(), &[3]]);
    assert_eq!(scope, Some(ErrorCode::BadArguments));
}

#[test]
fn a_login_takes_any_name_and_password_and_no_session() {
    let name = "not a name".repeat(25);
    let fields: [&[u8]; 4] = [&NO_SESSION, &[0; 9], &short(&name), &short("\0")];
    with_request(Kind::LOGIN, &fields, |asked| {
        assert_eq!(
            asked.request,
            Ok(Request::Login {
                name: &name,
                password: "\0",
                session: None,
                deliver: Deliver::Nothing,
            })
        );
    });
}

#[test]
fn a_resume_needs_a_session_and_deliveries_are_one_of_three() {
    let resume = |session: &[u8], how: u8, after: u64| {
        let fields: [&[u8]; 4] = [session, &[how], &after.to_be_bytes(), &[9; 32]];
        code(Kind::RESUME, &fields)
    };
    assert_eq!(resume(&SESSION, 0, 0), None);
    assert_eq!(resume(&SESSION, 1, 0), None);
    assert_eq!(resume(&SESSION, 2, 0), None);
    assert_eq!(resume(&SESSION, 2, 9), None);
    for (session, how, after) in [
        (&NO_SESSION, 0, 0),
        (&SESSION, 0, 1),
        (&SESSION, 1, 1),
        (&SESSION, 3, 0),
    ] {
        assert_eq!(
            resume(session, how, after),
            Some(ErrorCode::BadArguments),
            "{how} {after}"
        );
    }
}

#[test]
fn bodies_at_and_above_their_limit() {
    for limit in [FRAME_BODY_BYTES_MAX_BEFORE_LOGIN, FRAME_BODY_BYTES_MAX] {
        let at_limit = frame(Kind::PING, 1, &vec![0; limit]);
        let found = decode_from_client(&at_limit, limit);
        assert!(matches!(found, Decoded::Message { .. }));
        // The header alone is enough to know.
        let above = frame(Kind::PING, 1, &vec![0; limit + 1]);
        let Decoded::Broken { refusal } = decode_from_client(&above[..16], limit) else {
            panic!("what follows cannot be found");
        };
        assert_eq!(refusal.code, ErrorCode::TooLong);
    }
}

fn from_server(bytes: &[u8]) -> Decoded<FromServer<'_>> {
    decode_from_server(bytes)
}

fn broken(bytes: &[u8]) -> Refusal {
    match from_server(bytes) {
        Decoded::Broken { refusal } => refusal,
        other => panic!("this makes no sense: {other:?}"),
    }
}

#[test]
fn a_binary_client_skips_the_greeting_and_reads_errors_in_lines() {
    let greeting = b"NOTE lastword 0.1.0: type HELP\n";
    for length in 0..greeting.len() {
        assert_eq!(from_server(&greeting[..length]), Decoded::Incomplete);
    }
    let consumed = greeting.len();
    assert_eq!(from_server(greeting), Decoded::Nothing { consumed });

    for code in ErrorCode::ALL {
        let line = format!("ERR {} {}\n", code.word(), code.sentence());
        assert_eq!(broken(line.as_bytes()), Refusal::from(*code));
    }
    let newer = broken(b"ERR too_purple this is new\n");
    assert_eq!(newer, Refusal::new(ErrorCode::Internal, "this is new"));
}

#[test]
fn what_is_no_lastword_server_is_told_so() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"ERR\n",
        b"ERR busy \x1b[2J\n",
        b"NOTE \xff\n",
        &[b'x'; SENTENCE_BYTES_MAX + 64],
    ] {
        let refusal = broken(bytes);
        assert_eq!(refusal.code, ErrorCode::BadArguments);
        assert!(refusal.sentence.contains("no Lastword server"));
    }
    let nearly = &[b'x'; SENTENCE_BYTES_MAX + 63];
    assert_eq!(from_server(nearly), Decoded::Incomplete);
}

#[test]
fn what_only_newer_clients_understand_is_skipped() {
    let kind = frame(Kind(0x04ff), 0, b"anything");
    let note = frame(Kind::PUSH_NOTE, 0, b"\0\x63about something new");
    for bytes in [kind, note] {
        let consumed = bytes.len();
        assert_eq!(from_server(&bytes), Decoded::Nothing { consumed });
    }
    let refused = frame(Kind::REFUSED, 3, b"\x01\x00this is new");
    let Decoded::Message {
        message: FromServer::Answer { answer, .. },
        ..
    } = from_server(&refused)
    else {
        panic!("an answer is one, whatever its code");
    };
    assert_eq!(
        answer,
        Err(Refusal::new(ErrorCode::Internal, "this is new"))
    );
}

#[test]
fn a_client_takes_nothing_that_could_steer_a_terminal_or_that_it_cannot_read() {
    let message = |text: &[u8]| {
        let ids = [0; 24];
        [&ids[..], &short("a"), &short("b"), text].concat()
    };
    for bytes in [
        frame(Kind::PUSH_NOTE, 0, b"\0\x01\x1b[2J"),
        frame(Kind::ITEM_LINE, 1, b"two\nlines"),
        frame(Kind::REFUSED, 1, b"\0\x01\x9b"),
        frame(Kind::PUSH_MESSAGE, 0, &message(b"\x1b[2J")),
        frame(Kind::PUSH_MESSAGE, 0, &message(b"")),
        frame(Kind::ITEM_MESSAGE, 1, &message("\u{9b}31m".as_bytes())),
        frame(Kind::ITEM_ACCOUNT, 1, b"\x02\x01a"),
        frame(Kind::PONG, 1, b"more"),
        frame(Kind(0x0205), 1, b""),
        frame(Kind::PING, 1, &[0; 8]),
    ] {
        broken(&bytes);
    }
}

#[test]
fn the_longest_message_fits_into_a_frame_for_clients() {
    let longest = [
        &[0; 24][..],
        &short(&"x".repeat(41)),
        &short(&"x".repeat(41)),
    ]
    .concat();
    assert!(longest.len() + TEXT_BYTES_MAX <= FRAME_BODY_BYTES_MAX_TO_CLIENT);
    let body = vec![b'x'; FRAME_BODY_BYTES_MAX_TO_CLIENT + 1];
    let at_limit = frame(Kind::ITEM_LINE, 1, &body[1..]);
    assert!(matches!(from_server(&at_limit), Decoded::Message { .. }));
    assert_eq!(
        broken(&frame(Kind::ITEM_LINE, 1, &body)).code,
        ErrorCode::TooLong
    );
}
