//! Which chains of events are too long for chance?
//!
//! Some rules are missed only when several things go wrong in a certain order, each just after the
//! one before. One seed in five plays such a story instead of the random faults: who has which part
//! in it and how long everything takes is drawn, and the end is the same as that of every other run.
//! With the rule in its place nothing comes of it.

use std::time::Duration;

use lastword::replica::{NotReady, Role};
use lastword::types::TrustRefused;

use super::process::Arrival;
use super::random::Random;
use super::settings::{MICROSECOND, MILLISECOND, SECOND, Settings};
use super::world::{Event, Repair, World};

/// One seed in so many plays a story.
const ONE_IN: u64 = 5;
/// Which of them.
const REMAINDER: u64 = 3;
/// One seed in so many plays a story about orders to lead alone.
const ORDERS_ONE_IN: u64 = 25;
/// So many servers play.
pub const PLAYERS: usize = 3;
/// How long everybody waits at most for what a story needs.
const PATIENCE: u64 = 3 * SECOND;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A view is decided, and before the other member has it the two are cut apart: the one has a
    /// majority in the old view, and the other one in the new. (Each standing view is asked.)
    HalfAView,
    /// The link of two is reset and refused, and a third hears both. (A member that hears somebody objects,
    /// and who is no member says whom it hears.)
    OneLinkRefused,
    /// A folder is copied, its server serves alone later, and the copy is put back and started again
    /// and again. (A counter does not prove descent, and a copy is no original.)
    OldCopy,
    /// Servers are restarted with other options, one after the other, and the primary is cut off.
    /// (Who is fresh is a matter of the others' grace.)
    OtherGrace,
    /// A server that comes back behind has an order to lead alone, and the others serve. (It is not
    /// carried out.)
    ForcedBeside,
    /// An order to lead alone that was refused is still there when everything was down.
    OrderLeftBehind,
    /// Several servers are ordered to lead alone at nearly the same time.
    ForcedTogether,
    /// Everything was down, and one journal is damaged meanwhile: that of any server, also of one
    /// that had gone on alone. (What it has promised tells which.)
    DamagedWhileDown,
    /// A member consents to a view without itself, and would like to lead another one when nothing
    /// more is heard of that. (A promise binds.)
    LeftOut,
    /// Servers are cut off for long. (Links do not sleep on when the way is open again.)
    LongCut,
    /// When everything was down, servers come back at other addresses. (They are told of each other.)
    OtherAddresses,
    /// A primary dies, is started again at once, and dies again before it can do anything. (A death is
    /// proven all the same.)
    CrashLoop,
}

impl Story {
    pub const ALL: &'static [Self] = &[
        Self::HalfAView,
        Self::OneLinkRefused,
        Self::LeftOut,
        Self::OldCopy,
        Self::OtherGrace,
        Self::ForcedBeside,
        Self::DamagedWhileDown,
        Self::LongCut,
        Self::OtherAddresses,
        Self::CrashLoop,
    ];

    /// Those about orders to lead alone.
    const ORDERS: &[Self] = &[Self::OrderLeftBehind, Self::ForcedTogether];

    /// What a seed plays, if it plays a story.
    pub fn of(seed: u64) -> Option<Self> {
        if seed % ORDERS_ONE_IN == 1 {
            let turn = (seed / ORDERS_ONE_IN) as usize % Self::ORDERS.len();
            return Some(Self::ORDERS[turn]);
        }
        let turn = (seed / ONE_IN) as usize % Self::ALL.len();
        (seed % ONE_IN == REMAINDER).then(|| Self::ALL[turn])
    }

    /// What the network and the disks are like: any latencies, and no losses. Nobody knows an address
    /// that the log does not say.
    pub fn settings(random: &mut Random) -> Settings {
        let mut settings = Settings::drawn(PLAYERS, random);
        settings.config.trust_refused = TrustRefused::Everywhere;
        settings.loss_per_mille = 0;
        settings.duplicates_per_mille = 0;
        settings.long_sync_per_mille = 0;
        settings.knows_peers = false;
        settings.clients = settings.clients.max(4);
        settings
    }
}

