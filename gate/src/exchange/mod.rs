//! One HTTP exchange: what has come of the request, what was decided, what passes of the answer.

mod answer;
mod arrival;
mod decision;
mod departure;
mod forwarded;
mod money;
mod stop;
mod writing;

use std::net::IpAddr;
use std::rc::Rc;

use metering::charge::Admitted;
use metering::held_lease::Draw;
use metering::request::{BodyReader, Request};
use metering::window::Call as WindowCall;
use wire::v1::{Ask, ExchangeAnswer, KeyPolicy, Refusal as LeaseRefusal, UsageAnswer};
use wire::{CatalogueVersion, KeyDigest, KeyId, LeaseId, Metadata, ModelName, RequestId};

use crate::credential::NoCredential;
use crate::io::CallId;
use crate::observation::Notes;
use crate::pool::Want;
use crate::profile::Voice;
use crate::repetition::Once;
use crate::route::Target;
use crate::running_calls::Place;
use crate::trace_parent::TraceParent;
use crate::windows::Group;

pub(crate) use answer::{Answer, Metered, Shown};
pub(crate) use arrival::BadMetadata;
pub(crate) use decision::{Knowledge, Verdict, ask, check_key, check_not_ended, decide};
pub(crate) use departure::depart;
pub(crate) use forwarded::{Forward, marked};
pub(crate) use stop::{EndedBy, Reason, Step as StopStep, Stop};
pub(crate) use writing::Writing;

/// Most calls to the server for one request: register, catalogue, catch up, key, lease, and some
/// of them again because something changed meanwhile. A request that needs more gets 503.
pub(crate) const MOST_CALLS: u8 = 10;

/// A request that Tollgate looks after.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: RequestId,
    /// In whose form it is answered.
    pub(crate) voice: Voice,
    pub(crate) stage: Stage,
    /// Nothing is refused on its path.
    pub(crate) in_shadow: bool,
    /// For those who watch.
    pub(crate) notes: Notes,
}

/// Where an exchange is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Not decided yet.
    Open(Box<Open>),
    /// Sent to the upstream.
    Running(Box<Running>),
    /// Sent to the upstream unread, although this would have refused it.
    Passing(&'static str),
    /// Answered by the filter.
    Answered,
}

/// What is known of a request that is not decided yet.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) target: Target,
    /// Path and query without credentials.
    pub(crate) path: Vec<u8>,
    /// Betas of Anthropic that it asks for, joined by commas.
    pub(crate) betas: String,
    /// The trace that it belongs to (W3C Trace Context), for calls to the server.
    pub(crate) trace_parent: Option<TraceParent>,
    /// A parameter of the query that is not taken.
    pub(crate) stray_parameter: Option<String>,
    /// What the client's credential hashes to; [`crate::user_key::NO_KEY`] until it has come, where
    /// the body may hold it.
    pub(crate) digest: KeyDigest,
    /// What the caller says of the call.
    pub(crate) metadata: Result<Metadata, BadMetadata>,
    pub(crate) has_content_length: bool,
    /// From where it comes.
    pub(crate) address: Option<IpAddr>,
    /// Digest of the `Idempotency-Key`, where one counts.
    pub(crate) idempotency: Option<KeyDigest>,
    /// It is to be checked and answered as a call would be, but not sent.
    pub(crate) is_dry_run: bool,
    /// What had come of its body was thrown away.
    pub(crate) body_is_dropped: bool,
    /// Its body is what the filter reads, for the upstream too.
    pub(crate) is_plain_json: bool,
    pub(crate) body: Body,
    /// The call to the server that it waits for.
    pub(crate) waits_for: Option<CallId>,
    pub(crate) calls_left: u8,
    /// It is in the queue of those that wait until others have asked for this: a key, or what all need.
    pub(crate) queued_for: Option<KeyDigest>,
    /// Since when it has waited there, in monotonic milliseconds.
    pub(crate) queued_at_ms: Option<u64>,
    /// Number of its lease while one is asked for.
    pub(crate) lease_number: Option<u64>,
    /// The lease that was granted for it. Others may draw on it, too, unless money is scarce.
    pub(crate) granted: Option<(KeyId, LeaseId)>,
    /// Why it was granted none.
    pub(crate) refused: Option<LeaseRefusal>,
    /// What the server answered to a request for usage.
    pub(crate) usage: Option<Box<UsageAnswer>>,
    /// What it answered to a request for a user key.
    pub(crate) user_key: Option<Box<ExchangeAnswer>>,
    /// What was asked for under this number. Another ask needs another number: repeating one
    /// answers the lease of the first ask.
    pub(crate) asked: Option<Box<Ask>>,
    /// What was asked for beyond the call.
    pub(crate) want: Want,
    /// Some ask under this number was not answered, or its answer was discarded: it may still be
    /// granted, so the number must be disclaimed unless the lease is used.
    pub(crate) ask_is_open: bool,
    /// The key, or what is above it, has changed since the number was taken: what is granted under
    /// it may be from where the key was before, and may be granted so again whenever it is asked for.
    pub(crate) ask_is_stale: bool,
    pub(crate) began_ms: u64,
    pub(crate) began_unix_ms: u64,
    /// Calls to the server that failed.
    pub(crate) failures: u8,
    /// It has waited for a call, so the host must be told when it may go on.
    pub(crate) waited: bool,
    /// Its head has been let on: nothing of it can be changed any more.
    pub(crate) head_is_gone: bool,
    /// It has made a call since its body came.
    pub(crate) called_since_body: bool,
    /// What it may still do for the VM.
    pub(crate) errands: Errands,
}

