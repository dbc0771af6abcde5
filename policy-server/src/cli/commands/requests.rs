//! `tollgate requests` and `usage`: what was called, and what it came to.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::{Output, PageArgs};

/// `tollgate requests …`
#[derive(Debug, Subcommand)]
pub enum RequestCommand {
    /// List ended calls, newest first.
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show the call with this request id.
    Show {
        /// The id, as `x-tollgate-request-id` of the answer said.
        request: String,
        #[command(flatten)]
        output: Output,
    },
    /// Write every call that matches, newest first, however many they are.
    Export {
        #[command(flatten)]
        filter: FilterArgs,
        /// What to write.
        #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
        format: ExportFormat,
        /// The file to write; standard output where there is none. One that exists is replaced.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

/// Which calls.
#[derive(Debug, Args)]
pub struct FilterArgs {
    #[command(flatten)]
    owner: OwnerArgs,
    /// Only the call with this request id.
    #[arg(long)]
    request: Option<String>,
    /// Only calls with this status.
    #[arg(long)]
    status: Option<u16>,
    /// Only calls that shadow mode let pass: with the code of this error, or "any".
    #[arg(long, value_name = "CODE")]
    would_refuse: Option<String>,
    /// Only calls that began at this time or later: a date or an instant.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only calls that began on this date or earlier, or before this instant.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// Whose calls, and of which model.
#[derive(Debug, Args)]
pub struct OwnerArgs {
    /// Only calls of this key.
    #[arg(long)]
    key: Option<String>,
    /// Only calls of this organisation.
    #[arg(long)]
    org: Option<String>,
    /// Only calls of this team of the organisation.
    #[arg(long, requires = "org")]
    team: Option<String>,
    /// Only calls of this user of the organisation.
    #[arg(long, requires = "org")]
    user: Option<String>,
    /// Only calls of this model, by its concrete name.
    #[arg(long)]
    model: Option<String>,
}

/// What an export writes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

type Query = Vec<(&'static str, String)>;

impl OwnerArgs {
    fn query(self) -> Query {
        let given = [
            ("key", self.key),
            ("org", self.org),
            ("team", self.team),
            ("user", self.user),
            ("model", self.model),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl FilterArgs {
    fn query(self) -> Query {
        let mut query = self.owner.query();
        let status = self.status.map(|status| status.to_string());
        let more = [
            ("request", self.request),
            ("status", status),
            ("would_refuse", self.would_refuse),
            ("from", self.from),
            ("to", self.to),
        ];
        query.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
        query
    }
}

const REQUEST_COLUMNS: &[Column] = &[
    ("started", "/started_at"),
    ("request", "/request"),
    ("key", "/key"),
    ("model", "/model"),
    ("input", "/usage/input_tokens"),
    ("output", "/usage/output_tokens"),
    ("cost", "/cost_usd"),
    ("basis", "/basis"),
    ("status", "/status"),
    ("would refuse", "/would_refuse"),
];

impl RequestCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        match self {
            Self::List { filter, page, output } => {
                let mut query = filter.query();
                page.query(&mut query);
                let answer = client.send("GET", "requests", &query, None)?;
                Ok(output.list(&answer, REQUEST_COLUMNS))
            }
            Self::Show { request, output } => {
                let path = format!("requests/{}", segment(&request));
                Ok(output.object(&client.send("GET", &path, &[], None)?))
            }
            Self::Export { filter, format, output } => {
                let mut query = filter.query();
                let word = match format {
                    ExportFormat::Csv => "csv",
                    ExportFormat::Jsonl => "jsonl",
                };
                query.push(("format", word.to_owned()));
                client.download("requests/export", &query, output.as_deref())?;
                Ok(String::new())
            }
        }
    }
}

/// `tollgate usage`: sums, by what they are told apart.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// By what to tell sums apart.
    #[arg(long, value_enum, default_value_t = GroupBy::Day)]
    by: GroupBy,
    /// The first day; default: 30 days up to the last.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// The last day; default: today. Days are those of UTC.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    output: Output,
}

/// By what sums are told apart.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum GroupBy {
    /// Days.
    Day,
    /// Keys.
    Key,
    /// Users.
    User,
    /// Teams.
    Team,
    /// Organisations.
    Org,
    /// Models.
    Model,
}

impl UsageArgs {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let (group, first): (&str, &[Column]) = match self.by {
            GroupBy::Day => ("day", &[("day", "/day")]),
            GroupBy::Key => ("key", &[("key", "/key")]),
            GroupBy::User => ("user", &[("org", "/org"), ("user", "/user")]),
            GroupBy::Team => ("team", &[("org", "/org"), ("team", "/team")]),
            GroupBy::Org => ("org", &[("org", "/org")]),
            GroupBy::Model => ("model", &[("model", "/model")]),
        };
        const SUMS: &[Column] = &[
            ("requests", "/requests"),
            ("input", "/input_tokens"),
            ("cached", "/cached_input_tokens"),
            ("output", "/output_tokens"),
            ("cost", "/cost_usd"),
            ("would refuse", "/would_refuse"),
        ];
        let mut query = self.owner.query();
        query.push(("group_by", group.to_owned()));
        query.extend(self.from.map(|from| ("from", from)));
        query.extend(self.to.map(|to| ("to", to)));
        self.page.query(&mut query);
        let answer = client.send("GET", "usage", &query, None)?;
        Ok(self.output.list(&answer, &[first, SUMS].concat()))
    }
}
