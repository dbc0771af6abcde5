//! Registered VMs.

use rusqlite::{Row, params};
use wire::{Epoch, HolderId, Nonce};

use super::Rows;
use super::encoding::{Columns, holder_state, integer};
use crate::store::{HolderRow, HolderRows, StoreResult};

impl HolderRows for Rows<'_> {
    fn holder(&mut self, id: &HolderId) -> StoreResult<Option<HolderRow>> {
        self.one("SELECT * FROM holders WHERE id = ?", [id.as_str()], holder)
    }

    fn holder_by_nonce(&mut self, nonce: &Nonce) -> StoreResult<Option<HolderRow>> {
        self.one("SELECT * FROM holders WHERE nonce = ?", [nonce.0], holder)
    }

    fn save_holder(&mut self, holder: &HolderRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO holders (id, nonce, plugin, state, epoch, registered_ms, ttl_ms,
                                  without_push, count_windows_below)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET plugin = excluded.plugin, state = excluded.state,
                 ttl_ms = excluded.ttl_ms, without_push = excluded.without_push,
                 count_windows_below = excluded.count_windows_below",
            params![
                holder.id.as_str(),
                holder.nonce.0,
                holder.plugin,
                holder_state(holder.state),
                integer(holder.epoch.0),
                integer(holder.registered_unix_ms),
                integer(holder.ttl_ms),
                holder.without_push,
                integer(holder.count_windows_below)
            ],
        )
    }

    fn live_holders(&mut self) -> StoreResult<Vec<HolderRow>> {
        self.all("SELECT * FROM holders WHERE state = 'live' ORDER BY id", [], holder)
    }

    fn live_holder_count(&mut self) -> StoreResult<u64> {
        let sql = "SELECT count(*) AS count FROM holders WHERE state = 'live'";
        Ok(self.one(sql, [], |row| Columns(row).number("count"))?.unwrap_or(0))
    }
}

fn holder(row: &Row<'_>) -> rusqlite::Result<HolderRow> {
    let columns = Columns(row);
    Ok(HolderRow {
        id: columns.checked("id", HolderId::new)?,
        nonce: Nonce(columns.bytes("nonce")?),
        plugin: columns.text("plugin")?,
        state: columns.holder_state("state")?,
        epoch: Epoch(columns.number("epoch")?),
        registered_unix_ms: columns.number("registered_ms")?,
        ttl_ms: columns.number("ttl_ms")?,
        without_push: row.get("without_push")?,
        count_windows_below: columns.number("count_windows_below")?,
    })
}
