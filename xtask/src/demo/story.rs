//! The story: what a client of the gateway meets, from its first call to the revocation of its key.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::money::{nano_usd, usd};
use super::step::Script;
use crate::http_client::{Answer, Client};
use crate::stack::Stack;

const CHAT: &str = "/v1/chat/completions";
const MODEL: &str = "gpt-4o-mini";

/// Prices of [`MODEL`] in nano-dollars per token: $0.15 and $0.60 per million.
const INPUT_NANO: u64 = 150;
const OUTPUT_NANO: u64 = 600;

/// The budget that the story spends: enough for some calls of about $0.00001, too little for ten.
const SMALL_BUDGET: &str = "0.000060";

/// Requests per minute of the key that runs into its window.
const REQUESTS_PER_MINUTE: u64 = 3;

/// Longest time for the last report of a filter to reach the ledger.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// A key of the story. Its secret is only ever sent to the gateway.
struct Key {
    id: String,
    secret: String,
}

/// Plays every chapter.
///
/// # Errors
/// When the stage cannot be set; what differs in the story itself is in `script`.
pub fn play(stack: &Stack, script: &mut Script) -> anyhow::Result<()> {
    let admin = stack.admin();
    set_the_stage(&admin)?;
    // Made first, so that its time runs out while the others play.
    let expires_at = OffsetDateTime::now_utc() + time::Duration::seconds(2);
    let expiring =
        create_key(&admin, "expiring", &json!({"expires_at": expires_at.format(&Rfc3339)?}))?;
    let everyday =
        create_key(&admin, "everyday", &json!({"budget": {"usd": "1.00", "period": "none"}}))?;

    allowed(stack, script, &everyday);
    strangers(stack, script, &everyday);
    windows(stack, script, &admin)?;
    budgets(stack, script, &admin)?;
    expiry(stack, script, &expiring, expires_at);
    revocation(stack, script, &admin, &everyday)?;
    afterwards(stack, script, &admin, &[&everyday, &expiring])
}

fn set_the_stage(admin: &Client) -> anyhow::Result<()> {
    let org =
        json!({"name": "Acme", "models": ["*"], "budget": {"usd": "500.00", "period": "none"}});
    admin.put("/admin/v1/orgs/acme", &org)?.success().context("making the organisation")?;
    for (model, input, output) in [(MODEL, "0.15", "0.60"), ("gpt-4o", "2.50", "10.00")] {
        let prices = json!({
            "input_usd_per_mtok": input,
            "output_usd_per_mtok": output,
            "context_length": 128_000,
            "max_output_tokens": 16_384,
        });
        let path = format!("/admin/v1/models/{model}");
        admin.put(&path, &prices)?.success().with_context(|| format!("pricing {model}"))?;
    }
    Ok(())
}

/// Makes a key for [`MODEL`] only, with these further fields.
fn create_key(admin: &Client, name: &str, further: &Value) -> anyhow::Result<Key> {
    let mut body = json!({"org": "acme", "name": name, "models": [MODEL]});
    if let (Some(body), Some(further)) = (body.as_object_mut(), further.as_object()) {
        body.extend(further.clone());
    }
    let made = admin
        .post("/admin/v1/keys", &body)?
        .success()
        .with_context(|| format!("making the key `{name}`"))?
        .json();
    let text = |field: &str| {
        made[field]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("a new key has no `{field}`"))
    };
    Ok(Key { id: text("id")?, secret: text("key")? })
}

fn chat(model: &str, stream: bool) -> Value {
    let mut body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "Say something short."}],
        "max_tokens": 16,
    });
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

