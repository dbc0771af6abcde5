//! The fixed rule that turns a request into usage. Pure: the same request always costs the same.

use serde::Deserialize;

/// Completion tokens of one choice when nothing else limits them.
pub const DEFAULT_COMPLETION_TOKENS: u64 = 16;

/// Most choices that one request may ask for; enough to test `n`, too few to make a flood.
pub const MAX_CHOICES: u64 = 16;

/// The members of a chat request that this upstream reads; everything else is ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct ChatRequest {
    /// Model name, echoed in the answer and used to split the count.
    pub model: String,
    /// Messages whose texts make up the prompt.
    pub messages: Vec<Message>,
    /// Output limit in tokens; wins over `max_tokens`.
    #[serde(default)]
    pub max_completion_tokens: Option<u64>,
    /// Older name of the output limit in tokens.
    #[serde(default)]
    pub max_tokens: Option<u64>,
    /// Number of choices; 1 when absent.
    #[serde(default)]
    pub n: Option<u64>,
    /// Whether the answer is a stream of server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Options that only matter for streams.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
}

/// One chat message.
#[derive(Debug, Clone, Deserialize)]
pub struct Message {
    /// Text, a list of parts, or nothing.
    #[serde(default)]
    pub content: Option<Content>,
}

/// The two forms in which a message carries its text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A bare string.
    Text(String),
    /// Parts; only those with a `text` count.
    Parts(Vec<Part>),
}

/// One part of a message.
#[derive(Debug, Clone, Deserialize)]
pub struct Part {
    /// The text of a text part.
    #[serde(default)]
    pub text: Option<String>,
}

/// `stream_options` of a chat request.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamOptions {
    /// Whether a usage chunk closes the stream.
    #[serde(default)]
    pub include_usage: Option<bool>,
}

impl ChatRequest {
    /// The request's own output limit in tokens, if it has one.
    #[must_use]
    pub fn output_limit(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// How many choices are produced, from 1 to [`MAX_CHOICES`].
    #[must_use]
    pub fn choices(&self) -> u64 {
        self.n.unwrap_or(1).clamp(1, MAX_CHOICES)
    }

    /// Whether the answer is streamed.
    #[must_use]
    pub fn streamed(&self) -> bool {
        self.stream == Some(true)
    }

    /// Whether a stream ends with a usage chunk.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true)
    }
}

/// Input tokens of a request: bytes of all message texts, at least 1.
#[must_use]
pub fn prompt_tokens(request: &ChatRequest) -> u64 {
    let bytes: usize = request
        .messages
        .iter()
        .map(|message| match &message.content {
            None => 0,
            Some(Content::Text(text)) => text.len(),
            Some(Content::Parts(parts)) => {
                parts.iter().map(|part| part.text.as_ref().map_or(0, String::len)).sum()
            }
        })
        .sum();
    u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
}

/// Output tokens of one choice: the request's limit, but at most
/// [`DEFAULT_COMPLETION_TOKENS`].
#[must_use]
pub fn completion_tokens(request: &ChatRequest) -> u64 {
    request.output_limit().unwrap_or(DEFAULT_COMPLETION_TOKENS).min(DEFAULT_COMPLETION_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, prompt: u64, completion: u64) {
        let request: ChatRequest = serde_json::from_str(body).unwrap();
        assert_eq!((prompt_tokens(&request), completion_tokens(&request)), (prompt, completion));
    }

    #[test]
    fn usage_follows_the_documented_rule() {
        check(r#"{"model":"m","messages":[]}"#, 1, 16);
        check(r#"{"model":"m","messages":[{"role":"user","content":"hé"}]}"#, 3, 16);
        check(
            r#"{"model":"m","messages":[{"content":"ab"},{"content":"cde"}],"max_tokens":4}"#,
            5,
            4,
        );
        check(
            r#"{"model":"m","messages":[{"content":null}],"max_tokens":9,"max_completion_tokens":3}"#,
            1,
            3,
        );
        check(
            r#"{"model":"m","messages":[{"content":[{"type":"text","text":"abcd"},{"type":"image_url"}]}],
               "max_tokens":1000}"#,
            4,
            16,
        );
    }
}
