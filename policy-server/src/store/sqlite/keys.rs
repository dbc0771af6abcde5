//! Keys: each with everything by which it is found and counted.

use rusqlite::{Row, params};
use wire::{KeyId, NanoUsd, OrgId, Revision, TeamId, UserId};

use super::encoding::{Columns, integer, json, money, word};
use super::{Rows, key_grams, key_search};
use crate::store::{KeyCursor, KeyRow, KeyRows, KeySearch, KeyStatus, KeyUsage, StoreResult};

/// In [`KeyRows::key_counts`]'s table, the row of all organisations together: no id is empty.
const ALL_ORGS: &str = "";

/// What is known of a key before it is saved.
struct Before {
    position: i64,
    status: KeyStatus,
    key: KeyRow,
}

impl KeyRows for Rows<'_> {
    fn key(&mut self, id: &KeyId) -> StoreResult<Option<KeyRow>> {
        self.one("SELECT * FROM keys WHERE id = ?", [id.as_str()], key)
    }

    fn save_key(&mut self, key: &KeyRow, status: KeyStatus) -> StoreResult<()> {
        let before = self.before(&key.id)?;
        let position = match &before {
            None => self.insert(key, status)?,
            Some(before) if is_only_a_change_of_state(&before.key, key) => {
                self.execute(
                    "UPDATE keys SET life = ?, status = ?, updated_ms = ?, version = ?
                     WHERE position = ?",
                    params![
                        key.life.as_str(),
                        status.as_str(),
                        integer(key.updated_unix_ms),
                        integer(key.version),
                        before.position
                    ],
                )?;
                before.position
            }
            Some(before) => {
                self.update(before.position, key, status)?;
                before.position
            }
        };
        self.index(position, before.as_ref().map(|before| &before.key), key)?;
        self.count(&key.org, before.as_ref().map(|before| before.status), status)
    }

    fn save_usage(&mut self, id: &KeyId, usage: &KeyUsage) -> StoreResult<()> {
        self.execute(
            "UPDATE keys SET requests = ?, input_tokens = ?, output_tokens = ?, spent = ?,
                 last_used_ms = ?, last_address = ? WHERE id = ?",
            params![
                integer(usage.requests),
                integer(usage.input_tokens),
                integer(usage.output_tokens),
                money(usage.spent),
                integer(usage.last_used_unix_ms),
                usage.last_address.map(|address| address.to_string()),
                id.as_str()
            ],
        )
    }

    fn keys(&mut self, search: &KeySearch) -> StoreResult<Vec<(KeyCursor, KeyRow)>> {
        key_search::run(self, search)
    }

    fn key_counts(
        &mut self,
        org: Option<&OrgId>,
        now_unix_ms: u64,
    ) -> StoreResult<Vec<(KeyStatus, u64)>> {
        let owner = org.map_or(ALL_ORGS, OrgId::as_str);
        let mut counts = Vec::with_capacity(KeyStatus::ALL.len());
        for status in KeyStatus::ALL {
            counts.push((status, self.counted(owner, status)?));
        }
        let newly = self.one(
            key_search::COUNT_NEWLY_EXPIRED,
            params![integer(now_unix_ms), org.map(OrgId::as_str)],
            |row| Columns(row).number("count"),
        )?;
        let newly = newly.unwrap_or_default();
        for (status, count) in &mut counts {
            match status {
                KeyStatus::Active => *count = count.saturating_sub(newly),
                KeyStatus::Expired => *count = count.saturating_add(newly),
                KeyStatus::Disabled | KeyStatus::Revoked | KeyStatus::Deleted => {}
            }
        }
        Ok(counts)
    }

    fn key_counts_of(
        &mut self,
        org: &OrgId,
        teams: &[TeamId],
        user: Option<&UserId>,
        now_unix_ms: u64,
    ) -> StoreResult<Vec<(KeyStatus, u64)>> {
        let found = self.all(
            key_search::COUNT_OF_MEMBER,
            params![org.as_str(), json(&teams)?, user.map(UserId::as_str), integer(now_unix_ms)],
            |row| Ok((row.get::<_, String>("now_status")?, Columns(row).number("count")?)),
        )?;
        let count = |status: KeyStatus| {
            let of_status = found.iter().find(|(word, _)| word == status.as_str());
            (status, of_status.map_or(0, |(_, count)| *count))
        };
        Ok(KeyStatus::ALL.into_iter().map(count).collect())
    }

    fn newly_expired(&mut self, now_unix_ms: u64, limit: u32) -> StoreResult<Vec<KeyRow>> {
        self.all(key_search::NEWLY_EXPIRED, params![integer(now_unix_ms), limit], key)
    }
}

