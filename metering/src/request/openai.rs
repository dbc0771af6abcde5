//! Tables for OpenAI's API and what compatible servers add to it.

use super::feature::{FeatureKind, ServerTool};
use super::shape::Role::{Item, Part, Plain, TypedTool};
use super::shape::Rule::{
    BestOf, Choices, Data, Encrypted, IncludeUsage, Inside, Limit, MaxToolCalls, MessageRole,
    Model, Needs, OneOf, OnlyOne, PartType, Prompt, Reference, ServerTool as Tool, Skip, State,
    Stream, StreamOptions, ToolType, Unknown, Url,
};
use super::shape::{Shape, member};

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
        member("n", Choices),
        member("best_of", BestOf),
        member("tools", Inside(&TOOL)),
        member("service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        member("web_search_options", Tool(ServerTool::WebSearch)),
        member("audio", Needs(FeatureKind::OutputModality)),
        member("modalities", OneOf(&["text"], FeatureKind::OutputModality)),
        member("store", Needs(FeatureKind::ProviderState)),
        member("models", Needs(FeatureKind::FallbackModels)),
        // rejected tokens of a prediction are charged as output
        member("prediction", Needs(FeatureKind::UnboundedOutput)),
        member("temperature", Skip),
        member("top_p", Skip),
        member("stop", Skip),
        member("seed", Skip),
        member("user", Skip),
        member("metadata", Skip),
        member("safety_identifier", Skip),
        member("prompt_cache_key", Skip),
        member("prompt_cache_retention", Skip),
        member("frequency_penalty", Skip),
        member("presence_penalty", Skip),
        member("logit_bias", Skip),
        member("logprobs", Skip),
        member("top_logprobs", Skip),
        member("response_format", Skip),
        member("tool_choice", Skip),
        member("parallel_tool_calls", Skip),
        member("functions", Skip),
        member("function_call", Skip),
        member("reasoning_effort", Skip),
        member("verbosity", Skip),
        // compatible servers: sampling and reasoning within the output limit
        member("top_k", Skip),
        member("top_a", Skip),
        member("min_p", Skip),
        member("min_tokens", Skip),
        member("repetition_penalty", Skip),
        member("stop_token_ids", Skip),
        member("ignore_eos", Skip),
        member("skip_special_tokens", Skip),
        member("random_seed", Skip),
        member("safe_prompt", Skip),
        member("structured_outputs", Skip),
        member("guided_json", Skip),
        member("guided_regex", Skip),
        member("guided_choice", Skip),
        member("guided_grammar", Skip),
        member("chat_template_kwargs", Skip),
        member("reasoning", Skip),
        member("include_reasoning", Skip),
        member("thinking", Skip),
        member("enable_thinking", Skip),
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
        member("n", Choices),
        member("best_of", BestOf),
        member("service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        member("models", Needs(FeatureKind::FallbackModels)),
        member("suffix", Skip),
        member("echo", Skip),
        member("temperature", Skip),
        member("top_p", Skip),
        member("top_k", Skip),
        member("min_p", Skip),
        member("min_tokens", Skip),
        member("repetition_penalty", Skip),
        member("stop", Skip),
        member("stop_token_ids", Skip),
        member("ignore_eos", Skip),
        member("seed", Skip),
        member("user", Skip),
        member("frequency_penalty", Skip),
        member("presence_penalty", Skip),
        member("logit_bias", Skip),
        member("logprobs", Skip),
    ],
    other: Unknown,
};

pub(super) static EMBEDDINGS: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Model),
        member("input", Prompt),
        member("dimensions", Skip),
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
        member("tools", Inside(&TOOL)),
        member("background", Needs(FeatureKind::Background)),
        member("previous_response_id", State),
        member("conversation", State),
        member("prompt", State),
        member("store", Needs(FeatureKind::ProviderState)),
        member("service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        member("context_management", Needs(FeatureKind::UnboundedOutput)),
        member("modalities", OneOf(&["text"], FeatureKind::OutputModality)),
        member("models", Needs(FeatureKind::FallbackModels)),
        member("n", OnlyOne),
        member("include", Skip),
        member("metadata", Skip),
        member("parallel_tool_calls", Skip),
        member("prompt_cache_key", Skip),
        member("prompt_cache_retention", Skip),
        member("reasoning", Skip),
        member("safety_identifier", Skip),
        member("stream_options", Skip),
        member("temperature", Skip),
        member("text", Skip),
        member("tool_choice", Skip),
        member("top_logprobs", Skip),
        member("top_p", Skip),
        member("truncation", Skip),
        member("user", Skip),
    ],
    other: Unknown,
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
