//! The machine as a filter, without any host.

use std::collections::{HashMap, VecDeque};

use super::{Filter, ProcessMemory, Seen};
use crate::config::Config;
use crate::host_abilities::HostKind;
use crate::io::{Call, Headers, Input, Now, Output, StreamId};
use crate::machine::{Gate, Token};
use crate::observation::Observation;
use metering::request::apply_edits;

/// A machine with just enough of a host around it.
#[derive(Debug)]
pub struct Native {
    gate: Gate,
    kind: HostKind,
    /// Streams for which a call or an answer is on its way.
    acted: Vec<u32>,
    /// The process's shared memory.
    pub memory: ProcessMemory,
    now: Now,
    calls: VecDeque<Call>,
    requests: HashMap<u32, Request>,
    /// Head and chunk of the response that pass just now.
    head: Headers,
    chunk: Vec<u8>,
    /// The answer of a call is being taken.
    is_answering: bool,
    /// Streams that were answered or closed and whose end the machine is still to be told.
    over: Vec<u32>,
    seen: Vec<Seen>,
    observed: Vec<Observation>,
}

#[derive(Debug, Default)]
struct Request {
    headers: Headers,
    body: Vec<u8>,
    head_went_on: bool,
    went_on: bool,
}

impl Native {
    /// A machine with this configuration and a fixed seed.
    #[must_use]
    pub fn new(config: Config, token: impl Into<Option<Token>>) -> Self {
        Self {
            kind: HostKind::Envoy,
            acted: Vec::new(),
            gate: Gate::new(config, token, [7; 32]),
            memory: ProcessMemory::default(),
            now: Now { monotonic_ms: 0, micros: 0, wall_ms: 0, is_exact: true },
            calls: VecDeque::new(),
            requests: HashMap::new(),
            head: Vec::new(),
            chunk: Vec::new(),
            is_answering: false,
            over: Vec::new(),
            seen: Vec::new(),
            observed: Vec::new(),
        }
    }

    /// The same in another kind of proxy.
    #[must_use]
    pub fn on(mut self, kind: HostKind) -> Self {
        self.kind = kind;
        self.gate.runs_on(kind);
        self
    }

    fn fault(&mut self, is_one: bool, what: &'static str) {
        if is_one {
            self.seen.push(Seen::Fault(what));
        }
    }

    /// nginx ends a request's calls with it; of Envoy's the answers still come.
    fn forget_calls_of(&mut self, stream: u32) {
        if self.kind != HostKind::Envoy {
            self.calls.retain(|call| call.stream != Some(StreamId(stream)));
        }
    }

    /// What hosts other than Envoy cannot do, or do not survive.
    fn look_for_faults(&mut self, output: &Output) {
        let is_nginx = self.kind != HostKind::Envoy;
        let request = output.stream().and_then(|stream| self.requests.get(&stream.0));
        let (head_is_gone, is_forwarded) =
            request.map_or((false, false), |request| (request.head_went_on, request.went_on));
        match output {
            Output::Call(call) => {
                self.fault(
                    self.kind == HostKind::Apisix && call.stream.is_none(),
                    "call of its own",
                );
                let is_second = call.stream.is_some()
                    && self.calls.iter().any(|other| other.stream == call.stream);
                self.fault(is_nginx && is_second, "second call at once");
                self.fault(is_nginx && is_forwarded, "call after the request went on");
            }
            Output::Reply { .. } => {
                self.fault(is_nginx && is_forwarded, "answer after the request went on");
            }
            Output::SetRequestHeader { name, .. } => {
                self.fault(head_is_gone || is_forwarded, "header set too late");
                self.fault(is_nginx && name.starts_with(':'), "path set");
            }
            Output::RemoveRequestHeader { .. } => {
                self.fault(head_is_gone || is_forwarded, "header removed too late");
            }
            Output::EditRequestBody { .. } | Output::DropRequestBody { .. } => {
                self.fault(self.kind == HostKind::Apisix, "request body written");
                self.fault(is_nginx && self.is_answering, "request body written after a call");
            }
            Output::ReplaceResponseBody { .. } => self.fault(is_nginx, "answer written"),
            Output::Observe(_) => {}
            Output::CloseStream { .. } => self.fault(is_nginx, "stream closed"),
            Output::Resume { .. }
            | Output::SetResponseHeader { .. }
            | Output::RemoveResponseHeader { .. } => {}
        }
    }

