//! Requests on their way through a proxy: from the client to the gate, to the upstream, and back.

use std::rc::Rc;

use gate::testing::LetPass;
use gate::{HostKind, Input, Reply, StreamId};
use serde_json::Value;

use crate::answers::Part;
use crate::checker::{Admission, Invariant, Violation};
use crate::events::Event;
use crate::keys::Key;
use crate::scenario::Clients;
use crate::traffic::{
    INPUT_OVERHEAD_TOKENS, MAX_OUTPUT_TOKENS, TOOL_CALLS, chat_body, chat_headers, list_headers,
    steady_body, with_limit,
};
use crate::upstream::{Terms, UNLIMITED_OUTPUT, UpstreamCall};
use crate::worker::{Place, Request, Stream, StreamAt};
use crate::world::World;

/// Requests with a credential that may have been withdrawn long ago, in a thousand.
const STALE_PER_MILLE: u64 = 200;
/// Requests with the key that most use, where there is one, in a thousand.
const FAVOURITE_PER_MILLE: u64 = 800;
/// Clients that give up, in a thousand.
const LEAVING_PER_MILLE: u64 = 80;
/// Uploads that take very long, where any does, in a thousand.
const SLOW_UPLOAD_PER_MILLE: u64 = 40;
/// Clients that come back exactly when a refusal has said, in a thousand.
const PUNCTUAL_PER_MILLE: u64 = 300;

/// The place of a call that the upstream is not asked about, for nobody is charged for it.
const UNRECORDED: usize = usize::MAX;

impl World {
    /// Some requests at about the same time.
    pub(crate) fn burst(&mut self) -> anyhow::Result<()> {
        let next = self.dice.between(1, 2 * self.scenario.gap_ms);
        self.after(next, Event::Burst);
        if self.is_hushed() {
            return Ok(());
        }
        let (one_place, one_credential) = (self.some_place(), self.some_credential());
        // Some bursts meet one worker, or use one key, at the same moment.
        let (scattered, mixed) = (self.dice.per_mille(500), self.dice.per_mille(500));
        let steady = self.scenario.clients != Clients::Mixed;
        for _ in 0..self.dice.between(1, self.scenario.burst) {
            let place = if scattered { self.some_place() } else { one_place };
            let (credential, body) = if steady {
                (0, steady_body())
            } else {
                let other = if mixed { self.some_credential() } else { one_credential };
                (other, chat_body(&mut self.dice, self.scenario.has_kinds))
            };
            self.after(0, Event::Opens { place, request: Rc::new(Request { credential, body }) });
        }
        Ok(())
    }

    /// Mostly a credential that should work, sometimes one that should not any more.
    fn some_credential(&mut self) -> usize {
        let favourite = self.favourite.and_then(|index| self.keys.get(index));
        if let Some(credential) = favourite.and_then(Key::valid_credential)
            && self.dice.per_mille(FAVOURITE_PER_MILLE)
        {
            return credential;
        }
        let any = self.dice.index(self.credentials.len());
        if self.dice.per_mille(STALE_PER_MILLE) {
            return any;
        }
        let valid: Vec<_> = self.keys.iter().filter_map(Key::valid_credential).collect();
        valid.get(self.dice.index(valid.len())).copied().unwrap_or(any)
    }

