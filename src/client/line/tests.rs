//! Scripts: what is typed and what the server says, and what is shown and sent.

use jiff::tz::TimeZone;

use super::super::failover::{Change, Input};
use super::super::scripted::{Dialed, Server, message, name, seconds};
use super::*;
use crate::types::{Secret, Timestamp};
use crate::wire::message::{Answer, Item, MessageView, NoteKind, Push};

/// A person (or a script) at line mode.
struct Chat {
    dialed: Dialed,
    line: LineMode,
}

impl Chat {
    /// With a person and a prompt, or neither, on a connection on which both hellos were said.
    fn open(has_person: bool) -> Self {
        Self::open_as(has_person, None).0
    }

    fn open_as(has_person: bool, login: Option<(&str, &str)>) -> (Self, String) {
        let options = LineOptions {
            has_person,
            has_prompt: has_person,
            output_is_read: has_person,
            colours: Colours::Off,
            login: login.map(|(name, password)| (name.into(), password.into())),
        };
        let conversation = Conversation::new(TimeZone::UTC, Colours::Off, Timestamp(1));
        let mut sessions = 0;
        let fresh_session = Box::new(move || {
            sessions += 1;
            SessionId(sessions)
        });
        let mut chat = Self {
            dialed: Dialed::new(),
            line: LineMode::new(options, conversation, fresh_session),
        };
        let shown = chat.turn();
        (chat, shown)
    }

    /// Logged in as alice, who is told of `unread` messages that are still to come.
    fn logged_in(has_person: bool, unread: u64) -> Self {
        let mut chat = Self::open(has_person);
        chat.types("login alice correct-horse");
        chat.hears(Server::default().answer(2, welcome(unread)));
        chat
    }

    /// What is shown and sent when a line is typed.
    fn types(&mut self, line: &str) -> String {
        assert_ne!(self.wants(), Wants::Nothing, "{line:?} would have to wait");
        let typed = Typed::Line(line.into());
        self.line
            .handle_typed(typed, &mut self.dialed.client, seconds(0));
        self.turn()
    }

    fn ends_input(&mut self) -> String {
        self.line
            .handle_typed(Typed::End, &mut self.dialed.client, seconds(0));
        self.turn()
    }

    fn hears(&mut self, server: Server) -> String {
        self.dialed.hears(&server);
        self.turn()
    }

    fn wants(&self) -> Wants {
        self.line.wants(&self.dialed.client)
    }

    /// As the driver does it: what is shown is written before anything is called read.
    fn turn(&mut self) -> String {
        let mut log = self.drain();
        let written = self.line.take_text(&self.dialed.client, seconds(0));
        log.push_str(&written.output);
        log.push_str(&written.error);
        self.line
            .handle_written(&mut self.dialed.client, seconds(0));
        log + &self.drain()
    }

    fn drain(&mut self) -> String {
        self.dialed.drain(&mut self.line)
    }
}

fn welcome(unread: u64) -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread,
        secret: Some(Secret([7; 32])),
    }
}

fn sent_as(id: u64) -> Answer<'static> {
    Answer::Sent { id: OpNumber(id) }
}

#[test]
fn a_person_chats() {
    let (mut chat, shown) = Chat::open_as(true, None);
    assert_eq!(
        shown,
        "lastword test at 127.0.0.1:5000. CREATE name makes an account, LOGIN name logs in, HELP lists the rest.\n> "
    );
    assert_eq!(
        chat.types("login alice correct-horse"),
        "send 2 (2..) Login alice\n"
    );
    let shown = chat.hears(Server::default().answer(2, welcome(0)));
    assert_eq!(shown, "you are alice; no unread messages\nalice> ");

    assert_eq!(chat.types("send bob hi"), "send 3 (3..) Send bob hi\n");
    let shown = chat.hears(Server::default().answer(3, sent_as(41)));
    assert_eq!(shown, "sent, id 41\nalice> ");

    // A delivery takes the prompt's place, and is called read after it was written.
    let shown = chat.hears(Server::default().push(Push::Message(message(42))));
    assert_eq!(
        shown,
        "\r\x1b[K00:00 bob: hello\nalice> send 4 (4..) Acknowledge 42\n"
    );
    let up_to = OpNumber(42);
    let shown = chat.hears(Server::default().answer(4, Answer::Acknowledged { up_to }));
    assert_eq!(shown, "", "nobody asked for it");

    assert_eq!(chat.types("quit"), "send 5 (5..) Logout\n");
    chat.hears(Server::default().answer(5, Answer::LoggedOut));
    assert_eq!(chat.line.exit(), Some(Exit::Done));
}

