//! Scripts: what happens to connections, and everything that the client makes of it.

use std::fmt::Write;
use std::net::SocketAddr;

use super::super::event::{Message, Part};
use super::super::scripted::{Server, message, name, sent, settings};
use super::*;
use crate::types::{ClusterId, Text};
use crate::wire::hello::{Hello, Role, encode_hello};
use crate::wire::message::{Answer, Item, MessageView, Push, Request};

const SECRET: Secret = Secret([7; 32]);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn at(milliseconds: u64) -> Time {
    Time(0) + Duration::from_millis(milliseconds)
}

/// A client of servers at these ports, with a patience of a second.
struct Chat {
    client: Client,
    now: Time,
}

impl Chat {
    /// And the first connection that is dialed: link 1.
    fn new(ports: &[u16]) -> Self {
        let settings = Settings {
            servers: ports.iter().map(|port| address(*port)).collect(),
            silence_max: Duration::from_secs(1),
            ..settings()
        };
        let client = Client::new(settings, at(0));
        Self { client, now: at(0) }
    }

    /// Served by the first of them, without anybody logged in.
    fn served(ports: &[u16]) -> Self {
        let mut chat = Self::new(ports);
        chat.log();
        chat.connect(1, 1);
        chat.hears(1, Server::default().answer(1, Answer::Reported));
        chat
    }

    /// Logged in as alice: requests 1 and 2 were answered.
    fn logged_in(ports: &[u16], deliver: Deliver) -> Self {
        let mut chat = Self::served(ports);
        chat.ask(&login(deliver));
        let welcome = Server::default().answer(2, welcome(Some(SECRET)));
        chat.hears(1, welcome);
        chat
    }

    /// A connection comes up and hellos are said, by a server that knows this view.
    fn connect(&mut self, link: u64, view: u64) -> String {
        self.connect_to(link, view, 5)
    }

    fn connect_to(&mut self, link: u64, view: u64, cluster: u128) -> String {
        self.put(Input::Connected(LinkId(link)));
        let mut bytes = Vec::new();
        let hello = Hello {
            role: Role::Server,
            cluster: ClusterId(cluster),
            server: ServerId(1),
            view: ViewNumber(view << 16),
            ..Hello::client("lastword test")
        };
        encode_hello(&mut bytes, &hello);
        self.put(Input::Received(LinkId(link), &bytes));
        self.log()
    }

    fn hears(&mut self, link: u64, server: Server) -> String {
        self.put(Input::Received(LinkId(link), &server.0));
        self.log()
    }

    fn closes(&mut self, link: u64) -> String {
        self.put(Input::Closed(LinkId(link)));
        self.log()
    }

    fn fails(&mut self, link: u64) -> String {
        self.put(Input::Failed(LinkId(link), "nothing listens there".into()));
        self.log()
    }

    fn put(&mut self, input: Input<'_>) {
        self.client.handle_input(input, self.now);
    }

    fn ask(&mut self, request: &Request<'_>) -> String {
        self.client.ask(request, self.now).unwrap();
        self.log()
    }

    fn send(&mut self, text: &str) -> String {
        let (to, text) = (name("bob"), Text::parse(text).unwrap());
        self.ask(&Request::Send { to, text })
    }

    /// Until this moment, with everything that the client wants to be woken for.
    fn until(&mut self, milliseconds: u64) -> String {
        while let Some(wake) = self.client.poll_timeout()
            && wake <= at(milliseconds)
        {
            self.now = self.now.max(wake);
            self.client.handle_timeout(self.now);
            assert_ne!(self.client.poll_timeout(), Some(wake), "it is busy");
        }
        self.now = at(milliseconds);
        self.log()
    }

    /// Until the next server is dialed, however long the pause is.
    fn until_dialed(&mut self) -> String {
        let mut said = String::new();
        while !said.contains("dial") {
            self.now = self.client.poll_timeout().unwrap();
            self.client.handle_timeout(self.now);
            said.push_str(&self.log());
        }
        said
    }

