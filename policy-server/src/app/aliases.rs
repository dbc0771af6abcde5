//! Aliases that point at the model which is best for a purpose now, and are moved to the next one.

use wire::ModelName;

use super::{AdminError, Changed, FieldProblem, Page, Work};
use crate::store::CatalogueModel;

/// Other names of one model.
pub const ALIASES_MOST: usize = 64;

/// An alias and the model that it points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasView {
    /// The alias.
    pub alias: ModelName,
    /// The model's concrete name; none: the alias was removed.
    pub model: Option<ModelName>,
}

impl Work<'_> {
    /// Points an alias at a model, away from the one that has it. Both are of one version of the
    /// catalogue, so no filter ever knows the alias twice or not at all. Permissions do not move:
    /// they are of concrete models.
    ///
    /// # Errors
    /// When the model is not known or withdrawn or has too many aliases, the alias is a model's
    /// concrete name, or the store fails.
    pub fn point_alias(
        &mut self,
        alias: ModelName,
        model: &ModelName,
    ) -> Result<Changed<AliasView>, AdminError> {
        let Some(mut target) = self.rows.model(model)? else {
            let message = format!("there is no model '{model}' in the catalogue");
            let problem = FieldProblem::with_code("model", "unknown_model", message);
            return Err(AdminError::Invalid(vec![problem]));
        };
        if self.rows.model(&alias)?.is_some() {
            let message = format!("'{alias}' is the concrete name of a model");
            return Err(AdminError::conflict("model_name_taken", message));
        }
        if target.model.retired {
            let message = format!("the model '{model}' was withdrawn");
            return Err(AdminError::conflict("model_removed", message));
        }
        let value = AliasView { alias: alias.clone(), model: Some(model.clone()) };
        let before = self.alias_holder(&alias)?;
        if before.as_ref().is_some_and(|before| before.model.name == *model) {
            // Already so, but perhaps not yet everywhere: wait for whatever came last.
            return Ok(Changed { value, revision: self.rows.server()?.revision });
        }
        if target.model.aliases.len() >= ALIASES_MOST {
            let message = format!("the model '{model}' has {ALIASES_MOST} aliases already");
            return Err(AdminError::conflict("too_many_aliases", message));
        }
        let mut changed: Vec<_> = before.map(|model| without(model, &alias)).into_iter().collect();
        target.model.aliases.push(alias.clone());
        changed.push(target);
        self.save_aliases(changed, value)
    }

    /// Removes an alias: asking for it is asking for an unknown model from now on.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn remove_alias(&mut self, alias: &ModelName) -> Result<Changed<AliasView>, AdminError> {
        let holder = self.alias_holder(alias)?;
        let holder = holder.ok_or_else(|| AdminError::not_found("alias", alias.as_str()))?;
        let value = AliasView { alias: alias.clone(), model: None };
        self.save_aliases(vec![without(holder, alias)], value)
    }

    /// One alias.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn alias(&mut self, alias: &ModelName) -> Result<AliasView, AdminError> {
        let holder = self.alias_holder(alias)?;
        let holder = holder.ok_or_else(|| AdminError::not_found("alias", alias.as_str()))?;
        Ok(AliasView { alias: alias.clone(), model: Some(holder.model.name) })
    }

    /// Aliases in their order; those of withdrawn models too, which keep their names.
    ///
    /// # Errors
    /// When the store fails.
    pub fn aliases(
        &mut self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AliasView>, AdminError> {
        let mut all: Vec<_> = self
            .rows
            .models()?
            .into_iter()
            .flat_map(|CatalogueModel { model, .. }| {
                let name = model.name;
                let aliases = model.aliases.into_iter();
                aliases.map(move |alias| AliasView { alias, model: Some(name.clone()) })
            })
            .filter(|view| after.is_none_or(|after| view.alias.as_str() > after))
            .collect();
        all.sort_by(|one, other| one.alias.cmp(&other.alias));
        Ok(Page::of(all, limit, |view| view.alias.as_str().to_owned()))
    }

    pub(super) fn alias_holder(
        &mut self,
        alias: &ModelName,
    ) -> Result<Option<CatalogueModel>, AdminError> {
        let all = self.rows.models()?;
        Ok(all.into_iter().find(|stored| stored.model.aliases.contains(alias)))
    }

    fn save_aliases(
        &mut self,
        mut changed: Vec<CatalogueModel>,
        value: AliasView,
    ) -> Result<Changed<AliasView>, AdminError> {
        changed.iter_mut().for_each(|model| model.updated_unix_ms = self.now.unix_ms);
        let revision = self.save_models(&changed)?;
        Ok(Changed { value, revision })
    }
}

fn without(mut stored: CatalogueModel, alias: &ModelName) -> CatalogueModel {
    stored.model.aliases.retain(|other| other != alias);
    stored
}
