//! Single values of a body: what each rule makes of them.

use std::ops::Range;

use super::content::{Kind, Mime, ToolKind};
use super::feature::FeatureKind;
use super::found::{Limit, OtherLimit, PathSpan, Slot};
use super::parameter::is_one_of;
use super::reader::Reader;
use super::shape::Rule;
use crate::json::{self, Event, Text};

/// Most answers to one prompt; OpenAI's own limit, the highest of all providers.
const MOST_CHOICES: u64 = 128;
/// Longest model name in bytes.
const LONGEST_MODEL: usize = 256;
/// Largest count. Beyond it, parsers that keep numbers as 64-bit floating-point numbers read another
/// one than is written.
const LARGEST_COUNT: u64 = (1 << 53) - 1;
const PROMPT: &str = "a string, a list of strings, a list of tokens or a list of those";

impl Reader {
    /// A bracket stands where a plain value is expected (or any value will do).
    pub(super) fn misplaced(&mut self, rule: Rule, name: Option<&'static str>) {
        let field = name.unwrap_or_default();
        match rule {
            Rule::Skip
            | Rule::Also(_)
            | Rule::Switch(_)
            | Rule::Off(_)
            | Rule::On
            | Rule::Token => {}
            Rule::Unknown => self.feature(FeatureKind::UnknownParameter, name),
            Rule::Needs(kind) | Rule::OneOf(_, kind) | Rule::Options(_, kind) => {
                self.feature(kind, name);
            }
            Rule::ServerTool(tool) => self.server_tool(tool, field, None),
            Rule::Truncates => self.found.truncates = true,
            Rule::State => self.state(name),
            Rule::Model | Rule::PathModel => self.invalid("model", "a string"),
            Rule::Stream => self.invalid("stream", "true or false"),
            Rule::IncludeUsage => self.invalid("stream_options.include_usage", "true or false"),
            Rule::StreamOptions(_) | Rule::Config(_) => self.invalid(field, "an object"),
            Rule::Limit(_)
            | Rule::OtherLimit
            | Rule::ThinkingBudget
            | Rule::MaxToolCalls
            | Rule::MaxUses => {
                self.invalid(field, "a non-negative integer");
            }
            Rule::Choices | Rule::BestOf => self.invalid(field, "an integer from 1 to 128"),
            Rule::Prompt | Rule::PromptItem => self.invalid(field, PROMPT),
            Rule::OnlyOne => self.feature(FeatureKind::ExtraCandidates, name),
            Rule::ToolType => {
                if let Some(draft) = self.draft() {
                    draft.tool = Some(ToolKind::Unknown);
                }
            }
            Rule::ContextEdit => self.context_edit(),
            Rule::Inside(_)
            | Rule::Url(_)
            | Rule::Workplace
            | Rule::ItemId
            | Rule::Reference
            | Rule::PartType
            | Rule::SourceType
            | Rule::MimeType
            | Rule::FileUri
            | Rule::Data
            | Rule::Encrypted
            | Rule::MessageRole => self.found.by_reference = true,
        }
    }

    /// Compaction writes tokens that no limit of the request bounds (WIRE 2.6); clearing writes none.
    fn context_edit(&mut self) {
        self.feature(FeatureKind::UnboundedOutput, Some("context_management"));
    }

    pub(super) fn state(&mut self, name: Option<&'static str>) {
        self.found.by_reference = true;
        self.feature(FeatureKind::ProviderState, name);
    }

