//! What was counted when, for one trailing window.

use std::collections::VecDeque;

/// Limits up to this many units are counted one by one (an entry is some three bytes encoded).
pub const EXACT_UP_TO: u64 = 512;
/// Above it a window is cut into this many sub-buckets. A unit counts until the end of its
/// sub-bucket plus W, so never too short and at most W/60 too long (serves at least 98.3 %).
pub const SUB_BUCKETS: u64 = 60;

/// Time step in which a limit of `max` units over `window_ms` is counted: 1 ms when it is exact.
#[must_use]
pub fn quantum(max: u64, window_ms: u64) -> u64 {
    if max <= EXACT_UP_TO { 1 } else { (window_ms / SUB_BUCKETS).max(1) }
}

/// Units with their times, oldest first. A unit counted at t is inside the window while
/// `now < t + W`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    entries: VecDeque<(u64, u64)>,
}

impl Series {
    /// Counts `units` at `now_ms`. `quantum_ms` rounds the time *up* to the end of its sub-bucket.
    pub fn record(&mut self, now_ms: u64, units: u64, quantum_ms: u64) {
        if units == 0 {
            return;
        }
        let at = now_ms.div_ceil(quantum_ms.max(1)).saturating_mul(quantum_ms.max(1));
        let position = self.entries.partition_point(|(time, _)| *time < at);
        match self.entries.get_mut(position) {
            Some((time, sum)) if *time == at => *sum = sum.saturating_add(units),
            _ => self.entries.insert(position, (at, units)),
        }
    }

    /// Takes back what [`Series::record`] counted with the same arguments.
    pub fn take_back(&mut self, now_ms: u64, units: u64, quantum_ms: u64) {
        let at = now_ms.div_ceil(quantum_ms.max(1)).saturating_mul(quantum_ms.max(1));
        if let Some((_, sum)) = self.entries.iter_mut().find(|(time, _)| *time == at) {
            *sum = sum.saturating_sub(units);
        }
        self.entries.retain(|(_, sum)| *sum > 0);
    }

    /// Forgets what has left the window.
    pub fn expire(&mut self, now_ms: u64, window_ms: u64) {
        while self.entries.front().is_some_and(|(time, _)| time.saturating_add(window_ms) <= now_ms)
        {
            self.entries.pop_front();
        }
    }

    /// Units inside the window; call [`Series::expire`] first.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.entries.iter().fold(0, |sum, (_, units)| sum.saturating_add(*units))
    }

    /// Nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How long until the sum has fallen by at least `excess`, in milliseconds, if nothing more is
    /// counted; `None` when even an empty window would not do.
    #[must_use]
    pub fn wait_for(&self, excess: u64, now_ms: u64, window_ms: u64) -> Option<u64> {
        let mut freed = 0u64;
        for (time, units) in &self.entries {
            freed = freed.saturating_add(*units);
            if freed >= excess {
                return Some(time.saturating_add(window_ms).saturating_sub(now_ms));
            }
        }
        None
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.entries.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn from_sorted(entries: VecDeque<(u64, u64)>) -> Self {
        Self { entries }
    }
}
