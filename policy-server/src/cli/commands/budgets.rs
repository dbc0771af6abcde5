//! `tollgate budgets …`

use clap::Subcommand;
use serde_json::json;

use super::super::client::{Client, ClientError};
use super::super::table::Column;
use super::{Output, PageArgs};

/// `tollgate budgets …`
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// List every budget above a key, or those of an organisation.
    List {
        /// The key.
        #[arg(long, required_unless_present = "org", conflicts_with = "org")]
        key: Option<String>,
        /// The organisation.
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// List budgets that grant nothing since a restore without journal.
    Frozen {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Let a frozen budget grant again.
    Release {
        /// Its level: key, user, team, org or wallet.
        level: String,
        /// Id of its owner, as `budgets list` shows it.
        id: String,
        #[command(flatten)]
        output: Output,
    },
}

const BUDGET_COLUMNS: &[Column] = &[
    ("level", "/level"),
    ("id", "/id"),
    ("cap", "/cap_usd"),
    ("period", "/period"),
    ("spent", "/settled_usd"),
    ("out", "/outstanding_usd"),
    ("parked", "/parked_usd"),
    ("left", "/left_usd"),
    ("resets", "/resets_at"),
];

impl BudgetCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        match self {
            Self::List { key, org, output } => {
                let mut query = Vec::new();
                query.extend(key.map(|key| ("key", key)));
                query.extend(org.map(|org| ("org", org)));
                let answer = client.send("GET", "budgets", &query, None)?;
                Ok(output.list(&answer, BUDGET_COLUMNS))
            }
            Self::Frozen { page, output } => {
                let mut query = vec![("frozen", "true".to_owned())];
                page.query(&mut query);
                let answer = client.send("GET", "budgets", &query, None)?;
                Ok(output.list(&answer, BUDGET_COLUMNS))
            }
            Self::Release { level, id, output } => {
                let body = json!({"level": level, "id": id});
                let answer = client.send("POST", "budgets/release", &[], Some(&body))?;
                Ok(output.object(&answer))
            }
        }
    }
}
