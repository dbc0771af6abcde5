//! Registration of VMs, and what becomes of the money of those that vanish.

use wire::v1::{EVERY_WINDOW, RegisterReply, RegisterRequest};
use wire::{HolderId, PROTOCOL_VERSION};

use super::{Counters, FilterError, Work};
use crate::live::{Effect, LIVE_HOLDERS_MOST};
use crate::store::{HolderRow, HolderState, LeaseRow, StoreError};

/// A plugin's name is for people; longer ones are a mistake.
const LONGEST_PLUGIN_NAME: usize = 256;

/// Leases parked in one job, so that a sweep of many never keeps requests waiting for long.
const PARKED_PER_SWEEP: u32 = 256;

impl Work<'_> {
    /// Registers a VM; the same nonce is the same holder.
    ///
    /// # Errors
    /// When the protocol is another one, too many holders are alive, or the store fails.
    pub fn register(&mut self, request: &RegisterRequest) -> Result<RegisterReply, FilterError> {
        if request.protocol != PROTOCOL_VERSION {
            return Err(FilterError::UnsupportedProtocol);
        }
        if request.plugin.len() > LONGEST_PLUGIN_NAME {
            let message = format!("plugin: longer than {LONGEST_PLUGIN_NAME} bytes");
            return Err(FilterError::BadMessage(message));
        }
        if request.count_windows_below > EVERY_WINDOW {
            let message = format!("count_windows_below: more than {EVERY_WINDOW}");
            return Err(FilterError::BadMessage(message));
        }
        let known = self.rows.holder_by_nonce(&request.nonce)?;
        let is_live = known.as_ref().is_some_and(|known| known.state == HolderState::Live);
        if !is_live && self.rows.live_holder_count()? >= LIVE_HOLDERS_MOST {
            return Err(FilterError::TooManyHolders);
        }
        let is_new = known.is_none();
        let server = self.rows.server()?;
        let told_ms = self.shared.live().times().told(request.without_push);
        // One that registers again may go by what it was told first.
        let (id, epoch, registered_unix_ms, ttl_ms) = match known {
            Some(known) => {
                let ttl_ms = known.ttl_ms.max(told_ms);
                (known.id, known.epoch, known.registered_unix_ms, ttl_ms)
            }
            None => (self.new_holder_id()?, server.epoch, self.now.unix_ms, told_ms),
        };
        self.rows.save_holder(&HolderRow {
            id: id.clone(),
            nonce: request.nonce,
            plugin: request.plugin.clone(),
            state: HolderState::Live,
            epoch,
            registered_unix_ms,
            ttl_ms,
            without_push: request.without_push,
            count_windows_below: request.count_windows_below,
        })?;
        self.effects.push(Effect::Registered {
            holder: id.clone(),
            starts_at: is_new.then_some(server.revision),
            ttl_ms,
            count_windows_below: request.count_windows_below,
            now: self.now,
        });
        Ok(RegisterReply {
            holder: id,
            epoch: server.epoch,
            revision: server.revision,
            session_ttl_ms: told_ms,
            catalogue_version: server.catalogue_version,
        })
    }

    /// Parks the leases of holders whose sessions have lapsed, releases parked money whose time has
    /// come, ends replaced secrets, notes expired keys and forgets old lines of the audit, a bounded
    /// number per call. Answers whether there is more to do.
    ///
    /// # Errors
    /// When the store fails or the ledger does not add up.
    pub fn sweep(&mut self) -> Result<bool, FilterError> {
        self.note_running_time()?;
        let lapsed = self.shared.live().lapsed(self.now);
        let mut left = PARKED_PER_SWEEP;
        for holder in lapsed {
            // Where a row is damaged, this holder stays for the next sweep and the others go on.
            let most = left;
            let found =
                self.part(holder.as_str(), |work| Ok(work.rows.open_leases(&holder, most)?))?;
            let Some(leases) = found else { continue };
            let mut damaged = false;
            for lease in leases {
                let id = lease.id.clone();
                if self.part(id.as_str(), |work| work.park_lapsed(lease))?.is_some() {
                    left = left.saturating_sub(1);
                } else {
                    damaged = true;
                }
            }
            if left == 0 {
                return Ok(true);
            }
            if !damaged {
                self.end_holder(holder)?;
            }
        }
        let more_keys = self.sweep_keys()?;
        let more_audit = self.forget_old_audit()?;
        let more_days = self.part("a day of a wallet", Self::close_wallet_days)?;
        let more_parked = self.part("parked money", Self::release_due)?;
        let more = [more_days, more_parked].contains(&Some(true));
        Ok(more || more_keys || more_audit)
    }

    fn park_lapsed(&mut self, mut lease: LeaseRow) -> Result<(), FilterError> {
        let movement = self.park(&lease.id, &mut lease.money)?;
        self.move_money(&lease.id, &movement)?;
        self.lapse_permits(&mut lease)?;
        self.rows.save_lease(&lease)?;
        Counters::add(&self.counters.parked_leases, 1);
        Ok(())
    }

    fn end_holder(&mut self, id: HolderId) -> Result<(), StoreError> {
        if let Some(holder) = self.rows.holder(&id)? {
            self.rows.save_holder(&HolderRow { state: HolderState::Lapsed, ..holder })?;
        }
        tracing::warn!(holder = %id, "session lapsed; what it held is parked");
        self.effects.push(Effect::Ended(id));
        Ok(())
    }

    fn new_holder_id(&mut self) -> Result<HolderId, FilterError> {
        let id = self.random_id("h", 20)?;
        HolderId::new(id).map_err(|error| FilterError::BadMessage(error.to_string()))
    }
}
