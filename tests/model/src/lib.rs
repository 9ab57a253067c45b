//! Do the rules of replication keep what they promise?
//!
//! A model of them: up to five servers, whose steps are those of the replica, and whose faults are
//! those of the world. A checker goes through every state that can be reached, and asks of each
//! whether a promise is broken (S1, S2, S3), or whether it is stuck although it should not be
//! (L1, L2). Every rule that can be taken out is taken out once, and has to be missed.
//!
//! The files lie beside those of the replica: what is called `promise` there is called `promise`
//! here, and whoever changes a rule changes it in both.
//!
//! | file | what it is about |
//! | --- | --- |
//! | [`rules`] | which rules there are, how many faults, what kind of world |
//! | [`state`] | what is on disk, what is in memory, what time is |
//! | [`step`] | what can happen, and how a trace reads |
//! | [`normal`] | `request`, `prepare`, `commit`, `tell` |
//! | [`evidence`] | `beat`, `age`, `evidence` |
//! | [`view_change`] | `propose`, `promise`, `veto`, `decide`, `truncate`, `install`, `learn` |
//! | [`catch_up`] | `catch_up`, `admit` |
//! | [`cold_start`] | `resign`, `cold_propose`, `cold_promise` |
//! | [`faults`] | `crash`, `restart`, `pause`, `resume`, `cut`, `heal` |
//! | [`properties`] | what must be true |
//! | [`canonical`] | which states are the same |
//! | [`packed`] | how a state is kept by the million |
//! | [`checker`], [`reachable`], [`walks`] | the searches |
//!
//! # What one step is
//!
//! Whatever becomes durable at once is a step of its own, so that a crash falls between any two
//! of them. A message and what its receiver does with it are one step: a message that is late is
//! one whose sender has not sent it yet, and a message that is lost is one that is never sent. Where
//! that is not the same, because the sender may be gone meanwhile, the message may also arrive
//! from somebody who crashed (`late_frames`).
//!
//! A primary may hold an acknowledgement for any time before it commits. A candidate may hold a
//! promise for any time before it decides. The number of a proposal is any number above all that
//! its candidate has seen, also below such as it has not seen.
//!
//! # What is left out
//!
//! - Clocks. Freshness and silence are flags that fall at any time once a link is broken, each on
//!   its own, which is more than clocks can do. That L is less than G is all that is left of them.
//! - That silence counts anew after a server was stalled: here it may count others as silent that
//!   it had no chance to hear. Nothing breaks even so.
//! - Clients, their sessions, and with them S4; the service address; leaving with a message.
//! - Snapshots, and damage that does not cost a whole journal.
//! - Frames out of order on one link: links are connections.
//! - Fairness. [`reachable`] asks whether the protocol *can* go on, not whether duelling candidates
//!   ever let it.

pub mod canonical;
pub mod catch_up;
pub mod checker;
pub mod cold_start;
pub mod evidence;
pub mod faults;
pub mod forcing;
pub mod normal;
pub mod packed;
pub mod properties;
pub mod reachable;
pub mod rules;
pub mod state;
pub mod step;
pub mod view_change;
pub mod walks;
