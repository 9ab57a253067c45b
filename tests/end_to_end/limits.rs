//! What happens at the limits? The one who reaches them is told or closed, and nobody else
//! notices.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lastword::types::SessionId;
use lastword::wire::message::Deliver;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::binary::BinaryClient;
use crate::common::process::{cpu_ticks, resident_bytes};
use crate::common::server::TestServer;
use crate::common::text::TextClient;
use crate::common::{PASSWORD, eventually};

const MIB: u64 = 1024 * 1024;

#[test]
fn one_client_too_many_is_told_busy_and_gets_in_later() {
    let server = TestServer::start_with(&["--max-clients", "3"]);
    let mut inside = vec![server.text()];
    // Whoever looked whether the server is ready has left, but it may not have noticed yet.
    eventually("there is one client", || {
        (connected(&mut inside[0]) == 1).then_some(())
    });
    inside.extend([server.text(), server.text()]);
    for client in &mut inside {
        client.ping();
    }
    let told = server.text().until_closed();
    assert!(told.iter().any(|line| line.contains("busy")), "{told:?}");
    for client in &mut inside {
        client.ping();
    }
    inside.pop();
    let mut next = eventually("a place is free", || {
        let mut client = server.text();
        let answer = client.try_ask("PING")?;
        (answer.last == "OK pong").then_some(client)
    });
    next.ping();
}

#[test]
fn who_asks_too_much_in_a_second_is_told_and_others_are_not() {
    let server = TestServer::start_with(&["--max-rate", "20"]);
    // Before a login, ten refusals would close the connection.
    let mut hasty = server.account("alice");
    hasty.say_bytes(&b"PING\n".repeat(200));
    let answers: Vec<String> = (0..200).map(|_| hasty.answer().last).collect();
    assert!(
        answers[..15].iter().all(|last| last == "OK pong"),
        "{answers:?}"
    );
    let limited = answers
        .iter()
        .filter(|last| last.starts_with("ERR rate_limited "))
        .count();
    assert!(limited > 0, "{answers:?}");
    server.text().ping();
    eventually("the hasty one may ask again", || {
        (hasty.ask("PING").last == "OK pong").then_some(())
    });
}

#[test]
fn after_wrong_passwords_the_account_waits_and_its_address_does_not() {
    let server = TestServer::start();
    let mut owner = server.account("alice");
    owner.create("bob");
    let mut guesser = server.text();
    for _ in 0..5 {
        guesser.expect_refused("LOGIN alice wrong-password", "bad_login");
    }
    let mut refusals: Vec<String> = Vec::new();
    for _ in 0..3 {
        let last = server.text().ask("LOGIN alice wrong-password").last;
        refusals.push(last);
    }
    let limited = |last: &String| last.starts_with("ERR rate_limited ");
    assert!(refusals.iter().any(limited), "{refusals:?}");
    // Who is in stays in, and other accounts of this address are not meant.
    owner.expect("WHOAMI", "OK alice");
    server.login("bob");
    eventually("the owner may log in again", || {
        let last = server.text().ask(&format!("LOGIN alice {PASSWORD}")).last;
        assert!(last == "OK alice, 0 unread" || limited(&last), "{last}");
        (!limited(&last)).then_some(())
    });
}

#[test]
fn passwords_that_are_guessed_all_at_once_are_not_all_tried() {
    let server = TestServer::start();
    server.text().create("alice");
    let mut crowd: Vec<TextClient> = (0..60).map(|_| server.text()).collect();
    for client in &mut crowd {
        client.say("LOGIN alice wrong-password");
    }
    let lasts = crowd.iter_mut().map(|client| client.answer().last);
    let tried = lasts.filter(|last| last.starts_with("ERR bad_login "));
    // Five, and however many waits of 1, 2, 4, 8, ... seconds have ended meanwhile.
    assert!((5..=15).contains(&tried.count()));
}

#[test]
fn two_hundred_logins_at_once_are_all_answered() {
    let server = TestServer::start();
    server.text().create("alice");
    let mut neighbour = server.account("bob");
    let mut crowd: Vec<TextClient> = (0..200).map(|_| server.text()).collect();
    for client in &mut crowd {
        client.say(&format!("LOGIN alice {PASSWORD}"));
    }
    // While their passwords are looked at, somebody else is served.
    for n in 0..20 {
        neighbour.send("bob", &n.to_string());
    }
    for client in &mut crowd {
        assert_eq!(client.answer().last, "OK alice, 0 unread");
    }
    let id = crowd[0].send("alice", "to all of us");
    for client in &mut crowd {
        assert_eq!(client.delivered().id, id);
    }
}

#[test]
fn lines_that_come_byte_by_byte_hold_up_nobody() {
    let server = TestServer::start();
    server.account("alice");
    let request = format!("LOGIN alice {PASSWORD}\r\n");
    let mut slow: Vec<TextClient> = (0..20).map(|_| server.text()).collect();
    let mut quick = server.text();
    for byte in request.bytes() {
        for client in &mut slow {
            client.say_bytes(&[byte]);
        }
        quick.ping();
    }
    for client in &mut slow {
        assert_eq!(client.answer().last, "OK alice, 0 unread");
    }
}

