//! Counters, gauges and histograms as the proxy's statistics keep them.

use std::collections::BTreeMap;

use crate::status::Status;

/// Samples kept of one histogram.
const MAX_SAMPLES: usize = 100_000;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// Values of one host, by kind and name; every VM that defines a name shares its value.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    values: BTreeMap<(MetricKind, String), u64>,
    samples: BTreeMap<String, Vec<u64>>,
}

impl Metrics {
    pub(crate) fn define(&mut self, kind: MetricKind, name: &str) {
        self.values.entry((kind, name.to_owned())).or_default();
    }

    pub(crate) fn value(&self, name: &str) -> Option<u64> {
        let kinds = [MetricKind::Counter, MetricKind::Gauge];
        kinds.into_iter().find_map(|kind| self.values.get(&(kind, name.to_owned())).copied())
    }

    pub(crate) fn samples(&self, name: &str) -> &[u64] {
        self.samples.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.values.keys().map(|(_, name)| name.clone()).collect()
    }

    pub(crate) fn increment(
        &mut self,
        kind: MetricKind,
        name: &str,
        by: i64,
    ) -> Result<(), Status> {
        let value = self.values.get_mut(&(kind, name.to_owned())).ok_or(Status::NotFound)?;
        match kind {
            MetricKind::Counter if by > 0 => *value = value.wrapping_add_signed(by),
            MetricKind::Gauge => *value = value.wrapping_add_signed(by),
            _ => return Err(Status::BadArgument),
        }
        Ok(())
    }

    pub(crate) fn record(&mut self, kind: MetricKind, name: &str, to: u64) -> Result<(), Status> {
        let value = self.values.get_mut(&(kind, name.to_owned())).ok_or(Status::NotFound)?;
        match kind {
            MetricKind::Counter => *value = value.wrapping_add(to),
            MetricKind::Gauge => *value = to,
            MetricKind::Histogram => {
                let samples = self.samples.entry(name.to_owned()).or_default();
                if samples.len() < MAX_SAMPLES {
                    samples.push(to);
                }
            }
        }
        Ok(())
    }
}
