//! The form that an error has in other products (SYSTEMS.md, sections 1 to 3). Only OpenAI's API has
//! forms of theirs: on the others' routes their SDKs need the API's own, with the product's code.

use serde_json::{Value, json};
use wire::v1::{Unit, Window};

use super::Refusal;
use super::shape::{Kind, Shape};
use crate::credential::NoCredential;
use crate::dialect::Dialect;
use crate::profile::{Profile, Voice};
use crate::windows::LimitKind;

/// The HTTP status.
pub(super) fn status(refusal: &Refusal, shape: &Shape, voice: Voice) -> u16 {
    let native = shape.kind.status();
    if voice != (Voice { dialect: Dialect::OpenAi, profile: Profile::DeltaLlm }) {
        return native;
    }
    match refusal {
        // Its allowlist is looked at before anything knows whether there is such a model.
        Refusal::UnknownModel(_) => 403,
        Refusal::Body(_) if is_malformed(shape.code) => 422,
        _ if shape.kind == Kind::Billing => 429,
        _ => native,
    }
}

/// The machine's word for it: MindProxy has its own.
pub(super) fn code(shape: &Shape, profile: Profile) -> &'static str {
    if profile != Profile::MindProxy {
        return shape.code;
    }
    match (shape.kind, shape.param.as_deref()) {
        (Kind::Authentication, _) => "unauthorized",
        // An organisation's money is its wallet there.
        (Kind::Billing, None | Some("org")) => "billing_shortfall",
        (Kind::Billing, Some(_)) => "api_key_quota_exceeded",
        (Kind::Rate, _) => "rate_limited",
        (Kind::Permission, _) if shape.code == "no_models" => "model_not_allowed",
        _ => shape.code,
    }
}

/// The whole document on OpenAI's routes; none where the product has the native one.
pub(super) fn document(refusal: &Refusal, shape: &Shape, profile: Profile) -> Option<Value> {
    match profile {
        Profile::Native => None,
        Profile::PrivateMind => Some(json!({"error": {
            "message": privatemind_message(refusal, shape),
            "type": super::envelope::openai_type(shape.kind),
            "code": shape.code,
        }})),
        Profile::MindProxy => {
            Some(json!({"error": {"type": code(shape, profile), "message": shape.message}}))
        }
        Profile::DeltaLlm => Some(deltallm(refusal, shape)),
    }
}

/// In its words where it has some for just this; its clients may compare them.
fn privatemind_message(refusal: &Refusal, shape: &Shape) -> String {
    let first = match (refusal, shape.kind, shape.param.as_deref()) {
        (Refusal::Window { .. }, ..) if !shape.hopeless => return "Rate limit exceeded".to_owned(),
        (Refusal::Budget { .. } | Refusal::Exhausted { .. }, _, Some("key")) => {
            return "Key budget exhausted".to_owned();
        }
        (_, Kind::Billing, Some("key")) => "Key budget exhausted",
        (_, Kind::Billing, _) => "Budget exhausted",
        (_, Kind::Rate, _) => "Rate limit exceeded",
        _ => return shape.message.clone(),
    };
    format!("{first}. {}", shape.message)
}

fn deltallm(refusal: &Refusal, shape: &Shape) -> Value {
    let error = |message: &str, kind: &str, param: Option<&str>, code: Option<&str>| json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    let param = shape.param.as_deref();
    let message = shape.message.as_str();
    match (refusal, shape.kind) {
        (Refusal::Credential(NoCredential::Missing | NoCredential::NotBearer), _) => {
            json!({"detail": "Missing bearer token"})
        }
        (Refusal::Expired, _) => json!({"detail": "API key expired"}),
        (_, Kind::Authentication) => json!({"detail": "Invalid API key"}),
        (Refusal::UnknownEndpoint, _) => json!({"detail": "Not Found"}),
        (Refusal::Body(_), _) if is_malformed(shape.code) => {
            let place: Vec<&str> = std::iter::once("body").chain(param).collect();
            json!({"detail": [{"type": shape.code, "loc": place, "msg": message}]})
        }
        (Refusal::UnknownModel(model) | Refusal::ModelNotAllowed(model), _) => {
            let message = format!("Model '{model}' is not allowed for this key");
            error(&message, "permission_denied", None, None)
        }
        (_, Kind::Permission) => error(message, "permission_denied", None, None),
        (_, Kind::NotFound) => error(message, "model_not_found", param, Some("model_not_found")),
        (_, Kind::Billing) => {
            let param = param.unwrap_or("org");
            error(message, "budget_exceeded", Some(param), Some("budget_exceeded"))
        }
        (Refusal::Window { limit, .. }, _) => match scope(LimitKind::of(limit)) {
            Some(scope) => {
                let message = format!("Rate limit exceeded for scope '{scope}'");
                let code = format!("{scope}_exceeded");
                error(&message, "rate_limit_error", Some(&scope), Some(&code))
            }
            None => error("Parallel request limit exceeded", "rate_limit_error", None, None),
        },
        (_, Kind::Rate) => error(message, "rate_limit_error", None, None),
        (_, Kind::Unavailable | Kind::Overloaded) => {
            error(message, "service_unavailable", None, None)
        }
        (_, Kind::Request | Kind::Conflict | Kind::TooLarge | Kind::Encoding) => {
            error(message, "invalid_request_error", param, None)
        }
        (_, Kind::Upstream) => error(message, "server_error", None, None),
    }
}

/// What DeltaLLM calls a window: `key_rpm`, `team_model_tpm`. None where calls at the same time are
/// counted.
pub(crate) fn scope(limit: LimitKind) -> Option<String> {
    let window = match (limit.unit, limit.window?) {
        (Unit::Requests, Window::Minute) => "rpm",
        (Unit::Requests, Window::Hour) => "rph",
        (Unit::Requests, Window::Day) => "rpd",
        (Unit::Tokens, Window::Minute) => "tpm",
        (Unit::Tokens, Window::Hour) => "tph",
        (Unit::Tokens, Window::Day) => "tpd",
        (Unit::Concurrent, _) => return None,
    };
    let model = if limit.is_of_model { "_model" } else { "" };
    Some(format!("{}{model}_{window}", limit.level.as_str()))
}

/// It is not what the schema of a request says.
fn is_malformed(code: &str) -> bool {
    matches!(code, "invalid_json" | "invalid_value" | "duplicate_field")
}
