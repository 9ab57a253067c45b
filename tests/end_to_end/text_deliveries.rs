//! Who gets a message, and when?

use crate::common::PASSWORD;
use crate::common::server::TestServer;
use crate::common::text::{TextClient, ids, texts};

#[test]
fn a_message_goes_to_all_of_the_recipient_and_the_senders_other_connections() {
    let server = TestServer::start();
    let mut sender = server.account("alice");
    let mut other = server.login("alice");
    let mut bobs = [server.account("bob"), server.login("bob")];
    let mut carol = server.account("carol");
    let mut stranger = server.text();

    let id = sender.send("bob", "to whom it concerns");
    for client in bobs.iter_mut().chain([&mut other]) {
        let message = client.delivered();
        assert_eq!(
            message.summary(),
            (id, "alice", "bob", "to whom it concerns")
        );
        assert_eq!(client.delivered_so_far(), []);
    }
    for client in [&mut sender, &mut carol, &mut stranger] {
        assert_eq!(client.delivered_so_far(), []);
    }
}

#[test]
fn a_message_to_oneself_comes_to_every_connection_once() {
    let server = TestServer::start();
    let mut here = server.account("alice");
    let mut there = server.login("alice");
    let id = here.send("alice", "note to self");
    for client in [&mut here, &mut there] {
        assert_eq!(client.delivered().id, id);
        assert_eq!(client.delivered_so_far(), []);
    }
}

#[test]
fn who_logged_out_gets_nothing_more() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let mut bob = server.account("bob");
    bob.expect("LOGOUT", "OK");
    let id = alice.send("bob", "later");
    assert_eq!(bob.delivered_so_far(), []);
    assert_eq!(ids(&bob.login_unread("bob")), [id]);
}

#[test]
fn unread_mail_comes_again_until_it_is_acknowledged() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let mut bob = server.account("bob");
    let sent: Vec<u64> = (0..4).map(|n| alice.send("bob", &n.to_string())).collect();
    for id in &sent {
        assert_eq!(bob.delivered().id, *id);
    }
    let unread = || ids(&server.text().login_unread("bob"));
    // Delivered is not read.
    assert_eq!(unread(), sent);
    bob.expect(&format!("ACK {}", sent[1]), "OK");
    assert_eq!(unread(), sent[2..]);
    // Never backward.
    bob.expect(&format!("ACK {}", sent[0]), "OK");
    bob.expect("ACK 0", "OK");
    assert_eq!(unread(), sent[2..]);
    // No further than there is.
    bob.expect("ACK 18446744073709551615", "OK");
    assert_eq!(unread(), [0; 0]);
    let next = alice.send("bob", "after that");
    assert_eq!(unread(), [next]);
    // What is read is still there.
    assert_eq!(bob.messages("LOG").len(), 5);
}

#[test]
fn ones_own_messages_are_never_unread_but_to_oneself() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    alice.create("bob");
    alice.send("bob", "out");
    let kept = alice.send("alice", "kept");
    assert_eq!(ids(&server.text().login_unread("alice")), [kept]);
}

#[test]
fn unread_mail_comes_before_the_next_answer_and_before_what_is_new() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    alice.create("bob");
    let text = "x".repeat(1000);
    // More than one page of the store, and more than its bytes.
    for _ in 0..400 {
        alice.say(&format!("SEND bob {text}"));
    }
    let sent: Vec<String> = (0..400).map(|_| alice.answer().last).collect();

    let mut bob = server.text();
    bob.say_bytes(format!("LOGIN bob {PASSWORD}\nPING\nSEND bob new\nPING\n").as_bytes());
    assert_eq!(bob.answer().last, "OK bob, 400 unread");
    assert_eq!(bob.answer().last, "OK pong");
    let unread: Vec<String> = ids(&bob.pushed())
        .iter()
        .map(|id| format!("OK {id}"))
        .collect();
    assert_eq!(unread, sent);
    let new = bob.answer().last;
    assert_eq!(bob.answer().last, "OK pong");
    assert_eq!(format!("OK {}", bob.delivered().id), new);
}

#[test]
fn nothing_is_pushed_into_an_answer_and_nothing_is_lost_beside_it() {
    let server = TestServer::start();
    let mut bob = server.account("bob");
    let mut alice = server.account("alice");
    const BEFORE: usize = 600;
    const DURING: usize = 400;
    send_many(&mut alice, 0..BEFORE);
    assert_eq!(bob.delivered_so_far().len(), BEFORE);

    let (mut pushed, mut longest) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || send_many(&mut alice, BEFORE..BEFORE + DURING));
        while pushed.len() < DURING {
            // A message within the log would be out of its place, or missing at its end.
            let log = bob.messages("LOG");
            let expected: Vec<String> = (0..log.len()).map(|n| n.to_string()).collect();
            assert_eq!(texts(&log), expected);
            assert!(log.len() >= BEFORE.max(longest));
            longest = log.len();
            // `answer` fails at a message among the lines of LIST.
            assert_eq!(bob.ask("LIST").last, "OK 2 accounts");
            pushed.extend(bob.delivered_so_far());
        }
        writer.join().expect("all is sent");
    });
    let expected: Vec<String> = (BEFORE..BEFORE + DURING).map(|n| n.to_string()).collect();
    assert_eq!(texts(&pushed), expected);
}

#[test]
fn an_answer_that_cannot_be_finished_is_ended_before_the_note_that_says_why() {
    let mut server = TestServer::start();
    let mut alice = server.account("alice");
    let text = "x".repeat(16 * 1024);
    for _ in 0..100 {
        alice.send("alice", &text);
    }
    // More than the kernel and the server take for one who does not read.
    let logs = "LOG\n".repeat(20);
    let mut deleted = server.login("alice");
    deleted.say_bytes(logs.as_bytes());
    let mut bob = server.account("bob");
    for _ in 0..100 {
        bob.send("bob", &text);
    }
    bob.say_bytes(logs.as_bytes());
    alice.delivered_so_far();
    alice.expect(&format!("DELETE {PASSWORD}"), "OK deleted alice");
    let reader = std::thread::spawn(move || deleted.until_closed());
    server.terminate();
    let to_bob = bob.until_closed();
    server.wait();
    let to_deleted = reader.join().expect("it was read");
    for (lines, code) in [(to_deleted, "not_logged_in"), (to_bob, "shutting_down")] {
        let [.., before, note] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        assert!(note.starts_with("NOTE "), "{note:.80}");
        // Between two answers there is nothing to end.
        let is_between = before == "OK 100";
        let is_ended = before.starts_with(&format!("ERR {code} "));
        assert!(is_between || is_ended, "{before:.80}");
    }
}

/// Sends numbers to bob, some ahead of their answers.
fn send_many(alice: &mut TextClient, numbers: std::ops::Range<usize>) {
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(50) {
        let lines: String = some.iter().map(|n| format!("SEND bob {n}\n")).collect();
        alice.say_bytes(lines.as_bytes());
        for _ in some {
            let last = alice.answer().last;
            assert!(last.starts_with("OK "), "{last}");
        }
    }
}
