//! The models that the filter knows, found by name or alias.

use std::collections::HashMap;

use wire::v1::{Catalogue, Model, ModelSet, Price, Rates};
use wire::{CatalogueVersion, ModelName};

use crate::route::ListedPath;

/// One catalogue snapshot with an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    pub(crate) version: CatalogueVersion,
    /// A model without a price may be called: nobody pays for it here.
    need_no_price: bool,
    models: Vec<Model>,
    by_name: HashMap<String, usize>,
}

impl Models {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        Self::indexed(catalogue.models, catalogue.version, false)
    }

    /// Those of a configuration without a server.
    pub(crate) fn local(models: Vec<Model>) -> Self {
        Self::indexed(models, CatalogueVersion(0), true)
    }

    fn indexed(models: Vec<Model>, version: CatalogueVersion, need_no_price: bool) -> Self {
        let mut by_name = HashMap::with_capacity(models.len());
        for (index, model) in models.iter().enumerate() {
            for alias in &model.aliases {
                by_name.entry(alias.as_str().to_owned()).or_insert(index);
            }
        }
        // A concrete name goes before any alias.
        for (index, model) in models.iter().enumerate() {
            by_name.insert(model.name.as_str().to_owned(), index);
        }
        Self { version, need_no_price, models, by_name }
    }

    /// What calls of a model are charged; none where it must not be called for want of a price.
    pub(crate) fn price(&self, model: &Model) -> Option<Price> {
        model.price.or_else(|| self.need_no_price.then(Price::default))
    }

    /// Puts the concrete name in the place of an alias; false where it is neither.
    pub(crate) fn resolve(&self, name: &mut ModelName) -> bool {
        let found = self.find(name.as_str()).map(|model| model.name.clone());
        found.map(|found| *name = found).is_some()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Model> {
        self.by_name.get(name).and_then(|index| self.models.get(*index))
    }

    /// Models that a key may call now, for `GET /v1/models`.
    pub(crate) fn visible<'a>(
        &'a self,
        allowed: &'a ModelSet,
        paths: &'a [ListedPath],
    ) -> impl Iterator<Item = &'a Model> {
        self.models.iter().filter(move |model| {
            let is_open =
                !model.retired && self.price(model).is_some() && allowed.contains(&model.name);
            is_open && !self.is_for_paths_only(model, paths)
        })
    }

    /// Whether a model has no price of tokens and is the price of a path of the configuration: then it
    /// is nothing that reads or writes tokens, and what does would be free.
    pub(crate) fn is_for_paths_only(&self, model: &Model, paths: &[ListedPath]) -> bool {
        let has_rates = |price: Price| price.rates != Rates::default() || !price.tiers.is_empty();
        let is_price_of = |path: &ListedPath| {
            self.find(path.model.as_str()).is_some_and(|found| found.name == model.name)
        };
        !model.price.is_some_and(has_rates) && paths.iter().any(is_price_of)
    }
}

/// Whether chat's output limit is read under its newer name: where the catalogue names one of the
/// two among what the model takes, that one; else reasoning models insist on it, while the older
/// name is what every other server understands.
pub(crate) fn reads_max_completion_tokens(model: &Model) -> bool {
    let takes = |name: &str| {
        let supported = model.supported_parameters.iter().flatten();
        supported.into_iter().any(|one| one == name)
    };
    match (takes("max_tokens"), takes("max_completion_tokens")) {
        (false, true) => true,
        (true, false) => false,
        _ => model.reasoning,
    }
}
