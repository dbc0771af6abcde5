//! The requests whose cost is watched.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::fuel::Scenario;
use crate::gateway::{Gateway, MintedKey};
use crate::profile::Profile;
use crate::trace::{Meter, TraceLevel};

/// Pieces of the streamed answer: enough that the cost per piece shows.
const STREAM_PIECES: usize = 20;

/// Every scenario, in the order of the table.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "refused, no credential", measure: refused_without_credential },
    Scenario { name: "chat, first request of a key", measure: first_request },
    Scenario { name: "chat, key known, no limit", measure: known_key },
    Scenario { name: "chat, key known, limit and budget", measure: limited_key },
    Scenario { name: "chat, key known, limit and budget, money held", measure: money_held },
    Scenario { name: "chat streamed, key known", measure: streamed },
    Scenario { name: "chat refused, window full", measure: window_full },
];

/// A gateway with one worker and a key of the given fields; nothing recorded but the meter.
fn prepared(fields: &Value) -> Result<(Gateway, MintedKey)> {
    let gateway = Gateway::start(Profile::envoy_stop_iteration(), 1)?;
    gateway.host().trace(|trace| trace.set_level(TraceLevel::Off));
    gateway.furnish()?;
    let key = gateway.mint_key(fields)?;
    Ok((gateway, key))
}

/// What one plain chat costs, that must be answered with `status`.
fn metered_chat(gateway: &Gateway, key: &MintedKey, status: u16) -> Result<Meter> {
    gateway.host().reset_meter();
    let exchange = gateway.whole_chat(0, key, (9, 2))?;
    let meter = gateway.host().meter();
    let text = exchange.client().text();
    ensure!(exchange.status() == Some(status), "{:?} {text}", exchange.status());
    Ok(meter)
}

fn limits_and_budget(max: u64) -> Value {
    json!({
        "limits": [{"unit": "requests", "window": "1m", "max": max, "scope": "proxy"}],
        "budget": {"usd": "25.00", "period": "month"},
    })
}

fn refused_without_credential() -> Result<Meter> {
    let (gateway, _) = prepared(&json!({}))?;
    let anonymous = MintedKey { id: String::new(), secret: String::new() };
    // The first request of a worker registers it; only what comes after is typical.
    metered_chat(&gateway, &anonymous, 401)?;
    metered_chat(&gateway, &anonymous, 401)
}

fn first_request() -> Result<Meter> {
    let (gateway, warm) = prepared(&json!({}))?;
    metered_chat(&gateway, &warm, 200)?;
    let fresh = gateway.mint_key(&limits_and_budget(60))?;
    metered_chat(&gateway, &fresh, 200)
}

fn known_key() -> Result<Meter> {
    let (gateway, key) = prepared(&json!({}))?;
    metered_chat(&gateway, &key, 200)?;
    metered_chat(&gateway, &key, 200)
}

fn limited_key() -> Result<Meter> {
    let (gateway, key) = prepared(&limits_and_budget(60))?;
    metered_chat(&gateway, &key, 200)?;
    metered_chat(&gateway, &key, 200)
}

fn money_held() -> Result<Meter> {
    let (gateway, key) = prepared(&limits_and_budget(60))?;
    metered_chat(&gateway, &key, 200)?;
    // This one asks for more than itself.
    metered_chat(&gateway, &key, 200)?;
    metered_chat(&gateway, &key, 200)
}

fn window_full() -> Result<Meter> {
    let (gateway, key) = prepared(&limits_and_budget(1))?;
    metered_chat(&gateway, &key, 200)?;
    metered_chat(&gateway, &key, 429)
}

fn streamed() -> Result<Meter> {
    let (gateway, key) = prepared(&json!({}))?;
    metered_chat(&gateway, &key, 200)?;
    gateway.host().reset_meter();
    let question = json!({
        "model": "gpt-4o-mini", "max_tokens": 64, "stream": true,
        "messages": [{"role": "user", "content": "Say hello."}],
    });
    let exchange = gateway.chat(0, &key, &question)?.send()?;
    let chunk = |choices: &Value, usage: &Value| {
        let event = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini",
            "choices": choices, "usage": usage,
        });
        format!("data: {event}\n\n")
    };
    let delta = json!([{"index": 0, "delta": {"content": "tok "}, "finish_reason": null}]);
    let mut pieces = vec![chunk(&delta, &Value::Null); STREAM_PIECES];
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29});
    pieces.push(chunk(&json!([]), &usage));
    pieces.push("data: [DONE]\n\n".to_owned());
    exchange.respond(200, &[("content-type", "text/event-stream")], pieces)?;
    let meter = gateway.host().meter();
    ensure!(exchange.client().complete, "the stream did not end: {}", exchange.client().text());
    Ok(meter)
}
