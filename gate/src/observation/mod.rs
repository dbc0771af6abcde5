//! What operators see of a VM: numbers for the proxy's statistics and one line per request for its
//! access log. The machine decides what is counted and under which of the closed sets of labels; the
//! driver carries it to the host. Nothing here may hold a credential or a prompt.

pub(crate) mod log_fields;
pub(crate) mod meters;
pub mod metric;
mod notes;
#[cfg(test)]
mod tests;
mod watched_memory;

use crate::io::StreamId;

pub(crate) use meters::{Levels, Meters};
pub use metric::{Kind, Metric};
pub(crate) use notes::{Decision, Notes};
pub(crate) use watched_memory::Watched;

/// Something to be seen by operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A counter or a gauge changes by this much. Gauges change by differences, too, because all
    /// VMs of a proxy share each of them.
    Change {
        /// Which.
        metric: Metric,
        /// By how much; above zero for counters.
        by: i64,
    },
    /// One sample of a histogram.
    Sample {
        /// Which.
        metric: Metric,
        /// In the metric's own unit.
        value: u64,
    },
    /// What the proxy's access log is to say of the stream that ends: a JSON object in visible ASCII.
    LogFields {
        /// Which.
        stream: StreamId,
        /// The object.
        text: String,
    },
}
