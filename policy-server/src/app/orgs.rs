//! Organisations.

use wire::v1::{Change, Level, ModelSet};
use wire::{OrgId, PriceMultiplier};

use super::{AdminError, BudgetForm, Changed, Given, OrgView, Page, Work};
use crate::permissions::Sight;
use crate::store::{BudgetId, KeySearch, OrgRow};

/// What an administrator says about an organisation. Everything is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgForm {
    /// Its name for people; absent: its id.
    pub name: Option<String>,
    /// Its models; absent or null: all of them.
    pub models: Given<Vec<String>>,
    /// Its budget; absent or null: none.
    pub budget: Given<BudgetForm>,
    /// What its plan multiplies every price by; absent or null: 1.
    pub price_multiplier: Given<PriceMultiplier>,
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
            price_multiplier: form.price_multiplier.value().unwrap_or_default(),
            suspended_unix_ms: known.as_ref().and_then(|known| known.suspended_unix_ms),
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
}

pub(super) fn org_budget(id: &OrgId) -> BudgetId {
    BudgetId { level: Level::Org, owner: id.as_str().to_owned() }
}
