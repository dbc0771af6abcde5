//! What was known of keys has gone, and perhaps with it the news that one was revoked: the server is
//! asked about every key of which calls run. Until it has answered, it is not told that what it said
//! before has been applied.

use std::collections::{HashSet, VecDeque};

use wire::v1::{AdmitReply, AdmitRequest, KeyAnswer, KeyPolicy, Level};
use wire::{KeyDigest, Revision};

use super::Exchange;
use super::Gate;
use super::order::in_order;
use crate::exchange::{Reason, Stage};
use crate::io::{Now, Output};
use crate::key_cache::Known;
use crate::policy_calls::{Caller, Purpose};

/// Keys that are asked about in one tick; the rest waits for the next.
const RECHECKS_PER_TICK: usize = 20;
/// A failed question is asked again after this and up to as much again, in milliseconds.
const RECHECK_AGAIN_MS: u64 = 1_000;

/// Keys to be asked about, once each: never more than there are running calls.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    waiting: VecDeque<KeyDigest>,
    not_before_ms: u64,
    hold: Option<Hold>,
}

/// What the server must not be told before its answers have come.
#[derive(Debug, Clone, Copy)]
struct Hold {
    /// What it may be told: that everything up to here has been applied.
    revision: Revision,
    /// Calls whose keys are still in doubt at this time end: they were checked last a session ago.
    until_ms: u64,
    /// The next poll waits.
    keeps_poll: bool,
}

impl Gate {
    /// Nothing that is known of any key counts any more. Where calls of one run, the server must be
    /// asked about it before it is told of more than `told`.
    pub(super) fn forget_keys(&mut self, told: Revision, now: Now) {
        self.keys.clear();
        let mut seen = HashSet::new();
        let each_once = self.running_keys().into_iter().filter(|digest| seen.insert(*digest));
        self.rechecks.waiting = each_once.collect();
        // The server has just answered something.
        self.rechecks.not_before_ms = 0;
        if !self.wants_rechecks() || self.link.session.is_none() {
            self.rechecks.hold = None;
            return;
        }
        self.hold_what_is_told(told, now);
    }

    /// The same for the keys below an owner: something at it changed that counts for all of them.
    pub(super) fn forget_below(&mut self, level: Level, owner: &str, told: Revision, now: Now) {
        self.keys.forget_below(level, owner);
        let running: HashSet<_> = self.running_keys().into_iter().collect();
        self.rechecks.waiting.retain(|digest| running.contains(digest));
        let mut seen: HashSet<_> = self.rechecks.waiting.iter().copied().collect();
        let below = self.running_keys_where(|policy| policy.is_below(level, owner));
        let added: Vec<_> = below.into_iter().filter(|digest| seen.insert(*digest)).collect();
        if added.is_empty() {
            return;
        }
        self.rechecks.waiting.extend(added);
        self.rechecks.not_before_ms = 0;
        if self.link.session.is_some() {
            self.hold_what_is_told(told, now);
        }
    }

    /// Until the server has answered, it is told of no more than this.
    fn hold_what_is_told(&mut self, told: Revision, now: Now) {
        let longest_ms = self.link.longest_hold_ms();
        self.rechecks.hold.get_or_insert(Hold {
            revision: told,
            until_ms: now.monotonic_ms.saturating_add(longest_ms),
            keeps_poll: false,
        });
    }

    fn running_keys(&self) -> Vec<KeyDigest> {
        self.running_keys_where(|_| true)
    }

    /// Digests of running calls that can be ended, in the order of their streams: the map has none,
    /// what happens must have one.
    fn running_keys_where(&self, concerns: impl Fn(&KeyPolicy) -> bool) -> Vec<KeyDigest> {
        let digest = |exchange: &Exchange| match &exchange.stage {
            Stage::Running(call) if call.can_be_stopped() && concerns(&call.policy) => {
                Some(call.digest)
            }
            _ => None,
        };
        let running = self.streams.iter().filter(|(_, exchange)| digest(exchange).is_some());
        let in_order = in_order(running.map(|(stream, _)| *stream).collect());
        in_order.iter().filter_map(|stream| digest(self.streams.get(stream)?)).collect()
    }

    pub(super) fn wants_rechecks(&self) -> bool {
        !self.rechecks.waiting.is_empty()
    }

    /// Keys of running calls of which nothing has been heard since all was forgotten. A request with
    /// the same key may have asked, too.
    fn unknown_keys(&self) -> HashSet<KeyDigest> {
        let is_unknown = |digest: &KeyDigest| !matches!(self.keys.get(digest), Some(Known::Key(_)));
        self.running_keys().into_iter().filter(is_unknown).collect()
    }

