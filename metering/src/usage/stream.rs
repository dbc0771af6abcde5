//! An answer as a stream of events.

use wire::NanoUsd;
use wire::v1::Usage;

use super::output_watch::OutputWatch;
use super::plain::cost_member;
use super::reader::Reader;
use super::report::Member;
use super::sse::{Lines, Piece};
use super::{AnswerFormat, Seen};
use crate::json::Scanner;

/// Most bytes of one event that are held to be edited. Most events have some hundred bytes; a
/// larger one (a picture, a whole response) passes as it is, still read.
pub const LONGEST_HELD_EVENT: usize = 1 << 20;
const DONE: &[u8] = b"[DONE]";

/// What the client is to see of the usage that was forced on its stream. Only chat streams have to
/// be forced; in those of other dialects usage always stands and is always shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamView {
    /// It asked for usage: it sees it, with the cost.
    WithUsage,
    /// It asked for usage, and sees it as the upstream wrote it.
    WithoutCost,
    /// It did not: no usage chunk, no `"usage":null`.
    WithoutUsage,
}

/// Reads a stream as it passes, hides or prices its usage, and holds at most one event.
#[derive(Debug, Clone)]
pub struct StreamAnswer {
    view: StreamView,
    lines: Lines,
    scanner: Scanner,
    reader: Reader,
    not_json: bool,
    held: Vec<u8>,
    /// The event became too large to be held: its bytes pass as they come.
    passing: bool,
    /// Bytes of the current event so far.
    event_bytes: u64,
    /// Data bytes of the current event so far, and whether they begin like `[DONE]`.
    data_bytes: usize,
    like_done: bool,
    complete: bool,
    /// Most output tokens of the call, where there is such a bound.
    output_bound: Option<u64>,
    watch: OutputWatch,
    passed_bound: bool,
    /// Nothing passes any more; what comes is still read.
    stopped: bool,
}

impl StreamAnswer {
    /// A stream of chat completions of which nothing has come yet; see [`StreamAnswer::of`].
    #[must_use]
    pub fn new(view: StreamView, output_bound: Option<u64>) -> Self {
        Self::of(AnswerFormat::OpenAiChat, view, output_bound)
    }

    /// A stream of which nothing has come yet. One that passes `output_bound` (tokens of all
    /// choices together) stops by itself: the event that passes it is the first that is held back. One
    /// that only passes it with the report at the end of its output comes to its end.
    #[must_use]
    pub fn of(format: AnswerFormat, view: StreamView, output_bound: Option<u64>) -> Self {
        Self {
            view,
            lines: Lines::default(),
            scanner: Scanner::default(),
            reader: Reader::of_stream(format),
            not_json: false,
            held: Vec::new(),
            passing: false,
            event_bytes: 0,
            data_bytes: 0,
            like_done: true,
            complete: false,
            output_bound,
            watch: OutputWatch::default(),
            passed_bound: false,
            stopped: false,
        }
    }

