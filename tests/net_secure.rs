//! Are links between servers closed to everybody else? Both sides in memory, with a stranger between
//! them who does what he likes with the bytes.

use lastword::limits::PEER_FRAME_BODY_BYTES_MAX;
use lastword::net::secure::{
    ClusterKey, Dialled, Hellos, LinkError, PART_BYTES_MAX, Secure, Unproven,
};
use lastword::types::RequestNumber;
use lastword::wire::Decoded;
use lastword::wire::frame::{Frame, HEADER_BYTES, Kind, decode_frame, put_frame};
use proptest::prelude::*;
use std::time::Instant;

const HELLOS: Hellos<'static> = Hellos {
    dialer: b"the dialer's hello",
    acceptor: b"the acceptor's hello",
};

fn key() -> ClusterKey {
    ClusterKey::parse(b"the servers' own secret").unwrap()
}

fn other_key() -> ClusterKey {
    ClusterKey::parse(b"some other servers' secret").unwrap()
}

/// The first frame of some bytes, and what follows it.
fn first(bytes: &[u8]) -> (Frame<'_>, &[u8]) {
    match decode_frame(bytes, PEER_FRAME_BODY_BYTES_MAX) {
        Decoded::Message { message, consumed } => (message, &bytes[consumed..]),
        other => panic!("{other:?}"),
    }
}

fn only(bytes: &[u8]) -> Frame<'_> {
    let (frame, rest) = first(bytes);
    assert_eq!(rest, b"");
    frame
}

/// What the dialer says first, what the acceptor answers, and what the dialer proves itself by.
struct Shaken {
    dialer: Secure,
    acceptor: Unproven,
    messages: [Vec<u8>; 3],
}

fn shake() -> Shaken {
    let mut messages = [vec![], vec![], vec![]];
    let [request, answer, proof] = &mut messages;
    let dialled = Dialled::begin(&key(), HELLOS, request);
    let acceptor = Unproven::answer(&key(), HELLOS, &only(request), answer).unwrap();
    let dialer = dialled.finish(&only(answer), proof).unwrap();
    Shaken {
        dialer,
        acceptor,
        messages,
    }
}

/// A link, the dialer's side first.
fn link() -> (Secure, Secure) {
    let shaken = shake();
    let mut plain = Vec::new();
    let proof = only(&shaken.messages[2]);
    let acceptor = shaken.acceptor.prove(&proof, &mut plain).unwrap();
    assert_eq!(plain, b"");
    (shaken.dialer, acceptor)
}

fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, kind, RequestNumber(0), |out| out.extend(body));
    out
}

fn sealed(by: &mut Secure, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    by.seal(plain, &mut out);
    out
}

/// Opens all whole frames of `bytes`.
fn open_all(by: &mut Secure, mut bytes: &[u8]) -> Result<Vec<u8>, LinkError> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = first(bytes);
        by.open(&frame, &mut plain)?;
        bytes = rest;
    }
    Ok(plain)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[test]
fn both_sides_hear_what_the_other_says() {
    let (mut dialer, mut acceptor) = link();
    for round in 0..3 {
        let (request, answer) = (pattern(100 + round), pattern(7 * round + 1));
        let bytes = sealed(&mut dialer, &request);
        assert_eq!(open_all(&mut acceptor, &bytes).unwrap(), request);
        let bytes = sealed(&mut acceptor, &answer);
        assert_eq!(open_all(&mut dialer, &bytes).unwrap(), answer);
    }
}

#[test]
fn the_acceptor_may_speak_first() {
    let (mut dialer, mut acceptor) = link();
    let bytes = sealed(&mut acceptor, b"welcome");
    assert_eq!(open_all(&mut dialer, &bytes).unwrap(), b"welcome");
}

