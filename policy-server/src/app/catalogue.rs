//! Models, prices and aliases. Every change makes a new catalogue version; prices of old versions
//! stay, so that a call is always priced and checked by the version under which it was admitted.

use std::collections::HashSet;

use wire::v1::{Catalogue, Change, Model, Price};
use wire::{CatalogueVersion, Epoch, ModelName, Revision};

use super::{AdminError, Changed, FilterError, Page, Work};
use crate::store::CatalogueModel;

/// Models in the catalogue, retired ones included. Every VM holds all of it in memory.
const MODELS_MOST: usize = 2_000;

/// What an administrator says about a model. Everything is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelForm {
    /// Other names for it.
    pub aliases: Vec<ModelName>,
    /// Its price; none: it is refused until it has one.
    pub price: Option<Price>,
    /// Most tokens of input and output together.
    pub context_length: u64,
    /// Most output tokens of one answer.
    pub max_output_tokens: u64,
    /// Tokens that no request byte accounts for.
    pub input_overhead_tokens: u64,
    /// Most tokens of one image, recording or document in a body.
    pub media: MediaTokens,
    /// Uses of the provider's tools to reserve for where a request does not bound them.
    pub max_server_tool_calls: Option<u64>,
    /// Optional members of requests that it takes; none: not checked.
    pub supported_parameters: Option<Vec<String>>,
    /// Writes its reasoning before any visible output.
    pub reasoning: bool,
}

/// Most tokens of one item of each kind; none: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaTokens {
    /// Of an image.
    pub image: Option<u64>,
    /// Of a recording.
    pub audio: Option<u64>,
    /// Of a document.
    pub document: Option<u64>,
}

impl Work<'_> {
    /// The newest catalogue, for filters.
    ///
    /// # Errors
    /// When the epoch is another one or the store fails.
    pub fn catalogue(&mut self, epoch: Option<Epoch>) -> Result<Catalogue, FilterError> {
        let server = match epoch {
            Some(epoch) => self.check_epoch(epoch)?,
            None => self.rows.server()?,
        };
        let models = self.rows.models()?;
        Ok(Catalogue {
            epoch: server.epoch,
            revision: server.revision,
            version: server.catalogue_version,
            models: models.into_iter().map(|stored| stored.model).collect(),
        })
    }

    /// Adds a model or replaces what is known of it. A retired one is offered again.
    ///
    /// # Errors
    /// When one of its names belongs to another model, or the store fails.
    pub fn put_model(
        &mut self,
        name: ModelName,
        form: ModelForm,
    ) -> Result<Changed<CatalogueModel>, AdminError> {
        let all = self.rows.models()?;
        check_names(&name, &form.aliases, &all)?;
        let known = all.iter().find(|stored| stored.model.name == name);
        if known.is_none() && all.len() >= MODELS_MOST {
            return Err(AdminError::Conflict {
                code: "too_many_models",
                message: format!("the catalogue may hold {MODELS_MOST} models"),
                param: None,
            });
        }
        let created_unix_s =
            known.map_or(self.now.unix_ms / 1_000, |stored| stored.model.created_unix_s);
        self.save_model(Model {
            name,
            aliases: form.aliases,
            price: form.price,
            context_length: form.context_length,
            max_output_tokens: form.max_output_tokens,
            input_overhead_tokens: form.input_overhead_tokens,
            image_tokens: form.media.image,
            audio_tokens: form.media.audio,
            document_tokens: form.media.document,
            max_server_tool_calls: form.max_server_tool_calls,
            supported_parameters: form.supported_parameters,
            reasoning: form.reasoning,
            retired: false,
            created_unix_s,
        })
    }

    /// Withdraws a model: asking for it answers 404 `model_removed` from now on.
    ///
    /// # Errors
    /// When there is no such model, or the store fails.
    pub fn retire_model(
        &mut self,
        name: &ModelName,
    ) -> Result<Changed<CatalogueModel>, AdminError> {
        let stored = self.model(name)?;
        if stored.model.retired {
            let revision = self.rows.server()?.revision;
            return Ok(Changed { value: stored, revision });
        }
        self.save_model(Model { retired: true, ..stored.model })
    }

    /// One model by its concrete name.
    ///
    /// # Errors
    /// When there is no such model, or the store fails.
    pub fn model(&mut self, name: &ModelName) -> Result<CatalogueModel, AdminError> {
        let found = self.rows.model(name)?;
        found.ok_or_else(|| AdminError::not_found("model", name.as_str()))
    }

    /// Every model, retired ones included; their number is bounded.
    ///
    /// # Errors
    /// When the store fails.
    pub fn models(
        &mut self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<CatalogueModel>, AdminError> {
        let found = self.rows.models_after(after, limit.saturating_add(1))?;
        Ok(Page::of(found, limit, |stored| stored.model.name.as_str().to_owned()))
    }

    fn save_model(&mut self, model: Model) -> Result<Changed<CatalogueModel>, AdminError> {
        let value = CatalogueModel { model, updated_unix_ms: self.now.unix_ms };
        let revision = self.save_models(std::slice::from_ref(&value))?;
        Ok(Changed { value, revision })
    }

    /// Saves models as one new version of the catalogue: filters have all of them or none.
    pub(super) fn save_models(
        &mut self,
        models: &[CatalogueModel],
    ) -> Result<Revision, AdminError> {
        let newest = self.rows.server()?.catalogue_version;
        let version = CatalogueVersion(newest.0.saturating_add(1));
        for model in models {
            self.rows.save_model(model, version)?;
        }
        Ok(self.publish(Change::Catalogue { version })?)
    }
}

/// Every name, concrete or alias, belongs to one model only.
fn check_names(
    name: &ModelName,
    aliases: &[ModelName],
    all: &[CatalogueModel],
) -> Result<(), AdminError> {
    let mut seen = HashSet::from([name]);
    for (index, alias) in aliases.iter().enumerate() {
        if !seen.insert(alias) {
            return Err(name_taken(alias, name, Some(index)));
        }
    }
    for other in all.iter().map(|stored| &stored.model) {
        if other.name == *name {
            continue;
        }
        let mut others = std::iter::once(&other.name).chain(&other.aliases);
        if let Some(taken) = others.find(|taken| seen.contains(taken)) {
            let index = aliases.iter().position(|alias| alias == taken);
            return Err(name_taken(taken, &other.name, index));
        }
    }
    Ok(())
}

fn name_taken(taken: &ModelName, by: &ModelName, index: Option<usize>) -> AdminError {
    AdminError::Conflict {
        code: "model_name_taken",
        message: format!("the name '{taken}' belongs to the model '{by}'"),
        param: index.map(|index| format!("aliases[{index}]")),
    }
}
