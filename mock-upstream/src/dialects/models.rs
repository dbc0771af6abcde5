//! Lists of models. Fixed, since this upstream serves any name.

use crate::json_text::{Object, list};
use crate::operation::Dialect;

/// The names that are listed.
pub const NAMES: [&str; 6] = [
    "gpt-4o-mini",
    "gpt-4o",
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "claude-mock",
    "gemini-2.5-flash",
];

fn model(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::OpenAi => Object::new()
            .text("id", name)
            .text("object", "model")
            .number("created", 1_700_000_000)
            .text("owned_by", "mock")
            .end(),
        Dialect::Anthropic => Object::new()
            .text("type", "model")
            .text("id", name)
            .text("display_name", name)
            .text("created_at", "2025-09-29T00:00:00Z")
            .end(),
        Dialect::Gemini => Object::new()
            .text("name", &format!("models/{name}"))
            .text("version", "1")
            .text("displayName", name)
            .number("inputTokenLimit", 128_000)
            .number("outputTokenLimit", 16_384)
            .raw("supportedGenerationMethods", r#"["generateContent","countTokens"]"#)
            .end(),
    }
}

/// One model; `None` for a name that is not listed.
#[must_use]
pub fn one(dialect: Dialect, name: &str) -> Option<String> {
    NAMES.contains(&name).then(|| model(dialect, name))
}

/// All of them.
#[must_use]
pub fn all(dialect: Dialect) -> String {
    let models = list(NAMES.iter().map(|name| model(dialect, name)));
    match dialect {
        Dialect::OpenAi => Object::new().text("object", "list").raw("data", &models),
        Dialect::Anthropic => Object::new()
            .raw("data", &models)
            .raw("has_more", "false")
            .text("first_id", NAMES[0])
            .text("last_id", NAMES[NAMES.len() - 1]),
        Dialect::Gemini => Object::new().raw("models", &models),
    }
    .end()
}
