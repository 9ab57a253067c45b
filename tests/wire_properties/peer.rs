//! The same between servers: messages come back, reads make no difference, nothing panics.

use lastword::wire::Decoded;
use lastword::wire::operation::decode_op;
use lastword::wire::peer::{PeerMessage, decode_peer, encode_peer};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generated::{encoded, junk_frames, mutated};
use crate::generated_peer::peer_messages;
use crate::{cuts, read_all, shown, whole};

fn bytes_of(message: &PeerMessage) -> Vec<u8> {
    encoded(|out| encode_peer(out, message))
}

fn read_peer(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    read_all(bytes, cuts, |bytes, _| shown(decode_peer(bytes)))
}

/// What a link delivers, however wrong it is, a journal can keep and a server can apply.
fn check_prepares(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        match decode_peer(rest) {
            Decoded::Message { message, consumed } => {
                if let PeerMessage::Prepare(prepares) = &message {
                    let mut last = prepares.after;
                    for entry in &prepares.entries {
                        assert_eq!(entry.op(), last.op.next());
                        assert!(entry.position.view >= last.view);
                        assert!(decode_op(entry.payload()).is_ok());
                        last = entry.position;
                    }
                    assert!(last.view <= prepares.view);
                }
                assert_eq!(bytes_of(&message).len(), consumed);
                rest = &rest[consumed..];
            }
            Decoded::Nothing { consumed } => rest = &rest[consumed..],
            _ => return,
        }
    }
}

proptest! {
    #[test]
    fn a_message_between_servers_comes_back(message in peer_messages()) {
        let bytes = bytes_of(&message);
        prop_assert_eq!(whole(decode_peer(&bytes), bytes.len()), message);
    }

    #[test]
    fn reads_make_no_difference_to_a_link(messages in vec(peer_messages(), 0..5), cuts in cuts()) {
        let bytes: Vec<u8> = messages.iter().flat_map(bytes_of).collect();
        let expected: Vec<_> = messages.iter().map(|message| format!("{message:?}")).collect();
        prop_assert_eq!(read_peer(&bytes, &cuts), expected);
    }

    #[test]
    fn a_shorter_or_longer_body_is_refused(message in peer_messages(), more in 1..20usize) {
        // The ops of a Prepare and the bytes of a snapshot go to the end of the body.
        prop_assume!(!matches!(message, PeerMessage::Prepare(_) | PeerMessage::Snapshot(_)));
        let bytes = bytes_of(&message);
        let body = bytes.len() - 16;
        for length in [body.saturating_sub(more), body + more] {
            let mut bytes = bytes.clone();
            bytes.resize(16 + length, 0);
            bytes[4..8].copy_from_slice(&(length as u32).to_be_bytes());
            let refused = matches!(decode_peer(&bytes), Decoded::Broken { .. });
            prop_assert!(refused || length == body);
        }
    }

    #[test]
    fn damaged_messages_between_servers_are_read_alike_in_any_reads(
        bytes in mutated(vec(peer_messages(), 1..4).prop_map(|messages| {
            messages.iter().flat_map(bytes_of).collect()
        })),
        cuts in cuts(),
    ) {
        prop_assert_eq!(read_peer(&bytes, &cuts), read_peer(&bytes, &[]));
        check_prepares(&bytes);
    }

    #[test]
    fn random_bytes_and_junk_in_whole_frames_never_panic_on_a_link(
        bytes: Vec<u8>,
        frames in vec(junk_frames(), 0..5),
        cuts in cuts(),
    ) {
        prop_assert_eq!(read_peer(&bytes, &cuts), read_peer(&bytes, &[]));
        let bytes = frames.concat();
        prop_assert_eq!(read_peer(&bytes, &cuts), read_peer(&bytes, &[]));
        check_prepares(&bytes);
    }
}
