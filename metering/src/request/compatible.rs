//! Members that servers behind OpenAI's older operations have of their own. Whoever adds one writes
//! a line: `Skip` where it changes neither cost nor bounds nor reaches anything outside of the
//! request, else what it needs. What has no line is let through, since such servers have many
//! members that choose how the same tokens are made.

use super::feature::{FeatureKind, ServerTool};
use super::gemini;
use super::shape::Role::Plain;
use super::shape::Rule::{
    Also, Inside, Needs, Off, OneOf, Options, OtherLimit, Reference, ServerTool as Tool, Skip,
    State, Switch, ThinkingBudget, Truncates, Unknown,
};
use super::shape::{Common, Shape, camel, member, nested, optional, optional_camel};

/// Tiers at the prices of the catalogue.
const TIERS: &[&str] = &["auto", "default", "standard", "on_demand"];

/// In the outermost object.
pub(super) static COMPATIBLE: Common = Common::new(Shape {
    role: Plain,
    members: &[
        member("service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        // other models than the named one may answer, at their prices
        member("models", Needs(FeatureKind::FallbackModels)),
        member("fallbacks", Needs(FeatureKind::FallbackModels)),
        member("fallback_models", Needs(FeatureKind::FallbackModels)),
        member("route", Needs(FeatureKind::FallbackModels)),
        // where the same model runs, and how fast, has its price
        member("provider", Options(&ROUTING, FeatureKind::PriceTier)),
        member("speed", OneOf(&["standard"], FeatureKind::PriceTier)),
        member("inference_geo", OneOf(&["global", "default"], FeatureKind::PriceTier)),
        // what the provider searches or runs beside the model
        member("plugins", Needs(FeatureKind::UnknownTool)),
        member("compound_custom", Needs(FeatureKind::UnknownTool)),
        member("mcp_servers", Needs(FeatureKind::RemoteTools)),
        member("search_parameters", Tool(ServerTool::WebSearch)),
        member("enable_search", Tool(ServerTool::WebSearch)),
        member("enable_code_interpreter", Tool(ServerTool::CodeExecution)),
        member("deferred", Needs(FeatureKind::Background)),
        // what lies at the provider
        camel("data_sources", "dataSources", State),
        camel("cached_content", "cachedContent", State),
        member("preset", State),
        member("kv_transfer_params", State),
        // the options of another API behind this one
        member("extra_body", Options(&EXTRA_BODY, FeatureKind::ProviderOptions)),
        member("google", Options(&GOOGLE, FeatureKind::ProviderOptions)),
        member("enhancements", Needs(FeatureKind::ProviderOptions)),
        member("safety_model", Needs(FeatureKind::ProviderOptions)),
        member("image_config", Needs(FeatureKind::OutputModality)),
        // more input than the body shows
        member("chat_template", Reference),
        member("mm_processor_kwargs", Reference),
        member("media_io_kwargs", Reference),
        member("vl_high_resolution_images", Reference),
        member("prompt_embeds", Reference),
        // less input than the body shows
        member("transforms", Skip),
        member("truncate", Truncates),
        member("truncation", Truncates),
        member("truncate_prompt_tokens", Truncates),
        member("prompt_truncate_len", Truncates),
        // a limit on output by other names
        member("max_output_tokens", OtherLimit),
        member("max_new_tokens", OtherLimit),
        member("max_tokens_to_sample", OtherLimit),
        member("max_gen_len", OtherLimit),
        member("max_length", OtherLimit),
        member("n_predict", OtherLimit),
        member("num_predict", OtherLimit),
        // sampling and reasoning within that limit
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
        optional("chat_template_kwargs", Inside(&TEMPLATE)),
        optional("reasoning", Switch(&REASONING)),
        optional("reasoning_format", Skip),
        optional("include_reasoning", Skip),
        optional("prompt_mode", Skip),
        optional("thinking", Switch(&THINKING)),
        optional("enable_thinking", Skip),
        optional("thinking_budget", Skip),
        // marks for caches, whose prices are in the bound of every call
        member("cache_control", Skip),
        member("cache_salt", Skip),
        // what is said of the call
        member("user", Skip),
        member("session_id", Skip),
        member("trace", Skip),
        member("usage", Skip),
        member("user_security_context", Skip),
        // text of the request itself
        member("documents", Skip),
        member("search_options", Skip),
        member("search_settings", Skip),
    ],
    other: Unknown,
});

/// OpenRouter's choice among those who run a model.
static ROUTING: Shape = Shape {
    role: Plain,
    members: &[
        member("allow_fallbacks", Skip),
        member("data_collection", Skip),
        member("enforce_distillable_text", Skip),
        member("max_price", Skip),
        member("require_parameters", Skip),
        member("zdr", Skip),
    ],
    other: Needs(FeatureKind::PriceTier),
};

/// Members under the name that OpenAI's Python library gives to its own argument. Some servers lay them
/// over the body (LiteLLM's), so they mean what they mean there; what the body itself is to say may not
/// stand here, since it would count twice or not at all.
static EXTRA_BODY: Shape = Shape {
    role: Plain,
    members: &[
        member("model", Needs(FeatureKind::ProviderOptions)),
        member("messages", Needs(FeatureKind::ProviderOptions)),
        member("prompt", Needs(FeatureKind::ProviderOptions)),
        member("input", Needs(FeatureKind::ProviderOptions)),
        member("stream", Needs(FeatureKind::ProviderOptions)),
        member("stream_options", Needs(FeatureKind::ProviderOptions)),
        member("max_tokens", Needs(FeatureKind::ProviderOptions)),
        member("max_completion_tokens", Needs(FeatureKind::ProviderOptions)),
        member("max_output_tokens", Needs(FeatureKind::ProviderOptions)),
        member("max_new_tokens", Needs(FeatureKind::ProviderOptions)),
        member("max_tokens_to_sample", Needs(FeatureKind::ProviderOptions)),
        member("max_gen_len", Needs(FeatureKind::ProviderOptions)),
        member("max_length", Needs(FeatureKind::ProviderOptions)),
        member("n_predict", Needs(FeatureKind::ProviderOptions)),
        member("num_predict", Needs(FeatureKind::ProviderOptions)),
        member("n", Needs(FeatureKind::ProviderOptions)),
        member("best_of", Needs(FeatureKind::ProviderOptions)),
        member("tools", Needs(FeatureKind::ProviderOptions)),
        member("web_search_options", Tool(ServerTool::WebSearch)),
        member("audio", Needs(FeatureKind::ProviderOptions)),
        member("modalities", Needs(FeatureKind::ProviderOptions)),
        member("store", Needs(FeatureKind::ProviderOptions)),
        member("prediction", Needs(FeatureKind::ProviderOptions)),
        member("extra_body", Needs(FeatureKind::ProviderOptions)),
    ],
    other: Also(&COMPATIBLE),
};

/// Members of Gemini's own API.
static GOOGLE: Shape = Shape {
    role: Plain,
    members: &[
        camel("cached_content", "cachedContent", State),
        optional_camel("thinkingConfig", "thinking_config", Switch(&gemini::THINKING)),
        camel("safetySettings", "safety_settings", Skip),
        camel("thoughtTagMarker", "thought_tag_marker", Skip),
    ],
    other: Needs(FeatureKind::ProviderOptions),
};

static TEMPLATE: Shape = Shape {
    role: Plain,
    members: &[
        nested("enable_thinking", "chat_template_kwargs.enable_thinking", Skip),
        nested("thinking", "chat_template_kwargs.thinking", Skip),
    ],
    other: Skip,
};

static REASONING: Shape = Shape {
    role: Plain,
    members: &[
        member("effort", Off(&["none"])),
        member("enabled", Off(&["false"])),
        member("max_tokens", ThinkingBudget),
    ],
    other: Skip,
};

static THINKING: Shape = Shape {
    role: Plain,
    members: &[member("type", Off(&["disabled"])), member("budget_tokens", ThinkingBudget)],
    other: Skip,
};
