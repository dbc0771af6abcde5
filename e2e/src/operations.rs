//! One request for each operation of each dialect, plain and streamed, as raw HTTP.

use std::fmt::Write as _;

/// Where a client puts its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyIn {
    /// `Authorization: Bearer`.
    Bearer,
    /// A header of this name.
    Header(&'static str),
    /// The parameter `key` of the URL.
    Query,
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comes {
    /// In one piece.
    Whole,
    /// As server-sent events.
    Events,
    /// As an array, element by element.
    Array,
}

/// A request that has an answer with tokens.
#[derive(Debug, Clone)]
pub struct Operation {
    /// For messages.
    pub name: String,
    /// Path and query at the gateway.
    pub path: String,
    /// The mount that the gateway takes away, or nothing.
    pub mount: &'static str,
    /// JSON.
    pub body: String,
    /// Where its clients put the key.
    pub key_in: KeyIn,
    /// How the answer comes.
    pub comes: Comes,
    /// Content deltas that a stream has.
    pub deltas: u64,
}

impl Operation {
    /// The request for a gateway, with this key and these further header lines, each ended by CRLF.
    #[must_use]
    pub fn request(&self, key: &str, headers: &str) -> Vec<u8> {
        let mut path = self.path.clone();
        let mut own = String::new();
        match self.key_in {
            KeyIn::Bearer => own = format!("authorization: Bearer {key}\r\n"),
            KeyIn::Header(name) => own = format!("{name}: {key}\r\n"),
            KeyIn::Query => {
                let join = if path.contains('?') { '&' } else { '?' };
                let _ = write!(path, "{join}key={key}");
            }
        }
        post(&path, &format!("{own}{headers}"), &self.body)
    }

    /// The same request for the upstream itself: without key and mount.
    #[must_use]
    pub fn direct_request(&self, headers: &str) -> Vec<u8> {
        post(self.path.strip_prefix(self.mount).unwrap_or(&self.path), headers, &self.body)
    }
}

/// A POST request with a JSON body.
#[must_use]
pub fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// A GET request.
#[must_use]
pub fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{headers}\r\n")
        .into_bytes()
}

const CHAT: &str = r#""messages":[{"role":"user","content":"hello"}]"#;
const CONTENTS: &str = r#""contents":[{"role":"user","parts":[{"text":"hello"}]}]"#;
const PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Every operation that has tokens, of models of [`crate::models::MODELS`] and [`crate::MODEL`].
#[must_use]
pub fn all() -> Vec<Operation> {
    let mut all = openai();
    all.extend(azure());
    all.extend(anthropic());
    all.extend(gemini());
    all
}

