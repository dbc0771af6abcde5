//! Why a database is not opened.

use std::io;
use std::path::PathBuf;

use super::history::Mismatch;
use super::journal::JournalError;
use crate::store::StoreError;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("{0} is in use by another server; two servers on one file would grant money twice")]
    InUse(PathBuf),
    /// The file system refused.
    #[error("cannot open {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot use {path} as a database: {source}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// There is no such file.
    #[error("there is no database {0}")]
    Missing(PathBuf),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Database and journal do not fit together.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// Beside the database lies the log of the one that was there before.
    #[error(
        "{log} is not the log of {database}, which was copied there after it: remove it and the file \
         that ends in -shm, or what was lost is read into the copy and damages it"
    )]
    LogOfAnother {
        /// The copy.
        database: PathBuf,
        /// The log.
        log: PathBuf,
    },
}