impl World {
    /// Plays a story with a new cluster.
    pub fn play(&mut self, story: Story) {
        self.say(|| format!("the story: {story:?}"));
        self.expect_serving("a new cluster");
        self.expect_settled();
        if self.random.percent(60) {
            self.change_primary();
        }
        self.while_random(0, 300 * MILLISECOND);
        match story {
            Story::HalfAView => self.half_a_view(),
            Story::OneLinkRefused => {
                for _ in 0..self.random.between(1, 3) {
                    self.expect_settled();
                    self.one_link_refused();
                }
                if self.random.percent(60) {
                    self.expect_settled();
                    self.link_beside_a_learner_refused();
                }
            }
            Story::LeftOut => self.left_out(),
            Story::OldCopy => self.old_copy(),
            Story::OtherGrace => self.other_grace(),
            Story::ForcedBeside => self.forced_beside(),
            Story::OrderLeftBehind => self.order_left_behind(),
            Story::ForcedTogether => self.forced_together(),
            Story::DamagedWhileDown => self.damaged_while_down(),
            Story::LongCut => self.long_cut(),
            Story::OtherAddresses => {
                for _ in 0..self.random.between(1, 2) {
                    self.expect_settled();
                    self.other_addresses();
                }
            }
            Story::CrashLoop => self.crash_loop(),
        }
    }

    /// Anybody may lead when it begins.
    fn change_primary(&mut self) {
        let primary = self.primary();
        self.kill(primary);
        self.run_until(PATIENCE, |it| !it.serving().is_empty());
        self.start(primary);
        self.expect_settled();
    }

    /// The primary goes while one of the others sleeps, so that the third stands for a view of both.
    /// It has its View op on disk, and nobody else, when it is cut off: it is the first in its own
    /// view. In the one before the sleeper is the first without the old primary, if that is dead,
    /// and has a majority with it, if it was only silent.
    fn half_a_view(&mut self) {
        let primary = self.primary();
        let [mut sleeper, mut candidate] = self.others(primary)[..] else {
            return;
        };
        let is_in_turn = self.server_id(sleeper) < self.server_id(candidate);
        if is_in_turn != self.random.percent(90) {
            std::mem::swap(&mut sleeper, &mut candidate);
        }
        let round = self.newest_round();
        let is_silent = self.random.percent(30);
        if is_silent {
            self.pause(primary);
            self.while_random(850 * MILLISECOND, 1100 * MILLISECOND);
        }
        self.pause(sleeper);
        let sleep = self.random.between(15 * MILLISECOND, 300 * MILLISECOND);
        self.after(sleep, Event::Over(Repair::Resume { host: sleeper }));
        if !is_silent {
            self.while_random(0, 10 * MILLISECOND);
            if self.random.percent(60) {
                self.ask_to_leave(primary);
            } else {
                self.kill(primary);
            }
        }
        if !self.run_until_event(PATIENCE, |it| it.has_decided(candidate, round)) {
            return;
        }
        self.cut_apart(sleeper, candidate);
        self.cut_apart(primary, candidate);
        if is_silent {
            self.while_random(0, 500 * MILLISECOND);
            self.resume(primary);
        } else {
            self.while_random(0, 5 * MILLISECOND);
            self.kill(primary);
        }
        self.while_random(2 * SECOND, 4 * SECOND);
    }

    /// Refusals are forged on one link while everybody runs and every other link works: nobody may
    /// be left out as long as nobody seems silent.
    fn one_link_refused(&mut self) {
        let one = self.random.index(PLAYERS);
        let other = self.others(one)[self.random.index(PLAYERS - 1)];
        self.checker.heard = self.hosts.iter().filter_map(|it| it.server).collect();
        self.refuse_link(one, other);
    }

    /// The same while the third is a learner: it is asked by nobody, and each of the two would go on
    /// without the other one.
    fn link_beside_a_learner_refused(&mut self) {
        let learner = self.random.index(PLAYERS);
        let others = self.others(learner);
        self.kill(learner);
        let are_two = self.run_until(PATIENCE, |it| {
            let serving = it.serving();
            serving.len() == 1 && serving[0] != learner
        });
        self.while_random(0, 500 * MILLISECOND);
        // It is not admitted before it has the log on its disk. (Who is stalled tells nobody whom it hears.)
        self.hosts[learner].sync_delay = 40 * MILLISECOND;
        self.start(learner);
        let is_linked = self.run_until(PATIENCE, |it| {
            others.iter().all(|other| it.are_linked(learner, *other))
        });
        // Its first Pings are there and echoed, and the next ones, too.
        self.while_random(150 * MILLISECOND, 300 * MILLISECOND);
        let members = self.hosts[others[0]].replica().view();
        if are_two && is_linked && members.is_some_and(|view| view.members.len() == 2) {
            self.checker.heard = others
                .iter()
                .filter_map(|it| self.hosts[*it].server)
                .collect();
            self.refuse_link(others[0], others[1]);
        }
        self.hosts[learner].sync_delay = 0;
    }

