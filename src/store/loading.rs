//! What does memory have to hold when the program starts?

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row};

use super::codec::{cluster, column, number, outcome, session};
use super::pending::session_checksum;
use super::problem::Problem;
use super::writing::{account_checksum, meta_checksum};
use crate::chat::change::{AccountImage, Creation, Image, SessionImage};
use crate::types::{
    AccountId, Cluster, ConversationId, Name, OpNumber, PasswordVersion, RequestNumber, SessionId,
    Timestamp,
};

/// What the row of `meta` says.
pub(super) struct Meta {
    /// The last op that is in the store; 0 if it is empty.
    pub applied: OpNumber,
    /// The time of the last message.
    pub clock: Timestamp,
    /// `None` before its founding.
    pub cluster: Option<Cluster>,
}

/// Everything but history and password hashes.
pub(super) fn load(connection: &Connection) -> Result<Image, Problem> {
    let meta = meta(connection)?;
    let accounts = accounts(connection)?;
    let conversations = conversations(connection, &accounts)?;
    Ok(Image {
        applied: meta.applied,
        clock: meta.clock,
        cluster: meta.cluster,
        accounts,
        conversations,
        sessions: sessions(connection)?,
        creations: creations(connection)?,
    })
}

/// The row of `meta`, checked.
pub(super) fn meta(connection: &Connection) -> Result<Meta, Problem> {
    type Columns = (i64, i64, Option<Vec<u8>>, i64);
    let row: Option<Columns> = connection
        .prepare_cached("SELECT applied, clock, cluster, checksum FROM meta WHERE id = 1")?
        .query_row([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((applied, clock, bytes, checksum)) = row else {
        return Ok(Meta {
            applied: OpNumber::ZERO,
            clock: Timestamp(0),
            cluster: None,
        });
    };
    let applied = OpNumber(number(applied)?);
    let clock = Timestamp(number(clock)?);
    if checksum != meta_checksum(applied, clock, bytes.as_deref()) {
        return Err(Problem::Damaged("its row of meta does not add up".into()));
    }
    Ok(Meta {
        applied,
        clock,
        cluster: bytes.as_deref().map(cluster).transpose()?,
    })
}

fn accounts(connection: &Connection) -> Result<Vec<AccountImage>, Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, password_version, all_read_up_to, password_hash, checksum
         FROM accounts WHERE deleted = 0 ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.push(account(row)?);
    }
    drop(rows);
    add_cursors(connection, &mut accounts)?;
    Ok(accounts)
}

fn account(row: &Row<'_>) -> Result<AccountImage, Problem> {
    let id = AccountId(column(row, 0)?);
    let name: String = row.get(1)?;
    let password_version = row.get(2)?;
    let password_hash: String = row.get(4)?;
    let sum: i64 = row.get(5)?;
    if sum != account_checksum(id, &name, &password_hash, password_version, false) {
        return Err(Problem::Damaged(format!("account {id} does not add up")));
    }
    Ok(AccountImage {
        id,
        name: Name::parse(&name).map_err(|_| Problem::Damaged(format!("account {id}'s name")))?,
        password_version: PasswordVersion(password_version),
        all_read_up_to: OpNumber(column(row, 3)?),
        read_up_to: Vec::new(),
    })
}

/// Both are in the order of the accounts' ids.
fn add_cursors(connection: &Connection, accounts: &mut [AccountImage]) -> Result<(), Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT account, conversation, up_to FROM cursors ORDER BY account, conversation",
    )?;
    let mut rows = statement.query([])?;
    let mut accounts = accounts.iter_mut().peekable();
    while let Some(row) = rows.next()? {
        let id = AccountId(column(row, 0)?);
        while accounts.next_if(|account| account.id < id).is_some() {}
        match accounts.peek_mut() {
            Some(account) if account.id == id => account
                .read_up_to
                .push((ConversationId(column(row, 1)?), OpNumber(column(row, 2)?))),
            _ => return Err(Problem::Damaged(format!("a cursor is of no account: {id}"))),
        }
    }
    Ok(())
}

fn conversations(
    connection: &Connection,
    accounts: &[AccountImage],
) -> Result<Vec<(ConversationId, [AccountId; 2])>, Problem> {
    let living: HashSet<AccountId> = accounts.iter().map(|account| account.id).collect();
    let mut statement = connection
        .prepare_cached("SELECT id, lower_member, higher_member FROM conversations ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut conversations = Vec::new();
    while let Some(row) = rows.next()? {
        let members = [AccountId(column(row, 1)?), AccountId(column(row, 2)?)];
        if members.iter().any(|member| living.contains(member)) {
            conversations.push((ConversationId(column(row, 0)?), members));
        }
    }
    Ok(conversations)
}

fn sessions(connection: &Connection) -> Result<Vec<SessionImage>, Problem> {
    let mut statement = connection
        .prepare_cached("SELECT id, account, state, checksum FROM sessions ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        let id: [u8; 16] = row.get(0)?;
        let account = AccountId(column(row, 1)?);
        let state: Vec<u8> = row.get(2)?;
        if row.get::<_, i64>(3)? != session_checksum(&id, account, &state) {
            return Err(Problem::Damaged(format!(
                "a session of account {account} does not add up"
            )));
        }
        let state = session(&state)?;
        sessions.push(SessionImage {
            id: SessionId(u128::from_be_bytes(id)),
            account,
            secret_hash: state.secret_hash,
            last_used: state.last_used,
            lowest_open: state.lowest_open,
            answers: state.answers,
        });
    }
    Ok(sessions)
}

fn creations(connection: &Connection) -> Result<Vec<Creation>, Problem> {
    let mut statement = connection
        .prepare_cached("SELECT op, session, number, outcome FROM creations ORDER BY op")?;
    let mut rows = statement.query([])?;
    let mut creations = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(3)?;
        creations.push(Creation {
            op: OpNumber(column(row, 0)?),
            session: SessionId(u128::from_be_bytes(row.get(1)?)),
            number: RequestNumber(row.get::<_, i64>(2)?.cast_unsigned()),
            outcome: outcome(&bytes)?,
        });
    }
    Ok(creations)
}
