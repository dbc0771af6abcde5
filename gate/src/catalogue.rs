//! The models that the filter knows, found by name or alias.

use std::collections::HashMap;

use wire::CatalogueVersion;
use wire::v1::{Catalogue, Model, ModelSet};

/// One catalogue snapshot with an index.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    pub(crate) version: CatalogueVersion,
    models: Vec<Model>,
    by_name: HashMap<String, usize>,
}

impl Models {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        let mut by_name = HashMap::with_capacity(catalogue.models.len());
        for (index, model) in catalogue.models.iter().enumerate() {
            for alias in &model.aliases {
                by_name.entry(alias.as_str().to_owned()).or_insert(index);
            }
        }
        // A concrete name goes before any alias.
        for (index, model) in catalogue.models.iter().enumerate() {
            by_name.insert(model.name.as_str().to_owned(), index);
        }
        Self { version: catalogue.version, models: catalogue.models, by_name }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Model> {
        self.by_name.get(name).and_then(|index| self.models.get(*index))
    }

    /// Models that a key may call now, for `GET /v1/models`.
    pub(crate) fn visible<'a>(&'a self, allowed: &'a ModelSet) -> impl Iterator<Item = &'a Model> {
        self.models.iter().filter(|model| {
            !model.retired && model.price.is_some() && allowed.contains(&model.name)
        })
    }
}
