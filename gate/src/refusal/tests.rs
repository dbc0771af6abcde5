//! Every refusal in every API's form.

use metering::api_key::Malformed;
use metering::request::Problem;
use serde_json::{Value, json};
use wire::v1::{Scope, Subject, Unit, Window};

use super::*;

const DIALECTS: [Dialect; 3] = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini];
const FORMATS: [AnswerFormat; 6] = [
    AnswerFormat::OpenAiChat,
    AnswerFormat::OpenAiResponses,
    AnswerFormat::OpenAiEmbeddings,
    AnswerFormat::AnthropicMessages,
    AnswerFormat::GeminiGenerate,
    AnswerFormat::GeminiEmbed,
];

/// Status; types of OpenAI and Anthropic; Google's status.
type Row = (u16, &'static str, &'static str, &'static str);
const REQUEST: Row = (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT");
const KEY: Row = (401, "authentication_error", "authentication_error", "UNAUTHENTICATED");
const MONEY: Row = (402, "billing_error", "billing_error", "FAILED_PRECONDITION");
const RIGHT: Row = (403, "permission_error", "permission_error", "PERMISSION_DENIED");
const ABSENT: Row = (404, "invalid_request_error", "not_found_error", "NOT_FOUND");
const REPEATED: Row = (409, "invalid_request_error", "invalid_request_error", "ABORTED");
const LARGE: Row = (413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT");
const CODING: Row = (415, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT");
const RATE: Row = (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED");
const UPSTREAM: Row = (502, "api_error", "api_error", "INTERNAL");
const AWAY: Row = (503, "service_unavailable", "api_error", "UNAVAILABLE");
const BUSY: Row = (503, "service_unavailable", "overloaded_error", "UNAVAILABLE");

fn full(unit: Unit, window: Option<Window>, needs: u64, wait_ms: Option<u64>) -> Refusal {
    let subject = Subject { level: Level::Team, id: "search".to_owned(), model: None };
    let limit = Limit { unit, window, max: 10, scope: Scope::Proxy, subject };
    let full = Full { unit, window, needs, room: 0, wait_ms };
    Refusal::Window { limit: Box::new(limit), full }
}

fn minute(wait_ms: u64) -> Refusal {
    full(Unit::Requests, Some(Window::Minute), 1, Some(wait_ms))
}

fn spent(level: Level) -> Refusal {
    Refusal::Budget { level, need: NanoUsd(2_500_000_000), left: NanoUsd(10) }
}

/// Fails to compile when there is a refusal that the table may lack.
fn is_in_the_table(refusal: &Refusal) {
    match refusal {
        Refusal::UnknownEndpoint
        | Refusal::Credential(_)
        | Refusal::UnknownKey
        | Refusal::Expired
        | Refusal::Revoked
        | Refusal::Disabled
        | Refusal::BodyTooLarge(_)
        | Refusal::UnsupportedEncoding
        | Refusal::Body(_)
        | Refusal::QueryParameter { .. }
        | Refusal::BadMetadata
        | Refusal::UnknownModel(_)
        | Refusal::NoSuchModel(_)
        | Refusal::ModelRemoved(_)
        | Refusal::ModelNotAllowed(_)
        | Refusal::AddressNotAllowed
        | Refusal::UserKeyRequired
        | Refusal::EndpointNotAllowed
        | Refusal::CallTooExpensive { .. }
        | Refusal::NoModels
        | Refusal::ContextLength { .. }
        | Refusal::IdempotentReplay
        | Refusal::Window { .. }
        | Refusal::Budget { .. }
        | Refusal::Exhausted { .. }
        | Refusal::Contended { .. }
        | Refusal::PolicyUnavailable
        | Refusal::LimiterBusy
        | Refusal::LimiterFull
        | Refusal::OutboxFull
        | Refusal::AliasNotWritable(_)
        | Refusal::OutputLimitRequired
        | Refusal::StreamUsageRequired
        | Refusal::LengthRequired
        | Refusal::TooManyFields(_)
        | Refusal::NotEnforceable
        | Refusal::OutputBoundExceeded => {}
    }
}

/// A refusal with its code, its row, its `param`, the seconds to wait, and whether trying again is
/// for the client to decide.
type Case = (Refusal, &'static str, Row, Option<&'static str>, Option<u64>, bool);

fn table() -> Vec<Case> {
    let model = || "m".to_owned();
    let (requests, tokens) = (Unit::Requests, Unit::Tokens);
    let missing = NoCredential::Missing;
    let several = NoCredential::SeveralSent;
    let malformed = NoCredential::Malformed(Malformed::NotAKey);
    let invalid = Problem::Invalid { field: "n", expected: "a number" };
    let unsupported = Problem::Unsupported("service_tier".into());
    let parameter = Refusal::QueryParameter { name: "limit", expected: "a number" };
    let context = Refusal::ContextLength { asked: 20, context: 10 };
    let hour = full(requests, Some(Window::Hour), 1, Some(60_000));
    let day = full(requests, Some(Window::Day), 1, Some(60_001));
    let concurrent = full(Unit::Concurrent, None, 1, None);
    let too_many = full(tokens, Some(Window::Minute), 11, None);
    let exhausted = |level| Refusal::Exhausted { level };
    let contended = |retry_after_ms| Refusal::Contended { retry_after_ms };
    vec![
        (Refusal::UnknownEndpoint, "unknown_endpoint", ABSENT, None, None, false),
        (Refusal::Credential(missing), "missing_api_key", KEY, None, None, false),
        (Refusal::Credential(several), "invalid_api_key", KEY, None, None, false),
        (Refusal::Credential(NoCredential::NotBearer), "invalid_api_key", KEY, None, None, false),
        (Refusal::Credential(NoCredential::InUrl), "invalid_api_key", KEY, None, None, false),
        (Refusal::Credential(malformed), "invalid_api_key", KEY, None, None, false),
        (Refusal::UnknownKey, "invalid_api_key", KEY, None, None, false),
        (Refusal::BadMetadata, "invalid_value", REQUEST, Some("x-tollgate-metadata"), None, false),
        (Refusal::Expired, "key_expired", KEY, None, None, false),
        (Refusal::Revoked, "key_revoked", KEY, None, None, false),
        (Refusal::Disabled, "key_disabled", KEY, None, None, false),
        (Refusal::BodyTooLarge(9), "body_too_large", LARGE, None, None, false),
        (Refusal::UnsupportedEncoding, "unsupported_encoding", CODING, None, None, false),
        (Refusal::Body(Problem::TooManyPieces), "body_too_large", LARGE, None, None, false),
        (Refusal::Body(Problem::NotAnObject), "invalid_json", REQUEST, None, None, false),
        (Refusal::Body(invalid), "invalid_value", REQUEST, Some("n"), None, false),
        (
            Refusal::Body(unsupported),
            "unsupported_parameter",
            REQUEST,
            Some("service_tier"),
            None,
            false,
        ),
        (parameter, "invalid_value", REQUEST, Some("limit"), None, false),
        (Refusal::UnknownModel(model()), "unknown_model", REQUEST, Some("model"), None, false),
        (Refusal::NoSuchModel(model()), "unknown_model", ABSENT, Some("model"), None, false),
        (Refusal::ModelRemoved(model()), "model_removed", ABSENT, Some("model"), None, false),
        (Refusal::ModelNotAllowed(model()), "model_not_allowed", RIGHT, Some("model"), None, false),
        (Refusal::AddressNotAllowed, "ip_not_allowed", RIGHT, None, None, false),
        (Refusal::IdempotentReplay, "idempotent_replay", REPEATED, None, None, false),
        (Refusal::UserKeyRequired, "user_key_required", RIGHT, None, None, false),
        (Refusal::EndpointNotAllowed, "endpoint_not_allowed", RIGHT, None, None, false),
        (
            Refusal::CallTooExpensive { need: NanoUsd(20), most: NanoUsd(10) },
            "budget_exceeded",
            MONEY,
            Some("key"),
            None,
            false,
        ),
        (Refusal::NoModels, "no_models", RIGHT, None, None, false),
        (context, "context_length_exceeded", REQUEST, Some("messages"), None, false),
        (minute(0), "rpm_exceeded", RATE, Some("team"), Some(1), true),
        (minute(2_001), "rpm_exceeded", RATE, Some("team"), Some(3), true),
        (hour, "rph_exceeded", RATE, Some("team"), Some(60), true),
        // Longer than that a client should not wait with the call in hand.
        (day, "rpd_exceeded", RATE, Some("team"), Some(61), false),
        (too_many, "tpm_exceeded", RATE, Some("team"), Some(1), false),
        (
            full(tokens, Some(Window::Hour), 1, Some(9)),
            "tph_exceeded",
            RATE,
            Some("team"),
            Some(1),
            true,
        ),
        (
            full(tokens, Some(Window::Day), 1, Some(86_400_000)),
            "tpd_exceeded",
            RATE,
            Some("team"),
            Some(86_400),
            false,
        ),
        (concurrent, "concurrency_exceeded", RATE, Some("team"), Some(1), true),
        (spent(Level::User), "budget_exceeded", MONEY, Some("user"), None, false),
        (spent(Level::Wallet), "billing_shortfall", MONEY, None, None, false),
        (exhausted(Level::Org), "budget_exceeded", MONEY, Some("org"), None, false),
        (exhausted(Level::Wallet), "billing_shortfall", MONEY, None, None, false),
        (contended(250), "budget_contended", RATE, None, Some(1), true),
        (contended(70_000), "budget_contended", RATE, None, Some(70), false),
        (Refusal::PolicyUnavailable, "policy_unavailable", AWAY, None, Some(1), true),
        (Refusal::LimiterBusy, "limiter_busy", BUSY, None, Some(1), true),
        (Refusal::LimiterFull, "limiter_full", BUSY, None, Some(1), true),
        (Refusal::OutboxFull, "outbox_full", BUSY, None, Some(1), true),
        (
            Refusal::AliasNotWritable(model()),
            "alias_not_supported",
            REQUEST,
            Some("model"),
            None,
            false,
        ),
        (Refusal::OutputLimitRequired, "output_limit_required", REQUEST, None, None, false),
        (
            Refusal::StreamUsageRequired,
            "stream_usage_required",
            REQUEST,
            Some("stream_options"),
            None,
            false,
        ),
        (Refusal::LengthRequired, "length_required", REQUEST, None, None, false),
        (Refusal::TooManyFields(100), "too_many_headers", REQUEST, None, None, false),
        (Refusal::NotEnforceable, "limit_not_enforceable", RIGHT, None, None, false),
        (Refusal::OutputBoundExceeded, "output_bound_exceeded", UPSTREAM, None, None, false),
    ]
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut found = reply.headers.iter().filter(|(other, _)| *other == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} stands twice");
    value
}

/// The one detail of a Google error that is of a kind.
fn detail<'a>(error: &'a Value, kind: &str) -> Option<&'a Value> {
    let kind = format!("type.googleapis.com/google.rpc.{kind}");
    error["details"].as_array().unwrap().iter().find(|detail| detail["@type"] == kind)
}

#[test]
fn every_refusal_has_its_form_in_every_api() {
    for (refusal, code, row, param, wait, may_retry) in table() {
        is_in_the_table(&refusal);
        assert_eq!(refusal.code(), code);
        assert_eq!(crate::observation::Decision::refused(code).code(), code, "it is counted");
        let (status, openai, anthropic, google) = row;
        for dialect in DIALECTS {
            let at = format!("{refusal:?} {dialect:?}");
            let reply = refusal.reply(dialect, "req_1");
            assert_eq!(reply.status, status, "{at}");
            assert_eq!(header(&reply, "content-type"), Some("application/json"), "{at}");
            assert_eq!(header(&reply, "x-tollgate-request-id"), Some("req_1"), "{at}");
            let wait_text = wait.map(|seconds| seconds.to_string());
            assert_eq!(header(&reply, "retry-after"), wait_text.as_deref(), "{at}");
            assert_eq!(header(&reply, "www-authenticate").is_some(), status == 401, "{at}");
            let no_retry = (!may_retry).then_some("false");
            assert_eq!(header(&reply, "x-should-retry"), no_retry, "{at}");
            let document = body(&reply);
            let error = &document["error"];
            assert!(error["message"].as_str().is_some_and(|text| text.ends_with('.')), "{at}");
            let ids = [header(&reply, "x-request-id"), header(&reply, "request-id")];
            match dialect {
                Dialect::OpenAi => {
                    assert_eq!(ids, [Some("req_1"), None]);
                    let fields = [&error["type"], &error["code"], &error["param"]];
                    assert_eq!(fields, [&json!(openai), &json!(code), &json!(param)], "{at}");
                }
                Dialect::Anthropic => {
                    assert_eq!(ids, [None, Some("req_1")]);
                    assert_eq!(document["type"], "error", "{at}");
                    assert_eq!(document["request_id"], "req_1", "{at}");
                    assert_eq!(error["type"], anthropic, "{at}");
                    let details = match param {
                        Some(param) => json!({"error_code": code, "param": param}),
                        None => json!({"error_code": code}),
                    };
                    assert_eq!(error["details"], details, "{at}");
                }
                Dialect::Gemini => {
                    assert_eq!(ids, [Some("req_1"), None]);
                    assert_eq!(error["code"], status, "{at}");
                    assert_eq!(error["status"], google, "{at}");
                    let info = detail(error, "ErrorInfo").unwrap();
                    assert_eq!(info["reason"], code.to_uppercase(), "{at}");
                    assert_eq!(info["domain"], "tollgate", "{at}");
                    let param = param.map(|param| param.replace("messages", "contents"));
                    assert_eq!(info["metadata"]["param"], json!(param), "{at}");
                    let delay = detail(error, "RetryInfo").map(|retry| &retry["retryDelay"]);
                    let said = wait.map(|seconds| json!(format!("{seconds}s")));
                    assert_eq!(delay, said.as_ref(), "{at}");
                }
            }
        }
    }
}

#[test]
fn a_time_to_wait_is_said_with_every_429_and_503() {
    for (refusal, _, (status, ..), ..) in table() {
        let says = header(&refusal.reply(Dialect::OpenAi, "r"), "retry-after").is_some();
        assert_eq!(says, matches!(status, 429 | 503), "{refusal:?}");
    }
}

#[test]
fn exact_forms() {
    let text = |reply: Reply| String::from_utf8(reply.body).unwrap();
    assert_eq!(
        text(Refusal::Revoked.reply(Dialect::OpenAi, "req_1")),
        r#"{"error":{"code":"key_revoked","message":"The API key has been revoked.","param":null,"type":"authentication_error"}}"#
    );
    assert_eq!(
        text(spent(Level::Key).reply(Dialect::Anthropic, "req_1")),
        r#"{"error":{"details":{"error_code":"budget_exceeded","param":"key"},"message":"The budget of the key is spent: this call could cost 2.50 USD and 0.00000001 USD are left.","type":"billing_error"},"request_id":"req_1","type":"error"}"#
    );
    assert_eq!(
        text(minute(2_500).reply(Dialect::Gemini, "req_1")),
        r#"{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"tollgate","metadata":{"param":"team"},"reason":"RPM_EXCEEDED"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3s"}],"message":"The limit of 10 requests per minute is reached.","status":"RESOURCE_EXHAUSTED"}}"#
    );
}

#[test]
fn a_missing_key_is_asked_for_where_the_sdk_sends_it() {
    for (dialect, forms) in [
        (Dialect::OpenAi, &["Authorization: Bearer", "api-key:"][..]),
        (Dialect::Anthropic, &["Authorization: Bearer", "x-api-key:"]),
        (Dialect::Gemini, &["x-goog-api-key:"]),
    ] {
        for why in [NoCredential::Missing, NoCredential::SeveralSent, NoCredential::InUrl] {
            let reply = Refusal::Credential(why).reply(dialect, "r");
            let message = body(&reply)["error"]["message"].as_str().unwrap().to_owned();
            assert!(forms.iter().all(|form| message.contains(form)), "{message}");
        }
    }
}

/// The lines of an event and the document in its data.
fn parts(event: &[u8]) -> (Vec<String>, Value) {
    let text = std::str::from_utf8(event).unwrap();
    assert!(text.ends_with("\n\n") && !text.trim_end().contains("\n\n"), "{text:?}");
    let (data, others): (Vec<_>, Vec<_>) =
        text.lines().filter(|line| !line.is_empty()).partition(|line| line.starts_with("data: "));
    let [data] = data[..] else { panic!("{text:?}") };
    let document = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    (others.into_iter().map(str::to_owned).collect(), document)
}

#[test]
fn a_stream_ends_with_one_event_of_its_own_kind() {
    for (refusal, code, (status, openai, anthropic, _), ..) in table() {
        for format in FORMATS {
            let (names, document) = parts(&refusal.event(format, Profile::Native, 7));
            let error = &document["error"];
            match format {
                AnswerFormat::OpenAiChat | AnswerFormat::OpenAiEmbeddings => {
                    assert!(names.is_empty());
                    assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!(openai)));
                }
                AnswerFormat::OpenAiResponses => {
                    assert_eq!(names, ["event: error"]);
                    assert_eq!(document["type"], "error");
                    assert_eq!(document["code"], code);
                    assert_eq!(document["sequence_number"], 7);
                    assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!(openai)));
                    assert_eq!(error["message"], document["message"]);
                    assert_eq!(error["param"], document["param"]);
                }
                AnswerFormat::AnthropicMessages => {
                    assert_eq!(names, ["event: error"]);
                    assert_eq!(document["type"], "error");
                    assert_eq!(error["type"], anthropic);
                    assert_eq!(error["details"]["error_code"], code);
                }
                AnswerFormat::GeminiGenerate | AnswerFormat::GeminiEmbed => {
                    assert!(names.is_empty(), "Google's SDKs break on any name");
                    assert_eq!(document.as_object().unwrap().len(), 1);
                    assert_eq!(error["code"], status);
                }
            }
        }
    }
}

