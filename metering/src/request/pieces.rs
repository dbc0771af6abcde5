//! A bound on what a body is made of. Its time goes by names, values and brackets much more than by
//! bytes: ten MiB of text are read in some milliseconds, ten MiB of members of one letter would hold a
//! worker of the proxy up, and all of its other requests, for a hundred times as long.

use crate::json::{Event, Sink};

/// Most names, values and brackets of one body. A third more than the tokens that OpenAI takes for
/// embeddings in one request (300,000, each a number at worst), and some 30,000 messages, each a text in a
/// list of parts, with which a context of a million tokens would leave 30 for each. The dearest of them,
/// members of names that no API has, take a worker a fifth of a second.
pub const MOST_PIECES: u64 = 400_000;

/// Bytes after which the pieces are looked at again, wherever the chunks end in which a body comes.
pub(super) const PART: usize = 64 << 10;

/// A sink that counts what another one gets.
pub(super) struct Counted<S> {
    pub(super) sink: S,
    pieces: u64,
}

impl<S: Sink> Counted<S> {
    pub(super) fn new(sink: S) -> Self {
        Self { sink, pieces: 0 }
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.pieces > MOST_PIECES
    }
}

impl<S: Sink> Sink for Counted<S> {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        self.pieces = self.pieces.saturating_add(1);
        self.sink.event(event, depth, start, end);
    }

    fn wants_string(&self, depth: usize) -> bool {
        self.sink.wants_string(depth)
    }

    fn passes_over(&self, depth: usize) -> bool {
        self.sink.passes_over(depth)
    }

    fn counts_numbers(&self) -> bool {
        self.sink.counts_numbers()
    }

    fn counted(&mut self, numbers: u64) {
        self.pieces = self.pieces.saturating_add(numbers);
        self.sink.counted(numbers);
    }

    fn passed_over(&mut self, events: u64) {
        self.pieces = self.pieces.saturating_add(events);
    }
}
