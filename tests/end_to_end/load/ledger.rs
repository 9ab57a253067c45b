//! What was acknowledged, to whom?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::eventually;

/// What the clients were told. All of it has to be true for ever.
#[derive(Default)]
pub struct Ledger {
    /// How many acknowledgements there were, of any kind.
    count: AtomicU64,
    /// No client is to ask anything new.
    stop: AtomicBool,
    /// How long each client waits after an answer.
    pause: Duration,
    told: Mutex<Told>,
}

/// What was told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Messages by their ids.
    pub sent: BTreeMap<u64, Sent>,
    /// The highest acknowledged read cursor of each account.
    pub read: HashMap<String, u64>,
    /// Accounts.
    pub created: BTreeSet<String>,
}

/// A message that the server said OK to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub from: String,
    pub to: String,
    pub text: String,
}

impl Ledger {
    /// For clients that do not hurry: what is looked at is how they get over what happens to the
    /// servers, and everything that they sent has to be compared afterwards.
    pub fn unhurried() -> Self {
        Self {
            pause: Duration::from_millis(4),
            ..Self::default()
        }
    }

    /// A message has this id.
    pub fn sent(&self, id: u64, from: &str, to: &str, text: &str) {
        let sent = Sent {
            from: from.to_string(),
            to: to.to_string(),
            text: text.to_string(),
        };
        let mut told = self.told.lock().expect("no client failed");
        let before = told.sent.insert(id, sent.clone());
        assert!(
            before.is_none(),
            "two messages got the id {id}: {before:?} and {sent:?}"
        );
        drop(told);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything of this account up to an id is read.
    pub fn read(&self, name: &str, up_to: u64) {
        let mut told = self.told.lock().expect("no client failed");
        let cursor = told.read.entry(name.to_string()).or_default();
        *cursor = up_to.max(*cursor);
        drop(told);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// This account exists.
    pub fn created(&self, name: &str) {
        let mut told = self.told.lock().expect("no client failed");
        assert!(
            told.created.insert(name.to_string()),
            "{name} was created twice"
        );
    }

    /// Waits for so many more acknowledgements.
    pub fn wait_for_more(&self, more: u64) {
        let target = self.count.load(Ordering::Relaxed) + more;
        eventually("acknowledgements go on", || {
            (self.count.load(Ordering::Relaxed) >= target).then_some(())
        });
    }

    /// Asks the clients to come to an end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Lets a client rest after an answer.
    pub fn pause(&self) {
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
    }

    /// Whether a client may ask something new.
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// All that was told so far.
    pub fn told(&self) -> Told {
        self.told.lock().expect("no client failed").clone()
    }
}
