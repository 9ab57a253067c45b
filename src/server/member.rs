//! Where is this server itself reached, whoever the primary is?
//!
//! The member address is bound before everything else and kept for ever. Connections are refused there
//! until the server's first turn, and taken from then on as long as its process lives: so a refused
//! connect tells the others that no process of this server is alive that they have ever spoken with. A
//! kept port that another program has is waited for a little, since it may be about to be given back,
//! and then replaced.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Alarm, Fatal, Options, Server, StartError};
use crate::net::{Listener, ListenerTag, clock};
use crate::replica::Input;
use crate::types::Time;

/// Connections that came in by the service's address.
pub(super) const SERVICE: ListenerTag = ListenerTag(0);
/// Connections that came in by the member address.
pub(super) const MEMBER: ListenerTag = ListenerTag(1);

/// How long a kept port may stay taken.
const TAKEN_MAX: Duration = Duration::from_secs(2);
/// How often it is tried.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How many ports above the service's are tried.
const PORTS_TRIED: u16 = 1000;

/// A server's own address.
pub(super) struct MemberAddress {
    /// What is bound, or to be bound.
    pub address: SocketAddr,
    /// Since when somebody else has it; `None` when it is bound.
    taken_since: Option<Time>,
}

impl MemberAddress {
    /// Binds the address that was named, else the one that was kept (unless the service has come
    /// to be there), else the first free one. No listener comes back while another program has the
    /// kept one.
    pub fn bind(
        options: &Options,
        kept: Option<SocketAddr>,
        now: Time,
    ) -> Result<(Self, Option<Listener>), StartError> {
        let bound = |address| Self {
            address,
            taken_since: None,
        };
        if let Some(address) = options.member {
            let listener = bind_closed(address)?;
            return Ok((bound(listener.local_addr()), Some(listener)));
        }
        let kept = kept.filter(|address| *address != options.service);
        match kept.map(|address| (address, Listener::bind_closed(address))) {
            Some((address, Ok(listener))) => Ok((bound(address), Some(listener))),
            Some((address, Err(error))) => {
                log::warn!("the member address {address} cannot be bound yet: {error}");
                let taken_since = Some(now);
                let waiting = Self {
                    address,
                    taken_since,
                };
                Ok((waiting, None))
            }
            None => {
                let listener = first_free(options.service)?;
                Ok((bound(listener.local_addr()), Some(listener)))
            }
        }
    }
}

impl Server {
    /// Tries the kept address again, or takes another one.
    pub(super) fn try_member_address(&mut self) -> Result<(), Fatal> {
        let Some(since) = self.member.taken_since else {
            return Ok(());
        };
        let address = self.member.address;
        let listener = match Listener::bind(address) {
            Ok(listener) => Ok(listener),
            Err(_) if clock::now().since(since) >= TAKEN_MAX => first_free(self.options.service),
            Err(_) => {
                let at = self.now + TRY_AGAIN_AFTER;
                self.network.set_timer(at, Alarm::Member);
                return Ok(());
            }
        };
        match listener {
            Ok(listener) => self.member_bound(listener),
            Err(error) => {
                log::error!("this server has no member address: {error}");
                self.network.set_timer(self.now + TAKEN_MAX, Alarm::Member);
                Ok(())
            }
        }
    }

    fn member_bound(&mut self, listener: Listener) -> Result<(), Fatal> {
        let address = listener.local_addr();
        self.network.listen(listener, MEMBER).map_err(Fatal::Loop)?;
        self.member = MemberAddress {
            address,
            taken_since: None,
        };
        if self.disk.member_address() != address {
            log::warn!("the member address is {address} from now on");
            self.disk.keep_member_address(address)?;
        }
        let address = self.options.advertise.unwrap_or(address);
        self.replica
            .handle_input(Input::Moved { address }, self.now);
        Ok(())
    }
}

/// Binds an address; `what` is what somebody has to choose anew if it is taken.
pub(super) fn bind(address: SocketAddr, what: &'static str) -> Result<Listener, StartError> {
    Listener::bind(address).map_err(|source| not_bound(address, what, source))
}

/// Binds a member address.
fn bind_closed(address: SocketAddr) -> Result<Listener, StartError> {
    Listener::bind_closed(address).map_err(|source| not_bound(address, "--member", source))
}

fn not_bound(address: SocketAddr, what: &'static str, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { address, what },
        _ => StartError::Address { address, source },
    }
}

/// The first free port above the service's, on its ip.
fn first_free(service: SocketAddr) -> Result<Listener, StartError> {
    let last = service.port().saturating_add(PORTS_TRIED);
    let mut address = service;
    for port in (service.port()..=last).skip(1) {
        address.set_port(port);
        match bind_closed(address) {
            Err(StartError::AddressInUse { .. }) => {}
            other => return other,
        }
    }
    Err(StartError::NoMemberPort(service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn service(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn a_kept_address_makes_way_for_the_service() {
        let service = service(19_000);
        let options = Options::new(service, true);
        let (member, listener) = MemberAddress::bind(&options, Some(service), Time(0)).unwrap();
        assert!(listener.is_some());
        assert!(member.address.port() > service.port());
    }

    #[test]
    fn above_the_last_port_there_is_none() {
        let refused = first_free(service(u16::MAX)).map(|_| ());
        assert!(matches!(refused, Err(StartError::NoMemberPort(_))));
    }
}
