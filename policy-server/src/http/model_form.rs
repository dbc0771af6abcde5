//! The JSON by which administrators describe a model.

use metering::request::is_member;
use wire::ModelName;

use super::form::Form;
use super::price_form::price;
use super::reader::{boolean, number, texts};
use crate::app::{ALIASES_MOST, AdminError, MediaTokens, ModelForm};

/// No model reads or writes as much at once; keeps every product of tokens and prices small.
pub const TOKENS_MOST: u64 = 1_000_000_000;

/// Uses of tools in one call: each may read the whole context again, so a call that reserves for
/// more could be paid by nobody.
const SERVER_TOOL_CALLS_MOST: u64 = 1_000;

/// Members in a list: there are fewer.
const PARAMETERS_MOST: usize = 256;

/// What chat framing and hidden prompts take where an operator says nothing: some ten tokens per
/// message and a short system preamble.
const DEFAULT_INPUT_OVERHEAD_TOKENS: u64 = 64;

/// Reads a model.
///
/// # Errors
/// When any field cannot be accepted.
pub fn model_form(body: &[u8]) -> Result<ModelForm, AdminError> {
    Form::read(body, model)
}

/// The fields of a model.
pub fn model(form: &mut Form) -> Option<ModelForm> {
    let context_length = form.required("context_length", number(1, TOKENS_MOST));
    let max_output_tokens = form.required("max_output_tokens", number(1, TOKENS_MOST));
    let overhead = form.given("input_overhead_tokens", number(0, TOKENS_MOST));
    // Nothing that a body holds costs no token: zero would let it in unpaid.
    let mut most = |field| form.given(field, number(1, TOKENS_MOST)).value();
    let media = MediaTokens {
        image: most("image_tokens"),
        audio: most("audio_tokens"),
        document: most("document_tokens"),
    };
    let tool_calls = form.given("max_server_tool_calls", number(1, SERVER_TOOL_CALLS_MOST));
    let supported_parameters = supported_parameters(form);
    let reasoning = form.given("reasoning", boolean()).value().unwrap_or(false);
    let aliases = form.given("aliases", texts(ALIASES_MOST)).value();
    let mut names = Vec::new();
    for (index, alias) in aliases.unwrap_or_default().into_iter().enumerate() {
        match ModelName::new(alias) {
            Ok(name) => names.push(name),
            Err(error) => form.wrong(&format!("aliases[{index}]"), error.to_string()),
        }
    }
    let price = price(form);
    Some(ModelForm {
        aliases: names,
        price,
        context_length: context_length?,
        max_output_tokens: max_output_tokens?,
        input_overhead_tokens: overhead.value().unwrap_or(DEFAULT_INPUT_OVERHEAD_TOKENS),
        media,
        max_server_tool_calls: tool_calls.value(),
        supported_parameters,
        reasoning,
    })
}

/// Names that no request is checked for would only look as if they were.
fn supported_parameters(form: &mut Form) -> Option<Vec<String>> {
    const FIELD: &str = "supported_parameters";
    let names = form.given(FIELD, texts(PARAMETERS_MOST)).value()?;
    for (index, name) in names.iter().enumerate() {
        if !is_member(name) {
            let message = format!("there is no request member '{name}'");
            form.wrong(&format!("{FIELD}[{index}]"), message);
        }
    }
    Some(names)
}
