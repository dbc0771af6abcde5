//! The text of an OpenAI chat stream, one event at a time.

use bytes::Bytes;
use serde_json::{Value, json};

/// What stays the same in every chunk of one stream.
#[derive(Debug, Clone)]
pub struct StreamHead {
    /// Completion id.
    pub id: String,
    /// Model as asked for.
    pub model: String,
    /// Whether the client asked for usage: then every chunk carries the member `usage`.
    pub with_usage: bool,
}

impl StreamHead {
    /// The first chunk of a choice: its role and an empty text.
    #[must_use]
    pub fn role(&self, choice: u64) -> Bytes {
        self.choice(choice, &json!({"role": "assistant", "content": ""}), &Value::Null)
    }

    /// One completion token.
    #[must_use]
    pub fn delta(&self, choice: u64) -> Bytes {
        self.choice(choice, &json!({"content": "tok "}), &Value::Null)
    }

    /// The last chunk of a choice.
    #[must_use]
    pub fn finish(&self, choice: u64, reason: &str) -> Bytes {
        self.choice(choice, &json!({}), &json!(reason))
    }

    /// The chunk that has no choices and carries the usage.
    #[must_use]
    pub fn usage(&self, usage: &Value) -> Bytes {
        let mut chunk = self.chunk(&json!([]));
        chunk["usage"] = usage.clone();
        event(&chunk)
    }

    fn choice(&self, index: u64, delta: &Value, finish_reason: &Value) -> Bytes {
        let mut chunk = self.chunk(&json!([
            {"index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason}
        ]));
        if self.with_usage {
            chunk["usage"] = Value::Null;
        }
        event(&chunk)
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": crate::chat::CREATED_UNIX_SECONDS,
            "model": self.model,
            "choices": choices,
        })
    }
}

/// The event that ends every complete stream.
#[must_use]
pub fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

fn event(chunk: &Value) -> Bytes {
    Bytes::from(format!("data: {chunk}\n\n"))
}
