//! Is there room for one more client?
//!
//! Counts the clients that hold a descriptor, all together and for each address. Who comes beyond a
//! cap is let in all the same, marked with the cap that it exceeds, because only the server knows
//! how to refuse (`busy` looks different in each dialect) and whom not to (another server's link).
//! When many of those are there at once, the next one takes the place of the oldest: closing the
//! newest would let strangers who never say a word keep a server's link out.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// Which cap a new client exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// There are as many clients as there may be.
    Clients,
    /// There are as many clients of this address as there may be.
    ClientsOfAddress,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clients => "too many clients are connected",
            Self::ClientsOfAddress => "too many clients of your address are connected",
        })
    }
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Within the caps.
    Within,
    /// Beyond one, and to be told so.
    Beyond(Excess),
    /// Not among clients: another server's link.
    Apart,
}

/// How many clients there are.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Clients at a time.
    clients_max: usize,
    /// Clients of one address at a time.
    clients_per_ip_max: usize,
    /// Clients beyond the caps at a time.
    refusals_max: usize,
    /// Clients within the caps.
    clients: usize,
    /// Clients beyond them: at most `refusals_max`.
    refusals: usize,
    /// Clients within the caps by address, loopback left out; no address with none.
    by_address: HashMap<IpAddr, usize>,
}

impl Crowd {
    pub(super) fn new(clients_max: usize, clients_per_ip_max: usize, refusals_max: usize) -> Self {
        Self {
            clients_max,
            clients_per_ip_max,
            refusals_max,
            clients: 0,
            refusals: 0,
            by_address: HashMap::new(),
        }
    }

    /// Clients within the caps.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// Counts one more; `None` when even a refusal is too much before another one has left.
    pub(super) fn enter(&mut self, address: IpAddr) -> Option<Place> {
        let Some(excess) = self.excess(address) else {
            self.clients += 1;
            if let Some(address) = counted(address) {
                *self.by_address.entry(address).or_default() += 1;
            }
            return Some(Place::Within);
        };
        if self.refusals == self.refusals_max {
            return None;
        }
        self.refusals += 1;
        Some(Place::Beyond(excess))
    }

    /// Counts one less.
    pub(super) fn leave(&mut self, address: IpAddr, place: Place) {
        match place {
            Place::Apart => {}
            Place::Beyond(_) => self.refusals -= 1,
            Place::Within => {
                self.clients -= 1;
                if let Some(address) = counted(address) {
                    self.leave_address(address);
                }
            }
        }
    }

    fn leave_address(&mut self, address: IpAddr) {
        let clients = self.by_address.get_mut(&address).expect("it was counted");
        *clients -= 1;
        if *clients == 0 {
            self.by_address.remove(&address);
        }
    }

    fn excess(&self, address: IpAddr) -> Option<Excess> {
        if self.clients >= self.clients_max {
            return Some(Excess::Clients);
        }
        let address = counted(address)?;
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        (of_address >= self.clients_per_ip_max).then_some(Excess::ClientsOfAddress)
    }
}

/// The address as it is counted: an IPv4 address is the same through an IPv6 socket, and whoever
/// is on this machine is not counted.
fn counted(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    (!address.is_loopback()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn caps_each_address_and_all_together() {
        let mut crowd = Crowd::new(3, 2, 10);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(crowd.enter(one), Some(Place::Within));
        assert_eq!(crowd.enter(one), Some(Place::Within));
        let beyond = Some(Place::Beyond(Excess::ClientsOfAddress));
        assert_eq!(crowd.enter(one), beyond);
        assert_eq!(crowd.enter(address("::ffff:192.0.2.1")), beyond);
        assert_eq!(crowd.enter(other), Some(Place::Within));
        assert_eq!(crowd.enter(other), Some(Place::Beyond(Excess::Clients)));
        assert_eq!(crowd.clients(), 3);
        crowd.leave(one, Place::Within);
        assert_eq!(crowd.enter(other), Some(Place::Within));
    }

    #[test]
    fn loopback_counts_only_among_all() {
        let mut crowd = Crowd::new(4, 1, 10);
        for loopback in ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(crowd.enter(address(loopback)), Some(Place::Within));
        }
        let beyond = Some(Place::Beyond(Excess::Clients));
        assert_eq!(crowd.enter(address("127.0.0.1")), beyond);
        assert!(crowd.by_address.is_empty());
    }

    #[test]
    fn forgets_who_left() {
        let mut crowd = Crowd::new(10, 10, 1);
        let one = address("2001:db8::1");
        let place = crowd.enter(one).unwrap();
        crowd.leave(one, place);
        assert_eq!(crowd.clients(), 0);
        assert!(crowd.by_address.is_empty());
    }

    #[test]
    fn refusals_are_bounded_too() {
        let mut crowd = Crowd::new(0, 10, 1);
        let one = address("192.0.2.1");
        let place = crowd.enter(one).unwrap();
        assert_eq!(place, Place::Beyond(Excess::Clients));
        assert_eq!(crowd.enter(one), None);
        crowd.leave(one, place);
        assert_eq!(crowd.enter(one), Some(place));
    }
}