    /// A plain value where `rule` holds.
    pub(super) fn scalar(
        &mut self,
        rule: Rule,
        name: Option<&'static str>,
        event: &Event<'_>,
        span: Range<usize>,
    ) {
        let field = name.unwrap_or_default();
        match (rule, event) {
            (Rule::Skip | Rule::Inside(_) | Rule::Switch(_), _) => {}
            (Rule::Off(values), event) => {
                if let Some(draft) = self.draft() {
                    draft.is_off |= is_one_of(values, event);
                }
            }
            (Rule::On, event) => {
                if let Some(draft) = self.draft() {
                    draft.is_on |= *event == Event::Bool(true);
                }
            }
            (Rule::Model, Event::Str { text, .. }) => self.model(*text, span),
            (Rule::PathModel, Event::Str { text, .. }) => self.path_model(*text, span),
            // Azure's SDKs leave a model beside the deployment of the path, which is the one that counts.
            (Rule::Model, Event::Null) if self.path_model.is_some() => {
                let place = PathSpan { span, is_resource: false, differs: true };
                self.found.path_spans.push(place);
            }
            (Rule::Model, _) => self.invalid("model", "a string"),
            (Rule::Limit(place), event) => self.limit(place, field, event, span),
            (Rule::StreamOptions(_), Event::Null) => self.found.stream_options = Slot::Null(span),
            (Rule::Config(_), Event::Null) => self.found.config = Slot::Null(span),
            (Rule::IncludeUsage, Event::Null) => self.found.include_usage = Some((false, span)),
            (Rule::IncludeUsage, Event::Bool(on)) => self.found.include_usage = Some((*on, span)),
            (Rule::PromptItem, event) => self.prompt_item(event),
            (Rule::Token, event) => self.token(event),
            (_, Event::Null) => {}
            (Rule::Stream, Event::Bool(on)) => self.found.stream = *on,
            (
                Rule::Needs(_) | Rule::Options(..) | Rule::ServerTool(_) | Rule::Truncates,
                Event::Bool(false),
            ) => {}
            (Rule::Choices, event) => self.found.choices = self.choices(field, event),
            (Rule::BestOf, event) => self.found.best_of = self.choices(field, event),
            (Rule::ThinkingBudget, event) => self.thinking_budget(field, event),
            (Rule::OtherLimit, event) => {
                if let Some(tokens) = self.output_bound(field, event) {
                    self.found.other_limits.push(OtherLimit { tokens, value: span });
                }
            }
            (Rule::MaxToolCalls, event) => self.found.max_tool_calls = self.count(field, event),
            (Rule::MaxUses, event) => {
                let uses = self.count(field, event);
                if let Some(draft) = self.draft() {
                    draft.max_uses = uses;
                }
            }
            (Rule::Prompt, Event::Str { .. }) => self.found.prompts = 1,
            (Rule::OnlyOne, Event::Number(text)) if json::count(*text) == Some(1) => {}
            (Rule::OneOf(allowed, kind), Event::Str { text, .. }) => {
                if !allowed.iter().any(|one| one.as_bytes() == text.bytes) {
                    self.feature(kind, name);
                }
            }
            (Rule::ContextEdit, Event::Str { text, .. }) if text.bytes.starts_with(b"clear_") => {}
            (rule, Event::Str { text, length }) => self.text(rule, name, *text, *length),
            (rule, _) => self.misplaced(rule, name),
        }
    }

    /// A text that says something about a piece of content or a tool.
    fn text(&mut self, rule: Rule, name: Option<&'static str>, text: Text<'_>, length: u64) {
        if matches!(rule, Rule::FileUri) {
            return self.file_uri(text.bytes, name);
        }
        let inline = match (rule, text.bytes.strip_prefix(b"data:")) {
            (Rule::Url(_), None) => {
                self.found.by_reference |= length > 0;
                return;
            }
            (Rule::Url(_), Some(rest)) => Some(Mime::of_data_url(rest)),
            _ => None,
        };
        let Some(draft) = self.draft() else { return };
        match rule {
            Rule::Url(_) => {
                draft.mime = inline;
                draft.inline = draft.inline.saturating_add(1);
                draft.inline_bytes = draft.inline_bytes.saturating_add(length);
            }
            Rule::Data => {
                draft.inline = draft.inline.saturating_add(1);
                draft.inline_bytes = draft.inline_bytes.saturating_add(length);
            }
            Rule::PartType => {
                draft.kind = Some(Kind::of(text.bytes));
                if text.bytes == b"compaction_trigger" {
                    // What it writes is bounded by no limit, as with `context_management`.
                    self.feature(FeatureKind::UnboundedOutput, Some("input"));
                }
            }
            Rule::SourceType => match text.bytes {
                b"text" => draft.is_text_source = true,
                b"base64" | b"content" => {}
                // by URL or by file, which those members say too
                _ => self.found.by_reference = true,
            },
            Rule::MimeType => draft.mime = Some(Mime::of(text.bytes)),
            Rule::ToolType => draft.tool = Some(ToolKind::of(text.bytes)),
            Rule::Encrypted => draft.is_encrypted = length > 0,
            Rule::MessageRole => draft.has_role = true,
            Rule::ItemId => draft.has_id = length > 0,
            Rule::Workplace => draft.is_local = text.bytes == b"local",
            rule => self.misplaced(rule, name),
        }
    }

    /// Videos and pages of the web are drawn in; files of Google's own services belong to the
    /// account besides.
    fn file_uri(&mut self, uri: &[u8], name: Option<&'static str>) {
        let of_the_web = uri.starts_with(b"https://")
            && !uri.windows(10).any(|part| part.eq_ignore_ascii_case(b"googleapis"));
        self.found.by_reference = true;
        if !of_the_web {
            self.state(name);
        }
    }

    fn model(&mut self, text: Text<'_>, span: Range<usize>) {
        if let Some(of_path) = &self.path_model {
            let differs = name_of_model(text) != Some(of_path);
            return self.found.path_spans.push(PathSpan { span, is_resource: false, differs });
        }
        match name_of_model(text) {
            Some(model) => {
                self.found.model = Some(model.to_owned());
                self.found.model_span = span;
            }
            None => self.invalid("model", "a model name of 1 to 256 bytes"),
        }
    }

