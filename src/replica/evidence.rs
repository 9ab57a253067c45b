//! Who is dead, who is only silent, and who is surely there?
//!
//! - **fresh**: it has echoed a Ping that was *sent* at most L ago. Sent, not received: a process
//!   that was paused reads old frames when it wakes, and must not take them for news.
//! - **silent**: nothing of that very process came in for more than G, or, while it is linked, for more
//!   than G and twice the time that its disk takes. It may be alive, and cut off. Once it is silent,
//!   it is so until something comes in: that this server waits for its own disk changes nothing.
//! - **dead**: that very process has ended, and will not run again. Its link was ended by its side;
//!   then another process answered at its own address, or two connects to it were refused there, and that can
//!   be believed; and it was fresh at that moment, so that the host which refuses is the one where it ran.
//!
//! **Refused connects.** Between two hosts there may be something that refuses connects in the name of the other one,
//! and resets its links. So refusals are believed only within a host, unless an operator knows the network
//! ([`TrustRefused`]). One is evidence because a server takes connections at its own address from before its
//! first message until its process ends. A process that is only starting refuses them, too: it has the
//! address, so the one before it has ended, and one that is restarted again and again and dies each time
//! before it can speak does not hide that. It proves the end of a process, and never that of a disk. A
//! member that hears the process all the same objects (see [`super::promise`]).
//!
//! **Witnesses.** Even so two servers may take each other for dead, and each go on alone. So a third one that says in its Pings that it is
//! fresh with the process is believed rather than the refusals, also if it is no member and would not be asked. A server
//! whose link ends tells everybody at once, so that this costs no time after a real death. A word counts
//! for three heartbeats: one that was given before its giver was stalled does not keep a dead process alive for
//! longer than its death can be proven.
//!
//! A later process of the same server may dial first. Then the address is dialed all the same, to see who
//! answers there, and nobody resigns for the later process' sake before that is known.
//!
//! **The end of a link is no echo.** A process that is stalled for longer than L and then killed leaves
//! its last companion waiting, although its FIN or RST came in just then. To count that as fresh would be
//! wrong: the process may not have been stalled but cut off, and may have gone on alone and have
//! acknowledged what nobody else has before the cut was mended and it was killed; the test
//! `the_end_of_a_link_is_no_echo` of the model finds that. (Nor would it help to tell the excluded:
//! such a message may still wait in the memory of the process that is killed.)

use std::net::IpAddr;
use std::time::Duration;

use super::descent::gossiped;
use super::face::Note;
use super::peers::{DeadProcess, Peer, REFUSALS_APART};
use super::{Leading, Replica};
use crate::limits::{CLOCK_AHEAD_MAX, SERVERS_MAX};
use crate::types::{
    Binding, Incarnation, Member, ServerId, Time, Timestamp, TrustRefused, ViewNumber,
};
use crate::wire::peer::{PeerMessage, Ping, Proposal, Report, Rumour, Standing};

/// A moment of this server's clock, in milliseconds.
fn milliseconds(time: Time) -> i128 {
    i128::from(time.0 / 1_000_000)
}

/// Refused connects that prove the end of a process.
const REFUSALS_ENOUGH: u32 = 2;
/// For so many heartbeats a server's word that it is fresh with another one outweighs refusals.
const VOUCHED_FOR: u32 = 3;
/// A freshness limit is at most so much of a peer's grace: the rest is for clocks that do not run
/// alike.
const FRESH_PERCENT_OF_GRACE: u32 = 80;
/// Processes of one server that are remembered to have ended.
const DEAD_REMEMBERED_MAX: usize = 16;

impl Replica {
    /// The core runs. If it did not for long, whatever it did not hear meanwhile may still be
    /// waiting to be read: silence counts from here.
    pub(super) fn called(&mut self, now: Time) {
        if now.since(self.called_at) > self.config.heartbeat * 2 {
            self.silence_counts_from = now;
        }
        self.called_at = now;
    }

    /// A message of the server at the other end of a link came in.
    pub(super) fn hear(&mut self, server: ServerId, now: Time) {
        if let Some(peer) = self.peers.get_mut(&server) {
            peer.heard = Some(now);
            peer.silent_since = None;
        }
    }

