//! What a request body asks for, read in one pass over its bytes, and the few edits that Tollgate
//! makes to it. Everything that is not edited goes to the upstream byte for byte.
//!
//! A table for each operation ([`Operation`]) names the members that are read and those that are
//! harmless. Whatever stands in neither is listed as a [`Feature`] that needs permission, or raises
//! the bound on input to the whole context where it is part of a message: nothing that might cost
//! money is ignored for being new.

mod anthropic;
mod body_reader;
mod bound;
mod compatible;
mod content;
mod feature;
mod found;
mod gemini;
mod lookalike;
mod openai;
mod operation;
mod parameter;
mod pieces;
mod problem;
mod reader;
mod rewrite;
mod shape;
mod values;

pub use body_reader::BodyReader;
pub use bound::{InputLimits, input_bound, server_tool_calls};
pub use content::Media;
pub use feature::{
    Feature, FeatureKind, LONGEST_UNKNOWN_NAME, MORE_UNKNOWN, MOST_UNKNOWN, ServerTool, ServerTools,
};
pub use operation::{Operation, Source};
pub use parameter::Parameters;
pub use pieces::MOST_PIECES;
pub use problem::Problem;
pub use rewrite::{BodyEdit, Edits, WrittenLimit, apply_edits, edited_length};

use found::{Found, Limit, Limits, OtherLimit, PathSpan, Slot};
use shape::Shape;
use std::ops::Range;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The operation, as the route said.
    pub operation: Operation,
    /// The model as the client wrote it, in the body or in the path.
    pub model: String,
    /// Where the model stands. One in the path is for the caller to rewrite; its repetitions in the
    /// body are among the edits.
    pub model_place: ModelPlace,
    /// It wants a stream.
    pub stream: bool,
    /// It wants the usage of a stream, or the operation reports it to everybody.
    pub wants_stream_usage: bool,
    /// Its bound on output tokens.
    pub output_limit: OutputLimit,
    /// Answers per prompt that are charged.
    pub choices: u64,
    /// Prompts, at least 1: each has a context of its own and gets all the choices.
    pub prompts: u64,
    /// Tokens of input that its longest prompt has for certain: those of a list of tokens. Bytes of
    /// text prove none.
    pub least_input_tokens: u64,
    /// Media in the body.
    pub media: Media,
    /// Something is drawn in whose tokens nothing in the body bounds.
    pub by_reference: bool,
    /// Tools that the provider runs.
    pub server_tools: ServerTools,
    /// What needs permission, each once.
    pub features: Vec<Feature>,
    /// The optional members that it uses.
    pub parameters: Parameters,
    /// Length of the body in bytes.
    pub body_bytes: u64,
    spans: Spans,
}

/// Where the model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelPlace {
    /// In the body.
    Body,
    /// In the path.
    Path,
}

/// The bound on output tokens in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputLimit {
    /// The operation has no output that is charged.
    NoOutput,
    /// None, or `null`: one may be written.
    Absent,
    /// This many tokens for each answer. Of several given limits it is the smallest one; what bounds
    /// the upstream is the one that it reads, so [`Request::edits`] makes that one hold.
    Tokens(u64),
}

/// Where the members stand that may be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spans {
    root: Slot,
    model: Range<usize>,
    path_models: Vec<PathSpan>,
    limits: Limits,
    other_limits: Vec<OtherLimit>,
    stream_options: Slot,
    include_usage: Option<Range<usize>>,
    config: Slot,
}

impl Request {
    /// It asks for something of this kind.
    #[must_use]
    pub fn needs(&self, kind: FeatureKind) -> bool {
        self.features.iter().any(|feature| feature.kind == kind)
    }

    /// Answers that may be produced in all: choices times prompts.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.choices.saturating_mul(self.prompts)
    }

    /// It asks the model to reason: output may be made that nobody sees.
    #[must_use]
    pub fn asks_for_reasoning(&self) -> bool {
        self.parameters.ask_for_reasoning()
    }

    /// Something counts as its input whose tokens the length of the body says nothing about: media,
    /// what is drawn in, what tools of the provider read.
    #[must_use]
    pub fn has_input_beyond_text(&self) -> bool {
        let Media { images, audio, documents, .. } = self.media;
        let has_media = images > 0 || audio > 0 || documents > 0;
        self.by_reference || has_media || !self.server_tools.kinds.is_empty()
    }

    /// The first optional member of the request, as the client wrote it, that is not among those
    /// which the model takes ([`Parameters::first_beyond`]).
    #[must_use]
    pub fn unsupported(&self, model_supported: &[String]) -> Option<&'static str> {
        self.parameters.first_beyond(model_supported)
    }
}

