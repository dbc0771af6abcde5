//! The filter as it ships, as something that the scripts of the gate can be played to.

use std::collections::BTreeMap;

use gate::testing::{Filter, Seen};
use wasm_tests::{
    CallReply, Event, Exchange, HeaderMap, Host, Profile, Received, Violation, Vm, WasmModule,
};

const NS_PER_MS: u64 = 1_000_000;

/// The import behind which a call to the server lies.
const CALL: &str = "proxy_http_call";

/// One VM of one proxy. Nothing answers by itself and no timer fires.
pub struct Shipped {
    host: Host,
    vm: Vm,
    streams: BTreeMap<u32, Stream>,
    /// Calls up to this one have been told.
    last_call: u64,
    /// What the client got by the latest step, after all else that the step brought about.
    to_client: Vec<Seen>,
}

/// A stream and what has been told of it.
struct Stream {
    exchange: Exchange,
    upstream_told: bool,
    reply_told: bool,
    /// Chunks of the answer that were told.
    chunks_told: usize,
}

impl Shipped {
    /// Starts the module at time zero, with the policy server's cluster as `cluster`.
    pub fn start(config: &str, cluster: &str, token: &str) -> Self {
        let host = Host::new(Profile::envoy_stop_iteration());
        host.add_cluster(cluster);
        host.set_environment("TOLLGATE_FILTER_TOKEN", token);
        host.set_auto_settle(false);
        host.set_clocks_ns(0, 0);
        let vm = Vm::start(&host, &WasmModule::shipped().unwrap(), config).unwrap();
        host.trace(wasm_tests::Trace::clear);
        Self { host, vm, streams: BTreeMap::new(), last_call: 0, to_client: Vec::new() }
    }

    /// What a real proxy would not have borne.
    pub fn violations(&self) -> Vec<Violation> {
        self.host.violations()
    }

    fn exchange(&self, stream: u32) -> &Exchange {
        &self.streams.get(&stream).expect("a stream that was begun").exchange
    }

    /// The next call that was not told yet.
    fn next_call(&mut self) -> Option<Seen> {
        let pending = self.host.pending_calls();
        let call = pending.into_iter().find(|call| call.id.0 > self.last_call)?;
        self.last_call = call.id.0;
        let (method, path) = (call.method().to_owned(), call.path().to_owned());
        Some(Seen::Call { method, path, body: call.body })
    }

    fn number_of(&self, context: u32) -> Option<u32> {
        let mut streams = self.streams.iter();
        let found = streams.find(|(_, stream)| stream.exchange.context() == context);
        found.map(|(number, _)| *number)
    }
}

impl Stream {
    /// The filter's own answer, once the client has it.
    fn reply(&mut self, stream: u32) -> Option<Seen> {
        let client = self.exchange.client();
        let details = self.exchange.local_reply_details();
        if self.reply_told || details.is_none() || !client.complete {
            return None;
        }
        // Anything else would be an answer of the proxy, which no script is about.
        assert_eq!(details.as_deref(), Some("tollgate"), "stream {stream}: {client:?}");
        self.reply_told = true;
        let body = client.chunks.concat();
        let length = body.len().to_string();
        assert_eq!(client.header("content-length"), Some(length.as_str()));
        let headers = named(&client);
        let of_the_proxy = |name: &str| [":status", "content-length"].contains(&name);
        Some(Seen::Reply {
            stream,
            status: client.status().unwrap_or(0),
            headers: headers.into_iter().filter(|(name, _)| !of_the_proxy(name)).collect(),
            body,
        })
    }

    /// The request, once any of it is with the upstream.
    fn upstream(&mut self, stream: u32) -> Option<Seen> {
        let forwarded = self.exchange.forwarded();
        if self.upstream_told || (forwarded.headers.is_none() && forwarded.chunks.is_empty()) {
            return None;
        }
        let headers = named(&forwarded);
        if !forwarded.complete {
            // What costs the same whatever its body says need not wait for it.
            let streams =
                |(name, value): &(String, Vec<u8>)| name == ":path" && value == b"/v1/audio/speech";
            let may_stream = headers.iter().any(streams);
            assert!(may_stream, "stream {stream}: only part of the request has left");
            return None;
        }
        self.upstream_told = true;
        Some(Seen::Upstream { stream, headers, body: forwarded.chunks.concat() })
    }
}

