//! Running calls are ended before their time.

use wire::KeyId;
use wire::v1::KeyState;

use super::Gate;
use crate::exchange::{Reason, Running, Stage, StopStep};
use crate::io::{Now, Output, StreamId};

impl Gate {
    /// The server says in which state a key is: unless it may be used, its running calls end.
    pub(super) fn key_is(&mut self, key: &KeyId, state: KeyState) {
        let Some(reason) = Reason::of(state) else { return };
        for exchange in self.streams.values_mut() {
            if let Stage::Running(running) = &mut exchange.stage
                && running.policy.key == *key
            {
                self.stops_asked |= running.ask_stop(reason);
            }
        }
    }

    /// Ends the calls of keys that have just been found to be unusable.
    pub(super) fn stop_if_asked(&mut self, now: Now) {
        if std::mem::take(&mut self.stops_asked) {
            self.stop_running(now);
        }
    }

    /// Looks after every call that is to end or whose key has expired.
    pub(super) fn stop_running(&mut self, now: Now) {
        let mut steps: Vec<(StreamId, StopStep)> = Vec::new();
        for (stream, exchange) in &mut self.streams {
            if let Stage::Running(running) = &mut exchange.stage {
                running.ask_stop_if_expired(now);
                steps.extend(running.stop_step(now.monotonic_ms).map(|step| (*stream, step)));
            }
        }
        // The map has no order, what happens must have one.
        steps.sort_by_key(|(stream, _)| *stream);
        for (stream, step) in steps {
            match step {
                StopStep::Reply(refusal) => self.reply_to_running(stream, &refusal),
                StopStep::Close => self.outputs.push_back(Output::CloseStream { stream }),
            }
        }
    }

    /// The call goes on as a running one until the host says that it is over: it must be charged.
    fn reply_to_running(&mut self, stream: StreamId, refusal: &crate::refusal::Refusal) {
        let Some(exchange) = self.streams.get(&stream) else { return };
        let reply = refusal.reply(exchange.request.as_str());
        self.outputs.push_back(Output::Reply { stream, reply });
    }

    /// A chunk of a streamed answer.
    pub(super) fn stream_passes(
        outputs: &mut std::collections::VecDeque<Output>,
        running: &mut Running,
        (stream, chunk, end): (StreamId, &[u8], bool),
        now: Now,
    ) {
        running.ask_stop_if_expired(now);
        let passage = running.stream_passes(chunk, end, now.monotonic_ms);
        if let Some(bytes) = passage.replaced {
            outputs.push_back(Output::ReplaceResponseBody { stream, bytes });
        }
        if passage.close {
            outputs.push_back(Output::CloseStream { stream });
        }
    }
}