impl Rows<'_> {
    fn before(&self, id: &KeyId) -> StoreResult<Option<Before>> {
        self.one("SELECT * FROM keys WHERE id = ?", [id.as_str()], |row| {
            let status = Columns(row).status("status")?;
            Ok(Before { position: row.get("position")?, status, key: key(row)? })
        })
    }

    fn insert(&self, key: &KeyRow, status: KeyStatus) -> StoreResult<i64> {
        self.execute(
            "INSERT INTO keys (id, org, team, user, name, description, notes, tags, kind, prefix,
                 format, life, status, expires_ms, models, limits, max_call, allowed_ips,
                 default_max_output_tokens, cut_calls, moved_revision, created_ms, updated_ms,
                 version, shadow)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                key.id.as_str(),
                key.org.as_str(),
                key.team.as_ref().map(TeamId::as_str),
                key.user.as_ref().map(UserId::as_str),
                key.name,
                key.description,
                key.notes,
                json(&key.tags)?,
                word(&key.kind)?,
                key.prefix,
                key.format.as_str(),
                key.life.as_str(),
                status.as_str(),
                key.expires_at_unix_ms.map(integer),
                key.models.as_ref().map(json).transpose()?,
                json(&key.limits)?,
                key.max_call.map(money),
                key.allowed_ips.as_ref().map(json).transpose()?,
                key.default_max_output_tokens.map(integer),
                word(&key.cut_calls)?,
                integer(key.moved_revision.0),
                integer(key.created_unix_ms),
                integer(key.updated_unix_ms),
                integer(key.version),
                key.shadow
            ],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    /// What never changes, as the organisation, is left out: its indexes are not touched then.
    fn update(&self, position: i64, key: &KeyRow, status: KeyStatus) -> StoreResult<()> {
        self.execute(
            "UPDATE keys SET team = ?, user = ?, name = ?, description = ?, notes = ?, tags = ?,
                 prefix = ?, life = ?, status = ?, expires_ms = ?, models = ?, limits = ?,
                 max_call = ?, allowed_ips = ?, default_max_output_tokens = ?, cut_calls = ?,
                 moved_revision = ?, updated_ms = ?, version = ?, shadow = ?
             WHERE position = ?",
            params![
                key.team.as_ref().map(TeamId::as_str),
                key.user.as_ref().map(UserId::as_str),
                key.name,
                key.description,
                key.notes,
                json(&key.tags)?,
                key.prefix,
                key.life.as_str(),
                status.as_str(),
                key.expires_at_unix_ms.map(integer),
                key.models.as_ref().map(json).transpose()?,
                json(&key.limits)?,
                key.max_call.map(money),
                key.allowed_ips.as_ref().map(json).transpose()?,
                key.default_max_output_tokens.map(integer),
                word(&key.cut_calls)?,
                integer(key.moved_revision.0),
                integer(key.updated_unix_ms),
                integer(key.version),
                key.shadow,
                position
            ],
        )
    }

    /// Brings what the key is searched by and its tags up to date.
    fn index(&self, position: i64, before: Option<&KeyRow>, key: &KeyRow) -> StoreResult<()> {
        let tags_before = before.map(|before| before.tags.as_slice()).unwrap_or_default();
        for tag in tags_before.iter().filter(|tag| !key.tags.contains(tag)) {
            self.execute(
                "DELETE FROM key_tags WHERE tag = ? AND org = ? AND position = ?",
                params![tag, key.org.as_str(), position],
            )?;
        }
        for tag in key.tags.iter().filter(|tag| !tags_before.contains(tag)) {
            self.execute(
                "INSERT INTO key_tags (tag, org, position) VALUES (?, ?, ?)",
                params![tag, key.org.as_str(), position],
            )?;
        }
        if before.is_some_and(|before| is_searched_by_the_same(before, key)) {
            return Ok(());
        }
        if before.is_some() {
            self.execute("DELETE FROM key_texts WHERE rowid = ?", params![position])?;
        }
        self.execute(
            "INSERT INTO key_texts (rowid, grams) VALUES (?, ?)",
            params![position, key_grams::of_key(key)],
        )
    }

    fn count(&self, org: &OrgId, before: Option<KeyStatus>, status: KeyStatus) -> StoreResult<()> {
        if before == Some(status) {
            return Ok(());
        }
        for owner in [ALL_ORGS, org.as_str()] {
            if let Some(before) = before {
                let count = self.counted(owner, before)?;
                self.save_count(owner, before, count.saturating_sub(1))?;
            }
            let count = self.counted(owner, status)?;
            self.save_count(owner, status, count.saturating_add(1))?;
        }
        Ok(())
    }

    fn counted(&self, owner: &str, status: KeyStatus) -> StoreResult<u64> {
        let count = self.one(
            "SELECT count FROM key_counts WHERE org = ? AND status = ?",
            [owner, status.as_str()],
            |row| Columns(row).number("count"),
        )?;
        Ok(count.unwrap_or_default())
    }

    fn save_count(&self, owner: &str, status: KeyStatus, count: u64) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO key_counts (org, status, count) VALUES (?, ?, ?)",
            params![owner, status.as_str(), integer(count)],
        )
    }
}

