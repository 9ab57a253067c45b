//! How much of everything does the loop allow?

use crate::limits;
use std::time::Duration;

/// The limits of the loop; [`limits`] holds the defaults, and says what happens at each.
#[derive(Clone, Debug)]
pub struct LoopConfig {
    /// [`limits::CLIENTS_MAX_DEFAULT`]
    pub clients_max: usize,
    /// [`limits::CLIENTS_PER_IP_MAX_DEFAULT`]
    pub clients_per_ip_max: usize,
    /// [`limits::REFUSALS_MAX`]
    pub refusals_max: usize,
    /// Connections of all kinds at a time, [`super::descriptors::Share::connections_max`]: beyond, whoever comes
    /// in is closed without a word unless somebody beyond the caps makes room, and nobody is dialed.
    pub connections_max: usize,
    /// [`limits::EVENTS_PER_POLL`]
    pub events_per_poll: usize,
    /// [`limits::ACCEPT_BUDGET`]
    pub accept_budget: usize,
    /// [`limits::ACCEPT_PAUSE`]
    pub accept_pause: Duration,
    /// [`limits::READ_BUDGET_BYTES`]
    pub read_budget_bytes: usize,
    /// [`limits::LINK_READ_BUDGET_BYTES`]
    pub link_read_budget_bytes: usize,
    /// [`limits::TURN_READ_BUDGET_BYTES`]
    pub turn_read_budget_bytes: usize,
    /// [`limits::INPUT_BYTES_MAX`]
    pub input_bytes_max: usize,
    /// [`limits::SEND_QUEUE_BYTES_MAX`]
    pub send_queue_bytes_max: usize,
    /// [`limits::SEND_QUEUE_FULL_MAX`]
    pub send_queue_full_max: Duration,
    /// [`limits::CLOSING_TIME_MAX`]
    pub closing_time_max: Duration,
    /// [`limits::LINGER_TIME_MAX`]
    pub linger_time_max: Duration,
    /// [`limits::LINGER_BYTES_MAX`]
    pub linger_bytes_max: usize,
}

impl Default for LoopConfig {
    fn default() -> Self {
        Self {
            clients_max: limits::CLIENTS_MAX_DEFAULT,
            clients_per_ip_max: limits::CLIENTS_PER_IP_MAX_DEFAULT,
            refusals_max: limits::REFUSALS_MAX,
            connections_max: usize::MAX,
            events_per_poll: limits::EVENTS_PER_POLL,
            accept_budget: limits::ACCEPT_BUDGET,
            accept_pause: limits::ACCEPT_PAUSE,
            read_budget_bytes: limits::READ_BUDGET_BYTES,
            link_read_budget_bytes: limits::LINK_READ_BUDGET_BYTES,
            turn_read_budget_bytes: limits::TURN_READ_BUDGET_BYTES,
            input_bytes_max: limits::INPUT_BYTES_MAX,
            send_queue_bytes_max: limits::SEND_QUEUE_BYTES_MAX,
            send_queue_full_max: limits::SEND_QUEUE_FULL_MAX,
            closing_time_max: limits::CLOSING_TIME_MAX,
            linger_time_max: limits::LINGER_TIME_MAX,
            linger_bytes_max: limits::LINGER_BYTES_MAX,
        }
    }
}
