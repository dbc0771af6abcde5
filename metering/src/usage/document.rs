//! What is kept while an answer is read: of its documents together, of the one at hand, and of a usage
//! object in it.

use super::counts::{Counts, ToolUse};
use super::name::Word;

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
    /// Gemini: web searches of the grounding.
    pub(super) searches: u64,
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
    pub(super) searches: u64,
    pub(super) tools: ToolUse,
}

/// A usage object that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) depth: usize,
    pub(super) member: Member,
    pub(super) counts: Counts,
    pub(super) apart: Option<Counts>,
    /// One of its counts is no count.
    pub(super) is_broken: bool,
}
