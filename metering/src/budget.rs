//! What became of money: how much of a budget may still be granted, and how a lease's amount moves
//! from granted to spent, handed back or parked. A ledger loads the rows, calls this, saves them.
//!
//! One budget in one period has an [`Account`] of three sums that count against its cap:
//!
//! * `settled`: charges of calls that have ended (always the truth, even beyond a cap),
//! * `parked`: what holders that vanished could have spent,
//! * `outstanding`: what living holders may still spend.
//!
//! One lease has a [`LeaseMoney`]. The laws that tie them together, for every account:
//!
//! ```text
//! outstanding = Σ (held − min(spent, held)) over open leases
//! parked      = Σ (held − min(spent, held)) over parked leases that are not released here
//! settled     = Σ spent over all leases + charges without a lease
//! overdraft   = Σ (spent − held where larger) + charges without a lease under a cap
//!             + charges reported after their parked lease was released here
//! ```
//!
//! The share of a parked lease is released in one account at a time: an account without a period
//! would count it for ever otherwise, while others forget it when their period ends.
//!
//! and a grant happens only where `settled + parked + outstanding + amount <= cap`.

use std::fmt;

use wire::NanoUsd;
use wire::v1::{Level, Price};

use crate::reservation::{Bounds, Reservation};

/// One budget in one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// The most that may be spent in the period; none counts without limiting.
    pub cap: Option<NanoUsd>,
    /// Charges of ended calls.
    pub settled: NanoUsd,
    /// What lost holders could have spent.
    pub parked: NanoUsd,
    /// What living holders may still spend.
    pub outstanding: NanoUsd,
    /// Part of `settled` that no grant had covered.
    pub overdraft: NanoUsd,
}

/// A movement or grant would break one of the laws above. It means a bug or a damaged store, never
/// a client's fault; the transaction must not be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenLedger;

impl fmt::Display for BrokenLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ledger would not add up: more is taken from a sum than it holds")
    }
}

impl std::error::Error for BrokenLedger {}

impl Account {
    /// Money that may be granted now: `cap − settled − parked − outstanding`. `None` when the sums
    /// already exceed the cap, so that nothing may be granted, not even an amount of zero.
    /// Without a cap it is [`NanoUsd::MAX`].
    #[must_use]
    pub fn room(&self) -> Option<NanoUsd> {
        let Some(cap) = self.cap else {
            return Some(NanoUsd::MAX);
        };
        let taken = wide(self.settled) + wide(self.parked) + wide(self.outstanding);
        narrow(wide(cap).checked_sub(taken)?)
    }

    /// Money that will ever be there under the cap, however running calls end:
    /// `cap − settled − parked`. `None` when that is already exceeded.
    #[must_use]
    pub fn left(&self) -> Option<NanoUsd> {
        let Some(cap) = self.cap else {
            return Some(NanoUsd::MAX);
        };
        narrow(wide(cap).checked_sub(wide(self.settled) + wide(self.parked))?)
    }

    /// Money beyond the cap, after the cap was lowered or a call cost more than was reserved.
    #[must_use]
    pub fn over_cap(&self) -> NanoUsd {
        let taken = wide(self.settled) + wide(self.parked) + wide(self.outstanding);
        self.cap.map_or(NanoUsd::ZERO, |cap| {
            narrow(taken.saturating_sub(wide(cap))).unwrap_or(NanoUsd::MAX)
        })
    }

    /// Takes `amount` out of the room: `outstanding` grows by it, and afterwards
    /// `settled + parked + outstanding <= cap` holds.
    ///
    /// # Errors
    /// When there is less room; nothing has changed then.
    pub fn grant(&mut self, amount: NanoUsd) -> Result<(), BrokenLedger> {
        let room = self.room().ok_or(BrokenLedger)?;
        if amount > room {
            return Err(BrokenLedger);
        }
        self.outstanding = self.outstanding.checked_add(amount).ok_or(BrokenLedger)?;
        Ok(())
    }