    pub(crate) fn open(&mut self, place: Place, request: &Request) -> anyhow::Result<()> {
        let Request { credential, mut body } = request.clone();
        let owner = self.credentials.get(credential).and_then(|it| self.keys.get(it.key));
        if owner.is_some_and(|key| key.was_in_shadow) {
            // No limit would be written into it, so nothing would bound what it costs.
            body = with_limit(body);
        }
        let Some(secret) = self.credentials.get(credential).map(|it| it.secret.clone()) else {
            return Ok(());
        };
        let lists = body.is_empty();
        let stream = Stream {
            credential,
            sent_bytes: body.len() as u64,
            body,
            upstream: None,
            set_headers: Default::default(),
        };
        let Some(worker) = self.worker(place) else { return Ok(()) };
        let life = worker.life;
        let stream = worker.open(stream);
        let at = StreamAt { place, life, stream };
        let what = if lists { "list" } else { "chat" };
        self.log.note(self.now_ms, || {
            format!("{place:?} {stream:?}: {what} with credential {credential}")
        });
        if !lists {
            let longest_ms = self.scenario.longest_call_ms;
            let is_slow = longest_ms > 0 && self.dice.per_mille(SLOW_UPLOAD_PER_MILLE);
            let body_after = self.dice.between(0, if is_slow { longest_ms } else { 30 });
            self.after(body_after, Event::BodyComes { at });
            let is_patient = self.scenario.clients != Clients::Mixed;
            if !is_patient {
                self.withdraw_in_passing(credential);
            }
            if !is_patient && self.dice.per_mille(LEAVING_PER_MILLE) {
                let leaves_after = self.dice.between(1, 4_000);
                self.after(leaves_after, Event::ClientLeaves { at });
            }
        }
        let headers = if lists { list_headers(&secret) } else { chat_headers(&secret) };
        self.feed(
            place,
            Input::RequestHeaders { stream, headers: &headers, address: None, end: lists },
        )
    }

    /// One more request for a worker, after the traffic.
    pub(crate) fn knock(&mut self, place: Place) -> anyhow::Result<()> {
        self.open(place, &Request { credential: 0, body: Vec::new() })
    }

    pub(crate) fn body_comes(&mut self, at: StreamAt) -> anyhow::Result<()> {
        let Some(body) = self.stream(at).map(|stream| stream.body.clone()) else { return Ok(()) };
        self.feed(at.place, Input::RequestBody { stream: at.stream, body: &body })
    }

    /// The request, if its VM still lives and it is not over.
    pub(crate) fn stream(&mut self, at: StreamAt) -> Option<&mut Stream> {
        let worker = self.worker(at.place)?;
        if worker.life == at.life { worker.streams.get_mut(&at.stream) } else { None }
    }

    pub(crate) fn client_leaves(&mut self, at: StreamAt) -> anyhow::Result<()> {
        let Some(upstream) = self.stream(at).map(|stream| stream.upstream) else { return Ok(()) };
        self.log.note(self.now_ms, || format!("{:?} {:?}: the client leaves", at.place, at.stream));
        let goes_on = self.dice.per_mille(500);
        self.upstream_acted = true;
        if let Some(call) = upstream.and_then(|index| self.calls.get_mut(index)) {
            call.abandoned(goes_on);
        }
        self.end(at)
    }

    fn end(&mut self, at: StreamAt) -> anyhow::Result<()> {
        let ended = self.worker(at.place).and_then(|worker| worker.streams.remove(&at.stream));
        let upstream = ended.and_then(|stream| stream.upstream);
        if let Some(call) = upstream.and_then(|index| self.calls.get_mut(index)) {
            call.is_charged = true;
            // More than it was allowed is known only where usage told of it: at least so much.
            let usage = call.within_limits();
            let tokens = usage.input_tokens + usage.output_tokens;
            if call.would_refuse.is_none() {
                self.checker.ended(self.now_ms, at.place.proxy, &call.key, tokens);
            }
        }
        self.feed(at.place, Input::End { stream: at.stream })
    }

