//! OpenAI chat completions.

use std::ops::Range;

use super::Problem;
use crate::json::{self, Event, Scanner, Sink, Text};

/// Most answers to one prompt; the provider's own limit.
const MOST_CHOICES: u64 = 128;

/// What a chat request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    /// The model as the client wrote it.
    pub model: String,
    /// It wants a stream.
    pub stream: bool,
    /// It asked for the usage chunk of a stream.
    pub wants_stream_usage: bool,
    /// Its bound on output tokens.
    pub output_limit: OutputLimit,
    /// Answers per prompt.
    pub choices: u64,
    /// It carries or points to images, audio or files: bytes do not bound its tokens.
    pub has_media: bool,
    /// Length of the body in bytes.
    pub body_bytes: u64,
    pub(super) spans: Spans,
}

/// The bound on output tokens in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputLimit {
    /// None, or `null`.
    Absent,
    /// This many tokens (of two given limits the larger one, to be safe).
    Tokens(u64),
}

/// Where the members stand that may be edited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// Just behind the opening brace.
    pub(super) inside: usize,
    pub(super) model: Range<usize>,
    pub(super) null_max_tokens: Option<Range<usize>>,
    pub(super) null_max_completion_tokens: Option<Range<usize>>,
    pub(super) stream_options: StreamOptions,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum StreamOptions {
    #[default]
    Absent,
    Null(Range<usize>),
    /// An object without `include_usage`; the offset lies just behind its brace.
    Without {
        inside: usize,
        empty: bool,
    },
    /// `include_usage` with its value.
    Value {
        span: Range<usize>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Model,
    Stream,
    StreamOptions,
    MaxTokens,
    MaxCompletionTokens,
    N,
    ServiceTier,
    WebSearchOptions,
    Audio,
    Modalities,
    Store,
    Models,
    IncludeUsage,
}

/// Members of the outermost object that decide about model, limits or price.
const TOP_FIELDS: [(&str, Field); 12] = [
    ("model", Field::Model),
    ("stream", Field::Stream),
    ("stream_options", Field::StreamOptions),
    ("max_tokens", Field::MaxTokens),
    ("max_completion_tokens", Field::MaxCompletionTokens),
    ("n", Field::N),
    ("service_tier", Field::ServiceTier),
    ("web_search_options", Field::WebSearchOptions),
    ("audio", Field::Audio),
    ("modalities", Field::Modalities),
    ("store", Field::Store),
    ("models", Field::Models),
];
/// Names of content parts whose tokens are not bounded by the bytes of the body.
const MEDIA: [&[u8]; 5] = [b"image_url", b"input_audio", b"file", b"video_url", b"input_image"];

#[derive(Default)]
struct Reader {
    problem: Option<Problem>,
    seen: Vec<Field>,
    current: Option<Field>,
    inside_stream_options: bool,
    is_object: bool,
    model: Option<String>,
    stream: bool,
    include_usage: bool,
    limits: [Option<u64>; 2],
    choices: Option<u64>,
    has_media: bool,
    spans: Spans,
}

/// Reads a chat request.
///
/// # Errors
/// The first problem of the body.
pub fn read_chat(body: &[u8]) -> Result<ChatRequest, Problem> {
    if std::str::from_utf8(body).is_err() {
        return Err(Problem::NotUtf8);
    }
    let mut reader = Reader::default();
    let mut scanner = Scanner::default();
    let end = body.len() as u64;
    scanner
        .feed(body, 0, &mut reader)
        .and_then(|()| scanner.finish(end, &mut reader))
        .map_err(Problem::Syntax)?;
    if !reader.is_object {
        return Err(Problem::NotAnObject);
    }
    if let Some(problem) = reader.problem {
        return Err(problem);
    }
    let model = reader.model.ok_or(Problem::Missing("model"))?;
    let output_limit = match reader.limits {
        [None, None] => OutputLimit::Absent,
        [Some(one), None] | [None, Some(one)] => OutputLimit::Tokens(one),
        [Some(one), Some(other)] => OutputLimit::Tokens(one.max(other)),
    };
    Ok(ChatRequest {
        model,
        stream: reader.stream,
        wants_stream_usage: reader.include_usage,
        output_limit,
        choices: reader.choices.unwrap_or(1),
        has_media: reader.has_media,
        body_bytes: end,
        spans: reader.spans,
    })
}

impl Reader {
    fn fail(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    fn name(&mut self, text: Text<'_>, depth: usize) {
        if depth == 1 {
            self.current = self.known(text, &TOP_FIELDS);
        } else if depth == 2 && self.inside_stream_options {
            self.current = self.known(text, &[("include_usage", Field::IncludeUsage)]);
        } else {
            self.has_media |= MEDIA.contains(&text.bytes);
        }
    }

    /// Which field this is. A second one, or one that only parsers that ignore case would take for
    /// it, could make the upstream read another value than we do.
    fn known(&mut self, text: Text<'_>, fields: &[(&'static str, Field)]) -> Option<Field> {
        let (name, field) = fields
            .iter()
            .find(|(name, _)| text.bytes.eq_ignore_ascii_case(name.as_bytes()))
            .copied()?;
        if text.bytes != name.as_bytes() || self.seen.contains(&field) {
            self.fail(Problem::Duplicate(name));
        }
        self.seen.push(field);
        Some(field)
    }

    fn value(&mut self, field: Field, event: &Event<'_>, span: Range<usize>) {
        match (field, event) {
            (Field::Model, Event::Str { text, .. }) => self.model(*text, span),
            (Field::Model, _) => self.invalid("model", "a string"),
            (Field::Stream, Event::Bool(on)) => self.stream = *on,
            (Field::Stream, Event::Null) => {}
            (Field::Stream, _) => self.invalid("stream", "true or false"),
            (Field::StreamOptions, Event::Null) => {
                self.spans.stream_options = StreamOptions::Null(span);
            }
            (Field::StreamOptions, Event::Open { object: true }) => {
                self.inside_stream_options = true;
                self.spans.stream_options =
                    StreamOptions::Without { inside: span.end, empty: true };
            }
            (Field::StreamOptions, _) => self.invalid("stream_options", "an object"),
            (Field::MaxTokens, Event::Null) => self.spans.null_max_tokens = Some(span),
            (Field::MaxCompletionTokens, Event::Null) => {
                self.spans.null_max_completion_tokens = Some(span);
            }
            (Field::MaxTokens, event) => self.limits[0] = self.limit("max_tokens", event),
            (Field::MaxCompletionTokens, event) => {
                self.limits[1] = self.limit("max_completion_tokens", event);
            }
            (Field::N, Event::Null) => {}
            (Field::N, event) => self.choices(event),
            (_, event) => self.restricted(field, event),
        }
    }

    fn model(&mut self, text: Text<'_>, span: Range<usize>) {
        let model = std::str::from_utf8(text.bytes).ok().filter(|_| text.complete);
        match model {
            Some(model) if !model.is_empty() => {
                self.model = Some(model.to_owned());
                self.spans.model = span;
            }
            _ => self.invalid("model", "a model name of 1 to 256 bytes"),
        }
    }

    fn limit(&mut self, field: &'static str, event: &Event<'_>) -> Option<u64> {
        let tokens = match event {
            Event::Number(text) => json::count(*text),
            _ => None,
        };
        if tokens.is_none() {
            self.invalid(field, "a non-negative integer");
        }
        tokens
    }

    fn choices(&mut self, event: &Event<'_>) {
        let choices = match event {
            Event::Number(text) => json::count(*text),
            _ => None,
        };
        match choices {
            Some(1..=MOST_CHOICES) => self.choices = choices,
            _ => self.invalid("n", "an integer from 1 to 128"),
        }
    }

    /// Parameters that change what a call costs in ways that no reservation covers.
    fn restricted(&mut self, field: Field, event: &Event<'_>) {
        let fits = match (field, event) {
            (_, Event::Null) | (Field::Store, Event::Bool(false)) => true,
            (Field::ServiceTier, Event::Str { text, .. }) => {
                matches!(text.bytes, b"auto" | b"default")
            }
            // its items are looked at one by one
            (Field::Modalities, Event::Open { object: false }) => true,
            _ => false,
        };
        if !fits {
            self.fail(Problem::Unsupported(name_of(field)));
        }
    }

    fn invalid(&mut self, field: &'static str, expected: &'static str) {
        self.fail(Problem::Invalid { field, expected });
    }

    fn include_usage(&mut self, event: &Event<'_>, span: Range<usize>) {
        let on = match event {
            Event::Bool(on) => *on,
            Event::Null => false,
            _ => return self.invalid("stream_options.include_usage", "true or false"),
        };
        self.include_usage = on;
        self.spans.stream_options = StreamOptions::Value { span };
    }
}

