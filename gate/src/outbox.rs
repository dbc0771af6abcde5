//! What the server must still be told: bounded, resent until acknowledged, never dropped.

use std::collections::{BTreeMap, VecDeque};

use metering::demand::REPORT_INTERVAL_MS;
use wire::v1::{CallRecord, LeaseReport};
use wire::{Epoch, HolderId, LeaseId};

use crate::pool::Said;

/// Most records (or leases, or disclaimed numbers) that wait. At some 500 bytes each they take
/// 5 MiB; when running calls could fill the rest, no new call is admitted.
pub(crate) const MOST_RECORDS: usize = 10_000;
/// Most records in one report: a body of some 450 KB. As many waiting are sent at once.
const BATCH: usize = 1_000;
/// Most bytes of what callers say of their calls, in records that wait and of calls that run: as much
/// as the records themselves. A call that would add more is not admitted.
const MOST_METADATA: usize = 4 << 20;
/// Most bytes of it in one report, as JSON: with the longest records around it they stay within what
/// the server takes.
const METADATA_PER_REPORT: usize = 512 << 10;
/// First pause after a failed report, in milliseconds; doubled up to [`LONGEST_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 5_000;

/// Under whom something is reported: records are unique by holder and sequence, so a record that is
/// sent again must name the same holder again.
pub(crate) type Reporter = (HolderId, Epoch);

/// The queues and their retry schedule.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Oldest first; more than one only after the server has lost a holder of ours.
    queues: VecDeque<Queue>,
    next_sequence: u64,
    /// Numbers what is said of leases, so that an answer to an older statement ends no newer one.
    next_statement: u64,
    /// Bytes of metadata of running calls and of records that wait.
    metadata: usize,
    in_flight: Option<Batch>,
    failures: u32,
    not_before_ms: u64,
    /// When the last report was sent.
    sent_ms: Option<u64>,
}

/// What waits to be reported under one holder.
#[derive(Debug, Default)]
struct Queue {
    /// None while there is no session: the next one takes it over.
    reporter: Option<Reporter>,
    records: VecDeque<CallRecord>,
    /// The latest statement about each lease, numbered: a later one says all that earlier ones did.
    leases: BTreeMap<LeaseId, (u64, LeaseReport)>,
    void: VecDeque<u64>,
    /// Somebody waits for it.
    is_urgent: bool,
}

/// What a report under way holds of the first queue.
#[derive(Debug)]
struct Batch {
    records: usize,
    leases: Vec<(LeaseId, u64)>,
    void: usize,
}

/// What a report says.
pub(crate) struct Contents {
    pub(crate) reporter: Reporter,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) leases: Vec<LeaseReport>,
    pub(crate) void: Vec<u64>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.leases.is_empty() && self.void.is_empty()
    }
}

impl Outbox {
    /// Whether a call that is admitted now will find a place for its record when it ends.
    pub(crate) fn has_room(&self, running: usize) -> bool {
        let longest =
            |queue: &Queue| queue.records.len().max(queue.leases.len()).max(queue.void.len());
        let waiting: usize = self.queues.iter().map(longest).sum();
        waiting.saturating_add(running) < MOST_RECORDS
    }

    /// Whether this much metadata of another call finds a place.
    pub(crate) fn has_room_for_metadata(&self, bytes: usize) -> bool {
        bytes == 0 || self.metadata.saturating_add(bytes) <= MOST_METADATA
    }

    /// A call with this much metadata runs from now on; its record will hold it.
    pub(crate) fn expect_metadata(&mut self, bytes: usize) {
        self.metadata = self.metadata.saturating_add(bytes);
    }

    /// This much metadata is not kept any more.
    pub(crate) fn forget_metadata(&mut self, bytes: usize) {
        self.metadata = self.metadata.saturating_sub(bytes);
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }

    pub(crate) fn record(&mut self, reporter: Option<Reporter>, record: CallRecord) {
        self.add(reporter, |queue| queue.records.push_back(record));
    }

