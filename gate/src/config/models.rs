//! `models`: the catalogue of a configuration without a policy server, in the words of the admin API.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use metering::request::is_member;
use serde_json::{Map, Value};
use wire::v1::{MOST_TIERS, Model, Price, Rates, Tier, Tiers};
use wire::{ModelName, NanoUsd, PicoUsdPerToken};

use super::MOST_MODELS;
use super::check::{Checker, join};
use super::reference::names_in;
use crate::instant::unix_ms;

/// Numbers of tokens, and the rest, as a server takes them.
const TOKENS: RangeInclusive<u64> = 1..=1_000_000_000;
const TOOL_CALLS: RangeInclusive<u64> = 1..=1_000;
const MOST_ALIASES: usize = 64;
const MOST_PARAMETERS: usize = 256;
const DEAREST_TOKENS: PicoUsdPerToken = PicoUsdPerToken(1_000_000 * 1_000_000);
const DEAREST_CALL: NanoUsd = NanoUsd(1_000 * 1_000_000_000);
/// What chat framing and hidden prompts take where nothing is said, as at a server.
const INPUT_OVERHEAD: u64 = 64;

/// Prices of tokens, in the order of [`rates`].
const RATES: [&str; 9] = [
    "input_usd_per_mtok",
    "output_usd_per_mtok",
    "cached_input_usd_per_mtok",
    "cache_write_usd_per_mtok",
    "cache_write_1h_usd_per_mtok",
    "audio_input_usd_per_mtok",
    "image_input_usd_per_mtok",
    "audio_output_usd_per_mtok",
    "image_output_usd_per_mtok",
];
impl Checker {
    /// The models; none where it cannot be said what they are.
    pub(super) fn models(&mut self, root: &Map<String, Value>) -> Option<Vec<Model>> {
        let items = match root.get("models") {
            Some(Value::Array(items)) if items.len() <= MOST_MODELS => items,
            Some(_) => {
                return self.problem("models", &format!("must be a list of at most {MOST_MODELS}"));
            }
            None => return self.problem("models", "is required where there is no server"),
        };
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut models = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let here = format!("models[{at}]");
            let Some(model) = self.model(&here, item) else { continue };
            for name in std::iter::once(&model.name).chain(&model.aliases) {
                if names.insert(name.as_str().to_owned(), at).is_some() {
                    self.wrong("", &here, "has a name that another one has");
                }
            }
            models.push(model);
        }
        Some(models)
    }

    fn model(&mut self, here: &str, item: &Value) -> Option<Model> {
        let Value::Object(item) = item else {
            return self.problem(here, "must be an object");
        };
        self.known(here, item, names_in!("models[]"));
        for name in ["name", "context_length", "max_output_tokens"] {
            if !item.contains_key(name) {
                self.wrong(here, name, "is required");
            }
        }
        let price = self.price(here, item);
        let name = self
            .parsed(here, item, "name", "is no name of a model", |text| ModelName::new(text).ok());
        let aliases = self.texts(here, item, "aliases", MOST_ALIASES);
        let aliases = aliases.iter().map(|alias| ModelName::new(*alias).ok());
        let aliases = aliases
            .collect::<Option<Vec<_>>>()
            .or_else(|| self.wrong_at(here, "aliases", "holds what is no name of a model"));
        let created = self.parsed(here, item, "created_at", "must be an instant", unix_ms);
        let context_length = self.whole(here, item, "context_length", TOKENS);
        let max_output_tokens = self.whole(here, item, "max_output_tokens", TOKENS);
        let overhead = 0..=*TOKENS.end();
        Some(Model {
            input_overhead_tokens: self
                .number(here, item, "input_overhead_tokens", INPUT_OVERHEAD, overhead)
                .unwrap_or(INPUT_OVERHEAD),
            image_tokens: self.whole(here, item, "image_tokens", TOKENS),
            audio_tokens: self.whole(here, item, "audio_tokens", TOKENS),
            document_tokens: self.whole(here, item, "document_tokens", TOKENS),
            max_server_tool_calls: self.whole(here, item, "max_server_tool_calls", TOOL_CALLS),
            supported_parameters: self.supported_parameters(here, item),
            reasoning: self.boolean(here, item, "reasoning"),
            retired: self.boolean(here, item, "retired"),
            created_unix_s: created.unwrap_or_default() / 1_000,
            name: name?,
            aliases: aliases?,
            price,
            context_length: context_length?,
            max_output_tokens: max_output_tokens?,
        })
    }

    fn supported_parameters(
        &mut self,
        here: &str,
        item: &Map<String, Value>,
    ) -> Option<Vec<String>> {
        const FIELD: &str = "supported_parameters";
        item.get(FIELD)?;
        let names = self.texts(here, item, FIELD, MOST_PARAMETERS);
        if !names.iter().all(|name| is_member(name)) {
            return self.wrong_at(here, FIELD, "holds what is no member of a request");
        }
        Some(names.into_iter().map(str::to_owned).collect())
    }

    /// A model may have no price: then no cost is shown. One that is stated must be whole.
    fn price(&mut self, here: &str, item: &Map<String, Value>) -> Option<Price> {
        let is_free = self.boolean(here, item, "free");
        let mut rates = self.rates(here, item);
        let per_call = self.usd(here, item, "usd_per_call");
        let per_server_tool_call = self.usd(here, item, "usd_per_server_tool_call");
        let tiers = self.tiers(here, item);
        let any_other = per_call.is_some() || per_server_tool_call.is_some() || !tiers.is_empty();
        let any_rate = RATES.iter().any(|name| item.contains_key(*name));
        if is_free {
            if any_other || any_rate {
                return self.wrong_at(here, "free", "contradicts the prices given");
            }
            return Some(Price::default());
        }
        if !any_other && !any_rate {
            return None;
        }
        if per_call.is_some() && !any_rate {
            rates = Some(Rates::default());
        }
        let rates = rates.or_else(|| {
            self.wrong_at(here, "input_usd_per_mtok", "is required with output_usd_per_mtok")
        })?;
        let per_call = per_call.unwrap_or_default();
        Some(Price { rates, tiers, per_call, per_server_tool_call, ..Price::default() })
    }

    /// Prices of tokens; none unless input and output have one.
    fn rates(&mut self, here: &str, item: &Map<String, Value>) -> Option<Rates> {
        let expected = "must be USD per million tokens as a text, at most 1000000";
        let read = |text: &str| {
            let price = PicoUsdPerToken::from_usd_per_mtok(text).ok();
            price.filter(|price| *price <= DEAREST_TOKENS)
        };
        let [
            input,
            output,
            cached_input,
            cache_write,
            cache_write_1h,
            audio_input,
            image_input,
            audio_output,
            image_output,
        ] = RATES.map(|name| self.parsed(here, item, name, expected, read));
        Some(Rates {
            input: input?,
            output: output?,
            cached_input,
            cache_write,
            cache_write_1h,
            audio_input,
            image_input,
            audio_output,
            image_output,
        })
    }

    fn usd(&mut self, here: &str, item: &Map<String, Value>, name: &str) -> Option<NanoUsd> {
        self.parsed(here, item, name, "must be USD as a text, at most 1000", |text| {
            NanoUsd::from_usd(text).ok().filter(|amount| *amount <= DEAREST_CALL)
        })
    }

    fn tiers(&mut self, here: &str, item: &Map<String, Value>) -> Tiers {
        const ABOVE: &str = "above_input_tokens";
        let here = join(here, "tiers");
        let items: &[Value] = match item.get("tiers") {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(_) => return self.problem(&here, "must be an array").unwrap_or_default(),
        };
        let mut tiers = Vec::new();
        for (at, item) in items.iter().take(MOST_TIERS + 1).enumerate() {
            let here = format!("{here}[{at}]");
            let Value::Object(item) = item else {
                self.wrong("", &here, "must be an object");
                continue;
            };
            self.known(&here, item, names_in!("models[].tiers[]"));
            let above_input_tokens = self.whole(&here, item, ABOVE, TOKENS).unwrap_or_default();
            match self.rates(&here, item) {
                Some(rates) => tiers.push(Tier { above_input_tokens, rates }),
                None => self.wrong("", &here, "needs prices of input and output"),
            }
        }
        let expected = "must be at most 2, each above the one before";
        Tiers::try_from(tiers).ok().or_else(|| self.problem(&here, expected)).unwrap_or_default()
    }
}
