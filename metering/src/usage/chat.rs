//! Where usage and output stand in a chat completion and in the chunks of its stream.

use wire::v1::Usage;

use super::Seen;
use crate::json::{self, DEEPEST, Event, Sink, Text};

/// No model writes or reads this many tokens in one call; a report of more is none.
const MOST_TOKENS: u64 = 1 << 40;

/// Member names that mean something here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Other,
    Usage,
    Choices,
    Output,
    PromptTokens,
    CompletionTokens,
    PromptDetails,
    CompletionDetails,
    CachedTokens,
    ReasoningTokens,
    CostUsd,
}

/// Where a member stands, in offsets as fed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// First byte of its name.
    pub(super) name: u64,
    /// Behind the value before it, if it is not the first member.
    pub(super) after_previous: Option<u64>,
    /// Behind its value.
    pub(super) end: u64,
    /// First byte of the next member's name, if it is the first but not the last member.
    pub(super) next_name: Option<u64>,
    /// It is an object with counts.
    pub(super) is_report: bool,
    /// That object is empty but for nothing: no comma is needed before a new member.
    pub(super) is_empty: bool,
    /// It has a member `cost_usd` already.
    pub(super) has_cost: bool,
}

/// Reads one document: a whole answer, or one chunk of a stream.
#[derive(Debug, Clone)]
pub(super) struct ChatReader {
    pub(super) seen: Seen,
    /// The outermost `usage` member, once complete.
    pub(super) usage_member: Option<Member>,
    /// `choices` has an item.
    pub(super) has_choices: bool,
    /// The current item of `choices` has been counted. Some upstreams repeat one token under
    /// several names (`reasoning` and `reasoning_content`).
    choice_is_counted: bool,
    path: [Name; DEEPEST],
    depth: usize,
    report: Report,
    open_usage: Option<Member>,
    previous_end: Option<u64>,
    name_start: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Report {
    prompt: Option<u64>,
    completion: Option<u64>,
    cached: u64,
    reasoning: u64,
    broken: bool,
}

impl Default for ChatReader {
    fn default() -> Self {
        Self {
            seen: Seen::default(),
            usage_member: None,
            has_choices: false,
            choice_is_counted: false,
            path: [Name::Other; DEEPEST],
            depth: 0,
            report: Report::default(),
            open_usage: None,
            previous_end: None,
            name_start: 0,
        }
    }
}

impl ChatReader {
    /// Makes ready for the next chunk of a stream; what has been seen stays.
    pub(super) fn next_document(&mut self) {
        *self = Self { seen: self.seen, ..Self::default() };
    }

    fn at(&self, depth: usize) -> Name {
        self.path.get(depth).copied().unwrap_or_default()
    }

    fn name(&mut self, text: Text<'_>, depth: usize, start: u64) {
        let name = match text.bytes {
            b"usage" => Name::Usage,
            b"choices" => Name::Choices,
            b"content" | b"reasoning" | b"reasoning_content" | b"refusal" | b"arguments"
            | b"text" => Name::Output,
            b"prompt_tokens" => Name::PromptTokens,
            b"completion_tokens" => Name::CompletionTokens,
            b"prompt_tokens_details" => Name::PromptDetails,
            b"completion_tokens_details" => Name::CompletionDetails,
            b"cached_tokens" => Name::CachedTokens,
            b"reasoning_tokens" => Name::ReasoningTokens,
            b"cost_usd" => Name::CostUsd,
            _ => Name::Other,
        };
        if let Some(slot) = self.path.get_mut(depth) {
            *slot = name;
        }
        if depth == 1 {
            self.name_start = start;
            if let Some(member) = &mut self.usage_member
                && member.after_previous.is_none()
                && member.next_name.is_none()
            {
                member.next_name = Some(start);
            }
        }
        if let (2, Some(member)) = (depth, &mut self.open_usage) {
            member.is_empty = false;
            member.has_cost |= name == Name::CostUsd;
        }
    }

    fn member_begins(&self) -> Member {
        Member {
            name: self.name_start,
            after_previous: self.previous_end,
            is_empty: true,
            ..Member::default()
        }
    }

    /// A value of the outermost object has ended.
    fn member_ends(&mut self, end: u64, is_report: bool) {
        if self.at(1) == Name::Usage {
            let member = self.open_usage.take().unwrap_or_else(|| self.member_begins());
            self.usage_member = Some(Member { end, is_report, ..member });
        }
        self.previous_end = Some(end);
    }

    fn number(&mut self, text: Text<'_>, depth: usize) {
        if self.open_usage.is_none() {
            return;
        }
        let tokens = json::count(text).filter(|tokens| *tokens <= MOST_TOKENS);
        let report = &mut self.report;
        let slot = match (depth, self.path.get(2).copied(), self.path.get(3).copied()) {
            (2, Some(Name::PromptTokens), _) => &mut report.prompt,
            (2, Some(Name::CompletionTokens), _) => &mut report.completion,
            (3, Some(Name::PromptDetails), Some(Name::CachedTokens)) => {
                report.cached = tokens.unwrap_or(0);
                report.broken |= tokens.is_none();
                return;
            }
            (3, Some(Name::CompletionDetails), Some(Name::ReasoningTokens)) => {
                report.reasoning = tokens.unwrap_or(0);
                report.broken |= tokens.is_none();
                return;
            }
            _ => return,
        };
        *slot = tokens;
        report.broken |= tokens.is_none();
    }

    /// The usage object has ended. One with a broken or missing count says nothing.
    fn report_ends(&mut self) {
        let report = std::mem::take(&mut self.report);
        if let (Some(input_tokens), Some(output_tokens), false) =
            (report.prompt, report.completion, report.broken)
        {
            self.seen.usage = Some(Usage {
                input_tokens,
                cached_input_tokens: report.cached.min(input_tokens),
                output_tokens,
                reasoning_tokens: report.reasoning.min(output_tokens),
                ..Usage::default()
            });
        }
    }
}

impl Sink for ChatReader {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        self.depth = depth;
        match event {
            Event::Name(text) => self.name(text, depth, start),
            Event::Open { object } => {
                if depth == 1 && object && self.at(1) == Name::Usage {
                    self.open_usage = Some(self.member_begins());
                    self.report = Report::default();
                }
                if depth == 2 && self.at(1) == Name::Choices {
                    self.has_choices = true;
                    self.choice_is_counted = false;
                }
                // Names of an outer object must not be taken for names in this one.
                if let Some(slot) = self.path.get_mut(depth + 1) {
                    *slot = Name::Other;
                }
            }
            Event::Close { object } if depth == 1 => {
                let is_report = object && self.open_usage.is_some();
                if is_report {
                    self.report_ends();
                }
                self.member_ends(end, is_report);
            }
            Event::Close { .. } => self.seen.complete |= depth == 0,
            Event::Str { length, .. } => {
                let is_output = self.at(1) == Name::Choices && self.at(depth) == Name::Output;
                if is_output && length > 0 {
                    if !std::mem::replace(&mut self.choice_is_counted, true) {
                        self.seen.deltas = self.seen.deltas.saturating_add(1);
                    }
                    self.seen.output_bytes = self.seen.output_bytes.saturating_add(length);
                }
                if depth == 1 {
                    self.member_ends(end, false);
                }
            }
            Event::Number(text) => {
                self.number(text, depth);
                if depth == 1 {
                    self.member_ends(end, false);
                }
            }
            Event::Bool(_) | Event::Null if depth == 1 => self.member_ends(end, false),
            Event::Bool(_) | Event::Null => {}
        }
    }

    fn wants_string(&self, _: usize) -> bool {
        false
    }
}