#[test]
fn megabytes_cross_in_each_direction_and_are_not_to_be_seen_on_the_way() {
    let (mut dialer, mut acceptor) = link();
    let plain = pattern(5 * 1024 * 1024 + 17);
    for _ in 0..2 {
        let bytes = sealed(&mut dialer, &plain);
        assert_eq!(bytes.len(), Secure::sealed_bytes(plain.len()));
        assert!(!contains(&bytes, &plain[..16]));
        assert!(open_all(&mut acceptor, &bytes).unwrap() == plain);
        std::mem::swap(&mut dialer, &mut acceptor);
    }
    assert!(sealed(&mut dialer, &[]).is_empty());
    assert_eq!(Secure::sealed_bytes(0), 0);
}

#[test]
fn a_sealed_frame_holds_as_much_as_noise_allows_and_no_more() {
    let (mut dialer, mut acceptor) = link();
    for (length, frames) in [(PART_BYTES_MAX, 1), (PART_BYTES_MAX + 1, 2)] {
        let plain = pattern(length);
        let bytes = sealed(&mut dialer, &plain);
        assert_eq!(
            bytes.len(),
            length + frames * (HEADER_BYTES + 16),
            "{frames}"
        );
        assert!(open_all(&mut acceptor, &bytes).unwrap() == plain);
    }
}

#[test]
fn the_same_words_never_look_the_same() {
    let (mut dialer, _) = link();
    let (mut other, _) = link();
    let one = sealed(&mut dialer, b"the same words");
    assert_ne!(one, sealed(&mut dialer, b"the same words"));
    assert_ne!(one, sealed(&mut other, b"the same words"));
    assert_ne!(shake().messages, shake().messages);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the plain bytes are divided when they are sealed, and however the sealed ones are
    /// when they arrive.
    #[test]
    fn the_division_of_the_bytes_makes_no_difference(
        said in prop::collection::vec((any::<bool>(), 0..100_000usize), 1..6),
        cuts in prop::collection::vec(1..80_000usize, 1..6),
    ) {
        let (mut dialer, mut acceptor) = link();
        let mut on_the_way = [vec![], vec![]];
        let mut expected = [vec![], vec![]];
        for (by_dialer, length) in said {
            let side = usize::from(by_dialer);
            let plain = pattern(length);
            let by = if by_dialer { &mut dialer } else { &mut acceptor };
            by.seal(&plain, &mut on_the_way[side]);
            expected[side].extend(plain);
        }
        for (side, by) in [(1, &mut acceptor), (0, &mut dialer)] {
            let mut cuts = cuts.iter().cycle();
            let mut bytes = on_the_way[side].as_slice();
            let (mut arrived, mut plain) = (Vec::new(), Vec::new());
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at((*cuts.next().unwrap()).min(bytes.len()));
                arrived.extend(now);
                bytes = later;
                while let Decoded::Message { message, consumed } =
                    decode_frame(&arrived, PEER_FRAME_BODY_BYTES_MAX)
                {
                    by.open(&message, &mut plain).unwrap();
                    arrived.drain(..consumed);
                }
            }
            prop_assert_eq!(arrived.len(), 0);
            prop_assert!(plain == expected[side]);
        }
    }

    /// Whatever comes is taken or refused, and nothing panics.
    #[test]
    fn any_frame_is_an_error_at_most(
        kind in prop_oneof![Just(0x1002), Just(0x1003), any::<u16>()],
        number in prop_oneof![Just(0), any::<u64>()],
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            prop::collection::vec(any::<u8>(), 48),
            (65_500..65_600usize).prop_map(pattern),
        ],
    ) {
        let frame = Frame { kind: Kind(kind), number: RequestNumber(number), body: &body };
        let mut out = Vec::new();
        let refused = Unproven::answer(&key(), HELLOS, &frame, &mut out);
        prop_assert!(refused.is_err() && out.is_empty());
        let dialled = Dialled::begin(&key(), HELLOS, &mut Vec::new());
        prop_assert!(dialled.finish(&frame, &mut out).is_err() && out.is_empty());
        prop_assert!(shake().acceptor.prove(&frame, &mut out).is_err() && out.is_empty());
        let (mut dialer, _) = link();
        prop_assert!(dialer.open(&frame, &mut out).is_err() && out.is_empty());
    }
}

