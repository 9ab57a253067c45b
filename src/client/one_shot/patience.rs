//! How long is a server waited for, and what is said when it comes to nothing?

use std::net::SocketAddr;
use std::time::Duration;

use super::super::event::Ending;
use super::super::failover::Change;
use super::super::show::escape_line;
use crate::types::Time;

/// The waiting of a command for answers, and what it has met meanwhile.
#[derive(Debug)]
pub(super) struct Patience {
    time_max: Duration,
    /// When it is over; `None` while nothing is waited for.
    until: Option<Time>,
    /// What came of each server, in the order in which they were met.
    met: Vec<(SocketAddr, String)>,
    /// One of them speaks as a Lastword server does: none has to be started or named first.
    is_there: bool,
}

impl Patience {
    /// Patience that lasts for `time_max`, and has not begun.
    pub fn new(time_max: Duration) -> Self {
        Self {
            time_max,
            until: None,
            met: Vec::new(),
            is_there: false,
        }
    }

    /// Something is waited for from now on, unless it was already.
    pub fn begin(&mut self, now: Time) {
        self.until.get_or_insert(now + self.time_max);
    }

    /// An answer came, and a further one is waited for.
    pub fn begin_again(&mut self, now: Time) {
        self.until = Some(now + self.time_max);
        self.met.clear();
    }

    /// Nothing is waited for any more.
    pub fn end(&mut self) {
        self.until = None;
        self.met.clear();
    }

    /// When it is over.
    pub fn until(&self) -> Option<Time> {
        self.until
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Time) -> bool {
        self.until.is_some_and(|at| at <= now)
    }

    /// Remembers what came of a server: it is told only if it comes to nothing.
    pub fn note(&mut self, change: &Change) {
        match change {
            Change::Up { .. } => self.is_there = true,
            Change::Down { address, why } => {
                let why = match why {
                    Ending::Refused(refusal) => format!("does not serve: {}", refusal.sentence),
                    other => other.to_string(),
                };
                self.meet(*address, &why);
            }
            Change::Waiting { address, sentence } => {
                self.meet(*address, &format!("does not serve yet: {sentence}"));
            }
            Change::Unreachable { tried, .. } => {
                for (address, why) in tried {
                    self.meet(*address, why);
                }
            }
            Change::LoggedOut { .. } => {}
        }
    }

    /// What came of each server, in a few words.
    pub fn met(&self) -> impl Iterator<Item = (SocketAddr, &str)> {
        self.met.iter().map(|(address, why)| (*address, &why[..]))
    }

    /// What is said at its end: sentences, each for a line of its own.
    pub fn complaint(&self) -> Vec<String> {
        let seconds = self.time_max.as_secs_f32();
        let mut lines = vec![format!("no server has served for {seconds} s")];
        for (address, why) in self.met() {
            lines.push(format!("  {address}: {why}"));
        }
        if let Some((address, _)) = self.met.first()
            && !self.is_there
        {
            let (ip, port) = (address.ip(), address.port());
            lines.push(format!(
                "start one (./server {ip} {port} 1), or name another with --server: servers that wait for others are \
                 at their own addresses alone"
            ));
        }
        lines
    }

    fn meet(&mut self, address: SocketAddr, why: &str) {
        let why = escape_line(why);
        match self.met.iter_mut().find(|(known, _)| *known == address) {
            Some((_, known)) => *known = why,
            None => self.met.push((address, why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::scripted::seconds;
    use super::*;
    use crate::types::ErrorCode;
    use crate::wire::message::Refusal;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn it_lasts_as_long_as_it_was_told_from_the_first_wish_or_the_last_answer() {
        let mut patience = Patience::new(Duration::from_secs(10));
        assert_eq!(patience.until(), None);
        assert!(!patience.is_over(seconds(1000)));
        patience.begin(seconds(1));
        patience.begin(seconds(5));
        assert_eq!(patience.until(), Some(seconds(11)));
        patience.begin_again(seconds(5));
        assert!(!patience.is_over(seconds(14)));
        assert!(patience.is_over(seconds(15)));
        patience.end();
        assert!(!patience.is_over(seconds(15)));
    }

    #[test]
    fn the_last_word_of_each_server_is_told_and_none_is_left_out() {
        let mut patience = Patience::new(Duration::from_millis(300));
        patience.note(&Change::Unreachable {
            tried: vec![
                (address(1), "nothing listens there".into()),
                (address(2), "closed the connection\u{1b}[2J".into()),
            ],
            pause: Duration::ZERO,
        });
        let nobody = patience.complaint();
        assert_eq!(nobody[0], "no server has served for 0.3 s");
        assert_eq!(nobody[1], "  127.0.0.1:1: nothing listens there");
        assert_eq!(nobody[2], "  127.0.0.1:2: closed the connection\\u{1b}[2J");
        assert!(nobody[3].contains("--server"));

        patience.note(&Change::Up {
            address: address(2),
            server: crate::types::ServerId(2),
            view: crate::types::ViewNumber(0),
            software: String::new(),
            without: None,
        });
        let refusal = Refusal::new(ErrorCode::NotPrimary, "127.0.0.1:1 is the primary");
        patience.note(&Change::Down {
            address: address(2),
            why: Ending::Refused(refusal),
        });
        patience.note(&Change::Waiting {
            address: address(3),
            sentence: "waiting for 1 more backup".into(),
        });
        assert_eq!(
            patience.complaint()[1..],
            [
                "  127.0.0.1:1: nothing listens there",
                "  127.0.0.1:2: does not serve: 127.0.0.1:1 is the primary",
                "  127.0.0.1:3: does not serve yet: waiting for 1 more backup",
            ]
        );
    }
}
