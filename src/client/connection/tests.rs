//! Scripts: what goes in, line by line, and everything that comes out of it.

use std::fmt::Write;

use super::super::scripted::{Server, message, name, seconds, sent};
use super::*;
use crate::types::{OpNumber, Secret, SessionId, Text};
use crate::wire::message::{Deliver, NoteKind};

const SILENCE_MAX: Duration = Duration::from_secs(10);
const SESSION: SessionId = SessionId(0xabc);
const SECRET: Secret = Secret([7; 32]);

fn login() -> Request<'static> {
    Request::Login {
        name: "alice",
        password: "correct-horse",
        session: Some(SESSION),
        deliver: Deliver::Unread,
    }
}

fn send() -> Request<'static> {
    Request::Send {
        to: name("bob"),
        text: Text::parse("hi").unwrap(),
    }
}

fn logged_in() -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread: 0,
        secret: Some(SECRET),
    }
}

/// Everything that comes out, a line each.
fn outputs(connection: &mut Connection) -> String {
    let mut log = String::new();
    while let Some(output) = connection.poll_output() {
        match output {
            Output::Send(bytes) => log.push_str(&sent(&bytes)),
            Output::Greeted(hello) => writeln!(log, "greeted by {}", hello.software).unwrap(),
            Output::Item { number, item } => {
                let item = match item {
                    Part::Line(line) => line,
                    Part::Account { name, online } => format!("{name} {online}"),
                    Part::Message(message) => format!("message {}", message.id),
                };
                writeln!(log, "{number}: {item}").unwrap();
            }
            Output::Answered { number, answer } => match answer {
                Ok(answer) => writeln!(log, "{number} done: {answer:?}").unwrap(),
                Err(refusal) => writeln!(log, "{number} refused: {}", refusal.code.word()).unwrap(),
            },
            Output::Delivered(message) => writeln!(log, "delivered {}", message.id).unwrap(),
            Output::Noted { sentence, .. } => writeln!(log, "noted: {sentence}").unwrap(),
            Output::Ended { ending, open } => {
                let open: Vec<_> = open.iter().map(|number| number.0).collect();
                writeln!(log, "ended: it {ending}; open {open:?}").unwrap();
            }
        }
    }
    log
}

fn hear(connection: &mut Connection, server: Server, at: u64) -> String {
    connection.handle_input(Input::Received(&server.0), seconds(at));
    outputs(connection)
}

fn ask(connection: &mut Connection, number: u64, lowest_open: u64, request: &Request<'_>, at: u64) {
    let (number, lowest_open) = (RequestNumber(number), RequestNumber(lowest_open));
    connection.ask(number, lowest_open, request, seconds(at));
}

/// A connection on which both hellos were said.
fn open() -> Connection {
    let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
    connection.handle_input(Input::Connected, seconds(0));
    hear(&mut connection, Server::default().hello(), 0);
    connection
}

#[test]
fn a_connection_from_its_hello_to_its_end() {
    let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
    assert_eq!(connection.poll_timeout(), None);
    assert!(!connection.is_open());

    connection.handle_input(Input::Connected, seconds(0));
    assert_eq!(outputs(&mut connection), "send hello of client test\n");
    assert!(!connection.is_open());

    let said = hear(&mut connection, Server::default().hello(), 1);
    assert_eq!(said, "greeted by lastword test\n");
    assert_eq!(connection.poll_timeout(), None, "nothing is owed");

    ask(&mut connection, 1, 1, &login(), 2);
    assert_eq!(outputs(&mut connection), "send 1 (1..) Login alice\n");
    let said = hear(
        &mut connection,
        Server::default()
            .answer(1, logged_in())
            .push(Push::Message(message(40))),
        3,
    );
    assert_eq!(
        said,
        "1 done: LoggedIn { name: Name(alice), unread: 0, secret: Some(Secret(..)) }\ndelivered 40\n"
    );
    ask(&mut connection, 2, 2, &send(), 4);
    ask(&mut connection, 3, 2, &Request::Status, 4);
    assert_eq!(
        outputs(&mut connection),
        "send 2 (2..) Send bob hi\nsend 3 (2..) Status\n"
    );
    let said = hear(
        &mut connection,
        Server::default()
            .item(3, Item::Line("clients 1"))
            .answer(3, Answer::Reported)
            .answer(2, Answer::Sent { id: OpNumber(41) }),
        5,
    );
    assert_eq!(
        said,
        "3: clients 1\n3 done: Reported\n2 done: Sent { id: OpNumber(41) }\n"
    );
    connection.handle_input(Input::Closed, seconds(7));
    assert_eq!(
        outputs(&mut connection),
        "ended: it closed the connection; open []\n"
    );
    connection.handle_input(Input::Received(b"more"), seconds(8));
    assert_eq!(outputs(&mut connection), "", "an end is final");
}

