//! Tables for OpenAI's API and what compatible servers add to it.

use super::feature::{FeatureKind, ServerTool};
use super::shape::Role::{Item, Part, Plain, TypedTool};
use super::shape::Rule::{
    BestOf, Choices, Data, Encrypted, IncludeUsage, Inside, Limit, MaxToolCalls, MessageRole,
    Model, Needs, OneOf, OnlyOne, PartType, Prompt, Reference, ServerTool as Tool, Skip, State,
    Stream, StreamOptions, ToolType, Unknown, Url,
};
use super::shape::{Shape, member, nested, optional};

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
        member("service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        optional("web_search_options", Tool(ServerTool::WebSearch)),
        member("audio", Needs(FeatureKind::OutputModality)),
        member("modalities", OneOf(&["text"], FeatureKind::OutputModality)),
        member("store", Needs(FeatureKind::ProviderState)),
        member("models", Needs(FeatureKind::FallbackModels)),
        // rejected tokens of a prediction are charged as output
        optional("prediction", Needs(FeatureKind::UnboundedOutput)),
        optional("temperature", Skip),
        optional("top_p", Skip),
        optional("stop", Skip),
        optional("seed", Skip),
        member("user", Skip),
        member("metadata", Skip),
        member("safety_identifier", Skip),
        member("prompt_cache_key", Skip),
        member("prompt_cache_retention", Skip),
        optional("frequency_penalty", Skip),
        optional("presence_penalty", Skip),
        optional("logit_bias", Skip),
        optional("logprobs", Skip),
        optional("top_logprobs", Skip),
        optional("response_format", Skip),
        optional("tool_choice", Skip),
        optional("parallel_tool_calls", Skip),
        optional("functions", Skip),
        optional("function_call", Skip),
        optional("reasoning_effort", Skip),
        optional("verbosity", Skip),
        // compatible servers: sampling and reasoning within the output limit
        optional("top_k", Skip),
        optional("top_a", Skip),
        optional("min_p", Skip),
        optional("min_tokens", Skip),
        optional("repetition_penalty", Skip),
        optional("stop_token_ids", Skip),
        optional("ignore_eos", Skip),
        optional("skip_special_tokens", Skip),
        optional("random_seed", Skip),
        optional("safe_prompt", Skip),
        optional("structured_outputs", Skip),
        optional("guided_json", Skip),
        optional("guided_regex", Skip),
        optional("guided_choice", Skip),
        optional("guided_grammar", Skip),
        optional("chat_template_kwargs", Skip),
        optional("reasoning", Skip),
        optional("include_reasoning", Skip),
        optional("thinking", Skip),
        optional("enable_thinking", Skip),
    ],
    other: Unknown,
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

static TOOL: Shape = Shape { role: TypedTool, members: &[member("type", ToolType)], other: Skip };

pub(super) static COMPLETIONS: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("prompt", Prompt),
        member("stream", Stream),
        member("stream_options", StreamOptions(&STREAM_OPTIONS)),
        member("max_tokens", Limit(0)),
        optional("n", Choices),
        optional("best_of", BestOf),
        member("service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        member("models", Needs(FeatureKind::FallbackModels)),
        optional("suffix", Skip),
        optional("echo", Skip),
        optional("temperature", Skip),
        optional("top_p", Skip),
        optional("top_k", Skip),
        optional("min_p", Skip),
        optional("min_tokens", Skip),
        optional("repetition_penalty", Skip),
        optional("stop", Skip),
        optional("stop_token_ids", Skip),
        optional("ignore_eos", Skip),
        optional("seed", Skip),
        member("user", Skip),
        optional("frequency_penalty", Skip),
        optional("presence_penalty", Skip),
        optional("logit_bias", Skip),
        optional("logprobs", Skip),
    ],
    other: Unknown,
};

pub(super) static EMBEDDINGS: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("input", Prompt),
        optional("dimensions", Skip),
        member("encoding_format", Skip),
        member("user", Skip),
    ],
    other: Unknown,
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
        member("prompt_cache_key", Skip),
        member("prompt_cache_retention", Skip),
        optional("reasoning", Skip),
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
    members: &[nested("format", "text.format", Skip), nested("verbosity", "text.verbosity", Skip)],
    other: Skip,
};

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
        member("id", Skip),
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