    /// Tells everybody how this server is.
    pub(super) fn ping_all(&mut self, now: Time) {
        let servers: Vec<ServerId> = self.links.values().copied().collect();
        for server in servers {
            self.send_ping(server, now);
        }
        self.ping_at = now + self.config.heartbeat;
    }

    pub(super) fn send_ping(&mut self, server: ServerId, now: Time) {
        let linked = self.peers.iter();
        let linked = linked.filter_map(|(server, peer)| peer.process(*server));
        let fresh = linked.filter(|process| self.is_fresh(*process, now));
        let ping = Ping {
            sent_at: now,
            wall_clock: self.own_clock,
            report: self.report(),
            fresh: fresh.take(SERVERS_MAX).collect(),
            rumours: self.rumours.values().take(SERVERS_MAX).cloned().collect(),
        };
        self.send_to(server, PeerMessage::Ping(ping));
    }

    /// A Ping came in. It is echoed, unless its sender is left out of what was promised here: to
    /// that one nobody vouches any more that no other view has begun.
    pub(super) fn pinged(&mut self, server: ServerId, ping: Ping, now: Time) {
        let Some(process) = self.peers.get(&server).and_then(|p| p.process(server)) else {
            return;
        };
        let report = ping.report;
        let is_learner = !report.intact && !report.leads;
        if is_learner || self.may_echo(process) {
            let sent_at = ping.sent_at;
            self.send_to(server, PeerMessage::Pong { sent_at });
        }
        if let Some(peer) = self.peers.get_mut(&server) {
            self.unsettled |= peer.report != Some(report);
            peer.fresh_with = (ping.fresh, now);
            // A server that has just started may not have looked at its clock yet.
            peer.clock_ahead_ms = (ping.wall_clock != Timestamp(0))
                .then(|| i128::from(ping.wall_clock.0) - milliseconds(now));
        }
        self.reported(server, report);
        self.highest_seen = self.highest_seen.max(report.promised).max(report.newest);
        let descent = self.peers.get(&server).map(|peer| gossiped(&peer.descent));
        // One with a damaged journal does not know which View ops it had.
        if !report.damaged {
            self.rumour(Rumour {
                member: process,
                promised: report.promised,
                newest: report.newest,
                descent: descent.unwrap_or_default(),
            });
        }
        for rumour in ping.rumours {
            self.rumour(rumour);
        }
        self.tell(server, report);
        if report.newest > self.newest_number() && self.leading != Leading::No {
            // Others went on without this server, which has slept or was cut off.
            self.stop_leading(now);
        }
    }

    /// The time of a request that was made when the wall clock showed `time`: not much later than the other
    /// members' clocks show. Only the primary decides it: it is in the op.
    pub(super) fn bounded_time(&self, time: Timestamp) -> Timestamp {
        let me = self.identity.server;
        let members = self.view().map_or(&[][..], |view| &view.members);
        let others = members.iter().filter(|member| member.server != me);
        let ahead = others.filter_map(|member| self.peers.get(&member.server)?.clock_ahead_ms);
        match ahead.max() {
            Some(ahead_ms) if !self.sabotage.own_clock => {
                let theirs = milliseconds(self.called_at) + ahead_ms;
                let latest = theirs + CLOCK_AHEAD_MAX.as_millis().cast_signed();
                let latest = latest.clamp(0, i128::from(u64::MAX));
                time.min(Timestamp(u64::try_from(latest).unwrap_or(u64::MAX)))
            }
            _ => time,
        }
    }

    /// A proposal says of its candidate what a report would; and it may come by way of others, where
    /// no report does.
    pub(super) fn note_candidate(&mut self, proposal: &Proposal) {
        self.rumour(Rumour {
            member: proposal.candidate,
            promised: proposal.number,
            newest: proposal.standing.last().map_or(ViewNumber(0), |v| v.number),
            // Its standing views name it: whoever asks for it, asks for this very process.
            descent: Vec::new(),
        });
    }

