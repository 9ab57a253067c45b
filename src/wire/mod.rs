//! Bytes to messages and back: what does a connection say, and how is it written?
//!
//! One port serves two dialects, and the first byte of a connection tells which one it speaks
//! ([`dialect_of`]). Both turn bytes into the same requests and the same replies into bytes, so
//! that the rest of the program does not know the difference.
//!
//! 1. [`message`]: what is said, in whichever dialect
//! 2. [`decoded`]: what a decoder makes of the bytes that have come so far
//! 3. [`text`]: lines, for people with netcat and for shell scripts
//! 4. [`frame`]: binary frames, for programs; [`hello`], [`request`] and [`reply`] are their bodies
//! 5. [`operation`] and [`prepare`]: what goes to other servers and into the journal; [`peer`]:
//!    what else servers say to each other
//! 6. [`fields`]: the numbers and strings that all bodies are made of; `cluster`: the servers and
//!    views that several speak of
//!
//! Nothing here reads a socket or keeps bytes. Decoders are total: any bytes give a message, a
//! refusal or the word that more have to come, and how the bytes were divided into reads makes no
//! difference. Programs in other languages find the frames described in `proto.md`.

mod cluster;
pub mod decoded;
pub mod fields;
pub mod frame;
pub mod hello;
pub mod message;
pub mod operation;
pub mod peer;
pub mod prepare;
pub mod reply;
pub mod request;
pub mod text;

pub use decoded::Decoded;
pub use hello::{Hello, LinkHello, Role};
pub use reply::FromServer;
pub use request::FromClient;
pub use text::TextDecoder;

/// How a connection speaks. It is decided once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Lines of UTF-8.
    Text,
    /// Frames.
    Binary,
}

/// The dialect of a connection that begins with this byte.
pub fn dialect_of(first_byte: u8) -> Dialect {
    match first_byte {
        0x80.. => Dialect::Binary,
        _ => Dialect::Text,
    }
}