fn named(received: &Received) -> Vec<(String, Vec<u8>)> {
    let headers = received.headers.iter().flat_map(HeaderMap::pairs);
    headers
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
        .collect()
}

impl Filter for Shipped {
    fn clock(&mut self, millis: u64) {
        self.host.set_clocks_ns(millis * NS_PER_MS, millis * NS_PER_MS);
    }

    fn tick(&mut self) {
        self.vm.tick().unwrap();
    }

    fn request(&mut self, stream: u32, headers: Vec<(String, Vec<u8>)>, end: bool) {
        let exchange = self.vm.open();
        exchange.send_headers(headers, end).unwrap();
        let stream_of =
            Stream { exchange, upstream_told: false, reply_told: false, chunks_told: 0 };
        self.streams.insert(stream, stream_of);
    }

    fn body(&mut self, stream: u32, bytes: &[u8], end: bool) {
        self.exchange(stream).send_body(bytes, end).unwrap();
    }

    fn answer(&mut self, path: &str, status: Option<u16>, body: &[u8]) -> bool {
        let pending = self.host.pending_calls();
        let Some(call) = pending.into_iter().find(|call| call.path().starts_with(path)) else {
            return false;
        };
        let reply = status.map_or_else(CallReply::reset, |status| CallReply::new(status, body));
        self.host.answer_call(call.id, reply).unwrap();
        true
    }

    fn response(&mut self, stream: u32, headers: Vec<(String, Vec<u8>)>, end: bool) {
        self.exchange(stream).respond_headers(headers, end).unwrap();
        let client = self.exchange(stream).client();
        if client.headers.is_some() {
            self.to_client.push(Seen::Head { stream, headers: named(&client) });
        }
    }

    fn data(&mut self, stream: u32, bytes: &[u8], end: bool) {
        self.exchange(stream).respond_body(bytes, end).unwrap();
        let told = self.streams.get_mut(&stream).expect("a stream that was begun");
        let client = told.exchange.client();
        assert_eq!(client.complete, end, "stream {stream}: the end of the answer");
        let bytes = client.chunks.get(told.chunks_told..).unwrap_or_default().concat();
        told.chunks_told = client.chunks.len();
        self.to_client.push(Seen::Data { stream, bytes });
    }

    fn end(&mut self, stream: u32) {
        self.exchange(stream).finish().unwrap();
    }

    /// What happened is what server, upstream and client have got; the trace says only in which
    /// order the filter asked for it. What it did not ask for by a host call comes after that.
    fn seen(&mut self) -> Vec<Seen> {
        let events = self.host.trace(|trace| {
            let events = trace.events().to_vec();
            trace.clear();
            events
        });
        let mut seen = Vec::new();
        for event in events {
            let Event::HostCall { context, name, status: 0, .. } = event else { continue };
            if name == CALL {
                seen.extend(self.next_call());
                continue;
            }
            let Some(number) = self.number_of(context) else { continue };
            let Some(stream) = self.streams.get_mut(&number) else { continue };
            match name {
                "proxy_send_local_response" => seen.extend(stream.reply(number)),
                "proxy_continue_stream" => seen.extend(stream.upstream(number)),
                "proxy_close_stream" => {
                    assert!(stream.exchange.client().reset, "stream {number} was not cut");
                    assert!(stream.exchange.forwarded().reset, "the upstream of {number} goes on");
                    seen.push(Seen::Closed { stream: number });
                }
                _ => {}
            }
        }
        while let Some(call) = self.next_call() {
            seen.push(call);
        }
        for (number, stream) in &mut self.streams {
            seen.extend(stream.reply(*number));
            seen.extend(stream.upstream(*number));
        }
        seen.append(&mut self.to_client);
        seen
    }
}