fn allowed(stack: &Stack, script: &mut Script, key: &Key) {
    let client = stack.gateway(&key.secret);
    let answer = script.answer("allowed", client.post(CHAT, &chat(MODEL, false)), 200, "");
    cost_is_right(
        script,
        "cost in the answer",
        &answer.map_or(Value::Null, |answer| answer.json()),
    );

    let answer = script.answer("allowed, streamed", client.post(CHAT, &chat(MODEL, true)), 200, "");
    let body = answer.map(|answer| answer.body).unwrap_or_default();
    let chunks: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let complete = chunks.last() == Some(&"[DONE]");
    script.fact("the stream is complete", complete, &format!("{} events", chunks.len()));
    let last = chunks
        .iter()
        .filter_map(|chunk| serde_json::from_str::<Value>(chunk).ok())
        .rfind(|chunk| chunk["usage"].is_object());
    cost_is_right(script, "cost in the stream", &last.unwrap_or(Value::Null));

    let models = script.answer("models of the key", client.get("/v1/models"), 200, "");
    let models = models.map_or(Value::Null, |answer| answer.json());
    let names: Vec<&str> = models["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|model| model["id"].as_str())
        .collect();
    script.fact("only its own are listed", names == [MODEL], &names.join(", "));
}

fn cost_is_right(script: &mut Script, name: &str, answer: &Value) {
    let usage = &answer["usage"];
    let tokens = |field: &str| usage[field].as_u64().unwrap_or(0);
    let (input, output) = (tokens("prompt_tokens"), tokens("completion_tokens"));
    let expected = input * INPUT_NANO + output * OUTPUT_NANO;
    let found = nano_usd(&usage["cost_usd"]);
    script.fact(
        name,
        expected > 0 && found == Some(expected),
        &format!(
            "{input} + {output} tokens: usage.cost_usd {} ({})",
            usage["cost_usd"],
            usd(expected)
        ),
    );
}

fn strangers(stack: &Stack, script: &mut Script, key: &Key) {
    let nobody = Client::new(&stack.gateway_url, None);
    let body = chat(MODEL, false);
    script.answer("no key", nobody.post(CHAT, &body), 401, "missing_api_key");
    for (name, token) in [
        ("malformed key", "not a key".to_owned()),
        ("half a key", "0123456789abcdef:".to_owned()),
        ("mistyped key", mistyped(&key.secret)),
        ("unknown key", "sk-0123456789abcdef0123456789abcdef0123456789abcdef".to_owned()),
        ("unknown key pair", "AKDEMO0123456789:0123456789abcdef0123456789abcdef".to_owned()),
    ] {
        script.answer(name, stack.gateway(&token).post(CHAT, &body), 401, "invalid_api_key");
    }
    let answer = stack.gateway(&key.secret).post(CHAT, &chat("gpt-4o", false));
    script.answer("model not allowed", answer, 403, "model_not_allowed");
    let answer = stack.gateway(&key.secret).post(CHAT, &chat("no-such-model", false));
    script.answer("model not known", answer, 400, "unknown_model");
}

/// The key with its last letter or digit changed.
fn mistyped(secret: &str) -> String {
    let mut text = secret.to_owned();
    let last = text.pop();
    text.push(if last == Some('0') { '1' } else { '0' });
    text
}

fn windows(stack: &Stack, script: &mut Script, admin: &Client) -> anyhow::Result<()> {
    let limit = json!([
        {"unit": "requests", "window": "1m", "max": REQUESTS_PER_MINUTE, "scope": "proxy"}
    ]);
    let key = create_key(admin, "three a minute", &json!({"limits": limit}))?;
    let client = stack.gateway(&key.secret);
    let first_sent = Instant::now();
    let mut first_answered = first_sent;
    for number in 1..=REQUESTS_PER_MINUTE {
        let name = format!("request {number} of {REQUESTS_PER_MINUTE} a minute");
        script.answer(&name, client.post(CHAT, &chat(MODEL, false)), 200, "");
        if number == 1 {
            first_answered = Instant::now();
        }
    }
    let answer = client.post(CHAT, &chat(MODEL, false));
    // The window frees a place a minute after the first request, which was admitted between these
    // two.
    let earliest = 60_u64.saturating_sub(first_sent.elapsed().as_secs() + 1);
    let latest = 60_u64.saturating_sub(first_answered.elapsed().as_secs()) + 1;
    let name = format!("request {} of {REQUESTS_PER_MINUTE} a minute", REQUESTS_PER_MINUTE + 1);
    let answer = script.answer(&name, answer, 429, "rpm_exceeded");
    let wait = answer.as_ref().and_then(|answer| answer.header("retry-after")?.parse::<u64>().ok());
    script.fact(
        "retry-after is when a place is free",
        wait.is_some_and(|wait| (1..=60).contains(&wait) && (earliest..=latest).contains(&wait)),
        &wait.map_or("none".to_owned(), |wait| {
            format!("{wait} s ({earliest} to {latest} is right)")
        }),
    );
    Ok(())
}

fn budgets(stack: &Stack, script: &mut Script, admin: &Client) -> anyhow::Result<()> {
    const MOST_CALLS: usize = 10;
    let budget = json!({"budget": {"usd": SMALL_BUDGET, "period": "none"}});
    let key = create_key(admin, "small budget", &budget)?;
    let client = stack.gateway(&key.secret);
    let mut spent = 0;
    let mut calls = 0;
    let mut waits = 0;
    let mut last = patient_chat(&client, &mut waits);
    while let Ok(answer) = &last
        && answer.status == 200
        && calls < MOST_CALLS
    {
        calls += 1;
        spent += nano_usd(&answer.json()["usage"]["cost_usd"]).unwrap_or(0);
        last = patient_chat(&client, &mut waits);
    }
    let cap = nano_usd(&json!(SMALL_BUDGET)).unwrap_or(0);
    script.fact(
        "a small budget is spent",
        calls > 0 && spent > 0 && spent <= cap,
        &format!("{calls} calls cost {} of {}; told to wait {waits} times", usd(spent), usd(cap)),
    );
    script.answer("budget spent", last, 402, "budget_exceeded");

    let raised = json!({"budget": {"usd": "1.00", "period": "none"}});
    let answer = admin.patch(&format!("/admin/v1/keys/{}", key.id), &raised);
    applied(script, "the cap is raised", answer);
    script.answer("allowed again", client.post(CHAT, &chat(MODEL, false)), 200, "");
    Ok(())
}

/// A call that waits as told while the rest of the budget is held for calls that have just ended:
/// near its end a budget goes out one call at a time.
fn patient_chat(client: &Client, waits: &mut usize) -> anyhow::Result<Answer> {
    const MOST_WAITS: usize = 10;
    loop {
        let answer = client.post(CHAT, &chat(MODEL, false))?;
        if answer.error_code() != "budget_contended" || *waits >= MOST_WAITS {
            return Ok(answer);
        }
        *waits += 1;
        let seconds = answer.header("retry-after").and_then(|text| text.parse().ok()).unwrap_or(1);
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

fn applied(script: &mut Script, name: &str, answer: anyhow::Result<Answer>) {
    let answer = script.answer(name, answer, 200, "");
    let applied = answer.map_or(Value::Null, |answer| answer.json()["applied"].clone());
    script.fact("  in force in every filter", applied == true, &format!("applied: {applied}"));
}

fn expiry(stack: &Stack, script: &mut Script, key: &Key, expires_at: OffsetDateTime) {
    let left = expires_at - OffsetDateTime::now_utc() + time::Duration::milliseconds(100);
    std::thread::sleep(Duration::try_from(left).unwrap_or_default());
    let answer = stack.gateway(&key.secret).post(CHAT, &chat(MODEL, false));
    script.answer("expired key", answer, 401, "key_expired");
}

fn revocation(stack: &Stack, script: &mut Script, admin: &Client, key: &Key) -> anyhow::Result<()> {
    let client = stack.gateway(&key.secret);
    script.answer("still allowed", client.post(CHAT, &chat(MODEL, false)), 200, "");
    let answer = admin.post(&format!("/admin/v1/keys/{}/revoke", key.id), &json!({}));
    applied(script, "the key is revoked", answer);
    let answer = client.post(CHAT, &chat(MODEL, false));
    script.answer("the very next request", answer, 401, "key_revoked");
    Ok(())
}

/// What the other two sides say about all of this.
fn afterwards(
    stack: &Stack,
    script: &mut Script,
    admin: &Client,
    keys: &[&Key],
) -> anyhow::Result<()> {
    let stats = stack.mock().get("/_mock/stats")?.success()?.json();
    let tokens = |field: &str| stats[field].as_u64().unwrap_or(0);
    let upstream = tokens("prompt_tokens") * INPUT_NANO + tokens("completion_tokens") * OUTPUT_NANO;

    let deadline = Instant::now() + SETTLE_LIMIT;
    let mut settled = None;
    while settled != Some(upstream) && Instant::now() < deadline {
        let org = admin.get("/admin/v1/orgs/acme")?.success()?.json();
        settled = nano_usd(&org["spend"]["settled_usd"]);
        std::thread::sleep(Duration::from_millis(50));
    }
    script.fact(
        "the ledger equals the upstream's own count",
        upstream > 0 && settled == Some(upstream),
        &format!("ledger {}, upstream {}", settled.map_or("none".to_owned(), usd), usd(upstream)),
    );

    let seen = stack.mock().get("/_mock/requests")?.success()?.body;
    let leaked = keys.iter().any(|key| seen.contains(&key.secret))
        || seen.to_ascii_lowercase().contains("\"authorization\"");
    script.fact("no credential reached the upstream", !leaked, "");
    Ok(())
}
