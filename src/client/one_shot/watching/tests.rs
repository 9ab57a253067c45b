//! Messages in, and what is called read when.

use jiff::tz::TimeZone;

use super::super::super::event::Ending;
use super::super::super::scripted::{Dialed, Server, message, name, seconds, sent};
use super::super::super::show::{Colours, Conversation};
use super::*;
use crate::types::{Secret, ServerId, Timestamp, ViewNumber};
use crate::wire::message::Push;

struct Run {
    dialed: Dialed,
    front: Watching,
}

impl Run {
    fn start(change: impl FnOnce(&mut WatchOptions)) -> Self {
        let mut options = WatchOptions {
            format: Format::People(Box::new(Conversation::new(
                TimeZone::UTC,
                Colours::Off,
                Timestamp(1),
            ))),
            acknowledges: true,
            count: None,
            time_max: Duration::from_secs(10),
        };
        change(&mut options);
        let credentials = Credentials {
            name: "alice".into(),
            password: "correct-horse".into(),
        };
        let front = Watching::new(options, credentials, Box::new(|| SessionId(7)));
        let mut run = Self {
            dialed: Dialed::new(),
            front,
        };
        run.front.handle_timeout(&mut run.dialed.client, seconds(0));
        assert_eq!(run.written(), "send 2 (2..) Login alice\n");
        run
    }

    fn logged_in(change: impl FnOnce(&mut WatchOptions)) -> Self {
        let mut run = Self::start(change);
        run.hears(Server::default().answer(2, welcome()));
        assert_eq!(run.written(), "");
        run
    }

    fn hears(&mut self, server: Server) {
        self.dialed.hears(&server);
    }

    /// What is sent, and what is shown and not written yet.
    fn unwritten(&mut self) -> String {
        let log = self.dialed.drain(&mut self.front);
        let written = self.front.take_text(&self.dialed.client, seconds(0));
        log + &written.output + &written.error
    }

    /// The same, and what follows from its being written out.
    fn written(&mut self) -> String {
        let before = self.unwritten();
        self.front
            .handle_written(&mut self.dialed.client, seconds(0));
        before + &self.dialed.drain(&mut self.front)
    }
}

fn welcome() -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread: 1,
        secret: Some(Secret([7; 32])),
    }
}

fn delivery(id: u64) -> Server {
    Server::default().push(Push::Message(message(id)))
}

fn acknowledged(number: u64, up_to: u64) -> Server {
    let up_to = OpNumber(up_to);
    Server::default().answer(number, Answer::Acknowledged { up_to })
}

#[test]
fn nothing_is_called_read_before_it_is_written() {
    let mut run = Run::logged_in(|_| {});
    run.hears(delivery(5));
    assert_eq!(run.unwritten(), "00:00 bob: hello\n");
    run.front.handle_written(&mut run.dialed.client, seconds(0));
    assert_eq!(run.unwritten(), "send 3 (3..) Acknowledge 5\n");

    // One question at a time, for all that was written meanwhile.
    run.hears(delivery(6));
    run.written();
    run.hears(delivery(7));
    assert_eq!(run.written(), "00:00 bob: hello\n");
    run.hears(acknowledged(3, 5));
    assert_eq!(run.written(), "send 4 (4..) Acknowledge 7\n");
}

#[test]
fn what_could_not_be_written_stays_unread() {
    let mut run = Run::logged_in(|_| {});
    run.hears(delivery(5));
    run.written();
    run.hears(acknowledged(3, 5));
    run.written();
    run.hears(delivery(6));
    run.unwritten();
    let goes_on = run
        .front
        .handle_output_lost(Exit::Failed, &mut run.dialed.client, seconds(0));
    assert!(goes_on);
    assert_eq!(run.unwritten(), "send 4 (4..) Logout\n");
    assert_eq!(run.front.exit(), None);
    run.hears(Server::default().answer(4, Answer::LoggedOut));
    run.unwritten();
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}

#[test]
fn the_end_comes_after_what_was_written_is_acknowledged() {
    let mut run = Run::logged_in(|_| {});
    run.hears(delivery(5));
    run.unwritten();
    run.front
        .handle_signal(2, &mut run.dialed.client, seconds(0));
    assert_eq!(run.unwritten(), "");
    assert_eq!(run.written(), "send 3 (3..) Acknowledge 5\n");
    run.hears(acknowledged(3, 5));
    assert_eq!(run.written(), "send 4 (4..) Logout\n");
    run.hears(Server::default().answer(4, Answer::LoggedOut));
    run.written();
    assert_eq!(run.front.exit(), Some(Exit::Signal(2)));

    // Nobody answers: half a second is enough.
    let mut run = Run::logged_in(|_| {});
    run.front
        .handle_signal(15, &mut run.dialed.client, seconds(0));
    run.written();
    assert_eq!(run.front.exit(), None);
    run.front.handle_timeout(&mut run.dialed.client, seconds(1));
    assert_eq!(run.front.exit(), Some(Exit::Signal(15)));
}

