//! Every command, from its first frame to its exit code.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::event::Input;
use super::super::scripted::{Server, message, name, seconds, sent};
use super::super::show::Colours;
use super::*;
use crate::types::Timestamp;
use crate::wire::message::{Item, Push};

/// A command on a connection on which both hellos were said.
struct Run {
    core: Connection,
    front: OneShot,
}

impl Run {
    fn start(job: Job, format: Format) -> (Self, String) {
        let credentials = job.needs_login().then(|| Credentials {
            name: "alice".into(),
            password: "correct-horse".into(),
        });
        let mut run = Self {
            core: Connection::new("client test", Duration::from_secs(10)),
            front: OneShot::new(job, format, credentials),
        };
        run.front
            .handle_connected("127.0.0.1:5000".parse().unwrap());
        run.core.handle_input(Input::Connected, seconds(0));
        run.turn();
        let asked = run.hears(Server::default().hello());
        (run, asked)
    }

    /// A command whose login was answered.
    fn logged_in(job: Job, format: Format) -> (Self, String) {
        let (mut run, asked) = Self::start(job, format);
        assert_eq!(asked, "send 1 (1..) Login alice\n");
        let asked = run.hears(Server::default().answer(1, welcome()));
        (run, asked)
    }

    fn hears(&mut self, server: Server) -> String {
        self.core
            .handle_input(Input::Received(&server.0), seconds(0));
        self.turn()
    }

    fn turn(&mut self) -> String {
        let mut log = String::new();
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send(bytes) => log.push_str(&sent(&bytes)),
                output => self.front.handle_output(output, &mut self.core, seconds(0)),
            }
        }
        let written = self.front.take_text(&self.core);
        log + &written.output + &written.error
    }
}

fn welcome() -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread: 7,
        secret: None,
    }
}

fn for_people() -> Format {
    Format::People(Box::new(Conversation::new(
        TimeZone::UTC,
        Colours::Off,
        Timestamp(1),
    )))
}

fn send() -> Job {
    Job::Send {
        to: name("bob"),
        text: "hi".into(),
    }
}

fn history() -> Job {
    Job::History {
        scope: HistoryScope::With(name("bob")),
        limit: 20,
        before: OpNumber(900),
    }
}

#[test]
fn a_message_is_sent_when_it_is_acknowledged_and_not_before() {
    let (mut run, asked) = Run::logged_in(send(), for_people());
    assert_eq!(asked, "send 2 (2..) Send bob hi\n");
    assert_eq!(run.front.exit(), None);
    let answer = Answer::Sent { id: OpNumber(42) };
    let shown = run.hears(Server::default().answer(2, answer.clone()));
    assert_eq!(shown, "sent, id 42\n");
    assert_eq!(run.front.exit(), Some(Exit::Done));

    let (mut run, _) = Run::logged_in(send(), Format::Json);
    let shown = run.hears(Server::default().answer(2, answer));
    assert_eq!(shown, "{\"id\":42}\n");
}

#[test]
fn every_job_asks_for_what_it_is() {
    let jobs = [
        (history(), "History 20 900", Answer::Messages { count: 0 }),
        (
            Job::Log { after: OpNumber(7) },
            "Log 7",
            Answer::Messages { count: 0 },
        ),
        (
            Job::List {
                pattern: "a*".into(),
            },
            "List a*",
            Answer::Listed { count: 0 },
        ),
        (
            Job::Acknowledge { up_to: OpNumber(9) },
            "Acknowledge 9",
            Answer::Acknowledged { up_to: OpNumber(9) },
        ),
        (
            Job::Delete,
            "Delete",
            Answer::Deleted {
                name: name("alice"),
            },
        ),
    ];
    for (job, request, answer) in jobs {
        let (mut run, asked) = Run::logged_in(job, for_people());
        assert_eq!(asked, format!("send 2 (2..) {request}\n"));
        run.hears(Server::default().answer(2, answer));
        assert_eq!(run.front.exit(), Some(Exit::Done), "{request}");
    }
}

