//! Parked money that stops counting: after a day in accounts that no period ends, or because an
//! operator knows that it was not spent.

use metering::budget::{LeaseMoney, Movement, Standing};
use wire::{KeyId, LeaseId, NanoUsd};

use super::{AdminError, FilterError, Work};
use crate::live::Effect;
use crate::schedule::Schedule;
use crate::store::{AuditRow, Share, StoreResult};

/// How long parked money counts in an account without a period: a report later than a day is
/// hardly to be expected, and nothing else would ever end it. Counted in time that the server has
/// run: a wall clock that is set forward releases nothing.
const PARKED_MS: u64 = 24 * 60 * 60 * 1_000;

/// How often the time that the server has run is noted while some release waits for it. What a life
/// ran after its last note does not count; a commit a minute costs nothing.
const NOTE_EVERY_MS: u64 = 60 * 1_000;

/// Shares released in one job of the sweeper, so that requests never wait for long.
pub(super) const RELEASED_PER_SWEEP: u32 = 256;

/// Shares that an operator releases at once, for the same reason.
const RELEASED_PER_REQUEST: u32 = 1_024;

/// What an operator's release came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Released {
    /// Shares that were released; a lease has one in each budget above its key.
    pub shares: u64,
    /// Sum over the shares.
    pub amount: NanoUsd,
    /// There are more: ask again.
    pub more: bool,
}

impl Work<'_> {
    /// Parks a lease, and notes when its money is released where no period ends.
    pub(super) fn park(
        &mut self,
        lease: &LeaseId,
        money: &mut LeaseMoney,
    ) -> Result<Movement, FilterError> {
        let movement = money.park();
        let at = self.ran_ms().saturating_add(PARKED_MS);
        self.rows.schedule_release(lease, Schedule::default(), at)?;
        Ok(movement)
    }

    /// Whether the time of some parked money has come, or the time until then is to be noted.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn has_due_releases(&mut self) -> StoreResult<bool> {
        let ran_ms = self.ran_ms();
        let is_old = ran_ms >= self.rows.ran_ms()?.saturating_add(NOTE_EVERY_MS);
        Ok((is_old && self.rows.has_scheduled_releases()?)
            || !self.rows.due_releases(ran_ms, 1)?.is_empty())
    }

    /// Notes how long the server has run, for its next lives.
    pub(super) fn note_running_time(&mut self) -> StoreResult<()> {
        self.rows.save_ran_ms(self.ran_ms())
    }

    fn ran_ms(&self) -> u64 {
        self.shared.live().ran_ms(self.now)
    }

    /// Releases parked money whose time has come, a bounded number of shares per call. Where a row is
    /// damaged its share stays for the next sweep. Answers whether there may be more.
    pub(super) fn release_due(&mut self) -> Result<bool, FilterError> {
        let due = self.rows.due_releases(self.ran_ms(), RELEASED_PER_SWEEP)?;
        let full = u32::try_from(due.len()).is_ok_and(|found| found >= RELEASED_PER_SWEEP);
        let mut any = false;
        for share in due {
            let what = share.lease.as_str().to_owned();
            any |= self.part(&what, |work| work.release(share, "system"))?.is_some();
        }
        // Where none could be, the same are found again.
        Ok(full && any)
    }

    /// Releases what is parked for a key in every budget above it: an operator has seen to it that
    /// it was not spent, or bears it. What is reported later is settled, as overdraft. `actor` is
    /// the operator's name in the audit.
    ///
    /// # Errors
    /// When there is no such key, the store fails or the ledger does not add up.
    pub fn release_parked(&mut self, key: &KeyId, actor: &str) -> Result<Released, AdminError> {
        if self.rows.key(key)?.is_none() {
            return Err(AdminError::not_found("key", key.as_str()));
        }
        let shares = self.rows.parked_shares(key, RELEASED_PER_REQUEST)?;
        let more = u32::try_from(shares.len()).is_ok_and(|found| found >= RELEASED_PER_REQUEST);
        let mut released = Released { more, ..Released::default() };
        for share in shares {
            let amount = self.release(share, actor)?;
            released.shares += u64::from(amount > NanoUsd::ZERO);
            released.amount = released.amount.saturating_add(amount);
        }
        Ok(released)
    }

    /// Releases one share. Answers how much room that made.
    fn release(&mut self, mut share: Share, actor: &str) -> Result<NanoUsd, FilterError> {
        let lease = self.rows.lease(&share.lease)?;
        let parked = lease.filter(|lease| lease.money.standing == Standing::Parked);
        let counts = parked.filter(|_| !share.released);
        let amount = counts.map_or(NanoUsd::ZERO, |lease| lease.money.remaining());
        share.released = true;
        self.rows.save_released(&share)?;
        if amount == NanoUsd::ZERO {
            return Ok(amount);
        }
        let mut account = self.rows.account(&share.account)?.unwrap_or_default();
        account.release(amount)?;
        self.rows.save_account(&share.account, &account)?;
        let budget = &share.account.budget;
        let target = format!("{} {} lease {}", budget.level.as_str(), budget.owner, share.lease);
        tracing::warn!(actor, %target, nano_usd = amount.0, "parked money was released");
        let at = self.now.unix_ms;
        let org = self.scope_of_budget(budget)?.org;
        let line = AuditRow::of_money(at, actor, "release_parked", target, Some(amount));
        self.rows.add_audit(&AuditRow { org, ..line })?;
        self.effects.push(Effect::MoneyReturned);
        Ok(amount)
    }
}