    /// Applies what happened to one lease. `settled + parked + outstanding` changes by
    /// `uncovered − handed_back`: no other money appears or vanishes.
    ///
    /// # Errors
    /// When the sum that the money comes from holds less; nothing has changed then.
    pub fn apply(&mut self, movement: &Movement) -> Result<(), BrokenLedger> {
        let taken = wide(movement.covered) + wide(movement.handed_back) + wide(movement.parked);
        let taken = narrow(taken).ok_or(BrokenLedger)?;
        let source = match movement.from {
            Source::Outstanding => &mut self.outstanding,
            Source::Parked => &mut self.parked,
        };
        *source = NanoUsd(source.0.checked_sub(taken.0).ok_or(BrokenLedger)?);
        // Sums of truth stay at the largest amount instead of wrapping: against the spender.
        self.parked = self.parked.saturating_add(movement.parked);
        self.settled =
            self.settled.saturating_add(movement.covered).saturating_add(movement.uncovered);
        self.overdraft = self.overdraft.saturating_add(movement.uncovered);
        Ok(())
    }

    /// Stops counting `amount`, the remaining money of a parked lease, although its holder may have
    /// spent it: `parked` falls by it, so there is that much more room. Whatever is reported for
    /// the lease later is to be applied by [`Account::apply_released`].
    ///
    /// # Errors
    /// When less is parked; nothing has changed then.
    pub fn release(&mut self, amount: NanoUsd) -> Result<(), BrokenLedger> {
        self.parked = NanoUsd(self.parked.0.checked_sub(amount.0).ok_or(BrokenLedger)?);
        Ok(())
    }

    /// Applies what happened to a parked lease whose share was released here. Nothing of it stands
    /// in `parked` any more: `settled` and `overdraft` both grow by `covered + uncovered`, since
    /// the room that covered it may have been granted to others, and nothing is handed back.
    pub fn apply_released(&mut self, movement: &Movement) {
        let charged = movement.covered.saturating_add(movement.uncovered);
        self.settled = self.settled.saturating_add(charged);
        self.overdraft = self.overdraft.saturating_add(charged);
    }

    /// Settles a call that drew on no lease, because nothing capped it when it was admitted.
    /// `settled` grows by `cost`; where there is a cap by now, so does `overdraft`.
    pub fn settle_without_lease(&mut self, cost: NanoUsd) {
        self.settled = self.settled.saturating_add(cost);
        if self.cap.is_some() {
            self.overdraft = self.overdraft.saturating_add(cost);
        }
    }
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A living holder may spend it.
    Open,
    /// Its holder vanished; a late report is still accepted.
    Parked,
    /// Nothing of it is left; a report can only add what was spent beyond it.
    Closed,
}

/// The money of one lease: `spent` may come to exceed `held`, never the other way to hide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseMoney {
    /// What was granted, less what was handed back.
    pub held: NanoUsd,
    /// Charges of its ended calls; only grows.
    pub spent: NanoUsd,
    /// Where it stands.
    pub standing: Standing,
}

/// What a holder says about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Charges of ended calls so far.
    pub spent: NanoUsd,
    /// Spent plus running reservations; what lies above is handed back.
    pub floor: Option<NanoUsd>,
    /// No call will draw on it any more.
    pub is_final: bool,
}

/// From which sum of an account a movement takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Of an open lease.
    Outstanding,
    /// Of a parked lease.
    Parked,
}

/// What one statement or event moves, the same in every account above the lease's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// Where it comes from.
    pub from: Source,
    /// To settled, within what the lease held.
    pub covered: NanoUsd,
    /// To settled, beyond what the lease held: overdraft.
    pub uncovered: NanoUsd,
    /// Back to the room.
    pub handed_back: NanoUsd,
    /// To parked.
    pub parked: NanoUsd,
}

impl Movement {
    fn nothing(from: Source) -> Self {
        Self {
            from,
            covered: NanoUsd::ZERO,
            uncovered: NanoUsd::ZERO,
            handed_back: NanoUsd::ZERO,
            parked: NanoUsd::ZERO,
        }
    }

    /// Whether it moves no money at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::nothing(self.from)
    }
}

impl LeaseMoney {
    /// A fresh lease of `amount`.
    #[must_use]
    pub fn granted(amount: NanoUsd) -> Self {
        Self { held: amount, spent: NanoUsd::ZERO, standing: Standing::Open }
    }

