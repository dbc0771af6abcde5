//! `tollgate keys …`

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::selections::SelectionArgs;
use super::{BudgetArgs, Output, PageArgs, insert};

/// What can be said about a key, new or changed.
#[derive(Debug, Args)]
pub struct KeyFields {
    /// Its name; "" removes it.
    #[arg(long)]
    name: Option<String>,
    /// Its team; "none" removes it.
    #[arg(long)]
    team: Option<String>,
    /// The user who owns it; "none" removes it.
    #[arg(long)]
    user: Option<String>,
    /// When it expires, as 2027-06-01T00:00:00Z; "none" removes the date.
    #[arg(long, value_name = "INSTANT")]
    expires_at: Option<String>,
    /// A rate limit such as requests/1m=60, tokens/1d=100000, concurrent=4, or over all proxies
    /// together requests/1m/cluster=600; repeatable. On a change, the given limits replace all;
    /// "none" removes them.
    #[arg(long = "limit-rate", value_name = "UNIT/WINDOW[/SCOPE]=MAX")]
    limits: Vec<String>,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    models: SelectionArgs,
    /// Its own plan, in place of its organisation's; "none" removes it.
    #[arg(long)]
    plan: Option<String>,
    /// Output tokens to allow where a request names no limit.
    #[arg(long)]
    default_max_output_tokens: Option<u64>,
    /// What a call without usage is charged: estimate or reservation.
    #[arg(long)]
    cut_calls: Option<String>,
}

impl KeyFields {
    fn body(&self) -> Result<Map<String, Value>, ClientError> {
        let mut body = Map::new();
        insert(&mut body, "name", self.name.clone());
        insert(&mut body, "team", self.team.clone().map(or_null));
        insert(&mut body, "user", self.user.clone().map(or_null));
        insert(&mut body, "expires_at", self.expires_at.clone().map(or_null));
        if !self.limits.is_empty() {
            let limits = if self.limits == ["none"] {
                Vec::new()
            } else {
                let limits = self.limits.iter().map(|text| limit(text));
                limits.collect::<Result<_, _>>()?
            };
            insert(&mut body, "limits", Some(limits));
        }
        self.budget.add(&mut body);
        self.models.add(&mut body);
        insert(&mut body, "plan", self.plan.clone().map(or_null));
        insert(&mut body, "default_max_output_tokens", self.default_max_output_tokens);
        insert(&mut body, "cut_calls", self.cut_calls.clone());
        Ok(body)
    }
}

/// `tollgate keys …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; its secret is shown this once.
    Create {
        /// The organisation that owns it.
        #[arg(long)]
        org: String,
        /// Form of the secret: tollgate or pair.
        #[arg(long)]
        format: Option<String>,
        #[command(flatten)]
        fields: Box<KeyFields>,
        #[command(flatten)]
        output: Output,
    },
    /// List keys, newest first.
    List {
        /// Text within id, name, prefix, organisation, team or user.
        #[arg(long)]
        search: Option<String>,
        /// active, expired, disabled, revoked or deleted; default: all but deleted.
        #[arg(long)]
        status: Option<String>,
        /// Only keys of this organisation.
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show one key and what it has spent.
    Show(KeyTarget),
    /// List what one may call, and why not the rest of the catalogue.
    Models {
        #[command(flatten)]
        key: KeyTarget,
        /// Only models that it may call (true), or only those that it may not (false).
        #[arg(long)]
        allowed: Option<bool>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Change what is given and leave the rest.
    Patch {
        #[command(flatten)]
        fields: Box<KeyFields>,
        #[command(flatten)]
        target: WaitTarget,
    },
    /// Give it a new secret; the old one ends at once.
    Rotate(WaitTarget),
    /// Switch it off.
    Disable(WaitTarget),
    /// Switch it on again.
    Enable(WaitTarget),
    /// End it for good.
    Revoke(WaitTarget),
    /// Delete it; its history stays.
    Delete(WaitTarget),
    /// Stop counting money that lost proxies held for it.
    ReleaseParked(KeyTarget),
}

/// One key.
#[derive(Debug, Args)]
pub struct KeyTarget {
    /// Its id.
    id: String,
    #[command(flatten)]
    output: Output,
}

/// One key, and how long to wait until every proxy knows.
#[derive(Debug, Args)]
pub struct WaitTarget {
    #[command(flatten)]
    key: KeyTarget,
    /// Milliseconds to wait until every proxy has applied the change.
    #[arg(long, value_name = "MS")]
    wait: Option<u64>,
}

const KEY_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("org", "/org"),
    ("team", "/team"),
    ("user", "/user"),
    ("status", "/status"),
    ("prefix", "/prefix"),
    ("expires", "/expires_at"),
    ("cap", "/spend/cap_usd"),
    ("spent", "/spend/settled_usd"),
    ("left", "/spend/left_usd"),
];

