//! What long lists cost for each of their bytes: tokens of a request for embeddings, the vectors of its
//! answer, and members that mean nothing to the filter.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::gateway::Gateway;
use crate::profile::Profile;
use crate::scan::Scanned;
use crate::trace::{Phase, TraceLevel};

const MEBIBYTE: usize = 1 << 20;
/// Requests and answers reach the filter in pieces of this size.
const PIECE: usize = 64 << 10;

/// A request and its answer, of which one is long.
struct Long {
    name: &'static str,
    /// The most instructions that one of its bytes may take.
    ceiling: f64,
    path: &'static str,
    request: fn() -> String,
    answer: fn() -> String,
}

const USAGE: &str = r#""usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}"#;

const LONG: &[Long] = &[
    Long {
        name: "1 MiB of tokens to embed",
        ceiling: 40.0,
        path: "/v1/embeddings",
        request: || {
            let prompt = format!("[{}]", vec!["12345"; 8_000].join(","));
            embed(&vec![prompt.as_str(); MEBIBYTE / prompt.len()].join(","))
        },
        answer: || format!("{{{USAGE}}}"),
    },
    Long {
        name: "1 MiB of metadata",
        ceiling: 58.0,
        path: "/v1/chat/completions",
        request: || chat(&format!("\"metadata\":{{{}}},", members(r#""a":0"#))),
        answer: || format!("{{{USAGE}}}"),
    },
    Long {
        name: "answer: 1 MiB of vectors",
        ceiling: 28.0,
        path: "/v1/embeddings",
        request: || embed("1"),
        answer: || {
            let vector = vec!["-0.0123456"; 3_072].join(",");
            let item = format!(r#"{{"object":"embedding","index":0,"embedding":[{vector}]}}"#);
            let items = vec![item.as_str(); MEBIBYTE / item.len()].join(",");
            format!(r#"{{"object":"list","data":[{items}],{USAGE}}}"#)
        },
    },
    Long {
        name: "answer: 1 MiB of members",
        ceiling: 39.0,
        path: "/v1/chat/completions",
        request: || chat(""),
        answer: || {
            let members = members(r#""member of many kinds":[1,{}]"#);
            format!(r#"{{"id":"c","choices":[],"more":{{{members}}},{USAGE}}}"#)
        },
    },
];

fn members(member: &str) -> String {
    vec![member; MEBIBYTE / (member.len() + 1)].join(",")
}

fn embed(input: &str) -> String {
    format!(r#"{{"model":"gpt-4o-mini","input":[{input}]}}"#)
}

fn chat(more: &str) -> String {
    format!(r#"{{"model":"gpt-4o-mini",{more}"messages":[{{"role":"user","content":"x"}}]}}"#)
}

/// Sends every one of them through the shipped filter.
pub fn measure_all() -> Result<Vec<Scanned>> {
    LONG.iter().map(|long| long.measure().with_context(|| long.name)).collect()
}

impl Long {
    fn measure(&self) -> Result<Scanned> {
        let profile = Profile::envoy_stop_iteration().with_buffer_limit_bytes(16 * MEBIBYTE);
        let gateway = Gateway::start(profile, 1)?;
        gateway.host().trace(|trace| trace.set_level(TraceLevel::Off));
        gateway.furnish()?;
        let key = gateway.mint_key(&json!({}))?;
        gateway.whole_chat(0, &key, (9, 2))?;
        let (request, answer) = ((self.request)(), (self.answer)());
        let worker = gateway.workers().first().context("no worker")?;
        let length = request.len().to_string();
        let headers = [
            (":method", "POST"),
            (":path", self.path),
            (":authority", "gateway"),
            (":scheme", "http"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
            ("api-key", key.secret.as_str()),
        ];
        gateway.host().reset_meter();
        let exchange = worker.request(headers).body(request.as_bytes().chunks(PIECE)).send()?;
        let sent = exchange.forwarded().body().len();
        ensure!(sent == request.len(), "{sent} bytes went on: {}", exchange.client().text());
        exchange
            .respond_headers([(":status", "200"), ("content-type", "application/json")], false)?;
        for piece in answer.as_bytes().chunks(PIECE) {
            exchange.respond_body(piece, false)?;
        }
        exchange.respond_body("", true)?;
        ensure!(exchange.client().text().contains("cost_usd"), "the usage was not found");
        let (phase, bytes) = if request.len() > answer.len() {
            (Phase::RequestBody, request.len())
        } else {
            (Phase::ResponseBody, answer.len())
        };
        let fuel = gateway.host().meter().of_all(&[phase]).fuel;
        Ok(Scanned { name: self.name, bytes: bytes as u64, fuel, ceiling: self.ceiling })
    }
}
