//! One HTTP exchange, step by step: what the client sends, what the upstream answers, and what
//! each of them has received.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::HostError;
use crate::headers::HeaderMap;
use crate::stream::{Received, Side};
use crate::vm::Vm;
use crate::vm_core::Core;

/// How a message tells that it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MessageEnd {
    /// The last piece says so itself.
    #[default]
    OnLastPiece,
    /// One more empty piece says so, as Envoy does for HTTP/1.
    ExtraEmptyPiece,
    /// Trailers follow, so no piece of the body says so.
    Trailers(HeaderMap),
}

/// A stream under way. Dropping it does not end it; [`finish`](Self::finish) does.
pub struct Exchange {
    vm: Vm,
    id: Rc<Cell<u32>>,
    /// Steps that no proxy makes in this order are errors of the test.
    orderly: bool,
}

impl Exchange {
    pub(crate) fn new(vm: Vm, id: Rc<Cell<u32>>) -> Self {
        Self { vm, id, orderly: true }
    }

    /// The same stream without the order that proxies keep: any step may come at any time and as
    /// often as one likes, until the stream is over. The guest is told of the stream at once, since
    /// no host uses ids that the guest was not told of or that have been deleted.
    pub fn disorderly(mut self) -> Result<Self, HostError> {
        self.orderly = false;
        self.step(|core, id| core.create_stream_context(id))?;
        Ok(self)
    }

    /// The context id that the guest knows this stream by.
    pub fn context(&self) -> u32 {
        self.id.get()
    }

    /// Sets a property of this stream, by its path segments.
    pub fn set_property(&self, path: &[&str], value: impl AsRef<[u8]>) -> Result<(), HostError> {
        let key = path.join("\0").into_bytes();
        self.quietly(|core, id| {
            core.stream_mut(id)?.properties.insert(key, value.as_ref().to_vec());
            Ok(())
        })
    }

    /// A property that the guest has set, by its path.
    pub fn filter_state(&self, path: &str) -> Option<Vec<u8>> {
        let key = format!("wasm.{path}").into_bytes();
        self.quietly(|core, id| Ok(core.stream(id)?.properties.get(&key).cloned())).ok().flatten()
    }

    /// Names as this proxy keeps those that come in: where it leaves them as they are, as those who
    /// speak HTTP/1.1 write them.
    fn written<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> HeaderMap {
        let as_written =
            |core: &mut Core, _| Ok(core.state().host.borrow().profile.names_as_written);
        if self.quietly(as_written).unwrap_or(false) {
            HeaderMap::in_capitals(headers)
        } else {
            HeaderMap::from_pairs(headers)
        }
    }

