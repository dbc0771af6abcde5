//! What the books of a machine say, for tests of leaks.

use std::collections::BTreeMap;

use wire::{KeyId, LeaseId, NanoUsd};

use super::Gate;
use crate::exchange::Stage;

/// Money by lease.
pub type ByLease = BTreeMap<(KeyId, LeaseId), NanoUsd>;

/// What a machine holds at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// What each lease that is held has set aside for running calls.
    pub reserved: ByLease,
    /// What running calls have drawn on each lease.
    pub drawn: ByLease,
    /// Call-outs under way.
    pub calls: usize,
    /// Ended calls that are still in their windows.
    pub unfinished: usize,
}

impl Gate {
    /// Its books.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        let mut drawn = ByLease::new();
        for exchange in self.streams.values() {
            let Stage::Running(running) = &exchange.stage else { continue };
            if let Some((lease, draw)) = &running.drawn {
                let sum = drawn.entry((running.policy.key.clone(), lease.clone())).or_default();
                *sum = sum.saturating_add(draw.amount);
            }
        }
        Accounts {
            reserved: self.pool.reserved(),
            drawn,
            calls: self.calls.len(),
            unfinished: self.unfinished.len(),
        }
    }
}
