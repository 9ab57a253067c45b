//! Who may have which name, who may log in, and what is left of an account that is deleted?

use crate::common::PASSWORD;
use crate::common::server::TestServer;
use crate::common::text::{Message, texts};

#[test]
fn a_name_is_taken_once() {
    let server = TestServer::start();
    let mut client = server.text();
    client.create("alice");
    client.expect_refused(&format!("CREATE alice {PASSWORD}"), "name_taken");
    client.expect_refused("CREATE ALICE another-password", "name_taken");
    client.login("alice");
}

#[test]
fn a_wrong_name_and_a_wrong_password_are_told_alike() {
    let server = TestServer::start();
    let mut client = server.text();
    client.create("alice");
    let password = client.expect_refused("LOGIN alice wrong-password", "bad_login");
    let name = client.expect_refused("LOGIN malice wrong-password", "bad_login");
    let impossible = client.expect_refused("LOGIN al*ce x", "bad_login");
    assert_eq!(password, name);
    assert_eq!(password, impossible);
    client.login("alice");
}

#[test]
fn a_deleted_account_is_gone_everywhere() {
    let server = TestServer::start();
    let mut here = server.account("alice");
    let mut elsewhere = server.login("alice");
    let mut bob = server.account("bob");

    here.expect_refused("DELETE wrong-password", "bad_login");
    here.expect("WHOAMI", "OK alice");
    here.expect(&format!("DELETE {PASSWORD}"), "OK deleted alice");
    here.expect_refused("WHOAMI", "not_logged_in");

    let note = elsewhere.note();
    assert!(note.contains("deleted"), "{note}");
    assert_eq!(elsewhere.until_closed(), [""; 0]);

    here.expect_refused(&format!("LOGIN alice {PASSWORD}"), "bad_login");
    bob.expect_refused("SEND alice hi", "no_such_account");
    bob.expect_refused("HISTORY alice", "no_such_account");
    assert_eq!(bob.ask("LIST").lines, ["* bob online"]);
}

#[test]
fn what_a_deleted_account_said_stays_and_its_name_is_new() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let mut bob = server.account("bob");
    let from_alice = alice.send("bob", "remember me");
    let to_alice = bob.send("alice", "I shall");
    alice.expect(&format!("DELETE {PASSWORD}"), "OK deleted alice");
    bob.delivered_so_far();

    let kept: fn(&[Message]) -> Vec<_> = |messages| {
        let summary = messages.iter().map(Message::summary);
        let owned = summary
            .map(|(id, from, to, text)| (id, from.to_string(), to.to_string(), text.to_string()));
        owned.collect()
    };
    let row = |id, from: &str, to: &str, text: &str| (id, from.into(), to.into(), text.into());
    let both = [
        row(from_alice, "alice(deleted)", "bob", "remember me"),
        row(to_alice, "bob", "alice(deleted)", "I shall"),
    ];
    assert_eq!(kept(&bob.messages("LOG")), both);

    // Another person of that name.
    alice.create("alice");
    alice.login("alice");
    alice.expect("LOG", "OK 0");
    alice.expect("HISTORY bob", "OK 0");
    bob.expect("HISTORY alice", "OK 0");
    assert_eq!(kept(&bob.messages("HISTORY *")), both);

    let new = bob.send("alice", "who are you");
    assert_eq!(
        kept(&alice.messages("LOG")),
        [row(new, "bob", "alice", "who are you")]
    );
    assert_eq!(
        kept(&bob.messages("HISTORY alice")),
        [row(new, "bob", "alice", "who are you")]
    );
    // It is unread for bob still, whoever it came from.
    let unread = server.text().login_unread("bob");
    assert_eq!(kept(&unread), both[..1]);
}

#[test]
fn names_and_passwords_at_below_and_above_their_limits() {
    let server = TestServer::start();
    let mut client = server.text();
    for name in ["a", &"n".repeat(32), "0_.-"] {
        client.create(name);
        client.login(name);
        client.expect("LOGOUT", "OK");
    }
    for name in [&"n".repeat(33), "al*ce", "alice(deleted)", "jürgen", "a/b"] {
        client.expect_refused(&format!("CREATE {name} {PASSWORD}"), "bad_name");
    }
    client.ping();
    for password in ["12345678", &"p".repeat(128), "pässwört"] {
        client.expect(
            &format!("CREATE p{} {password}", password.len()),
            &format!("OK created p{}", password.len()),
        );
        client.login_with(&format!("p{}", password.len()), password);
        client.expect("LOGOUT", "OK");
    }
    for password in ["1234567", &"p".repeat(129), "with\ttab", "with\x1bescape"] {
        client.expect_refused(&format!("CREATE bob {password}"), "bad_password");
    }
    client.expect_refused("LOGIN bob 1234567", "bad_login");
}

#[test]
fn texts_at_below_and_above_their_limit() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let longest = "x".repeat(16 * 1024);
    let wide = "ä".repeat(8 * 1024);
    let escaped = "\\\\".repeat(16 * 1024);
    for text in ["x", &longest, &wide, &escaped] {
        let id = alice.send("alice", text);
        let message = alice.delivered();
        assert_eq!((message.id, &*message.text), (id, text));
    }
    for text in [
        format!("{longest}x"),
        format!("{wide}x"),
        format!("{escaped}x"),
    ] {
        alice.expect_refused(&format!("SEND alice {text}"), "too_long");
    }
    let kept = alice.messages("LOG");
    assert_eq!(texts(&kept), ["x", &longest, &wide, &escaped]);
}
