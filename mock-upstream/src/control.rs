//! Routes: the API that is mocked, and under `/_mock` the interface of the referee.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::delivery::{self, json_answer};
use crate::dialects::{models, problems};
use crate::fault::Fault;
use crate::operation::{self, Dialect, Operation};
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

/// The answer to what belongs to no operation: a success, so that whatever slips past a gateway
/// is not mistaken for a refusal.
const ELSEWHERE: &str = r#"{"mock":"nothing is served here"}"#;

async fn serve(State(mock): State<Arc<Mock>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_mock/") {
        return error(StatusCode::NOT_FOUND, "unknown_url", "The referee has no such page.");
    }
    let at_us = u64::try_from(mock.started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let arrival = mock.referee.arrived(recorded(&parts), at_us);
    let body = match axum::body::to_bytes(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(_) => {
            let message = "The body is too large or was cut off.";
            return error(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message);
        }
    };
    mock.referee.body_arrived(arrival, &body);
    let query = parts.uri.query().unwrap_or_default();
    let found = operation::route(&parts.method, parts.uri.path(), query, &parts.headers);
    let Some(route) = found else {
        mock.referee.came_elsewhere();
        return json_answer(StatusCode::OK, ELSEWHERE.to_owned());
    };
    let fault = match mock.fault(&parts) {
        Ok(fault) => fault,
        Err(problem) => return error(StatusCode::BAD_REQUEST, "bad_fault", &problem),
    };
    match route.operation {
        Operation::Models => json_answer(StatusCode::OK, models::all(route.dialect)),
        Operation::Model => {
            match models::one(route.dialect, route.model.as_deref().unwrap_or_default()) {
                Some(model) => json_answer(StatusCode::OK, model),
                None => delivery::problem(
                    route.dialect,
                    StatusCode::NOT_FOUND,
                    "model_not_found",
                    "There is no such model.",
                ),
            }
        }
        _ => delivery::answer(&body, &route, fault, Arc::clone(&mock.referee), arrival).await,
    }
}

/// An error that belongs to no API in particular.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    json_answer(status, problems::body(Dialect::OpenAi, status, code, message))
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
        Err(problem) => error(StatusCode::BAD_REQUEST, "bad_fault", &problem),
    }
}
