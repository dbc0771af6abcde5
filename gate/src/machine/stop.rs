//! Running calls are ended before their time.

use std::collections::{BTreeMap, HashSet, VecDeque};

use wire::v1::{AdmitReply, AdmitRequest, KeyAnswer, KeyState, Level};
use wire::{KeyDigest, KeyId, NanoUsd};

use super::Gate;
use crate::exchange::{Reason, Running, Stage, StopStep};
use crate::io::{Now, Output, StreamId};
use crate::policy_calls::{Caller, Purpose};
use crate::refusal::Refusal;

/// Keys that are asked about in one tick; the rest waits for the next.
const RECHECKS_PER_TICK: usize = 20;
/// A failed question is asked again after this and up to as much again, in milliseconds.
const RECHECK_AGAIN_MS: u64 = 1_000;

/// Keys to be asked about, once each: never more than there are running calls.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    waiting: VecDeque<KeyDigest>,
    not_before_ms: u64,
}

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

    /// Nothing that is known of any key counts any more. News of a key may have been lost with it:
    /// where calls of it run, the server must be asked.
    pub(super) fn forget_keys(&mut self) {
        self.keys.clear();
        let mut running = BTreeMap::new();
        for (stream, exchange) in &self.streams {
            if let Stage::Running(call) = &exchange.stage
                && call.can_be_stopped()
            {
                running.insert(*stream, call.digest);
            }
        }
        let mut seen = HashSet::new();
        let each_once = running.into_values().filter(|digest| seen.insert(*digest));
        self.rechecks.waiting = each_once.collect();
    }

    pub(super) fn wants_rechecks(&self) -> bool {
        !self.rechecks.waiting.is_empty()
    }

    /// Asks the server about keys of running calls.
    pub(super) fn recheck(&mut self, now: Now) {
        if now.monotonic_ms < self.rechecks.not_before_ms {
            return;
        }
        let Some(session) = self.link.session.clone() else { return };
        for _ in 0..RECHECKS_PER_TICK {
            let Some(digest) = self.rechecks.waiting.pop_front() else { return };
            let id = self.pending(Purpose::Recheck(digest), None, now);
            let (holder, epoch) = (session.holder.clone(), session.epoch);
            let message = AdmitRequest { holder, epoch, digest, n: 0, ask: None, void: Vec::new() };
            let caller = Caller { server: &self.config.server, token: &self.token };
            let call = caller.post(id, None, "/proxy/v1/admit", &message);
            self.outputs.push_back(Output::Call(call));
        }
    }

    /// The server has answered. A digest that it does not know (any more) was that of a key that is
    /// deleted, or was rotated, perhaps before it was revoked: its calls end, since none of them may
    /// outlive a revocation, though after a mere rotation they could have gone on.
    pub(super) fn rechecked(&mut self, digest: KeyDigest, reply: AdmitReply) {
        if !self.is_current(reply.epoch, reply.revision) {
            return self.rechecks.waiting.push_back(digest);
        }
        match reply.key {
            KeyAnswer::Known(policy) => {
                self.key_is(&policy.key, policy.state);
                self.keys.learn(digest, Some(*policy));
            }
            KeyAnswer::Unknown => {
                self.keys.learn(digest, None);
                self.end_where(Reason::Revoked, |running| running.digest == digest);
            }
        }
    }

    /// Nothing is left of an account: calls that run on its money end.
    pub(super) fn is_exhausted(&mut self, level: Level, owner: &str) {
        self.end_where(Reason::Exhausted(level), |running| {
            let pays = running.drawn.as_ref().is_some_and(|(_, draw)| draw.amount > NanoUsd::ZERO);
            pays && running.policy.owner(level).as_deref() == Some(owner)
        });
    }

    fn end_where(&mut self, reason: Reason, which: impl Fn(&Running) -> bool) {
        for exchange in self.streams.values_mut() {
            if let Stage::Running(running) = &mut exchange.stage
                && which(running)
            {
                self.stops_asked |= running.ask_stop(reason);
            }
        }
    }

    pub(super) fn recheck_failed(&mut self, digest: KeyDigest, now_ms: u64) {
        let jitter = self.random.next() % RECHECK_AGAIN_MS;
        self.rechecks.not_before_ms = now_ms.saturating_add(RECHECK_AGAIN_MS + jitter);
        self.rechecks.waiting.push_back(digest);
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
    fn reply_to_running(&mut self, stream: StreamId, refusal: &Refusal) {
        let Some(exchange) = self.streams.get(&stream) else { return };
        let reply = refusal.reply(exchange.voice, exchange.request.as_str());
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
        if let Some(bytes) = passage.replaced {
            outputs.push_back(Output::ReplaceResponseBody { stream, bytes });
        }
        if passage.close {
            outputs.push_back(Output::CloseStream { stream });
        }
    }
}
