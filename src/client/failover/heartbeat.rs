//! Is the server that serves still there, and how is its cluster?

use super::super::cluster::Cluster;
use super::asking::Open;
use super::{Client, Output, Wish};
use crate::types::Time;

impl Client {
    /// When the server that serves is asked whether it is there.
    pub(super) fn heartbeat_at(&self) -> Option<Time> {
        let link = self.links.get(&self.current?)?;
        if !self.open.is_empty() || !link.connection.is_settled() {
            return None;
        }
        // Nobody depends on it, and the server would keep who has nothing to say.
        if !self.wants_link() {
            return None;
        }
        let status = self.settings.status_interval;
        let status_at = status.map(|interval| self.status_at + interval);
        let heartbeat_at = link.connection.heard_at() + self.settings.heartbeat;
        Some(status_at.map_or(heartbeat_at, |at| at.min(heartbeat_at)))
    }

    pub(super) fn ask_whether_there(&mut self, now: Time) {
        let interval = self.settings.status_interval;
        if interval.is_some_and(|it| self.status_at + it <= now) {
            self.status_at = now;
            self.ask_oneself(Wish::Status, now);
        } else {
            self.ask_oneself(Wish::Ping, now);
        }
    }

    pub(super) fn learn(&mut self, cluster: &Cluster) {
        let members: Vec<_> = cluster
            .members
            .iter()
            .map(|member| member.address)
            .collect();
        if let Some(id) = self.known.cluster
            && !members.is_empty()
            && members != self.known.members
        {
            self.known.members.clone_from(&members);
            self.outputs.push_back(Output::Learnt {
                cluster: id,
                members,
            });
        }
    }

    /// The state of the cluster is asked for when there is next time for it.
    pub fn look_at_cluster(&mut self, now: Time) {
        let is_asked = |open: &Open| open.wish == Wish::Status;
        if self.current.is_some() && !self.open.values().any(is_asked) && self.can_ask() {
            self.status_at = now;
            self.ask_oneself(Wish::Status, now);
            self.go_on(now);
        }
    }
}
