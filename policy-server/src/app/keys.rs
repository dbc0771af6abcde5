//! Keys: minted, changed, rotated and ended. A secret leaves this module once, in the answer to
//! its making, and is stored as a digest only.

use std::fmt;

use metering::api_key::{self, NATIVE_ID_LENGTH};
use serde_json::json;
use wire::v1::{Change, CutCalls, Level};
use wire::{KeyId, OrgId, Revision, TeamId, UserId};

use super::entitled::Place;
use super::{AdminError, BudgetForm, Changed, FieldProblem, Given, KeyView, SelectionForm, Work};
use crate::entitlement::{PlanId, Selection};
use crate::store::{BudgetId, KeyFormat, KeyLife, KeyRow, StoredLimit};

/// Digests named in one change. Older ones were named by the change that replaced them.
const DIGESTS_PER_CHANGE: u32 = 16;

/// A secret on its way to whom it was made for. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Keeps a secret from being printed by accident.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

/// What an administrator says about a key, new or changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyForm {
    /// The organisation that owns it; needed when it is made, fixed afterwards.
    pub org: Option<OrgId>,
    /// Form of its secret; fixed when it is made.
    pub format: Option<KeyFormat>,
    /// Its team.
    pub team: Given<TeamId>,
    /// The user who owns it.
    pub user: Given<UserId>,
    /// Its name for people.
    pub name: Given<String>,
    /// Expiry in milliseconds since 1970 UTC.
    pub expires_at_unix_ms: Given<u64>,
    /// Its rate limits.
    pub limits: Given<Vec<StoredLimit>>,
    /// Its budget.
    pub budget: Given<BudgetForm>,
    /// Its models.
    pub models: Given<SelectionForm>,
    /// Its own plan.
    pub plan: Given<PlanId>,
    /// Output tokens to allow where a request names no limit.
    pub default_max_output_tokens: Given<u64>,
    /// What a call without usage is charged.
    pub cut_calls: Given<CutCalls>,
}

