//! Plans: what may be called and at which multiple of the price, for organisations and keys.

use wire::v1::{Change, Level};
use wire::{OrgId, PriceMultiplier, Revision};

use super::orgs::below;
use super::{AdminError, Changed, FieldProblem, Given, OrgView, Page, SelectionForm, Work};
use crate::entitlement::{PlanId, Selection};
use crate::store::PlanRow;

/// Plans: far more than a price list has.
const PLANS_MOST: u64 = 1_000;

/// What an administrator says about a plan. Everything is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanForm {
    /// Its name for people; absent: its id.
    pub name: Option<String>,
    /// Its models; absent or null: all of them.
    pub models: Given<SelectionForm>,
    /// What it multiplies every price by; absent or null: what the organisation has.
    pub price_multiplier: Given<PriceMultiplier>,
}

impl Work<'_> {
    /// Adds a plan or replaces what is known of it.
    ///
    /// # Errors
    /// When a model is not known, there are too many plans, or the store fails.
    pub fn put_plan(&mut self, id: PlanId, form: PlanForm) -> Result<Changed<PlanRow>, AdminError> {
        let mut problems = Vec::new();
        let models = self.given_selection(form.models, None, &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        let known = self.rows.plan(&id)?;
        if known.is_none() && self.rows.plan_count()? >= PLANS_MOST {
            let message = format!("there may be {PLANS_MOST} plans");
            return Err(AdminError::conflict("too_many_plans", message));
        }
        let plan = PlanRow {
            name: form.name.unwrap_or_else(|| id.as_str().to_owned()),
            models: models.value().unwrap_or(Selection::All),
            price_multiplier: form.price_multiplier.value(),
            created_unix_ms: known.as_ref().map_or(self.now.unix_ms, |known| known.created_unix_ms),
            updated_unix_ms: self.now.unix_ms,
            id,
        };
        self.rows.save_plan(&plan)?;
        let revision = self.publish_plan(&plan.id)?;
        Ok(Changed { value: plan, revision })
    }

    /// One plan.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn plan(&mut self, id: &PlanId) -> Result<PlanRow, AdminError> {
        let found = self.rows.plan(id)?;
        found.ok_or_else(|| AdminError::not_found("plan", id.as_str()))
    }

    /// Plans in the order of their ids.
    ///
    /// # Errors
    /// When the store fails.
    pub fn plans(&mut self, after: Option<&str>, limit: u32) -> Result<Page<PlanRow>, AdminError> {
        let found = self.rows.plans(after, limit.saturating_add(1))?;
        Ok(Page::of(found, limit, |plan| plan.id.as_str().to_owned()))
    }

    /// Deletes a plan that nobody has. What it ever multiplied prices by stays known, since calls
    /// may still be reported under it.
    ///
    /// # Errors
    /// When there is none, an organisation or a key has it, or the store fails.
    pub fn delete_plan(&mut self, id: &PlanId) -> Result<PlanRow, AdminError> {
        let plan = self.plan(id)?;
        if let Some((level, owner)) = self.rows.plan_user(id)? {
            let message = format!("the plan '{id}' is in use, by the {level} '{owner}' for one");
            return Err(AdminError::conflict("plan_in_use", message));
        }
        self.rows.remove_plan(id)?;
        Ok(plan)
    }

    /// Gives an organisation a plan, or none.
    ///
    /// # Errors
    /// When there is no such organisation or plan, or the store fails.
    pub fn plan_org(
        &mut self,
        id: &OrgId,
        plan: Option<PlanId>,
    ) -> Result<Changed<OrgView>, AdminError> {
        let org = self.org(id)?.org;
        let mut problems = Vec::new();
        self.check_plan(plan.as_ref(), &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        self.assign_plan(Level::Org, id.as_str(), plan.as_ref())?;
        let revision = self.publish(below(id))?;
        Ok(Changed { value: self.org_view(org)?, revision })
    }

    /// Notes a problem where there is no such plan.
    pub(super) fn check_plan(
        &mut self,
        plan: Option<&PlanId>,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<(), AdminError> {
        if let Some(plan) = plan
            && self.rows.plan(plan)?.is_none()
        {
            let message = format!("there is no plan '{plan}'");
            problems.push(FieldProblem::with_code("plan", "unknown_plan", message));
        }
        Ok(())
    }

    /// Gives an organisation or a key a plan, or none. Filters are told by the caller.
    pub(super) fn assign_plan(
        &mut self,
        level: Level,
        owner: &str,
        plan: Option<&PlanId>,
    ) -> Result<(), AdminError> {
        if self.rows.assigned_plan(level, owner)?.as_ref() != plan {
            self.rows.assign_plan(level, owner, plan)?;
        }
        Ok(())
    }

    /// Tells filters of a change to a plan, where somebody has it: one message, however many keys.
    fn publish_plan(&mut self, id: &PlanId) -> Result<Revision, AdminError> {
        if self.rows.plan_user(id)?.is_some() {
            return Ok(self.publish(Change::AllKeys)?);
        }
        Ok(self.rows.server()?.revision)
    }
}
