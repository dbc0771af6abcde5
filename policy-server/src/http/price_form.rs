//! The prices of a model in the JSON of administrators: decimal texts in USD, per million tokens or
//! per call, read without rounding and shown as they are held.

use std::cell::Cell;

use serde_json::{Map, Value, json};
use wire::v1::{MOST_TIERS, Price, Rates, Tier, Tiers};
use wire::{NanoUsd, PicoUsdPerToken};

use super::form::{Form, Read, Reader};
use super::model_form::TOKENS_MOST;
use super::reader::{boolean, decimal, number};
use super::schema::{Members, Schema};
use crate::app::Given;

/// A million USD per million tokens: larger prices are a mistake.
const DEAREST_TOKENS: PicoUsdPerToken = PicoUsdPerToken(1_000_000 * 1_000_000);

/// A thousand USD for one call or one use of a tool: larger prices are a mistake, such as an amount
/// per thousand calls that was meant for one.
const DEAREST_CALL: NanoUsd = NanoUsd(1_000 * 1_000_000_000);

const INPUT: &str = "input_usd_per_mtok";
const OUTPUT: &str = "output_usd_per_mtok";
const ABOVE: &str = "above_input_tokens";
const PER_CALL: &str = "usd_per_call";
const PER_SERVER_TOOL_CALL: &str = "usd_per_server_tool_call";

/// Reads the price of a model. Prices are never guessed: they are given, or the model is said to be
/// free, or both prices of text are `null` and the model is refused until it has some.
pub fn price(form: &mut Form) -> Option<Price> {
    let free = form.given("free", boolean()).value().unwrap_or(false);
    let stated = Stated::read(form);
    let per_call = form.given(PER_CALL, usd()).value();
    let per_server_tool_call = form.given(PER_SERVER_TOOL_CALL, usd()).value();
    let call_is_priced = per_call.is_some_and(|amount| amount > NanoUsd::ZERO);
    let tiers = tiers(form, &stated.kinds, call_is_priced);
    let any_given = stated.any_given()
        || per_call.is_some()
        || per_server_tool_call.is_some()
        || !tiers.is_empty();
    if free {
        // A free model is shown with prices of nothing, and can be sent as it is shown.
        let tools_cost = per_server_tool_call.is_some_and(|amount| amount > NanoUsd::ZERO);
        if stated.costs() || call_is_priced || tools_cost || !tiers.is_empty() {
            form.wrong("free", "contradicts the prices given");
        }
        return Some(Price::default());
    }
    if !any_given && matches!((&stated.input, &stated.output), (Given::Null, Given::Null)) {
        return None;
    }
    let missing = "is required: a price, or \"free\": true, or null for both prices to refuse the \
                   model until it has some";
    let rates = stated.finish(form, missing, call_is_priced)?;
    let per_call = per_call.unwrap_or_default();
    Some(Price { rates, tiers, per_call, per_server_tool_call, ..Price::default() })
}

/// What administrators are shown of a price, under the names by which they set it. A model without
/// a price has `null` in every field.
pub fn show_price(price: Option<&Price>) -> Map<String, Value> {
    let mut shown = show_rates(price.map(|price| price.rates));
    let tiers: Vec<_> = price.iter().flat_map(|price| price.tiers.iter()).map(show_tier).collect();
    let per_call = price.map(|price| price.per_call.to_usd());
    let per_tool = price.and_then(|price| price.per_server_tool_call).map(NanoUsd::to_usd);
    shown.insert("tiers".to_owned(), json!(tiers));
    shown.insert(PER_CALL.to_owned(), json!(per_call));
    shown.insert(PER_SERVER_TOOL_CALL.to_owned(), json!(per_tool));
    shown.insert("free".to_owned(), json!(price == Some(&Price::default())));
    shown
}

/// What [`show_price`] writes, as the API's document has it.
pub fn price_members() -> Members {
    let price = || Schema::decimal().or_null();
    let rates = [INPUT, OUTPUT].into_iter();
    let mut all = Rates::default();
    let kinds = optional_kinds(&mut all).map(|(field, _)| field);
    let rates = || {
        rates.clone().chain(kinds).fold(Members::default(), |all, field| all.with(field, price()))
    };
    rates()
        .with("tiers", Schema::some(rates().with(ABOVE, Schema::count()).into()))
        .with(PER_CALL, price())
        .with(PER_SERVER_TOOL_CALL, price())
        .with("free", Schema::boolean())
}

/// Prices of tokens as they were given, before it is known whether they are enough.
struct Stated {
    input: Given<PicoUsdPerToken>,
    output: Given<PicoUsdPerToken>,
    /// Its `input` and `output` are not set yet.
    kinds: Rates,
}

impl Stated {
    fn read(form: &mut Form) -> Self {
        let input = form.given(INPUT, usd_per_mtok());
        let output = form.given(OUTPUT, usd_per_mtok());
        let mut kinds = Rates::default();
        for (field, price) in optional_kinds(&mut kinds) {
            *price = form.given(field, usd_per_mtok()).value();
        }
        Self { input, output, kinds }
    }

