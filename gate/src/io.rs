//! The whole contract between the machine and whoever drives it.

use std::fmt;
use std::net::IpAddr;

use metering::request::BodyEdit;

use crate::observation::Observation;
use crate::profile::Voice;

/// Names, in lower case, and values of a header map in order, as bytes: not every header is UTF-8.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// One HTTP stream, by the host's context id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// One call-out, numbered by the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// The time of an input, read once by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds: for windows, sessions, time-outs.
    pub monotonic_ms: u64,
    /// Microseconds beyond them, 0 to 999: only to measure how long something took.
    pub micros: u16,
    /// Milliseconds since 1970 UTC: for expiry dates and records only.
    pub wall_ms: u64,
    /// Both clocks could be read. Otherwise they show an earlier time, under which nothing that
    /// is only good for a time may be used.
    pub is_exact: bool,
}

impl Now {
    /// Monotonic microseconds.
    pub(crate) fn monotonic_us(self) -> u64 {
        self.monotonic_ms.saturating_mul(1_000).saturating_add(u64::from(self.micros))
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The timer of the newest root context.
    Tick,
    /// Request headers have come.
    RequestHeaders {
        /// The stream.
        stream: StreamId,
        /// Pseudo headers included.
        headers: &'a Headers,
        /// From where it comes, as the proxy sees it; not its port. None where the host does not say.
        address: Option<IpAddr>,
        /// The host says that no body follows. Some hosts always or never say so.
        end: bool,
    },
    /// Part of the body is buffered by the host, not all of it.
    RequestBodyGrows {
        /// The stream.
        stream: StreamId,
        /// Bytes buffered so far.
        size: usize,
    },
    /// More of the body is buffered by the host, and this is what [`Gate::body_read`] does not count yet.
    ///
    /// [`Gate::body_read`]: crate::Gate::body_read
    RequestBodyPart {
        /// The stream.
        stream: StreamId,
        /// The bytes behind those.
        part: &'a [u8],
        /// Bytes buffered so far, these among them.
        size: usize,
        /// The body has ended with them.
        end: bool,
    },
    /// The whole body is there.
    RequestBody {
        /// The stream.
        stream: StreamId,
        /// All of it.
        body: &'a [u8],
    },
    /// Response headers have come, the upstream's or a local reply's.
    ResponseHeaders {
        /// The stream.
        stream: StreamId,
        /// Pseudo headers included.
        headers: &'a Headers,
        /// Where the host can tell why the answer is what it is (Envoy's response code details),
        /// asked for only when the status is no success.
        details: Option<&'a [u8]>,
        /// No body follows.
        end: bool,
    },
    /// A chunk of the response body.
    ResponseBody {
        /// The stream.
        stream: StreamId,
        /// Its bytes.
        chunk: &'a [u8],
        /// It is the last.
        end: bool,
    },
    /// A call-out has been answered or has failed.
    CallDone {
        /// Which.
        call: CallId,
        /// The status, if there was an answer.
        status: Option<u16>,
        /// The body.
        body: &'a [u8],
    },
    /// The host has refused an edit of this request that was to go on: it must not go on.
    EditRefused {
        /// The stream.
        stream: StreamId,
    },
    /// All that the verdict on this request asks for has been carried out; to be told once, so that
    /// the verdict is counted with the time that it took.
    Decided {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is over, however it ended. Repeating it is harmless.
    End {
        /// The stream.
        stream: StreamId,
    },
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Answer the client now; nothing goes upstream, and what has gone is cut off.
    Reply {
        /// The stream.
        stream: StreamId,
        /// The answer.
        reply: Reply,
    },
    /// Set a request header, replacing every value.
    SetRequestHeader {
        /// The stream.
        stream: StreamId,
        /// Lower-case name.
        name: String,
        /// Value.
        value: String,
    },
    /// Remove a request header, every value of it.
    RemoveRequestHeader {
        /// The stream.
        stream: StreamId,
        /// Name in lower case.
        name: Vec<u8>,
    },
    /// Change the buffered request body.
    EditRequestBody {
        /// The stream.
        stream: StreamId,
        /// Length of the body that was read; edits of any other body make no sense.
        length: usize,
        /// Edits by offset, sorted and apart from each other.
        edits: Vec<BodyEdit>,
    },
    /// Throw away what is buffered of the request body: it will not be needed.
    DropRequestBody {
        /// The stream.
        stream: StreamId,
    },
    /// Let the paused request go on.
    Resume {
        /// The stream.
        stream: StreamId,
    },
    /// Set a response header.
    SetResponseHeader {
        /// The stream.
        stream: StreamId,
        /// Lower-case name.
        name: String,
        /// Value.
        value: String,
    },
    /// Remove a response header, every value of it.
    RemoveResponseHeader {
        /// The stream.
        stream: StreamId,
        /// Name in lower case.
        name: Vec<u8>,
    },
    /// Put these bytes in place of the chunk that has just come.
    ReplaceResponseBody {
        /// The stream.
        stream: StreamId,
        /// The new bytes.
        bytes: Vec<u8>,
    },
    /// Cut the stream off, at the client and at the upstream. What the client was to get before
    /// must have been handed over in an earlier callback. A host that refuses is asked again.
    CloseStream {
        /// The stream.
        stream: StreamId,
    },
    /// Call the policy server.
    Call(Call),
    /// Show operators something. The request does not depend on it.
    Observe(Observation),
}

impl Output {
    /// The stream that it is about.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Call(call) => call.stream,
            // Not the request's: an answer given instead must not take it away.
            Self::Observe(..) => None,
            Self::Reply { stream, .. }
            | Self::SetRequestHeader { stream, .. }
            | Self::RemoveRequestHeader { stream, .. }
            | Self::EditRequestBody { stream, .. }
            | Self::DropRequestBody { stream }
            | Self::Resume { stream }
            | Self::SetResponseHeader { stream, .. }
            | Self::RemoveResponseHeader { stream, .. }
            | Self::ReplaceResponseBody { stream, .. }
            | Self::CloseStream { stream } => Some(*stream),
        }
    }

