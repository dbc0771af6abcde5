//! Windows of scope `cluster`: at most L uses in any trailing window W over all proxies, by permits
//! that ride on leases. A permit is at every time in exactly one place:
//!
//! ```text
//! free + held + cooling = L
//! held     out on a lease, to be used by its holder at any moment
//! cooling  used; returns one window after its use, or later, never earlier
//! ```
//!
//! A permit that is used at t is granted again at t + W at the earliest. So any L + 1 uses span at
//! least W, whatever order, repetition, delay or loss their reports meet: a use that nobody reports
//! leaves its permit held until its holder has lapsed, and then it counts as used at that time.
//!
//! Times are milliseconds of the server's monotonic clock, and always arguments.

use std::fmt;

use crate::budget::BrokenLedger;

/// Times kept apart while permits cool. With more uses than that, times are rounded up to a
/// sixtieth of the window, of which a window touches 61: permits return late by that at most. Where
/// some return later than a window from now, since others make calls that are not counted yet, the
/// latest times become one, the last of them.
pub const COOLING_TIMES: usize = 61;

const STEPS_PER_WINDOW: u64 = 60;

/// A limit hands out permits ahead of calls only if it has this many for each living holder. Below,
/// what idle holders keep would be much of the limit, so each call takes its permit at the server.
const PERMITS_PER_HOLDER: u64 = 4;

/// Of the permits that are left, all living holders together may take half at once.
const HALVES: u64 = 2;

/// Permits that return at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cooling {
    returns_at_ms: u64,
    count: u64,
}

/// Where the permits of one limit are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permits {
    window_ms: u64,
    held: u64,
    /// In the order of time, no time twice.
    cooling: Vec<Cooling>,
}

/// Whether one more call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many permits are free, at least one.
    Free(u64),
    /// None is free, but holders keep some that they may not need.
    Held {
        /// Milliseconds until one returns by itself; none where that depends on holders.
        returns_in_ms: Option<u64>,
    },
    /// Every permit was used within the window.
    Cooling {
        /// Milliseconds until the next call may be made.
        returns_in_ms: u64,
    },
}

/// What one event moves, the same in every limit that the lease took permits of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// From held to cooling.
    pub used: u64,
    /// Used although they had been handed back: to cooling, from nowhere.
    pub beyond: u64,
    /// From held to free.
    pub freed: u64,
}

/// The permits of one lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeasePermits {
    /// Taken by the grant.
    pub granted: u64,
    /// Used as far as is known; only grows.
    pub used: u64,
    /// What was not used was handed back, or its holder has lapsed.
    pub closed: bool,
}

impl LeasePermits {
    /// Permits of a new lease.
    #[must_use]
    pub fn granted(count: u64) -> Self {
        Self { granted: count, used: 0, closed: false }
    }

    /// What its holder may still use: what it contributes to held.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        if self.closed { 0 } else { self.granted.saturating_sub(self.used) }
    }

    /// Takes a holder's statement of how many were used in all; the larger of two wins, so that
    /// repeating and reordering change nothing. `hands_back` says that no more will be.
    pub fn state(&mut self, used: u64, hands_back: bool) -> Moved {
        let grown = used.saturating_sub(self.used);
        let from_held = grown.min(self.remaining());
        self.used = self.used.max(used);
        let mut moved = Moved { used: from_held, beyond: grown - from_held, freed: 0 };
        if hands_back {
            moved.freed = self.remaining();
            self.closed = true;
        }
        moved
    }

    /// Its holder has lapsed: whatever it had counts as used now, and a late report of it changes
    /// nothing more.
    pub fn lapse(&mut self) -> Moved {
        let remaining = self.remaining();
        self.used = self.used.max(self.granted);
        self.closed = true;
        Moved { used: remaining, ..Moved::default() }
    }
}

/// When the last of some uses was, at the latest: a report that arrives now says how long before it
/// was sent. Never before the grant, where the grant's time is known in this life of the server.
#[must_use]
pub fn last_use_ms(arrival_ms: u64, age_ms: u64, granted_ms: Option<u64>) -> u64 {
    arrival_ms.saturating_sub(age_ms).max(granted_ms.unwrap_or(0))
}