    fn path_model(&mut self, text: Text<'_>, span: Range<usize>) {
        let written = name_of_model(text).unwrap_or_default();
        let bare = written.strip_prefix("models/");
        let expected = self.path_model.as_deref().unwrap_or_default();
        let is_resource = written != expected;
        if expected.is_empty() || (is_resource && bare != Some(expected)) {
            return self.invalid("model", "the model of the path");
        }
        if self.problem.is_some() {
            // Nothing will be edited, so no further place is kept.
            return;
        }
        self.found.path_spans.push(PathSpan { span, is_resource, differs: false });
    }

    fn count(&mut self, field: &'static str, event: &Event<'_>) -> Option<u64> {
        let count = exact_count(event);
        if count.is_none() {
            self.invalid(field, "a non-negative integer");
        }
        count
    }

    fn output_bound(&mut self, field: &'static str, event: &Event<'_>) -> Option<u64> {
        let tokens = self.count(field, event)?;
        if tokens < self.least_limit {
            self.invalid(field, "a positive integer");
            return None;
        }
        Some(tokens)
    }

    fn limit(&mut self, place: usize, field: &'static str, event: &Event<'_>, span: Range<usize>) {
        // Protobuf's default value is no value.
        let in_config = !matches!(self.found.config, Slot::Absent);
        let limit = match event {
            Event::Null => Limit::Void(span),
            event => match self.output_bound(field, event) {
                Some(0) if in_config => Limit::Void(span),
                Some(tokens) => Limit::Tokens { tokens, name: self.last_name.clone(), value: span },
                None => return,
            },
        };
        if let Some(slot) = self.found.limits.get_mut(place) {
            *slot = limit;
        }
    }

    /// Gemini's budget may be -1: the model decides, within its output limit. A budget of nothing
    /// switches thinking off.
    fn thinking_budget(&mut self, field: &'static str, event: &Event<'_>) {
        if matches!(event, Event::Number(text) if text.bytes == b"-1") {
            return;
        }
        let budget = self.count(field, event);
        let is_off = budget == Some(0);
        // Chat has two names for it, and nobody knows which one the upstream reads.
        self.found.thinking_budget = self.found.thinking_budget.max(budget);
        if let Some(draft) = self.draft() {
            draft.is_off |= is_off;
        }
    }

    fn choices(&mut self, field: &'static str, event: &Event<'_>) -> Option<u64> {
        let choices = exact_count(event);
        // Protobuf's default value is no value.
        if choices == Some(0) && !matches!(self.found.config, Slot::Absent) {
            return None;
        }
        if !matches!(choices, Some(1..=MOST_CHOICES)) {
            self.invalid(field, "an integer from 1 to 128");
            return None;
        }
        choices
    }

    /// Texts and lists are prompts of their own, the tokens of a list of tokens are one together.
    fn prompt_item(&mut self, event: &Event<'_>) {
        let Some(frame) = self.frames.last_mut() else { return };
        match event {
            Event::Str { .. } => self.found.prompts = self.found.prompts.saturating_add(1),
            Event::Number(_) => self.tokens(1),
            _ => {
                let field = frame.name.unwrap_or_default();
                self.invalid(field, PROMPT);
            }
        }
    }

    /// What is no token in a list of tokens is the upstream's to refuse.
    fn token(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Number(_)) {
            self.tokens(1);
        }
    }

    /// So many further tokens in a list.
    pub(super) fn tokens(&mut self, count: u128) {
        let Some(frame) = self.frames.last_mut() else { return };
        // Tokens beside lists of tokens are one prompt more.
        if frame.seen == 0 && frame.is_among_prompts() {
            self.found.prompts = self.found.prompts.saturating_add(1);
        }
        // a list has no members to mark, so its marks count
        frame.seen = frame.seen.saturating_add(count);
    }
}

/// A count that every parser reads alike.
fn exact_count(event: &Event<'_>) -> Option<u64> {
    match event {
        Event::Number(text) => json::count(*text).filter(|count| *count <= LARGEST_COUNT),
        _ => None,
    }
}

/// No model is called by a control character, nor by what stands for half of a surrogate pair, which
/// each parser makes something else of.
fn name_of_model(text: Text<'_>) -> Option<&str> {
    let name = std::str::from_utf8(text.bytes).ok().filter(|_| text.complete)?;
    let is_odd = |letter: char| letter.is_control() || letter == char::REPLACEMENT_CHARACTER;
    ((1..=LONGEST_MODEL).contains(&name.len()) && !name.contains(is_odd)).then_some(name)
}
