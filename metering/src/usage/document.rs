//! What one document of an answer has said, and what outlives it.

use super::AnswerFormat;
use super::counts::{Counts, ToolUse};
use super::name::Word;
use super::reader::Reader;
use super::report::{Member, Open};

/// What outlives a document.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SoFar {
    pub(super) counts: Counts,
    /// Tokens of Anthropic's iterations that its counts leave out.
    pub(super) apart: Counts,
    /// A report was made with the output, not before it.
    pub(super) has_final: bool,
    /// The last report came where its dialect has the one of the end.
    pub(super) is_at_end: bool,
    /// Output has come in a later document than the last report.
    pub(super) is_outrun: bool,
    /// Gemini: output that is no thought was shown.
    pub(super) answer_shown: bool,
    /// Gemini: the candidates have ended.
    pub(super) ended: bool,
    /// Gemini: searches of the grounding.
    pub(super) searches: u64,
    /// Chat: an annotation cites a page of the web.
    pub(super) cites: bool,
    /// The answer is over: no later report counts.
    pub(super) closed: bool,
    /// Responses: one more than the highest number of an event.
    pub(super) next_event_number: u64,
}

/// What belongs to one document.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Document {
    /// The usage member, once complete: the report's own or, in the outermost object, `null` too.
    pub(super) usage_member: Option<Member>,
    pub(super) has_choices: bool,
    /// The current choice has been counted. Some upstreams repeat one token under several names
    /// (`reasoning` and `reasoning_content`).
    pub(super) choice_is_counted: bool,
    /// A report of this document was taken over.
    pub(super) is_accepted: bool,
    pub(super) open: Option<Open>,
    pub(super) previous_end: Option<u64>,
    pub(super) name_start: u64,
    pub(super) event: Word,
    /// Bytes of a Responses event that are output if the event is of such a kind.
    pub(super) delta_bytes: u64,
    pub(super) item: Counts,
    pub(super) item_kind: Word,
    pub(super) part_bytes: u64,
    pub(super) part_is_thought: bool,
    pub(super) has_output: bool,
    pub(super) is_finished: bool,
    /// Gemini: searches of the web by their queries; whether something was found there, or on a map.
    pub(super) queries: u64,
    pub(super) finds_web: bool,
    pub(super) finds_maps: bool,
    pub(super) tools: ToolUse,
}

impl Document {
    /// Searches that the provider charges for. Those of maps are not told one by one.
    pub(super) fn searches(&self) -> u64 {
        self.queries.max(u64::from(self.finds_web)).saturating_add(u64::from(self.finds_maps))
    }
}

impl Reader {
    /// Everything of the document is known.
    pub(super) fn document_ends(&mut self) {
        let document = &mut self.document;
        let (bytes, event) = (document.delta_bytes, document.event);
        if bytes > 0 {
            if event != Word::SummaryDelta {
                document.has_output = true;
                self.seen.deltas = self.seen.deltas.saturating_add(1);
            }
            self.seen.output_bytes = self.seen.output_bytes.saturating_add(bytes);
        }
        let so_far = &mut self.so_far;
        so_far.searches = so_far.searches.max(document.searches());
        so_far.ended = document.is_finished || so_far.ended && !document.has_output;
        if document.is_accepted {
            so_far.is_outrun = false;
            so_far.is_at_end = match self.format {
                AnswerFormat::OpenAiChat => !document.has_choices || !self.is_stream,
                AnswerFormat::AnthropicMessages => so_far.has_final,
                // Its streams report all the time: the end of the candidates tells.
                AnswerFormat::GeminiGenerate => false,
                AnswerFormat::OpenAiResponses
                | AnswerFormat::OpenAiEmbeddings
                | AnswerFormat::GeminiEmbed => true,
            };
        } else {
            so_far.is_outrun |= document.has_output;
        }
        self.settle();
    }

    /// Whether what was reported last counts all of the output: of an answer that is `complete`, or
    /// of one that broke off behind the report of its end.
    pub(super) fn report_is_final(&self, complete: bool) -> bool {
        let SoFar { is_at_end, is_outrun, .. } = self.so_far;
        self.seen.usage.is_some() && (is_at_end || complete) && !is_outrun
    }

    pub(super) fn output(&mut self, length: u64) {
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
}
