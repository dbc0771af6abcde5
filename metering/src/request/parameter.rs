//! Optional members of requests: those that some models take and others refuse. Which of them a
//! model takes is said in the catalogue by their names in OpenAI's API, whatever API a client uses.

use crate::json::{Event, Text};

/// Each spelling of an optional member, and what the catalogue calls it. A nested one is written
/// with its path, one of Gemini's configuration without: every generated client hides that object.
const SPELLINGS: [(&str, &str); 73] = [
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("topP", "top_p"),
    ("top_k", "top_k"),
    ("topK", "top_k"),
    ("top_a", "top_a"),
    ("min_p", "min_p"),
    ("min_tokens", "min_tokens"),
    ("seed", "seed"),
    ("random_seed", "seed"),
    ("n", "n"),
    ("candidateCount", "n"),
    ("candidate_count", "n"),
    ("best_of", "best_of"),
    ("stop", "stop"),
    ("stop_sequences", "stop"),
    ("stopSequences", "stop"),
    ("stop_token_ids", "stop_token_ids"),
    ("ignore_eos", "ignore_eos"),
    ("skip_special_tokens", "skip_special_tokens"),
    ("frequency_penalty", "frequency_penalty"),
    ("frequencyPenalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("presencePenalty", "presence_penalty"),
    ("repetition_penalty", "repetition_penalty"),
    ("logit_bias", "logit_bias"),
    ("logprobs", "logprobs"),
    ("responseLogprobs", "logprobs"),
    ("response_logprobs", "logprobs"),
    ("top_logprobs", "top_logprobs"),
    ("tools", "tools"),
    ("functions", "tools"),
    ("tool_choice", "tool_choice"),
    ("function_call", "tool_choice"),
    ("toolConfig", "tool_choice"),
    ("tool_config", "tool_choice"),
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("web_search_options", "web_search_options"),
    ("response_format", "response_format"),
    ("text.format", "response_format"),
    ("output_format", "response_format"),
    ("output_config.format", "response_format"),
    ("responseFormat", "response_format"),
    ("responseMimeType", "response_format"),
    ("response_mime_type", "response_format"),
    ("responseSchema", "response_format"),
    ("response_schema", "response_format"),
    ("responseJsonSchema", "response_format"),
    ("response_json_schema", "response_format"),
    ("_responseJsonSchema", "response_format"),
    ("structured_outputs", "structured_outputs"),
    ("guided_json", "structured_outputs"),
    ("guided_regex", "structured_outputs"),
    ("guided_choice", "structured_outputs"),
    ("guided_grammar", "structured_outputs"),
    ("reasoning", "reasoning"),
    ("thinking", "reasoning"),
    ("enable_thinking", "reasoning"),
    ("thinkingConfig", "reasoning"),
    ("thinking_config", "reasoning"),
    ("reasoning_effort", "reasoning_effort"),
    ("output_config.effort", "reasoning_effort"),
    ("include_reasoning", "include_reasoning"),
    ("verbosity", "verbosity"),
    ("text.verbosity", "verbosity"),
    ("prediction", "prediction"),
    ("chat_template_kwargs", "chat_template_kwargs"),
    ("safe_prompt", "safe_prompt"),
    ("suffix", "suffix"),
    ("echo", "echo"),
    ("dimensions", "dimensions"),
    ("outputDimensionality", "dimensions"),
    ("output_dimensionality", "dimensions"),
];

/// An optional member in one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter {
    /// Its place among [`SPELLINGS`], below 128.
    place: u8,
    /// It is as if it were absent where it is `false`.
    off_by_default: bool,
    /// It is as if it were absent where it is 1, or 0 where that stands for no value.
    one_by_default: bool,
}

impl Parameter {
    /// The member that is written so. One that is not listed would be no member at all, which a
    /// test excludes for the tables.
    pub(super) const fn written(name: &str) -> Self {
        let mut place = 0;
        let mut rest: &[(&str, &str)] = &SPELLINGS;
        while let [(spelling, meaning), others @ ..] = rest {
            if same(spelling, name) {
                let off_by_default = same(meaning, "logprobs") || same(meaning, "echo");
                let one_by_default = same(meaning, "n") || same(meaning, "best_of");
                return Self { place, off_by_default, one_by_default };
            }
            place += 1;
            rest = others;
        }
        Self { place: u8::MAX, off_by_default: false, one_by_default: false }
    }

    #[cfg(test)]
    pub(super) fn is_listed(self) -> bool {
        usize::from(self.place) < SPELLINGS.len()
    }

    /// Whether a request with this value (or with a bracket that ends at once) is the same as one
    /// without the member. Clients' libraries send such values unasked.
    pub(super) fn is_default(self, event: &Event<'_>) -> bool {
        match event {
            Event::Null | Event::Close { .. } => true,
            Event::Bool(on) => self.off_by_default && !on,
            Event::Number(Text { bytes: b"0" | b"1", .. }) => self.one_by_default,
            _ => false,
        }
    }

    fn bit(self) -> u128 {
        1u128.checked_shl(u32::from(self.place)).unwrap_or(0)
    }
}

/// The optional members that a request uses: one bit for each spelling of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parameters(u128);

impl Parameters {
    pub(super) fn insert(&mut self, parameter: Parameter) {
        self.0 |= parameter.bit();
    }

    #[cfg(test)]
    pub(super) fn all() -> Self {
        (0..SPELLINGS.len()).fold(Self::default(), |all, place| Self(all.0 | 1 << place))
    }

    /// The used members as they were written, each with its name in catalogues.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let places = SPELLINGS.iter().enumerate();
        places.filter(move |(place, _)| self.0 >> place & 1 == 1).map(|(_, spelling)| *spelling)
    }

    /// The first used member that is not among `supported`, as it was written. A list may name it
    /// as catalogues do or as it was written. What every model takes (messages, limits, streaming,
    /// what is said of the user) is none of the optional members and needs no mention.
    #[must_use]
    pub fn first_beyond(self, supported: &[String]) -> Option<&'static str> {
        let takes = |name: &str| supported.iter().any(|one| one == name);
        self.iter().find(|(written, name)| !takes(name) && !takes(written)).map(|(one, _)| one)
    }
}

/// Whether an optional member is called so, by clients or by catalogues.
pub(super) fn is_name(name: &str) -> bool {
    SPELLINGS.iter().any(|(written, meaning)| *written == name || *meaning == name)
}

/// `==`, at compile time.
const fn same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        match (one, other) {
            ([], []) => return true,
            ([a, rest_of_one @ ..], [b, rest_of_other @ ..]) if *a == *b => {
                (one, other) = (rest_of_one, rest_of_other);
            }
            _ => return false,
        }
    }
}
