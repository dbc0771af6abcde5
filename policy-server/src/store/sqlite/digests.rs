//! Digests of keys.

use rusqlite::params;
use wire::{KeyDigest, KeyId};

use super::Rows;
use super::encoding::{Columns, integer};
use super::keys::key;
use crate::store::{DigestRows, KeyRow, SecretRow, StoreResult};

impl DigestRows for Rows<'_> {
    fn key_by_digest(
        &mut self,
        digest: &KeyDigest,
        now_unix_ms: u64,
    ) -> StoreResult<Option<KeyRow>> {
        self.one(
            "SELECT keys.* FROM key_digests JOIN keys ON keys.id = key_digests.key
             WHERE digest = ? AND valid = 1 AND (valid_until_ms IS NULL OR valid_until_ms > ?)",
            params![digest.0, integer(now_unix_ms)],
            key,
        )
    }

    fn secret(&mut self, digest: &KeyDigest) -> StoreResult<Option<SecretRow>> {
        self.one(
            "SELECT key, valid, valid_until_ms FROM key_digests WHERE digest = ?",
            [digest.0],
            |row| {
                let columns = Columns(row);
                Ok(SecretRow {
                    key: columns.checked("key", KeyId::new)?,
                    is_valid: columns.flag("valid")?,
                    valid_until_unix_ms: columns.optional_number("valid_until_ms")?,
                })
            },
        )
    }

    fn digest_valid_until(&mut self, digest: &KeyDigest) -> StoreResult<Option<u64>> {
        let found = self.one(
            "SELECT valid_until_ms FROM key_digests WHERE digest = ?",
            [digest.0],
            |row| Columns(row).optional_number("valid_until_ms"),
        )?;
        Ok(found.flatten())
    }

    fn is_digest_taken(&mut self, digest: &KeyDigest) -> StoreResult<bool> {
        let found =
            self.one("SELECT 1 FROM key_digests WHERE digest = ?", [digest.0], |_| Ok(()))?;
        Ok(found.is_some())
    }

    fn digests(&mut self, id: &KeyId, limit: u32) -> StoreResult<Vec<KeyDigest>> {
        self.all(
            "SELECT digest FROM key_digests WHERE key = ? ORDER BY position DESC LIMIT ?",
            params![id.as_str(), limit],
            |row| Columns(row).bytes("digest").map(KeyDigest),
        )
    }

    fn replace_digest(
        &mut self,
        id: &KeyId,
        digest: &KeyDigest,
        before_valid_until_unix_ms: Option<u64>,
    ) -> StoreResult<()> {
        match before_valid_until_unix_ms {
            None => self.execute(
                "UPDATE key_digests SET valid = 0, valid_until_ms = NULL
                 WHERE key = ? AND valid = 1",
                params![id.as_str()],
            )?,
            Some(until) => {
                self.execute(
                    "UPDATE key_digests SET valid = 0, valid_until_ms = NULL
                     WHERE key = ? AND valid = 1 AND valid_until_ms IS NOT NULL",
                    params![id.as_str()],
                )?;
                self.execute(
                    "UPDATE key_digests SET valid_until_ms = ? WHERE key = ? AND valid = 1",
                    params![integer(until), id.as_str()],
                )?;
            }
        }
        self.execute(
            "INSERT INTO key_digests (digest, key, valid) VALUES (?, ?, 1)",
            params![digest.0, id.as_str()],
        )
    }

    fn previous_valid_until(&mut self, id: &KeyId) -> StoreResult<Option<u64>> {
        self.one(
            "SELECT valid_until_ms FROM key_digests
             WHERE key = ? AND valid = 1 AND valid_until_ms IS NOT NULL",
            [id.as_str()],
            |row| Columns(row).number("valid_until_ms"),
        )
    }

    fn ended_digests(
        &mut self,
        now_unix_ms: u64,
        limit: u32,
    ) -> StoreResult<Vec<(KeyDigest, KeyId)>> {
        self.all(
            "SELECT digest, key FROM key_digests
             WHERE valid_until_ms IS NOT NULL AND valid_until_ms <= ?
             ORDER BY valid_until_ms LIMIT ?",
            params![integer(now_unix_ms), limit],
            |row| {
                let columns = Columns(row);
                Ok((KeyDigest(columns.bytes("digest")?), columns.checked("key", KeyId::new)?))
            },
        )
    }

    fn end_digest(&mut self, digest: &KeyDigest) -> StoreResult<()> {
        self.execute(
            "UPDATE key_digests SET valid = 0, valid_until_ms = NULL WHERE digest = ?",
            params![digest.0],
        )
    }
}