#[test]
fn another_key_is_noticed_by_whoever_hears_of_it_first() {
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    let dialled = Dialled::begin(&key(), HELLOS, &mut request);
    let refused = Unproven::answer(&other_key(), HELLOS, &only(&request), &mut answer);
    let error = refused.unwrap_err();
    assert_eq!(error, LinkError::KeysDiffer);
    assert_eq!(error.to_string(), "the cluster keys differ (--cluster-key)");
    assert!(answer.is_empty(), "nothing is said to a stranger");

    // A stranger who answers himself does not get further.
    let mut strangers = Vec::new();
    Dialled::begin(&other_key(), HELLOS, &mut strangers);
    Unproven::answer(&other_key(), HELLOS, &only(&strangers), &mut answer).unwrap();
    let mut proof = Vec::new();
    let refused = dialled.finish(&only(&answer), &mut proof);
    assert_eq!(refused.unwrap_err(), LinkError::KeysDiffer);
    assert!(proof.is_empty());
}

#[test]
fn one_side_without_a_key_is_told_from_another_key() {
    let plain = frame(Kind::PREPARE, b"I have no key");
    let refused = Unproven::answer(&key(), HELLOS, &only(&plain), &mut Vec::new());
    let error = refused.unwrap_err();
    assert!(matches!(error, LinkError::OutOfPlace { .. }));
    assert_eq!(
        error.to_string(),
        "a frame of kind 0x1001 came where a message of the handshake belongs: has the other \
         server a --cluster-key?"
    );
    let (mut dialer, _) = link();
    let refused = open_all(&mut dialer, &plain).unwrap_err();
    assert!(matches!(refused, LinkError::OutOfPlace { got, .. } if got == Kind::PREPARE));
}

#[test]
fn hellos_that_were_changed_on_the_way_are_noticed() {
    let mut request = Vec::new();
    Dialled::begin(&key(), HELLOS, &mut request);
    for changed in [
        Hellos {
            dialer: b"another's hello",
            ..HELLOS
        },
        Hellos {
            acceptor: b"another's hello",
            ..HELLOS
        },
        Hellos {
            dialer: HELLOS.acceptor,
            acceptor: HELLOS.dialer,
        },
    ] {
        let refused = Unproven::answer(&key(), changed, &only(&request), &mut Vec::new());
        assert_eq!(refused.unwrap_err(), LinkError::KeysDiffer);
    }
}

/// A stranger has listened to a whole link, and sends what the dialer has sent once more.
#[test]
fn a_recorded_handshake_shows_nothing_and_proves_nothing() {
    let recorded = shake();
    let [request, answer, proof] = &recorded.messages;
    let mut second_answer = Vec::new();
    let acceptor = Unproven::answer(&key(), HELLOS, &only(request), &mut second_answer).unwrap();
    // The answer has a fresh key in it, and a sum that says nothing to him.
    assert_eq!(second_answer.len(), HEADER_BYTES + 48);
    assert_ne!(&second_answer, answer);
    let mut plain = Vec::new();
    let refused = acceptor.prove(&only(proof), &mut plain);
    assert_eq!(refused.unwrap_err(), LinkError::Forged);
    assert!(plain.is_empty());

    // Nor does the dialer take a recorded answer.
    let dialled = Dialled::begin(&key(), HELLOS, &mut Vec::new());
    let refused = dialled.finish(&only(answer), &mut Vec::new());
    assert_eq!(refused.unwrap_err(), LinkError::KeysDiffer);
}

