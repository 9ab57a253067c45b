//! What was promised while the server was killed? Clients that send ahead, come back after each
//! crash and ask again for what is open, and a ledger of everything that was acknowledged.

mod binary;
mod checker;
mod creator;
mod ledger;
mod text;

use std::net::SocketAddr;
use std::thread::{Scope, ScopedJoinHandle};

use lastword::types::SessionId;
use lastword::wire::message::Deliver;

use crate::common::binary::{BinaryClient, Login};
use crate::common::random::Random;
use crate::common::server::TestServer;

pub use checker::check_everything;
pub use ledger::Ledger;

/// Accounts whose clients speak frames; each sends to the next, and to the first text account.
const BINARY_NAMES: [&str; 3] = ["b0", "b1", "b2"];
/// Accounts whose clients speak lines.
const TEXT_NAMES: [&str; 2] = ["t0", "t1"];
/// Requests that each client has open.
const OPEN: usize = 16;

/// Makes the accounts, logs them in, and sets their clients going. They stop when the ledger says
/// so and all that they asked is answered.
pub fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &TestServer,
    ledger: &'scope Ledger,
) -> Vec<ScopedJoinHandle<'scope, ()>> {
    let address = server.address();
    let mut first = server.text();
    for name in BINARY_NAMES.into_iter().chain(TEXT_NAMES) {
        first.create(name);
        ledger.created(name);
    }
    let mut clients = Vec::new();
    for (place, name) in BINARY_NAMES.into_iter().enumerate() {
        let login = log_in(address, name, session(place as u64));
        clients.push(scope.spawn(move || binary::run(address, name, login, ledger)));
    }
    for name in TEXT_NAMES {
        clients.push(scope.spawn(move || text::run(address, name, ledger)));
    }
    clients.push(scope.spawn(move || creator::run(address, session(99), ledger)));
    clients
}

/// Opens a session before anything goes wrong, so that it has to be there ever after.
fn log_in(address: SocketAddr, name: &str, session: SessionId) -> Login {
    BinaryClient::connect(address).login(name, session, Deliver::Nothing)
}

fn session(seed: u64) -> SessionId {
    let mut random = Random::new(seed);
    SessionId(u128::from(random.number()) << 64 | u128::from(random.number()))
}
