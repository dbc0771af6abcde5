//! The time of a callback. The monotonic clock is read each time; the wall clock only once a second,
//! since what depends on it (expiry dates, records) is no finer.

use std::cell::Cell;

use gate::Now;

use crate::host;

const WALL: u32 = 0;
const MONOTONIC: u32 = 1;
/// How old the difference between the two clocks may be, in milliseconds.
const REFRESH_MS: u64 = 1_000;

/// The two clocks of one VM.
#[derive(Debug, Default)]
pub struct Clock {
    /// Wall and monotonic time when both were read last.
    read: Cell<Option<(u64, u64)>>,
}

impl Clock {
    /// The time now. A host without a clock gives time zero, at which no session is usable.
    pub fn now(&self) -> Now {
        let monotonic_ms = host::clock_ns(MONOTONIC).unwrap_or(0) / 1_000_000;
        let recent = self.read.get().filter(|(_, at)| monotonic_ms.wrapping_sub(*at) < REFRESH_MS);
        let (wall_ms, at_ms) = recent.unwrap_or_else(|| {
            let wall_ms = host::clock_ns(WALL).unwrap_or(0) / 1_000_000;
            self.read.set(Some((wall_ms, monotonic_ms)));
            (wall_ms, monotonic_ms)
        });
        Now { monotonic_ms, wall_ms: wall_ms.saturating_add(monotonic_ms.saturating_sub(at_ms)) }
    }
}
