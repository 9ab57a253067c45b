//! The other end of the wire.

pub mod address;
pub mod command;
pub mod core;
pub mod driver;
pub mod event;
pub mod front;
mod keyboard;
pub mod line;
pub mod one_shot;
pub mod password;
#[cfg(test)]
mod scripted;
pub mod show;