fn name_of(field: Field) -> &'static str {
    TOP_FIELDS.iter().find(|(_, other)| *other == field).map_or("stream_options", |(name, _)| name)
}

impl Sink for Reader {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        // Bodies are in memory as a whole, so offsets fit.
        let span = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
        match (&event, depth) {
            (Event::Open { object }, 0) => {
                self.is_object = *object;
                self.spans.inside = span.end;
            }
            (Event::Name(text), _) => {
                if depth == 2
                    && let StreamOptions::Without { empty, .. } = &mut self.spans.stream_options
                    && self.inside_stream_options
                {
                    *empty = false;
                }
                self.name(*text, depth);
            }
            (Event::Close { .. }, 1) => {
                self.inside_stream_options = false;
                self.current = None;
            }
            (Event::Close { .. }, _) => {}
            (_, 1) => {
                if let Some(field) = self.current {
                    self.value(field, &event, span);
                }
            }
            (_, 2) if self.inside_stream_options && self.current == Some(Field::IncludeUsage) => {
                self.include_usage(&event, span);
            }
            (Event::Str { text, .. }, 2)
                if self.current == Some(Field::Modalities) && text.bytes != b"text" =>
            {
                self.fail(Problem::Unsupported("modalities"));
            }
            _ => {}
        }
    }

    fn wants_string(&self, depth: usize) -> bool {
        let wanted = [Field::Model, Field::ServiceTier, Field::Modalities];
        depth <= 2 && self.current.is_some_and(|field| wanted.contains(&field))
    }
}
