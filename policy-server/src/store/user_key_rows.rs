//! Rows of user keys.

use wire::{KeyDigest, KeyId};

use super::StoreResult;

/// A user key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKeyRow {
    /// Digest of its secret.
    pub digest: KeyDigest,
    /// Its id.
    pub id: KeyId,
    /// The key that was exchanged for it.
    pub key: KeyId,
    /// Digest of that key's secret; none of one that was made before this was kept.
    pub exchanged_with: Option<KeyDigest>,
    /// When, in milliseconds since 1970 UTC.
    pub made_unix_ms: u64,
    /// Its end, the same.
    pub ends_unix_ms: u64,
}

/// User keys.
pub trait UserKeyRows {
    /// The user key whose secret has this digest, also when it has ended.
    fn user_key(&mut self, digest: &KeyDigest) -> StoreResult<Option<UserKeyRow>>;
    /// Inserts a new one.
    fn add_user_key(&mut self, user_key: &UserKeyRow) -> StoreResult<()>;
    /// Whether the key was exchanged, as far as that is remembered.
    fn has_user_keys(&mut self, key: &KeyId) -> StoreResult<bool>;
    /// When the key was exchanged after a wall time, the latest first, at most `limit`.
    fn exchanges_after(&mut self, key: &KeyId, unix_ms: u64, limit: u64) -> StoreResult<Vec<u64>>;
    /// Ends every user key of the key by a wall time at the latest.
    fn end_user_keys(&mut self, key: &KeyId, unix_ms: u64) -> StoreResult<()>;
    /// Ends, by a wall time at the latest, every user key of the key but those that were exchanged with
    /// the secret of this digest.
    fn end_user_keys_of_others(
        &mut self,
        key: &KeyId,
        secret: &KeyDigest,
        unix_ms: u64,
    ) -> StoreResult<()>;
    /// Whether some user key ended before a wall time.
    fn has_user_keys_ended_before(&mut self, unix_ms: u64) -> StoreResult<bool>;
    /// Removes those that ended before a wall time, at most `limit`. Answers how many.
    fn forget_user_keys(&mut self, unix_ms: u64, limit: u32) -> StoreResult<usize>;
}
