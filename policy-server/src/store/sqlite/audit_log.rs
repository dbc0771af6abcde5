//! The audit.

use rusqlite::{Row, params};
use wire::OrgId;

use super::Rows;
use super::encoding::{Columns, integer, money};
use crate::store::{AuditRow, AuditRows, AuditSearch, Outcome, StoreResult};

/// What every search of the audit ends with; values 1 to 9.
const MATCHING: &str = "(?1 IS NULL OR actor = ?1) AND (?2 IS NULL OR action = ?2)
    AND (?3 IS NULL OR target = ?3) AND (?4 IS NULL OR org = ?4)
    AND (?5 IS NULL OR outcome = ?5) AND (?6 IS NULL OR at_ms >= ?6)
    AND (?7 IS NULL OR at_ms < ?7) AND (?8 IS NULL OR position < ?8)
    ORDER BY position DESC LIMIT ?9";

impl AuditRows for Rows<'_> {
    fn add_audit(&mut self, line: &AuditRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO audit (at_ms, actor, action, kind, target, org, amount, before, after,
                 address, outcome, code, token)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                integer(line.at_unix_ms),
                line.actor,
                line.action,
                line.kind,
                line.target,
                line.org.as_ref().map(OrgId::as_str),
                line.amount.map(money),
                line.before,
                line.after,
                line.address,
                line.outcome.as_str(),
                line.code,
                line.token
            ],
        )
    }

    fn audit(&mut self, search: &AuditSearch) -> StoreResult<Vec<(i64, AuditRow)>> {
        // A plan depends on no value, so the index to search by is named: the narrowest one first.
        let by = if search.target.is_some() {
            "audit_by_target WHERE target = ?3 AND"
        } else if search.actor.is_some() {
            "audit_by_actor WHERE actor = ?1 AND"
        } else if search.org.is_some() {
            "audit_by_org WHERE org = ?4 AND"
        } else {
            ""
        };
        let from = match by {
            "" => "audit WHERE".to_owned(),
            by => format!("audit INDEXED BY {by}"),
        };
        self.all(
            &format!("SELECT * FROM {from} {MATCHING}"),
            params![
                search.actor,
                search.action,
                search.target,
                search.org.as_ref().map(OrgId::as_str),
                search.outcome.map(Outcome::as_str),
                search.since_unix_ms.map(integer),
                search.until_unix_ms.map(integer),
                search.before,
                search.limit
            ],
            |row| Ok((row.get("position")?, line(row)?)),
        )
    }

    fn has_audit_before(&mut self, unix_ms: u64) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM audit WHERE at_ms < ? LIMIT 1",
            [integer(unix_ms)],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn forget_audit(&mut self, unix_ms: u64, limit: u32) -> StoreResult<usize> {
        self.change(
            "DELETE FROM audit WHERE position IN (
                 SELECT position FROM audit WHERE at_ms < ? ORDER BY at_ms, position LIMIT ?)",
            params![integer(unix_ms), limit],
        )
    }
}

fn line(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let columns = Columns(row);
    Ok(AuditRow {
        at_unix_ms: columns.number("at_ms")?,
        actor: columns.text("actor")?,
        action: columns.text("action")?,
        kind: columns.text("kind")?,
        target: columns.text("target")?,
        org: columns.optional("org", OrgId::new)?,
        amount: columns.optional_number("amount")?.map(wire::NanoUsd),
        before: row.get("before")?,
        after: row.get("after")?,
        address: row.get("address")?,
        outcome: columns.outcome("outcome")?,
        code: row.get("code")?,
        token: row.get("token")?,
    })
}
