//! Whose API a request speaks.

use metering::usage::AnswerFormat;

/// The API in whose form the filter answers: errors, rate limit headers, model lists, and the event
/// that ends a stream. It follows from the path (and for shared paths from headers), never from the
/// kind of credential alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI and everything compatible with it: Azure, OpenRouter, Gemini's OpenAI path.
    #[default]
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Gemini.
    Gemini,
}

impl Dialect {
    /// The API that an answer of this form belongs to.
    pub(crate) fn of(format: AnswerFormat) -> Self {
        match format {
            AnswerFormat::OpenAiChat
            | AnswerFormat::OpenAiResponses
            | AnswerFormat::OpenAiEmbeddings => Self::OpenAi,
            AnswerFormat::AnthropicMessages => Self::Anthropic,
            AnswerFormat::GeminiGenerate | AnswerFormat::GeminiEmbed => Self::Gemini,
        }
    }

    /// The header field in which this API's SDKs look for the id of a request.
    pub(crate) fn request_id_header(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Gemini => "x-request-id",
            Self::Anthropic => "request-id",
        }
    }
}