#[test]
fn clients_that_never_read_cost_little_and_are_closed() {
    const TEXT: usize = 16 * 1024;
    const MESSAGES: usize = 512;
    let clients = allow_descriptors(1000) as usize;
    let mut server = TestServer::start();
    let mut sender = server.account("alice");
    sender.create("bob");
    let mut first = BinaryClient::connect(server.address());
    let login = first.login("bob", SessionId(1), Deliver::Nothing);
    // Most are there, and quiet; some get more than any queue holds.
    let quiet: Vec<TcpStream> = (0..clients - 100)
        .map(|_| TcpStream::connect(server.address()).expect("a connection"))
        .collect();
    let deaf: Vec<BinaryClient> = (0..100)
        .map(|_| {
            let mut client = BinaryClient::connect(server.address());
            client
                .resume(login, Deliver::Unread)
                .expect("the server is there");
            client
        })
        .collect();
    let before = resident_bytes(server.pid());
    let text = "x".repeat(TEXT);
    let mut highest = 0;
    for _ in 0..MESSAGES {
        sender.send("bob", &text);
        highest = highest.max(resident_bytes(server.pid()));
    }
    // Each of them was sent 8 MiB. A queue holds 1 MiB, and the store's worker 64 MiB.
    let bound = 100 * MIB + 64 * MIB + 64 * MIB;
    assert!(
        highest - before.min(highest) < bound,
        "{} MiB more than {} MiB for {} clients",
        (highest - before) / MIB,
        before / MIB,
        quiet.len() + deaf.len()
    );
    server.assert_well();

    drop(quiet);
    // Those whose queue stays full are closed after a while, although they say nothing.
    let deadline = Instant::now() + Duration::from_secs(90);
    while connected(&mut sender) > 3 {
        assert!(Instant::now() < deadline, "they are still there");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(sender.messages("HISTORY bob 1000").len(), MESSAGES);
}

#[test]
fn answers_that_nobody_reads_wait_outside_of_memory() {
    let server = TestServer::start();
    let mut alice = server.account("alice");
    let text = "x".repeat(16 * 1024);
    for _ in 0..64 {
        alice.send("alice", &text);
        alice.delivered();
    }
    let before = resident_bytes(server.pid());
    let mut deaf: Vec<TextClient> = (0..10)
        .map(|_| {
            let mut client = server.text();
            client.say(&format!("LOGIN alice {PASSWORD}"));
            client.answer();
            // A hundred times 1 MiB for each, if somebody read it.
            client.say_bytes(&b"LOG\n".repeat(100));
            client
        })
        .collect();
    for _ in 0..100 {
        alice.ping();
        let now = resident_bytes(server.pid());
        assert!(now < before + 128 * MIB, "{} MiB", now / MIB);
    }
    // All of it comes when it is read.
    let mut one = deaf.pop().expect("one of them");
    for _ in 0..64 {
        one.delivered();
    }
    for _ in 0..100 {
        assert_eq!(one.messages_of_answer("LOG").len(), 64);
    }
}

#[test]
fn without_descriptors_nobody_is_lost_and_nothing_spins() {
    let mut server = TestServer::start_with_descriptors(72);
    let mut inside = server.account("alice");
    // The system takes their connections, whether the server does or not.
    let mut crowd: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(server.address()).expect("a connection"))
        .collect();
    for stream in &mut crowd {
        // Who was closed at once cannot be written to; that is an answer, too.
        let _ = stream.write_all(b"PING\n");
    }
    inside.send("alice", "still here");

    let (ticks, window) = (cpu_ticks(server.pid()), Duration::from_secs(2));
    std::thread::sleep(window);
    let used = Duration::from_millis(10 * (cpu_ticks(server.pid()) - ticks));
    assert!(used < window / 2, "{used:?} of {window:?}");

    inside.ping();
    drop(crowd);
    eventually("somebody gets in again", || {
        let mut client = TextClient::over(TcpStream::connect(server.address()).ok()?);
        (client.try_ask("PING")?.last == "OK pong").then_some(())
    });
    server.assert_well();
    inside.send("alice", "after all");
}

#[test]
fn an_idle_server_rests() {
    let server = TestServer::start();
    let mut clients: Vec<TextClient> = (0..50).map(|_| server.text()).collect();
    for client in &mut clients {
        client.note();
    }
    let (ticks, window) = (cpu_ticks(server.pid()), Duration::from_secs(2));
    std::thread::sleep(window);
    let used = Duration::from_millis(10 * (cpu_ticks(server.pid()) - ticks));
    assert!(used < window / 10, "{used:?} of {window:?}");
}

/// How many clients the server says that it has, the one that asks among them.
fn connected(client: &mut TextClient) -> u64 {
    let status = client.ask("STATUS");
    let line = status
        .lines
        .iter()
        .find_map(|line| line.strip_prefix("* clients "));
    line.and_then(|count| count.parse().ok())
        .expect("a number of clients")
}

/// Lets this process, and the servers that it starts, have so many connections; or says how many
/// of them there can be.
fn allow_descriptors(connections: u64) -> u64 {
    const OTHERS: u64 = 200;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(connections + OTHERS, |most| most.min(connections + OTHERS));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).expect("up to the maximum everybody may");
    }
    wanted - OTHERS
}
