//! `tollgate users`, `service-accounts` and `tokens`.

use clap::Subcommand;
use serde_json::{Map, json};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::limit_args::LimitArgs;
use super::tenancy::{ChangeArgs, MemberArgs, MemberCommand};
use super::{Output, PageArgs, insert};

/// `tollgate users …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user or replace what is known of one.
    Put {
        #[command(flatten)]
        user: MemberArgs,
        /// The name.
        #[arg(long)]
        name: Option<String>,
        /// org_owner, org_admin, org_billing, org_auditor, org_member or platform_admin; default:
        /// org_member.
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        limits: LimitArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List users.
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
        user: MemberArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Delete one; tokens and keys end.
    Delete {
        #[command(flatten)]
        user: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Stop all keys and sign-ins at once.
    Suspend {
        #[command(flatten)]
        user: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let them go on.
    Resume {
        #[command(flatten)]
        user: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    #[command(flatten)]
    Money(MemberCommand),
}

const USER_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("role", "/role"),
    ("suspended", "/suspended_at"),
    ("created", "/created_at"),
];

impl UserCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |user: &MemberArgs, rest: &str| {
            format!("orgs/{}/users/{}{rest}", segment(&user.org), segment(&user.id))
        };
        match self {
            Self::Put { user, name, role, limits, change } => {
                let mut body = Map::new();
                insert(&mut body, "name", name);
                insert(&mut body, "role", role);
                limits.add(&mut body)?;
                change.send(client, "PUT", &path(&user, ""), Some(&body.into()))
            }
            Self::List { org, page, output } => {
                let path = format!("orgs/{}/users", segment(&org));
                list(client, &path, &page, &output, USER_COLUMNS)
            }
            Self::Show { user, output } => {
                Ok(output.object(&client.send("GET", &path(&user, ""), &[], None)?))
            }
            Self::Delete { user, change } => change.send(client, "DELETE", &path(&user, ""), None),
            Self::Suspend { user, change } => {
                change.send(client, "POST", &path(&user, "/suspend"), None)
            }
            Self::Resume { user, change } => {
                change.send(client, "POST", &path(&user, "/resume"), None)
            }
            Self::Money(command) => command.run("users", client),
        }
    }
}

/// `tollgate service-accounts …`
#[derive(Debug, Subcommand)]
pub enum ServiceAccountCommand {
    /// Make one for a team.
    Create {
        #[command(flatten)]
        team: MemberArgs,
        /// Its name, unique in the team.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// List them.
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
        account: MemberArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Delete one; its keys end.
    Delete {
        #[command(flatten)]
        account: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Stop all of its keys at once.
    Suspend {
        #[command(flatten)]
        account: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let them go on.
    Resume {
        #[command(flatten)]
        account: MemberArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

const ACCOUNT_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("team", "/service_team"),
    ("suspended", "/suspended_at"),
    ("created", "/created_at"),
];

impl ServiceAccountCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let all = |org: &str| format!("orgs/{}/service-accounts", segment(org));
        let path = |account: &MemberArgs, rest: &str| {
            format!("{}/{}{rest}", all(&account.org), segment(&account.id))
        };
        match self {
            Self::Create { team, name, output } => {
                let body = json!({"team": team.id, "name": name});
                Ok(output.object(&client.send("POST", &all(&team.org), &[], Some(&body))?))
            }
            Self::List { org, page, output } => {
                list(client, &all(&org), &page, &output, ACCOUNT_COLUMNS)
            }
            Self::Show { account, output } => {
                Ok(output.object(&client.send("GET", &path(&account, ""), &[], None)?))
            }
            Self::Delete { account, change } => {
                change.send(client, "DELETE", &path(&account, ""), None)
            }
            Self::Suspend { account, change } => {
                change.send(client, "POST", &path(&account, "/suspend"), None)
            }
            Self::Resume { account, change } => {
                change.send(client, "POST", &path(&account, "/resume"), None)
            }
        }
    }
}

/// `tollgate tokens …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token for a user; it is shown this once.
    Create {
        #[command(flatten)]
        user: MemberArgs,
        /// Its name.
        #[arg(long)]
        name: Option<String>,
        /// When it ends, as 2027-06-01T00:00:00Z; default: in 90 days.
        #[arg(long, value_name = "INSTANT")]
        expires_at: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// List a user's tokens, newest first.
    List {
        #[command(flatten)]
        user: MemberArgs,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one; never its secret.
    Show {
        #[command(flatten)]
        user: MemberArgs,
        /// Its id.
        token: String,
        #[command(flatten)]
        output: Output,
    },
    /// Replace one by a new one, which is shown this once.
    Rotate {
        #[command(flatten)]
        user: MemberArgs,
        /// Its id.
        token: String,
        /// For how many seconds both work; default: the old one ends at once.
        #[arg(long, value_name = "SECONDS")]
        overlap: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// End one for good.
    Revoke {
        #[command(flatten)]
        user: MemberArgs,
        /// Its id.
        token: String,
        #[command(flatten)]
        output: Output,
    },
}

pub(super) const TOKEN_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("prefix", "/prefix"),
    ("name", "/name"),
    ("status", "/status"),
    ("expires", "/expires_at"),
    ("last used", "/last_used_at"),
    ("from", "/last_address"),
];

impl TokenCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |user: &MemberArgs| {
            format!("orgs/{}/users/{}/tokens", segment(&user.org), segment(&user.id))
        };
        match self {
            Self::Create { user, name, expires_at, output } => {
                create_token(client, &path(&user), name, expires_at, &output)
            }
            Self::List { user, page, output } => {
                list(client, &path(&user), &page, &output, TOKEN_COLUMNS)
            }
            Self::Show { user, token, output } => {
                let path = format!("{}/{}", path(&user), segment(&token));
                Ok(output.object(&client.send("GET", &path, &[], None)?))
            }
            Self::Rotate { user, token, overlap, output } => {
                rotate_token(client, &path(&user), &token, overlap, &output)
            }
            Self::Revoke { user, token, output } => {
                let path = format!("{}/{}/revoke", path(&user), segment(&token));
                Ok(output.object(&client.send("POST", &path, &[], None)?))
            }
        }
    }
}

/// Issues a token below a path.
pub(super) fn create_token(
    client: &Client,
    path: &str,
    name: Option<String>,
    expires_at: Option<String>,
    output: &Output,
) -> Result<String, ClientError> {
    let mut body = Map::new();
    insert(&mut body, "name", name);
    insert(&mut body, "expires_at", expires_at);
    Ok(output.object(&client.send("POST", path, &[], Some(&body.into()))?))
}

/// Rotates a token below a path.
pub(super) fn rotate_token(
    client: &Client,
    path: &str,
    token: &str,
    overlap_s: Option<u64>,
    output: &Output,
) -> Result<String, ClientError> {
    let mut body = Map::new();
    insert(&mut body, "overlap_s", overlap_s);
    let path = format!("{path}/{}/rotate", segment(token));
    Ok(output.object(&client.send("POST", &path, &[], Some(&body.into()))?))
}

/// Lists what is below a path.
pub(super) fn list(
    client: &Client,
    path: &str,
    page: &PageArgs,
    output: &Output,
    columns: &[Column],
) -> Result<String, ClientError> {
    let mut query = Vec::new();
    page.query(&mut query);
    Ok(output.list(&client.send("GET", path, &query, None)?, columns))
}
