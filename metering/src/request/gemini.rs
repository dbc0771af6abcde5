//! Tables for Gemini's API: protobuf's JSON, in which every name has two spellings.

use super::feature::{FeatureKind, ServerTool as Kind};
use super::shape::Role::{Part, Plain, Request};
use super::shape::Rule::{
    Choices, Config, Data, FileUri, Inside, Limit, MimeType, Needs, Off, OneOf, PathModel,
    Reference, ServerTool, Skip, State, Switch, ThinkingBudget, Unknown,
};
use super::shape::{Shape, camel, member, optional, optional_camel};

/// Tiers at the prices of the catalogue, as enumerations and as Google's libraries write them.
const TIERS: &[&str] = &[
    "standard",
    "STANDARD",
    "SERVICE_TIER_STANDARD",
    "unspecified",
    "UNSPECIFIED",
    "SERVICE_TIER_UNSPECIFIED",
];

pub(super) static GENERATE: Shape = Shape {
    role: Plain,
    members: &[
        member("model", PathModel),
        member("contents", Inside(&CONTENT)),
        camel("systemInstruction", "system_instruction", Inside(&CONTENT)),
        camel("generationConfig", "generation_config", Config(&CONFIG)),
        optional("tools", Inside(&TOOL)),
        camel("cachedContent", "cached_content", State),
        camel("serviceTier", "service_tier", OneOf(TIERS, FeatureKind::PriceTier)),
        member("store", Needs(FeatureKind::ProviderState)),
        camel("safetySettings", "safety_settings", Skip),
        optional_camel("toolConfig", "tool_config", Switch(&TOOL_CONFIG)),
        member("labels", Skip),
    ],
    other: Unknown,
};

static CONFIG: Shape = Shape {
    role: Plain,
    members: &[
        camel("maxOutputTokens", "max_output_tokens", Limit(0)),
        optional_camel("candidateCount", "candidate_count", Choices),
        optional_camel("thinkingConfig", "thinking_config", Switch(&THINKING)),
        camel(
            "responseModalities",
            "response_modalities",
            OneOf(&["TEXT", "text", "MODALITY_UNSPECIFIED"], FeatureKind::OutputModality),
        ),
        camel("speechConfig", "speech_config", Needs(FeatureKind::OutputModality)),
        camel("imageConfig", "image_config", Needs(FeatureKind::OutputModality)),
        optional_camel("stopSequences", "stop_sequences", Skip),
        optional_camel("responseMimeType", "response_mime_type", Skip),
        optional_camel("responseSchema", "response_schema", Skip),
        optional_camel("responseJsonSchema", "response_json_schema", Skip),
        optional("_responseJsonSchema", Skip),
        optional_camel("responseFormat", "response_format", Skip),
        optional_camel("presencePenalty", "presence_penalty", Skip),
        optional_camel("frequencyPenalty", "frequency_penalty", Skip),
        optional_camel("responseLogprobs", "response_logprobs", Skip),
        optional("logprobs", Skip),
        optional("temperature", Skip),
        optional_camel("topP", "top_p", Skip),
        optional_camel("topK", "top_k", Skip),
        optional("seed", Skip),
        camel("mediaResolution", "media_resolution", Skip),
        camel("audioTimestamp", "audio_timestamp", Skip),
        camel("enableEnhancedCivicAnswers", "enable_enhanced_civic_answers", Skip),
    ],
    other: Unknown,
};

static TOOL_CONFIG: Shape = Shape {
    role: Plain,
    members: &[camel(
        "functionCallingConfig",
        "function_calling_config",
        Inside(&FUNCTION_CALLING),
    )],
    other: Skip,
};

static FUNCTION_CALLING: Shape = Shape {
    role: Plain,
    members: &[member("mode", Off(&["AUTO", "MODE_UNSPECIFIED"]))],
    other: Skip,
};

pub(super) static THINKING: Shape = Shape {
    role: Plain,
    members: &[camel("thinkingBudget", "thinking_budget", ThinkingBudget)],
    other: Skip,
};

