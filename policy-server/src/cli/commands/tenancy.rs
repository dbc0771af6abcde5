//! Budgets of teams and users, and `tollgate wallets`: whose money it is.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::{Output, PageArgs, insert};

/// The part of `tollgate teams …` and `tollgate users …` that is about money: who shares a budget
/// within an organisation.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Set the budget that all keys of it share.
    Cap {
        #[command(flatten)]
        member: MemberArgs,
        /// The most to spend per period, in USD.
        usd: String,
        /// When the budget starts afresh: none, day, week or month; default: as before.
        #[arg(long)]
        period: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show its budget and what was spent.
    Budget {
        #[command(flatten)]
        member: MemberArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Remove the cap; what is spent is still counted.
    Uncap {
        #[command(flatten)]
        member: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// One team or user.
#[derive(Debug, Args)]
pub struct MemberArgs {
    /// Its organisation.
    pub(super) org: String,
    /// Its id.
    pub(super) id: String,
}

/// How long to wait until every proxy knows, and how to print.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Milliseconds to wait until every proxy has applied the change.
    #[arg(long, value_name = "MS")]
    wait: Option<u64>,
    #[command(flatten)]
    pub(super) output: Output,
}

impl ChangeArgs {
    /// The parameters of the request.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        self.wait.map(|wait| ("wait", wait.to_string())).into_iter().collect()
    }

    /// Sends a change and answers what to print.
    pub(super) fn send(
        &self,
        client: &Client,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, ClientError> {
        let answer = client.send(method, path, &self.query(), body)?;
        Ok(self.output.object(&answer))
    }
}

impl MemberCommand {
    /// Carries it out for `kind`, "teams" or "users", and answers what to print.
    pub fn run(self, kind: &str, client: &Client) -> Result<String, ClientError> {
        let path = |member: &MemberArgs| {
            format!("orgs/{}/{kind}/{}/budget", segment(&member.org), segment(&member.id))
        };
        match self {
            Self::Cap { member, usd, period, change } => {
                let mut body = Map::new();
                insert(&mut body, "usd", Some(usd));
                insert(&mut body, "period", period);
                let body = Some(body.into());
                let answer = client.send("PUT", &path(&member), &change.query(), body.as_ref())?;
                Ok(change.output.object(&answer))
            }
            Self::Budget { member, output } => {
                Ok(output.object(&client.send("GET", &path(&member), &[], None)?))
            }
            Self::Uncap { member, change } => {
                let answer = client.send("DELETE", &path(&member), &change.query(), None)?;
                Ok(change.output.object(&answer))
            }
        }
    }
}

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
}

const TOP_UP_COLUMNS: &[Column] =
    &[("at", "/at"), ("id", "/id"), ("usd", "/usd"), ("note", "/note")];

impl WalletCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |org: &str| format!("orgs/{}/wallet", segment(org));
        match self {
            Self::TopUp { org, usd, note, id, change } => {
                let mut body = Map::new();
                insert(&mut body, "usd", Some(usd));
                insert(&mut body, "note", note);
                insert(&mut body, "id", id);
                let path = format!("{}/top-ups", path(&org));
                let answer = client.send("POST", &path, &change.query(), Some(&json!(body)))?;
                Ok(change.output.object(&answer))
            }
            Self::Show { org, output } => {
                Ok(output.object(&client.send("GET", &path(&org), &[], None)?))
            }
            Self::TopUps { org, page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                let path = format!("{}/top-ups", path(&org));
                let answer = client.send("GET", &path, &query, None)?;
                Ok(output.list(&answer, TOP_UP_COLUMNS))
            }
        }
    }
}
