//! How quick is it, and what does it cost?
//!
//! The measures behind `bench`, for whoever wants to know before he trusts: a closed loop against a
//! running server, the same against a bare pipeline that does nothing but what no server of this kind
//! can leave out, the gap that a kill leaves, the memory of idle clients, and data folders of any size.
//! What is measured is also checked: every message that was acknowledged has to be there at the end,
//! once.
//!
//! The load comes from one thread with the event loop of [`net`](crate::net), so that many connections
//! cost little beside the servers that are measured on the same machine.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`connections`](self) | many connections, and what they are told |
//! | [`entrance`](self) | accounts and sessions for them |
//! | [`load`] | requests go out and are answered, as many as there can be or at a rate |
//! | [`ledger`](self) | what was acknowledged, and is it all there |
//! | [`window`](self) | what counts, and in which second |
//! | [`figures`] | what came of it |
//! | [`pipeline`] | what is possible at all |
//! | [`grid`] | few and many connections, one beside the other |
//! | [`fill`] | a data folder of any size, without a server |
//! | [`costs`] | what a server takes on a folder that was filled |
//! | [`process`](self) | what a process takes of the machine |
//! | [`failover`] | nobody is answered, for how long |
//! | [`idle`] | clients that do nothing, and what they cost |

mod connections;
pub mod costs;
mod entrance;
pub mod failover;
pub mod figures;
pub mod fill;
pub mod grid;
pub mod idle;
mod ledger;
pub mod load;
pub mod pipeline;
mod process;
mod window;

pub use connections::BenchError;
