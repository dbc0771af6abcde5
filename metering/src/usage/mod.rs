//! What an answer used, read byte by byte in whatever chunks it comes, and the few edits that
//! Tollgate makes to it. Nothing is held back but one event of a stream.

mod counts;
mod document;
mod name;
mod output_watch;
mod place;
mod plain;
mod reader;
mod report;
mod sse;
mod stream;

pub use plain::PlainAnswer;
pub use sse::{Lines, Piece};
pub use stream::{LONGEST_HELD_EVENT, StreamAnswer, StreamView};

use wire::v1::Usage;

/// In what form an answer comes: whose API it is, and which of its operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnswerFormat {
    /// OpenAI chat completions; also completions, whose usage and choices look the same.
    #[default]
    OpenAiChat,
    /// OpenAI responses.
    OpenAiResponses,
    /// OpenAI embeddings.
    OpenAiEmbeddings,
    /// Anthropic messages.
    AnthropicMessages,
    /// Gemini `generateContent`, and `streamGenerateContent` with or without `alt=sse`.
    GeminiGenerate,
    /// Gemini `embedContent` and `batchEmbedContents`.
    GeminiEmbed,
}

impl AnswerFormat {
    /// Later reports replace only the counts that they have (WIRE 2.6, 2.7).
    fn has_running_totals(self) -> bool {
        matches!(self, Self::AnthropicMessages | Self::GeminiGenerate | Self::GeminiEmbed)
    }

    /// The answer may be an array of documents that comes piece by piece (WIRE 2.7).
    fn may_be_array(self) -> bool {
        self == Self::GeminiGenerate
    }

    /// It has vectors, no text.
    fn is_embedding(self) -> bool {
        matches!(self, Self::OpenAiEmbeddings | Self::GeminiEmbed)
    }
}

/// Bytes of visible output per token, for output whose count was never reported: English prose has
/// about four.
const BYTES_PER_OUTPUT_TOKEN: u64 = 4;
/// Bytes of a request body per input token, for input whose count was never reported. Lower than
/// the four of prose, since the estimate must not be cheap.
const BYTES_PER_INPUT_TOKEN: u64 = 3;

/// What has been seen of an answer so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The usage that it reported last.
    pub usage: Option<Usage>,
    /// That report came with the end of the output, and no output has come after it. An earlier one
    /// is a count so far: of Gemini, and of servers that repeat it in every chunk (WIRE 2.3, 2.7).
    pub usage_is_final: bool,
    /// What it has said of its input where it has not said how much output it has: the first event
    /// of Anthropic's streams does. No output is counted in it.
    pub input: Option<Usage>,
    /// Pieces of output: events of a stream in which a choice has output, each choice for itself.
    /// Each holds at least one token; how many more, nobody says.
    pub deltas: u64,
    /// Bytes of output.
    pub output_bytes: u64,
    /// More than white space has come of it. Some servers send that while they work on an answer that
    /// is no stream.
    pub has_begun: bool,
    /// It came to its proper end.
    pub complete: bool,
}

impl Seen {
    /// Output tokens by what was seen: a quarter of the bytes but no more than `bound`, or one for
    /// each delta if that is more. Deltas beyond the bound count too: they were produced.
    #[must_use]
    pub fn output_estimate(&self, bound: u64) -> u64 {
        self.output_bytes.div_ceil(BYTES_PER_OUTPUT_TOKEN).min(bound).max(self.deltas)
    }

    /// The answer has more output than `bound` tokens, by its own report or by its deltas.
    #[must_use]
    pub fn passes(&self, bound: u64) -> bool {
        self.deltas > bound || self.usage.is_some_and(|usage| usage.output_tokens > bound)
    }
}

/// Input tokens of a request of which nothing was reported; never more than `bound`.
#[must_use]
pub fn input_estimate(body_bytes: u64, bound: u64) -> u64 {
    body_bytes.div_ceil(BYTES_PER_INPUT_TOKEN).min(bound)
}

#[cfg(test)]
mod stop_tests;
#[cfg(test)]
mod tests;
