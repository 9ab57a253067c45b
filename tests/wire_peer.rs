//! Messages between servers: how they are laid out, and what each thing that cannot be right
//! gets. Every limit at and above it; wrong bytes are put together by hand, since our own encoder
//! would not write them.

use lastword::limits::*;
use lastword::types::*;
use lastword::wire::Decoded;
use lastword::wire::frame::Kind;
use lastword::wire::message::Refusal;
use lastword::wire::peer::*;
use lastword::wire::prepare::{Entry, Prepare};

fn encoded(message: &PeerMessage) -> Vec<u8> {
    let mut out = Vec::new();
    encode_peer(&mut out, message);
    out
}

fn frame(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xcc, 1];
    bytes.extend(kind.to_be_bytes());
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// What is wrong with a body of this kind, if something is.
fn refusal(kind: Kind, parts: &[&[u8]]) -> Option<Refusal> {
    match decode_peer(&frame(kind.0, &parts.concat())) {
        Decoded::Message { .. } => None,
        Decoded::Broken { refusal } => Some(refusal),
        other => panic!("a whole frame of a known kind is there: {other:?}"),
    }
}

fn is_taken(kind: Kind, parts: &[&[u8]]) -> bool {
    refusal(kind, parts).is_none()
}

/// A list of so many zeros that it has `count` items of `item_bytes` each.
fn list(count: usize, item_bytes: usize) -> Vec<u8> {
    let mut bytes = (count as u16).to_be_bytes().to_vec();
    bytes.resize(2 + count * item_bytes, 0);
    bytes
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
        lineage: Lineage {
            counter: 2,
            random: 3,
        },
        primary: ServerId(*servers.start()),
        members: servers.map(member).collect(),
    }
}

fn position(view: u64, op: u64) -> LogPosition {
    LogPosition {
        view: ViewNumber(view),
        op: OpNumber(op),
    }
}

#[test]
fn messages_are_laid_out_in_the_order_of_their_fields() {
    let number = ViewNumber(0x1_0002);
    let a_member = "000200000000000000040000000000000005";
    let a_report = concat!(
        "0000000000000001",
        "0000000000000002",
        "01",
        "00",
        "00000000000000030000000000000004",
        "0000000000000005",
        "0000000000000006",
        "01",
        "0000000000000007",
        "000003e8",
        "01",
        "0006",
        "00",
        "01"
    );
    let report = Report {
        promised: ViewNumber(1),
        newest: ViewNumber(2),
        intact: true,
        leads: false,
        last: position(3, 4),
        commit: OpNumber(5),
        in_force: OpNumber(6),
        damaged: true,
        stood: ViewNumber(7),
        grace_ms: 1000,
        trust_refused: TrustRefused::OnThisHost,
        disk_ms: 6,
        store_damaged: false,
        ordered: true,
    };
    let ping = Ping {
        sent_at: Time(9),
        wall_clock: Timestamp(8),
        report,
        fresh: vec![member(3)],
        rumours: vec![Rumour {
            member: member(2),
            promised: ViewNumber(6),
            newest: ViewNumber(7),
            descent: vec![member(2).incarnation],
        }],
    };
    let a_rumour = format!(
        "{a_member}000000000000000600000000000000070001{}",
        &a_member[4..]
    );
    let a_view = format!(
        "00000000000100020000000200000000000000030002{}{a_member}",
        "0001"
    );
    let formed = Entry::new(&Prepare {
        view: ViewNumber(3),
        op: OpNumber(5),
        commit: OpNumber(4),
        time: Timestamp(6),
        payload: &[0, 5],
    });
    let prepares = Prepares {
        view: number,
        after: position(3, 4),
        commit: OpNumber(4),
        entries: vec![formed],
    };
    let an_op = "00000000000000030000000000000005000000000000000400000000000000060005";
    let servers = vec![ServerRecord {
        server: ServerId(2),
        address: "127.0.0.1:5001".parse().unwrap(),
        incarnation: 4,
    }];
    let lead = Lead {
        view: view(number.0, 2..=2),
        in_force: true,
        servers: servers.clone(),
    };
    for (message, kind, body) in [
        (
            PeerMessage::Ping(ping),
            "1004",
            format!(
                "00000000000000090000000000000008{a_report}0001{}{}{a_rumour}",
                a_member.replacen("0002", "0003", 1),
                "0001"
            ),
        ),
        (
            PeerMessage::Prepare(prepares),
            "1001",
            format!(
                "0000000000010002{}{}{}{an_op}",
                "00000000000000030000000000000004", "0000000000000004", "00000022"
            ),
        ),
        (
            PeerMessage::Veto {
                number,
                voter: member(2),
                alive: ServerId(1),
            },
            "1009",
            format!("0000000000010002{a_member}0001"),
        ),
        (
            PeerMessage::Lead(lead),
            "100b",
            format!(
                "{a_view}01{}{}{}",
                "00010002", "047f0000011389", "0000000000000004"
            ),
        ),
        (
            PeerMessage::Standing(Standing {
                views: vec![view(number.0, 2..=2)],
                report,
                descent: vec![member(2).incarnation],
            }),
            "100d",
            format!("0001{a_view}{a_report}0001{}", &a_member[4..]),
        ),
        (PeerMessage::Leave, "100f", String::new()),
        (
            PeerMessage::Addresses(servers),
            "1012",
            format!("00010002{}{}", "047f0000011389", "0000000000000004"),
        ),
    ] {
        let bytes: String = encoded(&message)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let length = body.len() / 2;
        let header = format!("cc01{kind}{length:08x}0000000000000000");
        assert_eq!(bytes, header + &body, "{message:?}");
    }
}

