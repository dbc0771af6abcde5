//! `tollgate webhooks …`

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::{Output, PageArgs, insert, names};

/// `tollgate webhooks …`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Add one; its secret is shown this once.
    Create {
        /// The organisation.
        org: String,
        /// Where events are posted to.
        url: String,
        #[command(flatten)]
        fields: WebhookFields,
        #[command(flatten)]
        output: Output,
    },
    /// List those of an organisation.
    List {
        /// The organisation.
        org: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show one.
    Show {
        #[command(flatten)]
        webhook: WebhookArgs,
    },
    /// Change what is given and leave the rest.
    Patch {
        #[command(flatten)]
        webhook: WebhookArgs,
        /// Where events are posted to.
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        fields: WebhookFields,
        /// Post events again.
        #[arg(long, conflicts_with = "disabled")]
        enabled: bool,
    },
    /// Remove one, and all that it was told.
    Delete {
        #[command(flatten)]
        webhook: WebhookArgs,
    },
    /// Give it another secret, which is shown this once; the old one ends.
    Rotate {
        #[command(flatten)]
        webhook: WebhookArgs,
    },
    /// Post an event that says nothing.
    Test {
        #[command(flatten)]
        webhook: WebhookArgs,
    },
    /// List what it was told and is to be told, newest first.
    Deliveries {
        #[command(flatten)]
        webhook: WebhookArgs,
        /// Only those that are pending, delivered or failed.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Send something again that was delivered or given up.
    Resend {
        #[command(flatten)]
        webhook: WebhookArgs,
        /// The delivery.
        delivery: String,
    },
}

/// One webhook.
#[derive(Debug, Args)]
pub struct WebhookArgs {
    /// Its organisation.
    org: String,
    /// Its id.
    id: String,
    #[command(flatten)]
    output: Output,
}

impl WebhookArgs {
    fn path(&self, rest: &str) -> String {
        format!("{}/{}{rest}", path(&self.org), segment(&self.id))
    }

    fn send(&self, client: &Client, method: &str, rest: &str) -> Result<String, ClientError> {
        Ok(self.output.object(&client.send(method, &self.path(rest), &[], None)?))
    }
}

/// What else can be said about a webhook.
#[derive(Debug, Args)]
pub struct WebhookFields {
    /// Which events, separated by commas; default: all of them.
    #[arg(long)]
    events: Option<String>,
    /// Post nothing.
    #[arg(long)]
    disabled: bool,
}

impl WebhookFields {
    fn body(&self, url: Option<String>, enabled: bool) -> Value {
        let mut body = Map::new();
        insert(&mut body, "url", url);
        insert(&mut body, "events", self.events.as_deref().map(names));
        insert(&mut body, "enabled", (enabled || self.disabled).then_some(enabled));
        body.into()
    }
}

const COLUMNS: &[Column] =
    &[("id", "/id"), ("url", "/url"), ("events", "/events"), ("enabled", "/enabled")];

const DELIVERY_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("event", "/event"),
    ("status", "/status"),
    ("attempts", "/attempts"),
    ("created", "/created_at"),
    ("next", "/next_attempt_at"),
    ("answer", "/last_status"),
    ("error", "/last_error"),
];

impl WebhookCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        match self {
            Self::Create { org, url, fields, output } => {
                let body = fields.body(Some(url), false);
                Ok(output.object(&client.send("POST", &path(&org), &[], Some(&body))?))
            }
            Self::List { org, output } => {
                Ok(output.list(&client.send("GET", &path(&org), &[], None)?, COLUMNS))
            }
            Self::Show { webhook } => webhook.send(client, "GET", ""),
            Self::Patch { webhook, url, fields, enabled } => {
                let body = fields.body(url, enabled);
                let answer = client.send("PATCH", &webhook.path(""), &[], Some(&body))?;
                Ok(webhook.output.object(&answer))
            }
            Self::Delete { webhook } => webhook.send(client, "DELETE", ""),
            Self::Rotate { webhook } => webhook.send(client, "POST", "/rotate"),
            Self::Test { webhook } => webhook.send(client, "POST", "/test"),
            Self::Deliveries { webhook, status, page } => {
                let mut query = Vec::new();
                query.extend(status.map(|status| ("status", status)));
                page.query(&mut query);
                let answer = client.send("GET", &webhook.path("/deliveries"), &query, None)?;
                Ok(webhook.output.list(&answer, DELIVERY_COLUMNS))
            }
            Self::Resend { webhook, delivery } => {
                let rest = format!("/deliveries/{}/resend", segment(&delivery));
                webhook.send(client, "POST", &rest)
            }
        }
    }
}

fn path(org: &str) -> String {
    format!("orgs/{}/webhooks", segment(org))
}
