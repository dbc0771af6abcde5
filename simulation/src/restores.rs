//! The server's database is copied, later the copy takes its place: with the journal nothing is
//! lost, without it a new epoch begins in which budgets are frozen until an operator releases them.
//!
//! Without a journal nobody changes keys or budgets between copy and restore: what is lost then is
//! known, and would have to be done again by hand.

use policy_server::restore::Restored;
use policy_server::store::BudgetId;

use crate::checker::{Invariant, Violation};
use crate::events::Event;
use crate::ledger::Ledger;
use crate::world::World;

/// What becomes of the server's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It lasts.
    Lasts,
    /// It is lost, and the journal is on another one.
    LostWithJournal,
    /// It is lost, and there is no journal.
    LostWithoutJournal,
}

/// An operator needs at most this long to look at a frozen budget, in milliseconds.
const RELEASED_WITHIN_MS: u64 = 15_000;
/// Budgets released at once: more than a world has.
const RELEASED_MOST: u32 = 100;

impl World {
    /// Sets the times of copy and restore, where there is one.
    pub(crate) fn schedule_restore(&mut self) {
        if self.scenario.disk != Disk::Lasts {
            let copied_ms = self.dice.between(1_000, self.scenario.traffic_ms / 2);
            let lost_ms = self.dice.between(copied_ms, self.scenario.traffic_ms);
            self.after(copied_ms, Event::BackUp);
            self.after(lost_ms, Event::LosesDisk);
        }
    }

    /// Whether what an administrator did now would be lost without trace.
    pub(crate) fn is_administration_idle(&self) -> bool {
        self.scenario.disk == Disk::LostWithoutJournal
            && self.server.has_backup()
            && self.restored_ms.is_none()
    }

    pub(crate) fn back_up(&mut self) -> anyhow::Result<()> {
        self.log.note(self.now_ms, || "the database is copied".to_owned());
        self.server.back_up()
    }

    pub(crate) fn lose_disk(&mut self) -> anyhow::Result<()> {
        if !self.server.has_backup() {
            return Ok(());
        }
        self.stop_server();
        let before = (self.ledger.accounts()?, self.ledger.records()?);
        // It would remove files of the same names when it closes.
        self.ledger = Ledger::of_nothing()?;
        let restored = self.server.restore(self.now_ms)?;
        self.ledger = Ledger::open(self.server.path())?;
        self.restored_ms = Some(self.now_ms);
        self.log.note(self.now_ms, || format!("the disk is lost: {restored:?}"));
        match restored {
            Restored::Replayed { entries } => {
                self.tally.replayed += entries;
                if (self.ledger.accounts()?, self.ledger.records()?) != before {
                    let text = "the journal has not brought everything back".to_owned();
                    return Err(Violation { invariant: Invariant::Charges, text }.into());
                }
            }
            Restored::Began(begun) => {
                self.tally.frozen += begun.frozen;
                let times = self.scenario.times;
                let until_ms = self.now_ms + times.ttl_ms + times.grace_ms;
                let accounts = self.ledger.accounts()?;
                self.checker.past_is_lost(accounts, self.ledger.frozen()?, until_ms);
                let after = self.dice.between(1, RELEASED_WITHIN_MS);
                self.after(after, Event::ReleaseBudgets);
            }
        }
        Ok(())
    }

    /// An operator releases every budget, if the server can be reached, else later.
    pub(crate) fn release_budgets(&mut self) -> anyhow::Result<()> {
        if !self.server.is_awake(self.now_ms) {
            let after = self.dice.between(1, RELEASED_WITHIN_MS);
            self.after(after, Event::ReleaseBudgets);
            return Ok(());
        }
        self.server_acted = true;
        let Some((engine, now)) = self.server.engine(self.now_ms) else { return Ok(()) };
        let frozen = engine.run(now, |work| work.frozen_budgets(None, RELEASED_MOST))?.items;
        for view in frozen {
            let id: BudgetId = view.id;
            engine.run(now, |work| work.release_budget(&id, "admin"))?;
            self.tally.released += 1;
        }
        self.checker.released();
        self.log.note(self.now_ms, || "admin: frozen budgets are released".to_owned());
        Ok(())
    }
}
