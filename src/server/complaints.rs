//! Was this said a moment ago?
//!
//! A server that cannot be talked to is tried again many times a minute. Each reason is worth one
//! line, and another when it still holds a minute later.

use std::collections::HashMap;
use std::time::Duration;

use crate::limits::{COMPLAINT_INTERVAL, COMPLAINTS_REMEMBERED_MAX};
use crate::types::Time;

/// How long what passes by itself may take to.
const PASSES_WITHIN: Duration = Duration::from_secs(3);

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

impl Complaints {
    /// As [`Self::is_news`], of something that passes by itself as a rule: it is said only when it
    /// has been so for a while.
    pub fn is_news_by_now(&mut self, about: &str, what: &str, now: Time) -> bool {
        let begun = format!("{what}, first");
        if self.is_news(about, &begun, now) {
            return false;
        }
        let key = (about.to_owned(), begun);
        let since = self.said.get(&key).copied().unwrap_or(now);
        now.since(since) > PASSES_WITHIN && self.is_news(about, what, now)
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
    fn what_passes_is_not_said() {
        let mut complaints = Complaints::default();
        let at = |seconds| Time(0) + Duration::from_secs(seconds);
        assert!(!complaints.is_news_by_now("a", "is there twice", at(0)));
        assert!(!complaints.is_news_by_now("a", "is there twice", at(1)));
        assert!(complaints.is_news_by_now("a", "is there twice", at(4)));
        assert!(!complaints.is_news_by_now("a", "is there twice", at(5)));
        assert!(
            !complaints.is_news_by_now("a", "is there twice", at(100)),
            "it had passed"
        );
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
