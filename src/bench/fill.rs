//! What is in a folder with so many accounts and messages?
//!
//! The folder of a server is written without a server, by the same code that a server writes it with: the
//! replica numbers the ops, the journal syncs them, the chat applies them, and the store takes them in.
//! Only the network is missing, and one password, hashed once, is everybody's.
//!
//! Until all of it is safe it is in a folder of its own in there, [`DRAFT`], where no server looks for
//! it: one that starts on a folder whose filling was interrupted refuses it.
//!
//! The accounts `a0`, `a1`, … stand in a ring, and each talks with its neighbours on both sides. Two of
//! them exchange [`EXCHANGE`] messages, then the next two: round and round, until there are enough. So
//! everybody's history is spread over the whole of the store, while one after the other who writes is near
//! who wrote before, as people do who answer each other. In the end everybody has read everything.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::journal::storage::{DataDirectory, ExamineError};
use crate::net::clock;
use crate::server::RunError;
use crate::server::offline::{Offline, password_hash};
use crate::types::{
    AccountId, ChatOp, InvalidPassword, Name, OpNumber, Origin, Outcome, Password, Text,
};

pub use super::load::{SIZE_MAX, SIZE_MIN};

/// Most accounts.
pub const ACCOUNTS_MAX: usize = 10_000_000;
/// Most messages.
pub const MESSAGES_MAX: u64 = 1_000_000_000;
/// The password of all accounts, if no other is named.
pub const PASSWORD_DEFAULT: &str = "correct-horse";
/// The address that a server keeps on a folder, if no other is named: the one above the usual service's.
pub const MEMBER_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);
/// Messages that two accounts exchange before it is the turn of the next two.
pub const EXCHANGE: u64 = 4;
/// What the data folder holds until it is filled.
pub const DRAFT: &str = "unfinished-fill";
/// What a text is filled up with, behind its number.
const FILLER: &str = " and so on, as people write to each other all day long";

