//! What is a line? Its ends, its spaces, its lengths, and what comes of bytes that are none.

use crate::common::server::TestServer;
use crate::common::text::texts;

const LINE_BEFORE_LOGIN: usize = 4 * 1024;
const LINE: usize = 33 * 1024;

#[test]
fn line_ends_cases_spaces_and_empty_lines() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    for request in [
        "PING\n",
        "PING\r\n",
        "ping\n",
        "PiNg\r\n",
        "  PING  \n",
        "\n\r\n\n   \nPING\n",
    ] {
        alice.say_bytes(request.as_bytes());
        assert_eq!(alice.answer().last, "OK pong", "{request:?}");
    }
    for (request, text) in [
        ("SEND alice two  spaces\n", "two  spaces"),
        ("send   ALICE   led by spaces\r\n", "led by spaces"),
        ("SEND alice tab\tin it\n", "tab\tin it"),
        ("SEND alice a\\nb\\\\c\\d\\\n", "a\\nb\\\\c\\\\d\\\\"),
        ("SEND alice \u{1f980} übermäßig\n", "\u{1f980} übermäßig"),
    ] {
        alice.say_bytes(request.as_bytes());
        let id = alice.answer().last;
        let message = alice.delivered();
        assert_eq!(format!("OK {}", message.id), id);
        assert_eq!(message.text, text, "{request:?}");
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    for byte in b"SEND alice slow\r\nPING\n" {
        alice.say_bytes(&[*byte]);
    }
    assert!(alice.answer().last.starts_with("OK "));
    assert_eq!(alice.answer().last, "OK pong");
    assert_eq!(alice.delivered().text, "slow");
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    alice.create("bob");
    let mut requests = String::new();
    for n in 0..60 {
        requests += &format!("SEND bob {n}\nPING\nHISTORY bob 1\nWHOAMI\nNONSENSE\n");
    }
    alice.say_bytes(requests.as_bytes());
    for n in 0..60 {
        let sent = alice.answer().last;
        assert_eq!(alice.answer().last, "OK pong");
        // What was sent before it on this connection is in it.
        let newest = alice.messages_of_answer("HISTORY bob 1");
        assert_eq!(texts(&newest), [n.to_string()]);
        assert_eq!(sent, format!("OK {}", newest[0].id));
        assert_eq!(alice.answer().last, "OK alice");
        alice.expect_refusal("unknown_command", "NONSENSE");
    }
}

#[test]
fn a_whole_session_in_one_write() {
    let server = TestServer::start();
    let mut alice = server.text();
    alice.say_bytes(
        b"CREATE alice correct-horse-battery\nLOGIN alice correct-horse-battery\n\
          SEND alice to myself\nHISTORY alice 1\nWHOAMI\nLOGOUT\nWHOAMI\nQUIT\nPING\n",
    );
    assert_eq!(alice.answer().last, "OK created alice");
    assert_eq!(alice.answer().last, "OK alice, 0 unread");
    assert!(alice.answer().last.starts_with("OK "));
    let history = alice.messages_of_answer("HISTORY alice 1");
    assert_eq!(texts(&history), ["to myself"]);
    assert_eq!(alice.answer().last, "OK alice");
    assert_eq!(alice.answer().last, "OK");
    alice.expect_refusal("not_logged_in", "WHOAMI");
    assert_eq!(alice.answer().last, "OK bye");
    assert_eq!(alice.until_closed(), [""; 0], "nothing after QUIT");
}

#[test]
fn half_a_close_is_answered_first() {
    let server = TestServer::start();
    server.account("bob");
    drop(server.account("alice"));
    let mut alice = server.text();
    alice.say_bytes(b"LOGIN alice correct-horse-battery\nSEND bob from a pipe\nLIST\n");
    alice.half_close();
    assert_eq!(alice.answer().last, "OK alice, 0 unread");
    assert!(alice.answer().last.starts_with("OK "));
    assert_eq!(alice.answer().last, "OK 2 accounts");
    assert_eq!(alice.until_closed(), [""; 0]);

    let mut bob = server.text();
    let unread = bob.login_unread("bob");
    assert_eq!(texts(&unread), ["from a pipe"]);
}

