//! The audit: read by pages, and forgotten after the time that is set.

use super::{AdminError, FilterError, Page, Work};
use crate::store::{AuditRow, AuditSearch, StoreResult};

/// Name of the setting that says for how many days lines are kept.
pub const SETTING_AUDIT_DAYS: &str = "audit_retention_days";

/// Lines removed in one job of the sweeper, so that requests never wait for long.
const FORGOTTEN_PER_SWEEP: u32 = 256;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Work<'_> {
    /// Appends a line at this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub fn add_audit(&mut self, line: AuditRow) -> Result<(), AdminError> {
        let line = AuditRow { at_unix_ms: self.now.unix_ms, ..line };
        Ok(self.rows.add_audit(&line)?)
    }

    /// Lines that match, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn audit(&mut self, mut search: AuditSearch) -> Result<Page<AuditRow>, AdminError> {
        let limit = search.limit;
        search.limit = limit.saturating_add(1);
        let found = self.rows.audit(&search)?;
        let page = Page::of(found, limit, |(position, _)| position.to_string());
        Ok(Page { items: page.items.into_iter().map(|(_, line)| line).collect(), next: page.next })
    }

    /// For how many days lines of the audit are kept; none: for ever.
    ///
    /// # Errors
    /// When the store fails.
    pub fn audit_days(&mut self) -> Result<Option<u64>, AdminError> {
        Ok(self.rows.setting(SETTING_AUDIT_DAYS)?)
    }

    /// Sets it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn set_audit_days(&mut self, days: Option<u64>) -> Result<(), AdminError> {
        Ok(self.rows.save_setting(SETTING_AUDIT_DAYS, days)?)
    }

    /// Whether lines of the audit are older than they are kept.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_old_audit(&mut self) -> Result<bool, FilterError> {
        let Some(from) = self.audit_kept_from()? else { return Ok(false) };
        Ok(self.rows.has_audit_before(from)?)
    }

    /// Removes some of them. Answers whether there may be more.
    pub(super) fn forget_old_audit(&mut self) -> Result<bool, FilterError> {
        let Some(from) = self.audit_kept_from()? else { return Ok(false) };
        let removed = self.rows.forget_audit(from, FORGOTTEN_PER_SWEEP)?;
        Ok(u32::try_from(removed).is_ok_and(|removed| removed >= FORGOTTEN_PER_SWEEP))
    }

    fn audit_kept_from(&mut self) -> StoreResult<Option<u64>> {
        let days = self.rows.setting(SETTING_AUDIT_DAYS)?;
        Ok(days.map(|days| self.now.unix_ms.saturating_sub(days.saturating_mul(DAY_MS))))
    }
}
