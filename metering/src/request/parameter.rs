//! Optional members of requests: those that some models take and others refuse. Which of them a
//! model takes is said in the catalogue by their names in OpenAI's API, whatever API a client uses.

use crate::json::{Event, Text};

/// Each spelling of an optional member, and what the catalogue calls it. A nested one is written
/// with its path, one of Gemini's configuration without: every generated client hides that object.
const SPELLINGS: [(&str, &str); 78] = [
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
    ("thinking_budget", "reasoning"),
    ("prompt_mode", "reasoning"),
    ("reasoning_format", "include_reasoning"),
    ("thinkingConfig", "reasoning"),
    ("thinking_config", "reasoning"),
    ("reasoning_effort", "reasoning_effort"),
    ("output_config.effort", "reasoning_effort"),
    ("include_reasoning", "include_reasoning"),
    ("verbosity", "verbosity"),
    ("text.verbosity", "verbosity"),
    ("prediction", "prediction"),
    ("chat_template_kwargs", "chat_template_kwargs"),
    ("chat_template_kwargs.enable_thinking", "chat_template_kwargs"),
    ("chat_template_kwargs.thinking", "chat_template_kwargs"),
    ("safe_prompt", "safe_prompt"),
    ("suffix", "suffix"),
    ("echo", "echo"),
    ("dimensions", "dimensions"),
    ("outputDimensionality", "dimensions"),
    ("output_dimensionality", "dimensions"),
];

/// Values with which a request is the same as without the member. Clients' libraries send such
/// values unasked.
const fn idle_values(written: &str, meaning: &str) -> &'static [&'static str] {
    if same(meaning, "n") || same(meaning, "best_of") {
        // 0 where that stands for no value, in protobuf's JSON
        &["1", "0"]
    } else if same(meaning, "logprobs") || same(meaning, "echo") {
        &["false"]
    } else if same(meaning, "reasoning_effort") {
        &["none"]
    } else if same(meaning, "include_reasoning") {
        &["false"]
    } else if same(meaning, "reasoning") || same(meaning, "chat_template_kwargs") {
        &["false", "none", "disabled", "0"]
    } else if same(meaning, "tool_choice") {
        &["auto"]
    } else if same(written, "responseMimeType") || same(written, "response_mime_type") {
        &["text/plain"]
    } else {
        &[]
    }
}

/// [`idle_values`] of each spelling.
const IDLE: [&[&str]; SPELLINGS.len()] = {
    let mut idle: [&[&str]; SPELLINGS.len()] = [&[]; SPELLINGS.len()];
    let mut place = 0;
    while place < idle.len() {
        idle[place] = idle_values(SPELLINGS[place].0, SPELLINGS[place].1);
        place += 1;
    }
    idle
};

/// The spellings of which one of these is the meaning, or the beginning as it is written.
const fn all_of(meanings: &[&str], beginning: &str) -> u128 {
    let mut all = 0;
    let mut place = 0;
    let mut rest: &[(&str, &str)] = &SPELLINGS;
    while let [(written, meaning), others @ ..] = rest {
        let mut meant = meanings;
        while let [one, more @ ..] = meant {
            if same(meaning, one) {
                all |= 1 << place;
            }
            meant = more;
        }
        if begins(written, beginning) {
            all |= 1 << place;
        }
        place += 1;
        rest = others;
    }
    all
}

/// Those that ask for reasoning.
const REASONS: u128 =
    all_of(&["reasoning", "reasoning_effort", "include_reasoning"], "chat_template_kwargs.");
/// Those that bring tools, and those that choose among them.
const TOOLS: u128 = all_of(&["tools"], "tools");
const TOOL_CHOICES: u128 = all_of(&["tool_choice"], "tool_choice");

/// An optional member in one spelling: its place among [`SPELLINGS`], below 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter(u8);

impl Parameter {
    /// The member that is written so. One that is not listed would be no member at all, which a
    /// test excludes for the tables.
    pub(super) const fn written(name: &str) -> Self {
        let mut place = 0;
        let mut rest: &[(&str, &str)] = &SPELLINGS;
        while let [(spelling, _), others @ ..] = rest {
            if same(spelling, name) {
                return Self(place);
            }
            place += 1;
            rest = others;
        }
        Self(u8::MAX)
    }

    fn idle(self) -> &'static [&'static str] {
        IDLE.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn is_listed(self) -> bool {
        usize::from(self.0) < SPELLINGS.len()
    }

    /// Whether a request with this value (or with a bracket that ends at once) is the same as one
    /// without the member.
    pub(super) fn is_default(self, event: &Event<'_>) -> bool {
        match event {
            Event::Null | Event::Close { .. } => true,
            event => is_one_of(self.idle(), event),
        }
    }

    /// The same where the request has no tools: that none be used.
    pub(super) fn is_default_without_tools(self, event: &Event<'_>) -> bool {
        self.bit() & TOOL_CHOICES != 0 && is_one_of(&["none"], event)
    }

    /// The text of its value decides whether it is used.
    pub(super) fn wants_string(self) -> bool {
        !self.idle().is_empty()
    }

    fn bit(self) -> u128 {
        1u128.checked_shl(u32::from(self.0)).unwrap_or(0)
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

    /// Adds those that say something only where there are tools.
    pub(super) fn with_those_of_tools(self, of_tools: Self) -> Self {
        if self.0 & TOOLS == 0 { self } else { Self(self.0 | of_tools.0) }
    }

    /// They ask the model to reason, as far as one can tell by them: what it thinks may cost output
    /// that nobody sees.
    #[must_use]
    pub fn ask_for_reasoning(self) -> bool {
        self.0 & REASONS != 0
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

/// Whether a plain value is one of these, as it is written in JSON without quotes.
pub(super) fn is_one_of(values: &[&str], event: &Event<'_>) -> bool {
    let written = match event {
        Event::Str { text, .. } if text.complete => text.bytes,
        Event::Number(Text { bytes, .. }) => bytes,
        Event::Bool(true) => b"true",
        Event::Bool(false) => b"false",
        _ => return false,
    };
    values.iter().any(|value| value.as_bytes() == written)
}

/// `starts_with`, at compile time.
const fn begins(text: &str, beginning: &str) -> bool {
    let (mut text, mut beginning) = (text.as_bytes(), beginning.as_bytes());
    loop {
        match (text, beginning) {
            (_, []) => return true,
            ([a, rest @ ..], [b, more @ ..]) if *a == *b => (text, beginning) = (rest, more),
            _ => return false,
        }
    }
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
