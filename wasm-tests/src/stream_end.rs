//! How a stream is answered by the proxy itself, cut off, and ended.

use crate::error::HostError;
use crate::headers::HeaderMap;
use crate::profile::{Carriage, Ending};
use crate::stream::{Iteration, LocalReply, Side};
use crate::trace::Phase;
use crate::violation::ViolationKind;
use crate::vm_core::Core;

impl Core {
    /// The guest is told of a new stream.
    pub(crate) fn create_stream_context(&mut self, id: u32) -> Result<(), HostError> {
        let stream = self.stream(id)?;
        if stream.created {
            return Ok(());
        }
        let root = stream.root;
        if let Err(error) = self.call(Phase::ContextCreate, id, &[root]) {
            self.fail_stream(id)?;
            return Err(error);
        }
        self.stream_mut(id)?.created = true;
        Ok(())
    }

    /// A host call told the stream to go on.
    pub(crate) fn continue_asked(&mut self, id: u32, side: Side) -> Result<(), HostError> {
        let Ok(stream) = self.stream_mut(id) else {
            return Ok(());
        };
        if stream.ended {
            return Ok(());
        }
        if self.state().carriage() != Carriage::FilterManager {
            self.stream_mut(id)?.told_to_continue = true;
            return Ok(());
        }
        let half = self.stream(id)?.half(side);
        let begun = half.headers.is_some();
        if half.iteration == Iteration::Going || !begun {
            self.violation(id, ViolationKind::ContinueNotPaused, format!("{side:?}"));
            if !begun {
                return Ok(());
            }
        }
        if side == Side::Request && self.stream(id)?.reply_details.is_some() {
            return Ok(());
        }
        self.resume(id, side)?;
        self.run_prepared_reply(id)
    }

    /// A host call told the stream to be reset.
    pub(crate) fn close_asked(&mut self, id: u32) -> Result<(), HostError> {
        let Ok(stream) = self.stream_mut(id) else {
            return Ok(());
        };
        stream.close_asked = true;
        if stream.local_reply_asked && stream.client.headers.is_none() {
            let detail = "response callbacks come after delete";
            self.violation(id, ViolationKind::CloseWithLocalReply, detail);
        }
        self.cut_off(id)
    }

    /// A host call asked for a local reply. Inside a callback of the stream it waits for the
    /// callback's return; otherwise it happens now.
    pub(crate) fn local_reply_asked(
        &mut self,
        id: u32,
        reply: LocalReply,
    ) -> Result<(), HostError> {
        let Ok(stream) = self.stream_mut(id) else {
            return Ok(());
        };
        if stream.ended {
            return Ok(());
        }
        if stream.in_callback {
            stream.prepared_reply.get_or_insert(reply);
            return Ok(());
        }
        self.local_reply(id, reply)
    }

