//! Windows of scope `cluster`: permits are taken with leases and come back with reports.

use metering::permits::{
    LeasePermits, Moved, Permits, Room, extra_permits, is_scarce, last_use_ms,
};
use wire::v1::{LeaseAnswer, LeaseReport, Level, Limit, Refusal, Scope, Unit};
use wire::{HolderId, NanoUsd, Revision};

use super::FROZEN_RETRY_MS;
use super::admission::CONTENDED_RETRY_MS;
use super::rate_limits::key_limit;
use super::{FilterError, Work};
use crate::live::Effect;
use crate::store::{BudgetId, KeyRow, LeaseRow, StoreError, StoreResult, StoredLimit, WindowId};

/// A window above a key as it stands now.
#[derive(Debug, Clone)]
pub(super) struct OpenWindow {
    pub(super) id: WindowId,
    limit: Limit,
    permits: Permits,
}

impl OpenWindow {
    /// Whose window it is, as recalls name it.
    pub(super) fn subject(&self) -> BudgetId {
        self.id.subject()
    }
}

impl WindowId {
    /// Whose window it is, as recalls name it.
    pub(super) fn subject(&self) -> BudgetId {
        BudgetId { level: self.level, owner: self.owner.clone() }
    }
}

/// Permits that a lease may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// As many as every window gives, the call's own included; zero where there is no window.
    pub(super) permits: u64,
}

impl Allowed {
    /// Money for more calls than there are permits would lie idle.
    pub(super) fn money(self, want: NanoUsd, reservation: NanoUsd) -> NanoUsd {
        match self.permits.checked_sub(1) {
            Some(ahead) => want.min(NanoUsd(reservation.0.saturating_mul(ahead))),
            None => want,
        }
    }

    /// Permits for more calls than there is money would lie idle too.
    pub(super) fn paid(self, extra: NanoUsd, reservation: NanoUsd) -> u64 {
        let calls = extra.0.checked_div(reservation.0).map(|ahead| ahead.saturating_add(1));
        self.permits.min(calls.unwrap_or(self.permits))
    }
}

