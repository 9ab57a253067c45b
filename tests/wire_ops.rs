//! How ops are written in the log. Journals keep these bytes for years: a test that fails here
//! says that old journals could no longer be read.

use lastword::limits::*;
use lastword::types::*;
use lastword::wire::operation::{InvalidOp, decode_op, encode_op};

fn encoded(op: &Op<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_op(&mut out, op);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name() -> Name {
    Name::parse("bob").unwrap()
}

fn lineage() -> Lineage {
    Lineage {
        counter: 2,
        random: 3,
    }
}

fn view(primary: u16, members: &[u16]) -> View {
    View {
        number: ViewNumber(0x1_0002),
        lineage: lineage(),
        primary: ServerId(primary),
        members: members
            .iter()
            .map(|&server| Member {
                server: ServerId(server),
                incarnation: Incarnation {
                    counter: 4,
                    random: 5,
                },
            })
            .collect(),
    }
}

fn origin() -> Origin {
    Origin {
        account: AccountId(6),
        request: Some(SessionRequest {
            session: SessionId(7),
            number: RequestNumber(9),
            lowest_open: RequestNumber(8),
        }),
    }
}

#[test]
fn cluster_ops_never_change_their_bytes() {
    let v4 = "127.0.0.1:5001".parse().unwrap();
    let v6 = "[::1]:5001".parse().unwrap();
    let server = ServerId(1);
    for (op, bytes) in [
        (
            ClusterOp::Found {
                cluster: ClusterId(1),
                lineage: lineage(),
                backups: 2,
            },
            concat!(
                "0001",
                "00000000000000000000000000000001",
                "00000002",
                "0000000000000003",
                "0002"
            ),
        ),
        (
            ClusterOp::Join {
                server,
                address: v4,
            },
            concat!("0002", "0001", "04", "7f000001", "1389"),
        ),
        (
            ClusterOp::Move {
                server,
                address: v6,
            },
            concat!(
                "0003",
                "0001",
                "06",
                "00000000000000000000000000000001",
                "1389",
                "00000000",
                "00000000"
            ),
        ),
        (
            ClusterOp::View(view(2, &[2])),
            concat!(
                "0004",
                "0000000000010002",
                "00000002",
                "0000000000000003",
                "0002",
                "0002",
                "0000000000000004",
                "0000000000000005"
            ),
        ),
        (ClusterOp::Formed, "0005"),
        (
            ClusterOp::Forget {
                server: ServerId(2),
            },
            "00060002",
        ),
    ] {
        assert_eq!(hex(&encoded(&Op::Cluster(op))), bytes);
    }
}

#[test]
fn chat_ops_never_change_their_bytes() {
    let by_whom = concat!(
        "0000000000000006",
        "01",
        "00000000000000000000000000000007",
        "0000000000000009",
        "0000000000000008"
    );
    let in_text_mode = Origin {
        request: None,
        ..origin()
    };
    for (op, bytes) in [
        (
            ChatOp::CreateAccount {
                name: name(),
                password_hash: "$a",
                retry: None,
            },
            format!("0101{}{}{}", "00", "03626f62", "2461"),
        ),
        (
            ChatOp::OpenSession {
                account: AccountId(6),
                password_version: PasswordVersion(1),
                session: SessionId(7),
                secret_hash: SecretHash([0xee; 32]),
            },
            format!(
                "0102{}{}{}{}",
                "0000000000000006",
                "00000001",
                "00000000000000000000000000000007",
                "ee".repeat(32)
            ),
        ),
        (
            ChatOp::CloseSession { origin: origin() },
            format!("0103{by_whom}"),
        ),
        (
            ChatOp::DeleteAccount {
                origin: origin(),
                password_version: PasswordVersion(1),
            },
            format!("0104{by_whom}00000001"),
        ),
        (
            ChatOp::Send {
                origin: in_text_mode,
                to: name(),
                text: Text::parse("hi").unwrap(),
            },
            format!("0105{}{}{}", "000000000000000600", "03626f62", "6869"),
        ),
        (
            ChatOp::Acknowledge {
                origin: origin(),
                conversation: Some(ConversationId(10)),
                up_to: OpNumber(11),
            },
            format!("0106{by_whom}000000000000000b01000000000000000a"),
        ),
    ] {
        assert_eq!(hex(&encoded(&Op::Chat(op))), bytes);
    }
}

#[test]
fn what_is_no_op_says_why() {
    assert_eq!(decode_op(&[]), Err(InvalidOp::Empty));
    assert_eq!(decode_op(&[1]), Err(InvalidOp::Empty));
    for kind in [0x0000u16, 0x0007, 0x0100, 0x0107, 0xffff] {
        let bytes = kind.to_be_bytes();
        assert_eq!(decode_op(&bytes), Err(InvalidOp::UnknownKind(kind)));
    }
    let mut formed = encoded(&Op::Cluster(ClusterOp::Formed));
    formed.push(0);
    let damaged = decode_op(&formed).unwrap_err().to_string();
    assert!(damaged.contains("0005"), "{damaged}");

    let mut long = 0x0105u16.to_be_bytes().to_vec();
    long.resize(OP_BYTES_MAX, 0);
    assert!(matches!(
        decode_op(&long),
        Err(InvalidOp::Field { kind: 0x0105, .. })
    ));
    long.push(0);
    assert_eq!(decode_op(&long), Err(InvalidOp::TooLong(OP_BYTES_MAX + 1)));
}

#[test]
fn every_beginning_of_an_op_is_refused() {
    let acknowledge = ChatOp::Acknowledge {
        origin: origin(),
        conversation: Some(ConversationId(10)),
        up_to: OpNumber(11),
    };
    for op in [
        Op::Chat(acknowledge),
        Op::Cluster(ClusterOp::View(view(1, &[1, 2]))),
    ] {
        let bytes = encoded(&op);
        for length in 0..bytes.len() {
            let Ok(shorter) = decode_op(&bytes[..length]) else {
                continue;
            };
            // A view's members go to the end: one less is another view.
            assert_eq!(shorter, Op::Cluster(ClusterOp::View(view(1, &[1]))));
        }
    }
}

#[test]
fn the_largest_message_fits_into_an_op() {
    let text = "x".repeat(TEXT_BYTES_MAX);
    let op = Op::Chat(ChatOp::Send {
        origin: origin(),
        to: Name::parse(&"x".repeat(NAME_BYTES_MAX)).unwrap(),
        text: Text::parse(&text).unwrap(),
    });
    let bytes = encoded(&op);
    assert!(bytes.len() <= OP_BYTES_MAX);
    assert_eq!(decode_op(&bytes), Ok(op));
}

#[test]
fn a_password_hash_at_below_and_above_its_limits() {
    let decodes = |length: usize| {
        let hash = "x".repeat(length);
        let op = Op::Chat(ChatOp::CreateAccount {
            name: name(),
            password_hash: &hash,
            retry: None,
        });
        decode_op(&encoded(&op)).is_ok()
    };
    assert!(!decodes(0));
    assert!(decodes(1));
    assert!(decodes(PASSWORD_HASH_BYTES_MAX));
    assert!(!decodes(PASSWORD_HASH_BYTES_MAX + 1));
}

#[test]
fn a_view_has_its_members_in_order_and_its_primary_among_them() {
    let decodes = |primary, members: &[u16]| {
        let op = Op::Cluster(ClusterOp::View(view(primary, members)));
        decode_op(&encoded(&op)).is_ok()
    };
    assert!(decodes(1, &[1]));
    assert!(decodes(3, &[1, 2, 3]));
    assert!(!decodes(1, &[]));
    assert!(!decodes(4, &[1, 2, 3]));
    assert!(!decodes(1, &[2, 1]));
    assert!(!decodes(1, &[1, 1]));
}
