//! Every answer that the filter gives in the upstream's place because something is wrong.

mod envelope;
mod profile;
#[cfg(test)]
mod profile_tests;
mod shape;
#[cfg(test)]
mod tests;

use metering::usage::AnswerFormat;
use metering::window::Full;
use wire::NanoUsd;
use wire::v1::{Level, Limit};

use crate::credential::NoCredential;
use crate::dialect::Dialect;
use crate::io::Reply;
use crate::profile::{Profile, Voice};

pub(crate) use profile::scope;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No route.
    UnknownEndpoint,
    /// No usable credential.
    Credential(NoCredential),
    /// No key has this digest.
    UnknownKey,
    /// The key's time is over.
    Expired,
    /// The key was ended for good.
    Revoked,
    /// The key is switched off.
    Disabled,
    /// The body is larger than this.
    BodyTooLarge(usize),
    /// The body is compressed.
    UnsupportedEncoding,
    /// The body is malformed.
    Body(metering::request::Problem),
    /// A parameter of the URL is out of its range.
    QueryParameter {
        /// Its name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// What the caller says of the call is no such object.
    BadMetadata,
    /// No such model, or one without a price.
    UnknownModel(String),
    /// Nothing of this name to show to the key (404 where a model is itself what is asked for).
    NoSuchModel(String),
    /// The model was withdrawn.
    ModelRemoved(String),
    /// The key may not call it.
    ModelNotAllowed(String),
    /// The key may not be used from where the request comes.
    AddressNotAllowed,
    /// The path is that of a user, and the key of no user.
    UserKeyRequired,
    /// The path is not open to this kind of key.
    EndpointNotAllowed,
    /// The organisation may call no model at all.
    NoModels,
    /// Prompt and output together do not fit the model's context.
    ContextLength {
        /// What was asked for.
        asked: u64,
        /// What the model has.
        context: u64,
    },
    /// Under this `Idempotency-Key` a call runs or was charged.
    IdempotentReplay,
    /// A window is full.
    Window {
        /// Which limit.
        limit: Box<Limit>,
        /// How full.
        full: Full,
    },
    /// A level has no money left.
    Budget {
        /// Which level.
        level: Level,
        /// What the call could cost.
        need: NanoUsd,
        /// What is left.
        left: NanoUsd,
    },
    /// Nothing is left of a budget that the call runs on: others cost more than was reserved for them,
    /// or its cap was lowered.
    Exhausted {
        /// Of which level.
        level: Level,
    },
    /// The call could cost more than the key allows one call.
    CallTooExpensive {
        /// The least that it could be bounded to.
        need: NanoUsd,
        /// What one call may cost.
        most: NanoUsd,
    },
    /// The money is leased to others at the moment.
    Contended {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The policy server could not be asked.
    PolicyUnavailable,
    /// Too many workers swap the same window.
    LimiterBusy,
    /// No place to count this subject.
    LimiterFull,
    /// Too many reports wait for the server.
    OutboxFull,
    /// The request names a model by an alias, and the host cannot write the model's own name, this.
    AliasNotWritable(String),
    /// The host cannot write an output limit, and the request states none that would hold.
    OutputLimitRequired,
    /// The host cannot make the stream report its usage.
    StreamUsageRequired,
    /// The host does not say whether a body of unknown length is there.
    LengthRequired,
    /// The host may not show all header fields of a request that has this many.
    TooManyFields(usize),
    /// The host cannot count what limits the call.
    NotEnforceable,
    /// The answer has more output than was reserved for the call. Only said within a stream.
    OutputBoundExceeded,
}

impl Refusal {
    /// The answer, in the form of the API that was asked.
    #[must_use]
    pub fn reply(&self, voice: impl Into<Voice>, request_id: &str) -> Reply {
        let voice = voice.into();
        envelope::reply(self, &self.shape(voice.dialect), voice, request_id)
    }

    /// The event that ends a stream which has begun: the answer's status can no longer tell. Where
    /// events are numbered, it has this number.
    pub(crate) fn event(&self, format: AnswerFormat, profile: Profile, number: u64) -> Vec<u8> {
        let voice = Voice { dialect: Dialect::of(format), profile };
        envelope::event(self, &self.shape(voice.dialect), (format, voice), number)
    }

    /// The same as an element of a streamed array.
    pub(crate) fn element(&self, format: AnswerFormat, profile: Profile) -> Vec<u8> {
        let voice = Voice { dialect: Dialect::of(format), profile };
        envelope::element(self, &self.shape(voice.dialect), voice)
    }

    /// The stable code, the same in every API.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.shape(Dialect::default()).code
    }
}
