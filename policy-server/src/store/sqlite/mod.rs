//! The embedded store: one SQLite file with a write-ahead log, synced at every commit, written
//! by one connection only. Other connections read.

mod catalogue;
mod encoding;
mod ledger;
mod log;
mod schema;
mod sessions;
mod tenants;
mod wallets;
mod windows;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, params};
use wire::{CatalogueVersion, Epoch, KeyDigest, Revision};

use self::encoding::{Columns, integer};
use super::{ServerRow, ServerRows, StoreError, StoreResult, TokenRows, Transaction};
use crate::live::lock;

/// The lock beside the file keeps other servers away, so only somebody who looks into the file by
/// hand can be in the way; waiting longer would keep every caller waiting.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Statements kept prepared per connection: somewhat more than there are.
const STATEMENTS_KEPT: usize = 64;

/// Idle read connections kept for the next list; more are opened when needed and closed after.
const READERS_KEPT: usize = 4;

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
}

/// The writing side: exactly one per file, held by an advisory lock.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    _lock: Option<File>,
}

impl Sqlite {
    /// Opens the file, made with mode 0600 where absent, and brings its schema up to date.
    ///
    /// # Errors
    /// When another server holds it, or it cannot be opened or migrated.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock_beside(path)?;
        open_private(path)?;
        let opened = Connection::open(path).map_err(StoreError::from).and_then(prepare);
        match opened {
            Ok(connection) => Ok(Self { connection, _lock: Some(lock) }),
            Err(source) => Err(OpenError::Database { path: path.to_owned(), source }),
        }
    }

    /// A database that lives in memory only, for simulations.
    ///
    /// # Errors
    /// When SQLite cannot make one.
    pub fn in_memory() -> StoreResult<Self> {
        Ok(Self { connection: prepare(Connection::open_in_memory()?)?, _lock: None })
    }

    /// Runs `steps` in one transaction that is committed, synced to disk, at its end.
    ///
    /// # Errors
    /// When the transaction could not begin or be committed; then nothing of it remains.
    pub fn batch(&mut self, steps: impl FnOnce(&mut Batch<'_>)) -> StoreResult<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut batch = Batch { rows: Rows { connection: &self.connection }, broken: false };
        steps(&mut batch);
        let broken = batch.broken;
        if broken {
            let _ = self.connection.execute_batch("ROLLBACK");
            return Err(StoreError::NotCommitted);
        }
        self.connection.execute_batch("COMMIT").map_err(|error| {
            let _ = self.connection.execute_batch("ROLLBACK");
            error.into()
        })
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
        let sql = |text| connection.execute_batch(text).map_err(StoreError::from);
        sql("SAVEPOINT job")?;
        let outcome = job(&mut self.rows);
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
        let outcome = job(&mut Rows { connection: &connection });
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
}

impl Rows<'_> {
    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> StoreResult<()> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
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
        self.execute("DELETE FROM admin_tokens", [])?;
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
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Every commit is on disk before anybody is answered: an answered grant is never forgotten.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

fn lock_beside(path: &Path) -> Result<File, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = open_private(Path::new(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path: lock_path.into(), source }),
    }
}

/// Opens a file for writing, made readable for its owner alone where absent. SQLite gives its
/// log files the mode of the database.
fn open_private(path: &Path) -> Result<File, OpenError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    opened.map_err(|source| OpenError::File { path: path.to_owned(), source })
}
