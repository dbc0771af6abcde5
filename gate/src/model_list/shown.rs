//! One model in each API's form (WIRE 6). What the catalogue does not know is left out, or `null`
//! where an SDK reads it without asking.

use serde_json::{Map, Value, json};
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
            "capabilities": capabilities(model),
        }),
        Profile::PrivateMind => privatemind(model),
        Profile::MindProxy => json!({}),
        Profile::DeltaLlm => json!({"created": model.created_unix_s}),
    };
    if let (Some(members), Value::Object(more)) = (shown.as_object_mut(), more) {
        members.extend(more);
        if let (Profile::Native, Some(supported)) = (profile, &model.supported_parameters) {
            members.insert("supported_parameters".to_owned(), json!(supported));
        }
    }
    shown
}

/// Parameters of every model that chats, as far as the catalogue does not say otherwise.
const SAMPLING: [&str; 9] = [
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "stream",
    "stop",
];
/// Of them, what the catalogue never names, since every model that chats has it.
const ALWAYS: [&str; 2] = ["max_tokens", "stream"];

/// What PrivateMind's clients look at: flags only where they hold, and parameters only where a model
/// chats.
fn privatemind(model: &Model) -> Value {
    let chats = Makes::of(model) != Makes::Vectors;
    let named = model.supported_parameters.as_deref();
    let names = |name: &str| named.is_some_and(|named| named.iter().any(|one| one == name));
    let flags = [
        ("tools", names("tools")),
        ("response_format", names("response_format")),
        ("reasoning_effort", names("reasoning_effort") || (named.is_none() && model.reasoning)),
        ("image_input", model.image_tokens.is_some()),
    ];
    let mut capabilities = Map::new();
    for (name, _) in flags.iter().filter(|(_, holds)| *holds) {
        capabilities.insert((*name).to_owned(), json!(true));
    }
    let mut parameters: Vec<&str> = match named {
        _ if !chats => Vec::new(),
        Some(named) => named.iter().map(String::as_str).collect(),
        None => SAMPLING.to_vec(),
    };
    let unnamed = ALWAYS.iter().filter(|name| chats && named.is_some() && !names(name));
    parameters.extend(unnamed);
    json!({
        "context_length": model.context_length,
        "model_type": if chats { "chat" } else { "embedding" },
        "capabilities": capabilities,
        "supported_parameters": parameters,
        "aliases": model.aliases,
    })
}

/// What the catalogue knows that a model can do. What it does not name may be possible all the same:
/// such input reserves the whole context, such a tool is refused.
fn capabilities(model: &Model) -> Value {
    let makes = Makes::of(model);
    let known = [
        ("text", makes != Makes::Vectors),
        ("embeddings", makes != Makes::Text),
        ("reasoning", model.reasoning),
        ("image_input", model.image_tokens.is_some()),
        ("audio_input", model.audio_tokens.is_some()),
        ("document_input", model.document_tokens.is_some()),
        ("server_tools", model.price.is_some_and(|price| price.per_server_tool_call.is_some())),
    ];
    let has: Vec<&str> = known.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    json!(has)
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
    let mut shown = json!({
        "name": format!("{GEMINI_PREFIX}{base}"),
        "baseModelId": base,
        "displayName": base,
        "inputTokenLimit": model.context_length,
        "outputTokenLimit": model.max_output_tokens,
        "supportedGenerationMethods": Makes::of(model).gemini_methods(),
    });
    if let (true, Some(members)) = (model.reasoning, shown.as_object_mut()) {
        members.insert("thinking".to_owned(), json!(true));
    }
    shown
}

/// What comes out of a model. The catalogue does not say it, but its price does: only vectors cost
/// nothing to be put out where input has a price. A model that is free might make either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Makes {
    Text,
    Vectors,
    Either,
}

impl Makes {
    fn of(model: &Model) -> Self {
        let free = PicoUsdPerToken(0);
        match model.price.map(|price| (price.rates.input == free, price.rates.output == free)) {
            Some((true, true)) | None => Self::Either,
            Some((false, true)) => Self::Vectors,
            Some((_, false)) => Self::Text,
        }
    }

    fn gemini_methods(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["generateContent", "streamGenerateContent", "countTokens"],
            Self::Vectors => &["embedContent", "batchEmbedContents", "countTokens"],
            Self::Either => &[
                "generateContent",
                "streamGenerateContent",
                "countTokens",
                "embedContent",
                "batchEmbedContents",
            ],
        }
    }
}
