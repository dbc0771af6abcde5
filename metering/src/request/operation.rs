//! What kind of request a body belongs to; the route decides it, never the body.

/// One operation of one provider's API (WIRE 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// OpenAI `POST /v1/chat/completions`.
    Chat,
    /// OpenAI `POST /v1/completions`.
    Completions,
    /// OpenAI `POST /v1/responses`.
    Responses,
    /// OpenAI `POST /v1/embeddings`.
    Embeddings,
    /// Anthropic `POST /v1/messages`.
    Messages,
    /// Anthropic `POST /v1/messages/count_tokens`.
    CountMessageTokens,
    /// Gemini `:generateContent`.
    GenerateContent,
    /// Gemini `:streamGenerateContent`.
    StreamGenerateContent,
    /// Gemini `:embedContent`.
    EmbedContent,
    /// Gemini `:batchEmbedContents`.
    BatchEmbedContents,
    /// Gemini `:countTokens`.
    CountTokens,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 11] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Embeddings,
        Self::Messages,
        Self::CountMessageTokens,
        Self::GenerateContent,
        Self::StreamGenerateContent,
        Self::EmbedContent,
        Self::BatchEmbedContents,
        Self::CountTokens,
    ];

    /// The provider charges nothing for it.
    #[must_use]
    pub fn is_free(self) -> bool {
        matches!(self, Self::CountMessageTokens | Self::CountTokens)
    }

    /// It produces tokens, so it has a bound on output.
    #[must_use]
    pub fn has_output(self) -> bool {
        matches!(
            self,
            Self::Chat
                | Self::Completions
                | Self::Responses
                | Self::Messages
                | Self::GenerateContent
                | Self::StreamGenerateContent
        )
    }

    /// The least bound on its output that a request may state. No bound at all is what servers make of
    /// nothing that are written in Go or speak protobuf to others, since both leave it out. Where prompts
    /// are scored or put into a cache it is meant, and the servers that do that read it.
    #[must_use]
    pub fn least_output_limit(self) -> u64 {
        u64::from(matches!(self, Self::Chat | Self::Responses))
    }

    /// Its streams report usage only where the request asks for it (WIRE 2.3).
    #[must_use]
    pub fn reports_usage_when_asked(self) -> bool {
        matches!(self, Self::Chat | Self::Completions)
    }
}

/// What the head of a request says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// The operation that the path names.
    pub operation: Operation,
    /// The model or deployment that the path names, percent-decoded and without `models/`. Where it
    /// is given, it is the one that counts: another one in the body is replaced (OpenAI's operations at
    /// Azure, whose SDKs send both) or refused (Gemini's).
    pub path_model: Option<&'a str>,
    /// The values of `anthropic-beta`, joined by commas; empty where there is none.
    pub betas: &'a str,
}

impl Source<'_> {
    /// A body that names its model itself.
    #[must_use]
    pub fn body(operation: Operation) -> Self {
        Self { operation, path_model: None, betas: "" }
    }
}
