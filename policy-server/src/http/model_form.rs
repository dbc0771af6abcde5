//! The JSON by which administrators describe a model.

use serde_json::Value;
use wire::v1::Price;
use wire::{ModelName, PicoUsdPerToken};

use super::form::{Form, Read, checked, flag, number, texts};
use crate::app::{AdminError, Given, ModelForm};

/// Other names of one model.
const ALIASES_MOST: usize = 64;

/// No model reads or writes as much at once; keeps every product of tokens and prices small.
const TOKENS_MOST: u64 = 1_000_000_000;

/// A million USD per million tokens: larger prices are a mistake.
const DEAREST: PicoUsdPerToken = PicoUsdPerToken(1_000_000 * 1_000_000);

/// What chat framing and hidden prompts take where an operator says nothing: some ten tokens per
/// message and a short system preamble.
const DEFAULT_INPUT_OVERHEAD_TOKENS: u64 = 64;

/// Reads a model.
///
/// # Errors
/// When any field cannot be accepted.
pub fn model_form(body: &[u8]) -> Result<ModelForm, AdminError> {
    let mut form = Form::parse(body)?;
    let context_length = form.required("context_length", number(1, TOKENS_MOST));
    let max_output_tokens = form.required("max_output_tokens", number(1, TOKENS_MOST));
    let overhead = form.given("input_overhead_tokens", number(0, TOKENS_MOST));
    let reasoning = form.given("reasoning", flag).value().unwrap_or(false);
    let aliases = form.given("aliases", texts(ALIASES_MOST)).value();
    let mut names = Vec::new();
    for (index, alias) in aliases.unwrap_or_default().into_iter().enumerate() {
        match ModelName::new(alias) {
            Ok(name) => names.push(name),
            Err(error) => form.wrong(&format!("aliases[{index}]"), error.to_string()),
        }
    }
    let price = price(&mut form);
    form.finish()?;
    // Both are there: their absence would have ended in a problem above.
    let (Some(context_length), Some(max_output_tokens)) = (context_length, max_output_tokens)
    else {
        return Err(AdminError::Invalid(Vec::new()));
    };
    Ok(ModelForm {
        aliases: names,
        price,
        context_length,
        max_output_tokens,
        input_overhead_tokens: overhead.value().unwrap_or(DEFAULT_INPUT_OVERHEAD_TOKENS),
        reasoning,
    })
}

/// Prices are never guessed: they are given, or the model is said to be free, or they are `null`
/// and the model is refused until it has some.
fn price(form: &mut Form) -> Option<Price> {
    let input = form.given("input_usd_per_mtok", usd_per_mtok);
    let output = form.given("output_usd_per_mtok", usd_per_mtok);
    let cached_input = form.given("cached_input_usd_per_mtok", usd_per_mtok).value();
    let free = form.given("free", flag).value().unwrap_or(false);
    let any_given = matches!(input, Given::Value(_))
        || matches!(output, Given::Value(_))
        || cached_input.is_some();
    match (input, output) {
        _ if free && any_given => {
            form.wrong("free", "contradicts the prices given");
            None
        }
        _ if free => Some(Price::default()),
        (Given::Value(input), Given::Value(output)) => {
            Some(Price::text(input, output, cached_input))
        }
        (Given::Null, Given::Null) if cached_input.is_none() => None,
        (input, output) => {
            let missing = "is required: a price, or \"free\": true, or null for both prices to \
                           refuse the model until it has some";
            if !matches!(input, Given::Value(_)) {
                form.wrong("input_usd_per_mtok", missing);
            }
            if !matches!(output, Given::Value(_)) {
                form.wrong("output_usd_per_mtok", missing);
            }
            None
        }
    }
}

fn usd_per_mtok(value: Value) -> Read<PicoUsdPerToken> {
    let price = checked(|text| PicoUsdPerToken::from_usd_per_mtok(&text))(value)
        .map_err(|error| format!("must be USD per million tokens as a text: {error}"))?;
    if price > DEAREST {
        return Err(format!("must be at most {}", DEAREST.to_usd_per_mtok()));
    }
    Ok(price)
}