    /// What may still be spent of it: what it contributes to `outstanding` or `parked`.
    #[must_use]
    pub fn remaining(&self) -> NanoUsd {
        self.held.saturating_sub(self.spent)
    }

    /// Takes a holder's statement. `spent` becomes the larger of the two, so repeating and
    /// reordering statements changes nothing; whatever the order, the lease's contribution to
    /// `settled` is its `spent`, and `remaining` leaves the source exactly once.
    pub fn state(&mut self, statement: &Statement) -> Movement {
        let mut movement = Movement::nothing(self.source());
        let spent = self.spent.max(statement.spent);
        let grown = spent.saturating_sub(self.spent);
        movement.covered = grown.min(self.remaining());
        movement.uncovered = grown.saturating_sub(movement.covered);
        self.spent = spent;
        let kept = if statement.is_final {
            NanoUsd::ZERO
        } else {
            match statement.floor {
                Some(floor) => floor.saturating_sub(spent).min(self.remaining()),
                None => self.remaining(),
            }
        };
        movement.handed_back = self.remaining().saturating_sub(kept);
        self.held = self.held.saturating_sub(movement.handed_back);
        if statement.is_final {
            self.standing = Standing::Closed;
        }
        movement
    }

    /// The grant never reached its holder: everything that is left goes back.
    pub fn void(&mut self) -> Movement {
        let spent = self.spent;
        self.state(&Statement { spent, floor: None, is_final: true })
    }

    /// The holder vanished: what it could still spend moves from `outstanding` to `parked`, so it
    /// keeps counting against the cap. Nothing happens to a lease that is not open.
    pub fn park(&mut self) -> Movement {
        let mut movement = Movement::nothing(self.source());
        if self.standing == Standing::Open {
            movement.parked = self.remaining();
            self.standing = Standing::Parked;
        }
        movement
    }

    fn source(&self) -> Source {
        match self.standing {
            // A closed lease has nothing remaining, so nothing is taken from the sum named here.
            Standing::Open | Standing::Closed => Source::Outstanding,
            Standing::Parked => Source::Parked,
        }
    }
}

/// An account and the level at which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelAccount {
    /// The level.
    pub level: Level,
    /// The account of the period that contains now.
    pub account: Account,
}

/// Why a call gets no money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// Settled and parked money leave too little, whatever becomes of running calls.
    Exceeded {
        /// The level with the least left.
        level: Level,
        /// The smallest reservation with which the call could be made.
        need: NanoUsd,
        /// What is left there.
        left: NanoUsd,
    },
    /// The money is there but granted to others right now.
    Contended {
        /// The reservation that finds too little room.
        need: NanoUsd,
    },
}

/// The largest reservation, up to the wanted one, that every account can pay for, whatever becomes
/// of running calls: an output limit is lowered to what is left, never because money is merely out.
///
/// # Errors
/// [`Denial::Exceeded`] only where `settled + parked + need > cap` at some level; otherwise, where
/// only outstanding money is in that reservation's way, [`Denial::Contended`].
pub fn reserve(
    accounts: &[LevelAccount],
    bounds: &Bounds,
    price: &Price,
) -> Result<Reservation, Denial> {
    let need = bounds.least(price).amount;
    let left = accounts
        .iter()
        .map(|level| level.account.left())
        .try_fold(NanoUsd::MAX, |least, left| Some(least.min(left?)));
    if let Some(reservation) = left.and_then(|left| bounds.within(price, left)) {
        let need = reservation.amount;
        let fits = |level: &LevelAccount| level.account.room().is_some_and(|room| need <= room);
        return if accounts.iter().all(fits) {
            Ok(reservation)
        } else {
            Err(Denial::Contended { need })
        };
    }
    let exceeded = accounts
        .iter()
        .filter(|level| level.account.left().is_none_or(|left| left < need))
        .min_by_key(|level| level.account.left());
    Err(exceeded.map_or(Denial::Contended { need }, |level| Denial::Exceeded {
        level: level.level,
        need,
        left: level.account.left().unwrap_or_default(),
    }))
}

fn wide(amount: NanoUsd) -> u128 {
    u128::from(amount.0)
}

fn narrow(amount: u128) -> Option<NanoUsd> {
    u64::try_from(amount).ok().map(NanoUsd)
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
