//! What time alone does to keys: they expire, replaced secrets end, and repeated requests and old user
//! keys are no longer known.

use super::{FilterError, Work};
use crate::store::{KeyStatus, StoreResult};

/// Keys whose expiry is noted in one job of the sweeper, so that requests never wait for long.
const EXPIRED_PER_SWEEP: u32 = 256;

/// Requests that are forgotten in one job.
const FORGOTTEN_PER_SWEEP: u32 = 256;

impl Work<'_> {
    /// Whether time has done something that [`Work::sweep`] has to note.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_due_work(&mut self) -> Result<bool, FilterError> {
        Ok(self.has_due_releases()?
            || self.has_ended_secrets()?
            || self.has_expired_keys()?
            || self.has_ended_wallet_days()?
            || self.has_old_user_keys()?
            || self.rows.has_repeatables_before(self.known_since())?
            || self.has_old_audit()?)
    }

    /// Carries all of that out for keys, a bounded number per call. Answers whether there may be more.
    pub(super) fn sweep_keys(&mut self) -> Result<bool, FilterError> {
        let more_secrets = self.end_replaced_secrets()?;
        let more_keys = self.note_expired_keys()?;
        let more_user_keys = self.forget_old_user_keys()?;
        let forgotten = self.rows.forget_repeatables(self.known_since(), FORGOTTEN_PER_SWEEP)?;
        let more_requests = forgotten >= u64::from(FORGOTTEN_PER_SWEEP);
        Ok(more_secrets || more_keys || more_user_keys || more_requests)
    }

    fn has_expired_keys(&mut self) -> StoreResult<bool> {
        Ok(!self.rows.newly_expired(self.now.unix_ms, 1)?.is_empty())
    }

    /// Filters know when a key expires; this is for lists and counts only.
    fn note_expired_keys(&mut self) -> Result<bool, FilterError> {
        let expired = self.rows.newly_expired(self.now.unix_ms, EXPIRED_PER_SWEEP)?;
        let full = u32::try_from(expired.len()).is_ok_and(|found| found >= EXPIRED_PER_SWEEP);
        for key in expired {
            self.rows.save_key(&key, KeyStatus::Expired)?;
        }
        Ok(full)
    }
}
