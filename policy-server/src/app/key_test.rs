//! What a key may do, and why not: the checks that a request meets, in the order in which the gateway
//! makes them, as far as the server knows what each comes to. Windows within one proxy are known
//! to that proxy only.

use std::net::IpAddr;

use metering::budget::{Denial, reserve};
use metering::reservation::Bounds;
use wire::v1::{Ask, Level, Limit};
use wire::{KeyDigest, KeyId, ModelName, NanoUsd};

use super::recall::is_exhausted;
use super::{AccountView, AdminError, KeyModel, KeyModelListing, KeyModels, KeyView, Work};
use crate::entitlement::{Missing, Offer};
use crate::permissions::{Scope, Sight};
use crate::store::{CatalogueModel, KeyRow, KeyStatus, StoreResult};

/// Models in one answer; the rest of them is in the list of the key's models.
const MODELS_MOST: u32 = 200;

/// What a key is to be tested for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyQuestion {
    /// A call of this model, by its name or an alias; none: of any.
    pub model: Option<ModelName>,
    /// A call from this address; none: from one that is allowed.
    pub address: Option<IpAddr>,
}

/// What a secret is to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretStanding {
    /// Its own.
    Current,
    /// The one before, which is good until this wall time in milliseconds.
    Previous(u64),
    /// One that was replaced.
    Retired,
    /// That of a user key for which it was exchanged.
    UserKey {
        /// When the user key ends, in milliseconds since 1970 UTC.
        ends_unix_ms: u64,
        /// It has ended.
        ended: bool,
    },
}

/// Why the gateway would refuse a call of the key, in its own words for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRefusal {
    /// HTTP status.
    pub status: u16,
    /// Code of the error.
    pub code: &'static str,
    /// What the error is about: a level, or a member of the request.
    pub param: Option<&'static str>,
    /// For people; says more than the gateway tells its clients.
    pub message: String,
}

/// The model that was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedModel {
    /// As it was asked for.
    pub asked: ModelName,
    /// The model; none: the catalogue has none of that name.
    pub found: Option<KeyModel>,
}

/// Everything that decides about a key's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTest {
    /// The key.
    pub key: KeyView,
    /// What its secret is to it; none where it was asked for by its id.
    pub secret: Option<SecretStanding>,
    /// Its limits and those of its team.
    pub limits: Vec<Limit>,
    /// Budgets above it in their current periods, its own first.
    pub budgets: Vec<AccountView>,
    /// The catalogue as the key sees it, the first page.
    pub models: KeyModels,
    /// The model that was asked about.
    pub model: Option<AskedModel>,
    /// The address that was asked about, and whether it is allowed.
    pub address: Option<(IpAddr, bool)>,
    /// Why the gateway would refuse a call; none: it would not.
    pub refusal: Option<CallRefusal>,
}

