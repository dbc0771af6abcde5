//! Where no timer calls, what the VM has to do is done when requests come. What needs no call is done
//! first; calls to the server ride on the requests, a few on each.

use wire::v1::{ReportReply, ReportRequest};

use super::Gate;
use crate::exchange::{Body, Open};
use crate::io::{Now, SharedMemory};
use crate::policy_calls::{Answered, Purpose, read};

/// How often a VM without a timer looks after what it holds, in milliseconds: as often as one with a
/// timer would.
const LOOK_AFTER_MS: u64 = 50;
/// Calls that a request keeps for itself: its key, its lease, and some again because something changed.
const CALLS_KEPT: u8 = 5;

impl Gate {
    /// A request has come, which may be the first for long.
    pub(super) fn look_after_unless_timed(&mut self, now: Now, memory: &mut dyn SharedMemory) {
        if self.host.timers || now.monotonic_ms < self.look_after_at_ms {
            return;
        }
        self.look_after_at_ms = now.monotonic_ms.saturating_add(LOOK_AFTER_MS);
        self.forget_lost_calls(now);
        let said = self.pool.idle(now.monotonic_ms);
        self.say(said);
        self.look_after(now, memory);
    }

    /// A call that the request makes for the VM before it goes on by itself.
    pub(super) fn errand(&mut self, open: &mut Open, now: Now) -> Option<Purpose> {
        // With its money in hand it goes on at once.
        let may_call =
            !self.host.timers && !matches!(open.body, Body::Coming(_)) && open.granted.is_none();
        if !may_call || open.calls_left <= CALLS_KEPT || !now.is_exact {
            return None;
        }
        self.link.usable(now)?;
        if open.errands.refresh && self.link.refresh_is_due(now.monotonic_ms) {
            open.errands.refresh = false;
            self.link.refresh_began(now.monotonic_ms);
            return Some(Purpose::Changes);
        }
        if open.errands.reports > 0 && self.outbox.is_due(now.monotonic_ms) {
            open.errands.reports -= 1;
            return Some(Purpose::Report);
        }
        None
    }

    /// What the next report says, if one is due.
    pub(super) fn report_due(&mut self, now: Now) -> Option<ReportRequest> {
        let current = self.reporter()?;
        let contents = self.outbox.due(now.monotonic_ms, &current)?;
        let (holder, epoch) = contents.reporter;
        Some(ReportRequest {
            holder,
            epoch,
            leases: contents.leases,
            records: contents.records,
            void: contents.void,
        })
    }

    /// The server has taken a report, or nobody knows.
    pub(super) fn report_answered(&mut self, status: Option<u16>, body: &[u8], now: Now) -> bool {
        match read::<ReportReply>(status, body) {
            Answered::Ok(reply) => {
                self.outbox.acknowledged();
                for record in reply.differing {
                    log::error!("the server prices record {record} differently");
                }
                return true;
            }
            Answered::HolderLost => self.outbox.reporter_unknown(),
            Answered::Failed => {}
        }
        self.report_failed(now);
        false
    }

    /// The report under way is sent again, later.
    pub(super) fn report_failed(&mut self, now: Now) {
        let jitter = self.random.next();
        self.outbox.failed(now.monotonic_ms, jitter);
    }
}
