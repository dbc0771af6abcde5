//! `tollgate keys test`: what a key may do, and why not.

use std::io::Read as _;

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::client::{Client, ClientError};
use super::super::table::{Column, named, table};
use super::keys::KEY_MODEL_COLUMNS;
use super::{Output, insert, pretty};

/// Far above the longest key, so that something else is noticed as such.
const LONGEST_INPUT: u64 = 4_096;

/// How every id of a key begins; no secret does.
const ID_PREFIX: &str = "key_";

/// The key to test, and for what.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The whole secret, or "-" to read it from standard input, so that it stands in no history of
    /// commands; or the key's id.
    key: String,
    /// Test it for this model, by its name or an alias; default: for any.
    #[arg(long)]
    model: Option<String>,
    /// Test it for a call from this address; default: from one that is allowed.
    #[arg(long)]
    address: Option<String>,
    #[command(flatten)]
    output: Output,
}

const BUDGET_COLUMNS: &[Column] = &[
    ("budget", "/level"),
    ("of", "/id"),
    ("cap", "/cap_usd"),
    ("spent", "/settled_usd"),
    ("left", "/left_usd"),
    ("period", "/period"),
    ("starts afresh", "/period_end"),
];

const LIMIT_COLUMNS: &[Column] = &[
    ("limit", "/level"),
    ("of", "/id"),
    ("unit", "/unit"),
    ("window", "/window"),
    ("max", "/max"),
    ("scope", "/scope"),
];

impl TestArgs {
    /// Asks and answers the report.
    ///
    /// # Errors
    /// With the report where the key may not call; and when it cannot be asked for.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let key = if self.key == "-" { from_standard_input()? } else { self.key };
        let field = if key.starts_with(ID_PREFIX) { "id" } else { "key" };
        let mut body = Map::new();
        insert(&mut body, field, Some(key));
        insert(&mut body, "model", self.model);
        insert(&mut body, "address", self.address);
        let answer = client.send("POST", "keys/test", &[], Some(&body.into()))?;
        let report = if self.output.json { pretty(&answer) } else { report(&answer) };
        match answer.pointer("/refusal/code").and_then(Value::as_str) {
            None => Ok(report),
            Some(code) => Err(ClientError::MayNotCall { report, code: code.to_owned() }),
        }
    }
}

fn from_standard_input() -> Result<String, ClientError> {
    let mut text = String::new();
    let read = std::io::stdin().take(LONGEST_INPUT).read_to_string(&mut text);
    read.map_err(|error| ClientError::Input(format!("cannot read standard input: {error}")))?;
    match text.trim() {
        "" => Err(ClientError::Input("there is no key on standard input".to_owned())),
        key => Ok(key.to_owned()),
    }
}

