//! The edits that a request may get. They are insertions and replacements by offset, so the rest of
//! the body, white space included, reaches the upstream unchanged.

use std::ops::Range;

use super::found::{Limit, Slot};
use super::{ModelPlace, Operation, OutputLimit, Request};

/// One edit of a body: the bytes of `span` give way to `text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyEdit {
    /// Offsets in the original body; empty for an insertion.
    pub span: Range<usize>,
    /// What stands there afterwards.
    pub text: String,
}

/// What to change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edits<'a> {
    /// Put this model in place of the alias that the client wrote. Where a path names the model, it
    /// takes the place of another one in the body in any case.
    pub model: Option<&'a str>,
    /// Make this output limit hold: it is written where the upstream reads it, and no limit in the
    /// body stays above it. A limit of the client's own is never raised.
    pub output_limit: Option<WrittenLimit>,
}

/// An output limit to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenLimit {
    /// Tokens of each answer.
    pub tokens: u64,
    /// In chat the model reads `max_completion_tokens`, not `max_tokens`.
    pub reads_max_completion_tokens: bool,
}

/// Where an output limit goes: which of the limits it is, and its name.
fn limit_field(operation: Operation, is_newer: bool) -> Option<(usize, &'static str)> {
    match operation {
        Operation::Chat if is_newer => Some((1, "max_completion_tokens")),
        Operation::Chat | Operation::Completions => Some((0, "max_tokens")),
        Operation::Responses => Some((0, "max_output_tokens")),
        Operation::GenerateContent | Operation::StreamGenerateContent => {
            Some((0, "maxOutputTokens"))
        }
        // A message cannot lack its limit; the others have no output.
        Operation::Messages
        | Operation::CountMessageTokens
        | Operation::Embeddings
        | Operation::EmbedContent
        | Operation::BatchEmbedContents
        | Operation::CountTokens => None,
    }
}

impl Request {
    /// The edits, sorted and apart from each other; empty when the body stays as it is. Streams
    /// are always made to report their usage.
    #[must_use]
    pub fn edits(&self, wanted: Edits<'_>) -> Vec<BodyEdit> {
        let mut edits = Vec::new();
        // Everything that goes right behind the first brace, as one insertion.
        let mut members = Vec::new();
        let differs = self.spans.path_models.iter().any(|place| place.differs);
        if let Some(model) = wanted.model.or_else(|| differs.then_some(self.model.as_str())) {
            self.model_edits(model, &mut edits);
        }
        if let Some(limit) = wanted.output_limit {
            self.limit_edit(limit, &mut edits, &mut members);
        }
        if self.stream && !self.wants_stream_usage {
            self.usage_edit(&mut edits, &mut members);
        }
        if !members.is_empty()
            && let Slot::Object { inside, is_empty, .. } = self.spans.root
        {
            edits.push(insertion(inside, members.join(","), is_empty));
        }
        // What is inserted before a name comes before that name.
        let place = |edit: &BodyEdit| (edit.span.start, edit.span.end);
        let mut in_order: Vec<BodyEdit> = Vec::new();
        for edit in edits {
            in_order.insert(in_order.partition_point(|other| place(other) <= place(&edit)), edit);
        }
        in_order
    }

    /// Whether the upstream holds the call to the request's own output limit although nothing is
    /// written: it stands where the upstream reads it, and no larger one beside it.
    #[must_use]
    pub fn limits_itself(&self, reads_max_completion_tokens: bool) -> bool {
        let tokens = match self.output_limit {
            OutputLimit::NoOutput => return true,
            OutputLimit::Absent => return false,
            OutputLimit::Tokens(tokens) => tokens,
        };
        let (mut edits, mut members) = (Vec::new(), Vec::new());
        let limit = WrittenLimit { tokens, reads_max_completion_tokens };
        self.limit_edit(limit, &mut edits, &mut members);
        edits.is_empty() && members.is_empty()
    }

    /// Whether the model's own name would have to be written into the body: an alias stands there, or
    /// another model than the one that the path names.
    #[must_use]
    pub fn needs_model_written(&self, is_alias: bool) -> bool {
        let names_one = self.model_place == ModelPlace::Body || !self.spans.path_models.is_empty();
        (is_alias && names_one) || self.spans.path_models.iter().any(|place| place.differs)
    }