/// Permits beyond the one that a call takes, out of `free` ones: at most what is wanted, at most a
/// share of what the call leaves, and none where the limit is small for so many holders:
///
/// ```text
/// extra <= want,  extra <= (free − 1) / (2 × live holders),  extra = 0 if max < 4 × live holders
/// ```
#[must_use]
pub fn extra_permits(max: u64, free: u64, want: u64, live_holders: usize) -> u64 {
    let holders = u64::try_from(live_holders).unwrap_or(u64::MAX).max(1);
    if max < holders.saturating_mul(PERMITS_PER_HOLDER) {
        return 0;
    }
    want.min(free.saturating_sub(1) / holders.saturating_mul(HALVES))
}

/// Whether so little of a limit is left that holders should keep none of it: it is granted call by
/// call, or has fewer permits left than two for each living holder.
#[must_use]
pub fn is_scarce(max: u64, permits: &Permits, now_ms: u64, live_holders: usize) -> bool {
    let holders = u64::try_from(live_holders).unwrap_or(u64::MAX).max(1);
    let free = match permits.room(max, now_ms) {
        Room::Free(free) => free,
        Room::Held { .. } | Room::Cooling { .. } => 0,
    };
    max < holders.saturating_mul(PERMITS_PER_HOLDER) || free < holders.saturating_mul(HALVES)
}

impl Permits {
    /// A limit that was never used.
    #[must_use]
    pub fn unused(window_ms: u64) -> Self {
        Self { window_ms: window_ms.max(1), held: 0, cooling: Vec::new() }
    }

    /// Permits out on leases.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Permits that were used within the window.
    #[must_use]
    pub fn cooling(&self, now_ms: u64) -> u64 {
        let cooling = self.cooling.iter().filter(|entry| entry.returns_at_ms > now_ms);
        cooling.fold(0, |sum, entry| sum.saturating_add(entry.count))
    }

    /// Whether a limit of `max` has room for a call. With a lowered limit more can be out than
    /// there are; then as many must return first.
    #[must_use]
    pub fn room(&self, max: u64, now_ms: u64) -> Room {
        let cooling = self.cooling(now_ms);
        let out = self.held.saturating_add(cooling);
        if out < max {
            return Room::Free(max - out);
        }
        // One more than fits must return.
        let mut missing = (out - max).saturating_add(1);
        let returning = self.cooling.iter().filter(|entry| entry.returns_at_ms > now_ms);
        let returns_in_ms = returning.into_iter().find_map(|entry| {
            missing = missing.saturating_sub(entry.count);
            (missing == 0).then(|| entry.returns_at_ms - now_ms)
        });
        match returns_in_ms {
            Some(returns_in_ms) if self.held == 0 => Room::Cooling { returns_in_ms },
            // A limit of nothing never has room; nothing that returns would help.
            None if self.held == 0 => Room::Cooling { returns_in_ms: self.window_ms },
            returns_in_ms => Room::Held { returns_in_ms },
        }
    }

    /// Takes `count` permits of a limit of `max` for a lease: from free to held.
    ///
    /// # Errors
    /// When fewer are free; nothing has changed then.
    pub fn grant(&mut self, count: u64, max: u64, now_ms: u64) -> Result<(), BrokenLedger> {
        match self.room(max, now_ms) {
            Room::Free(free) if count <= free => {
                self.held += count;
                self.forget_returned(now_ms);
                Ok(())
            }
            _ => Err(BrokenLedger),
        }
    }

    /// Applies what happened to one lease, the last use having been at `last_use_ms`.
    ///
    /// # Errors
    /// When less is held than the lease gives up: the store is damaged.
    pub fn apply(
        &mut self,
        moved: &Moved,
        last_use_ms: u64,
        now_ms: u64,
    ) -> Result<(), BrokenLedger> {
        let given_up = moved.used.checked_add(moved.freed).ok_or(BrokenLedger)?;
        self.held = self.held.checked_sub(given_up).ok_or(BrokenLedger)?;
        self.forget_returned(now_ms);
        let used = moved.used.saturating_add(moved.beyond);
        self.cool(used, last_use_ms.saturating_add(self.window_ms), now_ms);
        Ok(())
    }

