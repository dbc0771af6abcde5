//! The audit.

use rusqlite::params;

use super::Rows;
use super::encoding::{integer, money};
use crate::store::{AuditRow, AuditRows, StoreResult};

impl AuditRows for Rows<'_> {
    fn add_audit(&mut self, line: &AuditRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO audit (at_ms, actor, action, target, amount) VALUES (?, ?, ?, ?, ?)",
            params![
                integer(line.at_unix_ms),
                line.actor,
                line.action,
                line.target,
                line.amount.map(money)
            ],
        )
    }
}
