//! Answers of the chat endpoint, plain and streamed, in health and with faults.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::referee::{Arrival, Referee};
use crate::rule::{self, ChatRequest};
use crate::sse::{self, StreamHead};

/// `created` of every answer. Fixed, so that the same request has the same answer, byte for byte.
pub const CREATED_UNIX_SECONDS: u64 = 1_700_000_000;

/// What is written before a cut must leave the process first: an error in a body makes the server
/// drop what it had buffered.
const FLUSH_BEFORE_CUT: Duration = Duration::from_millis(20);

/// Marks a response that the connection loop must not write: it closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub struct Hangup;

/// Everything about one answer that is decided before its first byte.
#[derive(Debug, Clone)]
struct Plan {
    model: String,
    choices: u64,
    /// Content deltas over all choices.
    deltas: u64,
    finish_reason: &'static str,
    prompt_tokens: u64,
    /// As reported; at least `deltas` unless a fault says otherwise.
    completion_tokens: u64,
    usage: Option<Value>,
}

/// An OpenAI error answer.
#[must_use]
pub fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    (status, axum::Json(body)).into_response()
}

/// Answers one chat request; `body` is the whole request body.
pub async fn answer(
    body: &[u8],
    fault: Fault,
    referee: Arc<Referee>,
    arrival: Arrival,
) -> Response {
    if let Some(delay) = fault.delay {
        tokio::time::sleep(delay).await;
    }
    if fault.connect_reset {
        let mut response = StatusCode::BAD_GATEWAY.into_response();
        response.extensions_mut().insert(Hangup);
        return response;
    }
    if let Some(status) = fault.status {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return error(status, "mock_fault", "The mock upstream was told to fail.");
    }
    let request: ChatRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(problem) => {
            return error(StatusCode::BAD_REQUEST, "invalid_json", &problem.to_string());
        }
    };
    let plan = plan(&request, body.len(), &fault);
    referee.began(arrival, &plan.model, plan.prompt_tokens);
    let running = Running { referee, arrival, model: plan.model.clone(), complete: false };
    if request.streamed() {
        streamed(plan, request.wants_usage(), &fault, running)
    } else {
        plain(&plan, &fault, running)
    }
}

fn plan(request: &ChatRequest, body_bytes: usize, fault: &Fault) -> Plan {
    let choices = request.choices();
    let per_choice = fault.tokens.unwrap_or_else(|| rule::completion_tokens(request));
    let deltas = per_choice * choices;
    let (prompt_tokens, completion_tokens) = if fault.usage_is_reservation {
        let limit = request.output_limit().unwrap_or(per_choice);
        (u64::try_from(body_bytes).unwrap_or(u64::MAX), limit.saturating_mul(choices))
    } else {
        (rule::prompt_tokens(request), deltas)
    };
    let usage = (!fault.no_usage).then(|| {
        json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens.saturating_add(completion_tokens),
            "prompt_tokens_details": {
                "cached_tokens": fault.cached.unwrap_or(0).min(prompt_tokens),
                "audio_tokens": 0,
            },
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        })
    });
    let cut_short = request.output_limit().is_some_and(|limit| limit <= per_choice);
    Plan {
        model: request.model.clone(),
        choices,
        deltas,
        finish_reason: if cut_short { "length" } else { "stop" },
        prompt_tokens,
        completion_tokens,
        usage,
    }
}

fn plain(plan: &Plan, fault: &Fault, mut running: Running) -> Response {
    let text = "tok ".repeat(usize::try_from(plan.deltas / plan.choices).unwrap_or(0));
    let choices: Vec<Value> = (0..plan.choices)
        .map(|index| {
            json!({
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": null},
                "logprobs": null,
                "finish_reason": plan.finish_reason,
            })
        })
        .collect();
    let mut body = json!({
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": CREATED_UNIX_SECONDS,
        "model": plan.model,
        "choices": choices,
    });
    if let Some(usage) = &plan.usage {
        body["usage"] = usage.clone();
    }
    let text = body.to_string();
    // A plain answer is written in one piece: all of it was produced, even if a cut loses its end.
    running.produced(plan.completion_tokens.max(plan.deltas));
    let length = text.len();
    let body = match fault.cut.and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(cut) if cut < length => cut_body(Bytes::from(text).slice(..cut), running),
        _ => {
            running.complete = true;
            Body::from(text)
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn cut_body(head: Bytes, running: Running) -> Body {
    let state = (Some(head), running);
    Body::from_stream(futures_util::stream::unfold(state, |(head, running)| async move {
        match head {
            Some(head) => Some((Ok(head), (None, running))),
            None => Some((Err(cut().await), (None, running))),
        }
    }))
}

async fn cut() -> std::io::Error {
    tokio::time::sleep(FLUSH_BEFORE_CUT).await;
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut by a fault")
}

fn streamed(plan: Plan, wants_usage: bool, fault: &Fault, running: Running) -> Response {
    let head = StreamHead {
        id: "chatcmpl-mock".to_owned(),
        model: plan.model.clone(),
        with_usage: wants_usage,
    };
    let stream = Stream {
        usage: plan.usage.clone().filter(|_| wants_usage),
        plan,
        head,
        chunk_delay: fault.chunk_delay,
        cut: fault.cut,
        sent: 0,
        running,
    };
    let body = Body::from_stream(futures_util::stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|item| (item, stream))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A stream being written: roles, deltas, finishes, usage, `[DONE]`, in this order.
struct Stream {
    plan: Plan,
    head: StreamHead,
    usage: Option<Value>,
    chunk_delay: Option<Duration>,
    cut: Option<u64>,
    /// Chunks written so far; decides which one is next.
    sent: u64,
    running: Running,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        let (choices, deltas) = (self.plan.choices, self.plan.deltas);
        let position = self.sent;
        self.sent += 1;
        if position < choices {
            return Some(Ok(self.head.role(position)));
        }
        let position = position - choices;
        if self.cut == Some(position) {
            return Some(Err(cut().await));
        }
        if position < deltas {
            if let Some(delay) = self.chunk_delay {
                tokio::time::sleep(delay).await;
            }
            self.running.produced(1);
            return Some(Ok(self.head.delta(position % choices)));
        }
        let position = position - deltas;
        if position == 0 {
            // Tokens that are billed without having been shown, as those of a reasoning model.
            self.running.produced(self.plan.completion_tokens.saturating_sub(deltas));
        }
        if position < choices {
            return Some(Ok(self.head.finish(position, self.plan.finish_reason)));
        }
        if let Some(usage) = self.usage.take() {
            return Some(Ok(self.head.usage(&usage)));
        }
        if self.running.complete {
            return None;
        }
        self.running.complete = true;
        Some(Ok(sse::done()))
    }
}

/// Reports the end of an answer to the referee however it ends, also when its client left.
struct Running {
    referee: Arc<Referee>,
    arrival: Arrival,
    model: String,
    complete: bool,
}

impl Running {
    fn produced(&self, completion_tokens: u64) {
        if completion_tokens > 0 {
            self.referee.produced(self.arrival, &self.model, completion_tokens);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.referee.ended(self.arrival, self.complete);
    }
}

/// The model list; fixed, since this upstream serves any name.
#[must_use]
pub fn models() -> Response {
    let models: Vec<Value> = ["mock-small", "mock-large"]
        .iter()
        .map(|id| {
            json!({"id": id, "object": "model", "created": CREATED_UNIX_SECONDS, "owned_by": "mock"})
        })
        .collect();
    axum::Json(json!({"object": "list", "data": models})).into_response()
}
