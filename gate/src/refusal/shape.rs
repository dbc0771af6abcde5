//! What each refusal says: kind, code, words, and whether waiting helps. Only names of header
//! fields and members depend on the API that was asked.

use metering::request::Problem;
use metering::window::Full;
use wire::v1::{Level, Limit, Unit, Window};
use wire::{Metadata, NanoUsd};

use super::Refusal;
use crate::credential::NoCredential;
use crate::dialect::Dialect;

/// How long a client should wait when the policy server could not be asked, in seconds.
const POLICY_RETRY_S: u64 = 1;

/// The header in which callers say what a call is for.
const METADATA: &str = "x-tollgate-metadata";

/// What is wrong, as far as statuses and types of errors tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request itself.
    Request,
    /// Who asks.
    Authentication,
    /// Money.
    Billing,
    /// What this key may do.
    Permission,
    /// What was asked for is not there.
    NotFound,
    /// The same was asked for before.
    Conflict,
    /// The body's length.
    TooLarge,
    /// The body's compression.
    Encoding,
    /// Too much at this time.
    Rate,
    /// What came from the upstream.
    Upstream,
    /// Something that the filter needs is away.
    Unavailable,
    /// The filter itself has too much to do.
    Overloaded,
}

impl Kind {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Request => 400,
            Self::Authentication => 401,
            Self::Billing => 402,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Encoding => 415,
            Self::Rate => 429,
            Self::Upstream => 502,
            Self::Unavailable | Self::Overloaded => 503,
        }
    }
}

/// A refusal before it is put into an envelope.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) code: &'static str,
    /// What it is about: a member of the body, a parameter of the URL, the level of a limit.
    pub(super) param: Option<String>,
    pub(super) message: String,
    /// When to try again, in seconds: always said where time may help.
    pub(super) retry_after_s: Option<u64>,
    /// Trying again is pointless.
    pub(super) hopeless: bool,
}

