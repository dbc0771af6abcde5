//! One worker of a proxy: a real gate, the streams that it decides on, and its open call-outs.

use std::collections::BTreeMap;
use std::fmt;

use gate::{
    Call, CallId, Gate, HostKind, Input, Now, Output, Reply, SharedMemory, StreamId, Token,
};

use gate::testing::LetPass;

use crate::dice::Dice;

/// A worker's place in the world; its VM may be rebuilt there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which proxy.
    pub proxy: usize,
    /// Which of its workers.
    pub worker: usize,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}w{}", self.proxy, self.worker)
    }
}

/// One life of one VM; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub u64);

/// A stream of one life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAt {
    /// Where.
    pub place: Place,
    /// In which life.
    pub life: Life,
    /// Which stream.
    pub stream: StreamId,
}

/// A call-out of one life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Where.
    pub place: Place,
    /// In which life.
    pub life: Life,
    /// Which call.
    pub call: CallId,
}

/// What the world knows of one request in a worker.
#[derive(Debug)]
pub struct Stream {
    /// Index of the credential that it carries.
    pub credential: usize,
    /// Its body as the upstream will get it.
    pub body: Vec<u8>,
    /// Length of the body as the client sent it.
    pub sent_bytes: u64,
    /// Number of the upstream's call, once it went on.
    pub upstream: Option<usize>,
    /// Headers that the gate set.
    pub set_headers: BTreeMap<String, String>,
}

/// A request that a client makes.
#[derive(Debug, Clone)]
pub struct Request {
    /// Index of the credential that it carries.
    pub credential: usize,
    /// The body; empty for a request of the list of models.
    pub body: Vec<u8>,
}

/// What came out of one input.
#[derive(Debug, Default)]
pub struct Reaction {
    /// Calls to the policy server.
    pub calls: Vec<Call>,
    /// Requests answered by the gate; their streams are over.
    pub replies: Vec<(StreamId, Stream, Reply)>,
    /// Requests that may go to the upstream now.
    pub forwarded: Vec<StreamId>,
    /// Streams that the gate has closed; they are over.
    pub closed: Vec<(StreamId, Stream)>,
}

/// A call-out that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Path and query.
    pub path: String,
    /// When it was made, in virtual time.
    pub at_ms: u64,
    /// Its answer renews the session.
    pub renews: bool,
}

/// The worker.
pub struct Worker {
    gate: Gate,
    /// Which life of its VM this is.
    pub life: Life,
    /// When its gate got its first event, in virtual time.
    pub first_fed_ms: Option<u64>,
    /// When it went on after it was kept from running, in virtual time.
    pub woke_ms: u64,
    /// Requests that are open.
    pub streams: BTreeMap<StreamId, Stream>,
    open_calls: BTreeMap<CallId, Sent>,
    /// The host does not close streams: a fault to be found.
    pub(crate) swallows_close: bool,
    next_stream: u32,
}

const CONFIG: &[u8] = br#"{"server": {"cluster": "policy", "timeout_ms": 2000}}"#;
const TOKEN: &str = "simulation-filter-token-0123456789ab";

impl Worker {
    /// A VM that knows nothing yet.
    ///
    /// # Errors
    /// When the fixed configuration is refused.
    pub fn start(life: Life, kind: HostKind, dice: &mut Dice) -> anyhow::Result<Self> {
        let config = gate::config::parse(CONFIG)
            .map_err(|problems| anyhow::anyhow!("the gate's configuration: {problems:?}"))?;
        let token = Token::new(TOKEN).ok_or_else(|| anyhow::anyhow!("the token is refused"))?;
        let mut gate = Gate::new(config, token, dice.bytes());
        gate.runs_on(kind);
        Ok(Self {
            gate,
            life,
            first_fed_ms: None,
            woke_ms: 0,
            streams: BTreeMap::new(),
            open_calls: BTreeMap::new(),
            swallows_close: false,
            next_stream: 0,
        })
    }

    /// Its host has a timer; otherwise all that it does is done by requests.
    #[must_use]
    pub fn has_timer(&self) -> bool {
        self.gate.host().timers
    }

    /// What would have refused a request that goes on.
    #[must_use]
    pub fn let_pass(&self, stream: StreamId) -> Option<LetPass> {
        self.gate.let_pass(stream)
    }

    /// Takes in a new request.
    pub fn open(&mut self, stream: Stream) -> StreamId {
        self.next_stream += 1;
        let id = StreamId(self.next_stream);
        self.streams.insert(id, stream);
        id
    }

    /// A call-out leaves.
    pub fn sends(&mut self, call: CallId, sent: Sent) {
        self.open_calls.insert(call, sent);
    }

    /// The host answers each call once: none for any but the first answer of an open call.
    pub fn takes_answer(&mut self, call: CallId) -> Option<Sent> {
        self.open_calls.remove(&call)
    }

    /// Gives the gate one input and carries out what concerns the worker alone.
    pub fn feed(&mut self, now: Now, memory: &mut dyn SharedMemory, input: Input<'_>) -> Reaction {
        let mut reaction = Reaction::default();
        self.gate.handle(now, memory, input);
        let (mut answered, mut closed) = (Vec::new(), Vec::new());
        while let Some(output) = self.gate.next_output() {
            match output {
                Output::Reply { stream, reply } => answered.push((stream, reply)),
                Output::CloseStream { .. } if self.swallows_close => {}
                Output::CloseStream { stream } => closed.push(stream),
                Output::SetRequestHeader { stream, name, value } => {
                    if let Some(stream) = self.streams.get_mut(&stream) {
                        stream.set_headers.insert(name, value);
                    }
                }
                Output::EditRequestBody { stream, edits, .. } => {
                    if let Some(stream) = self.streams.get_mut(&stream) {
                        stream.body = gate::apply_edits(&stream.body, &edits);
                    }
                }
                Output::Call(call) => reaction.calls.push(call),
                Output::RemoveRequestHeader { .. }
                | Output::DropRequestBody { .. }
                | Output::Resume { .. }
                | Output::SetResponseHeader { .. }
                | Output::RemoveResponseHeader { .. }
                | Output::ReplaceResponseBody { .. }
                | Output::Observe(_) => {}
            }
        }
        let gate = &self.gate;
        let went_on = |(id, stream): (&StreamId, &Stream)| {
            (stream.upstream.is_none() && !gate.holds(*id)).then_some(*id)
        };
        reaction.forwarded = self.streams.iter().filter_map(went_on).collect();
        for (id, reply) in answered {
            if let Some(stream) = self.streams.remove(&id) {
                reaction.replies.push((id, stream, reply));
            }
            // The host ends the stream once its answer is sent.
            self.gate.handle(now, memory, Input::End { stream: id });
        }
        for id in closed {
            if let Some(stream) = self.streams.remove(&id) {
                reaction.closed.push((id, stream));
            }
            self.gate.handle(now, memory, Input::End { stream: id });
        }
        reaction
    }
}