/// What a folder is to be filled with.
#[derive(Clone, Debug)]
pub struct Fill {
    /// The data folder, as a server's `--data`: missing or empty.
    pub data: PathBuf,
    /// The address of its own that the server keeps.
    pub member: SocketAddr,
    /// Accounts, 1 to [`ACCOUNTS_MAX`].
    pub accounts: usize,
    /// Messages, at most [`MESSAGES_MAX`].
    pub messages: u64,
    /// Bytes of a text, [`SIZE_MIN`] to [`SIZE_MAX`].
    pub size: usize,
    /// With how many others each account talks, from 1; no more than there are.
    pub contacts: usize,
    /// Everybody's password. One that no account may have is refused.
    pub password: String,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Filled {
    /// The last op in the folder.
    pub last: OpNumber,
    /// How long it took.
    pub took: Duration,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Accounts, messages and acknowledgements that are safe.
    pub done: u64,
    /// All that there will be.
    pub of: u64,
}

/// Why a folder was not filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// There is something in it.
    #[error(
        "{} is not empty: name a folder that is not there yet, or move away what is in it; nothing was \
         changed", .0.display()
    )]
    NotEmpty(PathBuf),
    /// It is being filled, or that was interrupted.
    #[error(
        "{} is a filling that has not come to its end: remove it if nothing is at work there any more; \
         nothing was changed", .0.display()
    )]
    Interrupted(PathBuf),
    /// It cannot be looked at.
    #[error(transparent)]
    Examine(#[from] ExamineError),
    /// No account may have such a password.
    #[error("{0}; choose another --password")]
    Password(#[from] InvalidPassword),
    /// The password cannot be hashed.
    #[error("{0}")]
    Hash(io::Error),
    /// It cannot be written to, or not any more.
    #[error("{error}; what is in {} is not all that was asked for: remove it", draft.display())]
    Broken {
        /// What was filled.
        draft: PathBuf,
        /// What has failed.
        error: Box<RunError>,
    },
    /// Everything is written, and cannot be put where a server looks for it.
    #[error("what is in {} cannot be moved out of it: {error}; remove it", draft.display())]
    Unmoved {
        /// What was filled.
        draft: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Fills a folder. `tell` is called whenever something more is safe. Memory is used for the accounts and their
/// conversations, about as a server does, and not for the messages.
///
/// # Errors
/// There is something in the folder (then it stays as it is), or it cannot be written.
pub fn fill(fill: &Fill, tell: &mut dyn FnMut(Progress)) -> Result<Filled, FillError> {
    let begun = clock::now();
    Password::parse(&fill.password)?;
    let draft = fill.data.join(DRAFT);
    match DataDirectory::examine(&fill.data)? {
        DataDirectory::Missing | DataDirectory::Empty => {}
        DataDirectory::Foreign { entry } if entry == draft => {
            return Err(FillError::Interrupted(draft));
        }
        DataDirectory::Slots(_) | DataDirectory::Foreign { .. } => {
            return Err(FillError::NotEmpty(fill.data.clone()));
        }
    }
    let hash = password_hash(&fill.password).map_err(FillError::Hash)?;
    let last = match write(fill, &draft, &hash, tell) {
        Ok(last) => last,
        Err(error) => {
            let error = Box::new(error);
            return Err(FillError::Broken { draft, error });
        }
    };
    if let Err(error) = DataDirectory::adopt(&fill.data, &draft) {
        return Err(FillError::Unmoved { draft, error });
    }
    Ok(Filled {
        last,
        took: clock::now().since(begun),
    })
}

/// The name of an account, by its place in the ring, from 0.
pub fn account_name(place: usize) -> Name {
    Name::parse(&format!("a{place}")).expect("a letter and no more than twenty digits")
}

/// Writes everything into a data folder, and answers the last op. Nobody works in it any more then.
fn write(
    fill: &Fill,
    data: &Path,
    hash: &str,
    tell: &mut dyn FnMut(Progress),
) -> Result<OpNumber, RunError> {
    let mut writer = Writer {
        offline: Offline::found(data, fill.member)?,
        progress: Progress {
            done: 0,
            of: 2 * fill.accounts as u64 + fill.messages,
        },
        asked: 0,
        tell,
    };
    let mut ids = Vec::with_capacity(fill.accounts);
    for place in 0..fill.accounts {
        let create = ChatOp::CreateAccount {
            name: account_name(place),
            password_hash: hash,
            retry: None,
        };
        writer.ask(create, &mut |id| ids.push(AccountId(id.0)))?;
    }
    writer.settle(&mut |id| ids.push(AccountId(id.0)))?;
    let ring = Ring::new(fill.accounts, fill.contacts);
    let mut text = String::with_capacity(fill.size + FILLER.len());
    for number in 0..fill.messages {
        let (from, to) = ring.message(number);
        write_text(&mut text, number, fill.size);
        let send = ChatOp::Send {
            origin: origin(ids[from]),
            to: account_name(to),
            text: Text::parse(&text).expect("it has a size that a text may have"),
        };
        writer.ask(send, &mut |_| {})?;
    }
    for id in ids {
        let acknowledge = ChatOp::Acknowledge {
            origin: origin(id),
            conversation: None,
            up_to: OpNumber::MAX,
        };
        writer.ask(acknowledge, &mut |_| {})?;
    }
    writer.settle(&mut |_| {})?;
    Ok(writer.offline.finish()?)
}

/// Text mode's: no session has to remember anything.
fn origin(account: AccountId) -> Origin {
    Origin {
        account,
        request: None,
    }
}

/// The number of the message in [`SIZE_MIN`] digits, and something behind it.
fn write_text(text: &mut String, number: u64, size: usize) {
    text.clear();
    write!(text, "{number:0width$}", width = SIZE_MIN).expect("a text can be written to");
    while text.len() < size {
        text.push_str(FILLER);
    }
    text.truncate(size);
}

/// Many ops at a time.
struct Writer<'a> {
    offline: Offline,
    progress: Progress,
    asked: u64,
    tell: &'a mut dyn FnMut(Progress),
}

impl Writer<'_> {
    /// One more op. `done` hears of all that are safe by now: of an account its id, and of a message
    /// its own.
    fn ask(&mut self, op: ChatOp<'_>, done: &mut dyn FnMut(OpNumber)) -> Result<(), RunError> {
        self.offline.request(op, clock::wall_clock());
        self.asked += 1;
        match self.offline.is_full() {
            true => self.settle(done),
            false => Ok(()),
        }
    }

    fn settle(&mut self, done: &mut dyn FnMut(OpNumber)) -> Result<(), RunError> {
        self.offline.settle(&mut |outcome| match outcome {
            Outcome::Created(id) => done(OpNumber(id.0)),
            Outcome::Sent(id) | Outcome::Acknowledged(id) => done(id),
            other => unreachable!("nothing is asked for that could be refused: {other:?}"),
        })?;
        self.progress.done = self.asked;
        (self.tell)(self.progress);
        Ok(())
    }
}

/// Who writes to whom.
struct Ring {
    accounts: u64,
    /// How many of those that come next in the ring each account talks with. As many of those before
    /// talk with it.
    reach: u64,
}

impl Ring {
    fn new(accounts: usize, contacts: usize) -> Self {
        let accounts = accounts as u64;
        let half = (contacts as u64).div_ceil(2);
        Self {
            accounts,
            reach: half.min(accounts / 2).max(1),
        }
    }

    /// The places of the sender and of the recipient of a message. A single account writes to itself.
    fn message(&self, number: u64) -> (usize, usize) {
        let exchange = number / EXCHANGE;
        let one = exchange / self.reach % self.accounts;
        let other = (one + 1 + exchange % self.reach) % self.accounts;
        let (one, other) = (one as usize, other as usize);
        match number % 2 {
            0 => (one, other),
            _ => (other, one),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    /// With whom each account has exchanged messages, after so many of them.
    fn contacts(accounts: usize, contacts: usize, messages: u64) -> HashMap<usize, HashSet<usize>> {
        let ring = Ring::new(accounts, contacts);
        let mut found: HashMap<usize, HashSet<usize>> = HashMap::new();
        for number in 0..messages {
            let (from, to) = ring.message(number);
            assert!(from < accounts && to < accounts);
            found.entry(from).or_default().insert(to);
            found.entry(to).or_default().insert(from);
        }
        found
    }

    #[test]
    fn everybody_talks_with_as_many_as_was_asked_for() {
        let found = contacts(100, 10, 100 * 5 * EXCHANGE);
        assert_eq!(found.len(), 100);
        assert!(found.values().all(|others| others.len() == 10));
    }

    #[test]
    fn few_accounts_talk_with_all_there_are() {
        for (accounts, others) in [(2, 1), (3, 2), (4, 3), (5, 4)] {
            let found = contacts(accounts, 10, 1000);
            assert!(
                found.values().all(|it| it.len() == others),
                "{accounts}: {found:?}"
            );
        }
        let alone = contacts(1, 10, 10);
        assert_eq!(alone, HashMap::from([(0, HashSet::from([0]))]));
    }

    #[test]
    fn a_text_has_its_number_and_its_size() {
        let mut text = String::new();
        for size in [SIZE_MIN, 100, SIZE_MAX] {
            write_text(&mut text, 42, size);
            assert_eq!(text.len(), size);
            assert_eq!(text[..SIZE_MIN].parse(), Ok(42));
            assert!(Text::parse(&text).is_ok());
        }
    }
}
