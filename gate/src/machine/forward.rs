//! From a verdict to what the upstream gets.

use std::rc::Rc;

use metering::request::{Edits, WrittenLimit, edited_length};
use wire::v1::{Ask, Refusal as LeaseRefusal};
use wire::{Metadata, NanoUsd, RequestId};

use super::{Gate, Unfinished};
use crate::exchange::{
    Body, Forward, Knowledge, Open, Running, Stage, Verdict, Writing, ask, check_key, decide,
};
use crate::host_abilities::BodyWriting;
use crate::io::{Now, Output, SharedMemory, StreamId};
use crate::key_cache::Known;
use crate::model_list;
use crate::observation::Decision;
use crate::policy_calls::Purpose;
use crate::profile::Voice;
use crate::refusal::Refusal;
use crate::repetition;
use crate::route::{OpenTo, Target};
use crate::user_key::{LONGEST_BODY, NO_KEY};
use crate::windows;

/// What an open request does next.
pub(super) enum Step {
    Wait,
    Call(Purpose, Option<Box<Ask>>),
    Reply(crate::io::Reply),
    Refuse(Refusal),
    Forward(Box<Forward>),
}

impl Gate {
    /// Takes an open request as far as it can go now.
    pub(super) fn advance(&mut self, stream: StreamId, now: Now, memory: &mut dyn SharedMemory) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        let (voice, request) = (exchange.voice, exchange.request.clone());
        let in_shadow = exchange.in_shadow;
        let Stage::Open(open) = &mut exchange.stage else { return };
        if open.waits_for.is_some() {
            return;
        }
        let Stage::Open(mut open) = std::mem::replace(&mut exchange.stage, Stage::Answered) else {
            return;
        };
        let errand = self.errand(&mut open, now).map(|purpose| Step::Call(purpose, None));
        let step = match errand {
            Some(errand) => errand,
            None => self.step(&open, (voice, &request, in_shadow), now, memory),
        };
        match step {
            Step::Wait => self.put_back(stream, open),
            Step::Call(..) if open.calls_left == 0 => {
                self.abandon(&open, now);
                self.refuse(stream, Some(open), &Refusal::PolicyUnavailable, now);
            }
            // Where nothing may be in the way, nobody waits for others besides.
            Step::Call(purpose, _) if !in_shadow && self.waits_for_others(&open, purpose, now) => {
                self.queue(stream, &mut open, purpose, now);
                self.put_back(stream, open);
            }
            Step::Call(purpose, ask) => {
                open.calls_left -= 1;
                open.called_since_body = !matches!(open.body, Body::Coming(_));
                open.waits_for = self.call_for(stream, &mut open, purpose, ask, now);
                if open.waits_for.is_none() {
                    return self.refuse(stream, Some(open), &Refusal::PolicyUnavailable, now);
                }
                self.put_back(stream, open);
            }
            Step::Reply(reply) => {
                self.note_whose(stream, &open);
                self.decide_as(stream, Decision::ANSWERED);
                self.outputs.push_back(Output::Reply { stream, reply });
            }
            Step::Refuse(refusal) => {
                self.note_whose(stream, &open);
                self.abandon(&open, now);
                self.refuse(stream, Some(open), &refusal, now);
            }
            Step::Forward(forward) => {
                let drawn = forward.running.drawn.as_ref().map(|(lease, _)| lease.clone());
                if let Some((key, lease)) =
                    open.granted.take().filter(|(_, own)| Some(own) != drawn.as_ref())
                {
                    // Another lease pays.
                    let said = self.pool.unused(&key, &lease, now.monotonic_ms);
                    self.say(said);
                }
                match forward.estimate {
                    None => self.forward(stream, &open, *forward, &request),
                    Some(estimate) => {
                        if open.ask_is_open {
                            self.disclaim(&open);
                        }
                        self.note_whose(stream, &open);
                        self.decide_as(stream, Decision::DRY_RUN);
                        let running = forward.running;
                        let reply = estimate.reply(voice, &running.model, request.as_str());
                        self.outputs.push_back(Output::Reply { stream, reply });
                        self.end_dry_run(running, now, memory);
                    }
                }
            }
        }
    }

    fn put_back(&mut self, stream: StreamId, open: Box<Open>) {
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.stage = Stage::Open(open);
        }
    }

    fn step(
        &mut self,
        open: &Open,
        (voice, request, in_shadow): (Voice, &RequestId, bool),
        now: Now,
        memory: &mut dyn SharedMemory,
    ) -> Step {
        let usable = self.may_use_what_it_knows(now);
        let known = if usable { self.known(&open.digest) } else { None };
        // Until the body is there, only a key that is known to be bad decides anything.
        if matches!(open.body, Body::Coming(_)) {
            return match known {
                Some(Known::NoKey) => Step::Refuse(Refusal::UnknownKey),
                Some(Known::Key(policy)) => {
                    match check_key(&policy, open.address, now) {
                        // With its body it is known what it asks for.
                        Err(refusal) if !self.passes(in_shadow, open, &refusal, now) => {
                            Step::Refuse(refusal)
                        }
                        _ => Step::Wait,
                    }
                }
                // Where nothing can be written once a request has waited, it waits before its body.
                None if self.host.body_writing == BodyWriting::BeforeWaiting
                    && open.digest != NO_KEY =>
                {
                    self.step_to_key(usable)
                }
                None => Step::Wait,
            };
        }
        if open.digest == NO_KEY || matches!(open.body, Body::NoKey(_)) {
            let refusal = open.check_body(self.config.body_bytes.min(LONGEST_BODY)).err();
            return Step::Refuse(refusal.unwrap_or(Refusal::UnknownKey));
        }
        let Some(models) = self.catalogue().filter(|_| usable) else {
            return self.step_to_key(usable);
        };
        let writing = Writing::of(open, &self.host, &self.config.host);
        let policy = match known {
            None => {
                let may_ask = open.granted.is_none() && open.refused.is_none();
                let allow = &self.config.allow;
                let writing = writing.after_waiting(&self.host);
                let ask = if may_ask { ask(open, &models, allow, writing) } else { None };
                if ask.is_some() && !self.outbox_has_room(open) {
                    return Step::Refuse(Refusal::OutboxFull);
                }
                return Step::Call(Purpose::Admit { asks: ask.is_some() }, ask.map(Box::new));
            }
            Some(Known::NoKey) => return Step::Refuse(Refusal::UnknownKey),
            Some(Known::Key(policy)) => policy,
        };
        if let Err(refusal) = check_key(&policy, open.address, now) {
            return Step::Refuse(refusal);
        }
        if let Target::Listed { keys, .. } = &open.target
            && let Err(refusal) = keys.check(policy.kind)
        {
            return Step::Refuse(refusal);
        }
        let listed = match &open.target {
            Target::Call { .. } | Target::Listed { .. } => {
                let mut known = Knowledge {
                    models: &models,
                    policy: &policy,
                    body_limit: self.config.body_bytes,
                    paths: &self.config.paths,
                    allow: &self.config.allow,
                    profile: self.config.profile,
                    vm: self.vm,
                    place: Some(self.running_calls.place(&policy.key)),
                    concurrent_calls: self.config.concurrent_calls_per_key,
                    outbox_has_room: self.outbox_has_room(open),
                    in_shadow,
                    host: &self.host,
                    writing,
                };
                let mut verdict = decide(open, &known, now, &mut self.pool, memory);
                let later = writing.after_waiting(&self.host);
                if matches!(verdict, Verdict::NeedLease(_))
                    && later.writes_body() != writing.writes_body()
                {
                    // With the lease it could not be written any more: it needs another one.
                    known.writing = later;
                    verdict = decide(open, &known, now, &mut self.pool, memory);
                }
                return step_of(verdict);
            }
            Target::Models => {
                let models = (&*models, &*self.config.paths);
                model_list::list(voice, models, &policy, open.query(), request.as_str())
            }
            Target::Model(name) => {
                let models = (&*models, &*self.config.paths);
                model_list::one(voice, models, &policy, name, request.as_str())
            }
            Target::Usage => return self.usage_step(open, voice, request.as_str()),
            Target::UserKey => {
                return self.user_key_step(open, &policy, voice, request.as_str());
            }
        };
        listed.map_or_else(Step::Refuse, Step::Reply)
    }

    /// The next call until the key of a request is known.
    fn step_to_key(&self, usable: bool) -> Step {
        let purpose = match (usable, &self.link.session, &self.models) {
            (false, Some(_), _) => Purpose::Changes,
            (false, None, _) => Purpose::Register,
            (true, _, None) => Purpose::Catalogue,
            (true, _, Some(_)) => Purpose::Admit { asks: false },
        };
        Step::Call(purpose, None)
    }

    /// Whether the record of this call, with what its caller says of it, will find a place.
    pub(super) fn outbox_has_room(&self, open: &Open) -> bool {
        let metadata = open.metadata.as_ref().map_or(0, Metadata::size);
        !self.reports()
            || self.outbox.has_room(self.streams.len())
                && self.outbox.has_room_for_metadata(metadata)
    }

    /// The host has refused an edit: the request is answered here, and nothing is charged.
    pub(super) fn edit_refused(
        &mut self,
        stream: StreamId,
        now: Now,
        memory: &mut dyn SharedMemory,
    ) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        match std::mem::replace(&mut exchange.stage, Stage::Answered) {
            Stage::Answered => return,
            Stage::Passing(_) => {}
            Stage::Open(open) => self.abandon(&open, now),
            Stage::Running(running) => {
                if self.reports() {
                    self.outbox.forget_metadata(running.metadata.size());
                }
                self.undo(&running, now, memory);
            }
        }
        // What was still to be done for the request must not be done, above all not letting it go.
        self.outputs.retain(|output| output.stream() != Some(stream));
        self.reply(stream, &Refusal::PolicyUnavailable);
    }

    /// Windows of requests and permits keep counting it: however often it is asked what calls would
    /// cost, that is bounded as calls are.
    fn end_dry_run(&mut self, running: Running, now: Now, memory: &mut dyn SharedMemory) {
        if let Some((lease, draw)) = &running.drawn {
            let (key, now_ms) = (&running.policy.key, now.monotonic_ms);
            let said = self.pool.end(key, lease, *draw, NanoUsd::ZERO, now_ms);
            let unused = self.pool.unused(key, lease, now_ms);
            self.say(said.into_iter().chain(unused));
        }
        if let Some(once) = running.once {
            repetition::forget(memory, once);
        }
        let (groups, call) = (running.groups, running.window_call);
        self.leave_windows(Unfinished { groups, call, used_tokens: 0 }, now, memory);
    }

    /// An admitted call is not made: money and windows are as if it had never been.
    fn undo(&mut self, running: &Running, now: Now, memory: &mut dyn SharedMemory) {
        if let Some((lease, draw)) = &running.drawn {
            let (key, now_ms) = (&running.policy.key, now.monotonic_ms);
            self.pool.cancel(key, lease, *draw);
            let said = self.pool.unused(key, lease, now_ms);
            self.say(said);
        }
        let (call, now_ms) = (running.window_call, now.monotonic_ms);
        windows::take_back(memory, &running.groups, call, running.admitted_ms, now_ms);
        if let Some(once) = running.once {
            repetition::forget(memory, once);
        }
    }

    /// A request ends without going to the upstream: money that it was given goes back.
    pub(super) fn abandon(&mut self, open: &Open, now: Now) {
        if let Some((key, lease)) = &open.granted {
            let said = self.pool.unused(key, lease, now.monotonic_ms);
            self.say(said);
        }
        let pending = open.waits_for.and_then(|call| self.calls.remove(&call));
        if pending.is_some_and(|pending| pending.purpose == Purpose::Report) {
            self.report_failed(now);
        }
        let asks = pending.is_some_and(|pending| pending.purpose.asks());
        if asks || open.ask_is_open {
            self.disclaim(open);
        }
    }

    /// Disclaims the number of an ask that may still be granted.
    pub(super) fn disclaim(&mut self, open: &Open) {
        if let Some(n) = open.lease_number {
            let reporter = self.reporter();
            self.outbox.void(reporter, n);
        }
    }

    pub(super) fn forward(
        &mut self,
        stream: StreamId,
        open: &Open,
        forward: Forward,
        request: &RequestId,
    ) {
        if open.ask_is_open {
            self.disclaim(open);
        }
        let Forward {
            running,
            output_limit,
            model_is_alias,
            path,
            reads_max_completion_tokens,
            writes_body,
            ..
        } = forward;
        let policy = Rc::clone(&running.policy);
        let head_is_gone = open.head_is_gone;
        let mut set = |name: &str, value: &str| {
            if !head_is_gone {
                let (name, value) = (name.to_owned(), value.to_owned());
                self.outputs.push_back(Output::SetRequestHeader { stream, name, value });
            }
        };
        // Compressed answers could not be metered.
        set("accept-encoding", "identity");
        set("x-tollgate-model", running.model.as_str());
        set("x-tollgate-key-id", policy.key.as_str());
        set("x-tollgate-org", policy.org.as_str());
        set("x-tollgate-request-id", request.as_str());
        if let (Target::Listed { keys: OpenTo::Users, .. }, Some(user)) =
            (&open.target, &policy.user)
        {
            // Providers of models need not know who asks; what belongs to a user is found by this.
            set("x-tollgate-user", user.as_str());
        }
        if let Some(path) = path {
            set(":path", &path);
        }
        if let Some(read) = open.request().filter(|_| writes_body) {
            let edits = read.edits(Edits {
                model: model_is_alias.then_some(running.model.as_str()),
                output_limit: output_limit
                    .map(|tokens| WrittenLimit { tokens, reads_max_completion_tokens }),
            });
            if !edits.is_empty() {
                let length = usize::try_from(read.body_bytes).unwrap_or(usize::MAX);
                if open.has_content_length {
                    set("content-length", &edited_length(length, &edits).to_string());
                }
                self.outputs.push_back(Output::EditRequestBody { stream, length, edits });
            }
        }
        let resumes = open.waited;
        if self.reports() {
            self.outbox.expect_metadata(running.metadata.size());
        }
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.notes.decision = Some(Decision::ALLOWED);
            exchange.notes.policy = Some(policy);
            exchange.stage = Stage::Running(Box::new(running));
        }
        if resumes {
            self.outputs.push_back(Output::Resume { stream });
        }
    }

    /// An ask was refused. Where that says that what we know is out of date, it is forgotten and
    /// the call may ask again; under another number, since this one is refused for good.
    pub(super) fn take_refusal(&mut self, open: &mut Open, why: Option<LeaseRefusal>) {
        match why {
            Some(LeaseRefusal::KeyNotUsable) => self.keys.forget(&open.digest),
            Some(LeaseRefusal::UnknownPrice) => self.models = None,
            why => open.refused = why,
        }
        if open.ask_is_open {
            // A copy that is still on its way might be granted by a server that has restarted.
            self.disclaim(open);
        }
        self.ask_is_over(open);
    }

    /// The ask has its answer. An earlier copy of it can only have the same one.
    pub(super) fn ask_is_over(&mut self, open: &mut Open) {
        open.lease_number = None;
        open.asked = None;
        open.ask_is_open = false;
        open.ask_is_stale = false;
    }
}

fn step_of(verdict: Verdict) -> Step {
    match verdict {
        Verdict::Wait => Step::Wait,
        Verdict::NeedLease(ask) => Step::Call(Purpose::Lease, Some(ask)),
        Verdict::Forward(forward) => Step::Forward(forward),
        Verdict::Refuse(refusal) => Step::Refuse(refusal),
    }
}
