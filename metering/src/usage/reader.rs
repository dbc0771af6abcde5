//! Reads usage and output of any dialect out of one document: a whole answer, one event of a
//! stream, or one element of Gemini's streamed array.

use wire::v1::Usage;

use super::counts::{Counts, ToolUse};
use super::name::{Name, Word};
use super::place::{self, List, Place, Stage};
use super::{AnswerFormat, Seen};
use crate::json::{self, DEEPEST, Event, Sink, Text};

/// No model writes or reads this many tokens in one call; a report of more is none.
const MOST_TOKENS: u64 = 1 << 40;

/// Where a member stands, in offsets as fed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// First byte of its name, if it is a member of the outermost object.
    pub(super) name: u64,
    /// Behind the value before it, if it is not the first member.
    pub(super) after_previous: Option<u64>,
    /// Behind its value.
    pub(super) end: u64,
    /// First byte of the next member's name, if it is the first but not the last member.
    pub(super) next_name: Option<u64>,
    /// It is an object with counts.
    pub(super) is_report: bool,
    /// The counts in it were taken over.
    pub(super) is_accepted: bool,
    /// That object is empty: no comma is needed before a new member.
    pub(super) is_empty: bool,
    /// It has a member `cost_usd` already.
    pub(super) has_cost: bool,
}

/// The reader of an answer.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    format: AnswerFormat,
    /// The end of a document is not yet the end of the answer.
    is_stream: bool,
    pub(super) seen: Seen,
    /// What an answer's documents have said so far.
    so_far: SoFar,
    document: Document,
    path: [Name; DEEPEST],
    /// Brackets around a document: one where the answer is an array of documents.
    base: usize,
}

/// What outlives a document.
#[derive(Debug, Clone, Copy, Default)]
struct SoFar {
    counts: Counts,
    /// Tokens of Anthropic's iterations that its counts leave out.
    apart: Counts,
    /// A report was made with the output, not before it.
    has_final: bool,
    /// Gemini: output that is no thought was shown.
    answer_shown: bool,
    /// Gemini: the candidates have ended.
    ended: bool,
    /// Gemini: web searches of the grounding.
    searches: u64,
    /// The answer is over: no later report counts.
    closed: bool,
    /// Responses: one more than the highest number of an event.
    next_event_number: u64,
}

/// What belongs to one document.
#[derive(Debug, Clone, Copy, Default)]
struct Document {
    /// The usage member, once complete: the report's own or, in the outermost object, `null` too.
    usage_member: Option<Member>,
    has_choices: bool,
    /// The current choice has been counted. Some upstreams repeat one token under several names
    /// (`reasoning` and `reasoning_content`).
    choice_is_counted: bool,
    /// A report of this document was taken over.
    is_accepted: bool,
    open: Option<Open>,
    previous_end: Option<u64>,
    name_start: u64,
    event: Word,
    /// Bytes of a Responses event that are output if the event is of such a kind.
    delta_bytes: u64,
    item: Counts,
    item_kind: Word,
    part_bytes: u64,
    part_is_thought: bool,
    has_output: bool,
    is_finished: bool,
    searches: u64,
    tools: ToolUse,
}

/// A usage object that is being read.
#[derive(Debug, Clone, Copy)]
struct Open {
    depth: usize,
    member: Member,
    counts: Counts,
    apart: Option<Counts>,
    /// One of its counts is no count.
    is_broken: bool,
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

    /// An item of a list in the report has ended.
    fn item_ends(&mut self, list: List) {
        let (item, kind) = (self.document.item, self.document.item_kind);
        let Some(open) = &mut self.document.open else { return };
        use super::counts::Count as C;
        let count = match (list, kind) {
            (List::Iterations, Word::Apart) => {
                open.apart.get_or_insert_default().add_all(&item);
                return;
            }
            (List::Prompt, Word::Audio) => C::AudioInput,
            (List::Prompt, Word::Image) => C::ImageInput,
            (List::Cache, Word::Audio) => C::CachedAudio,
            (List::Cache, Word::Image) => C::CachedImage,
            (List::Candidates, Word::Audio) => C::AudioOutput,
            (List::Candidates, Word::Image) => C::ImageOutput,
            _ => return,
        };
        open.counts.add(count, item.known(C::Total).unwrap_or(0));
    }

