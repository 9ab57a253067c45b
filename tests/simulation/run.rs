//! Does a cluster keep what it promises while everything goes wrong, and serve when it is over?
//!
//! A run draws a cluster, its faults and its clients from its seed. When the faults are over,
//! everything is repaired, and then the cluster has to serve within a bounded time, bring everybody
//! up to date, and stay as it is; and every server has to hold what was acknowledged.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lastword::store::{Found, Query, Range, Scope, Store};
use lastword::types::{OpNumber, TrustRefused};

use super::aimed::{PLAYERS, Story};
use super::broken::Variant;
use super::faults::Faults;
use super::random::Random;
use super::settings::{SECOND, Settings};
use super::trace;
use super::world::World;

/// How long a cluster without faults may take until it serves.
pub const SERVES_WITHIN: u64 = 15 * SECOND;
/// How long it may then take until everybody is a member and up to date.
pub const SETTLES_WITHIN: u64 = 20 * SECOND;
/// How long nothing may change then.
const STAYS_FOR: u64 = 2 * SECOND;

/// Of 100 runs, so many go on with slow disks when all other faults are over.
const SLOW_DISKS_PERCENT: u64 = 25;

/// Which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    /// `None`: the seed says how many.
    pub servers: Option<usize>,
    /// A rule that is broken on purpose.
    pub variant: Option<Variant>,
}

/// What a run was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The same for the same run.
    pub fingerprint: u64,
    pub events: u64,
    pub simulated: u64,
    pub acknowledged: u64,
    pub reads: u64,
    pub ops: u64,
    pub rounds: u64,
    pub starts: u64,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            servers: None,
            variant: None,
        }
    }

    /// The command that repeats this run.
    pub fn command(&self) -> String {
        let mut command = format!("scripts/simulate --seed {}", self.seed);
        if let Some(servers) = self.servers {
            command += &format!(" --servers {servers}");
        }
        if let Some(variant) = self.variant {
            command += &format!(" --broken {}", variant.name());
        }
        command
    }

    /// Runs it, to the end or until something is violated: then with what was.
    pub fn run(&self) -> Result<Summary, String> {
        catch_unwind(AssertUnwindSafe(|| self.run_or_panic())).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()))
                .unwrap_or_else(|| "a panic without a text".to_owned())
        })
    }

    /// Runs it again, and tells what happened last.
    pub fn tell(&self, lines: usize) -> String {
        trace::begin();
        let result = self.run();
        let told = trace::end();
        let last = &told[told.len().saturating_sub(lines)..];
        let verdict = match result {
            Ok(summary) => format!("nothing was violated: {summary:?}"),
            Err(violation) => violation,
        };
        format!(
            "{}\n\n{verdict}\n\nagain: {}",
            last.join("\n"),
            self.command()
        )
    }

    fn run_or_panic(&self) -> Summary {
        let mut random = Random::new(self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        if let Some(story) = Story::of(self.seed)
            && self.servers.is_none_or(|it| it == PLAYERS)
        {
            return self.play(story, &mut random);
        }
        let drawn = match random.below(10) {
            0 => 2,
            1 => 4,
            2..5 => 5,
            _ => 3,
        };
        let mut settings = Settings::drawn(self.servers.unwrap_or(drawn), &mut random);
        let is_trusting = random.percent(90);
        if !is_trusting {
            settings.config.trust_refused = TrustRefused::OnThisHost;
        }
        if let Some(variant) = self.variant {
            settings.broken = variant.broken();
        }
        let faults = Faults::drawn(&mut random, is_trusting);
        // What the network and the disks do wrong now and then begins with the other faults.
        let bad = settings.clone();
        settings.loss_per_mille = 0;
        settings.duplicates_per_mille = 0;
        settings.long_sync_per_mille = 0;
        let mut world = World::new(self.seed, settings);
        world.begin();
        if random.percent(80) {
            world.expect_serving("a new cluster");
        }
        let duration = random.scaled(SECOND, 8 * SECOND);
        world.settings = bad;
        world.go_wrong(faults, duration);
        world.run_for(duration);
        world.repair_all();
        if random.percent(SLOW_DISKS_PERCENT) {
            world.endure_slow_disks(&mut random);
        }
        world.expect_recovery();
        world.summary()
    }

    fn play(&self, story: Story, random: &mut Random) -> Summary {
        let mut settings = Story::settings(random);
        if let Some(variant) = self.variant {
            settings.broken = variant.broken();
        }
        let mut world = World::new(self.seed, settings);
        world.begin();
        world.play(story);
        world.repair_all();
        world.expect_recovery();
        world.summary()
    }
}

