//! Organisations and keys.

use rusqlite::{Row, params};
use wire::{KeyDigest, KeyId, OrgId, PriceMultiplier, Revision, TeamId, UserId};

use super::Rows;
use super::encoding::{Columns, integer, json, word};
use super::people::Seen;
use crate::store::{KeyRow, KeyRows, KeySearch, OrgRow, OrgRows, StoreResult};

impl OrgRows for Rows<'_> {
    fn org(&mut self, id: &OrgId) -> StoreResult<Option<OrgRow>> {
        self.one("SELECT * FROM orgs WHERE id = ?", [id.as_str()], org)
    }

    fn orgs(&mut self, after: Option<&str>, limit: u32) -> StoreResult<Vec<OrgRow>> {
        self.all(
            "SELECT * FROM orgs WHERE id > ? ORDER BY id LIMIT ?",
            params![after.unwrap_or(""), limit],
            org,
        )
    }

    fn save_org(&mut self, org: &OrgRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO orgs (id, name, models, price_multiplier, suspended_ms,
                 created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                org.id.as_str(),
                org.name,
                json(&org.models)?,
                integer(org.price_multiplier.ppm()),
                org.suspended_unix_ms.map(integer),
                integer(org.created_unix_ms),
                integer(org.updated_unix_ms)
            ],
        )?;
        self.execute(
            "INSERT OR IGNORE INTO org_price_multipliers (org, ppm) VALUES (?, ?)",
            params![org.id.as_str(), integer(org.price_multiplier.ppm())],
        )
    }

    fn had_multiplier(&mut self, id: &OrgId, multiplier: PriceMultiplier) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM org_price_multipliers WHERE org = ? AND ppm = ?",
            params![id.as_str(), integer(multiplier.ppm())],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn remove_org(&mut self, id: &OrgId) -> StoreResult<()> {
        for sql in [
            "DELETE FROM memberships WHERE org = ?",
            "DELETE FROM personal_tokens WHERE org = ?",
            "DELETE FROM users WHERE org = ?",
            "DELETE FROM teams WHERE org = ?",
            "DELETE FROM orgs WHERE id = ?",
        ] {
            self.execute(sql, params![id.as_str()])?;
        }
        Ok(())
    }
}

impl KeyRows for Rows<'_> {
    fn key(&mut self, id: &KeyId) -> StoreResult<Option<KeyRow>> {
        self.one("SELECT * FROM keys WHERE id = ?", [id.as_str()], key)
    }

    fn key_by_digest(&mut self, digest: &KeyDigest) -> StoreResult<Option<KeyRow>> {
        self.one(
            "SELECT keys.* FROM key_digests JOIN keys ON keys.id = key_digests.key
             WHERE digest = ? AND valid = 1",
            [digest.0],
            key,
        )
    }

    fn digests(&mut self, id: &KeyId, limit: u32) -> StoreResult<Vec<KeyDigest>> {
        self.all(
            "SELECT digest FROM key_digests WHERE key = ? ORDER BY position DESC LIMIT ?",
            params![id.as_str(), limit],
            |row| Columns(row).bytes("digest").map(KeyDigest),
        )
    }

    fn replace_digest(&mut self, id: &KeyId, digest: &KeyDigest) -> StoreResult<()> {
        self.execute("UPDATE key_digests SET valid = 0 WHERE key = ?", params![id.as_str()])?;
        self.execute(
            "INSERT INTO key_digests (digest, key, valid) VALUES (?, ?, 1)",
            params![digest.0, id.as_str()],
        )
    }

    fn save_key(&mut self, key: &KeyRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO keys (id, org, team, user, name, prefix, format, life, expires_ms, models,
                 limits, default_max_output_tokens, cut_calls, moved_revision,
                 created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET org = excluded.org, team = excluded.team,
                 user = excluded.user, name = excluded.name, prefix = excluded.prefix, format = excluded.format,
                 life = excluded.life, expires_ms = excluded.expires_ms,
                 models = excluded.models, limits = excluded.limits,
                 default_max_output_tokens = excluded.default_max_output_tokens,
                 cut_calls = excluded.cut_calls, moved_revision = excluded.moved_revision,
                 updated_ms = excluded.updated_ms",
            params![
                key.id.as_str(),
                key.org.as_str(),
                key.team.as_ref().map(TeamId::as_str),
                key.user.as_ref().map(UserId::as_str),
                key.name,
                key.prefix,
                key.format.as_str(),
                key.life.as_str(),
                key.expires_at_unix_ms.map(integer),
                key.models.as_ref().map(json).transpose()?,
                json(&key.limits)?,
                key.default_max_output_tokens.map(integer),
                word(&key.cut_calls)?,
                integer(key.moved_revision.0),
                integer(key.created_unix_ms),
                integer(key.updated_unix_ms)
            ],
        )
    }

    fn keys(&mut self, search: &KeySearch) -> StoreResult<Vec<(i64, KeyRow)>> {
        let pattern = search.text.as_deref().map(like_pattern);
        let (expired, now) =
            search.expired.map_or((None, None), |(expired, now)| (Some(expired), Some(now)));
        let seen = Seen::of(&search.sight)?;
        self.all(
            "SELECT * FROM keys
             WHERE (?1 IS NULL OR id LIKE ?1 ESCAPE '!' OR name LIKE ?1 ESCAPE '!'
                    OR prefix LIKE ?1 ESCAPE '!' OR org LIKE ?1 ESCAPE '!'
                    OR team LIKE ?1 ESCAPE '!' OR user LIKE ?1 ESCAPE '!')
               AND (?2 IS NULL OR org = ?2)
               AND CASE WHEN ?3 IS NULL THEN life <> 'deleted' ELSE life = ?3 END
               AND (?4 IS NULL OR (expires_ms IS NOT NULL AND expires_ms <= ?5) = ?4)
               AND (?6 IS NULL OR position < ?6)
               AND (?8 IS NULL OR org = ?8)
               AND (?9 IS NULL OR user = ?10 OR team IN (SELECT value FROM json_each(?9)))
             ORDER BY position DESC LIMIT ?7",
            params![
                pattern,
                search.org.as_ref().map(OrgId::as_str),
                search.life.map(|life| life.as_str()),
                expired,
                now.map(integer),
                search.before,
                search.limit,
                seen.org,
                seen.teams,
                seen.user
            ],
            |row| Ok((row.get("position")?, key(row)?)),
        )
    }
}

/// The text anywhere, with the characters that LIKE reads specially taken literally.
fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn org(row: &Row<'_>) -> rusqlite::Result<OrgRow> {
    let columns = Columns(row);
    Ok(OrgRow {
        id: columns.checked("id", OrgId::new)?,
        name: columns.text("name")?,
        models: columns.json("models")?,
        price_multiplier: columns.multiplier("price_multiplier")?,
        suspended_unix_ms: columns.optional_number("suspended_ms")?,
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}

pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let columns = Columns(row);
    Ok(KeyRow {
        id: columns.checked("id", KeyId::new)?,
        org: columns.checked("org", OrgId::new)?,
        team: columns.optional("team", TeamId::new)?,
        user: columns.optional("user", UserId::new)?,
        name: columns.text("name")?,
        prefix: columns.text("prefix")?,
        format: columns.format("format")?,
        life: columns.life("life")?,
        expires_at_unix_ms: columns.optional_number("expires_ms")?,
        models: columns.optional_json("models")?,
        limits: columns.json("limits")?,
        default_max_output_tokens: columns.optional_number("default_max_output_tokens")?,
        cut_calls: columns.word("cut_calls")?,
        moved_revision: Revision(columns.number("moved_revision")?),
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}
