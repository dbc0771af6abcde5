//! `tollgate plans`, `groups` and `aliases`.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::selections::SelectionArgs;
use super::tenancy::ChangeArgs;
use super::{Output, PageArgs, insert, names};

/// `tollgate plans …`
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Add a plan or replace what is known of it.
    Put {
        /// Its id.
        id: String,
        /// Its name.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        models: SelectionArgs,
        /// What every price is multiplied by, such as 1.25. Default: what the organisation has.
        #[arg(long, value_name = "FACTOR")]
        price_multiplier: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List plans.
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Give an organisation or a key a plan; a key's own wins.
    Assign {
        /// The plan; "none" takes away the one that is there.
        id: String,
        /// The organisation.
        #[arg(long, required_unless_present = "key", conflicts_with = "key")]
        org: Option<String>,
        /// The key.
        #[arg(long)]
        key: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Delete one that nobody has.
    Delete {
        /// Its id.
        id: String,
        #[command(flatten)]
        output: Output,
    },
}

const PLAN_COLUMNS: &[Column] =
    &[("id", "/id"), ("name", "/name"), ("multiplier", "/price_multiplier"), ("models", "/models")];

impl PlanCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |id: &str| format!("plans/{}", segment(id));
        match self {
            Self::Put { id, name, models, price_multiplier, change } => {
                let mut body = Map::new();
                insert(&mut body, "name", name);
                models.add(&mut body);
                insert(&mut body, "price_multiplier", price_multiplier);
                change.send(client, "PUT", &path(&id), Some(&body.into()))
            }
            Self::List { page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                Ok(output.list(&client.send("GET", "plans", &query, None)?, PLAN_COLUMNS))
            }
            Self::Show { id, output } => {
                Ok(output.object(&client.send("GET", &path(&id), &[], None)?))
            }
            Self::Assign { id, org, key, change } => {
                let plan = if id == "none" { Value::Null } else { Value::String(id) };
                let body = json!({"plan": plan});
                match (org, key) {
                    (Some(org), _) => {
                        let path = format!("orgs/{}/plan", segment(&org));
                        change.send(client, "PUT", &path, Some(&body))
                    }
                    (None, key) => {
                        let path = format!("keys/{}", segment(&key.unwrap_or_default()));
                        change.send(client, "PATCH", &path, Some(&body))
                    }
                }
            }
            Self::Delete { id, output } => {
                Ok(output.object(&client.send("DELETE", &path(&id), &[], None)?))
            }
        }
    }
}

/// `tollgate groups …`
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Add an access group or replace what is known of it.
    Put {
        /// Its name, by which it is granted.
        id: String,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// Its models, separated by commas. Default: none yet.
        #[arg(long)]
        models: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Put more models into a group, and take some out.
    Patch {
        /// Its name.
        id: String,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// Models that join, separated by commas.
        #[arg(long)]
        add: Option<String>,
        /// Models that leave, separated by commas.
        #[arg(long)]
        remove: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List groups.
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one with its models.
    Show {
        /// Its name.
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Delete one; who was granted it is granted nothing by that any more.
    Delete {
        /// Its name.
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

const GROUP_COLUMNS: &[Column] =
    &[("id", "/id"), ("description", "/description"), ("updated", "/updated_at")];

impl GroupCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |id: &str| format!("groups/{}", segment(id));
        match self {
            Self::Put { id, description, models, change } => {
                let mut body = Map::new();
                insert(&mut body, "description", description);
                insert(&mut body, "models", models.as_deref().map(names));
                change.send(client, "PUT", &path(&id), Some(&body.into()))
            }
            Self::Patch { id, description, add, remove, change } => {
                let mut body = Map::new();
                insert(&mut body, "description", description);
                insert(&mut body, "add", add.as_deref().map(names));
                insert(&mut body, "remove", remove.as_deref().map(names));
                change.send(client, "PATCH", &path(&id), Some(&body.into()))
            }
            Self::List { page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                Ok(output.list(&client.send("GET", "groups", &query, None)?, GROUP_COLUMNS))
            }
            Self::Show { id, output } => {
                Ok(output.object(&client.send("GET", &path(&id), &[], None)?))
            }
            Self::Delete { id, change } => change.send(client, "DELETE", &path(&id), None),
        }
    }
}

/// `tollgate aliases …`
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Point an alias at a model, away from the one that it points at now.
    Put {
        /// The alias.
        id: String,
        /// The model's concrete name.
        model: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List aliases.
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one.
    Show {
        /// The alias.
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Remove one.
    Delete {
        /// The alias.
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

const ALIAS_COLUMNS: &[Column] = &[("id", "/id"), ("model", "/model")];

impl AliasCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |id: &str| format!("aliases/{}", segment(id));
        match self {
            Self::Put { id, model, change } => {
                let body = json!({"model": model});
                change.send(client, "PUT", &path(&id), Some(&body))
            }
            Self::List { page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                Ok(output.list(&client.send("GET", "aliases", &query, None)?, ALIAS_COLUMNS))
            }
            Self::Show { id, output } => {
                Ok(output.object(&client.send("GET", &path(&id), &[], None)?))
            }
            Self::Delete { id, change } => change.send(client, "DELETE", &path(&id), None),
        }
    }
}
