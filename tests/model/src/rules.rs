//! Which rules hold, how many faults may happen, and how servers and the network behave?
//!
//! A rule that can be taken out is a [`Guard`]. Taking it out must let the checker find what it
//! prevents: a guard whose absence nobody notices is a guard that nobody needs, or a checker that
//! does not look.

/// A rule that can be taken out. Each says what holds while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// An op is committed when every member has it, and not only most of them.
    EveryMemberHasIt,
    /// A primary that promises a higher number stops at once.
    PromisingPrimaryStops,
    /// Reads need a fresh echo of every other member.
    ReadsAreFresh,

    /// A refused connect counts only while the dead one was fresh.
    DeadWasFresh,
    /// A death is not established while somebody within reach hears the dead one.
    DeathIsUnopposed,
    /// No ping of a server is echoed that the promised view leaves out.
    NoEchoToTheExcluded,

    /// The candidate is a member of the newest view that it knows.
    CandidateIsIntact,
    /// A promise is for a number above all that were promised before.
    PromisesRise,
    /// Nobody promises a candidate whose newest view is older than his own.
    VoterIsNotNewer,
    /// A promise binds: no other proposal gets one that is led from outside of its members.
    PromiseBinds,
    /// A promise is released only by somebody who does not have its View op.
    ReleasedWithoutViewOp,
    /// It is released only by somebody whose log is whole: a damaged one may have had the View op.
    ReleasedByWholeLog,
    /// The quorum is asked in each standing view, and not only in the newest.
    EachStandingView,
    /// Known dead servers leave the denominator; they are no votes.
    DeadAreNoVotes,
    /// With as many promises as silences, the one who ranks first decides.
    TieNeedsPrecedence,
    /// Who counts as silent in the end was named as silent in the Propose.
    SilentWereNamed,
    /// Nobody promises a Propose that names someone silent whom he hears.
    HeardAreNotSilent,
    /// A View op is installed only by who has not promised a higher number.
    PromiserInstallsNothingLower,
    /// The candidate serves once every member has the View op, and not only most of them.
    InForceWithAll,
    /// A learner is admitted once it has the primary's newest View op, and so stands for nothing.
    LearnerKnowsTheView,

    /// A restarted server is another process, and no member.
    IncarnationRises,
    /// A cold start waits for every member of the views in question.
    ColdStartNeedsAll,
    /// A cold start asks all standing views, and not only the newest view.
    ColdStartAsksStandingViews,
    /// A cold start is led by a member of the newest view.
    ColdLeaderWasMember,

    /// In a cold start a process counts for an earlier one if its folder descends from that one,
    /// and not if it has counted more starts.
    ColdStartByDescent,
    /// Likewise where a later process of a member releases a promise.
    ReleaseByDescent,
    /// A process that starts on a copy of a folder descends from nothing, if the copied process had
    /// not ended by a clean stop.
    CopiesHaveNoSay,
    /// Nor if it had: the original may have been started since.
    CleanCopiesHaveNoSay,
    /// A process is silent because another one of its server answers only if that one answers at
    /// its own address.
    SuccessorAtTheAddress,
    /// A process is dead because another one of its server answers, or has died, only if that is so
    /// at its own address.
    DeathAtTheAddress,
    /// A server whose journal is damaged counts in a cold start if it cannot have been a member of
    /// any later view.
    DamagedStoodNoLater,

    /// Nobody is forced while a primary, or a member of the newest view, can be reached.
    ForcedWithoutIntact,
    /// Nobody is forced while a server that can be reached holds more.
    ForcedHoldsMost,
    /// A server is forced once, until it has been started without the flag.
    ForcedOnce,
    /// The view of a forced server is above every view in its log, of whatever lineage.
    ForcedNumberIsAboveItsLog,

    // What follows keeps the protocol going; nothing is lost without it.
    /// Promises are released at all.
    PromiseIsReleased,
    /// An intact server that cannot decide anything any more gives up its incarnation.
    Resignation,
    /// An intact server gives up its incarnation for a later process of another member only if that
    /// one descends from the member.
    ResignationByDescent,
    /// A learner is admitted once its folder's descent names it.
    NamedAreInDescent,
    /// Someone named silent who has promised the same number is no reason for a veto.
    PromisedAreNotSilent,

    // What follows was found to prevent nothing that the other rules do not prevent as well.
    /// A backup that has promised a higher number takes no op of a lower view. (Its candidate has
    /// to have every committed op, and no longer takes any once it has decided.)
    PromiserTakesNoPrepare,
    /// Every promise that was not released binds, and not only the newest. (A view's members are
    /// those of the view before, or fewer, so the newest binds to no less.)
    EveryPromiseBinds,
    /// The new view consists of servers that promised it, and a learner. (Whoever did not promise
    /// leaves it pending.)
    MembersPromised,
    /// A cold start is led by the longest log of the newest view's members. (Each of them that has
    /// its View op has all that was committed before, and all that was committed in it.)
    ColdLeaderIsAhead,
    /// A promise outlasts its giver's process. (A server that starts again is another process: it
    /// votes for nothing before it is admitted, and its old promise was counted for the old one,
    /// which can take no other back. What is lost without it is that a number names one proposal;
    /// here a number is never given again, so the simulator looks at that.)
    PromisesAreDurable,
    /// Who still counts as intact takes no part in a cold start. (Missed only where not every
    /// promise binds: one for a cold start would hide an older one.)
    ColdStartWithoutIntact,
}

