//! The rules of replication, checked: all of them at small bounds, and each of them left out.
//!
//! `scripts/model` asks the same with more time.

mod guards;
mod liveness;
mod safety;
mod stories;