    /// Refuses and resets what two say to each other, one way or both ways, for less than the grace.
    fn refuse_link(&mut self, one: usize, other: usize) {
        let is_both = self.random.percent(50);
        self.refuse(one, other);
        if is_both {
            self.refuse(other, one);
        }
        self.forge_resets(one, other);
        self.while_random(200 * MILLISECOND, 700 * MILLISECOND);
        self.checker.heard.clear();
        self.accept(one, other);
        if is_both {
            self.accept(other, one);
        }
        // Who has two links refused at a time hears nobody who could object.
        self.run_until(PATIENCE, |it| it.are_linked(one, other));
        self.while_random(0, SECOND);
    }

    /// The primary of a view of two seems silent to the other one, which asks for a view of itself
    /// alone. It consents, and is cut off when that one leads.
    fn left_out(&mut self) {
        let primary = self.primary();
        let others = self.others(primary);
        let candidate = others[self.random.index(others.len())];
        for dead in others.into_iter().filter(|it| *it != candidate) {
            self.kill(dead);
        }
        let are_two = self.run_until(PATIENCE, |it| {
            let view = it.hosts[primary].replica().view();
            view.is_some_and(|view| view.members.len() == 2) && it.serving() == [primary]
        });
        if !are_two {
            return;
        }
        self.while_random(0, 500 * MILLISECOND);
        let round = self.newest_round();
        let end = if self.random.percent(70) {
            self.pause(primary);
            Repair::Resume { host: primary }
        } else {
            // It is asked meanwhile, and its answer comes late.
            let (from, to) = (primary, candidate);
            self.cut(from, to);
            Repair::Mend { from, to }
        };
        let silence = self.random.between(900 * MILLISECOND, 1800 * MILLISECOND);
        self.after(silence, Event::Over(end));
        if !self.run_until_event(PATIENCE, |it| it.has_decided(candidate, round)) {
            return;
        }
        self.cut_apart(primary, candidate);
        self.while_random(2 * SECOND, 4 * SECOND);
    }

    /// A copy of a folder that lacks what its server acknowledged alone is put in its place. As long
    /// as the right folder is away, nobody may serve; when it is back, everything is there.
    fn old_copy(&mut self) {
        let keeper = self.random.index(PLAYERS);
        let is_running = self.random.percent(50);
        if !is_running {
            self.kill(keeper);
            self.while_random(0, 100 * MILLISECOND);
        }
        let copy = self.hosts[keeper].disk.copied();
        for _ in 0..self.random.between(u64::from(!is_running), 2) {
            self.kill(keeper);
            self.while_random(0, 500 * MILLISECOND);
            self.start(keeper);
            self.expect_settled();
        }
        if !self.goes_on_alone(keeper) {
            return;
        }
        self.while_random(50 * MILLISECOND, SECOND);
        self.kill(keeper);
        let original = std::mem::replace(&mut self.hosts[keeper].disk, copy);
        for other in self.others(keeper) {
            self.start(other);
        }
        for _ in 0..self.random.between(1, 6) {
            self.start(keeper);
            self.while_random(100 * MILLISECOND, 1500 * MILLISECOND);
            self.kill(keeper);
        }
        self.hosts[keeper].disk = original;
        self.while_random(0, SECOND);
        self.start(keeper);
    }

    /// Everybody else dies, one after the other, so that one server serves alone.
    fn goes_on_alone(&mut self, last: usize) -> bool {
        let mut others = self.others(last);
        if self.random.percent(50) {
            others.reverse();
        }
        for other in others {
            self.kill(other);
            self.while_random(300 * MILLISECOND, 600 * MILLISECOND);
        }
        self.run_until(PATIENCE, |it| it.serving() == [last])
    }