impl Guard {
    /// Those without which something breaks.
    pub const ALL: [Self; 35] = [
        Self::EveryMemberHasIt,
        Self::PromisingPrimaryStops,
        Self::ReadsAreFresh,
        Self::DeadWasFresh,
        Self::DeathIsUnopposed,
        Self::NoEchoToTheExcluded,
        Self::CandidateIsIntact,
        Self::PromisesRise,
        Self::VoterIsNotNewer,
        Self::PromiseBinds,
        Self::ReleasedWithoutViewOp,
        Self::ReleasedByWholeLog,
        Self::EachStandingView,
        Self::DeadAreNoVotes,
        Self::TieNeedsPrecedence,
        Self::SilentWereNamed,
        Self::HeardAreNotSilent,
        Self::PromiserInstallsNothingLower,
        Self::InForceWithAll,
        Self::LearnerKnowsTheView,
        Self::IncarnationRises,
        Self::ColdStartNeedsAll,
        Self::ColdStartAsksStandingViews,
        Self::ColdLeaderWasMember,
        Self::ColdStartByDescent,
        Self::ReleaseByDescent,
        Self::CopiesHaveNoSay,
        Self::CleanCopiesHaveNoSay,
        Self::SuccessorAtTheAddress,
        Self::DeathAtTheAddress,
        Self::DamagedStoodNoLater,
        Self::ForcedWithoutIntact,
        Self::ForcedHoldsMost,
        Self::ForcedOnce,
        Self::ForcedNumberIsAboveItsLog,
    ];

    /// Those of which no search has found what they prevent, also when all of them are out.
    pub const SPARE: [Self; 5] = [
        Self::PromiserTakesNoPrepare,
        Self::EveryPromiseBinds,
        Self::MembersPromised,
        Self::ColdLeaderIsAhead,
        Self::PromisesAreDurable,
    ];
}

/// All rules but those that were taken out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    removed: u64,
}

impl Rules {
    /// These rules without `guard`.
    #[must_use]
    pub const fn without(self, guard: Guard) -> Self {
        Self {
            removed: self.removed | 1 << guard as u64,
        }
    }

    /// Whether `guard` is in its place.
    pub const fn hold(&self, guard: Guard) -> bool {
        self.removed >> guard as u64 & 1 == 0
    }
}

/// How often each fault may happen, and how much room there is for what protocol steps add.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many servers there are, from 1 to 5. All run and are members when it begins.
    pub servers: u8,
    /// Client ops.
    pub ops: u8,
    /// Processes killed.
    pub crashes: u8,
    /// Dead servers started again.
    pub restarts: u8,
    /// Processes stopped; they may go on at any time.
    pub pauses: u8,
    /// Links cut, each way of cutting counted once.
    pub cuts: u8,
    /// Links mended.
    pub heals: u8,
    /// Processes stopped cleanly.
    pub stops: u8,
    /// Folders copied, of servers that run or are down. If there are any, a copy may also be started
    /// beside its original.
    pub copies: u8,
    /// Folders replaced by the copy.
    pub restores: u8,
    /// Folders lost.
    pub losses: u8,
    /// Journals damaged, while their servers are down.
    pub damages: u8,
    /// Servers started with the wish to be forced to lead, by an operator; and each is started with
    /// it any number of times more, within the other bounds, by a supervisor.
    pub forces: u8,
    /// Entries of a log, counted from the newest view that everybody knows to be in force.
    pub log: u8,
    /// View numbers that are known to somebody at the same time.
    pub numbers: u8,
    /// Who may stand as a candidate, by id: two that do not know of each other are enough for most
    /// of what can go wrong.
    pub candidates: u8,
}

