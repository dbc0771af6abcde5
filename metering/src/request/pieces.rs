//! A bound on what a body is made of. Its time goes by names, values and brackets much more than by
//! bytes: ten MiB of text are read in some milliseconds, ten MiB of members of one letter would hold a
//! worker of the proxy up, and all of its other requests, for a hundred times as long.

use crate::json::{Event, Sink};

/// Most names, values and brackets of one body. More than three times as many tokens as OpenAI takes
/// for embeddings in one request (300,000, each a number at worst), and as many messages as some
/// context of a million tokens could hold.
pub const MOST_PIECES: u64 = 1_000_000;

/// Bytes that are read before the pieces are looked at again.
pub(super) const PART: usize = 64 << 10;

/// A sink that counts what another one gets.
pub(super) struct Counted<'a, S> {
    sink: &'a mut S,
    pieces: u64,
}

impl<'a, S: Sink> Counted<'a, S> {
    pub(super) fn new(sink: &'a mut S) -> Self {
        Self { sink, pieces: 0 }
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.pieces > MOST_PIECES
    }
}

impl<S: Sink> Sink for Counted<'_, S> {
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

    fn passed_over(&mut self, events: u64) {
        self.pieces = self.pieces.saturating_add(events);
    }
}
