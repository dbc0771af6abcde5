//! What the body of a request asks for, in the terms that all dialects share. Only what decides
//! about the answer is read; everything else is ignored.

use serde_json::Value;

use crate::operation::{Dialect, Operation, Route};

/// Most choices that one request may ask for; enough to test `n`, too few to make a flood.
pub const MAX_CHOICES: u64 = 16;

/// Most vectors of one embeddings answer, and most numbers in each.
const MAX_VECTORS: u64 = 2048;
const MAX_DIMENSIONS: u64 = 4096;

/// Numbers of a vector unless the request says how many: few, since nobody compares meanings here.
const DEFAULT_DIMENSIONS: u64 = 8;

/// In what form an answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// One JSON document.
    Plain,
    /// Server-sent events.
    Events,
    /// A JSON array that comes element by element (Gemini without `alt=sse`).
    Array,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Model name, echoed in the answer and used to split the count.
    pub model: String,
    /// Input tokens: bytes of all texts of the prompt, or the number of token ids; at least 1.
    pub prompt_tokens: u64,
    /// The request's own output limit in tokens, if it has one.
    pub limit: Option<u64>,
    /// Choices that are shown, over all prompts.
    pub choices: u64,
    /// Choices that are made and charged: more than are shown under `best_of`.
    pub made_choices: u64,
    /// In what form the answer leaves.
    pub delivery: Delivery,
    /// Whether a stream says what was used where that is up to the client.
    pub wants_usage: bool,
    /// The client's function that the answer calls, if it gave one and did not answer it yet.
    pub tool: Option<String>,
    /// Whether the answer shows thoughts.
    pub thinks: bool,
    /// Vectors to be made, for embeddings.
    pub vectors: u64,
    /// Numbers in each vector.
    pub dimensions: u64,
    /// Whether vectors are written as base64 of little-endian 32-bit floats.
    pub base64: bool,
    /// Whether the provider is to keep the answer (OpenAI responses; the default there).
    pub stored: bool,
    /// A hash of what is asked, for ids and times. Members that a gateway may write or change
    /// (limits, options of streams) are no part of it, so that the same question has the same
    /// answer with and without one.
    pub fingerprint: u64,
}

