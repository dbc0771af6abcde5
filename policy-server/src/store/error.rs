//! Why a store fails.

use super::sqlite::JournalError;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed; trying again may help.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The journal could not be written, so the batch was not committed; trying again may help.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A row holds what this version cannot have written.
    #[error("the database holds a value that cannot be read: {0}")]
    Unreadable(String),
    /// More reads of what is long go on, or wait, than may.
    #[error("too many reads go on")]
    TooManyReads,
    /// More writes are waiting than may.
    #[error("too many writes are waiting")]
    QueueFull,
    /// The writer has ended.
    #[error("the server is stopping")]
    Stopped,
    /// The batch in which the write stood was not committed.
    #[error("the write was not committed")]
    NotCommitted,
}

impl StoreError {
    /// Whether a row holds what this version cannot have written: trying again cannot help.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType,
        };
        match self {
            Self::Unreadable(_) => true,
            Self::Database(error) => matches!(
                error,
                FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
            ),
            _ => false,
        }
    }
}

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;
