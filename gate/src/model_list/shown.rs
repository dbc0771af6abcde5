//! One model in each API's form (WIRE 6). What the catalogue does not know is left out, or `null`
//! where an SDK reads it without asking.

use serde_json::{Value, json};
use wire::PicoUsdPerToken;
use wire::v1::Model;

use crate::instant::rfc3339;
use crate::profile::Profile;

/// What every name begins with in Gemini's API.
const GEMINI_PREFIX: &str = "models/";

pub(super) fn openai(model: &Model, profile: Profile) -> Value {
    let mut shown = json!({"id": model.name, "object": "model", "owned_by": profile.owner()});
    let more = match profile {
        Profile::Native => json!({
            "created": model.created_unix_s,
            "context_length": model.context_length,
            "max_output_tokens": model.max_output_tokens,
            "aliases": model.aliases,
        }),
        Profile::PrivateMind => json!({
            "context_length": model.context_length,
            "aliases": model.aliases,
        }),
        Profile::MindProxy => json!({}),
        Profile::DeltaLlm => json!({"created": model.created_unix_s}),
    };
    if let (Some(members), Value::Object(more)) = (shown.as_object_mut(), more) {
        members.extend(more);
    }
    shown
}

pub(super) fn anthropic(model: &Model) -> Value {
    json!({
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": rfc3339(model.created_unix_s),
        "lifecycle": "active",
        "line": null,
        "max_input_tokens": model.context_length,
        "max_tokens": model.max_output_tokens,
        "deprecated_at": null,
        "retires_at": null,
        "capabilities": null,
    })
}

pub(super) fn gemini(model: &Model) -> Value {
    let name = model.name.as_str();
    let base = name.strip_prefix(GEMINI_PREFIX).unwrap_or(name);
    json!({
        "name": format!("{GEMINI_PREFIX}{base}"),
        "baseModelId": base,
        "displayName": base,
        "inputTokenLimit": model.context_length,
        "outputTokenLimit": model.max_output_tokens,
        "supportedGenerationMethods": methods(model),
    })
}

/// The catalogue does not say what a model makes, but its price does: only vectors cost nothing to
/// be put out where input has a price. A model that is free might make either.
fn methods(model: &Model) -> &'static [&'static str] {
    const TEXT: &[&str] = &["generateContent", "streamGenerateContent", "countTokens"];
    const VECTORS: &[&str] = &["embedContent", "batchEmbedContents", "countTokens"];
    const EITHER: &[&str] = &[
        "generateContent",
        "streamGenerateContent",
        "countTokens",
        "embedContent",
        "batchEmbedContents",
    ];
    let free = PicoUsdPerToken(0);
    match model.price.map(|price| (price.rates.input == free, price.rates.output == free)) {
        Some((true, true)) | None => EITHER,
        Some((false, true)) => VECTORS,
        Some((_, false)) => TEXT,
    }
}