impl Ask {
    /// Reads a request body.
    ///
    /// # Errors
    /// Says why the body asks for nothing that can be answered.
    pub fn read(route: &Route, body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|problem| problem.to_string())?;
        if !body.is_object() {
            return Err("the body is not a JSON object".to_owned());
        }
        let model = match &route.model {
            Some(model) => model.clone(),
            None => body["model"].as_str().ok_or("`model` is not a text")?.to_owned(),
        };
        let mut ask = Self {
            model,
            prompt_tokens: 1,
            limit: None,
            choices: 1,
            made_choices: 1,
            delivery: Delivery::Plain,
            wants_usage: false,
            tool: None,
            thinks: false,
            vectors: 0,
            dimensions: DEFAULT_DIMENSIONS,
            base64: false,
            stored: false,
            fingerprint: 0,
        };
        ask.fingerprint = fingerprint(&ask.model, &body);
        match route.dialect {
            Dialect::OpenAi => ask.openai(route.operation, &body),
            Dialect::Anthropic => ask.anthropic(&body),
            Dialect::Gemini => ask.gemini(route.operation, &body),
        }
        ask.prompt_tokens = ask.prompt_tokens.max(1);
        Ok(ask)
    }

    fn openai(&mut self, operation: Operation, body: &Value) {
        if body["stream"] == true {
            self.delivery = Delivery::Events;
        }
        self.wants_usage = body["stream_options"]["include_usage"] == true;
        let limit = |name: &str| body[name].as_u64();
        match operation {
            Operation::Chat => {
                self.prompt_tokens = prompt(&body["messages"]);
                self.limit = limit("max_completion_tokens").or(limit("max_tokens"));
                self.choices = choices(&body["n"]);
                self.made_choices = self.choices;
                let answered = last(&body["messages"])["role"] == "tool";
                if !answered && body["tool_choice"] != "none" {
                    self.tool = function(&body["tools"], |tool| &tool["function"]["name"]);
                }
            }
            Operation::Completions => {
                let prompts = prompts(&body["prompt"]);
                self.prompt_tokens = prompt(&body["prompt"]);
                self.limit = limit("max_tokens");
                let shown = choices(&body["n"]);
                self.choices = shown * prompts;
                self.made_choices = shown.max(choices(&body["best_of"])) * prompts;
            }
            Operation::Responses => {
                self.prompt_tokens =
                    prompt(&body["input"]).saturating_add(prompt(&body["instructions"]));
                self.limit = limit("max_output_tokens");
                self.stored = body["store"] != false;
                let answered = last(&body["input"])["type"] == "function_call_output";
                if !answered && body["tool_choice"] != "none" {
                    self.tool = function(&body["tools"], |tool| &tool["name"]);
                }
            }
            _ => {
                self.delivery = Delivery::Plain;
                self.prompt_tokens = prompt(&body["input"]);
                self.vectors = prompts(&body["input"]);
                self.base64 = body["encoding_format"] == "base64";
                self.dimensions = dimensions(&body["dimensions"]);
            }
        }
    }

    fn anthropic(&mut self, body: &Value) {
        self.prompt_tokens = prompt(&body["system"]).saturating_add(prompt(&body["messages"]));
        self.limit = body["max_tokens"].as_u64();
        if body["stream"] == true {
            self.delivery = Delivery::Events;
        }
        self.thinks = matches!(body["thinking"]["type"].as_str(), Some("enabled" | "adaptive"));
        let content = &last(&body["messages"])["content"];
        if !has(content, |block| block["type"] == "tool_result")
            && body["tool_choice"]["type"] != "none"
        {
            self.tool = function(&body["tools"], |tool| &tool["name"]);
        }
    }

    fn gemini(&mut self, operation: Operation, body: &Value) {
        let config = either(body, "generationConfig", "generation_config");
        match operation {
            Operation::Embed => {
                self.prompt_tokens = prompt(&body["content"]);
                self.vectors = 1;
                let wanted = either(body, "outputDimensionality", "output_dimensionality");
                self.dimensions = dimensions(wanted);
                return;
            }
            Operation::BatchEmbed => {
                self.prompt_tokens = prompt(&body["requests"]);
                self.vectors = count(&body["requests"]).min(MAX_VECTORS);
                let first = &body["requests"][0];
                let wanted = either(first, "outputDimensionality", "output_dimensionality");
                self.dimensions = dimensions(wanted);
                return;
            }
            Operation::GenerateEvents => self.delivery = Delivery::Events,
            Operation::GenerateArray => self.delivery = Delivery::Array,
            _ => {}
        }
        let counted = either(body, "generateContentRequest", "generate_content_request");
        let body = if counted.is_object() { counted } else { body };
        self.prompt_tokens = prompt(either(body, "systemInstruction", "system_instruction"))
            .saturating_add(prompt(&body["contents"]));
        self.limit = either(config, "maxOutputTokens", "max_output_tokens").as_u64();
        self.choices = choices(either(config, "candidateCount", "candidate_count"));
        self.made_choices = self.choices;
        let thinking = either(config, "thinkingConfig", "thinking_config");
        self.thinks = either(thinking, "includeThoughts", "include_thoughts") == true;
        let answered = has(&last(&body["contents"])["parts"], |part| {
            either(part, "functionResponse", "function_response").is_object()
        });
        let calling = either(body, "toolConfig", "tool_config");
        let calling = either(calling, "functionCallingConfig", "function_calling_config");
        if !answered && calling["mode"] != "NONE" {
            self.tool = body["tools"].as_array().into_iter().flatten().find_map(|tool| {
                let functions = either(tool, "functionDeclarations", "function_declarations");
                functions[0]["name"].as_str().map(str::to_owned)
            });
        }
    }
}

/// Members that make up a question.
const QUESTION: [&str; 10] = [
    "messages",
    "prompt",
    "input",
    "instructions",
    "system",
    "contents",
    "systemInstruction",
    "content",
    "requests",
    "tools",
];

/// FNV-1a over model and question.
fn fingerprint(model: &str, body: &Value) -> u64 {
    let question = QUESTION.iter().map(|name| body[*name].to_string());
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in std::iter::once(model.to_owned()).chain(question) {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// A member in protobuf's two spellings.
fn either<'a>(object: &'a Value, camel: &str, snake: &str) -> &'a Value {
    match &object[camel] {
        Value::Null => &object[snake],
        value => value,
    }
}

fn last(list: &Value) -> &Value {
    list.as_array().and_then(|items| items.last()).unwrap_or(&Value::Null)
}

fn has(list: &Value, is: impl Fn(&Value) -> bool) -> bool {
    list.as_array().is_some_and(|items| items.iter().any(is))
}

fn count(list: &Value) -> u64 {
    list.as_array().map_or(0, |items| u64::try_from(items.len()).unwrap_or(u64::MAX))
}

fn choices(wanted: &Value) -> u64 {
    wanted.as_u64().unwrap_or(1).clamp(1, MAX_CHOICES)
}

fn dimensions(wanted: &Value) -> u64 {
    wanted.as_u64().unwrap_or(DEFAULT_DIMENSIONS).clamp(1, MAX_DIMENSIONS)
}

/// How many prompts there are in one text, list of texts, list of token ids or list of those.
fn prompts(prompt: &Value) -> u64 {
    match prompt.as_array() {
        Some(items) if !items.iter().all(Value::is_number) => count(prompt).clamp(1, MAX_VECTORS),
        _ => 1,
    }
}

/// The first function that the client gave.
fn function(tools: &Value, name: impl Fn(&Value) -> &Value) -> Option<String> {
    let functions = tools.as_array().into_iter().flatten();
    functions
        .filter(|tool| matches!(tool["type"].as_str(), None | Some("function" | "custom")))
        .find_map(|tool| name(tool).as_str().map(str::to_owned))
}

