//! For how long is nobody answered when the primary is killed?
//!
//! The client that measures it is the one that everybody has, with its sockets and its patience: what
//! it waits for, every user of it waits for. It sends one message after the other, the next when one
//! is acknowledged, from the moment at which the command is started that kills the primary. The *gap*
//! is the time from the last acknowledgement by the server that was killed (or from the start of the
//! command, if there was none since) to the first one by a server that serves then. So however long the
//! command takes to do its work, that does not count, and what is measured is too long by no more than
//! what one message takes on a day like any other.
//!
//! Nothing is killed before all servers are in sync, and in the end the log of the account has to show
//! every message that was acknowledged, under its id, once, and nothing else.

mod command;
mod record;
mod rounds;

use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use self::rounds::Rounds;
use super::entrance::random_bits;
use crate::client::driver::{Reads, run};
use crate::client::failover::Settings;
use crate::types::ServerId;
use crate::wire::message::Refusal;

pub use self::command::{MEMBER_VARIABLE, PROCESS_VARIABLE, SERVER_VARIABLE, Which};

/// Most kills in a row.
pub const TIMES_MAX: u32 = 10_000;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Failover {
    /// Where the client looks for the cluster, at least one; it learns the others.
    pub servers: Vec<SocketAddr>,
    /// The shell command that kills the primary. Its environment says who that is:
    /// [`SERVER_VARIABLE`], [`MEMBER_VARIABLE`] and, if it runs on this machine,
    /// [`PROCESS_VARIABLE`].
    pub kill: String,
    /// The shell command that starts it again, with the same environment but the process. Without one the
    /// primary can be killed as often as there are others in sync.
    pub restart: Option<String>,
    /// How often, 1 to [`TIMES_MAX`].
    pub times: u32,
    /// Whether the account that is made for it stays, and its messages with it.
    pub keep: bool,
}

/// What came of one kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// From the last acknowledgement before it to the first behind it.
    pub time: Duration,
    /// Who was killed.
    pub from: ServerId,
    /// Who has acknowledged then.
    pub to: ServerId,
}

/// What came of all kills.
#[derive(Clone, Debug)]
pub struct Gaps {
    /// One by one.
    pub each: Vec<Gap>,
    /// Messages that were acknowledged: each of them was looked up.
    pub checked: u64,
}

impl Gaps {
    /// The one in the middle; of two in the middle the longer one.
    pub fn median(&self) -> Duration {
        let mut times: Vec<Duration> = self.each.iter().map(|gap| gap.time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// The longest one.
    pub fn worst(&self) -> Duration {
        let times = self.each.iter().map(|gap| gap.time);
        times.max().unwrap_or_default()
    }
}

/// Why there is no figure. What was measured before is lost, but for what was told.
#[derive(Debug, thiserror::Error)]
pub enum FailoverError {
    /// Nobody serves, and nobody was asked to kill anything yet.
    #[error(
        "{0}; is the cluster running there? On one machine, scripts/cluster start starts three servers"
    )]
    NobodyServes(String),
    /// A request was refused.
    #[error("{what} was refused: {} ({})", refusal.sentence, refusal.code.word())]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Why not.
        refusal: Refusal,
    },
    /// There is nobody who could take over.
    #[error(
        "only server {0} is in sync, and nobody could take over from it: nothing was killed; start others first, and look with STATUS whether they are in sync"
    )]
    Alone(u16),
    /// There are not enough who could take over.
    #[error(
        "{in_sync} servers are in sync, so that without --restart the primary can be killed {possible} times and not {times}: nothing was killed"
    )]
    TooFew {
        /// How many are in sync.
        in_sync: usize,
        /// How often it can be done.
        possible: usize,
        /// How often it was to be done.
        times: u32,
    },
    /// A command cannot be started.
    #[error("the command of {0} cannot be started: {1}")]
    NotStarted(Which, io::Error),
    /// A command has failed.
    #[error(
        "the command of {which} has failed ({status}); what it said is above, and this is what was run: {command}"
    )]
    CommandFailed {
        /// Which one.
        which: Which,
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A command does not come to its end.
    #[error(
        "the command of {which} has not ended after {} s and was given up; put a server that is to run on into the background: {command}",
        seconds.as_secs()
    )]
    CommandHangs {
        /// Which one.
        which: Which,
        /// What was run.
        command: String,
        /// How long it was waited for.
        seconds: Duration,
    },
    /// The primary is there as before.
    #[error(
        "the command of --kill is done, but server {server} at {member} serves as before: does it kill the server that ${SERVER_VARIABLE} names? It was: {command}"
    )]
    StillServes {
        /// Who was to be killed.
        server: u16,
        /// Where it is.
        member: SocketAddr,
        /// What was run.
        command: String,
    },
    /// Nobody has acknowledged anything since.
    #[error(
        "nothing has been acknowledged for {} s since server {server} was killed: {why}",
        seconds.as_secs()
    )]
    NobodyTookOver {
        /// Who was killed.
        server: u16,
        /// For how long.
        seconds: Duration,
        /// What the client has to say.
        why: String,
    },
    /// The servers have not come together again.
    #[error(
        "{in_sync} servers are in sync and not {wanted} as before, after {} s: does the command of --restart start the one that was killed? Its log says why it is not in sync",
        seconds.as_secs()
    )]
    NotInSync {
        /// How many are.
        in_sync: usize,
        /// How many were.
        wanted: usize,
        /// How long it was waited for.
        seconds: Duration,
    },
    /// What was acknowledged and what is there differ.
    #[error(
        "{0}: that must never happen, please report it. (The account {1} was left, to be looked at.)"
    )]
    Wrong(String, String),
    /// A signal has ended it.
    #[error("ended by a signal")]
    Signal(i32),
    /// The client's loop has failed.
    #[error("the event loop failed: {0}")]
    Loop(#[from] io::Error),
}

/// Kills the primary so often, and measures how long nobody is answered. `tell` is called with each gap.
///
/// # Errors
/// Whatever ends it before all gaps are measured. A message that was acknowledged and is not there is
/// [`FailoverError::Wrong`].
pub fn measure_failover(
    failover: &Failover,
    tell: &mut dyn FnMut(&Gap),
) -> Result<Gaps, FailoverError> {
    let mut settings = Settings::new(failover.servers.clone(), random_bits() as u64);
    settings.software = super::connections::SOFTWARE.to_owned();
    let mut rounds = Rounds::new(failover, tell);
    run(&mut rounds, settings, None, Reads::Nothing)?;
    rounds.outcome()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_not_too_short() {
        let gap = |milliseconds| Gap {
            time: Duration::from_millis(milliseconds),
            from: ServerId(1),
            to: ServerId(2),
        };
        let mut gaps = Gaps {
            each: vec![gap(70), gap(300), gap(60), gap(80)],
            checked: 0,
        };
        assert_eq!(gaps.median(), Duration::from_millis(80));
        assert_eq!(gaps.worst(), Duration::from_millis(300));
        gaps.each.pop();
        assert_eq!(gaps.median(), Duration::from_millis(70));
    }
}