impl Work<'_> {
    /// The windows above a key that are counted here for a holder.
    pub(super) fn windows_above(
        &mut self,
        key: &KeyRow,
        holder: &HolderId,
    ) -> StoreResult<Vec<OpenWindow>> {
        let below = self.shared.live().counts_windows_below(holder);
        let mut windows = Vec::new();
        for limit in &key.limits {
            if let Some(id) = window_of(key, limit, below) {
                let permits = self.open_window(&id)?;
                windows.push(OpenWindow { id, limit: key_limit(key, limit), permits });
            }
        }
        Ok(windows)
    }

    /// How many permits a lease may take of every window; a refusal where one has none.
    pub(super) fn allowed(
        &mut self,
        windows: &[OpenWindow],
        want: u64,
        live_holders: usize,
    ) -> StoreResult<Result<Allowed, Refusal>> {
        let now_ms = self.now.monotonic_ms;
        let mut permits = if windows.is_empty() { 0 } else { u64::MAX };
        // What cools comes back at a known time and by nothing else; what is held may come sooner.
        let mut cools: Option<(u64, &Limit)> = None;
        let mut held: Option<(u64, &Limit)> = None;
        for window in windows {
            let max = window.limit.max;
            match window.permits.room(max, now_ms) {
                Room::Free(free) => {
                    // A window of one proxy is counted here call by call, and nothing of it is kept.
                    let kept = if window.limit.scope == Scope::Cluster { want } else { 0 };
                    let extra = extra_permits(max, free, kept, live_holders);
                    permits = permits.min(extra.saturating_add(1));
                }
                Room::Cooling { returns_in_ms } => {
                    if cools.is_none_or(|(longest, _)| longest < returns_in_ms) {
                        cools = Some((returns_in_ms, &window.limit));
                    }
                }
                Room::Held { returns_in_ms } => {
                    let retry_ms = returns_in_ms.unwrap_or(u64::MAX).min(CONTENDED_RETRY_MS);
                    if held.is_none_or(|(longest, _)| longest < retry_ms) {
                        held = Some((retry_ms, &window.limit));
                    }
                }
            }
        }
        if cools.is_none() && held.is_some() {
            for window in windows {
                if matches!(window.permits.room(window.limit.max, now_ms), Room::Held { .. }) {
                    self.recall_if_due(&window.subject())?;
                }
            }
        }
        Ok(match cools.or(held) {
            Some((retry_after_ms, limit)) => {
                Err(Refusal::WindowFull { limit: limit.clone(), retry_after_ms })
            }
            None => Ok(Allowed { permits }),
        })
    }

    /// Takes the permits of a new lease. Answers whether any window has few left.
    pub(super) fn take_permits(
        &mut self,
        windows: &mut [OpenWindow],
        count: u64,
        live_holders: usize,
    ) -> Result<bool, FilterError> {
        let life = self.rows.life()?;
        let now_ms = self.now.monotonic_ms;
        let mut scarce = false;
        for window in windows {
            window.permits.grant(count, window.limit.max, now_ms)?;
            self.rows.save_permits(&window.id, life, &window.permits)?;
            scarce |= window.limit.scope == Scope::Proxy
                || is_scarce(window.limit.max, &window.permits, now_ms, live_holders);
        }
        Ok(scarce)
    }

    /// Takes what a report says about a lease's permits. The row is the caller's to save.
    pub(super) fn state_permits(
        &mut self,
        lease: &mut LeaseRow,
        report: &LeaseReport,
    ) -> Result<(), FilterError> {
        if lease.windows.is_empty() {
            return Ok(());
        }
        let hands_back = report.is_final || report.floor.is_some();
        let moved = lease.permits.state(report.permits_used, hands_back);
        let known = lease.granted_life == self.rows.life()?;
        let granted_ms = known.then_some(lease.granted_monotonic_ms);
        let last_use = last_use_ms(self.now.monotonic_ms, report.permit_age_ms, granted_ms);
        self.move_permits(lease, &moved, last_use)
    }

    /// The holder of a lease has vanished: it may have used what it had until now.
    pub(super) fn lapse_permits(&mut self, lease: &mut LeaseRow) -> Result<(), FilterError> {
        let moved = lease.permits.lapse();
        self.move_permits(lease, &moved, self.now.monotonic_ms)
    }

    /// The grant of a lease never arrived: what it was granted is free.
    pub(super) fn void_permits(&mut self, lease: &mut LeaseRow) -> Result<(), FilterError> {
        let used = lease.permits.used;
        let moved = lease.permits.state(used, true);
        self.move_permits(lease, &moved, self.now.monotonic_ms)
    }

    fn move_permits(
        &mut self,
        lease: &LeaseRow,
        moved: &Moved,
        last_use_ms: u64,
    ) -> Result<(), FilterError> {
        if *moved == Moved::default() {
            return Ok(());
        }
        let now_ms = self.now.monotonic_ms;
        let life = self.rows.life()?;
        for id in &lease.windows {
            let mut permits = match self.open_window(id) {
                Ok(permits) => permits,
                // Nothing is granted from it either; the lease's money and its other windows go on.
                Err(error @ StoreError::Unreadable(_)) => {
                    self.note_damage(lease.id.as_str(), &error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if let Err(error) = permits.apply(moved, last_use_ms, now_ms) {
                // What was used counts in any case: against whoever uses the window.
                self.note_damage(lease.id.as_str(), &error);
                let used = moved.used.saturating_add(moved.beyond);
                permits.cool(used, last_use_ms.saturating_add(id.window.millis()), now_ms);
            }
            self.rows.save_permits(id, life, &permits)?;
        }
        if moved.freed > 0 {
            self.effects.push(Effect::MoneyReturned);
        }
        Ok(())
    }

    /// Whether what an ask was refused for may come back within moments, because others hold it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn may_come_back(&mut self, answer: &LeaseAnswer) -> Result<bool, FilterError> {
        Ok(match answer {
            // What is frozen waits for an operator.
            LeaseAnswer::Refused(Refusal::Contended { retry_after_ms }) => {
                *retry_after_ms < FROZEN_RETRY_MS
            }
            LeaseAnswer::Refused(Refusal::WindowFull { limit, .. }) => {
                let Some(window) = limit.window else { return Ok(false) };
                let owner = limit.subject.id.clone();
                let id = WindowId { level: limit.subject.level, owner, window };
                let permits = self.open_window(&id)?;
                matches!(permits.room(limit.max, self.now.monotonic_ms), Room::Held { .. })
            }
            _ => false,
        })
    }

    /// A key's limits have become others. A window that is lowered or new is recalled, and a key
    /// with a new one is granted nothing until every holder has handed back leases that were not
    /// counted in it. One that takes another's place starts with all of it used, since what was
    /// used before is not known over its whole length.
    pub(super) fn limits_changed(
        &mut self,
        before: &[StoredLimit],
        key: &mut KeyRow,
    ) -> StoreResult<()> {
        let cluster = |limits: &[StoredLimit]| -> Vec<StoredLimit> {
            limits.iter().filter(|limit| limit.scope == Scope::Cluster).cloned().collect()
        };
        let (before, after) = (cluster(before), cluster(&key.limits));
        let known = |limit: &StoredLimit| before.iter().find(|old| old.window == limit.window);
        let added: Vec<_> = after.iter().filter(|limit| known(limit).is_none()).collect();
        let lowered = after.iter().any(|limit| known(limit).is_some_and(|old| limit.max < old.max));
        if added.is_empty() && !lowered {
            return Ok(());
        }
        let revision =
            self.recall(&BudgetId { level: Level::Key, owner: key.id.as_str().to_owned() })?;
        if added.is_empty() {
            return Ok(());
        }
        key.moved_revision = key.moved_revision.max(revision);
        let goes = |old: &StoredLimit| !after.iter().any(|limit| limit.window == old.window);
        if before.iter().any(goes) {
            for limit in added {
                self.start_all_used(key, limit, revision)?;
            }
        }
        Ok(())
    }

    fn start_all_used(
        &mut self,
        key: &KeyRow,
        limit: &StoredLimit,
        revision: Revision,
    ) -> StoreResult<()> {
        let Some(id) = window_id(key, limit) else { return Ok(()) };
        let now_ms = self.now.monotonic_ms;
        // Until the last holder has heard of it, calls are made that nobody counts here.
        let uncounted_until = {
            let live = self.shared.live();
            live.pending(revision, self.now).map_or(now_ms, |pending| pending.until_monotonic_ms)
        };
        let mut permits = self.open_window(&id)?;
        permits.cool(limit.max, uncounted_until.saturating_add(id.window.millis()), now_ms);
        let life = self.rows.life()?;
        self.rows.save_permits(&id, life, &permits)
    }

    fn open_window(&mut self, id: &WindowId) -> StoreResult<Permits> {
        let Some((life, mut permits)) = self.rows.permits(id)? else {
            return Ok(Permits::unused(id.window.millis()));
        };
        if life != self.rows.life()? {
            let started_ms = self.shared.live().started_ms();
            permits.enter_life(started_ms);
        }
        Ok(permits)
    }
}

/// The window of a limit, where it is counted over all proxies.
fn window_id(key: &KeyRow, limit: &StoredLimit) -> Option<WindowId> {
    window_of(key, limit, 0)
}

/// The same, or that of a limit of one proxy that is counted here for a holder: one of requests with less than `below`.
fn window_of(key: &KeyRow, limit: &StoredLimit, below: u64) -> Option<WindowId> {
    let owner = key.owner(Level::Key)?;
    let window = limit.window.filter(|_| is_counted_here(limit, below))?;
    Some(WindowId { level: Level::Key, owner, window })
}

fn is_counted_here(limit: &StoredLimit, below: u64) -> bool {
    let is_of_requests = limit.unit == Unit::Requests && limit.model.is_none();
    limit.scope == Scope::Cluster || (is_of_requests && limit.max < below)
}

/// Whether leases of the key carry permits for a holder that has windows below a `max` counted here.
pub(super) fn needs_permits(key: &KeyRow, below: u64) -> bool {
    key.limits.iter().any(|limit| limit.window.is_some() && is_counted_here(limit, below))
}

/// Permits of a lease that took none.
pub(super) fn no_permits() -> LeasePermits {
    LeasePermits { closed: true, ..LeasePermits::default() }
}