    /// Everything that came out, a line each, but for hellos.
    fn log(&mut self) -> String {
        let mut log = String::new();
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Dial { link, address } => {
                    writeln!(log, "dial {} as {}", address.port(), link.0).unwrap();
                }
                Output::Send { link, bytes } => {
                    for line in sent(&bytes).lines() {
                        if !line.contains("hello") {
                            writeln!(log, "by {}: {line}", link.0).unwrap();
                        }
                    }
                }
                Output::HangUp(link) => writeln!(log, "hang up {}", link.0).unwrap(),
                Output::Item {
                    number,
                    item: Part::Message(message),
                } => writeln!(log, "{number}: message {}", message.id).unwrap(),
                Output::Item { number, .. } => writeln!(log, "{number}: item").unwrap(),
                Output::Answered { number, answer } => match answer {
                    Ok(answer) => writeln!(log, "{number} done: {answer:?}").unwrap(),
                    Err(refusal) => {
                        writeln!(log, "{number} refused: {}", refusal.code.word()).unwrap();
                    }
                },
                Output::Delivered(Message { id, .. }) => writeln!(log, "delivered {id}").unwrap(),
                Output::Changed(Change::Unreachable { pause, .. }) => {
                    let limits = Duration::from_millis(12)..=PAUSE_MAX;
                    assert!(limits.contains(&pause), "{pause:?}");
                    writeln!(log, "unreachable").unwrap();
                }
                Output::Changed(change) => writeln!(log, "{change}").unwrap(),
                Output::Noted { .. }
                | Output::Status { .. }
                | Output::RoundTrip(_)
                | Output::Learnt { .. } => {}
            }
        }
        log
    }
}

fn login(deliver: Deliver) -> Request<'static> {
    Request::Login {
        name: "alice",
        password: "correct-horse",
        session: Some(SessionId(9)),
        deliver,
    }
}

fn welcome(secret: Option<Secret>) -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread: 0,
        secret,
    }
}

fn sent_as(id: u64) -> Answer<'static> {
    Answer::Sent { id: OpNumber(id) }
}

fn delivery(id: u64) -> Server {
    Server::default().push(Push::Message(message(id)))
}

/// A message from alice to bob.
fn own(id: u64, text: &'static str) -> Server {
    let (from, to) = ("alice", "bob");
    Server::default().push(Push::Message(MessageView {
        from,
        to,
        text,
        ..message(id)
    }))
}

/// What a server says that points to another one.
fn elsewhere(number: u64, sentence: &'static str) -> Server {
    let refusal = Refusal::new(ErrorCode::NotPrimary, sentence);
    Server::default().answer(number, Answer::Refused(&refusal))
}

#[test]
fn what_is_open_goes_to_the_next_server_in_its_order_and_under_its_numbers() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    assert_eq!(chat.send("one"), "by 1: send 3 (3..) Send bob one\n");
    assert_eq!(chat.send("two"), "by 1: send 4 (3..) Send bob two\n");
    assert_eq!(
        chat.closes(1),
        "hang up 1\n\
         127.0.0.1:5001 closed the connection; another server is looked for\n\
         dial 5002 as 2\n"
    );
    // Whoever asks meanwhile does not have to know.
    assert_eq!(chat.send("three"), "");
    assert_eq!(chat.connect(2, 1), "by 2: send 6 (3..) Resume\n");
    let resumed = Server::default().answer(6, welcome(None));
    assert_eq!(
        chat.hears(2, resumed),
        "127.0.0.1:5002 serves now; there was none for 0.0 s\n\
         by 2: send 3 (3..) Send bob one\n\
         by 2: send 4 (3..) Send bob two\n\
         by 2: send 5 (3..) Send bob three\n\
         by 2: send 7 (3..) Status\n"
    );
    let answers = Server::default()
        .answer(3, sent_as(41))
        .answer(4, sent_as(42))
        .answer(5, sent_as(43));
    assert_eq!(
        chat.hears(2, answers),
        "3 done: Sent { id: OpNumber(41) }\n\
         4 done: Sent { id: OpNumber(42) }\n\
         5 done: Sent { id: OpNumber(43) }\n"
    );
}

#[test]
fn a_server_that_is_not_the_primary_says_where_it_is() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.send("one");
    let said = chat.hears(
        1,
        elsewhere(3, "127.0.0.1:5009 is the primary; so go there"),
    );
    assert!(said.ends_with("dial 5009 as 2\n"), "{said}");
    chat.connect(2, 1);
    // It knows no more than that it is none.
    let said = chat.hears(2, elsewhere(4, "unknown is the primary"));
    assert_eq!(said, "hang up 2\ndial 5002 as 3\n");
    chat.connect(3, 1);
    let said = chat.hears(3, elsewhere(5, "127.0.0.1:5009 is the primary"));
    assert_eq!(said, "hang up 3\ndial 5001 as 4\n");
    assert_eq!(chat.fails(4), "hang up 4\nunreachable\n");
    let said = chat.until(40);
    assert!(said.starts_with("dial 5009"), "the last one named: {said}");
}

