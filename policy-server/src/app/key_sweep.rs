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
        Ok(is_due(self.has_due_releases())?
            || is_due(self.has_ended_secrets())?
            || is_due(self.has_expired_keys())?
            || is_due(self.has_removals())?
            || is_due(self.has_ended_wallet_days())?
            || is_due(self.has_old_user_keys())?
            || self.rows.has_repeatables_before(self.known_since())?
            || self.has_old_audit()?)
    }

    /// Carries all of that out for keys, a bounded number per call. Answers whether there may be more.
    pub(super) fn sweep_keys(&mut self) -> Result<bool, FilterError> {
        // Where a row is damaged, the others go on.
        let removed = self.part("keys of a removed owner", Self::end_removed_keys)?;
        let secrets = self.part("a replaced secret", Self::end_replaced_secrets)?;
        let expired = self.part("an expired key", Self::note_expired_keys)?;
        let user_keys = self.part("a user key", |work| Ok(work.forget_old_user_keys()?))?;
        let forgotten = self.rows.forget_repeatables(self.known_since(), FORGOTTEN_PER_SWEEP)?;
        let more_requests = forgotten >= u64::from(FORGOTTEN_PER_SWEEP);
        Ok([removed, secrets, expired, user_keys, Some(more_requests)].contains(&Some(true)))
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

/// What cannot be read is met again, and counted, where it is to be carried out.
fn is_due(found: StoreResult<bool>) -> StoreResult<bool> {
    match found {
        Err(error) if error.is_damage() => Ok(true),
        found => found,
    }
}
