//! What a request asks for beyond tokens in and tokens out. Each needs somebody's permission, since
//! its cost is not in the reservation or its effect outlives the call; whether it is given is decided
//! elsewhere.

use std::borrow::Cow;

/// Why something needs permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureKind {
    /// The provider answers later: this answer has no usage.
    Background,
    /// Other prices than the catalogue's: service tiers, fast modes, regions with a surcharge.
    PriceTier,
    /// Something kept at the provider, whose account all keys share.
    ProviderState,
    /// Tools on servers of the client's choice.
    RemoteTools,
    /// A tool whose place and price are unknown.
    UnknownTool,
    /// Output other than text.
    OutputModality,
    /// Other models than the named one may answer.
    FallbackModels,
    /// Output that the output limit may not bound.
    UnboundedOutput,
    /// Several answers where the operation knows one.
    ExtraCandidates,
    /// A beta that lifts a bound or is not known.
    Beta,
    /// An option of the API behind a compatible one that we do not know.
    ProviderOptions,
    /// A member that we do not know.
    UnknownParameter,
}

impl FeatureKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Background,
        Self::PriceTier,
        Self::ProviderState,
        Self::RemoteTools,
        Self::UnknownTool,
        Self::OutputModality,
        Self::FallbackModels,
        Self::UnboundedOutput,
        Self::ExtraCandidates,
        Self::Beta,
        Self::ProviderOptions,
        Self::UnknownParameter,
    ];

    /// The stable code for configuration, errors and counters.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::PriceTier => "price_tier",
            Self::ProviderState => "provider_state",
            Self::RemoteTools => "remote_tools",
            Self::UnknownTool => "unknown_tool",
            Self::OutputModality => "output_modality",
            Self::FallbackModels => "fallback_models",
            Self::UnboundedOutput => "unbounded_output",
            Self::ExtraCandidates => "extra_candidates",
            Self::Beta => "beta",
            Self::ProviderOptions => "provider_options",
            Self::UnknownParameter => "unknown_parameter",
        }
    }
}

/// Something that needs permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Why.
    pub kind: FeatureKind,
    /// The member (or the beta) that asks for it. Unknown names are cut at
    /// [`LONGEST_UNKNOWN_NAME`] bytes and end in `…` then.
    pub param: Cow<'static, str>,
}

/// Most unknown names that are kept of one request; real requests have up to three. Those beyond
/// are one feature of their kind with the name [`MORE_UNKNOWN`], so that none goes unseen. Known
/// names are as many as the tables have.
pub const MOST_UNKNOWN: usize = 16;

/// Stands for unknown names beyond [`MOST_UNKNOWN`].
pub const MORE_UNKNOWN: &str = "…";

/// Longest unknown name that is kept, in bytes: it is repeated in an error.
pub const LONGEST_UNKNOWN_NAME: usize = 64;

/// An unknown name as it is shown.
pub(super) fn shown(name: &[u8]) -> String {
    let kept = String::from_utf8_lossy(name.get(..LONGEST_UNKNOWN_NAME).unwrap_or(name));
    if name.len() > LONGEST_UNKNOWN_NAME { format!("{kept}…") } else { kept.into_owned() }
}

/// A tool that the provider runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerTool {
    /// Searches the web.
    WebSearch,
    /// Fetches pages.
    WebFetch,
    /// Runs code.
    CodeExecution,
    /// Searches files kept at the provider.
    FileSearch,
    /// Searches maps.
    Maps,
    /// Searches the tools of the request.
    ToolSearch,
}

/// The tools of a request that the provider runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTools {
    /// Each kind once, as first met.
    pub kinds: Vec<ServerTool>,
    /// The member that asked for the first of them; empty where there is none.
    pub param: &'static str,
    /// Most uses of all of them together; `None` where the request does not bound them.
    pub most_calls: Option<u64>,
}

impl Default for ServerTools {
    fn default() -> Self {
        Self { kinds: Vec::new(), param: "", most_calls: Some(0) }
    }
}

impl ServerTools {
    pub(super) fn add(&mut self, kind: ServerTool, param: &'static str, most_calls: Option<u64>) {
        if self.kinds.is_empty() {
            self.param = param;
        }
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
        self.most_calls = match (self.most_calls, most_calls) {
            (Some(sum), Some(calls)) => Some(sum.saturating_add(calls)),
            _ => None,
        };
    }
}

/// Betas of `anthropic-beta` without influence on prices or bounds, by the start of their names:
/// what follows is a date. Cache writes for an hour are in the bound of every call anyway. Those of
/// tools only make known what the body must still ask for, and is asked about there.
const HARMLESS_BETAS: [&str; 33] = [
    "prompt-caching-20",
    "prompt-caching-scope-20",
    "cache-diagnosis-20",
    "redact-thinking-20",
    "thinking-token-count-20",
    "thinking-display-updates-20",
    "mid-conversation-system-20",
    "mid-conversation-system-clear-at-20",
    "model-context-window-exceeded-20",
    "task-budgets-20",
    "advisor-tool-20",
    "extended-cache-ttl-20",
    "token-efficient-tools-20",
    "fine-grained-tool-streaming-20",
    "interleaved-thinking-20",
    "dev-full-thinking-20",
    "files-api-20",
    "pdfs-20",
    "computer-use-20",
    "token-counting-20",
    "structured-outputs-20",
    "tool-search-tool-20",
    "tool-examples-20",
    "advanced-tool-use-20",
    "effort-20",
    "code-execution-20",
    "web-fetch-20",
    "web-search-20",
    "context-management-20",
    "mcp-client-20",
    "skills-20",
    "claude-code-20",
    "oauth-20",
];

/// The betas that need permission: those that lift the bound on output (`output-…`) or input
/// (`context-1m-…`), change the price (`fast-mode-…`), or are not known.
pub(super) fn restricted_betas(values: &str) -> impl Iterator<Item = Feature> {
    let names = values.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .filter(|name| !HARMLESS_BETAS.iter().any(|harmless| name.starts_with(harmless)))
        .map(|name| Feature { kind: FeatureKind::Beta, param: Cow::Owned(shown(name.as_bytes())) })
}
