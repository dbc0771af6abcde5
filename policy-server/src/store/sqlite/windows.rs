//! Windows over all proxies: their permits, saved whole, and the lives of the server's clock.

use metering::permits::Permits;
use rusqlite::params;

use super::Rows;
use super::encoding::{Columns, integer, word};
use crate::store::{StoreError, StoreResult, WindowId, WindowRows};

impl WindowRows for Rows<'_> {
    fn life(&mut self) -> StoreResult<u64> {
        let life =
            self.one("SELECT life FROM server_life", [], |row| Columns(row).number("life"))?;
        Ok(life.unwrap_or(0))
    }

    fn begin_life(&mut self) -> StoreResult<u64> {
        let life = self.life()?.saturating_add(1);
        self.execute(
            "INSERT INTO server_life (one, life) VALUES (1, ?)
             ON CONFLICT (one) DO UPDATE SET life = excluded.life",
            params![integer(life)],
        )?;
        Ok(life)
    }

    fn ran_ms(&mut self) -> StoreResult<u64> {
        let ran =
            self.one("SELECT ran_ms FROM server_life", [], |row| Columns(row).number("ran_ms"))?;
        Ok(ran.unwrap_or(0))
    }

    fn save_ran_ms(&mut self, ran_ms: u64) -> StoreResult<()> {
        self.execute("UPDATE server_life SET ran_ms = ?", params![integer(ran_ms)])
    }

    fn permits(&mut self, id: &WindowId) -> StoreResult<Option<(u64, Permits)>> {
        let found = self.one(
            "SELECT life, permits FROM cluster_windows
             WHERE level = ? AND owner = ? AND length = ?",
            params![word(&id.level)?, id.owner, word(&id.window)?],
            |row| Ok((Columns(row).number("life")?, row.get::<_, Vec<u8>>("permits")?)),
        )?;
        let read = |(life, bytes): (u64, Vec<u8>)| {
            Permits::decode(id.window.millis(), &bytes).map(|permits| (life, permits))
        };
        found.map(read).transpose().map_err(|error| StoreError::Unreadable(error.to_string()))
    }

    fn save_permits(&mut self, id: &WindowId, life: u64, permits: &Permits) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO cluster_windows (level, owner, length, life, permits)
             VALUES (?, ?, ?, ?, ?)",
            params![word(&id.level)?, id.owner, word(&id.window)?, integer(life), permits.encode()],
        )
    }

    fn window_count(&mut self) -> StoreResult<u64> {
        let count = self.one("SELECT count(*) AS count FROM cluster_windows", [], |row| {
            Columns(row).number("count")
        })?;
        Ok(count.unwrap_or(0))
    }
}
