//! Call-outs are made and answered.

use serde::de::DeserializeOwned;
use wire::v1::{
    AdmitReply, AdmitRequest, Ask, Catalogue, ChangesReply, ExchangeReply, KeyAnswer, LeaseAnswer,
    LeaseReply, LeaseReport, LeaseRequest, RegisterReply, RegisterRequest, UsageReply,
};
use wire::{Epoch, LeaseId, NanoUsd, PROTOCOL_VERSION, Revision};

use super::queue::asked_for;
use super::{Gate, Pending};
use crate::catalogue::Models;
use crate::exchange::{Open, Stage};
use crate::io::{CallId, Now, Output, SharedMemory, StreamId};
use crate::key_cache::Known;
use crate::link::Sent;
use crate::policy_calls::{Answered, Caller, Purpose, read};
use crate::pool::{Said, Want};
use crate::refusal::Refusal;

/// How an answered call leaves the request that waited for it.
enum Effect {
    /// It may go on.
    GoOn,
    /// The call failed; it may be tried once more.
    Failed,
}

impl Gate {
    /// Makes the call that an open request needs and returns its number; none where nobody can be
    /// asked.
    pub(super) fn call_for(
        &mut self,
        stream: StreamId,
        open: &mut Open,
        purpose: Purpose,
        ask: Option<Box<Ask>>,
        now: Now,
    ) -> Option<CallId> {
        Caller::of(&self.config, self.token.as_ref())?;
        let id = self.pending(purpose, Some(stream), now);
        if let Some(pending) = self.calls.get_mut(&id) {
            pending.asks_for = asked_for(open, purpose);
            pending.by_the_clock = open.queued_at_ms.is_some();
        }
        if ask.is_some() {
            self.number_the_ask(open, ask.as_deref(), now);
        }
        let n = open.lease_number.unwrap_or(0);
        let applied = match purpose {
            Purpose::Changes => self.applied(now),
            _ => Revision(0),
        };
        let report = if purpose == Purpose::Report { self.report_due(now) } else { None };
        let caller = Caller::of(&self.config, self.token.as_ref())?;
        let at = Some(stream);
        let mut call = match (purpose, &self.link.session, ask) {
            (Purpose::Report, Some(_), _) if let Some(report) = &report => {
                caller.post(id, at, "/proxy/v1/reports", report)
            }
            (Purpose::Catalogue, Some(session), _) => caller.catalogue(id, at, session),
            (Purpose::Changes, Some(session), _) => caller.changes(id, at, session, (applied, 0)),
            (Purpose::Usage, Some(session), _) => {
                Self::usage_call(&caller, (id, at), open, session)
            }
            (Purpose::UserKey, Some(session), _) => {
                self.user_key_call(&caller, (id, at), open, session)
            }
            (Purpose::Admit { .. }, Some(session), ask) => {
                let message = AdmitRequest {
                    holder: session.holder.clone(),
                    epoch: session.epoch,
                    digest: open.digest,
                    n,
                    ask: ask.map(|ask| *ask),
                    void: Vec::new(),
                };
                caller.post(id, at, "/proxy/v1/admit", &message)
            }
            (Purpose::Lease, Some(session), Some(ask)) => {
                let key = match self.keys.get(&open.digest) {
                    Some(Known::Key(policy)) => Some(policy.key.clone()),
                    Some(Known::NoKey) | None => None,
                };
                match key {
                    Some(key) => {
                        let want = open.want;
                        let message = LeaseRequest {
                            holder: session.holder.clone(),
                            epoch: session.epoch,
                            key,
                            n,
                            ask: *ask,
                            want: want.money,
                            want_permits: want.permits,
                            void: Vec::new(),
                        };
                        caller.post(id, at, "/proxy/v1/leases", &message)
                    }
                    None => self.register_call(&caller, id, at),
                }
            }
            _ => self.register_call(&caller, id, at),
        };
        if let Some(parent) = open.trace_parent {
            call.headers.push(("traceparent", parent.to_text()));
        }
        self.outputs.push_back(Output::Call(call));
        Some(id)
    }