#[test]
fn one_password_is_asked_for_to_log_in_and_two_to_make_an_account() {
    let mut chat = Chat::open(true);
    assert_eq!(chat.types("login alice"), "password: ");
    assert_eq!(chat.wants(), Wants::Secret);
    // The terminal does not show the line, nor its end.
    assert_eq!(chat.types("correct-horse"), "send 2 (2..) Login alice\n\n");

    let mut chat = Chat::open(true);
    assert_eq!(chat.types("create bob"), "password: ");
    assert_eq!(chat.types("correct-horse"), "\nthe same again: ");
    assert_eq!(chat.wants(), Wants::Secret);
    let shown = chat.types("correct-house");
    assert!(shown.contains("two different passwords"), "{shown}");
    assert_eq!(chat.wants(), Wants::Line);

    chat.types("create bob");
    chat.types("correct-horse");
    assert_eq!(chat.types("correct-horse"), "send 2 (2..) Create bob\n\n");

    let mut chat = Chat::open(true);
    chat.types("create bob");
    let shown = chat.types("short");
    assert!(shown.contains("(bad_password)"), "{shown}");
    assert_eq!(chat.wants(), Wants::Line);
}

#[test]
fn who_asks_for_no_password_is_a_script() {
    let mut chat = Chat::open(false);
    let shown = chat.types("login alice");
    assert!(shown.contains("LOGIN name password"), "{shown}");
    assert_eq!(chat.wants(), Wants::Line);
}

#[test]
fn messages_are_sent_ahead_and_other_commands_wait_for_them() {
    let mut chat = Chat::logged_in(false, 0);
    assert_eq!(chat.types("SEND bob one"), "send 3 (3..) Send bob one\n");
    assert_eq!(chat.types("SEND bob two"), "send 4 (3..) Send bob two\n");
    assert_eq!(chat.types("PING"), "");
    assert_eq!(chat.wants(), Wants::Nothing, "PING comes first");
    let shown = chat.hears(Server::default().answer(4, sent_as(9)));
    assert_eq!(shown, "sent, id 9\n");
    let shown = chat.hears(Server::default().answer(3, sent_as(8)));
    assert_eq!(shown, "send 5 (5..) Ping\nsent, id 8\n");
    assert_eq!(chat.wants(), Wants::Nothing, "nothing is sent behind it");
    let shown = chat.hears(Server::default().answer(5, Answer::Pong));
    assert_eq!(shown, "pong after 0.0 ms\n");
    assert_eq!(chat.wants(), Wants::Line);
}

#[test]
fn no_line_is_taken_while_as_many_requests_are_open_as_may_be() {
    let mut chat = Chat::logged_in(false, 0);
    while chat.dialed.client.can_ask() {
        chat.types("SEND bob hi");
    }
    assert_eq!(chat.wants(), Wants::Nothing);
    chat.hears(Server::default().answer(3, sent_as(9)));
    assert_eq!(chat.wants(), Wants::Line);
}

#[test]
fn the_end_of_the_input_waits_for_answers_and_announced_messages() {
    let mut chat = Chat::logged_in(false, 2);
    assert_eq!(chat.wants(), Wants::Nothing, "two messages are to come");
    let push = |id| Server::default().push(Push::Message(message(id)));
    assert_eq!(chat.hears(push(5)), "00:00 bob: hello\n");
    assert_eq!(chat.hears(push(6)), "00:00 bob: hello\n");
    chat.types("SEND bob one");
    assert_eq!(chat.ends_input(), "");
    let shown = chat.hears(Server::default().answer(3, sent_as(8)));
    assert_eq!(shown, "send 4 (4..) Logout\nsent, id 8\n");
    assert_eq!(chat.line.exit(), None);
    chat.hears(Server::default().answer(4, Answer::LoggedOut));
    assert_eq!(chat.line.exit(), Some(Exit::Done));
}

