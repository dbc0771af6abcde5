//! `tollgate keys …`

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::super::client::{Client, ClientError, segment};
use super::super::table::Column;
use super::key_test::TestArgs;
use super::selections::SelectionArgs;
use super::{BudgetArgs, Output, PageArgs, insert, names};

/// What can be said about a key, new or changed.
#[derive(Debug, Args)]
pub struct KeyFields {
    /// Its name; "" removes it.
    #[arg(long)]
    name: Option<String>,
    /// What it is for; "" removes it.
    #[arg(long)]
    description: Option<String>,
    /// Whatever else is to be remembered; "" removes it.
    #[arg(long)]
    notes: Option<String>,
    /// Words to find it by, separated by commas; "" for none.
    #[arg(long)]
    tags: Option<String>,
    /// Its team; "none" removes it.
    #[arg(long)]
    team: Option<String>,
    /// The user who owns it; "none" removes it.
    #[arg(long)]
    user: Option<String>,
    /// When it expires, as 2027-06-01T00:00:00Z; "none" removes the date.
    #[arg(long, value_name = "INSTANT")]
    expires_at: Option<String>,
    /// How long it lives from now on: 30d, 90d, 6mo, 1y, 2y, … up to 10y.
    #[arg(long, value_name = "TIME", conflicts_with = "expires_at")]
    expires_in: Option<String>,
    /// A rate limit such as requests/1m=60, tokens/1d=100000, concurrent=4, of one model
    /// requests/1m@gpt-4o=10, or over all proxies together requests/1m/cluster=600; repeatable. On a
    /// change, the given limits replace all; "none" removes them.
    #[arg(long = "limit-rate", value_name = "UNIT/WINDOW[/SCOPE][@MODEL]=MAX")]
    limits: Vec<String>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// The most that one call may cost, in USD; "none" removes the ceiling.
    #[arg(long, value_name = "USD")]
    max_call: Option<String>,
    /// Addresses and networks from which it may be used, such as 192.0.2.0/24,2001:db8::7,
    /// separated by commas; "" for everywhere.
    #[arg(long)]
    allowed_ips: Option<String>,
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
    /// Shadow mode: calls are checked and recorded, and none is refused (true), or they are (false).
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    shadow: Option<bool>,
}

impl KeyFields {
    /// The fields as JSON.
    pub(super) fn body(&self) -> Result<Map<String, Value>, ClientError> {
        let mut body = Map::new();
        insert(&mut body, "name", self.name.clone());
        insert(&mut body, "description", self.description.clone());
        insert(&mut body, "notes", self.notes.clone());
        insert(&mut body, "tags", self.tags.as_deref().map(names));
        insert(&mut body, "team", self.team.clone().map(or_null));
        insert(&mut body, "user", self.user.clone().map(or_null));
        insert(&mut body, "expires_at", self.expires_at.clone().map(or_null));
        insert(&mut body, "expires_in", self.expires_in.clone());
        insert(&mut body, "max_call_usd", self.max_call.clone().map(or_null));
        insert(&mut body, "allowed_ips", self.allowed_ips.as_deref().map(names));
        insert(&mut body, "limits", limits(&self.limits)?);
        self.budget.add(&mut body)?;
        self.models.add(&mut body);
        insert(&mut body, "plan", self.plan.clone().map(or_null));
        insert(&mut body, "default_max_output_tokens", self.default_max_output_tokens);
        insert(&mut body, "cut_calls", self.cut_calls.clone());
        insert(&mut body, "shadow", self.shadow);
        Ok(body)
    }
}

/// A key to be made.
#[derive(Debug, Args)]
pub struct NewKey {
    /// The organisation that owns it.
    #[arg(long)]
    org: String,
    /// Form of its secret: tollgate, privatemind or openai.
    #[arg(long)]
    format: Option<String>,
    /// Who uses it: application or user.
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    fields: KeyFields,
}

impl NewKey {
    fn body(self) -> Result<Map<String, Value>, ClientError> {
        let mut body = self.fields.body()?;
        insert(&mut body, "org", Some(self.org));
        insert(&mut body, "format", self.format);
        insert(&mut body, "kind", self.kind);
        Ok(body)
    }
}

