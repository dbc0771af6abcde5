//! A call is ended while the upstream works on it: told to the client where that can be, then cut.

#[cfg(test)]
mod tests;

use metering::usage::{PlainAnswer, StreamAnswer};
use wire::NanoUsd;
use wire::v1::{KeyState, Level, Usage};

use super::{Answer, Running};
use crate::io::Now;
use crate::profile::Profile;
use crate::refusal::Refusal;

/// A stream that has sent nothing for so long is closed without a word, since only a chunk can be
/// replaced. With the flush, the timer's period and some slack all of it takes less than a second.
pub(crate) const SILENT_MS: u64 = 850;
/// A stream is closed by the timer no earlier than this after its error event: closed in the same
/// callback, the event is lost (seen on Envoy).
pub(crate) const FLUSH_MS: u64 = 50;
/// A host that has refused to close or to answer is asked again after this.
const AGAIN_MS: u64 = 1_000;

/// Where the end of a running call by us stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stop {
    phase: Phase,
    /// When the latest chunk of a stream came, in monotonic milliseconds.
    last_chunk_ms: Option<u64>,
    /// When the wish to end it was first looked after, in monotonic milliseconds.
    asked_ms: Option<u64>,
    /// In whose manner the client is told.
    profile: Profile,
    /// Why it was ended, once the end has begun.
    reason: Option<Reason>,
    /// What may end it.
    ended_by: EndedBy,
}

/// What may end a running call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// Whatever ends calls.
    #[default]
    Anything,
    /// Only that its key may not be used any more: the key is in shadow mode, which ends with it.
    EndOfKey,
    /// Nothing: the host cannot end streams, or nothing is refused on its path.
    Nothing,
}

impl EndedBy {
    fn takes(self, reason: Reason) -> bool {
        match self {
            Self::Anything => true,
            Self::EndOfKey => match reason {
                Reason::Revoked | Reason::Disabled | Reason::Expired | Reason::InDoubt => true,
                Reason::OutputBound | Reason::Exhausted(_) => false,
            },
            Self::Nothing => false,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
enum Phase {
    /// Nobody asks for it.
    #[default]
    Unasked,
    /// As soon as possible, for this reason.
    Asked(Reason),
    /// The client has got the error event; nothing passes after it.
    Told { at_ms: u64 },
    /// The host was told to close the stream, or to answer where no answer had begun.
    Carried { again_ms: u64 },
}

/// Why a call is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its key was revoked.
    Revoked,
    /// Its key was switched off.
    Disabled,
    /// Its key's time is over.
    Expired,
    /// It has more output than was reserved for it.
    OutputBound,
    /// Nothing is left of the account that pays for it.
    Exhausted(Level),
    /// For too long nobody could say whether its key may still be used.
    InDoubt,
}

/// What is to be done about a call that is to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Answer in the upstream's place.
    Reply(Refusal),
    /// Close the stream.
    Close,
}

/// What becomes of a chunk of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Passage {
    /// What the client gets instead of it, if it is not the chunk itself.
    pub(crate) replaced: Option<Vec<u8>>,
    /// The stream is to be closed.
    pub(crate) close: bool,
}

impl Reason {
    /// Why calls of a key in this state end; none while it may be used.
    pub(crate) fn of(state: KeyState) -> Option<Self> {
        match state {
            KeyState::Active => None,
            KeyState::Disabled => Some(Self::Disabled),
            KeyState::Revoked => Some(Self::Revoked),
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Self::Revoked => Refusal::Revoked,
            Self::Disabled => Refusal::Disabled,
            Self::Expired => Refusal::Expired,
            Self::OutputBound => Refusal::OutputBoundExceeded,
            Self::Exhausted(level) => Refusal::Exhausted { level },
            Self::InDoubt => Refusal::PolicyUnavailable,
        }
    }
}

impl Stop {
    /// Nobody asks for the end.
    pub(crate) fn of(profile: Profile, ended_by: EndedBy) -> Self {
        Self { profile, ended_by, ..Self::default() }
    }

    /// Why it was ended by us; none while it was not.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.reason.filter(|_| self.has_begun())
    }

    /// The end has begun: whatever still comes from the upstream, the call was cut.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.phase, Phase::Told { .. } | Phase::Carried { .. })
    }
}

