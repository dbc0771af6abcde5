//! The other users: two keep-alive connections that send a request every few milliseconds for as long
//! as they are told to, and every answer must be 200.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bench::load::{Line, Shot};

/// Pause between an answer and the next request: some two hundred requests a second are no load of
/// their own.
const PAUSE: Duration = Duration::from_millis(8);

/// What they saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Time of each exchange, ascending.
    pub latencies: Vec<Duration>,
    /// Exchanges that did not end with 200, the first of them in words.
    pub failed: (u64, Option<String>),
}

impl Seen {
    /// The latency below which 99 of 100 exchanges stayed.
    pub fn p99(&self) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * 99 / 100).copied().unwrap_or_default()
    }
}

/// Runs them until `stop`.
pub fn run(shot: &Shot, stop: &AtomicBool) -> Seen {
    let parts: Vec<Seen> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| one(shot, stop))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut all = Seen::default();
    for mut part in parts {
        all.latencies.append(&mut part.latencies);
        all.failed.0 += part.failed.0;
        all.failed.1 = all.failed.1.or(part.failed.1);
    }
    all.latencies.sort_unstable();
    all
}

fn one(shot: &Shot, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut line = None;
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let result = match line.as_mut() {
            Some(open) => shot.over(open),
            None => Line::open(shot.port).and_then(|open| shot.over(line.insert(open))),
        };
        match result {
            Ok(()) => seen.latencies.push(sent.elapsed()),
            Err(why) => {
                seen.failed.0 += 1;
                seen.failed.1.get_or_insert_with(|| format!("{why:#}"));
                line = None;
            }
        }
        std::thread::sleep(PAUSE);
    }
    seen
}
