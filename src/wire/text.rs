//! How do people with netcat ask, and how are they answered?
//!
//! A request is a line; its first word is the command. An answer is any number of data lines and
//! then one that begins with `OK` or `ERR`. Scripts depend on every letter of it.

mod commands;
mod decode;
mod encode;

pub use commands::help_lines;
pub use decode::TextDecoder;
pub(crate) use encode::in_utc;
pub use encode::{encode_answer, encode_item, encode_push};
