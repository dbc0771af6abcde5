//! Owners whose keys are being ended.

use rusqlite::params;
use wire::{OrgId, TeamId, UserId};

use super::Rows;
use super::encoding::Columns;
use crate::store::{RemovalRow, RemovalRows, StoreResult};

impl RemovalRows for Rows<'_> {
    fn add_removal(&mut self, removal: &RemovalRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO removals (org, user, team, author, address, token)
             VALUES (?, ?, ?, ?, ?, ?)",
            params![
                removal.org.as_str(),
                removal.user.as_str(),
                removal.team.as_ref().map(TeamId::as_str),
                removal.author,
                removal.address,
                removal.token
            ],
        )
    }

    fn oldest_removal(&mut self) -> StoreResult<Option<(i64, RemovalRow)>> {
        self.one("SELECT * FROM removals ORDER BY position LIMIT 1", [], |row| {
            let columns = Columns(row);
            let removal = RemovalRow {
                org: columns.checked("org", OrgId::new)?,
                user: columns.checked("user", UserId::new)?,
                team: columns.optional("team", TeamId::new)?,
                author: columns.text("author")?,
                address: row.get("address")?,
                token: row.get("token")?,
            };
            Ok((row.get("position")?, removal))
        })
    }

    fn is_removed(
        &mut self,
        org: &OrgId,
        user: &UserId,
        team: Option<&TeamId>,
    ) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM removals WHERE org = ? AND user = ? AND (team IS NULL OR team = ?)
             LIMIT 1",
            params![org.as_str(), user.as_str(), team.map(TeamId::as_str)],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn forget_removal(&mut self, position: i64) -> StoreResult<()> {
        self.execute("DELETE FROM removals WHERE position = ?", params![position])
    }
}
