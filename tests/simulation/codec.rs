//! How does a message get over a simulated link? As it gets over a real one: in a frame's bytes.

use lastword::wire::Decoded;
use lastword::wire::peer::{PeerMessage, decode_peer, encode_peer};

pub fn encode(message: &PeerMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_peer(&mut bytes, message);
    bytes
}

pub fn decode(bytes: &[u8]) -> PeerMessage {
    match decode_peer(bytes) {
        Decoded::Message { message, consumed } if consumed == bytes.len() => message,
        other => panic!("a server has sent what no server can read: {other:?}"),
    }
}
