//! Every answer that the filter gives in the upstream's place because something is wrong.

use metering::window::Full;
use wire::NanoUsd;
use wire::v1::{Level, Limit, Unit, Window};

use crate::credential::NoCredential;
use crate::io::Reply;

/// How long a client should wait when the policy server could not be asked, in seconds.
const POLICY_RETRY_S: u64 = 1;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No route.
    UnknownEndpoint,
    /// No usable credential.
    Credential(NoCredential),
    /// No key has this digest.
    UnknownKey,
    /// The key's time is over.
    Expired,
    /// The key was ended for good.
    Revoked,
    /// The key is switched off.
    Disabled,
    /// The body is larger than this.
    BodyTooLarge(usize),
    /// The body is compressed.
    UnsupportedEncoding,
    /// The body is malformed.
    Body(metering::request::Problem),
    /// No such model, or one without a price.
    UnknownModel(String),
    /// Nothing of this name to show to the key (404 where a model is itself what is asked for).
    NoSuchModel(String),
    /// The model was withdrawn.
    ModelRemoved(String),
    /// The key may not call it.
    ModelNotAllowed(String),
    /// The organisation may call no model at all.
    NoModels,
    /// Prompt and output together do not fit the model's context.
    ContextLength {
        /// What was asked for.
        asked: u64,
        /// What the model has.
        context: u64,
    },
    /// A window is full.
    Window {
        /// Which limit.
        limit: Box<Limit>,
        /// How full.
        full: Full,
    },
    /// A level has no money left.
    Budget {
        /// Which level.
        level: Level,
        /// What the call could cost.
        need: NanoUsd,
        /// What is left.
        left: NanoUsd,
    },
    /// A cap was lowered to what is spent already while the call ran.
    Exhausted {
        /// Of which level.
        level: Level,
    },
    /// The money is leased to others at the moment.
    Contended {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The policy server could not be asked.
    PolicyUnavailable,
    /// Too many workers swap the same window.
    LimiterBusy,
    /// No place to count this subject.
    LimiterFull,
    /// Too many reports wait for the server.
    OutboxFull,
    /// The answer has more output than was reserved for the call. Only said within a stream.
    OutputBoundExceeded,
}

struct Shape {
    status: u16,
    kind: &'static str,
    code: &'static str,
    param: Option<String>,
    message: String,
    retry_after_s: Option<u64>,
    /// Trying again is pointless.
    hopeless: bool,
}

impl Refusal {
    /// The answer, in OpenAI's error envelope.
    #[must_use]
    pub fn reply(&self, request_id: &str) -> Reply {
        let shape = self.shape();
        let body = shape.envelope();
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-tollgate-request-id", request_id.to_owned()),
            ("x-request-id", request_id.to_owned()),
        ];
        if shape.status == 401 {
            headers.push(("www-authenticate", "Bearer realm=\"tollgate\"".to_owned()));
        }
        if let Some(seconds) = shape.retry_after_s {
            headers.push(("retry-after", seconds.to_string()));
        }
        if shape.hopeless {
            headers.push(("x-should-retry", "false".to_owned()));
        }
        Reply { status: shape.status, headers, body: body.to_string().into_bytes() }
    }

    /// The event that ends a stream which has begun: the answer's status can no longer tell.
    pub(crate) fn event(&self) -> Vec<u8> {
        format!("data: {}\n\n", self.shape().envelope()).into_bytes()
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.shape().code
    }

    fn shape(&self) -> Shape {
        match self {
            Self::UnknownEndpoint => not_found("unknown_endpoint", "This path is not served here."),
            Self::Credential(why) => credential(*why),
            Self::UnknownKey => authentication("invalid_api_key", "The API key is not known."),
            Self::Expired => authentication("key_expired", "The API key has expired."),
            Self::Revoked => authentication("key_revoked", "The API key has been revoked."),
            Self::Disabled => authentication("key_disabled", "The API key is disabled."),
            Self::BodyTooLarge(most) => Shape {
                status: 413,
                ..request(
                    "body_too_large",
                    None,
                    format!("The request body is above {most} bytes."),
                )
            },
            Self::UnsupportedEncoding => Shape {
                status: 415,
                ..request(
                    "unsupported_encoding",
                    None,
                    "Compressed request bodies are not accepted.".to_owned(),
                )
            },
            Self::Body(problem) => {
                request(problem.code(), problem.field().map(str::to_owned), problem.to_string())
            }
            Self::UnknownModel(model) => request(
                "unknown_model",
                model_param(),
                format!("The model `{model}` is not known."),
            ),
            Self::NoSuchModel(model) => Shape {
                param: model_param(),
                ..not_found("unknown_model", &format!("The model `{model}` is not known."))
            },
            Self::ModelRemoved(model) => Shape {
                param: model_param(),
                ..not_found("model_removed", &format!("The model `{model}` has been removed."))
            },
            Self::ModelNotAllowed(model) => permission(
                "model_not_allowed",
                model_param(),
                format!("This API key may not use the model `{model}`."),
            ),
            Self::NoModels => {
                permission("no_models", None, "The organisation may use no model.".to_owned())
            }
            Self::ContextLength { asked, context } => request(
                "context_length_exceeded",
                Some("messages".to_owned()),
                format!(
                    "The model's context holds {context} tokens; prompt and output could take {asked}."
                ),
            ),
            Self::Window { limit, full } => window(limit, *full),
            Self::Budget { level, need, left } => budget(*level, *need, *left),
            Self::Exhausted { level } => exhausted(*level),
            Self::Contended { retry_after_ms } => rate(
                "budget_contended",
                None,
                "The budget is reserved by other calls at the moment.".to_owned(),
                Some(*retry_after_ms),
            ),
            Self::PolicyUnavailable => unavailable(
                "policy_unavailable",
                "The policy server cannot be asked at the moment.",
            ),
            Self::LimiterBusy => {
                unavailable("limiter_busy", "The rate limiter is busy at the moment.")
            }
            Self::LimiterFull => {
                unavailable("limiter_full", "The rate limiter has no room at the moment.")
            }
            Self::OutboxFull => {
                unavailable("outbox_full", "Usage cannot be reported at the moment.")
            }
            Self::OutputBoundExceeded => Shape {
                status: 502,
                kind: "api_error",
                ..request(
                    "output_bound_exceeded",
                    None,
                    "The upstream produced more output than this call may have.".to_owned(),
                )
            },
        }
    }
}

