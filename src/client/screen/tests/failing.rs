//! Servers that come and go.

use super::*;

#[test]
fn while_there_is_no_server_it_says_what_was_tried() {
    let mut person = Person::before_servers(WIDE, Colours::Off);
    person.sees("connecting to 127.0.0.1:5000");
    person.finds_nobody();
    person.reads("no server for 0 s: 127.0.0.1:5000: nothing listens there");
    person.types("alice\tcorrect-horse\n");
    person.sees("logging in…");
    person.waits(3000);
    person.sees("logging in… still trying for 3 s");
    person.finds_nobody();
    person.sees("no server for 3 s");
    // It comes, and what was asked is done.
    person.waits(2000);
    person.connects();
    assert!(person.sent.contains("Login alice"), "{}", person.sent);
    person.sees_not("no server");
}

#[test]
fn a_cluster_that_is_not_ready_is_waited_for() {
    let mut person = Person::before_servers(WIDE, Colours::Off);
    person.connects();
    person.types("alice\tcorrect-horse\n");
    let why = Refusal::new(ErrorCode::NotReady, "waiting for 1 more backup");
    person.hears(Server::default().answer(2, Answer::Refused(&why)));
    person.reads("127.0.0.1:5000 does not serve yet: waiting for 1 more backup");
    person.sees("logging in…");
}

#[test]
fn a_message_outlives_its_server_and_is_sent_once() {
    let mut person = Person::with_bob(WIDE);
    person.types("hi bob\n");
    person.takes_sent();
    person.loses_server();
    person.sees("no server for 0 s, 1 message waits: 127.0.0.1:5000 closed the connection");
    person.sees("… alice: hi bob (pending)");
    person.finds_nobody();
    person.waits(2000);
    person.finds_nobody();
    person.sees("no server for 2 s, 1 message waits: 127.0.0.1:5000: nothing listens there");
    person.sees("… alice: hi bob (pending for 2 s)");
    person.types("and again\n");
    person.sees("2 messages wait");
    person.sees_not("✓");
    person.waits(2000);
    person.connects();
    let resume = person.asked("Resume");
    person.hears(Server::default().answer(resume, welcome()));
    person.sees("is back after 4.0 s");
    person.sees("… alice: hi bob (pending for 4 s)");
    person.hears(sent_as(5, 41));
    person.sees("✓ alice: hi bob");
    person.sees("… alice: and again (pending");
    person.hears(sent_as(6, 42));
    person.sees("✓ alice: and again");
    person.sees_not("pending");
    assert_eq!(person.rows_with("hi bob").len(), 1);
    person.waits(10_000);
    person.sees_not("is back");
}

#[test]
fn the_silence_of_a_server_counts_as_time_without_one() {
    let mut person = Person::with_bob(WIDE);
    person.types("hi bob\n");
    person.takes_sent();
    person.waits(10_000);
    person.sees("127.0.0.1:5000 has not answered for 10 s");
    person.waits(300);
    person.connects();
    let resume = person.asked("Resume");
    person.hears(Server::default().answer(resume, welcome()));
    person.sees("is back after 10.3 s");
}

#[test]
fn messages_that_come_again_are_shown_once() {
    let mut person = Person::with_bob(WIDE);
    person.hears(push(message(9, "bob", "alice", "you there?")));
    person.loses_server();
    person.connects();
    let resume = person.asked("Resume");
    person.hears(Server::default().answer(resume, welcome()));
    person.hears(push(message(9, "bob", "alice", "you there?")));
    person.hears(push(message(10, "bob", "alice", "hey")));
    assert_eq!(person.rows_with("you there?").len(), 1);
    person.sees("bob: hey");
}