/// For people: a line per thing that decides, then what there is several of.
fn report(answer: &Value) -> String {
    let text = |path: &str| answer.pointer(path).and_then(Value::as_str);
    let mut shown = Vec::new();
    let mut say = |name, value: Option<String>| shown.extend(value.map(|value| (name, value)));
    let refusal = text("/refusal/code");
    say("may call", Some(if refusal.is_none() { "yes" } else { "no" }.to_owned()));
    say("why not", refusal.map(|code| why_not(answer, code)));
    let in_shadow = answer.pointer("/key/shadow").and_then(Value::as_bool) == Some(true);
    let passes = "on: the gateway refuses none of its calls, and records why it would";
    say("shadow mode", in_shadow.then(|| passes.to_owned()));
    say("form", text("/form/format").map(|format| form(answer, format)));
    say("secret", text("/secret/standing").map(|standing| secret(answer, standing)));
    say("key", text("/key/id").map(|id| join(&[Some(id), text("/key/name")], " ")));
    say("status", text("/key/status").map(|status| state(answer, status)));
    let owner = [text("/key/org"), text("/key/team"), text("/key/user")];
    say("owner", text("/key/org").map(|_| join(&owner, " / ")));
    say("expires", text("/key/expires_at").map(str::to_owned));
    say("may call from", text("/key/id").map(|_| networks(answer)));
    say("per call", text("/key/max_call_usd").map(|usd| format!("at most {usd} USD")));
    let default = answer.pointer("/key/default_max_output_tokens").and_then(Value::as_u64);
    say("output", default.map(|tokens| format!("{tokens} tokens where a call names no limit")));
    let plan = text("/models/plan");
    let times = text("/models/price_multiplier");
    say("plan", plan.map(|plan| format!("{plan}, prices times {}", times.unwrap_or("1"))));
    say("model", text("/model/asked").map(|asked| model(answer, asked)));
    let mut parts = vec![named(&shown)];
    for (path, columns) in [("/limits", LIMIT_COLUMNS), ("/budgets", BUDGET_COLUMNS)] {
        let items = answer.pointer(path).and_then(Value::as_array);
        if let Some(items) = items.filter(|items| !items.is_empty()) {
            parts.push(table(&json!({"data": items}), columns));
        }
    }
    if let Some(models) = answer.get("models") {
        let id = text("/key/id").unwrap_or_default();
        let mut first = models.clone();
        if let Some(first) = first.as_object_mut() {
            first.remove("next_cursor");
        }
        parts.push(table(&first, KEY_MODEL_COLUMNS));
        if let Some(next) = models.get("next_cursor").and_then(Value::as_str) {
            parts.push(format!("more: tollgate keys models {id} --cursor {next}"));
        }
    }
    parts.join("\n\n")
}

fn why_not(answer: &Value, code: &str) -> String {
    let status = answer.pointer("/refusal/status").and_then(Value::as_u64).unwrap_or_default();
    let message = answer.pointer("/refusal/message").and_then(Value::as_str).unwrap_or_default();
    format!("{message} ({status} {code})")
}

fn form(answer: &Value, format: &str) -> String {
    match answer.pointer("/form/message").and_then(Value::as_str) {
        None => format!("{format}, well formed"),
        Some(message) => format!("{format}: {message}"),
    }
}

fn secret(answer: &Value, standing: &str) -> String {
    match answer.pointer("/secret/valid_until").and_then(Value::as_str) {
        None => standing.to_owned(),
        Some(until) => format!("{standing}, good until {until}"),
    }
}

fn state(answer: &Value, status: &str) -> String {
    match answer.pointer("/key/suspended").and_then(Value::as_str) {
        None => status.to_owned(),
        Some(level) => format!("{status}, but its {level} is suspended"),
    }
}

fn networks(answer: &Value) -> String {
    let allowed = answer.pointer("/key/allowed_ips").and_then(Value::as_array);
    let allowed: Vec<_> = allowed.into_iter().flatten().filter_map(Value::as_str).collect();
    let from = if allowed.is_empty() { "everywhere".to_owned() } else { allowed.join(", ") };
    let asked = answer.pointer("/address/address").and_then(Value::as_str);
    match (asked, answer.pointer("/address/allowed").and_then(Value::as_bool)) {
        (Some(address), Some(true)) => format!("{from}; so from {address}"),
        (Some(address), Some(false)) => format!("{from}; not from {address}"),
        _ => from,
    }
}

fn model(answer: &Value, asked: &str) -> String {
    let id = answer.pointer("/model/id").and_then(Value::as_str);
    let reasons = answer.pointer("/model/reasons").and_then(Value::as_array);
    let reasons: Vec<_> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
    match id {
        None => format!("{asked}: not in the catalogue"),
        Some(id) if reasons.is_empty() => format!("{asked}: {id}, allowed"),
        Some(id) => format!("{asked}: {id}, not allowed ({})", reasons.join(", ")),
    }
}

fn join(parts: &[Option<&str>], by: &str) -> String {
    let parts: Vec<_> = parts.iter().copied().flatten().filter(|part| !part.is_empty()).collect();
    parts.join(by)
}
