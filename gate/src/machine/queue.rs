//! Requests that need the same of the server at the same moment: its catalogue, a key, money of a key. A
//! few of them ask, and the others wait for what comes of it: a thousand requests that come at once would
//! otherwise be a thousand calls to the server, each for the money of one.

use wire::KeyDigest;

use super::Gate;
use super::housekeeping::ANSWER_MARGIN_MS;
use super::order::ascending;
use crate::exchange::{Open, Stage};
use crate::io::{CallId, Now, SharedMemory, StreamId};
use crate::policy_calls::Purpose;
use crate::user_key::NO_KEY;

/// Most asks for the same under way while others wait. What is asked for doubles with what is drawn, so
/// a few answers serve a thousand requests; at the end of a budget each answer is money for one call, and
/// so many get theirs with each tick.
const MOST_ASKS: usize = 16;
/// Most requests that are taken up in one go, at some ten microseconds each: the worker's other
/// requests wait meanwhile. The rest follows with the next tick.
const MOST_TAKEN_UP: usize = 64;

impl Gate {
    /// Whether a request is to wait for the answers to others. Whoever has waited for as long as a call
    /// may take asks for itself: nothing that goes wrong with others holds it up for longer.
    pub(super) fn waits_for_others(&self, open: &Open, purpose: Purpose, now: Now) -> bool {
        let busy =
            || asked_for(open, purpose).is_some_and(|what| self.asks_under_way(&what) >= MOST_ASKS);
        // A call made in the context of another request would end with that one.
        self.is_elsewhere
            || self.host.resumes_others && !self.has_waited_enough(open, now) && busy()
    }

    /// Puts a request at the end of the queue.
    pub(super) fn queue(&mut self, stream: StreamId, open: &mut Open, purpose: Purpose, now: Now) {
        open.queued_at_ms.get_or_insert(now.monotonic_ms);
        // Another one's event lets it go on.
        open.waited = true;
        let what = asked_for(open, purpose).unwrap_or(open.digest);
        if open.queued_for.replace(what).is_none() {
            self.queue.push(stream);
        }
    }

    /// Takes up the requests that can go on with what another one was answered. Those that must ask wait
    /// for the next tick, which is nobody's.
    pub(super) fn take_up_in_passing(&mut self, now: Now, memory: &mut dyn SharedMemory) {
        self.is_elsewhere = true;
        self.take_up_queued(now, memory);
        self.is_elsewhere = false;
    }

    /// Takes up the requests that need not wait any more, in their order, until one of them must: then
    /// those that wait for the same stay as well.
    pub(super) fn take_up_queued(&mut self, now: Now, memory: &mut dyn SharedMemory) {
        if self.queue.is_empty() {
            return;
        }
        let mut stay = Vec::new();
        let mut taken = 0;
        let mut busy: Option<KeyDigest> = None;
        for stream in std::mem::take(&mut self.queue) {
            let Some(Stage::Open(open)) = self.streams.get(&stream).map(|one| &one.stage) else {
                continue;
            };
            let Some(what) = open.queued_for else { continue };
            let has_waited = self.has_waited_enough(open, now) && !self.is_elsewhere;
            if taken >= MOST_TAKEN_UP || (busy == Some(what) && !has_waited) {
                stay.push(stream);
                continue;
            }
            if let Some(Stage::Open(open)) = self.stage(stream) {
                open.queued_for = None;
                // It counts as the first of its two tries, so that it takes no longer than without others.
                open.failures = open.failures.max(u8::from(has_waited));
            }
            taken += 1;
            self.advance(stream, now, memory);
            if self.queue.pop_if(|last| *last == stream).is_some() {
                busy = Some(what);
                stay.push(stream);
            }
            // The host calls nobody back for it.
            if self.is_decided(stream) {
                self.verdict_carried_out(stream, now);
            }
        }
        stay.append(&mut self.queue);
        self.queue = stay;
    }

    /// What the clock has asked for requests ends with the configuration under which it was asked, and
    /// nobody is told: a request must not wait for it for ever.
    pub(super) fn fail_lost_asks(&mut self, now: Now, memory: &mut dyn SharedMemory) {
        let Some(server) = self.config.server() else { return };
        let limit = server.timeout_ms.saturating_add(ANSWER_MARGIN_MS);
        let lost = self.calls.iter().filter(|(_, pending)| {
            pending.by_the_clock
                && now.monotonic_ms.saturating_sub(pending.sent.monotonic_ms) > limit
        });
        for id in ascending(lost.map(|(id, _)| id.0).collect()) {
            self.call_done(CallId(id), None, &[], now, memory);
        }
    }

    fn has_waited_enough(&self, open: &Open, now: Now) -> bool {
        let most = self.config.server().map_or(0, |server| server.timeout_ms);
        open.queued_at_ms.is_some_and(|since| now.monotonic_ms.saturating_sub(since) >= most)
    }

    /// Calls to the server that requests have made for this.
    fn asks_under_way(&self, what: &KeyDigest) -> usize {
        self.calls.values().filter(|call| call.asks_for.as_ref() == Some(what)).count()
    }
}

/// What a call is for, which others may need as well: a key and its money, or what all need.
pub(super) fn asked_for(open: &Open, purpose: Purpose) -> Option<KeyDigest> {
    match purpose {
        Purpose::Admit { .. } | Purpose::Lease => Some(open.digest),
        Purpose::Register | Purpose::Catalogue | Purpose::Changes => Some(NO_KEY),
        Purpose::Recheck(_)
        | Purpose::Ahead
        | Purpose::Report
        | Purpose::Usage
        | Purpose::UserKey => None,
    }
}
