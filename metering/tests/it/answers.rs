//! Reads an answer as the filter does, in pieces, and says what the client gets.

use metering::usage::{AnswerFormat, PlainAnswer, Seen, StreamAnswer, StreamView};
use wire::NanoUsd;
use wire::v1::Usage;

/// An answer being read, plain or as a stream.
#[derive(Clone)]
pub enum Answer {
    Plain(Box<PlainAnswer>),
    Stream(Box<StreamAnswer>),
}

impl Answer {
    pub fn plain(format: AnswerFormat) -> Self {
        Self::Plain(Box::new(PlainAnswer::new(format)))
    }

    pub fn stream(format: AnswerFormat, view: StreamView) -> Self {
        Self::Stream(Box::new(StreamAnswer::of(format, view, None)))
    }

    /// What the client gets for these bytes.
    pub fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let replaced = match self {
            Self::Plain(answer) => answer.chunk(bytes, simple_cost),
            Self::Stream(answer) => answer.chunk(bytes, simple_cost),
        };
        match replaced {
            Some(replaced) => out.extend(replaced),
            None => out.extend_from_slice(bytes),
        }
    }

    /// Ends the answer.
    pub fn end(mut self, out: &mut Vec<u8>) -> Seen {
        match &mut self {
            Self::Plain(answer) => answer.seen(),
            Self::Stream(answer) => {
                out.extend(answer.finish());
                answer.seen()
            }
        }
    }
}

/// One nano-USD per input token, a thousand per output token, a million per tool call.
pub fn simple_cost(usage: &Usage) -> NanoUsd {
    let tools = 1_000_000 * usage.server_tool_calls;
    NanoUsd(usage.input_tokens + 1000 * usage.output_tokens + tools)
}