    /// The usage object has ended. One with a broken count says nothing, nor does one without the
    /// counts that its dialect always has.
    fn report_ends(&mut self, open: &Open, stage: Stage, end: u64) {
        use super::counts::Count as C;
        let (counts, so_far) = (&open.counts, &mut self.so_far);
        let has = |count| counts.known(count).is_some();
        let is_whole = match self.format {
            AnswerFormat::OpenAiChat | AnswerFormat::OpenAiResponses => {
                has(C::Input) && has(C::Output)
            }
            AnswerFormat::OpenAiEmbeddings => has(C::Input),
            _ => true,
        };
        let is_accepted = is_whole && !open.is_broken && !so_far.closed;
        if is_accepted {
            if self.format.has_running_totals() {
                so_far.counts.follow(counts);
            } else {
                so_far.counts = *counts;
            }
            so_far.apart = open.apart.unwrap_or(so_far.apart);
            so_far.has_final |= stage == Stage::Final && has(C::Output);
            self.document.is_accepted = true;
            self.settle();
        }
        if stage == Stage::Final {
            let member = Member { end, is_report: true, is_accepted, ..open.member };
            self.document.usage_member = Some(member);
        }
    }

    /// Says what the counts come to now.
    fn settle(&mut self) {
        use super::counts::Count as C;
        let so_far = &self.so_far;
        let counts = &so_far.counts;
        match self.format {
            AnswerFormat::OpenAiChat => self.seen.usage = counts.openai(),
            AnswerFormat::OpenAiResponses if self.document.is_accepted => {
                let usage = counts.openai();
                self.seen.usage = usage.map(|usage| self.document.tools.added_to(usage));
            }
            AnswerFormat::OpenAiResponses => {}
            AnswerFormat::OpenAiEmbeddings | AnswerFormat::GeminiEmbed => {
                self.seen.usage = counts.embeddings();
            }
            // What was said before the output is no usage of a stream that broke off.
            AnswerFormat::AnthropicMessages if so_far.has_final => {
                let mut all = *counts;
                let mut apart = so_far.apart;
                all.split_cache_writes();
                apart.split_cache_writes();
                all.add_all(&apart);
                self.seen.usage = all.anthropic();
            }
            // The count of output in it is where counting starts.
            AnswerFormat::AnthropicMessages => {
                let mut input = *counts;
                input.set(C::Output, 0);
                self.seen.input = input.anthropic().filter(|usage| usage.input_tokens > 0);
            }
            AnswerFormat::GeminiGenerate => {
                // Counts of nothing are left out, but some models leave out the count of what they
                // have shown until the end. What was shown is not nothing.
                let nothing_shown = !so_far.answer_shown
                    && (counts.known(C::Reasoning).is_some()
                        || so_far.ended
                        || self.document.is_finished
                        || self.seen.complete && !self.is_stream);
                let is_told = counts.known(C::Output).is_some_and(|output| output > 0);
                let mut counts = *counts;
                counts.set(C::ToolCalls, so_far.searches.max(self.document.searches));
                let usage = counts.gemini();
                self.seen.usage = usage.filter(|_| is_told || nothing_shown);
                self.seen.input = usage.map(|usage| Usage {
                    output_tokens: 0,
                    reasoning_tokens: 0,
                    audio_output_tokens: 0,
                    image_output_tokens: 0,
                    ..usage
                });
            }
        }
    }

    /// Everything of the document is known.
    fn document_ends(&mut self) {
        let document = &mut self.document;
        let (bytes, event) = (document.delta_bytes, document.event);
        if bytes > 0 {
            if event != Word::SummaryDelta {
                self.seen.deltas = self.seen.deltas.saturating_add(1);
            }
            self.seen.output_bytes = self.seen.output_bytes.saturating_add(bytes);
        }
        let so_far = &mut self.so_far;
        so_far.searches = so_far.searches.max(document.searches);
        so_far.ended = document.is_finished || so_far.ended && !document.has_output;
        let (is_accepted, has_choices) = (document.is_accepted, document.has_choices);
        self.seen.usage_is_final = match self.format {
            AnswerFormat::OpenAiChat if is_accepted => !has_choices || !self.is_stream,
            AnswerFormat::OpenAiChat => self.seen.usage_is_final && !has_choices,
            AnswerFormat::GeminiGenerate => self.so_far.ended,
            AnswerFormat::AnthropicMessages => self.so_far.has_final,
            AnswerFormat::OpenAiResponses
            | AnswerFormat::OpenAiEmbeddings
            | AnswerFormat::GeminiEmbed => self.seen.usage_is_final || is_accepted,
        };
        self.settle();
    }

    fn output(&mut self, length: u64) {
        if length == 0 {
            return;
        }
        if !std::mem::replace(&mut self.document.choice_is_counted, true) {
            self.seen.deltas = self.seen.deltas.saturating_add(1);
        }
        self.document.has_output = true;
        self.document.part_bytes = self.document.part_bytes.saturating_add(length);
        self.seen.output_bytes = self.seen.output_bytes.saturating_add(length);
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
            Place::Search => document.searches = document.searches.saturating_add(1),
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
        use super::counts::Count as C;
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

    fn wants_string(&self, depth: usize) -> bool {
        place::is_word(self.place(depth))
    }
}
