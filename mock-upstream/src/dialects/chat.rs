//! OpenAI chat completions, and completions, which look nearly the same.

use crate::json_text::{Object, list, text};
use crate::rule::{Finish, Plan, TOKEN};
use crate::script::{Script, Segment, data};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Chat completions.
    Chat,
    /// Completions.
    Text,
}

/// What Azure says of a prompt that nothing is wrong with.
const AZURE_PROMPT_RESULTS: &str = r#"[{"prompt_index":0,"content_filter_results":{}}]"#;

fn finish(plan: &Plan) -> &'static str {
    match plan.finish {
        Finish::Stop => "\"stop\"",
        Finish::Length => "\"length\"",
        Finish::Tool => "\"tool_calls\"",
    }
}

fn usage(plan: &Plan) -> String {
    let input = Object::new()
        .number("cached_tokens", plan.cached_tokens)
        .number("audio_tokens", 0)
        .number("cache_write_tokens", plan.cache_write_tokens)
        .end();
    let output = Object::new()
        .number("reasoning_tokens", 0)
        .number("audio_tokens", 0)
        .number("accepted_prediction_tokens", 0)
        .number("rejected_prediction_tokens", 0)
        .end();
    Object::new()
        .number("prompt_tokens", plan.prompt_tokens)
        .number("completion_tokens", plan.completion_tokens)
        .number("total_tokens", plan.prompt_tokens.saturating_add(plan.completion_tokens))
        .raw("prompt_tokens_details", &input)
        .raw("completion_tokens_details", &output)
        .end()
}

fn reported(plan: &Plan) -> Option<String> {
    plan.reports_usage.then(|| usage(plan))
}

fn head(plan: &Plan, form: Form, object: &str) -> Object {
    let prefix = if form == Form::Chat { "chatcmpl-" } else { "cmpl-" };
    Object::new()
        .text("id", &plan.id(prefix))
        .text("object", object)
        .number("created", plan.created())
        .text("model", &plan.ask.model)
}

fn call(plan: &Plan, name: &str, arguments: &str) -> Object {
    let function = Object::new().text("name", name).text("arguments", arguments).end();
    Object::new().text("id", &plan.id("call_")).text("type", "function").raw("function", &function)
}

/// The whole answer.
#[must_use]
pub fn plain(plan: &Plan, form: Form) -> String {
    let choices = (0..plan.ask.choices).map(|index| match form {
        Form::Text => Object::new()
            .text("text", &plan.text())
            .number("index", index)
            .null("logprobs")
            .raw("finish_reason", finish(plan))
            .end(),
        Form::Chat => {
            let message = Object::new().text("role", "assistant");
            let message = match &plan.ask.tool {
                None => message.text("content", &plan.text()).null("refusal"),
                Some(name) => message
                    .null("content")
                    .null("refusal")
                    .raw("tool_calls", &list([call(plan, name, &plan.arguments()).end()])),
            };
            Object::new()
                .number("index", index)
                .raw("message", &message.end())
                .null("logprobs")
                .raw("finish_reason", finish(plan))
                .end()
        }
    });
    let object = if form == Form::Chat { "chat.completion" } else { "text_completion" };
    head(plan, form, object)
        .maybe("prompt_filter_results", plan.azure.then_some(AZURE_PROMPT_RESULTS))
        .raw("choices", &list(choices))
        .maybe("usage", reported(plan).as_deref())
        .null("system_fingerprint")
        .end()
}

/// The answer as a stream: roles, deltas, finishes, usage if it was asked for, `[DONE]`.
#[must_use]
pub fn script(plan: &Plan, form: Form) -> Script {
    let choices = plan.ask.choices;
    let mut first = Vec::new();
    if plan.azure {
        first.push(data(&azure_first(plan)));
    }
    if form == Form::Chat {
        first.extend((0..choices).map(|index| data(&chunk(plan, form, index, Part::Role))));
    }
    let mut last: Vec<String> =
        (0..choices).map(|index| data(&chunk(plan, form, index, Part::Finish))).collect();
    if let Some(usage) = reported(plan).filter(|_| plan.ask.wants_usage) {
        let object = if form == Form::Chat { "chat.completion.chunk" } else { "text_completion" };
        let chunk = head(plan, form, object).null("system_fingerprint").raw("choices", "[]");
        last.push(data(&chunk.raw("usage", &usage).end()));
    }
    last.push(data("[DONE]"));
    let owned = plan.clone();
    Script::new(vec![
        Segment::Fixed(first),
        Segment::Deltas {
            count: plan.text_tokens * choices,
            tokens: 1,
            write: Box::new(move |number| {
                let part = Part::Delta(number / choices);
                data(&chunk(&owned, form, number % choices, part))
            }),
        },
        Segment::Fixed(last),
    ])
}

/// Azure's first chunk belongs to no completion.
fn azure_first(plan: &Plan) -> String {
    Object::new()
        .raw("choices", "[]")
        .number("created", 0)
        .text("id", "")
        .text("model", "")
        .text("object", "")
        .raw("prompt_filter_results", AZURE_PROMPT_RESULTS)
        .maybe("usage", plan.ask.wants_usage.then_some("null"))
        .end()
}

/// What one chunk of a choice says.
#[derive(Debug, Clone, Copy)]
enum Part {
    Role,
    Delta(u64),
    Finish,
}

fn chunk(plan: &Plan, form: Form, index: u64, part: Part) -> String {
    let reason = if matches!(part, Part::Finish) { finish(plan) } else { "null" };
    let (object, choice) = match form {
        Form::Text => {
            let shown = if matches!(part, Part::Delta(_)) { TOKEN } else { "" };
            let choice = Object::new().text("text", shown).number("index", index);
            ("text_completion", choice)
        }
        Form::Chat => {
            let choice = Object::new().number("index", index).raw("delta", &delta(plan, part));
            ("chat.completion.chunk", choice)
        }
    };
    let choice = choice.null("logprobs").raw("finish_reason", reason).end();
    head(plan, form, object)
        .null("system_fingerprint")
        .raw("choices", &list([choice]))
        .maybe("usage", plan.ask.wants_usage.then_some("null"))
        .end()
}

fn delta(plan: &Plan, part: Part) -> String {
    let delta = Object::new();
    match (part, &plan.ask.tool) {
        (Part::Finish, _) => delta,
        (Part::Role, None) => delta.text("role", "assistant").text("content", "").null("refusal"),
        (Part::Role, Some(name)) => {
            let function = Object::new().raw("name", &text(name)).text("arguments", "").end();
            let call = Object::new()
                .number("index", 0)
                .text("id", &plan.id("call_"))
                .text("type", "function")
                .raw("function", &function);
            delta.text("role", "assistant").null("content").raw("tool_calls", &list([call.end()]))
        }
        (Part::Delta(_), None) => delta.text("content", TOKEN),
        (Part::Delta(number), Some(_)) => {
            let function = Object::new().text("arguments", &plan.argument_piece(number)).end();
            let call = Object::new().number("index", 0).raw("function", &function).end();
            delta.raw("tool_calls", &list([call]))
        }
    }
    .end()
}
