//! The bond with the policy server: who this VM is to it, up to which revision it knows, and how
//! long it may act on that.

use wire::v1::RegisterReply;
use wire::{Epoch, HolderId, Nonce, Revision};

use crate::io::{CallId, Now};
use crate::outbox::pause_ms;

/// How long a poll may stay unanswered at the server, in milliseconds, unless the session is shorter.
pub(crate) const POLL_WAIT_MS: u64 = 25_000;
/// How much longer the host waits for its answer.
pub(crate) const POLL_MARGIN_MS: u64 = 5_000;

/// Pause after a failed poll while other calls are answered, in milliseconds: should polls alone
/// fail, there are two a second.
const SOON_MS: u64 = 500;

/// Without a timer, what is known is refreshed so often while requests come.
const REFRESHES_PER_SESSION: u64 = 3;

/// One registration and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) holder: HolderId,
    pub(crate) epoch: Epoch,
    /// Everything up to here has been applied.
    pub(crate) revision: Revision,
    ttl_ms: u64,
    /// Key state, catalogue and leases may be used before this monotonic time …
    usable_until_ms: u64,
    /// … and before this wall time: a machine that is suspended stops its monotonic clock, while the
    /// server counts on. A step of the wall clock forward costs one poll.
    usable_until_wall_ms: u64,
}

/// When something was sent, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) monotonic_ms: u64,
    pub(crate) wall_ms: u64,
}

impl Sent {
    pub(crate) fn at(now: Now) -> Self {
        Self { monotonic_ms: now.monotonic_ms, wall_ms: now.wall_ms }
    }
}

/// Later than the monotonic end, so that a wall clock that is merely corrected by a little decides
/// nothing; within the grace that the server adds.
fn wall_deadline(sent: Sent, ttl_ms: u64) -> u64 {
    const CORRECTION_MS: u64 = 2_000;
    sent.wall_ms.saturating_add(ttl_ms).saturating_add(CORRECTION_MS)
}

/// The bond.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) nonce: Nonce,
    pub(crate) session: Option<Session>,
    /// The poll (or registration) under way; the answer of an older one says nothing any more.
    current: Option<CallId>,
    /// When it counts as lost.
    poll_deadline_ms: Option<u64>,
    poll_not_before_ms: u64,
    poll_failures: u32,
}

