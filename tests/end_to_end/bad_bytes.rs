//! What comes of bytes that no client would send? A refusal or a closed connection, and nobody
//! else notices.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use lastword::types::{ErrorCode, Name, OpNumber, Password, SessionId, Text};
use lastword::wire::frame::{HEADER_BYTES, MAGIC};
use lastword::wire::hello::{Hello, encode_hello};
use lastword::wire::message::{Answer, Deliver, HistoryScope, Request};

use crate::common::binary::BinaryClient;
use crate::common::random::Random;
use crate::common::server::TestServer;
use crate::common::text::TextClient;
use crate::common::{PASSWORD, PATIENCE};

/// Sends bytes and half a close. Answers all that comes until the server closes, too.
fn throw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the server takes the connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut answer = Vec::new();
    // The server may close before it has taken everything, and then the rest fails as it may.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(e) => panic!(
            "not closed after {}: {e}",
            bytes[..bytes.len().min(80)].escape_ascii()
        ),
    }
    answer
}

/// A frame with this header, whatever it says.
fn frame(version: u8, kind: u16, length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![MAGIC, version];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(1u64.to_be_bytes());
    assert_eq!(bytes.len(), HEADER_BYTES);
    bytes.extend(body);
    bytes
}

fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_hello(&mut bytes, &Hello::client("end-to-end test"));
    bytes
}

#[test]
fn other_protocols_are_answered_or_closed() {
    let mut server = TestServer::start();
    let mut neighbour = server.account("alice");
    let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20);
    let zeros = vec![0; 100_000];
    let newlines = vec![b'\n'; 1_000_000];
    for bytes in [
        &b""[..],
        b"\0",
        b"GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n",
        b"\x16\x03\x01",
        &tls_hello,
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"NICK alice\r\nUSER alice 0 * :Alice\r\n",
        &zeros,
        &newlines,
        &[0xff; 10_000],
        &[0x80],
        &[MAGIC],
    ] {
        throw(server.address(), bytes);
        neighbour.ping();
    }
    server.assert_well();
}

#[test]
fn a_web_browser_gets_refusals() {
    let server = TestServer::start();
    let answer = throw(
        server.address(),
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    );
    let answer = String::from_utf8(answer).expect("text");
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), 2, "{answer}");
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("ERR unknown_command ")),
        "{answer}"
    );
}

#[test]
fn random_bytes_harm_nobody() {
    let mut server = TestServer::start();
    let mut neighbour = server.account("alice");
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let length = random.between(1..4096) as usize;
        let mut bytes = random.bytes(length);
        match seed % 4 {
            // Text, a frame, a frame after a good hello, or whatever it is.
            0 => bytes[0] &= 0x7f,
            1 => bytes[0] = MAGIC,
            2 => {
                bytes = [
                    hello(),
                    frame(1, 0x0100 | (seed as u16 % 16), length as u32, &bytes),
                ]
                .concat()
            }
            _ => {}
        }
        throw(server.address(), &bytes);
        if seed % 20 == 0 {
            neighbour.ping();
        }
    }
    neighbour.expect("LOG", "OK 0");
    assert_eq!(neighbour.ask("LIST").lines, ["* alice online"]);
    server.assert_well();
}

