//! Lines in, and what is said of each.

use super::super::super::failover::Input;
use super::super::super::scripted::{Dialed, Server, name, seconds};
use super::*;
use crate::types::{OpNumber, Secret};

/// Sending to bob as alice, whose login, request 2, was answered.
struct Run {
    dialed: Dialed,
    front: Sending,
}

impl Run {
    fn start(is_json: bool) -> Self {
        let credentials = Credentials {
            name: "alice".into(),
            password: "correct-horse".into(),
        };
        let (session, time_max) = (SessionId(7), Duration::from_secs(10));
        let mut run = Self {
            dialed: Dialed::new(),
            front: Sending::new(name("bob"), is_json, credentials, session, time_max),
        };
        run.front.handle_timeout(&mut run.dialed.client, seconds(0));
        assert_eq!(run.turn(), "send 2 (2..) Login alice\n");
        assert_eq!(run.front.wants(&run.dialed.client), Wants::Nothing);
        let welcome = Answer::LoggedIn {
            name: name("alice"),
            unread: 0,
            secret: Some(Secret([7; 32])),
        };
        assert_eq!(run.hears(Server::default().answer(2, welcome)), "");
        run
    }

    fn types(&mut self, typed: Typed) -> String {
        self.front
            .handle_typed(typed, &mut self.dialed.client, seconds(0));
        self.turn()
    }

    fn lines(&mut self, lines: &[&str]) -> String {
        let mut log = String::new();
        for line in lines {
            assert_eq!(self.front.wants(&self.dialed.client), Wants::Line);
            log += &self.types(Typed::Line((*line).to_owned()));
        }
        log
    }

    fn hears(&mut self, server: Server) -> String {
        self.dialed.hears(&server);
        self.turn()
    }

    fn turn(&mut self) -> String {
        let log = self.dialed.drain(&mut self.front);
        let written = self.front.take_text(&self.dialed.client, seconds(0));
        log + &written.output + &written.error
    }

    fn signal(&mut self, signal: i32) -> String {
        self.front
            .handle_signal(signal, &mut self.dialed.client, seconds(1));
        self.turn()
    }

    fn at(&mut self, moment: u64) -> String {
        self.front
            .handle_timeout(&mut self.dialed.client, seconds(moment));
        self.turn()
    }
}

fn sent(number: u64, id: u64) -> Server {
    Server::default().answer(number, Answer::Sent { id: OpNumber(id) })
}

#[test]
fn lines_are_sent_ahead_and_counted_when_they_are_acknowledged() {
    let mut run = Run::start(false);
    assert_eq!(
        run.lines(&["one", "", "two"]),
        "send 3 (3..) Send bob one\nsend 4 (3..) Send bob two\n"
    );
    assert_eq!(run.types(Typed::End), "");
    assert_eq!(run.hears(sent(3, 40)), "");
    assert_eq!(run.front.exit(), None);
    assert_eq!(run.hears(sent(4, 41)), "send 5 (5..) Logout\n");
    let shown = run.hears(Server::default().answer(5, Answer::LoggedOut));
    assert_eq!(shown, "2 sent, last id 41\n");
    assert_eq!(run.front.exit(), Some(Exit::Done));
}

#[test]
fn no_more_lines_are_taken_than_a_session_may_have_open() {
    let mut run = Run::start(false);
    let mut taken = 0;
    while run.front.wants(&run.dialed.client) == Wants::Line {
        run.types(Typed::Line(format!("line {taken}")));
        taken += 1;
    }
    assert!(taken > 200, "{taken} is no pipeline");
    run.hears(sent(3, 40));
    assert_eq!(run.front.wants(&run.dialed.client), Wants::Line);
}

#[test]
fn a_line_that_cannot_be_a_message_is_refused_and_the_others_are_sent() {
    let mut run = Run::start(false);
    run.lines(&["one", "a\u{7}b"]);
    run.types(Typed::NotUtf8);
    run.types(Typed::TooLong);
    run.lines(&["five"]);
    run.types(Typed::End);
    run.hears(sent(3, 40));
    run.hears(sent(4, 41));
    let shown = run.hears(Server::default().answer(5, Answer::LoggedOut));
    assert_eq!(shown.lines().next(), Some("2 sent, last id 41"));
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}

#[test]
fn each_refusal_is_told_with_its_line_and_equal_ones_in_a_row_together() {
    let mut run = Run::start(false);
    run.lines(&["ok"]);
    assert_eq!(run.types(Typed::NotUtf8), "");
    assert_eq!(run.types(Typed::NotUtf8), "");
    let shown = run.types(Typed::Line(format!("{}\u{7}", "x".repeat(50))));
    assert_eq!(
        shown,
        "client: lines 2 to 3 were refused, text has to be UTF-8 (not_utf8)\n"
    );
    run.types(Typed::End);
    let shown = run.hears(sent(3, 40)) + &run.hears(Server::default().answer(4, Answer::LoggedOut));
    assert!(
        shown.contains("client: line 4 was refused, a message has no control characters"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!(": {}…\n", "x".repeat(40))),
        "{shown}"
    );
}

