//! Errors in the form of each API, as answers and within streams.

use axum::http::StatusCode;

use crate::ask::Delivery;
use crate::dialects::gemini;
use crate::json_text::Object;
use crate::operation::{Dialect, Operation, Route};
use crate::script::{data, named};

/// The body of an error answer.
#[must_use]
pub fn body(dialect: Dialect, status: StatusCode, code: &str, message: &str) -> String {
    match dialect {
        Dialect::OpenAi => {
            let kind =
                if status.is_server_error() { "server_error" } else { "invalid_request_error" };
            let error = Object::new()
                .text("message", message)
                .text("type", kind)
                .null("param")
                .text("code", code);
            Object::new().raw("error", &error.end()).end()
        }
        Dialect::Anthropic => {
            let error =
                Object::new().text("type", anthropic_type(status)).text("message", message).end();
            Object::new()
                .text("type", "error")
                .raw("error", &error)
                .text("request_id", "req_mock")
                .end()
        }
        Dialect::Gemini => {
            let error = Object::new()
                .number("code", status.as_u16().into())
                .text("message", message)
                .text("status", google_status(status));
            Object::new().raw("error", &error.end()).end()
        }
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn google_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

/// The error that ends a stream under status 200; `begun` if anything was sent before it.
#[must_use]
pub fn event(route: &Route, delivery: Delivery, begun: bool) -> String {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let message = "The mock upstream was told to fail.";
    let body = body(route.dialect, status, "mock_fault", message);
    match route.dialect {
        Dialect::OpenAi if route.operation == Operation::Responses => {
            let error = Object::new()
                .text("type", "error")
                .text("code", "mock_fault")
                .text("message", message)
                .null("param")
                .number("sequence_number", 0);
            named("error", &error.end())
        }
        Dialect::OpenAi => data(&body),
        Dialect::Anthropic => named("error", &body),
        Dialect::Gemini => {
            let end = if delivery == Delivery::Array { "\n]" } else { "" };
            gemini::framed(delivery, &body, !begun) + end
        }
    }
}
