//! `tollgate wallets …`

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::budget_args::percents;
use super::tenancy::ChangeArgs;
use super::{Output, PageArgs, insert};

/// `tollgate wallets …`
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// Put money into an organisation's wallet; the first opens it.
    TopUp {
        /// The organisation.
        org: String,
        /// How much, in USD.
        usd: String,
        /// What for.
        #[arg(long)]
        note: Option<String>,
        /// An id of yours, such as an invoice number: repeating it adds nothing.
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Correct what a wallet holds: put money in without a payment, or take some out.
    Adjust {
        /// The organisation.
        org: String,
        /// How much, in USD; negative to take it out.
        #[arg(allow_negative_numbers = true)]
        usd: String,
        /// Why.
        #[arg(long)]
        note: String,
        /// An id of yours: repeating it changes nothing.
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Set at which percentages of all that was put in webhooks are told.
    Alerts {
        /// The organisation.
        org: String,
        /// Percentages such as 80,95,100; "" for none.
        alerts: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show what is left.
    Show {
        /// The organisation.
        org: String,
        #[command(flatten)]
        output: Output,
    },
    /// List what was put in, newest first.
    TopUps {
        /// The organisation.
        org: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// List every entry, newest first: payments, corrections, and what each day's calls have cost.
    Ledger {
        /// The organisation.
        org: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Add up all entries and compare them with the budget; fails where they do not agree.
    Check {
        /// The organisation.
        org: String,
        #[command(flatten)]
        output: Output,
    },
}

const TOP_UP_COLUMNS: &[Column] =
    &[("at", "/at"), ("id", "/id"), ("usd", "/usd"), ("note", "/note")];

const LEDGER_COLUMNS: &[Column] = &[
    ("at", "/at"),
    ("id", "/id"),
    ("from", "/debit"),
    ("to", "/credit"),
    ("usd", "/usd"),
    ("note", "/note"),
];

impl WalletCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |org: &str| format!("orgs/{}/wallet", segment(org));
        let moved =
            |org: &str, what: &str, fields: [(&str, Option<String>); 3], change: &ChangeArgs| {
                let mut body = Map::new();
                for (name, value) in fields {
                    insert(&mut body, name, value);
                }
                let path = format!("{}/{what}", path(org));
                change.send(client, "POST", &path, Some(&body.into()))
            };
        let listed = |org: &str, what: &str, page: &PageArgs, output: &Output, columns| {
            let mut query = Vec::new();
            page.query(&mut query);
            let path = format!("{}/{what}", path(org));
            Ok(output.list(&client.send("GET", &path, &query, None)?, columns))
        };
        match self {
            Self::TopUp { org, usd, note, id, change } => {
                let fields = [("usd", Some(usd)), ("note", note), ("id", id)];
                moved(&org, "top-ups", fields, &change)
            }
            Self::Adjust { org, usd, note, id, change } => {
                let fields = [("usd", Some(usd)), ("note", Some(note)), ("id", id)];
                moved(&org, "adjustments", fields, &change)
            }
            Self::Alerts { org, alerts, output } => {
                let body = json!({"alerts": percents(&alerts)?});
                Ok(output.object(&client.send("PATCH", &path(&org), &[], Some(&body))?))
            }
            Self::Show { org, output } => {
                Ok(output.object(&client.send("GET", &path(&org), &[], None)?))
            }
            Self::TopUps { org, page, output } => {
                listed(&org, "top-ups", &page, &output, TOP_UP_COLUMNS)
            }
            Self::Ledger { org, page, output } => {
                listed(&org, "ledger", &page, &output, LEDGER_COLUMNS)
            }
            Self::Check { org, output } => {
                let answer = client.send("GET", &format!("{}/check", path(&org)), &[], None)?;
                if answer.get("agrees") == Some(&Value::Bool(true)) {
                    return Ok(output.object(&answer));
                }
                let problems = answer.get("problems").map(Value::to_string).unwrap_or_default();
                let message = format!("entries and budget of the wallet do not agree: {problems}");
                Err(ClientError::Input(message))
            }
        }
    }
}
