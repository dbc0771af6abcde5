//! Database and journal are two records of one history. Here is decided whether they fit together,
//! and what happens where one reaches further than the other.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::encoding::{Columns, integer};
use super::journal::{Entry, Journal, Position, Tail, Unwritten};
use super::{OpenError, refused};
use crate::store::{StoreError, StoreResult};

/// Entries replayed in one transaction: enough to share a sync among, few enough that little is
/// done again after an interruption.
const ENTRIES_PER_COMMIT: usize = 1_000;

/// The same in bytes, since all of them wait in memory; one entry may be larger alone.
const BYTES_PER_COMMIT: usize = 16 * 1024 * 1024;

/// Why a journal does not continue a database. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The database is a copy from earlier.
    #[error(
        "the database {} is {by} commits behind the journal {}: it is an older copy, and serving \
         from it would grant money again that is spent; run `tollgate restore --database {} \
         --journal {}`", database.display(), journal.display(), database.display(),
        journal.display()
    )]
    DatabaseBehind {
        /// The database.
        database: PathBuf,
        /// The journal.
        journal: PathBuf,
        /// Commits that it misses.
        by: u64,
    },
    /// The journal lacks commits that the database has.
    #[error(
        "the journal {} ends at commit {last}, the database has {have}: the journal is an older \
         copy or lost its end; back the database up, move the journal away, and start anew",
        journal.display()
    )]
    JournalBehind {
        /// The journal.
        journal: PathBuf,
        /// Its last commit.
        last: u64,
        /// The database's.
        have: u64,
    },
    /// Commits between the two are in neither.
    #[error(
        "the journal {} begins behind commit {base}, the database ends at {have}: replay the \
         journal before this one first, or take a later backup", journal.display()
    )]
    Gap {
        /// The journal.
        journal: PathBuf,
        /// The commit behind which it begins.
        base: u64,
        /// The database's last.
        have: u64,
    },
    /// They went different ways.
    #[error(
        "the journal {} and the database have different histories up to commit {at}: one of them \
         belongs to another server or another copy", journal.display()
    )]
    OtherHistory {
        /// The journal.
        journal: PathBuf,
        /// Where they were compared.
        at: u64,
    },
    /// The journal that is kept was not named.
    #[error(
        "the database {} is kept with a journal, which a change without it would end: name it with \
         --journal", database.display()
    )]
    Unnamed {
        /// The database.
        database: PathBuf,
    },
    /// The database has commits that no journal has.
    #[error(
        "the database has been used without the journal {}: back it up, move the journal away, and \
         start with a new one", journal.display()
    )]
    NotJournaled {
        /// The journal.
        journal: PathBuf,
    },
}

/// How far the journal reaches into the database; none where it keeps none.
fn position(connection: &Connection) -> StoreResult<Option<Position>> {
    let mut statement = connection.prepare("SELECT sequence, chain FROM journal_position")?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let columns = Columns(row);
    Ok(Some(Position { sequence: columns.number("sequence")?, chain: columns.bytes("chain")? }))
}

/// Whether a journal is kept. A file that is no database yet has none.
pub fn is_journaled(connection: &Connection) -> StoreResult<bool> {
    if !connection.table_exists(None, "journal_position")? {
        return Ok(false);
    }
    Ok(position(connection)?.is_some())
}

/// Saves how far the journal reaches, in the transaction of the commit that it is for.
pub fn save(connection: &Connection, position: &Position) -> StoreResult<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO journal_position (one, sequence, chain) VALUES (1, ?, ?)",
        )?
        .execute(params![integer(position.sequence), position.chain])?;
    Ok(())
}

/// From now on commits stand in no journal, so none continues this database.
pub fn leave(connection: &Connection) -> StoreResult<()> {
    if position(connection)?.is_some() {
        connection.execute("DELETE FROM journal_position", [])?;
        tracing::warn!("no journal is kept any more; an older one does not continue from here");
    }
    Ok(())
}

/// Begins a journal at the database's last commit.
pub fn begin(
    connection: &mut Connection,
    file: Unwritten,
    database: &Path,
    seed: [u8; 32],
) -> Result<Journal, OpenError> {
    let failed = |source| refused(database, source);
    let known = position(connection).map_err(failed)?;
    let base = known.unwrap_or(Position { sequence: 0, chain: seed });
    let journal = file.begin(base)?;
    if known.is_none() {
        save(connection, &base).map_err(failed)?;
    }
    let (sequence, path) = (base.sequence, journal.path().display());
    tracing::info!(journal = %path, behind_commit = sequence, "a new journal begins");
    Ok(journal)
}

