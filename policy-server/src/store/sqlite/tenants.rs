//! Organisations.

use rusqlite::{Row, params};
use wire::{OrgId, PriceMultiplier};

use super::Rows;
use super::encoding::{Columns, integer, json};
use crate::store::{OrgRow, OrgRows, StoreResult};

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
            "INSERT OR REPLACE INTO orgs (id, name, models, limits, price_multiplier, suspended_ms,
                 created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                org.id.as_str(),
                org.name,
                json(&org.models)?,
                json(&org.limits)?,
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
            "DELETE FROM webhook_deliveries WHERE org = ?",
            "DELETE FROM webhooks WHERE org = ?",
            "DELETE FROM orgs WHERE id = ?",
        ] {
            self.execute(sql, params![id.as_str()])?;
        }
        Ok(())
    }
}

fn org(row: &Row<'_>) -> rusqlite::Result<OrgRow> {
    let columns = Columns(row);
    Ok(OrgRow {
        id: columns.checked("id", OrgId::new)?,
        name: columns.text("name")?,
        models: columns.json("models")?,
        limits: columns.json("limits")?,
        price_multiplier: columns.multiplier("price_multiplier")?,
        suspended_unix_ms: columns.optional_number("suspended_ms")?,
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}
