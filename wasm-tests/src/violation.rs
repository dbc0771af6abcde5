//! What a filter did that a real proxy would not bear, or only by luck.

use std::fmt;

/// The kind of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViolationKind {
    /// A second local reply for one stream.
    DoubleLocalReply,
    /// A local reply, continue or close outside a stream.
    OutsideStream,
    /// The stream was told to continue although it was not paused.
    ContinueNotPaused,
    /// The request went on while a call-out of the same stream was still pending.
    ForwardedWithCallPending,
    /// A call-out to a cluster that does not exist.
    UnknownCluster,
    /// A call-out without method, path or authority.
    IncompleteCall,
    /// A header map was used that is not there in this phase.
    MapNotLive,
    /// A body was written that is not there in this phase, or at an impossible place.
    BodyNotWritable,
    /// A pointer outside the guest's memory.
    BadMemory,
    /// The declared length of a message differs from what was sent.
    ContentLengthMismatch,
    /// A request left without method, path or authority.
    MissingPseudoHeader,
    /// A header name or value that no HTTP message can carry.
    IllegalHeader,
    /// A stream was closed and answered at once.
    CloseWithLocalReply,
    /// The proxy's worker process would have died of it.
    WorkerCrashed,
    /// A host call that ends the VM on this proxy, now or always.
    HostCallTraps,
    /// The proxy forgets the answer that was given to the client.
    ReplyLost,
    /// A body was read where the proxy still shows that of another request.
    StaleBody,
    /// A pause that this proxy cannot make.
    CannotPause,
    /// The guest used a part of the ABI that this host does not model.
    NotModelled,
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The VM that did it.
    pub vm: usize,
    /// The context that it was about.
    pub context: u32,
    /// Which rule.
    pub kind: ViolationKind,
    /// What happened, for a reader.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vm{} ctx{} {:?}: {}", self.vm, self.context, self.kind, self.detail)
    }
}
