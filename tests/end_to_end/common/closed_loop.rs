//! How much can be asked, and how long does each answer take? Connections that each keep so many
//! requests open, and ask the next one as soon as one is answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;
use lastword::types::{Name, SessionId, Text};
use lastword::wire::message::{Answer, Deliver, Request};

use super::PASSWORD;
use super::binary::BinaryClient;
use super::text::TextClient;

/// Makes the accounts a0, a1, … that `fill_messages` and `drive` use.
pub fn fill_accounts(address: SocketAddr, count: usize) {
    let begin = Instant::now();
    let mut client = TextClient::connect(address);
    for some in (0..count).collect::<Vec<_>>().chunks(200) {
        for n in some {
            client.say(&format!("CREATE a{n} {PASSWORD}"));
        }
        for n in some {
            assert_eq!(client.answer().last, format!("OK created a{n}"));
        }
    }
    println!("{count} accounts in {:.1} s", begin.elapsed().as_secs_f64());
}

/// Messages of 100 bytes between 20 pairs, many at a time.
pub fn fill_messages(address: SocketAddr, count: u64) {
    const PAIRS: u64 = 20;
    std::thread::scope(|scope| {
        for pair in 0..PAIRS {
            scope.spawn(move || {
                let mut client = BinaryClient::connect(address);
                let session = SessionId(u128::from(pair) + 1);
                client.login(&format!("a{}", pair * 2), session, Deliver::Nothing);
                let to = format!("a{}", pair * 2 + 1);
                let share = count / PAIRS;
                closed_loop(&mut client, &to, 200, |sent| sent < share);
            });
        }
    });
}

/// So many connections in a closed loop, each in a session of an account of its own, each with so
/// many requests outstanding, as long as `go_on` says so. They send to bob.
pub fn drive(
    address: SocketAddr,
    connections: usize,
    outstanding: usize,
    go_on: impl Fn() -> bool + Sync,
) -> (u64, Histogram<u64>) {
    // Their numbers begin anew each time, and so do their sessions.
    static NEXT: AtomicU64 = AtomicU64::new(1_000_000);
    let clients: Vec<BinaryClient> = (0..connections)
        .map(|n| {
            let mut client = BinaryClient::connect(address);
            let session = SessionId(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)));
            client.login(&format!("a{n}"), session, Deliver::Nothing);
            client
        })
        .collect();
    let mut latency = Histogram::new(3).expect("three digits");
    let mut count = 0;
    std::thread::scope(|scope| {
        let go_on = &go_on;
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || closed_loop(&mut client, "bob", outstanding, |_| go_on()))
            })
            .collect();
        for thread in threads {
            let (sent, of_thread) = thread.join().expect("no client failed");
            count += sent;
            latency.add(of_thread).expect("same digits");
        }
    });
    (count, latency)
}

/// Sends messages of 100 bytes, always so many ahead of their answers. Answers how many, and how
/// long each took in microseconds.
pub fn closed_loop(
    client: &mut BinaryClient,
    to: &str,
    outstanding: usize,
    go_on: impl Fn(u64) -> bool,
) -> (u64, Histogram<u64>) {
    // Above those of the login.
    const FIRST: u64 = 1000;
    let text = "x".repeat(100);
    let request = Request::Send {
        to: Name::parse(to).expect("a name"),
        text: Text::parse(&text).expect("a text"),
    };
    let mut latency = Histogram::new(3).expect("three digits");
    let mut asked_at: VecDeque<Instant> = VecDeque::new();
    let (mut sent, mut answered) = (0, 0);
    loop {
        while asked_at.len() < outstanding && go_on(sent) {
            let (number, lowest_open) = (FIRST + sent, FIRST + answered);
            client
                .say(number, lowest_open, &request)
                .expect("the server is there");
            asked_at.push_back(Instant::now());
            sent += 1;
        }
        let Some(asked_at) = asked_at.pop_front() else {
            return (answered, latency);
        };
        let answer = client.try_answer().expect("an answer, and not the end");
        assert!(matches!(answer.last, Ok(Answer::Sent { .. })), "{answer:?}");
        assert_eq!(answer.number, FIRST + answered, "answers come in order");
        answered += 1;
        let micros = u64::try_from(asked_at.elapsed().as_micros()).expect("a short time");
        latency.record(micros).expect("it grows as it needs");
    }
}
