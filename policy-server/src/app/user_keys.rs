//! User keys: secrets of an hour or so that keys are exchanged for. Everything that a user key may do
//! is what its key may do; it spends from its key's budgets and windows, and lives no longer.

use metering::api_key::{self, NATIVE_ID_LENGTH};
use serde_json::json;
use wire::v1::{ExchangeAnswer, ExchangeReply, ExchangeRequest, KeyKind, KeyPolicy, UserKeySecret};
use wire::{KeyDigest, KeyId};

use super::{FilterError, Work};
use crate::settings::UserKeyLifetime;
use crate::store::{AuditRow, KeyLife, KeyRow, Outcome, StoreError, StoreResult, UserKeyRow};

/// How often a key may be exchanged in any hour. Each exchange is a write that no window of the key
/// counts; whoever needs more user keys than one a minute does not keep those that he has.
pub const EXCHANGES_PER_HOUR: u64 = 60;

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// For how long a user key is remembered after its end, so that its holder hears that it has expired
/// and not that there never was one. Longer than the hour in which exchanges are counted.
const REMEMBERED_MS: u64 = 24 * HOUR_MS;

/// User keys forgotten in one job of the sweeper, so that requests never wait for long.
const FORGOTTEN_PER_SWEEP: u32 = 256;

/// How the id of every user key begins.
const ID_PREFIX: &str = "ukey_";

/// What a digest names: a key, by its own secret or by that of a user key.
pub(super) struct Named {
    pub(super) key: KeyRow,
    user_key: Option<UserKeyRow>,
}

impl Named {
    /// Whether the user key has ended, if it is one.
    pub(super) fn has_ended(&self, now_unix_ms: u64) -> bool {
        self.user_key.as_ref().is_some_and(|user_key| user_key.ends_unix_ms <= now_unix_ms)
    }

    /// What filters must know, `policy` being the key's. One that has ended has done so for all of them,
    /// also for those whose wall clocks have not come that far.
    pub(super) fn policy(&self, policy: KeyPolicy, now_unix_ms: u64) -> KeyPolicy {
        let Some(user_key) = &self.user_key else { return policy };
        let ends = if self.has_ended(now_unix_ms) { 0 } else { user_key.ends_unix_ms };
        let expires = policy.expires_at_unix_ms.map_or(ends, |expires| expires.min(ends));
        KeyPolicy {
            kind: KeyKind::User,
            expires_at_unix_ms: Some(expires),
            user_key: Some(user_key.id.clone()),
            ..policy
        }
    }
}

