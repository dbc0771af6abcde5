//! Whose API a request speaks.

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