    /// The same ask keeps its number, unless it was taken before a change; another one gets a new
    /// one.
    fn number_the_ask(&mut self, open: &mut Open, ask: Option<&Ask>, now: Now) {
        if open.lease_number.is_some() && !open.ask_is_stale && open.asked.as_deref() == ask {
            return;
        }
        if open.ask_is_open {
            self.disclaim(open);
            open.ask_is_open = false;
        }
        self.next_lease += 1;
        open.ask_is_stale = false;
        open.lease_number = Some(self.next_lease);
        open.asked = ask.cloned().map(Box::new);
        open.want = match self.keys.get(&open.digest) {
            // The server adds what this call needs.
            Some(Known::Key(policy)) => {
                self.pool.want(&policy.key, NanoUsd::ZERO, now.monotonic_ms)
            }
            Some(Known::NoKey) | None => Want::default(),
        };
    }

    fn register_call(
        &self,
        caller: &Caller<'_>,
        id: CallId,
        stream: Option<StreamId>,
    ) -> crate::io::Call {
        let message = RegisterRequest {
            protocol: PROTOCOL_VERSION,
            nonce: self.link.nonce,
            plugin: self.config.name.clone(),
            without_push: !self.host.timers,
            count_windows_below: self.host.counted_at_server_below(),
        };
        caller.post(id, stream, "/proxy/v1/holders", &message)
    }

    /// Registers without a request that asks for it.
    pub(super) fn register_own(&mut self, now: Now) {
        let id = self.pending(Purpose::Register, None, now);
        self.link.poll_sent(id, now.monotonic_ms);
        if let Some(caller) = Caller::of(&self.config, self.token.as_ref()) {
            let call = self.register_call(&caller, id, None);
            self.outputs.push_back(Output::Call(call));
        }
    }

    /// Makes one of the VM's own calls.
    pub(super) fn call_own(&mut self, purpose: Purpose, now: Now) {
        let Some(session) = self.link.session.clone() else { return };
        let id = self.pending(purpose, None, now);
        let wait_ms = self.link.poll_wait_ms();
        let applied = session.revision;
        let Some(caller) = Caller::of(&self.config, self.token.as_ref()) else { return };
        let call = match purpose {
            Purpose::Changes => {
                self.link.poll_sent(id, now.monotonic_ms);
                caller.changes(id, None, &session, (applied, wait_ms))
            }
            _ => caller.catalogue(id, None, &session),
        };
        self.outputs.push_back(Output::Call(call));
    }

    pub(super) fn pending(
        &mut self,
        purpose: Purpose,
        stream: Option<StreamId>,
        now: Now,
    ) -> CallId {
        self.next_call += 1;
        let id = CallId(self.next_call);
        let nonce = self.link.nonce;
        let (sent, sent_us) = (Sent::at(now), now.monotonic_us());
        let (asks_for, by_the_clock) = (None, false);
        let pending = Pending { purpose, stream, sent, sent_us, asks_for, by_the_clock, nonce };
        self.calls.insert(id, pending);
        id
    }

    /// A call has been answered or has failed.
    pub(super) fn call_done(
        &mut self,
        call: CallId,
        status: Option<u16>,
        body: &[u8],
        now: Now,
        memory: &mut dyn SharedMemory,
    ) {
        let Some(pending) = self.calls.remove(&call) else { return };
        self.count_callout(&pending, status, now);
        if status == Some(401) {
            self.complain_of_token(now);
        }
        let is_ours = pending.nonce == self.link.nonce || pending.purpose == Purpose::Report;
        let status = status.filter(|_| is_ours);
        let Some(stream) = pending.stream else {
            return self.own_call_done(call, pending, status, body, now);
        };
        let Some(Stage::Open(open)) = self.stage(stream) else { return };
        open.waits_for = None;
        let Some(Stage::Open(mut open)) =
            self.stage(stream).map(|stage| std::mem::replace(stage, Stage::Answered))
        else {
            return;
        };
        open.waited = true;
        let was_queued = open.queued_at_ms.is_some();
        let reporter = self.reporter();
        let effect = self.learn(&mut open, pending, status, body, now);
        if self.link.session.is_none() {
            // An earlier copy of its ask may be granted to the holder that is no more.
            if let Some(n) = open.lease_number.filter(|_| open.ask_is_open) {
                self.outbox.void(reporter, n);
            }
            open.granted = None;
            self.ask_is_over(&mut open);
        }
        match effect {
            Effect::GoOn => self.link.server_answers(now.monotonic_ms),
            // What is known is good for a while longer.
            Effect::Failed
                if pending.purpose == Purpose::Changes && self.link.usable(now).is_some() =>
            {
                let jitter = self.random.next();
                self.link.poll_failed(now.monotonic_ms, jitter);
            }
            Effect::Failed => {
                open.failures += 1;
                // It may be on its way all the same, and be granted after all.
                open.ask_is_open |= pending.purpose.asks();
            }
        }
        // Where nothing may be in the way, nobody waits for a second try.
        let in_shadow = self.streams.get(&stream).is_some_and(|exchange| exchange.in_shadow);
        let hopeless = open.failures > u8::from(!in_shadow);
        if hopeless {
            self.abandon(&open, now);
            return self.refuse(stream, Some(open), &Refusal::PolicyUnavailable, now);
        }
        if let Some(stage) = self.stage(stream) {
            *stage = Stage::Open(open);
        }
        self.advance(stream, now, memory);
        // A call that was made by the clock is answered there, and nobody calls back for its request.
        if was_queued && self.is_decided(stream) {
            self.verdict_carried_out(stream, now);
        }
    }