    /// A request goes to the upstream.
    pub(crate) fn forward(&mut self, at: StreamAt) -> anyhow::Result<()> {
        let index = self.calls.len();
        let let_pass = self.worker(at.place).and_then(|worker| worker.let_pass(at.stream));
        self.tally.let_pass += u64::from(let_pass.is_some());
        if let Some(passing) = let_pass.filter(|passing| !passing.is_recorded) {
            return self.pass_unread(at, passing);
        }
        let Some(stream) = self.stream(at) else { return Ok(()) };
        stream.upstream = Some(index);
        let header = |name: &str| stream.set_headers.get(name).cloned().unwrap_or_default();
        let key = header("x-tollgate-key-id");
        let names = (header("x-tollgate-request-id"), key.clone());
        let credential = stream.credential;
        let body = stream.body.clone();
        let text_bound = stream.sent_bytes + INPUT_OVERHEAD_TOKENS;
        let (context_tokens, has_kinds) = (self.context_tokens(), self.scenario.has_kinds);
        let owner = self.credentials.get(credential).and_then(|it| self.keys.get(it.key));
        let Some(owner) = owner.filter(|it| it.id.as_str() == key) else {
            let text = format!("credential {credential} is charged to key {key}");
            return Err(Violation { invariant: Invariant::Charges, text }.into());
        };
        let (limits, expires_unix_ms, org) = (owner.limits, owner.expires_unix_ms, owner.org);
        let terms = Terms {
            cut_calls: owner.cut_calls,
            input_bound: text_bound.min(context_tokens),
            context_tokens,
            tool_calls: if has_kinds { TOOL_CALLS } else { 0 },
            caches: has_kinds,
            longest_ms: self.scenario.longest_call_ms,
            long_per_mille: self.scenario.long_per_mille,
            overruns: self.scenario.overruns,
            is_reliable: self.scenario.clients != Clients::Mixed,
            // Where no limit can be written, the model's own is reserved.
            unlimited_output: match self.kind_of(at.place.proxy) {
                HostKind::Envoy => UNLIMITED_OUTPUT,
                _ => MAX_OUTPUT_TOKENS,
            },
        };
        let mut call = UpstreamCall::begin(at, names, &body, terms, &mut self.dice);
        self.log.note(self.now_ms, || {
            let (place, stream) = (at.place, at.stream);
            let (request, whole) = (&call.request, call.whole);
            format!("{place:?} {stream:?} credential {credential}: forwarded: {request} {whole:?}")
        });
        if let Some(ms) = call.next_after_ms() {
            self.after(ms, Event::Upstream { call: index });
        }
        call.would_refuse = let_pass.map(|passing| passing.code);
        call.admitted_ms = self.now_ms;
        call.eras = self.checker.eras(&key);
        call.multipliers = self.checker.plans(org);
        self.checker.begun(index, &call, &key);
        self.calls.push(call);
        self.tally.forwarded += 1;
        self.need_not_wait();
        self.count_hopeless(false)?;
        self.crash_at_rate(at.place);
        let (running, running_tokens) = self.running(at.place.proxy, &key);
        let proxy = at.place.proxy;
        let verdict = self.checker.forwarded(&Admission {
            now_ms: self.now_ms,
            wall_ms: self.wall_ms(proxy),
            life: at.life,
            credential,
            proxy,
            key: &key,
            expires_unix_ms,
            limits,
            running,
            running_tokens,
            would_refuse: let_pass.map(|passing| passing.code),
        });
        Ok(verdict?)
    }

    /// A request goes on of which nothing will be recorded. It has an end that nobody hears of.
    fn pass_unread(&mut self, at: StreamAt, passing: LetPass) -> anyhow::Result<()> {
        let Some(stream) = self.stream(at) else { return Ok(()) };
        stream.upstream = Some(UNRECORDED);
        let credential = stream.credential;
        let owner = self.credentials.get(credential).and_then(|it| self.keys.get(it.key));
        let Some(key) = owner.map(|key| key.id.as_str()) else { return Ok(()) };
        self.tally.let_pass_unread += 1;
        self.checker.let_pass(key, passing.code)?;
        self.after(1, Event::ClientLeaves { at });
        Ok(())
    }

    /// Calls of a key that run in living VMs of a proxy, and the most tokens that they can come to.
    fn running(&self, proxy: usize, key: &str) -> (u64, u64) {
        let is_here = |call: &&UpstreamCall| {
            let counts = !call.over && call.would_refuse.is_none();
            counts && call.at.place.proxy == proxy && call.key == key
        };
        let tokens = self.calls.iter().filter(is_here).map(UpstreamCall::most_tokens);
        tokens.fold((0, 0), |(calls, sum), tokens| (calls + 1, sum + tokens))
    }

