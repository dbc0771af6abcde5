//! Teams, users and their places in teams.

use rusqlite::{Row, params};
use wire::{OrgId, TeamId, UserId};

use super::Rows;
use super::encoding::{Columns, integer, json};
use super::keys::key;
use crate::store::{
    KeyRow, MembershipRow, Service, StoreResult, TeamRow, TeamRows, UserRow, UserRows, UserSearch,
};

impl TeamRows for Rows<'_> {
    fn team(&mut self, org: &OrgId, id: &TeamId) -> StoreResult<Option<TeamRow>> {
        let values = params![org.as_str(), id.as_str()];
        self.one("SELECT * FROM teams WHERE org = ? AND id = ?", values, team)
    }

    fn teams(
        &mut self,
        org: &OrgId,
        only: Option<&[TeamId]>,
        after: Option<&str>,
        limit: u32,
    ) -> StoreResult<Vec<TeamRow>> {
        self.all(
            "SELECT * FROM teams
             WHERE org = ? AND id > ? AND (?3 IS NULL OR id IN (SELECT value FROM json_each(?3)))
             ORDER BY id LIMIT ?",
            params![
                org.as_str(),
                after.unwrap_or(""),
                only.map(|only| json(&only)).transpose()?,
                limit
            ],
            team,
        )
    }

    fn save_team(&mut self, team: &TeamRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO teams (org, id, name, limits, self_service, suspended_ms,
                 created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                team.org.as_str(),
                team.id.as_str(),
                team.name,
                json(&team.limits)?,
                json(&team.self_service)?,
                team.suspended_unix_ms.map(integer),
                integer(team.created_unix_ms),
                integer(team.updated_unix_ms)
            ],
        )
    }

    fn team_count(&mut self, org: &OrgId) -> StoreResult<u64> {
        let sql = "SELECT count(*) AS count FROM teams WHERE org = ?";
        let count = self.one(sql, [org.as_str()], |row| Columns(row).number("count"))?;
        Ok(count.unwrap_or(0))
    }

    fn remove_team(&mut self, org: &OrgId, id: &TeamId) -> StoreResult<()> {
        let values = params![org.as_str(), id.as_str()];
        self.execute("DELETE FROM memberships WHERE org = ? AND team = ?", values)?;
        self.execute("DELETE FROM teams WHERE org = ? AND id = ?", values)
    }
}

