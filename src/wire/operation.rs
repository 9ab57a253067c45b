//! How is an op written in the log?
//!
//! This is what journals keep for years: a kind's number and the order of its fields never change
//! their meaning. Everything that a decoder can check without knowing the state is checked here,
//! so that whoever applies an op does not have to.

use crate::limits::{OP_BYTES_MAX, PASSWORD_HASH_BYTES_MAX};
use crate::types::{
    AccountId, ChatOp, ClusterId, ClusterOp, ConversationId, Member, Op, OpNumber, Origin,
    PasswordVersion, RequestNumber, SecretHash, ServerId, SessionId, SessionRequest,
};

use super::cluster::{
    MEMBER_BYTES, put_address, put_lineage, put_member, put_view_head, read_address, read_lineage,
    read_member, read_view_with,
};
use super::fields::{
    InvalidField, Reader, put_short_string, put_u8, put_u16, put_u32, put_u64, put_u128,
};

const FOUND: u16 = 0x0001;
const JOIN: u16 = 0x0002;
const MOVE: u16 = 0x0003;
const VIEW: u16 = 0x0004;
const FORMED: u16 = 0x0005;
const FORGET: u16 = 0x0006;
const CREATE_ACCOUNT: u16 = 0x0101;
const OPEN_SESSION: u16 = 0x0102;
const CLOSE_SESSION: u16 = 0x0103;
const DELETE_ACCOUNT: u16 = 0x0104;
const SEND: u16 = 0x0105;
const ACKNOWLEDGE: u16 = 0x0106;

/// Why bytes are no op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOp {
    /// Longer than [`OP_BYTES_MAX`].
    #[error("an op has at most {OP_BYTES_MAX} bytes, and this has {0}")]
    TooLong(usize),
    /// Of a kind that is not known; of a newer version, perhaps.
    #[error("an op of the unknown kind {0:04x}")]
    UnknownKind(u16),
    /// A field is not what it has to be.
    #[error("an op of the kind {kind:04x} is damaged: {invalid}")]
    Field {
        /// What the op said it was.
        kind: u16,
        /// What was wrong.
        invalid: InvalidField,
    },
    /// There is not even a kind.
    #[error("an op without a kind")]
    Empty,
}

/// Writes an op. One beyond [`OP_BYTES_MAX`] is our own mistake.
pub fn encode_op(out: &mut Vec<u8>, op: &Op<'_>) {
    let start = out.len();
    match op {
        Op::Cluster(op) => put_cluster_op(out, op),
        Op::Chat(op) => put_chat_op(out, op),
    }
    assert!(
        out.len() - start <= OP_BYTES_MAX,
        "what is in an op is checked before it is made"
    );
}

/// Reads an op, which is all of `bytes`.
pub fn decode_op(bytes: &[u8]) -> Result<Op<'_>, InvalidOp> {
    if bytes.len() > OP_BYTES_MAX {
        return Err(InvalidOp::TooLong(bytes.len()));
    }
    let mut fields = Reader::new(bytes);
    let kind = fields.u16().map_err(|_| InvalidOp::Empty)?;
    let op = read_op(kind, &mut fields).and_then(|op| {
        fields.finish()?;
        Ok(op)
    });
    match op {
        Ok(Some(op)) => Ok(op),
        Ok(None) => Err(InvalidOp::UnknownKind(kind)),
        Err(invalid) => Err(InvalidOp::Field { kind, invalid }),
    }
}

/// Whether an encoded op is about the cluster, without reading the rest of it.
pub fn is_cluster_op(bytes: &[u8]) -> bool {
    Reader::new(bytes)
        .u16()
        .is_ok_and(|kind| kind < CREATE_ACCOUNT)
}

fn put_cluster_op(out: &mut Vec<u8>, op: &ClusterOp) {
    match op {
        ClusterOp::Found {
            cluster,
            lineage,
            backups,
        } => {
            put_u16(out, FOUND);
            put_u128(out, cluster.0);
            put_lineage(out, *lineage);
            put_u16(out, *backups);
        }
        ClusterOp::Join { server, address } => {
            put_u16(out, JOIN);
            put_u16(out, server.0);
            put_address(out, *address);
        }
        ClusterOp::Move { server, address } => {
            put_u16(out, MOVE);
            put_u16(out, server.0);
            put_address(out, *address);
        }
        ClusterOp::View(view) => {
            put_u16(out, VIEW);
            put_view_head(out, view);
            for member in &view.members {
                put_member(out, *member);
            }
        }
        ClusterOp::Formed => put_u16(out, FORMED),
        ClusterOp::Forget { server } => {
            put_u16(out, FORGET);
            put_u16(out, server.0);
        }
    }
}

