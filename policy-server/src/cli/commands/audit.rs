//! `tollgate audit …`, `tollgate settings …` and `tollgate status`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::super::client::{Client, ClientError};
use super::super::table::Column;
use super::{Output, PageArgs};

/// `tollgate audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List what was done and tried, newest first.
    List {
        /// Only what this actor did: admin, system, or organisation/user.
        #[arg(long)]
        actor: Option<String>,
        /// Only this action, such as key.revoke.
        #[arg(long)]
        action: Option<String>,
        /// Only what was done to the thing with this id.
        #[arg(long)]
        target: Option<String>,
        /// Only what concerns this organisation.
        #[arg(long)]
        org: Option<String>,
        /// Only done, refused or failed.
        #[arg(long)]
        outcome: Option<String>,
        /// Not before, as 2027-06-01T00:00:00Z.
        #[arg(long, value_name = "INSTANT")]
        since: Option<String>,
        /// Before, as 2027-06-01T00:00:00Z.
        #[arg(long, value_name = "INSTANT")]
        until: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
}

const AUDIT_COLUMNS: &[Column] = &[
    ("at", "/at"),
    ("actor", "/actor"),
    ("action", "/action"),
    ("target", "/target"),
    ("outcome", "/outcome"),
    ("code", "/code"),
    ("from", "/address"),
    ("before", "/before"),
    ("after", "/after"),
];

impl AuditCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let Self::List { actor, action, target, org, outcome, since, until, page, output } = self;
        let mut query = Vec::new();
        let given = [
            ("actor", actor),
            ("action", action),
            ("target", target),
            ("org", org),
            ("outcome", outcome),
            ("since", since),
            ("until", until),
        ];
        query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
        page.query(&mut query);
        Ok(output.list(&client.send("GET", "audit", &query, None)?, AUDIT_COLUMNS))
    }
}

/// `tollgate settings …`
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Show them.
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// Set for how many days the audit is kept; 0: for ever.
    AuditRetention {
        /// Days.
        days: u64,
        #[command(flatten)]
        output: Output,
    },
}

impl SettingsCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        match self {
            Self::Show { output } => {
                Ok(output.object(&client.send("GET", "settings", &[], None)?))
            }
            Self::AuditRetention { days, output } => {
                let body = json!({"audit_retention_days": Some(days).filter(|days| *days > 0)});
                Ok(output.object(&client.send("PUT", "settings", &[], Some(&body))?))
            }
        }
    }
}

/// `tollgate status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    output: Output,
}

impl StatusArgs {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        Ok(self.output.object(&client.send("GET", "status", &[], None)?))
    }
}
