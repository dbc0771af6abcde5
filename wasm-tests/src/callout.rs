//! Calls that a filter makes to other servers, and what answers them.

use crate::headers::HeaderMap;

/// Identifies one call-out of one host, across all its VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A call-out under way.
#[derive(Clone, Debug)]
pub struct CallOut {
    /// Unique within the host.
    pub id: CallId,
    /// The VM that made the call.
    pub vm: usize,
    /// The root context to which the reply goes.
    pub root: u32,
    /// The context in which the call was made: a stream, or the root itself.
    pub context: u32,
    /// The number that the guest knows the call by.
    pub token: u32,
    /// The cluster that is called.
    pub cluster: String,
    /// Request headers, pseudo-headers included.
    pub headers: HeaderMap,
    /// Request body.
    pub body: Vec<u8>,
    /// Request trailers.
    pub trailers: HeaderMap,
    /// Milliseconds for the whole exchange; 0 means no limit.
    pub timeout_ms: u64,
    /// Monotonic time at which the call was made, in nanoseconds.
    pub sent_ns: u64,
}

impl CallOut {
    /// The request method.
    pub fn method(&self) -> &str {
        self.headers.text(":method").unwrap_or_default()
    }

    /// The request path with its query.
    pub fn path(&self) -> &str {
        self.headers.text(":path").unwrap_or_default()
    }

    /// The body as JSON; null if it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What comes back for a call-out. No headers at all means that the call failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallReply {
    /// Response headers with `:status`; empty for a broken connection.
    pub headers: HeaderMap,
    /// Response body.
    pub body: Vec<u8>,
    /// Response trailers.
    pub trailers: HeaderMap,
}

impl CallReply {
    /// A reply with a status and a body; `content-length` is added as a server would.
    pub fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let length = body.len().to_string();
        let headers =
            HeaderMap::from_pairs([(":status", status.to_string()), ("content-length", length)]);
        Self { headers, body, trailers: HeaderMap::default() }
    }

    /// A JSON reply.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, value.to_string()).header("content-type", "application/json")
    }

    /// The same reply with one more header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// The connection broke: the filter is called back with nothing.
    pub fn reset() -> Self {
        Self::default()
    }

    /// What Envoy makes of a call that nobody accepted.
    pub fn refused() -> Self {
        let body = "upstream connect error or disconnect/reset before headers. \
                    reset reason: remote connection failure";
        Self::new(503, body).header("content-type", "text/plain")
    }

    /// What Envoy makes of a call that took longer than its timeout.
    pub fn timed_out() -> Self {
        Self::new(504, "upstream request timeout").header("content-type", "text/plain")
    }
}

/// When a server answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As soon as the proxy gets to it, never inside the call itself.
    Now(CallReply),
    /// After this many milliseconds of virtual time.
    After(u64, CallReply),
    /// Not yet: ask again whenever something happened or time passed.
    Later,
}

/// Something that answers call-outs: a script, or a real server mounted in process.
pub trait Server {
    /// Looks at a pending call. Asked again until the answer is not [`Answer::Later`].
    /// `now_ns` is the host's monotonic time in nanoseconds.
    fn answer(&mut self, call: &CallOut, now_ns: u64) -> Answer;

    /// The monotonic time at which a call that was answered [`Answer::Later`] should be looked at
    /// again even if nothing else happens, in nanoseconds.
    fn next_event_ns(&self, _call: &CallOut) -> Option<u64> {
        None
    }

    /// The call ended without this server's answer: it timed out, or its VM is gone. Must not
    /// use the host.
    fn abandoned(&mut self, _call: CallId) {}
}

impl<F: FnMut(&CallOut) -> Answer> Server for F {
    fn answer(&mut self, call: &CallOut, _now_ns: u64) -> Answer {
        self(call)
    }
}

/// A pending call and, once known, its reply and the time at which it arrives.
pub(crate) struct PendingCall {
    pub(crate) call: CallOut,
    pub(crate) arriving: Option<(u64, CallReply)>,
}

impl PendingCall {
    /// Monotonic nanoseconds at which the proxy gives up, if it does.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        (self.call.timeout_ms > 0)
            .then(|| self.call.sent_ns.saturating_add(self.call.timeout_ms * 1_000_000))
    }

    /// The next moment at which this call needs attention.
    pub(crate) fn next_event_ns(&self) -> Option<u64> {
        match (&self.arriving, self.deadline_ns()) {
            (Some((at, _)), Some(deadline)) => Some(deadline.min(*at)),
            (Some((at, _)), None) => Some(*at),
            (None, deadline) => deadline,
        }
    }
}
