//! Stream callbacks.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use gate::header_filter::{Betas, not_for_upstream};
use gate::{Headers, HostKind, Input, Reply, StreamId};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::drive::Vm;
use crate::host::{self, Buffer, Map};

/// Where APISIX is told to show a request's body, and that of its answer (apisix/wasm.lua).
const ASKS_FOR_REQUEST_BODY: &str = "wasm_process_req_body";
const ASKS_FOR_ANSWER_BODY: &str = "wasm_process_resp_body";

/// One HTTP stream.
pub struct Http {
    id: u32,
    vm: Option<Rc<Vm>>,
    /// The machine was told that the verdict has been carried out.
    is_decided: Cell<bool>,
}

impl Http {
    /// A stream of a root context; without a machine (the configuration was refused) every request
    /// is answered 503.
    pub fn new(id: u32, vm: Option<Rc<Vm>>) -> Self {
        Self { id, vm, is_decided: Cell::new(false) }
    }

    fn input(&self, input: Input<'_>) {
        if let Some(vm) = &self.vm {
            vm.drive(self.id, input);
        }
    }

    /// Has the verdict counted, with the time that it took, once there is one; what the host is told
    /// to do stands by then.
    fn decided<T>(&self, told: T) -> T {
        if let Some(vm) = &self.vm
            && !self.is_decided.get()
            && vm.is_decided(self.id)
        {
            self.is_decided.set(true);
            vm.drive(self.id, Input::Decided { stream: StreamId(self.id) });
        }
        told
    }

    /// Requests go on only when the machine says so.
    fn request_action(&self) -> Action {
        let Some(vm) = &self.vm else { return Action::Pause };
        if !vm.holds(self.id) {
            return Action::Continue;
        }
        if vm.host().is_some_and(|host| !host.timers) && !vm.has_acted() {
            // Nothing would ever wake it: such a host does not survive the pause.
            refuse();
        }
        Action::Pause
    }

    /// The same at the head, behind which some hosts bring the body only once it has gone on.
    fn head_action(&self) -> Action {
        let Some(vm) = &self.vm else { return Action::Pause };
        if vm.holds_head(self.id) {
            return self.request_action();
        }
        if vm.holds(self.id) && vm.host().is_some_and(|host| host.shows_bodies_on_request) {
            // Without it the request would go on, and nobody would look at its body.
            if let Err(status) = host::set_property(ASKS_FOR_REQUEST_BODY, "true") {
                log::warn!("the host shows no bodies: status {}", status.0);
                refuse();
                return Action::Pause;
            }
        }
        Action::Continue
    }

    /// More of the body has come, of which `size` bytes are there now; none are said where it has ended
    /// with trailers.
    fn body_grows(&self, size: Option<usize>, end: bool) {
        let stream = StreamId(self.id);
        let Some(read) = self.vm.as_ref().and_then(|vm| vm.body_read(self.id)) else {
            return match size {
                Some(size) if !end => self.input(Input::RequestBodyGrows { stream, size }),
                size => self.body_complete(size.unwrap_or(0)),
            };
        };
        let shown = match size {
            // Envoy fails where it is asked for what lies beyond the end.
            Some(size) if size <= read => Ok(Vec::new()),
            Some(_) => host::buffer_from(Buffer::RequestBody, read),
            None => host::buffer(Buffer::RequestBody)
                .map(|body| body.get(read..).unwrap_or_default().to_vec()),
        };
        let part = shown.unwrap_or_default();
        let there = read.saturating_add(part.len());
        let size = size.unwrap_or(there);
        if read < usize::MAX && size != there {
            // Something else than what was read would go upstream.
            return self.input(Input::EditRefused { stream });
        }
        self.input(Input::RequestBodyPart { stream, part: &part, size, end });
    }

    fn body_complete(&self, size: usize) {
        let stream = StreamId(self.id);
        let shown = if size == 0 && self.kind() == HostKind::Apisix {
            // wasm-nginx-module leaves the last request's body in place where this one has none.
            Ok(Vec::new())
        } else {
            host::buffer(Buffer::RequestBody)
        };
        let body = shown.unwrap_or_default();
        if body.is_empty() && size > 0 {
            // nginx keeps what does not fit its buffer in a file, which not every host reads.
            self.input(Input::RequestBodyGrows { stream, size: usize::MAX });
        } else {
            self.input(Input::RequestBody { stream, body: &body });
        }
    }

    /// What must not reach the upstream in the head must not reach it behind the body either.
    fn strip_trailers(&self) {
        let names = host::header_pairs(Map::RequestTrailers)
            .map(|trailers| not_for_upstream(&trailers, Betas::Removed));
        let stripped = names.and_then(|names| {
            names.iter().try_for_each(|name| host::remove_header(Map::RequestTrailers, name))
        });
        if stripped.is_err() {
            self.input(Input::EditRefused { stream: StreamId(self.id) });
        }
    }

    /// A head with its names in lower case. Envoy makes them so; nginx' modules show them as they were
    /// written, and find them in whatever case they are named.
    fn head(&self, map: Map) -> Result<Headers, host::Status> {
        let mut pairs = host::header_pairs(map)?;
        if self.kind() != HostKind::Envoy {
            pairs.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        }
        Ok(pairs)
    }

