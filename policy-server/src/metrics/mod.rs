//! What the server counts of itself for `/metrics`: requests, commits, the writer's queue. Labels
//! are parts of routes and classes of statuses: closed sets, whatever is asked.

mod page;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use page::{Kind, Page};

use crate::live::lock;

/// Upper bounds of what is measured, in milliseconds: from a commit on a fast disk to a poll.
const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];

/// How often something took how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// Counts by bound, each without those below it; the last has no bound.
    counts: [u64; BOUNDS_MS.len() + 1],
    sum_us: u64,
}

impl Durations {
    /// Notes one.
    pub fn note(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.iter().position(|bound| us <= bound * 1_000);
        if let Some(count) = self.counts.get_mut(bucket.unwrap_or(BOUNDS_MS.len())) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn show(&self, page: &mut Page, name: &str, labels: &[(&str, &str)]) {
        let mut below = 0;
        for (count, bound) in self.counts.iter().zip(BOUNDS_MS) {
            below += count;
            let bound = format!("{}", bound as f64 / 1_000.0);
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            page.value(&format!("{name}_bucket"), &labels, below);
        }
        let mut all = labels.to_vec();
        all.push(("le", "+Inf"));
        page.value(&format!("{name}_bucket"), &all, self.count());
        page.value(&format!("{name}_sum"), labels, self.sum_us as f64 / 1e6);
        page.value(&format!("{name}_count"), labels, self.count());
    }
}

/// A kind of request: which API, which part of it, and how it was answered.
type RequestKind = (&'static str, String, &'static str);

/// Everything that is counted here.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<RequestKind, Durations>>,
    commits: Mutex<Durations>,
    failed_commits: AtomicU64,
    queued: AtomicU64,
    spans_sent: AtomicU64,
    spans_dropped: AtomicU64,
}

impl Metrics {
    /// A request was answered. `route` is the pattern that it matched; none where it matched none.
    pub fn answered(&self, api: &'static str, route: Option<&str>, status: u16, took: Duration) {
        let class = match status {
            ..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            401 => "401",
            403 => "403",
            429 => "429",
            400..=499 => "4xx",
            _ => "5xx",
        };
        let kind = (api, part(route), class);
        lock(&self.requests).entry(kind).or_default().note(took);
    }

    /// The writer has committed a batch, or could not.
    pub fn committed(&self, done: bool, took: Duration) {
        if done {
            lock(&self.commits).note(took);
        } else {
            self.failed_commits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A job waits for the writer.
    pub fn job_waits(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// The writer has taken a job.
    pub fn job_taken(&self) {
        // Every job waits before it is taken.
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// Spans were taken by the collector, or dropped.
    pub fn spans(&self, sent: bool, count: u64) {
        let counter = if sent { &self.spans_sent } else { &self.spans_dropped };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds all of it to a page.
    pub fn show(&self, page: &mut Page) {
        let requests = lock(&self.requests).clone();
        page.family(
            "tollgate_server_request_seconds",
            Kind::Histogram,
            "Requests by API, route and class of status; a poll for changes takes up to 25 s.",
        );
        for ((api, route, status), durations) in &requests {
            let labels = [("api", *api), ("route", route.as_str()), ("status", *status)];
            durations.show(page, "tollgate_server_request_seconds", &labels);
        }
        let name = "tollgate_server_commit_seconds";
        page.family(name, Kind::Histogram, "Batches of the writer, from their begin to the disk.");
        let commits = *lock(&self.commits);
        commits.show(page, name, &[]);
        page.counter(
            "tollgate_server_commits_failed_total",
            "Batches that were not committed; their requests were answered with an error.",
            self.failed_commits.load(Ordering::Relaxed),
        );
        page.gauge(
            "tollgate_server_writer_queue",
            "Jobs that wait for the writer; at 1024 requests are turned away.",
            self.queued.load(Ordering::Relaxed),
        );
        page.counter(
            "tollgate_server_spans_sent_total",
            "Spans that the collector took.",
            self.spans_sent.load(Ordering::Relaxed),
        );
        page.counter(
            "tollgate_server_spans_dropped_total",
            "Spans that it did not take, or that were too many.",
            self.spans_dropped.load(Ordering::Relaxed),
        );
    }
}

/// The part of a route that is shown: `keys` of `/admin/v1/keys/{id}`, `leases` of
/// `/proxy/v1/leases`. Patterns are a closed set, and so are their parts.
fn part(route: Option<&str>) -> String {
    let Some(route) = route else { return "none".to_owned() };
    let rest = ["/admin/v1/", "/proxy/v1/", "/"].iter().find_map(|base| route.strip_prefix(base));
    rest.unwrap_or(route).split('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_holds_them() {
        let mut durations = Durations::default();
        for us in [0, 1_000, 1_001, 30_000_000, 30_000_001] {
            durations.note(Duration::from_micros(us));
        }
        let mut page = Page::default();
        durations.show(&mut page, "t", &[("route", "x")]);
        let text = page.finish();
        for line in [
            r#"t_bucket{route="x",le="0.001"} 2"#,
            r#"t_bucket{route="x",le="0.002"} 3"#,
            r#"t_bucket{route="x",le="30"} 4"#,
            r#"t_bucket{route="x",le="+Inf"} 5"#,
            r#"t_sum{route="x"} 60.002002"#,
            r#"t_count{route="x"} 5"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_route_is_shown_by_its_part_and_never_by_what_was_asked() {
        assert_eq!(part(Some("/admin/v1/keys/{id}/revoke")), "keys");
        assert_eq!(part(Some("/proxy/v1/leases")), "leases");
        assert_eq!(part(Some("/healthz")), "healthz");
        assert_eq!(part(None), "none");
    }
}
