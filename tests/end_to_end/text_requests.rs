//! Does each request of text mode get exactly the answer that the contract says?

use crate::common::PASSWORD;
use crate::common::server::TestServer;
use crate::common::text::{TextClient, ids, texts};

const COMMANDS: [&str; 14] = [
    "HELP", "PING", "CREATE", "LOGIN", "LOGOUT", "DELETE", "LIST", "SEND", "HISTORY", "LOG", "ACK",
    "WHOAMI", "STATUS", "QUIT",
];

#[test]
fn help_names_every_command_and_says_what_keeps_mail_unread() {
    let server = TestServer::start();
    let help = server.text().ask("HELP");
    assert_eq!(help.last, "OK");
    for command in COMMANDS {
        let line = help.lines.iter().find(|line| line.contains(command));
        assert!(line.is_some(), "{command} is not in {:#?}", help.lines);
    }
    let acknowledge = help.lines.iter().find(|line| line.contains("ACK"));
    let whole = help.lines.join(" ").to_lowercase();
    assert!(acknowledge.is_some() && whole.contains("unread"), "{whole}");
}

#[test]
fn a_first_conversation() {
    let server = TestServer::start();
    let mut alice = server.text();
    alice.expect("PING", "OK pong");
    alice.expect(&format!("CREATE Alice {PASSWORD}"), "OK created alice");
    alice.expect_refused("WHOAMI", "not_logged_in");
    alice.expect(&format!("LOGIN ALICE {PASSWORD}"), "OK alice, 0 unread");
    alice.expect("WHOAMI", "OK alice");
    alice.create("bob");
    alice.expect("WHOAMI", "OK alice");

    let hi = alice.send("bob", "hi there");
    let again = alice.send("BOB", "again");
    assert!(hi < again);
    alice.expect("LOGOUT", "OK");
    alice.expect_refused("WHOAMI", "not_logged_in");

    let unread = alice.login_unread("bob");
    let seen: Vec<_> = unread.iter().map(|message| message.summary()).collect();
    assert_eq!(
        seen,
        [
            (hi, "alice", "bob", "hi there"),
            (again, "alice", "bob", "again")
        ]
    );
    assert!(unread[0].time <= unread[1].time);
    alice.expect(&format!("ACK {again}"), "OK");
    alice.expect("QUIT", "OK bye");
    assert_eq!(alice.until_closed(), [""; 0]);
}

#[test]
fn list_is_sorted_and_takes_patterns() {
    let server = TestServer::start();
    let mut bob = server.account("bob");
    for name in ["carol", "alice", "al.2"] {
        bob.create(name);
    }
    let mut list = |request: &str| {
        let answer = bob.ask(request);
        (answer.lines, answer.last)
    };
    let lines = |names: &[&str]| -> Vec<String> {
        let online = |name: &str| if name == "bob" { "online" } else { "offline" };
        let line = |name: &&str| format!("* {name} {}", online(name));
        names.iter().map(line).collect()
    };
    let all = lines(&["al.2", "alice", "bob", "carol"]);
    assert_eq!(list("LIST"), (all.clone(), "OK 4 accounts".into()));
    assert_eq!(list("LIST *"), (all, "OK 4 accounts".into()));
    for (pattern, names) in [
        ("a*", &["al.2", "alice"][..]),
        ("al??", &["al.2"]),
        ("*o*", &["bob", "carol"]),
        ("?????", &["alice", "carol"]),
        ("A*E", &["alice"]),
        ("bo", &[]),
        ("x*", &[]),
    ] {
        let expected = (lines(names), format!("OK {} accounts", names.len()));
        assert_eq!(list(&format!("LIST {pattern}")), expected, "{pattern}");
    }
}

