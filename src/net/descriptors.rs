//! How are the process's file descriptors shared out?
//!
//! The operating system limits how many a process may have open. What the server needs for its own work (the
//! superblock, the next segment of the journal, the store, a snapshot) must never fail because clients hold all
//! of them, since such a failure ends the server. So descriptors are admission-controlled: connections get what
//! is left behind a reserve for files, and clients what is left of that behind a reserve for links to other
//! servers. [`super::EventLoop`] enforces both when it accepts and when it dials.

use std::fs;

use crate::limits::{
    DESCRIPTORS_FOR_FILES, DESCRIPTORS_FOR_LINKS_MAX, DESCRIPTORS_MIN, REFUSALS_MAX,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The standard streams: they are open in every process, and are counted with the files.
const STANDARD_STREAMS: usize = 3;

/// How many descriptors connections may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Connections of all kinds at a time. What is above it is for files.
    pub connections_max: usize,
    /// Clients within the caps at a time.
    pub clients_max: usize,
    /// Clients beyond the caps at a time, which are being told so.
    pub refusals_max: usize,
}

/// The process may not open as many descriptors as a server needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may have {limit} files and connections open, {inherited} of which it was started with, and a \
     server needs at least {DESCRIPTORS_MIN} of its own: set the limit to 4096 or more (ulimit -n 4096, or \
     LimitNOFILE=4096 in a systemd unit)"
)]
pub struct TooFew {
    /// The limit of the process.
    limit: usize,
    /// Descriptors that it has inherited beside the standard streams.
    inherited: usize,
}

/// Raises the soft limit of descriptors to the hard one, which needs no privileges, and answers the limit.
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            log::debug!("the limit of file descriptors stays as it is: {error}");
            limit.current
        }
    };
    // `None` means: without limit.
    current.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    })
}

/// Raises the limit of descriptors and shares them out, with at most `clients_max` clients. To be called before
/// anything is opened: what is open is taken for inherited.
///
/// # Errors
///
/// They do not suffice even for the server's own work and a handful of connections.
pub fn share_out(clients_max: usize) -> Result<Share, TooFew> {
    share_of(raise_limit(), inherited(), clients_max)
}

/// Descriptors that are open beside the standard streams. None, where the system does not list them.
fn inherited() -> usize {
    let open = fs::read_dir("/dev/fd").map_or(0, Iterator::count);
    // One of them was open for the listing alone.
    open.saturating_sub(STANDARD_STREAMS + 1)
}

fn share_of(limit: usize, inherited: usize, clients_max: usize) -> Result<Share, TooFew> {
    let own = limit.saturating_sub(inherited);
    if own < DESCRIPTORS_MIN {
        return Err(TooFew { limit, inherited });
    }
    let connections_max = own - DESCRIPTORS_FOR_FILES;
    // Where descriptors are scarce, links get a third of those that connections may have.
    let for_clients = connections_max - DESCRIPTORS_FOR_LINKS_MAX.min(connections_max / 3);
    let refusals_max = REFUSALS_MAX.min(for_clients / 4);
    Ok(Share {
        connections_max,
        clients_max: clients_max.min(for_clients - refusals_max),
        refusals_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_reach_the_reserves() {
        for limit in (DESCRIPTORS_MIN..5000).chain([1_048_576, usize::MAX]) {
            let share = share_of(limit, 0, 20_000).unwrap();
            assert!(share.connections_max <= limit - DESCRIPTORS_FOR_FILES);
            let clients = share.clients_max + share.refusals_max;
            let for_links = share.connections_max - clients;
            let wanted = DESCRIPTORS_FOR_LINKS_MAX.min(share.connections_max / 3);
            assert!(for_links >= wanted, "{limit}: {for_links}");
            assert!(share.clients_max > 0 && share.refusals_max > 0, "{limit}");
        }
    }

    #[test]
    fn many_descriptors_leave_the_clients_as_asked_for() {
        let share = share_of(1_048_576, 0, 20_000).unwrap();
        assert_eq!(share.clients_max, 20_000);
        assert_eq!(share.refusals_max, REFUSALS_MAX);
    }

    #[test]
    fn inherited_descriptors_are_not_given_twice() {
        let one = share_of(256, 0, 20_000).unwrap();
        let other = share_of(256 + 17, 17, 20_000).unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn too_low_a_limit_is_said_with_what_to_set() {
        let refused = share_of(DESCRIPTORS_MIN - 1, 0, 20_000).unwrap_err();
        assert!(refused.to_string().contains("ulimit -n 4096"));
        assert!(share_of(DESCRIPTORS_MIN + 4, 5, 20_000).is_err());
    }
}
