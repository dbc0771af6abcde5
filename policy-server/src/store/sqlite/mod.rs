//! The embedded store: one SQLite file with a write-ahead log, synced at every commit, written
//! by one connection only. Other connections read.

mod audit_log;
mod beside;
mod catalogue;
mod digests;
mod encoding;
mod entitlement;
mod files;
mod history;
mod journal;
mod key_grams;
mod key_search;
mod keys;
mod ledger;
mod open_error;
mod people;
mod personal_tokens;
mod records;
mod removals;
mod repeatable;
mod schema;
mod sessions;
mod statements;
mod tenants;
mod usage_days;
mod user_keys;
mod wallets;
mod webhooks;
mod windows;

use std::cell::RefCell;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OpenFlags, Row, params};
use wire::{CatalogueVersion, Epoch, KeyDigest, Revision};

use self::encoding::{Columns, integer};
use self::files::{LockedFile, open_private};
pub use self::history::Mismatch;
use self::journal::{Journal, Opened};
pub use self::journal::{JournalError, Position};
pub use self::open_error::OpenError;
use self::statements::Statements;
use super::{
    PartBegun, Parts, ServerRow, ServerRows, StoreError, StoreResult, TokenRows, Transaction,
};
use crate::failpoint;
use crate::live::lock;

/// The lock beside the file keeps other servers away, so only somebody who looks into the file by
/// hand can be in the way; waiting longer would keep every caller waiting.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Statements kept prepared for each connection: somewhat more than there are.
const STATEMENTS_KEPT: usize = 160;

/// Idle read connections kept for the next list; more are opened when needed and closed after.
const READERS_KEPT: usize = 4;

/// The writing side: exactly one per file, held by an advisory lock.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    journal: Option<Journal>,
    _lock: Option<LockedFile>,
}

impl Sqlite {
    /// Opens the file, made with mode 0600 where absent, and brings its schema up to date. What it
    /// commits stands in no journal, so one that was kept before does not continue.
    ///
    /// # Errors
    /// When another server holds it, or it cannot be opened or migrated.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (connection, lock) = take_up(path)?;
        history::leave(&connection).map_err(|source| refused(path, source))?;
        Ok(Self { connection, journal: None, _lock: Some(lock) })
    }

    /// Opens the file with a journal, made where absent, in which every commit is synced before it
    /// happens. A last entry whose commit did not happen is carried out now: nobody was answered,
    /// so both outcomes are right. `seed` is 32 random bytes, by which a new journal is told from
    /// every other.
    ///
    /// # Errors
    /// As [`Sqlite::open`]; also when the journal cannot be used, or is not the one that this
    /// database has been kept with up to its last commit.
    pub fn open_with_journal(
        path: &Path,
        journal: &Path,
        seed: [u8; 32],
    ) -> Result<Self, OpenError> {
        let same = |one: &Path| one.canonicalize().ok();
        if same(path).is_some_and(|database| same(journal) == Some(database)) {
            return Err(JournalError::NotAJournal(journal.to_owned()).into());
        }
        // Before the database is migrated: after that, an older journal could not be replayed.
        let opened = Journal::open(journal, schema::latest())?;
        let (mut connection, lock) = take_up(path)?;
        let journal = match opened {
            Opened::Begun(journal) => history::continue_with(&mut connection, journal, path)?,
            Opened::Unwritten(file) => history::begin(&mut connection, file, path, seed)?,
        };
        Ok(Self { connection, journal: Some(journal), _lock: Some(lock) })
    }

    /// Replays what a database, copied earlier, misses of its journal. Answers how many entries
    /// that were. The server must not run.
    ///
    /// # Errors
    /// When a file is absent or in use, or the journal does not continue this database.
    pub fn replay(path: &Path, journal: &Path) -> Result<u64, OpenError> {
        for file in [path, journal] {
            if !file.is_file() {
                return Err(OpenError::Missing(file.to_owned()));
            }
        }
        let Opened::Begun(journal) = Journal::open(journal, schema::latest())? else {
            return Ok(0);
        };
        let (mut connection, _lock) = take_up(path)?;
        history::replay(&mut connection, journal, path)
    }

    /// Copies a database, also while a server writes it, to a new file with mode 0600 that is synced
    /// to disk: a backup.
    ///
    /// # Errors
    /// When there is no such database, or the copy's file holds something already.
    pub fn copy(path: &Path, copy: &Path) -> Result<(), OpenError> {
        if !path.is_file() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        check_log(path)?;
        let failed = |source| OpenError::File { path: copy.to_owned(), source };
        let name = copy.to_str().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let file = open_private(copy).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > 0 {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let copied = Readers::of(path)
            .open()
            .and_then(|connection| connection.execute("VACUUM INTO ?", [name]));
        let copied = copied
            .map_err(|source| refused(copy, source.into()))
            .and_then(|_| file.sync_all().and_then(|()| files::sync_folder(copy)).map_err(failed));
        if copied.is_err() {
            // A part of it must not be taken for a backup. Should it stay, the error is said all the same.
            let _ = std::fs::remove_file(copy);
        }
        copied
    }

    /// A database that lives in memory only, for simulations.
    ///
    /// # Errors
    /// When SQLite cannot make one.
    pub fn in_memory() -> StoreResult<Self> {
        let connection = prepare(Connection::open_in_memory()?)?;
        Ok(Self { connection, journal: None, _lock: None })
    }

    /// Runs `steps` in one transaction that is committed, synced to disk, at its end. Where a
    /// journal is kept, the batch is synced there first.
    ///
    /// # Errors
    /// When the transaction could not begin, be journaled or be committed; then nothing of it
    /// remains.
    pub fn batch(&mut self, steps: impl FnOnce(&mut Batch<'_>)) -> StoreResult<()> {
        failpoint::pass("before_batch");
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let written = self.journal.as_ref().map(|_| RefCell::default());
        let rows = Rows { connection: &self.connection, written };
        let mut batch = Batch { rows, broken: false };
        steps(&mut batch);
        let Batch { rows, broken } = batch;
        let written = rows.written.map(RefCell::into_inner);
        let ended = if broken { Err(StoreError::NotCommitted) } else { self.commit(written) };
        if ended.is_err() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        ended
    }

    fn commit(&mut self, written: Option<Statements>) -> StoreResult<()> {
        let mark = self.journal.as_ref().map(Journal::mark);
        if let (Some(journal), Some(written)) = (&mut self.journal, written)
            && !written.is_empty()
        {
            let bytes = written.encode();
            let position = journal.next_position(&bytes);
            history::save(&self.connection, &position)?;
            journal.append(&bytes, position)?;
            failpoint::pass("after_journal");
        }
        failpoint::pass("before_commit");
        let committed = self.connection.execute_batch("COMMIT");
        // A disk may have kept what it reported as failed. The next commit overwrites it; only a
        // crash before that brings it back, and then the start is refused: nothing is lost.
        if committed.is_err()
            && let (Some(journal), Some(mark)) = (&mut self.journal, mark)
        {
            journal.take_back(mark);
        }
        failpoint::pass("after_commit");
        Ok(committed?)
    }
}

/// One transaction in which several jobs take a step each.
#[derive(Debug)]
pub struct Batch<'c> {
    rows: Rows<'c>,
    /// A savepoint could not be undone: the whole batch must not be committed.
    broken: bool,
}