#[test]
fn an_announced_message_that_does_not_come_is_not_waited_for_for_ever() {
    let mut chat = Chat::logged_in(false, 1);
    chat.ends_input();
    assert_eq!(chat.line.poll_timeout(), Some(seconds(0) + UNREAD_TIME_MAX));
    chat.line
        .handle_timeout(&mut chat.dialed.client, seconds(0) + UNREAD_TIME_MAX);
    assert_eq!(chat.turn(), "send 3 (3..) Logout\n");
}

#[test]
fn a_pipe_is_no_reader_and_ack_means_what_it_was_given() {
    let mut chat = Chat::logged_in(false, 1);
    let shown = chat.hears(Server::default().push(Push::Message(message(7))));
    assert_eq!(shown, "00:00 bob: hello\n");
    assert_eq!(chat.types("ack"), "send 3 (3..) Acknowledge 7\n");
    let up_to = OpNumber(7);
    let shown = chat.hears(Server::default().answer(3, Answer::Acknowledged { up_to }));
    assert_eq!(shown, "read up to 7\n");
}

#[test]
fn what_came_while_something_was_called_read_is_called_read_next() {
    let mut chat = Chat::logged_in(true, 0);
    let push = |id| Server::default().push(Push::Message(message(id)));
    assert!(
        chat.hears(push(5))
            .ends_with("send 3 (3..) Acknowledge 5\n")
    );
    assert!(!chat.hears(push(6)).contains("send"));
    assert!(!chat.hears(push(7)).contains("send"));
    let up_to = OpNumber(5);
    let shown = chat.hears(Server::default().answer(3, Answer::Acknowledged { up_to }));
    assert_eq!(shown, "send 4 (4..) Acknowledge 7\n");
    // Refused or not: it is not asked for again and again.
    let shown = chat.hears(Server::default().refuse(4, ErrorCode::Busy));
    assert_eq!(shown, "");
}

#[test]
fn what_i_sent_from_elsewhere_is_shown_and_is_nothing_to_read() {
    let mut chat = Chat::logged_in(true, 0);
    let mine = MessageView {
        from: "alice",
        to: "bob",
        ..message(5)
    };
    let shown = chat.hears(Server::default().push(Push::Message(mine)));
    assert_eq!(shown, "\r\x1b[K00:00 alice -> bob: hello\nalice> ");
}

#[test]
fn refusals_name_what_was_typed_and_count_for_scripts() {
    let mut chat = Chat::logged_in(false, 0);
    chat.types("SEND nobody hi");
    let shown = chat.hears(Server::default().refuse(3, ErrorCode::NoSuchAccount));
    assert_eq!(
        shown,
        "SEND nobody hi: there is no account of this name; LIST shows those that exist (no_such_account)\n"
    );
    chat.ends_input();
    chat.hears(Server::default().answer(4, Answer::LoggedOut));
    assert_eq!(chat.line.exit(), Some(Exit::Failed));
}

#[test]
fn nothing_is_sent_by_nobody() {
    let mut chat = Chat::open(false);
    let shown = chat.types("SEND bob hi");
    assert_eq!(
        shown,
        "SEND bob hi: log in first: LOGIN name (not_logged_in)\n"
    );
    assert_eq!(chat.ends_input(), "");
    assert_eq!(chat.line.exit(), Some(Exit::Failed));
}

#[test]
fn a_server_that_is_lost_is_told_and_what_is_open_waits_for_the_next() {
    let mut chat = Chat::logged_in(true, 0);
    chat.types("SEND bob one");
    chat.types("SEND bob two");
    chat.hears(Server::default().answer(4, sent_as(9)));
    let link = chat.dialed.link;
    chat.dialed
        .client
        .handle_input(Input::Closed(link), seconds(0));
    let shown = chat.turn();
    assert!(
        shown.starts_with(
            "-- 127.0.0.1:5000 closed the connection; another server is looked for (1 unanswered)\n"
        ),
        "{shown}"
    );
    assert_eq!(chat.line.exit(), None);
    assert_eq!(chat.wants(), Wants::Line, "more may be sent meanwhile");

    // Who leaves all the same is told what is not known.
    chat.line
        .handle_signal(2, &mut chat.dialed.client, seconds(0));
    chat.line
        .handle_timeout(&mut chat.dialed.client, seconds(0) + LEAVE_TIME_MAX);
    let shown = chat.turn();
    assert!(
        shown.ends_with(
            "SEND bob one: not acknowledged: it may or may not have been sent; look with LOG\n"
        ),
        "{shown}"
    );
    assert_eq!(chat.line.exit(), Some(Exit::Signal(2)));
}