    /// A later report of the same process says more; one of a later process, too.
    fn rumour(&mut self, rumour: Rumour) {
        let server = rumour.member.server;
        if server == self.identity.server || !self.is_of_concern(server) {
            return;
        }
        let rank = |r: &Rumour| {
            let length = r.descent.len();
            (r.member.incarnation.counter, r.promised, r.newest, length)
        };
        let known = self.rumours.get(&server);
        if known.is_none_or(|known| rank(known) < rank(&rumour)) {
            self.rumours.insert(server, rumour);
            self.unsettled = true;
        }
    }

    /// Whether it matters what is heard of a server: others come and go, and are not kept in mind.
    fn is_of_concern(&self, server: ServerId) -> bool {
        let mut bound_to = self.vote.bindings.iter().flat_map(|b| &b.members);
        self.peers.contains_key(&server) || bound_to.any(|m| m.server == server)
    }

    /// Lets go of what was heard of servers that were forgotten.
    pub(super) fn forget_rumours(&mut self) {
        let mut rumours = std::mem::take(&mut self.rumours);
        rumours.retain(|server, _| self.is_of_concern(*server));
        self.rumours = rumours;
    }

    fn may_echo(&self, process: Member) -> bool {
        let newest = self.view();
        match &self.promised_here {
            Some(promised) if promised.number > self.newest_number() => {
                promised.members.contains(&process)
            }
            _ => newest.is_some_and(|view| view.contains(process)),
        }
    }

    /// A Ping came back.
    pub(super) fn beat(&mut self, server: ServerId, sent_at: Time, now: Time) {
        if sent_at > now {
            return; // Nobody has sent that.
        }
        let Some(peer) = self.peers.get_mut(&server) else {
            return;
        };
        peer.echoed = peer.echoed.max(Some(sent_at));
        self.unsettled |= !self.reads.is_empty();
    }

    /// Says once of each member that it has fallen silent.
    pub(super) fn age(&mut self, now: Time) {
        let Some(view) = self.view() else { return };
        let me = self.identity.server;
        let others = view.members.iter().filter(|m| m.server != me);
        let silent: Vec<Member> = others
            .copied()
            .filter(|m| self.is_silent(*m, now) && !self.is_dead(*m))
            .collect();
        for member in silent {
            if let Some(peer) = self.peers.get_mut(&member.server)
                && peer.incarnation == Some(member.incarnation)
                && peer.silent_since.is_none()
            {
                peer.silent_since = Some(now);
                self.note(Note::Silent(member));
            }
        }
    }

    /// Whether this process of a server has echoed a Ping that was sent at most L ago.
    pub(super) fn is_fresh(&self, member: Member, now: Time) -> bool {
        let Some(peer) = self.peers.get(&member.server) else {
            return false;
        };
        let limit = self.freshness_limit(peer);
        let echoed = peer.echoed.is_some_and(|at| now.since(at) <= limit);
        echoed && peer.incarnation == Some(member.incarnation)
    }

    /// How old a Ping may be whose echo proves that a peer, be it alive or dead by now, has not let
    /// another view begin: younger than the grace after which the *peer* would call this server
    /// silent. It says how long that is, since it may have been started with another one; before it
    /// has, nothing is proven.
    pub(super) fn freshness_limit(&self, peer: &Peer) -> Duration {
        if self.sabotage.own_limit_only {
            return self.config.fresh;
        }
        let grace = peer.report.map_or(0, |report| report.grace_ms);
        let limit = Duration::from_millis(grace.into()) * FRESH_PERCENT_OF_GRACE / 100;
        limit.min(self.config.fresh)
    }

    /// Whether another server, be it a member or not, has just said that it is fresh with a process.
    fn is_vouched_for(&self, process: Member, now: Time) -> bool {
        let lately = self.config.heartbeat * VOUCHED_FOR;
        let vouches = |server: ServerId, peer: &Peer| {
            let (processes, said_at) = &peer.fresh_with;
            server != process.server
                && peer.link.is_some()
                && processes.contains(&process)
                && now.since(*said_at) <= lately
        };
        let mut peers = self.peers.iter();
        let is_asked = !self.sabotage.no_witness && !self.sabotage.no_veto;
        is_asked && peers.any(|(server, peer)| vouches(*server, peer))
    }