    /// Not more often than once a second: clients decide how many calls there are.
    fn complain_of_token(&mut self, now: Now) {
        let since = self.token_complaint_ms.map(|at| now.monotonic_ms.saturating_sub(at));
        if since.is_none_or(|since| since >= 1_000) {
            self.token_complaint_ms = Some(now.monotonic_ms);
            log::error!("the policy server refuses this filter's token (TOLLGATE_FILTER_TOKEN)");
        }
    }

    fn learn(
        &mut self,
        open: &mut Open,
        pending: Pending,
        status: Option<u16>,
        body: &[u8],
        now: Now,
    ) -> Effect {
        match pending.purpose {
            Purpose::Register => self.read_or(status, body, now, |gate, reply: RegisterReply| {
                gate.registered(reply, pending.sent, now);
            }),
            Purpose::Catalogue => self.read_or(status, body, now, Self::take_catalogue),
            Purpose::Changes => self.read_or(status, body, now, |gate, reply: ChangesReply| {
                gate.apply(&reply, pending.sent, now);
            }),
            Purpose::Admit { asks } => {
                self.read_or(status, body, now, |gate, reply: AdmitReply| {
                    if !gate.is_current(reply.epoch, reply.revision) {
                        open.ask_is_open |= asks;
                        return;
                    }
                    let policy = match reply.key {
                        KeyAnswer::Known(policy) => {
                            // News of it may have been lost in a change that spoke of all keys.
                            gate.key_is(&policy.key, policy.state);
                            Some(gate.localized(*policy))
                        }
                        KeyAnswer::Unknown => None,
                    };
                    gate.keys.learn(open.digest, policy);
                    if asks {
                        gate.take_lease(open, reply.lease, now);
                    }
                })
            }
            Purpose::Lease => self.read_or(status, body, now, |gate, reply: LeaseReply| {
                if gate.is_current(reply.epoch, reply.revision) {
                    if reply.answer == LeaseAnswer::NotNeeded {
                        // No level has a budget any more: what we know of the key is too old.
                        gate.keys.forget(&open.digest);
                    }
                    gate.take_lease(open, reply.answer, now);
                } else {
                    open.ask_is_open = true;
                }
            }),
            Purpose::Usage => self.read_or(status, body, now, |gate, reply: UsageReply| {
                gate.take_usage(open, reply);
            }),
            Purpose::UserKey => self.read_or(status, body, now, |gate, reply: ExchangeReply| {
                gate.take_user_key(open, reply);
            }),
            Purpose::Report => {
                self.report_answered(status, body, now);
                Effect::GoOn
            }
            Purpose::Ahead | Purpose::Recheck(_) => Effect::GoOn,
        }
    }

    fn take_lease(&mut self, open: &mut Open, answer: LeaseAnswer, now: Now) {
        match answer {
            LeaseAnswer::Granted(_) if open.ask_is_stale => open.ask_is_open = true,
            LeaseAnswer::Granted(grant) => {
                let asked = open.asked.take();
                self.ask_is_over(open);
                let known = self.keys.get(&open.digest);
                match (known, asked) {
                    (Some(Known::Key(policy)), Some(asked)) => {
                        open.granted = Some((policy.key.clone(), grant.lease.clone()));
                        let now_ms = now.monotonic_ms;
                        let said = self.pool.add(&policy, &grant, &asked, false, now_ms);
                        self.say(said);
                    }
                    _ => self.return_grant(grant.lease),
                }
            }
            LeaseAnswer::Refused(why) => self.take_refusal(open, Some(why)),
            LeaseAnswer::NotNeeded => self.take_refusal(open, None),
        }
    }

