//! What was promised while the server was killed? Clients that send ahead, come back after each
//! crash and ask again for what is open, and a ledger of everything that was acknowledged.

mod binary;
mod checker;
mod creator;
mod finder;
mod ledger;
mod text;

use std::thread::{Scope, ScopedJoinHandle};

use lastword::types::SessionId;
use lastword::wire::message::Deliver;

use crate::common::binary::{BinaryClient, Login};
use crate::common::random::Random;
use crate::common::text::TextClient;

pub use checker::{check_everything, check_same};
pub use finder::Finder;
pub use ledger::Ledger;

/// Accounts whose clients speak frames; each sends to the next, and to the first text account.
const BINARY_NAMES: [&str; 3] = ["b0", "b1", "b2"];
/// Accounts whose clients speak lines.
const TEXT_NAMES: [&str; 2] = ["t0", "t1"];
/// Requests that each client has open.
const OPEN: usize = 16;

/// The clients that are under way. Whatever comes in between, they come to an end: a scope waits
/// for its threads, and a test that failed would hang otherwise.
pub struct Clients<'scope> {
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
    ledger: &'scope Ledger,
}

/// Makes the accounts, logs them in, and sets their clients going. They stop when the ledger says
/// so and all that they asked is answered.
pub fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    finder: &'scope Finder,
    ledger: &'scope Ledger,
) -> Clients<'scope> {
    let address = finder.primary();
    let mut first = TextClient::connect(address);
    for name in BINARY_NAMES.into_iter().chain(TEXT_NAMES) {
        first.create(name);
        ledger.created(name);
    }
    let mut clients = Clients {
        threads: Vec::new(),
        ledger,
    };
    for (place, name) in BINARY_NAMES.into_iter().enumerate() {
        // A session from before anything goes wrong, so that it has to be there ever after.
        let mut client = BinaryClient::connect(address);
        let login: Login = client.login(name, session(place as u64), Deliver::Nothing);
        let run = move || binary::run(finder, name, login, ledger);
        clients.threads.push(scope.spawn(run));
    }
    for name in TEXT_NAMES {
        let run = move || text::run(finder, name, ledger);
        clients.threads.push(scope.spawn(run));
    }
    let run = move || creator::run(finder, session(99), ledger);
    clients.threads.push(scope.spawn(run));
    clients
}

impl Clients<'_> {
    /// Asks them to come to an end, and waits for it.
    pub fn finish(mut self) {
        self.ledger.stop();
        for thread in self.threads.drain(..) {
            thread.join().expect("no client failed");
        }
    }
}

impl Drop for Clients<'_> {
    fn drop(&mut self) {
        self.ledger.stop();
    }
}

fn session(seed: u64) -> SessionId {
    let mut random = Random::new(seed);
    SessionId(u128::from(random.number()) << 64 | u128::from(random.number()))
}
