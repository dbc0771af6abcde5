//! A change of a database beside its server, which does not run.

use std::path::Path;

use super::history::{self, Mismatch};
use super::{OpenError, Readers, Sqlite, check_log, lock_beside, refused};

impl Sqlite {
    /// Opens a file that there is, for a change beside the server, which must not run. `seed` as for
    /// [`Sqlite::open_with_journal`].
    ///
    /// # Errors
    /// When a file is absent or in use, when a journal is kept and not named, or as the other two.
    pub fn open_beside(
        path: &Path,
        journal: Option<&Path>,
        seed: [u8; 32],
    ) -> Result<Self, OpenError> {
        for file in [path].into_iter().chain(journal) {
            if !file.is_file() {
                return Err(OpenError::Missing(file.to_owned()));
            }
        }
        if let Some(journal) = journal {
            return Self::open_with_journal(path, journal, seed);
        }
        // Before anything is written: a commit that the journal lacks would end it.
        let _lock = lock_beside(path)?;
        check_log(path)?;
        let connection = Readers::of(path).open().map_err(|source| refused(path, source.into()))?;
        if history::is_journaled(&connection).map_err(|source| refused(path, source))? {
            return Err(Mismatch::Unnamed { database: path.to_owned() }.into());
        }
        drop((connection, _lock));
        Self::open(path)
    }
}
