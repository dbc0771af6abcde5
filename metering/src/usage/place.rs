//! What stands at which path of an answer, dialect by dialect (WIRE 2). A path is the names from
//! the outermost object inwards; items of arrays are `Name::Other`.

use super::AnswerFormat;
use super::counts::Count;
use super::name::Name::{self, self as N};

/// What the value at a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Elsewhere,
    /// The usage object.
    Report(Stage),
    /// A count in it.
    Count(Count),
    /// An item of a list in it.
    Item(List),
    /// A count in such an item.
    ItemCount(Count),
    /// What such an item is: a modality, a type of iteration.
    ItemKind,
    /// Web searches of Responses' `tool_usage`.
    Searches,
    /// Tokens of the images in it.
    Images(Count),
    /// What an item of Responses' output is.
    OutputKind,
    /// A web search of Gemini's grounding.
    Search,
    /// What it found on the web, or on the map.
    WebFind,
    MapFind,
    /// What an annotation of a chat message is.
    AnnotationKind,
    /// What an event is.
    EventKind,
    /// Its number in its stream.
    EventNumber,
    /// A choice, or what else has output of its own: its output in one document is one delta.
    Choice,
    /// Text of the output.
    Output,
    /// Text of a Responses event, which is output if the event is of such a kind.
    Delta,
    /// A part of a Gemini candidate.
    Part,
    /// The part is a thought.
    IsThought,
    /// Why a Gemini candidate ended, or the prompt was blocked.
    Finish,
}

/// When a report was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the output: its count of output is none.
    Start,
    /// With the output, or some of it.
    Final,
}

/// A list in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Prompt,
    Cache,
    Candidates,
    Iterations,
}

pub(super) fn place(format: AnswerFormat, path: &[Name]) -> Place {
    match format {
        AnswerFormat::OpenAiChat => chat(path),
        AnswerFormat::OpenAiEmbeddings => match path {
            [N::Usage, ..] => chat(path),
            _ => Place::Elsewhere,
        },
        AnswerFormat::OpenAiResponses => match path {
            [N::Response, inner @ ..] => response_report(inner),
            [N::Type] => Place::EventKind,
            [N::SequenceNumber] => Place::EventNumber,
            [N::Delta] => Place::Delta,
            [N::Output, N::Other] => Place::Choice,
            [N::Output, _, N::Arguments | N::Input | N::Code] => Place::Output,
            [N::Output, _, N::Content | N::Summary, _, N::Text | N::Refusal] => Place::Output,
            _ => response_report(path),
        },
        AnswerFormat::AnthropicMessages => anthropic(path),
        AnswerFormat::GeminiGenerate => gemini(path),
        AnswerFormat::GeminiEmbed => match path {
            [N::UsageMetadata, ..] => gemini(path),
            _ => Place::Elsewhere,
        },
    }
}

/// Whether nothing counts inside a member of a document, whatever stands there: no API has anything below
/// a name that is not known, and those of embeddings have nothing but their report.
pub(super) fn is_beside_all(format: AnswerFormat, member: Name) -> bool {
    match format {
        AnswerFormat::OpenAiEmbeddings => member != N::Usage,
        AnswerFormat::GeminiEmbed => member != N::UsageMetadata,
        _ => member == N::Other,
    }
}

/// Whether the text of a string there is needed.
pub(super) fn is_word(place: Place) -> bool {
    matches!(place, Place::ItemKind | Place::OutputKind | Place::EventKind | Place::AnnotationKind)
}

fn chat(path: &[Name]) -> Place {
    match path {
        [N::Usage] => Place::Report(Stage::Final),
        [N::Usage, N::PromptTokens] => Place::Count(Count::Input),
        [N::Usage, N::CompletionTokens] => Place::Count(Count::Output),
        [N::Usage, N::TotalTokens] => Place::Count(Count::Total),
        [N::Usage, N::PromptDetails, detail @ ..] => input_detail(detail),
        [N::Usage, N::CompletionDetails, detail] => output_detail(*detail),
        [N::Usage, N::ServerToolUse, N::PricedRequests] | [N::Usage, N::SearchCount] => {
            Place::Count(Count::ToolCalls)
        }
        [N::Usage, N::ToolUseDetails, N::PricedCalls] => Place::Count(Count::ToolCalls),
        [N::Choices, N::Other] => Place::Choice,
        [N::Choices, _, N::Message | N::Delta, N::Annotations, _, N::Type] => Place::AnnotationKind,
        [
            N::Choices,
            _,
            ..,
            N::Content
            | N::Reasoning
            | N::Refusal
            | N::Arguments
            | N::Text
            | N::Transcript
            | N::Input,
        ] => Place::Output,
        _ => Place::Elsewhere,
    }
}

fn input_detail(path: &[Name]) -> Place {
    match path {
        [N::CachedTokens] => Place::Count(Count::Cached),
        [N::CacheWriteTokens] => Place::Count(Count::CacheWrite),
        // Of the two times that OpenAI offers only the longer one costs more.
        [N::CacheWriteDetails, N::LongCacheWrite] => Place::Count(Count::CacheWriteHours),
        [N::AudioTokens] => Place::Count(Count::AudioInput),
        [N::ImageTokens] => Place::Count(Count::ImageInput),
        _ => Place::Elsewhere,
    }
}

fn output_detail(name: Name) -> Place {
    match name {
        N::ReasoningTokens => Place::Count(Count::Reasoning),
        N::AudioTokens => Place::Count(Count::AudioOutput),
        N::ImageTokens => Place::Count(Count::ImageOutput),
        _ => Place::Elsewhere,
    }
}