impl Batch<'_> {
    /// Runs one job. Where it fails, what it wrote is undone and the others are not touched.
    ///
    /// # Errors
    /// The job's own, or that its savepoint could not be made.
    pub fn step<T, E: From<StoreError>>(
        &mut self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.rows.connection;
        // A full disk can make SQLite end the transaction by itself. A savepoint outside of one
        // would begin and commit its own.
        self.broken |= connection.is_autocommit();
        if self.broken {
            return Err(StoreError::NotCommitted.into());
        }
        let sql = |text| connection.execute_batch(text).map_err(StoreError::from);
        sql("SAVEPOINT job")?;
        let kept = self.rows.written.as_ref().map_or(0, |written| written.borrow().len());
        let outcome = job(&mut self.rows);
        if let (Err(_), Some(written)) = (&outcome, &self.rows.written) {
            written.borrow_mut().cut(kept);
        }
        let ended = match outcome {
            Ok(_) => sql("RELEASE job"),
            Err(_) => sql("ROLLBACK TO job; RELEASE job"),
        };
        self.broken |= ended.is_err();
        ended?;
        outcome
    }
}

/// Read-only connections to the file of a [`Sqlite`].
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Readers of this file, opened as they are needed.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// Reads one consistent state of the database. Blocks; writes fail.
    ///
    /// # Errors
    /// The job's own, or that no connection could be opened.
    pub fn read<T, E: From<StoreError>>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(StoreError::from)?,
        };
        connection.execute_batch("BEGIN").map_err(StoreError::from)?;
        let outcome = job(&mut Rows { connection: &connection, written: None });
        connection.execute_batch("COMMIT").map_err(StoreError::from)?;
        let mut idle = lock(&self.idle);
        if idle.len() < READERS_KEPT {
            idle.push(connection);
        }
        outcome
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(connection)
    }
}

/// The rows of one transaction on one connection.
#[derive(Debug)]
struct Rows<'c> {
    connection: &'c Connection,
    /// What was written, where a journal is kept.
    written: Option<RefCell<Statements>>,
}

