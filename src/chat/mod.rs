//! The deterministic state.
pub mod change;
