//! Reads usage and output of any dialect out of one document: a whole answer, one event of a
//! stream, or one element of Gemini's streamed array.

use super::counts::{Count as C, Counts};
use super::document::{Document, SoFar};
use super::name::{Name, Word};
use super::place::{self, Place};
use super::report::{Member, Open};
use super::{AnswerFormat, Seen};
use crate::json::{self, DEEPEST, Event, Sink, Text};

/// No model writes or reads this many tokens in one call; a report of more is none.
const MOST_TOKENS: u64 = 1 << 40;

/// The reader of an answer.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) format: AnswerFormat,
    /// The end of a document is not yet the end of the answer.
    pub(super) is_stream: bool,
    pub(super) seen: Seen,
    /// What an answer's documents have said so far.
    pub(super) so_far: SoFar,
    pub(super) document: Document,
    path: [Name; DEEPEST],
    /// Brackets around a document: one where the answer is an array of documents.
    base: usize,
}

impl Reader {
    /// A reader of one document, or of one array of them.
    pub(super) fn of_plain(format: AnswerFormat) -> Self {
        Self {
            format,
            is_stream: false,
            seen: Seen::default(),
            so_far: SoFar::default(),
            document: Document::default(),
            path: [Name::Other; DEEPEST],
            base: 0,
        }
    }

    /// A reader of events, each of them a document.
    pub(super) fn of_stream(format: AnswerFormat) -> Self {
        Self { is_stream: true, ..Self::of_plain(format) }
    }

    /// Makes ready for the next event of a stream; what has been seen stays.
    pub(super) fn next_document(&mut self) {
        self.document = Document::default();
        self.base = 0;
        self.seen.complete = false;
    }

    pub(super) fn format(&self) -> AnswerFormat {
        self.format
    }

    /// The usage member of the current document, once complete.
    pub(super) fn usage_member(&self) -> Option<Member> {
        self.document.usage_member
    }

    /// `choices` of the current document has an item.
    pub(super) fn has_choices(&self) -> bool {
        self.document.has_choices
    }

    /// The documents come as elements of an array.
    pub(super) fn is_array(&self) -> bool {
        self.base > 0
    }

    /// The current document is the event that ends the answer, by its own word.
    pub(super) fn is_last_event(&self) -> bool {
        match self.format {
            AnswerFormat::AnthropicMessages => self.document.event == Word::MessageStop,
            AnswerFormat::OpenAiResponses => self.document.event == Word::ResponseEnd,
            _ => false,
        }
    }

    /// Gemini's candidates have all come to an end, as far as one can see: its streams have no
    /// last event. A model that ends every chunk's candidate seems ended too early.
    pub(super) fn candidates_ended(&self) -> bool {
        self.so_far.ended
    }

    /// The number of the next event where events are numbered (Responses).
    pub(super) fn next_event_number(&self) -> u64 {
        self.so_far.next_event_number
    }

    /// No later report counts.
    pub(super) fn close(&mut self) {
        self.so_far.closed = true;
    }

    fn at(&self, depth: usize) -> Name {
        self.path.get(depth).copied().unwrap_or_default()
    }

    fn place(&self, depth: usize) -> Place {
        let path = self.path.get(self.base + 1..=depth);
        path.map_or(Place::Elsewhere, |path| place::place(self.format, path))
    }

    fn name(&mut self, text: Text<'_>, depth: usize, start: u64) {
        let name = Name::of(text.bytes);
        if let Some(slot) = self.path.get_mut(depth) {
            *slot = name;
        }
        let document = &mut self.document;
        if depth == 1 {
            document.name_start = start;
            if let Some(member) = &mut document.usage_member
                && member.after_previous.is_none()
                && member.next_name.is_none()
            {
                member.next_name = Some(start);
            }
        }
        if let Some(open) = document.open.as_mut().filter(|open| open.depth + 1 == depth) {
            open.member.is_empty = false;
            open.member.has_cost |= name == Name::CostUsd;
        }
    }

    fn member_begins(&self) -> Member {
        Member {
            name: self.document.name_start,
            after_previous: self.document.previous_end,
            is_empty: true,
            ..Member::default()
        }
    }

    /// A value that is no report has ended.
    fn value_ends(&mut self, depth: usize, end: u64) {
        if depth != 1 || self.base > 0 {
            return;
        }
        if self.at(1) == Name::Usage {
            self.document.usage_member = Some(Member { end, ..self.member_begins() });
        }
        self.document.previous_end = Some(end);
    }