    /// Whether nothing of this process came in for more than G. A process of which a successor was
    /// seen says nothing any more.
    pub(super) fn is_silent(&self, member: Member, now: Time) -> bool {
        if member == self.me() {
            return false;
        }
        let Some(peer) = self.peers.get(&member.server) else {
            return now.since(self.view_since.max(self.silence_counts_from)) > self.config.grace;
        };
        if self.is_succeeded(peer, member) {
            return true;
        }
        let is = |process: Incarnation| process == member.incarnation;
        let is_same = peer.incarnation.is_some_and(is);
        let is_noted = peer.silent_since.is_some_and(|since| since <= now);
        if is_same && is_noted && !self.sabotage.impatient {
            return true;
        }
        let heard = match peer.before {
            _ if is_same => peer.heard,
            Some((before, heard)) if is(before) => Some(heard),
            _ => None,
        };
        let heard = heard.unwrap_or(self.view_since);
        let patience = self.config.grace + self.disk_allowance(member.server);
        now.since(heard.max(self.silence_counts_from)) > patience
    }

    /// Whether a later process of the server was seen that continues this one, at the address that
    /// this one had, too: two processes cannot have one address. (One elsewhere may have been started
    /// from a copy of the folder, beside its original.)
    fn is_succeeded(&self, peer: &Peer, member: Member) -> bool {
        let Some(incarnation) = peer.incarnation else {
            return false;
        };
        let process = Member {
            incarnation,
            ..member
        };
        process != member
            && peer.first_here <= member.incarnation.counter
            && self.is_descendant(process, &peer.descent, member)
    }

    /// Whether this process is known to have ended.
    pub(super) fn is_dead(&self, member: Member) -> bool {
        self.peers.get(&member.server).is_some_and(|peer| {
            peer.dead.iter().any(|dead| {
                let process = Member {
                    incarnation: dead.process,
                    ..member
                };
                // What was there before it, and what it continues, ended when it began.
                let was_here = dead.first_here <= member.incarnation.counter;
                process == member || was_here && self.is_descendant(process, &dead.descent, member)
            })
        })
    }

    /// Whether this process is dead, or whether that may be proven in a moment: a link to a later
    /// process of its server may come before the proof.
    pub(super) fn may_be_dead(&self, member: Member) -> bool {
        let suspect = self.peers.get(&member.server).and_then(|it| it.suspect);
        let is_examined = suspect
            .is_some_and(|it| it.incarnation == member.incarnation && it.is_fresh(self.called_at));
        is_examined || self.is_dead(member)
    }

    /// A connect to a server's own address was refused.
    pub(super) fn refused_at(&mut self, server: ServerId, now: Time) {
        let Some(peer) = self.peers.get_mut(&server) else {
            return;
        };
        let Some(suspect) = &mut peer.suspect else {
            return;
        };
        if suspect
            .refused_at
            .is_some_and(|at| now.since(at) < REFUSALS_APART)
        {
            return;
        }
        suspect.refusals += 1;
        suspect.refused_at = Some(now);
        let process = Member {
            server,
            incarnation: suspect.incarnation,
        };
        let address = suspect.address.ip();
        if suspect.refusals >= REFUSALS_ENOUGH
            && self.trusts_refusals_of(address)
            && !self.is_vouched_for(process, now)
        {
            self.establish_dead(server, now);
        }
    }

    /// Whether a refused connect to this address proves that nobody listens there, and not only that something in
    /// between says so. The most careful of all servers decides: it would be of no use to be the only one.
    fn trusts_refusals_of(&self, address: IpAddr) -> bool {
        let others = self.peers.values().filter_map(|peer| peer.report);
        let mine = self.config.trust_refused;
        let least = others.map(|it| it.trust_refused).fold(mine, Ord::min);
        match least {
            _ if self.sabotage.refusals_believed => true,
            TrustRefused::Nowhere => false,
            TrustRefused::OnThisHost => address.is_loopback() || address == self.config.own_ip,
            TrustRefused::Everywhere => true,
        }
    }

