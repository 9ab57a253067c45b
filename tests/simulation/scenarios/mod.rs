//! Does each fault of the design's table do what stands beside it?
//!
//! The numbers in the names are those of the design's table of faults to survive. Each scenario is played
//! with a number of seeds, which differ in their times; the checker looks on all the while. What is
//! about real disks, descriptors and clients is tested with real processes, and not here.

mod crashes;
mod disks;
mod networks;
mod pauses;
mod view_changes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lastword::replica::NotReady;
use lastword::types::ServerId;

use super::settings::{MILLISECOND, SECOND, Settings};
use super::trace;
use super::world::World;

/// How long nobody may serve, to be sure that nobody will: several times the grace.
const LONG: u64 = 6 * SECOND;
/// What a change of view may take when somebody is silent: the grace, and a little.
const AFTER_GRACE: u64 = 3 * SECOND;
/// What one may take when somebody is dead.
const AT_ONCE: u64 = SECOND;

/// Plays a scenario with some seeds, on a cluster of so many servers that serves, with everybody in
/// sync and under load.
fn play(servers: usize, seeds: u64, scenario: impl Fn(&mut World)) {
    play_with(Settings::calm(servers), seeds, scenario);
}

fn play_with(settings: Settings, seeds: u64, scenario: impl Fn(&mut World)) {
    // Without optimisation a fifth of them has to do; `SIMULATE_ALL=1` plays them all.
    let all = std::env::var_os("SIMULATE_ALL").is_some();
    for seed in 0..if all { seeds } else { seeds.div_ceil(5) } {
        let run = || {
            let mut world = World::new(seed, settings.clone());
            world.begin();
            world.expect_serving("a new cluster");
            world.expect_settled();
            let load = world.random.between(50, 500) * MILLISECOND;
            world.run_for(load);
            scenario(&mut world);
        };
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            trace::begin();
            let again = catch_unwind(AssertUnwindSafe(run));
            let lines = trace::end();
            let shown = std::env::var("SIMULATE_LINES").ok();
            let shown = shown.and_then(|it| it.parse().ok()).unwrap_or(120);
            for line in &lines[lines.len().saturating_sub(shown)..] {
                println!("{line}");
            }
            println!("this was seed {seed} of the scenario");
            again.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            panic!("seed {seed} failed once, and not again");
        }
    }
}

impl World {
    /// Who serves; there has to be one.
    pub fn primary(&self) -> usize {
        match self.serving()[..] {
            [primary] => primary,
            ref serving => panic!("{serving:?} serve:\n{}", self.describe()),
        }
    }

    /// The others, lowest first.
    pub fn others(&self, than: usize) -> Vec<usize> {
        (0..self.hosts.len()).filter(|it| *it != than).collect()
    }

    /// Somebody out of these serves within a time, and goes on to acknowledge.
    fn expect_served_by(&mut self, hosts: &[usize], within: u64) -> usize {
        let serves = self.run_until(
            within,
            |world| matches!(world.serving()[..], [one] if hosts.contains(&one)),
        );
        assert!(
            serves,
            "none of {hosts:?} serves alone within {} ms:\n{}",
            within / MILLISECOND,
            self.describe()
        );
        let before = self.checker.acknowledged;
        let time = self.clients_time();
        let goes_on = self.run_until(time, |it| it.checker.acknowledged > before + 3);
        assert!(goes_on, "nothing is acknowledged:\n{}", self.describe());
        self.primary()
    }

    /// None of these serves, all the time.
    fn expect_refusal(&mut self, hosts: &[usize], for_so_long: u64) {
        let served = self.run_until(for_so_long, |world| {
            world.serving().iter().any(|it| hosts.contains(it))
        });
        assert!(!served, "one of {hosts:?} serves:\n{}", self.describe());
    }

    /// A server says that it waits for another one.
    fn expect_waits_for(&self, host: usize, server: ServerId) {
        let why = self.hosts[host].replica().not_ready();
        let waits = match &why {
            Some(NotReady::Servers(servers)) => servers.iter().any(|it| it.server == server),
            _ => false,
        };
        assert!(
            waits,
            "the server at {} does not say that it waits for {server}, but {why:?}",
            host + 1
        );
    }

    /// Nothing goes between two hosts.
    pub fn cut_apart(&mut self, one: usize, other: usize) {
        self.cut(one, other);
        self.cut(other, one);
    }

    fn isolate(&mut self, host: usize) {
        for other in self.others(host) {
            self.cut_apart(host, other);
        }
    }

    pub fn server_id(&self, host: usize) -> ServerId {
        self.hosts[host].server.expect("it has joined")
    }

    pub fn while_random(&mut self, low: u64, high: u64) {
        let duration = self.random.between(low, high);
        self.run_for(duration);
    }

    /// The hosts in a random order.
    pub fn shuffled(&mut self) -> Vec<usize> {
        let mut hosts: Vec<usize> = (0..self.hosts.len()).collect();
        for last in (1..hosts.len()).rev() {
            let other = self.random.index(last + 1);
            hosts.swap(last, other);
        }
        hosts
    }

    /// The end of most scenarios.
    fn expect_a_good_end(&mut self) {
        self.repair_all();
        self.expect_recovery();
    }
}
