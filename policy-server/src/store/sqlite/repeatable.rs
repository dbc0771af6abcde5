//! Requests that are known again when they are repeated.

use rusqlite::params;
use wire::KeyDigest;

use super::Rows;
use super::encoding::{Columns, integer};
use crate::store::{RepeatableRow, RepeatableRows, StoreResult};

impl RepeatableRows for Rows<'_> {
    fn repeatable(&mut self, idempotency: &KeyDigest) -> StoreResult<Option<RepeatableRow>> {
        let sql = "SELECT * FROM repeatable_requests WHERE idempotency = ?";
        self.one(sql, [idempotency.0], |row| {
            let columns = Columns(row);
            Ok(RepeatableRow {
                idempotency: KeyDigest(columns.bytes("idempotency")?),
                request: KeyDigest(columns.bytes("request")?),
                answer: row.get("answer")?,
                at_unix_ms: columns.number("at_ms")?,
            })
        })
    }

    fn save_repeatable(&mut self, row: &RepeatableRow) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO repeatable_requests (idempotency, request, answer, at_ms)
             VALUES (?, ?, ?, ?)",
            params![row.idempotency.0, row.request.0, row.answer, integer(row.at_unix_ms)],
        )
    }

    fn save_answer(&mut self, idempotency: &KeyDigest, answer: &str) -> StoreResult<()> {
        let sql = "UPDATE repeatable_requests SET answer = ? WHERE idempotency = ?";
        self.change(sql, params![answer, idempotency.0])?;
        Ok(())
    }

    fn has_repeatables_before(&mut self, unix_ms: u64) -> StoreResult<bool> {
        let sql = "SELECT 1 FROM repeatable_requests WHERE at_ms < ? LIMIT 1";
        Ok(self.one(sql, params![integer(unix_ms)], |_| Ok(()))?.is_some())
    }

    fn forget_repeatables(&mut self, before_unix_ms: u64, limit: u32) -> StoreResult<u64> {
        let forgotten = self.change(
            "DELETE FROM repeatable_requests WHERE idempotency IN (
                 SELECT idempotency FROM repeatable_requests
                 WHERE at_ms < ? ORDER BY at_ms LIMIT ?)",
            params![integer(before_unix_ms), limit],
        )?;
        Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
    }
}