    fn model_edits(&self, model: &str, edits: &mut Vec<BodyEdit>) {
        // A text has no keys, so writing it cannot fail.
        let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
        if self.model_place == ModelPlace::Body {
            edits.push(BodyEdit { span: self.spans.model.clone(), text: quoted(model) });
        }
        for place in &self.spans.path_models {
            let text =
                if place.is_resource { quoted(&format!("models/{model}")) } else { quoted(model) };
            edits.push(BodyEdit { span: place.span.clone(), text });
        }
    }

    fn limit_edit(
        &self,
        limit: WrittenLimit,
        edits: &mut Vec<BodyEdit>,
        members: &mut Vec<String>,
    ) {
        let tokens = limit.tokens;
        let Some((place, name)) = limit_field(self.operation, limit.reads_max_completion_tokens)
        else {
            return;
        };
        if self.cap_limits(place, name, tokens, edits) {
            return;
        }
        let member = format!("\"{name}\":{tokens}");
        if limits_are_outermost(self.operation) {
            members.push(member);
            return;
        }
        match &self.spans.config {
            Slot::Absent => members.push(format!("\"generationConfig\":{{{member}}}")),
            Slot::Null(span) => {
                edits.push(BodyEdit { span: span.clone(), text: format!("{{{member}}}") });
            }
            Slot::Object { inside, is_empty, .. } => {
                edits.push(insertion(*inside, member, *is_empty));
            }
        }
    }

    /// Makes the limits that stand in the body hold. False where the one that the upstream reads is
    /// not among them.
    fn cap_limits(&self, place: usize, name: &str, tokens: u64, edits: &mut Vec<BodyEdit>) -> bool {
        let mut replace = |span: &Range<usize>, text: String| {
            edits.push(BodyEdit { span: span.clone(), text });
        };
        let limits = &self.spans.limits;
        // The two names of chat: OpenAI refuses a request with both, so one takes the other's place.
        let twin = place ^ 1;
        let mut emptied = None;
        let is_there = match (limits.get(place), limits.get(twin)) {
            (Some(Limit::Tokens { .. }), _) => true,
            (Some(Limit::Void(span)), other) => {
                replace(span, tokens.to_string());
                if let Some(Limit::Tokens { value, .. }) = other {
                    replace(value, "null".to_owned());
                    emptied = Some(twin);
                }
                true
            }
            (_, Some(Limit::Tokens { name: other, .. })) => {
                replace(other, format!("\"{name}\""));
                true
            }
            _ => false,
        };
        for (at, given) in limits.iter().enumerate() {
            if let Limit::Tokens { tokens: given, value, .. } = given
                && *given > tokens
                && emptied != Some(at)
            {
                replace(value, tokens.to_string());
            }
        }
        for other in self.spans.other_limits.iter().filter(|other| other.tokens > tokens) {
            replace(&other.value, tokens.to_string());
        }
        is_there
    }

    fn usage_edit(&self, edits: &mut Vec<BodyEdit>, members: &mut Vec<String>) {
        const ON: &str = "\"include_usage\":true";
        if let Some(span) = &self.spans.include_usage {
            edits.push(BodyEdit { span: span.clone(), text: "true".to_owned() });
            return;
        }
        match &self.spans.stream_options {
            Slot::Absent => members.push(format!("\"stream_options\":{{{ON}}}")),
            Slot::Null(span) => {
                edits.push(BodyEdit { span: span.clone(), text: format!("{{{ON}}}") });
            }
            Slot::Object { inside, is_empty, .. } => {
                edits.push(insertion(*inside, ON.to_owned(), *is_empty));
            }
        }
    }
}

fn limits_are_outermost(operation: Operation) -> bool {
    !matches!(operation, Operation::GenerateContent | Operation::StreamGenerateContent)
}

/// Members put right behind a brace, before whatever else the object has.
fn insertion(at: usize, mut members: String, into_empty: bool) -> BodyEdit {
    if !into_empty {
        members.push(',');
    }
    BodyEdit { span: at..at, text: members }
}

/// The body after its edits, which must be sorted and apart from each other.
#[must_use]
pub fn apply_edits(body: &[u8], edits: &[BodyEdit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(edited_length(body.len(), edits));
    let mut copied = 0;
    for edit in edits {
        out.extend_from_slice(body.get(copied..edit.span.start).unwrap_or_default());
        out.extend_from_slice(edit.text.as_bytes());
        copied = edit.span.end;
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    out
}

/// Length of a body of `length` bytes after its edits.
#[must_use]
pub fn edited_length(length: usize, edits: &[BodyEdit]) -> usize {
    edits.iter().fold(length, |length, edit| {
        length.saturating_add(edit.text.len()).saturating_sub(edit.span.len())
    })
}
