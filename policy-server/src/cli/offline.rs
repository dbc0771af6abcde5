//! `tollgate backup`, `tollgate restore` and `tollgate admin-token`: on files, without a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::admin_token::{RotateError, rotate_admin_token};
use crate::clock::{Clock as _, OsEntropy, SystemClock};
use crate::restore::{RestoreError, Restored, restore, restore_without_journal};
use crate::store::sqlite::{OpenError, Sqlite};

/// `tollgate backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Database file; the server may go on writing it.
    #[arg(long, env = "TOLLGATE_DATABASE", default_value = "tollgate.sqlite")]
    database: PathBuf,
    /// New file for the copy.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl BackupArgs {
    /// Carries it out and answers what to print.
    pub fn run(self) -> Result<String, OpenError> {
        Sqlite::copy(&self.database, &self.to)?;
        Ok(format!("{} is a copy of {}", self.to.display(), self.database.display()))
    }
}

/// `tollgate restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Database file, copied back from a backup; the server must not run.
    #[arg(long, env = "TOLLGATE_DATABASE", default_value = "tollgate.sqlite")]
    database: PathBuf,
    /// The journal that was kept since the backup. Where none was kept a new epoch begins and budgets
    /// are frozen.
    #[arg(long, env = "TOLLGATE_JOURNAL", value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The journal that was kept is lost as well: begin a new epoch and freeze budgets.
    #[arg(long)]
    journal_lost: bool,
}

impl RestoreArgs {
    /// Carries it out and answers what to print.
    pub fn run(self) -> Result<String, RestoreError> {
        let now = SystemClock::start().now();
        let restored = match self.journal_lost {
            true => restore_without_journal(&self.database, now.unix_ms),
            false => restore(&self.database, self.journal.as_deref(), now.unix_ms),
        };
        Ok(match restored? {
            Restored::Replayed { entries } => format!("replayed {entries} entries of the journal"),
            Restored::Began(begun) => format!(
                "began epoch {}; froze {} budgets: see `tollgate budgets frozen`",
                begun.epoch.0, begun.frozen
            ),
        })
    }
}

/// `tollgate admin-token …`
#[derive(Debug, Subcommand)]
pub enum AdminTokenCommand {
    /// Make a new token, the only one from now on, and print it.
    Rotate(RotateArgs),
}

/// `tollgate admin-token rotate`
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Database file; the server must not run.
    #[arg(long, env = "TOLLGATE_DATABASE", default_value = "tollgate.sqlite")]
    database: PathBuf,
    /// Its journal, where one is kept.
    #[arg(long, env = "TOLLGATE_JOURNAL", value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl AdminTokenCommand {
    /// Carries it out and answers what to print.
    pub fn run(self) -> Result<String, RotateError> {
        let Self::Rotate(args) = self;
        let now = SystemClock::start().now();
        let journal = args.journal.as_deref();
        let token = rotate_admin_token(&args.database, journal, Box::new(OsEntropy), now)?;
        Ok(format!("admin token: {}", token.expose()))
    }
}
