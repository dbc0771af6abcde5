//! What the VM does by the clock: polls, reports, windows that could not be left, signs of life.

use metering::window::CLAIM_TTL_MS;

use super::Gate;
use super::order::{ascending, in_order};
use crate::exchange::{Exchange, Stage};
use crate::io::{CallId, Now, Output, SharedMemory};
use crate::link::{POLL_MARGIN_MS, POLL_WAIT_MS};
use crate::policy_calls::{Caller, Purpose};
use crate::windows::{self, Group};

/// How often the VM repeats that its calls still run: three times before they would be forgotten.
const TOUCH_EVERY_MS: u64 = CLAIM_TTL_MS / 3;
/// Running calls of which that is said in one tick: with ten thousand of as many keys it would else hold
/// all other requests of the worker up. They all have their turn within seconds.
const TOUCHED_PER_TICK: usize = 200;
/// Calls whose place in a window is given back in one tick; the rest waits for the next.
const UNFINISHED_PER_TICK: usize = 100;
/// A report or a question about a key that was not answered by then counts as lost.
pub(super) const ANSWER_MARGIN_MS: u64 = 1_000;
/// No host keeps a call of the VM itself for longer: the longest poll and its margins fit in twice.
const LONGEST_CALL_MS: u64 = 2 * (POLL_WAIT_MS + 2 * POLL_MARGIN_MS);

impl Gate {
    pub(super) fn tick(&mut self, now: Now, memory: &mut dyn SharedMemory) {
        self.stop_running(now);
        self.forget_lost_calls(now);
        self.fail_lost_asks(now, memory);
        self.take_up_queued(now, memory);
        if self.link.poll_is_due(now.monotonic_ms) {
            self.poll(now);
            self.stop_if_asked(now);
        }
        // What waits to be reported or to be ended must not wait for the next request.
        if (!self.outbox.is_empty() || self.wants_rechecks())
            && self.link.registration_is_due(now.monotonic_ms)
        {
            self.register_own(now);
        }
        self.recheck(now);
        let said = self.pool.idle(now.monotonic_ms);
        self.say(said);
        self.ask_ahead(now);
        self.report(now);
        self.look_after(now, memory);
    }

    /// Windows that could not be left, and signs of life of those that are in use.
    pub(super) fn look_after(&mut self, now: Now, memory: &mut dyn SharedMemory) {
        for _ in 0..self.unfinished.len().min(UNFINISHED_PER_TICK) {
            if let Some(call) = self.unfinished.pop_front() {
                self.leave_windows(call, now, memory);
            }
        }
        if self.meters.is_due(now.monotonic_ms) {
            self.tell_meters(now);
        }
        if now.monotonic_ms >= self.touch_at_ms {
            self.touch_at_ms = now.monotonic_ms.saturating_add(TOUCH_EVERY_MS);
            let is_running = |exchange: &Exchange| matches!(exchange.stage, Stage::Running(_));
            let running = self.streams.iter().filter(|(_, exchange)| is_running(exchange));
            self.to_touch = in_order(running.map(|(stream, _)| *stream).collect());
        }
        if !self.to_touch.is_empty() {
            let groups = self.groups_to_touch();
            windows::touch(memory, &groups, self.vm, now.monotonic_ms);
        }
    }

    /// What the next calls are counted under whose signs of life are due.
    fn groups_to_touch(&mut self) -> Vec<Group> {
        let rest = self.to_touch.len().saturating_sub(TOUCHED_PER_TICK);
        let mut groups: Vec<Group> = Vec::new();
        for stream in self.to_touch.split_off(rest) {
            if let Some(Stage::Running(running)) = self.streams.get(&stream).map(|one| &one.stage) {
                for group in &running.groups {
                    if !groups.contains(group) {
                        groups.push(group.clone());
                    }
                }
            }
        }
        groups
    }

    pub(super) fn report(&mut self, now: Now) {
        let Some(message) = self.report_due(now) else { return };
        let id = self.pending(Purpose::Report, None, now);
        if let Some(caller) = Caller::of(&self.config, self.token.as_ref()) {
            let call = caller.post(id, None, "/proxy/v1/reports", &message);
            self.outputs.push_back(Output::Call(call));
        }
    }

    /// The host answers every call, unless the root context that made it is gone.
    pub(super) fn forget_lost_calls(&mut self, now: Now) {
        let Some(server) = self.config.server() else { return };
        let limit = server.timeout_ms.saturating_add(ANSWER_MARGIN_MS);
        let lost = self.calls.iter().filter(|(_, pending)| {
            // One that rides on a request is answered, or ends with it: the request waits for it.
            pending.stream.is_none()
                && matches!(pending.purpose, Purpose::Report | Purpose::Recheck(_))
                && now.monotonic_ms.saturating_sub(pending.sent.monotonic_ms) > limit
        });
        for id in ascending(lost.map(|(id, _)| id.0).collect()) {
            let Some(pending) = self.calls.remove(&CallId(id)) else { continue };
            if let Purpose::Recheck(digest) = pending.purpose {
                self.recheck_failed(digest, now.monotonic_ms);
            } else {
                let jitter = self.random.next();
                self.outbox.failed(now.monotonic_ms, jitter);
            }
        }
        self.calls.retain(|_, pending| {
            pending.stream.is_some()
                || now.monotonic_ms.saturating_sub(pending.sent.monotonic_ms) < LONGEST_CALL_MS
        });
        self.forget_lost_aheads(now);
    }
}
