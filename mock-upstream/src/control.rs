//! Routes: the API that is mocked, and under `/_mock` the interface of the referee.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::chat;
use crate::fault::Fault;
use crate::referee::{KEPT_REQUESTS, RecordedRequest, Referee};

/// Largest request body that is read, in bytes: above every limit a gateway in front enforces, so
/// that such a limit is seen to be the gateway's.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Header with which one request chooses its faults.
pub const FAULT_HEADER: &str = "x-mock-fault";

/// State of one mock upstream, shared by its connections.
#[derive(Debug)]
pub struct Mock {
    /// The count.
    pub referee: Arc<Referee>,
    /// Zero of the times in the call log.
    started: Instant,
    /// Faults of requests that choose none themselves.
    standing_fault: Mutex<Fault>,
}

impl Default for Mock {
    fn default() -> Self {
        let standing_fault = Mutex::default();
        Self { referee: Arc::default(), started: Instant::now(), standing_fault }
    }
}

/// The router with everything this upstream answers.
pub fn router(mock: Arc<Mock>) -> Router {
    Router::new()
        .route("/_mock/stats", get(stats))
        .route("/_mock/requests", get(requests))
        .route("/_mock/calls", get(calls))
        .route("/_mock/reset", post(reset))
        .route("/_mock/config", post(config))
        .fallback(serve)
        .with_state(mock)
}

async fn serve(State(mock): State<Arc<Mock>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let at_us = u64::try_from(mock.started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let arrival = mock.referee.arrived(recorded(&parts), at_us);
    let body = match axum::body::to_bytes(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(_) => {
            return chat::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body is too large or was cut off.",
            );
        }
    };
    mock.referee.body_arrived(arrival, &body);
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/v1/chat/completions") => match mock.fault(&parts) {
            Ok(fault) => chat::answer(&body, fault, Arc::clone(&mock.referee), arrival).await,
            Err(problem) => chat::error(StatusCode::BAD_REQUEST, "bad_fault", &problem),
        },
        (&Method::GET, "/v1/models") => chat::models(),
        _ => chat::error(StatusCode::NOT_FOUND, "unknown_url", "Nothing is served here."),
    }
}

fn recorded(parts: &Parts) -> RecordedRequest {
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    RecordedRequest::head(parts.method.as_str(), &parts.uri.to_string(), headers)
}

impl Mock {
    fn fault(&self, parts: &Parts) -> Result<Fault, String> {
        match parts.headers.get(FAULT_HEADER) {
            Some(value) => Fault::parse(&String::from_utf8_lossy(value.as_bytes())),
            None => Ok(self.standing().clone()),
        }
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Fault> {
        self.standing_fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn stats(State(mock): State<Arc<Mock>>) -> axum::Json<Value> {
    let mut body = serde_json::to_value(mock.referee.counts()).unwrap_or(Value::Null);
    let last = mock.referee.recent(1).pop();
    body["last_request"] = serde_json::to_value(last).unwrap_or(Value::Null);
    axum::Json(body)
}

#[derive(Debug, Deserialize)]
struct RequestsQuery {
    limit: Option<usize>,
}

async fn requests(
    State(mock): State<Arc<Mock>>,
    Query(query): Query<RequestsQuery>,
) -> axum::Json<Value> {
    let recent = mock.referee.recent(query.limit.unwrap_or(KEPT_REQUESTS));
    axum::Json(json!({"requests": recent}))
}

async fn calls(State(mock): State<Arc<Mock>>) -> axum::Json<Value> {
    let (calls, missing) = mock.referee.calls();
    axum::Json(json!({"calls": calls, "missing": missing}))
}

async fn reset(State(mock): State<Arc<Mock>>) -> StatusCode {
    mock.referee.reset();
    *mock.standing() = Fault::default();
    StatusCode::NO_CONTENT
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Faults in the grammar of [`crate::fault`]; null for none.
    fault: Option<String>,
}

async fn config(State(mock): State<Arc<Mock>>, axum::Json(config): axum::Json<Config>) -> Response {
    match Fault::parse(config.fault.as_deref().unwrap_or("")) {
        Ok(fault) => {
            *mock.standing() = fault;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => chat::error(StatusCode::BAD_REQUEST, "bad_fault", &problem),
    }
}