impl Rows<'_> {
    /// The only way to write: what goes through here stands in the journal.
    /// Answers how many rows changed.
    fn change(&self, sql: &str, values: &[&dyn ToSql]) -> StoreResult<usize> {
        let changed = self.connection.prepare_cached(sql)?.execute(values)?;
        if let Some(written) = &self.written {
            written.borrow_mut().push(sql, values, changed)?;
        }
        Ok(changed)
    }

    fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> StoreResult<()> {
        self.change(sql, values).map(drop)
    }

    fn one<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        Ok(rows.next()?.map(read).transpose()?)
    }

    fn all<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(values, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Transaction for Rows<'_> {}

impl Parts for Rows<'_> {
    fn begin_part(&mut self) -> StoreResult<PartBegun> {
        self.connection.execute_batch("SAVEPOINT part")?;
        Ok(PartBegun(self.written.as_ref().map_or(0, |written| written.borrow().len())))
    }

    fn keep_part(&mut self) -> StoreResult<()> {
        Ok(self.connection.execute_batch("RELEASE part")?)
    }

    fn undo_part(&mut self, begun: PartBegun) -> StoreResult<()> {
        if let Some(written) = &self.written {
            written.borrow_mut().cut(begun.0);
        }
        Ok(self.connection.execute_batch("ROLLBACK TO part; RELEASE part")?)
    }
}

impl ServerRows for Rows<'_> {
    fn server(&mut self) -> StoreResult<ServerRow> {
        let found = self.one("SELECT * FROM server", [], |row| {
            let columns = Columns(row);
            Ok(ServerRow {
                epoch: Epoch(columns.number("epoch")?),
                revision: Revision(columns.number("revision")?),
                catalogue_version: CatalogueVersion(columns.number("catalogue_version")?),
            })
        })?;
        // Before the first start is complete there is no row; epoch 0 marks that.
        Ok(found.unwrap_or(ServerRow {
            epoch: Epoch(0),
            revision: Revision(0),
            catalogue_version: CatalogueVersion(0),
        }))
    }

    fn save_server(&mut self, server: &ServerRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO server (one, epoch, revision, catalogue_version)
             VALUES (1, ?, ?, ?)",
            params![
                integer(server.epoch.0),
                integer(server.revision.0),
                integer(server.catalogue_version.0)
            ],
        )
    }
}

impl TokenRows for Rows<'_> {
    fn admin_tokens(&mut self) -> StoreResult<Vec<KeyDigest>> {
        self.all("SELECT digest FROM admin_tokens", [], |row| {
            Columns(row).bytes("digest").map(KeyDigest)
        })
    }

    fn replace_admin_tokens(&mut self, digest: KeyDigest, made_unix_ms: u64) -> StoreResult<()> {
        self.execute("DELETE FROM admin_tokens", params![])?;
        self.execute(
            "INSERT INTO admin_tokens (digest, made_ms) VALUES (?, ?)",
            params![digest.0, integer(made_unix_ms)],
        )
    }
}

/// Sets what every writing connection needs and migrates.
fn prepare(mut connection: Connection) -> StoreResult<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // A plan depends on no bound value: otherwise SQLite compiles statements anew for new values.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Every commit is on disk before anybody is answered: an answered grant is never forgotten.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Locks, opens and migrates.
fn take_up(path: &Path) -> Result<(Connection, LockedFile), OpenError> {
    // Made before it is locked, so that its real path is known.
    open_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let lock = lock_beside(path)?;
    check_log(path)?;
    let opened = Connection::open(path).map_err(StoreError::from).and_then(prepare);
    let connection = opened.map_err(|source| refused(path, source))?;
    Ok((connection, lock))
}

/// Before SQLite reads a log into a database that it is not of.
fn check_log(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    match files::log_of_another(path).map_err(failed)? {
        Some(log) => Err(OpenError::LogOfAnother { database: path.to_owned(), log }),
        None => Ok(()),
    }
}

fn refused(path: &Path, source: StoreError) -> OpenError {
    OpenError::Database { path: path.to_owned(), source }
}

/// Locks a file beside the database, by the database's real path: through a link it is the same.
fn lock_beside(path: &Path) -> Result<LockedFile, OpenError> {
    let real = path.canonicalize();
    let real = real.map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let mut lock_path = real.into_os_string();
    lock_path.push(".lock");
    let failed = |source| OpenError::File { path: lock_path.clone().into(), source };
    let file = open_private(Path::new(&lock_path)).map_err(failed)?;
    LockedFile::lock(file).map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse(path.to_owned()),
        TryLockError::Error(source) => failed(source),
    })
}

/// An empty database of the newest schema, for tests of statements.
#[cfg(test)]
fn test_connection() -> Connection {
    prepare(Connection::open_in_memory().unwrap()).unwrap()
}

/// How SQLite would carry a statement out.
#[cfg(test)]
fn test_plan(
    connection: &Connection,
    sql: &str,
    values: Vec<rusqlite::types::Value>,
) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement.query_map(rusqlite::params_from_iter(values), |row| row.get("detail"));
    steps.unwrap().map(Result::unwrap).collect()
}

#[cfg(test)]
#[path = "full_database_tests.rs"]
mod tests;