#[test]
fn online_follows_logins_and_closed_connections() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let first = server.account("bob");
    let mut second = server.login("bob");
    let state = |alice: &mut TextClient| alice.ask("LIST bob").lines;
    assert_eq!(state(&mut alice), ["* bob online"]);
    second.expect("LOGOUT", "OK");
    assert_eq!(state(&mut alice), ["* bob online"]);
    drop(first);
    crate::common::eventually("bob is offline", || {
        (state(&mut alice) == ["* bob offline"]).then_some(())
    });
}

#[test]
fn history_by_name_limit_and_id() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    alice.create("bob");
    alice.create("carol");
    let to = ["bob", "carol", "alice", "bob", "carol", "bob"];
    let sent: Vec<u64> = (to.iter().enumerate())
        .map(|(n, to)| alice.send(to, &format!("{n}")))
        .collect();
    let last = sent[5];
    for (request, expected) in [
        ("HISTORY".to_string(), &["0", "1", "2", "3", "4", "5"][..]),
        ("HISTORY *".to_string(), &["0", "1", "2", "3", "4", "5"]),
        ("HISTORY * 2".to_string(), &["4", "5"]),
        (format!("HISTORY * 2 {last}"), &["3", "4"]),
        ("HISTORY bob".to_string(), &["0", "3", "5"]),
        ("HISTORY Bob 1".to_string(), &["5"]),
        (format!("HISTORY bob 1 {last}"), &["3"]),
        (format!("HISTORY bob 1000 {}", sent[0]), &[]),
        ("HISTORY alice".to_string(), &["2"]),
        ("HISTORY carol 1000".to_string(), &["1", "4"]),
        ("LOG".to_string(), &["0", "1", "2", "3", "4", "5"]),
        ("LOG 0".to_string(), &["0", "1", "2", "3", "4", "5"]),
        (format!("LOG {}", sent[3]), &["4", "5"]),
        (format!("LOG {last}"), &[]),
        ("LOG 18446744073709551615".to_string(), &[]),
    ] {
        let messages = alice.messages(&request);
        assert_eq!(texts(&messages), expected, "{request}");
        assert!(messages.is_sorted_by_key(|message| message.id), "{request}");
    }
    for request in [
        "HISTORY bob 0",
        "HISTORY bob 1001",
        "HISTORY bob many",
        "HISTORY bob -1",
        "HISTORY bob 10 x",
        "HISTORY bob 10 1 1",
        "LOG x",
        "LOG -1",
        "LOG 18446744073709551616",
        "LOG 1 2",
    ] {
        alice.expect_refused(request, "bad_arguments");
    }
    alice.expect_refused("HISTORY nobody", "no_such_account");
}

#[test]
fn history_gives_a_hundred_unless_told_and_a_thousand_at_most() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let mut requests = String::new();
    for n in 0..1003 {
        requests += &format!("SEND alice {n}\n");
    }
    let reader = std::thread::scope(|scope| {
        let mut writer = alice.stream().try_clone().expect("a second handle");
        scope.spawn(move || std::io::Write::write_all(&mut writer, requests.as_bytes()));
        let answers = (0..1003).map(|_| alice.answer().last);
        answers.collect::<Vec<_>>()
    });
    assert!(
        reader.iter().all(|last| last.starts_with("OK ")),
        "{reader:?}"
    );
    // What one writes to oneself comes to every connection, this one too.
    assert_eq!(alice.delivered_so_far().len(), 1003);

    let newest = alice.messages("HISTORY");
    assert_eq!(newest.len(), 100);
    assert_eq!((&*newest[0].text, &*newest[99].text), ("903", "1002"));
    let newest = alice.messages("HISTORY * 1000");
    assert_eq!(newest.len(), 1000);
    assert_eq!((&*newest[0].text, &*newest[999].text), ("3", "1002"));
    let rest = alice.messages(&format!("HISTORY alice 1000 {}", newest[0].id));
    assert_eq!(texts(&rest), ["0", "1", "2"]);

    let log = alice.messages("LOG");
    let expected: Vec<String> = (0..1003).map(|n| n.to_string()).collect();
    assert_eq!(texts(&log), expected);
    assert_eq!(ids(&log)[3..], ids(&newest));
}

