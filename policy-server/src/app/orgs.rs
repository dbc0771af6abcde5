//! Organisations.

use wire::v1::{Change, Level};
use wire::{OrgId, PriceMultiplier};

use super::{AdminError, BudgetForm, Changed, Given, OrgView, Page, SelectionForm, Work};
use crate::entitlement::{PlanId, Selection};
use crate::permissions::Sight;
use crate::store::{BudgetId, KeySearch, OrgRow, StoredLimit};

/// What an administrator says about an organisation. Everything is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgForm {
    /// Its name for people; absent: its id.
    pub name: Option<String>,
    /// Its models; absent or null: all of them.
    pub models: Given<SelectionForm>,
    /// Rate limits that all its keys share; absent or null: none.
    pub limits: Given<Vec<StoredLimit>>,
    /// Its budget; absent or null: none.
    pub budget: Given<BudgetForm>,
    /// What every price is multiplied by where no plan says so; absent or null: 1.
    pub price_multiplier: Given<PriceMultiplier>,
    /// Its plan; absent or null: none.
    pub plan: Given<PlanId>,
}

impl Work<'_> {
    /// Adds an organisation or replaces what is known of it.
    ///
    /// # Errors
    /// When a model or the plan is not known, or the store fails.
    pub fn put_org(&mut self, id: OrgId, form: OrgForm) -> Result<Changed<OrgView>, AdminError> {
        let mut problems = Vec::new();
        let models = self.given_selection(form.models, None, &mut problems)?;
        let limits = self.checked_limits(form.limits, &mut problems)?;
        let plan = form.plan.value();
        self.check_plan(plan.as_ref(), &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        let known = self.rows.org(&id)?;
        let org = OrgRow {
            name: form.name.unwrap_or_else(|| id.as_str().to_owned()),
            models: models.value().unwrap_or(Selection::All),
            limits: limits.value().unwrap_or_default(),
            price_multiplier: form.price_multiplier.value().unwrap_or_default(),
            suspended_unix_ms: known.as_ref().and_then(|known| known.suspended_unix_ms),
            created_unix_ms: known.map_or(self.now.unix_ms, |known| known.created_unix_ms),
            updated_unix_ms: self.now.unix_ms,
            id,
        };
        self.rows.save_org(&org)?;
        self.assign_plan(Level::Org, org.id.as_str(), plan.as_ref())?;
        self.save_cap(&org_budget(&org.id), form.budget.value())?;
        let revision = self.publish(below(&org.id))?;
        Ok(Changed { value: self.org_view(org)?, revision })
    }

    /// Changes what the form gives of an organisation and leaves the rest.
    ///
    /// # Errors
    /// As [`Work::put_org`], and when there is no such organisation.
    pub fn patch_org(&mut self, id: &OrgId, form: OrgForm) -> Result<Changed<OrgView>, AdminError> {
        let OrgView { org: known, plan: plan_before, .. } = self.org(id)?;
        let mut problems = Vec::new();
        let models = self.given_selection(form.models, None, &mut problems)?;
        let limits = self.checked_limits(form.limits, &mut problems)?;
        let plan = form.plan.or_current(plan_before);
        self.check_plan(plan.as_ref(), &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        let org = OrgRow {
            name: form.name.unwrap_or(known.name),
            models: models.or_current(Some(known.models)).unwrap_or(Selection::All),
            limits: limits.or_current(Some(known.limits)).unwrap_or_default(),
            price_multiplier: form
                .price_multiplier
                .or_current(Some(known.price_multiplier))
                .unwrap_or_default(),
            updated_unix_ms: self.now.unix_ms,
            ..known
        };
        self.rows.save_org(&org)?;
        self.assign_plan(Level::Org, org.id.as_str(), plan.as_ref())?;
        if form.budget.is_given() {
            self.save_cap(&org_budget(&org.id), form.budget.value())?;
        }
        let revision = self.publish(below(&org.id))?;
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

    /// Organisations in the order of their ids, or the one that whoever asks may see.
    ///
    /// # Errors
    /// When the store fails.
    pub fn orgs(
        &mut self,
        sight: &Sight,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OrgView>, AdminError> {
        let found = match sight {
            Sight::Everything => self.rows.orgs(after, limit.saturating_add(1))?,
            Sight::Org(id) => {
                let org = self.rows.org(id)?;
                org.into_iter().filter(|_| after.is_none_or(|after| id.as_str() > after)).collect()
            }
            Sight::Part { .. } => Vec::new(),
        };
        let views = found.into_iter().map(|org| self.org_view(org));
        let views = views.collect::<Result<Vec<_>, _>>()?;
        Ok(Page::of(views, limit, |view| view.org.id.as_str().to_owned()))
    }

    /// Removes an organisation that has no keys but deleted ones, with its people, their tokens, those that
    /// they issued for others, and its webhooks. Its ledger and records stay, and count again should it
    /// be made anew.
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
        self.assign_plan(Level::Org, id.as_str(), None)?;
        self.end_issued_tokens(id, None)?;
        self.rows.remove_org(id)?;
        let revision = self.publish(below(id))?;
        Ok(Changed { value, revision })
    }
}

pub(super) fn org_budget(id: &OrgId) -> BudgetId {
    BudgetId { level: Level::Org, owner: id.as_str().to_owned() }
}

/// Something about an organisation changed that counts for all of its keys.
pub(super) fn below(id: &OrgId) -> Change {
    Change::Below { level: Level::Org, owner: id.as_str().to_owned() }
}
