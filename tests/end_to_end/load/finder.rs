//! Where is the primary? A client that has lost it asks at the service's address and at those of
//! the servers that it has heard of, as any client does that is to survive a failover.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::common::binary::BinaryClient;
use crate::common::eventually;
use crate::common::status::Status;
use crate::common::text::TextClient;

/// How long a server may say nothing before a client looks for another one. Longer than a failover
/// takes, so that requests which wait for one are mostly answered and not asked again.
const MUTE_MAX: Duration = Duration::from_secs(3);
/// How long a server may take to say how it is, while there are others to be asked.
const STATUS_MAX: Duration = Duration::from_millis(500);

/// What clients know of the servers.
pub struct Finder {
    service: SocketAddr,
    /// All members that any server has ever told of.
    members: Mutex<BTreeSet<SocketAddr>>,
}

impl Finder {
    /// Knows nothing but the service's address.
    pub fn at(service: SocketAddr) -> Self {
        Self {
            service,
            members: Mutex::default(),
        }
    }

    /// Knows these members as well, as from an earlier visit.
    pub fn knowing(self, members: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.members.lock().expect("nobody failed").extend(members);
        self
    }

    /// An address at which a server serves now, if there is one.
    pub fn look(&self) -> Option<SocketAddr> {
        let members = self.members.lock().expect("nobody failed").clone();
        let mut asked = BTreeSet::new();
        for address in [self.service].into_iter().chain(members) {
            if !asked.insert(address) {
                continue;
            }
            let Some(status) = Status::ask_within(address, STATUS_MAX) else {
                continue;
            };
            let known = status.members.values().map(|member| member.address);
            let mut members = self.members.lock().expect("nobody failed");
            members.extend(known);
            members.insert(status.member);
            if status.serves() {
                return Some(address);
            }
        }
        None
    }

    /// An address at which a server serves, as soon as there is one.
    pub fn primary(&self) -> SocketAddr {
        eventually("some server serves", || self.look())
    }

    /// A connection in frames to the primary, if there is one.
    pub fn binary(&self) -> Option<BinaryClient> {
        BinaryClient::try_connect_for(self.look()?, MUTE_MAX)
    }

    /// A connection in text mode to the primary, if there is one.
    pub fn text(&self) -> Option<TextClient> {
        TextClient::try_connect_for(self.look()?, MUTE_MAX)
    }
}