    /// Hands back a grant that nobody can use.
    fn return_grant(&mut self, lease: LeaseId) {
        let report = LeaseReport {
            lease,
            spent: NanoUsd::ZERO,
            floor: None,
            is_final: true,
            permits_used: 0,
            permit_age_ms: 0,
        };
        self.say(Some(Said { report, is_urgent: true }));
    }

    fn read_or<T: DeserializeOwned>(
        &mut self,
        status: Option<u16>,
        body: &[u8],
        now: Now,
        take: impl FnOnce(&mut Self, T),
    ) -> Effect {
        match read(status, body) {
            Answered::Ok(message) => {
                take(self, message);
                Effect::GoOn
            }
            Answered::HolderLost => {
                self.lose_holder(now);
                Effect::GoOn
            }
            Answered::Failed => Effect::Failed,
        }
    }

    /// Whether a reply is as new as what has been applied. An older one may hold a key that has
    /// been revoked since: it is discarded and asked for again.
    pub(super) fn is_current(&self, epoch: Epoch, revision: Revision) -> bool {
        let known = self.link.session.as_ref();
        known.is_some_and(|session| session.epoch == epoch && revision >= session.revision)
    }

    fn registered(&mut self, reply: RegisterReply, sent: Sent, now: Now) {
        let epoch = self.link.session.as_ref().map(|session| session.epoch);
        let is_other = epoch != Some(reply.epoch);
        self.link.registered(reply, sent);
        if is_other {
            self.forget_keys(Revision(0), now);
            self.models = None;
        }
    }

    fn take_catalogue(&mut self, catalogue: Catalogue) {
        if self.is_current(catalogue.epoch, catalogue.revision) {
            self.models = Some(std::rc::Rc::new(Models::new(catalogue)));
        }
    }

    fn own_call_done(
        &mut self,
        call: CallId,
        pending: Pending,
        status: Option<u16>,
        body: &[u8],
        now: Now,
    ) {
        let now_ms = now.monotonic_ms;
        let polls = matches!(pending.purpose, Purpose::Changes | Purpose::Register);
        if polls && !self.link.is_current(call) {
            // Two polls side by side would each be followed by another, for ever.
            return;
        }
        match pending.purpose {
            Purpose::Report => {
                if self.report_answered(status, body, now) {
                    self.report(now);
                }
            }
            Purpose::Changes => match read::<ChangesReply>(status, body) {
                Answered::Ok(reply) => {
                    self.link.poll_answered();
                    self.apply(&reply, pending.sent, now);
                    // What is recalled goes back before this poll says that it has.
                    self.report(now);
                    if self.link.session.is_some() && self.models.is_none() {
                        self.call_own(Purpose::Catalogue, now);
                    }
                    self.recheck(now);
                    // At once: this poll tells the server that the changes are applied.
                    self.poll(now);
                }
                Answered::HolderLost => self.lose_holder(now),
                Answered::Failed => {
                    let jitter = self.random.next();
                    self.link.poll_failed(now_ms, jitter);
                }
            },
            Purpose::Catalogue => {
                if let Answered::Ok(catalogue) = read(status, body) {
                    self.take_catalogue(catalogue);
                }
            }
            Purpose::Register => match read::<RegisterReply>(status, body) {
                Answered::Ok(reply) => {
                    self.link.poll_answered();
                    self.registered(reply, pending.sent, now);
                }
                Answered::HolderLost | Answered::Failed => {
                    let jitter = self.random.next();
                    self.link.poll_failed(now_ms, jitter);
                }
            },
            Purpose::Ahead => self.ahead_answered(call, status, body, now),
            Purpose::Recheck(digest) => match read::<AdmitReply>(status, body) {
                Answered::Ok(reply) => self.rechecked(digest, reply, now),
                Answered::HolderLost => self.lose_holder(now),
                Answered::Failed => self.recheck_failed(digest, now_ms),
            },
            Purpose::Admit { .. } | Purpose::Lease | Purpose::Usage | Purpose::UserKey => {}
        }
    }
}
