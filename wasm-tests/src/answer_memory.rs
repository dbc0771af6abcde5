//! How much memory the filter needs for one answer, by its length: an answer passes by, so a long
//! one must need no more than a short one.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::exchange::Exchange;
use crate::gateway::{Gateway, MintedKey};
use crate::profile::Profile;
use crate::trace::TraceLevel;

/// Answers come from the upstream in pieces of this size; the shortest has one of them. A piece is in
/// memory as a whole, as it came and as it goes on.
const PIECE: usize = 8 << 10;

/// A form in which answers come.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Its name in the table.
    pub name: &'static str,
    path: &'static str,
    request: &'static str,
    content_type: &'static str,
    begin: &'static str,
    /// Repeated until the answer is as long as it is to be.
    repeated: &'static str,
    end: &'static str,
    /// What the client gets at the end, as far as it says that the usage was found.
    found: &'static str,
}

/// Every form.
pub const FORMS: &[Form] = &[
    Form {
        name: "chat, server-sent events",
        path: "/v1/chat/completions",
        request: r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"x"}],
                     "stream_options":{"include_usage":true}}"#,
        content_type: "text/event-stream",
        begin: "",
        repeated: "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        end: "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":20,\"total_tokens\":29}}\n\ndata: [DONE]\n\n",
        found: "\"cost_usd\":0.00001335}}\n\ndata: [DONE]\n\n",
    },
    Form {
        name: "chat, one JSON document",
        path: "/v1/chat/completions",
        request: r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}"#,
        content_type: "application/json",
        begin: r#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":""#,
        repeated: r"A line of the answer, with a \u00fc in it.\n",
        end: r#""}}],"usage":{"prompt_tokens":9,"completion_tokens":20,"total_tokens":29}}"#,
        found: "\"cost_usd\":0.00001335}}",
    },
    Form {
        name: "Gemini, an array of documents",
        path: "/v1beta/models/gpt-4o-mini:streamGenerateContent",
        request: r#"{"contents":[{"parts":[{"text":"x"}]}]}"#,
        content_type: "application/json",
        begin: "[",
        repeated: "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" token\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":1,\"totalTokenCount\":10}}\n,\r\n",
        end: "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\".\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":20,\"totalTokenCount\":29}}\n]",
        found: "\"cost_usd\":0.00001335}}\n]",
    },
];

/// What no honest upstream sends, each with two lengths that must need the same memory: of one event
/// a megabyte at most is held, and of a document's members none.
pub const HOSTILE: &[(Form, [usize; 2])] = &[
    (
        Form {
            name: "one giant event",
            path: "/v1/chat/completions",
            request: r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"x"}],
                         "stream_options":{"include_usage":true}}"#,
            content_type: "text/event-stream",
            begin: "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
            repeated: "a word of a giant event ",
            end: "\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":20,\"total_tokens\":29}}\n\ndata: [DONE]\n\n",
            found: "\"cost_usd\":0.00001335}}\n\ndata: [DONE]\n\n",
        },
        [3_000_000, 100_000_000],
    ),
    (
        Form {
            name: "a document of a million members",
            path: "/v1/chat/completions",
            request: r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}"#,
            content_type: "application/json",
            begin: r#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"content":"a"}}],"more":{"a":1"#,
            repeated: r#","b":1"#,
            end: r#"},"usage":{"prompt_tokens":9,"completion_tokens":20,"total_tokens":29}}"#,
            found: "\"cost_usd\":0.00001335}}",
        },
        [10_000, 6_000_000],
    ),
];

/// Most that a hostile answer may need more than was there, in bytes: a held event, and the same once
/// more where it grew.
pub const MOST_FOR_HOSTILE: u64 = 4 << 20;

/// The filter's memory after one answer.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    /// The form.
    pub name: &'static str,
    /// Length of the answer, in bytes.
    pub answer_bytes: usize,
    /// The guest's memory before the request, in bytes.
    pub before_bytes: u64,
    /// The same at the end of the answer. It never shrinks, so this is the most that was needed.
    pub after_bytes: u64,
}

impl Form {
    /// Sends an answer of at least this length through a fresh gateway whose key is known.
    pub fn measure(&self, answer_bytes: usize) -> Result<Needed> {
        let gateway = Gateway::start(Profile::envoy_stop_iteration(), 1)?;
        gateway.host().trace(|trace| trace.set_level(TraceLevel::Off));
        gateway.furnish()?;
        let key = gateway.mint_key(&json!({}))?;
        gateway.whole_chat(0, &key, (9, 2))?;
        let worker = gateway.workers().first().context("no worker")?;
        let before_bytes = worker.memory_bytes();
        let exchange = self.request(&gateway, &key)?;
        let headers = [(":status", "200"), ("content-type", self.content_type)];
        exchange.respond_headers(headers, false)?;
        let mut sent = 0;
        let mut piece = self.begin.to_owned();
        while sent + piece.len() < answer_bytes {
            piece.push_str(self.repeated);
            if piece.len() >= PIECE {
                let rest = piece.split_off(PIECE);
                sent += piece.len();
                exchange.respond_body(std::mem::replace(&mut piece, rest), false)?;
            }
        }
        piece.push_str(self.end);
        sent += piece.len();
        exchange.respond_body(piece, true)?;
        let end = exchange.last_chunk_to_client();
        let text = String::from_utf8_lossy(&end);
        ensure!(text.ends_with(self.found), "the usage was not found: {text}");
        let after_bytes = worker.memory_bytes();
        Ok(Needed { name: self.name, answer_bytes: sent, before_bytes, after_bytes })
    }

    fn request(&self, gateway: &Gateway, key: &MintedKey) -> Result<Exchange> {
        let worker = gateway.workers().first().context("no worker")?;
        let length = self.request.len().to_string();
        let headers = [
            (":method", "POST"),
            (":path", self.path),
            (":authority", "gateway"),
            (":scheme", "http"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
            ("api-key", key.secret.as_str()),
        ];
        Ok(worker.request(headers).body([self.request]).send()?)
    }
}

/// A table for a reader.
pub fn render(needed: &[Needed]) -> String {
    let head = format!("{:<30} {:>11} {:>11} {:>11}\n", "answer", "bytes", "before", "after");
    needed.iter().fold(head, |table, needed| {
        let Needed { name, answer_bytes, before_bytes, after_bytes } = needed;
        table + &format!("{name:<30} {answer_bytes:>11} {before_bytes:>11} {after_bytes:>11}\n")
    })
}