/// What a request does for the VM where there is no timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errands {
    /// It may ask for what has changed.
    pub(crate) refresh: bool,
    /// Reports that it may send.
    pub(crate) reports: u8,
}

impl Default for Errands {
    /// Two reports empty the outbox of a worker that was busy: each holds a thousand calls.
    fn default() -> Self {
        Self { refresh: true, reports: 2 }
    }
}

/// The request body so far.
#[derive(Debug)]
pub(crate) enum Body {
    /// Still coming.
    Coming(Coming),
    /// Above the limit: it is thrown away and answered 413 if nothing else is wrong first.
    TooLarge,
    /// All there and read.
    Read(Result<Box<Request>, metering::request::Problem>),
    /// The route has none, or what it had is known.
    None,
    /// It was to name a key, and names none.
    NoKey(NoCredential),
}

/// How much of a body that is still coming has been read.
#[derive(Debug, Default)]
pub(crate) enum Coming {
    #[default]
    Nothing,
    Part(Box<BodyReader>),
    /// Enough to know that it will be refused. It is answered when all of it has come: a client that
    /// reads nothing until it has sent everything would not see why.
    Enough(metering::request::Problem),
}

/// A call that the upstream works on.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) policy: Rc<KeyPolicy>,
    /// What the client's credential hashes to.
    pub(crate) digest: KeyDigest,
    pub(crate) model: ModelName,
    pub(crate) catalogue_version: CatalogueVersion,
    pub(crate) admitted: Admitted,
    /// Output tokens beyond which its answer is ended.
    pub(crate) ends_beyond: Option<u64>,
    pub(crate) metered: Metered,
    /// What the caller says of it.
    pub(crate) metadata: Metadata,
    /// What it has drawn, and on which lease.
    pub(crate) drawn: Option<(LeaseId, Draw)>,
    pub(crate) groups: Vec<Group>,
    /// Among the running calls of its key; none where it counts on nobody's account.
    #[expect(dead_code, reason = "it is given back when the call is dropped")]
    pub(crate) place: Option<Place>,
    pub(crate) window_call: WindowCall,
    pub(crate) standings: crate::windows::Standings,
    /// What is remembered of it, where it must not be made twice.
    pub(crate) once: Option<Once>,
    /// The code of what would have refused it.
    pub(crate) would_refuse: Option<&'static str>,
    pub(crate) shown: Shown,
    /// When the windows counted it, in monotonic milliseconds.
    pub(crate) admitted_ms: u64,
    pub(crate) status: u16,
    pub(crate) answer: Answer,
    pub(crate) stop: Stop,
    /// Its answer can be written, not only read.
    pub(crate) writes_answer: bool,
    pub(crate) address: Option<IpAddr>,
    pub(crate) began_ms: u64,
    pub(crate) began_unix_ms: u64,
}