impl Answer {
    /// What is still to come of it has a place for a word of ours.
    fn can_tell(&self) -> bool {
        match self {
            Self::Stream(_) => true,
            Self::Plain(plain) => plain.is_open_array(),
            _ => false,
        }
    }
}

impl Running {
    /// Asks for the end of this call. False where nothing is left to end: the answer is one
    /// document on its way (paid for as it is), an error, or complete.
    pub(crate) fn ask_stop(&mut self, reason: Reason) -> bool {
        let asks = self.can_be_stopped() && self.stop.ended_by.takes(reason);
        if asks {
            self.stop.phase = Phase::Asked(reason);
            self.stop.reason = Some(reason);
        }
        asks
    }

    /// Something is left to end, and nobody has asked for it.
    pub(crate) fn can_be_stopped(&self) -> bool {
        let is_open = match &self.answer {
            Answer::NotYet => self.status == 0,
            Answer::Stream(stream) => !stream.seen().complete,
            Answer::Unreadable => self.admitted.streamed,
            Answer::Unread => true,
            Answer::Plain(plain) => self.admitted.streamed && plain.is_open_array(),
            Answer::Failed => false,
        };
        let may_end = self.stop.ended_by != EndedBy::Nothing;
        is_open && may_end && matches!(self.stop.phase, Phase::Unasked)
    }

    /// Asks for the end of a call whose key has expired, as far as was known at its admission.
    /// The wall clock decides, so only where it could be read.
    pub(crate) fn ask_stop_if_expired(&mut self, now: Now) {
        let expires = self.policy.expires_at_unix_ms;
        if now.is_exact && expires.is_some_and(|at| now.wall_ms >= at) {
            self.ask_stop(Reason::Expired);
        }
    }

    /// Whether its end was ever asked for.
    pub(crate) fn is_asked_to_stop(&self) -> bool {
        !matches!(self.stop.phase, Phase::Unasked)
    }

    /// What is to be done now, outside of a chunk.
    pub(crate) fn stop_step(&mut self, now_ms: u64) -> Option<Step> {
        let step = match (self.stop.phase, &self.answer) {
            (Phase::Asked(reason), Answer::NotYet) => Step::Reply(reason.refusal()),
            (Phase::Asked(_), answer) if answer.can_tell() && self.stop.may_wait(now_ms) => {
                return None;
            }
            (Phase::Asked(_), _) => Step::Close,
            (Phase::Told { at_ms }, _) if now_ms.saturating_sub(at_ms) >= FLUSH_MS => Step::Close,
            (Phase::Carried { again_ms }, _) if now_ms >= again_ms => Step::Close,
            (Phase::Unasked | Phase::Told { .. } | Phase::Carried { .. }, _) => return None,
        };
        self.stop.carried(now_ms);
        Some(step)
    }

    /// A chunk of the answer goes by, `end` with the last one.
    pub(crate) fn answer_passes(&mut self, chunk: &[u8], end: bool, now_ms: u64) -> Passage {
        let price = self.admitted.price;
        let cost = |usage: &Usage| metering::price::cost(usage, &price);
        match &mut self.answer {
            Answer::Stream(answer) => {
                self.stop.last_chunk_ms = Some(now_ms);
                self.stop.stream_passes(answer, (chunk, end), now_ms, cost)
            }
            Answer::Plain(answer) => {
                self.stop.last_chunk_ms = Some(now_ms);
                let passage = self.stop.document_passes(answer, (chunk, end), now_ms, cost);
                if self.admitted.streamed
                    && answer.is_open_array()
                    && matches!(self.stop.phase, Phase::Unasked)
                    && self.stop.ended_by.takes(Reason::OutputBound)
                    && answer.has_passed_bound()
                {
                    // What passes the bound is within a chunk that has gone; the next one ends it.
                    self.stop.phase = Phase::Asked(Reason::OutputBound);
                    self.stop.reason = Some(Reason::OutputBound);
                }
                passage
            }
            Answer::NotYet | Answer::Failed | Answer::Unreadable | Answer::Unread => {
                Passage::default()
            }
        }
    }
}

