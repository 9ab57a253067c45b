//! How quick is it, and what does it need? Figures, not tests: run them with
//! `cargo test --release --test end_to_end measure -- --ignored --nocapture --test-threads 1`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lastword::types::{Name, SessionId, Text};
use lastword::wire::message::{Answer, Deliver, Request};

use crate::common::PASSWORD;
use crate::common::binary::BinaryClient;
use crate::common::process::resident_bytes;
use crate::common::server::TestServer;
use crate::common::text::TextClient;

const WINDOW: Duration = Duration::from_secs(5);
/// What a message of 100 bytes takes in the journal, about.
const RECORD_BYTES: usize = 200;

#[test]
#[ignore = "takes half a minute, and says nothing but figures"]
fn acknowledged_messages_for_each_second() {
    let server = TestServer::start();
    server.text().create("bob");
    fill_accounts(server.address(), 50);
    println!(
        "connections x outstanding: messages/s, p50, p99; bare syncs/s of such batches, share"
    );
    for (connections, outstanding) in [(1, 1), (1, 64), (50, 16)] {
        let bare = bare_syncs_each_second(server.folder(), connections * outstanding);
        let (count, latency) = drive(&server, connections, outstanding);
        let each_second = count as f64 / WINDOW.as_secs_f64();
        let pipeline = bare * (connections * outstanding) as f64;
        println!(
            "{connections} x {outstanding}: {each_second:.0}/s, {:.2} ms, {:.2} ms; {bare:.0}/s, {:.0}%",
            latency.value_at_quantile(0.5) as f64 / 1000.0,
            latency.value_at_quantile(0.99) as f64 / 1000.0,
            100.0 * each_second / pipeline,
        );
    }
    say_longest_turn(&server);
}

#[test]
#[ignore = "takes minutes, and says nothing but figures"]
fn start_and_memory_with_a_million_messages() {
    const MESSAGES: u64 = 1_000_000;
    let accounts: usize = accounts_wanted();
    let mut server = TestServer::start();
    fill_accounts(server.address(), accounts);
    let filling = Instant::now();
    fill_messages(server.address(), MESSAGES);
    println!(
        "{MESSAGES} messages in {:.1} s; memory {} MiB",
        filling.elapsed().as_secs_f64(),
        resident_bytes(server.pid()) >> 20
    );
    say_longest_turn(&server);
    for end in ["SIGKILL", "SIGTERM"] {
        if end == "SIGKILL" {
            server.kill();
        } else {
            server.terminate();
            server.wait();
        }
        let start = Instant::now();
        server.restart();
        println!(
            "after {end}: ready in {:.3} s, memory {} MiB, {accounts} accounts",
            start.elapsed().as_secs_f64(),
            resident_bytes(server.pid()) >> 20
        );
    }
    // One has sent 50,000 messages, one has as many unread, and one knows nobody.
    for name in ["a0", "a1", "a99", "a0"] {
        let mut client = server.text();
        let asked = Instant::now();
        let answer = client.ask(&format!("LOGIN {name} {PASSWORD}"));
        println!("{}: {:?}", answer.last, asked.elapsed());
    }
    let mut alice = server.login("a0");
    let asked = Instant::now();
    assert_eq!(alice.messages("HISTORY * 100").len(), 100);
    println!("HISTORY * 100: {:?}", asked.elapsed());
    let asked = Instant::now();
    let log = alice.messages("LOG").len();
    println!("LOG of {log}: {:?}", asked.elapsed());
}

/// 10,000 take minutes of Argon2; fewer can be asked for.
fn accounts_wanted() -> usize {
    let wanted = std::env::var("LASTWORD_MEASURE_ACCOUNTS").ok();
    wanted.map_or(10_000, |count| count.parse().expect("a number of accounts"))
}

fn fill_accounts(address: SocketAddr, count: usize) {
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
fn fill_messages(address: SocketAddr, count: u64) {
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

/// All connections in a closed loop, each in a session of an account of its own.
fn drive(server: &TestServer, connections: usize, outstanding: usize) -> (u64, Histogram<u64>) {
    let address = server.address();
    let clients: Vec<BinaryClient> = (0..connections)
        .map(|n| {
            let mut client = BinaryClient::connect(address);
            let session = SessionId((outstanding * 1000 + n) as u128);
            client.login(&format!("a{n}"), session, Deliver::Nothing);
            client
        })
        .collect();
    let end = Instant::now() + WINDOW;
    let mut latency = Histogram::new(3).expect("three digits");
    let mut count = 0;
    std::thread::scope(|scope| {
        let go_on = move |_| Instant::now() < end;
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || closed_loop(&mut client, "bob", outstanding, go_on))
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
fn closed_loop(
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

/// How often in a second so many records can be written and synced, one batch after the other:
/// what a server would do that did nothing else.
fn bare_syncs_each_second(folder: &Path, records: usize) -> f64 {
    let batch = vec![0x5a; records * RECORD_BYTES];
    let path = folder.join("bare");
    let mut file = File::create(&path).expect("a file");
    // Prepared, as the journal is, so that a sync does not have to change its size.
    file.write_all(&vec![0; 64 << 20])
        .expect("room on the disk");
    file.sync_all().expect("a sync");
    let (begin, mut count) = (Instant::now(), 0u64);
    while begin.elapsed() < WINDOW / 5 {
        let place = count * batch.len() as u64 % (63 << 20);
        file.write_all_at(&batch, place).expect("room on the disk");
        file.sync_data().expect("a sync");
        count += 1;
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

fn say_longest_turn(server: &TestServer) {
    let status = server.text().ask("STATUS");
    let longest = status
        .lines
        .iter()
        .find_map(|line| line.strip_prefix("* longest-turn-ms "));
    println!("longest turn: {} ms", longest.expect("a line of STATUS"));
}
