//! Tables for OpenAI's API and what compatible servers add to it.

use super::compatible::COMPATIBLE;
use super::feature::{FeatureKind, ServerTool};
use super::shape::Role::{Item, Part, Plain, Tool as ToolRole, TypedTool};
use super::shape::Rule::{
    Also, BestOf, Choices, Data, Encrypted, IncludeUsage, Inside, ItemId, Limit, MaxToolCalls,
    MessageRole, Model, Needs, Off, OneOf, OnlyOne, Options, PartType, Prompt, Reference,
    ServerTool as Tool, Skip, State, Stream, StreamOptions, Switch, ToolType, Unknown, Url,
    Workplace,
};
use super::shape::{Member, Shape, member, nested, optional};

/// Tiers at the prices of the catalogue.
const TIERS: &[&str] = &["auto", "default", "standard"];

pub(super) static CHAT: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("messages", Inside(&MESSAGE)),
        member("stream", Stream),
        member("stream_options", StreamOptions(&STREAM_OPTIONS)),
        member("max_tokens", Limit(0)),
        member("max_completion_tokens", Limit(1)),
        optional("n", Choices),
        optional("best_of", BestOf),
        optional("tools", Inside(&TOOL)),
        optional("web_search_options", Tool(ServerTool::WebSearch)),
        member("audio", Needs(FeatureKind::OutputModality)),
        member("modalities", OneOf(&["text"], FeatureKind::OutputModality)),
        member("store", Needs(FeatureKind::ProviderState)),
        // rejected tokens of a prediction are charged as output
        optional("prediction", Needs(FeatureKind::UnboundedOutput)),
        optional("temperature", Skip),
        optional("top_p", Skip),
        optional("stop", Skip),
        optional("seed", Skip),
        member("metadata", Skip),
        member("safety_identifier", Skip),
        member("prompt_cache_key", Skip),
        member("prompt_cache_options", Skip),
        member("prompt_cache_retention", Skip),
        member("moderation", Skip),
        optional("frequency_penalty", Skip),
        optional("presence_penalty", Skip),
        optional("logit_bias", Skip),
        optional("logprobs", Skip),
        optional("top_logprobs", Skip),
        optional("response_format", Switch(&FORMAT)),
        optional("tool_choice", Skip),
        optional("parallel_tool_calls", Skip),
        optional("functions", Skip),
        optional("function_call", Skip),
        optional("reasoning_effort", Skip),
        optional("verbosity", Skip),
    ],
    other: Also(&COMPATIBLE),
};

pub(super) static STREAM_OPTIONS: Shape =
    Shape { role: Plain, members: &[member("include_usage", IncludeUsage)], other: Skip };

static MESSAGE: Shape = Shape {
    role: Plain,
    members: &[
        member("role", Skip),
        member("content", Inside(&PART)),
        // an earlier answer in sound, by its id
        member("audio", State),
        member("name", Skip),
        member("refusal", Skip),
        member("tool_calls", Skip),
        member("tool_call_id", Skip),
        member("function_call", Skip),
        // what clients send back of an answer: text
        member("annotations", Skip),
        member("reasoning", Skip),
        member("reasoning_content", Skip),
        member("reasoning_details", Skip),
        member("provider_specific_fields", Skip),
        member("thinking_blocks", Skip),
        member("prefix", Skip),
        member("cache_control", Skip),
        member("prompt_cache_breakpoint", Skip),
    ],
    other: Reference,
};

static PART: Shape = Shape {
    role: Part,
    members: &[
        member("type", PartType),
        member("text", Skip),
        member("refusal", Skip),
        member("cache_control", Skip),
        member("prompt_cache_breakpoint", Skip),
        member("image_url", Url(&MEDIA)),
        member("video_url", Url(&MEDIA)),
        member("audio_url", Url(&MEDIA)),
        member("input_audio", Inside(&MEDIA)),
        member("file", Inside(&MEDIA)),
    ],
    other: Reference,
};

/// The object around a URL or a file.
static MEDIA: Shape = Shape {
    role: Plain,
    members: &[
        member("url", Url(&NESTED_URL)),
        member("detail", Skip),
        member("data", Data),
        member("format", Skip),
        member("file_data", Url(&NESTED_URL)),
        member("file_id", State),
        member("filename", Skip),
    ],
    other: Reference,
};

/// A URL within an object is a text; nothing in its place is understood.
static NESTED_URL: Shape = Shape { role: Plain, members: &[], other: Reference };

static TOOL: Shape = Shape { role: TypedTool, members: TOOL_MEMBERS, other: Skip };

/// A tool in the input of a response; those that come back of a search have no type.
static ADDED_TOOL: Shape = Shape { role: ToolRole, members: TOOL_MEMBERS, other: Skip };

const TOOL_MEMBERS: &[Member] = &[
    member("type", ToolType),
    member("vector_store_ids", Needs(FeatureKind::ProviderState)),
    member("container", Options(&CONTAINER, FeatureKind::ProviderState)),
    member("environment", Options(&CONTAINER, FeatureKind::ProviderState)),
];

