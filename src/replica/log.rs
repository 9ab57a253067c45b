//! What stands in the log, as far as memory has to know it?
//!
//! The journal has the ops on disk. Here are those that are not committed, with who waits for
//! them; the newest of those that are, for servers that are nearly up to date; and where each view
//! began, so that the view of any op can be told and two logs be compared without reading them.

use std::collections::VecDeque;

use super::Ticket;
use crate::limits::{LOG_TAIL_BYTES, PREPARE_BYTES_MAX, VIEWS_REMEMBERED_MAX};
use crate::types::{Cluster, ClusterOp, LogPosition, Op, OpNumber, View, ViewMark, ViewNumber};
use crate::wire::operation::{decode_op, is_cluster_op};
use crate::wire::prepare::Entry;

/// The log of one server.
#[derive(Debug)]
pub(super) struct Log {
    /// The op before the first of `tail`; at most `commit`.
    tail_after: OpNumber,
    /// The ops above `tail_after` up to `head`, without gaps.
    tail: VecDeque<Waiting>,
    /// Bytes of those in `tail` that are committed.
    committed_bytes: usize,
    /// Bytes of those in `tail` that are not.
    uncommitted_bytes: usize,
    /// The highest op in the log.
    head: OpNumber,
    /// The highest op that the journal has synced; at most `head`.
    persisted: OpNumber,
    /// The highest op that is known to be committed and is on this disk; at most `persisted`.
    commit: OpNumber,
    /// Where views begin, in the order of the log: the newest of those that are committed, and
    /// all others.
    marks: Vec<ViewMark>,
    /// The newest view that is known to be in force, and every later View op in the log, each with
    /// its op, oldest first. Empty before the first View op.
    standing: VecDeque<(OpNumber, View)>,
}

/// An op, and who waits for it.
#[derive(Debug)]
struct Waiting {
    entry: Entry,
    ticket: Option<Ticket>,
}

impl Log {
    /// A log whose first ops, up to `applied`, are in the state: `cluster` is what they made of the
    /// cluster.
    pub fn after(applied: OpNumber, cluster: Option<&Cluster>) -> Self {
        let mut standing = VecDeque::new();
        let mut marks = Vec::new();
        if let Some(cluster) = cluster {
            marks.clone_from(&cluster.views);
            // A store of version 0.1 knows its view, and not where it began.
            let op = marks.last().map_or(applied, |mark| mark.op);
            if marks.is_empty() && cluster.view.number != ViewNumber(0) {
                let number = cluster.view.number;
                marks.push(ViewMark { number, op });
            }
            if cluster.view.number != ViewNumber(0) {
                standing.push_back((op, cluster.view.clone()));
            }
        }
        Self {
            tail_after: applied,
            tail: VecDeque::new(),
            committed_bytes: 0,
            uncommitted_bytes: 0,
            head: applied,
            persisted: applied,
            commit: applied,
            marks,
            standing,
        }
    }

    pub fn head(&self) -> OpNumber {
        self.head
    }

    pub fn persisted(&self) -> OpNumber {
        self.persisted
    }

    pub fn commit(&self) -> OpNumber {
        self.commit
    }

