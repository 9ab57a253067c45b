//! Every command, from its first frame to its exit code.

use jiff::tz::TimeZone;

use super::super::failover::Input;
use super::super::scripted::{Dialed, Server, message, name, seconds};
use super::super::show::Colours;
use super::*;
use crate::types::{Secret, Timestamp};
use crate::wire::message::{Item, Push};

/// A command on a connection on which both hellos were said.
struct Run {
    dialed: Dialed,
    front: OneShot,
}

impl Run {
    fn start(job: Job, format: Format) -> (Self, String) {
        let credentials = job.needs_login().then(|| Credentials {
            name: "alice".into(),
            password: "correct-horse".into(),
        });
        let mut run = Self {
            dialed: Dialed::new(),
            front: OneShot::new(job, format, credentials, SESSION, TIME_MAX),
        };
        run.front.handle_timeout(&mut run.dialed.client, seconds(0));
        let asked = run.turn();
        (run, asked)
    }

    /// A command whose login was answered.
    fn logged_in(job: Job, format: Format) -> (Self, String) {
        let (mut run, asked) = Self::start(job, format);
        assert_eq!(asked, "send 2 (2..) Login alice\n");
        let asked = run.hears(Server::default().answer(2, welcome()));
        (run, asked)
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

    /// How it ends, once the session was ended that it opened.
    fn exit(&mut self) -> Option<Exit> {
        if self.front.exit().is_none() {
            self.hears(Server::default().answer(4, Answer::LoggedOut));
        }
        self.front.exit()
    }
}

const SESSION: SessionId = SessionId(0xabc);
const TIME_MAX: Duration = Duration::from_secs(10);

fn welcome() -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread: 7,
        secret: Some(Secret([7; 32])),
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
    assert_eq!(asked, "send 3 (3..) Send bob hi\n");
    assert_eq!(run.front.exit(), None);
    let answer = Answer::Sent { id: OpNumber(42) };
    let shown = run.hears(Server::default().answer(3, answer.clone()));
    assert_eq!(shown, "send 4 (4..) Logout\nsent, id 42\n");
    assert_eq!(run.exit(), Some(Exit::Done));

    let (mut run, _) = Run::logged_in(send(), Format::Json);
    let shown = run.hears(Server::default().answer(3, answer));
    assert_eq!(shown, "send 4 (4..) Logout\n{\"id\":42}\n");
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
        assert_eq!(asked, format!("send 3 (3..) {request}\n"));
        run.hears(Server::default().answer(3, answer));
        assert_eq!(run.exit(), Some(Exit::Done), "{request}");
    }
}

#[test]
fn some_jobs_need_nobody_to_be_logged_in() {
    let job = Job::Create {
        name: name("alice"),
        password: "correct-horse".into(),
    };
    let (mut run, asked) = Run::start(job, for_people());
    assert_eq!(asked, "send 2 (2..) Create alice\n");
    let shown = run.hears(Server::default().refuse(2, ErrorCode::NameTaken));
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
            .item(3, Item::Message(message(5)))
            .answer(3, Answer::Messages { count: 1 })
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
            .item(3, account(name("alice"), true))
            .item(3, account(name("bob"), false))
            .answer(3, Answer::Listed { count: 2 })
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
    let shown = run.hears(Server::default().refuse(2, ErrorCode::BadLogin));
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
        let link = run.dialed.link;
        let lost = Input::Closed(link);
        run.dialed.client.handle_input(lost, seconds(1));
        run.turn();
        assert_eq!(run.front.exit(), None, "another server is looked for");
        run.front
            .handle_timeout(&mut run.dialed.client, seconds(10));
        let shown = run.turn();
        assert!(shown.contains("closed the connection"), "{shown}");
        assert!(shown.contains(sentence), "{shown}");
        assert_eq!(run.front.exit(), Some(Exit::NobodyAnswered));

        let (mut run, _) = Run::logged_in(job, for_people());
        run.front
            .handle_signal(2, &mut run.dialed.client, seconds(1));
        // The answer of what changes something is waited for a moment.
        run.front.handle_timeout(&mut run.dialed.client, seconds(2));
        let shown = run.turn();
        assert!(shown.contains(sentence), "{shown}");
        assert_eq!(run.front.exit(), Some(Exit::Signal(2)));
    }

    // Nothing was asked yet: nothing is unknown.
    let (mut run, _) = Run::start(send(), for_people());
    run.front
        .handle_timeout(&mut run.dialed.client, seconds(10));
    assert_eq!(run.turn(), "client: no server has served for 10 s\n");
}

#[test]
fn what_is_done_in_spite_of_ctrl_c_is_told_and_its_session_ended() {
    let (mut run, _) = Run::logged_in(send(), for_people());
    run.front
        .handle_signal(2, &mut run.dialed.client, seconds(0));
    assert_eq!((run.turn(), run.front.exit()), (String::new(), None));
    let shown = run.hears(Server::default().answer(3, Answer::Sent { id: OpNumber(42) }));
    assert_eq!(shown, "send 4 (4..) Logout\nsent, id 42\n");
    assert_eq!(run.exit(), Some(Exit::Signal(2)));

    // Whoever insists does not wait.
    let (mut run, _) = Run::logged_in(send(), for_people());
    for _ in 0..2 {
        run.front
            .handle_signal(2, &mut run.dialed.client, seconds(0));
    }
    assert_eq!(run.front.exit(), Some(Exit::Signal(2)));
}

#[test]
fn what_changes_something_goes_on_when_nobody_reads_its_answer_and_reading_does_not() {
    let (mut run, _) = Run::logged_in(send(), for_people());
    let lost = Exit::OutputClosed;
    let client = &mut run.dialed.client;
    assert!(run.front.handle_output_lost(lost, client, seconds(0)));
    run.hears(Server::default().answer(3, Answer::Sent { id: OpNumber(42) }));
    assert_eq!(run.exit(), Some(Exit::OutputClosed));

    let (mut run, _) = Run::logged_in(history(), for_people());
    let client = &mut run.dialed.client;
    assert!(!run.front.handle_output_lost(lost, client, seconds(0)));
}

#[test]
fn notes_go_to_standard_error_and_deliveries_nowhere() {
    let (mut run, _) = Run::logged_in(send(), for_people());
    let note = Push::Note {
        about: NoteKind::WritesWait,
        sentence: "writes wait",
    };
    let server = Server::default().push(note).push(Push::Message(message(5)));
    run.dialed.hears(&server);
    run.dialed.drain(&mut run.front);
    let written = run.front.take_text(&run.dialed.client, seconds(0));
    assert_eq!(written.output, "");
    assert_eq!(written.error, "client: writes wait\n");
    assert_eq!(run.front.exit(), None);
}
