//! One HTTP stream as the proxy sees it: two directions, what waits in each, and what left.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::headers::HeaderMap;

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// Whether a direction goes on to the next filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Iteration {
    #[default]
    Going,
    /// Stopped here; this filter still sees what follows.
    StoppedHere,
    /// Stopped entirely; this filter sees nothing more until it continues. `counts` says whether
    /// the buffer limit answers 413 or only holds the sender back.
    StoppedAll { counts: bool },
}

/// What nginx does next with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NginxStep {
    #[default]
    ShowHeaders,
    ShowBody,
    Forward,
    Forwarded,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) headers: Option<HeaderMap>,
    /// The filter may read and edit the headers.
    pub(crate) headers_live: bool,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) trailers_live: bool,
    pub(crate) iteration: Iteration,
    /// The headers went on.
    pub(crate) headers_continued: bool,
    /// The last body callback asked to hold the body, so the filter sees all that is held.
    pub(crate) buffering: bool,
    /// The filter may read and edit the body.
    pub(crate) body_live: bool,
    /// What the current body callback is about.
    pub(crate) chunk: Vec<u8>,
    /// What is held back.
    pub(crate) held: Option<Vec<u8>>,
    /// The sender has said all.
    pub(crate) end_seen: bool,
    /// The filter itself added trailers in the last body callback.
    pub(crate) trailers_added: bool,
}

impl Half {
    /// The body that the filter can see now.
    pub(crate) fn visible_body(&self) -> Option<&Vec<u8>> {
        if self.buffering {
            self.held.as_ref()
        } else if self.body_live {
            Some(&self.chunk)
        } else {
            None
        }
    }

    /// The body that the filter can change now.
    pub(crate) fn visible_body_mut(&mut self) -> Option<&mut Vec<u8>> {
        if self.buffering {
            self.held.as_mut()
        } else if self.body_live {
            Some(&mut self.chunk)
        } else {
            None
        }
    }

    pub(crate) fn hold(&mut self, bytes: Vec<u8>) {
        self.held.get_or_insert_default().extend_from_slice(&bytes);
    }
}

/// What one side of the proxy has received: the upstream of the request, the client of the
/// response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The headers, once they arrived.
    pub headers: Option<HeaderMap>,
    /// Body chunks as they arrived; never an empty one.
    pub chunks: Vec<Vec<u8>>,
    /// Trailers, if any came.
    pub trailers: Option<HeaderMap>,
    /// The message ended properly.
    pub complete: bool,
    /// The message was cut off.
    pub reset: bool,
}

impl Received {
    /// The `:status` of a response.
    pub fn status(&self) -> Option<u16> {
        self.header(":status").and_then(|text| text.parse().ok())
    }

    /// The first value of a header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref().and_then(|headers| headers.text(name))
    }

    /// The body as the receiver reads it: a declared length cuts off what lies beyond it.
    pub fn body(&self) -> Vec<u8> {
        let mut body = self.chunks.concat();
        let declared = self.headers.as_ref().and_then(HeaderMap::content_length);
        if let Some(length) = declared {
            body.truncate(length);
        }
        body
    }

    /// The body as text, with replacement characters where it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    /// The body as JSON; null if it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body()).unwrap_or_default()
    }
}

/// An answer of the proxy itself, asked for by a filter or made by the proxy.
#[derive(Clone, Debug)]
pub(crate) struct LocalReply {
    pub(crate) status: u32,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) details: Vec<u8>,
}

impl LocalReply {
    /// What Envoy answers when a held request body passes the buffer limit.
    pub(crate) fn too_large() -> Self {
        Self {
            status: 413,
            headers: HeaderMap::default(),
            body: b"Payload Too Large".to_vec(),
            details: b"request_payload_too_large".to_vec(),
        }
    }
}

/// A stream context.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) root: u32,
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// `proxy_on_context_create` has been called.
    pub(crate) created: bool,
    /// The stream is over: nothing more is delivered.
    pub(crate) ended: bool,
    /// `proxy_on_delete` has been called, or nothing ever was: the id means nothing to the guest.
    pub(crate) deleted: bool,
    /// The VM failed in this stream, which is answered without it.
    pub(crate) failed: bool,
    pub(crate) in_callback: bool,
    pub(crate) log_phase: bool,
    /// What the latest headers or body callback was told.
    pub(crate) end_of_stream: bool,
    /// A filter's local reply that waits for its callback to return.
    pub(crate) prepared_reply: Option<LocalReply>,
    pub(crate) local_reply_asked: bool,
    pub(crate) close_asked: bool,
    /// The answer did not come from the upstream.
    pub(crate) reply_details: Option<Vec<u8>>,
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The id under which the record is kept, for whoever drives the stream.
    pub(crate) handle: Rc<Cell<u32>>,
    /// Where nginx is with the request.
    pub(crate) step: NginxStep,
    /// nginx: the request waits for a call-out, or to be told to go on.
    pub(crate) waiting: bool,
    /// nginx: the guest has said that the request may go on.
    pub(crate) told_to_continue: bool,
    /// The last callbacks come without the messages.
    pub(crate) detached: bool,
    /// The upstream took the connection, whatever came of it.
    pub(crate) upstream_connected: bool,
    /// The request body lies in a file.
    pub(crate) body_in_file: bool,
    pub(crate) upstream: Received,
    pub(crate) client: Received,
}

impl Stream {
    pub(crate) fn new(root: u32, properties: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        Self { root, properties, ..Self::default() }
    }

    /// The proxy will answer 413 once the callback that is about to be made has returned.
    pub(crate) fn prepare_too_large(&mut self) {
        self.prepared_reply.get_or_insert_with(LocalReply::too_large);
    }

    pub(crate) fn half(&self, side: Side) -> &Half {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    pub(crate) fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    pub(crate) fn receiver_mut(&mut self, side: Side) -> &mut Received {
        match side {
            Side::Request => &mut self.upstream,
            Side::Response => &mut self.client,
        }
    }
}