#[test]
fn status_needs_no_login_and_has_its_lines() {
    let server = TestServer::start();
    let _alice = server.account("alice");
    let status = server.text().ask("STATUS");
    assert_eq!(status.last, "OK");
    let lines = &status.lines;
    let words = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
    let starting = |start: &str| {
        let found = lines.iter().find(|line| line.starts_with(start));
        words(found.unwrap_or_else(|| panic!("no {start:?} in {lines:#?}")))
    };

    // * server 1 primary view 1 commit 4 member 127.0.0.1:5001 service 127.0.0.1:5000
    let first = words(&lines[0]);
    assert_eq!(first[..4], ["*", "server", "1", "primary"]);
    let service = server.address().to_string();
    let member = &first[9];
    assert_eq!(
        [&first[4], &first[6], &first[8], &first[10], &first[11]],
        ["view", "commit", "member", "service", &service]
    );
    assert!(
        first[5].parse::<u64>().is_ok_and(|view| view >= 1),
        "{first:?}"
    );
    assert!(
        first[7].parse::<u64>().is_ok_and(|commit| commit >= 1),
        "{first:?}"
    );
    assert!(member.parse::<std::net::SocketAddr>().is_ok() && *member != service);

    assert_eq!(starting("* primary "), ["*", "primary", "1", member]);
    assert_eq!(
        starting("* member 1 "),
        ["*", "member", "1", "in-sync", member, "lag", "0"]
    );
    assert!(
        starting("* clients ")[2]
            .parse::<u64>()
            .is_ok_and(|clients| clients >= 1)
    );
    assert!(starting("* longest-turn-ms ")[2].parse::<u64>().is_ok());
    assert_eq!(starting("* ready "), ["*", "ready", "yes"]);
}

#[test]
fn the_member_address_serves_too() {
    let server = TestServer::start();
    let status = server.text().ask("STATUS");
    let primary = status
        .lines
        .iter()
        .find_map(|line| line.strip_prefix("* primary 1 "));
    let member = primary
        .expect("who the primary is")
        .parse()
        .expect("an address");
    let mut client = TextClient::connect(member);
    client.create("alice");
    client.login("alice");
    client.send("alice", "by the side door");
}

#[test]
fn what_needs_a_login_says_so() {
    let server = TestServer::start();
    // No more than nine on one connection: the tenth error in a row closes it.
    let mut client = server.text();
    for request in [
        "LOGOUT",
        "DELETE correct-horse",
        "LIST",
        "LIST a*",
        "SEND bob hi",
        "HISTORY",
        "LOG",
        "ACK 1",
        "WHOAMI",
    ] {
        client.expect_refused(request, "not_logged_in");
    }
    client.ping();
}

#[test]
fn wrong_arguments_are_refused_and_nothing_else_happens() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    for request in [
        "CREATE",
        "CREATE bob",
        "CREATE bob correct-horse battery",
        "DELETE",
        "LIST a b",
        "SEND",
        "SEND alice",
        "ACK",
        "ACK x",
        "ACK -1",
        "ACK 1 2",
        "ACK 18446744073709551616",
    ] {
        alice.expect_refused(request, "bad_arguments");
    }
    for request in ["FROBNICATE", "LOG1", "SENDalice hi", "*", "MSG", "OK"] {
        alice.expect_refused(request, "unknown_command");
    }
    alice.expect_refused("SEND nobody hi", "no_such_account");
    alice.expect_refused("SEND alice a\x07b", "bad_text");
    alice.expect_refused("SEND alice a\0b", "bad_text");
    alice.expect("LOG", "OK 0");
    assert_eq!(alice.ask("LIST").lines, ["* alice online"]);

    let mut stranger = server.text();
    for request in ["LOGIN", "LOGIN alice", "LOGIN alice a b"] {
        stranger.expect_refused(request, "bad_arguments");
    }
}