fn operation(name: &str, path: &str, body: String, key_in: KeyIn) -> Operation {
    let comes = if body.contains(r#""stream":true"#) { Comes::Events } else { Comes::Whole };
    let name = format!("{name}, {comes:?}");
    Operation { name, path: path.to_owned(), mount: "", body, key_in, comes, deltas: 16 }
}

fn openai() -> Vec<Operation> {
    let mut all = Vec::new();
    let mut add = |name: &str, path: &str, body: String| {
        all.push(operation(name, path, body, KeyIn::Bearer));
    };
    for stream in ["", r#","stream":true"#] {
        let chat = format!(r#"{{"model":"gpt-4o-mini",{CHAT}{stream}"#);
        add("chat", "/v1/chat/completions", format!("{chat}}}"));
        add(
            "chat with choices",
            "/v1/chat/completions",
            format!(r#"{chat},"n":2,"max_tokens":8}}"#),
        );
        let function = format!(r#"{{"name":"f","parameters":{PARAMETERS}}}"#);
        let tools = format!(r#""tools":[{{"type":"function","function":{function}}}]"#);
        add("chat with tools", "/v1/chat/completions", format!("{chat},{tools}}}"));
        add("chat at OpenRouter's path", "/api/v1/chat/completions", format!("{chat}}}"));
        let gemini = "/v1beta/openai/chat/completions";
        add("chat at Gemini's path", gemini, format!("{chat}}}"));
        let text = r#"{"model":"gpt-3.5-turbo-instruct","prompt":["hello","you"],"max_tokens":8"#;
        add("completions", "/v1/completions", format!("{text}{stream}}}"));
        // The answer repeats limit and `store`, so the request says them.
        let input =
            r#"{"model":"gpt-4o-mini","input":"hello","max_output_tokens":900,"store":false"#;
        add("responses", "/v1/responses", format!("{input}{stream}}}"));
        let tools =
            format!(r#""tools":[{{"type":"function","name":"f","parameters":{PARAMETERS}}}]"#);
        add("responses with tools", "/v1/responses", format!("{input},{tools}{stream}}}"));
        let short = input.replace("900", "16");
        add("responses cut short", "/v1/responses", format!("{short}{stream}}}"));
    }
    let asked = r#""stream":true,"stream_options":{"include_usage":true}"#;
    let chat = format!(r#"{{"model":"gpt-4o-mini",{CHAT},{asked}}}"#);
    add("chat with usage", "/v1/chat/completions", chat);
    for format in ["float", "base64"] {
        let input = r#"{"model":"text-embedding-3-small","input":["hello","you"]"#;
        let body = format!(r#"{input},"encoding_format":"{format}"}}"#);
        add(&format!("embeddings as {format}"), "/v1/embeddings", body);
    }
    all
}

fn azure() -> Vec<Operation> {
    let base = "/openai/deployments/gpt-4o-mini";
    let version = "api-version=2024-10-21";
    let mut all = Vec::new();
    for stream in ["", r#","stream":true"#] {
        let body = format!(r#"{{"model":"gpt-4o-mini",{CHAT}{stream}}}"#);
        let path = format!("{base}/chat/completions?{version}");
        all.push(operation("Azure chat", &path, body, KeyIn::Header("api-key")));
        let body = format!("{{{CHAT}{stream}}}");
        all.push(operation("Azure chat, bare", &path, body, KeyIn::Header("api-key")));
    }
    let path = format!("/openai/deployments/text-embedding-3-small/embeddings?{version}");
    let body = r#"{"input":"hello"}"#.to_owned();
    all.push(operation("Azure embeddings", &path, body, KeyIn::Header("api-key")));
    all
}

fn anthropic() -> Vec<Operation> {
    let mut all = Vec::new();
    for (mount, key_in) in [("", KeyIn::Header("x-api-key")), ("/anthropic", KeyIn::Bearer)] {
        for stream in ["", r#","stream":true"#] {
            let path = format!("{mount}/v1/messages");
            let asked = format!(r#"{{"model":"claude-mock","max_tokens":2000,{CHAT}{stream}"#);
            let thinking = r#""thinking":{"type":"enabled","budget_tokens":1024}"#;
            let tools = format!(r#""tools":[{{"name":"f","input_schema":{PARAMETERS}}}]"#);
            for (name, body) in [
                ("messages", format!("{asked}}}")),
                ("messages with thoughts", format!("{asked},{thinking}}}")),
                ("messages with tools", format!("{asked},{tools}}}")),
            ] {
                let one = operation(name, &path, body, key_in);
                all.push(Operation { mount, name: format!("{mount} {}", one.name), ..one });
            }
        }
    }
    all
}

fn gemini() -> Vec<Operation> {
    let mut all = Vec::new();
    for (mount, version, key_in) in [
        ("", "v1", KeyIn::Header("x-goog-api-key")),
        ("", "v1beta", KeyIn::Query),
        ("/gemini", "v1beta", KeyIn::Query),
    ] {
        let mut add = |name: &str, model: &str, verb: &str, body: String, deltas: u64| {
            let path = format!("{mount}/{version}/models/{model}:{verb}");
            let comes = match verb {
                "streamGenerateContent" => Comes::Array,
                "streamGenerateContent?alt=sse" => Comes::Events,
                _ => Comes::Whole,
            };
            let name = format!("{mount}/{version} {verb} {name}");
            all.push(Operation { name, path, mount, body, key_in, comes, deltas });
        };
        let config = r#""generationConfig":{"thinkingConfig":{"includeThoughts":true}}"#;
        let two = r#""generationConfig":{"maxOutputTokens":8,"candidateCount":2}"#;
        let tools = r#""tools":[{"functionDeclarations":[{"name":"f"}]}]"#;
        for verb in ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"] {
            for (name, more, deltas) in [
                ("", "", 16),
                ("thoughts", config, 16),
                ("candidates", two, 16),
                ("tools", tools, 1),
            ] {
                let comma = if more.is_empty() { "" } else { "," };
                add(name, "gemini-2.5-flash", verb, format!("{{{CONTENTS}{comma}{more}}}"), deltas);
            }
        }
        let model = "text-embedding-3-small";
        let content = r#""content":{"parts":[{"text":"hello"}]}"#;
        add("", model, "embedContent", format!("{{{content}}}"), 0);
        let item = format!(r#"{{"model":"models/{model}",{content}}}"#);
        add("", model, "batchEmbedContents", format!(r#"{{"requests":[{item},{item}]}}"#), 0);
    }
    all
}