impl Refusal {
    pub(super) fn shape(&self, dialect: Dialect) -> Shape {
        match self {
            Self::UnknownEndpoint => not_found("unknown_endpoint", "This path is not served here."),
            Self::Credential(why) => credential(*why, dialect),
            Self::UnknownKey => authentication("invalid_api_key", "The API key is not known."),
            Self::Expired => authentication("key_expired", "The API key has expired."),
            Self::Revoked => authentication("key_revoked", "The API key has been revoked."),
            Self::Disabled => authentication("key_disabled", "The API key is disabled."),
            Self::BodyTooLarge(most) => final_answer(
                Kind::TooLarge,
                "body_too_large",
                format!("The request body is above {most} bytes."),
            ),
            Self::UnsupportedEncoding => final_answer(
                Kind::Encoding,
                "unsupported_encoding",
                "The request body must be JSON in UTF-8, and not compressed.".to_owned(),
            ),
            Self::Body(problem) => {
                let kind = match problem {
                    Problem::TooManyPieces => Kind::TooLarge,
                    _ => Kind::Request,
                };
                let shape = final_answer(kind, problem.code(), problem.to_string());
                Shape { param: problem.field().map(str::to_owned), ..shape }
            }
            Self::QueryParameter { name, expected } => {
                let message = format!("The query parameter `{name}` must be {expected}.");
                let shape = final_answer(Kind::Request, "invalid_value", message);
                Shape { param: Some((*name).to_owned()), ..shape }
            }
            Self::BadMetadata => {
                let message = format!(
                    "The header `{METADATA}` must be a JSON object of at most {} strings with \
                     names of 1 to {} bytes and values of at most {} bytes.",
                    Metadata::MOST_PAIRS,
                    Metadata::LONGEST_NAME,
                    Metadata::LONGEST_VALUE
                );
                let shape = final_answer(Kind::Request, "invalid_value", message);
                Shape { param: Some(METADATA.to_owned()), ..shape }
            }
            Self::UnknownModel(model) => about_model(final_answer(
                Kind::Request,
                "unknown_model",
                format!("The model `{model}` is not known."),
            )),
            Self::NoSuchModel(model) => about_model(not_found(
                "unknown_model",
                &format!("The model `{model}` is not known."),
            )),
            Self::ModelRemoved(model) => about_model(not_found(
                "model_removed",
                &format!("The model `{model}` has been removed."),
            )),
            Self::ModelNotAllowed(model) => about_model(final_answer(
                Kind::Permission,
                "model_not_allowed",
                format!("This API key may not use the model `{model}`."),
            )),
            Self::AddressNotAllowed => final_answer(
                Kind::Permission,
                "ip_not_allowed",
                "This API key may not be used from this address.".to_owned(),
            ),
            Self::UserKeyRequired => final_answer(
                Kind::Permission,
                "user_key_required",
                "This path needs a user key: exchange the API key for one at POST \
                 /v1/auth/exchange first."
                    .to_owned(),
            ),
            Self::EndpointNotAllowed => final_answer(
                Kind::Permission,
                "endpoint_not_allowed",
                "This path is not open to this kind of API key.".to_owned(),
            ),
            Self::NoModels => final_answer(
                Kind::Permission,
                "no_models",
                "The organisation may use no model.".to_owned(),
            ),
            Self::ContextLength { asked, context } => context_length(*asked, *context, dialect),
            Self::IdempotentReplay => final_answer(
                Kind::Conflict,
                "idempotent_replay",
                "A call with this Idempotency-Key is running, or was made and charged.".to_owned(),
            ),
            Self::Window { limit, full } => window(limit, *full),
            Self::Budget { level, need, left } => budget(*level, *need, *left),
            Self::CallTooExpensive { need, most } => {
                let (need, most) = (need.to_usd(), most.to_usd());
                let message = format!(
                    "This call could cost {need} USD, and the key allows {most} USD for one call."
                );
                billing(Level::Key, message)
            }
            Self::Exhausted { level } => {
                billing(*level, "Nothing is left of the budget that this call runs on.".to_owned())
            }
            Self::Contended { retry_after_ms } => rate(
                "budget_contended",
                None,
                "The budget is reserved by other calls at the moment.".to_owned(),
                Some(*retry_after_ms),
            ),
            Self::PolicyUnavailable => later(
                Kind::Unavailable,
                "policy_unavailable",
                "The policy server cannot be asked at the moment.",
            ),
            Self::LimiterBusy => {
                later(Kind::Overloaded, "limiter_busy", "The rate limiter is busy at the moment.")
            }
            Self::LimiterFull => later(
                Kind::Overloaded,
                "limiter_full",
                "The rate limiter has no room at the moment.",
            ),
            Self::OutboxFull => {
                later(Kind::Overloaded, "outbox_full", "Usage cannot be reported at the moment.")
            }
            Self::AliasNotWritable(name) => about_model(final_answer(
                Kind::Request,
                "alias_not_supported",
                format!("This gateway cannot call a model by an alias. Ask for `{name}`."),
            )),
            Self::OutputLimitRequired => final_answer(
                Kind::Request,
                "output_limit_required",
                "State the most tokens that the answer may have, in the member that the model reads."
                    .to_owned(),
            ),
            Self::StreamUsageRequired => {
                let message = "Streams must report their usage here: set \
                               `stream_options.include_usage` to true.";
                let shape =
                    final_answer(Kind::Request, "stream_usage_required", message.to_owned());
                Shape { param: Some("stream_options".to_owned()), ..shape }
            }
            Self::LengthRequired => final_answer(
                Kind::Request,
                "length_required",
                "Requests must state their length here, in `content-length`.".to_owned(),
            ),
            Self::TooManyFields(most) => final_answer(
                Kind::Request,
                "too_many_headers",
                format!("Requests must have fewer than {most} header fields here."),
            ),
            Self::NotEnforceable => final_answer(
                Kind::Permission,
                "limit_not_enforceable",
                "A limit that applies to this call cannot be counted at this gateway.".to_owned(),
            ),
            Self::OutputBoundExceeded => final_answer(
                Kind::Upstream,
                "output_bound_exceeded",
                "The upstream produced more output than this call may have.".to_owned(),
            ),
        }
    }
}

/// Trying again would end in the same way.
fn final_answer(kind: Kind, code: &'static str, message: String) -> Shape {
    Shape { kind, code, param: None, message, retry_after_s: None, hopeless: true }
}

fn not_found(code: &'static str, message: &str) -> Shape {
    final_answer(Kind::NotFound, code, message.to_owned())
}

fn about_model(shape: Shape) -> Shape {
    Shape { param: Some("model".to_owned()), ..shape }
}

fn authentication(code: &'static str, message: &str) -> Shape {
    final_answer(Kind::Authentication, code, message.to_owned())
}

