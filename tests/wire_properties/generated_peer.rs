//! Whatever servers may say to each other.

use lastword::limits::{DESCENT_MAX, GOSSIPED_DESCENT_MAX, SERVERS_MAX, VIEWS_REMEMBERED_MAX};
use lastword::types::*;
use lastword::wire::operation::encode_op;
use lastword::wire::peer::*;
use lastword::wire::prepare::{Entry, Prepare};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::generated::{encoded, ids};
use crate::generated_cluster::{addresses, incarnations, lineages, members, views};
use crate::generated_ops::ops;

fn numbers() -> impl Strategy<Value = ViewNumber> {
    any::<u64>().prop_map(ViewNumber)
}

fn servers() -> impl Strategy<Value = ServerId> {
    any::<u16>().prop_map(ServerId)
}

fn server_lists() -> impl Strategy<Value = Vec<ServerId>> {
    vec(servers(), 0..=SERVERS_MAX)
}

fn processes() -> impl Strategy<Value = Member> {
    (servers(), incarnations()).prop_map(|(server, incarnation)| Member {
        server,
        incarnation,
    })
}

fn positions() -> impl Strategy<Value = LogPosition> {
    (numbers(), ids()).prop_map(|(view, op)| LogPosition { view, op })
}

fn reports() -> impl Strategy<Value = Report> {
    let views = (numbers(), numbers(), numbers());
    let flags = any::<(bool, bool, bool, bool, bool, bool)>();
    (
        views,
        flags,
        positions(),
        ids(),
        ids(),
        (any::<u32>(), any::<u16>()),
    )
        .prop_map(
            |(views, flags, last, commit, in_force, (grace_ms, disk_ms))| Report {
                promised: views.0,
                newest: views.1,
                stood: views.2,
                intact: flags.0,
                leads: flags.1,
                damaged: flags.2,
                trust_refused: [
                    TrustRefused::Nowhere,
                    TrustRefused::OnThisHost,
                    TrustRefused::Everywhere,
                ][usize::from(flags.3) + usize::from(flags.4)],
                store_damaged: flags.4,
                ordered: flags.5,
                last,
                commit,
                in_force,
                grace_ms,
                disk_ms,
            },
        )
}

fn pings() -> impl Strategy<Value = Ping> {
    let descent = vec(incarnations(), 0..=GOSSIPED_DESCENT_MAX);
    let rumours = (processes(), numbers(), numbers(), descent).prop_map(
        |(member, promised, newest, descent)| Rumour {
            member,
            promised,
            newest,
            descent,
        },
    );
    (
        any::<u64>(),
        any::<u64>(),
        reports(),
        vec(processes(), 0..=SERVERS_MAX),
        vec(rumours, 0..=SERVERS_MAX),
    )
        .prop_map(|(sent_at, wall_clock, report, fresh, rumours)| Ping {
            sent_at: Time(sent_at),
            wall_clock: Timestamp(wall_clock),
            report,
            fresh,
            rumours,
        })
}

/// Ops without gaps, whose views never fall.
fn prepares() -> impl Strategy<Value = Prepares> {
    let after = (0..u64::MAX / 2, 0..u64::MAX / 2);
    let entries = vec((0..3u64, ops(), any::<(u64, u64)>()), 0..6);
    (after, entries, 0..3u64, ids()).prop_map(|((view, op), entries, later, commit)| {
        let after = LogPosition {
            view: ViewNumber(view),
            op: OpNumber(op),
        };
        let mut last = after;
        let entries = entries.into_iter().map(|(newer, op, (commit, time))| {
            last.view.0 += newer;
            last.op = last.op.next();
            let payload = encoded(|out| encode_op(out, &op));
            Entry::new(&Prepare {
                view: last.view,
                op: last.op,
                commit: OpNumber(commit),
                time: Timestamp(time),
                payload: &payload,
            })
        });
        let entries = entries.collect();
        Prepares {
            view: ViewNumber(last.view.0 + later),
            after,
            commit,
            entries,
        }
    })
}

/// Views whose numbers rise.
fn standing_views(count_min: usize) -> impl Strategy<Value = Vec<View>> {
    vec(views(), count_min..5).prop_map(|mut views| {
        views.sort_by_key(|view| view.number);
        views.dedup_by_key(|view| view.number);
        views
    })
}

