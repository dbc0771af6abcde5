//! Anthropic messages and their count.

use crate::json_text::{Object, list, text};
use crate::rule::{Finish, Plan, TOKEN};
use crate::script::{Script, Segment, named};

/// Output that `message_start` reports: a start value, part of the final count.
const STARTED_TOKENS: u64 = 1;

/// What stands for the signature of thoughts.
const SIGNATURE: &str = "bW9jayBzaWduYXR1cmU=";

fn finish(plan: &Plan) -> &'static str {
    match plan.finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Tool => "tool_use",
    }
}

/// The counts of the input: what caches did stands beside `input_tokens`.
fn input(plan: &Plan) -> Object {
    let plain = plan.prompt_tokens - plan.cached_tokens - plan.cache_write_tokens;
    Object::new()
        .number("input_tokens", plain)
        .number("cache_creation_input_tokens", plan.cache_write_tokens)
        .number("cache_read_input_tokens", plan.cached_tokens)
}

fn usage(plan: &Plan, output: u64, thoughts: Option<u64>) -> String {
    let written = Object::new()
        .number("ephemeral_5m_input_tokens", plan.cache_write_tokens)
        .number("ephemeral_1h_input_tokens", 0)
        .end();
    let details = thoughts.map(|tokens| Object::new().number("thinking_tokens", tokens).end());
    input(plan)
        .raw("cache_creation", &written)
        .number("output_tokens", output)
        .maybe("output_tokens_details", details.as_deref())
        .maybe("server_tool_use", thoughts.and_then(|_| tool_use_count(plan)).as_deref())
        .text("service_tier", "standard")
        .end()
}

/// What the provider's own tools did, once that is known.
fn tool_use_count(plan: &Plan) -> Option<String> {
    let count = Object::new().number("web_search_requests", plan.searches);
    (plan.searches > 0).then(|| count.end())
}

fn message(plan: &Plan, content: &str, stop: &str, usage: Option<&str>) -> String {
    Object::new()
        .text("id", &plan.id("msg_"))
        .text("type", "message")
        .text("role", "assistant")
        .text("model", &plan.ask.model)
        .raw("content", content)
        .raw("stop_reason", stop)
        .null("stop_sequence")
        .maybe("usage", usage)
        .end()
}

fn reported(plan: &Plan, usage: String) -> Option<String> {
    plan.reports_usage.then_some(usage)
}

/// The whole answer.
#[must_use]
pub fn plain(plan: &Plan) -> String {
    let mut blocks = Vec::new();
    if plan.thought_tokens > 0 {
        blocks.push(thinking(&plan.thoughts(), SIGNATURE));
    }
    blocks.push(match &plan.ask.tool {
        Some(name) => tool_use(plan, name, &plan.arguments()),
        None => text_block(&plan.text()),
    });
    let thoughts = plan.thought_tokens * plan.ask.choices;
    let usage = reported(plan, usage(plan, plan.completion_tokens, Some(thoughts)));
    message(plan, &list(blocks), &text(finish(plan)), usage.as_deref())
}

fn text_block(shown: &str) -> String {
    Object::new().text("type", "text").text("text", shown).end()
}

fn thinking(thoughts: &str, signature: &str) -> String {
    let block = Object::new().text("type", "thinking").text("thinking", thoughts);
    block.text("signature", signature).end()
}

fn tool_use(plan: &Plan, name: &str, input: &str) -> String {
    Object::new()
        .text("type", "tool_use")
        .text("id", &plan.id("toolu_"))
        .text("name", name)
        .raw("input", input)
        .end()
}

/// The answer to `count_tokens`.
#[must_use]
pub fn count(plan: &Plan) -> String {
    Object::new().number("input_tokens", plan.prompt_tokens).end()
}

/// The answer as a stream, from `message_start` to `message_stop`.
#[must_use]
pub fn script(plan: &Plan) -> Script {
    let started = reported(plan, usage(plan, STARTED_TOKENS, None));
    let start = message(plan, "[]", "null", started.as_deref());
    let start = Object::new().text("type", "message_start").raw("message", &start).end();
    let mut segments = vec![Segment::Fixed(vec![named("message_start", &start)])];
    let mut index = 0;
    if plan.thought_tokens > 0 {
        segments.push(Segment::Fixed(vec![block_start(index, &thinking("", ""))]));
        segments.push(deltas(index, plan.thought_tokens, |_| {
            Object::new().text("type", "thinking_delta").text("thinking", TOKEN).end()
        }));
        let signed = Object::new().text("type", "signature_delta").text("signature", SIGNATURE);
        segments.push(Segment::Fixed(vec![block_delta(index, &signed.end()), block_stop(index)]));
        index += 1;
    }
    let ping = named("ping", r#"{"type":"ping"}"#);
    let owned = plan.clone();
    if let Some(name) = &plan.ask.tool {
        let begun = block_start(index, &tool_use(plan, name, "{}"));
        let none = Object::new().text("type", "input_json_delta").text("partial_json", "").end();
        segments.push(Segment::Fixed(vec![begun, ping, block_delta(index, &none)]));
        segments.push(deltas(index, plan.text_tokens, move |number| {
            let piece = owned.argument_piece(number);
            Object::new().text("type", "input_json_delta").text("partial_json", &piece).end()
        }));
    } else {
        segments.push(Segment::Fixed(vec![block_start(index, &text_block("")), ping]));
        segments.push(deltas(index, plan.text_tokens, |_| {
            Object::new().text("type", "text_delta").text("text", TOKEN).end()
        }));
    }
    let change = Object::new().text("stop_reason", finish(plan)).null("stop_sequence").end();
    let total = input(plan)
        .number("output_tokens", plan.completion_tokens)
        .maybe("server_tool_use", tool_use_count(plan).as_deref());
    let total = reported(plan, total.end());
    let ended = Object::new()
        .text("type", "message_delta")
        .raw("delta", &change)
        .maybe("usage", total.as_deref())
        .end();
    segments.push(Segment::Fixed(vec![
        block_stop(index),
        named("message_delta", &ended),
        named("message_stop", r#"{"type":"message_stop"}"#),
    ]));
    Script::new(segments)
}

fn deltas(
    index: u64,
    count: u64,
    write: impl Fn(u64) -> String + Send + Sync + 'static,
) -> Segment {
    let write = Box::new(move |number| block_delta(index, &write(number)));
    Segment::Deltas { count, tokens: 1, write }
}

fn block_start(index: u64, block: &str) -> String {
    let event = Object::new().text("type", "content_block_start").number("index", index);
    named("content_block_start", &event.raw("content_block", block).end())
}

fn block_delta(index: u64, delta: &str) -> String {
    let event = Object::new().text("type", "content_block_delta").number("index", index);
    named("content_block_delta", &event.raw("delta", delta).end())
}

fn block_stop(index: u64) -> String {
    let event = Object::new().text("type", "content_block_stop").number("index", index);
    named("content_block_stop", &event.end())
}
