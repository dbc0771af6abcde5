//! The JSON by which administrators describe a model.

use wire::ModelName;

use super::form::{Form, flag, number, texts};
use super::price_form::price;
use crate::app::{AdminError, ModelForm};

/// Other names of one model.
const ALIASES_MOST: usize = 64;

/// No model reads or writes as much at once; keeps every product of tokens and prices small.
pub const TOKENS_MOST: u64 = 1_000_000_000;

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