    /// A host that is told to wait with nothing to wait for does not survive it.
    fn check_hold(&mut self, stream: u32) {
        let waits = self.calls.iter().any(|call| call.stream == Some(StreamId(stream)));
        let is_answered = self.acted.contains(&stream);
        let hangs = self.kind != HostKind::Envoy && !waits && !is_answered;
        self.fault(hangs, "held with nothing to wait for");
    }

    /// The machine itself.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What operators were shown since the last time.
    pub fn observed(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.observed)
    }

    fn drive(&mut self, input: Input<'_>) {
        self.gate.handle(self.now, &mut self.memory, input);
        while let Some(output) = self.gate.next_output() {
            self.perform(output);
        }
        for stream in std::mem::take(&mut self.over) {
            self.end(stream);
        }
    }

    fn perform(&mut self, output: Output) {
        self.look_for_faults(&output);
        match output {
            Output::Call(call) => {
                let of = |name| {
                    let pair = call.headers.iter().find(|(other, _)| *other == name);
                    pair.map(|(_, value)| value.clone()).unwrap_or_default()
                };
                let (method, path) = (of(":method"), of(":path"));
                self.seen.push(Seen::Call { method, path, body: call.body.clone() });
                self.calls.push_back(call);
            }
            Output::Reply { stream, reply } => {
                self.over.push(stream.0);
                self.acted.push(stream.0);
                self.seen.push(Seen::Reply {
                    stream: stream.0,
                    status: reply.status,
                    headers: reply
                        .headers
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                        .collect(),
                    body: reply.body,
                });
            }
            Output::CloseStream { stream } => {
                self.over.push(stream.0);
                self.seen.push(Seen::Closed { stream: stream.0 });
            }
            Output::SetRequestHeader { stream, name, value } => {
                let request = self.requests.entry(stream.0).or_default();
                set(&mut request.headers, &name, &value);
            }
            Output::RemoveRequestHeader { stream, name } => {
                let request = self.requests.entry(stream.0).or_default();
                request.headers.retain(|(other, _)| *other != name);
            }
            Output::EditRequestBody { stream, edits, .. } => {
                let request = self.requests.entry(stream.0).or_default();
                request.body = apply_edits(&request.body, &edits);
            }
            Output::DropRequestBody { stream } => {
                self.requests.entry(stream.0).or_default().body.clear();
            }
            Output::Resume { stream } => self.go_on(stream.0),
            Output::SetResponseHeader { name, value, .. } => set(&mut self.head, &name, &value),
            Output::RemoveResponseHeader { name, .. } => {
                self.head.retain(|(other, _)| *other != name);
            }
            Output::ReplaceResponseBody { bytes, .. } => self.chunk = bytes,
            Output::Observe(observation) => self.observed.push(observation),
        }
    }

    fn go_on_unless_held(&mut self, stream: u32) {
        if self.gate.holds(StreamId(stream)) {
            self.check_hold(stream);
        } else {
            self.go_on(stream);
        }
    }

    fn go_on(&mut self, stream: u32) {
        let request = self.requests.entry(stream).or_default();
        if !std::mem::replace(&mut request.went_on, true) {
            let (headers, body) = (named(&request.headers), request.body.clone());
            self.seen.push(Seen::Upstream { stream, headers, body });
        }
    }
}

fn set(headers: &mut Headers, name: &str, value: &str) {
    headers.retain(|(other, _)| other != name.as_bytes());
    headers.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
}