#[test]
fn what_is_so_with_the_servers_is_told_once_and_again_when_one_has_done_something() {
    let mut chat = Chat::logged_in(true, 0);
    let told = |chat: &mut Chat, ports: [u16; 2]| {
        let tried = |port| (format!("127.0.0.1:{port}").parse().unwrap(), "mute".into());
        let output = Output::Changed(Change::Unreachable {
            tried: ports.map(tried).to_vec(),
            pause: Duration::from_secs(1),
        });
        let client = &mut chat.dialed.client;
        chat.line.handle_output(output, client, seconds(0));
        chat.turn().contains("no server serves")
    };
    assert!(told(&mut chat, [5001, 5002]));
    assert!(!told(&mut chat, [5002, 5001]), "in another order");
    assert!(told(&mut chat, [5001, 5003]));
    chat.types("PING");
    chat.hears(Server::default().answer(3, Answer::Pong));
    assert!(told(&mut chat, [5001, 5002]));
}

#[test]
fn ctrl_c_ends_the_session_and_waits_for_little() {
    let mut chat = Chat::logged_in(true, 0);
    chat.line
        .handle_signal(2, &mut chat.dialed.client, seconds(0));
    assert_eq!(chat.turn(), "send 3 (3..) Logout\n\n");
    assert_eq!(chat.line.exit(), None);
    chat.line
        .handle_timeout(&mut chat.dialed.client, seconds(0) + LEAVE_TIME_MAX);
    assert_eq!(chat.line.exit(), Some(Exit::Signal(2)));

    let mut chat = Chat::logged_in(true, 0);
    chat.line
        .handle_signal(2, &mut chat.dialed.client, seconds(0));
    chat.line
        .handle_signal(2, &mut chat.dialed.client, seconds(0));
    assert_eq!(chat.line.exit(), Some(Exit::Signal(2)), "a second one");
}

#[test]
fn history_says_how_to_see_more() {
    let mut chat = Chat::logged_in(false, 0);
    let history = |chat: &mut Chat, number, count| {
        chat.types("HISTORY bob 2");
        let mut server = Server::default();
        for id in 0..count {
            server = server.item(number, Item::Message(message(10 + id)));
        }
        chat.hears(server.answer(number, Answer::Messages { count }))
    };
    let shown = history(&mut chat, 3, 2);
    assert!(
        shown.ends_with("2 messages; older ones: HISTORY bob 2 10\n"),
        "{shown}"
    );
    assert!(history(&mut chat, 4, 1).ends_with("hello\n1 message\n"));
    assert!(history(&mut chat, 5, 0).ends_with("no messages\n"));
}

#[test]
fn an_account_is_deleted_and_a_note_is_shown() {
    let mut chat = Chat::logged_in(true, 0);
    assert_eq!(chat.types("delete"), "password, to delete your account: ");
    chat.types("correct-horse");
    let answer = Answer::Deleted {
        name: name("alice"),
    };
    let shown = chat.hears(Server::default().answer(3, answer));
    assert_eq!(shown, "deleted alice\n> ");
    let note = Push::Note {
        about: NoteKind::ServerStops,
        sentence: "the server stops",
    };
    let shown = chat.hears(Server::default().push(note));
    assert_eq!(shown, "\r\x1b[K-- the server stops\n> ");
}

#[test]
fn every_login_has_a_session_of_its_own() {
    let mut chat = Chat::logged_in(false, 0);
    let first = chat.dialed.client.identity().unwrap().session;
    chat.types("LOGIN alice correct-horse");
    chat.hears(Server::default().answer(3, welcome(0)));
    assert_ne!(chat.dialed.client.identity().unwrap().session, first);
}

#[test]
fn bad_lines_are_told() {
    let mut chat = Chat::open(false);
    for (typed, word) in [(Typed::TooLong, "too_long"), (Typed::NotUtf8, "not_utf8")] {
        chat.line
            .handle_typed(typed, &mut chat.dialed.client, seconds(0));
        let shown = chat.turn();
        assert!(shown.contains(word), "{shown}");
    }
    let shown = chat.types("he\x1bllo");
    assert!(!shown.contains('\x1b'), "{shown}");
}