    fn opens(&mut self, object: bool, depth: usize) {
        if depth == 0 {
            self.base = usize::from(!object && self.format.may_be_array());
        }
        if depth == self.base {
            self.document = Document::default();
        }
        match self.place(depth) {
            Place::Report(_) if object => {
                let member = self.member_begins();
                let counts = Counts::default();
                let open = Open { depth, member, counts, apart: None, is_broken: false };
                self.document.open = Some(open);
            }
            Place::Choice => {
                self.document.has_choices = true;
                self.document.choice_is_counted = false;
            }
            Place::Item(_) => {
                self.document.item = Counts::default();
                self.document.item_kind = Word::Other;
            }
            Place::WebFind => self.document.finds_web = true,
            Place::MapFind => self.document.finds_maps = true,
            Place::Part => {
                self.document.part_bytes = 0;
                self.document.part_is_thought = false;
            }
            _ => {}
        }
        // Names of an outer object must not be taken for names in this one.
        if let Some(slot) = self.path.get_mut(depth + 1) {
            *slot = Name::Other;
        }
    }

    fn closes(&mut self, depth: usize, end: u64) {
        match self.place(depth) {
            Place::Report(stage) => {
                if let Some(open) = self.document.open.take() {
                    self.report_ends(&open, stage, end);
                }
            }
            Place::Item(list) => self.item_ends(list),
            Place::Part if self.document.part_bytes > 0 => {
                self.so_far.answer_shown |= !self.document.part_is_thought;
            }
            _ => {}
        }
        if depth == self.base {
            self.document_ends();
        }
        if depth == 0 {
            self.seen.complete = true;
            self.settle();
        }
    }

    fn string(&mut self, text: Text<'_>, length: u64, depth: usize) {
        let word = || if text.complete { Word::of(text.bytes) } else { Word::Other };
        let place = self.place(depth);
        let document = &mut self.document;
        match place {
            Place::Output => self.output(length),
            Place::Delta => document.delta_bytes = document.delta_bytes.saturating_add(length),
            Place::EventKind => document.event = word(),
            Place::ItemKind => document.item_kind = word(),
            Place::OutputKind => {
                let tools = &mut document.tools;
                let items = match word() {
                    Word::SearchCall => &mut tools.search_items,
                    Word::ToolCall => &mut tools.tool_items,
                    Word::ImageCall => &mut tools.image_items,
                    _ => return,
                };
                *items = items.saturating_add(1);
            }
            Place::Finish => document.is_finished |= length > 0,
            Place::Search => document.queries = document.queries.saturating_add(1),
            Place::AnnotationKind => self.so_far.cites |= word() == Word::UrlCitation,
            Place::Count(_) | Place::ItemCount(_) => self.is_no_count(),
            _ => {}
        }
    }

    /// Something else stands where a count belongs.
    fn is_no_count(&mut self) {
        if let Some(open) = &mut self.document.open {
            open.is_broken = true;
        }
    }

    fn number(&mut self, text: Text<'_>, depth: usize) {
        let place = self.place(depth);
        let tokens = json::count(text).filter(|tokens| *tokens <= MOST_TOKENS);
        let document = &mut self.document;
        let Some(tokens) = tokens else {
            if matches!(place, Place::Count(_) | Place::ItemCount(_)) {
                self.is_no_count();
            }
            return;
        };
        match (place, &mut document.open) {
            (Place::Count(C::ToolCalls), Some(open)) => open.counts.add(C::ToolCalls, tokens),
            (Place::Count(count), Some(open)) => open.counts.set(count, tokens),
            (Place::ItemCount(count), _) => document.item.set(count, tokens),
            (Place::EventNumber, _) => {
                let next = tokens.saturating_add(1);
                self.so_far.next_event_number = self.so_far.next_event_number.max(next);
            }
            (Place::Searches, _) => document.tools.searches = Some(tokens),
            (Place::Images(count), _) => document.tools.images.set(count, tokens),
            // Enumerations as numbers, which some of Google's clients ask for.
            (Place::ItemKind, _) => document.item_kind = Word::of_modality(tokens),
            (Place::Finish, _) => document.is_finished |= tokens > 0,
            _ => {}
        }
    }
}

impl Sink for Reader {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        match event {
            Event::Name(text) => {
                self.name(text, depth, start);
                return;
            }
            Event::Open { object } => {
                self.opens(object, depth);
                return;
            }
            Event::Close { object } => {
                let is_report =
                    object && self.document.open.is_some_and(|open| open.depth == depth);
                self.closes(depth, end);
                if is_report {
                    if depth == 1 {
                        self.document.previous_end = Some(end);
                    }
                    return;
                }
            }
            Event::Str { text, length } => self.string(text, length, depth),
            Event::Number(text) => self.number(text, depth),
            Event::Bool(value) => match self.place(depth) {
                Place::IsThought => self.document.part_is_thought |= value,
                Place::Count(_) | Place::ItemCount(_) => self.is_no_count(),
                _ => {}
            },
            Event::Null => {}
        }
        self.value_ends(depth, end);
    }

    fn passes_over(&self, depth: usize) -> bool {
        depth == self.base + 1 && place::is_beside_all(self.format, self.at(depth))
    }

    fn wants_string(&self, depth: usize) -> bool {
        place::is_word(self.place(depth))
    }
}