/// Everything else is as it was, so that none of it has to be written.
fn is_only_a_change_of_state(before: &KeyRow, key: &KeyRow) -> bool {
    let with_its_state = KeyRow {
        life: key.life,
        updated_unix_ms: key.updated_unix_ms,
        version: key.version,
        usage: key.usage,
        ..before.clone()
    };
    with_its_state == *key
}

/// The organisation and the id never change.
fn is_searched_by_the_same(before: &KeyRow, key: &KeyRow) -> bool {
    let texts = |key: &'_ KeyRow| {
        (key.name.clone(), key.description.clone(), key.prefix.clone(), key.tags.clone())
    };
    (&before.team, &before.user) == (&key.team, &key.user) && texts(before) == texts(key)
}

pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let columns = Columns(row);
    Ok(KeyRow {
        id: columns.checked("id", KeyId::new)?,
        org: columns.checked("org", OrgId::new)?,
        team: columns.optional("team", TeamId::new)?,
        user: columns.optional("user", UserId::new)?,
        name: columns.text("name")?,
        description: columns.text("description")?,
        notes: columns.text("notes")?,
        tags: columns.json("tags")?,
        kind: columns.word("kind")?,
        prefix: columns.text("prefix")?,
        format: columns.format("format")?,
        life: columns.life("life")?,
        expires_at_unix_ms: columns.optional_number("expires_ms")?,
        models: columns.optional_json("models")?,
        limits: columns.json("limits")?,
        max_call: columns.optional_number("max_call")?.map(NanoUsd),
        allowed_ips: columns.optional_json("allowed_ips")?,
        default_max_output_tokens: columns.optional_number("default_max_output_tokens")?,
        cut_calls: columns.word("cut_calls")?,
        shadow: columns.flag("shadow")?,
        moved_revision: Revision(columns.number("moved_revision")?),
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
        version: columns.number("version")?,
        usage: KeyUsage {
            requests: columns.number("requests")?,
            input_tokens: columns.number("input_tokens")?,
            output_tokens: columns.number("output_tokens")?,
            spent: columns.money("spent")?,
            last_used_unix_ms: columns.number("last_used_ms")?,
            last_address: columns.optional("last_address", |text| text.parse())?,
        },
    })
}
