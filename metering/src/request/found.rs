//! What is read of a body, before it is made the same for every operation.

use std::ops::Range;

use super::content::Media;
use super::feature::{Feature, ServerTools};
use super::parameter::Parameters;

/// Bounds on output, by place: `max_tokens` or the operation's only one, `max_completion_tokens`.
pub(super) type Limits = [Limit; 2];

/// One bound on output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Limit {
    #[default]
    Absent,
    /// Written, but as if it were not.
    Void(Range<usize>),
    Tokens {
        tokens: u64,
        name: Range<usize>,
        value: Range<usize>,
    },
}

/// A bound on output by a name of some other server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OtherLimit {
    pub(super) tokens: u64,
    pub(super) value: Range<usize>,
}

/// An object that may be edited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Slot {
    #[default]
    Absent,
    Null(Range<usize>),
    /// The offset lies just behind its brace.
    Object {
        inside: usize,
        is_empty: bool,
    },
}

/// What is read of a body.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) model: Option<String>,
    pub(super) model_span: Range<usize>,
    /// Repetitions of the path's model.
    pub(super) path_spans: Vec<PathSpan>,
    pub(super) stream: bool,
    pub(super) include_usage: Option<(bool, Range<usize>)>,
    pub(super) limits: Limits,
    /// No more than the tables have names for them.
    pub(super) other_limits: Vec<OtherLimit>,
    pub(super) thinking_budget: Option<u64>,
    pub(super) choices: Option<u64>,
    pub(super) best_of: Option<u64>,
    pub(super) prompts: u64,
    /// Length of the longest list of tokens.
    pub(super) longest_tokens: u64,
    pub(super) truncates: bool,
    pub(super) max_tool_calls: Option<u64>,
    pub(super) media: Media,
    pub(super) by_reference: bool,
    pub(super) server_tools: ServerTools,
    pub(super) features: Vec<Feature>,
    pub(super) parameters: Parameters,
    /// Optional members whose values say nothing where there are no tools.
    pub(super) parameters_of_tools: Parameters,
    pub(super) root: Slot,
    pub(super) stream_options: Slot,
    pub(super) config: Slot,
}

/// Where the path's model is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathSpan {
    pub(super) span: Range<usize>,
    /// It is written as `models/…`.
    pub(super) is_resource: bool,
    /// Something else stands there, and the path's model is to take its place.
    pub(super) differs: bool,
}
