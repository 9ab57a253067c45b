//! What stands in the log.

use super::{
    AccountId, ClusterId, ConversationId, Lineage, Name, OpNumber, PasswordVersion, RequestNumber,
    SecretHash, ServerId, SessionId, Text, View,
};
use std::net::SocketAddr;

/// One entry of the replicated log, without its number and its time: borrowed from the bytes that
/// it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// About the cluster itself.
    Cluster(ClusterOp),
    /// About accounts, messages and sessions.
    Chat(ChatOp<'a>),
}

/// Ops about the cluster: who belongs to it, and who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterOp {
    /// The first op of all: the cluster exists.
    Found {
        /// The cluster's id, drawn at its founding.
        cluster: ClusterId,
        /// The lineage it begins.
        lineage: Lineage,
        /// How many backups have to be in sync before the first client is let in.
        backups: u16,
    },
    /// A server has an id now, and this member address.
    Join {
        /// The server.
        server: ServerId,
        /// Where the others reach it.
        address: SocketAddr,
    },
    /// A server's member address changed.
    Move {
        /// The server.
        server: ServerId,
        /// Where the others reach it from now on.
        address: SocketAddr,
    },
    /// A new view.
    View(View),
    /// The founder's number of backups is in sync: clients are let in from now on, for ever.
    Formed,
    /// A server that is no member is forgotten, to make room for another one. Its id is not given
    /// again; if it comes back, it is written down anew.
    Forget {
        /// The server.
        server: ServerId,
    },
}

/// Ops about the chat. Names are looked up when an op is applied, not when it is asked for, so
/// that an outcome depends on the log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatOp<'a> {
    /// A new account.
    CreateAccount {
        /// Its name.
        name: Name,
        /// Its password's Argon2id hash, as a PHC string.
        password_hash: &'a str,
        /// By what a retry is known. There is no session yet to remember the answer.
        retry: Option<SessionRequest>,
    },
    /// A login that can be resumed. One of the same session again gives it a new secret.
    OpenSession {
        /// Whose session.
        account: AccountId,
        /// The password's version that was checked.
        password_version: PasswordVersion,
        /// The session.
        session: SessionId,
        /// What resuming it is checked against.
        secret_hash: SecretHash,
    },
    /// A logout.
    CloseSession {
        /// Who asks, and which session is to go.
        origin: Origin,
    },
    /// The end of an account.
    DeleteAccount {
        /// Whose account.
        origin: Origin,
        /// The password's version that was checked.
        password_version: PasswordVersion,
    },
    /// A message.
    Send {
        /// The sender.
        origin: Origin,
        /// The account that it is for.
        to: Name,
        /// What it says.
        text: Text<'a>,
    },
    /// Messages were read.
    Acknowledge {
        /// The reader.
        origin: Origin,
        /// In this conversation; `None`: in all.
        conversation: Option<ConversationId>,
        /// Up to this id, or to the newest there is.
        up_to: OpNumber,
    },
}

/// Who asks for an op: an account and, if the client can retry, by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The account that is logged in.
    pub account: AccountId,
    /// What makes a retry safe; `None` in text mode.
    pub request: Option<SessionRequest>,
}

/// A request's place in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// The session.
    pub session: SessionId,
    /// The request's number in it.
    pub number: RequestNumber,
    /// The lowest number of which the client still wants the answer.
    pub lowest_open: RequestNumber,
}
