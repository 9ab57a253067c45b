//! Whatever may stand in the log.

use lastword::types::*;
use proptest::option;
use proptest::prelude::*;

use crate::generated::{conversations, ids, kept, names, texts};
use crate::generated_cluster::{addresses, lineages, views};

fn cluster_ops() -> impl Strategy<Value = ClusterOp> {
    let moved = || (any::<u16>().prop_map(ServerId), addresses());
    prop_oneof![
        (any::<u128>(), lineages(), any::<u16>()).prop_map(|(cluster, lineage, backups)| {
            ClusterOp::Found {
                cluster: ClusterId(cluster),
                lineage,
                backups,
            }
        }),
        moved().prop_map(|(server, address)| ClusterOp::Join { server, address }),
        moved().prop_map(|(server, address)| ClusterOp::Move { server, address }),
        views().prop_map(ClusterOp::View),
        Just(ClusterOp::Formed),
        any::<u16>().prop_map(|server| ClusterOp::Forget {
            server: ServerId(server)
        }),
    ]
}

fn session_requests() -> impl Strategy<Value = Option<SessionRequest>> {
    option::of(
        any::<(u128, u64, u64)>().prop_map(|(session, number, lowest)| SessionRequest {
            session: SessionId(session),
            number: RequestNumber(number),
            lowest_open: RequestNumber(lowest),
        }),
    )
}

fn origins() -> impl Strategy<Value = Origin> {
    (any::<u64>(), session_requests()).prop_map(|(account, request)| Origin {
        account: AccountId(account),
        request,
    })
}

fn chat_ops() -> impl Strategy<Value = ChatOp<'static>> {
    let versions = || any::<u32>().prop_map(PasswordVersion);
    prop_oneof![
        (names(), "[!-~]{1,256}", session_requests()).prop_map(|(name, hash, retry)| {
            ChatOp::CreateAccount {
                name,
                password_hash: kept(hash),
                retry,
            }
        }),
        (any::<u64>(), versions(), any::<u128>(), any::<[u8; 32]>()).prop_map(
            |(account, password_version, session, hash)| ChatOp::OpenSession {
                account: AccountId(account),
                password_version,
                session: SessionId(session),
                secret_hash: SecretHash(hash),
            }
        ),
        origins().prop_map(|origin| ChatOp::CloseSession { origin }),
        (origins(), versions()).prop_map(|(origin, password_version)| {
            ChatOp::DeleteAccount {
                origin,
                password_version,
            }
        }),
        (origins(), names(), texts()).prop_map(|(origin, to, text)| ChatOp::Send {
            origin,
            to,
            text
        }),
        (origins(), option::of(conversations()), ids()).prop_map(
            |(origin, conversation, up_to)| ChatOp::Acknowledge {
                origin,
                conversation,
                up_to,
            }
        ),
    ]
}

pub fn ops() -> impl Strategy<Value = Op<'static>> {
    prop_oneof![
        cluster_ops().prop_map(Op::Cluster),
        chat_ops().prop_map(Op::Chat)
    ]
}
