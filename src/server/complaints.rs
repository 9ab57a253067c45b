//! Was this said a moment ago?
//!
//! A server that cannot be talked to is tried again many times a minute. Each reason is worth one
//! line, and another when it still holds a minute later.

use std::collections::HashMap;

use crate::limits::{COMPLAINT_INTERVAL, COMPLAINTS_REMEMBERED_MAX};
use crate::types::Time;

/// What was said about whom, and when.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// At most [`COMPLAINTS_REMEMBERED_MAX`].
    said: HashMap<(String, String), Time>,
}

impl Complaints {
    /// Whether this is to be said (again), and notes that it is.
    pub fn is_news(&mut self, about: &str, what: &str, now: Time) -> bool {
        if self.said.len() >= COMPLAINTS_REMEMBERED_MAX {
            self.said.clear();
        }
        let key = (about.to_owned(), what.to_owned());
        match self.said.get(&key) {
            Some(said) if now.since(*said) < COMPLAINT_INTERVAL => false,
            _ => {
                self.said.insert(key, now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_a_minute_about_each() {
        let mut complaints = Complaints::default();
        let (begin, later) = (Time(0), Time(0) + COMPLAINT_INTERVAL);
        assert!(complaints.is_news("a", "is mute", begin));
        assert!(!complaints.is_news("a", "is mute", begin));
        assert!(complaints.is_news("a", "is a stranger", begin));
        assert!(complaints.is_news("b", "is mute", begin));
        assert!(complaints.is_news("a", "is mute", later));
        assert!(complaints.said.len() <= 3);
    }

    #[test]
    fn who_gives_ever_new_reasons_costs_no_memory() {
        let mut complaints = Complaints::default();
        for n in 0..10_000 {
            complaints.is_news("a", &n.to_string(), Time(0));
        }
        assert!(complaints.said.len() <= COMPLAINTS_REMEMBERED_MAX);
    }
}
