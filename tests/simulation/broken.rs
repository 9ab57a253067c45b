//! Would the simulator notice if a rule were missing?
//!
//! Each variant leaves out one of the rules by which nothing is lost. If a thousand runs do not
//! find it, the runs are too tame.

use super::settings::Broken;

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// An op is committed when a majority has it.
    CommitByMajority,
    /// Reads, and verdicts of death, need no fresh echo.
    NoFreshness,
    /// A promise is told before it is on disk. Whoever loses one is another process from then on,
    /// which votes for nothing before it is admitted, so nobody takes a promise back; but its own
    /// next proposal may have the number of one that is still under way.
    PromiseNotSynced,
    /// A candidate asks the members of its newest view alone.
    NoStandingViews,
    /// Nobody objects, and nobody says whom he hears.
    NoVeto,
    /// Refused connects are believed on any network.
    RefusalsBelieved,
    /// Refused connects are believed, though somebody says that he hears the process.
    NoWitness,
    /// A promise binds nobody.
    Unbound,
    /// A process with a higher counter passes for one that continues another.
    CounterForDescent,
    /// A copy of the folder of a running server passes for the folder.
    CopiesUndetected,
    /// A primary does not ask after which grace the others would leave it out.
    OwnLimitOnly,
    /// An order to lead alone that was dealt with is carried out at a later start.
    OrdersStay,
    /// Of several servers that are ordered to lead alone, none waits for another.
    OrdersApart,
    /// A primary is forced beside others that serve.
    ForceBlindly,
    /// A damaged journal is no obstacle at a cold start, whatever its server has promised.
    DamagedCounts,
    /// Links sleep on after a cut.
    SleepingLinks,
    /// Nobody says where others are.
    NoGossip,
    /// A process that has just begun takes connections that it cannot answer yet.
    ListensEarly,
    /// Time-outs do not follow the disks, and an attempt that waits for one is given up.
    Impatient,
    /// A primary gives messages the time of its own wall clock.
    OwnClock,
    /// A server with a damaged store goes on as if nothing were wrong.
    DamageIgnored,
    /// A client goes on in another session after a failover, where its numbers are new.
    AnotherSession,
    /// A client forgets after a failover what it has seen.
    SeenForgotten,
    /// A client believes a server that is behind.
    BehindBelieved,
}

impl Variant {
    pub const ALL: &'static [Self] = &[
        Self::CommitByMajority,
        Self::NoFreshness,
        Self::PromiseNotSynced,
        Self::NoStandingViews,
        Self::NoVeto,
        Self::RefusalsBelieved,
        Self::NoWitness,
        Self::Unbound,
        Self::CounterForDescent,
        Self::CopiesUndetected,
        Self::OwnLimitOnly,
        Self::ForceBlindly,
        Self::OrdersStay,
        Self::OrdersApart,
        Self::DamagedCounts,
        Self::SleepingLinks,
        Self::NoGossip,
        Self::ListensEarly,
        Self::Impatient,
        Self::OwnClock,
        Self::DamageIgnored,
        Self::AnotherSession,
        Self::SeenForgotten,
        Self::BehindBelieved,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::CommitByMajority => "commit-by-majority",
            Self::NoFreshness => "no-freshness",
            Self::PromiseNotSynced => "promise-not-synced",
            Self::NoStandingViews => "no-standing-views",
            Self::NoVeto => "no-veto",
            Self::RefusalsBelieved => "refusals-believed",
            Self::NoWitness => "no-witness",
            Self::Unbound => "unbound",
            Self::CounterForDescent => "counter-for-descent",
            Self::CopiesUndetected => "copies-undetected",
            Self::OwnLimitOnly => "own-limit-only",
            Self::ForceBlindly => "force-blindly",
            Self::OrdersStay => "orders-stay",
            Self::OrdersApart => "orders-apart",
            Self::DamagedCounts => "damaged-counts",
            Self::SleepingLinks => "sleeping-links",
            Self::NoGossip => "no-gossip",
            Self::ListensEarly => "listens-early",
            Self::Impatient => "impatient",
            Self::OwnClock => "own-clock",
            Self::DamageIgnored => "damage-ignored",
            Self::AnotherSession => "another-session",
            Self::SeenForgotten => "seen-forgotten",
            Self::BehindBelieved => "behind-believed",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }

    /// A seed that has found it, where the first hundred do not. It only saves the time of the runs before it.
    pub fn was_found_by(self) -> u64 {
        match self {
            Self::NoFreshness | Self::OwnLimitOnly => 323,
            Self::NoVeto => 208,
            Self::RefusalsBelieved => 584,
            Self::NoWitness => 908,
            Self::CopiesUndetected => 418,
            Self::ListensEarly => 198,
            Self::Impatient => 130,
            _ => 0,
        }
    }

    pub fn broken(self) -> Broken {
        let mut broken = Broken::default();
        match self {
            Self::CommitByMajority => broken.replica.commit_by_majority = true,
            Self::NoFreshness => broken.replica.no_freshness = true,
            Self::PromiseNotSynced => broken.promise_not_synced = true,
            Self::NoStandingViews => broken.replica.newest_view_only = true,
            Self::NoVeto => broken.replica.no_veto = true,
            Self::RefusalsBelieved => broken.replica.refusals_believed = true,
            Self::NoWitness => broken.replica.no_witness = true,
            Self::Unbound => broken.replica.unbound = true,
            Self::CounterForDescent => broken.replica.counter_for_descent = true,
            Self::CopiesUndetected => broken.copies_undetected = true,
            Self::OwnLimitOnly => broken.replica.own_limit_only = true,
            Self::ForceBlindly => broken.replica.force_blindly = true,
            Self::OrdersStay => broken.replica.orders_stay = true,
            Self::OrdersApart => broken.replica.orders_apart = true,
            Self::DamagedCounts => broken.replica.damaged_counts = true,
            Self::SleepingLinks => broken.replica.sleeping_links = true,
            Self::NoGossip => broken.replica.no_gossip = true,
            Self::ListensEarly => broken.listens_early = true,
            Self::Impatient => broken.replica.impatient = true,
            Self::OwnClock => broken.replica.own_clock = true,
            Self::DamageIgnored => broken.replica.damage_ignored = true,
            Self::AnotherSession => broken.client.another_session = true,
            Self::SeenForgotten => broken.client.seen_forgotten = true,
            Self::BehindBelieved => broken.client.behind_believed = true,
        }
        broken
    }
}