    /// Reads the next chunk and returns what the client gets instead of it: every event that is
    /// complete now. `None` when that is the chunk itself.
    pub fn chunk(&mut self, bytes: &[u8], cost: impl Fn(&Usage) -> NanoUsd) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.held.len() + bytes.len());
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            let run = self.lines.data_run(rest);
            if !run.is_empty() {
                self.keep(run, &mut out);
                self.data(run);
                rest = rest.get(run.len()..).unwrap_or_default();
                continue;
            }
            let ends_crlf = *byte == b'\n' && self.event_bytes == 0 && self.lines.is_after_cr();
            let piece = self.lines.byte(*byte);
            if ends_crlf {
                // The event before it has gone out. Held until the next one comes, it would keep
                // clients that wait for the whole line break from seeing that event.
                if !self.stopped {
                    out.push(*byte);
                }
                rest = tail;
                continue;
            }
            self.keep(&[*byte], &mut out);
            match piece {
                Piece::Data => self.data(&[*byte]),
                Piece::DataBreak => self.data(b"\n"),
                Piece::Frame => {}
                Piece::EventEnd => self.event_ends(&mut out, &cost),
            }
            rest = tail;
        }
        if out == bytes && !self.stopped { None } else { Some(out) }
    }

    /// Lets nothing pass from now on and drops what is held. Returns what the client must get so
    /// that whatever is sent next is an event of its own.
    pub fn stop(&mut self) -> &'static [u8] {
        let nothing_held = std::mem::take(&mut self.held).is_empty();
        self.stopped = true;
        self.event_border(nothing_held)
    }

    /// In what form it comes.
    #[must_use]
    pub fn format(&self) -> AnswerFormat {
        self.reader.format()
    }

    /// The `sequence_number` that an event of our own has where the events of a stream are numbered
    /// (Responses): one more than the highest that was read. Numbers of events that were dropped are
    /// left out, none stands twice.
    #[must_use]
    pub fn next_sequence_number(&self) -> u64 {
        self.reader.next_event_number()
    }

    /// It stopped by itself because of its output bound. What [`StreamAnswer::chunk`] has returned
    /// then ends where an event may follow.
    #[must_use]
    pub fn has_passed_bound(&self) -> bool {
        self.passed_bound
    }

    /// What is missing for the client between what has passed and an event of our own. What was held
    /// is not going to pass.
    fn event_border(&self, nothing_held: bool) -> &'static [u8] {
        if self.passing {
            // The start of an event has passed: its line ends and then the event. Where both have
            // ended already, empty lines say nothing.
            b"\n\n"
        } else if nothing_held && self.lines.is_after_cr() {
            // The second half of the CRLF that ended the last event.
            b"\n"
        } else {
            b""
        }
    }

    /// The stream is over: what is still held goes out as it is.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let complete = self.complete || self.reader.candidates_ended();
        let usage_is_final = self.reader.report_is_final(complete);
        Seen { complete, usage_is_final, ..self.reader.seen }
    }

    /// Bytes held back now; at most [`LONGEST_HELD_EVENT`].
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    fn keep(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.event_bytes = self.event_bytes.saturating_add(bytes.len() as u64);
        if self.stopped {
            return;
        }
        if self.held.len() + bytes.len() > LONGEST_HELD_EVENT {
            self.passing = true;
            out.append(&mut self.held);
        }
        if self.passing { out.extend_from_slice(bytes) } else { self.held.extend_from_slice(bytes) }
    }

    fn data(&mut self, bytes: &[u8]) {
        self.reader.seen.has_begun = true;
        let at = self.event_bytes.saturating_sub(bytes.len() as u64);
        let until = self.data_bytes.saturating_add(bytes.len());
        self.like_done &= DONE.get(self.data_bytes..until) == Some(bytes);
        self.data_bytes = until;
        if !self.not_json && self.scanner.feed(bytes, at, &mut self.reader).is_err() {
            self.not_json = true;
        }
    }

    fn event_ends(&mut self, out: &mut Vec<u8>, cost: &impl Fn(&Usage) -> NanoUsd) {
        let is_done = self.like_done && self.data_bytes == DONE.len();
        let is_last = self.reader.is_last_event() && self.reader.seen.complete && !self.not_json;
        if is_done || is_last {
            self.complete = true;
            self.reader.close();
        }
        let held = std::mem::take(&mut self.held);
        let seen = self.seen();
        if !self.stopped && self.watch.must_end(&seen, self.output_bound) {
            self.stopped = true;
            self.passed_bound = true;
            out.extend_from_slice(self.event_border(held.is_empty()));
        } else if self.passing || self.stopped || self.not_json {
            out.extend_from_slice(&held);
        } else {
            self.edited(&held, out, cost);
        }
        self.scanner = Scanner::default();
        self.reader.next_document();
        self.not_json = false;
        self.passing = false;
        self.event_bytes = 0;
        self.data_bytes = 0;
        self.like_done = true;
    }

    /// What the client sees of an event.
    fn edited(&self, held: &[u8], out: &mut Vec<u8>, cost: &impl Fn(&Usage) -> NanoUsd) {
        let Some(member) = self.reader.usage_member() else {
            out.extend_from_slice(held);
            return;
        };
        let format = self.reader.format();
        let is_hidden = format == AnswerFormat::OpenAiChat && self.view == StreamView::WithoutUsage;
        // Of several reports of a response only that of its end is shown to be the cost.
        let is_priced = member.is_accepted
            && !member.has_cost
            && self.view != StreamView::WithoutCost
            && (format != AnswerFormat::OpenAiResponses || self.reader.is_last_event());
        if is_hidden {
            if member.is_report && !self.reader.has_choices() {
                return;
            }
            let (from, to) = member.span_with_comma();
            out.extend_from_slice(held.get(..from).unwrap_or(held));
            out.extend_from_slice(held.get(to..).unwrap_or_default());
        } else if let (true, Some(usage)) = (is_priced, self.reader.seen.usage) {
            let brace = usize::try_from(member.end.saturating_sub(1)).unwrap_or(held.len());
            let (before, after) = held.split_at_checked(brace).unwrap_or((held, &[]));
            out.extend_from_slice(before);
            out.extend_from_slice(cost_member(member.is_empty, cost(&usage)).as_bytes());
            out.extend_from_slice(after);
        } else {
            out.extend_from_slice(held);
        }
    }
}

impl Member {
    /// The bytes to cut so that the object stays well formed.
    fn span_with_comma(&self) -> (usize, usize) {
        let (from, to) = match (self.after_previous, self.next_name) {
            (Some(previous), _) => (previous, self.end),
            (None, Some(next)) => (self.name, next),
            (None, None) => (self.name, self.end),
        };
        (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0))
    }
}