#[test]
fn nobody_is_believed_who_knows_less_than_was_known_or_is_of_another_cluster() {
    let mut chat = Chat::logged_in(&[5001, 5002, 5003], Deliver::Nothing);
    chat.closes(1);
    assert_eq!(chat.connect(2, 7), "by 2: send 3 (3..) Resume\n");
    chat.closes(2);
    assert_eq!(chat.connect(3, 6), "hang up 3\ndial 5001 as 4\n");
    let said = chat.connect_to(4, 8, 6);
    assert_eq!(said, "hang up 4\nunreachable\n");
    let said = chat.until(40);
    assert!(said.starts_with("dial 5001 as 5\n"), "{said}");
    assert!(chat.connect(5, 7).ends_with("Resume\n"));
}

#[test]
fn a_server_that_is_not_ready_is_asked_again_when_it_says_so_and_others_are_tried_meanwhile() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    let said = chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    assert!(
        said.starts_with("127.0.0.1:5001 does not serve yet: ")
            && said.ends_with("dial 5002 as 2\n"),
        "{said}"
    );
    assert_eq!(chat.fails(2), "hang up 2\nunreachable\n");
    let note = Push::Note {
        about: NoteKind::Ready,
        sentence: "ready",
    };
    let said = chat.hears(1, Server::default().push(note));
    assert!(said.contains("by 1: send 2 (2..) Login alice\n"), "{said}");

    // And a second later where nobody says anything.
    let mut chat = Chat::served(&[5001]);
    chat.ask(&login(Deliver::Nothing));
    chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    assert_eq!(chat.until(999), "");
    let said = chat.until(1000);
    assert!(said.contains("by 1: send 2 (2..) Login alice\n"), "{said}");
}

#[test]
fn what_a_server_that_is_not_ready_leaves_unanswered_is_asked_by_another_connection() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    chat.send("two");
    chat.hears(1, Server::default().refuse(3, ErrorCode::NotReady));
    assert_eq!(chat.until_dialed(), "hang up 1\ndial 5001 as 2\n");
    chat.connect(2, 1);
    let said = chat.hears(2, Server::default().answer(5, welcome(None)));
    assert!(
        said.contains("Send bob one\nby 2: send 4 (3..) Send bob two"),
        "{said}"
    );
}

#[test]
fn a_cluster_that_is_not_ready_for_minutes_is_asked_about_once_a_second() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    let (mut dials, mut logins, mut links) = (0, 0, vec![1]);
    let mut said = chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    for _ in 0..100_000 {
        for line in std::mem::take(&mut said).lines() {
            let words: Vec<&str> = line.split([' ', ':']).collect();
            match words[..] {
                ["dial", _, "as", link] => {
                    dials += 1;
                    links.push(link.parse().unwrap());
                    said.push_str(&chat.connect(*links.last().unwrap(), 1));
                }
                ["by", link, "", "send", number, _, "Login", _] => {
                    logins += 1;
                    let number = number.parse().unwrap();
                    let refused = Server::default().refuse(number, ErrorCode::NotReady);
                    said.push_str(&chat.hears(link.parse().unwrap(), refused));
                }
                ["by", link, "", "send", number, _, "Status"] => {
                    let answered = Server::default();
                    let answered = answered.answer(number.parse().unwrap(), Answer::Reported);
                    said.push_str(&chat.hears(link.parse().unwrap(), answered));
                }
                _ => {}
            }
        }
        if said.is_empty() {
            let wake = chat.client.poll_timeout().unwrap();
            if wake > at(300_000) {
                break;
            }
            said = chat.until(wake.0.div_ceil(1_000_000));
        }
    }
    assert!(dials <= 2, "each is connected to once, and kept: {dials}");
    assert!((250..=650).contains(&logins), "{logins} logins");
}

