//! Disks that stay slow: is somebody elected all the same, and in bounded time?
//!
//! Every step of an election is a sync, and a server hears nothing while it waits for one. So the
//! time-outs have to follow the disks: an attempt that is given up before its promises can be on
//! the disks leads to the next one, which is given up, too.

use super::random::Random;
use super::settings::{MILLISECOND, SECOND};
use super::world::World;

/// How long an election may take where each sync takes a second at most.
pub const ELECTED_WITHIN: u64 = 10 * SECOND;
/// How long disks are slow at most before the primary dies.
const SLOW_FOR_MAX: u64 = 8 * SECOND;
/// A majority of so many members can go on without the primary, whatever is known of its end.
const MEMBERS_MIN: usize = 3;

impl World {
    /// All disks, or one, take long for each sync from now on.
    pub fn slow_down(&mut self, hosts: &[usize], delay: u64) {
        self.say(|| format!("syncs take {delay} ns at {hosts:?}"));
        for host in hosts {
            self.hosts[*host].sync_delay = delay;
        }
    }

    /// With slow disks the cluster serves, and goes on to serve when its primary is killed. In the
    /// end the disks are quick again and everybody runs.
    pub fn endure_slow_disks(&mut self, random: &mut Random) {
        self.expect_serving("a cluster before its disks are slow");
        self.expect_settled();
        let hosts: Vec<usize> = match random.percent(50) {
            true => (0..self.hosts.len()).collect(),
            false => vec![random.index(self.hosts.len())],
        };
        let delay = random.scaled(20 * MILLISECOND, SECOND);
        self.slow_down(&hosts, delay);
        self.run_for(random.between(0, SLOW_FOR_MAX));
        self.expect_elected(None);
        let primary = self.serving()[0];
        let view = self.hosts[primary].replica().view();
        if view.is_some_and(|view| view.members.len() >= MEMBERS_MIN) {
            self.kill(primary);
            self.expect_elected(Some(primary));
        }
        self.slow_down(&hosts, 0);
        self.start(primary);
    }

    /// One server serves, another one than `before`.
    fn expect_elected(&mut self, before: Option<usize>) {
        let is_elected = self.run_until(
            ELECTED_WITHIN,
            |it| matches!(it.serving()[..], [one] if Some(one) != before),
        );
        assert!(
            is_elected,
            "LIVE: with slow disks nobody is elected within {} s:\n{}",
            ELECTED_WITHIN / SECOND,
            self.describe()
        );
    }
}
