//! Gemini `generateContent`, `streamGenerateContent` in both forms, and `countTokens`.

use crate::ask::Delivery;
use crate::json_text::{Object, list};
use crate::rule::{Finish, Plan, TOKEN};
use crate::script::{Script, Segment};

fn finish(plan: &Plan) -> &'static str {
    // A call of a function ends an answer like any other.
    if plan.finish == Finish::Length { "\"MAX_TOKENS\"" } else { "\"STOP\"" }
}

/// Usage with so many tokens of output so far; counts of nothing are left out.
fn usage(plan: &Plan, candidates: u64, thoughts: u64) -> String {
    let some = |count: u64| (count > 0).then(|| count.to_string());
    let total = plan.prompt_tokens.saturating_add(candidates).saturating_add(thoughts);
    let modality = Object::new().text("modality", "TEXT").number("tokenCount", plan.prompt_tokens);
    Object::new()
        .number("promptTokenCount", plan.prompt_tokens)
        .maybe("cachedContentTokenCount", some(plan.cached_tokens).as_deref())
        .maybe("candidatesTokenCount", some(candidates).as_deref())
        .number("totalTokenCount", total)
        .raw("promptTokensDetails", &list([modality.end()]))
        .maybe("thoughtsTokenCount", some(thoughts).as_deref())
        .end()
}

fn document(plan: &Plan, candidates: &str, usage: &str) -> String {
    Object::new()
        .raw("candidates", candidates)
        .maybe("usageMetadata", plan.reports_usage.then_some(usage))
        .text("modelVersion", &plan.ask.model)
        .text("responseId", &plan.id(""))
        .end()
}

fn candidate(parts: &str, finish: Option<&str>, index: u64) -> String {
    let content = Object::new().raw("parts", parts).text("role", "model").end();
    Object::new()
        .raw("content", &content)
        .maybe("finishReason", finish)
        .number("index", index)
        .end()
}

fn text_part(text: &str, thought: bool) -> String {
    Object::new().text("text", text).maybe("thought", thought.then_some("true")).end()
}

fn call_part(plan: &Plan, name: &str) -> String {
    let call = Object::new().text("name", name).raw("args", &plan.arguments()).end();
    Object::new().raw("functionCall", &call).end()
}

/// Output tokens of all candidates without thoughts, and the thoughts.
fn totals(plan: &Plan) -> (u64, u64) {
    let thoughts = plan.thought_tokens * plan.ask.choices;
    (plan.completion_tokens.saturating_sub(thoughts), thoughts)
}

/// The whole answer.
#[must_use]
pub fn plain(plan: &Plan) -> String {
    let candidates = (0..plan.ask.choices).map(|index| {
        let mut parts = Vec::new();
        if plan.thought_tokens > 0 {
            parts.push(text_part(&plan.thoughts(), true));
        }
        parts.push(match &plan.ask.tool {
            Some(name) => call_part(plan, name),
            None => text_part(&plan.text(), false),
        });
        candidate(&list(parts), Some(finish(plan)), index)
    });
    let (shown, thoughts) = totals(plan);
    document(plan, &list(candidates), &usage(plan, shown, thoughts))
}

/// The answer to `countTokens`.
#[must_use]
pub fn count(plan: &Plan) -> String {
    let modality = Object::new().text("modality", "TEXT").number("tokenCount", plan.prompt_tokens);
    Object::new()
        .number("totalTokens", plan.prompt_tokens)
        .raw("promptTokensDetails", &list([modality.end()]))
        .end()
}

/// The answer as a stream: documents with running totals, as events or as elements of an array.
#[must_use]
pub fn script(plan: &Plan) -> Script {
    let choices = plan.ask.choices;
    let delivery = plan.ask.delivery;
    let thoughts = plan.thought_tokens * choices;
    let mut segments = Vec::new();
    if thoughts > 0 {
        let owned = plan.clone();
        segments.push(Segment::Deltas {
            count: thoughts,
            tokens: 1,
            write: Box::new(move |number| {
                let part = list([text_part(TOKEN, true)]);
                let candidate = list([candidate(&part, None, number % choices)]);
                let document = document(&owned, &candidate, &usage(&owned, 0, number + 1));
                framed(delivery, &document, number == 0)
            }),
        });
    }
    let owned = plan.clone();
    segments.push(match &plan.ask.tool {
        // A call comes whole.
        Some(name) => {
            let part = list([call_part(plan, name)]);
            let each = plan.text_tokens;
            Segment::Deltas {
                count: choices,
                tokens: each,
                write: Box::new(move |number| {
                    let candidate = list([candidate(&part, None, number)]);
                    let usage = usage(&owned, (number + 1) * each, thoughts);
                    framed(delivery, &document(&owned, &candidate, &usage), begins(&owned, number))
                }),
            }
        }
        None => Segment::Deltas {
            count: plan.text_tokens * choices,
            tokens: 1,
            write: Box::new(move |number| {
                let part = list([text_part(TOKEN, false)]);
                let candidate = list([candidate(&part, None, number % choices)]);
                let usage = usage(&owned, number + 1, thoughts);
                framed(delivery, &document(&owned, &candidate, &usage), begins(&owned, number))
            }),
        },
    });
    let ended = (0..choices)
        .map(|index| candidate(&list([text_part("", false)]), Some(finish(plan)), index));
    let (shown, thoughts) = totals(plan);
    let document = document(plan, &list(ended), &usage(plan, shown, thoughts));
    let mut last = vec![framed(delivery, &document, plan.text_tokens + thoughts == 0)];
    if delivery == Delivery::Array {
        last.push("\n]".to_owned());
    }
    segments.push(Segment::Fixed(last));
    Script::new(segments)
}

/// Whether this delta of the text is the first document of the stream.
fn begins(plan: &Plan, number: u64) -> bool {
    number == 0 && plan.thought_tokens == 0
}

/// A document as the service frames it: events end with CRLF.
#[must_use]
pub fn framed(delivery: Delivery, document: &str, first: bool) -> String {
    match (delivery, first) {
        (Delivery::Array, true) => format!("[{document}"),
        (Delivery::Array, false) => format!("\n,\r\n{document}"),
        (Delivery::Plain | Delivery::Events, _) => format!("data: {document}\r\n\r\n"),
    }
}
