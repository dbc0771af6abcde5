//! Where nothing is refused: a request that would have been goes on, and it is told beside the answer, in
//! the record and in the counts what would have refused it.

use wire::v1::KeyPolicy;

use super::Gate;
use crate::exchange::{Forward, Knowledge, Open, Stage, Writing, check_not_ended, marked};
use crate::header_filter::not_for_client;
use crate::io::{Headers, Now, Output, StreamId};
use crate::key_cache::Known;
use crate::observation::Decision;
use crate::refusal::Refusal;

/// The header of an answer that says what would have refused its request.
pub(super) const SHADOW_HEADER: &str = "x-tollgate-shadow";

impl Gate {
    /// Answers instead of the upstream, unless nothing may be refused here.
    pub(super) fn refuse(
        &mut self,
        stream: StreamId,
        open: Option<Box<Open>>,
        refusal: &Refusal,
        now: Now,
    ) {
        let in_shadow = self.streams.get(&stream).is_some_and(|exchange| exchange.in_shadow);
        let passes = match open.as_deref() {
            Some(open) => self.passes(in_shadow, open, refusal, now),
            None => in_shadow,
        };
        if !passes {
            return self.reply(stream, refusal);
        }
        let code = refusal.code();
        match open {
            None => self.pass(stream, None, code),
            Some(mut open) => {
                // What was asked for has been disclaimed.
                open.ask_is_open = false;
                match self.marked(in_shadow, &open, code, now) {
                    None => self.pass(stream, Some(&open), code),
                    Some(forward) => {
                        let request = self.streams.get(&stream).map(|one| one.request.clone());
                        if let Some(request) = request {
                            self.forward(stream, &open, forward, &request);
                        }
                    }
                }
            }
        }
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.notes.decision = Some(Decision::refused(code));
            exchange.notes.in_shadow = true;
        }
    }

    /// Whether a request goes on although this would refuse it. A key that has been ended has been ended
    /// on purpose: then its own shadow mode is over, too.
    pub(super) fn passes(&self, in_shadow: bool, open: &Open, refusal: &Refusal, now: Now) -> bool {
        if open.is_dry_run || open.body_is_dropped || open.target.asks_the_server() {
            return false;
        }
        let ends_the_key = matches!(
            refusal,
            Refusal::Revoked | Refusal::Disabled | Refusal::Expired | Refusal::UnknownKey
        );
        in_shadow || (!ends_the_key && self.key_is_in_shadow(open, now))
    }

    /// As far as that may be relied on now: a key of which nothing was heard for too long may have been
    /// revoked. One that has ended is in no mode any more, whatever it is that refuses.
    fn key_is_in_shadow(&self, open: &Open, now: Now) -> bool {
        let is_one = |policy: &KeyPolicy| policy.shadow && check_not_ended(policy, now).is_ok();
        self.may_use_what_it_knows(now)
            && matches!(self.known(&open.digest), Some(Known::Key(policy)) if is_one(&policy))
    }

    /// Whether the body of an open request goes on however large it is.
    pub(super) fn is_large_body_let_through(&self, stream: StreamId, now: Now) -> bool {
        let Some(exchange) = self.streams.get(&stream) else { return false };
        match &exchange.stage {
            Stage::Open(open) => self.passes(
                exchange.in_shadow,
                open,
                &Refusal::BodyTooLarge(self.config.body_bytes),
                now,
            ),
            _ => false,
        }
    }

    /// Lets a request with too large a body pass at once, whatever it waits for. False where it is
    /// not to pass.
    pub(super) fn let_large_body_pass(&mut self, stream: StreamId, now: Now) -> bool {
        if !self.is_large_body_let_through(stream, now) {
            return false;
        }
        let Some(stage) = self.stage(stream) else { return false };
        let Stage::Open(mut open) = std::mem::replace(stage, Stage::Answered) else { return false };
        // The host holds it, whether for its body or for an answer.
        open.waited |= open.waits_for.is_some();
        self.note_whose(stream, &open);
        self.abandon(&open, now);
        let most = self.config.body_bytes;
        self.refuse(stream, Some(open), &Refusal::BodyTooLarge(most), now);
        true
    }

    /// The call with its true cost, where that can be known.
    fn marked(
        &self,
        in_shadow: bool,
        open: &Open,
        code: &'static str,
        now: Now,
    ) -> Option<Forward> {
        let usable = self.may_use_what_it_knows(now);
        let Some(Known::Key(policy)) = self.known(&open.digest).filter(|_| usable) else {
            return None;
        };
        let models = self.catalogue()?;
        // Its record must find a place; otherwise it goes on without one.
        if !self.outbox_has_room(open) {
            return None;
        }
        let known = Knowledge {
            models: &models,
            policy: &policy,
            body_limit: self.config.body_bytes,
            paths: &self.config.paths,
            allow: &self.config.allow,
            profile: self.config.profile,
            vm: self.vm,
            place: None,
            concurrent_calls: None,
            outbox_has_room: true,
            in_shadow,
            host: &self.host,
            writing: Writing::of(open, &self.host, &self.config.host),
        };
        marked(open, &known, code, now.monotonic_ms)
    }

    /// Lets a request pass unread.
    fn pass(&mut self, stream: StreamId, open: Option<&Open>, code: &'static str) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        exchange.stage = Stage::Passing(code);
        if open.is_none_or(|open| !open.head_is_gone) {
            let name = "x-tollgate-request-id".to_owned();
            let value = exchange.request.as_str().to_owned();
            self.outputs.push_back(Output::SetRequestHeader { stream, name, value });
        }
        if open.is_some_and(|open| open.waited) {
            self.outputs.push_back(Output::Resume { stream });
        }
    }

    /// The answer to a request that passed unread.
    pub(super) fn passing_response(&mut self, stream: StreamId, headers: &Headers, code: &str) {
        let Some(exchange) = self.streams.get(&stream) else { return };
        let id = exchange.request.as_str();
        let ids = exchange.voice.request_id_headers().map(|name| (name, id));
        for (name, value) in ids.into_iter().chain([(SHADOW_HEADER, code)]) {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.outputs.push_back(Output::SetResponseHeader { stream, name, value });
        }
        for name in not_for_client(headers, &[]) {
            self.outputs.push_back(Output::RemoveResponseHeader { stream, name });
        }
    }
}
