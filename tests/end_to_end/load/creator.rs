//! Is an account made once, however often its creation is asked for again?

use std::net::SocketAddr;

use lastword::types::{Name, Password, SessionId};
use lastword::wire::message::{Answer, Request};

use crate::common::binary::BinaryClient;
use crate::common::{PASSWORD, eventually};

use super::Ledger;

/// Makes one account after the other until the ledger says stop. Each one is asked for until there
/// is an answer, which is never that somebody else has the name.
pub fn run(address: SocketAddr, session: SessionId, ledger: &Ledger) {
    let mut client = None;
    let mut number = 1;
    while ledger.goes_on() {
        let name = format!("c{number}");
        eventually("an account is made", || {
            if client.is_none() {
                client = BinaryClient::try_connect(address);
            }
            let made = create(client.as_mut()?, session, number, &name);
            if made.is_none() {
                client = None;
            }
            made
        });
        ledger.created(&name);
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
        Err(refusal) if refusal.code.word() == "shutting_down" => None,
        other => panic!("to CREATE {name} {number}: {other:?}"),
    }
}
