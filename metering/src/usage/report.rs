//! Reports of usage: where they stand, and what their counts come to.

use wire::v1::Usage;

use super::AnswerFormat;
use super::counts::{Count as C, Counts};
use super::name::Word;
use super::place::{List, Stage};
use super::reader::Reader;

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

impl Reader {
    /// An item of a list in the report has ended.
    pub(super) fn item_ends(&mut self, list: List) {
        let (item, kind) = (self.document.item, self.document.item_kind);
        let Some(open) = &mut self.document.open else { return };
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
    pub(super) fn report_ends(&mut self, open: &Open, stage: Stage, end: u64) {
        let (counts, so_far) = (&open.counts, &mut self.so_far);
        let has = |count| counts.known(count).is_some();
        let is_whole = match self.format {
            AnswerFormat::OpenAiChat | AnswerFormat::OpenAiResponses => counts.openai().is_some(),
            AnswerFormat::OpenAiEmbeddings => counts.embeddings().is_some(),
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
    pub(super) fn settle(&mut self) {
        let so_far = &self.so_far;
        let counts = &so_far.counts;
        match self.format {
            AnswerFormat::OpenAiChat => {
                // Shown output is not nothing: such a report is one of input alone.
                let output_is_told = counts.known(C::Output).is_some() || self.seen.deltas == 0;
                let mut counts = *counts;
                if so_far.cites && counts.known(C::ToolCalls).is_none() {
                    counts.set(C::ToolCalls, 1);
                }
                let usage = counts.openai();
                let is_whole = |usage: &Usage| output_is_told || usage.output_tokens > 0;
                self.seen.usage = usage.filter(is_whole);
                self.seen.input = usage.filter(|usage| !is_whole(usage));
            }
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
                counts.set(C::ToolCalls, so_far.searches.max(self.document.searches()));
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
}
