//! Stream callbacks.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use gate::header_filter::{Betas, not_for_upstream};
use gate::{Input, Reply, StreamId};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::drive::Vm;
use crate::host::{self, Buffer, Map};

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

    /// Has the verdict counted, with the time that it took, once there is one.
    fn decided(&self) {
        if let Some(vm) = &self.vm
            && !self.is_decided.get()
            && vm.is_decided(self.id)
        {
            self.is_decided.set(true);
            vm.drive(self.id, Input::Decided { stream: StreamId(self.id) });
        }
    }

    /// Requests go on only when the machine says so.
    fn request_action(&self) -> Action {
        self.decided();
        let held = self.vm.as_ref().is_none_or(|vm| vm.holds(self.id));
        if held { Action::Pause } else { Action::Continue }
    }

    fn body_complete(&self) {
        let body = host::buffer(Buffer::RequestBody).unwrap_or_default();
        self.input(Input::RequestBody { stream: StreamId(self.id), body: &body });
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

    fn end(&self) {
        self.input(Input::End { stream: StreamId(self.id) });
    }
}

impl Context for Http {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, _: usize, _: usize) {
        if let Some(vm) = &self.vm {
            vm.call_answered(self.id, token, num_headers);
        }
        self.decided();
    }

    fn on_done(&mut self) -> bool {
        self.end();
        true
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let stream = StreamId(self.id);
        match host::header_pairs(Map::Request) {
            Ok(headers) if self.vm.is_some() => {
                #[cfg(feature = "trap")]
                crate::trap::if_asked(&headers);
                let address = host::property("source\0address").and_then(|text| ip_of(&text));
                let (headers, end) = (&headers, end_of_stream);
                self.input(Input::RequestHeaders { stream, headers, address, end });
            }
            _ => refuse(),
        }
        self.request_action()
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if end_of_stream {
            self.body_complete();
        } else {
            self.input(Input::RequestBodyGrows { stream: StreamId(self.id), size });
        }
        self.request_action()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.strip_trailers();
        // With trailers no body callback ever says that it is the last.
        self.body_complete();
        self.request_action()
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        // Answers of our own are complete already.
        if self.vm.as_ref().is_some_and(|vm| !vm.holds(self.id))
            && let Ok(headers) = host::header_pairs(Map::Response)
        {
            let stream = StreamId(self.id);
            let is_success =
                |(name, value): &(Vec<u8>, Vec<u8>)| name == b":status" && value.starts_with(b"2");
            let details = if headers.iter().any(is_success) {
                None
            } else {
                host::property("response\0code_details")
            };
            let details = details.as_deref();
            let end = end_of_stream;
            self.input(Input::ResponseHeaders { stream, headers: &headers, details, end });
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
    text.parse::<SocketAddr>().map(|address| address.ip()).ok()
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