#[test]
fn a_server_that_has_become_ready_says_again_what_it_knows_if_more_was_seen_meanwhile() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    chat.connect(2, 7);
    chat.hears(2, Server::default().refuse(2, ErrorCode::NotReady));
    let note = Push::Note {
        about: NoteKind::Ready,
        sentence: "ready",
    };
    let said = chat.hears(1, Server::default().push(note));
    assert_eq!(said, "hang up 1\ndial 5001 as 3\n");
    assert!(
        chat.connect(3, 7)
            .contains("by 3: send 2 (2..) Login alice\n")
    );

    // Of two that are asked at the same time the one that knows less may answer first.
    let mut chat = Chat::logged_in(&[5001, 5002, 5003], Deliver::Nothing);
    chat.closes(1);
    chat.until(150);
    assert_eq!(chat.connect(2, 1), "by 2: send 3 (3..) Resume\n");
    assert_eq!(chat.connect(3, 2), "by 3: send 4 (4..) Resume\n");
    let said = chat.hears(2, Server::default().answer(3, welcome(None)));
    assert_eq!(said, "hang up 2\n");
    let said = chat.hears(3, Server::default().answer(4, welcome(None)));
    assert!(said.contains("serves now"), "{said}");
}

#[test]
fn servers_that_do_nothing_but_refuse_are_asked_with_pauses() {
    let mut chat = Chat::served(&[5001, 5002]);
    let mut said = chat.ask(&login(Deliver::Nothing));
    let mut dials = 0;
    while chat.now < at(60_000) && dials < 1000 {
        for line in std::mem::take(&mut said).lines() {
            let words: Vec<&str> = line.split([' ', ':']).collect();
            match words[..] {
                ["dial", _, "as", link] => {
                    dials += 1;
                    said.push_str(&chat.connect(link.parse().unwrap(), 1));
                }
                ["by", link, "", "send", number, _, "Login", _] => {
                    let sentence = "127.0.0.1:5001 is the primary";
                    let refused = elsewhere(number.parse().unwrap(), sentence);
                    said.push_str(&chat.hears(link.parse().unwrap(), refused));
                }
                _ => {}
            }
        }
        if said.is_empty() {
            let wake = chat.client.poll_timeout().unwrap();
            said = chat.until(wake.0.div_ceil(1_000_000));
        }
    }
    assert!((120..300).contains(&dials), "{dials} in a minute");
}

#[test]
fn a_server_that_was_not_ready_is_asked_at_once_when_another_one_says_that_it_leads() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    chat.connect(2, 1);
    let said = chat.hears(2, elsewhere(2, "127.0.0.1:5001 is the primary"));
    assert!(said.contains("by 1: send 2 (2..) Login alice\n"), "{said}");
}

#[test]
fn a_server_that_says_nothing_for_a_second_is_left() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.until(500);
    chat.send("one");
    assert_eq!(chat.until(1499), "");
    assert_eq!(
        chat.until(1500),
        "hang up 1\n\
         127.0.0.1:5001 has not answered for 1 s; another server is looked for\n\
         dial 5002 as 2\n"
    );

    // Somebody who has nothing to ask finds out, too.
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    assert_eq!(chat.until(1000), "by 1: send 3 (3..) Ping\n");
    chat.hears(1, Server::default().answer(3, Answer::Pong));
    assert_eq!(chat.until(2000), "by 1: send 4 (4..) Ping\n");
    assert!(chat.until(3000).contains("dial 5002"));
}

#[test]
fn the_only_server_that_serves_is_given_more_time_after_each_silence() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    assert!(chat.until(1000).contains("dial 5001 as 2"));
    chat.connect(2, 1);
    let resumed = Server::default().answer(4, welcome(None));
    let said = chat.hears(2, resumed);
    assert!(said.contains("none for 1.0 s") && said.contains("send 3 (3..) Send bob one"));
    assert_eq!(chat.until(2900), "");
    assert!(chat.until(3000).contains("has not answered for 2 s"));
}

#[test]
fn while_one_server_is_slow_the_next_is_tried_and_the_first_that_serves_wins() {
    let mut chat = Chat::new(&[5001, 5002, 5003]);
    assert_eq!(chat.log(), "dial 5001 as 1\n");
    assert_eq!(chat.until(150), "dial 5002 as 2\n");
    assert_eq!(chat.until(300), "dial 5003 as 3\n");
    assert_eq!(
        chat.connect(2, 1),
        "hang up 1\nhang up 3\nconnected to 127.0.0.1:5002\nby 2: send 1 (1..) Status\n"
    );

    let mut chat = Chat::new(&[5001]);
    assert_eq!(chat.until(999), "dial 5001 as 1\n");
    assert_eq!(chat.until(1000), "hang up 1\nunreachable\n");
}

