//! `tollgate restore`: a database that was copied back, brought to a state from which it is safe to
//! serve. With the journal nothing is lost; without it nothing is granted until an operator says so.

use std::path::{Path, PathBuf};

use crate::app::{NewEpoch, begin_new_epoch};
use crate::store::sqlite::{Mismatch, OpenError, Sqlite};
use crate::store::{StoreError, StoreResult};

/// What a restore came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The journal was replayed: the database is as it was, in the same epoch.
    Replayed {
        /// Commits that it had missed.
        entries: u64,
    },
    /// There was no journal: a new epoch began and budgets with a cap are frozen.
    Began(NewEpoch),
}

/// Why a restore was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A file could not be used, or they do not fit together.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error("the database could not be changed: {0}")]
    Store(#[from] StoreError),
    /// There is a journal, by which nothing would be lost.
    #[error(
        "the database {} was kept with a journal, by which nothing is lost: name it with --journal; \
         only where it is lost as well, say --journal-lost", database.display()
    )]
    JournalNotNamed {
        /// The database.
        database: PathBuf,
    },
    /// Nothing was ever kept in it.
    #[error("the database is empty: start the server instead")]
    Empty,
}

/// Restores a database that no server uses. `unix_ms` is the wall time.
///
/// # Errors
/// When a file is absent, in use or damaged, or the journal is not named or does not continue the
/// database; then nothing has changed, but for entries that were replayed before a failure of the disk.
pub fn restore(
    database: &Path,
    journal: Option<&Path>,
    unix_ms: u64,
) -> Result<Restored, RestoreError> {
    if let Some(journal) = journal {
        let entries = Sqlite::replay(database, journal)?;
        return Ok(Restored::Replayed { entries });
    }
    // Without a journal no seed of one is needed.
    let store = Sqlite::open_beside(database, None, [0; 32]).map_err(|error| match error {
        OpenError::Mismatch(Mismatch::Unnamed { database }) => {
            RestoreError::JournalNotNamed { database }
        }
        other => other.into(),
    })?;
    begin_anew(store, unix_ms)
}

/// Restores a database whose journal, if one was kept, is lost as well.
///
/// # Errors
/// When the file is absent, in use or damaged; then nothing has changed.
pub fn restore_without_journal(database: &Path, unix_ms: u64) -> Result<Restored, RestoreError> {
    if !database.is_file() {
        return Err(OpenError::Missing(database.to_owned()).into());
    }
    begin_anew(Sqlite::open(database)?, unix_ms)
}

fn begin_anew(mut store: Sqlite, unix_ms: u64) -> Result<Restored, RestoreError> {
    let mut begun: StoreResult<Option<NewEpoch>> = Err(StoreError::NotCommitted);
    store.batch(|batch| {
        begun = batch.step(|rows| {
            if rows.server()?.epoch == wire::Epoch(0) {
                return Ok::<_, StoreError>(None);
            }
            begin_new_epoch(rows, unix_ms).map(Some)
        });
    })?;
    begun?.map(Restored::Began).ok_or(RestoreError::Empty)
}
