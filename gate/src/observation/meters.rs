//! What has been counted since it was told last. Counts are kept here and told once a second, so
//! that a request costs no host call for them; a VM that dies loses at most what it counted since.

use super::Observation;
use super::metric::{COUNTERS, GAUGES, Metric};

/// How often counts are told, in milliseconds: proxies' statistics are read every few seconds.
const TELL_EVERY_MS: u64 = 1_000;
/// A host without a timer is told with a request, once this much later than the timer would have.
const OVERDUE_MS: u64 = 4_000;

/// How much there is of something now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    /// What the VM knows may be used.
    pub(crate) is_usable: bool,
    /// Leases that it holds.
    pub(crate) leases: u64,
    /// Money in them that is not spent, in nano-USD.
    pub(crate) money: u64,
    /// Asks ahead of need that are under way.
    pub(crate) asks_ahead: u64,
    /// Records of calls that wait to be acknowledged.
    pub(crate) records: u64,
    /// Calls that the upstream works on.
    pub(crate) running: u64,
}

/// Counters since they were told last, and what was told of gauges.
#[derive(Debug)]
pub(crate) struct Meters {
    counted: [u64; COUNTERS],
    told: [u64; GAUGES],
    /// Something was ever counted: this VM serves requests.
    serves: bool,
    due_ms: u64,
}

impl Default for Meters {
    fn default() -> Self {
        Self { counted: [0; COUNTERS], told: [0; GAUGES], serves: false, due_ms: 0 }
    }
}

impl Meters {
    /// Counts one.
    pub(crate) fn count(&mut self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Counts several.
    pub(crate) fn add(&mut self, metric: Metric, by: u64) {
        if by == 0 {
            return;
        }
        if let Some(counted) = self.counted.get_mut(metric.index()) {
            *counted = counted.saturating_add(by);
            self.serves = true;
        }
    }

    /// Whether it is time to tell, as the timer sees it.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.serves && now_ms >= self.due_ms
    }

    /// Whether the timer should have told long ago.
    pub(crate) fn is_overdue(&self, now_ms: u64) -> bool {
        self.serves && now_ms >= self.due_ms.saturating_add(OVERDUE_MS)
    }

    /// What is to be told now.
    pub(crate) fn tell(&mut self, levels: Levels, now_ms: u64) -> Vec<Observation> {
        self.due_ms = now_ms.saturating_add(TELL_EVERY_MS);
        let mut told = Vec::new();
        for metric in Metric::all().take(COUNTERS) {
            let counted = self.counted.get_mut(metric.index()).map_or(0, std::mem::take);
            if counted > 0 {
                let by = i64::try_from(counted).unwrap_or(i64::MAX);
                told.push(Observation::Change { metric, by });
            }
        }
        let levels = [
            u64::from(self.serves),
            u64::from(levels.is_usable),
            levels.leases,
            levels.money,
            levels.asks_ahead,
            levels.records,
            levels.running,
        ];
        for (index, (told_before, level)) in self.told.iter_mut().zip(levels).enumerate() {
            let by = i128::from(level) - i128::from(*told_before);
            if let Ok(by @ (..=-1 | 1..)) = i64::try_from(by) {
                *told_before = level;
                told.push(Observation::Change { metric: Metric::gauge(index), by });
            }
        }
        told
    }
}