    /// Lets `count` permits return at a time, not before.
    pub fn cool(&mut self, count: u64, returns_at_ms: u64, now_ms: u64) {
        if count == 0 || returns_at_ms <= now_ms {
            return;
        }
        self.forget_returned(now_ms);
        self.insert(Cooling { returns_at_ms, count });
        if self.cooling.len() > COOLING_TIMES {
            let step = (self.window_ms / STEPS_PER_WINDOW).max(1);
            for entry in std::mem::take(&mut self.cooling) {
                let rounded = entry.returns_at_ms.div_ceil(step).saturating_mul(step);
                self.insert(Cooling { returns_at_ms: rounded, ..entry });
            }
            self.merge_latest();
        }
    }

    /// Lets the latest permits return together, at the last one's time, until as few times remain
    /// as are kept: never early.
    fn merge_latest(&mut self) {
        while self.cooling.len() > COOLING_TIMES {
            let Some(last) = self.cooling.pop() else { return };
            if let Some(earlier) = self.cooling.last_mut() {
                let count = earlier.count.saturating_add(last.count);
                *earlier = Cooling { count, ..last };
            }
        }
    }

    /// The server was started anew at `started_ms` of a clock that knows nothing of the one before.
    /// Every use that is counted was before that, so its permit returns one window after it.
    pub fn enter_life(&mut self, started_ms: u64) {
        let count = self.cooling.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.count));
        self.cooling.clear();
        self.cool(count, started_ms.saturating_add(self.window_ms), started_ms);
    }

    /// The state as bytes: the number held, then time and number of what cools, each as a
    /// big-endian 64-bit number; at most 985 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let cooling = self.cooling.iter().flat_map(|entry| [entry.returns_at_ms, entry.count]);
        let mut bytes = vec![FORMAT];
        bytes.extend(std::iter::once(self.held).chain(cooling).flat_map(u64::to_be_bytes));
        bytes
    }

    /// Reads what [`Permits::encode`] wrote. More times than are kept are read as well, and the
    /// latest of them merged: earlier versions could write one more.
    ///
    /// # Errors
    /// When the bytes are nothing that it writes.
    pub fn decode(window_ms: u64, bytes: &[u8]) -> Result<Self, NotPermits> {
        let (FORMAT, numbers) = bytes.split_first().map(|(b, r)| (*b, r)).ok_or(NotPermits)? else {
            return Err(NotPermits);
        };
        let (numbers, rest) = numbers.as_chunks::<8>();
        let mut numbers = numbers.iter().copied().map(u64::from_be_bytes);
        let held = numbers.next().ok_or(NotPermits)?;
        let mut read = Self { held, ..Self::unused(window_ms) };
        while let Some(returns_at_ms) = numbers.next() {
            let count = numbers.next().ok_or(NotPermits)?;
            let in_order =
                read.cooling.last().is_none_or(|last| last.returns_at_ms < returns_at_ms);
            if !in_order {
                return Err(NotPermits);
            }
            read.cooling.push(Cooling { returns_at_ms, count });
        }
        read.merge_latest();
        if rest.is_empty() { Ok(read) } else { Err(NotPermits) }
    }

    fn insert(&mut self, new: Cooling) {
        let at = self.cooling.partition_point(|entry| entry.returns_at_ms < new.returns_at_ms);
        match self.cooling.get_mut(at) {
            Some(entry) if entry.returns_at_ms == new.returns_at_ms => {
                entry.count = entry.count.saturating_add(new.count);
            }
            _ => self.cooling.insert(at, new),
        }
    }

    fn forget_returned(&mut self, now_ms: u64) {
        self.cooling.retain(|entry| entry.returns_at_ms > now_ms);
    }
}

/// The first byte of the encoding.
const FORMAT: u8 = 1;

/// The bytes are no state of permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPermits;

impl fmt::Display for NotPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no state of permits")
    }
}

impl std::error::Error for NotPermits {}

#[cfg(test)]
#[path = "permits_tests.rs"]
mod tests;