/// `tollgate keys …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; its secret is shown this once.
    Create {
        #[command(flatten)]
        new: Box<NewKey>,
        /// Repeating the command with the same word within a day makes no second key.
        #[arg(long, value_name = "WORD")]
        idempotency_key: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Add a key whose secret was made elsewhere, by its digest.
    Import {
        /// SHA-256 of the whole key as clients send it, in hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        sha256: String,
        /// How it begins, to recognise it by.
        #[arg(long)]
        prefix: Option<String>,
        #[command(flatten)]
        new: Box<NewKey>,
        #[command(flatten)]
        output: Output,
    },
    /// List keys, newest first.
    List {
        /// Text within id, name, description, prefix, organisation, team, user or a tag.
        #[arg(long)]
        search: Option<String>,
        /// active, expired, disabled, revoked or deleted; default: all but deleted.
        #[arg(long)]
        status: Option<String>,
        /// Only keys of this organisation.
        #[arg(long)]
        org: Option<String>,
        /// Only keys of this team.
        #[arg(long)]
        team: Option<String>,
        /// Only keys of this user.
        #[arg(long)]
        user: Option<String>,
        /// Only keys with this tag.
        #[arg(long)]
        tag: Option<String>,
        /// newest, oldest, name, expires, last_used or spend; the last four within an organisation.
        #[arg(long)]
        order: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Count keys by status.
    Counts {
        /// Only keys of this organisation.
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Show one key and what it has spent.
    Show(KeyTarget),
    /// Say what one may do and why not. Exits with 3 where it may not call.
    Test(TestArgs),
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
    /// Give it a new secret; the old one ends at once, or when its grace is over.
    Rotate {
        /// Seconds in which the old secret stays good as well.
        #[arg(long, value_name = "SECONDS")]
        grace: Option<u64>,
        #[command(flatten)]
        target: WaitTarget,
    },
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
    /// Change it only if this is its version still, as shown.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

pub(super) const KEY_COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("org", "/org"),
    ("team", "/team"),
    ("user", "/user"),
    ("status", "/status"),
    ("prefix", "/prefix"),
    ("expires", "/expires_at"),
    ("last used", "/usage/last_used_at"),
    ("cap", "/spend/cap_usd"),
    ("spent", "/spend/settled_usd"),
    ("left", "/spend/left_usd"),
];

pub(super) const KEY_MODEL_COLUMNS: &[Column] = &[
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
            Self::Create { new, idempotency_key, output } => {
                let headers = idempotency_key.map(|word| ("idempotency-key", word));
                let headers = Vec::from_iter(headers);
                let body = new.body()?.into();
                let answer = client.send_with("POST", "keys", &[], &headers, Some(&body))?;
                Ok(output.object(&answer))
            }
            Self::Import { sha256, prefix, new, output } => {
                let mut body = new.body()?;
                insert(&mut body, "sha256", Some(sha256));
                insert(&mut body, "prefix", prefix);
                let answer = client.send("POST", "keys/import", &[], Some(&body.into()))?;
                Ok(output.object(&answer))
            }
            Self::List { search, status, org, team, user, tag, order, page, output } => {
                let mut query = Vec::new();
                for (name, value) in [
                    ("search", search),
                    ("status", status),
                    ("org", org),
                    ("team", team),
                    ("user", user),
                    ("tag", tag),
                    ("order", order),
                ] {
                    query.extend(value.map(|value| (name, value)));
                }
                page.query(&mut query);
                let answer = client.send("GET", "keys", &query, None)?;
                Ok(output.list(&answer, KEY_COLUMNS))
            }
            Self::Counts { org, output } => {
                let query = Vec::from_iter(org.map(|org| ("org", org)));
                let answer = client.send("GET", "keys/counts", &query, None)?;
                Ok(output.object(&answer))
            }
            Self::Show(key) => {
                let answer = client.send("GET", &path(&key.id, ""), &[], None)?;
                Ok(key.output.object(&answer))
            }
            Self::Test(test) => test.run(client),
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
            Self::Rotate { grace, target } => {
                let body = grace.map(|grace| json!({"grace_s": grace}));
                target.change(client, "POST", "/rotate", body.as_ref())
            }
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
        let seen = self.if_version.map(|version| ("if-match", format!("\"{version}\"")));
        let seen = Vec::from_iter(seen);
        let path = path(&self.key.id, action);
        let answer = client.send_with(method, &path, &query, &seen, body)?;
        Ok(self.key.output.object(&answer))
    }
}

fn path(id: &str, action: &str) -> String {
    format!("keys/{}{action}", segment(id))
}

fn or_null(text: String) -> Value {
    if text == "none" { Value::Null } else { Value::String(text) }
}

/// Limits as JSON; none where none were given.
pub(super) fn limits(texts: &[String]) -> Result<Option<Vec<Value>>, ClientError> {
    match texts {
        [] => Ok(None),
        [none] if none == "none" => Ok(Some(Vec::new())),
        texts => texts.iter().map(|text| limit(text)).collect::<Result<_, _>>().map(Some),
    }
}

/// `requests/1m=60` as JSON; the server checks the words.
pub(super) fn limit(text: &str) -> Result<Value, ClientError> {
    let wrong = || {
        let message = format!(
            "--limit-rate {text}: expected UNIT/WINDOW[/SCOPE][@MODEL]=MAX or concurrent=MAX"
        );
        ClientError::Input(message)
    };
    let (what, max) = text.rsplit_once('=').ok_or_else(wrong)?;
    let max: u64 = max.parse().map_err(|_| wrong())?;
    // A model's name may have slashes of its own.
    let (what, model) = match what.split_once('@') {
        Some((what, model)) => (what, Some(model)),
        None => (what, None),
    };
    let mut words = what.split('/');
    let (unit, window, scope) = (words.next(), words.next(), words.next());
    if words.next().is_some() {
        return Err(wrong());
    }
    let mut limit = Map::new();
    insert(&mut limit, "unit", unit);
    insert(&mut limit, "window", window);
    insert(&mut limit, "scope", scope);
    insert(&mut limit, "model", model);
    insert(&mut limit, "max", Some(max));
    Ok(limit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_unit_window_scope_and_number() {
        let json = limit("requests/1m=60").unwrap();
        assert_eq!(json, json!({"unit": "requests", "window": "1m", "max": 60}));
        let json = limit("requests/1m/cluster=600").unwrap();
        let scope = "cluster";
        assert_eq!(json, json!({"unit": "requests", "window": "1m", "max": 600, "scope": scope}));
        let json = limit("concurrent=4").unwrap();
        assert_eq!(json, json!({"unit": "concurrent", "max": 4}));
        let json = limit("tokens/1h@openai/gpt-4o=5").unwrap();
        let model = "openai/gpt-4o";
        assert_eq!(json, json!({"unit": "tokens", "window": "1h", "max": 5, "model": model}));
        for wrong in ["requests", "requests/1m", "requests/1m=many", "a/b/c/d=1", "=", ""] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