#[test]
fn what_would_be_refused_for_every_line_ends_the_reading() {
    let mut run = Run::start(false);
    run.lines(&["one", "two"]);
    run.hears(Server::default().refuse(3, ErrorCode::NoSuchAccount));
    assert_eq!(run.front.wants(&run.dialed.client), Wants::Nothing);
    run.hears(Server::default().refuse(4, ErrorCode::NoSuchAccount));
    let shown = run.hears(Server::default().answer(5, Answer::LoggedOut));
    assert!(shown.starts_with("0 sent\n"), "{shown}");
    assert!(
        shown.contains("client: lines 1 to 2 were refused"),
        "{shown}"
    );
    assert!(
        shown.contains("client: line 3 and what follows it were not sent"),
        "{shown}"
    );
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}

#[test]
fn an_interrupted_one_waits_for_answers_a_moment_and_then_tells_each_fate() {
    let mut run = Run::start(false);
    run.lines(&["one", "two"]);
    run.hears(sent(3, 40));
    assert_eq!(run.signal(2), "");
    assert_eq!(
        run.front.exit(),
        None,
        "the answer to the second is on its way"
    );
    assert_eq!(run.front.wants(&run.dialed.client), Wants::Nothing);
    let shown = run.at(2);
    assert_eq!(
        shown,
        "1 sent, last id 40\n\
         client: line 2 was not acknowledged, and may or may not have been sent (look with: client log): two\n\
         client: line 3 and what follows it were not sent\n"
    );
    assert_eq!(run.front.exit(), Some(Exit::Signal(2)));

    // Whoever insists does not wait.
    let mut run = Run::start(false);
    run.lines(&["one"]);
    run.signal(15);
    run.signal(2);
    assert_eq!(run.front.exit(), Some(Exit::Signal(2)));
}

#[test]
fn what_no_server_has_seen_is_not_called_unknown() {
    let mut run = Run::start(false);
    run.lines(&["one"]);
    let lost = Input::Closed(run.dialed.link);
    run.dialed.client.handle_input(lost, seconds(0));
    run.turn();
    assert_eq!(run.lines(&["two", "three"]), "");
    run.types(Typed::End);
    assert_eq!(run.at(9), "");
    let shown = run.at(10);
    assert!(shown.contains("no server has served for 10 s\n"), "{shown}");
    assert!(
        shown.contains("client: line 1 was not acknowledged"),
        "{shown}"
    );
    assert!(
        shown.contains("client: lines 2 to 3 were not sent: two\n"),
        "{shown}"
    );
    assert!(shown.starts_with("0 sent\n"), "{shown}");
    assert_eq!(run.front.exit(), Some(Exit::NobodyAnswered));
}

#[test]
fn a_pipe_that_brings_nothing_is_waited_for() {
    let mut run = Run::start(false);
    run.at(1000);
    assert_eq!(run.front.exit(), None);
    run.lines(&["one"]);
    run.hears(sent(3, 40));
    run.at(2000);
    assert_eq!(run.front.exit(), None);
}

#[test]
fn programs_get_an_object_for_each_line_and_one_for_all() {
    let mut run = Run::start(true);
    run.lines(&["one", "a\u{7}b", "three"]);
    run.hears(sent(3, 40));
    run.signal(2);
    let mut objects = Vec::new();
    let mut run = Run::start(true);
    for line in ["one", "a\u{7}b", "three"] {
        objects.push(run.lines(&[line]));
    }
    objects.push(run.hears(sent(3, 40)));
    run.signal(2);
    objects.push(run.at(2));
    let values: Vec<serde_json::Value> = objects
        .concat()
        .lines()
        .filter(|line| !line.starts_with("send "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(values[0]["line"], 2);
    assert_eq!(values[0]["error"], "bad_text");
    assert_eq!(values[1], serde_json::json!({"line": 1, "id": 40}));
    assert_eq!(values[2]["error"], "unknown_outcome");
    assert_eq!(values[2]["text"], "three");
    assert_eq!(
        values[3],
        serde_json::json!({"acknowledged": 1, "refused": 1, "unknown": 1, "not_sent": 0, "unread_from_line": 4})
    );
    assert_eq!(values.len(), 4);
}

#[test]
fn a_wrong_password_is_the_end_and_nothing_is_read() {
    let credentials = Credentials {
        name: "alice".into(),
        password: "wrong-horse".into(),
    };
    let front = Sending::new(
        name("bob"),
        false,
        credentials,
        SessionId(7),
        Duration::from_secs(10),
    );
    let mut run = Run {
        dialed: Dialed::new(),
        front,
    };
    run.turn();
    let shown = run.hears(Server::default().refuse(2, ErrorCode::BadLogin));
    assert!(
        shown.contains("(bad_login); look at --user and the password\n"),
        "{shown}"
    );
    assert!(
        shown.contains("line 1 and what follows it were not sent"),
        "{shown}"
    );
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}
