//! How the proxies that are built on nginx bring a request past one filter.
//!
//! nginx reads the head, then the whole body, and forwards a request only as a whole; the filter
//! is asked once about each. What it answers means less than in Envoy: under APISIX a call-out
//! pauses whatever is returned and nothing else can, and the request goes on after a call-out's
//! callback unless that answers the client or makes the next call. In `ngx_wasm_module` a callback
//! that traps while a request waits lets it through. What would end the worker process is recorded
//! and ends the VM here.

use crate::callout::{CallOut, CallReply};
use crate::error::HostError;
use crate::headers::HeaderMap;
use crate::profile::{Carriage, HeadersEnd};
use crate::stream::{LocalReply, NginxStep, Side};
use crate::trace::Phase;
use crate::violation::ViolationKind;
use crate::vm::start_root;
use crate::vm_core::{Answered, Core};

/// Pause, as a callback answers it.
const PAUSE: u32 = 1;

/// The variables of nginx by which a filter under APISIX asks for bodies.
const WANTS_REQUEST_BODY: &[u8] = b"wasm_process_req_body";
const WANTS_RESPONSE_BODY: &[u8] = b"wasm_process_resp_body";

impl Core {
    /// A request's head has been read.
    pub(crate) fn nginx_request_headers(
        &mut self,
        id: u32,
        headers: HeaderMap,
        end: bool,
    ) -> Result<(), HostError> {
        let limit = self.state().host.borrow().profile.buffer_limit_bytes;
        let too_large = headers.content_length().is_some_and(|length| length > limit);
        let stream = self.stream_mut(id)?;
        stream.request.headers = Some(headers);
        stream.request.headers_live = true;
        stream.request.end_seen = end;
        if too_large {
            return self.nginx_too_large(id);
        }
        if !self.configure_now(id)? {
            self.stream_mut(id)?.failed = true;
            return self.proxy_reply(id, 503, "", "not_configured");
        }
        self.create_stream_context(id)?;
        self.nginx_run(id)
    }

    /// More of a request's body has been read.
    pub(crate) fn nginx_request_data(
        &mut self,
        id: u32,
        data: Vec<u8>,
        end: bool,
    ) -> Result<(), HostError> {
        let (limit, in_memory) = {
            let host = self.state().host.borrow();
            (host.profile.buffer_limit_bytes, host.profile.body_in_memory_bytes)
        };
        let stream = self.stream_mut(id)?;
        if stream.ended || stream.reply_details.is_some() {
            return Ok(());
        }
        stream.request.end_seen |= end;
        if !data.is_empty() {
            stream.request.hold(data);
        }
        let held = stream.request.held.as_ref().map_or(0, Vec::len);
        stream.body_in_file = held > in_memory;
        if held > limit {
            return self.nginx_too_large(id);
        }
        self.nginx_run(id)
    }

    /// nginx reads trailers and forgets them.
    pub(crate) fn nginx_request_trailers(&mut self, id: u32) -> Result<(), HostError> {
        self.stream_mut(id)?.request.end_seen = true;
        self.nginx_run(id)
    }

    fn nginx_too_large(&mut self, id: u32) -> Result<(), HostError> {
        self.local_reply(id, LocalReply::too_large())
    }

