//! Webhooks, what they are told, and what was told already.

use rusqlite::{Row, params};
use wire::OrgId;

use super::Rows;
use super::encoding::{Columns, integer, json, word};
use crate::store::{
    AccountId, DeliveryRow, DeliverySearch, DeliveryStatus, StoreResult, WebhookRow, WebhookRows,
};

impl WebhookRows for Rows<'_> {
    fn webhook(&mut self, org: &OrgId, id: &str) -> StoreResult<Option<WebhookRow>> {
        let values = params![org.as_str(), id];
        self.one("SELECT * FROM webhooks WHERE org = ? AND id = ?", values, webhook)
    }

    fn webhooks(&mut self, org: &OrgId, limit: u32) -> StoreResult<Vec<WebhookRow>> {
        let values = params![org.as_str(), limit];
        self.all("SELECT * FROM webhooks WHERE org = ? ORDER BY id LIMIT ?", values, webhook)
    }

    fn save_webhook(&mut self, webhook: &WebhookRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO webhooks (org, id, url, events, enabled, generation,
                 secret_mark, created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                webhook.org.as_str(),
                webhook.id,
                webhook.url,
                json(&webhook.events)?,
                webhook.enabled,
                integer(webhook.generation),
                webhook.secret_mark,
                integer(webhook.created_unix_ms),
                integer(webhook.updated_unix_ms)
            ],
        )
    }

    fn remove_webhook(&mut self, org: &OrgId, id: &str) -> StoreResult<()> {
        let values = params![org.as_str(), id];
        self.execute("DELETE FROM webhook_deliveries WHERE org = ? AND webhook = ?", values)?;
        self.execute("DELETE FROM webhooks WHERE org = ? AND id = ?", values)
    }

    fn delivery(&mut self, id: &str) -> StoreResult<Option<DeliveryRow>> {
        self.one("SELECT * FROM webhook_deliveries WHERE id = ?", [id], delivery)
    }

    fn deliveries(&mut self, search: &DeliverySearch) -> StoreResult<Vec<(i64, DeliveryRow)>> {
        self.all(
            "SELECT * FROM webhook_deliveries
             WHERE org = ?1 AND webhook = ?2 AND (?3 IS NULL OR status = ?3)
                 AND (?4 IS NULL OR position < ?4)
             ORDER BY position DESC LIMIT ?5",
            params![
                search.org.as_str(),
                search.webhook,
                search.status.map(DeliveryStatus::as_str),
                search.before,
                search.limit
            ],
            |row| Ok((row.get("position")?, delivery(row)?)),
        )
    }

    fn add_delivery(&mut self, delivery: &DeliveryRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR IGNORE INTO webhook_deliveries (id, org, webhook, event, body, status,
                 attempts, created_ms, begun_ms, due_ms, ended_ms, last_status, last_error)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                delivery.id,
                delivery.org.as_str(),
                delivery.webhook,
                delivery.event,
                delivery.body,
                delivery.status.as_str(),
                delivery.attempts,
                integer(delivery.created_unix_ms),
                integer(delivery.begun_unix_ms),
                integer(delivery.due_unix_ms),
                delivery.ended_unix_ms.map(integer),
                delivery.last_status,
                delivery.last_error
            ],
        )
    }

    fn save_delivery(&mut self, delivery: &DeliveryRow) -> StoreResult<()> {
        self.execute(
            "UPDATE webhook_deliveries SET status = ?, attempts = ?, begun_ms = ?, due_ms = ?,
                 ended_ms = ?, last_status = ?, last_error = ?
             WHERE id = ?",
            params![
                delivery.status.as_str(),
                delivery.attempts,
                integer(delivery.begun_unix_ms),
                integer(delivery.due_unix_ms),
                delivery.ended_unix_ms.map(integer),
                delivery.last_status,
                delivery.last_error,
                delivery.id
            ],
        )
    }

    fn pending_deliveries(&mut self, org: &OrgId, most: u32) -> StoreResult<u64> {
        let count = self.one(
            "SELECT count(*) AS count FROM (
                 SELECT 1 FROM webhook_deliveries WHERE status = 'pending' AND org = ? LIMIT ?)",
            params![org.as_str(), most],
            |row| Columns(row).number("count"),
        )?;
        Ok(count.unwrap_or(0))
    }

    fn all_pending_deliveries(&mut self) -> StoreResult<u64> {
        let count = self.one(
            "SELECT count(*) AS count FROM webhook_deliveries WHERE status = 'pending'",
            [],
            |row| Columns(row).number("count"),
        )?;
        Ok(count.unwrap_or(0))
    }

    fn due_deliveries(&mut self, unix_ms: u64, limit: u32) -> StoreResult<Vec<DeliveryRow>> {
        self.all(
            // With min() the other columns are those of the row that has the least.
            "SELECT *, min(due_ms) AS longest FROM webhook_deliveries
             WHERE status = 'pending' AND due_ms <= ?
             GROUP BY org, webhook ORDER BY longest LIMIT ?",
            params![integer(unix_ms), limit],
            delivery,
        )
    }

    fn forget_deliveries(&mut self, org: &OrgId, keep: u32, limit: u32) -> StoreResult<()> {
        self.execute(
            "DELETE FROM webhook_deliveries WHERE position IN (
                 SELECT position FROM webhook_deliveries WHERE org = ?1 AND position <= (
                     SELECT position FROM webhook_deliveries WHERE org = ?1
                     ORDER BY position DESC LIMIT 1 OFFSET ?2)
                     AND status <> 'pending'
                 ORDER BY position LIMIT ?3)",
            params![org.as_str(), keep, limit],
        )
    }

    fn told(&mut self, account: &AccountId) -> StoreResult<u8> {
        let told = self.one(
            "SELECT told FROM account_alerts
             WHERE level = ? AND owner = ? AND period = ? AND start_ms = ?",
            params![
                word(&account.budget.level)?,
                account.budget.owner,
                account.schedule.to_string(),
                integer(account.start_unix_ms)
            ],
            |row| row.get("told"),
        )?;
        Ok(told.unwrap_or(0))
    }

    fn save_told(&mut self, account: &AccountId, told: u8) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO account_alerts (level, owner, period, start_ms, told)
             VALUES (?, ?, ?, ?, ?)",
            params![
                word(&account.budget.level)?,
                account.budget.owner,
                account.schedule.to_string(),
                integer(account.start_unix_ms),
                told
            ],
        )
    }
}

fn webhook(row: &Row<'_>) -> rusqlite::Result<WebhookRow> {
    let columns = Columns(row);
    Ok(WebhookRow {
        org: columns.checked("org", OrgId::new)?,
        id: columns.text("id")?,
        url: columns.text("url")?,
        events: columns.json("events")?,
        enabled: columns.flag("enabled")?,
        generation: columns.number("generation")?,
        secret_mark: row.get("secret_mark")?,
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let columns = Columns(row);
    Ok(DeliveryRow {
        id: columns.text("id")?,
        org: columns.checked("org", OrgId::new)?,
        webhook: columns.text("webhook")?,
        event: columns.text("event")?,
        body: columns.text("body")?,
        status: columns.checked("status", |text| {
            DeliveryStatus::parse(&text).ok_or("no such status of a delivery")
        })?,
        attempts: row.get("attempts")?,
        created_unix_ms: columns.number("created_ms")?,
        begun_unix_ms: columns.number("begun_ms")?,
        due_unix_ms: columns.number("due_ms")?,
        ended_unix_ms: columns.optional_number("ended_ms")?,
        last_status: row.get("last_status")?,
        last_error: row.get("last_error")?,
    })
}
