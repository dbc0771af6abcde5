//! The OpenAPI document (3.1) of the admin API, made from the routes, the forms and the shapes by
//! which the server itself works.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use wire::{KeyId, ModelName, OrgId, RequestId};

use super::admin::Described;
use super::operation::{Operation, tag};
use super::schema::{Members, Schema};
use super::shapes;
use crate::entitlement::{GroupName, PlanId};

/// Every code that an error of the admin API may have. Codes are stable: one that is here keeps its
/// meaning.
pub const CODES: &[&str] = &[
    "answer_too_long",
    "body_timeout",
    "body_too_large",
    "budget_above_ceiling",
    "budget_required",
    "delivery_pending",
    "digest_taken",
    "expiry_required",
    "expiry_too_far",
    "id_reused",
    "idempotency_key_reused",
    "inherit_with_selection",
    "invalid_admin_token",
    "invalid_field",
    "invalid_header",
    "invalid_json",
    "invalid_query",
    "is_service_account",
    "key_deleted",
    "key_revoked",
    "limit_above_team",
    "model_name_taken",
    "model_removed",
    "name_required",
    "name_taken",
    "no_user",
    "not_found",
    "org_not_empty",
    "org_suspended",
    "outside_parent_scope",
    "own_account",
    "owner_not_caller",
    "owner_suspended",
    "permission_denied",
    "plan_in_use",
    "precondition_failed",
    "role_above_own",
    "self_service_disabled",
    "self_service_key_limit",
    "service_account_of_another_team",
    "store_unavailable",
    "team_not_empty",
    "team_required",
    "team_suspended",
    "token_ended",
    "token_expired",
    "token_revoked",
    "too_many_aliases",
    "too_many_attempts",
    "too_many_deliveries",
    "too_many_groups",
    "too_many_models",
    "too_many_plans",
    "too_many_service_accounts",
    "too_many_teams",
    "too_many_tokens",
    "too_many_webhooks",
    "unknown_endpoint",
    "unknown_field",
    "unknown_model",
    "unknown_org",
    "unknown_parameter",
    "unknown_plan",
    "unknown_user",
    "unsupported_field",
    "unsupported_order",
    "unsupported_scope",
    "user_being_removed",
    "user_suspended",
    "wallet_full",
    "wallet_in_use",
    "webhook_disabled",
];

/// The kinds of errors.
const KINDS: [&str; 5] = [
    "authentication_error",
    "permission_error",
    "rate_limit_error",
    "service_unavailable",
    "invalid_request_error",
];

/// Statuses of errors, and what they mean.
const REFUSALS: [(u16, &str); 10] = [
    (400, "Something of the request cannot be accepted: `problems` names all of it."),
    (401, "The token is missing, wrong, expired or revoked."),
    (403, "Whoever asks may not."),
    (404, "There is no such thing, or nothing that whoever asks may see."),
    (408, "The body did not come in time."),
    (409, "It contradicts what is there."),
    (412, "It has changed since the sender saw it."),
    (413, "The body is too large."),
    (429, "Too many sign-ins have failed."),
    (503, "The store cannot answer now."),
];

/// Headers that every change understands: names, patterns and meanings.
const TERMS: [(&str, &str, &str); 2] = [
    (
        "If-Match",
        r#"^(\*|(W/)?"[^"]*"([ \t]*,[ \t]*(W/)?"[^"]*")*)$"#,
        "The ETag of an earlier answer: nothing is changed where it is another one by now.",
    ),
    (
        "Idempotency-Key",
        "^[ -~]{1,255}$",
        "A word of the sender's: the same request with it is carried out once. Repeated, it is \
         answered with what was answered then, but for secrets.",
    ),
];

/// The document of these routes.
pub fn document(routes: Vec<Described>) -> Value {
    let mut named = BTreeMap::new();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (need, operation) in routes {
        let method = need.method.as_str().to_ascii_lowercase();
        let mut shown = shown(&method, need.path, operation, &mut named);
        shown.insert("x-tollgate-action".to_owned(), json!(need.action.as_str()));
        paths.entry(need.path.to_owned()).or_default().insert(method, shown.into());
    }
    for (path, operation) in open_routes() {
        let mut shown = operation.into_value(&mut named);
        shown.insert("operationId".to_owned(), json!(operation_id("get", path)));
        shown.insert("security".to_owned(), json!([]));
        if let Some(Value::Object(answers)) = shown.get_mut("responses") {
            answers.insert("503".to_owned(), refusal(503));
        }
        paths.entry(path.to_owned()).or_default().insert("get".to_owned(), shown.into());
    }
    let problem = problem().into_value(&mut named);
    let refusals: Map<_, _> = REFUSALS
        .into_iter()
        .map(|(status, meaning)| (status.to_string(), answer(status, meaning, &problem)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keys, teams, models, budgets and the records of Tollgate's policy server.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": named,
            "responses": refusals,
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer",
                "description": "The admin token or a personal one.",
            }},
        },
    })
}

