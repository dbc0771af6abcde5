//! What a key is entitled to: the scopes above it, loaded for [`crate::entitlement`], and the
//! multiplier of its plan.

use wire::v1::{Level, ModelSet};
use wire::{KeyId, ModelName, OrgId, PriceMultiplier, TeamId, UserId};

use super::{AdminError, Page, Work};
use crate::entitlement::{GroupName, Members, Missing, Offer, PlanId, Scopes, Selection};
use crate::store::{CatalogueModel, KeyRow, OrgRow, StoreResult};

/// Where a key stands: what decides about its models besides its own selection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) org: &'a OrgId,
    pub(super) team: Option<&'a TeamId>,
    pub(super) user: Option<&'a UserId>,
    /// The key's own plan; it wins over the organisation's.
    pub(super) plan: Option<&'a PlanId>,
}

/// What follows from a place.
#[derive(Debug, Clone)]
pub(super) struct Entitled {
    pub(super) scopes: Scopes,
    /// The plan that applies.
    pub(super) plan: Option<PlanId>,
    /// What prices are multiplied by: the plan's, or where it says nothing the organisation's.
    pub(super) price_multiplier: PriceMultiplier,
}

/// One model of the catalogue, as a key sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyModel {
    /// The model.
    pub model: CatalogueModel,
    /// The groups that it is in.
    pub groups: Vec<GroupName>,
    /// Why the key may not call it, every reason; empty: it may.
    pub missing: Vec<Missing>,
}

/// A page of the catalogue as a key sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyModels {
    /// The plan that applies.
    pub plan: Option<PlanId>,
    /// What it multiplies every price by.
    pub price_multiplier: PriceMultiplier,
    /// The models in the order of their names.
    pub page: Page<KeyModel>,
}

/// Which models of a key to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyModelListing {
    /// Only models that it may call, or only those that it may not.
    pub allowed: Option<bool>,
    /// Only models after this name.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

impl Work<'_> {
    /// What a key is entitled to.
    pub(super) fn entitled(&mut self, key: &KeyRow) -> StoreResult<Entitled> {
        let plan = self.key_plan(&key.id)?;
        let place = Place {
            org: &key.org,
            team: key.team.as_ref(),
            user: key.user.as_ref(),
            plan: plan.as_ref(),
        };
        let mut entitled = self.entitled_at(&place)?;
        entitled.scopes.key = key.models.clone().unwrap_or(Selection::All);
        Ok(entitled)
    }

    /// What a key that restricts nothing itself would be entitled to at a place.
    pub(super) fn entitled_at(&mut self, place: &Place<'_>) -> StoreResult<Entitled> {
        // Cannot be while the key lives; should it be, the key may call nothing.
        let none = || (Selection::nothing(), PriceMultiplier::ONE);
        let org = self.rows.org(place.org)?;
        let (models, price_multiplier) = org
            .map_or_else(none, |OrgRow { models, price_multiplier, .. }| {
                (models, price_multiplier)
            });
        let plan = match place.plan {
            Some(plan) => Some(plan.clone()),
            None => self.rows.assigned_plan(Level::Org, place.org.as_str())?,
        };
        let mut entitled =
            Entitled { scopes: Scopes::of_org(models), plan: None, price_multiplier };
        if let Some(id) = plan {
            match self.rows.plan(&id)? {
                Some(plan) => {
                    entitled.scopes.plan = plan.models;
                    entitled.price_multiplier = plan.price_multiplier.unwrap_or(price_multiplier);
                }
                // A plan in use is not deleted; should it be gone, it holds nothing.
                None => entitled.scopes.plan = Selection::nothing(),
            }
            entitled.plan = Some(id);
        }
        if let Some(team) = place.team {
            let owner = format!("{}/{team}", place.org);
            let models = self.rows.member_models(Level::Team, &owner)?;
            entitled.scopes.team = models.unwrap_or(Selection::All);
        }
        if let Some(user) = place.user {
            let owner = format!("{}/{user}", place.org);
            let models = self.rows.member_models(Level::User, &owner)?;
            entitled.scopes.user = models.unwrap_or(Selection::All);
        }
        Ok(entitled)
    }

    /// The plan of a key's own.
    pub(super) fn key_plan(&mut self, id: &KeyId) -> StoreResult<Option<PlanId>> {
        self.rows.assigned_plan(Level::Key, id.as_str())
    }

    /// The models that a filter is told, and whether the organisation is entitled to none at all.
    pub(super) fn told_models(&mut self, scopes: &Scopes) -> StoreResult<(ModelSet, bool)> {
        let mut members = Members::new();
        for group in scopes.groups() {
            members.insert(group.clone(), self.rows.group_models(group)?);
        }
        let of_org = scopes.above_members().models(&members);
        let org_has_none = of_org == ModelSet::Only(Vec::new());
        Ok((scopes.models(&members), org_has_none))
    }

    /// Whether every level lets a key call this model. It costs as much for a group of thousands of
    /// models as for an empty one.
    pub(super) fn may_call(&mut self, key: &KeyRow, model: &ModelName) -> StoreResult<bool> {
        let scopes = self.entitled(key)?.scopes;
        let groups = self.rows.groups_of(model)?;
        Ok(scopes.refused_by(model, &groups).next().is_none())
    }

    /// The catalogue as a key sees it: what it may call, and why not the rest.
    ///
    /// # Errors
    /// When there is no such key, or the store fails.
    pub fn key_models(
        &mut self,
        id: &KeyId,
        listing: &KeyModelListing,
    ) -> Result<KeyModels, AdminError> {
        let found = self.rows.key(id)?;
        let key = found.ok_or_else(|| AdminError::not_found("key", id.as_str()))?;
        let entitled = self.entitled(&key)?;
        let more_than_fits = usize::try_from(listing.limit).unwrap_or(usize::MAX).saturating_add(1);
        let mut items = Vec::new();
        for model in self.rows.models()? {
            let name = &model.model.name;
            if listing.after.as_deref().is_some_and(|after| name.as_str() <= after) {
                continue;
            }
            let groups = self.rows.groups_of(name)?;
            let missing = entitled.scopes.missing(&Offer {
                model: name,
                groups: &groups,
                removed: model.model.retired,
                priced: model.model.price.is_some(),
            });
            if listing.allowed.is_none_or(|allowed| allowed == missing.is_empty()) {
                items.push(KeyModel { model, groups, missing });
            }
            if items.len() >= more_than_fits {
                break;
            }
        }
        let cursor = |item: &KeyModel| item.model.model.name.as_str().to_owned();
        Ok(KeyModels {
            plan: entitled.plan,
            price_multiplier: entitled.price_multiplier,
            page: Page::of(items, listing.limit, cursor),
        })
    }
}