impl UserRows for Rows<'_> {
    fn user(&mut self, org: &OrgId, id: &UserId) -> StoreResult<Option<UserRow>> {
        let values = params![org.as_str(), id.as_str()];
        self.one("SELECT * FROM users WHERE org = ? AND id = ?", values, user)
    }

    fn users(&mut self, search: &UserSearch) -> StoreResult<Vec<UserRow>> {
        let (is_service, teams) = match &search.service {
            None => (None, None),
            Some(Service::No) => (Some(false), None),
            Some(Service::Yes) => (Some(true), None),
            Some(Service::Of(teams)) => (Some(true), Some(json(teams)?)),
        };
        self.all(
            "SELECT * FROM users
             WHERE org = ?1 AND id > ?2 AND (?3 IS NULL OR id = ?3)
               AND (?4 IS NULL OR (service_team IS NOT NULL) = ?4)
               AND (?5 IS NULL OR service_team IN (SELECT value FROM json_each(?5)))
             ORDER BY id LIMIT ?6",
            params![
                search.org.as_str(),
                search.after.as_deref().unwrap_or(""),
                search.only.as_ref().map(UserId::as_str),
                is_service,
                teams,
                search.limit
            ],
            user,
        )
    }

    fn save_user(&mut self, user: &UserRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO users (org, id, name, role, limits, service_team,
                 suspended_ms, created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                user.org.as_str(),
                user.id.as_str(),
                user.name,
                user.role.as_str(),
                json(&user.limits)?,
                user.service_team.as_ref().map(TeamId::as_str),
                user.suspended_unix_ms.map(integer),
                integer(user.created_unix_ms),
                integer(user.updated_unix_ms)
            ],
        )
    }

    fn remove_user(&mut self, org: &OrgId, id: &UserId) -> StoreResult<()> {
        let values = params![org.as_str(), id.as_str()];
        self.execute("DELETE FROM memberships WHERE org = ? AND user = ?", values)?;
        self.execute("DELETE FROM users WHERE org = ? AND id = ?", values)
    }

    fn membership(
        &mut self,
        org: &OrgId,
        team: &TeamId,
        user: &UserId,
    ) -> StoreResult<Option<MembershipRow>> {
        self.one(
            "SELECT * FROM memberships WHERE org = ? AND team = ? AND user = ?",
            params![org.as_str(), team.as_str(), user.as_str()],
            membership,
        )
    }

    fn memberships_of(
        &mut self,
        org: &OrgId,
        user: &UserId,
        limit: u32,
    ) -> StoreResult<Vec<MembershipRow>> {
        self.all(
            "SELECT * FROM memberships WHERE org = ? AND user = ? ORDER BY team LIMIT ?",
            params![org.as_str(), user.as_str(), limit],
            membership,
        )
    }

    fn members(
        &mut self,
        org: &OrgId,
        team: &TeamId,
        after: Option<&str>,
        limit: u32,
    ) -> StoreResult<Vec<MembershipRow>> {
        self.all(
            "SELECT * FROM memberships WHERE org = ? AND team = ? AND user > ?
             ORDER BY user LIMIT ?",
            params![org.as_str(), team.as_str(), after.unwrap_or(""), limit],
            membership,
        )
    }

    fn save_membership(&mut self, membership: &MembershipRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO memberships (org, team, user, role, created_ms)
             VALUES (?, ?, ?, ?, ?)",
            params![
                membership.org.as_str(),
                membership.team.as_str(),
                membership.user.as_str(),
                membership.role.as_str(),
                integer(membership.created_unix_ms)
            ],
        )
    }

    fn remove_membership(&mut self, org: &OrgId, team: &TeamId, user: &UserId) -> StoreResult<()> {
        self.execute(
            "DELETE FROM memberships WHERE org = ? AND team = ? AND user = ?",
            params![org.as_str(), team.as_str(), user.as_str()],
        )
    }

    fn keys_of_user(
        &mut self,
        org: &OrgId,
        user: &UserId,
        team: Option<&TeamId>,
        limit: u32,
    ) -> StoreResult<Vec<KeyRow>> {
        self.all(
            &format!("SELECT * FROM {} LIMIT ?4", alive_of_user(team)),
            params![org.as_str(), user.as_str(), team.map(TeamId::as_str), limit],
            key,
        )
    }

    fn count_of_user(
        &mut self,
        org: &OrgId,
        user: &UserId,
        team: Option<&TeamId>,
    ) -> StoreResult<u64> {
        let sql = format!("SELECT count(*) AS count FROM {}", alive_of_user(team));
        let values = params![org.as_str(), user.as_str(), team.map(TeamId::as_str)];
        Ok(self.one(&sql, values, |row| Columns(row).number("count"))?.unwrap_or(0))
    }

    fn team_is_used(&mut self, org: &OrgId, team: &TeamId) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM keys WHERE org = ?1 AND team = ?2
                                        AND life IN ('active', 'disabled'))
                OR EXISTS (SELECT 1 FROM users WHERE org = ?1 AND service_team = ?2)",
            params![org.as_str(), team.as_str()],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }
}

/// Where keys of a user that have not ended are found; values 1 to 3 are organisation, user and team.
fn alive_of_user(team: Option<&TeamId>) -> &'static str {
    match team {
        Some(_) => {
            "keys INDEXED BY keys_alive_of_user
             WHERE user IS NOT NULL AND life IN ('active', 'disabled')
               AND user = ?2 AND org = ?1 AND team = ?3"
        }
        None => {
            "keys INDEXED BY keys_alive_of_user
             WHERE user IS NOT NULL AND life IN ('active', 'disabled')
               AND user = ?2 AND org = ?1 AND ?3 IS NULL"
        }
    }
}

fn team(row: &Row<'_>) -> rusqlite::Result<TeamRow> {
    let columns = Columns(row);
    Ok(TeamRow {
        org: columns.checked("org", OrgId::new)?,
        id: columns.checked("id", TeamId::new)?,
        name: columns.text("name")?,
        limits: columns.json("limits")?,
        self_service: columns.json("self_service")?,
        suspended_unix_ms: columns.optional_number("suspended_ms")?,
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}

fn user(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    let columns = Columns(row);
    Ok(UserRow {
        org: columns.checked("org", OrgId::new)?,
        id: columns.checked("id", UserId::new)?,
        name: columns.text("name")?,
        role: columns.role("role")?,
        limits: columns.json("limits")?,
        service_team: columns.optional("service_team", TeamId::new)?,
        suspended_unix_ms: columns.optional_number("suspended_ms")?,
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}

fn membership(row: &Row<'_>) -> rusqlite::Result<MembershipRow> {
    let columns = Columns(row);
    Ok(MembershipRow {
        org: columns.checked("org", OrgId::new)?,
        team: columns.checked("team", TeamId::new)?,
        user: columns.checked("user", UserId::new)?,
        role: columns.role("role")?,
        created_unix_ms: columns.number("created_ms")?,
    })
}
