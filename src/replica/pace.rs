//! Measures how long the servers' disks take, so that time-outs follow them and a server whose disk
//! is much slower than all others leaves the view.
//!
//! A server waits for its own disk: while a sync takes its time, the server hears nothing and says
//! nothing. Fixed time-outs would take that for silence, and an election for failed that is under
//! way. So each server tells in its report how long its disk took lately, and
//!
//! - a linked server may be silent for twice that time beyond the grace, and may take as long
//!   beyond it to acknowledge an op; a primary whose view has just begun, for four times;
//! - a candidate, and a voter that has promised it something, wait four times as long as the slowest
//!   disk among the voters takes beyond their usual patience.
//!
//! All of this only makes servers wait longer, never shorter: the freshness limit stays below the
//! grace.
//!
//! **Exclusion of a slow disk.** Every write waits for the slowest disk of the view. A member whose
//! disk takes at least [`SLOW_DISK_MIN`] and [`SLOW_DISK_TIMES`] times as long as the slowest of all
//! other members, at each of at least [`SLOW_SYNCS_MIN`] syncs during [`SLOW_DISK_FOR`], is left
//! out of the next view, provided that two members remain. (A primary with such a disk asks the
//! others to take over, as one does that leaves.) It catches up as a learner and is admitted again
//! when its disk is no longer that slow, but not before [`SLOW_DISK_BAN`] has passed; each further
//! exclusion doubles that, up to [`SLOW_DISK_BAN_MAX`], so that a disk that is slow now and then does
//! not change the view again and again.

use std::time::Duration;

use super::face::Note;
use super::{Leading, Replica};
use crate::limits::DISK_TIME_MAX;
use crate::types::{Member, ServerId, Time};
use crate::wire::peer::PeerMessage;

/// The syncs that are remembered: one that took long by chance is forgotten after so many.
const RECENT: usize = 4;
/// A measurement older than this says nothing about the disk.
const RECENT_FOR: Duration = Duration::from_secs(60);
/// A sync that takes less harms nobody enough to give up a copy for it.
const SLOW_DISK_MIN: Duration = Duration::from_millis(250);
const SLOW_DISK_TIMES: u32 = 4;
const SLOW_DISK_FOR: Duration = Duration::from_secs(5);
const SLOW_SYNCS_MIN: u32 = 4;
/// The first time that an excluded server stays a learner, and the longest one.
const SLOW_DISK_BAN: Duration = Duration::from_secs(10);
const SLOW_DISK_BAN_MAX: Duration = Duration::from_secs(640);
/// Members that have to remain when one is excluded for its disk.
const MEMBERS_REMAIN: usize = 2;

/// The times that this server's disk took lately.
#[derive(Debug, Default)]
pub(super) struct DiskPace {
    /// The newest waits, with their ends; the oldest one is replaced first.
    recent: [Option<(Time, Duration)>; RECENT],
    next: usize,
    /// When the disk was given the oldest work that is not done, or had done the work before it.
    busy_since: Option<Time>,
}

impl DiskPace {
    /// The disk is given something to make durable.
    pub fn began(&mut self, now: Time) {
        self.busy_since.get_or_insert(now);
    }

    /// The disk has made something durable; `all`: it has nothing more to do.
    pub fn done(&mut self, all: bool, now: Time) {
        if let Some(since) = self.busy_since {
            self.recent[self.next] = Some((now, now.since(since)));
            self.next = (self.next + 1) % RECENT;
            self.busy_since = (!all).then_some(now);
        }
    }

    /// The longest of the waits that are remembered, zero if there is none.
    pub fn slowest(&self, now: Time) -> Duration {
        let recent = self.recent.iter().flatten();
        let recent = recent.filter(|(at, _)| now.since(*at) <= RECENT_FOR);
        let slowest = recent.map(|(_, time)| *time).max();
        slowest.unwrap_or_default().min(DISK_TIME_MAX)
    }
}

/// Since when a member's disk is much slower than those of all other members.
#[derive(Debug, Default)]
pub(super) struct Slowness {
    since: Option<Time>,
    syncs: u32,
}

