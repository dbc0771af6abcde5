//! Keys: made, changed and ended.

use std::fmt;

use metering::api_key::{self, NATIVE_ID_LENGTH};
use wire::v1::{Change, Level};
use wire::{KeyDigest, KeyId, Revision};

use super::entitled::Place;
use super::{
    AdminError, Changed, FieldProblem, Given, KeyForm, KeyView, SecretText, SelectionForm, Work,
};
use crate::entitlement::Selection;
use crate::store::{BudgetId, KeyLife, KeyRow, KeyStatus, KeyUsage, StoreResult};

/// Digests named in one change. Older ones were named by the change that replaced them.
const DIGESTS_PER_CHANGE: u32 = 16;

/// How the id of every key begins; in a native key the rest of it stands again.
pub(super) const ID_PREFIX: &str = "key_";

/// A key and its new secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedKey {
    /// The key.
    pub view: KeyView,
    /// Its secret, shown this once.
    pub secret: SecretText,
}

impl Work<'_> {
    /// Makes a key.
    ///
    /// # Errors
    /// When a field cannot be accepted, no random bytes can be had, or the store fails.
    pub fn create_key(&mut self, form: KeyForm) -> Result<Changed<CreatedKey>, AdminError> {
        let format = form.format.unwrap_or_default();
        let mut key = self.new_key(form)?;
        let minted = self.mint(format, &key)?;
        key.prefix = minted.prefix;
        let digest = api_key::digest(minted.secret.expose().as_bytes());
        let added = self.add_key(key, &digest)?;
        let value = CreatedKey { view: added.value, secret: minted.secret };
        Ok(Changed { value, revision: added.revision })
    }

    /// The row of a new key, which has neither a prefix nor a secret yet. What the form says of its
    /// budget and its plan is saved.
    pub(super) fn new_key(&mut self, form: KeyForm) -> Result<KeyRow, AdminError> {
        let mut problems = Vec::new();
        let org = match &form.org {
            None => {
                problems.push(FieldProblem::invalid("org", "is required"));
                None
            }
            Some(org) if self.rows.org(org)?.is_none() => {
                let message = format!("there is no organisation '{org}'");
                problems.push(FieldProblem::with_code("org", "unknown_org", message));
                None
            }
            Some(org) => Some(org.clone()),
        };
        let expires_at = form.expiry(self.now.unix_ms, &mut problems);
        let (team, user, plan) = (form.team.value(), form.user.value(), form.plan.value());
        self.check_plan(plan.as_ref(), &mut problems)?;
        if let Some(org) = &org {
            self.check_owner(org, team.as_ref(), user.as_ref(), &mut problems)?;
        }
        let place = org.as_ref().map(|org| Place {
            org,
            team: team.as_ref(),
            user: user.as_ref(),
            plan: plan.as_ref(),
        });
        let models = self.models_at(place, form.models, &mut problems)?;
        let limits = self.checked_limits(form.limits, &mut problems)?;
        let Some(org) = org.filter(|_| problems.is_empty()) else {
            return Err(AdminError::Invalid(problems));
        };
        let public_id = self.random_id("", NATIVE_ID_LENGTH)?;
        let id = KeyId::new(format!("{ID_PREFIX}{public_id}"))
            .map_err(|error| AdminError::Invalid(vec![invalid("id", &error)]))?;
        self.assign_plan(Level::Key, id.as_str(), plan.as_ref())?;
        self.save_cap(&key_budget(&id), form.budget.value())?;
        Ok(KeyRow {
            id,
            org,
            team,
            user,
            name: form.name.value().unwrap_or_default(),
            description: form.description.value().unwrap_or_default(),
            notes: form.notes.value().unwrap_or_default(),
            tags: form.tags.value().unwrap_or_default(),
            kind: form.kind.unwrap_or_default(),
            prefix: String::new(),
            format: form.format.unwrap_or_default(),
            life: KeyLife::Active,
            expires_at_unix_ms: expires_at.value(),
            models: models.value(),
            limits: limits.value().unwrap_or_default(),
            max_call: form.max_call.value(),
            allowed_ips: form.allowed_ips.value(),
            default_max_output_tokens: form.default_max_output_tokens.value(),
            cut_calls: form.cut_calls.value().unwrap_or_default(),
            shadow: form.shadow.value().unwrap_or_default(),
            moved_revision: Revision(0),
            created_unix_ms: self.now.unix_ms,
            updated_unix_ms: self.now.unix_ms,
            version: 1,
            usage: KeyUsage::default(),
        })
    }

    /// Saves a new key with the digest of its secret, and lets filters hear of it: one of them may
    /// have asked for this digest and been told that there is no such key.
    pub(super) fn add_key(
        &mut self,
        key: KeyRow,
        digest: &KeyDigest,
    ) -> Result<Changed<KeyView>, AdminError> {
        self.name_owners(&key)?;
        self.save_row(&key)?;
        self.rows.replace_digest(&key.id, digest, None)?;
        let revision = self.publish_key(&key)?;
        Ok(Changed { value: self.key_view(key)?, revision })
    }

    /// One key, deleted ones included, with what it has spent.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn key(&mut self, id: &KeyId) -> Result<KeyView, AdminError> {
        let key = self.stored_key(id)?;
        self.key_view(key)
    }

    /// Changes what the form gives and leaves the rest.
    ///
    /// # Errors
    /// When there is no such key, it has ended, a field cannot be accepted, or the store fails.
    pub fn patch_key(&mut self, id: &KeyId, form: KeyForm) -> Result<Changed<KeyView>, AdminError> {
        let mut key = self.living_key(id)?;
        let mut problems = Vec::new();
        if form.org.as_ref().is_some_and(|org| *org != key.org) {
            let message = "a key cannot be moved to another organisation: make a new one";
            problems.push(FieldProblem::with_code("org", "unsupported_field", message));
        }
        if form.format.is_some_and(|format| format != key.format) {
            let message = "the form of a key is fixed when it is made";
            problems.push(FieldProblem::with_code("format", "unsupported_field", message));
        }
        if form.kind.is_some_and(|kind| kind != key.kind) {
            let message = "the kind of a key is fixed when it is made";
            problems.push(FieldProblem::with_code("kind", "unsupported_field", message));
        }
        let expires_at = form.expiry(self.now.unix_ms, &mut problems);
        let team = form.team.clone().or_current(key.team.clone());
        let user = form.user.clone().or_current(key.user.clone());
        if (&team, &user) != (&key.team, &key.user) {
            self.check_owner(&key.org, team.as_ref(), user.as_ref(), &mut problems)?;
        }
        let before = (key.team.clone(), key.user.clone());
        key.team = form.team.or_current(key.team);
        key.user = form.user.or_current(key.user);
        let plan_before = self.key_plan(&key.id)?;
        let plan = form.plan.or_current(plan_before.clone());
        if plan != plan_before {
            self.check_plan(plan.as_ref(), &mut problems)?;
        }
        let place = Place {
            org: &key.org,
            team: key.team.as_ref(),
            user: key.user.as_ref(),
            plan: plan.as_ref(),
        };
        let models = self.models_at(Some(place), form.models, &mut problems)?;
        let limits = self.checked_limits(form.limits, &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        self.assign_plan(Level::Key, key.id.as_str(), plan.as_ref())?;
        if before != (key.team.clone(), key.user.clone()) {
            // What it holds is charged above its old place: nothing is granted from above the new
            // one until every holder has handed it back.
            key.moved_revision = self.recall(&key_budget(&key.id))?;
            self.name_owners(&key)?;
        }
        key.name = form.name.or_current(Some(key.name)).unwrap_or_default();
        key.models = models.or_current(key.models);
        key.description = form.description.or_current(Some(key.description)).unwrap_or_default();
        key.notes = form.notes.or_current(Some(key.notes)).unwrap_or_default();
        key.tags = form.tags.or_current(Some(key.tags)).unwrap_or_default();
        key.expires_at_unix_ms = expires_at.or_current(key.expires_at_unix_ms);
        key.max_call = form.max_call.or_current(key.max_call);
        key.allowed_ips = form.allowed_ips.or_current(key.allowed_ips);
        if limits.is_given() {
            let before = std::mem::take(&mut key.limits);
            key.limits = limits.value().unwrap_or_default();
            self.limits_changed(&before, &mut key)?;
        }
        key.default_max_output_tokens =
            form.default_max_output_tokens.or_current(key.default_max_output_tokens);
        let cut_calls = form.cut_calls.or_current(Some(key.cut_calls));
        key.cut_calls = cut_calls.unwrap_or_default();
        key.shadow = form.shadow.or_current(Some(key.shadow)).unwrap_or_default();
        if form.budget.is_given() {
            self.save_cap(&key_budget(&key.id), form.budget.value())?;
        }
        self.save_changed(key)
    }

    /// Switches a key off until it is enabled again.
    ///
    /// # Errors
    /// When there is no such key, it has ended, or the store fails.
    pub fn disable_key(&mut self, id: &KeyId) -> Result<Changed<KeyView>, AdminError> {
        let key = self.living_key(id)?;
        self.live_as(key, KeyLife::Disabled)
    }

    /// Switches a key on again.
    ///
    /// # Errors
    /// When there is no such key, it has ended, or the store fails.
    pub fn enable_key(&mut self, id: &KeyId) -> Result<Changed<KeyView>, AdminError> {
        let key = self.living_key(id)?;
        self.live_as(key, KeyLife::Active)
    }

    /// Ends a key for good. Repeating it changes nothing but waits again.
    ///
    /// # Errors
    /// When there is no such key, it was deleted, or the store fails.
    pub fn revoke_key(&mut self, id: &KeyId) -> Result<Changed<KeyView>, AdminError> {
        let key = self.stored_key(id)?;
        if key.life == KeyLife::Deleted {
            return Err(ended(&key));
        }
        self.live_as(key, KeyLife::Revoked)
    }

    /// Deletes a key: it is unknown to filters from now on; its history stays.
    ///
    /// # Errors
    /// When there is no such key, or the store fails.
    pub fn delete_key(&mut self, id: &KeyId) -> Result<Changed<KeyView>, AdminError> {
        let key = self.stored_key(id)?;
        self.live_as(key, KeyLife::Deleted)
    }

    fn live_as(&mut self, mut key: KeyRow, life: KeyLife) -> Result<Changed<KeyView>, AdminError> {
        if key.life == life {
            // Already so, but perhaps not yet everywhere: wait for whatever came last.
            let revision = self.rows.server()?.revision;
            let value = self.key_view(key)?;
            return Ok(Changed { value, revision });
        }
        key.life = life;
        if matches!(life, KeyLife::Revoked | KeyLife::Deleted) {
            // It never calls again, so its plan is free to be deleted.
            self.assign_plan(Level::Key, key.id.as_str(), None)?;
        }
        if life != KeyLife::Active {
            // Before the change itself, by which a filter forgets what it knows of the key.
            self.recall(&key_budget(&key.id))?;
        }
        self.save_changed(key)
    }

    pub(super) fn save_changed(&mut self, mut key: KeyRow) -> Result<Changed<KeyView>, AdminError> {
        key.updated_unix_ms = self.now.unix_ms;
        key.version = key.version.saturating_add(1);
        self.save_row(&key)?;
        let revision = self.publish_key(&key)?;
        let value = self.key_view(key)?;
        Ok(Changed { value, revision })
    }

    pub(super) fn save_row(&mut self, key: &KeyRow) -> StoreResult<()> {
        self.rows.save_key(key, KeyStatus::of(key, self.now.unix_ms))
    }

    pub(super) fn publish_key(&mut self, key: &KeyRow) -> StoreResult<Revision> {
        let digests = self.rows.digests(&key.id, DIGESTS_PER_CHANGE)?;
        let user_keys = self.rows.has_user_keys(&key.id)?;
        let state = key.life.state();
        self.publish(Change::Key { key: key.id.clone(), digests, state, user_keys })
    }

    pub(super) fn stored_key(&mut self, id: &KeyId) -> Result<KeyRow, AdminError> {
        let found = self.rows.key(id)?;
        found.ok_or_else(|| AdminError::not_found("key", id.as_str()))
    }

    pub(super) fn living_key(&mut self, id: &KeyId) -> Result<KeyRow, AdminError> {
        let key = self.stored_key(id)?;
        match key.life {
            KeyLife::Active | KeyLife::Disabled if !self.is_ending(&key)? => Ok(key),
            KeyLife::Active | KeyLife::Disabled => Err(ended(&key)),
            KeyLife::Revoked | KeyLife::Deleted => Err(ended(&key)),
        }
    }

    /// What a form says about a key's models, where the key is or is to be. A plain list is not
    /// compared with what is above: that is how keys were described before there were groups.
    fn models_at(
        &mut self,
        place: Option<Place<'_>>,
        given: Given<SelectionForm>,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<Given<Selection>, AdminError> {
        let parent = match (&given, place) {
            (Given::Value(SelectionForm::Restrict { .. }), Some(place)) => {
                Some(self.entitled_at(&place)?.scopes)
            }
            _ => None,
        };
        self.given_selection(given, parent.as_ref(), problems)
    }
}

pub(super) fn key_budget(id: &KeyId) -> BudgetId {
    BudgetId { level: Level::Key, owner: id.as_str().to_owned() }
}

fn invalid(param: &str, error: &dyn fmt::Display) -> FieldProblem {
    FieldProblem::invalid(param, error.to_string())
}

fn ended(key: &KeyRow) -> AdminError {
    let (code, word) = match key.life {
        KeyLife::Deleted => ("key_deleted", "deleted"),
        _ => ("key_revoked", "revoked"),
    };
    AdminError::Conflict {
        code,
        message: format!("the key '{}' was {word}, which is final", key.id),
        param: None,
    }
}