    /// The client sends its request headers; `end` if nothing follows.
    pub fn send_headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        end: bool,
    ) -> Result<(), HostError> {
        let map = self.written(headers);
        self.step(|core, id| {
            self.expect(
                core.stream(id)?.request.headers.is_none(),
                "request headers were sent twice",
            )?;
            core.receive_headers(id, Side::Request, map, end)
        })
    }

    /// The client sends a piece of its body. Ignored once the stream is over.
    pub fn send_body(&self, piece: impl AsRef<[u8]>, end: bool) -> Result<(), HostError> {
        let piece = piece.as_ref().to_vec();
        self.step(|core, id| {
            self.expect(!core.stream(id)?.request.end_seen, "the request was over already")?;
            core.receive_data(id, Side::Request, piece, end)
        })
    }

    /// The client sends trailers, which end the request.
    pub fn send_trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        trailers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), HostError> {
        let map = HeaderMap::from_pairs(trailers);
        self.step(|core, id| {
            self.expect(!core.stream(id)?.request.end_seen, "the request was over already")?;
            core.receive_trailers(id, Side::Request, map)
        })
    }

    /// The upstream sends response headers; `end` if nothing follows.
    pub fn respond_headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        end: bool,
    ) -> Result<(), HostError> {
        let map = self.written(headers);
        self.step(|core, id| {
            if core.stream(id)?.ended {
                return Ok(());
            }
            self.expect(core.stream(id)?.upstream.headers.is_some(), "nothing was forwarded")?;
            self.expect(core.stream(id)?.response.headers.is_none(), "the response had begun")?;
            core.receive_headers(id, Side::Response, map, end)
        })
    }

    /// The upstream sends a piece of the response body. Ignored once the stream is over.
    pub fn respond_body(&self, piece: impl AsRef<[u8]>, end: bool) -> Result<(), HostError> {
        let piece = piece.as_ref().to_vec();
        self.step(|core, id| {
            self.expect(core.stream(id)?.response.headers.is_some(), "a body before its headers")?;
            core.receive_data(id, Side::Response, piece, end)
        })
    }

    /// The upstream sends response trailers, which end the response.
    pub fn respond_trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        trailers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), HostError> {
        let map = HeaderMap::from_pairs(trailers);
        self.step(|core, id| core.receive_trailers(id, Side::Response, map))
    }

    /// The upstream answers with a whole response in pieces; the length is not declared.
    pub fn respond<P: AsRef<[u8]>>(
        &self,
        status: u16,
        headers: &[(&str, &str)],
        pieces: impl IntoIterator<Item = P>,
    ) -> Result<(), HostError> {
        let status = status.to_string();
        let mut all = vec![(":status", status.as_str())];
        all.extend_from_slice(headers);
        let pieces: Vec<P> = pieces.into_iter().collect();
        self.respond_headers(all, pieces.is_empty())?;
        let count = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            self.respond_body(piece, index + 1 == count)?;
        }
        Ok(())
    }

    /// The upstream could not be reached: the proxy answers 503 itself.
    pub fn upstream_refused(&self) -> Result<(), HostError> {
        self.step(|core, id| {
            let stream = core.stream(id)?;
            self.expect(stream.upstream.headers.is_some(), "nothing was forwarded")?;
            self.expect(stream.response.headers.is_none(), "the response had begun")?;
            core.stream_mut(id)?.upstream.reset = true;
            core.upstream_failed(id, "remote connection failure")
        })
    }

    /// The upstream breaks off: 503 if no response has begun, otherwise the client is cut off.
    pub fn upstream_reset(&self) -> Result<(), HostError> {
        self.step(|core, id| {
            let stream = core.stream_mut(id)?;
            if stream.ended {
                return Ok(());
            }
            stream.upstream.reset = true;
            if stream.response.headers.is_some() {
                return core.cut_off(id);
            }
            stream.upstream_connected = true;
            core.upstream_failed(id, "connection termination")
        })
    }

    /// The client goes away.
    pub fn client_disconnect(&self) -> Result<(), HostError> {
        self.step(|core, id| core.cut_off(id))
    }

    /// Ends the stream if it has not ended by itself: the client goes away.
    pub fn finish(&self) -> Result<(), HostError> {
        if self.ended() { Ok(()) } else { self.client_disconnect() }
    }

    /// Whether the last callbacks of this stream have been made.
    pub fn ended(&self) -> bool {
        self.quietly(|core, id| Ok(core.stream(id)?.ended)).unwrap_or(true)
    }

    /// What the upstream has received.
    pub fn forwarded(&self) -> Received {
        self.quietly(|core, id| Ok(core.stream(id)?.upstream.clone())).unwrap_or_default()
    }

    /// The last piece of the body that the client has received: a long body is not copied for it.
    pub fn last_chunk_to_client(&self) -> Vec<u8> {
        let last = self.quietly(|core, id| Ok(core.stream(id)?.client.chunks.last().cloned()));
        last.ok().flatten().unwrap_or_default()
    }

    /// What the client has received.
    pub fn client(&self) -> Received {
        self.quietly(|core, id| Ok(core.stream(id)?.client.clone())).unwrap_or_default()
    }

    /// The status that the client has received, if any.
    pub fn status(&self) -> Option<u16> {
        self.client().status()
    }

    /// The details of the answer, if the proxy or the filter made it and not the upstream.
    pub fn local_reply_details(&self) -> Option<String> {
        let details = self.quietly(|core, id| Ok(core.stream(id)?.reply_details.clone()));
        details.ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn expect(&self, holds: bool, otherwise: &str) -> Result<(), HostError> {
        if holds || !self.orderly {
            return Ok(());
        }
        Err(HostError::Script(otherwise.to_owned()))
    }

    fn step(
        &self,
        work: impl FnOnce(&mut Core, u32) -> Result<(), HostError>,
    ) -> Result<(), HostError> {
        if self.orderly || !self.ended() {
            self.quietly(work)?;
        }
        self.vm.host.settle_if_automatic()
    }

    fn quietly<R>(
        &self,
        work: impl FnOnce(&mut Core, u32) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        self.vm.inner.with(|core| work(core, self.id.get()))
    }
}

impl Drop for Exchange {
    /// Forgets the record of a stream that is over; one that still runs stays in the VM.
    fn drop(&mut self) {
        let id = self.id.get();
        let forgotten = self.vm.inner.with(|core| {
            if core.stream(id)?.deleted {
                core.state_mut().forget_stream(id);
            }
            Ok(())
        });
        // Gone already means that there is nothing to forget.
        drop(forgotten);
    }
}

/// A request described as a whole.
pub struct RequestScript {
    vm: Vm,
    headers: HeaderMap,
    pieces: Vec<Vec<u8>>,
    end: MessageEnd,
}

impl RequestScript {
    pub(crate) fn new(vm: Vm, headers: HeaderMap) -> Self {
        Self { vm, headers, pieces: Vec::new(), end: MessageEnd::default() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Gives the body in pieces, as they will be delivered.
    pub fn body<P: AsRef<[u8]>>(mut self, pieces: impl IntoIterator<Item = P>) -> Self {
        self.pieces = pieces.into_iter().map(|piece| piece.as_ref().to_vec()).collect();
        self
    }

    /// Gives a JSON body in one piece.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body([value.to_string()])
    }

    /// Says how the request ends. Without a word it ends as the profile has it.
    pub fn ending(mut self, end: MessageEnd) -> Self {
        self.end = end;
        self
    }

    /// Sends all of it. The filter may answer or hold it; the exchange tells.
    pub fn send(mut self) -> Result<Exchange, HostError> {
        let exchange = self.vm.open();
        let trailers = self.vm.host.state.borrow().profile.request_trailers;
        if trailers && self.end == MessageEnd::OnLastPiece && !self.pieces.is_empty() {
            self.end = MessageEnd::Trailers(HeaderMap::from_pairs([("x-checksum", "1")]));
        }
        let pieces = self.pieces.len();
        let on_last = self.end == MessageEnd::OnLastPiece;
        exchange.send_headers(self.headers.pairs(), pieces == 0 && on_last)?;
        for (index, piece) in self.pieces.iter().enumerate() {
            exchange.send_body(piece, on_last && index + 1 == pieces)?;
        }
        match self.end {
            MessageEnd::OnLastPiece => {}
            MessageEnd::ExtraEmptyPiece => exchange.send_body([], true)?,
            MessageEnd::Trailers(trailers) => exchange.send_trailers(trailers.pairs())?,
        }
        Ok(exchange)
    }
}
