//! `GET /proxy/v1/catalogue`: models, prices and aliases as one versioned snapshot.

use serde::{Deserialize, Serialize};

use crate::{CatalogueVersion, Epoch, ModelName, PicoUsdPerToken, Revision};

/// One snapshot of all models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision up to which the snapshot is true.
    pub revision: Revision,
    /// The snapshot's version; calls admitted under it are priced by it.
    pub version: CatalogueVersion,
    /// Every model, also retired ones (they answer 404 instead of 400).
    pub models: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its concrete name, the one sent upstream.
    pub name: ModelName,
    /// Other names by which clients may ask for it.
    #[serde(default)]
    pub aliases: Vec<ModelName>,
    /// Its price; a model without one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Most tokens of input and output together.
    pub context_length: u64,
    /// Most output tokens of one answer.
    pub max_output_tokens: u64,
    /// Tokens of hidden prompts and chat framing that no request byte accounts for.
    #[serde(default)]
    pub input_overhead_tokens: u64,
    /// Writes its reasoning before any visible output, so output seen is no estimate.
    #[serde(default)]
    pub reasoning: bool,
    /// Withdrawn: asking for it answers 404 `model_removed`.
    #[serde(default)]
    pub retired: bool,
    /// When the model was added, in seconds since 1970 UTC, for `GET /v1/models`.
    #[serde(default)]
    pub created_unix_s: u64,
}

/// Prices of one model. A free model has zero prices, said explicitly by an operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Input that was not read from a cache.
    pub input: PicoUsdPerToken,
    /// Output, reasoning included.
    pub output: PicoUsdPerToken,
    /// Input read from the provider's cache; absent: as other input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<PicoUsdPerToken>,
}
