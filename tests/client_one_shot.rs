//! Do one-shot commands of the real client, against real servers, behave as a shell user expects?

#[allow(dead_code)]
#[path = "end_to_end/common/mod.rs"]
mod common;
#[allow(dead_code, unused_imports)]
#[path = "end_to_end/load/mod.rs"]
mod load;
#[allow(dead_code, unused_imports)]
#[path = "cluster/rig/mod.rs"]
mod rig;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{scope, spawn};

use rustix::process::{Pid, Signal, kill_process};

use common::PASSWORD;
use common::server::{SERVER, TestServer};
use rig::Cluster;

const CLIENT: &str = env!("CARGO_BIN_EXE_client");

/// A client of the server at `server`, with nothing of this process's environment that it would
/// listen to.
fn client(server: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    for variable in ["LASTWORD_USER", "HOME", "XDG_STATE_HOME"] {
        command.env_remove(variable);
    }
    command
        .args(arguments)
        .env("LASTWORD_SERVER", server.to_string())
        .env("LASTWORD_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(server: SocketAddr, arguments: &[&str]) -> Output {
    client(server, arguments).output().unwrap()
}

/// Runs it with this on its standard input.
fn run_with(server: SocketAddr, arguments: &[&str], input: &str) -> Output {
    let mut child = client(server, arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    scope(|scope| {
        // It may end before it has read everything.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    })
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal ended it")
}

fn shown(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn error(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn objects(output: &Output) -> Vec<serde_json::Value> {
    let lines = shown(output).lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// A server with the accounts alice and bob.
fn server() -> TestServer {
    let server = TestServer::start();
    for name in ["alice", "bob"] {
        server.text().create(name);
    }
    server
}

/// The texts of all messages that an account has, in their order.
fn texts(server: &TestServer, name: &str) -> Vec<String> {
    let output = run(server.address(), &["--user", name, "log", "--json"]);
    assert_eq!(code(&output), 0, "{}", error(&output));
    let text = |object: &serde_json::Value| object["text"].as_str().unwrap().to_owned();
    objects(&output).iter().map(text).collect()
}

/// How many messages would come again.
fn unread(server: &TestServer, name: &str) -> usize {
    server.text().login_unread(name).len()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

const SEND_LINES: [&str; 5] = ["--user", "alice", "send", "bob", "-"];

#[test]
fn a_hundred_thousand_lines_are_sent_in_their_order_and_counted() {
    const LINES: usize = 100_000;
    let server = server();
    let lines: Vec<String> = (1..=LINES).map(|line| line.to_string()).collect();
    let output = run_with(server.address(), &SEND_LINES, &lines.join("\n"));
    assert_eq!((code(&output), error(&output)), (0, ""));
    let count = shown(&output).strip_prefix("100000 sent, last id ");
    assert!(count.is_some(), "{}", shown(&output));
    assert!(texts(&server, "bob") == lines, "not what was sent");
}

#[test]
fn lines_that_cannot_be_sent_are_told_by_their_numbers_and_the_others_are_sent() {
    let server = server();
    let mut input = b"one\n\n\xff\xfe\n".to_vec();
    input.extend(vec![b'x'; 17 * 1024]);
    input.extend(b"\n");
    input.extend(vec![b'y'; 40 * 1024]);
    input.extend(b"\nsix \\n\n");
    let mut send = client(server.address(), &SEND_LINES)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    send.stdin.take().unwrap().write_all(&input).unwrap();
    let output = send.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(shown(&output).starts_with("2 sent, last id "));
    let told: Vec<&str> = error(&output).lines().collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("line 3 was refused") && told[0].contains("(not_utf8)"));
    assert!(told[1].contains("line 4 was refused") && told[1].contains("(too_long)"));
    assert!(told[1].ends_with(&format!(": {}…", "x".repeat(40))));
    assert!(told[2].contains("line 5 was refused") && told[2].contains("(too_long)"));
    // Nothing is made of a backslash.
    assert_eq!(texts(&server, "bob"), ["one", "six \\n"]);

    // Nobody of this name: the rest is not read.
    let nobody = ["--user", "alice", "send", "--json", "nobody", "-"];
    let output = run_with(server.address(), &nobody, &"hi\n".repeat(10_000));
    assert_eq!(code(&output), 1);
    let objects = objects(&output);
    assert_eq!(objects[0]["error"], "no_such_account");
    let last = objects.last().unwrap();
    assert_eq!(last["acknowledged"], 0);
    assert_eq!(last["refused"], objects.len() - 1);
    assert!(last["unread_from_line"].as_u64().unwrap() <= 10_000);

    let output = run_with(server.address(), &SEND_LINES, "");
    assert_eq!((code(&output), shown(&output)), (0, "0 sent\n"));
}

#[test]
fn ctrl_c_in_the_middle_tells_the_truth() {
    let server = server();
    let mut reader = server.account("carol");
    let arguments = ["--user", "alice", "send", "carol", "-"];
    let mut child = client(server.address(), &arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let typist = spawn(move || while input.write_all(b"again and again\n").is_ok() {});
    // It is well under way.
    for _ in 0..1000 {
        reader.line().unwrap();
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    typist.join().unwrap();
    assert_eq!(code(&output), 130, "{}", error(&output));
    let sent = texts(&server, "carol").len();
    let told = shown(&output);
    assert!(
        told.starts_with(&format!("{sent} sent, last id ")),
        "{sent}: {told}"
    );
    let rest = format!(
        "client: line {} and what follows it were not sent\n",
        sent + 1
    );
    assert_eq!(error(&output), rest);
}

#[test]
fn who_reads_one_line_and_leaves_ends_the_watching_at_once() {
    let server = server();
    let mut alice = server.text();
    alice.login("alice");
    for text in ["one", "two"] {
        alice.send("bob", text);
    }
    let mut watch = client(server.address(), &["--user", "bob", "watch", "--json"])
        .spawn()
        .unwrap();
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    assert!(first.ends_with("\"text\":\"one\"}\n"), "{first}");
    // No further message comes, and it does not wait for one.
    drop(output);
    let output = watch.wait_with_output().unwrap();
    assert_eq!((code(&output), error(&output)), (141, ""));

    // What was read does not come again, and what was not, does.
    for arguments in [&["--count", "1", "--no-ack"][..], &["--count", "1"]] {
        let mut words = vec!["--user", "bob", "watch", "--json"];
        words.extend(arguments);
        let output = run(server.address(), &words);
        assert_eq!((code(&output), error(&output)), (0, ""));
        assert_eq!(objects(&output)[0]["text"], "two");
    }
    assert_eq!(unread(&server, "bob"), 0);
}

#[test]
fn a_full_disk_ends_the_watching_and_nothing_counts_as_read() {
    let server = server();
    let mut alice = server.text();
    alice.login("alice");
    alice.send("bob", "one");
    let output = client(server.address(), &["--user", "bob", "watch"])
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert!(
        error(&output).contains("standard output cannot be written"),
        "{}",
        error(&output)
    );
    assert_eq!(unread(&server, "bob"), 1);
    // What changes something is done all the same, and its exit code says that something is wrong.
    let output = client(server.address(), &["--user", "alice", "send", "bob", "two"])
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert_eq!(texts(&server, "bob"), ["one", "two"]);
}

#[test]
fn ctrl_c_ends_the_watching_after_what_was_written_is_acknowledged() {
    let server = server();
    let mut alice = server.text();
    alice.login("alice");
    alice.send("bob", "one");
    let mut watch = client(server.address(), &["--user", "bob", "watch"])
        .spawn()
        .unwrap();
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.ends_with(" alice: one\n"), "{line}");
    signal(&watch, Signal::INT);
    assert_eq!(output.read_line(&mut line).unwrap(), 0);
    assert_eq!(watch.wait().unwrap().code(), Some(130));
    assert_eq!(unread(&server, "bob"), 0);
}

#[test]
fn what_is_refused_gives_1_and_a_sentence() {
    let server = server();
    let refused: [(&[&str], &str, &str); 5] = [
        (
            &["--user", "nobody", "watch"],
            "",
            "(bad_login); look at --user and the password",
        ),
        (
            &["--user", "nobody", "send", "bob", "-"],
            "hi\n",
            "(bad_login); look at --user and the password",
        ),
        (
            &["--user", "nobody", "list"],
            "",
            "(bad_login); look at --user and the password",
        ),
        (
            &["create", "alice"],
            "",
            "this name is taken; choose another (name_taken)",
        ),
        (
            &["--user", "alice", "send", "nobody", "hi"],
            "",
            "(no_such_account)",
        ),
    ];
    for (arguments, input, sentence) in refused {
        let output = run_with(server.address(), arguments, input);
        assert_eq!(code(&output), 1, "{arguments:?}");
        assert!(error(&output).contains(sentence), "{}", error(&output));
    }
    // An account that is deleted while somebody watches.
    let mut watch = client(server.address(), &["--user", "bob", "watch"])
        .spawn()
        .unwrap();
    let mut alice = server.text();
    alice.login("alice");
    alice.send("bob", "here?");
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let output = run(server.address(), &["--user", "bob", "delete"]);
    assert_eq!((code(&output), shown(&output)), (0, "deleted bob\n"));
    let output = watch.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(
        error(&output).contains("bob is not logged in any more"),
        "{}",
        error(&output)
    );
}

/// What everybody tries who wants something, one after the other.
const WISHES: [&[&str]; 6] = [
    &["--user", "alice", "send", "bob", "hi"],
    &["--user", "alice", "send", "bob", "-"],
    &["--user", "alice", "list"],
    &["--user", "alice", "watch"],
    &["create", "alice"],
    &["status"],
];

#[test]
fn where_no_server_is_each_command_gives_3_and_says_what_it_met() {
    // Nobody; one that never says anything; one that speaks something else.
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let met = [
        (nobody, "nothing listens there"),
        (silent.local_addr().unwrap(), "said nothing for"),
        (
            stranger.local_addr().unwrap(),
            "does not answer as a Lastword server does",
        ),
    ];
    spawn(move || {
        // Until the test ends.
        let mut connections = Vec::new();
        while let Ok((mut connection, _)) = stranger.accept() {
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            connections.push(connection);
        }
    });
    scope(|scope| {
        for (server, sentence) in met {
            for wish in WISHES {
                scope.spawn(move || {
                    let mut words = vec!["--timeout", "1.5"];
                    words.extend(wish);
                    let output = run_with(server, &words, "hi\n");
                    let error = error(&output);
                    assert_eq!(code(&output), 3, "{wish:?}: {error}");
                    assert!(error.contains("no server has served for 1.5 s"), "{error}");
                    assert!(error.contains(&format!("{server}: ")), "{error}");
                    assert!(error.contains(sentence), "{wish:?}: {error}");
                    assert!(error.contains("--server"), "{error}");
                });
            }
        }
    });
    drop(silent);
}

#[test]
fn a_cluster_that_is_not_ready_gives_3_and_says_what_to_start() {
    let mut cluster = Cluster::to_be_started(1, &[]);
    cluster[0].start_as_primary();
    cluster[0].until("waits", |status| status.role == "primary");
    let server = cluster.service();
    scope(|scope| {
        // Whoever asks how it is gets an answer.
        for wish in &WISHES[..WISHES.len() - 1] {
            scope.spawn(move || {
                let mut words = vec!["--timeout", "1"];
                words.extend(*wish);
                let output = run_with(server, &words, "hi\n");
                let error = error(&output);
                assert_eq!(code(&output), 3, "{wish:?}: {error}");
                assert!(
                    error.contains("waiting for 2 more backups; start `server "),
                    "{error}"
                );
            });
        }
    });
    let output = run(server, &["status"]);
    assert_eq!(code(&output), 0);
    let said = shown(&output);
    assert!(
        said.starts_with("clients are not let in here: waiting for 2 more backups\n"),
        "{said}"
    );
    assert!(said.contains("what to do: start `server "), "{said}");
    let object = &objects(&run(server, &["status", "--json"]))[0];
    assert_eq!(object["ready"], false);
    assert!(
        object["remedy"]
            .as_str()
            .unwrap()
            .starts_with("start `server ")
    );
}

#[test]
fn watching_and_sending_go_on_when_the_primary_dies_and_any_server_says_how_it_is() {
    let mut cluster = Cluster::of_three();
    drop(cluster.account("alice"));
    drop(cluster.account("bob"));
    let service = cluster.service();

    // A backup answers, too.
    let output = run(cluster[1].member(), &["status", "--json"]);
    assert_eq!(code(&output), 0);
    let object = &objects(&output)[0];
    assert_eq!(
        (&object["role"], &object["ready"]),
        (&"backup".into(), &false.into())
    );
    assert_eq!(object["members"].as_array().unwrap().len(), 3);
    let output = run(service, &["status"]);
    assert!(shown(&output).starts_with("clients are let in; 3 of 3 servers in sync\n"));

    let mut watch = client(
        service,
        &["--user", "bob", "watch", "--count", "100", "--json"],
    )
    .spawn()
    .unwrap();
    let mut watched = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut send = client(service, &SEND_LINES)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = send.stdin.take().unwrap();
    let mut next = |expected: usize| {
        let line = watched.next().expect("it goes on").unwrap();
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["text"], expected.to_string());
    };
    for message in 0..100 {
        if message == 50 {
            next(0);
            cluster[0].kill();
        }
        writeln!(input, "{message}").unwrap();
    }
    drop(input);
    (1..100).for_each(&mut next);
    let sent = send.wait_with_output().unwrap();
    assert_eq!((code(&sent), error(&sent)), (0, ""));
    assert!(shown(&sent).starts_with("100 sent, last id "));
    let watch = watch.wait_with_output().unwrap();
    assert_eq!(code(&watch), 0, "{}", error(&watch));
    cluster.assert_well();

    // Nobody is left: the watching ends.
    let mut watch = client(service, &["--timeout", "1", "--user", "bob", "watch"])
        .spawn()
        .unwrap();
    let mut alice = cluster.login("alice");
    alice.send("bob", "the last one");
    let mut line = String::new();
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(line.ends_with(" alice: the last one\n"), "{line}");
    cluster[1].kill();
    cluster[2].kill();
    let watch = watch.wait_with_output().unwrap();
    assert_eq!(code(&watch), 3);
    assert!(
        error(&watch).contains("no server has served for 1 s"),
        "{}",
        error(&watch)
    );
}

#[test]
fn the_status_is_told_each_second_until_nobody_reads_it() {
    let server = TestServer::start();
    let mut watch = client(server.address(), &["status", "--watch", "--json"])
        .spawn()
        .unwrap();
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    for _ in 0..2 {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["ready"], true);
        assert_eq!(object["answered_by"], server.address().to_string());
    }
    drop(output);
    let output = watch.wait_with_output().unwrap();
    assert_eq!((code(&output), error(&output)), (141, ""));
}

#[test]
fn shells_understand_the_completions_and_manual_pages_are_whole() {
    for program in [CLIENT, SERVER] {
        let tell = |arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert_eq!((code(&output), error(&output)), (0, ""), "{arguments:?}");
            output
        };
        let mut bash = Command::new("bash")
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let script = tell(&["completions", "bash"]);
        assert!(shown(&script).contains("--"), "no option is completed");
        bash.stdin
            .take()
            .unwrap()
            .write_all(&script.stdout)
            .unwrap();
        let checked = bash.wait_with_output().unwrap();
        assert_eq!((code(&checked), error(&checked)), (0, ""));
        for shell in ["zsh", "fish", "elvish", "powershell"] {
            assert!(!tell(&["completions", shell]).stdout.is_empty());
        }
        let manual = tell(&["man"]);
        for title in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "EXIT STATUS",
            "ENVIRONMENT",
            "EXAMPLES",
            "FILES",
        ] {
            let heading = [format!(".SH {title}\n"), format!(".SH \"{title}\"\n")];
            let is_there = heading.iter().any(|it| shown(&manual).contains(it));
            assert!(is_there, "{program}: no {title}");
        }
        let wrong = Command::new(program)
            .args(["completions", "tea"])
            .output()
            .unwrap();
        assert_eq!(code(&wrong), 2);
    }
    let manual = Command::new(CLIENT).arg("man").output().unwrap();
    for option in ["watch [", "completions", "\\-\\-password\\-file"] {
        assert!(shown(&manual).contains(option), "no {option}");
    }
}

/// Prompts, and what is typed at each.
type Typed = &'static [(&'static str, &'static str)];

/// Runs a command at a terminal of its own, types, and answers what is seen there.
fn at_a_terminal(command: &str, typed: Typed) -> Option<String> {
    let mut terminal = match Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .env_remove("LASTWORD_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        Ok(terminal) => terminal,
        Err(error) => {
            println!("skipped: there is no terminal to be had (script: {error})");
            return None;
        }
    };
    let mut input = terminal.stdin.take().unwrap();
    let mut output = terminal.stdout.take().unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    for (prompt, keys) in typed {
        while !seen.ends_with(prompt.as_bytes()) {
            let said = String::from_utf8_lossy(&seen).into_owned();
            assert_eq!(output.read(&mut byte).unwrap(), 1, "no {prompt:?}: {said}");
            seen.push(byte[0]);
        }
        input.write_all(keys.as_bytes()).unwrap();
    }
    output.read_to_end(&mut seen).unwrap();
    terminal.wait().unwrap();
    Some(String::from_utf8(seen).unwrap())
}

#[test]
fn ctrl_c_at_a_prompt_gives_130_and_the_terminal_back() {
    let prompts: [(&str, Typed, &str); 5] = [
        // Who answers goes on, and is not answered here.
        (
            "--timeout 0.2 --user bob list",
            &[("password of bob: ", "correct-horse\n")],
            "code 3",
        ),
        (
            "--user bob list",
            &[("password of bob: ", "\u{3}")],
            "code 130",
        ),
        (
            "--user bob watch",
            &[("password of bob: ", "half a \u{3}")],
            "code 130",
        ),
        (
            "--user bob send alice -",
            &[("password of bob: ", "\u{3}")],
            "code 130",
        ),
        (
            "create bob",
            &[
                ("new password for bob: ", "correct-horse\n"),
                ("the same again: ", "\u{3}"),
            ],
            "code 130",
        ),
    ];
    for (arguments, typed, code) in prompts {
        // Nobody is asked anything: the server need not be there.
        let command =
            format!("trap : INT; {CLIENT} --server 127.0.0.1:1 {arguments}; echo code $?; stty -a");
        let Some(seen) = at_a_terminal(&command, typed) else {
            return;
        };
        assert!(seen.contains(code), "{seen}");
        assert!(
            seen.contains(" echo ") && !seen.contains(" -echo "),
            "{seen}"
        );
        assert!(!seen.contains("correct-horse"), "{seen}");
    }
}
