//! `POST /v1/auth/exchange`: the server is asked for a user key.

use wire::v1::{ExchangeAnswer, ExchangeReply, ExchangeRequest, KeyKind, KeyPolicy};

use super::{Gate, forward::Step};
use crate::dry_run;
use crate::exchange::Open;
use crate::io::{Call, CallId, StreamId};
use crate::link::Session;
use crate::policy_calls::{Caller, Purpose};
use crate::profile::Voice;
use crate::refusal::Refusal;
use crate::user_key::{LONGEST_BODY, form, reply};

impl Gate {
    /// What a request for a user key does next, its key being good.
    pub(super) fn user_key_step(
        &self,
        open: &Open,
        policy: &KeyPolicy,
        voice: Voice,
        request_id: &str,
    ) -> Step {
        if policy.kind == KeyKind::User {
            return Step::Refuse(Refusal::EndpointNotAllowed);
        }
        if let Err(refusal) = open.check_body(self.config.body_bytes.min(LONGEST_BODY)) {
            return Step::Refuse(refusal);
        }
        if open.is_dry_run {
            return Step::Refuse(dry_run::not_here());
        }
        match &open.user_key {
            Some(answer) => {
                reply(answer, policy, voice, request_id).map_or_else(Step::Refuse, Step::Reply)
            }
            None => self.ask_beside_calls(Purpose::UserKey),
        }
    }

    /// The call for it.
    pub(super) fn user_key_call(
        &self,
        caller: &Caller<'_>,
        (id, stream): (CallId, Option<StreamId>),
        open: &Open,
        session: &Session,
    ) -> Call {
        let message = ExchangeRequest {
            holder: session.holder.clone(),
            epoch: session.epoch,
            digest: open.digest,
            form: form(self.config.profile),
        };
        caller.post(id, stream, "/proxy/v1/exchange", &message)
    }

    /// Takes a user key. It does not matter how old the answer is, since nothing is known here of the
    /// key in it yet. Where the key that was sent is not good any more, what is known of it is too old.
    pub(super) fn take_user_key(&mut self, open: &mut Open, reply: ExchangeReply) {
        match reply.answer {
            ExchangeAnswer::KeyNotUsable => self.keys.forget(&open.digest),
            answer => open.user_key = Some(Box::new(answer)),
        }
    }
}
