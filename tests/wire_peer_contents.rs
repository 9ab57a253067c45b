//! What is in a message between servers and cannot be right breaks their link: an op that does
//! not follow the one before it or that nobody could apply, a proposal that contradicts itself, a
//! snapshot's part that lies outside of it.

use lastword::limits::*;
use lastword::types::*;
use lastword::wire::Decoded;
use lastword::wire::operation::encode_op;
use lastword::wire::peer::*;
use lastword::wire::prepare::{Entry, Prepare};

/// What was wrong with a message that our own encoder writes, if something was.
fn refused(message: &PeerMessage) -> Option<String> {
    let mut bytes = Vec::new();
    encode_peer(&mut bytes, message);
    match decode_peer(&bytes) {
        Decoded::Message { message: found, .. } => {
            assert_eq!(found, *message);
            None
        }
        Decoded::Broken { refusal } => {
            assert_eq!(refusal.code, ErrorCode::BadArguments);
            Some(refusal.sentence.into_owned())
        }
        other => panic!("a whole message is there: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(message: &PeerMessage, because: &str) {
    let sentence = refused(message).expect("it cannot be right");
    assert!(sentence.contains(because), "{sentence}");
}

fn position(view: u64, op: u64) -> LogPosition {
    LogPosition {
        view: ViewNumber(view),
        op: OpNumber(op),
    }
}

const FORMED: [u8; 2] = [0, 5];

fn entry(view: u64, op: u64, payload: &[u8]) -> Entry {
    Entry::new(&Prepare {
        view: ViewNumber(view),
        op: OpNumber(op),
        commit: OpNumber(0),
        time: Timestamp(0),
        payload,
    })
}

/// Sent by the primary of view 9 behind op 4 of view 3.
fn prepare(entries: Vec<Entry>) -> PeerMessage {
    PeerMessage::Prepare(Prepares {
        view: ViewNumber(9),
        after: position(3, 4),
        commit: OpNumber(2),
        entries,
    })
}

fn ops(places: &[(u64, u64)]) -> PeerMessage {
    let entries = places.iter().map(|&(view, op)| entry(view, op, &FORMED));
    prepare(entries.collect())
}

#[test]
fn ops_come_without_gaps_and_their_views_never_fall() {
    for places in [&[][..], &[(3, 5)], &[(3, 5), (3, 6), (9, 7)]] {
        assert_eq!(refused(&ops(places)), None, "{places:?}");
    }
    assert_refused(&ops(&[(3, 6)]), "op 6 stands behind op 4");
    assert_refused(&ops(&[(3, 4)]), "op 4 stands behind op 4");
    assert_refused(&ops(&[(3, 5), (3, 5)]), "op 5 stands behind op 5");
    assert_refused(&ops(&[(3, 5), (3, 7)]), "op 7 stands behind op 5");
    assert_refused(&ops(&[(2, 5)]), "op 5 is of a lower view");
    assert_refused(&ops(&[(4, 5), (3, 6)]), "op 6 is of a lower view");
    assert_refused(&ops(&[(3, 5), (10, 6)]), "op 6 is of a higher view");
}

#[test]
fn nothing_stands_behind_the_last_op_that_there_can_be() {
    let behind = |op| {
        PeerMessage::Prepare(Prepares {
            view: ViewNumber(9),
            after: position(3, u64::MAX),
            commit: OpNumber(2),
            entries: vec![entry(3, op, &FORMED)],
        })
    };
    assert_refused(&behind(1), "stands behind");
    assert_refused(&behind(u64::MAX), "stands behind");
}

#[test]
fn an_op_that_nobody_can_read_gets_into_no_journal() {
    let with_payload = |payload: &[u8]| prepare(vec![entry(3, 5, payload)]);
    assert_refused(&with_payload(&[]), "op 5 cannot be read");
    assert_refused(&with_payload(&[0x7f, 0xff]), "unknown kind 7fff");
    assert_refused(&with_payload(&[0, 5, 0]), "0005 is damaged");
    assert_refused(&with_payload(&[0; OP_BYTES_MAX + 1]), "at most");
    assert_refused(&prepare(vec![entry(3, 0, &FORMED)]), "op 0");

    let text = "x".repeat(TEXT_BYTES_MAX);
    let largest = Op::Chat(ChatOp::Send {
        origin: Origin {
            account: AccountId(6),
            request: None,
        },
        to: Name::parse("bob").unwrap(),
        text: Text::parse(&text).unwrap(),
    });
    let mut payload = Vec::new();
    encode_op(&mut payload, &largest);
    assert_eq!(refused(&with_payload(&payload)), None);
}

#[test]
fn an_op_ends_where_its_length_says() {
    let mut bytes = Vec::new();
    encode_peer(&mut bytes, &ops(&[(3, 5), (3, 6)]));
    // Behind the header, the view, the position and the commit number.
    let length_at = 16 + 8 + 16 + 8;
    for (length, taken) in [(33u32, false), (34, true), (35, false), (u32::MAX, false)] {
        bytes[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        let found = decode_peer(&bytes);
        assert_eq!(matches!(found, Decoded::Message { .. }), taken, "{length}");
    }
}

#[test]
fn as_many_ops_as_go_into_one_prepare_fit_into_a_frame() {
    let smallest = entry(3, 5, &FORMED).bytes();
    let count = PREPARE_BYTES_MAX / smallest;
    let places: Vec<_> = (5..).take(count).map(|op| (3, op)).collect();
    assert_eq!(refused(&ops(&places)), None);
}

fn member(server: u16) -> Member {
    Member {
        server: ServerId(server),
        incarnation: Incarnation {
            counter: 4,
            random: 5,
        },
    }
}

fn view(number: u64, servers: std::ops::RangeInclusive<u16>) -> View {
    View {
        number: ViewNumber(number),
        lineage: Lineage::default(),
        primary: ServerId(*servers.start()),
        members: servers.map(member).collect(),
    }
}

/// Server 2 wants to lead, in round 1, with server 3.
fn proposal() -> Proposal {
    Proposal {
        number: ViewNumber::new(1, ServerId(2)),
        lineage: Lineage::default(),
        candidate: member(2),
        members: vec![member(2), member(3)],
        standing: vec![view(7, 1..=3)],
        silent: Vec::new(),
        dead: vec![member(1)],
        promised: Vec::new(),
        unreached: vec![ServerId(1)],
        cold: false,
        last: position(7, 8),
    }
}

fn proposed(change: impl FnOnce(&mut Proposal)) -> PeerMessage {
    let mut proposal = proposal();
    change(&mut proposal);
    PeerMessage::Propose(proposal)
}

#[test]
fn a_proposal_fits_together() {
    assert_eq!(refused(&proposed(|_| {})), None);
    let other_number = proposed(|p| p.number = ViewNumber::new(1, ServerId(3)));
    assert_refused(&other_number, "names its candidate");
    let not_a_member = proposed(|p| p.members = vec![member(1), member(3)]);
    assert_refused(&not_a_member, "names its candidate");
    let later_process = proposed(|p| p.candidate.incarnation.counter += 1);
    assert_refused(&later_process, "names its candidate");
    let disordered = proposed(|p| p.members.reverse());
    assert_refused(&disordered, "order of their ids");
    let twice = proposed(|p| p.members.push(member(3)));
    assert_refused(&twice, "order of their ids");
    assert_refused(&proposed(|p| p.standing.clear()), "stands in a view");
}

#[test]
fn the_longest_proposal_fits_into_a_frame() {
    let members_max = MEMBERS_MAX as u16;
    let everybody = vec![member(1); MEMBERS_MAX * VIEWS_REMEMBERED_MAX];
    let views = 1..=VIEWS_REMEMBERED_MAX as u64;
    let longest = proposed(|p| {
        p.members = (1..=members_max).map(member).collect();
        p.standing = views.map(|number| view(number, 1..=members_max)).collect();
        p.silent = everybody.clone();
        p.dead = everybody.clone();
        p.promised = everybody;
        p.unreached = vec![ServerId(1); SERVERS_MAX];
    });
    assert_eq!(refused(&longest), None);
}

#[test]
fn views_stand_in_the_order_in_which_they_began() {
    let standing = |numbers: &[u64]| {
        let views: Vec<_> = numbers.iter().map(|&n| view(n, 1..=2)).collect();
        let report = Report::default();
        let propose = proposed(|p| p.standing = views.clone());
        let descent = Vec::new();
        let standing = PeerMessage::Standing(Standing {
            views,
            report,
            descent,
        });
        [propose, standing]
    };
    for message in standing(&[1, 2, 9]) {
        assert_eq!(refused(&message), None);
    }
    for message in standing(&[2, 1]).into_iter().chain(standing(&[2, 2])) {
        assert_refused(&message, "rising numbers");
    }

    let log_state = |marks: &[(u64, u64)]| {
        let views = marks.iter().map(|&(number, op)| ViewMark {
            number: ViewNumber(number),
            op: OpNumber(op),
        });
        PeerMessage::LogState(LogState {
            view: ViewNumber(9),
            last: position(9, 9),
            applied: OpNumber(1),
            views: views.collect(),
        })
    };
    assert_eq!(refused(&log_state(&[(1, 3), (2, 4)])), None);
    assert_refused(&log_state(&[(2, 3), (1, 4)]), "began");
    assert_refused(&log_state(&[(1, 4), (2, 4)]), "began");
}

#[test]
fn parts_of_a_snapshot_at_and_above_their_limits() {
    let part = |length, offset, bytes: usize| {
        PeerMessage::Snapshot(SnapshotPart {
            last: position(3, 4),
            length,
            offset,
            bytes: vec![7; bytes],
        })
    };
    let most = SNAPSHOT_PART_BYTES;
    assert_eq!(refused(&part(most as u64, 0, most)), None);
    assert_eq!(refused(&part(10, 7, 3)), None);
    assert_eq!(refused(&part(u64::MAX, u64::MAX - 3, 3)), None);
    assert_refused(&part(10, 8, 3), "within it");
    assert_refused(&part(u64::MAX, u64::MAX, 1), "within it");

    // One byte more, as only somebody else's encoder would write it.
    let mut bytes = Vec::new();
    encode_peer(&mut bytes, &part(u64::MAX, 0, most));
    bytes.push(7);
    let length = u32::try_from(bytes.len() - 16).unwrap();
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    assert!(matches!(decode_peer(&bytes), Decoded::Broken { .. }));
}

#[test]
#[should_panic(expected = "at most 32 items")]
fn a_list_beyond_its_limit_is_our_own_mistake() {
    refused(&PeerMessage::Ping(Ping {
        sent_at: Time(1),
        wall_clock: Timestamp(1),
        report: Report::default(),
        fresh: vec![member(1); SERVERS_MAX + 1],
        rumours: Vec::new(),
    }));
}