#[test]
fn kinds_that_only_newer_servers_know_are_skipped() {
    for kind in [0x1000, 0x1013, 0x10ff] {
        let bytes = frame(kind, b"anything");
        let consumed = bytes.len();
        assert_eq!(decode_peer(&bytes), Decoded::Nothing { consumed });
    }
}

#[test]
fn what_clients_and_servers_say_to_each_other_does_not_belong_on_a_link() {
    for kind in [0x0001, 0x0102, 0x0202, 0x0401, 0x0f04, 0x1104, 0xffff] {
        let refusal = refusal(Kind(kind), &[]).expect("this is no message between servers");
        assert_eq!(refusal.code, ErrorCode::BadArguments);
        assert!(refusal.sentence.contains(&format!("{kind:04x}")));
    }
    let said = refusal(Kind::REFUSED, &[&[0, 2], b"go away"]);
    assert_eq!(said, Some(Refusal::new(ErrorCode::BadArguments, "go away")));
    let steering = refusal(Kind::REFUSED, &[&[0, 2], b"\x1b[2J"]).unwrap();
    assert!(!steering.sentence.contains('\x1b'));
}

#[test]
fn a_refusal_says_in_what_it_was() {
    let refusal = refusal(Kind::PREPARE_OK, &[&[0; 15]]).unwrap();
    assert!(refusal.sentence.contains("1006"), "{}", refusal.sentence);
}

#[test]
fn bodies_at_and_above_their_limit() {
    let mut bytes = frame(0x10ff, &vec![0; PEER_FRAME_BODY_BYTES_MAX]);
    assert!(matches!(decode_peer(&bytes), Decoded::Nothing { .. }));
    bytes[4..8].copy_from_slice(&(PEER_FRAME_BODY_BYTES_MAX as u32 + 1).to_be_bytes());
    let Decoded::Broken { refusal } = decode_peer(&bytes[..16]) else {
        panic!("the header alone is enough to know");
    };
    assert_eq!(refusal.code, ErrorCode::TooLong);
}