    pub fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes
    }

    /// Everything that is appended is on disk, as when a server starts.
    pub fn all_persisted(&mut self) {
        self.persisted = self.head;
    }

    /// Adds the op after the head.
    pub fn append(&mut self, entry: Entry, ticket: Option<Ticket>) {
        assert_eq!(
            entry.op(),
            self.head.next(),
            "ops are appended without gaps"
        );
        self.head = entry.op();
        self.uncommitted_bytes += entry.bytes();
        if let Some(ClusterOp::View(view)) = cluster_op(&entry) {
            self.marks.push(ViewMark {
                number: view.number,
                op: entry.op(),
            });
            self.standing.push_back((entry.op(), view));
        }
        self.tail.push_back(Waiting { entry, ticket });
    }

    /// The journal has synced everything up to `op`.
    pub fn persist(&mut self, op: OpNumber) {
        assert!(op <= self.head, "the journal has more than it was given");
        self.persisted = self.persisted.max(op);
    }

    /// Cuts off what stands behind `after`, and answers who waited for it.
    pub fn truncate(&mut self, after: OpNumber) -> Vec<Ticket> {
        assert!(after >= self.commit, "what is committed is never cut off");
        let keep = (after.0 - self.tail_after.0) as usize;
        let cut: Vec<Waiting> = self.tail.drain(keep..).collect();
        self.uncommitted_bytes -= cut.iter().map(|w| w.entry.bytes()).sum::<usize>();
        self.head = after;
        self.persisted = self.persisted.min(after);
        self.marks.retain(|mark| mark.op <= after);
        self.standing.retain(|(op, _)| *op <= after);
        cut.into_iter().filter_map(|w| w.ticket).collect()
    }

    /// The next op that is committed now that everything up to `commit` is.
    pub fn commit_next(&mut self, commit: OpNumber) -> Option<(Entry, Option<Ticket>)> {
        if self.commit >= commit.min(self.persisted) {
            return None;
        }
        let at = (self.commit.0 - self.tail_after.0) as usize;
        let waiting = &mut self.tail[at];
        let (entry, ticket) = (waiting.entry.clone(), waiting.ticket.take());
        self.commit = entry.op();
        self.uncommitted_bytes -= entry.bytes();
        self.committed_bytes += entry.bytes();
        while self.standing.len() > 1 && self.standing[1].0 <= self.commit {
            self.standing.pop_front();
        }
        let beyond = self.marks.len().saturating_sub(VIEWS_REMEMBERED_MAX);
        self.marks.drain(..beyond);
        self.shorten();
        Some((entry, ticket))
    }

    /// Lets go of committed ops beyond what is kept for others.
    fn shorten(&mut self) {
        while self.committed_bytes > LOG_TAIL_BYTES && self.tail_after < self.commit {
            if let Some(waiting) = self.tail.pop_front() {
                self.committed_bytes -= waiting.entry.bytes();
                self.tail_after = self.tail_after.next();
            }
        }
    }

    /// Takes out everybody who waits for an op that is not committed.
    pub fn take_tickets(&mut self) -> Vec<Ticket> {
        let from = (self.commit.0 - self.tail_after.0) as usize;
        let waiting = self.tail.range_mut(from..);
        waiting.filter_map(|w| w.ticket.take()).collect()
    }

    /// The position of an op; `None` if that is not known any more, or the op is not there.
    pub fn position(&self, op: OpNumber) -> Option<LogPosition> {
        if op == OpNumber::ZERO {
            return Some(LogPosition::default());
        }
        if op > self.head {
            return None;
        }
        if op > self.tail_after {
            let at = (op.0 - self.tail_after.0 - 1) as usize;
            return Some(self.tail[at].entry.position);
        }
        let behind = self.marks.partition_point(|mark| mark.op <= op);
        let view = self.marks.get(behind.checked_sub(1)?)?.number;
        Some(LogPosition { view, op })
    }

    /// The position of the last op that is on disk.
    pub fn last(&self) -> LogPosition {
        self.position(self.persisted).unwrap_or(LogPosition {
            view: ViewNumber(0),
            op: self.persisted,
        })
    }

    /// The views that count: the newest in force, and all later ones that are on disk.
    pub fn standing(&self) -> impl DoubleEndedIterator<Item = &View> {
        let on_disk = |(op, _): &&(OpNumber, View)| *op <= self.persisted;
        self.standing.iter().filter(on_disk).map(|(_, view)| view)
    }

    /// The newest view whose op is on disk, with that op.
    pub fn newest(&self) -> Option<(OpNumber, &View)> {
        let on_disk = self
            .standing
            .iter()
            .rev()
            .find(|(op, _)| *op <= self.persisted);
        on_disk.map(|(op, view)| (*op, view))
    }

    /// Whether the View op of this number is on disk here. (Of the oldest ones that is forgotten.)
    pub fn has_view(&self, number: ViewNumber) -> bool {
        let mut marks = self.marks.iter();
        marks.any(|mark| mark.number == number && mark.op <= self.persisted)
    }

    /// The op of the newest view that is known to be in force.
    pub fn in_force(&self) -> OpNumber {
        match self.standing.front() {
            Some((op, _)) if *op <= self.commit => *op,
            _ => OpNumber::ZERO,
        }
    }

    /// Everything up to the View op `op` is known to be in force, though not yet committed here:
    /// what a server had on disk when it started.
    pub fn note_in_force(&mut self, op: OpNumber) {
        while self.standing.len() > 1 && self.standing[1].0 <= op {
            self.standing.pop_front();
        }
    }

    /// Where views begin in what is on disk, the newest of them.
    pub fn marks_on_disk(&self) -> Vec<ViewMark> {
        let on_disk = self.marks.partition_point(|mark| mark.op <= self.persisted);
        let from = on_disk.saturating_sub(VIEWS_REMEMBERED_MAX);
        self.marks[from..on_disk].to_vec()
    }

    /// The last op that this log has in common with one whose views begin at `theirs`, and which
    /// ends with `last`. Logs that agree on an op agree on all before it, so the newest view that
    /// both have decides.
    pub fn common(&self, theirs: &[ViewMark], last: OpNumber) -> OpNumber {
        let mut their_end = last;
        for mark in theirs.iter().rev() {
            if let Some(at) = self.marks.iter().rposition(|mine| mine == mark) {
                let my_end = match self.marks.get(at + 1) {
                    Some(next) => OpNumber(next.op.0 - 1),
                    None => self.head,
                };
                return my_end.min(their_end);
            }
            their_end = OpNumber(mark.op.0.saturating_sub(1));
        }
        OpNumber::ZERO
    }

    /// The ops behind `after`, as many as fit into one message; `None` if they are not in memory
    /// any more.
    pub fn entries(&self, after: OpNumber) -> Option<Vec<Entry>> {
        let from = after.0.checked_sub(self.tail_after.0)? as usize;
        let mut bytes = 0;
        let entries = self.tail.iter().skip(from).take_while(|w| {
            let first = bytes == 0;
            bytes += w.entry.bytes();
            first || bytes <= PREPARE_BYTES_MAX
        });
        Some(entries.map(|w| w.entry.clone()).collect())
    }

    /// How many bytes stand behind `after`; `None` if it is so far back that they are not in
    /// memory.
    pub fn bytes_behind(&self, after: OpNumber) -> Option<usize> {
        let from = after.0.checked_sub(self.tail_after.0)? as usize;
        Some(self.tail.iter().skip(from).map(|w| w.entry.bytes()).sum())
    }

    /// Everything in the log is about the cluster itself, and still in memory.
    pub fn only_cluster_ops(&self) -> bool {
        self.tail_after == OpNumber::ZERO
            && self
                .tail
                .iter()
                .all(|waiting| is_cluster_op(waiting.entry.payload()))
    }

    /// The ops that are not committed.
    pub fn uncommitted(&self) -> impl Iterator<Item = &Entry> {
        let from = (self.commit.0 - self.tail_after.0) as usize;
        self.tail.range(from..).map(|w| &w.entry)
    }

    pub fn check_invariants(&self) {
        assert!(
            self.tail_after <= self.commit,
            "an uncommitted op is not in memory"
        );
        assert!(self.commit <= self.persisted, "committed, but not on disk");
        assert!(self.persisted <= self.head, "on disk, but not in the log");
        assert_eq!(
            self.head.0 - self.tail_after.0,
            self.tail.len() as u64,
            "a gap"
        );
        assert!(self.standing.iter().is_sorted_by_key(|(op, _)| *op));
        assert!(self.marks.is_sorted_by_key(|mark| mark.op));
    }
}

/// The op about the cluster that an entry holds, if it is one.
pub(super) fn cluster_op(entry: &Entry) -> Option<ClusterOp> {
    if !is_cluster_op(entry.payload()) {
        return None;
    }
    match decode_op(entry.payload()) {
        Ok(Op::Cluster(op)) => Some(op),
        // Whatever came over the wire or from the disk was looked at there.
        Ok(Op::Chat(_)) | Err(_) => None,
    }
}
