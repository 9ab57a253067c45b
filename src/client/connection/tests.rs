//! Scripts: what goes in, line by line, and everything that comes out of it.

use std::fmt::Write;

use super::super::scripted::{Server, message, name, seconds, sent};
use super::*;
use crate::types::Text;
use crate::wire::message::Deliver;

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
fn outputs(core: &mut Connection) -> String {
    let mut log = String::new();
    while let Some(output) = core.poll_output() {
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

fn hear(core: &mut Connection, server: Server, at: u64) -> String {
    core.handle_input(Input::Received(&server.0), seconds(at));
    outputs(core)
}

/// A connection on which both hellos were said.
fn open_core() -> Connection {
    let mut core = Connection::new("client test", SILENCE_MAX);
    core.handle_input(Input::Connected, seconds(0));
    hear(&mut core, Server::default().hello(), 0);
    core
}

#[test]
fn a_connection_from_its_hello_to_its_end() {
    let mut core = Connection::new("client test", SILENCE_MAX);
    assert_eq!(core.poll_timeout(), None);
    assert_eq!(core.ask(&login(), seconds(0)), Err(AskError::NotOpen));

    core.handle_input(Input::Connected, seconds(0));
    assert_eq!(outputs(&mut core), "send hello of client test\n");
    assert_eq!(core.ask(&login(), seconds(0)), Err(AskError::NotOpen));

    let said = hear(&mut core, Server::default().hello(), 1);
    assert_eq!(said, "greeted by lastword test\n");
    assert_eq!(core.poll_timeout(), None, "nothing is owed");

    assert_eq!(core.ask(&login(), seconds(2)), Ok(RequestNumber(1)));
    assert_eq!(outputs(&mut core), "send 1 (1..) Login alice\n");
    let said = hear(
        &mut core,
        Server::default()
            .answer(1, logged_in())
            .push(Push::Message(message(40))),
        3,
    );
    assert_eq!(
        said,
        "1 done: LoggedIn { name: Name(alice), unread: 0, secret: Some(Secret(..)) }\ndelivered 40\n"
    );
    assert_eq!(
        core.identity(),
        Some(&Identity {
            name: name("alice"),
            session: Some(SESSION),
            secret: Some(SECRET),
        })
    );
    assert_eq!(core.last_seen(), OpNumber(40));

    core.ask(&send(), seconds(4)).unwrap();
    core.ask(&Request::Status, seconds(4)).unwrap();
    assert_eq!(
        outputs(&mut core),
        "send 2 (2..) Send bob hi\nsend 3 (2..) Status\n"
    );
    let said = hear(
        &mut core,
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
    assert_eq!(core.last_seen(), OpNumber(40), "41 was sent, not seen");

    core.ask(&Request::Logout, seconds(6)).unwrap();
    assert_eq!(outputs(&mut core), "send 4 (4..) Logout\n");
    hear(&mut core, Server::default().answer(4, Answer::LoggedOut), 6);
    assert_eq!(core.identity(), None);

    core.handle_input(Input::Closed, seconds(7));
    assert_eq!(
        outputs(&mut core),
        "ended: it closed the connection; open []\n"
    );
    core.handle_input(Input::Received(b"more"), seconds(8));
    assert_eq!(outputs(&mut core), "", "an end is final");
}

#[test]
fn what_was_open_at_the_end_is_handed_back() {
    type End = fn(&mut Connection);
    let endings: [(&str, End); 3] = [
        ("closed the connection", |core| {
            core.handle_input(Input::Closed, seconds(1));
        }),
        ("cannot be reached any more: reset", |core| {
            core.handle_input(Input::Failed("reset".into()), seconds(1));
        }),
        ("has not answered for 10 s", |core| {
            core.handle_timeout(seconds(10));
        }),
    ];
    for (why, end) in endings {
        let mut core = open_core();
        for _ in 0..3 {
            core.ask(&send(), seconds(0)).unwrap();
        }
        let answered = Server::default().answer(2, Answer::Sent { id: OpNumber(9) });
        hear(&mut core, answered, 0);
        end(&mut core);
        assert_eq!(
            outputs(&mut core),
            format!("ended: it {why}; open [1, 3]\n")
        );
    }
}

#[test]
fn numbers_never_span_more_than_a_server_takes() {
    let mut core = open_core();
    for _ in 0..SESSION_OPEN_REQUESTS_MAX {
        core.ask(&send(), seconds(0)).unwrap();
    }
    assert!(!core.can_ask());
    assert_eq!(core.ask(&send(), seconds(0)), Err(AskError::TooManyOpen));

    // The lowest one is what holds up the rest.
    let sent = |number| Server::default().answer(number, Answer::Sent { id: OpNumber(9) });
    hear(&mut core, sent(2), 0);
    assert_eq!(core.ask(&send(), seconds(0)), Err(AskError::TooManyOpen));
    hear(&mut core, sent(1), 0);
    assert_eq!(core.ask(&send(), seconds(0)), Ok(RequestNumber(257)));
    assert_eq!(outputs(&mut core), "send 257 (3..) Send bob hi\n");
    assert_eq!(
        core.ask(&send(), seconds(0)),
        Ok(RequestNumber(258)),
        "1 and 2 are both answered"
    );
    assert_eq!(core.ask(&send(), seconds(0)), Err(AskError::TooManyOpen));
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut core = Connection::new("client test", SILENCE_MAX);
    core.handle_input(Input::Connected, seconds(0));
    outputs(&mut core);
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
        core.handle_input(Input::Received(&[*byte]), seconds(1));
        said.push_str(&outputs(&mut core));
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
        let mut core = Connection::new("client test", SILENCE_MAX);
        core.handle_input(Input::Connected, seconds(0));
        outputs(&mut core);
        let said = hear(&mut core, Server(bytes.to_vec()), 1);
        assert!(
            said.starts_with("ended: it does not answer as a Lastword server does: "),
            "{said}"
        );
    }
}

#[test]
fn who_says_nothing_is_given_up_in_time() {
    let mut core = Connection::new("client test", SILENCE_MAX);
    core.handle_input(Input::Connected, seconds(1));
    outputs(&mut core);
    // Chatter that is no hello does not buy time.
    let greeting = Server::default().raw(b"NOTE lastword 0.1.0: type HELP\n");
    assert_eq!(hear(&mut core, greeting, 5), "");
    assert_eq!(core.poll_timeout(), Some(seconds(11)));
    core.handle_timeout(seconds(10));
    assert_eq!(outputs(&mut core), "");
    core.handle_timeout(seconds(11));
    let said = outputs(&mut core);
    assert!(said.contains("said nothing for 10 s"), "{said}");

    let mut core = Connection::new("client test", SILENCE_MAX);
    core.handle_input(Input::Connected, seconds(1));
    outputs(&mut core);
    core.handle_input(Input::Closed, seconds(2));
    let said = outputs(&mut core);
    assert!(said.contains("without a word"), "{said}");
}

#[test]
fn a_server_that_is_heard_is_waited_for() {
    let mut core = open_core();
    core.ask(&Request::Status, seconds(100)).unwrap();
    assert_eq!(core.poll_timeout(), Some(seconds(110)));
    hear(
        &mut core,
        Server::default().item(1, Item::Line("clients 1")),
        109,
    );
    assert_eq!(core.poll_timeout(), Some(seconds(119)));
    hear(
        &mut core,
        Server::default().answer(1, Answer::Reported),
        118,
    );
    assert_eq!(
        core.poll_timeout(),
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
        let mut core = Connection::new("client test", SILENCE_MAX);
        core.handle_input(Input::Connected, seconds(0));
        outputs(&mut core);
        let said = hear(&mut core, server, 0);
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
        let mut core = open_core();
        core.ask(&send(), seconds(0)).unwrap();
        outputs(&mut core);
        let said = hear(&mut core, server, 0);
        assert!(
            said.starts_with("ended: it said what makes no sense: "),
            "{said}"
        );
        assert!(said.ends_with("open [1]\n"), "{said}");
    }
}

#[test]
fn a_login_ends_in_every_way_that_a_server_may_end_it() {
    let resumed = || {
        let mut core = open_core();
        let resume = Request::Resume {
            session: SESSION,
            secret: SECRET,
            deliver: Deliver::After(OpNumber(3)),
        };
        core.ask(&resume, seconds(0)).unwrap();
        let answer = Answer::LoggedIn {
            name: name("alice"),
            unread: 0,
            secret: None,
        };
        hear(&mut core, Server::default().answer(1, answer), 0);
        assert_eq!(core.identity().unwrap().secret, Some(SECRET));
        core
    };

    let note = |about| Push::Note {
        about,
        sentence: "so it is",
    };
    for about in [NoteKind::SessionEnded, NoteKind::AccountDeleted] {
        let mut core = resumed();
        hear(&mut core, Server::default().push(note(about)), 0);
        assert_eq!(core.identity(), None);
    }
    for code in [ErrorCode::SessionGone, ErrorCode::NotLoggedIn] {
        let mut core = resumed();
        core.ask(&send(), seconds(0)).unwrap();
        hear(&mut core, Server::default().refuse(2, code), 0);
        assert_eq!(core.identity(), None);
    }
    let mut core = resumed();
    core.ask(&send(), seconds(0)).unwrap();
    hear(
        &mut core,
        Server::default().refuse(2, ErrorCode::NoSuchAccount),
        0,
    );
    assert!(core.identity().is_some());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(pieces: Vec<Vec<u8>>, after_hello: bool) {
        let mut core = if after_hello { open_core() } else {
            let mut core = Connection::new("client test", SILENCE_MAX);
            core.handle_input(Input::Connected, seconds(0));
            core
        };
        for piece in pieces {
            core.handle_input(Input::Received(&piece), seconds(1));
            outputs(&mut core);
        }
    }
}
