//! What does a script do that has no request numbers? It notes what was acknowledged, and after a
//! crash sends something else: what was open may be there or not, but not twice.

use std::collections::VecDeque;

use crate::common::text::TextClient;
use crate::common::{PASSWORD, eventually};

use super::{Finder, Ledger, OPEN, TEXT_NAMES};

/// How a server begins its answer when it does not lead, or not any more.
const ELSEWHERE: [&str; 4] = [
    "ERR not_primary ",
    "ERR not_ready ",
    "ERR unknown_outcome ",
    "ERR shutting_down ",
];

/// Sends until the ledger says stop.
pub fn run(finder: &Finder, name: &'static str, ledger: &Ledger) {
    let mut next = 0;
    loop {
        let mut client = eventually("a login after a crash", || logged_in(finder, name));
        if send(&mut client, name, &mut next, ledger).is_some() {
            return;
        }
    }
}

fn logged_in(finder: &Finder, name: &str) -> Option<TextClient> {
    let mut client = finder.text()?;
    let answer = client.try_ask(&format!("LOGIN {name} {PASSWORD}"))?;
    answer.last.starts_with("OK ").then_some(client)
}

/// Everything over one connection; `None` if it ended too early.
fn send(client: &mut TextClient, name: &str, next: &mut u64, ledger: &Ledger) -> Option<()> {
    let to = TEXT_NAMES.into_iter().find(|other| *other != name);
    let to = to.expect("another one");
    let mut open: VecDeque<String> = VecDeque::new();
    loop {
        while ledger.goes_on() && open.len() < OPEN {
            let text = format!("{name} {next}");
            *next += 1;
            client
                .try_say_bytes(format!("SEND {to} {text}\n").as_bytes())
                .ok()?;
            open.push_back(text);
        }
        let Some(text) = open.pop_front() else {
            return Some(());
        };
        let last = client.try_answer()?.last;
        // It may be there or not; where it is asked for again is another matter.
        if ELSEWHERE.iter().any(|code| last.starts_with(code)) {
            return None;
        }
        let id = last.strip_prefix("OK ").and_then(|id| id.parse().ok());
        let id = id.unwrap_or_else(|| panic!("{name} got {last:?} for {text:?}"));
        ledger.sent(id, name, to, &text);
        ledger.pause();
        // One of the two says what it has read.
        if name == TEXT_NAMES[1]
            && let Some(message) = client.pushed().last()
        {
            client
                .try_say_bytes(format!("ACK {}\n", message.id).as_bytes())
                .ok()?;
            // The answers of what was sent ahead come first.
            while let Some(text) = open.pop_front() {
                let last = client.try_answer()?.last;
                if let Some(id) = last.strip_prefix("OK ").and_then(|id| id.parse().ok()) {
                    ledger.sent(id, name, to, &text);
                }
            }
            if client.try_answer()?.last == "OK" {
                ledger.read(name, message.id);
            }
        }
    }
}
