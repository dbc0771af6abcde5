//! Requests on their way through a proxy: from the client to the gate, to the upstream, and back.

use gate::Input;

use crate::administration::Key;
use crate::checker::{Invariant, Violation};
use crate::traffic::{
    CONTEXT_TOKENS, INPUT_OVERHEAD_TOKENS, chat_body, chat_headers, list_headers,
};
use crate::upstream::{Part, UpstreamCall};
use crate::worker::{Place, Stream, StreamAt};
use crate::world::{Event, World};

/// Requests with a credential that may have been withdrawn long ago, in a thousand.
const STALE_PER_MILLE: u64 = 200;
/// Clients that give up, in a thousand.
const LEAVING_PER_MILLE: u64 = 80;

impl World {
    /// Some requests at about the same time.
    pub(crate) fn burst(&mut self) -> anyhow::Result<()> {
        let next = self.dice.between(1, 2 * self.scenario.gap_ms);
        self.after(next, Event::Burst);
        let (one_place, one_credential) = (self.some_place(), self.some_credential());
        // Some bursts meet one worker, or use one key, at the same moment.
        let (scattered, mixed) = (self.dice.per_mille(500), self.dice.per_mille(500));
        for _ in 0..self.dice.between(1, self.scenario.burst) {
            let place = if scattered { self.some_place() } else { one_place };
            let credential = if mixed { self.some_credential() } else { one_credential };
            let body = chat_body(&mut self.dice);
            self.open(place, credential, body)?;
        }
        Ok(())
    }

    /// Mostly a credential that should work, sometimes one that should not any more.
    fn some_credential(&mut self) -> usize {
        let any = self.dice.index(self.credentials.len());
        if self.dice.per_mille(STALE_PER_MILLE) {
            return any;
        }
        let valid: Vec<_> = self.keys.iter().filter_map(Key::valid_credential).collect();
        valid.get(self.dice.index(valid.len())).copied().unwrap_or(any)
    }

    fn open(&mut self, place: Place, credential: usize, body: Vec<u8>) -> anyhow::Result<()> {
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
            let body_after = self.dice.between(0, 30);
            self.after(body_after, Event::BodyComes { at });
            if self.dice.per_mille(LEAVING_PER_MILLE) {
                let leaves_after = self.dice.between(1, 4_000);
                self.after(leaves_after, Event::ClientLeaves { at });
            }
        }
        let headers = if lists { list_headers(&secret) } else { chat_headers(&secret) };
        self.feed(place, Input::RequestHeaders { stream, headers: &headers, end: lists })
    }

    /// One more request for a worker, after the traffic.
    pub(crate) fn knock(&mut self, place: Place) -> anyhow::Result<()> {
        self.open(place, 0, Vec::new())
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
        if let Some(call) = upstream.and_then(|index| self.calls.get_mut(index)) {
            call.abandoned(goes_on);
        }
        self.end(at)
    }

    fn end(&mut self, at: StreamAt) -> anyhow::Result<()> {
        if let Some(worker) = self.worker(at.place) {
            worker.streams.remove(&at.stream);
        }
        self.feed(at.place, Input::End { stream: at.stream })
    }

    /// A request goes to the upstream.
    pub(crate) fn forward(&mut self, at: StreamAt) -> anyhow::Result<()> {
        let index = self.calls.len();
        let Some(stream) = self.stream(at) else { return Ok(()) };
        stream.upstream = Some(index);
        let header = |name: &str| stream.set_headers.get(name).cloned().unwrap_or_default();
        let key = header("x-tollgate-key-id");
        let names = (header("x-tollgate-request-id"), key.clone());
        let credential = stream.credential;
        let body = stream.body.clone();
        let input_bound = (stream.sent_bytes + INPUT_OVERHEAD_TOKENS).min(CONTEXT_TOKENS);
        let call = UpstreamCall::begin(at, names, &body, input_bound, &mut self.dice);
        self.log.note(self.now_ms, || {
            let (place, stream) = (at.place, at.stream);
            let (request, whole) = (&call.request, call.whole);
            format!("{place:?} {stream:?} credential {credential}: forwarded: {request} {whole:?}")
        });
        if let Some(ms) = call.next_after_ms() {
            self.after(ms, Event::Upstream { call: index });
        }
        self.calls.push(call);
        self.tally.forwarded += 1;
        let owner = self.credentials.get(credential).and_then(|it| self.keys.get(it.key));
        let Some(limits) = owner.filter(|it| it.id.as_str() == key).map(|it| it.limits) else {
            let text = format!("credential {credential} is charged to key {key}");
            return Err(Violation { invariant: Invariant::Charges, text }.into());
        };
        let running = self.running(at.place.proxy, &key);
        let proxy = at.place.proxy;
        let verdict =
            self.checker.forwarded(self.now_ms, credential, (proxy, &key), limits, running);
        Ok(verdict?)
    }

    /// Calls of a key that run in living VMs of a proxy.
    fn running(&self, proxy: usize, key: &str) -> u64 {
        let is_here =
            |call: &&UpstreamCall| !call.over && call.at.place.proxy == proxy && call.key == key;
        self.calls.iter().filter(is_here).count() as u64
    }

    /// The next part of an answer.
    pub(crate) fn upstream_goes_on(&mut self, index: usize) -> anyhow::Result<()> {
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
                self.feed(at.place, Input::ResponseBody { stream, chunk: &chunk, end })
            }
            Part::End => self.end(at),
        }
    }
}
