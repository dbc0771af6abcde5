//! What is counted and logged of requests, calls and the VM itself.

use metering::charge::Outcome as Ended;
use wire::RequestId;
use wire::v1::{Basis, CallRecord};

use super::{Gate, Pending};
use crate::exchange::{Open, Reason, Running, Stage};
use crate::io::{Now, Output, StreamId};
use crate::key_cache::Known;
use crate::observation::log_fields;
use crate::observation::metric::{Metric, Outcome, WithoutUsage};
use crate::observation::{Decision, Levels, Notes, Observation};

impl Gate {
    /// Whether the request has its verdict, whichever it is.
    #[must_use]
    pub fn is_decided(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|exchange| exchange.notes.decision.is_some())
    }

    /// More of a request has come: until then no verdict could be given.
    pub(super) fn more_of_the_request(&mut self, stream: StreamId, now: Now) {
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.notes.ready(now);
        }
    }

    /// The verdict on a request is this.
    pub(super) fn decide_as(&mut self, stream: StreamId, decision: Decision) {
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.notes.decision = Some(decision);
        }
    }

    /// Whose request it is and which model it asks for, as far as that is known.
    pub(super) fn note_whose(&mut self, stream: StreamId, open: &Open) {
        let policy = match self.known(&open.digest) {
            Some(Known::Key(policy)) => Some(policy),
            Some(Known::NoKey) | None => None,
        };
        let models = self.catalogue();
        let model = open.model().and_then(|name| Some(models.as_ref()?.find(name)?.name.clone()));
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.notes.policy = policy;
            exchange.notes.model = model;
        }
    }

    /// The verdict has been carried out, and may have become another while it was.
    pub(super) fn verdict_carried_out(&mut self, stream: StreamId, now: Now) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        let notes = &mut exchange.notes;
        if notes.is_counted || notes.decision.is_none() {
            return;
        }
        let value = notes.carried_out(now);
        Self::count_in(&mut self.meters, notes);
        let metric = Metric::ADDED;
        self.outputs.push_back(Output::Observe(Observation::Sample { metric, value }));
    }

    /// Counts the verdict on a request, unless that was done.
    pub(super) fn count_decision(&mut self, notes: &mut Notes) {
        Self::count_in(&mut self.meters, notes);
    }

    fn count_in(meters: &mut crate::observation::Meters, notes: &mut Notes) {
        if !std::mem::replace(&mut notes.is_counted, true) {
            let decision = notes.decision.unwrap_or(Decision::ABANDONED);
            if notes.in_shadow {
                meters.count(Metric::shadow(decision.index()));
            }
            let decision = if notes.in_shadow { Decision::ALLOWED } else { decision };
            meters.count(Metric::decision(decision.index()));
        }
    }

    /// What the access log says of a request that ends now.
    pub(super) fn log_fields(
        &mut self,
        stream: StreamId,
        request: &RequestId,
        notes: &Notes,
        record: Option<&CallRecord>,
    ) {
        let text = log_fields::fields(request, notes, record);
        self.outputs.push_back(Output::Observe(Observation::LogFields { stream, text }));
    }

    /// A call of a model has ended.
    pub(super) fn count_call(&mut self, running: &Running, record: &CallRecord) {
        let basis = match record.basis {
            Basis::Measured => 0,
            Basis::Estimated => 1,
            Basis::Refunded => 2,
        };
        self.meters.count(Metric::call(basis));
        if record.basis != Basis::Refunded {
            self.meters.add(Metric::charged(basis), record.cost.0);
        }
        if record.basis == Basis::Estimated {
            let reason = match running.answer.outcome() {
                Ended::NoAnswer | Ended::Failed => WithoutUsage::NoAnswer,
                Ended::Unreadable => WithoutUsage::Unreadable,
                Ended::Answered(seen) if seen.complete => WithoutUsage::Missing,
                Ended::Answered(_) => WithoutUsage::Cut,
            };
            self.meters.count(Metric::without_usage(reason));
        }
        if let Some(reason) = running.stop.reason() {
            self.meters.count(Metric::ended(place(reason)));
        }
    }

    /// A call to the policy server was answered, or nobody answered it.
    pub(super) fn count_callout(&mut self, pending: &Pending, status: Option<u16>, now: Now) {
        let outcome = Outcome::of(status);
        self.meters.count(Metric::callout(pending.purpose.place(), outcome));
        let Some(stream) = pending.stream else { return };
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.notes.callouts = exchange.notes.callouts.saturating_add(1);
        }
        let value = now.monotonic_us().saturating_sub(pending.sent_us);
        let metric = Metric::CALLOUT;
        self.outputs.push_back(Output::Observe(Observation::Sample { metric, value }));
    }

    /// Tells the proxy's statistics what has changed.
    pub(super) fn tell_meters(&mut self, now: Now) {
        let running = |stage: &Stage| matches!(stage, Stage::Running(_));
        let levels = Levels {
            is_usable: self.may_use_what_it_knows(now),
            leases: self.pool.leases(),
            money: self.pool.money_held().0,
            asks_ahead: count(self.aheads.len()),
            records: count(self.outbox.records()),
            running: count(self.streams.values().filter(|one| running(&one.stage)).count()),
        };
        let told = self.meters.tell(levels, now.monotonic_ms);
        self.outputs.extend(told.into_iter().map(Output::Observe));
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Its place among the reasons that are counted.
fn place(reason: Reason) -> usize {
    match reason {
        Reason::Revoked => 0,
        Reason::Disabled => 1,
        Reason::Expired => 2,
        Reason::OutputBound => 3,
        Reason::Exhausted(_) => 4,
        Reason::InDoubt => 5,
    }
}