#[test]
fn what_was_open_at_the_end_is_handed_back() {
    type End = fn(&mut Connection);
    let endings: [(&str, End); 3] = [
        ("closed the connection", |connection| {
            connection.handle_input(Input::Closed, seconds(1));
        }),
        ("cannot be reached any more: reset", |connection| {
            connection.handle_input(Input::Failed("reset".into()), seconds(1));
        }),
        ("has not answered for 10 s", |connection| {
            connection.handle_timeout(seconds(10));
        }),
    ];
    for (why, end) in endings {
        let mut connection = open();
        for number in 1..=3 {
            ask(&mut connection, number, 1, &send(), 0);
        }
        let answered = Server::default().answer(2, Answer::Sent { id: OpNumber(9) });
        hear(&mut connection, answered, 0);
        end(&mut connection);
        assert_eq!(
            outputs(&mut connection),
            format!("ended: it {why}; open [1, 3]\n")
        );
    }
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
    connection.handle_input(Input::Connected, seconds(0));
    outputs(&mut connection);
    let server = Server::default()
        .raw(b"NOTE lastword 0.1.0: type HELP\n")
        .hello()
        .push(Push::Note {
            about: NoteKind::Ready,
            sentence: "ready",
        })
        .push(Push::Message(message(5)));
    let mut said = String::new();
    for byte in &server.0 {
        connection.handle_input(Input::Received(&[*byte]), seconds(1));
        said.push_str(&outputs(&mut connection));
    }
    assert_eq!(
        said,
        "greeted by lastword test\nnoted: ready\ndelivered 5\n"
    );
}

#[test]
fn strangers_are_recognized() {
    let client_hello = {
        let mut bytes = Vec::new();
        encode_hello(&mut bytes, &Hello::client("nc"));
        bytes
    };
    let strangers: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        &client_hello,
        &Server::default().answer(1, Answer::Pong).0,
    ];
    for bytes in strangers {
        let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
        connection.handle_input(Input::Connected, seconds(0));
        outputs(&mut connection);
        let said = hear(&mut connection, Server(bytes.to_vec()), 1);
        assert!(
            said.starts_with("ended: it does not answer as a Lastword server does: "),
            "{said}"
        );
    }
}

#[test]
fn who_says_nothing_is_given_up_in_time() {
    let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
    connection.handle_input(Input::Connected, seconds(1));
    outputs(&mut connection);
    // Chatter that is no hello does not buy time.
    let greeting = Server::default().raw(b"NOTE lastword 0.1.0: type HELP\n");
    assert_eq!(hear(&mut connection, greeting, 5), "");
    assert_eq!(connection.poll_timeout(), Some(seconds(11)));
    connection.handle_timeout(seconds(10));
    assert_eq!(outputs(&mut connection), "");
    connection.handle_timeout(seconds(11));
    let said = outputs(&mut connection);
    assert!(said.contains("said nothing for 10 s"), "{said}");

    let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
    connection.handle_input(Input::Connected, seconds(1));
    outputs(&mut connection);
    connection.handle_input(Input::Closed, seconds(2));
    let said = outputs(&mut connection);
    assert!(said.contains("without a word"), "{said}");
}

#[test]
fn a_server_that_is_heard_is_waited_for() {
    let mut connection = open();
    ask(&mut connection, 1, 1, &Request::Status, 100);
    assert_eq!(connection.poll_timeout(), Some(seconds(110)));
    hear(
        &mut connection,
        Server::default().item(1, Item::Line("clients 1")),
        109,
    );
    assert_eq!(connection.poll_timeout(), Some(seconds(119)));
    hear(
        &mut connection,
        Server::default().answer(1, Answer::Reported),
        118,
    );
    assert_eq!(
        connection.poll_timeout(),
        None,
        "an idle connection may be silent"
    );
}

#[test]
fn a_refused_connection_says_why() {
    for server in [
        Server::default().raw(b"ERR busy too many connections\n"),
        Server::default().hello().refuse(0, ErrorCode::Busy),
        Server::default().refuse(0, ErrorCode::Busy),
    ] {
        let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
        connection.handle_input(Input::Connected, seconds(0));
        outputs(&mut connection);
        let said = hear(&mut connection, server, 0);
        assert!(
            said.contains("ended: it refused the connection: "),
            "{said}"
        );
        assert!(said.contains("(busy)"), "{said}");
    }
}

#[test]
fn what_makes_no_sense_ends_the_connection_and_is_never_an_answer() {
    for server in [
        Server::default().hello(),
        Server::default().answer(9, Answer::Pong),
        Server::default().answer(1, Answer::Pong),
        Server::default().item(9, Item::Line("x")),
        Server::default().raw(&[0xcc, 9]),
        Server::default().raw(b"garbage\n"),
    ] {
        let mut connection = open();
        ask(&mut connection, 1, 1, &send(), 0);
        outputs(&mut connection);
        let said = hear(&mut connection, server, 0);
        assert!(
            said.starts_with("ended: it said what makes no sense: "),
            "{said}"
        );
        assert!(said.ends_with("open [1]\n"), "{said}");
    }
}

#[test]
fn a_password_takes_the_time_that_it_takes() {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let mut connection = Connection::new("client test", second, minute);
    connection.handle_input(Input::Connected, seconds(0));
    hear(&mut connection, Server::default().hello(), 0);
    ask(&mut connection, 1, 1, &send(), 0);
    assert_eq!(connection.poll_timeout(), Some(seconds(1)));
    ask(&mut connection, 2, 1, &login(), 0);
    assert_eq!(connection.poll_timeout(), Some(seconds(60)));
    hear(&mut connection, Server::default().answer(2, logged_in()), 5);
    assert_eq!(connection.poll_timeout(), Some(seconds(6)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(pieces: Vec<Vec<u8>>, after_hello: bool) {
        let mut connection = if after_hello { open() } else {
            let mut connection = Connection::new("client test", SILENCE_MAX, SILENCE_MAX);
            connection.handle_input(Input::Connected, seconds(0));
            connection
        };
        for piece in pieces {
            connection.handle_input(Input::Received(&piece), seconds(1));
            outputs(&mut connection);
        }
    }
}
