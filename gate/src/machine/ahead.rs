//! Money is asked for before calls need it, by the VM itself: the calls then need not wait.

use wire::v1::{LeaseAnswer, LeaseReply, LeaseRequest};
use wire::{KeyId, LeaseId};

use super::Gate;
use crate::io::{CallId, Now, Output};
use crate::policy_calls::{Answered, Caller, Purpose, read};
use crate::pool::Ahead;

/// Most asks ahead that are under way: a worker has few keys that are hot at the same time.
const MOST_AT_ONCE: usize = 64;
/// Most that begin at one tick, so that a tick stays short.
const MOST_PER_TICK: usize = 8;

impl Gate {
    /// Asks for keys whose money is running out.
    pub(super) fn ask_ahead(&mut self, now: Now) {
        let usable = now.is_exact && self.link.usable(now).is_some();
        let most = MOST_PER_TICK.min(MOST_AT_ONCE.saturating_sub(self.aheads.len()));
        if !usable || most == 0 {
            return;
        }
        for ahead in self.pool.running_out(most, now.monotonic_ms) {
            self.ask_for(ahead, now);
        }
    }

    fn ask_for(&mut self, ahead: Ahead, now: Now) {
        let Some(session) = &self.link.session else { return };
        let (holder, epoch) = (session.holder.clone(), session.epoch);
        let Ahead { key, ask, want } = ahead;
        self.next_lease += 1;
        let n = self.next_lease;
        let id = self.pending(Purpose::Ahead, None, now);
        self.aheads.insert(id, (key.clone(), n));
        let message = LeaseRequest {
            holder,
            epoch,
            key,
            n,
            ask,
            want: want.money,
            want_permits: want.permits,
            void: Vec::new(),
        };
        if let Some(caller) = Caller::of(&self.config, self.token.as_ref()) {
            let call = caller.post(id, None, "/proxy/v1/leases", &message);
            self.outputs.push_back(Output::Call(call));
        }
    }

    /// The server has answered, or nobody has.
    pub(super) fn ahead_answered(
        &mut self,
        call: CallId,
        status: Option<u16>,
        body: &[u8],
        now: Now,
    ) {
        let Some((key, n)) = self.aheads.remove(&call) else { return };
        match read::<LeaseReply>(status, body) {
            Answered::Ok(LeaseReply { epoch, revision, answer }) => {
                let is_current = self.is_current(epoch, revision);
                self.take_ahead(&key, n, answer, is_current, now);
            }
            // It may have been granted all the same.
            Answered::Failed => self.ahead_failed(&key, n, now),
            Answered::HolderLost => {
                self.pool.ahead_done(&key, true, now.monotonic_ms);
                self.lose_holder(now);
            }
        }
    }

    fn take_ahead(&mut self, key: &KeyId, n: u64, answer: LeaseAnswer, is_current: bool, now: Now) {
        let LeaseAnswer::Granted(grant) = answer else {
            return self.pool.ahead_done(key, true, now.monotonic_ms);
        };
        let lease: LeaseId = grant.lease.clone();
        let known = self.pool.asked(key).filter(|_| is_current);
        match known {
            Some((policy, ask)) => {
                let said = self.pool.add(&policy, &grant, &ask, true, now.monotonic_ms);
                self.pool.ahead_done(key, false, now.monotonic_ms);
                self.say(said);
            }
            // What is known of the key is newer than the answer: it may be revoked by now.
            None => {
                log::debug!("lease {lease} came too late and goes back");
                self.ahead_failed(key, n, now);
            }
        }
    }

    fn ahead_failed(&mut self, key: &KeyId, n: u64, now: Now) {
        self.pool.ahead_done(key, true, now.monotonic_ms);
        let reporter = self.reporter();
        self.outbox.void(reporter, n);
    }

    /// Asks whose call the host has forgotten.
    pub(super) fn forget_lost_aheads(&mut self, now: Now) {
        let lost = self.aheads.keys().find(|call| !self.calls.contains_key(call)).copied();
        if let Some((key, n)) = lost.and_then(|call| self.aheads.remove(&call)) {
            self.ahead_failed(&key, n, now);
        }
    }
}