impl Shape {
    /// The body of an error in OpenAI's form.
    fn envelope(&self) -> serde_json::Value {
        serde_json::json!({"error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        }})
    }
}

fn request(code: &'static str, param: Option<String>, message: String) -> Shape {
    Shape {
        status: 400,
        kind: "invalid_request_error",
        code,
        param,
        message,
        retry_after_s: None,
        hopeless: true,
    }
}

fn not_found(code: &'static str, message: &str) -> Shape {
    Shape { status: 404, ..request(code, None, message.to_owned()) }
}

fn model_param() -> Option<String> {
    Some("model".to_owned())
}

fn permission(code: &'static str, param: Option<String>, message: String) -> Shape {
    Shape { status: 403, kind: "permission_error", ..request(code, param, message) }
}

fn authentication(code: &'static str, message: &str) -> Shape {
    Shape { status: 401, kind: "authentication_error", ..request(code, None, message.to_owned()) }
}

fn credential(why: NoCredential) -> Shape {
    match why {
        NoCredential::Missing => authentication(
            "missing_api_key",
            "No API key was sent. Send it as `Authorization: Bearer <key>`.",
        ),
        NoCredential::SeveralSent => authentication(
            "invalid_api_key",
            "More than one credential was sent. Send exactly one.",
        ),
        NoCredential::NotBearer => authentication(
            "invalid_api_key",
            "The Authorization header must have the form `Bearer <key>`.",
        ),
        NoCredential::InUrl => authentication(
            "invalid_api_key",
            "An API key in the URL is not accepted here. Send it as `Authorization: Bearer <key>`.",
        ),
        NoCredential::Malformed(why) => authentication("invalid_api_key", &why.to_string()),
    }
}

fn rate(code: &'static str, param: Option<String>, message: String, wait_ms: Option<u64>) -> Shape {
    Shape {
        status: 429,
        kind: "rate_limit_error",
        retry_after_s: Some(wait_ms.map_or(1, seconds)),
        hopeless: false,
        ..request(code, param, message)
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

fn exhausted(level: Level) -> Shape {
    let (code, param) = match level {
        Level::Wallet => ("billing_shortfall", None),
        level => ("budget_exceeded", Some(level.as_str().to_owned())),
    };
    let message = "The budget was lowered to what is spent already.".to_owned();
    Shape { status: 402, kind: "billing_error", ..request(code, param, message) }
}

fn budget(level: Level, need: NanoUsd, left: NanoUsd) -> Shape {
    if level == Level::Wallet {
        let message = format!(
            "The organisation's prepaid money is used up: this call could cost {} USD and {} USD \
             are left.",
            need.to_usd(),
            left.to_usd()
        );
        return Shape {
            status: 402,
            kind: "billing_error",
            ..request("billing_shortfall", None, message)
        };
    }
    let message = format!(
        "The budget of the {} is spent: this call could cost {} USD and {} USD are left.",
        level.as_str(),
        need.to_usd(),
        left.to_usd()
    );
    Shape {
        status: 402,
        kind: "billing_error",
        ..request("budget_exceeded", Some(level.as_str().to_owned()), message)
    }
}

fn unavailable(code: &'static str, message: &str) -> Shape {
    Shape {
        status: 503,
        kind: "service_unavailable",
        retry_after_s: Some(POLICY_RETRY_S),
        hopeless: false,
        ..request(code, None, message.to_owned())
    }
}