#[test]
fn lists_at_and_above_their_limits() {
    const REPORT: [u8; 68] = [0; 68];
    let none = &list(0, 0)[..];
    let ping = |fresh, rumours| {
        let (fresh, rumours) = (list(fresh, 18), list(rumours, 36));
        is_taken(Kind::PEER_PING, &[&[0; 16], &REPORT, &fresh, &rumours])
    };
    assert!(ping(0, 0) && ping(SERVERS_MAX, SERVERS_MAX));
    assert!(!ping(SERVERS_MAX + 1, 0) && !ping(0, SERVERS_MAX + 1));
    // More are promised than there are bytes.
    assert!(!is_taken(
        Kind::PEER_PING,
        &[&[0; 16], &REPORT, &[0, 9], none]
    ));

    let a_record = [&[0, 1, 4, 127, 0, 0, 1, 0x13, 0x89][..], &[0; 8]].concat();
    let lead = |members, servers: usize| {
        let mut message = encoded(&PeerMessage::Lead(Lead {
            view: view(1, 1..=1),
            in_force: true,
            servers: Vec::new(),
        }));
        let body = message.split_off(16);
        let others: Vec<u8> = (1..=members)
            .flat_map(|server: u16| [&server.to_be_bytes()[..], &[0; 16]].concat())
            .collect();
        let count = (servers as u16).to_be_bytes();
        let records = a_record.repeat(servers);
        is_taken(
            Kind::LEAD,
            &[
                &body[..22],
                &members.to_be_bytes(),
                &others,
                &[1],
                &count,
                &records,
            ],
        )
    };
    let members_max = MEMBERS_MAX as u16;
    assert!(lead(1, 0) && lead(members_max, SERVERS_MAX));
    assert!(!lead(0, 0) && !lead(members_max + 1, 0) && !lead(1, SERVERS_MAX + 1));

    let log_state = |count: u64| {
        let marks: Vec<u8> = (1..=count)
            .flat_map(|n| [n.to_be_bytes(); 2].concat())
            .collect();
        let count = (count as u16).to_be_bytes();
        is_taken(Kind::LOG_STATE, &[&[0; 32], &count, &marks])
    };
    let views_max = VIEWS_REMEMBERED_MAX as u64;
    assert!(log_state(0) && log_state(views_max) && !log_state(views_max + 1));

    let standing = |count: u64, ancestors: usize| {
        let views = (1..=count).flat_map(|number| {
            let bytes = encoded(&PeerMessage::Standing(Standing {
                views: vec![view(number, 1..=1)],
                report: Report::default(),
                descent: Vec::new(),
            }));
            bytes[18..bytes.len() - REPORT.len() - 2].to_vec()
        });
        let views: Vec<u8> = views.collect();
        is_taken(
            Kind::STANDING,
            &[
                &(count as u16).to_be_bytes(),
                &views,
                &REPORT,
                &list(ancestors, 16),
            ],
        )
    };
    assert!(standing(0, 0) && standing(views_max, DESCENT_MAX));
    assert!(!standing(views_max + 1, 0) && !standing(0, DESCENT_MAX + 1));
}

#[test]
fn the_lists_of_a_proposal_at_and_above_their_limits() {
    let proposal = |members: usize, views: usize, processes: [usize; 3], servers: usize| {
        let number = [0, 0, 0, 0, 0, 1, 0, 1];
        let candidate = [&[0, 1][..], &[0; 16]].concat();
        let mut listed = (members as u16).to_be_bytes().to_vec();
        for server in 1..=members as u16 {
            listed.extend([&server.to_be_bytes()[..], &[0; 16]].concat());
        }
        let mut standing = (views as u16).to_be_bytes().to_vec();
        for number in 1..=views as u64 {
            standing.extend(number.to_be_bytes());
            standing.extend([&[0; 12][..], &[0, 1, 0, 1], &candidate].concat());
        }
        let processes = processes.map(|count| list(count, 18)).concat();
        let unreached = list(servers, 2);
        let fields: &[&[u8]] = &[
            &number, &[0; 12], &candidate, &listed, &standing, &processes, &unreached, &[0; 17],
        ];
        is_taken(Kind::PROPOSE, fields)
    };
    let most = MEMBERS_MAX * VIEWS_REMEMBERED_MAX;
    let views_max = VIEWS_REMEMBERED_MAX;
    assert!(proposal(1, 1, [0; 3], 0));
    assert!(proposal(MEMBERS_MAX, views_max, [most; 3], SERVERS_MAX));
    assert!(!proposal(MEMBERS_MAX + 1, 1, [0; 3], 0));
    assert!(!proposal(1, views_max + 1, [0; 3], 0));
    assert!(!proposal(1, 1, [most + 1, 0, 0], 0));
    assert!(!proposal(1, 1, [0, most + 1, 0], 0));
    assert!(!proposal(1, 1, [0, 0, most + 1], 0));
    assert!(!proposal(1, 1, [0; 3], SERVERS_MAX + 1));
}