static CONTENT: Shape = Shape {
    role: Plain,
    members: &[member("role", Skip), member("parts", Inside(&PART))],
    other: Reference,
};

static PART: Shape = Shape {
    role: Part,
    members: &[
        camel("inlineData", "inline_data", Inside(&BLOB)),
        camel("fileData", "file_data", Inside(&FILE)),
        camel("functionResponse", "function_response", Inside(&FUNCTION_RESPONSE)),
        camel("functionCall", "function_call", Skip),
        member("text", Skip),
        member("thought", Skip),
        camel("thoughtSignature", "thought_signature", Skip),
        camel("executableCode", "executable_code", Skip),
        camel("codeExecutionResult", "code_execution_result", Skip),
        camel("videoMetadata", "video_metadata", Skip),
        camel("mediaResolution", "media_resolution", Skip),
        camel("partMetadata", "part_metadata", Skip),
    ],
    other: Reference,
};

static BLOB: Shape = Shape {
    role: Plain,
    members: &[
        camel("mimeType", "mime_type", MimeType),
        member("data", Data),
        camel("displayName", "display_name", Skip),
    ],
    other: Reference,
};

static FILE: Shape = Shape {
    role: Plain,
    members: &[
        camel("fileUri", "file_uri", FileUri),
        camel("mimeType", "mime_type", Skip),
        camel("displayName", "display_name", Skip),
    ],
    other: Reference,
};

static FUNCTION_RESPONSE: Shape = Shape {
    role: Plain,
    members: &[
        member("id", Skip),
        member("name", Skip),
        member("response", Skip),
        member("scheduling", Skip),
        camel("willContinue", "will_continue", Skip),
        member("parts", Inside(&PART)),
    ],
    other: Reference,
};

static TOOL: Shape = Shape {
    role: Plain,
    members: &[
        camel("functionDeclarations", "function_declarations", Skip),
        camel("computerUse", "computer_use", Skip),
        camel("googleSearch", "google_search", ServerTool(Kind::WebSearch)),
        camel("googleSearchRetrieval", "google_search_retrieval", ServerTool(Kind::WebSearch)),
        camel("enterpriseWebSearch", "enterprise_web_search", ServerTool(Kind::WebSearch)),
        camel("urlContext", "url_context", ServerTool(Kind::WebFetch)),
        camel("codeExecution", "code_execution", ServerTool(Kind::CodeExecution)),
        camel("googleMaps", "google_maps", ServerTool(Kind::Maps)),
        camel("fileSearch", "file_search", ServerTool(Kind::FileSearch)),
        camel("mcpServers", "mcp_servers", Needs(FeatureKind::RemoteTools)),
    ],
    other: Needs(FeatureKind::UnknownTool),
};

pub(super) static EMBED: Shape = Shape { role: Plain, members: EMBED_MEMBERS, other: Unknown };

/// One request of several.
static EMBED_ITEM: Shape = Shape { role: Request, members: EMBED_MEMBERS, other: Unknown };

const EMBED_MEMBERS: &[super::shape::Member] = &[
    member("model", PathModel),
    member("content", Inside(&CONTENT)),
    camel("taskType", "task_type", Skip),
    member("title", Skip),
    optional_camel("outputDimensionality", "output_dimensionality", Skip),
    camel("autoTruncate", "auto_truncate", Skip),
];

pub(super) static BATCH_EMBED: Shape = Shape {
    role: Plain,
    members: &[member("model", PathModel), member("requests", Inside(&EMBED_ITEM))],
    other: Unknown,
};

/// Counting is free, so only the models matter.
pub(super) static COUNT: Shape = Shape {
    role: Plain,
    members: &[
        member("model", PathModel),
        camel("generateContentRequest", "generate_content_request", Inside(&COUNTED)),
    ],
    other: Skip,
};

static COUNTED: Shape = Shape { role: Plain, members: &[member("model", PathModel)], other: Skip };