/// Routes that need no token.
fn open_routes() -> [(&'static str, Operation); 2] {
    let anything = Schema::map(Schema::anything());
    [
        ("/healthz", Operation::new("Whether the store answers").shows(&shapes::HEALTH)),
        ("/openapi.json", Operation::new("This document").answers(200, anything)),
    ]
}

/// A route that needs a token.
fn shown(
    method: &str,
    path: &str,
    operation: Option<Operation>,
    named: &mut BTreeMap<String, Value>,
) -> Map<String, Value> {
    let mut statuses = vec![400, 401, 403, 404, 429, 503];
    let operation = operation.unwrap_or_else(|| Operation::new(""));
    let changes = method != "get";
    if changes {
        statuses.extend([408, 409, 412, 413]);
    }
    let mut shown = operation.into_value(named);
    shown.insert("operationId".to_owned(), json!(operation_id(method, path)));
    shown.insert("tags".to_owned(), json!([family(path)]));
    if let Some(Value::Array(parameters)) = shown.get_mut("parameters") {
        let in_path = segments(path).filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        parameters.extend(in_path.map(|name| {
            let schema = place(path, name).into_value(named);
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        }));
        parameters.extend(TERMS.iter().filter(|_| changes).map(|(name, pattern, meaning)| {
            let schema = Schema::pattern(pattern).into_value(named);
            json!({"name": name, "in": "header", "schema": schema, "description": meaning})
        }));
    }
    if let (true, Some(Value::Object(answers))) = (changes, shown.get_mut("responses")) {
        for answer in answers.values_mut().filter_map(Value::as_object_mut) {
            let flag = json!({"schema": {"type": "string", "const": "true"}});
            let headers = json!({"ETag": tag(false), "Idempotency-Replayed": flag});
            answer.insert("headers".to_owned(), headers);
        }
    }
    if let Some(Value::Object(answers)) = shown.get_mut("responses") {
        answers.extend(statuses.into_iter().map(|status| (status.to_string(), refusal(status))));
    }
    shown
}

/// What stands in a path under a name.
fn place(path: &str, name: &str) -> Schema {
    match (name, family(path)) {
        ("id", "keys" | "me") => Schema::id(KeyId::LONGEST),
        ("id", "plans") => Schema::pattern(PlanId::PATTERN),
        ("id", "groups") => Schema::pattern(GroupName::PATTERN),
        ("id", _) => Schema::id(ModelName::LONGEST),
        ("request", _) => Schema::id(RequestId::LONGEST),
        // Organisations, teams, users and tokens: their ids are of one length.
        _ => Schema::id(OrgId::LONGEST),
    }
}

/// Paths belong together by what they begin with.
fn family(path: &str) -> &str {
    segments(path).nth(2).unwrap_or_default()
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Unique, since no two routes have method and path in common.
fn operation_id(method: &str, path: &str) -> String {
    let plain = |part: &str| part.replace(['{', '}'], "").replace(['-', '.'], "_");
    let named = segments(path).filter(|part| !matches!(*part, "admin" | "v1")).map(plain);
    std::iter::once(method.to_owned()).chain(named).collect::<Vec<_>>().join("_")
}

fn refusal(status: u16) -> Value {
    json!({"$ref": format!("#/components/responses/{status}")})
}

fn answer(status: u16, meaning: &str, problem: &Value) -> Value {
    let header = match status {
        401 => Some(("WWW-Authenticate", json!({"type": "string"}))),
        429 | 503 => Some(("Retry-After", json!({"type": "integer", "minimum": 1}))),
        _ => None,
    };
    let content = json!({"application/json": {"schema": problem}});
    let mut shown = json!({"description": meaning, "content": content});
    if let (Some((name, schema)), Some(members)) = (header, shown.as_object_mut()) {
        let headers = json!({name: {"required": true, "schema": schema}});
        members.insert("headers".to_owned(), headers);
    }
    shown
}

/// The one form of every error.
fn problem() -> Schema {
    let code = || Schema::words(CODES.iter().copied()).named("ErrorCode");
    let one = Members::default()
        .with("param", Schema::text())
        .with("code", code())
        .with("message", Schema::text());
    let error = Members::default()
        .with("message", Schema::text())
        .with("type", Schema::words(KINDS))
        .with("param", Schema::text().or_null())
        .with("code", code())
        .maybe("problems", Schema::some(one.into()));
    Schema::from(Members::default().with("error", error.into())).named("Error")
}