    fn kind(&self) -> HostKind {
        self.vm.as_ref().map(|vm| vm.kind()).unwrap_or_default()
    }

    /// From where the request comes.
    fn client_address(&self) -> Option<IpAddr> {
        let name = match self.kind() {
            HostKind::Envoy => "source\0address",
            HostKind::Apisix => "remote_addr",
            HostKind::NgxWasm => "ngx\0remote_addr",
        };
        host::property(name).and_then(|text| ip_of(&text))
    }

    /// Why an answer is what it is, in Envoy's words. nginx says when its upstream had a connection, and
    /// when an answer of it had begun.
    fn details(&self, headers: &Headers) -> Option<Vec<u8>> {
        let (connect, header) = match self.kind() {
            HostKind::Envoy => return host::property("response\0code_details"),
            HostKind::Apisix => ("upstream_connect_time", "upstream_header_time"),
            HostKind::NgxWasm => ("ngx\0upstream_connect_time", "ngx\0upstream_header_time"),
        };
        let is_of_gateway = |(name, value): &(Vec<u8>, Vec<u8>)| {
            name == b":status" && matches!(value.as_slice(), b"502" | b"504")
        };
        if !headers.iter().any(is_of_gateway) {
            return None;
        }
        let happened =
            |name| host::property(name).map(|time| time.last().is_some_and(u8::is_ascii_digit));
        let was_connected = happened(connect).unwrap_or(true);
        let has_answered = happened(header).unwrap_or(false);
        (was_connected && !has_answered).then(|| b"upstream_reset".to_vec())
    }

    fn end(&self) {
        self.input(Input::End { stream: StreamId(self.id) });
    }
}

impl Context for Http {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, _: usize, _: usize) {
        if let Some(vm) = &self.vm {
            vm.call_answered(self.id, token, num_headers);
            if self.kind() != HostKind::Envoy && vm.holds_head(self.id) && !vm.has_acted() {
                // Such a host lets the request go on now, decided or not.
                refuse();
            }
        }
        self.decided(());
    }

    fn on_done(&mut self) -> bool {
        self.end();
        true
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let stream = StreamId(self.id);
        if let Some(vm) = &self.vm {
            vm.find_host();
        }
        match self.head(Map::Request) {
            Ok(headers) if self.vm.is_some() => {
                #[cfg(feature = "trap")]
                crate::trap::if_asked(&headers);
                let address = self.client_address();
                let (headers, end) = (&headers, end_of_stream);
                self.input(Input::RequestHeaders { stream, headers, address, end });
            }
            _ => {
                refuse();
                return Action::Pause;
            }
        }
        self.decided(self.head_action())
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.body_grows(Some(size), end_of_stream);
        self.decided(self.request_action())
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.strip_trailers();
        // With trailers no body callback ever says that it is the last.
        self.body_grows(None, true);
        self.decided(self.request_action())
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        // Answers of our own are complete already.
        if self.vm.as_ref().is_some_and(|vm| !vm.holds(self.id))
            && let Ok(headers) = self.head(Map::Response)
        {
            let stream = StreamId(self.id);
            let is_success =
                |(name, value): &(Vec<u8>, Vec<u8>)| name == b":status" && value.starts_with(b"2");
            let details =
                if headers.iter().any(is_success) { None } else { self.details(&headers) };
            let details = details.as_deref();
            let end = end_of_stream;
            self.input(Input::ResponseHeaders { stream, headers: &headers, details, end });
            if let Some(vm) = &self.vm
                && vm.reads_response(self.id)
                && vm.host().is_some_and(|host| host.shows_bodies_on_request)
                && let Err(status) = host::set_property(ASKS_FOR_ANSWER_BODY, "true")
            {
                // What is not read is charged without its usage.
                log::warn!("the host shows no answers: status {}", status.0);
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, end_of_stream: bool) -> Action {
        if self.vm.as_ref().is_some_and(|vm| vm.reads_response(self.id)) {
            let chunk = host::buffer(Buffer::ResponseBody).unwrap_or_default();
            let stream = StreamId(self.id);
            self.input(Input::ResponseBody { stream, chunk: &chunk, end: end_of_stream });
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        self.end();
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.end();
        if let Some(vm) = &self.vm {
            vm.forget_calls_of(self.id);
        }
    }
}

/// The address of `192.0.2.7:1234` or `[2001:db8::7]:1234`.
fn ip_of(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
    with_port.or_else(|_| text.parse()).ok()
}

/// The last resort: nothing is known, so nothing passes.
fn refuse() {
    let body = concat!(
        r#"{"error":{"message":"The gateway is not configured.","type":"service_unavailable","#,
        r#""param":null,"code":"policy_unavailable"}}"#
    );
    let reply = Reply {
        status: 503,
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("retry-after", "1".to_owned()),
        ],
        body: body.as_bytes().to_vec(),
    };
    if let Err(status) = host::send_local_response(&reply, "tollgate") {
        log::warn!("a host call failed with status {}", status.0);
    }
}
