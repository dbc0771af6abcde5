//! On which terms a request is carried out, whatever it asks for: only on the version that its sender
//! has seen (`If-Match`, RFC 9110, section 13.1.1), and only once (`Idempotency-Key`). The answer
//! tells the version (`ETag`), and whether it is that of an earlier request.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::{BODY_BYTES, Caller};
use crate::app::{AdminError, Idempotency, IfMatch};
use crate::connections::TooSlow;
use crate::http::answer::AdminProblem;
use crate::http::conditions::{etag, idempotency, if_match};
use crate::http::edge::Edge;
use crate::live::lock;

/// Says that the request had been carried out before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer that is kept, at most: a description of the largest size, and what is added to it.
const ANSWER_BYTES: usize = 2 * BODY_BYTES;

/// Members of answers in which secrets are told, once.
const SECRETS: [&str; 3] = ["key", "token", "secret"];

/// The terms of one request, and what comes of them.
#[derive(Clone, Default)]
pub struct Terms {
    /// The version on which alone a change is meant.
    pub seen: Option<IfMatch>,
    /// By what the request is known where it is repeated.
    pub once: Option<Idempotency>,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Default)]
struct Noted {
    tag: Option<String>,
    earlier: Option<String>,
    carried_out: bool,
}

impl Terms {
    /// The version of what the answer shows.
    pub fn shows(&self, tag: Option<String>) {
        lock(&self.noted).tag = tag;
    }

    /// The same request was carried out before, with this answer.
    pub fn was_answered(&self, answer: String) {
        lock(&self.noted).earlier = Some(answer);
    }

    /// It is carried out now, and will be known.
    pub fn is_carried_out(&self) {
        lock(&self.noted).carried_out = true;
    }
}

/// Reads the terms for the handlers, and finishes the answer.
pub async fn on_terms(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        let (terms, request) = with(Terms::default(), request);
        return tagged(&terms, next.run(request).await);
    }
    match read(request).await {
        Ok((terms, request)) => {
            let answer = next.run(request).await;
            finished(&edge, &terms, tagged(&terms, answer)).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn with(terms: Terms, mut request: Request) -> (Terms, Request) {
    request.extensions_mut().insert(terms.clone());
    (terms, request)
}

async fn read(request: Request) -> Result<(Terms, Request), AdminProblem> {
    let (parts, body) = request.into_parts();
    let terms = Terms { seen: if_match(&parts.headers)?, ..Terms::default() };
    let sender = parts.extensions.get::<Caller>().map(|caller| caller.actor.name());
    if !parts.headers.contains_key(crate::http::conditions::IDEMPOTENCY_KEY) {
        return Ok(with(terms, Request::from_parts(parts, body)));
    }
    let bytes = to_bytes(body, BODY_BYTES).await.map_err(|error| {
        if TooSlow::caused(&error) {
            return AdminProblem::body_timeout();
        }
        let message = format!("a body has at most {BODY_BYTES} bytes");
        AdminProblem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message, None)
    })?;
    let asks = format!("{} {}", parts.method, parts.uri.path());
    let once = idempotency(&parts.headers, &sender.unwrap_or_default(), &asks, &bytes)?;
    let request = Request::from_parts(parts, Body::from(bytes));
    Ok(with(Terms { once, ..terms }, request))
}

/// Keys bring a tag of their own.
fn tagged(terms: &Terms, mut answer: Response) -> Response {
    let tag = lock(&terms.noted).tag.take().filter(|_| answer.status().is_success());
    if let Some(tag) = tag {
        answer.headers_mut().entry(header::ETAG).or_insert(etag(&tag));
    }
    answer
}

/// The earlier answer in the place of this one; or this one, kept for later without its secrets.
async fn finished(edge: &Edge, terms: &Terms, answer: Response) -> Response {
    let (earlier, carried_out) = {
        let mut noted = lock(&terms.noted);
        (noted.earlier.take(), noted.carried_out)
    };
    if let Some(earlier) = earlier {
        let earlier: Value = serde_json::from_str(&earlier).unwrap_or_default();
        return ([(REPLAYED, HeaderValue::from_static("true"))], Json(earlier)).into_response();
    }
    match &terms.once {
        Some(once) if carried_out && answer.status().is_success() => {
            kept(edge, *once, answer).await
        }
        _ => answer,
    }
}

async fn kept(edge: &Edge, once: Idempotency, answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let bytes = match to_bytes(body, ANSWER_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(%error, "an answer could not be kept for a repeated request");
            let message = "the change was made; its answer is too long to be kept and told";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return AdminProblem::new(status, "answer_too_long", message, None).into_response();
        }
    };
    if let Ok(mut told) = serde_json::from_slice::<Map<String, Value>>(&bytes) {
        told.retain(|name, _| !SECRETS.contains(&name.as_str()));
        let told = Value::Object(told).to_string();
        let saved: Result<(), AdminError> =
            edge.write(move |work| work.keep_answer(&once, told)).await;
        if let Err(error) = saved {
            // What stood there when the change was made is told instead.
            tracing::warn!(%error, "an answer could not be kept for a repeated request");
        }
    }
    Response::from_parts(parts, Body::from(bytes))
}
