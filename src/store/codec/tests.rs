//! Does a blob come back as what it was, and is anything else an error?

use super::*;
use proptest::prelude::*;

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<u64>().prop_map(|id| Outcome::Created(AccountId(id))),
        Just(Outcome::SessionOpened),
        Just(Outcome::SessionClosed),
        Just(Outcome::Deleted),
        any::<u64>().prop_map(|id| Outcome::Sent(OpNumber(id))),
        any::<u64>().prop_map(|id| Outcome::Acknowledged(OpNumber(id))),
        prop::sample::select(ErrorCode::ALL).prop_map(Outcome::Refused),
    ]
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u16; 8], u16)>().prop_map(SocketAddr::from),
    ]
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let server = (any::<u16>(), any_address(), any::<u64>());
    let server = server.prop_map(|(server, address, incarnation)| ServerRecord {
        server: ServerId(server),
        address,
        incarnation,
    });
    let member = any::<(u16, u64, u64)>().prop_map(|(server, counter, random)| Member {
        server: ServerId(server),
        incarnation: Incarnation { counter, random },
    });
    let members = prop::collection::vec(member, 0..4);
    let view = (any::<(u64, u32, u64, u16)>(), members).prop_map(|(numbers, members)| View {
        number: ViewNumber(numbers.0),
        lineage: Lineage {
            counter: numbers.1,
            random: numbers.2,
        },
        primary: ServerId(numbers.3),
        members,
    });
    let mark = any::<(u64, u64)>().prop_map(|(number, op)| ViewMark {
        number: ViewNumber(number),
        op: OpNumber(op),
    });
    let servers = prop::collection::vec(server, 0..4);
    let views = prop::collection::vec(mark, 0..4);
    (any::<(u128, u16, bool)>(), servers, view, views).prop_map(
        |((id, backups, formed), servers, view, views)| Cluster {
            id: ClusterId(id),
            backups,
            formed,
            servers,
            view,
            views,
        },
    )
}

/// As version 0.1 wrote it.
fn bytes_of_version_0_1(cluster: &Cluster) -> Vec<u8> {
    let mut bytes = cluster.id.0.to_be_bytes().to_vec();
    put_varint(&mut bytes, cluster.backups.into());
    bytes.push(cluster.formed.into());
    put_varint(&mut bytes, cluster.servers.len() as u64);
    for server in &cluster.servers {
        put_varint(&mut bytes, server.server.0.into());
        let address = server.address.to_string();
        put_varint(&mut bytes, address.len() as u64);
        bytes.extend_from_slice(address.as_bytes());
    }
    put_view(&mut bytes, &cluster.view);
    bytes
}

proptest! {
    #[test]
    fn a_session_comes_back_as_it_was_and_never_in_part(
        secret: [u8; 32],
        last_used: u64,
        lowest_open: u64,
        answers in prop::collection::vec((any::<u64>(), any_outcome()), 0..8),
    ) {
        let answers = answers.into_iter().map(|(n, outcome)| (RequestNumber(n), outcome));
        let state = SessionState {
            secret_hash: SecretHash(secret),
            last_used: OpNumber(last_used),
            lowest_open: RequestNumber(lowest_open),
            answers: answers.collect(),
        };
        let mut bytes = Vec::new();
        put_session(
            &mut bytes,
            &state.secret_hash,
            state.last_used,
            state.lowest_open,
            &state.answers,
        );
        prop_assert_eq!(session(&bytes).unwrap(), state);
        for length in 0..bytes.len() {
            prop_assert!(session(&bytes[..length]).is_err());
        }
        bytes.push(0);
        prop_assert!(session(&bytes).is_err());
    }

    #[test]
    fn a_cluster_comes_back_as_it_was_and_never_in_part(cluster_put in any_cluster()) {
        let mut bytes = cluster_bytes(&cluster_put);
        prop_assert_eq!(cluster(&bytes).unwrap(), cluster_put.clone());
        // Where version 0.1 ended, there is a blob of it; nowhere else.
        let old = bytes_of_version_0_1(&cluster_put).len();
        for length in (0..bytes.len()).filter(|length| *length != old) {
            prop_assert!(cluster(&bytes[..length]).is_err(), "{} bytes", length);
        }
        bytes.push(0);
        prop_assert!(cluster(&bytes).is_err());
    }

    #[test]
    fn a_cluster_of_version_0_1_has_no_incarnations_and_no_views(written in any_cluster()) {
        let mut expected = written.clone();
        expected.servers.iter_mut().for_each(|server| server.incarnation = 0);
        expected.views.clear();
        prop_assert_eq!(cluster(&bytes_of_version_0_1(&written)).unwrap(), expected);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes: Vec<u8>) {
        let _ = (session(&bytes), outcome(&bytes), cluster(&bytes));
    }
}

#[test]
fn a_busy_session_stays_within_a_page() {
    let open = crate::limits::SESSION_OPEN_REQUESTS_MAX;
    let answers: Vec<_> = (0..open)
        .map(|n| {
            (
                RequestNumber(1 << 40 | n),
                Outcome::Sent(OpNumber(1 << 34 | n)),
            )
        })
        .collect();
    let mut bytes = Vec::new();
    let lowest_open = answers[0].0;
    put_session(
        &mut bytes,
        &SecretHash([1; 32]),
        OpNumber(1 << 34),
        lowest_open,
        &answers,
    );
    assert!(bytes.len() < 2048, "{} bytes", bytes.len());
}

/// What is on disks already has to stay readable: these bytes never change.
#[test]
fn both_formats_of_a_cluster_are_what_they_were() {
    let mut bytes = vec![0; 15];
    bytes.extend([9, 2, 1, 1, 1, 14]);
    bytes.extend(b"127.0.0.1:5001");
    // The view: its number, the lineage, who leads, and its one member.
    bytes.extend([0x81, 0x80, 0x04, 3, 5, 1, 1, 1, 0xac, 0x02, 7]);
    let mut expected = Cluster {
        id: ClusterId(9),
        backups: 2,
        formed: true,
        servers: vec![ServerRecord {
            server: ServerId(1),
            address: ([127, 0, 0, 1], 5001).into(),
            incarnation: 0,
        }],
        view: View {
            number: ViewNumber(65_537),
            lineage: Lineage {
                counter: 3,
                random: 5,
            },
            primary: ServerId(1),
            members: vec![Member {
                server: ServerId(1),
                incarnation: Incarnation {
                    counter: 300,
                    random: 7,
                },
            }],
        },
        views: Vec::new(),
    };
    assert_eq!(cluster(&bytes).unwrap(), expected);
    // Since then: the highest incarnation of each server, and the views with their ops.
    bytes.extend([0xac, 0x02, 1, 0x81, 0x80, 0x04, 42]);
    expected.servers[0].incarnation = 300;
    expected.views.push(ViewMark {
        number: ViewNumber(65_537),
        op: OpNumber(42),
    });
    assert_eq!(cluster(&bytes).unwrap(), expected);
    assert_eq!(cluster_bytes(&expected), bytes);
}
