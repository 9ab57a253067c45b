//! How long are clients without a server, and what do three servers cost? Figures, not tests: run
//! them with `cargo test --release --test cluster measure:: -- --ignored --nocapture --test-threads 1`.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lastword::types::{Name, SessionId, Text};
use lastword::wire::message::{Answer, Deliver, Request};

use crate::common::binary::{BinaryClient, Login};
use crate::common::closed_loop::{drive, fill_accounts, fill_messages};
use crate::rig::Cluster;

const WINDOW: Duration = Duration::from_secs(5);

#[test]
#[ignore = "takes minutes, and says nothing but figures"]
fn kill_of_the_primary_to_the_next_acknowledgement() {
    let times = failovers(50, |cluster, primary| cluster[primary].kill());
    say("kill -9 of the primary", times);
}

#[test]
#[ignore = "takes a minute, and says nothing but figures"]
fn stop_of_the_primary_to_the_next_acknowledgement() {
    let times = failovers(10, |cluster, primary| cluster[primary].pause());
    say("SIGSTOP of the primary", times);
}

/// Takes the primary away so often, with the times that every user has, and measures how long it
/// takes until a client that was connected gets an acknowledgement again.
fn failovers(count: usize, away: impl Fn(&mut Cluster, usize)) -> Vec<Duration> {
    let mut cluster = Cluster::to_be_started(3, &[]);
    cluster.form();
    cluster.account("alice");
    let mut addresses = vec![cluster.service()];
    addresses.extend((0..3).map(|place| cluster[place].member()));
    let mut client = BinaryClient::connect(cluster[cluster.primary()].member());
    let login = client.login("alice", SessionId(1), Deliver::Nothing);
    let mut times = Vec::new();
    for number in 100..100 + count as u64 {
        let primary = cluster.until_all_in_sync();
        // Connected, and just answered.
        acknowledged(cluster[primary].member(), login, number * 2).expect("the primary serves");
        let begin = Instant::now();
        away(&mut cluster, primary);
        first_acknowledgement(&addresses, login, number * 2 + 1);
        times.push(begin.elapsed());
        if cluster[primary].runs() {
            cluster[primary].go_on();
        } else {
            cluster[primary].start();
        }
    }
    times
}

/// Asks at all addresses at once until one of them acknowledges.
fn first_acknowledgement(addresses: &[SocketAddr], login: Login, number: u64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for address in addresses {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if acknowledged(*address, login, number).is_some() {
                        done.store(true, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        // The others find out that it is done, and a mute one is given up; what counts is the first.
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros(200));
        }
    });
}

/// Takes the session up, and asks for one message; the same one under the same number.
fn acknowledged(address: SocketAddr, login: Login, number: u64) -> Option<()> {
    let mut client = BinaryClient::try_connect_for(address, Duration::from_millis(250))?;
    client.resume(login, Deliver::Nothing)?;
    let request = Request::Send {
        to: Name::parse("alice").expect("a name"),
        text: Text::parse("are you there?").expect("a text"),
    };
    client.say(number, number, &request)?;
    let answer = client.try_answer()?;
    matches!(answer.last, Ok(Answer::Sent { .. })).then_some(())
}

fn say(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!(
        "{what}, {} times: median {} ms, worst {} ms, all {:?}",
        times.len(),
        times[times.len() / 2].as_millis(),
        times[times.len() - 1].as_millis(),
        times.iter().map(Duration::as_millis).collect::<Vec<_>>(),
    );
}

#[test]
#[ignore = "takes half a minute, and says nothing but figures"]
fn acknowledged_messages_for_each_second() {
    let mut cluster = Cluster::to_be_started(3, &[]);
    cluster.form();
    let address = cluster[cluster.primary()].member();
    cluster.text().create("bob");
    fill_accounts(address, 50);
    println!("connections x outstanding: messages/s, p50, p99");
    for (connections, outstanding) in [(1, 1), (1, 64), (50, 16)] {
        let end = Instant::now() + WINDOW;
        let (count, latency) = drive(address, connections, outstanding, || Instant::now() < end);
        let each_second = count as f64 / WINDOW.as_secs_f64();
        println!(
            "{connections} x {outstanding}: {each_second:.0}/s, {}",
            percentiles(&latency)
        );
    }
    let said = cluster.text().ask("STATUS");
    println!("{:?}", said.lines);
}

#[test]
#[ignore = "takes minutes, and says nothing but figures"]
fn a_new_server_where_a_million_messages_are() {
    const MESSAGES: u64 = 1_000_000;
    let mut cluster = Cluster::to_be_started(3, &[]);
    cluster.form();
    let address = cluster[cluster.primary()].member();
    cluster.text().create("bob");
    fill_accounts(address, 50);
    cluster[2].kill();
    let filling = Instant::now();
    fill_messages(address, MESSAGES);
    println!(
        "{MESSAGES} messages in {:.1} s",
        filling.elapsed().as_secs_f64()
    );

    let end = Instant::now() + WINDOW;
    let (_, before) = drive(address, 10, 1, || Instant::now() < end);
    println!("10 x 1 without it: {}", percentiles(&before));
    fs::remove_dir_all(cluster.slot(2)).expect("the slot is there");
    let joining = AtomicBool::new(true);
    let begin = Instant::now();
    cluster[2].start();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| drive(address, 10, 1, || joining.load(Ordering::Relaxed)));
        while begin.elapsed() < Duration::from_secs(300) && !is_backup(&cluster) {
            std::thread::sleep(Duration::from_millis(20));
        }
        println!(
            "in sync after {:.1} s: {}",
            begin.elapsed().as_secs_f64(),
            is_backup(&cluster)
        );
        joining.store(false, Ordering::Relaxed);
        let (_, meanwhile) = load.join().expect("no client failed");
        println!("10 x 1 meanwhile: {}", percentiles(&meanwhile));
        let ratio =
            meanwhile.value_at_quantile(0.99) as f64 / before.value_at_quantile(0.99) as f64;
        println!("p99 is {ratio:.1} times as high");
    });
}

fn is_backup(cluster: &Cluster) -> bool {
    let status = cluster[2].status();
    status.is_some_and(|status| status.role == "backup")
}

fn percentiles(latency: &Histogram<u64>) -> String {
    let milliseconds = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    format!("{:.2} ms, {:.2} ms", milliseconds(0.5), milliseconds(0.99))
}