#[test]
fn pauses_grow_to_a_second_and_nobody_gives_up() {
    let mut chat = Chat::new(&[5001]);
    let mut begun = Vec::new();
    for link in 1..=20 {
        chat.fails(link);
        let wake = chat.client.poll_timeout().unwrap();
        begun.push(wake.since(chat.now));
        chat.now = wake;
        chat.client.handle_timeout(wake);
    }
    assert!(begun[0] < Duration::from_millis(26), "{begun:?}");
    assert!(begun[1] > begun[0] || begun[2] > begun[0], "{begun:?}");
    let long = Duration::from_millis(500)..=PAUSE_MAX;
    assert!(begun[10..].iter().all(|pause| long.contains(pause)));
    assert_ne!(begun[18], begun[19], "not all clients come back at once");
}

#[test]
fn each_message_comes_once_and_in_order_over_servers() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Unread);
    assert_eq!(chat.hears(1, delivery(10)), "delivered 10\n");
    chat.send("hi");
    chat.hears(1, Server::default().answer(3, sent_as(12)));
    chat.send("lost");
    chat.closes(1);
    chat.connect(2, 1);
    chat.hears(2, Server::default().answer(5, welcome(None)));
    // Everything above 10, and what was sent from here among it, some of it without its answer.
    assert_eq!(chat.hears(2, delivery(11)), "delivered 11\n");
    assert_eq!(chat.hears(2, own(12, "hi")), "");
    assert_eq!(chat.hears(2, own(13, "lost")), "");
    assert_eq!(chat.hears(2, delivery(14)), "", "it waits for its turn");
    let answered = Server::default().answer(4, sent_as(13));
    assert_eq!(
        chat.hears(2, answered),
        "4 done: Sent { id: OpNumber(13) }\ndelivered 14\n"
    );
    // What was sent by another client of mine is news.
    assert_eq!(chat.hears(2, own(15, "lost")), "delivered 15\n");
    assert_eq!(chat.hears(2, delivery(15)), "", "twice");
    assert_eq!(chat.client.last_seen(), OpNumber(15));
}

#[test]
fn what_looks_like_mine_and_is_not_comes_once_that_is_known() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Unread);
    chat.send("same");
    assert_eq!(chat.hears(1, own(20, "same")), "");
    let answered = Server::default().answer(3, sent_as(21));
    assert_eq!(
        chat.hears(1, answered),
        "3 done: Sent { id: OpNumber(21) }\ndelivered 20\n"
    );
    let refused = Server::default().refuse(4, ErrorCode::NoSuchAccount);
    chat.send("same");
    assert_eq!(chat.hears(1, own(22, "same")), "");
    let said = chat.hears(1, refused);
    assert_eq!(said, "4 refused: no_such_account\ndelivered 22\n");
}

#[test]
fn what_cannot_be_found_out_any_more_is_called_unknown() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.send("one");
    chat.closes(1);
    chat.send("two");
    chat.connect(2, 1);
    let gone = Server::default().refuse(5, ErrorCode::SessionGone);
    let said = chat.hears(2, gone);
    let (known, rest) = said.split_at(said.find("alice is").unwrap());
    assert_eq!(
        known,
        "3 refused: unknown_outcome\n4 refused: session_gone\n"
    );
    assert!(rest.contains("alice is not logged in any more"), "{rest}");
    assert_eq!(chat.client.identity(), None);
    let (to, text) = (name("bob"), Text::parse("three").unwrap());
    let asked = chat.client.ask(&Request::Send { to, text }, chat.now);
    assert_eq!(asked, Err(AskError::NotLoggedIn));

    // A logout that was lost had its effect.
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.ask(&Request::Logout);
    chat.closes(1);
    chat.connect(2, 1);
    let gone = Server::default().refuse(4, ErrorCode::SessionGone);
    assert!(chat.hears(2, gone).starts_with("3 done: LoggedOut\n"));
}

