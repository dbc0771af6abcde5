//! `tollgate teams …`

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::keys::limits;
use super::tenancy::{ChangeArgs, MemberArgs, MemberCommand};
use super::{Output, PageArgs, insert};

/// `tollgate teams …`
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Add a team or replace what is known of it.
    Put {
        #[command(flatten)]
        team: MemberArgs,
        #[command(flatten)]
        fields: Box<TeamFields>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List teams.
    List {
        /// Their organisation.
        org: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one.
    Show {
        #[command(flatten)]
        team: MemberArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Delete one that has neither keys nor service accounts.
    Delete {
        #[command(flatten)]
        team: MemberArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Stop all of its keys at once.
    Suspend {
        #[command(flatten)]
        team: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let them go on.
    Resume {
        #[command(flatten)]
        team: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List its members.
    Members {
        #[command(flatten)]
        team: MemberArgs,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one member and the role.
    Member {
        #[command(flatten)]
        team: MemberArgs,
        /// The user.
        user: String,
        #[command(flatten)]
        output: Output,
    },
    /// Take a user into it, or give another role there.
    AddMember {
        #[command(flatten)]
        team: MemberArgs,
        /// The user.
        user: String,
        /// team_admin, team_developer or team_viewer.
        #[arg(long, default_value = "team_developer")]
        role: String,
        #[command(flatten)]
        output: Output,
    },
    /// Remove a user from it; the user's keys there end.
    RemoveMember {
        #[command(flatten)]
        team: MemberArgs,
        /// The user.
        user: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    #[command(flatten)]
    Money(MemberCommand),
}

/// What can be said about a team.
#[derive(Debug, Args)]
pub struct TeamFields {
    /// Its name.
    #[arg(long)]
    name: Option<String>,
    /// A rate limit that its keys share, such as requests/1m=600, or of one model
    /// requests/1m@gpt-4o=60; repeatable.
    #[arg(long = "limit-rate", value_name = "UNIT/WINDOW[@MODEL]=MAX")]
    limits: Vec<String>,
    /// Its members make no keys by themselves.
    #[arg(long)]
    no_self_service: bool,
    /// Keys that a member may have there.
    #[arg(long, value_name = "NUMBER")]
    max_keys_per_user: Option<u64>,
    /// The largest budget of a key that a member makes, in USD: then each such key needs one.
    #[arg(long, value_name = "USD")]
    budget_ceiling: Option<String>,
    /// The shortest period of such a budget: none, day, week or month.
    #[arg(long, value_name = "PERIOD", requires = "budget_ceiling")]
    ceiling_period: Option<String>,
    /// Keys that a member makes must expire.
    #[arg(long)]
    require_expiry: bool,
    /// How many days ahead they may.
    #[arg(long, value_name = "DAYS")]
    max_expiry_days: Option<u64>,
}

impl TeamFields {
    fn body(&self) -> Result<Value, ClientError> {
        let mut policy = Map::new();
        insert(&mut policy, "enabled", Some(!self.no_self_service));
        insert(&mut policy, "max_keys_per_user", self.max_keys_per_user);
        if let Some(usd) = &self.budget_ceiling {
            let mut ceiling = Map::new();
            insert(&mut ceiling, "usd", Some(usd.clone()));
            insert(&mut ceiling, "period", self.ceiling_period.clone());
            insert(&mut policy, "budget_ceiling", Some(ceiling));
        }
        insert(&mut policy, "require_expiry", Some(self.require_expiry));
        insert(&mut policy, "max_expiry_days", self.max_expiry_days);
        let mut body = Map::new();
        insert(&mut body, "name", self.name.clone());
        insert(&mut body, "limits", Some(limits(&self.limits)?.unwrap_or_default()));
        insert(&mut body, "self_service", Some(policy));
        Ok(body.into())
    }
}

const TEAM_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("self-service", "/self_service/enabled"),
    ("suspended", "/suspended_at"),
    ("created", "/created_at"),
];

const MEMBER_COLUMNS: &[Column] = &[("user", "/user"), ("role", "/role"), ("since", "/created_at")];

impl TeamCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        match self {
            Self::Put { team, fields, change } => {
                change.send(client, "PUT", &path(&team, ""), Some(&fields.body()?))
            }
            Self::List { org, page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                let path = format!("orgs/{}/teams", segment(&org));
                Ok(output.list(&client.send("GET", &path, &query, None)?, TEAM_COLUMNS))
            }
            Self::Show { team, output } => {
                Ok(output.object(&client.send("GET", &path(&team, ""), &[], None)?))
            }
            Self::Delete { team, output } => {
                Ok(output.object(&client.send("DELETE", &path(&team, ""), &[], None)?))
            }
            Self::Suspend { team, change } => {
                change.send(client, "POST", &path(&team, "/suspend"), None)
            }
            Self::Resume { team, change } => {
                change.send(client, "POST", &path(&team, "/resume"), None)
            }
            Self::Members { team, page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                let answer = client.send("GET", &path(&team, "/members"), &query, None)?;
                Ok(output.list(&answer, MEMBER_COLUMNS))
            }
            Self::Member { team, user, output } => {
                let path = path(&team, &format!("/members/{}", segment(&user)));
                Ok(output.object(&client.send("GET", &path, &[], None)?))
            }
            Self::AddMember { team, user, role, output } => {
                let path = path(&team, &format!("/members/{}", segment(&user)));
                let body = json!({"role": role});
                Ok(output.object(&client.send("PUT", &path, &[], Some(&body))?))
            }
            Self::RemoveMember { team, user, change } => {
                let path = path(&team, &format!("/members/{}", segment(&user)));
                change.send(client, "DELETE", &path, None)
            }
            Self::Money(command) => command.run("teams", client),
        }
    }
}

fn path(team: &MemberArgs, rest: &str) -> String {
    format!("orgs/{}/teams/{}{rest}", segment(&team.org), segment(&team.id))
}