fn response_report(path: &[Name]) -> Place {
    match path {
        [N::Usage] => Place::Report(Stage::Final),
        [N::Usage, N::InputTokens] => Place::Count(Count::Input),
        [N::Usage, N::OutputTokens] => Place::Count(Count::Output),
        [N::Usage, N::TotalTokens] => Place::Count(Count::Total),
        [N::Usage, N::InputDetails, detail @ ..] => input_detail(detail),
        [N::Usage, N::OutputDetails, detail] => output_detail(*detail),
        [N::Usage, N::ToolUseDetails, N::PricedCalls] => Place::Count(Count::ToolCalls),
        [N::ToolUsage, N::WebSearch, N::RequestCount] => Place::Searches,
        [N::ToolUsage, N::ImageGen, N::InputTokens] => Place::Images(Count::Input),
        [N::ToolUsage, N::ImageGen, N::OutputTokens] => Place::Images(Count::Output),
        [N::ToolUsage, N::ImageGen, N::InputDetails, N::ImageTokens] => {
            Place::Images(Count::ImageInput)
        }
        [N::Output, _, N::Type] => Place::OutputKind,
        _ => Place::Elsewhere,
    }
}

fn anthropic(path: &[Name]) -> Place {
    match path {
        [N::Type] => Place::EventKind,
        [N::Usage] => Place::Report(Stage::Final),
        [N::Message, N::Usage] => Place::Report(Stage::Start),
        [N::Usage, count @ ..] | [N::Message, N::Usage, count @ ..] => match count {
            [N::Iterations, N::Other] => Place::Item(List::Iterations),
            [N::Iterations, _, N::Type] => Place::ItemKind,
            [N::Iterations, _, count @ ..] => {
                anthropic_count(count).map_or(Place::Elsewhere, Place::ItemCount)
            }
            [N::ServerToolUse, N::PricedRequests] => Place::Count(Count::ToolCalls),
            count => anthropic_count(count).map_or(Place::Elsewhere, Place::Count),
        },
        [N::Content, N::Other] => Place::Choice,
        [N::Delta, N::Text | N::Thinking | N::PartialJson | N::Content]
        | [N::ContentBlock, N::Text | N::Thinking]
        | [N::Content, _, N::Text | N::Thinking]
        | [N::Content, _, N::Input, ..] => Place::Output,
        _ => Place::Elsewhere,
    }
}

fn anthropic_count(path: &[Name]) -> Option<Count> {
    match path {
        [N::InputTokens] => Some(Count::Input),
        [N::OutputTokens] => Some(Count::Output),
        [N::CacheReadInputTokens] => Some(Count::Cached),
        [N::CacheCreationInputTokens] => Some(Count::CacheWrite),
        [N::CacheCreation, N::Ephemeral5m] => Some(Count::CacheWriteMinutes),
        [N::CacheCreation, N::Ephemeral1h] => Some(Count::CacheWriteHours),
        [N::OutputDetails, N::ThinkingTokens] => Some(Count::Reasoning),
        _ => None,
    }
}

fn gemini(path: &[Name]) -> Place {
    match path {
        [N::UsageMetadata] => Place::Report(Stage::Final),
        [N::UsageMetadata, N::PromptTokenCount] => Place::Count(Count::Input),
        [N::UsageMetadata, N::CandidatesTokenCount] => Place::Count(Count::Output),
        [N::UsageMetadata, N::ThoughtsTokenCount] => Place::Count(Count::Reasoning),
        [N::UsageMetadata, N::ToolUsePromptTokenCount] => Place::Count(Count::ToolPrompt),
        [N::UsageMetadata, N::CachedContentTokenCount] => Place::Count(Count::Cached),
        [N::UsageMetadata, list, N::Other] => list_of(*list).map_or(Place::Elsewhere, Place::Item),
        [N::UsageMetadata, list, _, N::TokenCount] if list_of(*list).is_some() => {
            Place::ItemCount(Count::Total)
        }
        [N::UsageMetadata, _, _, N::Modality] => Place::ItemKind,
        [N::Candidates, N::Other] => Place::Choice,
        [N::Candidates, _, N::FinishReason] | [N::PromptFeedback, N::BlockReason] => Place::Finish,
        [N::Candidates, _, N::GroundingMetadata, N::WebSearchQueries, _] => Place::Search,
        [N::Candidates, _, N::GroundingMetadata, N::GroundingChunks, _, N::Web] => Place::WebFind,
        [N::Candidates, _, N::GroundingMetadata, N::GroundingChunks, _, N::Maps] => Place::MapFind,
        [N::Candidates, _, N::Content, N::Parts, part @ ..] => match part {
            [N::Other] => Place::Part,
            [_, N::Thought] => Place::IsThought,
            [_, N::Text] => Place::Output,
            [_, N::InlineData, N::Data] | [_, N::ExecutableCode, N::Code] => Place::Output,
            [_, N::FunctionCall, N::Args, ..] => Place::Output,
            _ => Place::Elsewhere,
        },
        _ => Place::Elsewhere,
    }
}

fn list_of(name: Name) -> Option<List> {
    match name {
        N::PromptTokensDetails | N::ToolUsePromptTokensDetails => Some(List::Prompt),
        N::CacheTokensDetails => Some(List::Cache),
        N::CandidatesTokensDetails => Some(List::Candidates),
        _ => None,
    }
}
