//! Personal tokens: how people and their scripts sign in. Only digests are stored.

use std::net::IpAddr;

use serde_json::json;
use wire::{OrgId, UserId};

use super::people::check_rank;
use super::{AdminError, Page, SecretText, Target, Work};
use crate::permissions::Standing;
use crate::store::{AuditRow, PersonalTokenRow};

/// How every personal token begins.
const PREFIX: &str = "tgp_";

/// Letters after that which are the token's public id.
const ID_LETTERS: usize = 12;

/// Tokens of one user that can sign in at the same time: one for every machine and script.
const USABLE_MOST: u64 = 64;

/// How long a token lives where nothing is said: 90 days, in milliseconds.
const LIFE_DEFAULT_MS: u64 = 90 * DAY_MS;

/// The longest life of a token: somebody must look after it once a year.
const LIFE_MOST_MS: u64 = 366 * DAY_MS;

/// How long both tokens may work after a rotation: a week.
pub const OVERLAP_MOST_S: u64 = 7 * 24 * 60 * 60;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How exactly the last use is kept, in milliseconds: every note of it is a write.
const USE_NOTED_EVERY_MS: u64 = 60_000;

/// A token to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenForm {
    /// Its name for people.
    pub name: String,
    /// When it ends, in milliseconds since 1970 UTC; none: in 90 days.
    pub expires_unix_ms: Option<u64>,
}

/// A token and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub row: PersonalTokenRow,
    /// Its text, shown this once.
    pub secret: SecretText,
}

/// A token's state as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStatus {
    /// Signs in.
    Active,
    /// Its time is over.
    Expired,
    /// Ended for good.
    Revoked,
}

impl TokenStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Active, Self::Expired, Self::Revoked];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// The status of a token at a wall time.
    #[must_use]
    pub fn of(token: &PersonalTokenRow, now_unix_ms: u64) -> Self {
        if token.revoked_unix_ms.is_some() {
            Self::Revoked
        } else if token.expires_unix_ms <= now_unix_ms {
            Self::Expired
        } else {
            Self::Active
        }
    }
}

/// The public beginning of what may be a personal token: by it attempts are counted.
#[must_use]
pub fn token_prefix(text: &[u8]) -> Option<&str> {
    let prefix = text.get(..PREFIX.len() + ID_LETTERS)?;
    let prefix = std::str::from_utf8(prefix).ok()?;
    prefix.starts_with(PREFIX).then_some(prefix)
}

