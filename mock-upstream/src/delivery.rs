//! How an answer leaves: whole or streamed, in health and with faults, under the referee's eyes.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::ask::{Ask, Delivery};
use crate::dialects::{anthropic, chat, embeddings, gemini, problems, responses};
use crate::fault::Fault;
use crate::operation::{Dialect, Operation, Route};
use crate::referee::{Arrival, Input, Referee};
use crate::rule::{self, Plan};
use crate::script::{Piece, Script};

/// What is written before a cut must leave the process first: an error in a body makes the server
/// drop what it had buffered.
const FLUSH_BEFORE_CUT: Duration = Duration::from_millis(20);

/// Marks a response that the connection loop must not write: it closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub struct Hangup;

/// What providers say of the limits of the account that is used: an account that the users of a
/// gateway share, so none of it may reach them.
const OPENAI_ACCOUNT: [(&str, &str); 3] = [
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-reset-requests", "6ms"),
];
const ANTHROPIC_ACCOUNT: [(&str, &str); 3] = [
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z"),
];

/// A JSON answer.
#[must_use]
pub fn json_answer(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An error answer in the form of an API.
#[must_use]
pub fn problem(dialect: Dialect, status: StatusCode, code: &str, message: &str) -> Response {
    json_answer(status, problems::body(dialect, status, code, message))
}

/// Answers a request for tokens; `body` is the whole request body.
pub async fn answer(
    body: &[u8],
    route: &Route,
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
        return failure(route.dialect, status, &fault);
    }
    let ask = match Ask::read(route, body) {
        Ok(ask) => ask,
        Err(problem_text) => {
            return problem(route.dialect, StatusCode::BAD_REQUEST, "invalid_json", &problem_text);
        }
    };
    let plan = rule::plan(ask, route.azure, body.len(), &fault);
    let mut response = match route.operation {
        Operation::CountMessages => json_answer(StatusCode::OK, anthropic::count(&plan)),
        Operation::CountTokens => json_answer(StatusCode::OK, gemini::count(&plan)),
        _ => {
            let input = Input {
                tokens: plan.prompt_tokens,
                cached: plan.cached_tokens,
                cache_write: plan.cache_write_tokens,
                searches: if route.dialect == Dialect::Anthropic { plan.searches } else { 0 },
            };
            referee.began(arrival, &plan.ask.model, input);
            let model = plan.ask.model.clone();
            let running = Running { referee, arrival, model, complete: false };
            if plan.ask.delivery == Delivery::Plain {
                whole(&plan, plain(route, &plan), &fault, running)
            } else {
                streamed(route, &plan, &fault, running)
            }
        }
    };
    let (name, id) = match route.dialect {
        Dialect::Anthropic => ("request-id", plan.id("req_")),
        Dialect::OpenAi => ("x-request-id", plan.id("req_")),
        Dialect::Gemini => return response,
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static(name), id);
    }
    let account = if route.dialect == Dialect::OpenAi { OPENAI_ACCOUNT } else { ANTHROPIC_ACCOUNT };
    for (name, value) in account {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn failure(dialect: Dialect, status: u16, fault: &Fault) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response =
        problem(dialect, status, "mock_fault", "The mock upstream was told to fail.");
    let headers = response.headers_mut();
    if let Some(seconds) = fault.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if fault.no_retry {
        headers
            .insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    }
    response
}

fn plain(route: &Route, plan: &Plan) -> String {
    match route.operation {
        Operation::Completions => chat::plain(plan, chat::Form::Text),
        Operation::Responses => responses::plain(plan),
        Operation::Embeddings => embeddings::openai(plan),
        Operation::Embed | Operation::BatchEmbed => embeddings::gemini(plan, route.operation),
        Operation::Messages => anthropic::plain(plan),
        Operation::Generate => gemini::plain(plan),
        _ => chat::plain(plan, chat::Form::Chat),
    }
}

fn script(route: &Route, plan: &Plan) -> Script {
    match route.operation {
        Operation::Completions => chat::script(plan, chat::Form::Text),
        Operation::Responses => responses::script(plan),
        Operation::Messages => anthropic::script(plan),
        Operation::GenerateEvents | Operation::GenerateArray => gemini::script(plan),
        _ => chat::script(plan, chat::Form::Chat),
    }
}

