//! What the keys of a team or user share: a budget, limits, models.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::super::client::{Client, ClientError, segment};
use super::budget_args::ScheduleArgs;
use super::limit_args::LimitArgs;
use super::selections::SelectionArgs;
use super::{Output, insert};

/// The part of `tollgate teams …` and `tollgate users …` that is about what all of their
/// keys share.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Set the budget that all keys of it share.
    Cap {
        #[command(flatten)]
        member: MemberArgs,
        /// The most to spend per period, in USD.
        usd: String,
        #[command(flatten)]
        schedule: Box<ScheduleArgs>,
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
    /// Limit how often all keys of it together may call; without limits, show those that it has.
    Limits {
        #[command(flatten)]
        member: MemberArgs,
        #[command(flatten)]
        limits: LimitArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Restrict what all keys of it may call at most; with neither models nor groups, show it.
    Models {
        #[command(flatten)]
        member: MemberArgs,
        #[command(flatten)]
        models: SelectionArgs,
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
        let place = |member: &MemberArgs| {
            format!("orgs/{}/{kind}/{}", segment(&member.org), segment(&member.id))
        };
        let path = |member: &MemberArgs| format!("{}/budget", place(member));
        match self {
            Self::Cap { member, usd, schedule, change } => {
                let mut body = Map::new();
                insert(&mut body, "usd", Some(usd));
                schedule.add(&mut body)?;
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
            Self::Limits { member, limits, change } if limits.is_empty() => {
                let path = format!("{}/models", place(&member));
                Ok(change.output.object(&client.send("GET", &path, &[], None)?))
            }
            Self::Limits { member, limits, change } => {
                let mut body = Map::new();
                limits.add(&mut body)?;
                change.send(client, "PATCH", &place(&member), Some(&body.into()))
            }
            Self::Models { member, models, change } if models.is_empty() => {
                let path = format!("{}/models", place(&member));
                Ok(change.output.object(&client.send("GET", &path, &[], None)?))
            }
            Self::Models { member, models, change } => {
                let mut body = Map::new();
                models.add(&mut body);
                change.send(client, "PATCH", &place(&member), Some(&body.into()))
            }
        }
    }
}
