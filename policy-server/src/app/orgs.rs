//! Organisations.

use metering::period::Period;
use wire::v1::{Change, Level, ModelSet};
use wire::{NanoUsd, OrgId};

use super::{AdminError, Changed, Given, OrgView, Page, Work};
use crate::store::{Budget, BudgetId, KeySearch, OrgRow};

/// What an administrator says about an organisation. Everything is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgForm {
    /// Its name for people; absent: its id.
    pub name: Option<String>,
    /// Its models; absent or null: all of them.
    pub models: Given<Vec<String>>,
    /// Its budget; absent or null: none.
    pub budget: Given<BudgetForm>,
}

/// A cap as an administrator gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetForm {
    /// The most per period.
    pub cap: NanoUsd,
    /// The period; absent: as before, so that raising a cap never starts a fresh account by
    /// accident.
    pub period: Option<Period>,
}

impl Work<'_> {
    /// Adds an organisation or replaces what is known of it.
    ///
    /// # Errors
    /// When a model is not known, or the store fails.
    pub fn put_org(&mut self, id: OrgId, form: OrgForm) -> Result<Changed<OrgView>, AdminError> {
        let mut problems = Vec::new();
        let models = match form.models {
            Given::Value(names) => self.model_set(&names, &mut problems)?,
            Given::Absent | Given::Null => ModelSet::All,
        };
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        let known = self.rows.org(&id)?;
        let org = OrgRow {
            name: form.name.unwrap_or_else(|| id.as_str().to_owned()),
            models,
            created_unix_ms: known.map_or(self.now.unix_ms, |known| known.created_unix_ms),
            updated_unix_ms: self.now.unix_ms,
            id,
        };
        self.rows.save_org(&org)?;
        self.save_cap(&org_budget(&org.id), form.budget.value())?;
        let revision = self.publish(Change::AllKeys)?;
        Ok(Changed { value: self.org_view(org)?, revision })
    }

    /// One organisation with what it has spent.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn org(&mut self, id: &OrgId) -> Result<OrgView, AdminError> {
        let found = self.rows.org(id)?;
        let org = found.ok_or_else(|| AdminError::not_found("organisation", id.as_str()))?;
        self.org_view(org)
    }

    /// Organisations in the order of their ids.
    ///
    /// # Errors
    /// When the store fails.
    pub fn orgs(&mut self, after: Option<&str>, limit: u32) -> Result<Page<OrgView>, AdminError> {
        let found = self.rows.orgs(after, limit.saturating_add(1))?;
        let views = found.into_iter().map(|org| self.org_view(org));
        let views = views.collect::<Result<Vec<_>, _>>()?;
        Ok(Page::of(views, limit, |view| view.org.id.as_str().to_owned()))
    }

    /// Removes an organisation that has no keys but deleted ones. Its ledger and records stay,
    /// and count again should it be made anew.
    ///
    /// # Errors
    /// When there is none, it has keys, or the store fails.
    pub fn delete_org(&mut self, id: &OrgId) -> Result<Changed<OrgView>, AdminError> {
        let value = self.org(id)?;
        let keys = self.rows.keys(&KeySearch {
            org: Some(id.clone()),
            limit: 1,
            ..KeySearch::default()
        })?;
        if !keys.is_empty() {
            return Err(AdminError::Conflict {
                code: "org_not_empty",
                message: format!("the organisation '{id}' still has keys: delete them first"),
                param: None,
            });
        }
        self.rows.remove_org(id)?;
        let revision = self.publish(Change::AllKeys)?;
        Ok(Changed { value, revision })
    }

    /// Sets or removes a cap. Removing one keeps the period, so that setting it again in the same
    /// period counts what was spent in between. A lower one is recalled, so that what is out
    /// comes back under it soon.
    pub(super) fn save_cap(
        &mut self,
        id: &BudgetId,
        budget: Option<BudgetForm>,
    ) -> Result<(), AdminError> {
        let known = self.rows.budget(id)?.unwrap_or_default();
        let period = budget.and_then(|budget| budget.period);
        let cap = budget.map(|budget| budget.cap);
        let lowered = cap.is_some_and(|cap| known.cap.is_none_or(|known| cap < known));
        // Where no account was opened yet, nothing is out.
        if lowered && self.open_account(id.clone(), &known)?.at.account.outstanding > NanoUsd::ZERO
        {
            self.recall(id)?;
        }
        let period = period.unwrap_or(known.period);
        let budget = Budget { cap, period, frozen: known.frozen };
        Ok(self.rows.save_budget(id, &budget)?)
    }
}

pub(super) fn org_budget(id: &OrgId) -> BudgetId {
    BudgetId { level: Level::Org, owner: id.as_str().to_owned() }
}
