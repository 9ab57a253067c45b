//! How do changes become rows?

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{checksum, cluster_bytes, integer, put_outcome, session_id};
use super::garbage;
use super::pending::Pending;
use super::problem::Problem;
use crate::chat::change::{Change, Creation};
use crate::types::{AccountId, Cluster, ConversationId, Name, OpNumber, Timestamp};

/// Writes changes into the open transaction, or into `pending` where nothing looks for them
/// before it ends.
pub(super) fn write(
    connection: &Connection,
    pending: &mut Pending,
    changes: Vec<Change>,
) -> Result<(), Problem> {
    for change in changes {
        match change {
            Change::MessageSent(message) => {
                pending.lists.add(connection, &message)?;
                pending.messages.add(connection, message)?;
            }
            Change::Session(session) => pending.session(session),
            Change::SessionEnded { session } => pending.session_ended(session),
            Change::AllRead { account, up_to } => pending.all_read(account, up_to),
            Change::ConversationRead {
                account,
                conversation,
                up_to,
            } => pending.conversation_read(account, conversation, up_to),
            Change::ConversationBegun { id, members } => {
                begin_conversation(connection, id, members)?;
            }
            Change::AccountCreated {
                id,
                name,
                password_hash,
            } => create_account(connection, id, &name, &password_hash)?,
            Change::AccountDeleted { id } => {
                pending.forget_account(id);
                delete_account(connection, id)?;
            }
            Change::Cluster(cluster) => write_cluster(connection, &cluster)?,
            Change::CreationRemembered(creation) => remember_creation(connection, &creation)?,
            Change::CreationForgotten { op } => {
                connection
                    .prepare_cached("DELETE FROM creations WHERE op = ?1")?
                    .execute(params![integer(op.0)])?;
            }
        }
    }
    Ok(())
}

/// Writes which op the transaction ends with, beside the cluster's bytes that are there.
pub(super) fn write_meta(
    connection: &Connection,
    applied: OpNumber,
    clock: Timestamp,
) -> Result<(), Problem> {
    let cluster: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT cluster FROM meta WHERE id = 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let cluster = cluster.flatten();
    connection
        .prepare_cached(
            "INSERT INTO meta (id, applied, clock, cluster, checksum) VALUES (1, ?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET
                 applied = excluded.applied,
                 clock = excluded.clock,
                 checksum = excluded.checksum",
        )?
        .execute(params![
            integer(applied.0),
            integer(clock.0),
            cluster,
            meta_checksum(applied, clock, cluster.as_deref())
        ])?;
    Ok(())
}

/// What the row of `meta` has to add up to.
pub(super) fn meta_checksum(applied: OpNumber, clock: Timestamp, cluster: Option<&[u8]>) -> i64 {
    checksum(&[
        &applied.0.to_be_bytes(),
        &clock.0.to_be_bytes(),
        &[u8::from(cluster.is_some())],
        cluster.unwrap_or_default(),
    ])
}

/// What an account's row has to add up to. What it has read changes often, and is not in it.
pub(super) fn account_checksum(
    id: AccountId,
    name: &str,
    password_hash: &str,
    password_version: u32,
    deleted: bool,
) -> i64 {
    checksum(&[
        &id.0.to_be_bytes(),
        name.as_bytes(),
        &[u8::from(deleted)],
        &password_version.to_be_bytes(),
        password_hash.as_bytes(),
    ])
}

fn begin_conversation(
    connection: &Connection,
    id: ConversationId,
    members: [AccountId; 2],
) -> Result<(), Problem> {
    connection
        .prepare_cached(
            "INSERT INTO conversations (id, lower_member, higher_member) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![
            integer(id.0),
            integer(members[0].0),
            integer(members[1].0)
        ])?;
    Ok(())
}

fn create_account(
    connection: &Connection,
    id: AccountId,
    name: &Name,
    password_hash: &str,
) -> Result<(), Problem> {
    connection
        .prepare_cached(
            "INSERT INTO accounts
                 (id, name, password_hash, password_version, all_read_up_to, deleted, checksum)
             VALUES (?1, ?2, ?3, 0, 0, 0, ?4)",
        )?
        .execute(params![
            integer(id.0),
            name.as_str(),
            password_hash,
            account_checksum(id, name.as_str(), password_hash, 0, false)
        ])?;
    Ok(())
}

/// Takes the account from the living. Its row keeps the name as long as there is something to show
/// it beside; what nobody can read any more is left to [`garbage`].
fn delete_account(connection: &Connection, id: AccountId) -> Result<(), Problem> {
    let key = params![integer(id.0)];
    let name: String = connection
        .prepare_cached("SELECT name FROM accounts WHERE id = ?1")?
        .query_row(key, |row| row.get(0))?;
    connection
        .prepare_cached(
            "UPDATE accounts
             SET deleted = 1, password_hash = '', password_version = 0, all_read_up_to = 0,
                 checksum = ?2
             WHERE id = ?1",
        )?
        .execute(params![
            integer(id.0),
            account_checksum(id, &name, "", 0, true)
        ])?;
    for table in [
        "DELETE FROM cursors WHERE account = ?1",
        "DELETE FROM sessions WHERE account = ?1",
    ] {
        connection.prepare_cached(table)?.execute(key)?;
    }
    garbage::add(connection, id)
}

fn write_cluster(connection: &Connection, cluster: &Cluster) -> Result<(), Problem> {
    // The checksum of `meta` is written when the transaction ends, with everything else in it.
    connection
        .prepare_cached(
            "INSERT INTO meta (id, applied, clock, cluster, checksum) VALUES (1, 0, 0, ?1, 0)
             ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster",
        )?
        .execute(params![cluster_bytes(cluster)])?;
    Ok(())
}

fn remember_creation(connection: &Connection, creation: &Creation) -> Result<(), Problem> {
    let mut outcome = Vec::new();
    put_outcome(&mut outcome, &creation.outcome);
    // A client may choose any number: it keeps its bits, and looks negative from 2^63 on.
    connection
        .prepare_cached(
            "INSERT INTO creations (op, session, number, outcome) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            integer(creation.op.0),
            session_id(creation.session),
            creation.number.0.cast_signed(),
            outcome
        ])?;
    Ok(())
}
