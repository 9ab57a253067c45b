//! What is due next?
//!
//! One binary heap for every deadline of the program. Setting and taking cost O(log n), cancelling
//! O(1): a cancelled timer stays in the heap as a dead entry until it comes to the top, or until
//! the dead outnumber the living and the heap is built anew. So a server that sets and cancels a
//! login deadline for each of its connections holds at most twice the entries that it needs.

use crate::types::Time;
use slab::Slab;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;

/// Dead entries that are not worth a rebuild.
const DEAD_MIN: usize = 64;

/// Names one setting of one timer: never given twice, so that cancelling too late does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId {
    /// Tells this timer from later ones in the same slot; timers of one time fire in its order.
    sequence: NonZeroU64,
    /// Where what it means is kept.
    slot: u32,
}

/// Timers, each with what it means to whoever set it.
#[derive(Debug)]
pub struct Timers<T> {
    /// Every living timer, and dead ones, earliest on top.
    heap: BinaryHeap<Reverse<(Time, TimerId)>>,
    /// The living timers, by slot.
    living: Slab<(TimerId, T)>,
    /// What the next timer's id gets.
    sequence_next: NonZeroU64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            living: Slab::new(),
            sequence_next: NonZeroU64::MIN,
        }
    }
}

impl<T> Timers<T> {
    /// Sets a timer. One that is set for the past is due at once.
    pub fn set(&mut self, at: Time, what: T) -> TimerId {
        let vacant = self.living.vacant_entry();
        let slot = u32::try_from(vacant.key()).expect("fewer than 2^32 timers");
        let sequence = self.sequence_next;
        let id = TimerId { sequence, slot };
        vacant.insert((id, what));
        self.sequence_next = sequence.checked_add(1).expect("fewer than 2^64 timers");
        self.heap.push(Reverse((at, id)));
        id
    }

    /// Cancels a timer and gives back what it meant; `None` if it was due or cancelled already.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let what = self.take(id)?;
        let dead = self.heap.len() - self.living.len();
        if dead > DEAD_MIN && dead > self.living.len() {
            self.bury();
        }
        Some(what)
    }

    /// When the next timer is due.
    pub fn next_at(&mut self) -> Option<Time> {
        while let Some(&Reverse((at, id))) = self.heap.peek() {
            if self.is_living(id) {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the earliest timer out, if it is due. Those of equal times come in the order in which
    /// they were set.
    pub fn pop_due(&mut self, now: Time) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse((_, id)) = self.heap.pop()?;
        self.take(id)
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.living.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.living.is_empty()
    }

    fn is_living(&self, id: TimerId) -> bool {
        let living = self.living.get(id.slot as usize);
        living.is_some_and(|(living, _)| *living == id)
    }

    fn take(&mut self, id: TimerId) -> Option<T> {
        if !self.is_living(id) {
            return None;
        }
        let (_, what) = self.living.remove(id.slot as usize);
        Some(what)
    }

    /// Builds the heap anew from the living. What that costs was paid for by as many cancels.
    fn bury(&mut self) {
        let mut heap = std::mem::take(&mut self.heap);
        heap.retain(|Reverse((_, id))| self.is_living(*id));
        heap.shrink_to(2 * self.living.len());
        self.heap = heap;
        assert_eq!(self.heap.len(), self.living.len(), "each timer stands once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64),
        Cancel(usize),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..50u64).prop_map(Step::Set),
            3 => any::<usize>().prop_map(Step::Cancel),
            1 => (0..20u64).prop_map(Step::Advance),
        ]
    }

    proptest! {
        #[test]
        fn fires_as_a_sorted_list_would(steps in prop::collection::vec(step(), 1..600)) {
            let mut timers = Timers::default();
            let mut list: Vec<(Time, usize)> = Vec::new();
            let mut ids = Vec::new();
            let mut now = Time(0);
            for step in steps {
                match step {
                    Step::Set(after) => {
                        let at = Time(now.0 + after);
                        let name = ids.len();
                        ids.push(timers.set(at, name));
                        list.push((at, name));
                    }
                    Step::Cancel(choice) if !ids.is_empty() => {
                        let name = choice % ids.len();
                        let listed = list.iter().position(|(_, listed)| *listed == name);
                        prop_assert_eq!(timers.cancel(ids[name]), listed.map(|_| name));
                        list.retain(|(_, listed)| *listed != name);
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(by) => {
                        now = Time(now.0 + by);
                        list.sort();
                        let due = list.iter().take_while(|(at, _)| *at <= now).count();
                        for (_, name) in list.drain(..due) {
                            prop_assert_eq!(timers.pop_due(now), Some(name));
                        }
                        prop_assert_eq!(timers.pop_due(now), None);
                    }
                }
                prop_assert_eq!(timers.next_at(), list.iter().map(|(at, _)| *at).min());
                prop_assert_eq!(timers.len(), list.len());
                prop_assert!(timers.heap.len() <= 2 * timers.len() + DEAD_MIN + 1);
            }
        }
    }

    #[test]
    fn a_cancelled_id_does_not_hit_the_next_timer_of_its_slot() {
        let mut timers = Timers::default();
        let first = timers.set(Time(1), "first");
        assert_eq!(timers.cancel(first), Some("first"));
        let second = timers.set(Time(2), "second");
        assert_eq!(first.slot, second.slot);
        assert_eq!(timers.cancel(first), None);
        assert_eq!(timers.pop_due(Time(2)), Some("second"));
        assert!(timers.is_empty());
    }

    #[test]
    fn deadlines_that_are_always_cancelled_do_not_pile_up() {
        let mut timers = Timers::default();
        for at in 0..100_000 {
            let id = timers.set(Time(1_000_000 + at), at);
            timers.cancel(id);
        }
        assert!(timers.heap.len() <= DEAD_MIN + 1);
        assert!(timers.heap.capacity() <= 4 * DEAD_MIN);
    }
}