    /// The primary keeps the old options, the others get a short grace. Clients reach everybody.
    fn other_grace(&mut self) {
        // Reads go on while writes wait.
        self.settings.thinking_time = 40 * MILLISECOND;
        self.settings.requests_open = 30;
        let primary = self.primary();
        let grace = self.random.between(250, 500);
        let timing = (
            Duration::from_millis(grace * 3 / 4),
            Duration::from_millis(grace),
        );
        for _ in 0..self.random.between(1, 3) {
            for other in self.others(primary) {
                self.hosts[other].timing = Some(timing);
                self.kill(other);
                self.while_random(0, 300 * MILLISECOND);
            }
            // The next times, somebody else led.
            self.run_until(PATIENCE, |it| it.serving() == [primary]);
            for other in self.others(primary) {
                self.start(other);
            }
            self.expect_settled();
            if self.serving() != [primary] {
                return;
            }
            for other in self.others(primary) {
                self.cut_apart(primary, other);
            }
            // Some people come back once, some look for another server then, and some stay.
            for _ in 0..3 {
                self.while_random(50 * MILLISECOND, 150 * MILLISECOND);
                self.break_lines(primary, 40);
            }
            self.while_random(500 * MILLISECOND, SECOND);
            self.while_random(0, SECOND);
            self.mend_all();
            self.while_random(SECOND, 2 * SECOND);
        }
        for host in 0..PLAYERS {
            self.hosts[host].timing = None;
            self.kill(host);
            self.start(host);
            self.while_random(0, SECOND);
        }
    }

    /// One server is away while the others serve, and comes back with an order to lead alone.
    fn forced_beside(&mut self) {
        let forced = self.random.index(PLAYERS);
        self.kill(forced);
        self.run_until(PATIENCE, |it| !it.serving().is_empty());
        self.while_random(200 * MILLISECOND, SECOND);
        for _ in 0..self.random.between(1, 2) {
            self.hosts[forced].has_order = true;
            self.start(forced);
            self.while_random(0, 5 * SECOND);
            self.kill(forced);
        }
        self.hosts[forced].has_order = self.random.percent(50);
        self.start(forced);
    }

    /// An order to lead alone was refused beside servers that serve, and stands in the unit file since.
    /// Then the others have more, everything is down, and that server is back first.
    fn order_left_behind(&mut self) {
        let ordered = self.random.index(PLAYERS);
        self.kill(ordered);
        self.run_until(PATIENCE, |it| !it.serving().is_empty());
        self.hosts[ordered].has_order = true;
        self.start(ordered);
        self.while_random(3 * SECOND, 6 * SECOND);
        self.kill(ordered);
        self.run_until(PATIENCE, |it| !it.serving().is_empty());
        self.while_random(200 * MILLISECOND, SECOND);
        let others = self.others(ordered);
        for other in &others {
            self.kill(*other);
        }
        self.start(ordered);
        self.while_random(0, 8 * SECOND);
        for other in others {
            self.start(other);
        }
    }

    /// Everything is down at once, and several servers are started with an order to lead alone, at
    /// nearly the same time. Each has everything: one leads, and the others follow it.
    fn forced_together(&mut self) {
        self.expect_settled();
        for host in 0..PLAYERS {
            self.kill(host);
        }
        let mut hosts = self.shuffled();
        let late = hosts.split_off(self.random.between(2, PLAYERS as u64) as usize);
        let apart = self.random.scaled(100 * MICROSECOND, 600 * MILLISECOND);
        for host in hosts {
            self.hosts[host].has_order = true;
            self.start(host);
            self.while_random(0, apart);
        }
        self.while_random(3 * SECOND, 8 * SECOND);
        for host in late {
            self.start(host);
        }
    }

    /// Everybody dies at once, or one after the other, so that the last one has served alone. Nobody
    /// may serve without that one; where nobody has, a damaged journal keeps nobody waiting.
    fn damaged_while_down(&mut self) {
        let damaged = self.random.index(PLAYERS);
        let was_alone = self.random.percent(50) && self.goes_on_alone(damaged);
        self.while_random(0, 500 * MILLISECOND);
        for host in 0..PLAYERS {
            self.kill(host);
        }
        let before = self.hosts[damaged].disk.copied();
        let mark = self.hosts[damaged].disk.mark;
        self.flip_bit_of_first(damaged);
        for host in 0..PLAYERS {
            self.start(host);
        }
        if !was_alone {
            self.while_random(SECOND, 5 * SECOND);
            return;
        }
        self.while_random(SECOND, 5 * SECOND);
        if self.hosts[damaged].replica().not_ready() != Some(NotReady::Damaged) {
            return; // The bit was in what the store holds as well: no harm was done.
        }
        // The right folder is put back from the very disk that it was on.
        self.kill(damaged);
        self.hosts[damaged].disk = before;
        self.hosts[damaged].disk.mark = mark;
        self.start(damaged);
    }

