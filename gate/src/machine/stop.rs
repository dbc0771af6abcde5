//! Running calls are ended before their time.

use std::collections::VecDeque;

use wire::v1::{KeyState, Level};
use wire::{KeyId, NanoUsd};

use super::Gate;
use super::order::in_order;
use crate::exchange::{Reason, Running, Stage, StopStep};
use crate::io::{Now, Output, StreamId};
use crate::refusal::Refusal;

impl Gate {
    /// The server says in which state a key is: unless it may be used, its running calls end.
    pub(super) fn key_is(&mut self, key: &KeyId, state: KeyState) {
        if let Some(reason) = Reason::of(state) {
            self.end_where(reason, |running| running.policy.key == *key);
        }
    }

    /// Ends the calls of keys that have just been found to be unusable.
    pub(super) fn stop_if_asked(&mut self, now: Now) {
        if std::mem::take(&mut self.stops_asked) {
            self.stop_running(now);
        }
    }

    /// Nothing is left of an account: calls that run on its money end.
    pub(super) fn is_exhausted(&mut self, level: Level, owner: &str) {
        self.end_where(Reason::Exhausted(level), |running| {
            let pays = running.drawn.as_ref().is_some_and(|(_, draw)| draw.amount > NanoUsd::ZERO);
            pays && running.policy.owner(level).as_deref() == Some(owner)
        });
    }

    pub(super) fn end_where(&mut self, reason: Reason, which: impl Fn(&Running) -> bool) {
        for exchange in self.streams.values_mut() {
            if let Stage::Running(running) = &mut exchange.stage
                && which(running)
            {
                self.stops_asked |= running.ask_stop(reason);
            }
        }
    }

    /// Looks after every call that is to end or whose key has expired.
    pub(super) fn stop_running(&mut self, now: Now) {
        let mut ending = Vec::new();
        for (stream, exchange) in &mut self.streams {
            if let Stage::Running(running) = &mut exchange.stage {
                running.ask_stop_if_expired(now);
                if running.is_asked_to_stop() {
                    ending.push(*stream);
                }
            }
        }
        for stream in in_order(ending) {
            let Some(exchange) = self.streams.get_mut(&stream) else { continue };
            let Stage::Running(running) = &mut exchange.stage else { continue };
            match running.stop_step(now.monotonic_ms) {
                Some(StopStep::Reply(refusal)) => self.reply_to_running(stream, &refusal),
                Some(StopStep::Close) => self.outputs.push_back(Output::CloseStream { stream }),
                None => {}
            }
        }
    }

    /// The call goes on as a running one until the host says that it is over: it must be charged.
    fn reply_to_running(&mut self, stream: StreamId, refusal: &Refusal) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        let reply = refusal.reply(exchange.voice, exchange.request.as_str());
        if let Stage::Running(running) = &mut exchange.stage {
            running.status = reply.status;
        }
        self.outputs.push_back(Output::Reply { stream, reply });
    }

    /// A chunk of the answer.
    pub(super) fn answer_passes(
        outputs: &mut VecDeque<Output>,
        running: &mut Running,
        (stream, chunk, end): (StreamId, &[u8], bool),
        now: Now,
    ) {
        // Where nothing can be told in a chunk, the timer looks after it.
        if running.answer.may_change() {
            running.ask_stop_if_expired(now);
        }
        let passage = running.answer_passes(chunk, end, now.monotonic_ms);
        if let Some(bytes) = passage.replaced.filter(|_| running.writes_answer) {
            outputs.push_back(Output::ReplaceResponseBody { stream, bytes });
        }
        if passage.close {
            outputs.push_back(Output::CloseStream { stream });
        }
    }
}