/// What a scan of the journal finds out.
struct Found {
    /// The position of the database is one of the journal's.
    meets: bool,
    /// The last entry, if there is one behind that position.
    next: Option<Entry>,
    tail: Tail,
}

/// Continues a journal at the database's last commit, or one before it.
pub fn continue_with(
    connection: &mut Connection,
    mut journal: Journal,
    database: &Path,
) -> Result<Journal, OpenError> {
    let failed = |source| refused(database, source);
    let known = position(connection).map_err(failed)?;
    let have = known.unwrap_or(journal.base());
    let mut found = Found { meets: have == journal.base(), next: None, tail: Tail::Clean };
    found.tail = journal.scan(|entry| {
        found.meets |= entry.position == have;
        found.next = (entry.position.sequence > have.sequence).then_some(entry);
        Ok::<_, OpenError>(())
    })?;
    if known.is_none() {
        // A journal that was begun for a database without one, and nothing more happened.
        if journal.last() != journal.base() || have.sequence != 0 {
            return Err(Mismatch::NotJournaled { journal: journal.path().to_owned() }.into());
        }
        save(connection, &have).map_err(failed)?;
    }
    fits(&journal, &have, found.meets)?;
    let ahead = journal.last().sequence.saturating_sub(have.sequence);
    match found.next {
        Some(_) if ahead > 1 => {
            let (database, journal) = (database.to_owned(), journal.path().to_owned());
            return Err(Mismatch::DatabaseBehind { database, journal, by: ahead }.into());
        }
        Some(entry) => {
            apply(connection, &[entry]).map_err(failed)?;
            tracing::warn!("the journal's last entry was not committed; it is now");
        }
        None => {}
    }
    if let Tail::Torn(bytes) = found.tail {
        tracing::warn!(bytes, "the journal ended within an entry that nobody was answered; cut");
    }
    journal.clean()?;
    Ok(journal)
}

/// Replays everything behind the database's last commit.
pub fn replay(
    connection: &mut Connection,
    mut journal: Journal,
    database: &Path,
) -> Result<u64, OpenError> {
    let failed = |source| refused(database, source);
    let known = position(connection).map_err(failed)?;
    let not_journaled = || Mismatch::NotJournaled { journal: journal.path().to_owned() };
    let have = known.ok_or_else(not_journaled)?;
    // First a look at all of it: nothing is replayed of a journal that does not fit or is damaged.
    let mut meets = have == journal.base();
    journal.scan(|entry| {
        meets |= entry.position == have;
        Ok::<_, OpenError>(())
    })?;
    fits(&journal, &have, meets)?;
    let mut waiting = Vec::new();
    let (mut bytes, mut replayed) = (0, 0);
    journal.scan(|entry| {
        if entry.position.sequence > have.sequence {
            bytes += entry.bytes();
            waiting.push(entry);
            replayed += 1;
        }
        if waiting.len() >= ENTRIES_PER_COMMIT || bytes >= BYTES_PER_COMMIT {
            apply(connection, &waiting).map_err(failed)?;
            waiting.clear();
            bytes = 0;
        }
        Ok::<_, OpenError>(())
    })?;
    apply(connection, &waiting).map_err(failed)?;
    Ok(replayed)
}

/// Whether the database stands at one of the journal's positions.
fn fits(journal: &Journal, have: &Position, meets: bool) -> Result<(), Mismatch> {
    let path = || journal.path().to_owned();
    let (base, last) = (journal.base().sequence, journal.last().sequence);
    if have.sequence < base {
        Err(Mismatch::Gap { journal: path(), base, have: have.sequence })
    } else if have.sequence > last {
        Err(Mismatch::JournalBehind { journal: path(), last, have: have.sequence })
    } else if meets {
        Ok(())
    } else {
        Err(Mismatch::OtherHistory { journal: path(), at: have.sequence })
    }
}

/// Carries entries out in one transaction.
fn apply(connection: &mut Connection, entries: &[Entry]) -> StoreResult<()> {
    let transaction = connection.transaction()?;
    for entry in entries {
        entry.statements()?.run(&transaction)?;
    }
    if let Some(last) = entries.last() {
        save(&transaction, &last.position)?;
    }
    transaction.commit().map_err(StoreError::from)
}
