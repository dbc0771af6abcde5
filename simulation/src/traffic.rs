//! What clients send.

use gate::Headers;
use serde_json::{Value, json};

use crate::dice::Dice;

/// The one model for sale.
pub const MODEL: &str = "sim-model";
/// Tokens of hidden framing that the model adds to every prompt.
pub const INPUT_OVERHEAD_TOKENS: u64 = 16;
/// The model's longest answer in tokens.
pub const MAX_OUTPUT_TOKENS: u64 = 1_000;
/// The model's context in tokens.
pub const CONTEXT_TOKENS: u64 = 8_000;
/// Its context where the provider has tools. Each use may read all of it again, and budgets are to
/// have room for a few.
pub const SHORT_CONTEXT_TOKENS: u64 = 1_200;
/// The most uses of tools by one request.
pub const TOOL_CALLS: u64 = 1;

/// The head of a chat request.
#[must_use]
pub fn chat_headers(secret: &str) -> Headers {
    headers("POST", "/v1/chat/completions", secret)
}

/// The head of a request for the list of models.
#[must_use]
pub fn list_headers(secret: &str) -> Headers {
    headers("GET", "/v1/models", secret)
}

fn headers(method: &str, path: &str, secret: &str) -> Headers {
    [
        (":method", method),
        (":path", path),
        (":authority", "gateway"),
        ("authorization", &format!("Bearer {secret}")),
    ]
    .into_iter()
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .collect()
}

/// Requests that ask for tools, where there are any, in a thousand.
const TOOLS_PER_MILLE: u64 = 150;
/// Streams that are to count their tokens as they come, in a thousand.
const COUNTING_PER_MILLE: u64 = 250;

/// The body of a chat request: short or long, with or without a limit of its own, with or without the
/// provider's tools if it has any.
pub fn chat_body(dice: &mut Dice, has_tools: bool) -> Vec<u8> {
    let words = usize::try_from(dice.between(1, 60)).unwrap_or(1);
    let mut body = json!({
        "model": if dice.per_mille(200) { "fast" } else { MODEL },
        "messages": [{"role": "user", "content": "word ".repeat(words)}],
    });
    if dice.per_mille(600) {
        body["max_tokens"] = json!(dice.between(1, 600));
    }
    if dice.per_mille(500) {
        body["stream"] = json!(true);
        if dice.per_mille(300) {
            body["stream_options"] = json!({"include_usage": true});
        }
        if dice.per_mille(COUNTING_PER_MILLE) {
            body["stream_options"]["continuous_usage_stats"] = json!(true);
        }
    }
    if has_tools && dice.per_mille(TOOLS_PER_MILLE) {
        body["web_search_options"] = json!({});
    }
    body.to_string().into_bytes()
}

/// The same body with a limit of output, if it has none.
#[must_use]
pub fn with_limit(body: Vec<u8>) -> Vec<u8> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else { return body };
    members.entry("max_tokens").or_insert(json!(UNNAMED_LIMIT));
    Value::Object(members).to_string().into_bytes()
}

/// The output limit of clients that would name none.
const UNNAMED_LIMIT: u64 = 300;

/// The output limit of clients that only try to spend a budget.
pub const STEADY_OUTPUT_TOKENS: u64 = 100;
/// The budget that they spend, in calls that cost all that is reserved for them.
pub const CALLS_IN_BUDGET: u64 = 1_000;

/// The body that clients send which only try to spend a budget.
#[must_use]
pub fn steady_body() -> Vec<u8> {
    let body = json!({
        "model": MODEL,
        "max_tokens": STEADY_OUTPUT_TOKENS,
        "messages": [{"role": "user", "content": "word ".repeat(20)}],
    });
    body.to_string().into_bytes()
}