const KEY_MODEL_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("allowed", "/allowed"),
    ("reasons", "/reasons"),
    ("groups", "/groups"),
    ("aliases", "/aliases"),
];

impl KeyCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        match self {
            Self::Create { org, format, fields, output } => {
                let mut body = fields.body()?;
                insert(&mut body, "org", Some(org));
                insert(&mut body, "format", format);
                let answer = client.send("POST", "keys", &[], Some(&body.into()))?;
                Ok(output.object(&answer))
            }
            Self::List { search, status, org, page, output } => {
                let mut query = Vec::new();
                query.extend(search.map(|search| ("search", search)));
                query.extend(status.map(|status| ("status", status)));
                query.extend(org.map(|org| ("org", org)));
                page.query(&mut query);
                let answer = client.send("GET", "keys", &query, None)?;
                Ok(output.list(&answer, KEY_COLUMNS))
            }
            Self::Show(key) => {
                let answer = client.send("GET", &path(&key.id, ""), &[], None)?;
                Ok(key.output.object(&answer))
            }
            Self::Models { key, allowed, page } => {
                let mut query = Vec::new();
                query.extend(allowed.map(|allowed| ("allowed", allowed.to_string())));
                page.query(&mut query);
                let answer = client.send("GET", &path(&key.id, "/models"), &query, None)?;
                Ok(key.output.list(&answer, KEY_MODEL_COLUMNS))
            }
            Self::Patch { fields, target } => {
                let body = fields.body()?;
                target.change(client, "PATCH", "", Some(&body.into()))
            }
            Self::Rotate(target) => target.change(client, "POST", "/rotate", None),
            Self::Disable(target) => target.change(client, "POST", "/disable", None),
            Self::Enable(target) => target.change(client, "POST", "/enable", None),
            Self::Revoke(target) => target.change(client, "POST", "/revoke", None),
            Self::Delete(target) => target.change(client, "DELETE", "", None),
            Self::ReleaseParked(key) => {
                let path = path(&key.id, "/release-parked");
                let answer = client.send("POST", &path, &[], None)?;
                Ok(key.output.object(&answer))
            }
        }
    }
}

impl WaitTarget {
    fn change(
        &self,
        client: &Client,
        method: &str,
        action: &str,
        body: Option<&Value>,
    ) -> Result<String, ClientError> {
        let wait = self.wait.map(|wait| ("wait", wait.to_string()));
        let query: Vec<_> = wait.into_iter().collect();
        let answer = client.send(method, &path(&self.key.id, action), &query, body)?;
        Ok(self.key.output.object(&answer))
    }
}

fn path(id: &str, action: &str) -> String {
    format!("keys/{}{action}", segment(id))
}

fn or_null(text: String) -> Value {
    if text == "none" { Value::Null } else { Value::String(text) }
}

/// `requests/1m=60` as JSON; the server checks the words.
fn limit(text: &str) -> Result<Value, ClientError> {
    let wrong = || {
        let message =
            format!("--limit-rate {text}: expected UNIT/WINDOW[/SCOPE]=MAX or concurrent=MAX");
        ClientError::Input(message)
    };
    let (what, max) = text.split_once('=').ok_or_else(wrong)?;
    let max: u64 = max.parse().map_err(|_| wrong())?;
    let mut words = what.split('/');
    let (unit, window, scope) = (words.next(), words.next(), words.next());
    if words.next().is_some() {
        return Err(wrong());
    }
    let mut limit = Map::new();
    insert(&mut limit, "unit", unit);
    insert(&mut limit, "window", window);
    insert(&mut limit, "scope", scope);
    insert(&mut limit, "max", Some(max));
    Ok(limit.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_written_as_unit_window_scope_and_number() {
        let json = limit("requests/1m=60").unwrap();
        assert_eq!(json, json!({"unit": "requests", "window": "1m", "max": 60}));
        let json = limit("requests/1m/cluster=600").unwrap();
        let scope = "cluster";
        assert_eq!(json, json!({"unit": "requests", "window": "1m", "max": 600, "scope": scope}));
        let json = limit("concurrent=4").unwrap();
        assert_eq!(json, json!({"unit": "concurrent", "max": 4}));
        for wrong in ["requests", "requests/1m", "requests/1m=many", "a/b/c/d=1", "=", ""] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