    /// Those about which the server is to be, or is being, asked.
    fn in_doubt(&self) -> HashSet<KeyDigest> {
        let unknown = self.unknown_keys();
        let asked = self.calls.values().filter_map(|pending| match pending.purpose {
            Purpose::Recheck(digest) => Some(digest),
            _ => None,
        });
        let all = self.rechecks.waiting.iter().copied().chain(asked);
        all.filter(|digest| unknown.contains(digest)).collect()
    }

    /// Up to where the server may be told that everything has been applied.
    pub(super) fn applied(&mut self, now: Now) -> Revision {
        let applied = self.link.session.as_ref().map_or(Revision(0), |session| session.revision);
        self.awaits_rechecks(now).map_or(applied, |told| told.min(applied))
    }

    /// While keys of running calls are in doubt, what the server may be told. Where it cannot be
    /// asked for too long, their calls end.
    fn awaits_rechecks(&mut self, now: Now) -> Option<Revision> {
        let hold = self.rechecks.hold?;
        let in_doubt = self.in_doubt();
        if !in_doubt.is_empty() && now.monotonic_ms < hold.until_ms {
            return Some(hold.revision);
        }
        self.rechecks.hold = None;
        self.end_where(Reason::InDoubt, |running| in_doubt.contains(&running.digest));
        None
    }

    /// Sends the VM's own poll, or keeps it until keys of running calls are no longer in doubt:
    /// it tells the server what has been applied.
    pub(super) fn poll(&mut self, now: Now) {
        if self.awaits_rechecks(now).is_none() {
            self.call_own(Purpose::Changes, now);
        } else if let Some(hold) = &mut self.rechecks.hold {
            hold.keeps_poll = true;
        }
    }

    /// Sends the poll that was kept, if nothing keeps it any more.
    fn poll_if_kept(&mut self, now: Now) {
        let is_kept = self.rechecks.hold.is_some_and(|hold| hold.keeps_poll);
        if is_kept && self.link.poll_is_due(now.monotonic_ms) {
            self.poll(now);
        }
    }

    /// Asks the server about keys of running calls.
    pub(super) fn recheck(&mut self, now: Now) {
        if !self.wants_rechecks() || now.monotonic_ms < self.rechecks.not_before_ms {
            return;
        }
        let Some(session) = self.link.session.clone() else { return };
        // Those whose calls have ended meanwhile are of no interest.
        let unknown = self.unknown_keys();
        self.rechecks.waiting.retain(|digest| unknown.contains(digest));
        for _ in 0..RECHECKS_PER_TICK {
            let Some(digest) = self.rechecks.waiting.pop_front() else { return };
            let id = self.pending(Purpose::Recheck(digest), None, now);
            let (holder, epoch) = (session.holder.clone(), session.epoch);
            let message = AdmitRequest { holder, epoch, digest, n: 0, ask: None, void: Vec::new() };
            if let Some(caller) = Caller::of(&self.config, self.token.as_ref()) {
                let call = caller.post(id, None, "/proxy/v1/admit", &message);
                self.outputs.push_back(Output::Call(call));
            }
        }
    }

    /// The server has answered. A digest that it does not know (any more) was that of a key that is
    /// deleted, or was rotated, perhaps before it was revoked: its calls end, since none of them may
    /// outlive a revocation, though after a mere rotation they could have gone on.
    pub(super) fn rechecked(&mut self, digest: KeyDigest, reply: AdmitReply, now: Now) {
        if !self.is_current(reply.epoch, reply.revision) {
            return self.rechecks.waiting.push_back(digest);
        }
        match reply.key {
            KeyAnswer::Known(policy) => {
                self.key_is(&policy.key, policy.state);
                let policy = self.localized(*policy);
                self.keys.learn(digest, Some(policy));
            }
            KeyAnswer::Unknown => {
                self.keys.learn(digest, None);
                self.end_where(Reason::Revoked, |running| running.digest == digest);
            }
        }
        self.poll_if_kept(now);
    }

    /// Nobody has answered; the server is asked again, later.
    pub(super) fn recheck_failed(&mut self, digest: KeyDigest, now_ms: u64) {
        let jitter = self.random.next() % RECHECK_AGAIN_MS;
        self.rechecks.not_before_ms = now_ms.saturating_add(RECHECK_AGAIN_MS + jitter);
        self.rechecks.waiting.push_back(digest);
    }
}