    /// Without it the request would reach the upstream as it must not: with a client's credential,
    /// or able to cost more than was reserved. A host that refuses it is told to the machine.
    #[must_use]
    pub fn is_vital(&self) -> bool {
        matches!(
            self,
            Self::SetRequestHeader { .. }
                | Self::RemoveRequestHeader { .. }
                | Self::EditRequestBody { .. }
                | Self::Resume { .. }
        )
    }
}

/// A call-out to the policy server.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number, named again in [`Input::CallDone`].
    pub id: CallId,
    /// The stream that waits for it; none for the VM's own calls.
    pub stream: Option<StreamId>,
    /// Cluster or upstream name as the host knows it.
    pub cluster: String,
    /// Header map, pseudo headers included. Holds the filter's token: not for logs.
    pub headers: Vec<(&'static str, String)>,
    /// Body; empty for GET.
    pub body: Vec<u8>,
    /// After this many milliseconds the host gives up.
    pub timeout_ms: u64,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.headers.iter().find(|(name, _)| *name == ":path");
        f.debug_struct("Call")
            .field("id", &self.id)
            .field("stream", &self.stream)
            .field("path", &path.map(|(_, value)| value))
            .finish_non_exhaustive()
    }
}

/// An answer made by the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

impl Reply {
    /// A request that was understood and is answered with JSON, under its id.
    pub(crate) fn json(voice: Voice, body: &serde_json::Value, request_id: &str) -> Self {
        Self::json_text(voice, json_text(body), request_id)
    }

    /// The same where the JSON is written already.
    pub(crate) fn json_text(voice: Voice, body: String, request_id: &str) -> Self {
        let ids = voice.request_id_headers().map(|name| (name, request_id.to_owned()));
        let kind = ("content-type", "application/json".to_owned());
        Self {
            status: 200,
            headers: std::iter::once(kind).chain(ids).collect(),
            body: body.into_bytes(),
        }
    }
}

/// A value as JSON. `Display` would write the same through another copy of all that writes JSON.
pub(crate) fn json_text(value: &serde_json::Value) -> String {
    // A value has only string keys, so writing it cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// The proxy process's memory that all its workers share: numbered values changed by
/// compare-and-swap. Like the time, it is an argument: the machine itself knows no host.
pub trait SharedMemory {
    /// The value and its version, or `None` where nothing was ever stored.
    ///
    /// # Errors
    /// When the host has no such memory or fails.
    fn read(&mut self, slot: u32) -> Result<Option<(Vec<u8>, u32)>, SharedMemoryFailed>;

    /// Stores a value if the version is still `expected`; `None` means: if there is none yet.
    /// `Ok(false)` says that somebody else was faster.
    ///
    /// # Errors
    /// When the host has no such memory or fails.
    fn swap(
        &mut self,
        slot: u32,
        value: &[u8],
        expected: Option<u32>,
    ) -> Result<bool, SharedMemoryFailed>;
}

/// The host has no shared memory, or it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedMemoryFailed;