#[test]
fn half_a_close_waits_for_a_long_answer() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let text = "x".repeat(16 * 1024);
    for _ in 0..150 {
        alice.say(&format!("SEND alice {text}"));
    }
    for _ in 0..150 {
        assert!(alice.answer().last.starts_with("OK "));
    }
    let mut pipe = server.text();
    pipe.say_bytes(b"LOGIN alice correct-horse-battery\nLOG\nHISTORY * 1000\n");
    pipe.half_close();
    assert_eq!(pipe.answer().last, "OK alice, 150 unread");
    let unread: Vec<_> = (0..150).map(|_| pipe.delivered()).collect();
    assert_eq!(pipe.messages_of_answer("LOG"), unread);
    assert_eq!(pipe.messages_of_answer("HISTORY * 1000"), unread);
    assert_eq!(pipe.until_closed(), [""; 0]);
}

#[test]
fn a_line_beyond_the_limit_is_skipped_and_the_connection_goes_on() {
    let server = TestServer::start();
    let mut client = server.text();
    let ping = |length: usize| format!("PING{}", " ".repeat(length - 4));
    client.expect(&ping(LINE_BEFORE_LOGIN), "OK pong");
    client.expect_refused(&ping(LINE_BEFORE_LOGIN + 1), "too_long");
    client.expect_refused(&ping(1024 * 1024), "too_long");
    client.ping();

    client.create("alice");
    client.login("alice");
    client.expect(&ping(LINE), "OK pong");
    client.expect_refused(&ping(LINE + 1), "too_long");
    client.expect_refused(&ping(1024 * 1024), "too_long");
    client.ping();
}

#[test]
fn the_line_end_does_not_count_towards_the_limit() {
    let server = TestServer::start();
    let mut client = server.text();
    let longest = format!("PING{}\r\n", " ".repeat(LINE_BEFORE_LOGIN - 4));
    client.say_bytes(longest.as_bytes());
    assert_eq!(client.answer().last, "OK pong");
}

#[test]
fn a_line_without_an_end_is_refused_while_it_still_comes() {
    let server = TestServer::start();
    let mut client = server.text();
    client.say_bytes(&vec![b'a'; LINE_BEFORE_LOGIN * 4]);
    client.expect_refusal("too_long", "a line without an end");
    client.say_bytes(&vec![b'a'; LINE_BEFORE_LOGIN * 4]);
    client.say_bytes(b"\nPING\n");
    assert_eq!(client.answer().last, "OK pong", "one refusal for one line");
}

#[test]
fn bytes_that_are_not_utf8_are_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    for line in [
        &b"SEND alice \xff\n"[..],
        b"SEND alice \xc3\n",
        b"SEND alice \xed\xa0\x80\n",
        b"P\xfeNG\n",
    ] {
        alice.say_bytes(line);
        alice.expect_refusal("not_utf8", "bytes that are not UTF-8");
        alice.ping();
    }
    alice.expect("LOG", "OK 0");
}

#[test]
fn ten_errors_in_a_row_before_login_close_the_connection() {
    let server = TestServer::start();
    let mut client = server.text();
    for _ in 0..3 {
        for _ in 0..9 {
            client.expect_refused("NONSENSE", "unknown_command");
        }
        client.ping();
    }
    for _ in 0..10 {
        client.expect_refused("WHOAMI", "not_logged_in");
    }
    let rest = client.until_closed();
    assert!(
        rest.iter().all(|line| line.starts_with("NOTE ")),
        "{rest:?}"
    );

    let mut alice = server.account("alice");
    for _ in 0..30 {
        alice.expect_refused("NONSENSE", "unknown_command");
    }
    alice.ping();
}

#[test]
fn who_says_nothing_for_a_second_is_greeted() {
    let server = TestServer::start();
    let mut spoke = server.text();
    spoke.ping();
    let mut silent = server.text();
    let greeting = format!("lastword {}: type HELP", env!("CARGO_PKG_VERSION"));
    assert_eq!(silent.note(), greeting);
    silent.ping();
    // It came later, so that its own greeting would have come before.
    assert_eq!(spoke.notes_so_far(), [""; 0]);
}