impl Work<'_> {
    /// The key that a digest names, unless it was deleted.
    pub(super) fn named(&mut self, digest: &KeyDigest) -> StoreResult<Option<Named>> {
        let named = match self.rows.key_by_digest(digest, self.now.unix_ms)? {
            Some(key) => Some(Named { key, user_key: None }),
            None => match self.rows.user_key(digest)? {
                Some(user_key) => {
                    let key = self.rows.key(&user_key.key)?;
                    key.map(|key| Named { key, user_key: Some(user_key) })
                }
                None => None,
            },
        };
        Ok(named.filter(|named| named.key.life != KeyLife::Deleted))
    }

    /// Gives a user key for a key. Asked again, it gives another one.
    ///
    /// # Errors
    /// When the holder is not alive, no random bytes can be had, or the store fails. A key that cannot
    /// be exchanged is an answer, no error.
    pub fn exchange(
        &mut self,
        request: &ExchangeRequest,
        lifetime: UserKeyLifetime,
    ) -> Result<ExchangeReply, FilterError> {
        let server = self.check_in(&request.holder, request.epoch)?;
        let answer = self.exchanged(request, lifetime)?;
        Ok(ExchangeReply { epoch: server.epoch, revision: server.revision, answer })
    }

    fn exchanged(
        &mut self,
        request: &ExchangeRequest,
        lifetime: UserKeyLifetime,
    ) -> Result<ExchangeAnswer, FilterError> {
        let now = self.now.unix_ms;
        // A user key is not exchanged for another: that would let it live for ever.
        let Some(key) = self.rows.key_by_digest(&request.digest, now)? else {
            return Ok(ExchangeAnswer::KeyNotUsable);
        };
        if key.kind == KeyKind::User || !self.usable(&key)? {
            return Ok(ExchangeAnswer::KeyNotUsable);
        }
        let since = now.saturating_sub(HOUR_MS);
        let before = self.rows.exchanges_after(&key.id, since, EXCHANGES_PER_HOUR)?;
        let is_full = u64::try_from(before.len()).is_ok_and(|made| made >= EXCHANGES_PER_HOUR);
        if let Some(oldest) = before.last().filter(|_| is_full) {
            // Where the wall clock was set back they lie in the future, and none waits for that.
            let retry_after_ms = oldest.saturating_sub(since).min(HOUR_MS);
            return Ok(ExchangeAnswer::TooMany { most: EXCHANGES_PER_HOUR, retry_after_ms });
        }
        let public_id = self.random_id("", NATIVE_ID_LENGTH)?;
        let secret = api_key::user_key(request.form, &public_id, &self.random()?);
        let id = KeyId::new(format!("{ID_PREFIX}{public_id}"));
        let (Some(secret), Ok(id)) = (secret, id) else {
            let message = format!("'{public_id}' does not fit the form of a user key");
            return Err(StoreError::Unreadable(message).into());
        };
        let ends = [key.expires_at_unix_ms, self.rows.digest_valid_until(&request.digest)?];
        let longest = now.saturating_add(lifetime.millis());
        let ends_unix_ms = ends.into_iter().flatten().fold(longest, u64::min);
        tracing::info!(key = %key.id, user_key = %id, "a key was exchanged for a user key");
        self.rows.add_audit(&exchange_line(&key, &id, ends_unix_ms, now))?;
        self.rows.add_user_key(&UserKeyRow {
            digest: api_key::digest(secret.as_bytes()),
            id,
            key: key.id,
            exchanged_with: Some(request.digest),
            made_unix_ms: now,
            ends_unix_ms,
        })?;
        let secret = UserKeySecret::new(secret);
        Ok(ExchangeAnswer::UserKey { secret, expires_at_unix_ms: ends_unix_ms })
    }

    /// Whether some user key ended so long ago that it is to be forgotten.
    pub(super) fn has_old_user_keys(&mut self) -> StoreResult<bool> {
        self.rows.has_user_keys_ended_before(self.now.unix_ms.saturating_sub(REMEMBERED_MS))
    }

    /// Forgets those, a bounded number per call. Answers whether there may be more.
    pub(super) fn forget_old_user_keys(&mut self) -> StoreResult<bool> {
        let before = self.now.unix_ms.saturating_sub(REMEMBERED_MS);
        let forgotten = self.rows.forget_user_keys(before, FORGOTTEN_PER_SWEEP)?;
        Ok(u32::try_from(forgotten).is_ok_and(|forgotten| forgotten >= FORGOTTEN_PER_SWEEP))
    }
}

/// What the audit says of an exchange: the key did it. At most [`EXCHANGES_PER_HOUR`] of them.
fn exchange_line(key: &KeyRow, user_key: &KeyId, ends_unix_ms: u64, now_unix_ms: u64) -> AuditRow {
    let after = json!({"user_key": user_key, "expires_at_unix_ms": ends_unix_ms});
    AuditRow {
        at_unix_ms: now_unix_ms,
        actor: key.id.as_str().to_owned(),
        action: "key.exchange".to_owned(),
        kind: "key".to_owned(),
        target: key.id.as_str().to_owned(),
        org: Some(key.org.clone()),
        amount: None,
        before: None,
        after: Some(after.to_string()),
        address: None,
        outcome: Outcome::Done,
        code: None,
        token: None,
    }
}