impl Stop {
    fn stream_passes(
        &mut self,
        answer: &mut StreamAnswer,
        (chunk, end): (&[u8], bool),
        now_ms: u64,
        cost: impl Fn(&Usage) -> NanoUsd,
    ) -> Passage {
        match self.phase {
            Phase::Unasked => {
                let replaced = passes(answer, chunk, end, cost);
                let may_end = self.ended_by.takes(Reason::OutputBound);
                if !may_end || !answer.has_passed_bound() {
                    return Passage { replaced, close: false };
                }
                self.phase = Phase::Told { at_ms: now_ms };
                self.reason = Some(Reason::OutputBound);
                let mut bytes = replaced.unwrap_or_default();
                bytes.extend(last_event(answer, self.profile, Reason::OutputBound));
                Passage { replaced: Some(bytes), close: false }
            }
            Phase::Asked(reason) => {
                self.phase = Phase::Told { at_ms: now_ms };
                let mut bytes = answer.stop().to_vec();
                bytes.extend(last_event(answer, self.profile, reason));
                answer.chunk(chunk, cost);
                Passage { replaced: Some(bytes), close: false }
            }
            Phase::Told { .. } => {
                answer.chunk(chunk, cost);
                self.nothing_passes(end, now_ms)
            }
            Phase::Carried { .. } => {
                answer.stop();
                answer.chunk(chunk, cost);
                self.nothing_passes(end, now_ms)
            }
        }
    }

    /// A document passes as it is. An array of them that comes piece by piece is ended where one of
    /// them ends, by an element that says why: what the client has then is well formed.
    fn document_passes(
        &mut self,
        answer: &mut PlainAnswer,
        (chunk, end): (&[u8], bool),
        now_ms: u64,
        cost: impl Fn(&Usage) -> NanoUsd,
    ) -> Passage {
        match self.phase {
            Phase::Unasked => Passage { replaced: answer.chunk(chunk, cost), close: false },
            Phase::Asked(reason) => {
                let (mut bytes, ends_here) = answer.chunk_to_border(chunk, cost);
                if ends_here {
                    self.phase = Phase::Told { at_ms: now_ms };
                    bytes.extend(reason.refusal().element(answer.format(), self.profile));
                    bytes.push(b']');
                }
                Passage { replaced: Some(bytes), close: false }
            }
            Phase::Told { .. } | Phase::Carried { .. } => {
                answer.chunk(chunk, cost);
                self.nothing_passes(end, now_ms)
            }
        }
    }

    /// The client has its last word. The stream is closed, but not in the very moment of the event,
    /// and not where the upstream ends it itself.
    fn nothing_passes(&mut self, end: bool, now_ms: u64) -> Passage {
        let close = matches!(self.phase, Phase::Told { at_ms } if !end && now_ms > at_ms);
        if close {
            self.carried(now_ms);
        }
        Passage { replaced: Some(Vec::new()), close }
    }

    /// A chunk in which the client can be told may still come: an event of a stream, or the end of an
    /// array's element. But not for long.
    fn may_wait(&mut self, now_ms: u64) -> bool {
        let asked_ms = *self.asked_ms.get_or_insert(now_ms);
        !self.is_silent(now_ms) && now_ms.saturating_sub(asked_ms) < SILENT_MS
    }

    fn carried(&mut self, now_ms: u64) {
        self.phase = Phase::Carried { again_ms: now_ms.saturating_add(AGAIN_MS) };
    }

    fn is_silent(&self, now_ms: u64) -> bool {
        self.last_chunk_ms.is_none_or(|last| now_ms.saturating_sub(last) >= SILENT_MS)
    }
}

/// What a stream that is ended says last, in the form of its own API.
fn last_event(answer: &StreamAnswer, profile: Profile, reason: Reason) -> Vec<u8> {
    reason.refusal().event(answer.format(), profile, answer.next_sequence_number())
}

/// The client gets every event that is complete, at the end also what is not.
fn passes(
    answer: &mut StreamAnswer,
    chunk: &[u8],
    end: bool,
    cost: impl Fn(&Usage) -> NanoUsd,
) -> Option<Vec<u8>> {
    let replaced = answer.chunk(chunk, cost);
    let held = if end { answer.finish() } else { Vec::new() };
    if held.is_empty() {
        return replaced;
    }
    let mut bytes = replaced.unwrap_or_else(|| chunk.to_vec());
    bytes.extend(held);
    Some(bytes)
}
