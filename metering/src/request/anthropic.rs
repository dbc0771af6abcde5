//! Tables for Anthropic's API.

use super::feature::FeatureKind;
use super::shape::Role::{Part, Plain, Tool};
use super::shape::Rule::{
    ContextEdit, Data, Inside, Limit, MaxUses, MimeType, Model, Needs, Off, On, OneOf, OnlyOne,
    PartType, Reference, Skip, SourceType, State, Stream, Switch, ThinkingBudget, ToolType,
    Unknown, Url,
};
use super::shape::{Shape, member, nested, optional};

pub(super) static MESSAGES: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("messages", Inside(&MESSAGE)),
        member("system", Inside(&BLOCK)),
        member("max_tokens", Limit(0)),
        member("stream", Stream),
        optional("thinking", Switch(&THINKING)),
        optional("tools", Inside(&TOOL)),
        member("mcp_servers", Needs(FeatureKind::RemoteTools)),
        member("toolsets", Needs(FeatureKind::RemoteTools)),
        member("container", Needs(FeatureKind::ProviderState)),
        member("thread", State),
        member("compaction", Needs(FeatureKind::UnboundedOutput)),
        member("billing_policy", Needs(FeatureKind::PriceTier)),
        // says where a request differs from an earlier one, of which only a digest is kept
        member("diagnostics", Skip),
        member("service_tier", OneOf(&["auto", "standard_only"], FeatureKind::PriceTier)),
        member("speed", OneOf(&["standard"], FeatureKind::PriceTier)),
        member("inference_geo", OneOf(&["global", "default"], FeatureKind::PriceTier)),
        member("context_management", Inside(&CONTEXT_MANAGEMENT)),
        member("fallbacks", Needs(FeatureKind::FallbackModels)),
        member("n", OnlyOne),
        member("cache_control", Skip),
        member("metadata", Skip),
        member("output_config", Inside(&OUTPUT_CONFIG)),
        optional("output_format", Skip),
        optional("stop_sequences", Skip),
        optional("temperature", Skip),
        optional("tool_choice", Switch(&TOOL_CHOICE)),
        optional("top_k", Skip),
        optional("top_p", Skip),
    ],
    other: Unknown,
};

static OUTPUT_CONFIG: Shape = Shape {
    role: Plain,
    members: &[
        nested("effort", "output_config.effort", Skip),
        nested("format", "output_config.format", Skip),
    ],
    other: Skip,
};

/// Counting is free, so only the model matters.
pub(super) static COUNT: Shape =
    Shape { role: Plain, members: &[member("model", Model)], other: Skip };

static MESSAGE: Shape = Shape {
    role: Plain,
    members: &[member("role", Skip), member("content", Inside(&BLOCK)), member("id", Skip)],
    other: Reference,
};

static THINKING: Shape = Shape {
    role: Plain,
    members: &[member("type", Off(&["disabled"])), member("budget_tokens", ThinkingBudget)],
    other: Skip,
};

static TOOL_CHOICE: Shape = Shape {
    role: Plain,
    members: &[member("type", Off(&["auto"])), member("disable_parallel_tool_use", On)],
    other: Skip,
};

static CONTEXT_MANAGEMENT: Shape =
    Shape { role: Plain, members: &[member("edits", Inside(&CONTEXT_EDIT))], other: Unknown };

static CONTEXT_EDIT: Shape =
    Shape { role: Plain, members: &[member("type", ContextEdit)], other: Skip };

static BLOCK: Shape = Shape {
    role: Part,
    members: &[
        member("type", PartType),
        member("source", Inside(&SOURCE)),
        member("content", Inside(&BLOCK)),
        member("file_id", State),
        member("text", Skip),
        member("thinking", Skip),
        member("signature", Skip),
        // of redacted thinking
        member("data", Skip),
        member("title", Skip),
        member("context", Skip),
        member("citations", Skip),
        member("cache_control", Skip),
        member("id", Skip),
        member("name", Skip),
        member("input", Skip),
        member("caller", Skip),
        member("tool_use_id", Skip),
        member("tool_name", Skip),
        member("tool", Inside(&ADDED_TOOL)),
        member("prompt_cache_breakpoint", Skip),
        member("is_error", Skip),
    ],
    other: Reference,
};

static SOURCE: Shape = Shape {
    role: Plain,
    members: &[
        member("type", SourceType),
        member("media_type", MimeType),
        member("data", Data),
        member("url", Url(&NESTED_URL)),
        member("file_id", State),
        member("content", Inside(&BLOCK)),
    ],
    other: Reference,
};

static NESTED_URL: Shape = Shape { role: Plain, members: &[], other: Reference };

/// A tool that is added in the middle of a conversation: declared before, or defined here.
static ADDED_TOOL: Shape =
    Shape { role: Plain, members: &[member("definition", Inside(&TOOL))], other: Skip };

static TOOL: Shape = Shape {
    role: Tool,
    members: &[member("type", ToolType), member("max_uses", MaxUses)],
    other: Skip,
};
