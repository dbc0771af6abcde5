//! The audit: read by pages, and forgotten after the time that is set.

use serde_json::json;
use wire::OrgId;

use super::{AdminError, FilterError, Page, Target, Work};
use crate::refusals::{LeftOut, WINDOW_MS};
use crate::store::{AuditRow, AuditSearch, Outcome, StoreResult};

/// Name of the setting that says for how many days lines are kept.
pub const SETTING_AUDIT_DAYS: &str = "audit_retention_days";

/// Lines removed in one job of the sweeper, so that requests never wait for long.
const FORGOTTEN_PER_SWEEP: u32 = 256;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Whose change a job carries out, for the lines of the audit that it writes on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// As the audit names actors.
    pub name: String,
    /// From where.
    pub address: Option<String>,
    /// The id of the personal token that was signed in with.
    pub token: Option<String>,
}

impl Default for Author {
    fn default() -> Self {
        Self { name: "system".to_owned(), address: None, token: None }
    }
}

impl Author {
    /// A line about something that was done, without a time and without what differs.
    #[must_use]
    pub fn line(&self, action: &str, target: &Target, org: Option<OrgId>) -> AuditRow {
        AuditRow {
            at_unix_ms: 0,
            actor: self.name.clone(),
            action: action.to_owned(),
            kind: target.kind().to_owned(),
            target: target.id(),
            org,
            amount: None,
            before: None,
            after: None,
            address: self.address.clone(),
            outcome: Outcome::Done,
            code: None,
            token: self.token.clone(),
        }
    }
}

impl Work<'_> {
    /// Appends a line at this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub fn add_audit(&mut self, line: AuditRow) -> Result<(), AdminError> {
        Ok(self.note(line)?)
    }

    pub(super) fn note(&mut self, line: AuditRow) -> StoreResult<()> {
        let at_unix_ms = self.now.unix_ms;
        self.rows.add_audit(&AuditRow { at_unix_ms, ..line })
    }

    /// Appends one line for refusals of an actor that had none of their own.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_left_out(&mut self, left_out: &LeftOut) -> Result<(), AdminError> {
        let author = Author { name: left_out.actor.clone(), address: None, token: None };
        let seconds = WINDOW_MS / 1_000;
        let after = json!({"refusals": left_out.count, "within_s": seconds}).to_string();
        let line = author.line("refusals.left_out", &Target::Server, left_out.org.clone());
        Ok(self.note(AuditRow {
            after: Some(after),
            outcome: Outcome::Refused,
            code: Some("too_many_refusals".to_owned()),
            ..line
        })?)
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
