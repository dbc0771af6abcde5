//! `GET /v1/usage`: the server is asked for a page of what a key has used.

use wire::v1::{UsageAnswer, UsageReply, UsageRequest};

use super::{Gate, forward::Step};
use crate::exchange::Open;
use crate::io::{Call, CallId, StreamId};
use crate::link::Session;
use crate::policy_calls::{Caller, Purpose};
use crate::profile::Voice;
use crate::refusal::Refusal;
use crate::usage_page::{Query, reply};

/// Pages, and user keys, that a VM asks for at once. Each costs the server a search or a write, and
/// clients can ask as often as they like, since no window counts it: calls of models must not have to
/// wait behind them.
const MOST_ASKED_AT_ONCE: usize = 8;

impl Gate {
    /// What a request for usage does next, its key being good.
    pub(super) fn usage_step(&self, open: &Open, voice: Voice, request_id: &str) -> Step {
        if let Some(answer) = &open.usage {
            return reply(answer, voice, request_id).map_or_else(Step::Refuse, Step::Reply);
        }
        if let Err(refusal) = Query::read(open.query()) {
            return Step::Refuse(refusal);
        }
        self.ask_beside_calls(Purpose::Usage)
    }

    /// Asks the server for what is no call of a model, unless too much of it is asked already.
    pub(super) fn ask_beside_calls(&self, purpose: Purpose) -> Step {
        let asked = self.calls.values().filter(|call| call.purpose == purpose).count();
        if asked >= MOST_ASKED_AT_ONCE {
            return Step::Refuse(Refusal::PolicyUnavailable);
        }
        Step::Call(purpose, None)
    }

    /// The call for it.
    pub(super) fn usage_call(
        caller: &Caller<'_>,
        (id, stream): (CallId, Option<StreamId>),
        open: &Open,
        session: &Session,
    ) -> Call {
        // It was read before, so it can be read.
        let query = Query::read(open.query()).unwrap_or_default();
        let message = UsageRequest {
            holder: session.holder.clone(),
            epoch: session.epoch,
            digest: open.digest,
            from: query.from,
            to: query.to,
            limit: query.limit,
            cursor: query.cursor,
        };
        caller.post(id, stream, "/proxy/v1/usage", &message)
    }

    /// Takes a page. Where the server does not know the key, what is known of it here is too old.
    pub(super) fn take_usage(&mut self, open: &mut Open, reply: UsageReply) {
        if !self.is_current(reply.epoch, reply.revision) {
            return;
        }
        match reply.answer {
            UsageAnswer::UnknownKey => self.keys.forget(&open.digest),
            answer => open.usage = Some(Box::new(answer)),
        }
    }
}
