//! The form that an error has in each API, so that its official SDKs raise their own class for it
//! and find the code where they look.

use metering::usage::AnswerFormat;
use serde_json::{Value, json};

use super::shape::{Kind, Shape};
use super::{Refusal, profile};
use crate::dialect::Dialect;
use crate::io::{Reply, json_text};
use crate::profile::Voice;
use crate::rate_headers;

/// Above this, a client is told not to try again by itself, in seconds: some SDKs would hold the
/// call for as long as it says, others take a longer time for none and come back at once, and
/// OpenAI's newest gives up above two minutes. All but Google's, which never look, obey the word.
const LONGEST_WAIT_S: u64 = 60;
/// In whose name the reasons of Google's errors are meant (`google.rpc.ErrorInfo.domain`).
const DOMAIN: &str = "tollgate";

/// The whole answer.
pub(super) fn reply(refusal: &Refusal, shape: &Shape, voice: Voice, request_id: &str) -> Reply {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(voice.request_id_headers().map(|name| (name, request_id.to_owned())));
    if shape.kind == Kind::Authentication {
        headers.push(("www-authenticate", "Bearer realm=\"tollgate\"".to_owned()));
    }
    if let Some(seconds) = shape.retry_after_s {
        headers.push(("retry-after", seconds.to_string()));
    }
    if shape.hopeless || shape.retry_after_s.is_some_and(|seconds| seconds > LONGEST_WAIT_S) {
        headers.push(("x-should-retry", "false".to_owned()));
    }
    if let Refusal::Window { limit, .. } = refusal {
        headers.extend(rate_headers::of_full(limit, shape.retry_after_s, voice));
    }
    let mut body = document(refusal, shape, voice);
    if voice.dialect == Dialect::Anthropic
        && let Some(members) = body.as_object_mut()
    {
        members.insert("request_id".to_owned(), json!(request_id));
    }
    Reply {
        status: profile::status(refusal, shape, voice),
        headers,
        body: json_text(&body).into_bytes(),
    }
}

/// The event that ends a stream. Each SDK takes it for an error in its own way: Anthropic's by the
/// event's name, OpenAI's by the member `error` alone, and Google's break on any name at all.
pub(super) fn event(
    refusal: &Refusal,
    shape: &Shape,
    (format, voice): (AnswerFormat, Voice),
    sequence_number: u64,
) -> Vec<u8> {
    let body = document(refusal, shape, voice);
    match format {
        AnswerFormat::OpenAiResponses => {
            // The documented members stand in the event itself. OpenAI's SDKs raise nothing for
            // those: they look for `error`, as in chat. Some documents of DeltaLLM have none.
            let own = body.get("error").cloned();
            let event = json!({
                "type": "error",
                "code": profile::code(shape, voice.profile),
                "message": shape.message,
                "param": shape.param,
                "sequence_number": sequence_number,
                "error": own.unwrap_or_else(|| openai_error(shape)),
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
pub(super) fn element(refusal: &Refusal, shape: &Shape, voice: Voice) -> Vec<u8> {
    json_text(&document(refusal, shape, voice)).into_bytes()
}

/// The error as a document of its own.
fn document(refusal: &Refusal, shape: &Shape, voice: Voice) -> Value {
    let code = profile::code(shape, voice.profile);
    match voice.dialect {
        Dialect::OpenAi => profile::document(refusal, shape, voice.profile)
            .unwrap_or_else(|| json!({"error": openai_error(shape)})),
        Dialect::Anthropic => {
            let mut details = json!({"error_code": code});
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
            "details": google_details(shape, code),
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

pub(super) fn openai_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Request | Kind::NotFound | Kind::Conflict | Kind::TooLarge | Kind::Encoding => {
            "invalid_request_error"
        }
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
        Kind::Request | Kind::Conflict | Kind::Encoding => "invalid_request_error",
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
        Kind::Conflict => "ABORTED",
        Kind::Rate => "RESOURCE_EXHAUSTED",
        Kind::Upstream => "INTERNAL",
        Kind::Unavailable | Kind::Overloaded => "UNAVAILABLE",
    }
}

/// `google.rpc.ErrorInfo`, and `RetryInfo` where there is a time to wait: Gemini has no header for
/// it.
fn google_details(shape: &Shape, code: &str) -> Vec<Value> {
    let mut info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": code.to_ascii_uppercase(),
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
