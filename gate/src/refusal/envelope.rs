//! The form that an error has in each API, so that its official SDKs raise their own class for it
//! and find the code where they look.

use metering::usage::AnswerFormat;
use serde_json::{Value, json};

use super::shape::{Kind, Shape};
use crate::dialect::Dialect;
use crate::io::Reply;

/// Above this, a client is told not to try again by itself, in seconds: some SDKs would hold the
/// call for as long as it says, others take a longer time for none and come back at once, and
/// OpenAI's newest gives up above two minutes. All but Google's, which never look, obey the word.
const LONGEST_WAIT_S: u64 = 60;
/// In whose name the reasons of Google's errors are meant (`google.rpc.ErrorInfo.domain`).
const DOMAIN: &str = "tollgate";

/// The whole answer.
pub(super) fn reply(shape: &Shape, dialect: Dialect, request_id: &str) -> Reply {
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("x-tollgate-request-id", request_id.to_owned()),
        (dialect.request_id_header(), request_id.to_owned()),
    ];
    if shape.kind == Kind::Authentication {
        headers.push(("www-authenticate", "Bearer realm=\"tollgate\"".to_owned()));
    }
    if let Some(seconds) = shape.retry_after_s {
        headers.push(("retry-after", seconds.to_string()));
    }
    if shape.hopeless || shape.retry_after_s.is_some_and(|seconds| seconds > LONGEST_WAIT_S) {
        headers.push(("x-should-retry", "false".to_owned()));
    }
    let mut body = document(shape, dialect);
    if dialect == Dialect::Anthropic
        && let Some(members) = body.as_object_mut()
    {
        members.insert("request_id".to_owned(), json!(request_id));
    }
    Reply { status: shape.kind.status(), headers, body: body.to_string().into_bytes() }
}

/// The event that ends a stream. Each SDK takes it for an error in its own way: Anthropic's by the
/// event's name, OpenAI's by the member `error` alone, and Google's break on any name at all.
pub(super) fn event(shape: &Shape, format: AnswerFormat, sequence_number: u64) -> Vec<u8> {
    let body = document(shape, Dialect::of(format));
    match format {
        AnswerFormat::OpenAiResponses => {
            // The documented members stand in the event itself. OpenAI's SDKs raise nothing for
            // those: they look for `error`, as in chat.
            let event = json!({
                "type": "error",
                "code": shape.code,
                "message": shape.message,
                "param": shape.param,
                "sequence_number": sequence_number,
                "error": openai_error(shape),
            });
            format!("event: error\ndata: {event}\n\n")
        }
        AnswerFormat::AnthropicMessages => format!("event: error\ndata: {body}\n\n"),
        AnswerFormat::OpenAiChat
        | AnswerFormat::OpenAiEmbeddings
        | AnswerFormat::GeminiGenerate
        | AnswerFormat::GeminiEmbed => format!("data: {body}\n\n"),
    }
    .into_bytes()
}

/// The error as an element of an array of answers.
pub(super) fn element(shape: &Shape, format: AnswerFormat) -> Vec<u8> {
    document(shape, Dialect::of(format)).to_string().into_bytes()
}

/// The error as a document of its own.
fn document(shape: &Shape, dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAi => json!({"error": openai_error(shape)}),
        Dialect::Anthropic => {
            let mut details = json!({"error_code": shape.code});
            if let (Some(param), Some(members)) = (&shape.param, details.as_object_mut()) {
                members.insert("param".to_owned(), json!(param));
            }
            json!({"type": "error", "error": {
                "type": anthropic_type(shape.kind),
                "message": shape.message,
                "details": details,
            }})
        }
        Dialect::Gemini => json!({"error": {
            "code": shape.kind.status(),
            "message": shape.message,
            "status": google_status(shape.kind),
            "details": google_details(shape),
        }}),
    }
}

fn openai_error(shape: &Shape) -> Value {
    json!({
        "message": shape.message,
        "type": openai_type(shape.kind),
        "param": shape.param,
        "code": shape.code,
    })
}

fn openai_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Request | Kind::NotFound | Kind::TooLarge | Kind::Encoding => "invalid_request_error",
        Kind::Authentication => "authentication_error",
        Kind::Billing => "billing_error",
        Kind::Permission => "permission_error",
        Kind::Rate => "rate_limit_error",
        Kind::Upstream => "api_error",
        Kind::Unavailable | Kind::Overloaded => "service_unavailable",
    }
}

fn anthropic_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Request | Kind::Encoding => "invalid_request_error",
        Kind::Authentication => "authentication_error",
        Kind::Billing => "billing_error",
        Kind::Permission => "permission_error",
        Kind::NotFound => "not_found_error",
        Kind::TooLarge => "request_too_large",
        Kind::Rate => "rate_limit_error",
        Kind::Upstream | Kind::Unavailable => "api_error",
        Kind::Overloaded => "overloaded_error",
    }
}

/// Names of `google.rpc.Code`.
fn google_status(kind: Kind) -> &'static str {
    match kind {
        Kind::Request | Kind::TooLarge | Kind::Encoding => "INVALID_ARGUMENT",
        Kind::Authentication => "UNAUTHENTICATED",
        Kind::Billing => "FAILED_PRECONDITION",
        Kind::Permission => "PERMISSION_DENIED",
        Kind::NotFound => "NOT_FOUND",
        Kind::Rate => "RESOURCE_EXHAUSTED",
        Kind::Upstream => "INTERNAL",
        Kind::Unavailable | Kind::Overloaded => "UNAVAILABLE",
    }
}

/// `google.rpc.ErrorInfo`, and `RetryInfo` where there is a time to wait: Gemini has no header for
/// it.
fn google_details(shape: &Shape) -> Vec<Value> {
    let mut info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": shape.code.to_ascii_uppercase(),
        "domain": DOMAIN,
    });
    if let (Some(param), Some(members)) = (&shape.param, info.as_object_mut()) {
        members.insert("metadata".to_owned(), json!({"param": param}));
    }
    let retry = shape.retry_after_s.map(|seconds| {
        json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{seconds}s"),
        })
    });
    std::iter::once(info).chain(retry).collect()
}
