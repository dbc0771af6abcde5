//! What a filter needs in its own configuration to decide without a server as it would with one.

use std::collections::HashSet;

use wire::v1::{KeyPolicy, ModelSet, Scope};
use wire::{KeyDigest, ModelName};

use super::{AdminError, KeyListing, KeyView, Page, Work};
use crate::store::{CatalogueModel, StoreResult};

/// Digests of a key that are looked at: the one in use and those before it, of which one may be good.
const DIGESTS_MOST: u32 = 8;

/// A page of keys; the first has the models, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterExport {
    /// Models with a price or that are withdrawn: all others are refused by a server.
    pub models: Option<Vec<CatalogueModel>>,
    /// The keys.
    pub keys: Page<ExportedKey>,
    /// What gets lost.
    pub notes: Vec<ExportNote>,
}

/// A key as a filter is told it, without what only a server can count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedKey {
    /// What it may do.
    pub policy: KeyPolicy,
    /// Each secret that is good, with the end of its own that it has, in milliseconds since 1970 UTC.
    pub digests: Vec<(KeyDigest, Option<u64>)>,
}

/// Something that a filter without a server will do otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportNote {
    /// The key's id or the model's name.
    pub about: String,
    /// What it is.
    pub loss: Loss,
}

/// What cannot be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Some level above the key has a cap on money.
    Budget,
    /// A window of all proxies.
    ClusterWindow,
    /// A model without a price, which is refused as if it were not there.
    NoPrice,
    /// The key has no secret that is good.
    NoSecret,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Budget, Self::ClusterWindow, Self::NoPrice, Self::NoSecret];

    /// The word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::ClusterWindow => "cluster_window",
            Self::NoPrice => "no_price",
            Self::NoSecret => "no_secret",
        }
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Budget => "its budgets are not counted without a server: it spends without limit",
            Self::ClusterWindow => "its window over all proxies is left out",
            Self::NoPrice => "the model has no price and is left out",
            Self::NoSecret => "the key has no secret that is good and is left out",
        }
    }
}

impl Work<'_> {
    /// A page of what a filter's configuration holds.
    ///
    /// # Errors
    /// As for a list of keys.
    pub fn filter_export(&mut self, listing: KeyListing) -> Result<FilterExport, AdminError> {
        let is_first = listing.cursor.is_none();
        let mut notes = Vec::new();
        let all = self.rows.models()?;
        let is_offered =
            |stored: &CatalogueModel| stored.model.price.is_some() || stored.model.retired;
        let names: HashSet<ModelName> =
            all.iter().filter(|one| is_offered(one)).map(|one| one.model.name.clone()).collect();
        if is_first {
            let left_out = all.iter().filter(|one| !is_offered(one));
            notes.extend(left_out.map(|one| ExportNote {
                about: one.model.name.as_str().to_owned(),
                loss: Loss::NoPrice,
            }));
        }
        let page = self.keys(listing)?;
        let mut items = Vec::with_capacity(page.items.len());
        for view in page.items {
            items.extend(self.exported(&view, &names, &mut notes)?);
        }
        Ok(FilterExport {
            models: is_first.then(|| all.into_iter().filter(is_offered).collect()),
            keys: Page { items, next: page.next },
            notes,
        })
    }

    fn exported(
        &mut self,
        view: &KeyView,
        names: &HashSet<ModelName>,
        notes: &mut Vec<ExportNote>,
    ) -> StoreResult<Option<ExportedKey>> {
        let key = &view.key;
        let mut note = |loss| notes.push(ExportNote { about: key.id.as_str().to_owned(), loss });
        let mut digests = Vec::new();
        for digest in self.rows.digests(&key.id, DIGESTS_MOST)? {
            // Those that were replaced are kept without being good for anything.
            let secret = self.rows.secret(&digest)?.filter(|secret| secret.is_valid);
            if let Some(until) = secret.map(|secret| secret.valid_until_unix_ms)
                && until.is_none_or(|until| until > self.now.unix_ms)
            {
                digests.push((digest, until));
            }
        }
        if digests.is_empty() {
            note(Loss::NoSecret);
            return Ok(None);
        }
        let mut policy = self.policy(key)?;
        if std::mem::take(&mut policy.budgeted) {
            note(Loss::Budget);
        }
        let before = policy.limits.len();
        policy.limits.retain(|limit| limit.scope == Scope::Proxy);
        if policy.limits.len() < before {
            note(Loss::ClusterWindow);
        }
        let is_there = |model: &ModelName| names.contains(model);
        policy.limits.retain(|limit| limit.subject.model.as_ref().is_none_or(is_there));
        if let ModelSet::Only(models) = &mut policy.models {
            models.retain(is_there);
        }
        Ok(Some(ExportedKey { policy, digests }))
    }
}
