//! `GET /proxy/v1/catalogue`: models, prices and aliases as one versioned snapshot.

use serde::{Deserialize, Serialize};

use super::lease::is_no_money;
use crate::{
    CatalogueVersion, Epoch, ModelName, NanoUsd, PicoUsdPerToken, PriceMultiplier, Revision,
};

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
    /// Most tokens of one image that stands in a body; absent: not known, so that a call with one
    /// reserves the whole context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
    /// The same of one recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_tokens: Option<u64>,
    /// The same of one document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_tokens: Option<u64>,
    /// Uses of tools that the provider runs, to reserve for where a request allows such tools and
    /// does not bound their uses itself; absent: such a request has no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_server_tool_calls: Option<u64>,
    /// Optional members of requests that the model takes, by their names in OpenAI's API; absent:
    /// they are not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported_parameters: Option<Vec<String>>,
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

/// Most tiers of a price: providers publish one or two (above 128k, 200k or 272k input tokens).
pub const MOST_TIERS: usize = 2;

/// Prices of one model. A free model has zero prices, said explicitly by an operator.
///
/// A kind of token without a price of its own costs as much as the dearest kind of its direction:
/// nothing is cheaper for want of a price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Prices of tokens.
    #[serde(flatten)]
    pub rates: Rates,
    /// Prices that replace those for the whole call where it has more input, the lowest first.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// Added for each call.
    #[serde(default, skip_serializing_if = "is_no_money")]
    pub per_call: NanoUsd,
    /// Added for each use of a tool that the provider runs (a web search, say); absent: calls that
    /// allow such tools are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_server_tool_call: Option<NanoUsd>,
    /// What all of it is multiplied by, before it is rounded. It is no part of a catalogue: whoever
    /// prices a call takes it from the key's policy or from the call's record.
    #[serde(skip)]
    pub multiplier: PriceMultiplier,
}

impl Price {
    /// Prices of text alone, the same for any amount of input.
    #[must_use]
    pub const fn text(
        input: PicoUsdPerToken,
        output: PicoUsdPerToken,
        cached_input: Option<PicoUsdPerToken>,
    ) -> Self {
        let rates = Rates {
            input,
            output,
            cached_input,
            cache_write: None,
            cache_write_1h: None,
            audio_input: None,
            image_input: None,
            audio_output: None,
            image_output: None,
        };
        Self {
            rates,
            tiers: Tiers([None; MOST_TIERS]),
            per_call: NanoUsd::ZERO,
            per_server_tool_call: None,
            multiplier: PriceMultiplier::ONE,
        }
    }

    /// The same prices under a plan.
    #[must_use]
    pub const fn times(self, multiplier: PriceMultiplier) -> Self {
        Self { multiplier, ..self }
    }
}

/// Prices of tokens by kind. Only input and output must be known; the other kinds are subsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Text input that no cache had a part in.
    pub input: PicoUsdPerToken,
    /// Text output, reasoning included.
    pub output: PicoUsdPerToken,
    /// Input read from the provider's cache; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<PicoUsdPerToken>,
    /// Input written to the provider's cache for minutes; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<PicoUsdPerToken>,
    /// Input written to the provider's cache for an hour; absent: as `cache_write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PicoUsdPerToken>,
    /// Audio input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<PicoUsdPerToken>,
    /// Image input; absent: as `input`, since most providers count images as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_input: Option<PicoUsdPerToken>,
    /// Audio output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<PicoUsdPerToken>,
    /// Image output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_output: Option<PicoUsdPerToken>,
}

/// Prices for calls with much input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// They apply where a call has more input tokens than this, to all of its tokens.
    pub above_input_tokens: u64,
    /// The prices.
    #[serde(flatten)]
    pub rates: Rates,
}

/// At most [`MOST_TIERS`] tiers, each above the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tier>", into = "Vec<Tier>")]
pub struct Tiers([Option<Tier>; MOST_TIERS]);

/// The tiers are too many, or not in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTiers;

impl std::fmt::Display for InvalidTiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "must be at most {MOST_TIERS} tiers, each above the one before")
    }
}

impl std::error::Error for InvalidTiers {}

impl Tiers {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The tiers, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.0.iter().flatten()
    }
}

impl TryFrom<Vec<Tier>> for Tiers {
    type Error = InvalidTiers;

    fn try_from(tiers: Vec<Tier>) -> Result<Self, InvalidTiers> {
        let mut places = [None; MOST_TIERS];
        let mut below = 0;
        if tiers.len() > MOST_TIERS {
            return Err(InvalidTiers);
        }
        for (place, tier) in places.iter_mut().zip(tiers) {
            if tier.above_input_tokens <= below {
                return Err(InvalidTiers);
            }
            below = tier.above_input_tokens;
            *place = Some(tier);
        }
        Ok(Self(places))
    }
}

impl From<Tiers> for Vec<Tier> {
    fn from(tiers: Tiers) -> Self {
        tiers.iter().copied().collect()
    }
}