impl Work<'_> {
    /// Tests the key of a secret. None: no key has or had it, or one that `sight` does not show.
    ///
    /// # Errors
    /// When the store fails.
    pub fn test_secret(
        &mut self,
        digest: &KeyDigest,
        sight: &Sight,
        question: &KeyQuestion,
    ) -> Result<Option<KeyTest>, AdminError> {
        let Some((id, standing)) = self.standing_of_secret(digest)? else { return Ok(None) };
        let Some(key) = self.rows.key(&id)? else { return Ok(None) };
        let scope =
            Scope { org: Some(key.org.clone()), team: key.team.clone(), user: key.user.clone() };
        if !sight.shows(&scope) {
            return Ok(None);
        }
        self.test(key, Some(standing), question).map(Some)
    }

    /// Which key has or had a secret, and what the secret is to it.
    fn standing_of_secret(
        &mut self,
        digest: &KeyDigest,
    ) -> StoreResult<Option<(KeyId, SecretStanding)>> {
        let now = self.now.unix_ms;
        if let Some(secret) = self.rows.secret(digest)? {
            let standing = match (secret.is_valid, secret.valid_until_unix_ms) {
                (true, None) => SecretStanding::Current,
                (true, Some(until)) if until > now => SecretStanding::Previous(until),
                _ => SecretStanding::Retired,
            };
            return Ok(Some((secret.key, standing)));
        }
        let user_key = self.rows.user_key(digest)?;
        Ok(user_key.map(|user_key| {
            let ends_unix_ms = user_key.ends_unix_ms;
            let ended = ends_unix_ms <= now;
            (user_key.key, SecretStanding::UserKey { ends_unix_ms, ended })
        }))
    }

    /// Tests a key, as if by its own secret.
    ///
    /// # Errors
    /// When there is no such key, or the store fails.
    pub fn test_key(&mut self, id: &KeyId, question: &KeyQuestion) -> Result<KeyTest, AdminError> {
        let key = self.stored_key(id)?;
        self.test(key, None, question)
    }

    fn test(
        &mut self,
        key: KeyRow,
        secret: Option<SecretStanding>,
        question: &KeyQuestion,
    ) -> Result<KeyTest, AdminError> {
        let id = key.id.clone();
        let listing = KeyModelListing { limit: MODELS_MOST, ..KeyModelListing::default() };
        let address = question.address.map(|from| {
            let allowed = key.allowed_ips.as_ref().is_none_or(|allowed| allowed.contains(from));
            (from, allowed)
        });
        let model = match &question.model {
            Some(asked) => Some(self.asked_model(&key, asked)?),
            None => None,
        };
        let mut test = KeyTest {
            secret,
            limits: self.policy(&key)?.limits,
            budgets: self.budgets_of_key(&id)?,
            models: self.key_models(&id, &listing)?,
            model,
            address,
            refusal: None,
            key: self.key_view(key)?,
        };
        test.refusal = match test.refused_itself() {
            Some(refusal) => Some(refusal),
            None => match self.refused_model(&test)? {
                Some(refusal) => Some(refusal),
                None => self.refused_money(&test)?,
            },
        };
        Ok(test)
    }

    fn asked_model(&mut self, key: &KeyRow, asked: &ModelName) -> Result<AskedModel, AdminError> {
        let found = match self.rows.model(asked)? {
            Some(model) => Some(model),
            None => self.alias_holder(asked)?,
        };
        let found = match found {
            None => None,
            Some(model) => {
                let groups = self.rows.groups_of(&model.model.name)?;
                let missing = self.entitled(key)?.scopes.missing(&Offer {
                    model: &model.model.name,
                    groups: &groups,
                    removed: model.model.retired,
                    priced: model.model.price.is_some(),
                });
                Some(KeyModel { model, groups, missing })
            }
        };
        Ok(AskedModel { asked: asked.clone(), found })
    }

    fn refused_model(&mut self, test: &KeyTest) -> Result<Option<CallRefusal>, AdminError> {
        let about = |status, code, message| {
            Ok(Some(CallRefusal {
                param: Some("model"),
                ..CallRefusal::new(status, code, message)
            }))
        };
        let unknown = |asked: &ModelName, why: &str| {
            about(400, "unknown_model", format!("the model '{asked}' {why}"))
        };
        if let Some(AskedModel { asked, found }) = &test.model {
            let Some(found) = found else {
                return unknown(asked, "is not in the catalogue");
            };
            if found.missing.contains(&Missing::Removed) {
                let message = format!("the model '{asked}' was withdrawn");
                return about(404, "model_removed", message);
            }
            if found.missing.contains(&Missing::NoPrice) {
                return unknown(asked, "has no price");
            }
        }
        let scopes = self.entitled(&test.key.key)?.scopes;
        let (_, org_has_none) = self.told_models(&scopes)?;
        if org_has_none {
            let message = "its organisation, with its plan, is entitled to no model at all";
            return Ok(Some(CallRefusal::new(403, "no_models", message.to_owned())));
        }
        if let Some(AskedModel { asked, found: Some(found) }) = &test.model {
            if found.missing.is_empty() {
                return Ok(None);
            }
            let levels: Vec<_> = found.missing.iter().map(|reason| by(*reason)).collect();
            let message = format!("the model '{asked}' is not allowed by {}", levels.join(", "));
            return about(403, "model_not_allowed", message);
        }
        let any = KeyModelListing { allowed: Some(true), after: None, limit: 1 };
        if self.key_models(&test.key.key.id, &any)?.page.items.is_empty() {
            let message = "there is no model that every level above the key allows".to_owned();
            return about(403, "model_not_allowed", message);
        }
        Ok(None)
    }

    /// Whether there is money for the smallest call: of the model that was asked about, or else of
    /// any.
    fn refused_money(&mut self, test: &KeyTest) -> Result<Option<CallRefusal>, AdminError> {
        let key = &test.key.key;
        let accounts = self.accounts_above(key)?;
        let is_capped = accounts.iter().any(|open| open.at.account.cap.is_some());
        let found = test.model.as_ref().and_then(|asked| asked.found.as_ref());
        let price = found.and_then(|found| found.model.model.price);
        let price = price.map(|price| price.times(test.models.price_multiplier));
        let (Some(found), Some(price)) = (found, price) else {
            if let Some(open) = accounts.iter().find(|open| is_exhausted(&open.at.account)) {
                return Ok(Some(spent(open.at.level, "nothing is left")));
            }
            return Ok(frozen(is_capped && accounts.iter().any(|open| open.frozen)));
        };
        let bounds = Bounds::new(&smallest(&found.model), key.default_max_output_tokens);
        if let Err(need) = bounds.under_ceiling(&price, key.max_call) {
            let most = key.max_call.unwrap_or_default();
            let message = format!(
                "the smallest call could cost {} USD, and the key allows {} USD for one call",
                need.to_usd(),
                most.to_usd()
            );
            return Ok(Some(CallRefusal {
                param: Some(Level::Key.as_str()),
                ..CallRefusal::new(402, "budget_exceeded", message)
            }));
        }
        if is_capped && accounts.iter().any(|open| open.frozen) {
            return Ok(frozen(true));
        }
        let levels: Vec<_> = accounts.iter().map(|open| open.at).collect();
        Ok(match reserve(&levels, &bounds, &price) {
            Err(Denial::Exceeded { level, need, left }) => {
                Some(spent(level, &shortfall(need, left)))
            }
            // The money is asked back from whoever holds it when a call comes.
            Err(Denial::Contended { .. }) | Ok(_) => None,
        })
    }
}