/// Reads a chat request that names its model itself.
///
/// # Errors
/// The first problem of the body.
pub fn read_chat(body: &[u8]) -> Result<Request, Problem> {
    read(body, Source::body(Operation::Chat))
}

/// Reads a request.
///
/// # Errors
/// The first problem of the body: no JSON object, a member that we read twice or of another kind
/// than it must be, no model, or no output limit where the API demands one.
pub fn read(body: &[u8], source: Source<'_>) -> Result<Request, Problem> {
    let mut reader = BodyReader::new(source.operation, source.path_model);
    reader.feed(body)?;
    reader.finish(source.betas)
}

/// Whether some API has a request member with this name, in its outermost object or as an optional
/// one elsewhere: whatever else a catalogue says that a model takes is a slip of the pen.
#[must_use]
pub fn is_member(name: &str) -> bool {
    let roots = Operation::ALL.iter().flat_map(|operation| table(*operation).all_members());
    parameter::is_name(name)
        || roots.into_iter().any(|member| member.name == name || member.snake == Some(name))
}

fn table(operation: Operation) -> &'static Shape {
    match operation {
        Operation::Chat => &openai::CHAT,
        Operation::Completions => &openai::COMPLETIONS,
        Operation::Responses => &openai::RESPONSES,
        Operation::Embeddings => &openai::EMBEDDINGS,
        Operation::Messages => &anthropic::MESSAGES,
        Operation::CountMessageTokens => &anthropic::COUNT,
        Operation::GenerateContent | Operation::StreamGenerateContent => &gemini::GENERATE,
        Operation::EmbedContent => &gemini::EMBED,
        Operation::BatchEmbedContents => &gemini::BATCH_EMBED,
        Operation::CountTokens => &gemini::COUNT,
    }
}

fn normalise(
    found: Found,
    operation: Operation,
    path_model: Option<String>,
    body_bytes: u64,
) -> Result<Request, Problem> {
    let output_limit = output_limit(operation, &found);
    let (model, model_place) = match path_model {
        Some(model) => (model, ModelPlace::Path),
        None => (found.model.ok_or(Problem::Missing("model"))?, ModelPlace::Body),
    };
    let output_limit = output_limit?;
    let mut server_tools = found.server_tools;
    if let Some(calls) = found.max_tool_calls {
        server_tools.most_calls =
            Some(server_tools.most_calls.map_or(calls, |most| most.min(calls)));
    }
    let include_usage = found.include_usage.as_ref().is_some_and(|(on, _)| *on);
    Ok(Request {
        operation,
        model,
        model_place,
        stream: found.stream || operation == Operation::StreamGenerateContent,
        wants_stream_usage: include_usage || !operation.reports_usage_when_asked(),
        output_limit,
        choices: found.choices.unwrap_or(1).max(found.best_of.unwrap_or(1)),
        prompts: found.prompts.max(1),
        least_input_tokens: if found.truncates { 0 } else { found.longest_tokens },
        media: found.media,
        by_reference: found.by_reference,
        server_tools,
        features: found.features,
        parameters: found.parameters.with_those_of_tools(found.parameters_of_tools),
        body_bytes,
        spans: Spans {
            root: found.root,
            model: found.model_span,
            path_models: found.path_spans,
            limits: found.limits,
            other_limits: found.other_limits,
            stream_options: found.stream_options,
            include_usage: found.include_usage.map(|(_, span)| span),
            config: found.config,
        },
    })
}

/// Thinking is inside the limit; a budget above it is taken at its word.
fn output_limit(operation: Operation, found: &Found) -> Result<OutputLimit, Problem> {
    if !operation.has_output() {
        return Ok(OutputLimit::NoOutput);
    }
    let others = found.other_limits.iter().map(|limit| limit.tokens);
    let given = found.limits.iter().filter_map(|limit| match limit {
        Limit::Tokens { tokens, .. } => Some(*tokens),
        Limit::Absent | Limit::Void(_) => None,
    });
    match given.chain(others).min() {
        Some(tokens) => Ok(OutputLimit::Tokens(tokens.max(found.thinking_budget.unwrap_or(0)))),
        None if operation == Operation::Messages => Err(Problem::Missing("max_tokens")),
        None => Ok(OutputLimit::Absent),
    }
}

#[cfg(test)]
mod tests;
