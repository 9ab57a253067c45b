//! What does somebody see who sits at the real client? It runs in line mode, its commands come from
//! the test, and what it writes is kept and understood.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::common::PASSWORD;
use crate::common::eventually;
use crate::common::server::wait_for;

/// The client's process, and everything that it has shown.
pub struct Person {
    pub name: String,
    child: Child,
    types: Option<ChildStdin>,
    shown: Arc<Mutex<Shown>>,
    readers: Vec<JoinHandle<()>>,
    /// How many messages were typed.
    pub typed: usize,
}

/// What the client has shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The ids of the messages of which it has said that they are sent, in its order.
    pub sent: Vec<u64>,
    /// The messages that came: from whom, and the text.
    pub came: Vec<(String, String)>,
    /// Everything else, on both ways.
    pub rest: Vec<String>,
}

impl Person {
    /// Somebody with an account, at a client that knows this one server.
    pub fn at(server: SocketAddr, name: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_client"))
            .args(["--server", &server.to_string(), "--user", name])
            .env("LASTWORD_PASSWORD", PASSWORD)
            .env_remove("HOME")
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client can be run");
        let shown = Arc::new(Mutex::new(Shown::default()));
        let out = read(child.stdout.take().expect("it is piped"), &shown);
        let error = read(child.stderr.take().expect("it is piped"), &shown);
        let person = Self {
            name: name.to_owned(),
            types: child.stdin.take(),
            child,
            shown,
            readers: vec![out, error],
            typed: 0,
        };
        eventually(&format!("{name} is logged in"), || {
            let shown = person.shown();
            let mut rest = shown.rest.iter();
            rest.any(|line| line.starts_with("you are ")).then_some(())
        });
        person
    }

    /// Types a message.
    pub fn send(&mut self, to: &str, text: &str) {
        let types = self.types.as_mut().expect("the input is open");
        writeln!(types, "SEND {to} {text}").expect("the client reads what is typed");
        self.typed += 1;
    }

    /// What was shown so far.
    pub fn shown(&self) -> Shown {
        self.shown.lock().expect("no panic").clone()
    }

    /// How many messages have no answer yet.
    pub fn waiting(&self) -> usize {
        self.typed - self.shown.lock().expect("no panic").sent.len()
    }

    /// The input ends, and the client with it.
    pub fn leave(mut self) -> (ExitStatus, Shown) {
        self.types = None;
        let status = wait_for(&mut self.child).expect("the client ends with its input");
        for reader in self.readers.drain(..) {
            reader.join().expect("no panic");
        }
        let shown = self.shown();
        (status, shown)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // After a failure it may still run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(output: impl std::io::Read + Send + 'static, shown: &Arc<Mutex<Shown>>) -> JoinHandle<()> {
    let shown = Arc::clone(shown);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            shown.lock().expect("no panic").take(line);
        }
    })
}

impl Shown {
    fn take(&mut self, line: String) {
        if let Some(id) = line.strip_prefix("sent, id ") {
            self.sent.push(id.parse().expect("an id is a number"));
        } else if let Some((from, text)) = message(&line) {
            self.came.push((from.to_owned(), text.to_owned()));
        } else {
            self.rest.push(line);
        }
    }
}

/// `14:03 alice: hi`
fn message(line: &str) -> Option<(&str, &str)> {
    let (clock, rest) = line.split_once(' ')?;
    let (hours, minutes) = clock.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.chars().all(|it| it.is_ascii_digit());
    (is_number(hours) && is_number(minutes)).then_some(())?;
    rest.split_once(": ")
}