/// How much of what could happen does.
///
/// The first column of switches makes the model smaller, the second one larger. What is left out
/// by the first is covered by searches without them, at smaller bounds.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// A link that works carries pings at once, so that only broken ones make a difference.
    pub prompt_pings: bool,
    /// Evidence of a death is found before freshness runs out, where the link works.
    pub prompt_evidence: bool,
    /// Candidates stand only when something is amiss, and leave out exactly the dead and silent.
    pub sober_candidates: bool,
    /// Cuts go through a whole cluster (one group against the rest), and not through one link.
    pub cuts_in_two: bool,

    /// Frames may be lost in one direction alone.
    pub one_way_cuts: bool,
    /// Pings may be late on links that work.
    pub slow_network: bool,
    /// A Propose may arrive after its candidate crashed or was stopped.
    pub late_frames: bool,
    /// A learner that has caught up is admitted although nothing is amiss.
    pub prompt_admission: bool,
    /// A process that runs on a copy may be started beside its original.
    pub copies_run: bool,
    /// The end of a link by the other's kernel counts as fresh news of the process that ended.
    pub ends_are_fresh: bool,
    /// The same, if the process said over that link before it promised anything that left the other
    /// one out: then the end of the link without such a notice says that there was no such promise.
    pub ends_after_notice_are_fresh: bool,
    /// Connects may be refused on links that are cut, although the server at the other end runs.
    pub forged_refusals: bool,
}

/// Everything that a search is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The rules.
    pub rules: Rules,
    /// The faults.
    pub bounds: Bounds,
    /// The behaviour.
    pub world: World,
}

impl Setting {
    /// So many servers, the rules as they are, no fault, no op, and a world that is as small as
    /// can be.
    pub const fn calm(servers: u8) -> Self {
        Self {
            rules: Rules { removed: 0 },
            bounds: Bounds {
                servers,
                ops: 0,
                crashes: 0,
                restarts: 0,
                pauses: 0,
                cuts: 0,
                heals: 0,
                stops: 0,
                copies: 0,
                restores: 0,
                losses: 0,
                damages: 0,
                forces: 0,
                log: 4,
                numbers: 5,
                candidates: u8::MAX,
            },
            world: World {
                prompt_pings: true,
                prompt_evidence: false,
                sober_candidates: true,
                cuts_in_two: false,
                one_way_cuts: false,
                slow_network: false,
                late_frames: false,
                prompt_admission: false,
                copies_run: false,
                ends_are_fresh: false,
                ends_after_notice_are_fresh: false,
                forged_refusals: false,
            },
        }
    }

    /// The same with these faults: `"2 crashes, 1 cut, 1 op"`.
    ///
    /// # Panics
    ///
    /// When it is not written like that.
    #[must_use]
    pub fn with(mut self, faults: &str) -> Self {
        for fault in faults.split(", ") {
            let (count, what) = fault.split_once(' ').expect("a number and a word");
            let count = count.parse().expect("a number");
            let bounds = &mut self.bounds;
            *match what {
                "op" | "ops" => &mut bounds.ops,
                "crash" | "crashes" => &mut bounds.crashes,
                "restart" | "restarts" => &mut bounds.restarts,
                "pause" | "pauses" => &mut bounds.pauses,
                "cut" | "cuts" => &mut bounds.cuts,
                "heal" | "heals" => &mut bounds.heals,
                "stop" | "stops" => &mut bounds.stops,
                "copy" | "copies" => &mut bounds.copies,
                "restore" | "restores" => &mut bounds.restores,
                "loss" | "losses" => &mut bounds.losses,
                "damage" | "damages" => &mut bounds.damages,
                "force" | "forces" => &mut bounds.forces,
                "log" => &mut bounds.log,
                "numbers" => &mut bounds.numbers,
                other => panic!("there is no fault {other}"),
            } = count;
        }
        self
    }

    /// The same with these candidates alone: `"AC"`.
    #[must_use]
    pub fn led_by(mut self, letters: &str) -> Self {
        self.bounds.candidates = letters.bytes().map(|letter| 1 << (letter - b'A')).sum();
        self
    }

    /// The same without one of the rules.
    #[must_use]
    pub const fn without(mut self, guard: Guard) -> Self {
        self.rules = self.rules.without(guard);
        self
    }

    /// The same with candidates that stand at any time and with any members, as servers that leave
    /// or exclude each other by consent do.
    #[must_use]
    pub const fn free(mut self) -> Self {
        self.world.sober_candidates = false;
        self
    }

    /// The same where a process that runs on a copy may be started beside its original.
    #[must_use]
    pub const fn beside(mut self) -> Self {
        self.world.copies_run = true;
        self
    }

    /// The same where learners are admitted although nothing is amiss.
    #[must_use]
    pub const fn admitting(mut self) -> Self {
        self.world.prompt_admission = true;
        self
    }

    /// The same with pings that go on their own time.
    #[must_use]
    pub const fn lazy(mut self) -> Self {
        self.world.prompt_pings = false;
        self
    }

    /// The same with everything that a bad network does.
    #[must_use]
    pub const fn wild(mut self) -> Self {
        self.world.one_way_cuts = true;
        self.world.slow_network = true;
        self.world.late_frames = true;
        self.free().lazy()
    }
}