fn whole(plan: &Plan, text: String, fault: &Fault, mut running: Running) -> Response {
    // A plain answer is written in one piece: all of it was produced, even if a cut loses its end.
    let shown = (plan.text_tokens + plan.thought_tokens) * plan.ask.choices;
    let produced = if plan.ask.vectors > 0 { 0 } else { plan.completion_tokens.max(shown) };
    running.produced(produced);
    let bytes = if fault.gzip { gzipped(text.as_bytes()) } else { Bytes::from(text) };
    let length = bytes.len();
    let body = match fault.cut.and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(cut) if cut < length => cut_body(bytes.slice(..cut), running),
        _ => {
            running.complete = true;
            Body::from(bytes)
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    mark_gzip(headers, fault);
    response
}

fn mark_gzip(headers: &mut HeaderMap, fault: &Fault) {
    if fault.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

fn gzipped(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    let _ = encoder.write_all(bytes);
    Bytes::from(encoder.finish().unwrap_or_default())
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

fn streamed(route: &Route, plan: &Plan, fault: &Fault, running: Running) -> Response {
    let delivery = plan.ask.delivery;
    let shown = (plan.text_tokens + plan.thought_tokens) * plan.ask.choices;
    let stream = Stream {
        script: Some(script(route, plan)),
        unseen: plan.completion_tokens.saturating_sub(shown),
        sent: 0,
        deltas: 0,
        fault: fault.clone(),
        error: fault.error_after.map(|_| (route.clone(), delivery)),
        encoder: fault.gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
        running,
    };
    let body = Body::from_stream(futures_util::stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|item| (item, stream))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = match (delivery, route.dialect) {
        (Delivery::Array, _) => "application/json; charset=UTF-8",
        (_, Dialect::Gemini) => "text/event-stream",
        _ => "text/event-stream; charset=utf-8",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    mark_gzip(headers, fault);
    response
}

/// A stream being written.
struct Stream {
    /// What is still to be written; nothing after an error event.
    script: Option<Script>,
    /// Tokens that are billed without having been shown.
    unseen: u64,
    /// Pieces written so far.
    sent: u64,
    /// Content deltas written so far.
    deltas: u64,
    fault: Fault,
    /// For the event of `error_after`.
    error: Option<(Route, Delivery)>,
    encoder: Option<GzEncoder<Vec<u8>>>,
    running: Running,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        let Some(mut script) = self.script.take() else { return self.end() };
        let over = script.output_is_over();
        // What happens after no deltas happens where the first one would come.
        let deltas = Some(self.deltas).filter(|sent| *sent > 0 || script.next_is_delta());
        if deltas.is_some() && self.fault.cut == deltas {
            return Some(Err(cut().await));
        }
        if deltas.is_some()
            && self.fault.error_after == deltas
            && let Some((route, delivery)) = self.error.take()
        {
            let event = problems::event(&route, delivery, self.sent > 0);
            return Some(Ok(self.encoded(Bytes::from(event))));
        }
        if over {
            self.running.produced(std::mem::take(&mut self.unseen));
        }
        let Some(piece) = script.next_piece() else { return self.end() };
        self.script = Some(script);
        self.sent += 1;
        let bytes = match piece {
            Piece::Fixed(bytes) => bytes,
            Piece::Delta(bytes, tokens) => {
                if let Some(delay) = self.fault.chunk_delay {
                    tokio::time::sleep(delay).await;
                }
                self.deltas += 1;
                self.running.produced(tokens);
                bytes
            }
        };
        Some(Ok(self.encoded(bytes)))
    }

    fn encoded(&mut self, bytes: Bytes) -> Bytes {
        let Some(encoder) = &mut self.encoder else { return bytes };
        // Into memory; a flush after each piece, as servers of streams do.
        let _ = encoder.write_all(&bytes);
        let _ = encoder.flush();
        Bytes::from(std::mem::take(encoder.get_mut()))
    }

    /// The end of the encoding, if there is one, and of the stream.
    fn end(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        self.running.complete = true;
        let rest = self.encoder.take()?.finish().unwrap_or_default();
        Some(Ok(Bytes::from(rest)))
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