    /// A connect to a server's own address was answered by this process.
    pub(super) fn answered_by(&mut self, server: ServerId, by: Member, now: Time) {
        let suspect = self.peers.get(&server).and_then(|peer| peer.suspect);
        if suspect.is_some_and(|it| by.server != server || by.incarnation != it.incarnation) {
            self.establish_dead(server, now);
        }
    }

    /// The process that may have ended has, if it was fresh until now.
    fn establish_dead(&mut self, server: ServerId, now: Time) {
        let Some(suspect) = self.peers.get(&server).and_then(|peer| peer.suspect) else {
            return;
        };
        let member = Member {
            server,
            incarnation: suspect.incarnation,
        };
        if !self.sabotage.no_freshness && !suspect.is_fresh(now) {
            return;
        }
        let is_news = !self.is_dead(member);
        if let Some(peer) = self.peers.get_mut(&server) {
            peer.suspect = None;
        }
        if !is_news {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&server) {
            let descent = match peer.incarnation == Some(suspect.incarnation) {
                true => peer.descent.clone(),
                false => Vec::new(),
            };
            peer.dead.push(DeadProcess {
                first_here: suspect.first_here,
                process: suspect.incarnation,
                descent,
            });
            let beyond = peer.dead.len().saturating_sub(DEAD_REMEMBERED_MAX);
            peer.dead.drain(..beyond);
        }
        self.unsettled = true;
        self.note(Note::Dead(member));
    }

    /// Somebody hears a process that was thought to have ended: the refusals were forged.
    pub(super) fn not_dead(&mut self, server: ServerId) {
        if let Some(peer) = self.peers.get_mut(&server) {
            peer.dead.clear();
            peer.suspect = None;
        }
    }

    /// The views that another server stands in.
    pub(super) fn standing_of(&mut self, server: ServerId, standing: Standing) {
        let report = standing.report;
        self.highest_seen = self.highest_seen.max(report.promised).max(report.newest);
        if let Some(peer) = self.peers.get_mut(&server) {
            peer.standing = standing.views;
            peer.descent = standing.descent;
        }
        self.reported(server, report);
        self.unsettled = true;
    }

    /// Keeps what a server says of itself. Options that servers should have in common are looked at
    /// when a process says something for the first time.
    fn reported(&mut self, server: ServerId, report: Report) {
        let mine = self.report();
        let differs =
            report.grace_ms != mine.grace_ms || report.trust_refused != mine.trust_refused;
        let Some(peer) = self.peers.get_mut(&server) else {
            return;
        };
        let is_first = peer.report.replace(report).is_none();
        if is_first && differs {
            self.note(Note::OptionsDiffer(server));
        }
    }

    /// Another server is about to end, or leaves the view, perhaps for its disk.
    pub(super) fn peer_leaves(&mut self, server: ServerId) {
        self.ban_if_slow(server);
        if let Some(peer) = self.peers.get_mut(&server) {
            peer.leaving = true;
        }
        self.unsettled = true;
    }

    /// Whether a promise binds no longer: its View op is in this log, where the view itself takes
    /// its place; or it can lead to nothing any more, since a member of the view that it is for
    /// has promised a higher number, or has ended, without having its View op in its log. It will
    /// never have it, so the view never comes in force.
    pub(super) fn is_released(&self, binding: &Binding) -> bool {
        let number = binding.number;
        if self.log.has_view(number) {
            return true;
        }
        binding.members.iter().any(|member| {
            if *member == self.me() {
                return self.promised() > number;
            }
            let Some(rumour) = self.rumours.get(&member.server) else {
                return false;
            };
            // Logs that have a later view in common have all before it in common, too: what is
            // not before it here is not before it there.
            let lacks_it = rumour.newest < number || self.log.has_view(rumour.newest);
            // What a process says that runs on an older copy of the folder says nothing of it.
            let is_later = rumour.member != *member;
            lacks_it
                && self.gossiped_continues(rumour, *member)
                && (rumour.promised > number || is_later)
        })
    }

    /// Whether a promise to another candidate forbids to help `candidate`.
    pub(super) fn is_bound_against(&self, candidate: Member) -> bool {
        !self.sabotage.unbound
            && self
                .vote
                .bindings
                .iter()
                .any(|b| !b.members.contains(&candidate) && !self.is_released(b))
    }
}
