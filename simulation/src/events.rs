//! What can happen, and in which order it does.

use std::rc::Rc;

use crate::call_outs::Message;
use crate::server::Answer;
use crate::worker::{Place, Request, StreamAt, Ticket};

/// Something that happens at its time.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Burst,
    Opens { place: Place, request: Rc<Request> },
    BodyComes { at: StreamAt },
    ClientLeaves { at: StreamAt },
    Upstream { call: usize },
    CallArrives { ticket: Ticket, message: Rc<Message> },
    AnswerArrives { ticket: Ticket, answer: Rc<Answer> },
    CallTimesOut { ticket: Ticket },
    WaitEnds,
    Tick { place: Place },
    Sweep,
    Fault,
    Crash { place: Place },
    Wakes { place: Place },
    Heal { proxy: usize },
    ServerStops,
    ServerBack,
    ServerWakes,
    Administer,
    Withdraw,
    SetActive { key: usize, active: bool },
    BackUp,
    LosesDisk,
    ReleaseBudgets,
    TriesAgain,
    MustBeOver { at: StreamAt, key: usize },
    TrafficEnds,
    Knock { place: Place },
}

#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) at_ms: u64,
    /// Events of one instant happen in the order in which they were made.
    pub(crate) order: u64,
    pub(crate) event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.order) == (other.at_ms, other.order)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}
