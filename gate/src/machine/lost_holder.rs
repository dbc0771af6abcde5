//! The server knows this VM's holder no longer.

use wire::{Nonce, Revision};

use super::Gate;
use super::order::ascending;
use crate::exchange::Stage;
use crate::io::Now;

impl Gate {
    /// The server has forgotten this holder: so does the VM, with all that hung on it.
    pub(super) fn lose_holder(&mut self, now: Now) {
        let said = self.pool.recall_all(now.monotonic_ms);
        self.say(said);
        // What is still being asked for may be granted to the holder that is lost, and would be
        // parked: its numbers are disclaimed in its name.
        let lost = self.reporter();
        for (_, (key, n)) in std::mem::take(&mut self.aheads) {
            self.pool.ahead_done(&key, false, now.monotonic_ms);
            self.outbox.void(lost.clone(), n);
        }
        let open = self.streams.values().filter_map(|exchange| match &exchange.stage {
            Stage::Open(open) => open.lease_number,
            Stage::Running(_) | Stage::Passing(_) | Stage::Answered => None,
        });
        ascending(open.collect()).into_iter().for_each(|n| self.outbox.void(lost.clone(), n));
        let (high, low) = (self.random.next().to_le_bytes(), self.random.next().to_le_bytes());
        let mut nonce = [0; 16];
        nonce.iter_mut().zip(high.into_iter().chain(low)).for_each(|(to, from)| *to = from);
        self.link.lost(Nonce(nonce));
        self.forget_keys(Revision(0), now);
        self.models = None;
        for exchange in self.streams.values_mut() {
            if let Stage::Open(open) = &mut exchange.stage {
                open.granted = None;
                open.lease_number = None;
                open.asked = None;
                open.ask_is_open = false;
            }
        }
    }
}
