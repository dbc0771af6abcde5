//! Memory shared between the writer and the polls.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;
use wire::v1::{ChangesReply, LeaseAnswer};
use wire::{HolderId, Revision};

use super::{Effect, Live, NotAlive, lock};
use crate::clock::Now;

/// [`Live`] shared between the writer and the polls, with the bells that wake whoever waits.
#[derive(Debug)]
pub struct Shared {
    live: Mutex<Live>,
    published: watch::Sender<Revision>,
    acknowledged: watch::Sender<u64>,
    money_returned: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
}

impl Shared {
    /// Shares this memory.
    #[must_use]
    pub fn new(live: Live) -> Self {
        Self {
            published: watch::Sender::new(live.revision),
            acknowledged: watch::Sender::new(0),
            money_returned: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            live: Mutex::new(live),
        }
    }

    /// Exclusive access; held for moments only.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        lock(&self.live)
    }

    /// Applies the effects of a committed batch and wakes whoever waits for them.
    pub fn apply(&self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let returned = effects.iter().any(|effect| matches!(effect, Effect::MoneyReturned));
        let (before, revision) = {
            let mut live = self.live();
            let before = live.revision;
            effects.into_iter().for_each(|effect| live.apply(effect));
            (before, live.revision)
        };
        if revision > before {
            self.published.send_replace(revision);
        }
        self.ring_acknowledged();
        if returned {
            self.ring_money_returned();
        }
    }

    /// The ask with this number is about to be answered, for good: see [`Live::note_refused`]. None
    /// where nothing was asked for: then there is nothing to remember, and nothing that must make place.
    pub fn answered(&self, holder: &HolderId, asked: Option<u64>, answer: &LeaseAnswer) {
        if let Some(n) = asked.filter(|_| !matches!(answer, LeaseAnswer::Granted(_))) {
            self.live().note_refused(holder, n);
        }
    }

    /// A holder polls: renews its session and notes what it has applied.
    ///
    /// # Errors
    /// When its session has lapsed or never was.
    pub fn poll(
        &self,
        holder: &HolderId,
        revision: Revision,
        now: Now,
    ) -> Result<ChangesReply, NotAlive> {
        let (reply, wait_is_over) = {
            let mut live = self.live();
            live.touch(holder, now)?;
            // A poll cannot have applied what history says it missed, so the claim holds as is.
            let applied = revision.min(live.revision);
            live.acknowledge(holder, applied);
            (live.changes_after(revision), live.wait_is_over(now))
        };
        self.ring_acknowledged();
        if wait_is_over {
            self.ring_money_returned();
        }
        Ok(reply)
    }

    /// Wakes at every commit that publishes a change.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Revision> {
        self.published.subscribe()
    }

    /// Wakes whenever a holder acknowledges, registers or ends.
    #[must_use]
    pub fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// Wakes at every commit that brought money back, and when a recall that calls wait for has
    /// been applied everywhere.
    #[must_use]
    pub fn money_returned(&self) -> watch::Receiver<u64> {
        self.money_returned.subscribe()
    }

    /// Turns true once, when the server begins to stop.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Tells everything that waits to come to an end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    fn ring_money_returned(&self) {
        self.money_returned.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    fn ring_acknowledged(&self) {
        self.acknowledged.send_modify(|rings| *rings = rings.wrapping_add(1));
    }
}
