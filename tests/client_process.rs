//! Does the real client keep to its exit codes and sentences, whatever it meets at the other end?
//!
//! The other end is a thread with a socket on loopback that speaks frames put together here; no
//! server is started.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use lastword::limits::SESSION_OPEN_REQUESTS_MAX;
use lastword::types::{
    ClusterId, ConversationId, ErrorCode, Name, OpNumber, RequestNumber, Secret, Timestamp,
};
use lastword::wire::hello::{Hello, Role, decode_first, encode_hello};
use lastword::wire::message::{Answer, Item, MessageView, Request};
use lastword::wire::reply::{encode_answer, encode_item};
use lastword::wire::request::decode_from_client;
use lastword::wire::{Decoded, FromClient};

/// A client that is called with these arguments, and with nothing from this process's
/// environment that it would listen to.
fn client(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    for variable in ["LASTWORD_SERVER", "LASTWORD_USER", "HOME", "XDG_STATE_HOME"] {
        command.env_remove(variable);
    }
    command
        .args(arguments)
        .env("LASTWORD_PASSWORD", "correct-horse")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `send bob hi` against `server`.
fn send_to(server: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["--server", server, "--user", "alice"];
    arguments.extend_from_slice(more);
    arguments.extend_from_slice(&["send", "bob", "hi"]);
    client(&arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal ended it")
}

fn error(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Takes one connection and does with it as it is told.
fn serve<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, spawn(move || serve(listener.accept().unwrap().0)))
}

/// The server's side of a connection. What the client asks of its own, how the cluster is, has
/// number 1, and is answered before anything else; the other numbers are counted without it.
struct Line {
    stream: TcpStream,
    received: Vec<u8>,
}

const OWN: u64 = 1;

impl Line {
    /// After both hellos.
    fn hello(stream: TcpStream) -> Self {
        Self::hello_of(stream, ClusterId(0))
    }

    /// After both hellos, with a server of this cluster.
    fn hello_of(stream: TcpStream, cluster: ClusterId) -> Self {
        // A test that waits for what does not come fails, and does not hang.
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut line = Self {
            stream,
            received: Vec::new(),
        };
        loop {
            match decode_first(&line.received) {
                Decoded::Message { consumed, .. } => {
                    line.received.drain(..consumed);
                    break;
                }
                Decoded::Incomplete => assert!(line.read(), "no hello came"),
                other => panic!("{other:?}"),
            }
        }
        let mut out = Vec::new();
        let hello = Hello {
            role: Role::Server,
            cluster,
            ..Hello::client("lastword test")
        };
        encode_hello(&mut out, &hello);
        line.stream.write_all(&out).unwrap();
        line
    }

    /// After both hellos and the client's own question.
    fn greet(stream: TcpStream) -> Self {
        let mut line = Self::hello(stream);
        assert_eq!(line.request().as_deref(), Some("0 Status"));
        line.answer(0, Answer::Reported);
        line
    }

    /// After a login, too.
    fn log_in(stream: TcpStream) -> Self {
        let mut line = Self::greet(stream);
        assert_eq!(line.request().as_deref(), Some("1 Login"));
        let name = Name::parse("alice").unwrap();
        line.answer(
            1,
            Answer::LoggedIn {
                name,
                unread: 0,
                secret: Some(Secret([7; 32])),
            },
        );
        line
    }

    fn read(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let length = self.stream.read(&mut chunk).unwrap();
        self.received.extend_from_slice(&chunk[..length]);
        length > 0
    }

    /// The next request as `<number> <what>`; `None` when the client has closed.
    fn request(&mut self) -> Option<String> {
        loop {
            match decode_from_client(&self.received, 32 * 1024) {
                Decoded::Message { message, consumed } => {
                    let FromClient::Asked(asked) = message else {
                        panic!("a second hello");
                    };
                    // A request too many is refused here.
                    let what = match asked.request.unwrap() {
                        Request::Send { to, text } => format!("Send {to} {}", text.as_str()),
                        Request::Login { .. } => "Login".into(),
                        other => format!("{other:?}"),
                    };
                    let request = format!("{} {what}", asked.number.0 - OWN);
                    self.received.drain(..consumed);
                    return Some(request);
                }
                Decoded::Incomplete => {
                    if !self.read() {
                        return None;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers everything until the client is gone.
    fn serve(&mut self, answer: impl Fn(&Request<'_>) -> Answer<'static>) {
        loop {
            let received = std::mem::take(&mut self.received);
            match decode_from_client(&received, 32 * 1024) {
                Decoded::Message { message, consumed } => {
                    let FromClient::Asked(asked) = message else {
                        panic!("a second hello");
                    };
                    let (number, answer) = (asked.number.0 - OWN, answer(&asked.request.unwrap()));
                    self.received = received[consumed..].to_vec();
                    self.answer(number, answer);
                }
                Decoded::Incomplete => {
                    self.received = received;
                    if !self.read() {
                        return;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self, number: u64, answer: Answer<'_>) {
        let mut out = Vec::new();
        encode_answer(&mut out, RequestNumber(number + OWN), &answer);
        self.stream.write_all(&out).unwrap();
    }
}

#[test]
fn an_acknowledged_message_gives_0() {
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        assert_eq!(line.request().as_deref(), Some("2 Send bob hi"));
        line.answer(2, Answer::Sent { id: OpNumber(42) });
        assert_eq!(line.request().as_deref(), Some("3 Logout"));
        line.answer(3, Answer::LoggedOut);
        assert_eq!(line.request(), None);
    });
    let output = send_to(&server, &[]);
    assert_eq!((code(&output), error(&output)), (0, ""));
    assert_eq!(output.stdout, b"sent, id 42\n");
    served.join().unwrap();
}

#[test]
fn a_refused_message_gives_1_and_its_reason() {
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        line.request();
        line.answer(2, Answer::Refused(&ErrorCode::NoSuchAccount.into()));
        line.request();
    });
    let output = send_to(&server, &[]);
    assert_eq!(code(&output), 1);
    assert!(error(&output).contains("(no_such_account)"));
    assert_eq!(output.stdout, b"");
    served.join().unwrap();
}

#[test]
fn a_server_lost_before_the_answer_gives_3_and_what_is_not_known_when_there_is_no_other() {
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        line.request();
    });
    let output = send_to(&server, &["--timeout", "0.5"]);
    assert_eq!(code(&output), 3);
    let sentence = error(&output);
    assert!(
        sentence.contains("may or may not have been sent"),
        "{sentence}"
    );
    assert_eq!(output.stdout, b"");
    served.join().unwrap();
}

#[test]
fn who_does_not_answer_gives_3_within_the_time_out() {
    // One that never says anything, and one that stops after the login.
    let silent: [fn(TcpStream); 2] = [
        |mut stream| {
            let mut rest = Vec::new();
            // Whatever comes, and the end.
            let _ = stream.read_to_end(&mut rest);
        },
        |stream| {
            let mut line = Line::log_in(stream);
            while line.request().is_some() {}
        },
    ];
    for silent in silent {
        let (server, served) = serve(silent);
        let output = send_to(&server, &["--timeout", "0.3"]);
        assert_eq!(code(&output), 3, "{}", error(&output));
        assert!(error(&output).contains(" 0.3 s"), "{}", error(&output));
        served.join().unwrap();
    }
}

#[test]
fn nobody_at_all_gives_3_and_what_to_do() {
    // A port that was free a moment ago, and is held by nobody who listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = free.local_addr().unwrap().to_string();
    drop(free);
    let output = send_to(&server, &["--timeout", "0.5"]);
    assert_eq!(code(&output), 3);
    let sentence = error(&output);
    assert!(sentence.contains(&server), "{sentence}");
    assert!(sentence.contains("--server"), "{sentence}");
}

#[test]
fn the_next_server_is_tried_when_one_is_not_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        line.request();
        line.answer(2, Answer::Sent { id: OpNumber(42) });
        line.request();
    });
    let output = send_to(&format!("{nobody},{server}"), &[]);
    assert_eq!((code(&output), error(&output)), (0, ""));
    served.join().unwrap();
}

#[test]
fn a_stranger_gets_no_password_and_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    // It is tried again and again, until the time is up.
    let served = spawn(move || {
        let mut received = Vec::new();
        while !received.ends_with(b"the end") {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
            let _ = stream.read_to_end(&mut received);
        }
        received
    });
    let output = send_to(&server, &["--timeout", "0.5"]);
    let mut last = TcpStream::connect(&server).unwrap();
    last.write_all(b"the end").unwrap();
    drop(last);
    assert_eq!(code(&output), 3);
    let sentence = error(&output);
    assert!(sentence.contains("Lastword server"), "{sentence}");
    let received = served.join().unwrap();
    assert!(!received.windows(7).any(|bytes| bytes == b"correct"));
}

#[test]
fn wrong_arguments_give_2_and_touch_no_server() {
    let wrong: &[&[&str]] = &[
        &["send", "bob"],
        &["--user", "alice", "send", "b/b", "hi"],
        &["--user", "alice", "send", "bob", ""],
        &["--user", "alice", "send", "bob", "a\u{1b}[2J"],
        &["--user", "alice", "history", "bob", "--limit", "1001"],
        &["--user", "alice", "history", "bob", "--limit", "0"],
        &["send", "bob", "hi"],
        &["--server", "127.0.0.1:99999", "status"],
        &["--timeout", "0", "status"],
        &["--timeout", "never", "status"],
        &["create"],
        &["frobnicate"],
    ];
    for arguments in wrong {
        let output = client(arguments).output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}: {}", error(&output));
        assert!(!error(&output).is_empty());
        assert_eq!(output.stdout, b"");
    }
    let output = client(&["--user", "alice", "send", "bob", "hi"])
        .env_remove("LASTWORD_PASSWORD")
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(error(&output).contains("--password-file"));
}