impl Slowness {
    /// The member has synced something.
    fn synced(&mut self, is_slow: bool, now: Time) {
        if !is_slow {
            *self = Self::default();
        } else {
            self.since.get_or_insert(now);
            self.syncs = self.syncs.saturating_add(1);
        }
    }

    fn is_long(&self, now: Time) -> bool {
        let long = |since| now.since(since) >= SLOW_DISK_FOR;
        self.syncs >= SLOW_SYNCS_MIN && self.since.is_some_and(long)
    }
}

/// How often a server was excluded for its disk, and until when it is not admitted again.
#[derive(Debug, Default)]
pub(super) struct Ban {
    times: u32,
    until: Time,
}

impl Ban {
    fn begin(&mut self, now: Time) {
        if now >= self.until {
            let ban = SLOW_DISK_BAN * 2u32.saturating_pow(self.times.min(10));
            self.until = now + ban.min(SLOW_DISK_BAN_MAX);
            self.times += 1;
        }
    }
}

impl Replica {
    /// How long the disk of a server took lately, as far as it has said.
    pub(super) fn disk_time(&self, server: ServerId) -> Duration {
        if server == self.identity.server {
            return self.pace.slowest(self.called_at);
        }
        let report = self.peers.get(&server).and_then(|peer| peer.report);
        report.map_or(Duration::ZERO, |report| report.disk_time())
    }

    /// How much longer than the grace a linked server may say nothing, or not acknowledge: it may
    /// be waiting for its disk, and for two syncs in a row. A new primary has more to sync before it has
    /// time to say anything: that its view is decided, that it is in force, and what clients write at once.
    pub(super) fn disk_allowance(&self, server: ServerId) -> Duration {
        let is_linked = self.peers.get(&server).is_some_and(|p| p.link.is_some());
        if !is_linked || self.sabotage.impatient {
            return Duration::ZERO;
        }
        let allowance = self.disk_time(server) * 4;
        let is_primary = self.view().is_some_and(|view| view.primary == server);
        match is_primary && self.called_at.since(self.view_since) <= allowance {
            true => allowance,
            false => self.disk_time(server) * 2,
        }
    }

    /// How much longer the steps of an election may take on these disks: a promise is a sync, and
    /// the beginning of a view is one of its primary and one of its other members.
    pub(super) fn election_allowance(&self) -> Duration {
        if self.sabotage.impatient {
            return Duration::ZERO;
        }
        let voters = self.voters().into_iter().map(|member| member.server);
        let disks = voters.map(|server| self.disk_time(server));
        disks.max().unwrap_or_default() * 4
    }

    /// A member has made something durable: whether its disk is much slower than all others.
    pub(super) fn judge_disk(&mut self, server: ServerId, now: Time) {
        let is_member = self.view().is_some_and(|it| it.member(server).is_some());
        if self.leading != Leading::Active || !is_member {
            return; // A learner is judged when it is to be admitted.
        }
        let is_slow = self.is_slow_beside_members(server, MEMBERS_REMAIN);
        if server != self.identity.server {
            if let Some(peer) = self.peers.get_mut(&server) {
                peer.slowness.synced(is_slow, now);
                self.unsettled |= peer.slowness.is_long(now);
            }
            return;
        }
        self.slowness.synced(is_slow, now);
        if self.slowness.is_long(now) {
            // The others take over, as from one that leaves; it then follows as a learner.
            self.slowness = Slowness::default();
            self.note(Note::SlowDisk(self.me(), self.disk_time(server)));
            self.send_to_all(&PeerMessage::Leave);
        }
    }

    /// Whether a server's disk takes far longer than that of any member beside it, of which there
    /// are at least `others_min`.
    fn is_slow_beside_members(&self, server: ServerId, others_min: usize) -> bool {
        let Some(view) = self.view() else {
            return false;
        };
        let others = || view.members.iter().filter(|m| m.server != server);
        let slowest = others().map(|m| self.disk_time(m.server)).max();
        let time = self.disk_time(server);
        others().count() >= others_min
            && time >= SLOW_DISK_MIN
            && slowest.is_some_and(|slowest| time >= slowest * SLOW_DISK_TIMES)
    }

