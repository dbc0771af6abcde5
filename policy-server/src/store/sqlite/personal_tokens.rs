//! Personal tokens and settings.

use rusqlite::{Row, params};
use wire::{KeyDigest, OrgId, UserId};

use super::Rows;
use super::encoding::{Columns, integer};
use crate::store::{PersonalTokenRow, PersonalTokenRows, SettingRows, StoreResult};

impl PersonalTokenRows for Rows<'_> {
    fn personal_token(&mut self, id: &str) -> StoreResult<Option<PersonalTokenRow>> {
        self.one("SELECT * FROM personal_tokens WHERE id = ?", [id], token)
    }

    fn personal_token_by_digest(
        &mut self,
        digest: &KeyDigest,
    ) -> StoreResult<Option<PersonalTokenRow>> {
        self.one("SELECT * FROM personal_tokens WHERE digest = ?", [digest.0], token)
    }

    fn personal_tokens(
        &mut self,
        org: &OrgId,
        user: &UserId,
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<(i64, PersonalTokenRow)>> {
        self.all(
            "SELECT * FROM personal_tokens
             WHERE org = ?1 AND user = ?2 AND (?3 IS NULL OR position < ?3)
             ORDER BY position DESC LIMIT ?4",
            params![org.as_str(), user.as_str(), before, limit],
            |row| Ok((row.get("position")?, token(row)?)),
        )
    }

    fn usable_token_count(&mut self, org: &OrgId, user: &UserId, unix_ms: u64) -> StoreResult<u64> {
        let count = self.one(
            "SELECT count(*) AS count FROM personal_tokens
             WHERE org = ? AND user = ? AND revoked_ms IS NULL AND expires_ms > ?",
            params![org.as_str(), user.as_str(), integer(unix_ms)],
            |row| Columns(row).number("count"),
        )?;
        Ok(count.unwrap_or(0))
    }

    fn save_personal_token(&mut self, token: &PersonalTokenRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO personal_tokens (id, digest, org, user, name, prefix, issued_by,
                 issued_with, created_ms, expires_ms, revoked_ms, last_used_ms, last_address)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                 expires_ms = excluded.expires_ms, revoked_ms = excluded.revoked_ms,
                 last_used_ms = excluded.last_used_ms, last_address = excluded.last_address",
            params![
                token.id,
                token.digest.0,
                token.org.as_str(),
                token.user.as_str(),
                token.name,
                token.prefix,
                token.issued_by,
                token.issued_with,
                integer(token.created_unix_ms),
                integer(token.expires_unix_ms),
                token.revoked_unix_ms.map(integer),
                token.last_used_unix_ms.map(integer),
                token.last_address
            ],
        )
    }

    fn revoke_tokens_issued(
        &mut self,
        org: &OrgId,
        issuer: Option<&UserId>,
        unix_ms: u64,
    ) -> StoreResult<usize> {
        // No organisation's id has a slash, and nothing comes behind the last character.
        let (first, last) = match issuer {
            Some(issuer) => (format!("{org}/{issuer}"), format!("{org}/{issuer}")),
            None => (format!("{org}/"), format!("{org}/{}", char::MAX)),
        };
        self.change(
            "WITH RECURSIVE issued (id) AS (
                 SELECT id FROM personal_tokens INDEXED BY personal_tokens_by_issuer
                 WHERE issued_by BETWEEN ?2 AND ?3
                   AND NOT (org = ?4 AND (?5 IS NULL OR user = ?5))
                 UNION
                 SELECT by_it.id FROM issued CROSS JOIN personal_tokens AS by_it
                     INDEXED BY personal_tokens_issued_with
                     ON by_it.issued_with IS NOT NULL AND by_it.issued_with = issued.id)
             UPDATE personal_tokens SET revoked_ms = ?1
             WHERE id IN (SELECT id FROM issued) AND revoked_ms IS NULL AND expires_ms > ?1
               AND NOT (org = ?4 AND (?5 IS NULL OR user = ?5))",
            params![integer(unix_ms), first, last, org.as_str(), issuer.map(UserId::as_str)],
        )
    }

    fn revoke_personal_tokens(
        &mut self,
        org: &OrgId,
        user: &UserId,
        unix_ms: u64,
    ) -> StoreResult<()> {
        self.execute(
            "UPDATE personal_tokens SET revoked_ms = ?
             WHERE org = ? AND user = ? AND revoked_ms IS NULL",
            params![integer(unix_ms), org.as_str(), user.as_str()],
        )
    }
}

impl SettingRows for Rows<'_> {
    fn setting(&mut self, name: &str) -> StoreResult<Option<u64>> {
        self.one("SELECT value FROM settings WHERE name = ?", [name], |row| {
            Columns(row).number("value")
        })
    }

    fn save_setting(&mut self, name: &str, value: Option<u64>) -> StoreResult<()> {
        match value {
            None => self.execute("DELETE FROM settings WHERE name = ?", params![name]),
            Some(value) => self.execute(
                "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)",
                params![name, integer(value)],
            ),
        }
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<PersonalTokenRow> {
    let columns = Columns(row);
    Ok(PersonalTokenRow {
        id: columns.text("id")?,
        digest: columns.bytes("digest").map(KeyDigest)?,
        org: columns.checked("org", OrgId::new)?,
        user: columns.checked("user", UserId::new)?,
        name: columns.text("name")?,
        prefix: columns.text("prefix")?,
        issued_by: columns.text("issued_by")?,
        issued_with: row.get("issued_with")?,
        created_unix_ms: columns.number("created_ms")?,
        expires_unix_ms: columns.number("expires_ms")?,
        revoked_unix_ms: columns.optional_number("revoked_ms")?,
        last_used_unix_ms: columns.optional_number("last_used_ms")?,
        last_address: row.get("last_address")?,
    })
}