fn put_chat_op(out: &mut Vec<u8>, op: &ChatOp<'_>) {
    match op {
        ChatOp::CreateAccount {
            name,
            password_hash,
            retry,
        } => {
            put_u16(out, CREATE_ACCOUNT);
            put_session_request(out, *retry);
            put_short_string(out, name.as_str());
            out.extend_from_slice(password_hash.as_bytes());
        }
        ChatOp::OpenSession {
            account,
            password_version,
            session,
            secret_hash,
        } => {
            put_u16(out, OPEN_SESSION);
            put_u64(out, account.0);
            put_u32(out, password_version.0);
            put_u128(out, session.0);
            out.extend_from_slice(&secret_hash.0);
        }
        ChatOp::CloseSession { origin } => {
            put_u16(out, CLOSE_SESSION);
            put_origin(out, origin);
        }
        ChatOp::DeleteAccount {
            origin,
            password_version,
        } => {
            put_u16(out, DELETE_ACCOUNT);
            put_origin(out, origin);
            put_u32(out, password_version.0);
        }
        ChatOp::Send { origin, to, text } => {
            put_u16(out, SEND);
            put_origin(out, origin);
            put_short_string(out, to.as_str());
            out.extend_from_slice(text.as_str().as_bytes());
        }
        ChatOp::Acknowledge {
            origin,
            conversation,
            up_to,
        } => {
            put_u16(out, ACKNOWLEDGE);
            put_origin(out, origin);
            put_u64(out, up_to.0);
            put_u8(out, u8::from(conversation.is_some()));
            if let Some(conversation) = conversation {
                put_u64(out, conversation.0);
            }
        }
    }
}

fn put_origin(out: &mut Vec<u8>, origin: &Origin) {
    put_u64(out, origin.account.0);
    put_session_request(out, origin.request);
}

fn put_session_request(out: &mut Vec<u8>, request: Option<SessionRequest>) {
    put_u8(out, u8::from(request.is_some()));
    if let Some(request) = request {
        put_u128(out, request.session.0);
        put_u64(out, request.number.0);
        put_u64(out, request.lowest_open.0);
    }
}

/// `None` for an unknown kind.
fn read_op<'a>(kind: u16, fields: &mut Reader<'a>) -> Result<Option<Op<'a>>, InvalidField> {
    Ok(Some(match kind {
        FOUND => Op::Cluster(ClusterOp::Found {
            cluster: ClusterId(fields.u128()?),
            lineage: read_lineage(fields)?,
            backups: fields.u16()?,
        }),
        JOIN => Op::Cluster(ClusterOp::Join {
            server: ServerId(fields.u16()?),
            address: read_address(fields)?,
        }),
        MOVE => Op::Cluster(ClusterOp::Move {
            server: ServerId(fields.u16()?),
            address: read_address(fields)?,
        }),
        VIEW => Op::Cluster(ClusterOp::View(read_view_with(fields, read_members)?)),
        FORMED => Op::Cluster(ClusterOp::Formed),
        FORGET => Op::Cluster(ClusterOp::Forget {
            server: ServerId(fields.u16()?),
        }),
        CREATE_ACCOUNT => Op::Chat(ChatOp::CreateAccount {
            retry: read_session_request(fields)?,
            name: fields.name()?,
            password_hash: read_password_hash(fields)?,
        }),
        OPEN_SESSION => Op::Chat(ChatOp::OpenSession {
            account: AccountId(fields.u64()?),
            password_version: PasswordVersion(fields.u32()?),
            session: SessionId(fields.u128()?),
            secret_hash: SecretHash(fields.array()?),
        }),
        CLOSE_SESSION => Op::Chat(ChatOp::CloseSession {
            origin: read_origin(fields)?,
        }),
        DELETE_ACCOUNT => Op::Chat(ChatOp::DeleteAccount {
            origin: read_origin(fields)?,
            password_version: PasswordVersion(fields.u32()?),
        }),
        SEND => Op::Chat(ChatOp::Send {
            origin: read_origin(fields)?,
            to: fields.name()?,
            text: fields.text()?,
        }),
        ACKNOWLEDGE => Op::Chat(read_acknowledge(fields)?),
        _ => return Ok(None),
    }))
}

fn read_acknowledge<'a>(fields: &mut Reader<'a>) -> Result<ChatOp<'a>, InvalidField> {
    Ok(ChatOp::Acknowledge {
        origin: read_origin(fields)?,
        up_to: OpNumber(fields.u64()?),
        conversation: match fields.flag()? {
            true => Some(ConversationId(fields.u64()?)),
            false => None,
        },
    })
}

fn read_origin(fields: &mut Reader<'_>) -> Result<Origin, InvalidField> {
    Ok(Origin {
        account: AccountId(fields.u64()?),
        request: read_session_request(fields)?,
    })
}

fn read_session_request(fields: &mut Reader<'_>) -> Result<Option<SessionRequest>, InvalidField> {
    if !fields.flag()? {
        return Ok(None);
    }
    Ok(Some(SessionRequest {
        session: SessionId(fields.u128()?),
        number: RequestNumber(fields.u64()?),
        lowest_open: RequestNumber(fields.u64()?),
    }))
}

/// The rest is members: no more can come than bytes are there.
fn read_members(fields: &mut Reader<'_>) -> Result<Vec<Member>, InvalidField> {
    let mut members = Vec::with_capacity(fields.remaining() / MEMBER_BYTES);
    while fields.remaining() > 0 {
        members.push(read_member(fields)?);
    }
    Ok(members)
}

fn read_password_hash<'a>(fields: &mut Reader<'a>) -> Result<&'a str, InvalidField> {
    let hash = fields.rest_string()?;
    if hash.is_empty() || hash.len() > PASSWORD_HASH_BYTES_MAX {
        return Err(InvalidField::OutOfRange(
            "a password's hash has 1 to 256 bytes",
        ));
    }
    Ok(hash)
}
