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
            "INSERT INTO holders (id, nonce, plugin, state, epoch, registered_ms)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET plugin = excluded.plugin, state = excluded.state",
            params![
                holder.id.as_str(),
                holder.nonce.0,
                holder.plugin,
                holder_state(holder.state),
                integer(holder.epoch.0),
                integer(holder.registered_unix_ms)
            ],
        )
    }

    fn live_holders(&mut self) -> StoreResult<Vec<HolderId>> {
        self.all("SELECT id FROM holders WHERE state = 'live' ORDER BY id", [], |row| {
            Columns(row).checked("id", HolderId::new)
        })
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
    })
}