fn named(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.clone()))
        .collect()
}

fn bytes(headers: Vec<(String, Vec<u8>)>) -> Headers {
    headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

impl Filter for Native {
    fn clock(&mut self, millis: u64) {
        self.now = Now { monotonic_ms: millis, micros: 0, wall_ms: millis, is_exact: true };
    }

    fn tick(&mut self) {
        self.drive(Input::Tick);
    }

    fn request(&mut self, stream: u32, headers: Vec<(String, Vec<u8>)>, end: bool) {
        let headers = bytes(headers);
        let request = Request { headers: headers.clone(), ..Request::default() };
        self.requests.insert(stream, request);
        self.forget_calls_of(stream);
        self.acted.retain(|other| *other != stream);
        let said = match self.kind {
            HostKind::Envoy => end,
            HostKind::Apisix => true,
            HostKind::NgxWasm => false,
        };
        let id = StreamId(stream);
        self.drive(Input::RequestHeaders {
            stream: id,
            headers: &headers,
            address: None,
            end: said,
        });
        let awaits_body = self.gate.holds(id) && !self.gate.holds_head(id);
        if !awaits_body {
            if end || self.kind != HostKind::Envoy {
                self.go_on_unless_held(stream);
            }
        } else if let Some(request) = self.requests.get_mut(&stream) {
            request.head_went_on = self.kind == HostKind::Envoy;
        }
    }

    fn body(&mut self, stream: u32, bytes: &[u8], end: bool) {
        let request = self.requests.entry(stream).or_default();
        request.body.extend_from_slice(bytes);
        let body = request.body.clone();
        let id = StreamId(stream);
        if let Some(read) = self.gate.body_read(id) {
            let part = body.get(read..).unwrap_or_default();
            self.drive(Input::RequestBodyPart { stream: id, part, size: body.len(), end });
            if end {
                self.go_on_unless_held(stream);
            }
        } else if end {
            self.drive(Input::RequestBody { stream: id, body: &body });
            self.go_on_unless_held(stream);
        } else {
            self.drive(Input::RequestBodyGrows { stream: id, size: body.len() });
        }
    }

    fn answer(&mut self, path: &str, status: Option<u16>, body: &[u8]) -> bool {
        let is_it = |call: &Call| {
            call.headers.iter().any(|(name, value)| *name == ":path" && value.starts_with(path))
        };
        let found = self.calls.iter().position(is_it).and_then(|at| self.calls.remove(at));
        let Some(call) = found else { return false };
        self.is_answering = true;
        self.drive(Input::CallDone { call: call.id, status, body });
        self.is_answering = false;
        if let Some(StreamId(stream)) = call.stream.filter(|_| self.kind != HostKind::Envoy)
            && self.requests.contains_key(&stream)
            && self.gate.holds_head(StreamId(stream))
        {
            self.go_on_unless_held(stream);
        }
        true
    }

    fn response(&mut self, stream: u32, headers: Vec<(String, Vec<u8>)>, end: bool) {
        let headers = bytes(headers);
        self.head = headers.clone();
        self.drive(Input::ResponseHeaders {
            stream: StreamId(stream),
            headers: &headers,
            details: None,
            end,
        });
        self.seen.push(Seen::Head { stream, headers: named(&self.head) });
    }

    fn data(&mut self, stream: u32, bytes: &[u8], end: bool) {
        self.chunk = bytes.to_vec();
        self.drive(Input::ResponseBody { stream: StreamId(stream), chunk: bytes, end });
        let bytes = std::mem::take(&mut self.chunk);
        self.seen.push(Seen::Data { stream, bytes });
    }

    fn end(&mut self, stream: u32) {
        self.drive(Input::End { stream: StreamId(stream) });
        self.requests.remove(&stream);
        self.forget_calls_of(stream);
    }

    fn seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }
}