#[test]
fn a_session_that_ends_elsewhere_is_told() {
    for about in [NoteKind::SessionEnded, NoteKind::AccountDeleted] {
        let mut chat = Chat::logged_in(&[5001], Deliver::Unread);
        let sentence = "so it is";
        let note = Server::default().push(Push::Note { about, sentence });
        let said = chat.hears(1, note);
        assert_eq!(said, "alice is not logged in any more: so it is\n");
        assert_eq!(chat.closes(1), "hang up 1\n", "nothing depends on it");
    }
}

#[test]
fn what_is_refused_for_now_is_asked_again_and_holds_up_what_is_behind_it() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    chat.hears(1, Server::default().refuse(3, ErrorCode::Busy));
    assert_eq!(chat.send("two"), "");
    assert_eq!(chat.until(49), "");
    assert_eq!(
        chat.until(50),
        "by 1: send 3 (3..) Send bob one\nby 1: send 4 (3..) Send bob two\n"
    );
    chat.hears(1, Server::default().refuse(3, ErrorCode::UnknownOutcome));
    assert_eq!(chat.until(149), "");
    assert_eq!(chat.until(150), "by 1: send 3 (3..) Send bob one\n");
}

#[test]
fn what_is_refused_for_now_keeps_nobody_busy_and_the_next_server_is_asked_at_once() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.send("one");
    chat.send("two");
    // The first one is refused twice, and waits longer than the second.
    let busy = |number| Server::default().refuse(number, ErrorCode::Busy);
    chat.hears(1, busy(3));
    chat.until(50);
    chat.hears(1, busy(3));
    chat.hears(1, busy(4));
    assert_eq!(chat.until(149), "");
    let said = chat.until(150);
    assert_eq!(
        said,
        "by 1: send 3 (3..) Send bob one\nby 1: send 4 (3..) Send bob two\n"
    );

    chat.hears(1, busy(3));
    chat.closes(1);
    chat.connect(2, 1);
    let said = chat.hears(2, Server::default().answer(5, welcome(None)));
    assert!(said.contains("by 2: send 3 (3..) Send bob one\n"), "{said}");
}

#[test]
fn each_login_that_is_sent_is_for_a_session_of_its_own() {
    let mut chat = Chat::served(&[5001]);
    chat.ask(&login(Deliver::Nothing));
    chat.closes(1);
    chat.connect(2, 1);
    chat.hears(2, Server::default().answer(2, welcome(Some(SECRET))));
    let session = chat.client.identity().unwrap().session;
    assert_eq!(
        session,
        Some(SessionId(10)),
        "9 may still be opened by the first"
    );
}

#[test]
fn a_log_goes_on_where_it_was_and_other_answers_come_whole() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    let (after, limit) = (OpNumber(0), Some(3));
    chat.ask(&Request::Log { after, limit });
    let one = Server::default().item(3, Item::Message(message(10)));
    assert_eq!(chat.hears(1, one), "3: message 10\n");
    chat.ask(&Request::List { pattern: "*" });
    chat.closes(1);
    chat.connect(2, 1);
    let said = chat.hears(2, Server::default().answer(5, welcome(None)));
    assert!(said.contains("send 3 (3..) Log 10\n"), "{said}");
    let rest = Server::default()
        .item(3, Item::Message(message(11)))
        .item(3, Item::Message(message(12)))
        .answer(3, Answer::Messages { count: 2 });
    assert_eq!(
        chat.hears(2, rest),
        "3: message 11\n3: message 12\n3 done: Messages { count: 3 }\n"
    );
    let account = Item::Account {
        name: name("bob"),
        online: true,
    };
    let half = Server::default().item(4, account);
    assert_eq!(chat.hears(2, half), "", "it may have to begin anew");
    let whole = Server::default().answer(4, Answer::Listed { count: 1 });
    assert_eq!(
        chat.hears(2, whole),
        "4: item\n4 done: Listed { count: 1 }\n"
    );
}

#[test]
fn a_log_of_which_everything_came_is_not_asked_for_again() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    let (after, limit) = (OpNumber(0), Some(1));
    chat.ask(&Request::Log { after, limit });
    let one = Server::default().item(3, Item::Message(message(10)));
    chat.hears(1, one);
    // To a server a limit of 0 is none.
    assert!(chat.closes(1).contains("3 done: Messages { count: 1 }\n"));
}

