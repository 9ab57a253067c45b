//! Do the project's documents tell the truth? What they show is replayed against a server.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use lastword::wire::frame::MAGIC;

use crate::common::PATIENCE;
use crate::common::server::TestServer;
use crate::common::text::TextClient;

/// A fenced block of a document: what stands behind its fence, and its lines.
struct Block {
    tag: String,
    lines: Vec<String>,
}

fn blocks(document: &str) -> Vec<Block> {
    let path = format!("{}/{document}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(tag) => {
                inside = true;
                blocks.push(Block {
                    tag: tag.trim().to_string(),
                    lines: Vec::new(),
                });
            }
            None if inside => {
                let block = blocks.last_mut().expect("a fence came before");
                block.lines.push(line.to_string());
            }
            None => {}
        }
    }
    blocks
}

/// The bytes of a dump; `None` for one that differs each time, written as two dots. What stands
/// behind a `#` is for people.
fn bytes(block: &Block) -> Vec<Option<u8>> {
    let code = block
        .lines
        .iter()
        .map(|line| line.split('#').next().unwrap_or_default());
    let words = code.flat_map(str::split_whitespace);
    let byte = |word: &str| match word {
        ".." => None,
        _ => Some(u8::from_str_radix(word, 16).unwrap_or_else(|e| panic!("{word:?}: {e}"))),
    };
    words.map(byte).collect()
}

#[test]
fn the_dumps_of_proto_md_are_what_a_server_says() {
    let server = TestServer::start();
    let mut connection: Option<TcpStream> = None;
    let (mut asked, mut answered) = (0, 0);
    for block in blocks("proto.md") {
        match block.tag.as_str() {
            "hex request" => {
                let dump = bytes(&block);
                let request: Vec<u8> = dump
                    .into_iter()
                    .map(|byte| byte.expect("requests are whole"))
                    .collect();
                // A hello begins a connection.
                if request.starts_with(&[MAGIC, 1, 0, 1]) {
                    let stream = TcpStream::connect(server.address()).expect("a connection");
                    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                    connection = Some(stream);
                }
                let stream = connection.as_mut().expect("a hello comes first");
                stream
                    .write_all(&request)
                    .expect("the server takes the bytes");
                asked += 1;
            }
            "hex answer" => {
                let expected = bytes(&block);
                let mut answer = vec![0; expected.len()];
                let stream = connection.as_mut().expect("a request comes first");
                let came = stream.read_exact(&mut answer);
                came.unwrap_or_else(|e| panic!("{e} instead of {:#?}", block.lines));
                let fits = fits(&expected, &answer);
                assert!(fits, "{answer:02x?} is not {:#?}", block.lines);
                answered += 1;
            }
            _ => {}
        }
    }
    assert!(
        asked >= 2 && answered >= 2,
        "proto.md has no dumps to replay"
    );
}

#[test]
fn the_pipe_of_proto_md_can_be_run_twice() {
    let all = blocks("proto.md");
    let command = all
        .iter()
        .find(|block| block.tag == "bash")
        .expect("a command to copy");
    let request = escaped_bytes(&command.lines.join("\n"));
    let dumps = |tag: &str| -> Vec<Option<u8>> {
        all.iter()
            .filter(|block| block.tag == tag)
            .flat_map(bytes)
            .collect()
    };
    let dumped: Option<Vec<u8>> = dumps("hex request").into_iter().collect();
    assert!(
        dumped.as_ref() == Some(&request),
        "the pipe does not say what the dumps say"
    );

    let server = TestServer::start();
    let answers = [(); 2].map(|()| pipe(&server, &request));
    let expected = dumps("hex answer");
    for answer in &answers {
        assert!(
            fits(&expected, answer),
            "{answer:02x?} is not as it is written"
        );
    }
    // The same message has the same id, and there is one of it.
    let id = |answer: &[u8]| answer[answer.len() - 8..].to_vec();
    assert_eq!(id(&answers[0]), id(&answers[1]));
    let log = server.text().login_with("alice", "correct-horse");
    assert_eq!(log.len(), 1);
}

/// The bytes of all `\\x` escapes.
fn escaped_bytes(command: &str) -> Vec<u8> {
    let escapes = command.split("\\x").skip(1);
    let byte = |escape: &str| u8::from_str_radix(&escape[..2], 16).expect("two digits");
    escapes.map(byte).collect()
}

/// Sends bytes and half a close. Answers all that comes.
fn pipe(server: &TestServer, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
        .write_all(request)
        .expect("the server takes the bytes");
    stream.shutdown(Shutdown::Write).expect("half a close");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("an answer, and then the end");
    answer
}

/// Whether these bytes are the expected ones, where those are always the same.
fn fits(expected: &[Option<u8>], bytes: &[u8]) -> bool {
    let mut pairs = expected.iter().zip(bytes);
    expected.len() == bytes.len()
        && pairs.all(|(expected, byte)| expected.is_none_or(|expected| expected == *byte))
}

#[test]
fn the_session_in_the_readme_goes_as_it_is_written() {
    let server = TestServer::start();
    let mut compared = 0;
    for block in blocks("README.md")
        .iter()
        .filter(|block| block.tag == "console")
    {
        let mut lines = block.lines.iter().peekable();
        while let Some(command) = lines.next() {
            let mut below = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                below.push(line.as_str());
            }
            compared += match command
                .strip_prefix("$ ")
                .expect("a block begins with a command")
            {
                command if command.starts_with("nc ") => play(&server, &below),
                command if command.starts_with("printf ") && command.contains("| nc -N") => {
                    play_pipe(&server, command, &below)
                }
                _ => 0,
            };
        }
    }
    assert!(compared >= 5, "README.md has no session to replay");
}

/// Plays both sides of a session: requests are the lines that no server would say.
fn play(server: &TestServer, lines: &[&str]) -> usize {
    let mut client = server.text();
    let mut compared = 0;
    for line in lines {
        let word = line.split(' ').next().unwrap_or_default();
        if ["*", "MSG", "NOTE", "OK", "ERR"].contains(&word) {
            let said = client.line().expect("an answer, and not the end");
            assert_eq!(without_time(&said), without_time(line));
            compared += 1;
        } else {
            client.say(line);
        }
    }
    compared
}

/// Plays `printf 'requests' | nc -N address port`.
fn play_pipe(server: &TestServer, command: &str, lines: &[&str]) -> usize {
    let requests = command.split('\'').nth(1).expect("requests between quotes");
    let mut client = TextClient::connect(server.address());
    client.say_bytes(requests.replace("\\n", "\n").as_bytes());
    client
        .stream()
        .shutdown(Shutdown::Write)
        .expect("half a close");
    let said: Vec<String> = client
        .until_closed()
        .iter()
        .map(|line| without_time(line))
        .collect();
    let written: Vec<String> = lines.iter().map(|line| without_time(line)).collect();
    assert_eq!(said, written, "{command}");
    lines.len()
}

/// A message's time is never twice the same, and its id and that of a SEND are the number of an
/// op, of which a server may make some for itself.
fn without_time(line: &str) -> String {
    let words: Vec<&str> = line.splitn(6, ' ').collect();
    match words[..] {
        ["MSG", _, _, from, to, text] => format!("MSG ID TIME {from} {to} {text}"),
        ["OK", number] if number.parse::<u64>().is_ok() => "OK NUMBER".to_string(),
        _ => line.to_string(),
    }
}
