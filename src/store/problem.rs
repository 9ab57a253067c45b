//! What goes wrong inside of the SQLite store, before it is known which file it is about.

use std::path::Path;

use rusqlite::ErrorCode;

use super::StoreError;
use crate::types::OpNumber;

/// A [`StoreError`] that does not know its file yet.
#[derive(Debug)]
pub(super) enum Problem {
    /// SQLite failed, or found damage.
    Sqlite(rusqlite::Error),
    /// What was read contradicts itself.
    Damaged(String),
    /// A message cannot be read, or is not what it was.
    Message(OpNumber),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Problem {
    /// Whether the file's content is to blame.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(source) => is_damage(source),
            Self::Damaged(_) | Self::Message(_) => true,
        }
    }

    /// The same problem, met while a message was looked up.
    pub(super) fn of_message(self, id: OpNumber) -> Self {
        if self.is_damage() {
            Self::Message(id)
        } else {
            self
        }
    }

    /// The error for the face, about the database at `path`.
    pub(super) fn at(self, path: &Path) -> StoreError {
        let path = path.display();
        match self {
            Self::Damaged(what) => StoreError::Damaged(format!("{path}: {what}")),
            Self::Message(id) => StoreError::DamagedMessage {
                path: path.to_string(),
                id,
            },
            Self::Sqlite(source) if is_damage(&source) => {
                StoreError::Damaged(format!("{path}: {source}"))
            }
            Self::Sqlite(source) => StoreError::Database {
                path: path.to_string(),
                source,
            },
        }
    }
}

/// Whether the file's content is to blame: pages that do not hang together, and values that are
/// not what was written.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
        ),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::QueryReturnedNoRows => true,
        _ => false,
    }
}
