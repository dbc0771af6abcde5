//! Answers, and the only map from errors to status codes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use wire::v1::{Problem, ProblemBody};

use crate::app::{AdminError, FilterError};
use crate::store::StoreError;

/// Seconds after which a filter or an administrator may try again when the store is not there.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An answer of the filter API that is not 2xx.
#[derive(Debug)]
pub struct FilterProblem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl FilterProblem {
    /// 401: the filter's token is missing or wrong.
    pub fn bad_token() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: Problem::BAD_FILTER_TOKEN,
            message: "the filter's bearer token is missing or wrong".to_owned(),
        }
    }

    /// The body or query is not a message of this API.
    pub fn bad_message(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, code: Problem::BAD_MESSAGE, message: message.into() }
    }
}

impl From<FilterError> for FilterProblem {
    fn from(error: FilterError) -> Self {
        let (status, code) = match &error {
            FilterError::UnknownHolder => (StatusCode::CONFLICT, Problem::UNKNOWN_HOLDER),
            FilterError::OtherEpoch => (StatusCode::CONFLICT, Problem::OTHER_EPOCH),
            FilterError::UnsupportedProtocol => {
                (StatusCode::UPGRADE_REQUIRED, Problem::UNSUPPORTED_PROTOCOL)
            }
            FilterError::BadMessage(_) => (StatusCode::BAD_REQUEST, Problem::BAD_MESSAGE),
            FilterError::TooManyHolders
            | FilterError::Ledger(_)
            | FilterError::Store(_)
            | FilterError::Entropy(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Problem::STORE_UNAVAILABLE)
            }
        };
        let message = match &error {
            FilterError::Store(cause) => unavailable(cause),
            other => other.to_string(),
        };
        if let FilterError::Ledger(_) = &error {
            tracing::error!(%error, "a filter's request was rolled back");
        }
        Self { status, code, message }
    }
}

impl IntoResponse for FilterProblem {
    fn into_response(self) -> Response {
        let body =
            Problem { error: ProblemBody { code: self.code.to_owned(), message: self.message } };
        with_headers(self.status, (self.status, Json(body)).into_response())
    }
}

/// An answer of the admin API that is not 2xx.
#[derive(Debug)]
pub struct AdminProblem {
    status: StatusCode,
    error: Value,
    /// Seconds after which to try again, where that is known.
    retry_after_s: Option<u64>,
}

impl AdminProblem {
    /// One error in the envelope that every error has.
    pub fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        param: Option<&str>,
    ) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "service_unavailable",
            _ => "invalid_request_error",
        };
        Self {
            status,
            error: json!({
                "message": message.into(), "type": kind, "param": param, "code": code,
            }),
            retry_after_s: None,
        }
    }

    /// 401: the token is missing or wrong.
    pub fn bad_token() -> Self {
        let message = "the token is missing or wrong: send Authorization: Bearer with the admin \
                       token (tga_…) or a personal one (tgp_…)";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_admin_token", message, None)
    }

    /// 408: the body did not come in time.
    pub fn body_timeout() -> Self {
        let message = "the body of the request did not come in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message, None)
    }

    /// 409, which nobody sees: the earlier answer takes its place.
    pub fn answered_before() -> Self {
        let message = "the same request was carried out before";
        Self::new(StatusCode::CONFLICT, "idempotent_replay", message, None)
    }

    /// 429: too many sign-ins have failed.
    pub fn too_many_attempts(retry_after_ms: u64) -> Self {
        let message =
            "too many attempts with unknown tokens or keys have come from here, or with this one";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let retry_after_s = Some(retry_after_ms.div_ceil(1_000).max(1));
        Self { retry_after_s, ..Self::new(status, "too_many_attempts", message, None) }
    }
}

impl From<AdminError> for AdminProblem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Invalid(problems) => {
                let said = problems.iter().map(|p| format!("{}: {}", p.param, p.message));
                let message = said.collect::<Vec<_>>().join("; ");
                let first = problems.first();
                let code = first.map_or("invalid_field", |problem| problem.code);
                let param = first.map(|problem| problem.param.as_str());
                let mut answer = Self::new(StatusCode::BAD_REQUEST, code, message, param);
                let all = problems
                    .iter()
                    .map(|p| json!({"param": p.param, "code": p.code, "message": p.message}));
                if let Some(error) = answer.error.as_object_mut() {
                    error.insert("problems".to_owned(), all.collect());
                }
                answer
            }
            AdminError::NotFound { .. } => {
                Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string(), None)
            }
            AdminError::SignIn { code, message } => {
                Self::new(StatusCode::UNAUTHORIZED, code, message, None)
            }
            AdminError::Forbidden { code, message, param } => {
                Self::new(StatusCode::FORBIDDEN, code, message, param.as_deref())
            }
            AdminError::Conflict { code, message, param } => {
                Self::new(StatusCode::CONFLICT, code, message, param.as_deref())
            }
            AdminError::OtherVersion { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                error.to_string(),
                None,
            ),
            AdminError::Store(cause) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                unavailable(&cause),
                None,
            ),
            AdminError::Entropy(_) | AdminError::Ledger(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                error.to_string(),
                None,
            ),
        }
    }
}

impl IntoResponse for AdminProblem {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.error}));
        let mut response = with_headers(self.status, (self.status, body).into_response());
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The cause goes to the log; the caller hears only that the store is not there.
fn unavailable(cause: &StoreError) -> String {
    tracing::error!(error = %cause, "store");
    match cause {
        StoreError::QueueFull | StoreError::TooManyReads | StoreError::Stopped => cause.to_string(),
        _ => "the store cannot answer now".to_owned(),
    }
}

fn with_headers(status: StatusCode, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}
