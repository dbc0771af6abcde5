//! An answer that is one JSON document, or an array of documents that comes piece by piece.

use wire::NanoUsd;
use wire::v1::Usage;

use super::output_watch::OutputWatch;
use super::reader::Reader;
use super::{AnswerFormat, Seen};
use crate::json::{Scanner, split_behind};

/// Reads a plain answer as it passes and writes its cost into the usage block. Nothing is held
/// back: when the block's closing brace comes by, every count in it is known. Tools that Responses
/// lists only behind its usage are charged but not in the cost that is written.
#[derive(Debug, Clone)]
pub struct PlainAnswer {
    scanner: Scanner,
    reader: Reader,
    at: u64,
    not_json: bool,
    /// Most output tokens of the call, where there is such a bound.
    output_bound: Option<u64>,
    watch: OutputWatch,
    passed_bound: bool,
    shows_cost: bool,
}

impl Default for PlainAnswer {
    /// A chat completion.
    fn default() -> Self {
        Self::new(AnswerFormat::default())
    }
}

impl PlainAnswer {
    /// An answer of which nothing has come yet.
    #[must_use]
    pub fn new(format: AnswerFormat) -> Self {
        Self::bounded(format, None)
    }

    /// The same with an output bound (tokens of all choices together), which only matters to an array
    /// that comes piece by piece: see [`PlainAnswer::has_passed_bound`].
    #[must_use]
    pub fn bounded(format: AnswerFormat, output_bound: Option<u64>) -> Self {
        Self {
            scanner: Scanner::default(),
            reader: Reader::of_plain(format),
            at: 0,
            not_json: false,
            shows_cost: true,
            output_bound,
            watch: OutputWatch::default(),
            passed_bound: false,
        }
    }

    /// The same, read but passed on as it is.
    #[must_use]
    pub fn without_cost(self) -> Self {
        Self { shows_cost: false, ..self }
    }

    /// Reads the next chunk. `Some` is the chunk with the cost written into it.
    pub fn chunk(&mut self, bytes: &[u8], cost: impl Fn(&Usage) -> NanoUsd) -> Option<Vec<u8>> {
        let mut edited: Option<Vec<u8>> = None;
        let mut copied = 0;
        let mut read = 0;
        // A piece ends where an object ends, if anywhere: one usage block at most.
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = split_behind(rest, b'}');
            rest = behind;
            let closed_at = self.at.saturating_add(piece.len() as u64);
            self.feed(piece);
            read += piece.len();
            if self.output_bound.is_some() && self.element_border().is_some() {
                let seen = self.reader.seen;
                let complete = seen.complete || self.reader.candidates_ended();
                let usage_is_final = self.reader.report_is_final(complete);
                let seen = Seen { usage_is_final, ..seen };
                self.passed_bound |= self.watch.must_end(&seen, self.output_bound);
            }
            let member = self.reader.usage_member().filter(|member| member.end == closed_at);
            if let Some(member) = member
                && member.is_accepted
                && !member.has_cost
                && self.shows_cost
                && let Some(usage) = self.reader.seen.usage
            {
                let brace = read.saturating_sub(1);
                let out = edited.get_or_insert_default();
                out.extend_from_slice(bytes.get(copied..brace).unwrap_or_default());
                out.extend(cost_member(member.is_empty, cost(&usage)).into_bytes());
                copied = brace;
            }
        }
        let mut out = edited?;
        out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
        Some(out)
    }

    /// Reads the next chunk of an array that is to be ended. Returns what the client gets of it and
    /// whether an element of our own may follow: then that ends where it may stand, and nothing of
    /// the upstream may pass any more. Otherwise the whole chunk is within an element, which has begun
    /// to pass.
    pub fn chunk_to_border(
        &mut self,
        bytes: &[u8],
        cost: impl Fn(&Usage) -> NanoUsd,
    ) -> (Vec<u8>, bool) {
        let mut shown = Vec::new();
        let mut border = self.element_border();
        // An element ends where a bracket does.
        for piece in bytes.split_inclusive(|byte| *byte == b'}') {
            let edited = self.chunk(piece, &cost);
            if border.is_none() {
                shown.extend_from_slice(edited.as_deref().unwrap_or(piece));
                border = self.element_border();
            }
        }
        shown.extend_from_slice(border.unwrap_or_default().as_bytes());
        (shown, border.is_some())
    }

    /// What must stand before an element of our own; `None` where none may stand.
    fn element_border(&self) -> Option<&'static str> {
        let is_place = self.is_open_array();
        self.scanner.before_added_element().filter(|_| is_place && !self.not_json)
    }

    /// An array of documents that has not ended, or nothing yet where such an array may come.
    #[must_use]
    pub fn is_open_array(&self) -> bool {
        let nothing_yet = self.scanner.before_added_element() == Some("[") && !self.not_json;
        let may_come = nothing_yet && self.reader.format().may_be_array();
        (may_come || self.reader.is_array()) && !self.scanner.is_complete()
    }

    /// An element of an array has passed the output bound, and it was not the end of the output.
    #[must_use]
    pub fn has_passed_bound(&self) -> bool {
        self.passed_bound
    }

    fn feed(&mut self, piece: &[u8]) {
        let begin = self.at;
        let seen = &mut self.reader.seen;
        seen.has_begun = seen.has_begun || !piece.trim_ascii().is_empty();
        self.at = begin.saturating_add(piece.len() as u64);
        if !self.not_json && self.scanner.feed(piece, begin, &mut self.reader).is_err() {
            self.not_json = true;
        }
    }

    /// In what form it comes.
    #[must_use]
    pub fn format(&self) -> AnswerFormat {
        self.reader.format()
    }

    /// What has been seen so far. Output bytes of a document that broke off are all its bytes,
    /// except where what came is known piece by piece, or where there is no output.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let seen = self.reader.seen;
        let complete = seen.complete && !self.not_json;
        let usage_is_final = self.reader.report_is_final(complete);
        let seen = Seen { complete, usage_is_final, ..seen };
        let is_known = complete || self.reader.is_array() && !self.not_json;
        if is_known || self.reader.format().is_embedding() || !seen.has_begun {
            seen
        } else {
            Seen { output_bytes: self.at, ..seen }
        }
    }
}

/// The member `cost_usd`, to stand before an object's closing brace.
pub(super) fn cost_member(is_first: bool, cost: NanoUsd) -> String {
    let comma = if is_first { "" } else { "," };
    format!("{comma}\"cost_usd\":{}", cost.to_usd())
}