fn credential(why: NoCredential, dialect: Dialect) -> Shape {
    let places = match dialect {
        Dialect::OpenAi => "`Authorization: Bearer <key>` (Azure's SDKs: `api-key: <key>`)",
        Dialect::Anthropic => "`Authorization: Bearer <key>` or `x-api-key: <key>`",
        Dialect::Gemini => "`x-goog-api-key: <key>`",
    };
    let (code, message) = match why {
        NoCredential::Missing => {
            ("missing_api_key", format!("No API key was sent. Send it as {places}."))
        }
        NoCredential::SeveralSent => (
            "invalid_api_key",
            format!("More than one credential was sent. Send exactly one, as {places}."),
        ),
        NoCredential::NotBearer => (
            "invalid_api_key",
            "The Authorization header must have the form `Bearer <key>`.".to_owned(),
        ),
        NoCredential::InUrl => (
            "invalid_api_key",
            format!("An API key in the URL is not accepted here. Send it as {places}."),
        ),
        NoCredential::Malformed(why) => ("invalid_api_key", why.to_string()),
    };
    authentication(code, &message)
}

fn context_length(asked: u64, context: u64, dialect: Dialect) -> Shape {
    let message = format!(
        "The model's context holds {context} tokens; prompt and output could take {asked}."
    );
    let param = match dialect {
        Dialect::OpenAi | Dialect::Anthropic => "messages",
        Dialect::Gemini => "contents",
    };
    let shape = final_answer(Kind::Request, "context_length_exceeded", message);
    Shape { param: Some(param.to_owned()), ..shape }
}

fn rate(code: &'static str, param: Option<String>, message: String, wait_ms: Option<u64>) -> Shape {
    Shape {
        kind: Kind::Rate,
        code,
        param,
        message,
        retry_after_s: Some(wait_ms.map_or(1, seconds)),
        hopeless: false,
    }
}

/// Whole seconds, rounded up, at least one (RFC 9110, 10.2.3).
fn seconds(millis: u64) -> u64 {
    millis.div_ceil(1000).max(1)
}

fn window(limit: &Limit, full: Full) -> Shape {
    let (code, unit) = match (limit.unit, limit.window) {
        (Unit::Requests, Some(Window::Minute)) => ("rpm_exceeded", "requests per minute"),
        (Unit::Requests, Some(Window::Hour)) => ("rph_exceeded", "requests per hour"),
        (Unit::Requests, Some(Window::Day)) => ("rpd_exceeded", "requests per day"),
        (Unit::Tokens, Some(Window::Minute)) => ("tpm_exceeded", "tokens per minute"),
        (Unit::Tokens, Some(Window::Hour)) => ("tph_exceeded", "tokens per hour"),
        (Unit::Tokens, Some(Window::Day)) => ("tpd_exceeded", "tokens per day"),
        (Unit::Concurrent, _) | (_, None) => ("concurrency_exceeded", "calls at the same time"),
    };
    let message = format!("The limit of {} {unit} is reached.", limit.max);
    let shape = rate(code, Some(limit.subject.level.as_str().to_owned()), message, full.wait_ms);
    if full.needs > limit.max {
        let message = format!("This call alone could pass the limit of {} {unit}.", limit.max);
        return Shape { message, hopeless: true, ..shape };
    }
    shape
}

fn budget(level: Level, need: NanoUsd, left: NanoUsd) -> Shape {
    let (need, left) = (need.to_usd(), left.to_usd());
    let what = match level {
        Level::Wallet => "The organisation's prepaid money is used up".to_owned(),
        level => format!("The budget of the {} is spent", level.as_str()),
    };
    let message = format!("{what}: this call could cost {need} USD and {left} USD are left.");
    billing(level, message)
}

fn billing(level: Level, message: String) -> Shape {
    let (code, param) = match level {
        Level::Wallet => ("billing_shortfall", None),
        level => ("budget_exceeded", Some(level.as_str().to_owned())),
    };
    Shape { param, ..final_answer(Kind::Billing, code, message) }
}

/// Something is away for a moment.
fn later(kind: Kind, code: &'static str, message: &str) -> Shape {
    Shape {
        retry_after_s: Some(POLICY_RETRY_S),
        hopeless: false,
        ..final_answer(kind, code, message.to_owned())
    }
}
