//! Do the measures measure, and do they say what is wrong where they cannot? How quick anything is does
//! not matter here.

#[allow(dead_code)]
#[path = "end_to_end/common/mod.rs"]
mod common;
#[allow(dead_code, unused_imports)]
#[path = "end_to_end/load/mod.rs"]
mod load;
#[allow(dead_code, unused_imports)]
#[path = "cluster/rig/mod.rs"]
mod rig;

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use common::eventually;
use common::server::TestServer;
use common::text::TextClient;
use rig::Cluster;

/// The measures with these arguments, as a shell would split them at spaces.
fn bench(server: SocketAddr, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command
        .args(arguments.split_whitespace())
        .env("LASTWORD_SERVER", server.to_string())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(server: SocketAddr, arguments: &str) -> Output {
    bench(server, arguments).output().expect("bench can be run")
}

fn output(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn error(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

/// What it said on standard output, when all was well.
#[track_caller]
fn said(run: Output) -> String {
    assert_eq!(run.status.code(), Some(0), "{}", error(&run));
    assert_eq!(error(&run), "", "nothing to complain of");
    output(&run).to_owned()
}

/// The same, of `--json`.
#[track_caller]
fn figures(run: Output) -> Value {
    let said = said(run);
    assert_eq!(said.lines().count(), 1, "{said}");
    serde_json::from_str(&said).expect("JSON")
}

/// The sentence with which it failed.
#[track_caller]
fn failed(run: Output) -> String {
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert_eq!(output(&run), "", "no figures");
    let said = error(&run);
    assert!(said.starts_with("bench: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said.to_owned()
}

#[track_caller]
fn number(figures: &Value, name: &str) -> u64 {
    let number = figures[name].as_u64();
    number.unwrap_or_else(|| panic!("no number {name} in {figures}"))
}

/// The accounts that were made for measures and are still there.
fn left_over(mut client: TextClient) -> Vec<String> {
    client.ask("LIST bench-*").lines
}

/// Where nobody is.
fn nowhere() -> SocketAddr {
    rig::address::own_service()
}

#[test]
fn a_load_is_measured_and_looked_up() {
    let server = TestServer::start();
    server.text().create("alice");
    let load = "--seconds 0.4 --warm-up 0.1 --clients 3 --depth 4";
    let closed_loop = figures(run(server.address(), &format!("{load} --json")));
    assert!(number(&closed_loop, "acknowledged") > 0, "{closed_loop}");
    assert!(
        number(&closed_loop, "checked") >= number(&closed_loop, "acknowledged"),
        "{closed_loop}"
    );
    assert!(
        number(&closed_loop, "p50_us") <= number(&closed_loop, "max_us"),
        "{closed_loop}"
    );

    let heard = figures(run(
        server.address(),
        &format!("{load} --listeners 2 --stalled 1 --json"),
    ));
    assert_eq!(
        number(&heard, "delivered"),
        2 * number(&heard, "checked"),
        "{heard}"
    );

    let rate = format!("{load} --rate 200 --timeline --json");
    let at_a_rate = figures(run(server.address(), &rate));
    // However slow the machine is: what was due was sent. Half a second at this rate is a hundred.
    assert_eq!(number(&at_a_rate, "checked"), 100, "{at_a_rate}");
    assert_eq!(number(&at_a_rate, "acknowledged"), 80, "{at_a_rate}");
    assert_eq!(at_a_rate["timeline"].as_array().map(Vec::len), Some(1));

    let mut client = server.text();
    client.login("alice");
    assert_eq!(left_over(client), [""; 0], "they were deleted");
    let shown = said(run(server.address(), &format!("{load} --timeline --keep")));
    assert!(shown.contains("messages/s"), "{shown}");
    assert!(shown.contains("are there, once"), "{shown}");
    let mut client = server.text();
    client.login("alice");
    assert!(left_over(client).len() >= 2, "they were kept");
}

#[test]
fn a_grid_stands_beside_the_bare_pipeline() {
    let server = TestServer::start();
    let folder = server.folder().join("pipeline");
    fs::create_dir(&folder).expect("a folder");
    let cells = "--cells 2x2 --seconds 0.2 --growing --json --folder";
    let grid = format!("grid --against-limit {cells} {}", folder.display());
    let grid = figures(run(server.address(), &grid));
    let cell = &grid["cells"][0];
    assert_eq!((number(cell, "clients"), number(cell, "depth")), (2, 2));
    for part in ["server", "limit"] {
        assert!(number(&cell[part][0], "acknowledged") > 0, "{cell}");
    }
    assert!(cell["share"].as_f64().expect("a share") > 0.0, "{cell}");
    let left = fs::read_dir(&folder).expect("it is there").count();
    assert_eq!(left, 0, "its files were removed");
}

#[test]
fn the_bare_pipeline_stands_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let limit = "limit --cells 2x2 --seconds 0.2 --growing --folder";
    let shown = said(run(
        nowhere(),
        &format!("{limit} {}", folder.path().display()),
    ));
    assert!(shown.contains("bare/s"), "{shown}");
    assert!(shown.contains("2x2"), "{shown}");
}

#[test]
fn the_gap_after_a_kill_is_measured_with_all_servers_back_in_between() {
    let mut cluster = Cluster::of_three();
    // The servers are this process's, so the command asks it to start them again.
    let wanted = cluster.folder().join("wanted");
    let restart = format!(
        "echo $LASTWORD_SERVER_ID $LASTWORD_PID > {0}.new && mv {0}.new {0}",
        wanted.display()
    );
    let mut command = bench(cluster.service(), "failover --times 2 --json --kill");
    command.args(["kill -9 $LASTWORD_PID", "--restart", &restart]);
    let bench = command.spawn().expect("bench can be run");
    for _ in 0..2 {
        let server = eventually("a server is to be started again", || {
            fs::read_to_string(&wanted).ok()
        });
        fs::remove_file(&wanted).expect("it was just read");
        let server: u16 = server.trim().parse().expect("an id, and no process");
        let killed = |place: &usize| !is_alive(cluster[*place].pid());
        let place = cluster.running().into_iter().find(killed);
        let place = place.expect("one was killed");
        cluster[place].wait();
        cluster[place].start();
        assert_eq!(cluster[place].id(), server, "it was that one");
    }
    let gaps = figures(bench.wait_with_output().expect("it ends"));
    let each = gaps["gaps"].as_array().expect("gaps");
    assert_eq!(each.len(), 2, "{gaps}");
    for gap in each {
        assert_ne!(number(gap, "from"), number(gap, "to"), "{gap}");
        assert!(number(gap, "gap_us") <= number(&gaps, "worst_us"), "{gap}");
    }
    assert_eq!(each[0]["to"], each[1]["from"], "whoever leads is killed");
    // One before each kill and one behind it, at least.
    assert!(number(&gaps, "checked") >= 4, "{gaps}");
    assert_eq!(left_over(cluster.account("alice")), [""; 0]);
    cluster.assert_well();
}

#[test]
fn two_of_three_are_killed_and_not_the_last_one() {
    let cluster = Cluster::of_three();
    let failover = |more: &str, kill: &str| {
        let mut command = bench(cluster.service(), &format!("failover {more} --kill"));
        command.arg(kill).output().expect("bench can be run")
    };
    let sentence = failed(failover("--times 3", "kill -9 $LASTWORD_PID"));
    assert!(sentence.contains("nothing was killed"), "{sentence}");
    let sentence = failed(failover("", "exit 7"));
    assert!(sentence.contains("--kill has failed"), "{sentence}");
    let shown = said(failover("--times 2", "kill -9 $LASTWORD_PID"));
    assert!(shown.contains("median"), "{shown}");
    assert!(shown.contains("are there, once"), "{shown}");
    let sentence = failed(failover("", "kill -9 $LASTWORD_PID"));
    assert!(sentence.contains("nobody could take over"), "{sentence}");
    assert_eq!(left_over(cluster_survivor(&cluster)), [""; 0]);
}

/// A login at the server that is left.
fn cluster_survivor(cluster: &Cluster) -> TextClient {
    let alive = |place: &usize| is_alive(cluster[*place].pid());
    let mut places = cluster.running().into_iter();
    let place = places.find(alive).expect("one was spared");
    let mut client = TextClient::connect(cluster[place].member());
    client.create("alice");
    client.login("alice");
    client
}

fn is_alive(process: u32) -> bool {
    common::process::state(process) != 'Z'
}

#[test]
fn ctrl_c_leaves_no_account() {
    let cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    let mut command = bench(cluster.service(), "failover --kill");
    command.arg("exec sleep 1");
    let bench: Child = command.spawn().expect("bench can be run");
    eventually("it has an account", || {
        let accounts = alice.ask("LIST bench-*").lines;
        // Only who is logged in is asked for the deletion.
        accounts
            .iter()
            .any(|it| it.ends_with(" online"))
            .then_some(())
    });
    kill_process(Pid::from_child(&bench), Signal::INT).expect("a signal goes out");
    let output = bench.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(left_over(alice), [""; 0]);
}

#[test]
fn a_load_that_is_interrupted_leaves_no_account() {
    let server = TestServer::start();
    server.text().create("alice");
    let mut alice = server.text();
    alice.login("alice");
    let load = "--clients 2 --depth 2 --seconds 60";
    let bench = bench(server.address(), load).spawn().expect("it starts");
    eventually("it is logged in", || {
        let accounts = alice.ask("LIST bench-*").lines;
        let mut online = accounts.iter().filter(|it| it.ends_with(" online"));
        online.next().map(|_| ())
    });
    kill_process(Pid::from_child(&bench), Signal::INT).expect("a signal goes out");
    let output = bench.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(left_over(alice), [""; 0]);
}

#[test]
fn a_pipeline_ends_with_whoever_has_started_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = folder.path().to_str().expect("a plain name");
    let limit = format!("limit --cells 2x2 --seconds 60 --growing --folder {named}");
    for signal in [Signal::TERM, Signal::KILL] {
        let bench = bench(nowhere(), &limit).spawn().expect("it starts");
        eventually("three processes run", || {
            (stages_in(named) == 3).then_some(())
        });
        kill_process(Pid::from_child(&bench), signal).expect("a signal goes out");
        let output = bench.wait_with_output().expect("it ends");
        eventually("they end, too", || (stages_in(named) == 0).then_some(()));
        assert!(!output.status.success(), "{output:?}");
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0, "files of 200 MiB stay behind");
    }
}

/// How many processes of a bare pipeline have their files in this folder.
fn stages_in(folder: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let words = processes.filter_map(|it| fs::read_to_string(it.path().join("cmdline")).ok());
    words
        .filter(|it| it.contains("\0stage\0") && it.contains(folder))
        .count()
}

#[test]
fn clients_that_do_nothing_are_measured() {
    let server = TestServer::start_with(&["--max-clients", "100"]);
    let idle = "idle --clients 20 --seconds 0.2";
    let found = figures(run(server.address(), &format!("{idle} --json")));
    assert_eq!(number(&found, "process"), u64::from(server.pid()));
    assert_eq!(number(&found, "clients"), 20);
    assert!(number(&found, "resident_bytes_after") > 1 << 20, "{found}");
    let named = format!("{idle} --keep --pid {}", server.pid());
    let shown = said(run(server.address(), &named));
    assert!(shown.contains("all of them were answered"), "{shown}");
    let sentence = failed(run(server.address(), "idle --clients 100 --seconds 0.2"));
    assert!(sentence.contains("--max-clients 109"), "{sentence}");
    let mut client = server.text();
    client.create("alice");
    client.login("alice");
    let kept = left_over(client).len();
    assert!(kept <= 9, "those of --keep alone: {kept}");
    let sentence = failed(run(server.address(), "idle --clients 9 --pid 4194999"));
    assert!(sentence.contains("does it still run?"), "{sentence}");
}

#[test]
fn where_nobody_serves_it_is_said_what_to_do() {
    let kill = "failover --kill true";
    for arguments in ["", "grid", "idle", kill] {
        let sentence = failed(run(nowhere(), arguments));
        assert!(
            sentence.contains("running there?"),
            "{arguments}: {sentence}"
        );
    }
    let mut unknown = bench(nowhere(), "--server no-such-host.invalid:5000");
    let sentence = failed(unknown.output().expect("bench can be run"));
    assert!(sentence.contains("--server"), "{sentence}");
}

#[test]
fn wrong_arguments_are_told_from_failures() {
    for (arguments, named) in [
        ("--clients 0", "1 to 20000"),
        ("--depth many", "--depth"),
        ("--size 3", "--size"),
        ("--rate=-1", "--rate"),
        ("--seconds 0", "--seconds"),
        ("--server :", "no server's address"),
        ("grid --cells 50", "such as 50x16"),
        ("grid --runs 0", "--runs"),
        ("limit --server 127.0.0.1:5000", "--server"),
        ("failover", "--kill"),
        ("failover --kill=", "a command is needed"),
        ("failover --kill true --times 0", "--times"),
        ("idle --clients 1000000", "--clients"),
        ("idle --pid 0", "--pid"),
        ("dance", "dance"),
    ] {
        let run = run(nowhere(), arguments);
        assert_eq!(run.status.code(), Some(2), "{arguments}: {run:?}");
        assert!(error(&run).contains(named), "{arguments}: {}", error(&run));
    }
}
