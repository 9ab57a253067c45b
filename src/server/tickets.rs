//! Who has asked for what the replica answers?
//!
//! The replica answers by tickets, each given once: an answer that comes for a request that was
//! given up meanwhile (its connection has ended, or was told that nobody knows) finds nobody,
//! and never the connection's next request.

use std::collections::VecDeque;

use crate::net::ConnectionId;
use crate::replica::Ticket;

/// The tickets that were given and have not come back.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    /// The number of the first of `open`.
    first: u64,
    /// Whose they are, in the order in which they were given; `None` once one has come back. They
    /// come back nearly in that order, so that there is little between the first and the last.
    open: VecDeque<Option<ConnectionId>>,
}

impl Tickets {
    /// Gives a ticket to a connection.
    pub fn give(&mut self, id: ConnectionId) -> Ticket {
        self.open.push_back(Some(id));
        Ticket(self.first + self.open.len() as u64 - 1)
    }

    /// Takes a ticket back, and says whose it was.
    pub fn take(&mut self, ticket: Ticket) -> Option<ConnectionId> {
        let at = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        let id = self.open.get_mut(at)?.take();
        while self.open.front().is_some_and(Option::is_none) {
            self.open.pop_front();
            self.first += 1;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ticket_comes_back_once_and_to_its_owner() {
        let mut tickets = Tickets::default();
        let (one, two) = (
            ConnectionId::from_bits(1 << 32),
            ConnectionId::from_bits(2 << 32),
        );
        let (first, second, third) = (tickets.give(one), tickets.give(two), tickets.give(one));
        assert_eq!(tickets.take(second), Some(two));
        assert_eq!(tickets.take(second), None);
        assert_eq!(tickets.take(first), Some(one));
        assert_eq!(tickets.open.len(), 1);
        assert_eq!(tickets.take(first), None);
        assert_eq!(tickets.take(third), Some(one));
        assert_eq!(tickets.take(Ticket(77)), None);
    }
}
