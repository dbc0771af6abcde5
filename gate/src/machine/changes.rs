//! What the server says has changed.

use std::collections::HashSet;

use wire::KeyDigest;
use wire::v1::{Change, ChangesReply, Level};

use super::Gate;
use super::order::in_order;
use crate::exchange::Stage;
use crate::io::Now;
use crate::key_cache::Known;
use crate::link::{Sent, Session};

impl Gate {
    /// Takes over what has changed, and that everything up to there has been heard of.
    pub(super) fn apply(&mut self, reply: &ChangesReply, sent: Sent, now: Now) {
        let now_ms = now.monotonic_ms;
        if self.link.session.as_ref().is_none_or(|session: &Session| session.epoch != reply.epoch) {
            return self.lose_holder(now);
        }
        let told = self.applied(now);
        for change in &reply.changes {
            match change {
                Change::Key { key, digests, state, user_keys } => {
                    if *user_keys {
                        self.age_asks_below(Level::Key, key.as_str(), now);
                        self.keys.forget_below(Level::Key, key.as_str());
                    }
                    digests.iter().for_each(|digest| self.keys.forget(digest));
                    self.age_asks(|digest| digests.contains(digest), now);
                    self.key_is(key, *state);
                    let said = self.pool.recall_key(key, now_ms);
                    self.say(said);
                }
                // Where history does not reach back, it may have held a recall.
                Change::AllKeys => {
                    self.forget_keys(told, now);
                    self.age_asks(|_| true, now);
                    let said = self.pool.recall_all(now_ms);
                    self.say(said);
                }
                Change::Below { level, owner } => {
                    self.age_asks_below(*level, owner, now);
                    self.forget_below(*level, owner, told, now);
                }
                Change::Exhausted { level, owner } => self.is_exhausted(*level, owner),
                Change::Recall { level, owner } => {
                    let said = self.pool.recall(*level, owner, now_ms);
                    self.say(said);
                }
                Change::Catalogue { version } => {
                    if self.models.as_ref().is_some_and(|models| models.version < *version) {
                        self.models = None;
                    }
                }
            }
        }
        self.link.caught_up(reply.revision, sent);
    }

    /// Something above the keys of an owner has changed. To be said before what is known of them is
    /// forgotten.
    fn age_asks_below(&mut self, level: Level, owner: &str, now: Now) {
        let concerned = |digest: &KeyDigest| match self.keys.get(digest) {
            Some(Known::Key(policy)) => policy.is_below(level, owner),
            Some(Known::NoKey) => false,
            // What is being answered may be from before the change.
            None => true,
        };
        let open = self.streams.values().filter_map(|exchange| match &exchange.stage {
            Stage::Open(open) => Some(open.digest),
            Stage::Running(_) | Stage::Passing(_) | Stage::Answered => None,
        });
        let concerned: HashSet<KeyDigest> = open.filter(concerned).collect();
        self.age_asks(|digest| concerned.contains(digest), now);
    }

    /// These keys, or what is above them, have changed: numbers under which money is asked for are
    /// of no use any more, and a lease that a request has but has not drawn on goes back. (Not at a
    /// recall alone: it may be for the sake of this very ask.)
    fn age_asks(&mut self, concerns: impl Fn(&KeyDigest) -> bool, now: Now) {
        let concerned = self.streams.iter().filter(|(_, exchange)| match &exchange.stage {
            Stage::Open(open) => concerns(&open.digest),
            Stage::Running(_) | Stage::Passing(_) | Stage::Answered => false,
        });
        for stream in in_order(concerned.map(|(stream, _)| *stream).collect()) {
            let exchange = self.streams.get_mut(&stream);
            let Some(Stage::Open(open)) = exchange.map(|exchange| &mut exchange.stage) else {
                continue;
            };
            open.ask_is_stale = open.lease_number.is_some();
            let Some((key, lease)) = open.granted.take() else { continue };
            let said = self.pool.unused(&key, &lease, now.monotonic_ms);
            self.say(said);
        }
    }
}