#[test]
fn without_a_session_nothing_is_done_again_that_may_have_been_done() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&Request::Login {
        name: "alice",
        password: "correct-horse",
        session: None,
        deliver: Deliver::Nothing,
    });
    chat.hears(1, Server::default().answer(2, welcome(None)));
    chat.send("one");
    assert!(chat.closes(1).contains("3 refused: unknown_outcome\n"));
    assert_eq!(chat.connect(2, 1), "by 2: send 4 (4..) Login alice\n");
}

#[test]
fn who_is_nobody_and_wants_nothing_needs_no_connection() {
    let mut chat = Chat::served(&[5001]);
    assert_eq!(chat.until(60_000), "", "no heartbeat either");
    assert_eq!(chat.closes(1), "hang up 1\n");
    assert_eq!(chat.client.poll_timeout(), None);
    assert_eq!(chat.ask(&Request::Ping), "dial 5001 as 2\n");
}

#[test]
fn numbers_never_span_more_than_a_server_takes() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    while chat.client.can_ask() {
        chat.send("hi");
    }
    let (to, text) = (name("bob"), Text::parse("hi").unwrap());
    let asked = chat.client.ask(&Request::Send { to, text }, chat.now);
    assert_eq!(asked, Err(AskError::TooManyOpen));
    // However often the session has to be resumed meanwhile.
    for link in 2..300 {
        if !chat.closes(link - 1).contains("dial") {
            chat.until_dialed();
        }
        assert!(chat.connect(link, 1).contains("Resume"), "link {link}");
    }
}

#[test]
fn a_login_waits_for_what_was_asked_before_it_and_holds_up_what_comes_behind() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    assert_eq!(chat.ask(&login(Deliver::Nothing)), "");
    assert_eq!(chat.send("two"), "");
    let said = chat.hears(1, Server::default().answer(3, sent_as(9)));
    assert!(said.ends_with("by 1: send 4 (4..) Login alice\n"), "{said}");
    let said = chat.hears(1, Server::default().answer(4, welcome(Some(SECRET))));
    assert!(
        said.ends_with("by 1: send 5 (5..) Send bob two\n"),
        "{said}"
    );
}

#[test]
fn the_members_of_the_cluster_are_learnt_and_tried_in_their_order() {
    let mut chat = Chat::new(&[5000]);
    chat.log();
    chat.connect(1, 1);
    let mut status = Server::default();
    for line in [
        "server 1 primary view 1 commit 5 member 127.0.0.1:5001 service 127.0.0.1:5000",
        "member 2 in-sync 127.0.0.1:5002 lag 0",
        "member 1 in-sync 127.0.0.1:5001 lag 0",
    ] {
        status = status.item(1, Item::Line(line));
    }
    chat.hears(1, status.answer(1, Answer::Reported));
    chat.ask(&login(Deliver::Nothing));
    assert!(chat.closes(1).ends_with("dial 5001 as 2\n"));
    assert_eq!(chat.fails(2), "hang up 2\ndial 5002 as 3\n");
    assert_eq!(chat.fails(3), "hang up 3\ndial 5000 as 4\n");
}

proptest::proptest! {
    #[test]
    fn nothing_that_servers_say_makes_it_panic(
        steps: Vec<(u8, u8, Vec<u8>)>,
        is_logged_in: bool,
    ) {
        let mut chat = match is_logged_in {
            true => Chat::logged_in(&[5001, 5002], Deliver::Unread),
            false => Chat::new(&[5001, 5002]),
        };
        let mut connected = if is_logged_in { vec![1] } else { Vec::new() };
        for (what, link, bytes) in steps {
            let link = u64::from(link % 8);
            match what % 7 {
                0 if connected.contains(&link) => {}
                0 => {
                    connected.push(link);
                    drop(chat.connect(link, u64::from(what)));
                }
                1 => drop(chat.closes(link)),
                2 => drop(chat.fails(link)),
                3 => drop(chat.hears(link, Server(bytes))),
                4 => drop(chat.hears(link, elsewhere(u64::from(what % 16), "127.0.0.1:5003 is"))),
                5 if chat.client.can_ask() => drop(chat.ask(&Request::Status)),
                _ => {
                    let next = chat.now + Duration::from_millis(u64::from(what));
                    chat.until((next.0 / 1_000_000).min(1 << 40));
                }
            }
        }
    }
}
