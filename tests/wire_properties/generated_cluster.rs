//! Whatever may be said about servers and their views.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use lastword::limits::MEMBERS_MAX;
use lastword::types::*;
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::Index;

pub fn addresses() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<(u32, u16)>().prop_map(|(ip, port)| SocketAddr::new(Ipv4Addr::from(ip).into(), port)),
        any::<(u128, u16, u32, u32)>().prop_map(|(ip, port, flow, scope)| {
            SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into()
        }),
    ]
}

pub fn lineages() -> impl Strategy<Value = Lineage> {
    any::<(u32, u64)>().prop_map(|(counter, random)| Lineage { counter, random })
}

pub fn incarnations() -> impl Strategy<Value = Incarnation> {
    any::<(u64, u64)>().prop_map(|(counter, random)| Incarnation { counter, random })
}

/// Members of a view, in the order of their ids.
pub fn members() -> impl Strategy<Value = Vec<Member>> {
    btree_map(any::<u16>(), incarnations(), 1..=MEMBERS_MAX).prop_map(|members| {
        let members = members.into_iter().map(|(server, incarnation)| Member {
            server: ServerId(server),
            incarnation,
        });
        members.collect()
    })
}

pub fn views() -> impl Strategy<Value = View> {
    (any::<u64>(), lineages(), members(), any::<Index>()).prop_map(
        |(number, lineage, members, leader)| View {
            number: ViewNumber(number),
            lineage,
            primary: leader.get(&members).server,
            members,
        },
    )
}
