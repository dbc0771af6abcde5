//! The edits that a chat request may get. They are insertions and replacements by offset, so the
//! rest of the body, white space included, reaches the upstream unchanged.

use std::ops::Range;

use super::chat::{ChatRequest, StreamOptions};

/// Which member carries the output limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputField {
    /// Understood everywhere but by reasoning models.
    MaxTokens,
    /// What reasoning models insist on.
    MaxCompletionTokens,
}

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
    /// Put this model in place of the alias that the client wrote.
    pub model: Option<&'a str>,
    /// Write this output limit; only where the client gave none.
    pub output_limit: Option<(OutputField, u64)>,
}

impl ChatRequest {
    /// The edits, sorted and apart from each other; empty when the body stays as it is. Streams
    /// are always made to report their usage.
    #[must_use]
    pub fn edits(&self, wanted: Edits<'_>) -> Vec<BodyEdit> {
        let mut edits = Vec::new();
        if let Some(model) = wanted.model {
            let text = serde_json::Value::from(model).to_string();
            edits.push(BodyEdit { span: self.spans.model.clone(), text });
        }
        if let Some((field, tokens)) = wanted.output_limit {
            edits.push(self.limit_edit(field, tokens));
        }
        if self.stream && !self.wants_stream_usage {
            edits.push(self.usage_edit());
        }
        edits.sort_by_key(|edit| edit.span.start);
        edits
    }

    fn limit_edit(&self, field: OutputField, tokens: u64) -> BodyEdit {
        let (name, null) = match field {
            OutputField::MaxTokens => ("max_tokens", &self.spans.null_max_tokens),
            OutputField::MaxCompletionTokens => {
                ("max_completion_tokens", &self.spans.null_max_completion_tokens)
            }
        };
        match null {
            Some(span) => BodyEdit { span: span.clone(), text: tokens.to_string() },
            // The object is never empty: it has a model.
            None => insertion(self.spans.inside, format!("\"{name}\":{tokens},")),
        }
    }

    fn usage_edit(&self) -> BodyEdit {
        const ON: &str = "{\"include_usage\":true}";
        match &self.spans.stream_options {
            StreamOptions::Absent => {
                insertion(self.spans.inside, format!("\"stream_options\":{ON},"))
            }
            StreamOptions::Null(span) => BodyEdit { span: span.clone(), text: ON.to_owned() },
            StreamOptions::Without { inside, empty } => {
                let comma = if *empty { "" } else { "," };
                insertion(*inside, format!("\"include_usage\":true{comma}"))
            }
            StreamOptions::Value { span, .. } => {
                BodyEdit { span: span.clone(), text: "true".to_owned() }
            }
        }
    }
}

fn insertion(at: usize, text: String) -> BodyEdit {
    BodyEdit { span: at..at, text }
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