#[test]
fn a_server_that_hears_its_own_words_does_not_believe_them() {
    let mut shaken = shake();
    let [request, _, proof] = &shaken.messages;
    let dialled = Dialled::begin(&key(), HELLOS, &mut Vec::new());
    assert_eq!(
        dialled.finish(&only(request), &mut Vec::new()).unwrap_err(),
        LinkError::KeysDiffer
    );
    assert_eq!(
        open_all(&mut shaken.dialer, proof).unwrap_err(),
        LinkError::Forged
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    // In the handshake.
    let mut request = Vec::new();
    Dialled::begin(&key(), HELLOS, &mut request);
    for bit in 0..8 * request.len() {
        let mut request = request.clone();
        request[bit / 8] ^= 1 << (bit % 8);
        if let Decoded::Message { message, .. } = decode_frame(&request, 100) {
            let answered = Unproven::answer(&key(), HELLOS, &message, &mut Vec::new());
            assert!(answered.is_err(), "bit {bit}");
        }
    }
    // In what is sealed, and in the headers around it.
    for bit in 0..8 * (HEADER_BYTES + 16 + 6) {
        let (mut dialer, mut acceptor) = link();
        let mut changed = sealed(&mut dialer, b"a word");
        changed[bit / 8] ^= 1 << (bit % 8);
        // A frame that is longer now takes what follows for its own.
        changed.extend([0; 300]);
        if let Decoded::Message { message, .. } = decode_frame(&changed, PEER_FRAME_BODY_BYTES_MAX)
        {
            let mut plain = b"before".to_vec();
            let opened = acceptor.open(&message, &mut plain);
            assert!(opened.is_err(), "bit {bit}");
            assert_eq!(plain, b"before");
        }
    }
}

#[test]
fn a_frame_that_is_cut_short_is_noticed() {
    let (mut dialer, _) = link();
    let bytes = sealed(&mut dialer, b"a word");
    let body = only(&bytes).body;
    for length in 0..body.len() {
        let (_, mut acceptor) = link();
        let cut = frame(Kind::SEALED, &body[..length]);
        let error = open_all(&mut acceptor, &cut).unwrap_err();
        let malformed = matches!(error, LinkError::Malformed(_));
        assert_eq!(malformed, length < 16, "{error}");
    }
}

#[test]
fn what_is_repeated_left_out_or_moved_ends_the_link() {
    let three = || {
        let (mut dialer, acceptor) = link();
        let frames = [b"one", b"two", b"six"].map(|word| sealed(&mut dialer, word));
        (frames, acceptor)
    };
    for order in [&[0, 0][..], &[1], &[2, 1, 0], &[0, 2], &[0, 1, 1]] {
        let (frames, mut acceptor) = three();
        let (last, before) = order.split_last().unwrap();
        for place in before {
            // The last one is wrong, if none before it was.
            if open_all(&mut acceptor, &frames[*place]).is_err() {
                break;
            }
        }
        let refused = open_all(&mut acceptor, &frames[*last]);
        assert_eq!(refused.unwrap_err(), LinkError::Forged, "{order:?}");
        // What would have been right is not taken any more, either.
        for frame in &frames {
            assert_eq!(open_all(&mut acceptor, frame), Err(LinkError::Forged));
        }
    }
    let (frames, mut acceptor) = three();
    assert_eq!(
        open_all(&mut acceptor, &frames.concat()).unwrap(),
        b"onetwosix"
    );
}

/// Figures for people, nothing asserted:
/// `cargo test --release --test net_secure -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    let (mut dialer, mut acceptor) = link();
    for length in [200, 16 * 1024, 256 * 1024] {
        let plain = pattern(length);
        let rounds = 256 * 1024 * 1024 / length;
        let (mut bytes, mut opened) = (Vec::new(), Vec::new());
        let (mut sealing, mut opening) = (0.0, 0.0);
        for _ in 0..rounds {
            bytes.clear();
            opened.clear();
            let begin = Instant::now();
            dialer.seal(&plain, &mut bytes);
            sealing += begin.elapsed().as_secs_f64();
            let begin = Instant::now();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (frame, after) = first(rest);
                acceptor.open(&frame, &mut opened).unwrap();
                rest = after;
            }
            opening += begin.elapsed().as_secs_f64();
            assert_eq!(opened.len(), plain.len());
        }
        let megabytes = (rounds * length) as f64 / 1e6;
        println!(
            "{length:>7} bytes at a time: sealed {:>6.0} MB/s, opened {:>6.0} MB/s",
            megabytes / sealing,
            megabytes / opening
        );
    }
    let begin = Instant::now();
    for _ in 0..1000 {
        link();
    }
    println!("a handshake, both sides: {:?}", begin.elapsed() / 1000);
}