/// Members under which texts of a prompt stand, in any dialect.
const TEXTS: [&str; 6] = ["text", "content", "parts", "input", "output", "contents"];

/// Bytes of all texts in a prompt, and 1 for each token id.
fn prompt(value: &Value) -> u64 {
    match value {
        Value::String(text) => u64::try_from(text.len()).unwrap_or(u64::MAX),
        Value::Number(_) => 1,
        Value::Array(items) => items.iter().map(prompt).fold(0, u64::saturating_add),
        Value::Object(members) => TEXTS
            .iter()
            .filter_map(|name| members.get(*name))
            .map(prompt)
            .fold(0, u64::saturating_add),
        Value::Null | Value::Bool(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ask(path: &str, body: &str) -> Ask {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let headers = axum::http::HeaderMap::new();
        let route = crate::operation::route(&axum::http::Method::POST, path, query, &headers);
        Ask::read(&route.unwrap(), body.as_bytes()).unwrap()
    }

    #[test]
    fn prompts_are_counted_in_every_dialect() {
        let cases = [
            ("/v1/chat/completions", r#"{"model":"m","messages":[]}"#, 1),
            ("/v1/chat/completions", r#"{"model":"m","messages":[{"content":"hé"}]}"#, 3),
            (
                "/v1/chat/completions",
                r#"{"model":"m","messages":[{"content":[{"type":"text","text":"abcd"},
                   {"type":"image_url","image_url":{"url":"data:"}}]},{"content":null}]}"#,
                4,
            ),
            ("/v1/completions", r#"{"model":"m","prompt":["ab","cde"]}"#, 5),
            ("/v1/embeddings", r#"{"model":"m","input":[[1,2],[3]]}"#, 3),
            (
                "/v1/responses",
                r#"{"model":"m","instructions":"ab","input":[{"role":"user","content":
                   [{"type":"input_text","text":"cde"}]}]}"#,
                5,
            ),
            (
                "/v1/messages",
                r#"{"model":"m","system":[{"type":"text","text":"ab"}],
                   "messages":[{"role":"user","content":"cde"}]}"#,
                5,
            ),
            (
                "/v1/models/m:generateContent",
                r#"{"system_instruction":{"parts":[{"text":"ab"}]},
                   "contents":[{"parts":[{"text":"cde"}]}]}"#,
                5,
            ),
            (
                "/v1/models/m:countTokens",
                r#"{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"cde"}]}]}}"#,
                3,
            ),
            (
                "/v1/models/m:batchEmbedContents",
                r#"{"requests":[{"content":{"parts":[{"text":"ab"}]}},
                   {"content":{"parts":[{"text":"c"}]}}]}"#,
                3,
            ),
        ];
        for (path, body, tokens) in cases {
            assert_eq!(ask(path, body).prompt_tokens, tokens, "{path} {body}");
        }
    }

    #[test]
    fn limits_and_choices_stand_where_the_dialect_puts_them() {
        let chat = r#"{"model":"m","messages":[],"max_tokens":9,"max_completion_tokens":3,"n":2}"#;
        let asked = ask("/v1/chat/completions", chat);
        assert_eq!((asked.limit, asked.choices), (Some(3), 2));
        let text = r#"{"model":"m","prompt":["a","b"],"n":2,"best_of":3,"max_tokens":4}"#;
        let asked = ask("/v1/completions", text);
        assert_eq!((asked.limit, asked.choices, asked.made_choices), (Some(4), 4, 6));
        let config = r#"{"generationConfig":{"maxOutputTokens":7,"candidateCount":3,
            "thinkingConfig":{"includeThoughts":true}},"contents":[]}"#;
        let asked = ask("/v1beta/models/g:streamGenerateContent", config);
        assert_eq!((asked.limit, asked.choices, asked.thinks), (Some(7), 3, true));
        assert_eq!((asked.delivery, asked.model.as_str()), (Delivery::Array, "g"));
    }

    #[test]
    fn a_function_is_called_until_it_was_answered() {
        let chat = |more: &str| {
            let body = format!(
                r#"{{"model":"m","tools":[{{"type":"function","function":{{"name":"f"}}}}],{more}}}"#
            );
            ask("/v1/chat/completions", &body).tool
        };
        assert_eq!(chat(r#""messages":[{"role":"user"}]"#).as_deref(), Some("f"));
        assert_eq!(chat(r#""messages":[{"role":"tool"}]"#), None);
        assert_eq!(chat(r#""messages":[],"tool_choice":"none""#), None);
        let answered = r#"{"model":"m","tools":[{"name":"f"}],"messages":[{"content":[{"type":"tool_result"}]}]}"#;
        assert_eq!(ask("/v1/messages", answered).tool, None);
        let searched = r#"{"model":"m","tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[]}"#;
        assert_eq!(ask("/v1/messages", searched).tool, None);
        let declared =
            r#"{"tools":[{"functionDeclarations":[{"name":"f"}]}],"contents":[{"parts":[]}]}"#;
        assert_eq!(ask("/v1/models/g:generateContent", declared).tool.as_deref(), Some("f"));
    }
}