    /// One server, or each, is reached by nobody for so long that TCP hardly tries any more.
    fn long_cut(&mut self) {
        let all: Vec<usize> = (0..PLAYERS).collect();
        let one = self.random.index(PLAYERS);
        let cut_off = if self.random.percent(60) {
            &all[..]
        } else {
            &all[one..=one]
        };
        for host in cut_off {
            for other in self.others(*host) {
                self.cut_apart(*host, other);
            }
        }
        self.while_random(8 * SECOND, 40 * SECOND);
        self.mend_all();
        let serves = self.run_until(PATIENCE, |it| it.serving().len() == 1);
        assert!(
            serves,
            "LIVE: nobody serves after a cut:\n{}",
            self.describe()
        );
    }

    /// One dies, then the others; those come back elsewhere, and know only where the first one was.
    fn other_addresses(&mut self) {
        let stays = self.random.index(PLAYERS);
        self.kill(stays);
        let others = self.others(stays);
        self.run_until(PATIENCE, |it| !it.serving().is_empty());
        self.while_random(0, SECOND);
        for host in &others {
            self.kill(*host);
            self.move_away(*host);
            if self.random.percent(30) {
                self.while_random(0, 500 * MILLISECOND);
            }
        }
        for host in 0..PLAYERS {
            self.start(host);
        }
        self.expect_serving("a cluster of which two have moved");
    }

    /// What a supervisor makes of a primary that cannot live.
    fn crash_loop(&mut self) {
        let primary = self.primary();
        let others = self.others(primary);
        if self.random.percent(70) {
            let dead = others[self.random.index(others.len())];
            self.kill(dead);
            self.run_until(PATIENCE, |it| it.serving() == [primary]);
            self.while_random(0, 500 * MILLISECOND);
        }
        // On a line on which a connect takes longer than a process lives, nothing is learned of it while
        // the death before is fresh: connects have to be refused, or answered.
        let (shortest, longest) = self.settings.latency;
        self.settings.latency = (shortest.min(MILLISECOND), longest.min(2 * MILLISECOND));
        let start_time = self.random.scaled(2 * MILLISECOND, 600 * MILLISECOND);
        self.settings.start_time = (start_time / 2, start_time);
        let life = self.random.scaled(5 * MILLISECOND, 400 * MILLISECOND);
        let gap = self.random.scaled(200 * MICROSECOND, 3 * MILLISECOND);
        // It may come far enough to be admitted, and then every death of it ends a view for a moment.
        let end = self.now + 5 * SECOND;
        let mut is_served = false;
        while self.now < end {
            self.kill(primary);
            self.run_for(gap);
            self.start(primary);
            self.run_for(life);
            is_served |= self.serving().iter().any(|it| others.contains(it));
        }
        // Where it has gone on without all others, they are right to wait for it.
        let could_take_over = others.iter().any(|other| {
            let process = self.hosts[*other].process.as_ref();
            process.is_some_and(|it| it.replica.role() == Role::Backup)
        });
        assert!(
            is_served || !could_take_over,
            "LIVE: nobody takes over from a primary that is started again and again:\n{}",
            self.describe()
        );
    }

    /// SIGTERM, and it does not come back by itself.
    fn ask_to_leave(&mut self, host: usize) {
        if let Some(process) = &self.hosts[host].process {
            let number = process.number;
            self.say(|| format!("{} is asked to leave", host + 1));
            self.arrived(host, number, Arrival::Leave);
        }
    }

    /// A server has a view of its own on disk that is newer than this round.
    fn has_decided(&self, host: usize, round: u64) -> bool {
        let view = self.hosts[host]
            .process
            .as_ref()
            .and_then(|it| it.replica.view());
        view.is_some_and(|it| {
            it.number.round() > round && Some(it.primary) == self.hosts[host].server
        })
    }
}