impl Link {
    pub(crate) fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            session: None,
            current: None,
            poll_deadline_ms: None,
            poll_not_before_ms: 0,
            poll_failures: 0,
        }
    }

    /// A registration sent at `sent` was answered. A second one of the same epoch changes nothing:
    /// its revision may be newer than what has been applied, and taking it over would tell the
    /// server that a change is in force which has not come yet.
    pub(crate) fn registered(&mut self, reply: RegisterReply, sent: Sent) {
        let known = self.session.as_ref();
        if known.is_some_and(|session| session.epoch == reply.epoch) {
            return;
        }
        self.session = Some(Session {
            holder: reply.holder,
            epoch: reply.epoch,
            revision: reply.revision,
            ttl_ms: reply.session_ttl_ms,
            usable_until_ms: sent.monotonic_ms.saturating_add(reply.session_ttl_ms),
            usable_until_wall_ms: wall_deadline(sent, reply.session_ttl_ms),
        });
    }

    /// The session, if what is known under it may be used now.
    pub(crate) fn usable(&self, now: Now) -> Option<&Session> {
        self.session.as_ref().filter(|session| {
            now.monotonic_ms < session.usable_until_ms && now.wall_ms < session.usable_until_wall_ms
        })
    }

    /// A poll sent at `sent` was answered and its changes have been applied. Only polls renew
    /// what may be used: another answer may be fresh while a change is still on its way.
    pub(crate) fn caught_up(&mut self, revision: Revision, sent: Sent) {
        if let Some(session) = &mut self.session {
            session.revision = session.revision.max(revision);
            let until = sent.monotonic_ms.saturating_add(session.ttl_ms);
            if until >= session.usable_until_ms {
                session.usable_until_ms = until;
                session.usable_until_wall_ms = wall_deadline(sent, session.ttl_ms);
            }
        }
    }

    /// How long the next poll may wait: two must fit into a session, with time for their answers.
    pub(crate) fn poll_wait_ms(&self) -> u64 {
        self.session
            .as_ref()
            .map_or(0, |session| POLL_WAIT_MS.min(session.ttl_ms.saturating_mul(5) / 12))
    }

    /// For how long the server may be kept from hearing what has been applied, so that the session is
    /// still renewed in time: as a rule the last poll was sent a poll's wait ago.
    pub(crate) fn longest_hold_ms(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.ttl_ms / 2)
    }

    /// Whether the VM's own poll is to be sent now.
    pub(crate) fn poll_is_due(&self, now_ms: u64) -> bool {
        self.session.is_some()
            && self.poll_deadline_ms.is_none_or(|deadline| now_ms >= deadline)
            && now_ms >= self.poll_not_before_ms
    }

    /// Without a timer: whether a request is to ask for what has changed, although what is known may
    /// still be used. A third of the session before that, so that busy workers hear of changes
    /// soon and a server that is slow once keeps nobody waiting.
    pub(crate) fn refresh_is_due(&self, now_ms: u64) -> bool {
        self.session.as_ref().is_some_and(|session| {
            let renewed_ms = session.usable_until_ms.saturating_sub(session.ttl_ms);
            now_ms.saturating_sub(renewed_ms) >= session.ttl_ms / REFRESHES_PER_SESSION
                && now_ms >= self.poll_not_before_ms
        })
    }

    /// A request asks for it: others need not, for a while.
    pub(crate) fn refresh_began(&mut self, now_ms: u64) {
        self.poll_not_before_ms = now_ms.saturating_add(SOON_MS);
    }

    /// Whether the VM may register by itself now; it does when it has something to report.
    pub(crate) fn registration_is_due(&self, now_ms: u64) -> bool {
        self.session.is_none()
            && self.poll_deadline_ms.is_none_or(|deadline| now_ms >= deadline)
            && now_ms >= self.poll_not_before_ms
    }

    pub(crate) fn poll_sent(&mut self, call: CallId, now_ms: u64) {
        self.current = Some(call);
        self.poll_deadline_ms = Some(now_ms.saturating_add(POLL_WAIT_MS + 2 * POLL_MARGIN_MS));
    }

    pub(crate) fn is_current(&self, call: CallId) -> bool {
        self.current == Some(call)
    }

    pub(crate) fn poll_answered(&mut self) {
        self.poll_deadline_ms = None;
        self.poll_failures = 0;
        self.poll_not_before_ms = 0;
    }

    /// The server has answered another call, so it is there again: a poll that waits after
    /// failures goes out soon.
    pub(crate) fn server_answers(&mut self, now_ms: u64) {
        let soon = now_ms.saturating_add(SOON_MS);
        self.poll_not_before_ms = self.poll_not_before_ms.min(soon);
    }

    pub(crate) fn poll_failed(&mut self, now_ms: u64, jitter: u64) {
        self.poll_deadline_ms = None;
        self.poll_not_before_ms = now_ms.saturating_add(pause_ms(self.poll_failures, jitter));
        self.poll_failures = self.poll_failures.saturating_add(1);
    }

    /// The server does not know this holder (any more): the next registration is a new one.
    pub(crate) fn lost(&mut self, nonce: Nonce) {
        *self = Self::new(nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::CatalogueVersion;

    fn link(ttl_ms: u64) -> Link {
        let mut link = Link::new(Nonce([1; 16]));
        link.registered(
            RegisterReply {
                holder: HolderId::new("h1").unwrap(),
                epoch: Epoch(1),
                revision: Revision(1),
                session_ttl_ms: ttl_ms,
                catalogue_version: CatalogueVersion(1),
            },
            Sent { monotonic_ms: 0, wall_ms: 5_000 },
        );
        link
    }

    #[test]
    fn polls_are_answered_well_before_the_session_ends() {
        for ttl_ms in [1_000, 8_000, 50_000, 60_000, 600_000] {
            let link = link(ttl_ms);
            assert!(2 * link.poll_wait_ms() < ttl_ms, "{ttl_ms}");
        }
        assert_eq!(link(60_000).poll_wait_ms(), POLL_WAIT_MS);
    }

    #[test]
    fn a_poll_goes_out_soon_once_the_server_answers_again() {
        let mut link = link(60_000);
        (0..10).for_each(|_| link.poll_failed(1_000, u64::MAX));
        assert!(!link.poll_is_due(2_000));
        link.server_answers(2_000);
        assert!(!link.poll_is_due(2_000 + SOON_MS - 1));
        assert!(link.poll_is_due(2_000 + SOON_MS));
    }

    #[test]
    fn a_machine_that_was_suspended_trusts_nothing_that_it_knew() {
        let mut link = link(60_000);
        let now = |monotonic_ms, wall_ms| Now { monotonic_ms, micros: 0, wall_ms, is_exact: true };
        assert!(link.usable(now(59_999, 64_999)).is_some());
        assert!(link.usable(now(60_000, 65_000)).is_none());
        // asleep for an hour: one clock has stood still
        assert!(link.usable(now(10_000, 3_615_000)).is_none());
        // set back, or corrected by a little
        assert!(link.usable(now(10_000, 0)).is_some());
        assert!(link.usable(now(59_000, 66_000)).is_some());
        link.caught_up(Revision(2), Sent { monotonic_ms: 11_000, wall_ms: 3_616_000 });
        assert!(link.usable(now(12_000, 3_617_000)).is_some());
    }
}
