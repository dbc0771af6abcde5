//! The body of a request comes in.

use super::Gate;
use crate::exchange::{Body, Stage};
use crate::io::{Now, Output, SharedMemory, StreamId};

impl Gate {
    /// Bytes of the request body that have been read, so that [`RequestBodyPart`] shows those behind
    /// them; more than there can be where no further ones matter. None where the body is to be shown
    /// as a whole, by [`RequestBody`].
    ///
    /// [`RequestBodyPart`]: crate::Input::RequestBodyPart
    /// [`RequestBody`]: crate::Input::RequestBody
    #[must_use]
    pub fn body_read(&self, stream: StreamId) -> Option<usize> {
        match self.streams.get(&stream).map(|exchange| &exchange.stage) {
            Some(Stage::Open(open)) if self.host.shows_bodies_in_parts => open.body_read(),
            _ => None,
        }
    }

    /// The body has ended with what was shown of it.
    pub(super) fn body_ends(&mut self, stream: StreamId, now: Now, memory: &mut dyn SharedMemory) {
        if let Some(Stage::Open(open)) = self.stage(stream) {
            open.body_ends();
            self.body_is_there(stream, now, memory);
        }
    }

    /// All of the body is shown at once.
    pub(super) fn whole_body(
        &mut self,
        stream: StreamId,
        body: &[u8],
        now: Now,
        memory: &mut dyn SharedMemory,
    ) {
        let most = self.config.body_bytes;
        self.more_of_the_request(stream, now);
        if let Some(Stage::Open(open)) = self.stage(stream) {
            open.body_complete(body, most);
            self.body_is_there(stream, now, memory);
        }
    }

    fn body_is_there(&mut self, stream: StreamId, now: Now, memory: &mut dyn SharedMemory) {
        let holds_for_body = self.host.holds_for_body;
        if let Some(Stage::Open(open)) = self.stage(stream) {
            // What it waited for before is over.
            open.waited &= holds_for_body;
        }
        self.advance(stream, now, memory);
    }

    /// More of the body is buffered; `part` is what was not read of it yet, where it is shown in parts.
    pub(super) fn body_grows(
        &mut self,
        stream: StreamId,
        (part, size, end): (&[u8], usize, bool),
        now: Now,
        memory: &mut dyn SharedMemory,
    ) {
        let most = self.config.body_bytes;
        self.more_of_the_request(stream, now);
        let Some(Stage::Open(open)) = self.stage(stream) else { return };
        let too_large_now = open.body_part(part, size, most);
        // What is there as a whole takes no more room, and may go on yet where nothing is refused.
        let is_to_go = matches!(open.body, Body::TooLarge) && (!end || open.body_is_dropped);
        if is_to_go && !self.is_large_body_let_through(stream, now) {
            if let Some(Stage::Open(open)) = self.stage(stream) {
                open.body_is_dropped = true;
            }
            self.outputs.push_back(Output::DropRequestBody { stream });
        }
        if too_large_now && self.let_large_body_pass(stream, now) {
            return;
        }
        if too_large_now {
            self.advance(stream, now, memory);
        }
    }
}
