//! How quick is it, and what does it need? Figures, not tests: run them with
//! `cargo test --release --test end_to_end measure -- --ignored --nocapture --test-threads 1`.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::PASSWORD;
use crate::common::closed_loop::{drive, fill_accounts, fill_messages};
use crate::common::process::resident_bytes;
use crate::common::server::TestServer;

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
        let end = Instant::now() + WINDOW;
        let go_on = || Instant::now() < end;
        let (count, latency) = drive(server.address(), connections, outstanding, go_on);
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
