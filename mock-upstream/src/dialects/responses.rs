//! OpenAI responses.

use crate::json_text::{Object, list};
use crate::rule::{Finish, Plan, TOKEN};
use crate::script::{Script, Segment, named};

/// How far a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Ended,
}

fn usage(plan: &Plan) -> String {
    let input = Object::new()
        .number("cached_tokens", plan.cached_tokens)
        .number("cache_write_tokens", plan.cache_write_tokens)
        .end();
    Object::new()
        .number("input_tokens", plan.prompt_tokens)
        .raw("input_tokens_details", &input)
        .number("output_tokens", plan.completion_tokens)
        .raw("output_tokens_details", &Object::new().number("reasoning_tokens", 0).end())
        .number("total_tokens", plan.prompt_tokens.saturating_add(plan.completion_tokens))
        .end()
}

/// The response object.
fn response(plan: &Plan, state: State) -> String {
    let ended = state == State::Ended;
    let cut_short = ended && plan.finish == Finish::Length;
    let status = match (ended, cut_short) {
        (false, _) => "in_progress",
        (true, true) => "incomplete",
        (true, false) => "completed",
    };
    let reason = Object::new().text("reason", "max_output_tokens").end();
    let output = if ended { list([item(plan, state)]) } else { "[]".to_owned() };
    let usage = usage(plan);
    let reported = ended && plan.reports_usage;
    let limit = plan.ask.limit.map_or_else(|| "null".to_owned(), |limit| limit.to_string());
    Object::new()
        .text("id", &plan.id("resp_"))
        .text("object", "response")
        .number("created_at", plan.created())
        .text("status", status)
        .raw("background", "false")
        .null("error")
        .raw("incomplete_details", if cut_short { &reason } else { "null" })
        .null("instructions")
        .raw("max_output_tokens", &limit)
        .text("model", &plan.ask.model)
        .raw("output", &output)
        .raw("parallel_tool_calls", "true")
        .null("previous_response_id")
        .raw("store", if plan.ask.stored { "true" } else { "false" })
        .number("temperature", 1)
        .raw("text", r#"{"format":{"type":"text"}}"#)
        .text("tool_choice", "auto")
        .raw("tools", "[]")
        .number("top_p", 1)
        .text("truncation", "disabled")
        .raw("usage", if reported { &usage } else { "null" })
        .null("user")
        .raw("metadata", "{}")
        .end()
}

/// The one item of the output.
fn item(plan: &Plan, state: State) -> String {
    let ended = state == State::Ended;
    let status = if ended { "completed" } else { "in_progress" };
    match &plan.ask.tool {
        None => {
            let content = if ended { list([part(&plan.text())]) } else { "[]".to_owned() };
            Object::new()
                .text("type", "message")
                .text("id", &plan.id("msg_"))
                .text("status", status)
                .text("role", "assistant")
                .raw("content", &content)
                .end()
        }
        Some(name) => Object::new()
            .text("type", "function_call")
            .text("id", &plan.id("fc_"))
            .text("status", status)
            .text("call_id", &plan.id("call_"))
            .text("name", name)
            .text("arguments", &if ended { plan.arguments() } else { String::new() })
            .end(),
    }
}

fn part(text: &str) -> String {
    Object::new()
        .text("type", "output_text")
        .raw("annotations", "[]")
        .raw("logprobs", "[]")
        .text("text", text)
        .end()
}

/// The whole answer.
#[must_use]
pub fn plain(plan: &Plan) -> String {
    response(plan, State::Ended)
}

fn head(kind: &str, sequence: u64) -> Object {
    Object::new().text("type", kind).number("sequence_number", sequence)
}

/// Where in the output an event belongs.
fn placed(plan: &Plan, kind: &str, sequence: u64) -> Object {
    let prefix = if plan.ask.tool.is_some() { "fc_" } else { "msg_" };
    let event = head(kind, sequence).text("item_id", &plan.id(prefix)).number("output_index", 0);
    if plan.ask.tool.is_some() { event } else { event.number("content_index", 0) }
}

/// The answer as a stream, from `response.created` to `response.completed` or
/// `response.incomplete`.
#[must_use]
pub fn script(plan: &Plan) -> Script {
    let mut sequence = 0;
    let mut first = Vec::new();
    for kind in ["response.created", "response.in_progress"] {
        let event = head(kind, sequence).raw("response", &response(plan, State::Running)).end();
        first.push(named(kind, &event));
        sequence += 1;
    }
    let kind = "response.output_item.added";
    let added = head(kind, sequence).number("output_index", 0);
    first.push(named(kind, &added.raw("item", &item(plan, State::Running)).end()));
    sequence += 1;
    if plan.ask.tool.is_none() {
        let kind = "response.content_part.added";
        first.push(named(kind, &placed(plan, kind, sequence).raw("part", &part("")).end()));
        sequence += 1;
    }
    let begun = sequence;
    let owned = plan.clone();
    let deltas = Segment::Deltas {
        count: plan.text_tokens,
        tokens: 1,
        write: Box::new(move |number| delta(&owned, begun + number, number)),
    };
    let last = last(plan, begun + plan.text_tokens);
    Script::new(vec![Segment::Fixed(first), deltas, Segment::Fixed(last)])
}

fn delta(plan: &Plan, sequence: u64, number: u64) -> String {
    if plan.ask.tool.is_some() {
        let kind = "response.function_call_arguments.delta";
        let piece = plan.argument_piece(number);
        return named(kind, &placed(plan, kind, sequence).text("delta", &piece).end());
    }
    let kind = "response.output_text.delta";
    let event = placed(plan, kind, sequence).text("delta", TOKEN).raw("logprobs", "[]");
    named(kind, &event.end())
}

fn last(plan: &Plan, mut sequence: u64) -> Vec<String> {
    let mut events = Vec::new();
    let mut add = |kind: &str, write: &dyn Fn(u64) -> Object| {
        events.push(named(kind, &write(sequence).end()));
        sequence += 1;
    };
    match &plan.ask.tool {
        Some(name) => {
            let kind = "response.function_call_arguments.done";
            add(kind, &|at| {
                placed(plan, kind, at).text("name", name).text("arguments", &plan.arguments())
            });
        }
        None => {
            let kind = "response.output_text.done";
            add(kind, &|at| {
                placed(plan, kind, at).text("text", &plan.text()).raw("logprobs", "[]")
            });
            let kind = "response.content_part.done";
            add(kind, &|at| placed(plan, kind, at).raw("part", &part(&plan.text())));
        }
    }
    let kind = "response.output_item.done";
    add(kind, &|at| {
        head(kind, at).number("output_index", 0).raw("item", &item(plan, State::Ended))
    });
    let kind =
        if plan.finish == Finish::Length { "response.incomplete" } else { "response.completed" };
    add(kind, &|at| head(kind, at).raw("response", &response(plan, State::Ended)));
    events
}