#[test]
fn who_wants_two_gets_two_and_the_third_stays_unread() {
    let mut run = Run::logged_in(|options| options.count = Some(2));
    let three = delivery(5)
        .push(Push::Message(message(6)))
        .push(Push::Message(message(7)));
    run.hears(three);
    let first = run.written();
    assert_eq!(first, "00:00 bob: hello\nsend 3 (3..) Acknowledge 5\n");
    assert_eq!(run.written(), "00:00 bob: hello\n");
    run.hears(acknowledged(3, 5));
    assert_eq!(run.written(), "send 4 (4..) Acknowledge 6\n");
    run.hears(acknowledged(4, 6));
    assert_eq!(run.written(), "send 5 (5..) Logout\n");
    run.hears(Server::default().answer(5, Answer::LoggedOut));
    run.written();
    assert_eq!(run.front.exit(), Some(Exit::Done));
}

#[test]
fn who_only_looks_acknowledges_nothing() {
    let mut run = Run::logged_in(|options| {
        options.acknowledges = false;
        options.format = Format::Json;
    });
    run.hears(delivery(5));
    let shown = run.written();
    assert!(shown.starts_with("{\"id\":5,"), "{shown}");
    assert_eq!(shown.lines().count(), 1);
}

#[test]
fn hours_without_a_message_are_fine_and_ten_seconds_without_a_server_are_not() {
    let mut run = Run::logged_in(|_| {});
    run.front
        .handle_timeout(&mut run.dialed.client, seconds(10_000));
    assert_eq!(run.front.exit(), None);

    let down = || Change::Down {
        address: "127.0.0.1:5000".parse().unwrap(),
        why: Ending::Closed,
    };
    let tell = |run: &mut Run, change, at| {
        let output = Output::Changed(change);
        run.front
            .handle_output(output, &mut run.dialed.client, seconds(at));
        run.front
            .handle_timeout(&mut run.dialed.client, seconds(at));
    };
    tell(&mut run, down(), 10_000);
    let up = Change::Up {
        address: "127.0.0.1:5001".parse().unwrap(),
        server: ServerId(2),
        view: ViewNumber(0),
        software: String::new(),
        without: Some(Duration::from_secs(9)),
    };
    tell(&mut run, up, 10_009);
    tell(&mut run, down(), 10_012);
    run.front
        .handle_timeout(&mut run.dialed.client, seconds(10_021));
    assert_eq!(run.front.exit(), None, "it began anew");
    run.front
        .handle_timeout(&mut run.dialed.client, seconds(10_022));
    let shown = run.unwritten();
    assert!(
        shown.contains("127.0.0.1:5001 serves now; there was none for 9.0 s"),
        "{shown}"
    );
    assert!(shown.contains("no server has served for 10 s"), "{shown}");
    assert_eq!(run.front.exit(), Some(Exit::NobodyAnswered));
}

#[test]
fn a_session_that_is_pushed_out_is_replaced_and_a_deleted_account_is_the_end() {
    let note = |about| Push::Note {
        about,
        sentence: "that was it",
    };
    let mut run = Run::logged_in(|_| {});
    run.front.logged_in_at = Time(0);
    run.hears(delivery(5));
    run.written();
    run.dialed
        .hears(&Server::default().push(note(NoteKind::SessionEnded)));
    let mut asked = String::new();
    while let Some(output) = run.dialed.client.poll_output() {
        match output {
            Output::Send { bytes, .. } => asked += &sent(&bytes),
            output => run
                .front
                .handle_output(output, &mut run.dialed.client, seconds(100)),
        }
    }
    assert!(asked.contains("Login alice"), "{asked}");
    assert_eq!(run.front.exit(), None);

    let mut run = Run::logged_in(|_| {});
    run.hears(Server::default().push(note(NoteKind::AccountDeleted)));
    let shown = run.written();
    assert!(
        shown.contains("alice is not logged in any more: that was it"),
        "{shown}"
    );
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}

#[test]
fn a_wrong_password_is_the_end() {
    let mut run = Run::start(|_| {});
    run.hears(Server::default().refuse(2, ErrorCode::BadLogin));
    let shown = run.written();
    assert!(shown.contains("(bad_login); look at --user"), "{shown}");
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}

#[test]
fn what_is_interrupted_before_the_login_ends_at_once() {
    let mut run = Run::start(|_| {});
    run.front
        .handle_signal(2, &mut run.dialed.client, seconds(0));
    assert_eq!(run.front.exit(), Some(Exit::Signal(2)));
}

#[test]
fn a_message_is_not_written_before_the_one_before_it_was_read() {
    let mut run = Run::logged_in(|_| {});
    run.hears(delivery(5).push(Push::Message(message(6))));
    assert_eq!(run.unwritten(), "00:00 bob: hello\n");
    assert_eq!(run.unwritten(), "");
    run.front.handle_written(&mut run.dialed.client, seconds(0));
    assert_eq!(
        run.unwritten(),
        "send 3 (3..) Acknowledge 5\n00:00 bob: hello\n"
    );
    // A reader that takes nothing keeps so many here, and the others at the server.
    for id in 7..1000 {
        assert!(id < 500, "it takes more and more");
        if run.front.has_enough() {
            break;
        }
        run.hears(delivery(id));
        run.unwritten();
    }
}