#[test]
fn broken_frames_close_the_connection() {
    let mut server = TestServer::start();
    for (what, bytes) in [
        ("another first byte", vec![0x80; 100]),
        ("another version", frame(2, 1, 0, b"")),
        ("a giant hello", frame(1, 1, u32::MAX, b"abc")),
        ("a large hello", frame(1, 1, 1025, &[0; 1025])),
        ("half a hello", hello()[..20].to_vec()),
        ("no hello", frame(1, 0x0102, 8, &[0; 8])),
        (
            "a giant request",
            [hello(), frame(1, 0x0109, 0x7fff_ffff, b"abc")].concat(),
        ),
        (
            "a large request before login",
            [hello(), frame(1, 0x0109, 1025, &[0; 1025])].concat(),
        ),
        (
            "another byte between frames",
            [hello(), b"PING\n".to_vec()].concat(),
        ),
        ("two hellos", [hello(), hello()].concat()),
    ] {
        // Not half closed: it is the server that ends it.
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
            .write_all(&bytes)
            .expect("the server takes the bytes");
        if what == "half a hello" {
            stream.shutdown(Shutdown::Write).expect("half a close");
        }
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let reset = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(
            end.is_ok() || end.as_ref().is_err_and(reset),
            "{what}: {end:?}"
        );
        server.assert_well();
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_and_the_connection_goes_on() {
    let mut server = TestServer::start();
    server.account("alice");
    let mut client = BinaryClient::connect(server.address());
    client.login("alice", SessionId(1), Deliver::Unread);
    let mut refused = |bytes: &[u8]| {
        client.say_bytes(bytes);
        let answer = client.try_answer().expect("an answer, and not the end");
        let code = answer.last.expect_err("a refusal").code;
        assert!(matches!(client.ask(&Request::Ping).last, Ok(Answer::Pong)));
        code
    };
    assert_eq!(
        refused(&frame(1, 0x01ff, 8, &[0; 8])),
        ErrorCode::UnknownCommand
    );
    assert_eq!(refused(&frame(1, 0x0102, 0, b"")), ErrorCode::BadArguments);
    let mut send = Vec::new();
    for (name, text, code) in [
        (&b""[..], &b"hi"[..], ErrorCode::BadName),
        (b"al*ce", b"hi", ErrorCode::BadName),
        (b"alice", b"", ErrorCode::BadText),
        (b"alice", b"\0", ErrorCode::BadText),
        (b"alice", b"\x1b[2J", ErrorCode::BadText),
        (b"alice", b"\xff", ErrorCode::NotUtf8),
        (b"alice", &[b'x'; 16 * 1024 + 1], ErrorCode::TooLong),
    ] {
        send.clear();
        send.extend(1u64.to_be_bytes());
        send.push(name.len() as u8);
        send.extend(name);
        send.extend(text);
        let bytes = frame(1, 0x0109, send.len() as u32, &send);
        assert_eq!(
            refused(&bytes),
            code,
            "{}",
            text[..text.len().min(20)].escape_ascii()
        );
    }
    server.assert_well();
}

#[test]
fn names_passwords_and_texts_at_their_limits_in_frames() {
    let server = TestServer::start();
    let mut client = BinaryClient::connect(server.address());
    for (name, password) in [("a", "12345678"), (&"n".repeat(32), &"p".repeat(128))] {
        let answer = client.ask(&Request::Create {
            name: Name::parse(name).expect("a name"),
            password: Password::parse(password).expect("a password"),
            session: Some(SessionId(9)),
        });
        assert!(
            matches!(answer.last, Ok(Answer::Created { .. })),
            "{answer:?}"
        );
        let answer = client.ask(&Request::Login {
            name,
            password,
            session: Some(SessionId(10)),
            deliver: Deliver::Nothing,
        });
        assert!(
            matches!(answer.last, Ok(Answer::LoggedIn { .. })),
            "{answer:?}"
        );
        assert!(matches!(
            client.ask(&Request::Logout).last,
            Ok(Answer::LoggedOut)
        ));
    }
    for (name, password) in [("a", &"p".repeat(255)), (&"n".repeat(255), &"p".repeat(8))] {
        let code = client.refused(&Request::Login {
            name,
            password,
            session: Some(SessionId(11)),
            deliver: Deliver::Nothing,
        });
        assert_eq!(code, ErrorCode::BadLogin);
    }
    let too_many = Request::History {
        scope: HistoryScope::All,
        limit: 1001,
        before: OpNumber::MAX,
    };
    client.ask(&Request::Login {
        name: "a",
        password: "12345678",
        session: Some(SessionId(12)),
        deliver: Deliver::Nothing,
    });
    assert_eq!(client.refused(&too_many), ErrorCode::BadArguments);
    let to = Name::parse("a").expect("a name");
    for text in ["x", &"x".repeat(16 * 1024), "one\ntwo\\three\tfour"] {
        let text = Text::parse(text).expect("a text");
        assert!(matches!(
            client.ask(&Request::Send { to, text }).last,
            Ok(Answer::Sent { .. })
        ));
    }
    let log = client.log();
    assert_eq!(log[2].text, "one\ntwo\\three\tfour");

    // What has several lines in frames is one line in text.
    let mut text = server.text();
    text.login_with("a", "12345678");
    let newest = text.messages("HISTORY a 1");
    assert_eq!(newest[0].text, "one\\ntwo\\\\three\tfour");
    assert_eq!(newest[0].time, log[2].time);
}

#[test]
fn half_a_request_and_then_silence_holds_up_nobody() {
    let mut server = TestServer::start();
    server.account("alice");
    let halves = [
        b"LOGIN alice correct-hor".to_vec(),
        hello()[..7].to_vec(),
        [hello(), frame(1, 0x0104, 100, &[0; 30])].concat(),
    ];
    let silent: Vec<TcpStream> = (0..30)
        .map(|n| {
            let mut stream = TcpStream::connect(server.address()).expect("a connection");
            stream
                .write_all(&halves[n % 3])
                .expect("the server takes the bytes");
            stream
        })
        .collect();
    server.assert_well();
    let mut alice = server.login("alice");
    alice.send("alice", "all is well");
    drop(silent);
    server.assert_well();
}

#[test]
fn a_client_that_resets_its_connection_takes_nothing_with_it() {
    let mut server = TestServer::start();
    let mut alice = server.account("alice");
    for _ in 0..50 {
        // Answers that nobody reads make the close a reset.
        let mut rude = server.text();
        rude.say_bytes(&b"HELP\n".repeat(100));
        rude.line();
    }
    alice.ping();
    server.assert_well();
}

#[test]
fn a_binary_client_may_be_greeted_in_text_first() {
    let server = TestServer::start();
    let mut silent = TextClient::connect(server.address());
    silent.note();
    let stream = silent.stream().try_clone().expect("a second handle");
    let mut binary = BinaryClient::over(stream).expect("both hellos");
    assert!(matches!(binary.ask(&Request::Ping).last, Ok(Answer::Pong)));
}

#[test]
fn requests_in_frames_are_those_of_text_mode() {
    let server = TestServer::start();
    let mut alice = BinaryClient::connect(server.address());
    assert_eq!(alice.refused(&Request::WhoAmI), ErrorCode::NotLoggedIn);
    server.account("alice");
    server.account("bob");
    alice.login("alice", SessionId(1), Deliver::Unread);
    let name = Name::parse("alice").expect("a name");
    assert_eq!(alice.ask(&Request::WhoAmI).last, Ok(Answer::You { name }));
    let help = alice.ask(&Request::Help);
    assert!(help.last == Ok(Answer::Helped) && !help.parts.lines.is_empty());
    let status = alice.ask(&Request::Status);
    assert_eq!(status.last, Ok(Answer::Reported));
    assert!(
        status
            .parts
            .lines
            .iter()
            .any(|line| line.ends_with("ready yes"))
    );

    let list = alice.ask(&Request::List { pattern: "*" });
    assert_eq!(list.last, Ok(Answer::Listed { count: 2 }));
    let bob = Name::parse("bob").expect("a name");
    assert!(list.parts.accounts.iter().any(|(listed, _)| *listed == bob));

    let mut bob_client = server.login("bob");
    let id = alice.send("bob", "hello");
    assert_eq!(bob_client.delivered().id, id);
    let id = bob_client.send("alice", "hello yourself");
    assert_eq!(alice.delivered().id, id);
    let history = alice.ask(&Request::History {
        scope: HistoryScope::With(bob),
        limit: 10,
        before: OpNumber::MAX,
    });
    assert_eq!(history.last, Ok(Answer::Messages { count: 2 }));
    assert_eq!(history.parts.messages, bob_client.messages("HISTORY alice"));

    let deleted = alice.ask(&Request::Delete { password: PASSWORD });
    assert_eq!(deleted.last, Ok(Answer::Deleted { name }));
    assert_eq!(alice.ask(&Request::Quit).last, Ok(Answer::Bye));
    assert!(alice.until_closed().is_none());
}