impl World {
    pub fn expect_serving(&mut self, what: &str) {
        let serves = self.run_until(SERVES_WITHIN, |it| it.serving().len() == 1);
        assert!(
            serves,
            "LIVE: {what} does not serve within {} s:\n{}",
            SERVES_WITHIN / SECOND,
            self.describe()
        );
    }

    pub fn expect_settled(&mut self) {
        let settles = self.run_until(SETTLES_WITHIN, Self::is_settled);
        assert!(
            settles,
            "LIVE: not everybody is in sync within {} s:\n{}",
            SETTLES_WITHIN / SECOND,
            self.describe()
        );
    }

    /// Everything works again, and stays so.
    pub fn expect_recovery(&mut self) {
        self.expect_serving("a cluster without faults");
        self.expect_settled();
        // Somebody may not have noticed yet what was wrong before.
        self.run_for(3 * SECOND);
        self.expect_settled();
        let round = self.newest_round();
        let before = self.answers_of_all();
        let time = self.clients_time();
        let goes_on = self.run_until(time, |it| {
            let now = it.answers_of_all();
            now.iter()
                .zip(&before)
                .all(|(now, before)| *now >= before + 2)
        });
        assert!(
            goes_on,
            "LIVE: clients are not answered:\n{}",
            self.describe()
        );
        self.run_for(STAYS_FOR);
        assert_eq!(
            self.newest_round(),
            round,
            "STABLE: the view has changed without a reason:\n{}",
            self.describe()
        );
        self.let_clients_rest();
        let is_done = self.run_until(self.clients_time(), |it| {
            it.clients_have_everything() && it.is_settled()
        });
        assert!(
            is_done,
            "LIVE: requests stay open, or messages do not come:\n{}",
            self.describe()
        );
        self.expect_everything();
    }

    /// The round of the newest view that a running server knows.
    pub fn newest_round(&self) -> u64 {
        let running = self.hosts.iter().filter_map(|it| it.process.as_ref());
        let views = running.filter_map(|it| it.replica.view());
        views.map(|it| it.number.round()).max().unwrap_or(0)
    }

    /// Every running server holds everything that was acknowledged.
    pub fn expect_everything(&mut self) {
        for host in 0..self.hosts.len() {
            if let Some(found) = self.messages_at(host) {
                self.checker.compare(host, &found);
                let process = self.hosts[host].process.as_ref();
                process.expect("it has messages").state.check_invariants();
            }
        }
    }

    /// All messages in the store of a running server.
    fn messages_at(&mut self, host: usize) -> Option<BTreeMap<u64, String>> {
        let host = &mut self.hosts[host];
        let process = host.process.as_ref().filter(|it| it.has_data)?;
        let generation = process.superblock.generation;
        let store = host.disk.stores.get_mut(&generation)?;
        let mut messages = BTreeMap::new();
        for (_, account) in process.state.accounts_after(None) {
            let mut after = OpNumber::ZERO;
            loop {
                let range = Range {
                    account,
                    scope: Scope::All,
                    after,
                    before: OpNumber::MAX,
                };
                let page = Query::Page { range, limit: 1000 };
                let Ok(Found::Page {
                    messages: page,
                    more,
                }) = store.query(&page)
                else {
                    panic!("a store in memory answers");
                };
                after = page.last().map_or(after, |it| it.id);
                messages.extend(page.into_iter().map(|it| (it.id.0, it.text)));
                if !more {
                    break;
                }
            }
        }
        Some(messages)
    }

    pub fn summary(&self) -> Summary {
        Summary {
            fingerprint: self.fingerprint.0,
            events: self.events,
            simulated: self.now,
            acknowledged: self.checker.acknowledged,
            reads: self.checker.reads,
            ops: self.checker.length(),
            rounds: self.checker.views,
            starts: self.hosts.iter().map(|it| it.starts).sum(),
        }
    }
}
