//! A model for each dialect, all at the same prices.

use serde_json::json;

use crate::{Fixture, MODEL};

/// What the SDK suites and the tests of all dialects call, beside [`crate::MODEL`] and `gpt-4o`.
pub const MODELS: [&str; 4] =
    ["gpt-3.5-turbo-instruct", "text-embedding-3-small", "claude-mock", "gemini-2.5-flash"];

/// Adds [`MODELS`] to a fixture, at the prices of [`crate::MODEL`]; all of them, and that one too,
/// get a tenth of the input price for what a cache holds.
///
/// # Errors
/// When the admin API refuses.
pub fn add_models(fixture: &Fixture) -> anyhow::Result<()> {
    let model = json!({
        "input_usd_per_mtok": "0.153", "output_usd_per_mtok": "0.617",
        "cached_input_usd_per_mtok": "0.0153",
        "context_length": 128_000, "max_output_tokens": 16_384,
        "input_overhead_tokens": 0,
    });
    for name in MODELS.into_iter().chain([MODEL]) {
        fixture.stack.admin().put(&format!("/admin/v1/models/{name}"), &model)?.success()?;
    }
    Ok(())
}