impl KeyForm {
    /// Whether it touches anything that filters act on.
    #[must_use]
    pub fn changes_permissions(&self) -> bool {
        self.team.is_given()
            || self.user.is_given()
            || self.expires_at_unix_ms.is_given()
            || self.limits.is_given()
            || self.budget.is_given()
            || self.models.is_given()
            || self.plan.is_given()
            || self.default_max_output_tokens.is_given()
            || self.cut_calls.is_given()
    }
}

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
        let (team, user, plan) = (form.team.value(), form.user.value(), form.plan.value());
        self.check_plan(plan.as_ref(), &mut problems)?;
        let place = org.as_ref().map(|org| Place {
            org,
            team: team.as_ref(),
            user: user.as_ref(),
            plan: plan.as_ref(),
        });
        let models = self.models_at(place, form.models, &mut problems)?;
        let Some(org) = org.filter(|_| problems.is_empty()) else {
            return Err(AdminError::Invalid(problems));
        };
        let format = form.format.unwrap_or_default();
        let public_id = self.random_id("", NATIVE_ID_LENGTH)?;
        let minted = self.mint(format, &public_id)?;
        let id = KeyId::new(format!("key_{public_id}"))
            .map_err(|error| AdminError::Invalid(vec![invalid("id", &error)]))?;
        let key = KeyRow {
            id,
            org,
            team,
            user,
            name: form.name.value().unwrap_or_default(),
            prefix: minted.prefix,
            format,
            life: KeyLife::Active,
            expires_at_unix_ms: form.expires_at_unix_ms.value(),
            models: models.value(),
            limits: form.limits.value().unwrap_or_default(),
            default_max_output_tokens: form.default_max_output_tokens.value(),
            cut_calls: form.cut_calls.value().unwrap_or_default(),
            moved_revision: Revision(0),
            created_unix_ms: self.now.unix_ms,
            updated_unix_ms: self.now.unix_ms,
        };
        self.rows.save_key(&key)?;
        let digest = api_key::digest(minted.secret.expose().as_bytes());
        self.rows.replace_digest(&key.id, &digest)?;
        self.assign_plan(Level::Key, key.id.as_str(), plan.as_ref())?;
        self.save_cap(&key_budget(&key.id), form.budget.value())?;
        let revision = self.publish_key(&key)?;
        Ok(Changed {
            value: CreatedKey { view: self.key_view(key)?, secret: minted.secret },
            revision,
        })
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
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        self.assign_plan(Level::Key, key.id.as_str(), plan.as_ref())?;
        if before != (key.team.clone(), key.user.clone()) {
            // What it holds is charged above its old place: nothing is granted from above the new
            // one until every holder has handed it back.
            key.moved_revision = self.recall(&key_budget(&key.id))?;
        }
        key.name = form.name.or_current(Some(key.name)).unwrap_or_default();
        key.expires_at_unix_ms = form.expires_at_unix_ms.or_current(key.expires_at_unix_ms);
        if models.is_given() {
            let before = key.models.take();
            key.models = models.value();
            self.audit_key_models(&key, before)?;
        }
        if form.limits.is_given() {
            let before = std::mem::take(&mut key.limits);
            key.limits = form.limits.value().unwrap_or_default();
            self.limits_changed(&before, &mut key)?;
        }
        key.default_max_output_tokens =
            form.default_max_output_tokens.or_current(key.default_max_output_tokens);
        let cut_calls = form.cut_calls.or_current(Some(key.cut_calls));
        key.cut_calls = cut_calls.unwrap_or_default();
        if form.budget.is_given() {
            self.save_cap(&key_budget(&key.id), form.budget.value())?;
        }
        self.save_changed(key)
    }

    /// Gives the key a new secret; the old one is unknown from now on.
    ///
    /// # Errors
    /// When there is no such key, it has ended, no random bytes can be had, or the store fails.
    pub fn rotate_key(&mut self, id: &KeyId) -> Result<Changed<CreatedKey>, AdminError> {
        let mut key = self.living_key(id)?;
        let public_id = key.id.as_str().trim_start_matches("key_").to_owned();
        let minted = self.mint(key.format, &public_id)?;
        key.prefix = minted.prefix;
        let digest = api_key::digest(minted.secret.expose().as_bytes());
        self.rows.replace_digest(&key.id, &digest)?;
        let changed = self.save_changed(key)?;
        Ok(Changed {
            value: CreatedKey { view: changed.value, secret: minted.secret },
            revision: changed.revision,
        })
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
        if life == KeyLife::Deleted {
            self.assign_plan(Level::Key, key.id.as_str(), None)?;
        }
        if life != KeyLife::Active {
            // Before the change itself, by which a filter forgets what it knows of the key.
            self.recall(&key_budget(&key.id))?;
        }
        self.save_changed(key)
    }

    fn save_changed(&mut self, mut key: KeyRow) -> Result<Changed<KeyView>, AdminError> {
        key.updated_unix_ms = self.now.unix_ms;
        self.rows.save_key(&key)?;
        let revision = self.publish_key(&key)?;
        let value = self.key_view(key)?;
        Ok(Changed { value, revision })
    }

    fn publish_key(&mut self, key: &KeyRow) -> Result<Revision, AdminError> {
        let digests = self.rows.digests(&key.id, DIGESTS_PER_CHANGE)?;
        Ok(self.publish(Change::Key { key: key.id.clone(), digests, state: key.life.state() })?)
    }

    fn stored_key(&mut self, id: &KeyId) -> Result<KeyRow, AdminError> {
        let found = self.rows.key(id)?;
        found.ok_or_else(|| AdminError::not_found("key", id.as_str()))
    }

    fn living_key(&mut self, id: &KeyId) -> Result<KeyRow, AdminError> {
        let key = self.stored_key(id)?;
        match key.life {
            KeyLife::Active | KeyLife::Disabled => Ok(key),
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

    fn audit_key_models(
        &mut self,
        key: &KeyRow,
        before: Option<Selection>,
    ) -> Result<(), AdminError> {
        if before == key.models {
            return Ok(());
        }
        let state = |models: &Option<Selection>| Some(json!({"models": models}));
        let target = format!("key {}", key.id);
        Ok(self.audit("restrict_models", target, state(&before), state(&key.models))?)
    }

    fn mint(&mut self, format: KeyFormat, public_id: &str) -> Result<Minted, AdminError> {
        match format {
            KeyFormat::Native => {
                let secret = api_key::native_key(public_id, &self.random()?).ok_or_else(|| {
                    let message = "does not fit the form of a key";
                    AdminError::Invalid(vec![FieldProblem::invalid("id", message)])
                })?;
                Ok(Minted {
                    prefix: format!("{}{public_id}", api_key::NATIVE_PREFIX),
                    secret: SecretText::new(secret),
                })
            }
            KeyFormat::Pair => {
                let secret = api_key::pair_key(&self.random()?, &self.random()?);
                let prefix = secret.split_once(':').map_or("", |(id, _)| id).to_owned();
                Ok(Minted { prefix, secret: SecretText::new(secret) })
            }
        }
    }
}

struct Minted {
    prefix: String,
    secret: SecretText,
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