    /// Whether any of them is more than nothing.
    fn costs(&self) -> bool {
        let is_some = |price: PicoUsdPerToken| price > PicoUsdPerToken(0);
        let mut kinds = self.kinds;
        let mut of_kinds = optional_kinds(&mut kinds).into_iter();
        [&self.input, &self.output]
            .into_iter()
            .any(|given| matches!(given, Given::Value(price) if is_some(*price)))
            || of_kinds.any(|(_, price)| price.is_some_and(is_some))
    }

    fn any_given(&self) -> bool {
        matches!(self.input, Given::Value(_))
            || matches!(self.output, Given::Value(_))
            || self.kinds != Rates::default()
    }

    /// The prices, if text has both of its own and they make a call cost something.
    fn finish(self, form: &mut Form, missing: &str, call_is_priced: bool) -> Option<Rates> {
        let mut both = |field, given: Given<PicoUsdPerToken>| {
            let price = given.value();
            if price.is_none() && !form.is_wrong(field) {
                form.wrong(field, missing);
            }
            price
        };
        let (input, output) = (both(INPUT, self.input), both(OUTPUT, self.output));
        let rates = Rates { input: input?, output: output?, ..self.kinds };
        let text_is_free = [rates.input, rates.output] == [PicoUsdPerToken::default(); 2];
        if text_is_free && !call_is_priced {
            let message = "makes calls of text free: where nothing is to be charged, say \
                           \"free\": true instead of prices";
            form.wrong(INPUT, message);
        }
        Some(rates)
    }
}

/// Reads the tiers. Each must price every kind that the model prices below them: a kind that is
/// left out costs as another one, and might become cheaper than it is for less input.
fn tiers(form: &mut Form, below: &Rates, call_is_priced: bool) -> Tiers {
    let last = Cell::new(0);
    let tiers = form.list("tiers", MOST_TIERS, |tier| {
        let above = tier.required(ABOVE, number(1, TOKENS_MOST));
        if above.is_some_and(|above| above <= last.replace(above)) {
            tier.wrong(ABOVE, "must be larger than that of the tier before");
        }
        let mut stated = Stated::read(tier);
        let mut below = *below;
        for ((field, priced), (_, price)) in
            optional_kinds(&mut below).into_iter().zip(optional_kinds(&mut stated.kinds))
        {
            if priced.is_some() && price.is_none() && !tier.is_wrong(field) {
                tier.wrong(field, "is required: the model has a price for it below this tier");
            }
        }
        let rates = stated.finish(tier, "is required", call_is_priced)?;
        Some(Tier { above_input_tokens: above?, rates })
    });
    // Tiers that are too many or out of order are problems of the form already.
    tiers.value().and_then(|tiers| Tiers::try_from(tiers).ok()).unwrap_or_default()
}

fn show_tier(tier: &Tier) -> Value {
    let mut shown = show_rates(Some(tier.rates));
    shown.insert(ABOVE.to_owned(), json!(tier.above_input_tokens));
    shown.into()
}

fn show_rates(rates: Option<Rates>) -> Map<String, Value> {
    let show = |price: PicoUsdPerToken| price.to_usd_per_mtok();
    let mut shown = Map::new();
    shown.insert(INPUT.to_owned(), json!(rates.map(|rates| show(rates.input))));
    shown.insert(OUTPUT.to_owned(), json!(rates.map(|rates| show(rates.output))));
    for (field, price) in optional_kinds(&mut rates.unwrap_or_default()) {
        shown.insert(field.to_owned(), json!(price.map(show)));
    }
    shown
}

/// The kinds of tokens that need no price of their own, each with its field. Naming every kind here
/// makes one that is added to the protocol an error until it can be set and is shown.
fn optional_kinds(rates: &mut Rates) -> [(&'static str, &mut Option<PicoUsdPerToken>); 7] {
    let Rates {
        input: _,
        output: _,
        cached_input,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        audio_output,
        image_output,
    } = rates;
    [
        ("cached_input_usd_per_mtok", cached_input),
        ("cache_write_usd_per_mtok", cache_write),
        ("cache_write_1h_usd_per_mtok", cache_write_1h),
        ("audio_input_usd_per_mtok", audio_input),
        ("image_input_usd_per_mtok", image_input),
        ("audio_output_usd_per_mtok", audio_output),
        ("image_output_usd_per_mtok", image_output),
    ]
}

fn usd_per_mtok() -> Reader<impl FnOnce(Value) -> Read<PicoUsdPerToken>> {
    decimal(|text| {
        let price = PicoUsdPerToken::from_usd_per_mtok(text)
            .map_err(|error| format!("must be USD per million tokens as a text: {error}"))?;
        if price > DEAREST_TOKENS {
            return Err(format!("must be at most {}", DEAREST_TOKENS.to_usd_per_mtok()));
        }
        Ok(price)
    })
}

fn usd() -> Reader<impl FnOnce(Value) -> Read<NanoUsd>> {
    decimal(|text| {
        let amount =
            NanoUsd::from_usd(text).map_err(|error| format!("must be USD as a text: {error}"))?;
        if amount > DEAREST_CALL {
            return Err(format!("must be at most {}", DEAREST_CALL.to_usd()));
        }
        Ok(amount)
    })
}