#[test]
fn a_reader_who_leaves_ends_it_quietly() {
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        line.request();
        let message = MessageView {
            id: OpNumber(5),
            time: Timestamp(1),
            conversation: ConversationId(3),
            from: "bob",
            to: "alice",
            text: "hello",
        };
        let mut out = Vec::new();
        encode_item(&mut out, RequestNumber(2 + OWN), &Item::Message(message));
        // Until the client goes away, which is what this test is about.
        let until = Instant::now() + Duration::from_secs(60);
        while line.stream.write_all(&out).is_ok() {
            assert!(Instant::now() < until, "it goes on for nobody");
        }
    });
    let mut child = client(&["--server", &server, "--user", "alice", "log", "--json"])
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"id\":5,"), "{first}");
    drop(output);
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), error(&output)), (141, ""));
    served.join().unwrap();
}

/// Line mode with a pipe for what is typed.
fn line_mode(server: &str) -> Child {
    client(&["--server", server, "--user", "alice"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_script_sends_ahead_as_far_as_a_server_takes_it() {
    const MESSAGES: u64 = 600;
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        // Some numbers are the client's own.
        let ahead = SESSION_OPEN_REQUESTS_MAX - 8;
        for message in 0..ahead {
            let expected = format!("{} Send bob {message}", message + 2);
            assert_eq!(line.request(), Some(expected));
        }
        // As many as may be are open: each answer lets one more in.
        for message in 0..MESSAGES {
            let id = OpNumber(1000 + message);
            line.answer(message + 2, Answer::Sent { id });
            let next = message + ahead;
            if next < MESSAGES {
                let expected = format!("{} Send bob {next}", next + 2);
                assert_eq!(line.request(), Some(expected));
            }
        }
        let logout = MESSAGES + 2;
        assert_eq!(line.request(), Some(format!("{logout} Logout")));
        line.answer(logout, Answer::LoggedOut);
        assert_eq!(line.request(), None);
    });
    let mut child = line_mode(&server);
    let mut input = child.stdin.take().unwrap();
    let typist = spawn(move || {
        for message in 0..MESSAGES {
            writeln!(input, "SEND bob {message}").unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    typist.join().unwrap();
    served.join().unwrap();
    assert_eq!((code(&output), error(&output)), (0, ""));
    let shown = String::from_utf8(output.stdout).unwrap();
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some("you are alice; no unread messages"));
    for message in 0..MESSAGES {
        let expected = format!("sent, id {}", 1000 + message);
        assert_eq!(lines.next(), Some(expected.as_str()));
    }
    assert_eq!(lines.next(), None, "a pipe gets no prompt");
}

#[test]
fn a_script_whose_server_dies_goes_on_with_the_next_and_nothing_is_done_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let served = spawn(move || {
        let mut line = Line::log_in(listener.accept().unwrap().0);
        assert_eq!(line.request().as_deref(), Some("2 Send bob one"));
        assert_eq!(line.request().as_deref(), Some("3 Send bob two"));
        line.answer(2, Answer::Sent { id: OpNumber(42) });
        drop(line);
        let mut line = Line::hello(listener.accept().unwrap().0);
        // Logged in by the session's secret, and the same request again by its number.
        let resumed = line.request().unwrap();
        assert!(resumed.contains("Resume"), "{resumed}");
        let number: u64 = resumed.split(' ').next().unwrap().parse().unwrap();
        let (name, unread, secret) = (Name::parse("alice").unwrap(), 0, None);
        let answer = Answer::LoggedIn {
            name,
            unread,
            secret,
        };
        line.answer(number, answer);
        let mut asked = Vec::new();
        for _ in 0..2 {
            asked.push(line.request().unwrap());
        }
        asked.retain(|request| !request.ends_with("Status"));
        assert_eq!(asked, ["3 Send bob two"]);
        line.answer(number + 1, Answer::Reported);
        line.answer(3, Answer::Sent { id: OpNumber(43) });
        let logout = line.request().unwrap();
        assert!(logout.ends_with("Logout"), "{logout}");
        drop(line);
        drop(listener);
    });
    let mut child = line_mode(&server);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"SEND bob one\nSEND bob two\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    served.join().unwrap();
    assert_eq!(code(&output), 0, "{}", error(&output));
    let shown = String::from_utf8_lossy(&output.stdout);
    let told = "you are alice; no unread messages\nsent, id 42\nsent, id 43\n";
    assert_eq!(shown, told);
    assert!(error(&output).contains("closed the connection"));
}

#[test]
fn who_ends_a_script_without_a_server_is_told_what_is_not_known_to_be_sent() {
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        line.request();
        line.request();
        line.answer(2, Answer::Sent { id: OpNumber(42) });
    });
    let mut child = line_mode(&server);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"SEND bob one\nSEND bob two\n").unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut sentence = String::new();
    told.read_line(&mut sentence).unwrap();
    assert!(
        sentence.contains("another server is looked for"),
        "{sentence}"
    );
    // It would go on for as long as somebody wants it to.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    served.join().unwrap();
    assert_eq!(code(&output), 130);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("sent, id 42\n"), "{shown}");
    assert!(shown.contains("SEND bob two: not acknowledged"), "{shown}");
    assert!(!shown.contains("SEND bob one"), "{shown}");
}

