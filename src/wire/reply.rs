//! How does a server answer, in binary frames, and how does a client read it?
//!
//! The last word of an answer and the items before it carry the number of their request; what is
//! pushed carries 0.

mod decode;
mod encode;

pub(super) use decode::read_refusal;
pub use decode::{FromServer, decode_from_server};
pub use encode::{encode_answer, encode_item, encode_push};

pub use super::hello::encode_hello;
