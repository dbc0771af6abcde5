//! What the server must still be told: bounded, resent until acknowledged, never dropped.

use std::collections::VecDeque;

use wire::v1::{CallRecord, LeaseReport};

/// Most records that wait. At some 500 bytes each they take 5 MiB; when running calls could fill
/// the rest, no new call is admitted.
pub(crate) const MOST_RECORDS: usize = 10_000;
/// Most records in one report: a body of some 250 KB.
const BATCH: usize = 500;
/// First pause after a failed report, in milliseconds; doubled up to [`LONGEST_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 5_000;

/// The queue and its retry schedule.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    records: VecDeque<CallRecord>,
    leases: VecDeque<LeaseReport>,
    void: VecDeque<u64>,
    next_sequence: u64,
    in_flight: Option<Batch>,
    failures: u32,
    not_before_ms: u64,
}

/// How much of the front of each queue a report holds.
#[derive(Debug, Clone, Copy)]
struct Batch {
    records: usize,
    leases: usize,
    void: usize,
}

/// What a report says.
pub(crate) struct Contents {
    pub(crate) records: Vec<CallRecord>,
    pub(crate) leases: Vec<LeaseReport>,
    pub(crate) void: Vec<u64>,
}

impl Outbox {
    /// Whether a call that is admitted now will find a place for its record when it ends.
    pub(crate) fn has_room(&self, running: usize) -> bool {
        self.records.len().saturating_add(running) < MOST_RECORDS
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }

    pub(crate) fn record(&mut self, record: CallRecord) {
        self.records.push_back(record);
    }

    pub(crate) fn lease(&mut self, report: LeaseReport) {
        self.leases.push_back(report);
    }

    pub(crate) fn void(&mut self, n: u64) {
        self.void.push_back(n);
    }

    /// The next report, if one is due and none is under way.
    pub(crate) fn due(&mut self, now_ms: u64) -> Option<Contents> {
        let empty = self.records.is_empty() && self.leases.is_empty() && self.void.is_empty();
        if empty || self.in_flight.is_some() || now_ms < self.not_before_ms {
            return None;
        }
        let batch = Batch {
            records: self.records.len().min(BATCH),
            leases: self.leases.len().min(BATCH),
            void: self.void.len().min(BATCH),
        };
        self.in_flight = Some(batch);
        Some(Contents {
            records: self.records.iter().take(batch.records).cloned().collect(),
            leases: self.leases.iter().take(batch.leases).cloned().collect(),
            void: self.void.iter().take(batch.void).copied().collect(),
        })
    }

    /// The report under way is durable at the server.
    pub(crate) fn acknowledged(&mut self) {
        if let Some(batch) = self.in_flight.take() {
            self.records.drain(..batch.records.min(self.records.len()));
            self.leases.drain(..batch.leases.min(self.leases.len()));
            self.void.drain(..batch.void.min(self.void.len()));
        }
        self.failures = 0;
        self.not_before_ms = 0;
    }

    /// The report under way failed or its answer was lost: all of it is sent again, later.
    /// `jitter` is any number; it spreads VMs over the pause.
    pub(crate) fn failed(&mut self, now_ms: u64, jitter: u64) {
        self.in_flight = None;
        self.not_before_ms = now_ms.saturating_add(pause_ms(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
    }
}

/// Pause after the given number of earlier failures: between half and all of a doubling time.
pub(crate) fn pause_ms(failures: u32, jitter: u64) -> u64 {
    let full = FIRST_PAUSE_MS.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE_MS);
    full / 2 + jitter % (full / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_sent_again_and_what_came_meanwhile_stays() {
        let mut outbox = Outbox::default();
        assert!(outbox.due(0).is_none());
        outbox.void(1);
        assert_eq!(outbox.due(0).unwrap().void, [1]);
        assert!(outbox.due(0).is_none(), "one at a time");
        outbox.void(2);
        outbox.failed(0, 7);
        assert!(outbox.due(10).is_none(), "not before the pause is over");
        assert_eq!(outbox.due(200).unwrap().void, [1, 2]);
        outbox.void(3);
        outbox.acknowledged();
        assert_eq!(outbox.due(200).unwrap().void, [3]);
        outbox.acknowledged();
        assert!(outbox.due(200).is_none());
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        for jitter in [0, 1, 12_345, u64::MAX] {
            assert!((50..=100).contains(&pause_ms(0, jitter)));
            assert!((100..=200).contains(&pause_ms(1, jitter)));
            assert!((2_500..=5_000).contains(&pause_ms(60, jitter)));
        }
    }
}
