//! User keys.

use rusqlite::params;
use wire::{KeyDigest, KeyId};

use super::Rows;
use super::encoding::{Columns, integer};
use crate::store::{StoreResult, UserKeyRow, UserKeyRows};

impl UserKeyRows for Rows<'_> {
    fn user_key(&mut self, digest: &KeyDigest) -> StoreResult<Option<UserKeyRow>> {
        self.one("SELECT * FROM user_keys WHERE digest = ?", [digest.0], |row| {
            let columns = Columns(row);
            Ok(UserKeyRow {
                digest: KeyDigest(columns.bytes("digest")?),
                id: columns.checked("id", KeyId::new)?,
                key: columns.checked("key", KeyId::new)?,
                exchanged_with: columns.optional_bytes("exchanged_with")?.map(KeyDigest),
                made_unix_ms: columns.number("made_ms")?,
                ends_unix_ms: columns.number("ends_ms")?,
            })
        })
    }

    fn add_user_key(&mut self, user_key: &UserKeyRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO user_keys (digest, id, key, exchanged_with, made_ms, ends_ms)
             VALUES (?, ?, ?, ?, ?, ?)",
            params![
                user_key.digest.0,
                user_key.id.as_str(),
                user_key.key.as_str(),
                user_key.exchanged_with.map(|digest| digest.0),
                integer(user_key.made_unix_ms),
                integer(user_key.ends_unix_ms)
            ],
        )
    }

    fn has_user_keys(&mut self, key: &KeyId) -> StoreResult<bool> {
        let found =
            self.one("SELECT 1 FROM user_keys WHERE key = ? LIMIT 1", [key.as_str()], |_| Ok(()))?;
        Ok(found.is_some())
    }

    fn exchanges_after(&mut self, key: &KeyId, unix_ms: u64, limit: u64) -> StoreResult<Vec<u64>> {
        self.all(
            "SELECT made_ms FROM user_keys WHERE key = ? AND made_ms > ?
             ORDER BY made_ms DESC LIMIT ?",
            params![key.as_str(), integer(unix_ms), integer(limit)],
            |row| Columns(row).number("made_ms"),
        )
    }

    fn end_user_keys(&mut self, key: &KeyId, unix_ms: u64) -> StoreResult<()> {
        self.execute(
            "UPDATE user_keys SET ends_ms = ?2 WHERE key = ?1 AND ends_ms > ?2",
            params![key.as_str(), integer(unix_ms)],
        )
    }

    fn end_user_keys_of_others(
        &mut self,
        key: &KeyId,
        secret: &KeyDigest,
        unix_ms: u64,
    ) -> StoreResult<()> {
        self.execute(
            "UPDATE user_keys SET ends_ms = ?3
             WHERE key = ?1 AND exchanged_with IS NOT ?2 AND ends_ms > ?3",
            params![key.as_str(), secret.0, integer(unix_ms)],
        )
    }

    fn has_user_keys_ended_before(&mut self, unix_ms: u64) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM user_keys WHERE ends_ms < ? LIMIT 1",
            [integer(unix_ms)],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn forget_user_keys(&mut self, unix_ms: u64, limit: u32) -> StoreResult<usize> {
        self.change(
            "DELETE FROM user_keys WHERE digest IN (
                 SELECT digest FROM user_keys WHERE ends_ms < ? ORDER BY ends_ms LIMIT ?)",
            params![integer(unix_ms), limit],
        )
    }
}