    /// Makes the root context that the first request of a worker brings with it.
    fn configure_now(&mut self, id: u32) -> Result<bool, HostError> {
        if let Some(configuration) = self.state().unconfigured.clone() {
            if configuration.is_empty() {
                return Ok(false);
            }
            match start_root(self, &configuration, true) {
                Ok(()) => self.state_mut().unconfigured = None,
                Err(HostError::ConfigurationRefused(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let root = self.state().newest_root;
        self.stream_mut(id)?.root = root;
        Ok(true)
    }

    /// Brings a request as far as it gets.
    pub(crate) fn nginx_run(&mut self, id: u32) -> Result<(), HostError> {
        loop {
            let stream = self.stream(id)?;
            if stream.ended || stream.waiting || stream.reply_details.is_some() {
                return Ok(());
            }
            match stream.step {
                NginxStep::ShowHeaders => self.show_headers(id)?,
                NginxStep::ShowBody if !stream.request.end_seen => return Ok(()),
                NginxStep::ShowBody => self.show_body(id)?,
                NginxStep::Forward if !stream.request.end_seen => return Ok(()),
                NginxStep::Forward => return self.nginx_forward(id),
                NginxStep::Forwarded => return Ok(()),
            }
        }
    }

    fn show_headers(&mut self, id: u32) -> Result<(), HostError> {
        let told = self.state().host.borrow().profile.headers_end == HeadersEnd::AlwaysTrue;
        let carriage = self.state().carriage();
        let stream = self.stream_mut(id)?;
        stream.step = NginxStep::ShowBody;
        let count = match carriage {
            Carriage::Apisix => 0,
            _ => stream.request.headers.as_ref().map_or(0, HeaderMap::len) as u32,
        };
        let answered = self.filter_call(Phase::RequestHeaders, id, &[count, u32::from(told)])?;
        self.nginx_answered(id, answered)
    }

    fn show_body(&mut self, id: u32) -> Result<(), HostError> {
        let carriage = self.state().carriage();
        let stream = self.stream_mut(id)?;
        stream.step = NginxStep::Forward;
        let held = stream.request.held.as_ref().map_or(0, Vec::len) as u32;
        let wanted = match carriage {
            Carriage::Apisix => take_flag(&mut stream.properties, WANTS_REQUEST_BODY),
            _ => held > 0,
        };
        if !wanted {
            return Ok(());
        }
        stream.request.chunk = stream.request.held.take().unwrap_or_default();
        stream.request.body_live = true;
        let body = stream.request.chunk.clone();
        if carriage == Carriage::Apisix && !body.is_empty() {
            self.state_mut().stale_body = body;
        }
        let asked = self.filter_call(Phase::RequestBody, id, &[held, 1]);
        let request = &mut self.stream_mut(id)?.request;
        request.body_live = false;
        request.held = Some(std::mem::take(&mut request.chunk));
        self.nginx_answered(id, asked?)
    }

    /// The whole request leaves.
    fn nginx_forward(&mut self, id: u32) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        stream.step = NginxStep::Forwarded;
        stream.request.headers_continued = true;
        let mut body = stream.request.held.take().unwrap_or_default();
        if let Some(headers) = stream.request.headers.as_mut() {
            // nginx declares what it sends.
            if headers.get("content-length").is_some() || !body.is_empty() {
                headers.set("content-length", body.len().to_string());
            }
        }
        self.pass_headers(id, Side::Request, false)?;
        let body = std::mem::take(&mut body);
        self.pass_data(id, Side::Request, body, true)
    }

    /// What follows from a callback about a request.
    fn nginx_answered(&mut self, id: u32, answered: Answered) -> Result<(), HostError> {
        let pauses = answered.value == Some(PAUSE);
        let calls = self.has_call_of(id);
        let stream = self.stream_mut(id)?;
        if stream.ended {
            return Ok(());
        }
        let reply = stream.prepared_reply.take();
        match (self.state().carriage(), reply) {
            // The call is looked at first, and the answer's status is forgotten for it.
            (Carriage::Apisix, reply) if calls => {
                if let Some(reply) = reply {
                    let detail = format!("{} beside a call-out", reply.status);
                    self.violation(id, ViolationKind::ReplyLost, detail);
                    self.stream_mut(id)?.local_reply_asked = false;
                }
                self.stream_mut(id)?.waiting = true;
                Ok(())
            }
            (_, Some(reply)) => self.nginx_reply(id, reply),
            (Carriage::Apisix, None) if pauses => {
                self.crash(id, "paused with neither a call-out nor an answer under way")
            }
            (Carriage::NgxWasm, None) if calls && !pauses => {
                self.crash(id, "went on with a call-out under way")
            }
            (_, None) => {
                // Without a call-out only the guest can end this.
                let told = std::mem::take(&mut self.stream_mut(id)?.told_to_continue);
                self.stream_mut(id)?.waiting = pauses && !told;
                Ok(())
            }
        }
    }

    /// A call-out that a request waits for has been answered, or failed.
    pub(crate) fn nginx_call_answered(
        &mut self,
        call: &CallOut,
        reply: CallReply,
    ) -> Result<(), HostError> {
        let id = call.context;
        let stream = self.stream_mut(id)?;
        if stream.ended {
            return Ok(());
        }
        stream.in_callback = true;
        stream.told_to_continue = false;
        let sizes = [
            call.token,
            reply.headers.len() as u32,
            reply.body.len() as u32,
            reply.trailers.len() as u32,
        ];
        let state = self.state_mut();
        (state.reply, state.acting) = (Some((call.root, reply)), Some(id));
        let outcome = self.call(Phase::CallReply, call.root, &sizes);
        let state = self.state_mut();
        (state.reply, state.acting) = (None, None);
        let carriage = state.carriage();
        let stream = self.stream_mut(id)?;
        (stream.in_callback, stream.waiting) = (false, false);
        if let Err(error) = outcome {
            match carriage {
                // Seen: the request goes to the upstream as it is.
                Carriage::NgxWasm => {
                    stream.failed = true;
                    self.nginx_forward(id)?;
                }
                _ => self.fail_stream(id)?,
            }
            return Err(error);
        }
        let calls = self.has_call_of(id);
        let stream = self.stream_mut(id)?;
        let reply = stream.prepared_reply.take();
        let told = std::mem::take(&mut stream.told_to_continue);
        match reply {
            Some(reply) if carriage == Carriage::Apisix && calls => {
                let detail = format!("{} beside a call-out", reply.status);
                stream.local_reply_asked = false;
                stream.waiting = true;
                self.violation(id, ViolationKind::ReplyLost, detail);
                Ok(())
            }
            Some(reply) => self.nginx_reply(id, reply),
            None if calls && !told => {
                stream.waiting = true;
                Ok(())
            }
            None => self.nginx_run(id),
        }
    }

    /// The filter's own answer, as the engine sends it.
    fn nginx_reply(&mut self, id: u32, mut reply: LocalReply) -> Result<(), HostError> {
        self.drop_calls_of(id);
        match self.state().carriage() {
            Carriage::NgxWasm => reply.body.push(b'\n'),
            _ if reply.body.is_empty() => {
                reply.body = format!("<html><h1>{}</h1></html>", reply.status).into_bytes();
            }
            _ => {}
        }
        self.local_reply(id, reply)
    }

    /// The worker process would have died.
    fn crash(&mut self, id: u32, why: &str) -> Result<(), HostError> {
        self.violation(id, ViolationKind::WorkerCrashed, why);
        self.kill(why);
        let stream = self.stream_mut(id)?;
        (stream.ended, stream.deleted, stream.client.reset) = (true, true, true);
        Err(HostError::DeadVm(why.to_owned()))
    }

    /// A response's head has come.
    pub(crate) fn nginx_response_headers(
        &mut self,
        id: u32,
        headers: HeaderMap,
        end: bool,
    ) -> Result<(), HostError> {
        let carriage = self.state().carriage();
        let dead = self.dead.is_some();
        let stream = self.stream_mut(id)?;
        let count = headers.len() as u32;
        stream.response.headers = Some(headers);
        stream.response.end_seen = end;
        if stream.created && !stream.failed && !dead {
            stream.response.headers_live = true;
            let arguments = if carriage == Carriage::Apisix { [0, 1] } else { [count, 0] };
            let outcome = self.call(Phase::ResponseHeaders, id, &arguments);
            self.stream_mut(id)?.response.headers_live = false;
            match outcome {
                Ok(answered) if answered.value == Some(PAUSE) => self.cannot_pause(id),
                Ok(_) => {}
                Err(error) => {
                    // Ignored by the proxy, not by the test.
                    self.pass_headers(id, Side::Response, end)?;
                    return Err(error);
                }
            }
        }
        let stream = self.stream_mut(id)?;
        stream.response.headers_continued = true;
        if carriage == Carriage::Apisix && stream.created {
            stream.response.buffering = take_flag(&mut stream.properties, WANTS_RESPONSE_BODY);
        }
        self.pass_headers(id, Side::Response, end)
    }

    /// A piece of a response has come; its end comes as a piece of its own.
    pub(crate) fn nginx_response_data(
        &mut self,
        id: u32,
        data: Vec<u8>,
        end: bool,
    ) -> Result<(), HostError> {
        if !data.is_empty() {
            self.nginx_response_piece(id, data, false)?;
        }
        if end && !self.stream(id)?.ended {
            self.nginx_response_piece(id, Vec::new(), true)?;
        }
        Ok(())
    }

    fn nginx_response_piece(&mut self, id: u32, data: Vec<u8>, end: bool) -> Result<(), HostError> {
        let carriage = self.state().carriage();
        let dead = self.dead.is_some();
        let stream = self.stream_mut(id)?;
        if stream.ended {
            return Ok(());
        }
        // Under APISIX `buffering` says that the filter asked for the body.
        let wanted = carriage != Carriage::Apisix || stream.response.buffering;
        if !stream.created || stream.failed || dead || !wanted {
            return self.pass_data(id, Side::Response, data, end);
        }
        let asked_for = std::mem::replace(&mut stream.response.buffering, false);
        let length = data.len() as u32;
        stream.response.chunk = data;
        stream.response.body_live = true;
        let outcome = self.call(Phase::ResponseBody, id, &[length, u32::from(end)]);
        let response = &mut self.stream_mut(id)?.response;
        (response.body_live, response.buffering) = (false, asked_for);
        let chunk = std::mem::take(&mut response.chunk);
        match &outcome {
            Ok(answered) if answered.value == Some(PAUSE) => self.cannot_pause(id),
            _ => {}
        }
        self.pass_data(id, Side::Response, chunk, end)?;
        outcome.map(|_| ())
    }

    fn cannot_pause(&mut self, id: u32) {
        self.violation(id, ViolationKind::CannotPause, "a response");
    }

    /// Whether a call-out that was made for this stream has no answer yet.
    fn has_call_of(&self, id: u32) -> bool {
        let state = self.state();
        let host = state.host.borrow();
        host.calls.values().any(|one| one.call.vm == state.index && one.call.context == id)
    }

    /// Forgets the call-outs of a stream that is over.
    pub(crate) fn drop_calls_of(&mut self, id: u32) {
        let index = self.state().index;
        self.state().host.borrow_mut().drop_calls_of_stream(index, id);
    }
}

/// Reads a variable that the filter sets to ask for something, and clears it.
fn take_flag(properties: &mut std::collections::BTreeMap<Vec<u8>, Vec<u8>>, name: &[u8]) -> bool {
    properties.remove(name).is_some_and(|value| !value.is_empty())
}
