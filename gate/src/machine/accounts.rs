//! What the books of a machine say, for tests of leaks.

use std::collections::BTreeMap;

use wire::{KeyId, LeaseId, NanoUsd};

use super::Gate;
use crate::exchange::Stage;
use crate::io::StreamId;

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

/// What would have refused a request that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetPass {
    /// The code of the refusal.
    pub code: &'static str,
    /// Its call is recorded; otherwise it passes as it came.
    pub is_recorded: bool,
}

impl Gate {
    /// Whether a request goes on although something would have refused it.
    #[must_use]
    pub fn let_pass(&self, stream: StreamId) -> Option<LetPass> {
        match &self.streams.get(&stream)?.stage {
            Stage::Running(running) => {
                running.would_refuse.map(|code| LetPass { code, is_recorded: true })
            }
            Stage::Passing(code) => Some(LetPass { code, is_recorded: false }),
            Stage::Open(_) | Stage::Answered => None,
        }
    }

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
