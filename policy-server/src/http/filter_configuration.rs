//! Keys and models in the words of a filter's own configuration.

use serde_json::{Map, Value, json};
use wire::v1::{KeyKind, KeyState, Limit, ModelSet};
use wire::{AllowedNetworks, PriceMultiplier};

use super::key_form;
use super::operation::Shape;
use super::schema::{Members, Schema};
use super::show;
use crate::app::{ExportedKey, FilterExport, Loss};
use crate::store::CatalogueModel;

/// A page of a filter's configuration.
pub const FILTER_CONFIGURATION: Shape = Shape { name: "FilterConfiguration", members };

fn members() -> Members {
    let note = Members::default()
        .with("about", Schema::text())
        .with("code", Schema::words(Loss::ALL.map(Loss::as_str)))
        .with("message", Schema::text());
    // What stands in a key or a model is described where the filter's configuration is.
    let written = || Schema::some(Schema::map(Schema::anything()));
    Members::default()
        .with("models", written().or_null())
        .with("keys", written())
        .with("notes", Schema::some(note.into()))
        .with("next_cursor", Schema::text().or_null())
}

/// What is answered.
pub fn show(export: &FilterExport) -> Value {
    let models = export.models.as_ref();
    let notes: Vec<_> = export
        .notes
        .iter()
        .map(|note| {
            let (code, message) = (note.loss.as_str(), note.loss.message());
            json!({"about": note.about, "code": code, "message": message})
        })
        .collect();
    json!({
        "models": models.map(|models| models.iter().map(model).collect::<Vec<_>>()),
        "keys": export.keys.items.iter().map(key).collect::<Vec<_>>(),
        "notes": notes,
        "next_cursor": export.keys.next,
    })
}

/// As administrators see it, without what a filter does not read.
fn model(stored: &CatalogueModel) -> Map<String, Value> {
    let mut shown = show::model(stored);
    shown.remove("updated_at");
    if let Some(name) = shown.remove("id") {
        shown.insert("name".to_owned(), name);
    }
    // A model that is free has no prices beside that.
    let is_price =
        |name: &str| name.contains("usd_per_") || name.starts_with("usd_per") || name == "tiers";
    if shown.get("free") == Some(&Value::Bool(true)) {
        shown.retain(|name, _| !is_price(name));
    }
    if stored.model.price.is_none() {
        shown.retain(|name, _| !is_price(name) && name != "free");
    }
    let says_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    // An empty list of parameters says something: none is taken.
    shown.retain(|name, value| {
        name == "supported_parameters" && !value.is_null() || !says_nothing(value)
    });
    if let Some(Value::Array(tiers)) = shown.get_mut("tiers") {
        tiers.iter_mut().filter_map(Value::as_object_mut).for_each(|tier| {
            tier.retain(|_, value| !value.is_null());
        });
    }
    shown
}

fn key(exported: &ExportedKey) -> Value {
    let policy = &exported.policy;
    let digests = exported.digests.iter().map(|(digest, until)| match until {
        None => json!(digest.to_string()),
        Some(until) => {
            json!({"sha256": digest.to_string(), "expires_at": show::instant(*until)})
        }
    });
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            shown.insert(name.to_owned(), value);
        }
    };
    put("id", json!(policy.key));
    put("org", json!(policy.org));
    put("team", json!(policy.team));
    put("user", json!(policy.user));
    put("digests", digests.collect());
    put(
        "state",
        match policy.state {
            KeyState::Active => Value::Null,
            KeyState::Disabled => json!("disabled"),
            KeyState::Revoked => json!("revoked"),
        },
    );
    put("expires_at", policy.expires_at_unix_ms.map_or(Value::Null, show::instant));
    put(
        "models",
        match &policy.models {
            ModelSet::All => Value::Null,
            ModelSet::Only(models) => json!(models),
        },
    );
    put("org_has_no_models", if policy.org_has_no_models { json!(true) } else { Value::Null });
    let limits: Vec<Value> = policy.limits.iter().map(limit).collect();
    put("limits", if limits.is_empty() { Value::Null } else { limits.into() });
    put("allowed_ips", json!(policy.allowed_ips.as_ref().map(AllowedNetworks::networks)));
    put(
        "kind",
        match policy.kind {
            KeyKind::Application => Value::Null,
            KeyKind::User => json!(key_form::kind(policy.kind)),
        },
    );
    put("shadow", if policy.shadow { json!(true) } else { Value::Null });
    put("default_max_output_tokens", json!(policy.default_max_output_tokens));
    put("max_call_usd", json!(policy.max_call.map(|most| most.to_usd())));
    put(
        "price_multiplier",
        match policy.price_multiplier {
            PriceMultiplier::ONE => Value::Null,
            other => json!(other.to_decimal()),
        },
    );
    shown.into()
}

fn limit(limit: &Limit) -> Value {
    let mut shown = json!({
        "unit": key_form::unit(limit.unit),
        "max": limit.max,
        "level": limit.subject.level,
    });
    let window = limit.window.map(key_form::window);
    shown["window"] = json!(window);
    shown["model"] = json!(limit.subject.model);
    if let Value::Object(shown) = &mut shown {
        shown.retain(|_, value| !value.is_null());
    }
    shown
}
