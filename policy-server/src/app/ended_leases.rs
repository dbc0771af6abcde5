//! Leases that ended so long ago that nothing of them is repeated any more. What they came to stands in
//! the accounts.

use super::{FilterError, Work};

/// Leases forgotten in one job of the sweeper, so that requests never wait for long.
const FORGOTTEN_PER_SWEEP: u32 = 256;

impl Work<'_> {
    /// Whether some lease that was granted before this wall time has ended.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_ended_leases(&mut self, before_unix_ms: u64) -> Result<bool, FilterError> {
        Ok(!self.rows.ended_leases(before_unix_ms, 1)?.is_empty())
    }

    /// Forgets such leases, a bounded number per call. Their numbers stay used: what is said of one of them
    /// later changes nothing, and is no sign of a lost past. Answers whether there may be more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_ended_leases(&mut self, before_unix_ms: u64) -> Result<bool, FilterError> {
        let ended = self.rows.ended_leases(before_unix_ms, FORGOTTEN_PER_SWEEP)?;
        for lease in &ended {
            self.rows.forget_lease(lease)?;
        }
        Ok(u32::try_from(ended.len()).is_ok_and(|found| found >= FORGOTTEN_PER_SWEEP))
    }
}