    /// Whether a member is to be left out of the next view for its disk.
    pub(super) fn is_too_slow(&self, member: Member, now: Time) -> bool {
        let remain = self.view().map_or(0, |view| view.members.len() - 1);
        let peer = self.peers.get(&member.server);
        self.leading == Leading::Active
            && remain >= MEMBERS_REMAIN
            && peer.is_some_and(|peer| {
                peer.incarnation == Some(member.incarnation) && peer.slowness.is_long(now)
            })
            && self.is_slow_beside_members(member.server, MEMBERS_REMAIN)
    }

    /// A member is left out of the view that is being proposed, for its disk.
    pub(super) fn ban(&mut self, member: Member, now: Time) {
        let time = self.disk_time(member.server);
        if let Some(peer) = self.peers.get_mut(&member.server) {
            peer.ban.begin(now);
            self.note(Note::SlowDisk(member, time));
        }
    }

    /// A server leaves the view by itself. Whoever leads after it does not admit it again at once if its
    /// disk is slow.
    pub(super) fn ban_if_slow(&mut self, server: ServerId) {
        let now = self.called_at;
        if self.is_slow_beside_members(server, MEMBERS_REMAIN)
            && let Some(peer) = self.peers.get_mut(&server)
        {
            peer.ban.begin(now);
        }
    }

    /// Whether a learner that was excluded for its disk would hold up the members again. Where there
    /// is one member alone, a slow second copy is better than none. One that was never excluded is
    /// admitted: a single sync that took long says little, and where nobody writes anything, no other
    /// follows it that would say more.
    pub(super) fn is_too_slow_to_admit(&self, server: ServerId, now: Time) -> bool {
        let ban = self.peers.get(&server).map(|peer| &peer.ban);
        !self.leads_alone()
            && ban.is_some_and(|ban| {
                let is_slow = || self.is_slow_beside_members(server, MEMBERS_REMAIN);
                ban.times > 0 && (now < ban.until || is_slow())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn one_long_sync_is_forgotten_after_some_short_ones_or_some_time() {
        let mut pace = DiskPace::default();
        assert_eq!(pace.slowest(at(0)), Duration::ZERO);
        pace.began(at(0));
        pace.began(at(100));
        pace.done(true, at(900));
        assert_eq!(pace.slowest(at(1000)), 900 * MS);
        assert_eq!(pace.slowest(at(62_000)), Duration::ZERO);
        for sync in 0..4 {
            assert_eq!(pace.slowest(at(1000)), 900 * MS);
            pace.began(at(1000 + 10 * sync));
            pace.done(true, at(1005 + 10 * sync));
        }
        assert_eq!(pace.slowest(at(1100)), 5 * MS);
    }

    #[test]
    fn work_that_waits_for_other_work_counts_from_its_end() {
        let mut pace = DiskPace::default();
        pace.began(at(0));
        pace.done(false, at(300));
        pace.done(true, at(500));
        assert_eq!(pace.slowest(at(500)), 300 * MS);
        // Nothing was under way.
        pace.done(true, at(9000));
        assert_eq!(pace.slowest(at(9000)), 300 * MS);
    }

    #[test]
    fn slowness_takes_time_and_syncs_and_ends_with_a_quick_one() {
        let mut slowness = Slowness::default();
        slowness.synced(true, at(0));
        assert!(!slowness.is_long(at(6000)));
        for sync in 1..4 {
            slowness.synced(true, at(sync));
        }
        assert!(!slowness.is_long(at(4000)) && slowness.is_long(at(5000)));
        slowness.synced(false, at(5001));
        assert!(!slowness.is_long(at(9000)));
    }

    #[test]
    fn each_ban_is_twice_as_long_as_the_one_before() {
        let mut ban = Ban::default();
        for (begins, until) in [(0, 10_000), (5000, 10_000), (10_000, 30_000)] {
            ban.begin(at(begins));
            assert_eq!(ban.until, at(until));
        }
        for _ in 0..20 {
            ban.begin(ban.until);
        }
        let begin = ban.until;
        ban.begin(begin);
        assert_eq!(ban.until.since(begin), SLOW_DISK_BAN_MAX);
    }
}
