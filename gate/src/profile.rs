//! Whose manners the filter has towards clients.

use crate::dialect::Dialect;

/// A product for which Tollgate can stand in without its clients noticing: where credentials are
/// sent, and what errors, limits, model lists and usage look like. What is admitted and what it costs
/// is the same in all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Tollgate's own.
    #[default]
    Native,
    /// The PrivateMind API.
    PrivateMind,
    /// The MindProxy gateway.
    MindProxy,
    /// DeltaLLM.
    DeltaLlm,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Native, Self::PrivateMind, Self::MindProxy, Self::DeltaLlm];

    /// The name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::PrivateMind => "privatemind",
            Self::MindProxy => "mindproxy",
            Self::DeltaLlm => "deltallm",
        }
    }

    /// Who owns the models of a list.
    pub(crate) fn owner(self) -> &'static str {
        match self {
            Self::Native => "tollgate",
            Self::PrivateMind => "privatemind",
            Self::MindProxy => "tt",
            Self::DeltaLlm => "deltallm",
        }
    }

    /// Streams end with usage whether the client asks for it or not.
    pub(crate) fn always_shows_usage(self) -> bool {
        self == Self::PrivateMind
    }

    /// A full window is told before anything that is wrong with the request.
    pub(crate) fn checks_windows_first(self) -> bool {
        self == Self::DeltaLlm
    }

    /// `cost_usd` stands in usage blocks.
    pub(crate) fn shows_cost(self) -> bool {
        matches!(self, Self::Native | Self::PrivateMind)
    }

    /// Header fields in which a key may be sent.
    pub(crate) fn key_headers(self, dialect: Dialect) -> &'static [&'static [u8]] {
        match (self, dialect) {
            (Self::Native, _) => &[b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"],
            (Self::MindProxy, Dialect::Anthropic) => &[b"authorization", b"x-api-key"],
            // Google's own SDKs know no other header.
            (Self::MindProxy, Dialect::Gemini) => &[b"authorization", b"x-goog-api-key"],
            (Self::MindProxy, Dialect::OpenAi) | (Self::PrivateMind | Self::DeltaLlm, _) => {
                &[b"authorization"]
            }
        }
    }

    /// Whether a key may be sent as `?key=`.
    pub(crate) fn takes_query_key(self, dialect: Dialect) -> bool {
        dialect == Dialect::Gemini && matches!(self, Self::Native | Self::MindProxy)
    }

    /// The header that asks for a dry run, beside `x-tollgate-dry-run`.
    pub(crate) fn dry_run_header(self) -> Option<&'static [u8]> {
        (self == Self::MindProxy).then_some(b"x-tt-dry-run")
    }
}

/// In whose form a request is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Voice {
    /// The API that was asked.
    pub dialect: Dialect,
    /// Whose manners.
    pub profile: Profile,
}

impl From<Dialect> for Voice {
    fn from(dialect: Dialect) -> Self {
        Self { dialect, profile: Profile::Native }
    }
}

impl Voice {
    /// Header fields that carry the id of a request.
    pub(crate) fn request_id_headers(self) -> impl Iterator<Item = &'static str> {
        let own = (self.profile == Profile::MindProxy).then_some("x-tt-request-id");
        ["x-tollgate-request-id", self.dialect.request_id_header()].into_iter().chain(own)
    }
}