#[test]
fn the_end_of_the_input_ends_an_idle_client() {
    let (server, served) = serve(|stream| {
        let mut line = Line::log_in(stream);
        assert_eq!(line.request().as_deref(), Some("2 Logout"));
        line.answer(2, Answer::LoggedOut);
        assert_eq!(line.request(), None);
    });
    let mut child = line_mode(&server);
    let input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    output.read_line(&mut shown).unwrap();
    assert_eq!(shown, "you are alice; no unread messages\n");
    // Everything is said: what ends it is the end of the input alone.
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    served.join().unwrap();
}

#[test]
fn a_signal_ends_the_session_and_gives_the_code_of_shells() {
    let signals = [
        (rustix::process::Signal::INT, 130),
        (rustix::process::Signal::TERM, 143),
        (rustix::process::Signal::HUP, 129),
    ];
    for (signal, expected) in signals {
        let (server, served) = serve(|stream| {
            let mut line = Line::log_in(stream);
            // This is asked once the client's loop is well under way.
            assert_eq!(line.request().as_deref(), Some("2 Ping"));
            line.answer(2, Answer::Pong);
            assert_eq!(line.request().as_deref(), Some("3 Logout"));
            line.answer(3, Answer::LoggedOut);
            assert_eq!(line.request(), None);
        });
        let mut child = line_mode(&server);
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"PING\n").unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut shown = String::new();
        while !shown.contains("pong") {
            assert_ne!(output.read_line(&mut shown).unwrap(), 0, "{shown}");
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(expected));
        served.join().unwrap();
        // The client is gone, and nobody reads what is typed.
        let gone = input.write_all(b"PING\n").unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_name_that_leads_nowhere_is_looked_up_again_for_who_wants_to_stay() {
    // Nothing has a name below `invalid`, ever (RFC 2606).
    let mut child = line_mode("nowhere.invalid:5000");
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut sentence = String::new();
    told.read_line(&mut sentence).unwrap();
    assert!(sentence.contains("nowhere.invalid:5000"), "{sentence}");
    assert!(sentence.contains("tried again every second"), "{sentence}");
    assert!(child.try_wait().unwrap().is_none());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2));

    let output = send_to("nowhere.invalid:5000", &[]);
    assert_eq!(code(&output), 3);
}

