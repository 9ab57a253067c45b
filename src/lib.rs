//! Lastword: a chat server that answers as long as one of its servers is alive, and never loses a
//! message that it has said OK to.
//!
//! A tour of the house, in reading order:
//!
//! 1. [`types`] and [`limits`]: what things are called, and how large they may become
//! 2. [`wire`]: bytes to messages and back, in two dialects: binary frames and text
//! 3. [`chat`]: the deterministic state that committed ops make: accounts, conversations, sessions
//! 4. [`replica`]: the protocol that decides when an op is committed
//! 5. [`journal`]: the replicated log on disk, which is the truth
//! 6. [`store`]: everything that was ever said, in SQLite, written behind the journal
//! 7. [`net`]: one thread, one poll, one registry of connections
//! 8. [`server`]: the glue, which carries the outputs of one room to the next
//! 9. [`client`]: the other end of the wire
//! 10. [`mod@bench`]: how quick all of this is, and what it costs
//!
//! ```text
//!             bytes                 requests              ops                 records
//!  sockets ─► net/ ─► wire/ ─► server/ ─► replica/ ──────────► journal/ ─► disk
//!                                  │          │ committed
//!                                  │          ▼
//!                                  │        chat/ ── write-behind ──► store/ (SQLite)
//!                                  ◄── replies, deliveries
//! ```

pub mod bench;
pub mod chat;
pub mod client;
pub mod journal;
pub mod limits;
pub mod net;
pub mod replica;
pub mod server;
pub mod store;
pub mod types;
pub mod wire;
