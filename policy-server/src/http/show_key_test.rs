//! What a key may do, and why not, as the JSON of the admin API.

use metering::api_key::{ApiKey, Malformed, NATIVE_PREFIX, USER_PREFIXES};
use serde_json::{Map, Value, json};
use wire::v1::Limit;

use super::key_form::{scope, unit, window};
use super::show::{account, instant, key, object};
use super::show_entitlement::{key_model, key_models};
use crate::app::{AskedModel, CallRefusal, KeyTest, SecretStanding};
use crate::store::KeyFormat;

/// What can be said of a secret without asking anybody: which form it has, and whether it is whole.
pub fn form(secret: &str) -> Value {
    let begins_with = |prefix| secret.starts_with(prefix);
    let format = if secret.contains(':') {
        Some(KeyFormat::Pair.as_str())
    } else if begins_with(NATIVE_PREFIX) {
        Some(KeyFormat::Native.as_str())
    } else if begins_with("sk-") {
        Some(KeyFormat::OpenAi.as_str())
    } else {
        USER_PREFIXES.into_iter().any(begins_with).then_some("user_key")
    };
    let problem = ApiKey::parse(secret.as_bytes()).err();
    json!({
        "format": format,
        "well_formed": problem.is_none(),
        "problem": problem.map(|problem| match problem {
            Malformed::NotAKey => "not_a_key",
            Malformed::HalfAPair => "half_a_pair",
            Malformed::BadChecksum => "bad_checksum",
        }),
        "message": problem.map(|problem| problem.to_string()),
    })
}

/// A secret that is no key's that whoever asks may see.
pub fn unknown(form: &Value) -> Value {
    let message = form.get("message").and_then(Value::as_str);
    let message = message.unwrap_or("no key that you may see has, or had, this secret");
    let refused = CallRefusal::new(401, "invalid_api_key", message.to_owned());
    json!({"allowed": false, "refusal": refusal(&refused), "known": false, "form": form})
}

/// A known key. `form` is none where it was asked for by its id.
pub fn known(test: &KeyTest, form: Option<Value>) -> Value {
    json!({
        "allowed": test.refusal.is_none(),
        "refusal": test.refusal.as_ref().map(refusal),
        "known": true,
        "form": form,
        "secret": test.secret.map(secret),
        "address": test.address.map(|(address, allowed)| {
            json!({"address": address, "allowed": allowed})
        }),
        "key": key(&test.key),
        "limits": test.limits.iter().map(limit).collect::<Vec<_>>(),
        "budgets": test.budgets.iter().map(account).collect::<Vec<_>>(),
        "model": test.model.as_ref().map(asked),
        "models": key_models(&test.models),
    })
}

fn refusal(refusal: &CallRefusal) -> Value {
    json!({
        "status": refusal.status,
        "code": refusal.code,
        "param": refusal.param,
        "message": refusal.message,
    })
}

fn secret(standing: SecretStanding) -> Value {
    let (word, until) = match standing {
        SecretStanding::Current => ("current", None),
        SecretStanding::Previous(until) => ("previous", Some(until)),
        SecretStanding::Retired => ("retired", None),
        SecretStanding::UserKey { ends_unix_ms, .. } => ("user_key", Some(ends_unix_ms)),
    };
    json!({"standing": word, "valid_until": until.map(instant)})
}

/// A limit and whose calls it counts together.
fn limit(limit: &Limit) -> Value {
    json!({
        "level": limit.subject.level.as_str(),
        "id": limit.subject.id,
        "model": limit.subject.model,
        "unit": unit(limit.unit),
        "window": limit.window.map(window),
        "max": limit.max,
        "scope": scope(limit.scope),
    })
}

fn asked(model: &AskedModel) -> Map<String, Value> {
    let mut shown = model.found.as_ref().map(key_model).unwrap_or_default();
    shown.extend(object(json!({"asked": model.asked, "known": model.found.is_some()})));
    shown
}
