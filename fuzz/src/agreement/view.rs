//! What a parser sees at the places of a body that matter.

use std::collections::BTreeMap;

/// The members whose values are compared, as paths from the outermost object; `*` stands for every
/// element of a list.
pub const PATHS: &[&str] = &[
    "model",
    "stream",
    "stream_options.include_usage",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "max_length",
    "n_predict",
    "num_predict",
    "n",
    "best_of",
    "thinking.budget_tokens",
    "reasoning.max_tokens",
    "generationConfig.maxOutputTokens",
    "generationConfig.max_output_tokens",
    "generation_config.maxOutputTokens",
    "generation_config.max_output_tokens",
    "generationConfig.candidateCount",
    "generationConfig.candidate_count",
    "generation_config.candidateCount",
    "generation_config.candidate_count",
    "generationConfig.thinkingConfig.thinkingBudget",
    "tools.*.type",
    "background",
    "store",
    "service_tier",
    "previous_response_id",
    "messages.*.content.*.type",
];

/// What one parser makes of one body: its complaint, or what stands at each path where something
/// does. Values are written so that the same value is the same text whoever wrote it: `null`,
/// `true`, `i:12` (any number without a fraction), `f:1.5`, `s:` and the UTF-8 of a string in
/// hexadecimal, `{}` for an object, `[]` around the values of a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct View {
    /// Whose view it is.
    pub parser: String,
    /// Why there is none.
    #[serde(default)]
    pub error: Option<String>,
    /// By path.
    #[serde(default)]
    pub seen: BTreeMap<String, String>,
}

impl View {
    /// The value at a path; `None` where there is none.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&str> {
        self.seen.get(path).map(String::as_str)
    }

    /// The same, where `null` is as good as nothing.
    #[must_use]
    pub fn given(&self, path: &str) -> Option<&str> {
        self.at(path).filter(|value| *value != "null")
    }
}

/// A string as views write it.
pub(crate) fn written(text: &str) -> String {
    text.bytes().fold("s:".to_owned(), |written, byte| format!("{written}{byte:02x}"))
}
