//! Is an account made once, however often its creation is asked for again?

use lastword::types::{Name, Password, SessionId};
use lastword::wire::message::{Answer, Request};

use crate::common::binary::{BinaryClient, is_elsewhere};
use crate::common::{PASSWORD, eventually};

use super::{Finder, Ledger};

/// Makes one account after the other until the ledger says stop. Each one is asked for until there
/// is an answer, which is never that somebody else has the name.
pub fn run(finder: &Finder, session: SessionId, ledger: &Ledger) {
    let mut client = None;
    let mut number = 1;
    while ledger.goes_on() {
        let name = format!("c{number}");
        eventually("an account is made", || {
            if client.is_none() {
                client = finder.binary();
            }
            let made = create(client.as_mut()?, session, number, &name);
            if made.is_none() {
                client = None;
            }
            made
        });
        ledger.created(&name);
        ledger.pause();
        number += 1;
    }
}

fn create(client: &mut BinaryClient, session: SessionId, number: u64, name: &str) -> Option<()> {
    let request = Request::Create {
        name: Name::parse(name).expect("a name"),
        password: Password::parse(PASSWORD).expect("a password"),
        session: Some(session),
    };
    client.say(number, number, &request)?;
    match client.try_answer()?.last {
        Ok(Answer::Created { name: made }) if made.as_str() == name => Some(()),
        Err(refusal) if is_elsewhere(refusal.code) => None,
        other => panic!("to CREATE {name} {number}: {other:?}"),
    }
}