    /// Where VMs crash so many times in a thousand calls, one does now and then, with what it runs.
    fn crash_at_rate(&mut self, place: Place) {
        let Clients::Exhausting { crashes_per_mille } = self.scenario.clients else { return };
        if self.dice.per_mille(crashes_per_mille) {
            let after = self.dice.below(1_000);
            self.after(after, Event::Crash { place });
        }
    }

    /// A gate has answered itself.
    pub(crate) fn answered_by_gate(
        &mut self,
        place: Place,
        id: StreamId,
        stream: &Stream,
        reply: &Reply,
    ) -> anyhow::Result<()> {
        let (status, credential) = (reply.status, stream.credential);
        *self.tally.replies.entry(status).or_default() += 1;
        self.log.note(self.now_ms, || {
            format!("{place:?} {id:?} credential {credential}: answered {status}")
        });
        // A call whose key has ended or is in doubt, or whose money has ended, may be answered before
        // the upstream does; it is charged as cut.
        if stream.upstream.is_some() {
            if [401, 402, 503].contains(&status) {
                return Ok(());
            }
            let text = format!("{place:?} {id:?} is answered {status} after it was forwarded");
            return Err(Violation { invariant: Invariant::Refusal, text }.into());
        }
        let owner = self.credentials.get(credential).and_then(|it| self.keys.get(it.key));
        if let Some(key) = owner.map(|key| key.id.as_str()) {
            self.checker.refused(key, status)?;
        }
        if status == 402 {
            self.need_not_wait();
        }
        self.count_hopeless(status == 402)?;
        if status != 429 {
            return Ok(());
        }
        let refusal: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let code = refusal.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
        let mut seconds = reply
            .headers
            .iter()
            .find(|(name, _)| *name == "retry-after")
            .and_then(|(_, value)| value.parse().ok());
        self.told_to_wait(place, credential, (code, seconds))?;
        let Some(key) = self.credentials.get(credential).and_then(|it| self.keys.get(it.key))
        else {
            return Ok(());
        };
        if code == "budget_contended" {
            self.checker.refused_for_others(key.id.as_str())?;
        }
        if code != "rpm_exceeded" {
            return Ok(());
        }
        let (id, limits) = (key.id.as_str().to_owned(), key.limits);
        if let Some(mutation) = self.mutation {
            mutation.after_refusal(&mut seconds, &id, self.now_ms, place, &mut self.proxies);
        }
        let is_server_s = limits.over_all_proxies.is_some() && limits.per_minute.is_none();
        // The server counts what its workers may have used, also where they were lost.
        if is_server_s || self.kind_of(place.proxy) == HostKind::Apisix {
            self.tally.full_everywhere += 1;
            return Ok(());
        }
        self.checker.refused_by_window(self.now_ms, (place.proxy, &id), limits, seconds)?;
        if self.dice.per_mille(PUNCTUAL_PER_MILLE) && !self.traffic_is_over() {
            // Whether it is admitted then: a refusal with room is a violation of its own.
            self.tally.retries += 1;
            let body = chat_body(&mut self.dice, self.scenario.has_kinds);
            let request = Rc::new(Request { credential, body });
            self.after(seconds.unwrap_or(1) * 1_000, Event::Opens { place, request });
        }
        Ok(())
    }

    /// The next part of an answer.
    pub(crate) fn upstream_goes_on(&mut self, index: usize) -> anyhow::Result<()> {
        self.upstream_acted = true;
        let Some(call) = self.calls.get_mut(index).filter(|call| !call.over) else { return Ok(()) };
        let at = call.at;
        let Some(part) = call.next_part() else { return Ok(()) };
        if let Some(ms) = call.next_after_ms() {
            self.after(ms, Event::Upstream { call: index });
        }
        let stream = at.stream;
        match part {
            Part::Headers(headers) => {
                let input =
                    Input::ResponseHeaders { stream, headers: &headers, details: None, end: false };
                self.feed(at.place, input)
            }
            Part::Body(chunk, end) => {
                let shown = self.mutation.and_then(|it| it.shown(&chunk));
                let chunk = shown.unwrap_or(chunk);
                self.feed(at.place, Input::ResponseBody { stream, chunk: &chunk, end })
            }
            Part::End => self.end(at),
        }
    }
}