    pub(crate) fn lease(&mut self, reporter: Option<Reporter>, said: Said) {
        self.next_statement += 1;
        let (number, Said { report, is_urgent }) = (self.next_statement, said);
        self.add(reporter, |queue| {
            queue.is_urgent |= is_urgent;
            queue.leases.insert(report.lease.clone(), (number, report));
        });
    }

    /// A number is disclaimed. Money may be set aside under it, so this is urgent.
    pub(crate) fn void(&mut self, reporter: Option<Reporter>, n: u64) {
        self.add(reporter, |queue| {
            queue.is_urgent = true;
            queue.void.push_back(n);
        });
    }

    /// Records that wait to be acknowledged.
    pub(crate) fn records(&self) -> usize {
        self.queues.iter().map(|queue| queue.records.len()).sum()
    }

    /// Nothing waits to be reported.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(Queue::is_empty)
    }

    fn add(&mut self, reporter: Option<Reporter>, add: impl FnOnce(&mut Queue)) {
        match self.queues.back_mut().filter(|queue| queue.reporter == reporter) {
            Some(queue) => add(queue),
            None => {
                let mut queue = Queue { reporter, ..Queue::default() };
                add(&mut queue);
                self.queues.push_back(queue);
            }
        }
    }

    /// Whether a report is due and none is under way.
    pub(crate) fn is_due(&mut self, now_ms: u64) -> bool {
        if self.in_flight.is_some() || now_ms < self.not_before_ms {
            return false;
        }
        while self.queues.front().is_some_and(Queue::is_empty) {
            self.queues.pop_front();
        }
        let rested =
            self.sent_ms.is_none_or(|sent| now_ms.saturating_sub(sent) >= REPORT_INTERVAL_MS);
        let is_backlog = self.queues.len() > 1;
        self.queues.front().is_some_and(|queue| {
            rested || queue.is_urgent || is_backlog || queue.records.len() >= BATCH
        })
    }

    /// The next report, if one is due and none is under way. What has no reporter yet goes out
    /// under `current`.
    pub(crate) fn due(&mut self, now_ms: u64, current: &Reporter) -> Option<Contents> {
        if !self.is_due(now_ms) {
            return None;
        }
        let queue = self.queues.front_mut()?;
        let reporter = queue.reporter.get_or_insert_with(|| current.clone()).clone();
        let leases = queue.leases.iter().take(BATCH);
        let (numbers, reports): (Vec<_>, Vec<_>) =
            leases.map(|(id, (number, report))| ((id.clone(), *number), report.clone())).unzip();
        let batch = Batch {
            records: records_per_report(&queue.records),
            leases: numbers,
            void: queue.void.len().min(BATCH),
        };
        let contents = Contents {
            reporter,
            records: queue.records.iter().take(batch.records).cloned().collect(),
            leases: reports,
            void: queue.void.iter().take(batch.void).copied().collect(),
        };
        // What did not fit is as urgent as it was.
        queue.is_urgent &= queue.leases.len() > BATCH || queue.void.len() > BATCH;
        queue.is_urgent |= batch.records < queue.records.len().min(BATCH);
        self.in_flight = Some(batch);
        self.sent_ms = Some(now_ms);
        Some(contents)
    }

    /// The report under way is durable at the server.
    pub(crate) fn acknowledged(&mut self) {
        if let (Some(batch), Some(queue)) = (self.in_flight.take(), self.queues.front_mut()) {
            let told = queue.records.drain(..batch.records.min(queue.records.len()));
            let metadata: usize = told.map(|record| record.metadata.size()).sum();
            self.metadata = self.metadata.saturating_sub(metadata);
            for (id, number) in batch.leases {
                if queue.leases.get(&id).is_some_and(|(latest, _)| *latest == number) {
                    queue.leases.remove(&id);
                }
            }
            queue.void.drain(..batch.void.min(queue.void.len()));
        }
        self.failures = 0;
        self.not_before_ms = 0;
    }

    /// The report under way failed or its answer was lost: all of it is sent again, later.
    /// `jitter` is any number; it spreads VMs over the pause.
    pub(crate) fn failed(&mut self, now_ms: u64, jitter: u64) {
        self.in_flight = None;
        if let Some(queue) = self.queues.front_mut() {
            queue.is_urgent = true;
        }
        self.not_before_ms = now_ms.saturating_add(pause_ms(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
    }

    /// The server does not know the holder of the report under way: another database. What waits
    /// under that holder is reported by the next one.
    pub(crate) fn reporter_unknown(&mut self) {
        if let Some(queue) = self.queues.front_mut() {
            queue.reporter = None;
        }
    }
}

/// How many of the records that wait fit into one report; at least one, if there is any.
fn records_per_report(records: &VecDeque<CallRecord>) -> usize {
    let written = |record: &CallRecord| match &record.metadata {
        metadata if metadata.is_empty() => 0,
        metadata => serde_json::to_vec(metadata).map_or(0, |json| json.len()),
    };
    let mut metadata = 0;
    let fits = records.iter().take(BATCH).take_while(|record| {
        metadata += written(record);
        metadata <= METADATA_PER_REPORT
    });
    fits.count().max(records.len().min(1))
}

/// Pause after the given number of earlier failures: between half and all of a doubling time.
pub(crate) fn pause_ms(failures: u32, jitter: u64) -> u64 {
    let full = FIRST_PAUSE_MS.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE_MS);
    full / 2 + jitter % (full / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Metadata;

    fn reporter(name: &str) -> Reporter {
        (HolderId::new(name).unwrap(), Epoch(1))
    }

    #[test]
    fn what_fails_is_sent_again_and_what_came_meanwhile_stays() {
        let one = reporter("h1");
        let mut outbox = Outbox::default();
        assert!(outbox.due(0, &one).is_none());
        outbox.void(Some(one.clone()), 1);
        assert_eq!(outbox.due(0, &one).unwrap().void, [1]);
        assert!(outbox.due(0, &one).is_none(), "one at a time");
        outbox.void(Some(one.clone()), 2);
        outbox.failed(0, 7);
        assert!(outbox.due(10, &one).is_none(), "not before the pause is over");
        assert_eq!(outbox.due(200, &one).unwrap().void, [1, 2]);
        outbox.void(Some(one.clone()), 3);
        outbox.acknowledged();
        assert_eq!(outbox.due(200, &one).unwrap().void, [3]);
        outbox.acknowledged();
        assert!(outbox.due(200, &one).is_none());
    }

    fn said(spent: u64, is_urgent: bool) -> Said {
        let report = LeaseReport {
            lease: LeaseId::new("h1-1").unwrap(),
            spent: wire::NanoUsd(spent),
            floor: None,
            is_final: false,
            permits_used: 0,
            permit_age_ms: 0,
        };
        Said { report, is_urgent }
    }

    #[test]
    fn the_latest_statement_of_a_lease_says_it_all() {
        let one = reporter("h1");
        let mut outbox = Outbox::default();
        outbox.lease(Some(one.clone()), said(1, false));
        outbox.lease(Some(one.clone()), said(2, false));
        let sent = outbox.due(0, &one).unwrap().leases;
        assert_eq!(sent, [said(2, false).report]);
        // said while the report is under way, so its answer does not cover it
        outbox.lease(Some(one.clone()), said(3, false));
        outbox.acknowledged();
        assert!(!outbox.is_empty());
        assert!(outbox.due(REPORT_INTERVAL_MS - 1, &one).is_none(), "nobody waits for it");
        assert_eq!(outbox.due(REPORT_INTERVAL_MS, &one).unwrap().leases, [said(3, false).report]);
        outbox.acknowledged();
        assert!(outbox.is_empty());
        outbox.lease(Some(one.clone()), said(4, true));
        assert!(outbox.due(REPORT_INTERVAL_MS + 1, &one).is_some(), "somebody waits for it");
    }

    #[test]
    fn what_is_sent_again_names_the_same_holder() {
        let (one, two) = (reporter("h1"), reporter("h2"));
        let mut outbox = Outbox::default();
        outbox.void(Some(one.clone()), 1);
        outbox.void(None, 2);
        outbox.void(Some(two.clone()), 3);
        assert_eq!(outbox.due(0, &one).unwrap().reporter, one);
        outbox.failed(0, 0);
        // the session is another one by now
        let again = outbox.due(1000, &two).unwrap();
        assert_eq!((again.reporter, again.void), (one, vec![1]));
        outbox.acknowledged();
        let next = outbox.due(1000, &two).unwrap();
        assert_eq!((next.reporter, next.void), (two.clone(), vec![2]));
        outbox.acknowledged();
        assert_eq!(outbox.due(1000, &two).unwrap().void, [3]);
    }

    #[test]
    fn a_holder_that_is_unknown_is_replaced() {
        let (one, two) = (reporter("h1"), reporter("h2"));
        let mut outbox = Outbox::default();
        outbox.void(Some(one.clone()), 1);
        outbox.due(0, &one).unwrap();
        outbox.reporter_unknown();
        outbox.failed(0, 0);
        assert_eq!(outbox.due(1000, &two).unwrap().reporter, two);
    }

    fn call(sequence: u64, metadata: &Metadata) -> CallRecord {
        let json = r#"{"sequence":1,"request":"r","key":"k","model":"m","catalogue_version":1,
            "usage":{"input_tokens":1,"output_tokens":1},"cost":1,"basis":"measured","reserved":1,
            "status":200,"streamed":false,"ending":"complete","started_unix_ms":1,"duration_ms":1}"#;
        let record: CallRecord = serde_json::from_str(json).unwrap();
        CallRecord { sequence, metadata: metadata.clone(), ..record }
    }

    fn longest_metadata() -> Metadata {
        let mut metadata = Metadata::default();
        for n in 0..Metadata::MOST_PAIRS {
            let name = format!("{n:064}");
            // Each takes six bytes in JSON.
            metadata.add(name, "\u{1}".repeat(Metadata::LONGEST_VALUE)).unwrap();
        }
        metadata
    }

    #[test]
    fn what_callers_say_is_bounded_in_memory_and_in_a_report() {
        let one = reporter("h1");
        let metadata = longest_metadata();
        let mut outbox = Outbox::default();
        let mut running = 0u64;
        while outbox.has_room_for_metadata(metadata.size()) {
            outbox.expect_metadata(metadata.size());
            running += 1;
        }
        assert_eq!(usize::try_from(running).unwrap(), MOST_METADATA / metadata.size());
        assert!(outbox.has_room_for_metadata(0), "other calls go on");
        for sequence in 1..=running {
            outbox.record(Some(one.clone()), call(sequence, &metadata));
        }
        let (mut next, mut reports) = (1, 0);
        // None of them waits for the interval: there is always as much as a report may hold.
        while let Some(report) = outbox.due(0, &one) {
            let length = serde_json::to_vec(&report.records).unwrap().len();
            assert!(length < METADATA_PER_REPORT + 300 * report.records.len(), "{length}");
            let sequences: Vec<_> = report.records.iter().map(|record| record.sequence).collect();
            let until = next + u64::try_from(sequences.len()).unwrap();
            assert_eq!(sequences, (next..until).collect::<Vec<_>>());
            (next, reports) = (until, reports + 1);
            outbox.acknowledged();
        }
        assert_eq!(next, running + 1);
        assert!(reports > 10, "{reports}");
        assert!(outbox.has_room_for_metadata(MOST_METADATA), "all of it is told");
    }

    #[test]
    fn a_record_without_metadata_takes_none_of_its_room() {
        let one = reporter("h1");
        let mut outbox = Outbox::default();
        for sequence in 1..=5 {
            outbox.record(Some(one.clone()), call(sequence, &Metadata::default()));
        }
        assert_eq!(outbox.due(0, &one).unwrap().records.len(), 5);
        outbox.acknowledged();
        assert!(outbox.is_empty());
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