fn proposals() -> impl Strategy<Value = Proposal> {
    let lists = (
        standing_views(1),
        vec(processes(), 0..20),
        vec(processes(), 0..20),
        vec(processes(), 0..20),
        server_lists(),
    );
    let who = (0..1u64 << 48, members(), any::<Index>());
    (who, lineages(), lists, any::<bool>(), positions()).prop_map(
        |((round, members, index), lineage, lists, cold, last)| {
            let candidate = *index.get(&members);
            let (standing, silent, dead, promised, unreached) = lists;
            Proposal {
                number: ViewNumber::new(round, candidate.server),
                lineage,
                candidate,
                members,
                standing,
                silent,
                dead,
                promised,
                unreached,
                cold,
                last,
            }
        },
    )
}

fn server_records() -> impl Strategy<Value = Vec<ServerRecord>> {
    let record =
        (servers(), addresses(), any::<u64>()).prop_map(|(server, address, incarnation)| {
            ServerRecord {
                server,
                address,
                incarnation,
            }
        });
    vec(record, 0..=SERVERS_MAX)
}

fn leads() -> impl Strategy<Value = Lead> {
    (views(), any::<bool>(), server_records()).prop_map(|(view, in_force, servers)| Lead {
        view,
        in_force,
        servers,
    })
}

fn log_states() -> impl Strategy<Value = LogState> {
    let marks = (
        btree_set(any::<u64>(), 0..=VIEWS_REMEMBERED_MAX),
        btree_set(any::<u64>(), 0..=VIEWS_REMEMBERED_MAX),
    )
        .prop_map(|(numbers, ops)| {
            let marks = numbers.into_iter().zip(ops);
            let marks = marks.map(|(number, op)| ViewMark {
                number: ViewNumber(number),
                op: OpNumber(op),
            });
            marks.collect()
        });
    (numbers(), positions(), ids(), marks).prop_map(|(view, last, applied, views)| LogState {
        view,
        last,
        applied,
        views,
    })
}

fn snapshot_parts() -> impl Strategy<Value = SnapshotPart> {
    let bytes = vec(any::<u8>(), 0..200);
    (positions(), 0..u64::MAX / 2, 0..u64::MAX / 4, bytes).prop_map(
        |(last, offset, behind, bytes)| SnapshotPart {
            last,
            length: offset + bytes.len() as u64 + behind,
            offset,
            bytes,
        },
    )
}

pub fn peer_messages() -> impl Strategy<Value = PeerMessage> {
    let votes = || (numbers(), processes());
    prop_oneof![
        1 => pings().prop_map(PeerMessage::Ping),
        1 => any::<u64>().prop_map(|sent_at| PeerMessage::Pong {
            sent_at: Time(sent_at)
        }),
        4 => prepares().prop_map(PeerMessage::Prepare),
        1 => (numbers(), ids()).prop_map(|(view, op)| PeerMessage::PrepareOk { view, op }),
        2 => proposals().prop_map(PeerMessage::Propose),
        1 => votes().prop_map(|(number, voter)| PeerMessage::Promise { number, voter }),
        1 => (votes(), servers()).prop_map(|((number, voter), alive)| PeerMessage::Veto {
            number,
            voter,
            alive
        }),
        1 => (votes(), numbers()).prop_map(|((number, voter), promised)| PeerMessage::Overruled {
            number,
            voter,
            promised
        }),
        1 => leads().prop_map(PeerMessage::Lead),
        1 => log_states().prop_map(PeerMessage::LogState),
        1 => (standing_views(0), reports(), vec(incarnations(), 0..=DESCENT_MAX)).prop_map(
            |(views, report, descent)| PeerMessage::Standing(Standing {
                views,
                report,
                descent,
            })
        ),
        1 => (servers(), lineages())
            .prop_map(|(server, lineage)| PeerMessage::Welcome { server, lineage }),
        1 => Just(PeerMessage::Leave),
        1 => server_records().prop_map(PeerMessage::Addresses),
        1 => snapshot_parts().prop_map(PeerMessage::Snapshot),
        1 => (ids(), any::<u64>())
            .prop_map(|(applied, bytes)| PeerMessage::SnapshotOk { applied, bytes }),
    ]
}
