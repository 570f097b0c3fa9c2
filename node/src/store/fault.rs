//! What goes wrong inside the store, before it is told to the core.
//!
//! Here the cause is still at hand; [`StoreError`] is what can be acted upon. Every conversion between the two is in
//! this file, so that one kind of failure has one name everywhere.

use fedp2p_core::store::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_WRITE};

/// A failure inside the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// SQLite said no.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// What is stored is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// What was asked to be written cannot be right.
    #[error("{0}")]
    Wrong(String),
}

impl Fault {
    /// The entry at `position` is not what was written there.
    pub(super) fn entry(position: u64, problem: impl std::fmt::Display) -> Self {
        Self::Damaged(format!("entry {position}: {problem}"))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sqlite(error) => from_sqlite(&error),
            Fault::Damaged(problem) => Self::Corrupt(problem),
            Fault::Wrong(problem) => Self::Other(problem),
        }
    }
}

fn from_sqlite(error: &rusqlite::Error) -> StoreError {
    if is_damage(error) {
        return StoreError::Corrupt(error.to_string());
    }
    let extended = error.sqlite_extended_error_code();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => StoreError::ReadOnly,
        // A file system that was remounted read-only and a quota that is used up both end here.
        Some(ErrorCode::SystemIoFailure) if extended == Some(SQLITE_IOERR_WRITE) => StoreError::ReadOnly,
        _ => StoreError::Other(error.to_string()),
    }
}

/// Whether the error says that the file does not even begin like a database.
pub(super) fn is_no_database(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::NotADatabase)
}

/// Whether the error says that stored bytes are not what was written.
///
/// A column that does not have its type counts: the tables are strict and only this module writes them.
fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || error.sqlite_extended_error_code() == Some(SQLITE_IOERR_CORRUPTFS)
        || matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
        )
}
