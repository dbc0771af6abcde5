//! The request log.

use rusqlite::{Row, params};
use wire::v1::CallRecord;
use wire::{HolderId, ModelName, OrgId};

use super::Rows;
use super::encoding::{Columns, integer, json, money};
use super::people::Seen;
use crate::store::{RecordRow, RecordRows, RecordSearch, StoreResult};

impl RecordRows for Rows<'_> {
    fn has_record(&mut self, holder: &HolderId, call: &CallRecord) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM records WHERE (holder = ? AND sequence = ?) OR request = ? LIMIT 1",
            params![holder.as_str(), integer(call.sequence), call.request.as_str()],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn add_record(&mut self, record: &RecordRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO records (holder, sequence, request, key, org, model, cost, recomputed,
                 call, recorded_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                record.holder.as_str(),
                integer(record.call.sequence),
                record.call.request.as_str(),
                record.call.key.as_str(),
                record.org.as_ref().map(OrgId::as_str),
                record.call.model.as_str(),
                money(record.call.cost),
                record.recomputed.map(money),
                json(&record.call)?,
                integer(record.recorded_unix_ms)
            ],
        )
    }

    fn records(&mut self, search: &RecordSearch) -> StoreResult<Vec<(i64, RecordRow)>> {
        let seen = Seen::of(&search.sight)?;
        self.all(
            "SELECT * FROM records
             WHERE (?1 IS NULL OR key = ?1) AND (?2 IS NULL OR org = ?2)
               AND (?3 IS NULL OR request = ?3) AND (?4 IS NULL OR model = ?4)
               AND (?5 IS NULL OR position < ?5)
               AND (?7 IS NULL OR org = ?7)
               AND (?8 IS NULL OR key IN (
                   SELECT id FROM keys WHERE keys.org = ?7
                       AND (user = ?9 OR team IN (SELECT value FROM json_each(?8)))))
             ORDER BY position DESC LIMIT ?6",
            params![
                search.key,
                search.org,
                search.request,
                search.model.as_ref().map(ModelName::as_str),
                search.before,
                search.limit,
                seen.org,
                seen.teams,
                seen.user
            ],
            |row| Ok((row.get("position")?, record(row)?)),
        )
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<RecordRow> {
    let columns = Columns(row);
    Ok(RecordRow {
        holder: columns.checked("holder", HolderId::new)?,
        call: columns.json("call")?,
        org: columns.optional("org", OrgId::new)?,
        recomputed: columns.optional_number("recomputed")?.map(wire::NanoUsd),
        recorded_unix_ms: columns.number("recorded_ms")?,
    })
}