#[test]
fn exact_events() {
    let of =
        |format| String::from_utf8(Refusal::Revoked.event(format, Profile::Native, 3)).unwrap();
    assert_eq!(
        of(AnswerFormat::OpenAiChat),
        "data: {\"error\":{\"code\":\"key_revoked\",\"message\":\"The API key has been revoked.\",\
         \"param\":null,\"type\":\"authentication_error\"}}\n\n"
    );
    assert_eq!(
        of(AnswerFormat::OpenAiResponses),
        "event: error\ndata: {\"code\":\"key_revoked\",\"error\":{\"code\":\"key_revoked\",\
         \"message\":\"The API key has been revoked.\",\"param\":null,\
         \"type\":\"authentication_error\"},\"message\":\"The API key has been revoked.\",\
         \"param\":null,\"sequence_number\":3,\"type\":\"error\"}\n\n"
    );
    assert_eq!(
        of(AnswerFormat::AnthropicMessages),
        "event: error\ndata: {\"error\":{\"details\":{\"error_code\":\"key_revoked\"},\
         \"message\":\"The API key has been revoked.\",\"type\":\"authentication_error\"},\
         \"type\":\"error\"}\n\n"
    );
    assert_eq!(
        of(AnswerFormat::GeminiGenerate),
        "data: {\"error\":{\"code\":401,\"details\":[{\"@type\":\
         \"type.googleapis.com/google.rpc.ErrorInfo\",\"domain\":\"tollgate\",\
         \"reason\":\"KEY_REVOKED\"}],\"message\":\"The API key has been revoked.\",\
         \"status\":\"UNAUTHENTICATED\"}}\n\n"
    );
}
