//! The machine's metrics as the proxy's statistics. Each is defined once per VM, all at the first
//! time that anything is told, so that an operator sees what has not happened yet as a zero.

use std::cell::RefCell;

use gate::observation::{Kind, Metric};

use crate::host;

/// Ids of the metrics of one VM; empty before they are defined.
#[derive(Debug, Default)]
pub struct Statistics {
    ids: RefCell<Vec<Option<u32>>>,
}

impl Statistics {
    /// Changes a counter or a gauge.
    pub fn change(&self, metric: Metric, by: i64) {
        if let Some(id) = self.id(metric) {
            told(host::increment_metric(id, by));
        }
    }

    /// Adds a sample to a histogram.
    pub fn sample(&self, metric: Metric, value: u64) {
        if let Some(id) = self.id(metric) {
            told(host::record_metric(id, value));
        }
    }

    /// None where the host has no such thing, which is asked once.
    fn id(&self, metric: Metric) -> Option<u32> {
        let mut ids = self.ids.borrow_mut();
        if ids.is_empty() {
            ids.extend(Metric::all().map(define));
        }
        ids.get(metric.index()).copied().flatten()
    }
}

fn define(metric: Metric) -> Option<u32> {
    let kind = match metric.kind() {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Histogram => 2,
    };
    host::define_metric(kind, &metric.name())
}

fn told(status: Result<(), host::Status>) {
    if let Err(status) = status {
        log::debug!("a metric could not be told: status {}", status.0);
    }
}