impl Work<'_> {
    /// Issues a token for a user.
    ///
    /// # Errors
    /// When there is no such user, the user never signs in or has a role above the issuer's, there
    /// are too many tokens, the expiry is not acceptable, no random bytes can be had, or the store
    /// fails.
    pub fn issue_token(
        &mut self,
        by: &Standing,
        issued_by: String,
        org: &OrgId,
        user: &UserId,
        form: TokenForm,
    ) -> Result<IssuedToken, AdminError> {
        let owner = self.user(org, user)?;
        if owner.service_team.is_some() {
            let message = "a service account owns keys and never signs in";
            return Err(AdminError::conflict("is_service_account", message));
        }
        check_rank(by, owner.role)?;
        let now = self.now.unix_ms;
        let expires_unix_ms = form.expires_unix_ms.unwrap_or(now.saturating_add(LIFE_DEFAULT_MS));
        if expires_unix_ms <= now || expires_unix_ms > now.saturating_add(LIFE_MOST_MS) {
            let message = "must be in the future, and at most 366 days from now";
            return Err(AdminError::field("expires_at", "invalid_field", message));
        }
        self.new_token(issued_by, org, user, form.name, expires_unix_ms)
    }

    /// Personal tokens of a user, newest first.
    ///
    /// # Errors
    /// When there is no such user, or the store fails.
    pub fn tokens(
        &mut self,
        org: &OrgId,
        user: &UserId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<PersonalTokenRow>, AdminError> {
        self.user(org, user)?;
        let found = self.rows.personal_tokens(org, user, before, limit.saturating_add(1))?;
        let page = Page::of(found, limit, |(position, _)| position.to_string());
        Ok(Page {
            items: page.items.into_iter().map(|(_, token)| token).collect(),
            next: page.next,
        })
    }

    /// One personal token of a user.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn token(
        &mut self,
        org: &OrgId,
        user: &UserId,
        id: &str,
    ) -> Result<PersonalTokenRow, AdminError> {
        let found = self.rows.personal_token(id)?;
        let own = found.filter(|token| token.org == *org && token.user == *user);
        own.ok_or_else(|| AdminError::not_found("token", id))
    }

    /// Gives a user a new token in the place of one that still signs in for `overlap_s` seconds, or
    /// until its own end. The new one lives as long as the old one was made for.
    ///
    /// # Errors
    /// When there is no such token, it has ended, the user has a role above the issuer's or too many
    /// tokens, no random bytes can be had, or the store fails.
    pub fn rotate_token(
        &mut self,
        by: &Standing,
        issued_by: String,
        mut old: PersonalTokenRow,
        overlap_s: u64,
    ) -> Result<IssuedToken, AdminError> {
        let owner = self.user(&old.org, &old.user)?;
        check_rank(by, owner.role)?;
        let now = self.now.unix_ms;
        if TokenStatus::of(&old, now) != TokenStatus::Active {
            let message = format!("the token '{}' has ended: issue a new one", old.id);
            return Err(AdminError::conflict("token_ended", message));
        }
        let life = old.expires_unix_ms.saturating_sub(old.created_unix_ms);
        let end = now.saturating_add(overlap_s.saturating_mul(1_000));
        old.expires_unix_ms = old.expires_unix_ms.min(end);
        if overlap_s == 0 {
            old.revoked_unix_ms = Some(now);
        }
        self.rows.save_personal_token(&old)?;
        let expires = now.saturating_add(life);
        self.new_token(issued_by, &old.org, &old.user, old.name, expires)
    }

    /// Ends a token for good. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the user has a role above the revoker's, or the store fails.
    pub fn revoke_token(
        &mut self,
        by: &Standing,
        mut token: PersonalTokenRow,
    ) -> Result<PersonalTokenRow, AdminError> {
        let owner = self.user(&token.org, &token.user)?;
        check_rank(by, owner.role)?;
        if token.revoked_unix_ms.is_none() {
            token.revoked_unix_ms = Some(self.now.unix_ms);
            self.rows.save_personal_token(&token)?;
        }
        Ok(token)
    }

    /// Ends the tokens that somebody issued for others, who may issue none any more, or whoever belongs to
    /// an organisation for those of others: whoever has kept one would go on as somebody else, and so
    /// he would by one that he has issued by it.
    pub(super) fn end_issued_tokens(
        &mut self,
        org: &OrgId,
        issuer: Option<&UserId>,
    ) -> Result<(), AdminError> {
        let ended = self.rows.revoke_tokens_issued(org, issuer, self.now.unix_ms)?;
        if ended > 0 {
            let target = match issuer {
                Some(issuer) => Target::User(org.clone(), issuer.clone()),
                None => Target::Org(org.clone()),
            };
            let line = self.author.line("token.revoke_by_issuer", &target, Some(org.clone()));
            let after = Some(json!({"revoked_tokens": ended}).to_string());
            self.note(AuditRow { after, ..line })?;
        }
        Ok(())
    }

    /// Whether the last use of a token that signs in now is to be noted.
    #[must_use]
    pub fn use_is_news(&self, token: &PersonalTokenRow, address: Option<IpAddr>) -> bool {
        let at = token.last_used_unix_ms.unwrap_or(0);
        let elsewhere = address.map(|address| address.to_string()) != token.last_address;
        elsewhere || self.now.unix_ms.saturating_sub(at) >= USE_NOTED_EVERY_MS
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_use(&mut self, id: &str, address: Option<IpAddr>) -> Result<(), AdminError> {
        let Some(mut token) = self.rows.personal_token(id)? else { return Ok(()) };
        token.last_used_unix_ms = Some(self.now.unix_ms);
        token.last_address = address.map(|address| address.to_string());
        Ok(self.rows.save_personal_token(&token)?)
    }

    fn new_token(
        &mut self,
        issued_by: String,
        org: &OrgId,
        user: &UserId,
        name: String,
        expires_unix_ms: u64,
    ) -> Result<IssuedToken, AdminError> {
        let now = self.now.unix_ms;
        if self.rows.usable_token_count(org, user, now)? >= USABLE_MOST {
            let message = format!("a user has at most {USABLE_MOST} tokens: revoke one first");
            return Err(AdminError::conflict("too_many_tokens", message));
        }
        let id = self.random_id("", ID_LETTERS)?;
        let prefix = format!("{PREFIX}{id}");
        let text = format!("{prefix}{}", self.random_secret()?);
        let row = PersonalTokenRow {
            id: format!("tok_{id}"),
            digest: metering::api_key::digest(text.as_bytes()),
            org: org.clone(),
            user: user.clone(),
            name,
            prefix,
            issued_by,
            issued_with: self.author.token.clone(),
            created_unix_ms: now,
            expires_unix_ms,
            revoked_unix_ms: None,
            last_used_unix_ms: None,
            last_address: None,
        };
        self.rows.save_personal_token(&row)?;
        Ok(IssuedToken { row, secret: SecretText::new(text) })
    }
}
