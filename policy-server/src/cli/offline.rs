//! `tollgate backup` and `tollgate restore`: on files, without a server.

use std::path::PathBuf;

use clap::Args;

use crate::clock::{Clock as _, SystemClock};
use crate::restore::{RestoreError, Restored, restore};
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
    /// The journal that was kept since the backup. Without it a new epoch begins and budgets are
    /// frozen.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl RestoreArgs {
    /// Carries it out and answers what to print.
    pub fn run(self) -> Result<String, RestoreError> {
        let now = SystemClock::start().now();
        Ok(match restore(&self.database, self.journal.as_deref(), now.unix_ms)? {
            Restored::Replayed { entries } => format!("replayed {entries} entries of the journal"),
            Restored::Began(begun) => format!(
                "began epoch {}; froze {} budgets: see `tollgate budgets frozen`",
                begun.epoch.0, begun.frozen
            ),
        })
    }
}
