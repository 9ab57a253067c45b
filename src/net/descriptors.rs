//! How many connections can this process hold?
//!
//! Many systems give a process 1,024 descriptors until it asks for more. And a journal that cannot
//! open its next segment ends the server, so clients never get the last descriptors.

use crate::limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many descriptors as the system gives without privileges, and says how many of
/// `clients_max` clients they suffice for.
pub fn clients_within_limit(clients_max: usize) -> usize {
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
    let descriptors = current.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    within(clients_max, descriptors)
}

fn within(clients_max: usize, descriptors: usize) -> usize {
    let reserved = limits::DESCRIPTORS_RESERVED + limits::REFUSALS_MAX;
    // Where descriptors are scarce, half of them still have to be for clients.
    let for_clients = descriptors - reserved.min(descriptors / 2);
    clients_max.min(for_clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_the_rest() {
        assert_eq!(within(20_000, usize::MAX), 20_000);
        assert_eq!(within(20_000, 1_048_576), 20_000);
        assert_eq!(within(20_000, 4096), 4096 - 384);
        assert_eq!(within(20_000, 64), 32);
    }
}
