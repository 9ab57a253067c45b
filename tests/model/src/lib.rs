//! Do the rules of replication keep what they promise?

pub mod canonical;
pub mod catch_up;
pub mod checker;
pub mod cold_start;
pub mod evidence;
pub mod faults;
pub mod normal;
pub mod packed;
pub mod properties;
pub mod reachable;
pub mod rules;
pub mod state;
pub mod step;
pub mod view_change;
pub mod walks;