impl KeyTest {
    /// What is wrong with the key itself, in the order of the gateway's checks.
    fn refused_itself(&self) -> Option<CallRefusal> {
        let unauthorised = |code, message: String| Some(CallRefusal::new(401, code, message));
        let unknown = |message: &str| unauthorised("invalid_api_key", message.to_owned());
        match (self.key.status, self.secret) {
            (KeyStatus::Deleted, _) => return unknown("the key was deleted"),
            (_, Some(SecretStanding::Retired)) => {
                return unknown("this secret of the key was replaced by another and has ended");
            }
            (KeyStatus::Revoked, _) => {
                return unauthorised("key_revoked", "the key was revoked, for good".to_owned());
            }
            (KeyStatus::Disabled, _) => {
                return unauthorised("key_disabled", "the key is switched off".to_owned());
            }
            (KeyStatus::Active | KeyStatus::Expired, _) => {}
        }
        if let Some(level) = self.key.suspended {
            let message = format!("the {} above the key is suspended", level.as_str());
            return unauthorised("key_disabled", message);
        }
        if self.key.status == KeyStatus::Expired {
            return unauthorised("key_expired", "the time of the key is over".to_owned());
        }
        if matches!(self.secret, Some(SecretStanding::UserKey { ended: true, .. })) {
            return unauthorised("key_expired", "the time of the user key is over".to_owned());
        }
        match self.address {
            Some((address, false)) => {
                let message = format!("the key may not be used from {address}");
                Some(CallRefusal::new(403, "ip_not_allowed", message))
            }
            _ => None,
        }
    }
}

impl CallRefusal {
    /// A refusal that is about nothing in particular.
    #[must_use]
    pub fn new(status: u16, code: &'static str, message: String) -> Self {
        Self { status, code, param: None, message }
    }
}

/// The level that does not allow a model.
fn by(reason: Missing) -> &'static str {
    match reason {
        Missing::Removed | Missing::NoPrice => "the catalogue",
        Missing::NotInCatalogue => "the organisation's catalogue",
        Missing::NotInPlan => "the plan",
        Missing::Team => "the team",
        Missing::User => "the user",
        Missing::Key => "the key itself",
    }
}

/// One token in beside what is added to every prompt, and one token out.
fn smallest(model: &CatalogueModel) -> Ask {
    Ask {
        model: model.model.name.clone(),
        catalogue_version: wire::CatalogueVersion(0),
        input_tokens: model.model.input_overhead_tokens.saturating_add(1),
        output_tokens: 1,
        output_is_clients: true,
        choices: 1,
        server_tool_calls: 0,
        price_multiplier: wire::PriceMultiplier::ONE,
    }
}

fn shortfall(need: NanoUsd, left: NanoUsd) -> String {
    let (need, left) = (need.to_usd(), left.to_usd());
    format!("the smallest call could cost {need} USD and {left} USD are left")
}

fn spent(level: Level, how: &str) -> CallRefusal {
    let (code, param) = match level {
        Level::Wallet => ("billing_shortfall", None),
        level => ("budget_exceeded", Some(level.as_str())),
    };
    let what = match level {
        Level::Wallet => "the organisation's prepaid money is used up".to_owned(),
        level => format!("the budget of the {} is spent", level.as_str()),
    };
    CallRefusal { param, ..CallRefusal::new(402, code, format!("{what}: {how}")) }
}

fn frozen(is_frozen: bool) -> Option<CallRefusal> {
    let message = "a budget above the key is frozen until an operator releases it".to_owned();
    is_frozen.then(|| CallRefusal::new(429, "budget_contended", message))
}
