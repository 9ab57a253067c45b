//! What did an account creation get that may be asked for again?
//!
//! There is no session yet that could remember the answer, so these few stand in a queue of their
//! own: the oldest makes room for the newest.

use std::collections::{HashMap, VecDeque};

use super::change::Creation;
use super::image::{InvalidImage, ascending};
use crate::limits::REMEMBERED_CREATIONS_MAX;
use crate::types::{OpNumber, Outcome, RequestNumber, SessionId};

/// By what the retry of a creation is known.
type Key = (SessionId, RequestNumber);

/// The newest answered creations, at most [`REMEMBERED_CREATIONS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Creations {
    /// Oldest first; no key twice.
    queue: VecDeque<Creation>,
    /// The outcomes of exactly those in `queue`. With the standard hasher and its random key:
    /// clients choose these keys.
    outcomes: HashMap<Key, Outcome>,
}

impl Creations {
    /// What the creation got, if that is remembered.
    pub fn recall(&self, session: SessionId, number: RequestNumber) -> Option<Outcome> {
        self.outcomes.get(&(session, number)).copied()
    }

    /// Remembers a creation that is not remembered yet. Answers the one that had to be forgotten
    /// for it.
    pub fn remember(&mut self, creation: Creation) -> Option<Creation> {
        let mut forgotten = None;
        if self.queue.len() == REMEMBERED_CREATIONS_MAX {
            forgotten = self.queue.pop_front();
        }
        if let Some(oldest) = &forgotten {
            self.outcomes.remove(&(oldest.session, oldest.number));
        }
        let key = (creation.session, creation.number);
        let before = self.outcomes.insert(key, creation.outcome);
        debug_assert!(
            before.is_none(),
            "a retry is answered, not remembered again"
        );
        self.queue.push_back(creation);
        debug_assert!(self.sizes_agree());
        forgotten
    }

    /// All of them, oldest first.
    pub fn images(&self) -> Vec<Creation> {
        self.queue.iter().copied().collect()
    }

    /// The remembered creations of an image.
    pub fn restore(images: &[Creation], applied: OpNumber) -> Result<Self, InvalidImage> {
        ascending("account creations", images.iter().map(|one| one.op))?;
        let mut creations = Self::default();
        for (place, one) in images.iter().enumerate() {
            let wrong = |what| Err(InvalidImage::Creation { op: one.op, what });
            if place == REMEMBERED_CREATIONS_MAX {
                return wrong("too many are remembered");
            }
            if one.op == OpNumber::ZERO || one.op > applied {
                return wrong("no applied op has answered it");
            }
            if creations.recall(one.session, one.number).is_some() {
                return wrong("it is remembered twice");
            }
            creations.remember(*one);
        }
        Ok(creations)
    }

    /// What must always be true of them.
    pub fn verify(&self) {
        assert!(self.sizes_agree());
        for one in &self.queue {
            let outcome = self.recall(one.session, one.number);
            assert_eq!(outcome, Some(one.outcome));
        }
    }

    fn sizes_agree(&self) -> bool {
        self.queue.len() == self.outcomes.len() && self.queue.len() <= REMEMBERED_CREATIONS_MAX
    }
}