    /// Sends the local reply that waited for a callback to return, if there is one.
    pub(crate) fn run_prepared_reply(&mut self, id: u32) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        match stream.prepared_reply.take() {
            Some(_) if stream.ended => Ok(()),
            Some(reply) => self.local_reply(id, reply),
            None => Ok(()),
        }
    }

    /// The proxy answers: through the filter if no response has begun, past it if the response
    /// headers are still with the filter, and by a reset if they have left already.
    pub(crate) fn local_reply(&mut self, id: u32, reply: LocalReply) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        if stream.client.headers.is_some() {
            return self.cut_off(id);
        }
        let begun = stream.response.headers.is_some();
        stream.reply_details = Some(reply.details.clone());
        let headers = reply_headers(&reply);
        if begun {
            stream.client.headers = Some(headers);
            if !reply.body.is_empty() {
                stream.client.chunks.push(reply.body);
            }
            stream.client.complete = true;
            return self.end_stream(id);
        }
        let empty = reply.body.is_empty();
        self.receive_headers(id, Side::Response, headers, empty)?;
        if !empty && !self.stream(id)?.ended {
            self.receive_data(id, Side::Response, reply.body, true)?;
        }
        Ok(())
    }

    /// An answer that the proxy makes of its own accord.
    pub(crate) fn proxy_reply(
        &mut self,
        id: u32,
        status: u32,
        body: &str,
        details: &str,
    ) -> Result<(), HostError> {
        let reply = LocalReply {
            status,
            headers: HeaderMap::default(),
            body: body.as_bytes().to_vec(),
            details: details.as_bytes().to_vec(),
        };
        self.local_reply(id, reply)
    }

    /// The proxy could not get an answer from the upstream.
    pub(crate) fn upstream_failed(&mut self, id: u32, why: &str) -> Result<(), HostError> {
        if self.state().carriage() != Carriage::FilterManager {
            return self.proxy_reply(id, 502, "<html><h1>502 Bad Gateway</h1></html>", "nginx");
        }
        let body = format!(
            "upstream connect error or disconnect/reset before headers. reset reason: {why}"
        );
        let details =
            format!("upstream_reset_before_response_started{{{}}}", why.replace(' ', "_"));
        self.proxy_reply(id, 503, &body, &details)
    }

    /// A held body passed the buffer limit.
    pub(crate) fn too_large(&mut self, id: u32, side: Side) -> Result<(), HostError> {
        match side {
            Side::Request => self.local_reply(id, LocalReply::too_large()),
            Side::Response => {
                self.proxy_reply(id, 500, "Internal Server Error", "response_payload_too_large")
            }
        }
    }

    /// The VM failed inside a callback of this stream: 503 past the filter, or a cut.
    pub(crate) fn fail_stream(&mut self, id: u32) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        if stream.failed || stream.ended {
            return Ok(());
        }
        stream.failed = true;
        stream.prepared_reply = None;
        let status = if self.state().carriage() == Carriage::NgxWasm { 500 } else { 503 };
        self.proxy_reply(id, status, "", "wasm_fail_stream")
    }

    /// The stream is reset: the client left, the upstream broke off, or the filter closed it.
    pub(crate) fn cut_off(&mut self, id: u32) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        if !stream.ended {
            stream.client.reset = true;
        }
        self.end_stream(id)
    }

    /// The last callbacks of a stream, in the proxy's order.
    pub(crate) fn end_stream(&mut self, id: u32) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        if std::mem::replace(&mut stream.ended, true) {
            return Ok(());
        }
        let answered_by_proxy = stream.reply_details.is_some();
        let upstream = &mut stream.upstream;
        if upstream.headers.is_some()
            && (!upstream.complete || stream.client.reset || answered_by_proxy)
        {
            upstream.reset = true;
        }
        let carriage = self.state().carriage();
        if carriage != Carriage::FilterManager {
            self.drop_calls_of(id);
            // APISIX makes the last callbacks when the request is no more.
            self.stream_mut(id)?.detached = carriage == Carriage::Apisix;
        }
        let endings = self.state().host.borrow().profile.endings;
        for ending in endings {
            if self.dead.is_some() {
                break;
            }
            match ending {
                Ending::Log if carriage == Carriage::NgxWasm && self.is_untold(id)? => {}
                Ending::Log => {
                    self.create_stream_context(id)?;
                    self.stream_mut(id)?.log_phase = true;
                    self.call(Phase::Log, id, &[])?;
                    self.stream_mut(id)?.log_phase = false;
                }
                Ending::Done if self.stream(id)?.created && !self.is_untold(id)? => {
                    self.call(Phase::Done, id, &[])?;
                }
                Ending::Delete if self.stream(id)?.created && !self.is_untold(id)? => {
                    self.call(Phase::Delete, id, &[])?;
                }
                Ending::Done | Ending::Delete => {}
            }
        }
        // A guest that is never told of the end must still be able to name the stream.
        let stream = self.stream_mut(id)?;
        stream.deleted = !stream.created || endings.contains(&Ending::Delete);
        Ok(())
    }
}

impl Core {
    /// The guest is not told how a stream ends that it was never told of, or in which it failed.
    fn is_untold(&self, id: u32) -> Result<bool, HostError> {
        let stream = self.stream(id)?;
        let nginx = self.state().carriage() != Carriage::FilterManager;
        Ok(nginx && (!stream.created || stream.failed))
    }
}

/// The headers of a local reply: the length is always the body's, the type is text unless the
/// filter said otherwise, and neither is sent without a body.
fn reply_headers(reply: &LocalReply) -> HeaderMap {
    let mut headers = HeaderMap::from_pairs([(":status", reply.status.to_string())]);
    for (name, value) in reply.headers.pairs() {
        headers.add(name, value);
    }
    if reply.body.is_empty() {
        headers.remove("content-length");
        headers.remove("content-type");
    } else {
        headers.set("content-length", reply.body.len().to_string());
        if headers.get("content-type").is_none() {
            headers.set("content-type", "text/plain");
        }
    }
    headers
}