#[test]
fn the_members_of_a_cluster_are_found_next_time_when_what_was_named_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let member = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = member.local_addr().unwrap();
    let send = |server: &str| {
        client(&["--server", server, "--user", "alice", "send", "bob", "hi"])
            .env("XDG_STATE_HOME", home.path())
            .output()
            .unwrap()
    };
    let greet = |stream| Line::hello_of(stream, ClusterId(77));
    let log_in_and_send = |line: &mut Line| {
        line.serve(|request| match request {
            Request::Login { .. } => Answer::LoggedIn {
                name: Name::parse("alice").unwrap(),
                unread: 0,
                secret: Some(Secret([7; 32])),
            },
            Request::Send { .. } => Answer::Sent { id: OpNumber(42) },
            Request::Logout => Answer::LoggedOut,
            _ => Answer::Reported,
        });
    };
    let (named, served) = serve(move |stream| {
        let mut line = greet(stream);
        assert_eq!(line.request().as_deref(), Some("0 Status"));
        let mut out = Vec::new();
        let member = format!("member 1 in-sync {address} lag 0");
        encode_item(&mut out, RequestNumber(OWN), &Item::Line(&member));
        line.stream.write_all(&out).unwrap();
        line.answer(0, Answer::Reported);
        log_in_and_send(&mut line);
    });
    let output = send(&named);
    assert_eq!((code(&output), error(&output)), (0, ""));
    served.join().unwrap();

    let served = spawn(move || {
        let mut line = greet(member.accept().unwrap().0);
        log_in_and_send(&mut line);
    });
    let output = send(&named);
    assert_eq!((code(&output), error(&output)), (0, ""));
    served.join().unwrap();
}
