//! An op on its way to the journals: the body of a Prepare, which is also what the journal keeps.

use crate::types::{OpNumber, Timestamp, ViewNumber};

/// An op with its place in the log. The bytes of its encoding are what goes to the backups, and
/// what every journal stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepare<'a> {
    /// The view it is proposed in.
    pub view: ViewNumber,
    /// Its number.
    pub op: OpNumber,
    /// The highest op that was known to be committed when it was proposed.
    pub commit: OpNumber,
    /// The primary's clock when it was proposed.
    pub time: Timestamp,
    /// The op, encoded.
    pub payload: &'a [u8],
}