#[test]
fn some_jobs_need_nobody_to_be_logged_in() {
    let (mut run, asked) = Run::start(Job::Status, for_people());
    assert_eq!(asked, "send 1 (1..) Status\n");
    let shown = run.hears(
        Server::default()
            .item(1, Item::Line("ready yes"))
            .answer(1, Answer::Reported),
    );
    assert_eq!(shown, "ready yes\n");
    assert_eq!(run.front.exit(), Some(Exit::Done));

    let job = Job::Create {
        name: name("alice"),
        password: "correct-horse".into(),
    };
    let (mut run, asked) = Run::start(job, for_people());
    assert_eq!(asked, "send 1 (1..) Create alice\n");
    let shown = run.hears(Server::default().refuse(1, ErrorCode::NameTaken));
    assert_eq!(
        shown,
        "client: create: this name is taken; choose another (name_taken)\n"
    );
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}

#[test]
fn what_was_found_is_for_people_or_for_programs() {
    let found = || {
        Server::default()
            .item(2, Item::Message(message(5)))
            .answer(2, Answer::Messages { count: 1 })
    };
    let (mut run, _) = Run::logged_in(history(), for_people());
    assert_eq!(run.hears(found()), "00:00 bob: hello\n");
    let (mut run, _) = Run::logged_in(history(), Format::Json);
    assert_eq!(
        run.hears(found()),
        "{\"id\":5,\"time\":\"1970-01-01T00:00:00.001Z\",\"from\":\"bob\",\"to\":\"alice\",\"conversation\":3,\"text\":\"hello\"}\n"
    );

    let list = || Job::List {
        pattern: "*".into(),
    };
    let found = || {
        let account = |name, online| Item::Account { name, online };
        Server::default()
            .item(2, account(name("alice"), true))
            .item(2, account(name("bob"), false))
            .answer(2, Answer::Listed { count: 2 })
    };
    let (mut run, _) = Run::logged_in(list(), for_people());
    assert_eq!(run.hears(found()), "alice online\nbob offline\n");
    let (mut run, _) = Run::logged_in(list(), Format::Json);
    assert_eq!(
        run.hears(found()),
        "{\"name\":\"alice\",\"online\":true}\n{\"name\":\"bob\",\"online\":false}\n"
    );
}

#[test]
fn a_refused_login_is_the_end() {
    let (mut run, _) = Run::start(send(), for_people());
    let shown = run.hears(Server::default().refuse(1, ErrorCode::BadLogin));
    assert_eq!(
        shown,
        "client: send: no account has this name and this password (bad_login); look at --user and the password\n"
    );
    assert_eq!(run.front.exit(), Some(Exit::Failed));
}

#[test]
fn what_is_not_known_is_said() {
    let unanswered = [
        (send(), "it may or may not have been sent"),
        (Job::Delete, "it may or may not have been done"),
        (history(), "what was shown is not complete"),
    ];
    for (job, sentence) in unanswered {
        let (mut run, _) = Run::logged_in(job.clone(), for_people());
        run.core.handle_input(Input::Closed, seconds(1));
        let shown = run.turn();
        assert!(shown.contains(sentence), "{shown}");
        assert_eq!(run.front.exit(), Some(Exit::Failed));

        let (mut run, _) = Run::logged_in(job.clone(), for_people());
        run.core.handle_timeout(seconds(10));
        let shown = run.turn();
        assert!(shown.contains(sentence), "{shown}");
        assert_eq!(run.front.exit(), Some(Exit::NobodyAnswered));

        let (mut run, _) = Run::logged_in(job, for_people());
        run.front.handle_signal(2, &mut run.core, seconds(1));
        let shown = run.turn();
        assert!(shown.contains(sentence), "{shown}");
        assert_eq!(run.front.exit(), Some(Exit::Signal(2)));
    }

    // Nothing was asked yet: nothing is unknown.
    let (mut run, _) = Run::start(send(), for_people());
    run.core.handle_input(Input::Closed, seconds(1));
    assert_eq!(run.turn(), "client: 127.0.0.1:5000 closed the connection\n");
}

#[test]
fn notes_go_to_standard_error_and_deliveries_nowhere() {
    let (mut run, _) = Run::logged_in(send(), for_people());
    let note = Push::Note {
        about: NoteKind::WritesWait,
        sentence: "writes wait",
    };
    let server = Server::default().push(note).push(Push::Message(message(5)));
    run.core
        .handle_input(Input::Received(&server.0), seconds(0));
    while let Some(output) = run.core.poll_output() {
        run.front.handle_output(output, &mut run.core, seconds(0));
    }
    let written = run.front.take_text(&run.core);
    assert_eq!(written.output, "");
    assert_eq!(written.error, "client: writes wait\n");
    assert_eq!(run.front.exit(), None);
}