/// Where a tool works: in a new container, or in one that the account has, which is named by its id.
static CONTAINER: Shape = Shape {
    role: Plain,
    members: &[
        member("type", Workplace),
        member("id", Needs(FeatureKind::ProviderState)),
        member("container_id", Needs(FeatureKind::ProviderState)),
        member("file_ids", Needs(FeatureKind::ProviderState)),
        member("skills", Inside(&SKILL)),
    ],
    other: Skip,
};

static SKILL: Shape = Shape {
    role: Plain,
    members: &[member("skill_id", Needs(FeatureKind::ProviderState))],
    other: Skip,
};

/// A form of the answer; plain text is what every model writes.
static FORMAT: Shape =
    Shape { role: Plain, members: &[member("type", Off(&["text"]))], other: Skip };

pub(super) static COMPLETIONS: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("prompt", Prompt),
        member("stream", Stream),
        member("stream_options", StreamOptions(&STREAM_OPTIONS)),
        member("max_tokens", Limit(0)),
        member("max_completion_tokens", Limit(1)),
        optional("n", Choices),
        optional("best_of", BestOf),
        optional("suffix", Skip),
        optional("echo", Skip),
        optional("temperature", Skip),
        optional("top_p", Skip),
        optional("stop", Skip),
        optional("seed", Skip),
        optional("frequency_penalty", Skip),
        optional("presence_penalty", Skip),
        optional("logit_bias", Skip),
        optional("logprobs", Skip),
    ],
    other: Also(&COMPATIBLE),
};

pub(super) static EMBEDDINGS: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("input", Prompt),
        optional("dimensions", Skip),
        member("encoding_format", Skip),
    ],
    other: Also(&COMPATIBLE),
};

pub(super) static RESPONSES: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("input", Inside(&ITEM)),
        member("instructions", Inside(&ITEM)),
        member("stream", Stream),
        member("max_output_tokens", Limit(0)),
        member("max_tool_calls", MaxToolCalls),
        optional("tools", Inside(&TOOL)),
        member("background", Needs(FeatureKind::Background)),
        member("previous_response_id", State),
        member("conversation", State),
        member("prompt", State),
        member("store", Needs(FeatureKind::ProviderState)),
        member("service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        member("context_management", Needs(FeatureKind::UnboundedOutput)),
        member("modalities", OneOf(&["text"], FeatureKind::OutputModality)),
        member("models", Needs(FeatureKind::FallbackModels)),
        optional("n", OnlyOne),
        member("include", Skip),
        member("metadata", Skip),
        optional("parallel_tool_calls", Skip),
        // writing to a cache has a price of the catalogue; comparing with an earlier request tells
        // where the two differ, no more
        member("prompt_cache_key", Skip),
        member("prompt_cache_options", Skip),
        member("prompt_cache_retention", Skip),
        // scores beside the answer, for which the provider charges nothing
        member("moderation", Skip),
        // how far images are made smaller
        member("image", Reference),
        optional("reasoning", Switch(&REASONING)),
        member("safety_identifier", Skip),
        member("stream_options", Skip),
        optional("temperature", Skip),
        member("text", Inside(&TEXT)),
        optional("tool_choice", Skip),
        optional("top_logprobs", Skip),
        optional("top_p", Skip),
        member("truncation", Skip),
        member("user", Skip),
    ],
    other: Unknown,
};

/// The form of the answer.
static TEXT: Shape = Shape {
    role: Plain,
    members: &[
        nested("format", "text.format", Switch(&FORMAT)),
        nested("verbosity", "text.verbosity", Skip),
    ],
    other: Skip,
};

static REASONING: Shape =
    Shape { role: Plain, members: &[member("effort", Off(&["none"]))], other: Skip };

static ITEM: Shape = Shape {
    role: Item,
    members: &[
        member("type", PartType),
        member("role", MessageRole),
        member("content", Inside(&ITEM)),
        member("output", Inside(&ITEM)),
        member("image_url", Url(&MEDIA)),
        member("input_audio", Inside(&MEDIA)),
        member("file_data", Url(&NESTED_URL)),
        member("file_url", Reference),
        member("file_id", State),
        member("encrypted_content", Encrypted),
        member("text", Skip),
        member("refusal", Skip),
        member("summary", Skip),
        member("annotations", Skip),
        member("logprobs", Skip),
        member("detail", Skip),
        member("filename", Skip),
        member("id", ItemId),
        member("tools", Inside(&ADDED_TOOL)),
        member("cache_control", Skip),
        member("prompt_cache_breakpoint", Skip),
        member("status", Skip),
        member("phase", Skip),
        member("name", Skip),
        member("namespace", Skip),
        member("arguments", Skip),
        member("input", Skip),
        member("call_id", Skip),
        member("action", Skip),
        member("operation", Skip),
        member("acknowledged_safety_checks", Skip),
        member("pending_safety_checks", Skip),
        member("max_output_length", Skip),
    ],
    other: Reference,
};
