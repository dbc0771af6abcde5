//! The commands of `tollgate orgs`, `models`, `keys`, `plans`, `requests` and so on: each is one request.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::client::{Client, ClientError, segment};
use super::table::{Column, lines, table};
use bounds::BoundArgs;
pub use budget_args::BudgetArgs;
pub use export::ExportArgs;
use limit_args::LimitArgs;
use prices::PriceArgs;
use selections::SelectionArgs;
use tenancy::ChangeArgs;

/// How to print.
#[derive(Debug, Args)]
pub struct Output {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Output {
    fn list(&self, answer: &Value, columns: &[Column]) -> String {
        if self.json { pretty(answer) } else { table(answer, columns) }
    }

    fn object(&self, answer: &Value) -> String {
        if self.json { pretty(answer) } else { lines(answer) }
    }
}

/// Which page of a list.
#[derive(Debug, Args)]
pub struct PageArgs {
    /// Items on the page.
    #[arg(long)]
    limit: Option<u32>,
    /// Where the page begins, as the previous one said.
    #[arg(long)]
    cursor: Option<String>,
}

impl PageArgs {
    fn query(&self, query: &mut Vec<(&'static str, String)>) {
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        query.extend(self.cursor.clone().map(|cursor| ("cursor", cursor)));
    }
}

/// `tollgate orgs …`
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Add an organisation or replace what is known of it.
    Put {
        /// Its id.
        id: String,
        #[command(flatten)]
        fields: Box<OrgFields>,
        #[command(flatten)]
        output: Output,
    },
    /// Change what is given and leave the rest.
    Patch {
        /// Its id.
        id: String,
        #[command(flatten)]
        fields: Box<OrgFields>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List organisations.
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
    /// Delete one that has no keys.
    Delete {
        /// Its id.
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Stop all of its keys and sign-ins at once.
    Suspend {
        /// Its id.
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let them go on.
    Resume {
        /// Its id.
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// What can be said about an organisation.
#[derive(Debug, Args)]
pub struct OrgFields {
    /// Its name.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    models: SelectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    /// What every price is multiplied by where no plan says so, such as 1.25. Default: 1.
    #[arg(long, value_name = "FACTOR")]
    price_multiplier: Option<String>,
    /// Its plan. Default: none.
    #[arg(long)]
    plan: Option<String>,
}

impl OrgFields {
    fn body(&self) -> Result<Value, ClientError> {
        let mut body = Map::new();
        insert(&mut body, "name", self.name.clone());
        self.models.add(&mut body);
        self.limits.add(&mut body)?;
        self.budget.add(&mut body)?;
        insert(&mut body, "price_multiplier", self.price_multiplier.clone());
        insert(&mut body, "plan", self.plan.clone());
        Ok(body.into())
    }
}

const ORG_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("models", "/models"),
    ("cap", "/spend/cap_usd"),
    ("period", "/spend/period"),
    ("spent", "/spend/settled_usd"),
    ("left", "/spend/left_usd"),
];

impl OrgCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |id: &str| format!("orgs/{}", segment(id));
        match self {
            Self::Put { id, fields, output } => {
                let answer = client.send("PUT", &path(&id), &[], Some(&fields.body()?))?;
                Ok(output.object(&answer))
            }
            Self::Patch { id, fields, change } => {
                change.send(client, "PATCH", &path(&id), Some(&fields.body()?))
            }
            Self::List { page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                let answer = client.send("GET", "orgs", &query, None)?;
                Ok(output.list(&answer, ORG_COLUMNS))
            }
            Self::Show { id, output } => {
                let answer = client.send("GET", &path(&id), &[], None)?;
                Ok(output.object(&answer))
            }
            Self::Delete { id, output } => {
                let answer = client.send("DELETE", &path(&id), &[], None)?;
                Ok(output.object(&answer))
            }
            Self::Suspend { id, change } => {
                change.send(client, "POST", &format!("{}/suspend", path(&id)), None)
            }
            Self::Resume { id, change } => {
                change.send(client, "POST", &format!("{}/resume", path(&id)), None)
            }
        }
    }
}

/// `tollgate models …`
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Add a model or replace what is known of it, prices included.
    Put {
        /// Its concrete name, the one sent upstream.
        id: String,
        #[command(flatten)]
        prices: Box<PriceArgs>,
        /// Most tokens of input and output together.
        #[arg(long)]
        context_length: u64,
        /// Most output tokens of one answer.
        #[arg(long)]
        max_output_tokens: u64,
        /// Tokens of hidden prompts and chat framing.
        #[arg(long)]
        input_overhead_tokens: Option<u64>,
        #[command(flatten)]
        bounds: BoundArgs,
        /// It writes its reasoning before any visible output.
        #[arg(long)]
        reasoning: bool,
        /// Other names, separated by commas.
        #[arg(long)]
        aliases: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// List models.
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one.
    Show {
        /// Its concrete name.
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Withdraw one.
    Retire {
        /// Its concrete name.
        id: String,
        #[command(flatten)]
        output: Output,
    },
}

const MODEL_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("input", "/input_usd_per_mtok"),
    ("output", "/output_usd_per_mtok"),
    ("cached", "/cached_input_usd_per_mtok"),
    ("context", "/context_length"),
    ("max output", "/max_output_tokens"),
    ("aliases", "/aliases"),
    ("retired", "/retired"),
];

impl ModelCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let path = |id: &str| format!("models/{}", segment(id));
        match self {
            Self::Put {
                id,
                prices,
                context_length,
                max_output_tokens,
                input_overhead_tokens,
                bounds,
                reasoning,
                aliases,
                output,
            } => {
                let mut body = Map::new();
                prices.add(&mut body)?;
                insert(&mut body, "context_length", Some(context_length));
                insert(&mut body, "max_output_tokens", Some(max_output_tokens));
                insert(&mut body, "input_overhead_tokens", input_overhead_tokens);
                bounds.add(&mut body);
                insert(&mut body, "reasoning", reasoning.then_some(true));
                insert(&mut body, "aliases", aliases.as_deref().map(names));
                let answer = client.send("PUT", &path(&id), &[], Some(&body.into()))?;
                Ok(output.object(&answer))
            }
            Self::List { page, output } => {
                let mut query = Vec::new();
                page.query(&mut query);
                let answer = client.send("GET", "models", &query, None)?;
                Ok(output.list(&answer, MODEL_COLUMNS))
            }
            Self::Show { id, output } => {
                let answer = client.send("GET", &path(&id), &[], None)?;
                Ok(output.object(&answer))
            }
            Self::Retire { id, output } => {
                let path = format!("{}/retire", path(&id));
                let answer = client.send("POST", &path, &[], None)?;
                Ok(output.object(&answer))
            }
        }
    }
}

pub(super) fn insert<T: Into<Value>>(body: &mut Map<String, Value>, name: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

/// A list separated by commas; an empty text is an empty list.
pub(super) fn names(text: &str) -> Value {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().into()
}

fn pretty(answer: &Value) -> String {
    serde_json::to_string_pretty(answer).unwrap_or_else(|_| answer.to_string())
}

mod audit;
mod bounds;
mod budget_args;
mod budgets;
mod entitlement;
mod export;
mod key_test;
mod keys;
mod limit_args;
mod me;
mod people;
mod prices;
mod requests;
mod selections;
mod teams;
mod tenancy;
mod wallets;
mod webhooks;
pub use audit::{AuditCommand, SettingsCommand, StatusArgs};
pub use budgets::BudgetCommand;
pub use entitlement::{AliasCommand, GroupCommand, PlanCommand};
pub use keys::KeyCommand;
pub use me::MeCommand;
pub use people::{ServiceAccountCommand, TokenCommand, UserCommand};
pub use requests::{RequestCommand, UsageArgs};
pub use teams::TeamCommand;
pub use wallets::WalletCommand;
pub use webhooks::WebhookCommand;
