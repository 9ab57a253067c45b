//! How is a server, and whom does it know? What STATUS says, asked on a connection of its own and
//! without patience: a server that is stopped or gone has no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server that is well may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a server says of itself and of the others.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its id; `None` as long as it has none.
    pub server: Option<u16>,
    /// `primary`, `backup`, `learner` or `waiting`.
    pub role: String,
    pub view: u64,
    pub commit: u64,
    /// Its own address.
    pub member: SocketAddr,
    /// The primary, if it knows one.
    pub primary: Option<(u16, SocketAddr)>,
    /// All servers that it knows, by their ids.
    pub members: BTreeMap<u16, MemberStatus>,
    /// Whether it lets clients in, or why not.
    pub ready: Result<(), String>,
}

/// What a server says of one that it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// `in-sync`, `catching-up`, `down` or `unknown`.
    pub state: String,
    pub address: SocketAddr,
}

impl Status {
    /// Asks at this address; `None` when nobody answers in time.
    pub fn ask(address: SocketAddr) -> Option<Self> {
        Self::ask_within(address, PATIENCE)
    }

    /// The same, with another patience.
    pub fn ask_within(address: SocketAddr, patience: Duration) -> Option<Self> {
        let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.write_all(b"STATUS\n").ok()?;
        let mut lines = Vec::new();
        for line in BufReader::new(stream).lines() {
            let line = line.ok()?;
            match line.strip_prefix("* ") {
                Some(rest) => lines.push(rest.to_string()),
                None if line == "OK" => return Some(Self::parse(&lines)),
                // A greeting, on a machine where a second is not long.
                None if line.starts_with("NOTE ") => {}
                None => return None,
            }
        }
        None
    }

    /// Whether it is the primary and lets clients in.
    pub fn serves(&self) -> bool {
        self.role == "primary" && self.ready.is_ok()
    }

    /// The ids of those that are in sync.
    pub fn in_sync(&self) -> BTreeSet<u16> {
        let in_sync =
            |(id, member): (&u16, &MemberStatus)| (member.state == "in-sync").then_some(*id);
        self.members.iter().filter_map(in_sync).collect()
    }

    /// How it sees a server; `unknown` also for one that it has never heard of.
    pub fn state_of(&self, server: u16) -> &str {
        let member = self.members.get(&server);
        member.map_or("unknown", |member| &member.state)
    }

    /// The lines as text-mode.md promises them; those that are not known are no matter.
    fn parse(lines: &[String]) -> Self {
        let first: Vec<&str> = lines[0].split(' ').collect();
        let after = |word: &str| {
            let place = first.iter().position(|it| *it == word);
            first[place.unwrap_or_else(|| panic!("no {word} in {first:?}")) + 1]
        };
        let mut status = Self {
            server: after("server").parse().ok(),
            role: first[2].to_string(),
            view: number(after("view")),
            commit: number(after("commit")),
            member: address(after("member")),
            primary: None,
            members: BTreeMap::new(),
            ready: Err("no line tells".into()),
        };
        for line in &lines[1..] {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["primary", "unknown"] => {}
                ["primary", id, at] => status.primary = Some((number(id) as u16, address(at))),
                ["member", id, state, at, ..] => {
                    let state = state.to_string();
                    let address = address(at);
                    let member = MemberStatus { state, address };
                    status.members.insert(number(id) as u16, member);
                }
                ["ready", "yes"] => status.ready = Ok(()),
                ["ready", "no", ..] => status.ready = Err(words[2..].join(" ")),
                _ => {}
            }
        }
        status
    }
}

fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("{word:?} is no number"))
}

fn address(word: &str) -> SocketAddr {
    word.parse()
        .unwrap_or_else(|_| panic!("{word:?} is no address"))
}
